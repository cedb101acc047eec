//! Random interleavings of one writer and many readers: whatever the order, a reader's octets are the right ones, it
//! reaches the end only of a complete body, and all memory is given back.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Push(usize),
    Attach,
    Clone(usize),
    Seek(usize, u64),
    Read(usize),
    Leave(usize),
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Complete,
    Fail,
    Drop,
}

struct Viewer {
    reader: FillReader,
    start: u64,
    read: Vec<u8>,
    end: Option<Result<(), FillEnd>>,
}

impl Viewer {
    fn new(reader: FillReader) -> Self {
        Self { reader, start: 0, read: Vec::new(), end: None }
    }

    fn read(&mut self) {
        if self.end.is_some() {
            return;
        }
        match now(|cx| self.reader.poll_chunk(cx)) {
            Poll::Ready(Some(Ok(octets))) => self.read.extend_from_slice(&octets),
            Poll::Ready(Some(Err(end))) => self.end = Some(Err(end)),
            Poll::Ready(None) => self.end = Some(Ok(())),
            Poll::Pending => {}
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let which = 0..16_usize;
    let sizes = prop_oneof![4 => 1..5_000_usize, 1 => 5_000..100_000_usize];
    let step = prop_oneof![
        4 => sizes.prop_map(Step::Push),
        1 => Just(Step::Attach),
        1 => which.clone().prop_map(Step::Clone),
        1 => (which.clone(), 0..400_000_u64).prop_map(|(which, to)| Step::Seek(which, to)),
        6 => which.clone().prop_map(Step::Read),
        1 => which.prop_map(Step::Leave),
    ];
    vec(step, 1..80)
}

fn piece(from: usize, count: usize) -> Bytes {
    octets(8 * MIB).slice(from..from + count)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_reader_gets_the_right_octets_and_all_memory_comes_back(
        steps in steps(),
        announces in any::<bool>(),
        ending in prop_oneof![3 => Just(Ending::Complete), 1 => Just(Ending::Fail), 1 => Just(Ending::Drop)],
        max_object in prop_oneof![Just(64 * KIB), Just(300 * KIB), Just(8 * MIB)],
    ) {
        let cache = cache_of(CacheConfig { max_object, fill_readers: 100, ..config() }).0;
        let total: usize = steps.iter().map(|step| if let Step::Push(count) = step { *count } else { 0 }).sum();
        let (writer, reader) = lead(look(&cache, "/a"));
        let mut viewers = vec![Viewer::new(reader)];
        play(&cache, writer, &mut viewers, (&steps, announces.then_some(total as u64), ending));
        let whole = piece(0, total);
        for mut viewer in viewers {
            while viewer.end.is_none() {
                viewer.read();
            }
            let start = usize::try_from(viewer.start).unwrap().min(total);
            match viewer.end.unwrap() {
                Ok(()) => {
                    prop_assert!(matches!(ending, Ending::Complete));
                    prop_assert_eq!(&viewer.read, &whole[start..]);
                }
                Err(FillEnd::Gone) => prop_assert!(viewer.read.is_empty()),
                Err(_) => {
                    prop_assert!(!matches!(ending, Ending::Complete));
                    prop_assert!(whole[start..].starts_with(&viewer.read));
                }
            }
        }
        let stored = matches!(ending, Ending::Complete) && total as u64 <= max_object;
        match look(&cache, "/a") {
            Lookup::Hit(object, _) => {
                prop_assert!(stored);
                prop_assert_eq!(body(&object), whole);
            }
            Lookup::Lead(_) => prop_assert!(!stored),
            other => prop_assert!(false, "{}", said(&other)),
        }
        cache.remove(&key("/a"));
        cache.run_pending();
        prop_assert_eq!((cache.usage().bodies, cache.usage().heads, cache.usage().fills), (0, 0, 0));
    }
}

fn play(
    cache: &Cache,
    mut writer: FillWriter,
    viewers: &mut Vec<Viewer>,
    (steps, length, ending): (&[Step], Option<u64>, Ending),
) {
    writer.head(head(), length, STORED).unwrap();
    let mut sent = 0;
    for step in steps {
        let count = viewers.len().max(1);
        match step {
            Step::Push(octets) => {
                while now(|cx| writer.poll_ready(cx)).is_pending() {
                    viewers.iter_mut().for_each(Viewer::read);
                }
                writer.push(piece(sent, *octets)).unwrap();
                sent += octets;
            }
            Step::Attach => {
                if let Lookup::Join(reader) = look(cache, "/a") {
                    viewers.push(Viewer::new(reader));
                }
            }
            Step::Clone(which) => {
                let clone = viewers.get(which % count).map(|viewer| viewer.reader.clone());
                viewers.extend(clone.map(Viewer::new));
            }
            Step::Seek(which, to) => {
                if let Some(viewer) = viewers.get_mut(which % count).filter(|viewer| viewer.read.is_empty())
                    && *to >= viewer.start
                {
                    viewer.reader.seek(*to);
                    viewer.start = *to;
                }
            }
            Step::Read(which) => viewers.iter_mut().skip(which % count).take(1).for_each(Viewer::read),
            Step::Leave(which) => {
                if !viewers.is_empty() {
                    viewers.swap_remove(which % count);
                }
            }
        }
    }
    match ending {
        Ending::Complete => writer.complete(),
        Ending::Fail => writer.fail(FillFailure::new(std::io::Error::other("cut"))),
        Ending::Drop => drop(writer),
    }
}

//! Memory: what is let go, what is refused, and that everything is given back.

use super::super::memory::{Kind, Memory, chunk, chunk_weight};
use super::*;
use crate::clock::Tick;

fn emptied(cache: &Cache) {
    cache.purge(&Selector::All, Act::Purge(Mode::Hard));
    cache.run_pending();
    let usage = cache.usage();
    assert_eq!((usage.bodies, usage.heads, usage.fills), (0, 0, 0));
}

#[test]
fn a_stream_of_distinct_objects_never_exceeds_the_ceiling_and_the_newest_stay() {
    let cache = cache();
    for number in 0..1_000 {
        store(&cache, &format!("/{number}"), 300 * KIB);
        let usage = cache.usage();
        assert!(usage.total() <= usage.ceiling, "{usage:?}");
    }
    // Three quarters of the ceiling hold about 160 of them.
    (860..1_000).for_each(|number| _ = hit(look(&cache, &format!("/{number}"))));
    lead(look(&cache, "/800"));
    emptied(&cache);
}

#[test]
fn small_objects_are_counted_with_what_their_index_takes() {
    let cache = cache_of(CacheConfig { memory: MIB, ..config() }).0;
    for number in 0..5_000 {
        store(&cache, &format!("/{number}"), 1);
        assert!(cache.usage().total() <= MIB);
    }
    cache.run_pending();
    assert!((300..800).contains(&cache.objects()), "{}", cache.objects());
}

#[test]
fn an_object_that_is_let_go_is_counted_until_its_last_reader_has_left() {
    let cache = cache();
    store(&cache, "/a", 96 * KIB);
    let mut reader = hit(look(&cache, "/a")).reader(0..96 * KIB);
    let octets = reader.next().unwrap();
    emptied_but(&cache, 96 * KIB);
    drop(reader);
    emptied_but(&cache, 64 * KIB);
    drop(octets);
    emptied(&cache);
}

fn emptied_but(cache: &Cache, bytes: u64) {
    cache.purge(&Selector::All, Act::Purge(Mode::Hard));
    let bodies = cache.usage().bodies;
    assert!((bytes..bytes + KIB).contains(&bodies), "{bodies}");
}

#[test]
fn stored_objects_make_room_for_fills_oldest_first_and_sparing_what_was_read() {
    let cache = cache_of(CacheConfig { fills_per_group: 100, ..config() }).0;
    (0..20).for_each(|number| store(&cache, &format!("/{number}"), 2 * MIB));
    _ = hit(look(&cache, "/0"));
    // 40 MiB are stored; four fills of 7 MiB leave room for 36.
    let fills: Vec<_> = (0..4)
        .map(|number| {
            let (mut writer, reader) = lead(look(&cache, &format!("/fill{number}")));
            writer.head(head(), Some(7 * MIB), STORED).unwrap();
            (writer, reader)
        })
        .collect();
    assert!(cache.usage().total() <= 64 * MIB);
    _ = hit(look(&cache, "/0"));
    lead(look(&cache, "/1"));
    lead(look(&cache, "/2"));
    _ = hit(look(&cache, "/19"));
    drop(fills);
    emptied(&cache);
}

#[test]
fn fills_beyond_the_ceiling_pass_through_and_beyond_that_are_refused() {
    let cache = cache_of(CacheConfig { memory: 16 * MIB, fills_per_group: 1_000, ..config() }).0;
    let mut fills = Vec::new();
    let refused = loop {
        let (mut writer, mut reader) = lead(look(&cache, &format!("/{}", fills.len())));
        match writer.head(head(), Some(3 * MIB), STORED) {
            Ok(()) => fills.push((writer, reader)),
            Err(refused) => {
                assert!(matches!(now(|cx| reader.poll_head(cx)), Poll::Ready(Err(FillEnd::Refused(_)))));
                break refused;
            }
        }
        assert!(cache.usage().total() <= 16 * MIB);
    };
    assert_eq!(refused, Refused::Memory);
    assert_eq!(fills.iter().filter(|(writer, _)| writer.will_be_stored()).count(), 5);
    assert!(fills.len() > 5);
    drop(fills);
    emptied(&cache);
}

#[test]
fn a_fill_that_can_reserve_no_more_goes_on_through_a_window() {
    let cache = cache_of(CacheConfig { memory: 8 * MIB, ..config() }).0;
    let (mut writer, mut reader) = lead(look(&cache, "/a"));
    let (mut other, _other) = lead(look(&cache, "/b"));
    writer.head(head(), None, STORED).unwrap();
    other.head(head(), Some(4 * MIB), STORED).unwrap();
    let mut read = Vec::new();
    for _ in 0..100 {
        assert!(now(|cx| writer.poll_ready(cx)).is_ready());
        writer.push(octets(64 * KIB)).unwrap();
        read.extend(drink(&mut reader).0);
        assert!(cache.usage().total() <= 8 * MIB);
    }
    assert!(!writer.will_be_stored());
    writer.complete();
    assert_eq!(read, octets(64 * KIB).repeat(100));
    other.push(octets(4 * MIB)).unwrap();
    other.complete();
    _ = hit(look(&cache, "/b"));
}

#[test]
fn a_window_that_cannot_be_paid_for_waits_until_memory_is_given_back() {
    let cache = cache_of(CacheConfig { memory: 8 * MIB, ..config() }).0;
    let (mut writer, mut reader) = lead(look(&cache, "/a"));
    writer.head(head(), Some(1 << 30), STORED).unwrap();
    let others = ["/b", "/c"].map(|name| {
        let (mut other, _) = lead(look(&cache, name));
        other.head(head(), Some(3 * MIB + 800 * KIB), STORED).unwrap();
        other
    });
    // What readers hand to their sockets is still in memory: it is held here.
    let (task, waker) = Task::new();
    let mut held = Vec::new();
    while writer.poll_ready(&mut Context::from_waker(&waker)).is_ready() {
        writer.push(octets(64 * KIB)).unwrap();
        while let Poll::Ready(Some(Ok(octets))) = now(|cx| reader.poll_chunk(cx)) {
            held.push(octets);
        }
        assert!(cache.usage().total() <= 8 * MIB + 64 * KIB);
    }
    assert_eq!(task.woken(), 0);
    drop(others);
    assert!(task.woken() > 0);
    assert!(now(|cx| writer.poll_ready(cx)).is_ready());
}

#[test]
fn a_changed_ceiling_keeps_what_fits_and_lets_the_rest_go() {
    let cache = cache();
    (0..40).for_each(|number| store(&cache, &format!("/{number}"), MIB));
    cache.reconfigure(CacheConfig { memory: 256 * MIB, ..config() });
    (0..40).for_each(|number| _ = hit(look(&cache, &format!("/{number}"))));
    cache.reconfigure(CacheConfig { memory: 16 * MIB, ..config() });
    assert!(cache.usage().total() <= 16 * MIB, "{:?}", cache.usage());
    _ = hit(look(&cache, "/39"));
    lead(look(&cache, "/0"));
    store(&cache, "/40", MIB);
    _ = hit(look(&cache, "/40"));
    emptied(&cache);
}

#[test]
fn nothing_is_charged_above_the_ceiling_and_everything_is_given_back() {
    let memory = Memory::new(1_000);
    let mut fill = memory.try_charge(Kind::Fills, 800).unwrap();
    assert!(memory.try_charge(Kind::Heads, 201).is_none());
    let body = chunk(vec![7; 300].into(), fill.split(Kind::Bodies, 428).unwrap());
    let slice = body.slice(10..20);
    drop((body, fill));
    assert_eq!(memory.usage(), Usage { ceiling: 1_000, bodies: 428, heads: 0, index: 0, fills: 0, disk_index: 0 });
    drop(slice);
    assert_eq!((memory.usage().total(), memory.total()), (0, 0));
}

#[test]
fn a_chunk_weighs_what_the_allocator_makes_of_it() {
    for (octets, taken) in [(0, 0), (1, 16), (1_000, 1_024), (4_096, 4_096), (5_000, 5_120), (40_000, 40_960)] {
        assert_eq!(chunk_weight(octets), taken + 128, "{octets}");
    }
    for octets in 1..=64 * KIB {
        let (least, most) = (octets, octets + (octets / 4).max(15));
        assert!((least..=most).contains(&(chunk_weight(octets) - 128)), "{octets}");
    }
}

/// What a connection read, and whether anybody still holds some of it.
struct ReadBuffer {
    octets: Box<[u8]>,
    _held: Arc<()>,
}

impl AsRef<[u8]> for ReadBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.octets
    }
}

#[test]
fn a_stored_head_keeps_nothing_of_what_its_connection_read() {
    let held = Arc::new(());
    let written: &[u8] = b"\"tag\"Thu, 01 Jan 1970 00:00:01 GMTtextsecret";
    let read = Bytes::from_owner(ReadBuffer { octets: written.into(), _held: held.clone() });
    let value = |range| HeaderValue::from_maybe_shared(read.slice(range)).unwrap();
    let mut fields = HeaderMap::new();
    fields.append(http::header::ETAG, value(0..5));
    fields.append(http::header::LAST_MODIFIED, value(5..34));
    fields.append(http::header::WARNING, value(34..38));
    fields.append(http::header::WARNING, value(34..34));
    let mut secret = value(38..44);
    secret.set_sensitive(true);
    fields.append(http::header::SET_COOKIE, secret);
    let cache = cache();
    let (mut writer, reader) = lead(look(&cache, "/a"));
    let received = head_with(fields.clone(), &HeaderMap::new());
    writer.head(received.clone(), Some(0), STORED).unwrap();
    writer.complete();
    let object = hit(look(&cache, "/a"));
    assert_eq!(object.head.headers, fields);
    assert!(object.head.headers[http::header::SET_COOKIE].is_sensitive());
    assert_eq!(object.head.validators, received.validators);
    let confirmed = object.with_head(received);
    assert_eq!(confirmed.head.headers, fields);
    drop((fields, read, reader));
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn a_charge_that_is_absorbed_changes_its_kind_alone() {
    let memory = Memory::new(100);
    let mut fill = memory.try_charge(Kind::Fills, 10).unwrap();
    fill.absorb(memory.try_charge(Kind::Heads, 30).unwrap());
    assert_eq!(memory.usage(), Usage { ceiling: 100, bodies: 0, heads: 0, index: 0, fills: 40, disk_index: 0 });
    assert_eq!(memory.total(), 40);
    assert!(fill.split(Kind::Bodies, 41).is_none());
    assert_eq!(fill.bytes(), 40);
}

/// Stores an object that is near a live edge until then.
fn store_near(cache: &Cache, name: &str, length: u64, until: Duration) {
    let (mut writer, _reader) = lead(look(cache, name));
    writer.keep_near(Tick::at(until));
    writer.head(head(), Some(length), STORED).unwrap();
    writer.push(octets(length)).unwrap();
    writer.complete();
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_scan_of_three_times_the_memory_drives_out_nothing_near_a_live_edge() {
    let cache = cache();
    // Forty channels' last segments, half of the memory, among a scan through a long window.
    for number in 0..40 {
        store_near(&cache, &format!("/live/{number}"), 800 * KIB, MINUTE);
    }
    for number in 0..3 * 64 {
        store(&cache, &format!("/dvr/{number}"), MIB);
        let usage = cache.usage();
        assert!(usage.total() <= usage.ceiling, "{usage:?}");
        cache.run_pending();
    }
    for number in 0..40 {
        let object = hit(look(&cache, &format!("/live/{number}")));
        assert_eq!(body(&object), octets(800 * KIB));
    }
    emptied(&cache);
}

#[test]
fn where_what_is_near_is_all_there_is_the_earliest_goes_first() {
    let cache = cache();
    for number in 0..100 {
        store_near(&cache, &format!("/{number}"), MIB, MINUTE + Duration::from_secs(number));
        let usage = cache.usage();
        assert!(usage.total() <= usage.ceiling, "{usage:?}");
    }
    (50..100).for_each(|number| _ = hit(look(&cache, &format!("/{number}"))));
    lead(look(&cache, "/0"));
    emptied(&cache);
}

#[test]
fn what_is_no_longer_near_goes_as_everything_else_does() {
    let (cache, clock) = cache_of(config());
    store_near(&cache, "/live", MIB, MINUTE);
    cache.run_pending();
    assert_eq!(cache.objects(), 1);
    clock.advance(MINUTE);
    cache.run_pending();
    hit(look(&cache, "/live"));
    (0..200).for_each(|number| store(&cache, &format!("/dvr/{number}"), MIB));
    lead(look(&cache, "/live"));
    emptied(&cache);
}

#[test]
fn what_is_near_is_purged_and_replaced_as_everything_else() {
    let cache = cache();
    store_near(&cache, "/a", KIB, MINUTE);
    store_near(&cache, "/b", KIB, MINUTE);
    cache.remove(&key("/a"));
    lead(look(&cache, "/a"));
    {
        let stale = cache.lookup(&key("/b"), &HeaderMap::new(), |_| STALE);
        let Lookup::Stale { flight: Flight::Lead(leading), .. } = stale else { panic!("it is stale") };
        let (mut writer, _reader) = leading.start();
        writer.head(head(), Some(2 * KIB), STORED).unwrap();
        writer.push(octets(2 * KIB)).unwrap();
        writer.complete();
    }
    assert_eq!(hit(look(&cache, "/b")).length(), 2 * KIB);
    cache.run_pending();
    assert_eq!(cache.objects(), 1);
    emptied(&cache);
}

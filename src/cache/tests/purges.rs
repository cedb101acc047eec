//! Stories of purges: what is covered is gone, or stale, once a purge has returned, whatever was under way.

use std::sync::atomic::AtomicU64;
use std::thread;

use crate::rules::caching::purge::{CACHE_TAG, Host, SURROGATE_KEY, Space, Tag};
use crate::rules::uri::PathPattern;

use super::*;

const HARD: Act = Act::Purge(Mode::Hard);
const SOFT: Act = Act::Purge(Mode::Soft);

fn tagged(tags: &'static str) -> ResponseHead {
    head_with(HeaderMap::from_iter([(CACHE_TAG, HeaderValue::from_static(tags))]), &HeaderMap::new())
}

fn put(cache: &Cache, key: &Key, head: ResponseHead, body: u64) {
    let Lookup::Lead(lead) = cache.lookup(key, &HeaderMap::new(), |_| FRESH) else { panic!("it is there already") };
    let (mut writer, _reader) = lead.start();
    writer.head(head, Some(body), STORED).unwrap();
    writer.push(octets(body)).unwrap();
    writer.complete();
}

fn found(cache: &Cache, key: &Key) -> bool {
    matches!(cache.lookup(key, &HeaderMap::new(), |_| FRESH), Lookup::Hit(..))
}

fn space() -> Space {
    let paths = "/live/{stream}/";
    Space::new(("primary http://origin".to_owned(), Host::Origin), ("", ""), &PathPattern::parse(paths).unwrap(), paths)
}

fn tag(text: &str) -> Selector {
    Selector::Tag(Tag::of(text.as_bytes()).unwrap())
}

#[test]
fn a_named_object_goes_in_every_generation_and_nothing_else_does() {
    let cache = cache();
    let keys: Vec<_> = (0..5).map(|generation| key("/a").in_generation(generation)).collect();
    keys.iter().for_each(|key| put(&cache, key, head(), 10));
    put(&cache, &key("/b"), head(), 10);
    let meant = Selector::Objects(vec![key("/a"), key("/c")]);
    assert_eq!(cache.purge(&meant, Act::Count).memory.objects, 5);
    assert_eq!(cache.purge(&meant, HARD).memory.objects, 5);
    assert!(keys.iter().all(|key| !found(&cache, key)) && found(&cache, &key("/b")));
    // So many that they are not looked up one by one.
    let far = key("/a").in_generation(100_000);
    put(&cache, &far, head(), 10);
    cache.remove(&key("/a"));
    assert!(!found(&cache, &far) && found(&cache, &key("/b")));
    assert_eq!(cache.purges(), Tally { hard: 1, objects: 5, ..Tally::default() });
}

#[test]
fn whatever_is_selected_goes_is_counted_and_gives_its_memory_back() {
    for (selector, objects) in [
        (Selector::Stream("one".to_owned(), vec![space()]), 6),
        (Selector::Prefix("/live/one/v".to_owned(), vec![space()]), 4),
        (tag("news"), 3),
        (Selector::All, 9),
        (tag("nobody"), 0),
    ] {
        let cache = cache();
        for name in ["/live/one/v1", "/live/one/v2", "/live/one/m", "/live/two/v1", "/x"] {
            put(&cache, &key(name), head(), 1_000);
        }
        for name in ["/live/one/v1", "/live/one/v2", "/live/one/n"] {
            put(&cache, &key(name).in_generation(2), tagged("news, sport"), 1_000);
        }
        // One of them is near a live edge.
        let (mut writer, reader) = lead(look(&cache, "/near"));
        drop(reader);
        writer.keep_near(Tick::at(Duration::from_secs(100)));
        writer.head(head(), Some(1_000), STORED).unwrap();
        writer.push(octets(1_000)).unwrap();
        writer.complete();
        let before = cache.usage().total();
        let counted = cache.purge(&selector, Act::Count);
        assert_eq!((counted.memory.objects, cache.usage().total()), (objects, before), "{selector}");
        let purged = cache.purge(&selector, HARD);
        assert_eq!(purged, counted, "{selector}");
        assert!(before - cache.usage().total() >= purged.memory.bytes, "{selector}: the bytes are back");
        assert!(purged.memory.bytes >= objects * 1_000);
        assert_eq!(cache.purge(&selector, HARD).memory, Removed::default(), "{selector}: nothing is left");
    }
}

#[test]
fn of_several_variants_only_those_with_the_tag_go() {
    let cache = cache();
    for (encoding, tags) in [("gzip", "one"), ("br", "two"), ("identity", "one")] {
        let mut head = varying(encoding);
        head.headers.insert(SURROGATE_KEY, HeaderValue::from_static(tags));
        let lookup = cache.lookup(&key("/a"), &accepting(encoding), |_| FRESH);
        let (mut writer, _reader) = lead(lookup);
        writer.head(head, None, STORED).unwrap();
        writer.complete();
    }
    assert_eq!(cache.purge(&tag("one"), HARD).memory.objects, 2);
    for (encoding, there) in [("gzip", false), ("br", true), ("identity", false)] {
        assert_eq!(cache.peek(&key("/a"), &accepting(encoding)).is_some(), there, "{encoding}");
    }
    cache.remove(&key("/a"));
    assert_eq!(cache.peek(&key("/a"), &accepting("br")).map(|_| ()), None);
}

#[test]
fn what_is_purged_softly_is_stale_at_once_and_its_windows_begin() {
    let (cache, clock) = cache_of(config());
    let fields = [("cache-control", "max-age=1000, stale-while-revalidate=5, stale-if-error=9"), ("etag", "\"1\"")];
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let times = Times { requested: clock.now(), responded: clock.now(), responded_wall: WallTime::default() };
    let received = Received { status: StatusCode::OK, headers: &headers, times };
    let lifetime = Lifetime::of(&received, &Control::of(&headers, &[]), &Policy::PLAIN);
    put(&cache, &key("/a"), ResponseHead { lifetime, ..head_with(headers, &HeaderMap::new()) }, 10);
    put(&cache, &key("/b"), head(), 10);
    clock.advance(Duration::from_secs(20));
    let judged = || {
        let now = clock.now();
        cache.lookup(&key("/a"), &HeaderMap::new(), |stored| stored.lifetime.freshness(now))
    };
    hit(judged());
    let purged = cache.purge(&Selector::Objects(vec![key("/a")]), SOFT);
    assert_eq!(purged.memory.objects, 1);
    assert_eq!(cache.purge(&Selector::All, SOFT).memory.objects, 1, "the other one");
    clock.advance(Duration::from_secs(2));
    let Lookup::Stale { object, while_asking, usable_for, flight: Flight::Lead(lead), .. } = judged() else {
        panic!("it should be stale")
    };
    assert_eq!((while_asking, usable_for), (Duration::from_secs(3), Duration::from_secs(7)));
    assert_eq!(body(&object), octets(10));
    // Confirmed by its origin, it is what it was.
    let (writer, _reader) = lead.start();
    writer.refreshed(object.with_head(ResponseHead { lifetime, ..ResponseHead::clone(&object.head) }));
    hit(judged());
}

#[test]
fn fills_are_purged_and_their_readers_get_their_octets() {
    for (selector, fills) in [(tag("one"), 2), (Selector::All, 3), (Selector::Objects(vec![key("/told")]), 1)] {
        let cache = cache();
        let (mut told, mut reader) = lead(look(&cache, "/told"));
        told.head(tagged("one"), Some(3), STORED).unwrap();
        let (mut other, _) = lead(look(&cache, "/other"));
        other.head(tagged("two"), Some(3), STORED).unwrap();
        let (awaited, _waits) = lead(look(&cache, "/awaited"));
        assert_eq!(cache.purge(&selector, Act::Count).fills, fills, "{selector}");
        assert_eq!(cache.purge(&selector, HARD).fills, fills, "{selector}");
        let (_new, _) = lead(look(&cache, "/told"));
        told.push(Bytes::from_static(b"old")).unwrap();
        told.complete();
        assert_eq!(drink(&mut reader).0, b"old", "{selector}");
        assert!(!found(&cache, &key("/told")), "{selector}");
        drop((awaited, other));
    }
}

#[test]
fn a_fill_that_nobody_could_join_is_not_stored_after_a_purge_either() {
    let cache = cache();
    let (mut private, _reader) = lead(look(&cache, "/a"));
    private.head(head(), None, Sharing::Private).unwrap();
    drop(private);
    // The key is apart now: each asks for itself.
    let (mut one, _reader) = lead(look(&cache, "/a"));
    let (two, _other) = lead(look(&cache, "/a"));
    assert_eq!(cache.purge(&Selector::Objects(vec![key("/a")]), HARD).fills, 2);
    one.head(head(), Some(3), STORED).unwrap();
    one.push(Bytes::from_static(b"old")).unwrap();
    one.complete();
    drop(two);
    assert!(cache.peek(&key("/a"), &HeaderMap::new()).is_none());
}

#[test]
fn a_fill_that_nobody_can_join_any_more_is_not_stored_after_a_purge_either() {
    for selector in [Selector::All, tag("one"), Selector::Objects(vec![key("/a")])] {
        let cache = cache();
        let (mut writer, mut reader) = lead(look(&cache, "/a"));
        // Who comes later asks anew; what arrives is stored to be validated.
        writer.head(tagged("one"), Some(3), Sharing::Waiting { store: true }).unwrap();
        let (later, _) = lead(look(&cache, "/a"));
        assert_eq!(cache.purge(&selector, HARD).fills, 2, "{selector}");
        assert!(!writer.will_be_stored() && !reader.will_be_stored(), "{selector}");
        writer.push(Bytes::from_static(b"old")).unwrap();
        writer.complete();
        assert_eq!(drink(&mut reader).0, b"old", "{selector}");
        assert!(cache.peek(&key("/a"), &HeaderMap::new()).is_none(), "{selector}");
        drop(later);
    }
}

#[test]
fn while_a_purge_is_in_force_what_it_covers_is_neither_shown_nor_confirmed() {
    for (mode, is_shown) in [(Mode::Hard, false), (Mode::Soft, true)] {
        let (cache, clock) = cache_of(config());
        put(&cache, &key("/a"), head(), 10);
        put(&cache, &key("/b"), head(), 10);
        let stored = cache.peek(&key("/a"), &HeaderMap::new()).unwrap();
        // Its sweep has not begun.
        let turn = cache.parts.purges.enter(Selector::Objects(vec![key("/a")]), mode, &clock);
        clock.advance(Duration::from_secs(1));
        let confirmed = stored.with_head(ResponseHead { lifetime: lifetime_from(clock.now()), ..head() });
        cache.replace(&key("/a"), &stored, &confirmed);
        assert_eq!(cache.peek(&key("/a"), &HeaderMap::new()).is_some(), is_shown);
        assert_eq!(cache.variants(&key("/a")).len(), usize::from(is_shown));
        assert_eq!(cache.variants(&key("/b")).len(), 1);
        drop(turn);
        assert!(cache.peek(&key("/a"), &HeaderMap::new()).is_some_and(|object| Arc::ptr_eq(&object, &stored)));
    }
}

#[test]
fn a_sweep_begins_once_what_was_let_in_before_is_stored() {
    let cache = cache();
    let (mut writer, _reader) = lead(look(&cache, "/a"));
    writer.head(head(), None, STORED).unwrap();
    let is_over = AtomicU64::new(0);
    thread::scope(|scope| {
        // As somebody who stores something, and has seen that it was not withdrawn.
        cache.parts.store.between_insertions(|| {
            scope.spawn(|| {
                cache.purge(&Selector::All, HARD);
                is_over.store(1, Ordering::SeqCst);
            });
            while writer.will_be_stored() {
                thread::yield_now();
            }
            for _ in 0..1_000 {
                assert_eq!(is_over.load(Ordering::SeqCst), 0, "there was something yet to come");
                thread::yield_now();
            }
        });
    });
}

/// Ends what looks at it when it is dropped.
struct Over<'a>(&'a AtomicU64);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(1, Ordering::SeqCst);
    }
}

/// Workers fetch, validate and read without a pause while somebody purges: each body says how many purges had been
/// ordered when it was asked for, and after a purge nothing from before it is found.
fn purge_while_workers_run(names: u64, rounds: u64, selector: impl Fn(u64) -> Selector) {
    let clock = Clock::system();
    let cache = Cache::new(config(), Bells::new(2), clock.clone());
    let (ordered, over) = (AtomicU64::new(0), AtomicU64::new(0));
    let name = |number: u64| key(&format!("/live/one/{}", number % names)).in_generation((number % 3) as u32);
    let tagged_now = || ResponseHead { lifetime: lifetime_from(clock.now()), ..tagged("news") };
    let judged = |number: u64| if number.is_multiple_of(5) { STALE } else { FRESH };
    let step = |number: u64| match cache.lookup(&name(number), &HeaderMap::new(), |_| judged(number)) {
        Lookup::Lead(lead) => {
            let asked = ordered.load(Ordering::SeqCst);
            let (mut writer, _reader) = lead.start();
            writer.head(tagged_now(), Some(8), STORED).unwrap();
            if number.is_multiple_of(4) {
                writer.keep_near(clock.now() + Duration::from_secs(1_000));
            }
            writer.push(Bytes::copy_from_slice(&asked.to_be_bytes())).unwrap();
            writer.complete();
        }
        // The origin says that it still holds.
        Lookup::Stale { object, flight: Flight::Lead(lead), .. } => {
            lead.start().0.refreshed(object.with_head(tagged_now()));
        }
        Lookup::Hit(object, _) if number.is_multiple_of(3) => {
            cache.replace(&name(number), &object, &object.with_head(tagged_now()));
        }
        _ => {}
    };
    let work = |worker: u64| {
        let mut number = worker;
        while over.load(Ordering::SeqCst) == 0 {
            number += 1;
            step(number);
        }
    };
    let seen = AtomicU64::new(0);
    thread::scope(|scope| {
        // The workers end, too, where this thread fails.
        let _end = Over(&over);
        (0..4).for_each(|worker| _ = scope.spawn(move || work(worker * 10)));
        // On a busy machine the workers may not have had a turn by then.
        let is_enough = || seen.load(Ordering::Relaxed) > 0 || clock.now().since_start() > Duration::from_secs(60);
        for round in (0..).take_while(|round| *round < rounds || !is_enough()) {
            let order = ordered.fetch_add(1, Ordering::SeqCst) + 1;
            cache.purge(&selector(round), HARD);
            for number in 0..3 * names {
                let Some(object) = cache.peek(&name(number), &HeaderMap::new()) else { continue };
                let asked = u64::from_be_bytes(body(&object).try_into().unwrap());
                seen.fetch_add(1, Ordering::Relaxed);
                assert!(asked >= order, "asked for before purge {order}, found after it");
            }
        }
    });
    assert!(seen.load(Ordering::Relaxed) > 0, "the workers did nothing");
    cache.purge(&Selector::All, HARD);
    cache.run_pending();
    assert_eq!(cache.usage().bodies, 0);
}

#[test]
fn nothing_from_before_a_purge_is_seen_after_it_however_workers_run() {
    const NAMES: u64 = 40;
    purge_while_workers_run(NAMES, 200, |round| match round % 4 {
        0 => Selector::Stream("one".to_owned(), vec![space()]),
        1 => tag("news"),
        2 => Selector::All,
        _ => Selector::Objects((0..NAMES).map(|number| key(&format!("/live/one/{number}"))).collect()),
    });
}

/// Where there is hardly anything, who purges and who asks meet at the same name each time.
#[test]
fn nothing_from_before_a_purge_is_seen_after_it_however_little_there_is() {
    purge_while_workers_run(1, 3_000, |round| match round % 4 {
        0 => Selector::Objects(vec![key("/live/one/0")]),
        _ => Selector::All,
    });
}

//! Stories of fills and what becomes of them. Polls are made by hand; a waker that counts stands for a waiting task.

mod bounds;
mod interleavings;
mod purges;
mod sharing;
mod workers;

use std::future::poll_fn;
use std::sync::LazyLock;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE, VARY};
use http::{HeaderValue, StatusCode};

use super::*;
use crate::clock::{Tick, WallTime};
use crate::rules::caching::freshness::{Lifetime, Policy, Received, Times};
use crate::rules::caching::validator::Validators;
use crate::rules::caching::{Control, Variant};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

#[derive(Default)]
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Task {
    fn new() -> (Arc<Self>, Waker) {
        let task = Arc::new(Self::default());
        (task.clone(), task.into())
    }

    fn woken(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

pub(super) fn config() -> CacheConfig {
    CacheConfig {
        memory: 64 * MIB,
        max_object: 8 * MIB,
        fills_per_group: 4,
        fill_readers: 8,
        live_reserve: Duration::from_secs(60),
        apart: Duration::from_secs(10),
    }
}

pub(super) fn cache_of(config: CacheConfig) -> (Cache, Clock) {
    let clock = Clock::manual(WallTime::default());
    (Cache::new(config, Bells::new(2), clock.clone()), clock)
}

fn cache() -> Cache {
    cache_of(config()).0
}

pub(super) fn key(name: &str) -> Key {
    Key::new("primary", "http", "origin", name)
}

pub(super) fn head() -> ResponseHead {
    head_with(HeaderMap::new(), &HeaderMap::new())
}

fn head_with(headers: HeaderMap, request: &HeaderMap) -> ResponseHead {
    ResponseHead {
        status: StatusCode::OK,
        variant: Variant::of(&headers, request).unwrap(),
        lifetime: lifetime_from(Tick::default()),
        validators: Validators::of(&headers, WallTime::default()),
        headers,
    }
}

fn lifetime_from(tick: Tick) -> Lifetime {
    let times = Times { requested: tick, responded: tick, responded_wall: WallTime::default() };
    let received = Received { status: StatusCode::OK, headers: &HeaderMap::new(), times };
    Lifetime::of(&received, &Control::default(), &Policy::MEDIA)
}

fn accepting(encoding: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(encoding))])
}

fn varying(encoding: &'static str) -> ResponseHead {
    let headers = HeaderMap::from_iter([(VARY, HeaderValue::from_static("accept-encoding"))]);
    head_with(headers, &accepting(encoding))
}

const FRESH: Freshness = Freshness::Fresh { left: Duration::from_secs(5) };
const STALE: Freshness =
    Freshness::Stale { age: Duration::from_secs(1), while_asking: Duration::ZERO, usable_for: Duration::from_secs(9) };
const STORED: Sharing = Sharing::Shared { store: true };

pub(super) fn look(cache: &Cache, name: &str) -> Lookup {
    cache.lookup(&key(name), &HeaderMap::new(), |_| FRESH)
}

pub(super) fn lead(lookup: Lookup) -> (FillWriter, FillReader) {
    let Lookup::Lead(lead) = lookup else { panic!("expected the lead, got {}", said(&lookup)) };
    lead.start()
}

fn join(lookup: Lookup) -> FillReader {
    let Lookup::Join(reader) = lookup else { panic!("expected to join, got {}", said(&lookup)) };
    reader
}

pub(super) fn hit(lookup: Lookup) -> Arc<Object> {
    let Lookup::Hit(object, _) = lookup else { panic!("expected a hit, got {}", said(&lookup)) };
    object
}

fn said(lookup: &Lookup) -> &'static str {
    match lookup {
        Lookup::Hit(..) => "a hit",
        Lookup::Stale { .. } => "stale",
        Lookup::Join(_) => "a flight",
        Lookup::Lead(_) => "the lead",
        Lookup::Apart => "apart",
        Lookup::Refused(_) => "a refusal",
    }
}

pub(super) fn octets(count: u64) -> Bytes {
    static PATTERN: LazyLock<Bytes> = LazyLock::new(|| (0..8 * MIB).map(|at| (at % 251) as u8).collect());
    PATTERN.slice(..usize::try_from(count).unwrap())
}

fn now<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    poll(&mut Context::from_waker(Waker::noop()))
}

/// All that can be read without waiting.
pub(super) fn drink(reader: &mut FillReader) -> (Vec<u8>, Poll<Result<(), FillEnd>>) {
    let mut body = Vec::new();
    loop {
        match now(|cx| reader.poll_chunk(cx)) {
            Poll::Ready(Some(Ok(octets))) => body.extend_from_slice(&octets),
            Poll::Ready(Some(Err(end))) => return (body, Poll::Ready(Err(end))),
            Poll::Ready(None) => return (body, Poll::Ready(Ok(()))),
            Poll::Pending => return (body, Poll::Pending),
        }
    }
}

fn body(object: &Arc<Object>) -> Vec<u8> {
    object.reader(0..u64::MAX).collect::<Vec<_>>().concat()
}

pub(super) fn store(cache: &Cache, name: &str, length: u64) {
    let (mut writer, _reader) = lead(look(cache, name));
    writer.head(head(), Some(length), STORED).unwrap();
    writer.push(octets(length)).unwrap();
    writer.complete();
}

#[test]
fn who_waits_for_a_whole_body_is_not_woken_for_its_pieces() {
    let cache = cache();
    let (mut writer, mut reader) = lead(look(&cache, "/part"));
    let (task, waker) = Task::new();
    let mut cx = Context::from_waker(&waker);
    assert!(reader.poll_whole(&mut cx).is_pending());
    writer.head(head(), None, STORED).unwrap();
    for _ in 0..3 {
        writer.push(octets(10)).unwrap();
        assert_eq!(task.woken(), 0);
        assert!(reader.poll_whole(&mut cx).is_pending());
    }
    // Another may wait for less.
    let mut eager = join(look(&cache, "/part"));
    assert!(now(|cx| eager.poll_reached(30, cx)).is_ready());
    assert!(eager.poll_reached(31, &mut cx).is_pending());
    writer.push(octets(10)).unwrap();
    assert_eq!(task.woken(), 1);
    writer.complete();
    assert_eq!(task.woken(), 1);
    assert!(
        matches!(reader.poll_whole(&mut cx), Poll::Ready(Ok(FillAnswer::Complete(object))) if object.length() == 40)
    );
}

#[test]
fn who_waits_for_a_whole_body_that_passes_through_does_not_hold_it_up() {
    let cache = cache();
    let (mut writer, mut reader) = lead(look(&cache, "/huge"));
    let (task, waker) = Task::new();
    assert!(reader.poll_whole(&mut Context::from_waker(&waker)).is_pending());
    writer.head(head(), Some(100 * MIB), STORED).unwrap();
    assert_eq!(task.woken(), 1);
    assert!(matches!(now(|cx| reader.poll_whole(cx)), Poll::Ready(Ok(FillAnswer::Arriving(..)))));
    drop(reader);
    assert!(writer.give_up().is_ok());
}

#[test]
fn one_caller_leads_and_the_others_get_what_is_there_then_the_rest() {
    let cache = cache();
    let (mut writer, mut first) = lead(look(&cache, "/a"));
    let mut second = join(look(&cache, "/a"));
    writer.head(head(), Some(6), STORED).unwrap();
    writer.push(Bytes::from_static(b"abc")).unwrap();
    let mut third = join(look(&cache, "/a"));
    assert!(matches!(now(|cx| third.poll_head(cx)), Poll::Ready(Ok(FillAnswer::Arriving(_, Some(6))))));
    assert_eq!(drink(&mut second).0, b"abc");
    assert_eq!(drink(&mut third).0, b"abc");
    writer.push(Bytes::from_static(b"def")).unwrap();
    assert_eq!(drink(&mut second).0, b"def");
    writer.complete();
    assert!(matches!(drink(&mut second), (rest, Poll::Ready(Ok(()))) if rest.is_empty()));
    assert!(matches!(drink(&mut third), (rest, Poll::Ready(Ok(()))) if rest == b"def"));
    assert!(matches!(drink(&mut first), (all, Poll::Ready(Ok(()))) if all == b"abcdef"));
    assert_eq!(body(&hit(look(&cache, "/a"))), b"abcdef");
}

#[test]
fn readers_are_woken_for_head_and_first_octets_together_and_once_for_each_push() {
    let cache = cache();
    let (mut writer, mut reader) = lead(look(&cache, "/a"));
    let (task, waker) = Task::new();
    let mut cx = Context::from_waker(&waker);
    assert!(reader.poll_head(&mut cx).is_pending());
    assert!(reader.poll_head(&mut cx).is_pending());
    writer.head(head(), None, STORED).unwrap();
    assert_eq!(task.woken(), 0);
    writer.push(Bytes::from_static(b"abc")).unwrap();
    assert_eq!(task.woken(), 1);
    assert!(reader.poll_head(&mut cx).is_ready());
    assert!(reader.poll_chunk(&mut cx).is_ready());
    assert!(reader.poll_chunk(&mut cx).is_pending());
    drop(writer);
    assert_eq!(task.woken(), 1);
    assert!(matches!(reader.poll_chunk(&mut cx), Poll::Ready(Some(Err(FillEnd::Abandoned)))));
}

#[test]
fn a_head_whose_body_is_late_goes_out_alone() {
    let cache = cache();
    let (mut writer, mut reader) = lead(look(&cache, "/a"));
    let (task, waker) = Task::new();
    assert!(reader.poll_head(&mut Context::from_waker(&waker)).is_pending());
    writer.head(head(), None, STORED).unwrap();
    assert!(now(|cx| writer.poll_unwanted(cx)).is_pending());
    assert_eq!(task.woken(), 1);
}

#[test]
fn a_body_of_another_length_than_announced_fails_for_every_reader_and_is_not_stored() {
    for sent in [&b"abc"[..], b"abcde"] {
        let cache = cache();
        let (mut writer, mut first) = lead(look(&cache, "/a"));
        let mut second = join(look(&cache, "/a"));
        writer.head(head(), Some(4), STORED).unwrap();
        let pushed = writer.push(Bytes::from_static(sent));
        assert_eq!(pushed.is_err(), sent.len() > 4);
        writer.complete();
        for reader in [&mut first, &mut second] {
            let end = drink(reader).1;
            assert!(matches!(end, Poll::Ready(Err(FillEnd::CutShort { got: 3, .. } | FillEnd::TooLong { .. }))));
        }
        lead(look(&cache, "/a"));
    }
}

#[test]
fn a_failure_reaches_every_reader_with_its_reason_and_the_next_caller_leads() {
    let cache = cache();
    let (writer, mut first) = lead(look(&cache, "/a"));
    let mut second = join(look(&cache, "/a"));
    writer.fail(FillFailure::new(std::io::Error::other("no route to host")));
    for reader in [&mut first, &mut second] {
        let Poll::Ready(Err(FillEnd::Failed(why))) = now(|cx| reader.poll_head(cx)) else { panic!("not failed") };
        assert_eq!(why.downcast_ref::<std::io::Error>().unwrap().to_string(), "no route to host");
    }
    lead(look(&cache, "/a"));
}

#[test]
fn a_lead_that_is_dropped_unstarted_wakes_those_who_joined() {
    let cache = cache();
    let leader = look(&cache, "/a");
    let mut joiner = join(look(&cache, "/a"));
    let (task, waker) = Task::new();
    assert!(joiner.poll_head(&mut Context::from_waker(&waker)).is_pending());
    drop(leader);
    assert_eq!(task.woken(), 1);
    assert!(matches!(now(|cx| joiner.poll_head(cx)), Poll::Ready(Err(FillEnd::Abandoned))));
    lead(look(&cache, "/a"));
}

#[test]
fn a_leader_who_leaves_does_not_strand_those_who_joined() {
    let cache = cache();
    let (mut writer, leader) = lead(look(&cache, "/a"));
    let mut joiner = join(look(&cache, "/a"));
    drop(leader);
    assert!(now(|cx| writer.poll_unwanted(cx)).is_pending());
    writer.head(head(), None, STORED).unwrap();
    writer.push(Bytes::from_static(b"abc")).unwrap();
    writer.complete();
    assert!(matches!(drink(&mut joiner), (all, Poll::Ready(Ok(()))) if all == b"abc"));
}

#[test]
fn the_writer_learns_that_nobody_reads_and_gives_up_only_if_it_stays_so() {
    let cache = cache();
    let (mut writer, reader) = lead(look(&cache, "/a"));
    let (task, waker) = Task::new();
    assert!(writer.poll_unwanted(&mut Context::from_waker(&waker)).is_pending());
    drop(reader);
    assert_eq!(task.woken(), 1);
    assert!(now(|cx| writer.poll_unwanted(cx)).is_ready());
    let joiner = join(look(&cache, "/a"));
    let Err(writer) = writer.give_up() else { panic!("gave up in spite of a reader") };
    drop(joiner);
    assert!(writer.give_up().is_ok());
    lead(look(&cache, "/a"));
}

#[test]
fn a_private_response_turns_all_joiners_away_at_once_and_is_read_by_its_leader() {
    let (cache, clock) = cache_of(config());
    let (mut writer, mut leader) = lead(look(&cache, "/a"));
    let (task, waker) = Task::new();
    let mut joiners = [join(look(&cache, "/a")), join(look(&cache, "/a"))];
    for joiner in &mut joiners {
        assert!(joiner.poll_head(&mut Context::from_waker(&waker)).is_pending());
    }
    writer.head(head(), None, Sharing::Private).unwrap();
    assert_eq!(task.woken(), 2);
    for joiner in &mut joiners {
        assert!(matches!(now(|cx| joiner.poll_head(cx)), Poll::Ready(Err(FillEnd::NotShared))));
    }
    // For a while nobody waits for another's fill of this key; afterwards they do again.
    let (one, other) = (lead(look(&cache, "/a")), lead(look(&cache, "/a")));
    writer.push(Bytes::from_static(b"mine")).unwrap();
    writer.complete();
    assert!(matches!(drink(&mut leader), (all, Poll::Ready(Ok(()))) if all == b"mine"));
    drop((one, other));
    clock.advance(Duration::from_secs(10));
    let _leader = lead(look(&cache, "/a"));
    join(look(&cache, "/a"));
}

#[test]
fn what_is_shared_but_not_stored_is_gone_after_its_readers() {
    let cache = cache();
    let (mut writer, _leader) = lead(look(&cache, "/a"));
    let mut joiner = join(look(&cache, "/a"));
    writer.head(head(), None, Sharing::Shared { store: false }).unwrap();
    assert!(!joiner.will_be_stored());
    writer.push(Bytes::from_static(b"404")).unwrap();
    writer.complete();
    assert_eq!(drink(&mut joiner).0, b"404");
    lead(look(&cache, "/a"));
}

#[test]
fn variants_of_one_key_are_stored_joined_and_validated_apart() {
    let cache = cache();
    let ask = |encoding, freshness| cache.lookup(&key("/a"), &accepting(encoding), |_| freshness);
    let (mut gzip, _gzip) = lead(ask("gzip", FRESH));
    gzip.head(varying("gzip"), None, STORED).unwrap();
    join(ask("gzip", FRESH));
    let (mut br, _br) = lead(ask("br", FRESH));
    br.head(varying("br"), None, STORED).unwrap();
    gzip.push(Bytes::from_static(b"gzip")).unwrap();
    br.push(Bytes::from_static(b"br")).unwrap();
    gzip.complete();
    br.complete();
    assert_eq!(body(&hit(ask("gzip", FRESH))), b"gzip");
    assert_eq!(body(&hit(ask("br", FRESH))), b"br");
    let Lookup::Stale { flight: Flight::Lead(_one), .. } = ask("gzip", STALE) else { panic!("no lead") };
    let Lookup::Stale { flight: Flight::Lead(_other), .. } = ask("br", STALE) else { panic!("no lead") };
    let Lookup::Stale { flight: Flight::Join(_), .. } = ask("br", STALE) else { panic!("not joined") };
}

#[test]
fn at_most_32_variants_of_a_key_are_kept() {
    let cache = cache();
    for number in 0..40_u8 {
        let request = HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from(u16::from(number)))]);
        let headers = HeaderMap::from_iter([(VARY, HeaderValue::from_static("accept-language"))]);
        let (mut writer, _) = lead(cache.lookup(&key("/a"), &request, |_| FRESH));
        writer.head(head_with(headers, &request), None, STORED).unwrap();
        writer.complete();
    }
    let held = |number: &u16| {
        let request = HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from(*number))]);
        matches!(cache.lookup(&key("/a"), &request, |_| FRESH), Lookup::Hit(..))
    };
    assert_eq!((0..40_u16).filter(held).collect::<Vec<_>>(), (8..40).collect::<Vec<_>>());
}

#[test]
fn a_stale_object_is_validated_once_and_its_new_head_reaches_everyone() {
    let cache = cache();
    store(&cache, "/a", 100 * KIB);
    let stale = || cache.lookup(&key("/a"), &HeaderMap::new(), |_| STALE);
    let Lookup::Stale { object, usable_for, flight: Flight::Lead(lead), .. } = stale() else { panic!("no lead") };
    assert_eq!(usable_for, Duration::from_secs(9));
    let Lookup::Stale { flight: Flight::Join(mut joiner), .. } = stale() else { panic!("not joined") };
    let (writer, _leader) = lead.start();
    let confirmed = ResponseHead { lifetime: lifetime_from(Tick::at(Duration::from_secs(7))), ..head() };
    writer.refreshed(object.with_head(confirmed));
    let Poll::Ready(Ok(FillAnswer::Complete(object))) = now(|cx| joiner.poll_head(cx)) else { panic!("no object") };
    assert_eq!(object.head.lifetime, lifetime_from(Tick::at(Duration::from_secs(7))));
    assert_eq!(body(&object), octets(100 * KIB));
    assert!(Arc::ptr_eq(&object, &hit(look(&cache, "/a"))));
}

#[test]
fn what_was_asked_for_before_a_purge_is_not_stored_after_it() {
    let cache = cache();
    store(&cache, "/stored", 10);
    let (mut writer, mut leader) = lead(look(&cache, "/a"));
    writer.head(head(), None, STORED).unwrap();
    let purged = cache.purge(&Selector::Objects(vec![key("/a"), key("/stored")]), Act::Purge(Mode::Hard));
    assert_eq!((purged.memory.objects, purged.fills), (1, 1));
    let (_other, _) = lead(look(&cache, "/a"));
    writer.push(Bytes::from_static(b"old")).unwrap();
    writer.complete();
    assert_eq!(drink(&mut leader).0, b"old");
    join(look(&cache, "/a"));
    lead(look(&cache, "/stored"));
}

#[test]
fn limits_of_fills_and_readers_are_kept_and_given_back() {
    let cache = cache();
    let leads: Vec<_> = ["/1", "/2", "/3", "/4"].map(|name| lead(look(&cache, name))).into();
    assert!(matches!(look(&cache, "/5"), Lookup::Refused(Refused::Fills)));
    let readers: Vec<_> = (0..7).map(|_| join(look(&cache, "/1"))).collect();
    assert!(matches!(look(&cache, "/1"), Lookup::Refused(Refused::Readers)));
    drop(readers);
    join(look(&cache, "/1"));
    drop(leads);
    lead(look(&cache, "/5"));
}

#[test]
fn a_range_of_an_arriving_object_starts_in_its_middle() {
    let cache = cache();
    let (mut writer, mut reader) = lead(look(&cache, "/a"));
    let mut clone = reader.clone();
    reader.seek(70_000);
    writer.head(head(), None, STORED).unwrap();
    writer.push(octets(60_000)).unwrap();
    assert!(drink(&mut reader).1.is_pending());
    writer.push(octets(20_000)).unwrap();
    assert_eq!(drink(&mut reader).0, &octets(20_000)[10_000..]);
    writer.complete();
    clone.seek(79_999);
    assert_eq!(drink(&mut clone).0, &octets(20_000)[19_999..]);
}

#[test]
fn ranges_of_a_stored_object_are_exact_over_chunk_borders() {
    let cache = cache();
    store(&cache, "/a", 200 * KIB);
    let (object, all) = (hit(look(&cache, "/a")), octets(200 * KIB));
    for range in [0..1, 65_535..65_537, 65_536..131_072, 204_799..204_800, 204_800..300_000, 7..7, 0..u64::MAX] {
        let reader = object.reader(range.clone());
        let (start, end) = (range.start.min(204_800) as usize, range.end.min(204_800) as usize);
        assert_eq!(reader.remaining(), (end - start) as u64);
        assert_eq!(reader.flatten().collect::<Vec<u8>>(), &all[start..end], "{range:?}");
    }
}

#[test]
fn a_drip_of_small_reads_becomes_few_chunks() {
    let cache = cache();
    let (mut writer, mut reader) = lead(look(&cache, "/a"));
    writer.head(head(), Some(100_000), STORED).unwrap();
    let all = octets(100_000);
    let mut read = Vec::new();
    for piece in all.chunks(100) {
        writer.push(Bytes::copy_from_slice(piece)).unwrap();
        read.extend(drink(&mut reader).0);
    }
    writer.complete();
    assert_eq!(read, all);
    let object = hit(look(&cache, "/a"));
    assert_eq!(body(&object), all);
    assert!(object.reader(0..u64::MAX).count() <= 4);
}

#[test]
fn an_object_of_unknown_length_that_grows_too_large_passes_through_a_window() {
    let cache = cache();
    let (mut writer, mut reader) = lead(look(&cache, "/a"));
    writer.head(head(), None, STORED).unwrap();
    assert!(reader.will_be_stored());
    let piece = octets(64 * KIB);
    let (mut read, mut highest) = (0, 0);
    for _ in 0..8 * 64 {
        while now(|cx| writer.poll_ready(cx)).is_pending() {
            read += drink(&mut reader).0.len();
        }
        writer.push(piece.clone()).unwrap();
        highest = highest.max(cache.usage().total());
    }
    assert!(!reader.will_be_stored());
    assert!(highest < 10 * MIB, "{highest}");
    writer.complete();
    let (rest, end) = drink(&mut reader);
    assert_eq!(read + rest.len(), 32 << 20);
    assert!(matches!(end, Poll::Ready(Ok(()))));
    drop((reader, rest));
    assert_eq!(cache.usage().total(), 0);
    lead(look(&cache, "/a"));
}

#[test]
fn an_object_known_to_be_too_large_holds_no_more_than_its_window() {
    let cache = cache();
    let (mut writer, mut reader) = lead(look(&cache, "/a"));
    writer.head(head(), Some(3 << 30), STORED).unwrap();
    join(look(&cache, "/a"));
    let (task, waker) = Task::new();
    let mut pushed = 0;
    while writer.poll_ready(&mut Context::from_waker(&waker)).is_ready() {
        writer.push(octets(64 * KIB)).unwrap();
        pushed += 64 * KIB;
    }
    assert_eq!(pushed, MIB);
    assert!(cache.usage().total() < 2 * MIB);
    _ = drink(&mut reader);
    assert_eq!(task.woken(), 1);
    assert!(now(|cx| writer.poll_ready(cx)).is_ready());
    lead(look(&cache, "/a"));
}

#[tokio::test]
async fn a_reader_who_holds_up_others_is_cut_and_they_go_on() {
    let (cache, clock) = cache_of(config());
    let (mut writer, mut quick) = lead(look(&cache, "/a"));
    writer.head(head(), Some(32 * MIB), STORED).unwrap();
    let mut stalled = join(look(&cache, "/a"));
    while now(|cx| writer.poll_ready(cx)).is_ready() {
        writer.push(octets(64 * KIB)).unwrap();
        _ = drink(&mut quick);
    }
    clock.advance(Duration::from_secs(9));
    assert!(now(|cx| writer.poll_ready(cx)).is_pending());
    clock.advance(Duration::from_secs(1));
    poll_fn(|cx| writer.poll_ready(cx)).await;
    assert!(matches!(drink(&mut stalled).1, Poll::Ready(Err(FillEnd::TooSlow))));
    writer.push(octets(10)).unwrap();
    assert_eq!(drink(&mut quick).0, octets(10));
}

#[tokio::test]
async fn a_slow_reader_whom_nobody_waits_for_is_not_cut_until_somebody_does() {
    let (cache, clock) = cache_of(config());
    let (mut writer, mut slow) = lead(look(&cache, "/a"));
    writer.head(head(), Some(32 * MIB), STORED).unwrap();
    let mut other = join(look(&cache, "/a"));
    while now(|cx| writer.poll_ready(cx)).is_ready() {
        writer.push(octets(64 * KIB)).unwrap();
    }
    clock.advance(Duration::from_secs(60));
    let (task, waker) = Task::new();
    assert!(writer.poll_ready(&mut Context::from_waker(&waker)).is_pending());
    _ = drink(&mut other);
    assert_eq!(task.woken(), 1);
    assert!(now(|cx| writer.poll_ready(cx)).is_ready());
    assert!(matches!(drink(&mut slow).1, Poll::Ready(Err(FillEnd::TooSlow))));
}

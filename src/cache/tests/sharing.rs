//! Who gets what arrives: everyone, those who waited, or the one who fetched; and that nobody waits for nothing.

use super::*;

const CROWD: usize = 1_000;

fn crowded() -> (Cache, Clock) {
    cache_of(CacheConfig { fill_readers: 2 * CROWD, ..config() })
}

#[test]
fn what_must_be_validated_each_time_is_for_those_who_waited_alone() {
    let cache = cache();
    let (mut writer, mut leader) = lead(look(&cache, "/a"));
    let mut waited = join(look(&cache, "/a"));
    writer.head(head(), Some(6), Sharing::Waiting { store: true }).unwrap();
    let (mut next, mut late) = lead(look(&cache, "/a"));
    let mut later = join(look(&cache, "/a"));
    writer.push(octets(6)).unwrap();
    next.head(head(), Some(3), Sharing::Waiting { store: true }).unwrap();
    next.push(octets(3)).unwrap();
    writer.complete();
    next.complete();
    for (reader, length) in [(&mut leader, 6), (&mut waited, 6), (&mut late, 3), (&mut later, 3)] {
        assert_eq!(drink(reader).0, octets(length));
    }
    let stale = cache.lookup(&key("/a"), &HeaderMap::new(), |_| STALE);
    assert!(matches!(stale, Lookup::Stale { .. }), "it is stored, to be validated: {}", said(&stale));
}

#[test]
fn a_crowd_that_waits_for_what_is_one_viewers_is_released_at_once() {
    let (cache, clock) = crowded();
    let (mut writer, mut leader) = lead(look(&cache, "/a"));
    let mut crowd: Vec<_> = (0..CROWD).map(|_| (join(look(&cache, "/a")), Task::new())).collect();
    for (reader, (_, waker)) in &mut crowd {
        assert!(reader.poll_head(&mut Context::from_waker(waker)).is_pending());
    }
    writer.head(head(), Some(6), Sharing::Private).unwrap();
    for (reader, (task, _)) in &mut crowd {
        assert_eq!(task.woken(), 1);
        assert!(matches!(now(|cx| reader.poll_head(cx)), Poll::Ready(Err(FillEnd::NotShared))));
    }
    // Now nobody waits for anybody: each leads alone, and where no further fill may be, asks past the cache.
    let alone: Vec<_> = (0..CROWD).map(|_| look(&cache, "/a")).collect();
    let leading = alone.iter().filter(|lookup| matches!(lookup, Lookup::Lead(_))).count();
    assert_eq!(leading, config().fills_per_group - 1);
    assert!(alone.iter().skip(leading).all(|lookup| matches!(lookup, Lookup::Apart)));
    assert_eq!(cache.apart(), (1, 0));
    drop(alone);
    writer.push(octets(6)).unwrap();
    writer.complete();
    assert_eq!(drink(&mut leader).0, octets(6));
    clock.advance(config().apart);
    cache.run_pending();
    assert_eq!(cache.apart(), (0, 0));
    let _leads = lead(look(&cache, "/a"));
    join(look(&cache, "/a"));
}

#[test]
fn the_first_answer_that_many_may_have_ends_the_time_apart() {
    let cache = cache();
    let (mut writer, _leader) = lead(look(&cache, "/a"));
    writer.head(head(), Some(0), Sharing::Private).unwrap();
    writer.complete();
    let (mut writer, _reader) = lead(look(&cache, "/a"));
    let (_other, _alone) = lead(look(&cache, "/a"));
    writer.head(head(), None, Sharing::Waiting { store: false }).unwrap();
    assert_eq!(cache.apart(), (0, 0));
    join(look(&cache, "/a"));
}

#[test]
fn nobody_stays_apart_where_the_operator_wants_none() {
    let cache = cache_of(CacheConfig { apart: Duration::ZERO, ..config() }).0;
    let (mut writer, _leader) = lead(look(&cache, "/a"));
    writer.head(head(), Some(0), Sharing::Private).unwrap();
    let _leads = lead(look(&cache, "/a"));
    join(look(&cache, "/a"));
}

#[test]
fn the_table_of_those_apart_is_bounded_and_says_what_found_no_place() {
    let (cache, clock) = cache_of(config());
    let private = |number: u64| {
        let (mut writer, _reader) = lead(look(&cache, &format!("/{number}")));
        writer.head(head(), Some(0), Sharing::Private).unwrap();
    };
    (0..4_100).for_each(private);
    assert_eq!(cache.apart(), (4_096, 4));
    clock.advance(config().apart);
    private(5_000);
    assert_eq!(cache.apart(), (1, 4));
}

#[test]
fn what_is_about_the_leaders_own_request_makes_the_others_ask_again_together() {
    let (cache, _) = crowded();
    let (mut writer, mut leader) = lead(look(&cache, "/a"));
    let mut crowd: Vec<_> = (0..CROWD).map(|_| join(look(&cache, "/a"))).collect();
    writer.head(head(), Some(3), Sharing::AtFault).unwrap();
    for reader in &mut crowd {
        assert!(matches!(now(|cx| reader.poll_head(cx)), Poll::Ready(Err(FillEnd::NotMeant))));
    }
    assert_eq!(cache.apart(), (0, 0));
    let _second = lead(look(&cache, "/a"));
    (1..CROWD).for_each(|_| drop(join(look(&cache, "/a"))));
    writer.push(octets(3)).unwrap();
    writer.complete();
    assert_eq!(drink(&mut leader).0, octets(3));
}

#[test]
fn a_reader_can_tell_whether_what_broke_off_had_begun() {
    let cache = cache();
    let (writer, reader) = lead(look(&cache, "/a"));
    drop(writer);
    assert!(!reader.has_begun());
    let (mut writer, reader) = lead(look(&cache, "/b"));
    writer.head(head(), Some(3), STORED).unwrap();
    drop(writer);
    assert!(reader.has_begun());
}

use super::*;
use crate::clock::WallTime;

fn quota(change: impl FnOnce(&mut Limits)) -> (Clock, Arc<Quota>) {
    let mut limits = Limits::default();
    change(&mut limits);
    let clock = Clock::manual(WallTime::default());
    clock.advance(Duration::from_secs(1_000));
    (clock.clone(), Quota::new(clock, &limits))
}

fn rate(count: u32) -> Rate {
    Rate { count, per: Duration::from_secs(1) }
}

fn session(number: u8) -> SessionId {
    SessionId([number; 12])
}

fn from(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn a_session_has_its_rate_wherever_it_comes_from_and_nobody_elses() {
    let (clock, quota) = quota(|limits| limits.requests_per_session = rate(5));
    for port in 1..6 {
        assert_eq!(quota.request(Some(session(1)), SocketAddr::from(([10, 0, 0, 1], port))), Ok(()));
    }
    let retry = Duration::from_millis(200);
    let beyond = Err(Exceeded { limit: Limit::SessionRequests, retry });
    assert_eq!(quota.request(Some(session(1)), from("10.0.0.2:1")), beyond);
    assert_eq!(quota.request(Some(session(2)), from("10.0.0.1:1")), Ok(()));
    assert_eq!(quota.request(None, from("10.0.0.1:1")), Ok(()), "open routes have no sessions");
    clock.advance(retry);
    assert_eq!(quota.request(Some(session(1)), from("10.0.0.2:1")), Ok(()));
    assert_eq!(quota.figures().refused, [1, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn addresses_are_counted_by_household_and_only_where_that_is_wanted() {
    let (_, off) = quota(|_| {});
    assert!((0..100_000).all(|_| off.request(None, from("203.0.113.7:1")).is_ok()), "a stadium shares an address");
    let (_, quota) = quota(|limits| limits.requests_per_prefix = rate(2));
    assert!(quota.request(None, from("[2001:db8:0:aa01::1]:1")).is_ok());
    assert!(quota.request(None, from("[2001:db8:0:aaff::2]:1")).is_ok());
    let exceeded = quota.request(None, from("[2001:db8:0:aa77::3]:1")).unwrap_err();
    assert_eq!(exceeded.limit, Limit::AddressRequests);
    assert!(quota.request(None, from("[2001:db8:0:ab00::1]:1")).is_ok());
}

#[test]
fn a_flood_of_a_million_addresses_neither_grows_a_table_nor_frees_who_is_at_the_limit() {
    let (_, quota) = quota(|limits| limits.requests_per_prefix = rate(100));
    let before = quota.figures().octets;
    let busy = from("203.0.113.7:1");
    while quota.request(None, busy).is_ok() {}
    for number in 0..1_000_000_u32 {
        let stranger = std::net::Ipv4Addr::from(0x0a00_0000 + number);
        assert!(quota.request(None, (stranger, 1).into()).is_ok());
    }
    assert!(quota.request(None, busy).is_err(), "it is still known");
    let figures = quota.figures();
    assert_eq!((figures.octets, before), (before, before));
    assert!(figures.octets < 8 << 20 && figures.displaced > 900_000, "{figures:?}");
}

#[test]
fn bad_tokens_are_counted_and_good_ones_are_not() {
    let (clock, quota) = quota(|limits| limits.requests_per_prefix = rate(1_000));
    let address = from("203.0.113.7:1");
    for _ in 0..20 {
        assert_eq!(quota.bad_token(address.ip()), Ok(()));
    }
    let beyond = Err(Exceeded { limit: Limit::BadTokens, retry: Duration::from_secs(10) });
    assert_eq!(quota.bad_token(address.ip()), beyond);
    assert_eq!(quota.request(None, address), Ok(()), "whoever has a good one is not hindered");
    assert_eq!(quota.bad_token("203.0.113.8".parse().unwrap()), Ok(()));
    clock.advance(Duration::from_secs(10));
    assert_eq!(quota.bad_token(address.ip()), Ok(()));
    for _ in 0..100 {
        assert_eq!(quota.bad_token("127.0.0.1".parse().unwrap()), Ok(()), "this machine is not guessing");
    }
}

#[test]
fn so_many_reloads_of_a_session_are_held_and_no_more() {
    let (_, quota) = quota(|_| {});
    let mut held: Vec<_> = (0..8).map(|_| quota.hold(session(1)).unwrap()).collect();
    assert_eq!(quota.hold(session(1)).err().map(|exceeded| exceeded.limit), Some(Limit::SessionHeld));
    assert!(quota.hold(session(2)).is_ok());
    held.pop();
    assert!(quota.hold(session(1)).is_ok());
    held.clear();
    assert!(quota.held.iter().all(|shard| shard.lock().is_empty()));
}

#[test]
fn reports_come_in_bursts_and_then_at_their_rate() {
    let (clock, quota) = quota(|_| {});
    let beyond = |limit, millis| Err(Exceeded { limit, retry: Duration::from_millis(millis) });
    (0..100).for_each(|_| assert_eq!(quota.beacon(session(1)), Ok(())));
    assert_eq!(quota.beacon(session(1)), beyond(Limit::SessionBeacons, 50));
    assert_eq!(quota.beacon(session(2)), Ok(()), "another session is not hindered");
    assert_eq!(quota.records(session(1), 500), Ok(()), "a body has five hundred");
    assert_eq!(quota.records(session(1), 10), beyond(Limit::SessionRecords, 200));
    clock.advance(Duration::from_secs(1));
    (0..20).for_each(|_| assert_eq!(quota.beacon(session(1)), Ok(())));
    assert!(quota.beacon(session(1)).is_err());
    assert_eq!(quota.records(session(1), 50), Ok(()));
    assert!(quota.records(session(1), 1).is_err());
    let refused = quota.figures().refused;
    assert_eq!((refused[5], refused[6]), (2, 2));
}

#[test]
fn a_device_sends_fifty_times_as_many_reports_as_a_viewer_however_small_its_bodies_are() {
    let (clock, quota) = quota(|_| {});
    let device = ("192.0.2.0", b"Player/1");
    for second in 0..20 {
        let bodies = if second == 0 { 25_000 } else { 2_500 };
        assert!((0..bodies).all(|_| quota.records_of_device(device, 1).is_ok()), "{second}");
        let beyond = quota.records_of_device(device, 500).map_err(|exceeded| exceeded.limit);
        assert_eq!(beyond, Err(Limit::SessionRecords), "{second}");
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(quota.records_of_device(("192.0.2.0", b"Player/2"), 500), Ok(()), "another device is not hindered");
    assert_eq!(quota.records(session(1), 500), Ok(()), "nor is a session");
}

#[test]
fn bodies_of_a_session_share_its_rate() {
    let (clock, quota) = quota(|limits| limits.session_rate = 100_000);
    let [one, other] = [quota.pacer(session(1)).unwrap(), quota.pacer(session(1)).unwrap()];
    one.sent(400_000);
    assert_eq!((one.wait(), other.wait()), (None, None), "four seconds ahead are free");
    other.sent(50_000);
    let until = clock.now() + Duration::from_millis(500);
    assert_eq!((one.wait(), other.wait()), (Some(until), Some(until)));
    assert_eq!(quota.pacer(session(2)).unwrap().wait(), None);
    clock.advance(Duration::from_millis(500));
    assert_eq!(one.wait(), None);
}

#[test]
fn a_reload_that_changes_no_limit_forgets_nothing() {
    let (_, quota) = quota(|limits| limits.requests_per_session = rate(1));
    let mut same = Limits { requests_per_session: rate(1), ..Limits::default() };
    assert!(quota.request(Some(session(1)), from("10.0.0.1:1")).is_ok());
    same.fills = 7;
    quota.configure(&same);
    assert!(quota.request(Some(session(1)), from("10.0.0.1:1")).is_err());
    quota.configure(&Limits::default());
    assert!(quota.request(Some(session(1)), from("10.0.0.1:1")).is_ok());
    assert!(quota.pacer(session(1)).is_none());
}

#[test]
fn connections_of_a_session_are_told_by_where_they_come_from() {
    let (clock, quota) = quota(|limits| limits.connections_per_session = 2);
    let ask = |text: &str| quota.request(Some(session(1)), from(text)).map_err(|exceeded| exceeded.limit);
    assert_eq!((ask("10.0.0.1:1"), ask("10.0.0.1:2"), ask("10.0.0.1:1")), (Ok(()), Ok(()), Ok(())));
    assert_eq!(ask("10.0.0.1:3"), Err(Limit::SessionConnections));
    assert_eq!(ask("10.0.0.1:0"), Ok(()), "behind a balancer they cannot be told apart");
    clock.advance(Duration::from_secs(30));
    assert_eq!(ask("10.0.0.1:3"), Ok(()));
}

//! Whether an origin is well: what its answers, its probes and the streams that come from it say.
//!
//! It rests after [`STREAK`] failures in a row, each within [`MEMORY`] of the one before; where it fails far more often
//! than its peers; where most of its streams stall; where the operator says so. A rest doubles where the one before it
//! is not long ago. When it is over, one request tries the origin; after a success it is given its requests back by
//! and by, within [`RAMP`].

use std::time::Duration;

use crate::clock::Tick;

/// Failures in a row that send an origin to rest.
pub const STREAK: u32 = 3;
/// A failure is forgotten after this long.
pub const MEMORY: Duration = Duration::from_secs(10);
/// The first rest.
pub const FIRST_REST: Duration = Duration::from_secs(1);
/// The longest rest.
pub const LONGEST_REST: Duration = Duration::from_secs(30);
/// A trial that has shown nothing after this long is given up, and another request may try.
pub const TRIAL: Duration = Duration::from_secs(10);
/// From the first success after a rest until it has all of its requests again.
pub const RAMP: Duration = Duration::from_secs(10);
/// Requests that a rate is judged by, at least.
pub const ENOUGH: u32 = 20;
/// How long a rate reaches back, once or twice.
pub const RATE_WINDOW: Duration = Duration::from_secs(10);

/// In which way a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// No connection.
    Connect,
    /// TLS failed.
    Tls,
    /// A deadline passed.
    Timeout,
    /// It broke off.
    Reset,
    /// It violated HTTP.
    Malformed,
    /// It answered 502, 503 or 504.
    Unwell,
}

/// Why an origin rests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Failures in a row, the last one in this way.
    Failures(Class),
    /// It fails far more often than its peers.
    Outlier,
    /// Most of the streams that come from it stall.
    Streams,
    /// Its probes fail.
    Probes,
    /// The operator says so.
    Operator,
}

/// How an origin stands at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Asked in its place.
    Well,
    /// It was away: a growing share of requests asks it in its place.
    Returning,
    /// Its rest is over: one request may try it in its place.
    OnTrial,
    /// Asked when nothing else is left.
    Resting(Cause),
}

/// What is remembered of one origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    failures: u32,
    last_failure: Tick,
    rest: Option<Rest>,
    doublings: u32,
    tried_at: Option<Tick>,
    returned_at: Option<Tick>,
    /// Of a thousand requests, which may go to an origin that returns.
    credit: u32,
    /// Since when the operator wants it to rest.
    ordered: Option<Tick>,
    /// Probes in a row that failed.
    probes_failed: u32,
    since: Tick,
    rate: Rate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rest {
    cause: Cause,
    until: Tick,
}

/// How many of the last requests were answered well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    began: Tick,
    now: Counts,
    before: Counts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    well: u32,
    all: u32,
}

impl Cause {
    /// Its stable word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Failures(Class::Connect) => "connect",
            Self::Failures(Class::Tls) => "tls",
            Self::Failures(Class::Timeout) => "timeout",
            Self::Failures(Class::Reset) => "reset",
            Self::Failures(Class::Malformed) => "malformed",
            Self::Failures(Class::Unwell) => "unwell",
            Self::Outlier => "outlier",
            Self::Streams => "streams",
            Self::Probes => "probes",
            Self::Operator => "operator",
        }
    }

    /// Whether a request that is answered ends it before its time is over.
    const fn ends_with_a_success(self) -> bool {
        match self {
            Self::Failures(_) => true,
            Self::Outlier | Self::Streams | Self::Probes | Self::Operator => false,
        }
    }
}

impl Standing {
    /// Its stable word.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Returning => "returning",
            Self::OnTrial => "on-trial",
            Self::Resting(_) => "resting",
        }
    }

    /// Whether requests go to it as to any other, by and by at least.
    pub const fn is_well(self) -> bool {
        matches!(self, Self::Well | Self::Returning)
    }
}

impl Health {
    /// How it stands at `now`.
    pub fn standing(&self, now: Tick) -> Standing {
        if self.ordered.is_some() {
            return Standing::Resting(Cause::Operator);
        }
        if self.probes_failed >= STREAK {
            return Standing::Resting(Cause::Probes);
        }
        let trial_runs = self.tried_at.is_some_and(|at| now < at + TRIAL);
        match self.rest {
            Some(rest) if now < rest.until || trial_runs => Standing::Resting(rest.cause),
            Some(_) => Standing::OnTrial,
            None if self.returned_at.is_some_and(|at| now < at + RAMP) => Standing::Returning,
            None => Standing::Well,
        }
    }

    /// Since when it has been at rest, or has not.
    pub fn since(&self) -> Tick {
        self.ordered.unwrap_or(self.since)
    }

    /// A request tries it.
    pub fn tried(&mut self, now: Tick) {
        self.tried_at = Some(now);
    }

    /// Whether the next request, one of the growing share, may go to an origin that returns.
    pub fn takes_one(&mut self, now: Tick) -> bool {
        let Some(at) = self.returned_at else { return true };
        let passed = now.since(at).as_millis() * 900 / RAMP.as_millis();
        self.credit += 100 + u32::try_from(passed).unwrap_or(900).min(900);
        let takes = self.credit >= 1_000;
        self.credit = if takes { (self.credit - 1_000).min(999) } else { self.credit };
        takes
    }

    /// It answered.
    pub fn succeeded(&mut self, now: Tick) {
        self.rate.note(now, 1);
        self.failures = 0;
        let Some(rest) = self.rest else { return };
        if rest.cause.ends_with_a_success() || now >= rest.until {
            (self.rest, self.tried_at) = (None, None);
            (self.returned_at, self.credit, self.since) = (Some(now), 1_000, now);
        }
    }

    /// It failed. Failures while it rests say nothing new, except that of the trial.
    pub fn failed(&mut self, now: Tick, class: Class) {
        self.rate.note(now, 0);
        match self.rest {
            Some(rest) if now < rest.until => {}
            Some(_) => self.eject(now, Cause::Failures(class)),
            None => {
                let is_remembered = now < self.last_failure + MEMORY;
                self.failures = if is_remembered { self.failures.saturating_add(1) } else { 1 };
                if self.failures >= STREAK {
                    self.eject(now, Cause::Failures(class));
                }
            }
        }
        self.last_failure = now;
    }

    /// It rests from now on, longer each time.
    pub fn eject(&mut self, now: Tick, cause: Cause) {
        let is_again = self.rest.is_some() || self.returned_at.is_some_and(|at| now < at + RAMP * 2);
        self.doublings = if is_again { (self.doublings + 1).min(5) } else { 0 };
        if self.rest.is_none() {
            self.since = now;
        }
        let rest = (FIRST_REST * 2_u32.pow(self.doublings)).min(LONGEST_REST);
        self.rest = Some(Rest { cause, until: now + rest });
        (self.tried_at, self.returned_at, self.rate) = (None, None, Rate::default());
    }

    /// A probe was answered as it should be.
    pub fn probe_answered(&mut self, now: Tick) {
        let had_failed = self.probes_failed >= STREAK;
        self.probes_failed = 0;
        self.succeeded(now);
        if had_failed {
            self.since = now;
            if self.rest.is_none() {
                (self.returned_at, self.credit) = (Some(now), 1_000);
            }
        }
    }

    /// A probe was not answered as it should be. An origin whose probes fail rests until one does not.
    pub fn probe_failed(&mut self, now: Tick) {
        self.probes_failed = self.probes_failed.saturating_add(1);
        if self.probes_failed == STREAK {
            self.since = now;
        }
    }

    /// The operator wants it to rest until told otherwise.
    pub fn order_rest(&mut self, now: Tick) {
        self.ordered.get_or_insert(now);
    }

    /// The operator wants it back: nothing is held against it.
    pub fn order_return(&mut self, now: Tick) {
        *self = Self { since: now, ..Self::default() };
    }

    /// Whether it rests because the operator says so.
    pub fn is_ordered_to_rest(&self) -> bool {
        self.ordered.is_some()
    }

    /// How many of its last requests were answered well.
    pub fn rate(&self) -> Rate {
        self.rate
    }
}

impl Rate {
    fn note(&mut self, now: Tick, well: u32) {
        let age = now.since(self.began);
        if age >= RATE_WINDOW * 2 {
            *self = Self { began: now, ..Self::default() };
        } else if age >= RATE_WINDOW {
            *self = Self { began: self.began + RATE_WINDOW, before: self.now, now: Counts::default() };
        }
        self.now.well = self.now.well.saturating_add(well);
        self.now.all = self.now.all.saturating_add(1);
    }

    fn sum(&self) -> (u64, u64) {
        let add = |of: fn(&Counts) -> u32| u64::from(of(&self.now)) + u64::from(of(&self.before));
        (add(|counts| counts.well), add(|counts| counts.all))
    }

    /// Whether this one's share of successes is by a third below that of all `peers` together. Without enough requests
    /// on both sides nothing is said.
    pub fn stands_out(&self, peers: impl IntoIterator<Item = Self>) -> bool {
        let (well, all) = self.sum();
        let peers = peers.into_iter().map(|peer| peer.sum());
        let (peers_well, peers_all) = peers.fold((0, 0), |sum, peer| (sum.0 + peer.0, sum.1 + peer.1));
        let enough = u64::from(ENOUGH);
        if all < enough || peers_all < enough {
            return false;
        }
        // well / all < peers_well / peers_all - 1/3
        3 * well * peers_all + all * peers_all < 3 * peers_well * all
    }
}

/// Whether so many stalled streams of those that are followed at an origin speak against the origin as a whole: most of
/// them, and more than one.
pub fn most_stall(stalled: usize, followed: usize) -> bool {
    stalled > 1 && stalled * 2 > followed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Tick = Tick::at(Duration::from_secs(100));
    const AWAY: Standing = Standing::Resting(Cause::Failures(Class::Reset));

    fn failing(times: u32) -> Health {
        let mut health = Health::default();
        (0..times).for_each(|_| health.failed(START, Class::Reset));
        health
    }

    #[test]
    fn an_origin_rests_after_a_streak_of_failures() {
        assert_eq!(failing(STREAK - 1).standing(START), Standing::Well);
        assert_eq!(failing(STREAK).standing(START), AWAY);
    }

    #[test]
    fn a_success_ends_the_streak() {
        let mut health = failing(STREAK - 1);
        health.succeeded(START);
        health.failed(START, Class::Reset);
        assert_eq!(health.standing(START), Standing::Well);
    }

    #[test]
    fn failures_far_apart_are_no_streak() {
        let mut health = Health::default();
        for round in 0..10 {
            health.failed(START + MEMORY * round, Class::Connect);
        }
        assert_eq!(health.standing(START + MEMORY * 9), Standing::Well);
    }

    #[test]
    fn after_its_rest_one_request_tries_it_and_others_follow_by_and_by() {
        let mut health = failing(STREAK);
        let later = START + FIRST_REST;
        assert_eq!(health.standing(later), Standing::OnTrial);
        health.tried(later);
        assert_eq!(health.standing(later), AWAY);
        assert_eq!(health.standing(later + TRIAL), Standing::OnTrial, "a trial that was lost is given up");
        health.succeeded(later);
        assert_eq!(health.standing(later), Standing::Returning);
        let share = |health: &mut Health, at| (0..1_000).filter(|_| health.takes_one(at)).count();
        let (first, half) = (share(&mut health, later), share(&mut health, later + RAMP / 2));
        assert!((99..=102).contains(&first) && (548..=552).contains(&half), "{first} {half}");
        assert_eq!(health.standing(later + RAMP), Standing::Well);
        assert!(share(&mut health, later + RAMP) >= 999);
    }

    #[test]
    fn a_failed_trial_doubles_the_rest_and_so_does_an_early_relapse() {
        let mut health = failing(STREAK);
        let trial = START + FIRST_REST;
        health.tried(trial);
        health.failed(trial, Class::Reset);
        assert_eq!(health.standing(trial + FIRST_REST), AWAY);
        assert_eq!(health.standing(trial + FIRST_REST * 2), Standing::OnTrial);
        let back = trial + FIRST_REST * 2;
        health.succeeded(back);
        (0..STREAK).for_each(|_| health.failed(back, Class::Reset));
        assert_eq!(health.standing(back + FIRST_REST * 3), AWAY);
        assert_eq!(health.standing(back + FIRST_REST * 4), Standing::OnTrial);
    }

    #[test]
    fn answers_do_not_end_a_rest_that_they_did_not_cause() {
        let mut health = Health::default();
        health.eject(START, Cause::Streams);
        health.succeeded(START);
        assert_eq!(health.standing(START), Standing::Resting(Cause::Streams));
        health.succeeded(START + FIRST_REST);
        assert_eq!(health.standing(START + FIRST_REST), Standing::Returning);
    }

    #[test]
    fn an_origin_whose_probes_fail_rests_until_one_does_not() {
        let mut health = Health::default();
        (0..STREAK).for_each(|_| health.probe_failed(START));
        health.succeeded(START);
        assert_eq!(health.standing(START + LONGEST_REST), Standing::Resting(Cause::Probes));
        health.probe_answered(START + LONGEST_REST);
        assert_eq!(health.standing(START + LONGEST_REST), Standing::Returning);
    }

    #[test]
    fn the_operator_decides() {
        let mut health = Health::default();
        health.order_rest(START);
        health.succeeded(START);
        assert_eq!(health.standing(START + LONGEST_REST), Standing::Resting(Cause::Operator));
        (0..STREAK).for_each(|_| health.failed(START, Class::Tls));
        health.order_return(START);
        assert_eq!(health.standing(START), Standing::Well);
    }

    #[test]
    fn an_outlier_is_one_who_fails_far_more_often_than_its_peers() {
        let rate = |well: u32, all: u32| Rate { began: START, now: Counts { well, all }, before: Counts::default() };
        for (own, peer, stands_out) in [
            ((10, 20), (20, 20), true),
            ((14, 20), (20, 20), false),
            ((10, 20), (10, 20), false),
            ((0, 19), (20, 20), false),
            ((0, 20), (19, 19), false),
            ((0, 20), (7, 20), true),
        ] {
            assert_eq!(rate(own.0, own.1).stands_out([rate(peer.0, peer.1)]), stands_out, "{own:?} {peer:?}");
        }
        assert!(!rate(0, 100).stands_out([]), "there is nobody to compare with");
    }

    #[test]
    fn one_stalled_stream_is_not_the_origins_fault() {
        for (stalled, followed, most) in [(1, 1, false), (2, 2, true), (2, 3, true), (2, 4, false), (3, 4, true)] {
            assert_eq!(most_stall(stalled, followed), most, "{stalled} of {followed}");
        }
    }

    proptest! {
        #[test]
        fn a_rest_always_ends_and_a_success_after_it_brings_it_back(
            steps in prop::collection::vec((0_u64..5_000, prop::bool::ANY), 0..100),
        ) {
            let (mut health, mut now) = (Health::default(), START);
            for (wait, is_well) in steps {
                now = now + Duration::from_millis(wait);
                match is_well {
                    true => health.succeeded(now),
                    false => health.failed(now, Class::Timeout),
                }
            }
            let later = now + LONGEST_REST;
            prop_assert!(!matches!(health.standing(later), Standing::Resting(_)));
            health.succeeded(later);
            prop_assert!(health.standing(later).is_well());
            prop_assert_eq!(health.standing(later + RAMP), Standing::Well);
        }
    }
}

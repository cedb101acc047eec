//! Stored response × policy × now → `Freshness` (RFC 9111 §4.2). The store never expires by a clock of its own.
//!
//! All that needs the head of the response is worked out once, when it is stored or validated, into a `Lifetime`. What
//! a hit then asks, age and freshness, is a few additions on the monotonic clock; calendar time enters only through
//! Date, so that a clock that is set back makes nothing younger.

mod written;

use std::time::Duration;

use http::header::{AGE, DATE, EXPIRES, LAST_MODIFIED};
use http::{HeaderMap, StatusCode};

use super::control::{Control, Directive, Source, delta_seconds};
use super::storable::is_heuristically_cacheable;
use crate::clock::{Tick, WallTime};
use crate::rules::fields::{date, list};

pub use written::WRITTEN;

/// Whether a stored response may be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It may be sent without asking the origin, for as long as `left`.
    Fresh {
        /// Time until it is stale.
        left: Duration,
    },
    /// It must be validated before it is sent, two windows excepted.
    Stale {
        /// Time since it became stale.
        age: Duration,
        /// Time for which it may still be sent at once while the origin is asked in the background
        /// (RFC 5861 §3); zero: not, or no longer.
        while_asking: Duration,
        /// Time for which it may still be sent when the origin cannot answer (RFC 5861 §4, RFC 9111 §4.2.4);
        /// zero: never, or no longer.
        usable_for: Duration,
    },
    /// It must not be used, not even after validation: it is stale, nothing identifies it, and no window is left.
    Unusable,
}

/// When a response was asked for and received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When the request that brought it was sent.
    pub requested: Tick,
    /// When its head was received.
    pub responded: Tick,
    /// The same moment on the calendar.
    pub responded_wall: WallTime,
}

/// The head of a response and when it came.
#[derive(Clone, Copy, Debug)]
pub struct Received<'h> {
    /// Its status.
    pub status: StatusCode,
    /// Its header fields.
    pub headers: &'h HeaderMap,
    /// When it was asked for and received.
    pub times: Times,
}

/// What a cache decides where the standard leaves it free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What to do without an explicit lifetime (§4.2.2).
    pub heuristics: Heuristics,
    /// For how long a response that was fresh may stand in, stale, for an origin that cannot be reached, where it says
    /// nothing of it (§4.2.4); zero: not at all.
    pub disconnected: Duration,
}

/// How long a response without an explicit lifetime is fresh (§4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heuristics {
    /// Not at all.
    Off,
    /// A tenth of the time between Last-Modified and Date, and no longer than this.
    AtMost(Duration),
}

impl Policy {
    /// For plain responses: guesses up to a day, and what was fresh stands in for an origin that is away, as the
    /// standard lets a disconnected cache do.
    pub const PLAIN: Self =
        Self { heuristics: Heuristics::AtMost(Duration::from_hours(24)), disconnected: Duration::from_mins(10) };
    /// For media: no guesses.
    pub const MEDIA: Self = Self { heuristics: Heuristics::Off, disconnected: Duration::ZERO };
}

/// How long a response lives: computed once, when it is stored, and again when a 304 has updated it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    responded: Tick,
    /// `corrected_initial_age` (§4.2.3).
    initial_age: Duration,
    /// Age at which it is stale.
    fresh_for: Duration,
    while_asking: Duration,
    /// Where the origin answers with an error.
    if_error: Duration,
    /// Where it does not answer.
    disconnected: Duration,
    standing: Standing,
    outdated: bool,
}

/// What may be done with a response beside its lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It has no validator: once its windows are over it is of no use.
    Unidentified,
    /// Its lifetime is not its origin's word, and once that is over it is of no use.
    Granted,
    /// It can be validated.
    Identified,
    /// It can be validated, and while fresh is not, even where a viewer reloads (RFC 8246).
    Immutable,
}

impl Lifetime {
    /// The lifetime of `response` under what it says itself (`control`) and `policy` (§4.2).
    pub fn of(response: &Received<'_>, control: &Control, policy: &Policy) -> Self {
        let Received { headers, times, .. } = *response;
        let date = date::field(headers, &DATE, times.responded_wall);
        // no-cache is a lifetime of nothing that no window stretches.
        let fresh_for = match control.says(Directive::NoCache) {
            true => Duration::ZERO,
            false => lifetime(response, date, control, policy),
        };
        let window = |own: Option<Duration>| own.filter(|_| control.permits_stale()).unwrap_or_default();
        let initial_age = initial_age(headers, times, date);
        let if_error = window(control.stale_if_error);
        // What was never fresh is nobody's but of those who asked for it.
        let was_fresh = fresh_for > initial_age;
        Self {
            responded: times.responded,
            initial_age,
            fresh_for,
            while_asking: window(control.stale_while_revalidate),
            if_error,
            // What the origin says of errors holds for its absence too.
            disconnected: window(control.stale_if_error.or(was_fresh.then_some(policy.disconnected))),
            standing: match super::validator::has_validator(headers) {
                false => Standing::Unidentified,
                true if control.says(Directive::Immutable) => Standing::Immutable,
                true => Standing::Identified,
            },
            outdated: false,
        }
    }

    /// When the response was received.
    pub fn responded(&self) -> Tick {
        self.responded
    }

    /// `current_age` (§4.2.3). It grows with the monotonic clock alone.
    pub fn age(&self, now: Tick) -> Duration {
        self.initial_age.saturating_add(now.since(self.responded))
    }

    /// The value of Age in an answer from the store (§5.1): whole seconds.
    pub fn age_seconds(&self, now: Tick) -> u64 {
        self.age(now).as_secs().min(super::control::LONGEST)
    }

    /// Whether it may be used now.
    pub fn freshness(&self, now: Tick) -> Freshness {
        let age = self.age(now);
        if let Some(left) = self.fresh_for.checked_sub(age).filter(|left| !left.is_zero()) {
            return Freshness::Fresh { left };
        }
        let stale_for = age.saturating_sub(self.fresh_for);
        let while_asking = self.while_asking.saturating_sub(stale_for);
        let usable_for = self.disconnected.saturating_sub(stale_for);
        let is_lost = while_asking.is_zero() && usable_for.is_zero();
        if is_lost && matches!(self.standing, Standing::Unidentified | Standing::Granted) {
            return Freshness::Unusable;
        }
        Freshness::Stale { age: stale_for, while_asking, usable_for }
    }

    /// Whether it may be sent, stale, in place of an error that the origin answers with (RFC 5861 §4).
    pub fn covers_errors(&self, now: Tick) -> bool {
        self.age(now) < self.fresh_for.saturating_add(self.if_error)
    }

    /// Remaining freshness in whole seconds, negative where stale: `ttl` of Cache-Status (RFC 9211 §2.4).
    pub fn ttl(&self, now: Tick) -> i64 {
        let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        seconds(self.fresh_for).saturating_sub(seconds(self.age(now)))
    }

    /// Whether a conditional request is pointless while it is fresh, even where a viewer reloads (RFC 8246 §2).
    pub fn is_immutable(&self) -> bool {
        self.standing == Standing::Immutable
    }

    /// Stale from `at` on at the latest: a purge wants it validated. Its windows are what they were, and begin then.
    pub fn outdate(&mut self, at: Tick) {
        self.fresh_for = self.fresh_for.min(self.age(at));
        // What nobody but us allows ends here.
        self.disconnected = self.disconnected.min(self.if_error);
        self.outdated = true;
    }

    /// Whether it was made stale before its time.
    pub const fn is_outdated(&self) -> bool {
        self.outdated
    }

    /// The same with a lifetime that an operator gives it, for want of the origin's word.
    #[must_use]
    pub const fn granted(self, fresh_for: Duration) -> Self {
        Self { fresh_for, standing: Standing::Granted, ..self }
    }

    /// Whether the lifetime is an operator's.
    pub const fn is_granted(&self) -> bool {
        matches!(self.standing, Standing::Granted)
    }

    /// Stale from now on, whatever it was: a HEAD or a purge has shown that the stored response is out of date.
    /// Validation is still possible; the windows are over.
    pub fn expire(&mut self) {
        self.fresh_for = Duration::ZERO;
        self.while_asking = Duration::ZERO;
        self.if_error = Duration::ZERO;
        self.disconnected = Duration::ZERO;
    }
}

/// `freshness_lifetime` (§4.2.1): the first that exists of s-maxage, max-age, Expires − Date, a guess.
fn lifetime(response: &Received<'_>, date: Option<WallTime>, control: &Control, policy: &Policy) -> Duration {
    if let Some(explicit) = control.s_maxage.or(control.max_age) {
        return explicit;
    }
    let Received { status, headers, times } = *response;
    let date = date.unwrap_or(times.responded_wall);
    // A targeted field takes the place of Expires too (RFC 9213 §2.2).
    if control.source != Source::Targeted && headers.contains_key(EXPIRES) {
        // An Expires that is no date, above all `0`, means expired (§5.3).
        let expires = date::field(headers, &EXPIRES, times.responded_wall).unwrap_or_default();
        return between(date, expires);
    }
    let Heuristics::AtMost(bound) = policy.heuristics else { return Duration::ZERO };
    if !is_heuristically_cacheable(status) && !control.says(Directive::Public) {
        return Duration::ZERO;
    }
    match date::field(headers, &LAST_MODIFIED, times.responded_wall) {
        Some(modified) => (between(modified, date) / 10).min(bound),
        None => Duration::ZERO,
    }
}

/// `corrected_initial_age` (§4.2.3). Dates have whole seconds, so the calendar is compared in whole seconds.
fn initial_age(headers: &HeaderMap, times: Times, date: Option<WallTime>) -> Duration {
    let response_delay = times.responded.since(times.requested);
    let corrected_age = age_field(headers).saturating_add(response_delay);
    let apparent_age = date.map_or(Duration::ZERO, |date| between(date, times.responded_wall));
    corrected_age.max(Duration::from_secs(apparent_age.as_secs()))
}

/// Age as received, in seconds.
pub fn age_of(headers: &HeaderMap) -> u64 {
    age_field(headers).as_secs()
}

/// Age as received (§5.1): the first member of all lines; what is no number of seconds is as if it were not there.
fn age_field(headers: &HeaderMap) -> Duration {
    let first = list::field(headers, &AGE).next();
    Duration::from_secs(first.and_then(delta_seconds).unwrap_or_default())
}

/// Time from `earlier` to `later`; zero where they are the other way round.
fn between(earlier: WallTime, later: WallTime) -> Duration {
    later.since_epoch().saturating_sub(earlier.since_epoch())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;
    use crate::rules::caching::control::TARGETS;

    /// Sun, 06 Nov 1994 08:49:37 GMT
    const EPOCH: Duration = Duration::from_secs(784_111_777);
    const START: Tick = Tick::at(Duration::from_secs(1_000));

    enum Value {
        Text(&'static str),
        /// A date so many seconds from the moment of receipt.
        At(i64),
    }
    use Value::{At, Text};

    fn headers(lines: &[(&'static str, Value)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let value = match value {
                Text(text) => HeaderValue::from_static(text),
                At(offset) => {
                    date::format(WallTime::at(Duration::from_secs(EPOCH.as_secs().saturating_add_signed(*offset))))
                }
            };
            headers.append(*name, value);
        }
        headers
    }

    fn lifetime_with(status: u16, lines: &[(&'static str, Value)], policy: &Policy) -> Lifetime {
        let headers = headers(lines);
        let times = Times { requested: START, responded: START, responded_wall: WallTime::at(EPOCH) };
        let response = Received { status: StatusCode::from_u16(status).unwrap(), headers: &headers, times };
        Lifetime::of(&response, &Control::of(&headers, &TARGETS), policy)
    }

    fn lifetime(lines: &[(&'static str, Value)]) -> Lifetime {
        lifetime_with(200, lines, &Policy::PLAIN)
    }

    fn after(seconds: u64) -> Tick {
        START + Duration::from_secs(seconds)
    }

    /// Seconds of freshness left three seconds after receipt; 0 where it is stale.
    fn left(lifetime: &Lifetime) -> u64 {
        match lifetime.freshness(after(3)) {
            Freshness::Fresh { left } => left.as_secs(),
            Freshness::Stale { .. } | Freshness::Unusable => 0,
        }
    }

    fn cc(line: &'static str) -> (&'static str, Value) {
        ("cache-control", Text(line))
    }

    #[test]
    fn what_is_outdated_is_stale_at_once_and_its_windows_begin_then() {
        let mut life =
            lifetime(&[cc("max-age=100, stale-while-revalidate=10, stale-if-error=20"), ("etag", Text("\"1\""))]);
        assert!(matches!(life.freshness(after(30)), Freshness::Fresh { .. }));
        life.outdate(after(30));
        let seconds = Duration::from_secs;
        for (now, age, while_asking, usable_for) in [(30, 0, 10, 20), (35, 5, 5, 15), (45, 15, 0, 5), (60, 30, 0, 0)] {
            let (while_asking, usable_for) = (seconds(while_asking), seconds(usable_for));
            assert_eq!(
                life.freshness(after(now)),
                Freshness::Stale { age: seconds(age), while_asking, usable_for },
                "{now}"
            );
        }
        life.outdate(after(50));
        assert_eq!(life.ttl(after(30)), 0, "it never gets fresher");
        assert!(life.is_outdated());
        let mut unidentified = lifetime_with(200, &[cc("max-age=100")], &Policy::MEDIA);
        unidentified.outdate(after(1));
        assert_eq!(unidentified.freshness(after(1)), Freshness::Unusable, "nothing could confirm it");
    }

    #[test]
    fn the_first_lifetime_that_exists_counts() {
        for (case, lines, seconds) in [
            ("freshness-none", vec![], 0),
            ("freshness-max-age", vec![cc("max-age=3600")], 3_597),
            ("freshness-max-age-stale", vec![cc("max-age=2")], 0),
            ("freshness-max-age-0", vec![cc("max-age=0")], 0),
            ("freshness-max-age-age", vec![("date", At(0)), cc("max-age=3600"), ("age", Text("7200"))], 0),
            ("freshness-max-age-date", vec![("date", At(-7200)), cc("max-age=3600")], 0),
            ("freshness-max-age-expires", vec![cc("max-age=3600"), ("expires", At(-7200)), ("date", At(0))], 3_597),
            ("freshness-max-age-expires-invalid", vec![cc("max-age=3600"), ("expires", Text("0"))], 3_597),
            ("freshness-max-age-0-expires", vec![("expires", At(3600)), cc("max-age=0"), ("date", At(0))], 0),
            ("freshness-max-age-negative", vec![cc("max-age=-3600")], 0),
            ("freshness-s-maxage-shared", vec![cc("s-maxage=3600")], 3_597),
            ("freshness-max-age-s-maxage-shared-longer", vec![cc("max-age=3600, s-maxage=1")], 0),
            ("freshness-max-age-s-maxage-shared-longer-reversed", vec![cc("s-maxage=1, max-age=3600")], 0),
            ("freshness-max-age-s-maxage-shared-longer-multiple", vec![cc("max-age=3600"), cc("s-maxage=1")], 0),
            ("freshness-max-age-s-maxage-shared-shorter", vec![cc("max-age=1, s-maxage=3600")], 3_597),
            (
                "freshness-max-age-s-maxage-shared-shorter-expires",
                vec![("expires", At(-10)), cc("max-age=0, s-maxage=3600")],
                3_597,
            ),
            ("max-age broken beside expires", vec![cc("max-age=x"), ("expires", At(3600)), ("date", At(0))], 0),
            ("freshness-expires-future", vec![("expires", At(2_592_000)), ("date", At(0))], 2_591_997),
            ("freshness-expires-past", vec![("expires", At(-2_592_000)), ("date", At(0))], 0),
            ("freshness-expires-present", vec![("expires", At(0)), ("date", At(0))], 0),
            ("freshness-expires-old-date", vec![("expires", At(300)), ("date", At(400))], 0),
            ("freshness-expires-invalid", vec![("expires", Text("0")), ("date", At(0))], 0),
            ("freshness-expires-invalid-date", vec![("expires", At(10)), ("date", Text("foo"))], 7),
            ("expires without date", vec![("expires", At(10))], 7),
            ("freshness-expires-age-slow-date", vec![("date", At(-10)), ("expires", At(10)), ("age", Text("25"))], 0),
            ("freshness-expires-age-fast-date", vec![("date", At(10)), ("expires", At(20)), ("age", Text("15"))], 0),
            ("a clock ahead of ours", vec![("date", At(10)), ("expires", At(20))], 7),
            (
                "freshness-expires-invalid-multiple-lines",
                vec![("expires", At(3600)), ("expires", At(3601)), ("date", At(0))],
                0,
            ),
            ("cdn-cache-control beats expires", vec![("cdn-cache-control", Text("none")), ("expires", At(3600))], 0),
            ("cdn-fresh-cc-nostore", vec![("cdn-cache-control", Text("max-age=100")), cc("no-store")], 97),
            ("no-cache", vec![cc("no-cache, max-age=3600")], 0),
        ] {
            assert_eq!(left(&lifetime(&lines)), seconds, "{case}");
        }
    }

    #[test]
    fn expires_is_read_in_three_forms_and_no_other() {
        for (text, is_fresh) in [
            ("Tue, 19 Jan 2038 14:14:08 GMT", true),
            ("Sun, 21 Nov 2286 04:46:39 GMT", true),
            ("Wednesday, 18-Aug-38 02:01:18 GMT", true),
            ("Thu Aug  8 02:01:18 2050", true),
            ("THU, 18 Aug 2050 02:01:18 GMT", true),
            ("Thu, 18 AUG 2050 02:01:18 GMT", true),
            ("Thu, 18 Aug 2050 02:01:18 gMT", true),
            ("Thu, 18 Aug 2050 02:01:18 UTC", false),
            ("Thu, 18 Aug 2050 02:01:18 AEST", false),
            ("Thu, 18 Aug 50 02:01:18 GMT", false),
            ("Thu 18 Aug 2050 02:01:18 GMT", false),
            ("Thu, 18  Aug  2050 02:01:18 GMT", false),
            ("Thu, 18-Aug-2050 02:01:18 GMT", false),
            ("Thu, 18 Aug 2050 02.01.18 GMT", false),
            ("Thu, 18 Aug 2050 2:01:18 GMT", false),
        ] {
            let lifetime = lifetime(&[("expires", Text(text)), ("date", At(0))]);
            assert_eq!(left(&lifetime) > 0, is_fresh, "{text}");
        }
    }

    #[test]
    fn age_is_read_as_the_suite_age_parse_asks() {
        for (case, lines, seconds) in [
            ("age-parse-nonnumeric", &["abc"][..], 0),
            ("age-parse-negative", &["-7200"], 0),
            ("age-parse-float", &["7200.0"], 0),
            ("age-parse-large-minus-one", &["2147483647"], 2_147_483_647),
            ("age-parse-large", &["2147483648"], 2_147_483_648),
            ("age-parse-larger", &["2147483649"], 2_147_483_648),
            ("beyond u64", &["99999999999999999999999"], 2_147_483_648),
            ("age-parse-suffix", &["7200, 0"], 7_200),
            ("age-parse-prefix", &["0, 7200"], 0),
            ("age-parse-suffix-twoline", &["7200", "0"], 7_200),
            ("age-parse-prefix-twoline", &["0", "7200"], 0),
            ("age-parse-dup-0", &["0, 0"], 0),
            ("age-parse-dup-0-twoline", &["0", "0"], 0),
            ("age-parse-dup-old", &["3600", "3600"], 3_600),
            ("age-parse-parameter", &["7200;foo=bar"], 0),
        ] {
            let mut all = vec![("date", At(0)), cc("max-age=3600")];
            all.extend(lines.iter().map(|line| ("age", Text(line))));
            assert_eq!(lifetime(&all).age_seconds(START), seconds, "{case}");
        }
    }

    #[test]
    fn age_grows_from_the_largest_of_what_is_known() {
        let headers = headers(&[("date", At(-7)), ("age", Text("5"))]);
        let times = |delay| Times {
            requested: START,
            responded: START + Duration::from_secs(delay),
            responded_wall: WallTime::at(EPOCH + Duration::from_millis(900)),
        };
        let of = |delay| {
            let response = Received { status: StatusCode::OK, headers: &headers, times: times(delay) };
            Lifetime::of(&response, &Control::default(), &Policy::PLAIN)
        };
        assert_eq!(of(0).age_seconds(START), 7, "apparent age: Date is seven seconds ago");
        assert_eq!(of(4).age_seconds(after(4)), 9, "corrected age: five, and four on the way");
        assert_eq!(of(4).age_seconds(after(14)), 19, "resident for ten more");
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nothing_younger_than_zero() {
        let lifetime = lifetime(&[("date", At(3_600)), cc("max-age=60")]);
        assert_eq!(lifetime.age_seconds(START), 0);
        assert_eq!(lifetime.age_seconds(Tick::default()), 0, "a tick before receipt counts as receipt");
        assert_eq!(left(&lifetime), 57);
    }

    #[test]
    fn a_guess_is_a_tenth_of_the_time_since_the_last_change() {
        for (delta, seconds) in [(50, 2), (600, 57), (86_400, 8_637), (864_000, 86_397), (100_000_000, 86_397)] {
            let lines = [("last-modified", At(-delta)), ("date", At(0))];
            assert_eq!(left(&lifetime(&lines)), seconds, "{delta}");
        }
        assert_eq!(left(&lifetime(&[("last-modified", At(50)), ("date", At(0))])), 0);
    }

    #[test]
    fn guesses_are_for_some_statuses_only_and_never_for_media() {
        let lines = || [("last-modified", At(-86_400)), ("date", At(0))];
        for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
            assert!(left(&lifetime_with(status, &lines(), &Policy::PLAIN)) > 0, "{status}");
        }
        for status in [201, 202, 302, 307, 403, 500, 502, 503, 504, 599] {
            assert_eq!(left(&lifetime_with(status, &lines(), &Policy::PLAIN)), 0, "{status}");
        }
        let public = [("last-modified", At(-86_400)), ("date", At(0)), cc("public")];
        assert!(left(&lifetime_with(599, &public, &Policy::PLAIN)) > 0);
        assert_eq!(left(&lifetime_with(200, &lines(), &Policy::MEDIA)), 0);
    }

    #[test]
    fn stale_windows_open_when_freshness_ends_and_close_for_good() {
        let lifetime =
            lifetime(&[("etag", Text("\"a\"")), cc("max-age=2, stale-while-revalidate=4, stale-if-error=8")]);
        let seconds = Duration::from_secs;
        assert_eq!(lifetime.freshness(after(1)), Freshness::Fresh { left: seconds(1) });
        for (at, age, while_asking, usable_for) in
            [(2, 0, 4, 8), (5, 3, 1, 5), (6, 4, 0, 4), (10, 8, 0, 0), (99, 97, 0, 0)]
        {
            let stale = Freshness::Stale {
                age: seconds(age),
                while_asking: seconds(while_asking),
                usable_for: seconds(usable_for),
            };
            assert_eq!(lifetime.freshness(after(at)), stale, "after {at} s");
        }
        assert_eq!(lifetime.ttl(after(1)), 1);
        assert_eq!(lifetime.ttl(after(5)), -3);
    }

    #[test]
    fn nothing_stale_is_used_where_the_origin_forbids_it() {
        let windows = "stale-while-revalidate=60, stale-if-error=60";
        let policy = Policy { disconnected: Duration::from_secs(60), ..Policy::PLAIN };
        for (line, usable) in [
            ("max-age=2", 60),
            ("max-age=2, must-revalidate", 0),
            ("max-age=2, proxy-revalidate", 0),
            ("max-age=2, no-cache", 0),
            ("max-age=2, s-maxage=2", 0),
            ("max-age=2, stale-if-error=0", 0),
        ] {
            for extra in ["", windows] {
                let lines = [("etag", Text("\"a\"")), cc(line), cc(extra)];
                let lifetime = lifetime_with(200, &lines, &policy);
                let Freshness::Stale { while_asking, usable_for, .. } = lifetime.freshness(after(3)) else {
                    panic!("{line} is stale after 3 s")
                };
                let is_usable = !usable_for.is_zero();
                assert_eq!(is_usable, usable > 0, "{line} {extra}");
                assert!(usable > 0 || line.contains("stale-if-error") || while_asking.is_zero(), "{line} {extra}");
            }
        }
    }

    #[test]
    fn what_was_fresh_stands_in_for_an_origin_that_is_away_but_not_for_its_errors() {
        let window = Policy::PLAIN.disconnected;
        for (line, is_usable) in [("max-age=2", true), ("max-age=0", false), ("", false), ("s-maxage=2", false)] {
            let lifetime = lifetime(&[cc(line), ("etag", Text("\"a\""))]);
            let Freshness::Stale { usable_for, .. } = lifetime.freshness(after(3)) else { panic!("{line} is stale") };
            assert_eq!(!usable_for.is_zero(), is_usable, "{line}");
            assert!(!lifetime.covers_errors(after(3)), "{line}");
            let Freshness::Stale { usable_for, .. } = lifetime.freshness(after(3) + window) else { panic!("{line}") };
            assert!(usable_for.is_zero(), "{line}");
        }
        let said = lifetime(&[cc("max-age=2, stale-if-error=8")]);
        assert!(said.covers_errors(after(9)) && !said.covers_errors(after(10)));
    }

    #[test]
    fn stale_without_a_validator_is_of_no_use_once_its_windows_are_over() {
        let bare = lifetime(&[cc("max-age=2, stale-if-error=3")]);
        assert!(matches!(bare.freshness(after(4)), Freshness::Stale { .. }));
        assert_eq!(bare.freshness(after(5)), Freshness::Unusable);
        let modified = lifetime(&[cc("max-age=2"), ("last-modified", At(-5))]);
        assert!(matches!(modified.freshness(after(99)), Freshness::Stale { .. }));
    }

    #[test]
    fn what_has_expired_by_order_can_only_be_validated() {
        let mut lifetime = lifetime(&[cc("max-age=60, stale-while-revalidate=60"), ("etag", Text("\"a\""))]);
        assert!(matches!(lifetime.freshness(after(1)), Freshness::Fresh { .. }));
        lifetime.expire();
        let Freshness::Stale { while_asking, usable_for, .. } = lifetime.freshness(after(1)) else { panic!("stale") };
        assert_eq!((while_asking, usable_for), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn immutable_is_remembered() {
        assert!(lifetime(&[cc("max-age=60, immutable"), ("etag", Text("\"a\""))]).is_immutable());
        assert!(!lifetime(&[cc("max-age=60"), ("etag", Text("\"a\""))]).is_immutable());
    }

    proptest! {
        #[test]
        fn time_never_makes_a_response_fresher(
            line in "(max-age|s-maxage|stale-while-revalidate|stale-if-error)=[0-9]{1,3}(, (no-cache|immutable))?",
            age in "[0-9]{1,3}",
            earlier in 0u64..2_000,
            later in 0u64..2_000,
        ) {
            let mut headers = HeaderMap::new();
            headers.insert("cache-control", HeaderValue::try_from(line).unwrap());
            headers.insert("age", HeaderValue::try_from(age).unwrap());
            let times = Times { requested: START, responded: START, responded_wall: WallTime::at(EPOCH) };
            let response = Received { status: StatusCode::OK, headers: &headers, times };
            let lifetime = Lifetime::of(&response, &Control::of(&headers, &TARGETS), &Policy::PLAIN);
            let (earlier, later) = (after(earlier.min(later)), after(earlier.max(later)));
            prop_assert!(lifetime.age(earlier) <= lifetime.age(later));
            let rank = |now| match lifetime.freshness(now) {
                Freshness::Fresh { .. } => 0,
                Freshness::Stale { .. } => 1,
                Freshness::Unusable => 2,
            };
            prop_assert!(rank(earlier) <= rank(later));
        }
    }
}

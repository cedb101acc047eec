//! What may be stored, and what may be shared while it still arrives (RFC 9111 §3, §4).
//!
//! The two questions differ: a response that no cache may keep can still answer those who were waiting when it began,
//! as long as nothing in it is meant for one of them alone.

use http::header::{AUTHORIZATION, COOKIE, EXPIRES, SET_COOKIE, VARY};
use http::{HeaderMap, Method, StatusCode};

use super::control::{Control, Directive, Source, TARGETS};
use super::freshness::{Freshness, Lifetime, Policy, Received};
use super::partial::Held;
use crate::rules::fields::list;

/// What matters of the request that a response answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestFacts {
    /// Its method, as the origin saw it.
    pub method: Method,
    /// What the origin saw of whoever asked.
    pub credentials: Credentials,
    /// Whether the viewer said `no-store` and is heard (§5.2.1.5).
    pub no_store: bool,
}

/// What a request says of the one who sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing.
    None,
    /// Cookies, to which an answer may be fitted though no Vary says so: only what is fresh is another's as well.
    Cookie,
    /// Authorization: only what the response opens is another's as well (RFC 9111 §3.5).
    Authorization,
}

impl Credentials {
    /// Those in `request`.
    pub fn of(request: &HeaderMap) -> Self {
        match (request.contains_key(AUTHORIZATION), request.contains_key(COOKIE)) {
            (true, _) => Self::Authorization,
            (false, true) => Self::Cookie,
            (false, false) => Self::None,
        }
    }

    /// Whether a request with these may be answered from `response`, whoever asked for it (RFC 9111 §3.5).
    pub fn may_be_answered_from(self, response: &HeaderMap) -> bool {
        self != Self::Authorization || Control::of(response, &TARGETS).permits_authorized()
    }
}

/// What is done with Set-Cookie in a response that could be shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetCookie {
    /// It is stored like any other field, as the standard has it, where the origin says for how long: a guess would hand
    /// one viewer's cookie to others.
    #[default]
    Share,
    /// It is removed first: an object that many see carries none.
    Strip,
    /// A response that has it is neither stored nor shared.
    Bypass,
}

impl SetCookie {
    /// Whether a response with Set-Cookie may be kept for others.
    fn allows(self, response: &HeaderMap, control: &Control) -> bool {
        match self {
            Self::Share => has_explicit_lifetime(response, control),
            Self::Strip => true,
            Self::Bypass => false,
        }
    }
}

/// Why a response is not stored, or not shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum WhyNot {
    /// Answers to this method are not kept.
    #[error("only answers to GET are kept")]
    Method,
    /// It is interim, an answer to a condition, or a part of which no other request could get anything.
    #[error("this status is no whole answer of its own")]
    NotWhole,
    /// RFC 6585 forbids it.
    #[error("a response with this status is never stored")]
    Status,
    /// `must-understand` with a status of which no rule is known.
    #[error("must-understand, and the status is not understood")]
    NotUnderstood,
    /// `no-store` in response or request.
    #[error("no-store")]
    NoStore,
    /// `private`.
    #[error("private")]
    Private,
    /// The request had Authorization, and nothing in the response allows sharing.
    #[error("authorized, and neither public, must-revalidate nor s-maxage allows it")]
    Authorization,
    /// The request had cookies, and the response is not fresh for anybody else.
    #[error("asked for with cookies, and not fresh")]
    Cookie,
    /// It varies on everything.
    #[error("Vary is *")]
    VaryAll,
    /// It sets a cookie.
    #[error("it sets a cookie")]
    SetCookie,
    /// Nothing says that it may be kept.
    #[error("no lifetime, and no status that has one by default")]
    NoLifetime,
    /// It was out of date on arrival and is for those who waited alone.
    #[error("it must be validated before each use")]
    NotFresh,
    /// It is neither fresh nor identified by anything, so that it could never be used.
    #[error("it is neither fresh nor can it be validated")]
    OfNoUse,
}

/// Who may get a response while it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// All who ask while it arrives.
    Anyone,
    /// Those who asked before its head came, and nobody after; the reason is why.
    Waiting(WhyNot),
    /// Only the request that brought it; all others ask for themselves.
    Nobody(WhyNot),
}

/// Statuses with a lifetime of their own where none is given (RFC 9110 §15.1).
pub const fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// All that the head of a response decides about keeping it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How long it lives.
    pub lifetime: Lifetime,
    /// Whether it is stored once it is complete.
    pub storable: Result<(), WhyNot>,
    /// Who may get it while it arrives.
    pub sharing: Sharing,
}

/// Judges a response whose head has arrived: its lifetime, [`storable`], and [`shareable_in_flight`].
pub fn verdict(
    request: &RequestFacts,
    response: &Received<'_>,
    control: &Control,
    policy: &Policy,
    cookies: SetCookie,
) -> Verdict {
    let lifetime = Lifetime::of(response, control, policy);
    // What can neither be used nor validated is not worth its memory.
    let is_of_use = lifetime.freshness(response.times.responded) != Freshness::Unusable;
    let of_use = if is_of_use { Ok(()) } else { Err(WhyNot::OfNoUse) };
    Verdict {
        lifetime,
        storable: storable(request, response, control, cookies).and(of_use),
        sharing: shareable_in_flight(request, response, control, cookies, &lifetime),
    }
}

/// Whether the response may be stored (RFC 9111 §3).
pub fn storable(
    request: &RequestFacts,
    response: &Received<'_>,
    control: &Control,
    cookies: SetCookie,
) -> Result<(), WhyNot> {
    prohibition(request, response, control)?;
    let is_explicit = has_explicit_lifetime(response.headers, control);
    if response.headers.contains_key(SET_COOKIE) && !cookies.allows(response.headers, control) {
        return Err(WhyNot::SetCookie);
    }
    let has_lifetime = is_explicit || control.says(Directive::Public) || is_heuristically_cacheable(response.status);
    if has_lifetime { Ok(()) } else { Err(WhyNot::NoLifetime) }
}

/// Who may get a response while it arrives (RFC 9111 §4: a response that is storable may satisfy several requests).
/// Without any word about caching all may: they get what they would have got by asking at that moment.
pub fn shareable_in_flight(
    request: &RequestFacts,
    response: &Received<'_>,
    control: &Control,
    cookies: SetCookie,
    lifetime: &Lifetime,
) -> Sharing {
    if let Err(reason) = prohibition(request, response, control) {
        return match reason {
            // These statuses say something of the origin's load or the network's, not of one viewer.
            WhyNot::Status | WhyNot::NotUnderstood => Sharing::Waiting(reason),
            _ => Sharing::Nobody(reason),
        };
    }
    let has_lifetime = has_explicit_lifetime(response.headers, control);
    let is_fresh = matches!(lifetime.freshness(response.times.responded), Freshness::Fresh { .. });
    // A cookie that is not to be stored for others is not handed to those who wait either.
    let sets_cookie = cookies != SetCookie::Strip && response.headers.contains_key(SET_COOKIE);
    if sets_cookie && !(is_fresh && cookies.allows(response.headers, control)) {
        return Sharing::Nobody(WhyNot::SetCookie);
    }
    // What an error says is of the origin and not of one viewer.
    if request.credentials == Credentials::Cookie && !is_fresh && !response.status.is_server_error() {
        return Sharing::Nobody(WhyNot::Cookie);
    }
    if control.says(Directive::NoCache) || (has_lifetime && !is_fresh) {
        return Sharing::Waiting(WhyNot::NotFresh);
    }
    if !has_lifetime && !is_heuristically_cacheable(response.status) {
        return Sharing::Waiting(WhyNot::NoLifetime);
    }
    Sharing::Anyone
}

/// What forbids keeping the response, whatever its lifetime.
pub(super) fn prohibition(request: &RequestFacts, response: &Received<'_>, control: &Control) -> Result<(), WhyNot> {
    let Received { status, headers, .. } = *response;
    if request.method != Method::GET {
        return Err(WhyNot::Method);
    }
    match status.as_u16() {
        206 if Held::of(headers).is_some() => {}
        0..=199 | 206 | 304 => return Err(WhyNot::NotWhole),
        428 | 429 | 431 | 511 => return Err(WhyNot::Status),
        _ => {}
    }
    if control.says(Directive::MustUnderstand) && !is_understood(status) {
        return Err(WhyNot::NotUnderstood);
    }
    let no_store = control.says(Directive::NoStore) && !control.says(Directive::MustUnderstand);
    if request.no_store || no_store {
        return Err(WhyNot::NoStore);
    }
    if control.says(Directive::Private) {
        return Err(WhyNot::Private);
    }
    if request.credentials == Credentials::Authorization && !control.permits_authorized() {
        return Err(WhyNot::Authorization);
    }
    if list::field(headers, &VARY).any(|name| name == b"*") {
        return Err(WhyNot::VaryAll);
    }
    Ok(())
}

pub(super) fn has_explicit_lifetime(headers: &HeaderMap, control: &Control) -> bool {
    control.max_age.is_some()
        || control.s_maxage.is_some()
        || (control.source != Source::Targeted && headers.contains_key(EXPIRES))
}

/// Statuses whose caching rules are followed here (§5.2.2.3): all that RFC 9110 defines, partial ones excepted.
const fn is_understood(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200..=205 | 300..=303 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::clock::{Tick, WallTime};
    use crate::rules::caching::freshness::Times;

    const GET: RequestFacts = RequestFacts { method: Method::GET, credentials: Credentials::None, no_store: false };
    const AUTHORIZED: RequestFacts = RequestFacts { credentials: Credentials::Authorization, ..GET };
    const WITH_COOKIES: RequestFacts = RequestFacts { credentials: Credentials::Cookie, ..GET };

    fn judged(request: &RequestFacts, status: u16, lines: &[(&'static str, &'static str)]) -> Verdict {
        judged_with(request, status, lines, SetCookie::Share)
    }

    fn judged_with(
        request: &RequestFacts,
        status: u16,
        lines: &[(&'static str, &'static str)],
        cookies: SetCookie,
    ) -> Verdict {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let times = Times {
            requested: Tick::default(),
            responded: Tick::default(),
            responded_wall: WallTime::at(std::time::Duration::from_secs(1_763_000_000)),
        };
        let response = Received { status: StatusCode::from_u16(status).unwrap(), headers: &headers, times };
        verdict(request, &response, &Control::of(&headers, &TARGETS), &Policy::PLAIN, cookies)
    }

    fn stored(status: u16, cache_control: &'static str) -> Result<(), WhyNot> {
        judged(&GET, status, &[("cache-control", cache_control), ("etag", "\"a\"")]).storable
    }

    #[test]
    fn any_final_status_is_stored_with_an_explicit_lifetime() {
        for status in [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 403, 404, 410, 499, 500, 502, 503, 504, 599] {
            assert_eq!(stored(status, "max-age=3600"), Ok(()), "status-{status}-fresh");
            assert_eq!(stored(status, "s-maxage=3600"), Ok(()), "{status}");
        }
    }

    #[test]
    fn without_a_lifetime_only_some_statuses_are_stored() {
        for status in [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501] {
            assert_eq!(stored(status, ""), Ok(()), "heuristic-{status}-cached");
        }
        for status in [201, 202, 302, 307, 403, 500, 502, 503, 504, 599] {
            assert_eq!(stored(status, ""), Err(WhyNot::NoLifetime), "heuristic-{status}-not_cached");
            assert_eq!(stored(status, "public"), Ok(()), "{status}");
        }
    }

    #[test]
    fn partial_interim_and_conditional_answers_are_not_whole() {
        for status in [100, 102, 103, 206, 304] {
            let verdict = judged(&GET, status, &[("cache-control", "max-age=60")]);
            assert_eq!(verdict.storable, Err(WhyNot::NotWhole), "{status}");
            assert_eq!(verdict.sharing, Sharing::Nobody(WhyNot::NotWhole), "{status}");
        }
    }

    #[test]
    fn statuses_of_rfc_6585_are_never_stored() {
        for status in [428, 429, 431, 511] {
            assert_eq!(stored(status, "max-age=60, public"), Err(WhyNot::Status), "{status}");
        }
    }

    #[test]
    fn prohibitions_win_over_lifetimes() {
        for (line, reason) in [
            ("no-store", WhyNot::NoStore),
            ("max-age=3600, No-StOrE", WhyNot::NoStore),
            ("no-store, public, s-maxage=60", WhyNot::NoStore),
            ("private, max-age=3600", WhyNot::Private),
            (r#"private="a, b", max-age=3600"#, WhyNot::Private),
        ] {
            assert_eq!(stored(200, line), Err(reason), "{line}");
        }
        let no_store = RequestFacts { no_store: true, ..GET };
        assert_eq!(judged(&no_store, 200, &[("cache-control", "max-age=60")]).storable, Err(WhyNot::NoStore));
        let post = RequestFacts { method: Method::POST, ..GET };
        let explicit = [("cache-control", "max-age=60"), ("content-location", "/")];
        assert_eq!(judged(&post, 200, &explicit).storable, Err(WhyNot::Method));
        for vary in ["*", "a, *", ", *"] {
            let verdict = judged(&GET, 200, &[("cache-control", "max-age=60"), ("vary", vary)]);
            assert_eq!(verdict.storable, Err(WhyNot::VaryAll));
            assert_eq!(verdict.sharing, Sharing::Nobody(WhyNot::VaryAll));
        }
    }

    #[test]
    fn must_understand_lifts_no_store_for_statuses_that_are_understood() {
        assert_eq!(stored(200, "max-age=3600, no-store, must-understand"), Ok(()));
        assert_eq!(stored(599, "max-age=3600, no-store, must-understand"), Err(WhyNot::NotUnderstood));
        assert_eq!(stored(599, "max-age=3600, must-understand"), Err(WhyNot::NotUnderstood));
    }

    #[test]
    fn authorized_answers_are_stored_only_where_the_response_allows_it() {
        for (line, storable) in [
            ("max-age=3600", Err(WhyNot::Authorization)),
            ("max-age=3600, public", Ok(())),
            ("max-age=3600, must-revalidate", Ok(())),
            ("s-maxage=3600", Ok(())),
            ("max-age=3600, proxy-revalidate", Err(WhyNot::Authorization)),
        ] {
            assert_eq!(judged(&AUTHORIZED, 200, &[("cache-control", line)]).storable, storable, "{line}");
        }
    }

    #[test]
    fn expires_allows_storing_unless_a_targeted_field_speaks() {
        let expires = ("expires", "Thu, 18 Aug 2050 02:01:18 GMT");
        assert_eq!(judged(&GET, 500, &[expires]).storable, Ok(()));
        let targeted = [expires, ("cdn-cache-control", "none")];
        assert_eq!(judged(&GET, 500, &targeted).storable, Err(WhyNot::NoLifetime));
        let beaten = [("cache-control", "no-store"), ("cdn-cache-control", "max-age=10000")];
        assert_eq!(judged(&GET, 200, &beaten).storable, Ok(()));
    }

    #[test]
    fn what_could_never_be_used_is_not_stored() {
        assert_eq!(judged(&GET, 200, &[]).storable, Err(WhyNot::OfNoUse));
        assert_eq!(judged(&GET, 200, &[("cache-control", "no-cache")]).storable, Err(WhyNot::OfNoUse));
        assert_eq!(judged(&GET, 200, &[("etag", "\"a\"")]).storable, Ok(()));
        assert_eq!(judged(&GET, 200, &[("cache-control", "max-age=1")]).storable, Ok(()));
    }

    #[test]
    fn cookies_follow_the_route() {
        let lines = [("cache-control", "max-age=60"), ("set-cookie", "a=b")];
        for (cookies, storable, sharing) in [
            (SetCookie::Share, Ok(()), Sharing::Anyone),
            (SetCookie::Strip, Ok(()), Sharing::Anyone),
            (SetCookie::Bypass, Err(WhyNot::SetCookie), Sharing::Nobody(WhyNot::SetCookie)),
        ] {
            let verdict = judged_with(&GET, 200, &lines, cookies);
            assert_eq!((verdict.storable, verdict.sharing), (storable, sharing), "{cookies:?}");
        }
        for (line, sharing) in [
            ("", Sharing::Nobody(WhyNot::SetCookie)),
            ("public", Sharing::Nobody(WhyNot::SetCookie)),
            ("max-age=0", Sharing::Nobody(WhyNot::SetCookie)),
        ] {
            let lines = [("cache-control", line), ("set-cookie", "a=b"), ("etag", "\"a\"")];
            let verdict = judged(&GET, 200, &lines);
            let guessed = if line == "max-age=0" { Ok(()) } else { Err(WhyNot::SetCookie) };
            assert_eq!((verdict.storable, verdict.sharing), (guessed, sharing), "{line}");
        }
    }

    #[test]
    fn what_was_asked_for_with_cookies_is_others_only_while_it_is_fresh() {
        for (status, line, sharing) in [
            (200, "max-age=60", Sharing::Anyone),
            (200, "", Sharing::Nobody(WhyNot::Cookie)),
            (200, "no-cache", Sharing::Nobody(WhyNot::Cookie)),
            (404, "", Sharing::Nobody(WhyNot::Cookie)),
            (503, "", Sharing::Waiting(WhyNot::NoLifetime)),
            (200, "private", Sharing::Nobody(WhyNot::Private)),
        ] {
            assert_eq!(judged(&WITH_COOKIES, status, &[("cache-control", line)]).sharing, sharing, "{status} {line}");
        }
    }

    #[test]
    fn who_asks_decides_what_may_answer() {
        let lines =
            |line: &'static str| HeaderMap::from_iter([(http::header::CACHE_CONTROL, HeaderValue::from_static(line))]);
        for (line, opens) in [("max-age=60", false), ("public", true), ("s-maxage=1", true), ("must-revalidate", true)]
        {
            assert_eq!(Credentials::Authorization.may_be_answered_from(&lines(line)), opens, "{line}");
            assert!(Credentials::Cookie.may_be_answered_from(&lines(line)));
        }
        let both = HeaderMap::from_iter([
            (COOKIE, HeaderValue::from_static("a=b")),
            (AUTHORIZATION, HeaderValue::from_static("x")),
        ]);
        assert_eq!(Credentials::of(&both), Credentials::Authorization);
        assert_eq!(Credentials::of(&HeaderMap::new()), Credentials::None);
    }

    #[test]
    fn what_arrives_is_shared_unless_it_is_meant_for_one() {
        let sharing = |status, line| judged(&GET, status, &[("cache-control", line)]).sharing;
        for (status, line, expected) in [
            (200, "", Sharing::Anyone),
            (404, "", Sharing::Anyone),
            (200, "max-age=60", Sharing::Anyone),
            (503, "max-age=1", Sharing::Anyone),
            (200, "max-age=0", Sharing::Waiting(WhyNot::NotFresh)),
            (200, "no-cache", Sharing::Waiting(WhyNot::NotFresh)),
            (200, "no-cache, max-age=60", Sharing::Waiting(WhyNot::NotFresh)),
            (503, "", Sharing::Waiting(WhyNot::NoLifetime)),
            (502, "", Sharing::Waiting(WhyNot::NoLifetime)),
            (429, "", Sharing::Waiting(WhyNot::Status)),
            (200, "no-store", Sharing::Nobody(WhyNot::NoStore)),
            (503, "no-store", Sharing::Nobody(WhyNot::NoStore)),
            (200, "private", Sharing::Nobody(WhyNot::Private)),
        ] {
            assert_eq!(sharing(status, line), expected, "{status} {line}");
        }
        assert_eq!(judged(&AUTHORIZED, 200, &[]).sharing, Sharing::Nobody(WhyNot::Authorization));
        assert_eq!(judged(&GET, 200, &[("expires", "0")]).sharing, Sharing::Waiting(WhyNot::NotFresh));
        let old = [("cache-control", "max-age=60"), ("age", "61")];
        assert_eq!(judged(&GET, 200, &old).sharing, Sharing::Waiting(WhyNot::NotFresh));
    }
}

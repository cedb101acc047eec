//! Cross-origin reads (the Fetch standard's CORS protocol): what a browser's script on another site may do. The edge
//! answers for its routes: fields of the origin are replaced, never doubled, on errors too. What does not depend on the
//! request is written once, when the configuration is read.

use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, AGE, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    DATE, ETAG, ORIGIN, RETRY_AFTER, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::rules::fields::cache_status::CACHE_STATUS;
use crate::rules::fields::list::{self, Members, is_token};

/// The longest list of request fields that a preflight may ask for.
const MOST_REQUESTED: usize = 1_024;

/// Fields that scripts of players read: what the edge says of an answer.
const OWN_FIELDS: [HeaderName; 14] = [
    AGE,
    CACHE_STATUS,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    DATE,
    ETAG,
    RETRY_AFTER,
    HeaderName::from_static("server-timing"),
    // What players choose what they load by (CTA-5006).
    HeaderName::from_static("cmsd-static"),
    HeaderName::from_static("cmsd-dynamic"),
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("weir-session"),
    HeaderName::from_static("weir-support-code"),
    // The token that follows the viewer's own.
    HeaderName::from_static("cta-common-access-token"),
];

const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");

/// What players say of themselves with every request (CTA-5004-B §3.1): a list of the operator's is not meant to stop
/// playback.
const CMCD: [HeaderName; 4] = [
    HeaderName::from_static("cmcd-request"),
    HeaderName::from_static("cmcd-object"),
    HeaderName::from_static("cmcd-status"),
    HeaderName::from_static("cmcd-session"),
];

/// What comes with a player's reports.
const OF_REPORTS: [HeaderName; 4] =
    [AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName::from_static("cta-common-access-token")];

/// What the operator allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// Sites as browsers write them, or `null`; `*` alone allows all.
    pub origins: Vec<String>,
    /// Whether scripts may send cookies and read what comes back.
    pub credentials: Credentials,
    /// Request fields that scripts may send; empty: whatever they ask for.
    pub allow_headers: Vec<HeaderName>,
    /// Response fields that scripts may read beside our own; empty without credentials: all.
    pub expose_headers: Vec<HeaderName>,
    /// For how long a browser may remember the answer to a preflight.
    pub max_age: Duration,
}

/// Whether cookies cross sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// They do not.
    Omit,
    /// They do.
    Include,
}

/// A permission that would let any page read with a viewer's cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("credentials are not for every site: list the sites")]
pub struct CredentialsForAll;

/// A permission, ready to be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    sites: Sites,
    credentials: Credentials,
    allow_headers: Option<HeaderValue>,
    allow_with_reports: Option<HeaderValue>,
    expose_headers: HeaderValue,
    max_age: HeaderValue,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Sites {
    All,
    Listed(Box<[String]>),
}

/// Whether a request asks for permission instead of a resource: only such an OPTIONS is the edge's to answer.
pub fn is_preflight(method: &Method, request: &HeaderMap) -> bool {
    *method == Method::OPTIONS && request.contains_key(ORIGIN) && request.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

impl Cors {
    /// Makes `permission` ready.
    pub fn new(permission: &Permission) -> Result<Self, CredentialsForAll> {
        let is_for_all = permission.origins.iter().any(|site| site == "*");
        if is_for_all && permission.credentials == Credentials::Include {
            return Err(CredentialsForAll);
        }
        let exposes_all = permission.expose_headers.is_empty() && permission.credentials == Credentials::Omit;
        let expose_headers = match exposes_all {
            true => HeaderValue::from_static("*"),
            false => names(OWN_FIELDS.iter().chain(&permission.expose_headers)),
        };
        Ok(Self {
            sites: if is_for_all { Sites::All } else { Sites::Listed(permission.origins.clone().into()) },
            credentials: permission.credentials,
            allow_headers: listed(&permission.allow_headers, &CMCD),
            allow_with_reports: listed(&permission.allow_headers, &OF_REPORTS),
            expose_headers,
            max_age: HeaderValue::from(permission.max_age.as_secs()),
        })
    }

    /// The fields of the answer (204) to a preflight. A foreign site gets none that allow anything.
    pub fn preflight(&self, request: &HeaderMap) -> HeaderMap {
        let mut response = HeaderMap::new();
        if !self.allow(request, &mut response) {
            return response;
        }
        if let Some(method) = request.get(ACCESS_CONTROL_REQUEST_METHOD).filter(|method| is_forwarded(method)) {
            response.insert(ACCESS_CONTROL_ALLOW_METHODS, method.clone());
        }
        let asked = request.get(ACCESS_CONTROL_REQUEST_HEADERS).filter(|names| is_list_of_names(names));
        if let Some(names) = self.allow_headers.as_ref().or(asked) {
            response.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        response.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        response
    }

    /// The fields of the answer to a preflight of a player's reports: they are posted, with a type that needs one.
    pub fn preflight_of_reports(&self, request: &HeaderMap) -> HeaderMap {
        let mut response = self.preflight(request);
        if response.contains_key(ACCESS_CONTROL_ALLOW_METHODS) {
            response.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
            if let Some(names) = &self.allow_with_reports {
                response.insert(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
            }
        }
        response
    }

    /// Whether an answer is allowed to whoever asks.
    pub fn is_for(&self, request: &HeaderMap) -> bool {
        self.allow(request, &mut HeaderMap::new())
    }

    /// Puts the edge's fields in the place of the origin's on any answer, errors too.
    pub fn apply(&self, request: &HeaderMap, response: &mut HeaderMap) {
        let theirs = response.keys().filter(|name| name.as_str().starts_with("access-control-"));
        for name in theirs.cloned().collect::<Vec<_>>() {
            response.remove(name);
        }
        if self.allow(request, response) {
            response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, self.expose_headers.clone());
        }
    }

    /// Says to whom the answer is allowed; whether it is to the one who asks.
    fn allow(&self, request: &HeaderMap, response: &mut HeaderMap) -> bool {
        let Sites::Listed(sites) = &self.sites else {
            response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            return true;
        };
        // The answer differs by site, for foreign and same-origin requests too.
        if !list::field(response, &VARY).any(|name| name == b"*" || name.eq_ignore_ascii_case(b"origin")) {
            response.append(VARY, HeaderValue::from_static("Origin"));
        }
        let mut origins = request.get_all(ORIGIN).iter();
        let (Some(origin), None) = (origins.next(), origins.next()) else { return false };
        if !sites.iter().any(|site| site.as_bytes() == origin.as_bytes()) {
            return false;
        }
        response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if self.credentials == Credentials::Include {
            response.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        true
    }
}

/// Who may read an answer may know how long it took, and nobody else (Resource Timing, Timing-Allow-Origin). To be asked
/// once it is said who may read it.
pub fn share_times(response: &mut HeaderMap) {
    match response.get(ACCESS_CONTROL_ALLOW_ORIGIN).cloned() {
        Some(site) => _ = response.insert(TIMING_ALLOW_ORIGIN, site),
        None => _ = response.remove(TIMING_ALLOW_ORIGIN),
    }
}

/// What the operator lists, and what goes without saying; `None`: whatever is asked for.
fn listed(own: &[HeaderName], more: &[HeaderName]) -> Option<HeaderValue> {
    (!own.is_empty()).then(|| names(own.iter().chain(more.iter().filter(|name| !own.contains(name)))))
}

fn names<'n>(names: impl IntoIterator<Item = &'n HeaderName>) -> HeaderValue {
    let names: Vec<_> = names.into_iter().map(HeaderName::as_str).collect();
    HeaderValue::try_from(names.join(", ")).expect("names of fields are visible ASCII")
}

/// Every method but these two is forwarded.
fn is_forwarded(method: &HeaderValue) -> bool {
    is_token(method.as_bytes()) && method != "CONNECT" && method != "TRACE"
}

fn is_list_of_names(value: &HeaderValue) -> bool {
    value.len() <= MOST_REQUESTED && Members::of(value.as_bytes()).all(is_token)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LISTED: &str = "https://www.example.com";
    const FOREIGN: &str = "https://evil.example";

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn permission(origins: &[&str], credentials: Credentials) -> Permission {
        Permission {
            origins: origins.iter().map(|&site| site.to_owned()).collect(),
            credentials,
            allow_headers: Vec::new(),
            expose_headers: Vec::new(),
            max_age: Duration::from_secs(7_200),
        }
    }

    fn cors(origins: &[&str], credentials: Credentials) -> Cors {
        Cors::new(&permission(origins, credentials)).unwrap()
    }

    fn field<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
        assert!(headers.get_all(name).iter().count() <= 1, "{name} is not doubled");
        headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn exactly_the_allowed_sites_are_named() {
        use Credentials::{Include, Omit};
        for (sites, credentials, origin, allowed, with_cookies, vary) in [
            (&["*"][..], Omit, Some(FOREIGN), Some("*"), None, None),
            (&["*"], Omit, Some("null"), Some("*"), None, None),
            (&["*"], Omit, None, Some("*"), None, None),
            (&[LISTED], Omit, Some(LISTED), Some(LISTED), None, Some("Origin")),
            (&[LISTED], Include, Some(LISTED), Some(LISTED), Some("true"), Some("Origin")),
            (&[LISTED], Include, Some(FOREIGN), None, None, Some("Origin")),
            (&[LISTED], Include, Some("null"), None, None, Some("Origin")),
            (&[LISTED], Include, Some("https://www.example.com:8443"), None, None, Some("Origin")),
            (&[LISTED], Include, Some("http://www.example.com"), None, None, Some("Origin")),
            (&[LISTED], Include, Some("https://WWW.example.com"), None, None, Some("Origin")),
            (&[LISTED, "null"], Omit, Some("null"), Some("null"), None, Some("Origin")),
            (&[LISTED], Include, None, None, None, Some("Origin")),
            (&[], Omit, Some(LISTED), None, None, Some("Origin")),
        ] {
            let request = origin.map_or_else(HeaderMap::new, |origin| headers(&[("origin", origin)]));
            let mut response = HeaderMap::new();
            cors(sites, credentials).apply(&request, &mut response);
            assert_eq!(field(&response, "access-control-allow-origin"), allowed, "{sites:?} {origin:?}");
            assert_eq!(field(&response, "access-control-allow-credentials"), with_cookies, "{sites:?} {origin:?}");
            assert_eq!(field(&response, "vary"), vary, "{sites:?} {origin:?}");
            assert_eq!(response.contains_key("access-control-expose-headers"), allowed.is_some());
            response.insert(TIMING_ALLOW_ORIGIN, HeaderValue::from_static("https://old.example"));
            share_times(&mut response);
            assert_eq!(field(&response, "timing-allow-origin"), allowed, "{sites:?} {origin:?}");
        }
    }

    #[test]
    fn the_origins_own_fields_are_replaced() {
        let mut response = headers(&[
            ("access-control-allow-origin", "https://old.example"),
            ("access-control-allow-origin", "*"),
            ("access-control-allow-credentials", "true"),
            ("access-control-expose-headers", "x"),
            ("access-control-max-age", "1"),
            ("access-control-allow-private-network", "true"),
            ("content-type", "text/plain"),
        ]);
        cors(&["*"], Credentials::Omit).apply(&HeaderMap::new(), &mut response);
        assert_eq!(field(&response, "access-control-allow-origin"), Some("*"));
        assert_eq!(field(&response, "access-control-expose-headers"), Some("*"));
        assert_eq!(response.len(), 3);
    }

    #[test]
    fn origin_is_added_to_vary_once() {
        let cors = cors(&[LISTED], Credentials::Omit);
        for (vary, lines) in [("Accept-Encoding", 2), ("accept-encoding, ORIGIN", 1), ("*", 1)] {
            let mut response = headers(&[("vary", vary)]);
            cors.apply(&headers(&[("origin", LISTED)]), &mut response);
            cors.apply(&headers(&[("origin", LISTED)]), &mut response);
            assert_eq!(response.get_all(VARY).iter().count(), lines, "{vary}");
        }
    }

    #[test]
    fn two_origins_are_none() {
        let mut response = HeaderMap::new();
        let request = headers(&[("origin", LISTED), ("origin", LISTED)]);
        cors(&[LISTED], Credentials::Omit).apply(&request, &mut response);
        assert_eq!(field(&response, "access-control-allow-origin"), None);
    }

    #[test]
    fn credentials_for_every_site_are_refused() {
        assert_eq!(Cors::new(&permission(&["*"], Credentials::Include)), Err(CredentialsForAll));
        assert_eq!(Cors::new(&permission(&[LISTED, "*"], Credentials::Include)), Err(CredentialsForAll));
    }

    #[test]
    fn only_options_with_a_requested_method_is_a_preflight() {
        let (origin, method) = (("origin", LISTED), ("access-control-request-method", "GET"));
        assert!(is_preflight(&Method::OPTIONS, &headers(&[origin, method])));
        assert!(!is_preflight(&Method::OPTIONS, &headers(&[origin])));
        assert!(!is_preflight(&Method::OPTIONS, &headers(&[method])));
        assert!(!is_preflight(&Method::GET, &headers(&[origin, method])));
    }

    #[test]
    fn a_preflight_allows_what_was_asked_for() {
        let ask = |origin, method, names| {
            headers(&[
                ("origin", origin),
                ("access-control-request-method", method),
                ("access-control-request-headers", names),
            ])
        };
        let all = cors(&["*"], Credentials::Omit);
        let answer = all.preflight(&ask(FOREIGN, "GET", "range, cmcd-object"));
        assert_eq!(field(&answer, "access-control-allow-origin"), Some("*"));
        assert_eq!(field(&answer, "access-control-allow-methods"), Some("GET"));
        assert_eq!(field(&answer, "access-control-allow-headers"), Some("range, cmcd-object"));
        assert_eq!(field(&answer, "access-control-max-age"), Some("7200"));
        let odd = all.preflight(&ask(FOREIGN, "TRACE", "a b"));
        assert_eq!(field(&odd, "access-control-allow-methods"), None);
        assert_eq!(field(&odd, "access-control-allow-headers"), None);
        let foreign = cors(&[LISTED], Credentials::Include).preflight(&ask(FOREIGN, "GET", "range"));
        assert_eq!(foreign.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["vary"]);
        let listed = cors(&[LISTED], Credentials::Include).preflight(&ask(LISTED, "PUT", "range"));
        assert_eq!(field(&listed, "access-control-allow-credentials"), Some("true"));
        assert_eq!(field(&listed, "access-control-allow-methods"), Some("PUT"));
    }

    #[test]
    fn listed_fields_are_allowed_and_exposed_beside_our_own() {
        let own = Cors::new(&Permission {
            allow_headers: vec![http::header::RANGE, http::header::AUTHORIZATION],
            expose_headers: vec![HeaderName::from_static("x-own")],
            ..permission(&[LISTED], Credentials::Include)
        })
        .unwrap();
        let request = headers(&[("origin", LISTED), ("access-control-request-headers", "x-other")]);
        let answer = own.preflight(&request);
        assert_eq!(
            field(&answer, "access-control-allow-headers"),
            Some("range, authorization, cmcd-request, cmcd-object, cmcd-status, cmcd-session")
        );
        let mut response = HeaderMap::new();
        own.apply(&request, &mut response);
        let exposed = field(&response, "access-control-expose-headers").unwrap();
        assert!(exposed.starts_with("age, cache-status, ") && exposed.ends_with(", x-own"), "{exposed}");
        assert!(exposed.contains(", server-timing, cmsd-static, cmsd-dynamic, "), "{exposed}");
    }

    proptest! {
        #[test]
        fn any_origin_is_answered_without_a_panic_and_with_one_field(
            bytes in proptest::collection::vec(any::<u8>().prop_filter("a field value", |b| *b >= 32 && *b != 127), 0..40)
        ) {
            let mut request = HeaderMap::new();
            for name in [ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, ACCESS_CONTROL_REQUEST_HEADERS] {
                request.insert(name, HeaderValue::from_bytes(&bytes).unwrap());
            }
            for sites in [&["*"][..], &[LISTED, "null"]] {
                let cors = cors(sites, Credentials::Omit);
                cors.preflight(&request);
                let mut response = HeaderMap::new();
                cors.apply(&request, &mut response);
                prop_assert!(response.get_all(ACCESS_CONTROL_ALLOW_ORIGIN).iter().count() <= 1);
            }
        }
    }
}

//! A request as the edge has it, and as an origin gets it: base path, Host, the fields that the operator sets.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body::Body;

use crate::config::{HostHeader, Origin, OriginScheme};
use crate::origin::course::Course;
use crate::outbound::dial::Protocol;
use crate::outbound::payload::{Payload, Source};

/// A request for an origin group.
pub struct Ask {
    /// The method.
    pub method: Method,
    /// Path and query as the edge asks for them, before an origin's base path.
    pub path_and_query: PathAndQuery,
    /// End-to-end fields. Host, Content-Length and Transfer-Encoding are written here, whatever they hold.
    pub headers: HeaderMap,
    /// What the viewer called the edge, for origins with `host = "viewer"`.
    pub viewer_authority: Option<String>,
    /// The body; `None`: none.
    pub body: Option<Source>,
    /// The deadline for the head of the answer where it is longer than the origin's own: an origin may hold a
    /// blocking playlist reload.
    pub first_byte: Option<Duration>,
    /// Whose request it is, and who may answer it.
    pub course: Course,
}

/// Fields that are never the operator's to set or remove: framing, routing and loop detection (RFC 8586 §2).
const NOT_CUSTOM: [&str; 5] = ["host", "content-length", "transfer-encoding", "connection", "cdn-loop"];

impl Ask {
    /// Whether it may be sent again after a failure that left no answer (RFC 9110 §9.2.2): idempotent, without a body.
    pub(super) fn is_repeatable(&self) -> bool {
        self.method.is_idempotent() && self.body.is_none()
    }

    /// The request for `origin` over `protocol`; `None` where its target is too long to be written.
    pub(super) fn written(&self, origin: &Origin, protocol: Protocol, payload: Payload) -> Option<Request<Payload>> {
        let target = target(&origin.base_path, &self.path_and_query)?;
        let host = self.host(origin);
        let mut request = Request::new(payload);
        *request.method_mut() = self.method.clone();
        let mut headers = HeaderMap::with_capacity(self.headers.len() + 2);
        match protocol {
            Protocol::H1 => {
                *request.uri_mut() = Uri::from(target);
                headers.insert(HOST, HeaderValue::from_str(&host).ok()?);
            }
            Protocol::H2 => {
                let mut parts = http::uri::Parts::default();
                parts.scheme = Some(scheme(origin));
                parts.authority = Some(Authority::try_from(host).ok()?);
                parts.path_and_query = Some(target);
                *request.uri_mut() = Uri::from_parts(parts).ok()?;
            }
        }
        self.copy_fields(origin, &mut headers);
        if request.body().is_end_stream() && expects_body(&self.method) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        *request.headers_mut() = headers;
        Some(request)
    }

    fn copy_fields(&self, origin: &Origin, headers: &mut HeaderMap) {
        let dropped = |name: &HeaderName| {
            *name == HOST
                || *name == CONTENT_LENGTH
                || *name == TRANSFER_ENCODING
                || (is_custom(name) && origin.remove_headers.contains(name))
        };
        for (name, value) in &self.headers {
            if !dropped(name) {
                headers.append(name.clone(), value.clone());
            }
        }
        for (name, value) in origin.set_headers.iter().filter(|(name, _)| is_custom(name)) {
            headers.insert(name.clone(), value.clone());
        }
    }

    fn host(&self, origin: &Origin) -> String {
        match &origin.host_header {
            HostHeader::Name(name) => name.clone(),
            HostHeader::Viewer => self.viewer_authority.clone().unwrap_or_else(|| authority(origin)),
            HostHeader::Origin => authority(origin),
        }
    }
}

fn is_custom(name: &HeaderName) -> bool {
    !NOT_CUSTOM.contains(&name.as_str())
}

/// RFC 9110 §8.6: these are expected to have a body, so an empty one is said to be empty.
fn expects_body(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

fn scheme(origin: &Origin) -> Scheme {
    match origin.scheme {
        OriginScheme::Http => Scheme::HTTP,
        OriginScheme::Https => Scheme::HTTPS,
    }
}

/// Host and port as a URL writes them: brackets round IPv6, no default port.
fn authority(origin: &Origin) -> String {
    let host = if origin.host.contains(':') { format!("[{}]", origin.host) } else { origin.host.clone() };
    match (origin.scheme, origin.port) {
        (OriginScheme::Http, 80) | (OriginScheme::Https, 443) => host,
        (_, port) => format!("{host}:{port}"),
    }
}

/// `*` (OPTIONS for the server as a whole) has no path to put a base before.
fn target(base: &str, asked: &PathAndQuery) -> Option<PathAndQuery> {
    if base.is_empty() || asked.path() == "*" {
        return Some(asked.clone());
    }
    let joined = Bytes::from([base, asked.as_str()].concat());
    PathAndQuery::from_maybe_shared(joined).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::tests::origin_at;

    fn ask(path: &'static str) -> Ask {
        Ask {
            method: Method::GET,
            path_and_query: PathAndQuery::from_static(path),
            headers: HeaderMap::new(),
            viewer_authority: Some("live.example.com".into()),
            body: None,
            first_byte: None,
            course: Course::default(),
        }
    }

    fn written(ask: &Ask, origin: &Origin, protocol: Protocol) -> Request<Payload> {
        ask.written(origin, protocol, Payload::none()).unwrap()
    }

    #[test]
    fn the_base_path_comes_before_the_path() {
        let origin = Origin { base_path: "/base".into(), ..origin_at(8080) };
        assert_eq!(written(&ask("/a.m3u8?x=1"), &origin, Protocol::H1).uri(), "/base/a.m3u8?x=1");
        assert_eq!(written(&ask("/a.m3u8?x=1"), &origin, Protocol::H2).uri(), "http://127.0.0.1:8080/base/a.m3u8?x=1");
    }

    #[test]
    fn the_host_is_the_origins_the_viewers_or_a_fixed_one() {
        let table = [
            (HostHeader::Origin, "127.0.0.1:8080"),
            (HostHeader::Viewer, "live.example.com"),
            (HostHeader::Name("inner.example".into()), "inner.example"),
        ];
        for (host_header, host) in table {
            let origin = Origin { host_header, ..origin_at(8080) };
            assert_eq!(written(&ask("/"), &origin, Protocol::H1).headers()[HOST], host);
            let over_h2 = written(&ask("/"), &origin, Protocol::H2);
            assert_eq!(over_h2.uri().authority().unwrap(), host);
            assert!(!over_h2.headers().contains_key(HOST));
        }
    }

    #[test]
    fn an_authority_is_written_as_in_a_url() {
        let six = Origin { host: "::1".into(), ..origin_at(8080) };
        assert_eq!(authority(&six), "[::1]:8080");
        let usual = Origin { scheme: OriginScheme::Https, host: "o.example".into(), ..origin_at(443) };
        assert_eq!(authority(&usual), "o.example");
    }

    #[test]
    fn the_operator_sets_and_removes_fields_but_not_those_of_framing() {
        let origin = Origin {
            set_headers: vec![
                (HeaderName::from_static("x-key"), HeaderValue::from_static("secret")),
                (HOST, HeaderValue::from_static("evil.example")),
                (HeaderName::from_static("cdn-loop"), HeaderValue::from_static("evil")),
            ],
            remove_headers: vec![http::header::COOKIE, HeaderName::from_static("cdn-loop")],
            ..origin_at(8080)
        };
        let mut ask = ask("/");
        ask.headers.insert("x-key", HeaderValue::from_static("viewer's"));
        ask.headers.insert("cookie", HeaderValue::from_static("a=b"));
        ask.headers.insert("cdn-loop", HeaderValue::from_static("edge"));
        ask.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("7"));
        ask.headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        let request = written(&ask, &origin, Protocol::H1);
        let mut fields: Vec<_> =
            request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        fields.sort_unstable();
        assert_eq!(fields, [("cdn-loop", "edge"), ("host", "127.0.0.1:8080"), ("x-key", "secret")]);
    }

    #[test]
    fn a_target_that_cannot_be_written_is_no_panic() {
        let origin = Origin { base_path: format!("/{}", "a".repeat(70_000)), ..origin_at(8080) };
        assert!(ask("/").written(&origin, Protocol::H1, Payload::none()).is_none());
    }
}

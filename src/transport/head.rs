//! A request as hyper read it → `Head`, or why it is a bad request. What octets alone show was refused beneath hyper
//! (`guard`); here are the rules about values: authority, target, fields (RFC 9110 §7, RFC 9112 §3.2, RFC 9113 §8.3).

use std::net::SocketAddr;

use http::header::{CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HOST, TRAILER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version, request};
use ipnet::IpNet;

use crate::clock::Tick;
use crate::outbound::interim::Interims;
use crate::request::{Caller, Head, Line, Notes, Protocol, Proxy, Refusal, Scheme, Viewer};
use crate::rules::forwarded::{self, Said};
use crate::rules::http1::Fault;
use crate::rules::uri;

/// Why a request is refused before anything else looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.detail())]
pub enum BadRequest {
    /// The octets of an HTTP/1.x request.
    Octets(Fault),
    /// No authority where there must be one.
    HostMissing,
    /// An authority that is no `host[:port]` (RFC 3986 §3.2), userinfo included.
    HostMalformed,
    /// `:authority` and Host differ (RFC 9113 §8.3.1).
    HostsDiffer,
    /// A target that is no path, or holds octets that a URI may not hold.
    Target,
    /// A value that begins or ends with a blank (RFC 9113 §8.2.1).
    FieldValue,
    /// Content-Length twice (RFC 9112 §6.3; what came in HTTP/2 was only compared).
    Lengths,
    /// More fields than the bound.
    TooManyFields,
    /// An expectation that is not `100-continue` (RFC 9110 §10.1.1).
    Expectation,
    /// CONNECT, which an edge does not do.
    Connect,
}

impl BadRequest {
    /// What is wrong, for the one who sent it.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::Octets(fault) => fault.detail(),
            Self::HostMissing => "the request names no host",
            Self::HostMalformed => "the request names its host wrongly",
            Self::HostsDiffer => ":authority and Host differ",
            Self::Target => "the request target is malformed",
            Self::FieldValue => "a field value begins or ends with a blank",
            Self::Lengths => Fault::ContentLength.detail(),
            Self::TooManyFields => "the request has too many fields",
            Self::Expectation => "the expectation is not known",
            Self::Connect => "CONNECT is not served here",
        }
    }

    /// The words of all of them, for metrics; [`BadRequest::index`] points into it.
    pub const WORDS: [&str; 10] = [
        "octets",
        "target-too-long",
        "head-too-large",
        "host-missing",
        "host-malformed",
        "hosts-differ",
        "target",
        "too-many-fields",
        "expectation",
        "connect",
    ];

    /// Its place in [`BadRequest::WORDS`].
    pub const fn index(self) -> usize {
        match self {
            Self::Octets(Fault::TargetTooLong) => 1,
            Self::Octets(Fault::HeadTooLarge) => 2,
            Self::Octets(_) | Self::FieldValue | Self::Lengths => 0,
            Self::HostMissing => 3,
            Self::HostMalformed => 4,
            Self::HostsDiffer => 5,
            Self::Target => 6,
            Self::TooManyFields => 7,
            Self::Expectation => 8,
            Self::Connect => 9,
        }
    }
}

impl From<BadRequest> for Refusal {
    fn from(bad: BadRequest) -> Self {
        match bad {
            BadRequest::Octets(Fault::TargetTooLong) => Self::TargetTooLong,
            BadRequest::Octets(Fault::HeadTooLarge) | BadRequest::TooManyFields => Self::HeadTooLarge,
            BadRequest::Octets(Fault::Coding) => Self::CodingUnknown,
            BadRequest::Octets(Fault::OtherVersion) => Self::VersionUnknown,
            BadRequest::Expectation => Self::ExpectationFailed,
            BadRequest::Connect => Self::MethodNotAllowed,
            BadRequest::Octets(_)
            | BadRequest::FieldValue
            | BadRequest::Lengths
            | BadRequest::HostMissing
            | BadRequest::HostMalformed
            | BadRequest::HostsDiffer
            | BadRequest::Target => Self::BadRequest(bad.detail()),
        }
    }
}

/// How a request came, beside its own octets.
#[derive(Clone, Debug)]
pub struct Arrival<'a> {
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// The peer, or what the PROXY protocol said.
    pub address: SocketAddr,
    /// Cleartext or TLS.
    pub scheme: Scheme,
    /// What carried it.
    pub protocol: Protocol,
    /// Who may say where a viewer comes from.
    pub trusted: &'a [IpNet],
    /// Fields at most.
    pub fields: usize,
    /// When the head was complete.
    pub received: Tick,
}

/// The protocol of a message version as hyper names it.
pub fn protocol(version: Version) -> Protocol {
    match version {
        Version::HTTP_10 | Version::HTTP_09 => Protocol::Http10,
        Version::HTTP_2 => Protocol::Http2,
        Version::HTTP_3 => Protocol::Http3,
        _ => Protocol::Http11,
    }
}

/// Checks a request's head and makes it ours.
pub fn read(parts: request::Parts, arrival: &Arrival<'_>) -> Result<Head, BadRequest> {
    let request::Parts { method, uri, mut headers, .. } = parts;
    if headers.len() > arrival.fields {
        return Err(BadRequest::TooManyFields);
    }
    if method == Method::CONNECT {
        return Err(BadRequest::Connect);
    }
    if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(BadRequest::Lengths);
    }
    if arrival.protocol == Protocol::Http2 && headers.values().any(has_blank_edge) {
        return Err(BadRequest::FieldValue);
    }
    expectation(&headers)?;
    let authority = authority(&uri, &headers, arrival.protocol)?;
    let (path, query) = target(&method, &uri)?;
    let origin = origin(&headers, arrival);
    strip(&method, &mut headers);
    join_cookies(&mut headers);
    Ok(Head {
        method,
        scheme: match origin.secure {
            Some(true) => Scheme::Https,
            Some(false) => Scheme::Http,
            None => arrival.scheme,
        },
        authority,
        path,
        query,
        headers,
        caller: Caller::Viewer,
        viewer: Viewer { peer: arrival.peer, address: origin.address, proxy: proxy(arrival) },
        protocol: arrival.protocol,
        received: arrival.received,
        interims: Interims::default(),
        notes: Notes::default(),
        line: Line::default(),
    })
}

/// HTTP/1 strips blanks round a value, so that no value that came by it has any.
pub(super) fn has_blank_edge(value: &HeaderValue) -> bool {
    let blank = |octet: Option<&u8>| matches!(octet, Some(b' ' | b'\t'));
    blank(value.as_bytes().first()) || blank(value.as_bytes().last())
}

pub(super) fn expectation(headers: &HeaderMap) -> Result<(), BadRequest> {
    let known = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if headers.get_all(EXPECT).iter().all(known) { Ok(()) } else { Err(BadRequest::Expectation) }
}

/// The authority of the target wins over Host (RFC 9112 §3.2.2); where they came in HTTP/2 or 3 they must agree
/// (RFC 9113 §8.3.1, RFC 9114 §4.3.1).
fn authority(uri: &Uri, headers: &HeaderMap, protocol: Protocol) -> Result<Option<String>, BadRequest> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(BadRequest::HostMalformed);
    }
    let host = host.map(|value| normal_authority(value.as_bytes())).transpose()?;
    let target = uri.authority().map(|authority| normal_authority(authority.as_str().as_bytes())).transpose()?;
    match (target, host, protocol) {
        (Some(target), Some(host), Protocol::Http2 | Protocol::Http3) if target != host => Err(BadRequest::HostsDiffer),
        (Some(target), ..) => Ok(Some(target)),
        (None, Some(host), _) => Ok(Some(host)),
        (None, None, Protocol::Http10) => Ok(None),
        (None, None, Protocol::Http11 | Protocol::Http2 | Protocol::Http3) => Err(BadRequest::HostMissing),
    }
}

/// `uri-host [ ":" port ]` without userinfo, in lower case; an empty port is dropped (RFC 3986 §6.2.3).
pub(super) fn normal_authority(text: &[u8]) -> Result<String, BadRequest> {
    let (host, port) = split_port(text).ok_or(BadRequest::HostMalformed)?;
    let literal = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]"));
    let well_formed = match literal {
        Some(address) => std::str::from_utf8(address).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok()),
        None => !host.is_empty() && host.iter().all(|octet| is_name_octet(*octet)),
    };
    let port_fits = port.is_empty()
        || port.iter().all(u8::is_ascii_digit)
            && std::str::from_utf8(port).is_ok_and(|digits| digits.parse::<u16>().is_ok());
    if !well_formed || !port_fits {
        return Err(BadRequest::HostMalformed);
    }
    let text = if port.is_empty() { host } else { text };
    Ok(String::from_utf8_lossy(text).to_ascii_lowercase())
}

/// Host and port; the port is empty where there is none.
fn split_port(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if text.first() == Some(&b'[') {
        let end = memchr::memchr(b']', text)? + 1;
        return match text.get(end) {
            None => Some((text, b"")),
            Some(b':') => Some((&text[..end], &text[end + 1..])),
            Some(_) => None,
        };
    }
    match memchr::memchr(b':', text) {
        None => Some((text, b"")),
        Some(colon) => Some((&text[..colon], &text[colon + 1..])),
    }
}

/// Of a reg-name (RFC 3986 §3.2.2) what names in DNS are made of. Commas would make a list of it, percent-encoding two
/// names of one, and nobody serves a host with the other delimiters.
const fn is_name_octet(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~')
}

fn target(method: &Method, uri: &Uri) -> Result<(String, Option<String>), BadRequest> {
    let (path, query) = (uri.path(), uri.query());
    let visible = |text: &str| text.bytes().all(|octet| matches!(octet, 0x21..=0x7e) && octet != b'#');
    let known = path.starts_with('/') || path == "*" && *method == Method::OPTIONS;
    let encoded = query.and_then(|query| uri::encoded_query(query.as_bytes()));
    let query = encoded.or_else(|| query.map(str::to_owned));
    if known && visible(path) && query.as_deref().is_none_or(visible) {
        Ok((path.to_owned(), query))
    } else {
        Err(BadRequest::Target)
    }
}

const X_FORWARDED: &str = "x-forwarded-";
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

fn origin(headers: &HeaderMap, arrival: &Arrival<'_>) -> forwarded::Origin {
    if arrival.trusted.is_empty() {
        return forwarded::Origin { address: arrival.address, secure: None };
    }
    let values = |name| headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    let said = Said {
        forwarded: values(FORWARDED),
        for_list: values(X_FORWARDED_FOR),
        proto: headers.get_all(X_FORWARDED_PROTO).iter().next_back().map(HeaderValue::as_bytes),
    };
    forwarded::viewer(arrival.address, &said, arrival.trusted)
}

/// Whether what the fields say is a proxy's that is believed.
fn proxy(arrival: &Arrival<'_>) -> Proxy {
    let address = arrival.address.ip().to_canonical();
    if arrival.trusted.iter().any(|prefix| prefix.contains(&address)) { Proxy::Trusted } else { Proxy::None }
}

/// What proxies and frameworks take for another host, path or address. None of it is in the key, so what it changes
/// would be stored for all.
const OVERRIDES: [HeaderName; 9] = [
    HeaderName::from_static("x-host"),
    HeaderName::from_static("x-original-host"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
    HeaderName::from_static("x-original-uri"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("x-cluster-client-ip"),
    HeaderName::from_static("true-client-ip"),
];

/// The same for methods: a matter of the viewer and the origin, but where the answer is shared.
const METHOD_OVERRIDES: [HeaderName; 3] = [
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
];

/// Removes what belongs to the connection or to proxies: Host is in the authority, trailers are not passed on, and what
/// a viewer says of proxies and certificates is nobody's business below (RFC 7239 §8.1, RFC 9440 §2.4).
pub fn strip(method: &Method, headers: &mut HeaderMap) {
    for name in [HOST, TRAILER, FORWARDED, CLIENT_CERT, CLIENT_CERT_CHAIN].iter().chain(&OVERRIDES) {
        headers.remove(name);
    }
    if method.is_safe() {
        for name in &METHOD_OVERRIDES {
            headers.remove(name);
        }
    }
    let forwarded: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(X_FORWARDED)).cloned().collect();
    for name in forwarded {
        headers.remove(name);
    }
}

/// HTTP/2 and 3 may split Cookie into crumbs (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else { return };
    let mut joined = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    let joined = HeaderValue::from_bytes(&joined).expect("values joined by visible octets are a value");
    headers.insert(COOKIE, joined);
}

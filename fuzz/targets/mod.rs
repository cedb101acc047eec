//! What is fuzzed: one function for each reader of octets that come from others, with the laws that hold for whatever
//! comes. Each takes any octets and panics where a law is broken. The binaries in `src/bin/` give them to libFuzzer;
//! `tests/corpus.rs` of the package `weir` includes this folder and runs every file of `corpus/` through them.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use weir::clock::WallTime;

pub mod caching;
pub mod config;
pub mod headers;
pub mod hls;
pub mod journal;
pub mod reports;
pub mod request;
pub mod stories;
pub mod tokens;
pub mod transport;

/// A target: it takes any octets.
pub type Target = fn(&[u8]);

/// All of them, each by the name of its binary and of its corpus.
pub const TARGETS: &[(&str, Target)] = &[
    ("beacon", reports::beacon),
    ("cache_control", caching::cache_control),
    ("cache_status", headers::cache_status),
    ("carrier", request::carrier),
    ("cmcd", reports::cmcd),
    ("cmcd_events", reports::cmcd_events),
    ("cmsd", reports::cmsd),
    ("conditions", caching::conditions),
    ("config", config::config),
    ("date", headers::date),
    ("delta", hls::delta),
    ("directives", hls::directives),
    ("entry", stories::entry),
    ("forwarded", headers::forwarded),
    ("h3_control", transport::h3_control),
    ("h3_request", transport::h3_request),
    ("http1_answers", transport::http1_answers),
    ("http1_guard", transport::http1_guard),
    ("http2_watch", transport::http2_watch),
    ("journal", journal::journal),
    ("lines", stories::lines),
    ("log", journal::log),
    ("playlist", hls::playlist),
    ("proxy_protocol", transport::proxy_protocol),
    ("qpack", transport::qpack),
    ("range", caching::range),
    ("request_fields", headers::request_fields),
    ("rewrite", hls::rewrite),
    ("search", stories::search),
    ("session_seal", tokens::session_seal),
    ("structured_field", headers::structured_field),
    ("token_cat", tokens::token_cat),
    ("token_cbor", tokens::token_cbor),
    ("token_claims", tokens::token_claims),
    ("token_hdnts", tokens::token_hdnts),
    ("token_json", tokens::token_json),
    ("token_jws", tokens::token_jws),
    ("token_keys", tokens::token_keys),
    ("token_scope", tokens::token_scope),
    ("token_uri_signing", tokens::token_uri_signing),
    ("uri", request::uri),
    ("window", hls::window),
];

/// 2024-07-03T09:46:40Z
const NOW: WallTime = WallTime::at(Duration::from_secs(1_720_000_000));

/// The length of pieces, chosen by the first octet, and the octets behind it.
fn in_pieces(data: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = data.split_first()?;
    Some((1 + usize::from(first % 64), rest))
}

/// Lines of `name: value`; what is no field is passed over.
fn fields(data: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in data.split(|octet| *octet == b'\n').take(64) {
        let Some(colon) = line.iter().position(|octet| *octet == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    headers
}

/// Two sets of fields, parted by an empty line.
fn two_heads(data: &[u8]) -> (HeaderMap, HeaderMap) {
    let parting = data.windows(2).position(|pair| pair == b"\n\n").unwrap_or(data.len());
    (fields(&data[..parting]), fields(&data[parting..]))
}

/// Whether two values are the same but for the last binary digits of fractions, which a reader of decimal ones may lose.
fn is_near(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) if one != other => {
            let both = one.as_f64().zip(other.as_f64());
            both.is_some_and(|(one, other)| (one - other).abs() <= one.abs() * 4.0 * f64::EPSILON)
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_near(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let is_member = |(name, value)| other.get(name).is_some_and(|other| is_near(value, other));
            one.len() == other.len() && one.iter().all(is_member)
        }
        _ => one == other,
    }
}

//! The transport's own answers: a bad request is told why, in the shape of every refusal, and the connection ends.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response};
use serde::Serialize;

use crate::request::Refusal;
use crate::transport::head::BadRequest;

#[derive(Serialize)]
struct Told<'a> {
    reason: &'static str,
    detail: &'a str,
    request: &'a str,
}

/// The answer to a bad request, head and body.
pub(in crate::transport) fn bad_request(bad: BadRequest) -> Response<Bytes> {
    let mut id = [0; 8];
    // Without randomness the id is zero; the answer matters more.
    _ = aws_lc_rs::rand::fill(&mut id);
    let request = format!("{:016x}", u64::from_be_bytes(id));
    let refusal = Refusal::from(bad);
    let told = Told { reason: refusal.word(), detail: bad.detail(), request: &request };
    let body = serde_json::to_vec(&told).expect("three strings are JSON");
    let mut answer = Response::new(Bytes::from(body));
    *answer.status_mut() = refusal.status();
    let length = HeaderValue::from(answer.body().len());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-request-id", HeaderValue::from_str(&request).expect("hexadecimal digits are a value"));
    headers.insert(CONTENT_LENGTH, length);
    if refusal == Refusal::MethodNotAllowed {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    }
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// The same as octets of HTTP/1.1, for a request that hyper never saw.
pub(super) fn octets(bad: BadRequest, date: std::time::SystemTime) -> Vec<u8> {
    let answer = bad_request(bad);
    let reason = answer.status().canonical_reason().unwrap_or_default();
    let date = httpdate::fmt_http_date(date);
    let mut octets = format!("HTTP/1.1 {} {reason}\r\ndate: {date}\r\n", answer.status().as_u16()).into_bytes();
    for (name, value) in answer.headers() {
        octets.extend_from_slice(name.as_str().as_bytes());
        octets.extend_from_slice(b": ");
        octets.extend_from_slice(value.as_bytes());
        octets.extend_from_slice(b"\r\n");
    }
    octets.extend_from_slice(b"\r\n");
    octets.extend_from_slice(answer.body());
    octets
}

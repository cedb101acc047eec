//! Entries as spans, in the JSON of OTLP traces (OTLP 1.9 §OTLP/HTTP, JSON Protobuf Encoding): a request that is worth a
//! line of its own is a span, and so is the fetch that it waited for. Whoever led the fetch and whoever joined it link to
//! that one span.
//!
//! Identifiers are hashes of what the entries name, so that the same lines make the same spans, on every attempt.

use std::collections::HashSet;

use aws_lc_rs::digest;
use serde::Deserialize;
use serde_json::{Value, json};

use super::event::{Entry, Event, Fetch, Request};

/// Who served (SPAN_KIND_SERVER), and who asked (SPAN_KIND_CLIENT).
const SERVER: u8 = 2;
const CLIENT: u8 = 3;
/// STATUS_CODE_ERROR
const ERROR: u8 = 2;

/// The events that have spans.
pub const EVENTS: [&str; 2] = ["request", "fetch"];

/// A line of the log.
#[derive(Deserialize)]
struct Line {
    node: String,
    #[serde(default)]
    region: Option<String>,
    key: String,
    #[serde(flatten)]
    entry: Entry,
}

/// The spans of lines of one node, as one export request; `None`: there are none. `version` is the software's.
pub fn export(lines: &[u8], version: &str) -> Option<Vec<u8>> {
    let lines = lines.split(|octet| *octet == b'\n').filter(|line| !line.is_empty());
    let read: Vec<Line> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let mut fetches = HashSet::new();
    let spans: Vec<Value> = read.iter().flat_map(|line| spans(line, &mut fetches)).collect();
    let first = read.first().filter(|_| !spans.is_empty())?;
    let mut resource = vec![text("service.name", "weir"), text("service.instance.id", &first.node)];
    resource.extend(first.region.as_deref().map(|region| text("cloud.region", region)));
    resource.push(text("service.version", version));
    let scope = json!({ "scope": { "name": "weir" }, "spans": spans });
    let all = json!({ "resourceSpans": [{ "resource": { "attributes": resource }, "scopeSpans": [scope] }] });
    serde_json::to_vec(&all).ok()
}

fn spans(line: &Line, fetches: &mut HashSet<u64>) -> Vec<Value> {
    let at = line.entry.at;
    match &line.entry.event {
        Event::Request(request) => {
            let began = at.saturating_sub(request.took_ms);
            let is_leader = request.cache.as_ref() != "joined";
            let fetch = request.origin.as_ref();
            let own = fetch.filter(|fetch| is_leader && fetches.insert(fetch.id));
            let own = own.map(|fetch| of_fetch(line, fetch, (began, began + fetch.wait_ms)));
            [Some(of_request(line, request, (began, at))), own].into_iter().flatten().collect()
        }
        Event::Fetch(fetch) if fetches.insert(fetch.id) => {
            vec![of_fetch(line, fetch, (at.saturating_sub(fetch.wait_ms), at))]
        }
        _ => Vec::new(),
    }
}

fn of_request(line: &Line, request: &Request, times: (u64, u64)) -> Value {
    let (trace, span) = identifiers(["request", &line.node, &request.id]);
    let Entry { session, route, stream, .. } = &line.entry;
    let version = match &*request.protocol {
        "h1" => "1.1",
        "h2" => "2",
        _ => "3",
    };
    let mut attributes = vec![
        text("url.path", &request.path),
        text("network.protocol.name", "http"),
        text("network.protocol.version", version),
        number("http.response.status_code", request.status.into()),
        number("http.response.body.size", request.bytes),
        text("weir.cache", &request.cache),
        number("weir.hold_ms", request.hold_ms),
        number("weir.first_byte_ms", request.first_byte_ms),
    ];
    let named = [
        ("weir.cause", request.cause.as_deref()),
        ("error.type", request.reason.as_deref()),
        ("weir.fault", request.fault.as_deref()),
        ("http.route", route.as_deref()),
        ("weir.stream", stream.as_deref()),
    ];
    attributes.extend(named.into_iter().filter_map(|(name, value)| Some(text(name, value?))));
    attributes.extend(session.map(|session| text("session.id", &session.to_string())));
    let links: Vec<_> = request.origin.iter().map(|fetch| link(line, fetch)).collect();
    let is_bad = request.status >= 500 || !request.complete;
    let name = format!("GET {}", kind(request));
    span_of(
        (trace, span),
        (&name, SERVER),
        times,
        json!({ "attributes": attributes, "links": links }),
        is_bad.then_some(ERROR),
    )
}

fn of_fetch(line: &Line, fetch: &Fetch, times: (u64, u64)) -> Value {
    let ids = identifiers(of(line, fetch).each_ref().map(String::as_str));
    let mut attributes = vec![text("server.address", &fetch.origin), number("weir.fetch", fetch.id)];
    attributes.extend(fetch.status.map(|status| number("http.response.status_code", status.into())));
    attributes.extend(fetch.error.as_deref().map(|error| text("error.type", error)));
    let is_bad = fetch.error.is_some() || fetch.status.is_none_or(|status| status >= 500);
    span_of(ids, ("fetch", CLIENT), times, json!({ "attributes": attributes }), is_bad.then_some(ERROR))
}

fn link(line: &Line, fetch: &Fetch) -> Value {
    let (trace, span) = identifiers(of(line, fetch).each_ref().map(String::as_str));
    json!({ "traceId": trace, "spanId": span })
}

/// What a fetch is known by: numbers begin anew with each process, which keys of lines begin with.
fn of(line: &Line, fetch: &Fetch) -> [String; 3] {
    let boot = line.key.split('-').next().unwrap_or_default();
    ["fetch".to_owned(), format!("{} {boot}", line.node), fetch.id.to_string()]
}

fn span_of(
    (trace, span): (String, String),
    (name, kind): (&str, u8),
    (from, to): (u64, u64),
    mut more: Value,
    status: Option<u8>,
) -> Value {
    let nanos = |ms: u64| format!("{ms}000000");
    more["traceId"] = trace.into();
    more["spanId"] = span.into();
    more["name"] = name.into();
    more["kind"] = kind.into();
    more["startTimeUnixNano"] = nanos(from).into();
    more["endTimeUnixNano"] = nanos(to).into();
    if let Some(code) = status {
        more["status"] = json!({ "code": code });
    }
    more
}

/// A trace and a span of it, as hexadecimal digits.
fn identifiers(parts: [&str; 3]) -> (String, String) {
    let hash = digest::digest(&digest::SHA256, parts.join("\0").as_bytes());
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    (hex(&hash.as_ref()[..16]), hex(&hash.as_ref()[16..24]))
}

fn kind(request: &Request) -> String {
    serde_json::to_value(request.kind).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

fn text(name: &str, value: &str) -> Value {
    json!({ "key": name, "value": { "stringValue": value } })
}

/// Numbers of 64 bits are texts in this encoding.
fn number(name: &str, value: u64) -> Value {
    json!({ "key": name, "value": { "intValue": value.to_string() } })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u32, event: &Value) -> String {
        let mut line =
            json!({ "schema": 1, "key": format!("1a-{number}"), "node": "edge", "region": "ams", "at": 2_000 });
        line.as_object_mut().unwrap().extend(event.as_object().unwrap().clone());
        line.to_string()
    }

    fn request(id: &str, cache: &str) -> Value {
        let origin = json!({ "id": 7, "origin": "main", "status": 200, "wait_ms": 300 });
        json!({ "event": "request", "session": "000102030405060708090a0b", "stream": "one", "kind": "part",
            "path": "/live/p1.m4s", "protocol": "h3", "status": 200, "cache": cache, "bytes": 10, "first_byte_ms": 310,
            "took_ms": 400, "complete": true, "origin": origin, "id": id })
    }

    fn exported(lines: &[String]) -> Vec<Value> {
        let all: Value = serde_json::from_slice(&export(lines.join("\n").as_bytes(), "1").unwrap()).unwrap();
        all["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone()
    }

    #[test]
    fn whoever_joins_links_to_the_fetch_of_whoever_leads() {
        let spans = exported(&[line(1, &request("a", "joined")), line(2, &request("b", "miss"))]);
        let [joined, leader, fetch] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!((&joined["name"], &joined["kind"], &fetch["kind"]), (&"GET part".into(), &2.into(), &3.into()));
        for one in [joined, leader] {
            assert_eq!(one["links"][0]["spanId"], fetch["spanId"]);
            assert_eq!(one["links"][0]["traceId"], fetch["traceId"]);
        }
        assert_ne!(joined["traceId"], leader["traceId"]);
        assert_eq!(
            (fetch["startTimeUnixNano"].as_str(), fetch["endTimeUnixNano"].as_str()),
            (Some("1600000000"), Some("1900000000"))
        );
        assert_eq!(joined["traceId"].as_str().unwrap().len(), 32);
        assert_eq!(joined["spanId"].as_str().unwrap().len(), 16);
    }

    #[test]
    fn the_same_lines_make_the_same_spans_and_another_process_makes_others() {
        let one = [line(1, &request("a", "miss"))];
        assert_eq!(exported(&one), exported(&one));
        let later = [one[0].replace("1a-1", "2b-1")];
        assert_ne!(exported(&one)[1]["spanId"], exported(&later)[1]["spanId"]);
    }

    #[test]
    fn a_fetch_that_failed_is_an_error_and_what_has_no_span_makes_none() {
        let failed = json!({ "event": "fetch", "id": 9, "origin": "main", "error": "connect", "wait_ms": 50 });
        let spans = exported(&[line(1, &failed), line(2, &failed)]);
        assert_eq!((spans.len(), &spans[0]["status"]["code"]), (1, &2.into()));
        let node = json!({ "event": "node", "what": "started" });
        assert_eq!(export(line(1, &node).as_bytes(), "1"), None);
        assert_eq!(export(b"{}\nnonsense\n", "1"), None);
    }
}

//! What is fuzzed: one function for each reader of octets that come from others, with the laws that hold for whatever
//! comes. Each takes any octets and panics where a law is broken. The binaries in `src/bin/` give them to libFuzzer;
//! `tests/corpus.rs` of the package `weir` includes this file and runs every file of `corpus/` through them.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONNECTION, ETAG};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use ipnet::IpNet;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use weir::clock::{self, Tick, WallTime};
use weir::config::{Config, Machine};
use weir::request::Viewer;
use weir::rules::caching::control::{Control, TARGETS, Wish};
use weir::rules::caching::freshness::{Lifetime, Policy, Received, Times};
use weir::rules::caching::range::{Arriving, RangeSet, Ranged};
use weir::rules::caching::validator::{self, Validators};
use weir::rules::caching::vary::Variant;
use weir::rules::fields::cache_status::{CACHE_STATUS, CacheStatus, Handling};
use weir::rules::fields::structured::{self, Bare, Dictionary, Item, List, Member};
use weir::rules::fields::{cookies, date, encoding, hop, loops};
use weir::rules::forwarded::{self, Said};
use weir::rules::hls::multivariant::Multivariant;
use weir::rules::hls::parse::{self, Kind};
use weir::rules::hls::playlist::Segment;
use weir::rules::hls::reload::{Frontier, Reload};
use weir::rules::hls::variables::Variables;
use weir::rules::hls::window::{Advance, Published, Window};
use weir::rules::hls::{self, Directives, MediaPlaylist, Position, query, rewrite};
use weir::rules::http1::{Answers, Asked, Bounds, Guard, Step};
use weir::rules::http2::HeadWatch;
use weir::rules::proxy_protocol::{self, Header};
use weir::rules::qoe::beacon::from_beacon;
use weir::rules::qoe::cmcd::{LONGEST_RECORD, from_batch, from_request};
use weir::rules::qoe::cmsd::{self, Hop};
use weir::rules::qoe::fault::Fault;
use weir::rules::qoe::read::{Allow, Read};
use weir::rules::qoe::report::Data;
use weir::rules::session::Seals;
use weir::rules::token::any::Unverified as AnyToken;
use weir::rules::token::carrier::{self, Carrier, CarrierNames, Packages, Presented};
use weir::rules::token::cat::{self, UriMatch};
use weir::rules::token::cbor::{Key as Label, Lengths, Value as Cbor};
use weir::rules::token::hdnts::Acl;
use weir::rules::token::json::{GREATEST, Object, Rounding};
use weir::rules::token::jws::{Compact, Header as TokenHeader};
use weir::rules::token::jwt::{JwtTerms, Unverified};
use weir::rules::token::mint::SigningKey;
use weir::rules::token::scope::{self, Asked as AskedUri};
use weir::rules::token::terms::CatrDeadline;
use weir::rules::token::uri_signing::Container;
use weir::rules::token::verdict::Terms;
use weir::rules::token::{Algorithm, Format, FormatTerms, KeySet, Reason, Scope, jwk, jwt, renewal, verdict};
use weir::rules::uri::{PathPattern, Strictness, Target};
use weir::transport::h3::code::ConnectionError;
use weir::transport::h3::frame::{ControlFrames, RequestFrames, RequestPart};
use weir::transport::h3::message::{self, Request};
use weir::transport::h3::qpack::{self, Secrecy, huffman};

#[path = "../tests/cmcd/write.rs"]
mod cmcd_write;
#[path = "../src/rules/hls/delta/tests/history.rs"]
mod history;

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

/// The verdict on a connection does not depend on how its octets were split, and nothing passes after a refusal.
pub fn http1_guard(data: &[u8]) {
    const BOUNDS: Bounds = Bounds { head_size: 2_000, fields: 20, request_line: 600 };
    let Some((length, octets)) = in_pieces(data) else { return };
    let (mut whole, mut split) = (Guard::new(BOUNDS), Guard::new(BOUNDS));
    let verdict = whole.feed(octets);
    let step = octets.chunks(length).map(|piece| split.feed(piece)).find(|step| *step != Step::Pass);
    match (verdict, step) {
        (Step::Pass, None) => {}
        (Step::Refuse { pass, fault }, Some(Step::Refuse { fault: other, .. })) => {
            assert_eq!(fault, other);
            assert!(pass <= octets.len());
            assert!(matches!(split.feed(b"G"), Step::Refuse { pass: 0, .. }));
        }
        (verdict, step) => panic!("{verdict:?} of the whole, {step:?} of pieces"),
    }
    assert_eq!((whole.heads(), whole.in_head(), whole.in_body()), (split.heads(), split.in_head(), split.in_body()));
}

/// The same for answers; what nobody asked for passes.
pub fn http1_answers(data: &[u8]) {
    const BOUNDS: Bounds = Bounds { head_size: 2_000, fields: 20, request_line: 0 };
    let Some((length, octets)) = in_pieces(data) else { return };
    assert_eq!(Answers::new(BOUNDS).feed(octets), Step::Pass);
    for asked in [Asked::Head, Asked::Other] {
        let (mut whole, mut split) = (Answers::new(BOUNDS), Answers::new(BOUNDS));
        whole.ask(asked);
        split.ask(asked);
        let verdict = whole.feed(octets);
        let step = octets.chunks(length).map(|piece| split.feed(piece)).find(|step| *step != Step::Pass);
        match (verdict, step) {
            (Step::Pass, None) => {}
            (Step::Refuse { pass, fault }, Some(Step::Refuse { fault: other, .. })) => {
                assert_eq!(fault, other);
                assert!(pass <= octets.len());
                assert!(matches!(split.feed(b"H"), Step::Refuse { pass: 0, .. }));
            }
            (verdict, step) => panic!("{verdict:?} of the whole, {step:?} of pieces"),
        }
    }
}

/// Where heads are does not depend on how the octets were split, and no frame is lost count of.
pub fn http2_watch(data: &[u8]) {
    let Some((length, octets)) = in_pieces(data) else { return };
    let (mut whole, mut split) = (HeadWatch::default(), HeadWatch::default());
    whole.feed(octets, Tick::default());
    octets.chunks(length).for_each(|piece| split.feed(piece, Tick::default()));
    let said = |watch: &HeadWatch| (watch.in_head(), watch.heads(), watch.floods());
    assert_eq!(said(&whole), said(&split));
}

/// A whole header ends within what came, says the same without what follows it, and is partial before its end.
pub fn proxy_protocol(data: &[u8]) {
    match proxy_protocol::parse(data) {
        Ok(whole @ Header::Whole { length, .. }) => {
            assert!(length <= data.len().min(proxy_protocol::HEADER_MAX));
            assert_eq!(proxy_protocol::parse(&data[..length]), Ok(whole));
            for shorter in [0, length / 2, length - 1] {
                assert_eq!(proxy_protocol::parse(&data[..shorter]), Ok(Header::Partial));
            }
        }
        Ok(Header::Partial) => assert!(data.len() < proxy_protocol::HEADER_MAX),
        Err(_) => {}
    }
}

/// Only a trusted peer is believed, and only as far as the hops that wrote the fields are trusted.
pub fn forwarded(data: &[u8]) {
    let headers = fields(data);
    let said = Said {
        forwarded: headers.get_all("forwarded").iter().map(HeaderValue::as_bytes).collect(),
        for_list: headers.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes).collect(),
        proto: headers.get("x-forwarded-proto").map(HeaderValue::as_bytes),
    };
    let trusted: [IpNet; 2] = ["10.0.0.0/8", "fd00::/8"].map(|prefix| prefix.parse().expect("a prefix"));
    let stranger = SocketAddr::from(([192, 0, 2, 1], 4_000));
    let origin = forwarded::viewer(stranger, &said, &trusted);
    assert_eq!((origin.address, origin.secure), (stranger, None));
    let balancer = SocketAddr::from(([10, 0, 0, 1], 4_000));
    _ = forwarded::viewer(balancer, &said, &trusted);
    let mut longer = said;
    match longer.for_list.is_empty() {
        true => longer.forwarded.push(b"for=198.51.100.7"),
        false => longer.for_list.push(b"198.51.100.7"),
    }
    let origin = forwarded::viewer(balancer, &longer, &trusted);
    assert_eq!(origin.address, SocketAddr::from(([198, 51, 100, 7], 0)));
}

/// What is read is written, and what is written is read as the same.
pub fn structured_field(data: &[u8]) {
    if let Ok(item) = Item::parse(data) {
        assert_eq!(Item::parse(item.write().expect("it was read").as_bytes()), Ok(item));
    }
    if let Ok(list) = List::parse(data) {
        assert_eq!(List::parse(list.write().expect("it was read").as_bytes()), Ok(list));
    }
    if let Ok(dictionary) = Dictionary::parse(data) {
        assert_eq!(Dictionary::parse(dictionary.write().expect("it was read").as_bytes()), Ok(dictionary));
    }
}

/// Whatever stood in Cache-Status, the field is a list after ours was added, and ours is the last of it.
pub fn cache_status(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|octet| *octet == b'\n').take(8) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(CACHE_STATUS, value);
        }
    }
    let text = String::from_utf8_lossy(data);
    let status = CacheStatus { handling: Handling::Hit, ttl: Some(-1), detail: Some(&text), key: Some(&text) };
    status.append(&mut headers, "weir");
    let joined = structured::joined(&headers, &CACHE_STATUS).expect("a member was added");
    let list = List::parse(&joined).expect("Cache-Status is a list");
    let Some(Member::Item(ours)) = list.0.last() else { panic!("the last member is not ours") };
    assert_eq!(ours.value, Bare::Token("weir".to_owned()));
}

/// What is a date stays the same moment when it is written and read again.
pub fn date(data: &[u8]) {
    if let Some(time) = date::parse(data, NOW) {
        assert_eq!(date::parse(date::format(time).as_bytes(), NOW), Some(time));
    }
}

/// No header makes a response younger than it is, or fresh for longer than it says.
pub fn cache_control(data: &[u8]) {
    let headers = fields(data);
    let (control, wish) = (Control::of(&headers, &TARGETS), Wish::of(&headers));
    _ = (control.permits_authorized(), wish.is_content_with(Duration::ZERO, Duration::ZERO));
    if !headers.contains_key("weir-cache-control") && !headers.contains_key("cdn-cache-control") {
        let mut twice = headers.clone();
        twice.append(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let stricter = Control::of(&twice, &TARGETS);
        assert_eq!((stricter.max_age, stricter.s_maxage), (control.max_age, control.s_maxage));
    }
    let received = Tick::at(Duration::from_secs(10));
    let times = Times { requested: received, responded: received, responded_wall: NOW };
    let response = Received { status: StatusCode::OK, headers: &headers, times };
    let lifetime = Lifetime::of(&response, &control, &Policy::PLAIN);
    let later = received + Duration::from_secs(5);
    assert!(lifetime.age(later) >= lifetime.age(received));
    assert!(lifetime.ttl(later) <= lifetime.ttl(received));
    _ = lifetime.freshness(later);
}

/// Every part lies inside the object, in order and apart; a range that is there already is the one that comes later.
pub fn range(data: &[u8]) {
    let Some((length, value)) = data.split_first() else { return };
    let (Some(ranges), length) = (RangeSet::parse(value), u64::from(*length)) else { return };
    let parts = match ranges.of_length(length) {
        Ranged::Whole | Ranged::Unsatisfiable => Vec::new(),
        Ranged::Part(part) => vec![part],
        Ranged::Parts(parts) => parts.to_vec(),
    };
    assert!(parts.iter().all(|part| part.first <= part.last && part.last < length));
    assert!(parts.windows(2).all(|pair| pair[0].last < pair[1].first));
    if let Arriving::Part(part) = ranges.while_arriving(length) {
        assert_eq!(parts, [part]);
    }
    _ = (ranges.decided_at(), ranges.of_length(u64::MAX), ranges.of_length(0));
}

/// The fields of a request: each change of them is one that a second pass leaves as it is.
pub fn request_fields(data: &[u8]) {
    let once_is_enough = |change: fn(&mut HeaderMap)| {
        let mut once = fields(data);
        change(&mut once);
        let mut twice = once.clone();
        change(&mut twice);
        assert_eq!(once, twice);
        once
    };
    assert!(!once_is_enough(hop::strip_hop_by_hop).contains_key(CONNECTION));
    assert!(once_is_enough(encoding::normalise_accept_encoding).get_all(ACCEPT_ENCODING).iter().count() <= 1);
    assert!(once_is_enough(cookies::join).get_all("cookie").iter().count() <= 1);
    let own = loops::Pseudonym::of("weir");
    let mut headers = fields(data);
    let before = (loops::passes_in_via(&headers, &own), loops::passes_in_cdn_loop(&headers, &own));
    loops::append_via(&mut headers, "1.1", &own);
    loops::append_cdn_loop(&mut headers, &own);
    let after = (loops::passes_in_via(&headers, &own), loops::passes_in_cdn_loop(&headers, &own));
    assert_eq!(after, (before.0 + 1, before.1 + 1));
}

/// A request, an empty line, a response: what was selected for a request fits it, and what identifies a response is
/// recognised when it comes back.
pub fn conditions(data: &[u8]) {
    let (request, response) = two_heads(data);
    if let Some(variant) = Variant::of(&response, &request) {
        assert!(variant.matches(&request));
    }
    let stored = Validators::of(&response, NOW);
    _ = validator::judge_preconditions(&request, &Method::GET, StatusCode::OK, &stored);
    _ = RangeSet::of(&request, &Method::GET, StatusCode::OK, &stored);
    _ = validator::select_for_304(&[&stored], &response);
    // A list cannot hold a tag that breaks the grammar.
    let is_tag = response.get(ETAG).is_none_or(|tag| is_entity_tag(tag.as_bytes()));
    if let Some((name, value)) = validator::conditional_request([&stored]).filter(|_| is_tag) {
        let again = HeaderMap::from_iter([(name, value)]);
        let verdict = validator::judge_preconditions(&again, &Method::GET, StatusCode::OK, &stored);
        assert_eq!(verdict, validator::Precondition::NotModified);
    }
    let mut updated = response.clone();
    validator::update_from_304(&mut updated, &request, NOW);
    _ = validator::not_modified_headers(&updated);
}

fn is_entity_tag(text: &[u8]) -> bool {
    let opaque = text.strip_prefix(b"W/").unwrap_or(text);
    matches!(opaque, [b'"', inner @ .., b'"'] if inner.iter().all(|octet| !matches!(octet, b'"' | b' ' | b'\t')))
}

/// The canonical form is a form of itself, and what the strict reading accepts the lenient one reads the same.
pub fn uri(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    let [strict, lenient] = [Strictness::Strict, Strictness::Lenient].map(|strictness| {
        let once = Target::canonical(path, query, strictness);
        if let Ok(once) = &once {
            assert_eq!(Target::canonical(&once.path, once.query.as_deref(), strictness).as_ref(), Ok(once));
            assert!(once.path.starts_with('/') && once.path_and_query().is_ascii());
        }
        once
    });
    if strict.is_ok() {
        assert_eq!(strict, lenient);
    }
    _ = PathPattern::parse(text);
}

/// What a request presents is cut out of it, whatever it is, and nothing of it is left for keys, origins and logs: the
/// first line is a target, the others are fields.
pub fn carrier(data: &[u8]) {
    let end = data.iter().position(|octet| *octet == b'\n').unwrap_or(data.len());
    let Ok(target) = std::str::from_utf8(&data[..end]) else { return };
    let mut headers = fields(data.get(end + 1..).unwrap_or_default());
    let own = |names: [&str; 2]| names.map(str::to_owned).to_vec();
    let names = CarrierNames {
        query: own(["token", "URISigningPackage"]),
        cookie: own(["token", "URISigningPackage"]),
        header: vec![HeaderName::from_static("cta-common-access-token")],
    };
    let order = [Carrier::Path, Carrier::Header, Carrier::Cookie, Carrier::Query];
    let terms = carrier::Terms { order: &order, names: &names, packages: Packages::InPath };
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let (mut path, mut query) = (path.to_owned(), query.map(str::to_owned));
    let logged = carrier::loggable_path(&path).into_owned();
    let parted = carrier::in_path(&path).map(|parted| (parted.whole(), parted.credential));
    let carried = parted.map(|(whole, credential)| {
        assert!(credential.text.len() < 24 || !logged.contains(&*credential.text));
        path = whole;
        credential
    });
    let request = carrier::Request { path: &mut path, query: &mut query, headers: &mut headers };
    let presented = carrier::cut(request, carried, &terms);
    if let Ok(presented) = &presented {
        assert!(presented.first.is_some() || presented.second.is_none());
        assert!(presented.first.as_ref().is_none_or(|first| first.text.len() <= carrier::LARGEST));
    }
    // What was cut has nothing more to cut of its names.
    let (path_before, query_before, headers_before) = (path.clone(), query.clone(), headers.clone());
    let request = carrier::Request { path: &mut path, query: &mut query, headers: &mut headers };
    assert_eq!(carrier::cut(request, None, &terms), Ok(Presented::default()));
    assert_eq!((path, query, headers), (path_before, query_before, headers_before));
}

/// A file of configuration gives a configuration or findings, each with a place inside the text.
pub fn config(data: &[u8]) {
    // Files that it names are opened, and some of the system's never end.
    let Some(text) = std::str::from_utf8(data).ok().filter(|text| !text.contains("/dev") && !text.contains("/proc"))
    else {
        return;
    };
    let machine = Machine { name: "edge".to_owned(), cores: 2, memory: 1 << 30 };
    if let Err(problems) = Config::parse_on(&machine, text, Path::new("/nonexistent")) {
        assert!(!problems.problems.is_empty());
    }
}

/// What is decoded can be encoded and decoded again; a Huffman code has one form.
pub fn qpack(data: &[u8]) {
    let bounds = qpack::Bounds { size: 4_096, fields: 50 };
    let mut found = Vec::new();
    let decoded = qpack::decode(data, bounds, |name, value| {
        found.push((name.octets().to_vec(), value.to_vec()));
        Ok::<(), std::convert::Infallible>(())
    });
    if decoded.is_ok() {
        let mut again = Vec::new();
        qpack::begin(&mut again);
        let named = |name: &[u8]| std::str::from_utf8(name).map(str::to_owned);
        let Ok(names) = found.iter().map(|(name, _)| named(name)).collect::<Result<Vec<_>, _>>() else { return };
        for (name, (_, value)) in names.iter().zip(&found) {
            qpack::encode(name, value, Secrecy::Open, &mut again);
        }
        let mut expected = found.iter();
        let decoded = qpack::decode(&again, bounds, |name, value| {
            let (expected_name, expected_value) = expected.next().expect("no more fields than were written");
            assert_eq!((name.octets(), value), (&expected_name[..], &expected_value[..]));
            Ok::<(), std::convert::Infallible>(())
        });
        assert!(decoded.is_ok() && expected.next().is_none());
    }
    let mut plain = Vec::new();
    if huffman::decode(data, &mut plain).is_ok() {
        let mut coded = Vec::new();
        huffman::encode(&plain, &mut coded);
        assert_eq!(coded, data);
        assert_eq!(huffman::encoded_len(&plain), data.len());
    }
}

/// What a request stream that comes in pieces of `length` says; the octets of a body that touch are one part.
fn request_parts(octets: &[u8], length: usize) -> (Vec<RequestPart>, Result<(), ConnectionError>) {
    let mut frames = RequestFrames::new(1_024);
    let mut parts = Vec::new();
    for piece in octets.chunks(length) {
        let mut piece = Bytes::copy_from_slice(piece);
        loop {
            match (frames.next(&mut piece), parts.last_mut()) {
                (Err(error), _) => return (parts, Err(error)),
                (Ok(None), _) => break,
                (Ok(Some(RequestPart::HeadTooLarge)), _) => {
                    parts.push(RequestPart::HeadTooLarge);
                    return (parts, Ok(()));
                }
                (Ok(Some(RequestPart::Data(more))), Some(RequestPart::Data(begun))) => {
                    *begun = [&begun[..], &more[..]].concat().into();
                }
                (Ok(Some(part)), _) => parts.push(part),
            }
        }
    }
    let end = frames.end();
    (parts, end)
}

/// A request stream says the same however it was split, and a request that is served has a path and no field of a
/// connection.
pub fn h3_request(data: &[u8]) {
    let Some((length, octets)) = in_pieces(data) else { return };
    let whole = request_parts(octets, octets.len().max(1));
    assert_eq!(request_parts(octets, length), whole);
    let bounds = qpack::Bounds { size: 2_048, fields: 20 };
    let peer = SocketAddr::from(([192, 0, 2, 1], 4_000));
    for part in whole.0 {
        match part {
            RequestPart::Head(section) => {
                let viewer = Viewer { peer, address: peer, proxy: weir::request::Proxy::None };
                if let Ok(Request::Serve(head, _)) = message::read(&section, bounds, viewer, Tick::default()) {
                    assert!(head.path.starts_with('/') || head.path == "*");
                    assert!(!head.headers.keys().any(message::is_of_connection));
                }
            }
            RequestPart::Trailers(section) => _ = message::read_trailers(&section, bounds),
            RequestPart::Data(_) | RequestPart::DataBegins(_) | RequestPart::HeadTooLarge => {}
        }
    }
}

/// A control stream says the same however it was split.
pub fn h3_control(data: &[u8]) {
    let Some((length, octets)) = in_pieces(data) else { return };
    let read = |length: usize| {
        let (mut frames, mut found) = (ControlFrames::default(), Vec::new());
        for piece in octets.chunks(length) {
            let mut piece = Bytes::copy_from_slice(piece);
            loop {
                match frames.next(&mut piece) {
                    Err(error) => return (found, Some(error)),
                    Ok(None) => break,
                    Ok(Some(frame)) => found.push(frame),
                }
            }
        }
        (found, None)
    };
    assert_eq!(read(octets.len().max(1)), read(length));
}

/// What is no directive stays in the query in its order, a kept query is kept whole, and a reload is judged the same when
/// it comes and while it waits.
pub fn directives(data: &[u8]) {
    let Ok(query) = std::str::from_utf8(data) else { return };
    let (directives, rest) = Directives::take(Some(query));
    if let Some(rest) = rest.as_deref() {
        assert_eq!(Directives::take(Some(rest)), (Ok(Directives::default()), Some(rest.to_owned())));
    }
    let kept = query::keep(rest.as_deref(), |name| name.len() % 2 == 1);
    let again = query::keep(kept.query.as_deref(), |name| name.len() % 2 == 1);
    assert_eq!((again.query, again.dropped), (kept.query.clone(), 0));
    let Ok(directives) = directives else { return };
    let mut frontier = Frontier {
        next: Position::segment(100),
        closed_parts: vec![4],
        target_duration: Duration::from_secs(2),
        part_target: Some(Duration::from_millis(500)),
        is_ended: false,
    };
    let mut waiting = None;
    for next in [Position::new(100, 3), Position::segment(101), Position::new(101, 1), Position::segment(102)] {
        let verdict = frontier.judge(&directives);
        if let Some(wanted) = waiting {
            assert_eq!(frontier.judge_waiting(wanted), verdict);
        }
        waiting = match verdict {
            Reload::Wait(wanted) => Some(wanted),
            Reload::Now | Reload::Refuse(_) => None,
        };
        frontier.next = next;
    }
    frontier.is_ended = true;
    assert_eq!(frontier.judge(&directives), Reload::Now);
}

/// A playlist of either kind in which nothing is ours stays; URIs are all that is rewritten; what is resolved is canonical.
pub fn rewrite(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    assert!(matches!(rewrite::rewrite(text, |_| None), Cow::Borrowed(same) if same == text));
    const MARKS: [char; 2] = ['\u{1}', '\u{2}'];
    if !text.contains(MARKS) {
        let marked = rewrite::rewrite(text, |uri| Some(format!("\u{1}{uri}\u{2}")));
        assert_eq!(marked.replace(MARKS, ""), text);
    }
    let Ok(multivariant) = Multivariant::parse(text) else { return };
    assert!(parse::kind(text).is_some());
    let variables = Variables::of(&multivariant.definitions, Some("token=a%2Fb&a=1"), &Variables::default());
    for rendition in multivariant.renditions {
        assert!(text.contains(&*rendition.uri));
        let Some(uri) = variables.replace(&rendition.uri) else { continue };
        let Some(resolved) = rewrite::resolve("/live/news/main.m3u8?a=1", &uri) else { continue };
        let (path, query) = resolved.split_once('?').map_or((&*resolved, None), |(path, query)| (path, Some(query)));
        let asked = Target::canonical(path, query, Strictness::Lenient).expect("what was resolved can be asked for");
        assert_eq!(asked.path_and_query(), resolved);
    }
}

/// A playlist comes out as it went in, what it says lies within it, and whoever has another version reads the same. The
/// two versions are parted by an octet 0.
pub fn playlist(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (earlier, text) = text.split_once('\0').unwrap_or((text, text));
    let before = parse::parse(earlier, None).ok();
    let again = parse::parse(text, before.as_ref());
    let Ok(playlist) = parse::parse(text, None) else {
        // A delta update may go on from a segment that it does not list.
        assert!(again.is_err() || again.is_ok_and(|playlist| playlist.facts.skip.is_some()));
        return;
    };
    assert_eq!(parse::kind(text), Some(Kind::Media));
    assert_eq!(playlist.render(), text);
    assert_eq!(again.as_ref(), Ok(&playlist));
    for segment in &playlist.segments {
        assert!(!segment.uri().is_empty() && segment.byte_range.is_none_or(|range| range.end() >= range.start));
        for line in &segment.lasting {
            assert!(segment.lasting_text(line).starts_with("#EXT") && segment.lasting_text(line).ends_with('\n'));
        }
    }
    assert_eq!(playlist.next().msn, playlist.msn(playlist.segments.len()));
    _ = (playlist.duration(), playlist.hints().count());
}

/// A history of a live playlist: whoever has a young copy and an update has the full playlist.
pub fn delta(data: &[u8]) {
    // Every version is read and merged: a long history would find no more, and take the square of the time.
    history::run(&data[..data.len().min(600)]);
}

/// Versions of a playlist, parted by zero octets, each behind an octet that says how long it took to come: the sequence
/// that viewers see never goes back, and what a number stands for stays.
pub fn window(data: &[u8]) {
    let (mut window, mut now, mut last) = (Window::default(), Tick::default(), None::<Arc<Published>>);
    for version in data.split(|octet| *octet == 0).take(64) {
        let Some((wait, text)) = version.split_first() else { continue };
        now = now + Duration::from_millis(100) * u32::from(*wait);
        let Ok(text) = std::str::from_utf8(text) else { continue };
        let Ok(playlist) = parse::parse(text, window.ingested()) else { continue };
        let Advance::Advanced(published, findings) = window.take(playlist, now) else {
            assert_eq!(window.published(), last.as_ref());
            continue;
        };
        assert!(findings.len() <= 16);
        if let Some(last) = &last {
            follows(last, &published);
        }
        let again = parse::parse(&published.playlist.render(), None).expect("what viewers see is a playlist");
        let numbers =
            |list: &MediaPlaylist| (list.facts.media_sequence, list.facts.discontinuity_sequence, list.next());
        assert_eq!(numbers(&again), numbers(&published.playlist));
        last = Some(published);
    }
    // Somebody who did not watch meanwhile goes on with the same numbers.
    if let (Some(last), Some(list)) = (last, window.ingested().cloned())
        && let Advance::Advanced(published, _) = Window::resume(window.remember()).take(list, now)
    {
        assert_eq!((published.frontier.next, published.generation), (last.frontier.next, last.generation));
        assert!(last.playlist.msn(0) <= published.playlist.msn(0));
    }
}

fn follows(last: &Published, next: &Published) {
    let (old, new) = (&last.playlist, &next.playlist);
    assert!(old.facts.media_sequence <= new.facts.media_sequence);
    assert!(old.facts.discontinuity_sequence <= new.facts.discontinuity_sequence);
    assert!(last.frontier.next <= next.frontier.next && last.generation <= next.generation);
    let gone = (new.msn(0) - old.msn(0)).min(old.segments.len() as u64) as usize;
    let names = |segments: &[Arc<Segment>]| -> Vec<_> {
        segments.iter().map(|segment| (segment.uri().to_owned(), segment.byte_range)).collect()
    };
    let listed = names(&old.segments[gone..]);
    assert_eq!(names(&new.segments[..listed.len()]), listed);
}

/// What is read as an object another reader reads too, with the same members; what no other reads is not read.
pub fn token_json(data: &[u8]) {
    let other = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(data);
    let Ok(object) = Object::read(data) else { return };
    let other = other.expect("another reader reads it");
    assert!(object.members().map(|(name, _)| name).eq(other.keys().map(String::as_str)));
    for (name, value) in object.members() {
        assert_eq!(object.member(name), Some(value));
        assert_eq!(value.text(), other[name].as_str());
        let (down, up) = (value.date(Rounding::Down), value.date(Rounding::Up));
        assert!(down <= up && up.is_none_or(|moment| moment <= GREATEST));
        assert!(down.is_none() || other[name].is_number());
    }
}

/// A token has one form: what was taken apart is put together to the same, and it can be taken apart alone.
pub fn token_jws(data: &[u8]) {
    let Ok(token) = std::str::from_utf8(data) else { return };
    let Ok(compact) = Compact::read(token) else {
        assert!(Unverified::read(token).is_err());
        return;
    };
    let parts = [&compact.header, &compact.payload, &compact.signature].map(|part| URL_SAFE_NO_PAD.encode(part));
    assert_eq!(parts.join("."), token);
    assert_eq!(format!("{}.{}", compact.signed, compact.signature_text), token);
    if let Ok(header) = TokenHeader::read(&compact.header) {
        assert!(header.kid.is_none_or(|kid| kid.chars().count() <= 128));
        assert!(header.token_type.is_none_or(|name| !name.contains(|c: char| c.is_ascii_uppercase())));
    }
}

/// Whatever is a key verifies no signature that nobody made, says nothing of itself, and is found by its identifier.
pub fn token_keys(data: &[u8]) {
    const TRIED: usize = 8;
    let secret = jwk::read_secret(data, None, &[]).into_iter();
    let sets = [jwk::read_set(data, &Algorithm::ALL), jwk::read_pem(data, Some("a"), &[]), KeySet::of(secret)];
    for set in sets.into_iter().flatten() {
        for key in set.keys().iter().take(TRIED) {
            let length = key.algorithm().signature_length().unwrap_or(256);
            assert!(!key.verifies(b"message", &vec![0; length]) && !key.verifies(b"message", b""));
            assert!(key.secret().is_none_or(|secret| secret.len() >= key.algorithm().hash_length()));
            let found = set.choose(key.kid(), key.algorithm()).expect("it is there");
            assert!(key.kid().is_none() || found[0] == key);
        }
        assert!(set.keys().len() <= 100);
    }
}

/// The claims of a signed payload: what is read is within its bounds, paths are canonical, and the token holds until its
/// end and not a second longer.
pub fn token_claims(data: &[u8]) {
    let key = SigningKey::from_secret(&[7; 32], None, None).expect("long enough");
    let keys = KeySet::of([key.verifier().clone()]).expect("one key");
    let message = format!("eyJhbGciOiJIUzI1NiJ9.{}", URL_SAFE_NO_PAD.encode(data));
    let signature = key.sign_octets(message.as_bytes()).expect("a signature");
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
    let verified = match jwt::verify(&token, &keys, &JwtTerms::default()) {
        Ok(verified) => verified,
        Err(rejection) => {
            let malformed = matches!(rejection.reason, Reason::TokenMalformed | Reason::AudienceMismatch);
            assert!(malformed || data.len() > 6_000, "{rejection:?}");
            return;
        }
    };
    let claims = verified.claims;
    assert!(claims.subject.iter().chain(&claims.id).chain(&claims.session).all(|name| name.chars().count() <= 256));
    assert!(claims.max_sessions.is_none_or(|sessions| sessions > 0));
    if let Scope::Paths(paths) = &claims.scope {
        for path in paths {
            let canonical = Target::canonical(path, None, Strictness::Strict).expect("it was read");
            assert!(canonical.path == **path && path.starts_with('/'));
        }
    }
    let terms = Terms { leeway: Duration::from_secs(5), ..Terms::default() };
    let Some(end) = claims.expires else { return };
    let expired = verdict::of_time_and_party(&claims, &terms, end + 5).expect_err("it is over");
    assert_eq!((expired.reason, expired.expired), (Reason::TokenExpired, Some(end)));
    let before = verdict::of_time_and_party(&claims, &terms, end + 4);
    assert!(before.err().is_none_or(|rejection| rejection.reason != Reason::TokenExpired));
}

/// A prefix covers itself and what lies below it, and nothing else. Two lines: the prefix and the path; a third is a query.
pub fn token_scope(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let (Some(prefix), Some(path)) = (lines.next(), lines.next()) else { return };
    let canonical = |path| Target::canonical(path, None, Strictness::Strict).map(|target| target.path.into_owned());
    let (Ok(prefix), Ok(path)) = (canonical(prefix), canonical(path)) else { return };
    let scope = Scope::Paths(vec![prefix.as_str().into()]);
    let covers =
        |path: &str| scope.covers(&AskedUri { scheme: "https", host: "a.test", port: None, path, query: None });
    let folder = prefix.trim_end_matches('/');
    assert_eq!(covers(&path), path == prefix || path.starts_with(&format!("{folder}/")));
    assert!(covers(&prefix) && covers(&format!("{folder}/x")));
    assert!(folder.is_empty() || !covers(&format!("{folder}0")));
    let Some(query) = lines.next() else { return };
    let comparable = |query| scope::comparable_query(query, |name| name == "token");
    if let Some(compared) = comparable(query) {
        assert!(!compared.is_empty() && !compared.split('&').any(|part| part.starts_with("_HLS_")));
        assert_eq!(comparable(&compared), Some(compared.clone()));
    }
}

/// A key that signs what a target makes, and the set that holds it.
fn token_key() -> (SigningKey, KeySet) {
    let key = SigningKey::from_secret(&[7; 32], None, None).expect("long enough");
    let keys = KeySet::of([key.verifier().clone()]).expect("one key");
    (key, keys)
}

const ASKED: AskedUri<'static> =
    AskedUri { scheme: "https", host: "live.example.com", port: None, path: "/event1/main.m3u8", query: Some("a=1") };

fn all_formats() -> FormatTerms {
    let formats = vec![Format::Jwt, Format::UriSigning, Format::Cat, Format::Hdnts];
    FormatTerms { formats, catr_deadline: Some(CatrDeadline::Absolute), ..FormatTerms::default() }
}

/// A scope that goes into a session comes out of it the same, whatever stands behind it.
fn scope_keeps(scope: &Scope) {
    let mut out = Vec::new();
    let back = match scope {
        Scope::Everything | Scope::Paths(_) => return,
        Scope::Container(container) => {
            container.write(&mut out);
            Container::read(&mut &[&out[..], b"rest"].concat()[..]).map(Scope::Container)
        }
        Scope::Acl(acl) => {
            acl.write(&mut out);
            Acl::read(&mut &[&out[..], b"rest"].concat()[..]).map(Scope::Acl)
        }
        Scope::Components(matches) => {
            matches.iter().for_each(|one| one.write(&mut out));
            let mut input = &out[..];
            let back = matches.iter().map(|_| UriMatch::read(&mut input)).collect::<Option<_>>();
            assert!(input.is_empty());
            back.map(Scope::Components)
        }
    };
    assert_eq!(back.as_ref(), Some(scope));
    assert_eq!(back.map(|back| back.covers(&ASKED)), Some(scope.covers(&ASKED)));
}

/// What is read another reader reads too, is written in one form, and is read from that the same. And scopes: what comes out
/// of octets goes back into the same.
pub fn token_cbor(data: &[u8]) {
    if let Ok(value) = Cbor::read(data, Lengths::Any) {
        assert!(ciborium::from_reader::<ciborium::Value, _>(data).is_ok());
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        value.write(&mut once);
        Cbor::read(&once, Lengths::Definite).expect("it was written here").write(&mut twice);
        assert_eq!(once, twice);
    }
    let mut out = Vec::new();
    let mut input = data;
    if let Some(one) = UriMatch::read(&mut input) {
        one.write(&mut out);
        assert_eq!(out, data[..data.len() - input.len()]);
        one.matches(&ASKED);
    }
    let (mut out, mut input) = (Vec::new(), data);
    if let Some(container) = Container::read(&mut input) {
        container.write(&mut out);
        assert_eq!(out, data[..data.len() - input.len()]);
    }
    let (mut out, mut input) = (Vec::new(), data);
    if let Some(acl) = Acl::read(&mut input) {
        acl.write(&mut out);
        assert_eq!(out, data[..data.len() - input.len()]);
        acl.matches(&ASKED);
    }
}

/// A Common Access Token, as a whole and as a signed payload: what is accepted has no claim that is not judged here, and its
/// scope keeps.
pub fn token_cat(data: &[u8]) {
    assert!(cat::Unverified::read_octets(data).is_err() || data.len() > 20);
    let (key, keys) = token_key();
    let head = |length: usize| match length {
        0..24 => vec![0x40 | length as u8],
        24..256 => vec![0x58, length as u8],
        _ => vec![0x59, (length >> 8) as u8, length as u8],
    };
    if data.len() > 6_000 {
        return;
    }
    let payload = [&head(data.len()), data].concat();
    let message = [&b"\x84\x64MAC0\x43\xa1\x01\x05\x40"[..], &payload].concat();
    let tag = key.sign_octets(&message).expect("a tag");
    let token = [&b"\xd1\x84\x43\xa1\x01\x05\xa0"[..], &payload, b"\x58\x20", &tag].concat();
    let token = URL_SAFE_NO_PAD.encode(token);
    let verified = AnyToken::read(&token).and_then(|token| token.verify(&keys, &all_formats(), &ASKED));
    let claims = match verified {
        Ok(verified) => verified.claims,
        Err(rejection) => {
            let reasons = [Reason::TokenMalformed, Reason::ClaimUnknown, Reason::CatLabelUnknown];
            assert!(reasons.contains(&rejection.reason), "{rejection:?}");
            return;
        }
    };
    let payload = Cbor::read(data, Lengths::Any).expect("it was read");
    for (label, _) in payload.map().expect("a map").entries() {
        let is_judged = |label: i128| matches!(label, 1..=7 | 308 | 310..=316 | 320 | 322 | 323);
        assert!(matches!(label, Label::Text(_)) || matches!(label, Label::Whole(label) if is_judged(*label)));
    }
    assert!(claims.networks.as_ref().is_none_or(|networks| !networks.is_empty()));
    scope_keeps(&claims.scope);
    if let (Some(renewal), Some(times)) = (&claims.renewal, renewal::renew(&claims, 1_720_000_000, None)) {
        let token = renewal.token(times, &key).expect("a token");
        let again = AnyToken::read(&token).and_then(|token| token.verify(&keys, &all_formats(), &ASKED));
        assert_eq!(again.expect("it was made here").claims.expires, Some(times.expires));
    }
}

/// URI signing: the claims of a signed payload, else a container and, in a second line, the URI's path. A pattern covers no
/// more than one without anchors would.
pub fn token_uri_signing(data: &[u8]) {
    let (key, keys) = token_key();
    let message = format!("eyJhbGciOiJIUzI1NiJ9.{}", URL_SAFE_NO_PAD.encode(data));
    let signature = key.sign_octets(message.as_bytes()).expect("a signature");
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
    if let Ok(verified) = AnyToken::read(&token).and_then(|token| token.verify(&keys, &all_formats(), &ASKED)) {
        let is_uri_signing = verified.claims.format == Format::UriSigning;
        assert_eq!(is_uri_signing, matches!(verified.claims.scope, Scope::Container(_)));
        scope_keeps(&verified.claims.scope);
    }
    let Some((container, path)) = std::str::from_utf8(data).ok().and_then(|text| text.split_once('\n')) else { return };
    let (Some(read), Ok(target)) = (Container::parse(container), Target::canonical(path, None, Strictness::Strict))
    else {
        return;
    };
    let scope = Scope::Container(read);
    scope_keeps(&scope);
    let asked = AskedUri { path: &target.path, query: None, ..ASKED };
    let other = AskedUri { host: "other.example.org", ..asked };
    assert!(!(container.starts_with("hash:") && scope.covers(&asked) && scope.covers(&other)));
}

/// Edge tokens: fields, and in a second line the path. What is signed is read or refused, a changed hash never holds, and a
/// pattern covers nothing that does not begin as it does.
pub fn token_hdnts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (fields, path) = text.split_once('\n').unwrap_or((text, "/event1/main.m3u8"));
    let Ok(target) = Target::canonical(path, None, Strictness::Strict) else { return };
    let asked = AskedUri { path: &target.path, query: None, ..ASKED };
    let (key, keys) = token_key();
    let tag = key.sign_octets(fields.as_bytes()).expect("a tag");
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
    let verify = |token: &str| {
        let token = AnyToken::read(token)?;
        token.verify(&keys, &all_formats(), &asked).map(|verified| verified.claims)
    };
    let mut changed = tag.clone();
    changed[0] ^= 1;
    assert!(verify(&format!("{fields}~hmac={}", hex(&changed))).is_err());
    let Ok(claims) = verify(&format!("{fields}~hmac={}", hex(&tag))) else { return };
    scope_keeps(&claims.scope);
    let Scope::Acl(Acl::Patterns(patterns)) = &claims.scope else { return };
    let begins = |pattern: &str| {
        let literal = pattern.split(['*', '?']).next().unwrap_or_default();
        literal.starts_with('/') && target.path.starts_with(literal)
    };
    assert!(!claims.scope.covers(&asked) || patterns.iter().any(|pattern| begins(pattern)));
}

/// A session: as it comes it opens nothing, and what is sealed with the region's key is read in one way or not at all.
pub fn session_seal(data: &[u8]) {
    const ACCESS: &str = "members";
    let seals = Seals::new(&[7; 32], Some(&[8; 32]));
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(seals.open(ACCESS, text).is_err());
    }
    let key = SigningKey::from_secret(&[7; 32], None, None).expect("a secret");
    let tag = |message: &[u8]| key.sign_octets(message).expect("a tag");
    let octets = [&[1, tag(b"generation")[0]], data].concat();
    let covered = [&(ACCESS.len() as u64).to_be_bytes(), ACCESS.as_bytes(), &octets].concat();
    let text = URL_SAFE_NO_PAD.encode([&octets, &tag(&covered)[..16]].concat());
    if let Ok(grant) = seals.open(ACCESS, &text) {
        assert_eq!(seals.seal(ACCESS, &grant), Ok(text));
        scope_keeps(&grant.scope);
    }
}

/// What was read is written and read again as the same; nothing of it that opens anything is kept, and no custom key that
/// is not allowed.
fn report_keeps(read: &Read) {
    let text = cmcd_write::written(read);
    let again = match read.data.e {
        Some(_) => from_batch(text.as_bytes()).next().expect("a record").1.expect("it was written here"),
        None => {
            let query = format!("CMCD={}", utf8_percent_encode(&text, NON_ALPHANUMERIC));
            from_request(Some(&query), &HeaderMap::new()).expect("the parameter is there")
        }
    };
    assert!(again.faults.iter().all(|(fault, _)| fault == Fault::Irregular), "{text}");
    assert_eq!((&again.data, &again.sid, &again.custom), (&read.data, &read.sid, &read.custom));
    report_is_kept(read.clone());
}

fn report_is_kept(mut read: Read) {
    read.permit(&Allow::default());
    let Data { url, nor, custom, tpb, .. } = &read.data;
    let paths = url.iter().chain(nor.iter().map(|next| &next.path));
    assert!(paths.into_iter().all(|path| !path.contains(['?', '#', ';']) && !path.starts_with("//")));
    assert!(custom.is_empty() && tpb.is_empty() && read.custom.is_empty());
    let line = serde_json::to_string(&read.data).expect("it is made of texts and numbers");
    assert_eq!(serde_json::from_str::<Data>(&line).expect("it was written here"), read.data);
}

/// A query, and fields in the lines below it.
pub fn cmcd(data: &[u8]) {
    let (query, rest) = data.split_at(data.iter().position(|octet| *octet == b'\n').unwrap_or(data.len()));
    let query = std::str::from_utf8(query).ok();
    let of_query = from_request(query, &HeaderMap::new());
    of_query.iter().for_each(report_keeps);
    from_request(None, &fields(rest)).iter().for_each(report_keeps);
}

/// Every line is a record of its own: what is read of it does not depend on those around it.
pub fn cmcd_events(data: &[u8]) {
    let whole: Vec<_> = from_batch(data).map(|(_, read)| read).collect();
    let alone = data.split(|octet| *octet == b'\n').flat_map(|line| from_batch(line).map(|(_, read)| read));
    assert!(whole.iter().zip(alone).all(|(whole, alone)| *whole == alone || whole.is_err()));
    whole.iter().flatten().for_each(report_keeps);
}

/// What is read of a body is read of its records' own writing.
pub fn beacon(data: &[u8]) {
    for (text, read) in from_beacon(data).into_iter().flat_map(|(records, _)| records).flatten() {
        // Numbers may be longer in that.
        if text.len() <= LONGEST_RECORD {
            let (again, beyond) = from_beacon(text.as_bytes()).expect("its own writing is a record");
            assert_eq!((again.collect::<Vec<_>>(), beyond), (vec![Ok((text, read.clone()))], 0));
        }
        report_is_kept(read);
    }
}

/// Whatever others said, the field is a list of which ours is the last member, and a second hop leaves the first.
pub fn cmsd(data: &[u8]) {
    let mut headers = fields(data);
    let hold_ms = Some(380);
    cmsd::append(&mut headers, &Hop { node: "one", hold_ms, ..Hop::default() });
    cmsd::append(&mut headers, &Hop { node: "two", ..Hop::default() });
    let joined = structured::joined(&headers, &cmsd::CMSD_DYNAMIC).expect("a member was added");
    let list = List::parse(&joined).expect("CMSD-Dynamic is a list");
    let names: Vec<_> = list.0.iter().rev().take(2).map(name_of).collect();
    assert!(matches!(names[..], ["two", "one"] | ["two"]), "{names:?}");
}

fn name_of(member: &Member) -> &str {
    match member {
        Member::Item(Item { value: Bare::String(name), .. }) => name,
        _ => "",
    }
}

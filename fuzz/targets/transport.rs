//! Octets of a connection before there is a request: framing of each version of HTTP, and the header of a balancer.

use std::net::SocketAddr;

use bytes::Bytes;
use weir::clock::Tick;
use weir::request::Viewer;
use weir::rules::http1::{Answers, Asked, Bounds, Guard, Step};
use weir::rules::http2::HeadWatch;
use weir::rules::proxy_protocol;
use weir::rules::proxy_protocol::Header;
use weir::transport::h3::code::ConnectionError;
use weir::transport::h3::frame::{ControlFrames, RequestFrames, RequestPart};
use weir::transport::h3::message::Request;
use weir::transport::h3::qpack::{Secrecy, huffman};
use weir::transport::h3::{message, qpack};

use super::in_pieces;

/// The verdict on the whole is that on its pieces, and behind a refusal nothing passes that is fed to these.
fn agree(octets: &[u8], verdicts: (Step, Option<Step>), next: impl FnOnce() -> Step) {
    match verdicts {
        (Step::Pass, None) => {}
        (Step::Refuse { pass, fault }, Some(Step::Refuse { fault: other, .. })) => {
            assert_eq!(fault, other);
            assert!(pass <= octets.len());
            assert!(matches!(next(), Step::Refuse { pass: 0, .. }));
        }
        (verdict, step) => panic!("{verdict:?} of the whole, {step:?} of pieces"),
    }
}

/// The verdict on a connection does not depend on how its octets were split, and nothing passes after a refusal.
pub fn http1_guard(data: &[u8]) {
    const BOUNDS: Bounds = Bounds { head_size: 2_000, fields: 20, request_line: 600 };
    let Some((length, octets)) = in_pieces(data) else { return };
    let (mut whole, mut split) = (Guard::new(BOUNDS), Guard::new(BOUNDS));
    let verdict = whole.feed(octets);
    let step = octets.chunks(length).map(|piece| split.feed(piece)).find(|step| *step != Step::Pass);
    agree(octets, (verdict, step), || split.feed(b"G"));
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
        agree(octets, (verdict, step), || split.feed(b"H"));
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

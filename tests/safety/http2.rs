//! Requests and frames of HTTP/2, said octet by octet.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::corpus::{Case, Seen, cases, octets, written_out};
use crate::sections::{fields, hpack, hpack_status};
use crate::stage::Stage;
use crate::{all, within};

#[derive(Clone, Deserialize)]
struct Told {
    send: Vec<String>,
    #[serde(default)]
    expect: Vec<String>,
    #[serde(flatten)]
    seen: Seen,
}

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// The stream of the probe: higher than all others.
const PROBE: u32 = 0x7fff_fff1;

const CODES: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_of_http_2_is_taken_for_another_or_for_two() {
    let stage = Stage::start().await;
    let address = stage.node.address("http").unwrap();
    let cases = cases::<Told>("http2.toml");
    assert!(cases.len() >= 170, "{} cases", cases.len());
    let faults = all(&cases, |case| async move { within(&case.name, tell(address, &case)).await }).await;
    stage.judge(&cases, |told| &told.seen, faults).await;
}

/// What has become of a connection so far.
#[derive(Debug, Default)]
struct Outcome {
    streams: BTreeMap<u32, String>,
    heads: BTreeMap<u32, u16>,
    goaway: Option<String>,
    ended: bool,
}

impl Outcome {
    fn is(&self, expected: &str) -> bool {
        expected.split(" or ").any(|expected| match expected.split_once(": ") {
            Some((stream, outcome)) => self.streams.get(&stream.parse().unwrap()).is_some_and(|came| came == outcome),
            None if expected == "closed" => self.ended,
            // A generic code can always stand for a specific one (RFC 9113 §5.4), and the library likes to.
            None => {
                let came = self.goaway.as_deref();
                self.ended && (came == expected.strip_prefix("goaway ") || came == Some("PROTOCOL_ERROR"))
            }
        })
    }

    fn take(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let code = |octets: &[u8]| {
            let code = octets.last_chunk().map_or(u32::MAX, |code| u32::from_be_bytes(*code));
            CODES.get(code as usize).unwrap_or(&"?").to_string()
        };
        match kind {
            HEADERS => _ = self.heads.insert(stream, hpack_status(payload).unwrap_or(0)),
            RST_STREAM => _ = self.streams.entry(stream).or_insert_with(|| format!("reset {}", code(payload))),
            GOAWAY if code(&payload[4..8]) != "NO_ERROR" => self.goaway = Some(code(&payload[4..8])),
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            let status = self.heads.get(&stream).copied().unwrap_or(0);
            self.streams.entry(stream).or_insert_with(|| status.to_string());
        }
    }
}

async fn tell(address: SocketAddr, case: &Case<Told>) -> Result<(), String> {
    let mut expected = case.told.expect.clone();
    if case.told.seen.passes.is_some() {
        expected.push("1: 200".to_owned());
    }
    let ends = expected.iter().any(|expected| expected.contains("goaway") || expected.contains("closed"));
    let may_live = expected.iter().all(|expected| expected.contains(": "));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut read, mut write) = stream.split();
    let send = case.told.send.iter().flat_map(|text| frames(text, &case.id, |at| 2 * at + 1));
    let mut send = [PREFACE.to_vec(), frame(SETTINGS, 0, 0, &[]), send.collect()].concat();
    if may_live {
        let probe = fields(":method=GET | :scheme=http | :authority=x | :path=/.weir/live", "");
        send.extend(frame(SETTINGS, 1, 0, &[]));
        send.extend(frame(HEADERS, END_HEADERS | END_STREAM, PROBE, &hpack(&probe)));
    }
    let mut outcome = Outcome::default();
    let hearing = async {
        while !expected.iter().all(|expected| outcome.is(expected)) || (!ends && !outcome.streams.contains_key(&PROBE))
        {
            match next(&mut read).await {
                Some((kind, flags, stream, payload)) => outcome.take(kind, flags, stream, &payload),
                None if std::mem::replace(&mut outcome.ended, true) => break,
                None => {}
            }
        }
    };
    let hearing = tokio::time::timeout(crate::LAST_DEADLINE / 3, hearing);
    // The node may close before it has all of it.
    let (_, heard) = tokio::join!(write.write_all(&send), hearing);
    let is_right = heard.is_ok() && expected.iter().all(|expected| outcome.is(expected));
    if is_right { Ok(()) } else { Err(format!("{outcome:?} is not {expected:?}")) }
}

/// The next frame: type, flags, stream, payload.
pub async fn next(read: &mut (impl AsyncRead + Unpin)) -> Option<(u8, u8, u32, Vec<u8>)> {
    let mut head = [0; 9];
    read.read_exact(&mut head).await.ok()?;
    let [a, b, c, kind, flags, stream @ ..] = head;
    let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
    read.read_exact(&mut payload).await.ok()?;
    Some((kind, flags, u32::from_be_bytes(stream), payload))
}

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The frames that a text stands for; `stream` is the present one at each repetition.
pub fn frames(text: &str, id: &str, stream: impl Fn(u32) -> u32) -> Vec<u8> {
    let text = written_out(text);
    let (count, text) = match text.split_once(" of ") {
        Some((count, text)) if count.parse::<u32>().is_ok() => (count.parse().unwrap(), text),
        _ => (1, &text[..]),
    };
    let mut octets = Vec::new();
    for at in 0..count {
        for text in text.split(" || ") {
            octets.extend(one(text, id, stream(at)));
        }
    }
    octets
}

fn one(text: &str, id: &str, present: u32) -> Vec<u8> {
    let (head, rest) = text.split_once(" |").unwrap_or((text, ""));
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    let words: Vec<_> = head.split(' ').collect();
    let number = |at: usize| match words[at] {
        "+" | "=" => present,
        text => text.parse().unwrap(),
    };
    let end = if words.contains(&"end") { END_STREAM } else { 0 };
    let whole = if words.contains(&"more") { 0 } else { END_HEADERS };
    match words[0] {
        "headers" => frame(HEADERS, end | whole, number(1), &hpack(&fields(rest, id))),
        "continuation" => frame(CONTINUATION, whole, number(1), &hpack(&fields(rest, id))),
        "block" => frame(HEADERS, end | whole, number(1), &octets(rest, id)),
        "data" => frame(DATA, end, number(1), &octets(rest, id)),
        "frame" => frame(number(1) as u8, number(2) as u8, number(3), &octets(rest, id)),
        "raw" => octets(rest, id),
        other => panic!("no such frame: {other}"),
    }
}

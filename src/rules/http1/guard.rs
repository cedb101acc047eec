//! The state machine that follows a connection from head to body to head.

use std::borrow::Cow;

use super::chunked::{Chunked, Rest, take};
use super::field::{self, Meaning, Minor};
use super::line::{self, Unfinished};
use super::{Bounds, Fault, Step};
use crate::rules::uri;

/// Follows the requests of one HTTP/1.x connection.
#[derive(Debug)]
pub struct Guard {
    bounds: Bounds,
    state: State,
    /// A line from earlier pieces.
    line: Unfinished,
    onward: Onward,
    heads: u64,
}

/// What goes on of the piece that was fed last. A line of a head goes on once it is judged: whoever reads it then never
/// sees what is refused, and never answers for it.
#[derive(Debug, Default)]
struct Onward {
    /// The beginning of a line that has ended now: it goes in front of the piece.
    front: Vec<u8>,
    /// Octets at the end of the piece that belong to a line of a head that has not ended.
    held: usize,
    /// Octets of front and piece that are percent-encoded: they stand raw in a query.
    raw: Vec<usize>,
}

#[derive(Debug)]
enum State {
    /// Between two messages; whether an empty line came already.
    Between { after_empty_line: bool },
    /// In the fields of a head.
    Fields(Head),
    /// In a body of known length.
    Length(u64),
    /// In a body in chunks.
    Chunks(Chunked),
    /// Nothing more is looked at.
    Refused { fault: Fault, in_body: bool },
}

/// What is known of a head so far.
#[derive(Debug)]
struct Head {
    minor: Minor,
    size: usize,
    fields: usize,
    hosts: usize,
    length: Option<u64>,
    chunked: bool,
}

/// A body or its end.
enum Body {
    None,
    Length(u64),
    Chunks,
}

impl Guard {
    /// A guard before the first octet of a connection.
    pub fn new(bounds: Bounds) -> Self {
        let state = State::Between { after_empty_line: false };
        Self { bounds, state, line: Unfinished::default(), onward: Onward::default(), heads: 0 }
    }

    /// Whether a head has begun and is not complete.
    pub fn in_head(&self) -> bool {
        match self.state {
            State::Between { .. } => !matches!(self.line.octets(), [] | b"\r"),
            State::Fields(_) => true,
            State::Length(_) | State::Chunks(_) | State::Refused { .. } => false,
        }
    }

    /// Whether the next octet begins a message.
    pub fn between(&self) -> bool {
        matches!(self.state, State::Between { .. }) && self.line.octets().is_empty()
    }

    /// Whether the octets of a body are expected.
    pub fn in_body(&self) -> bool {
        matches!(self.state, State::Length(_) | State::Chunks(_))
    }

    /// Whether what was refused is a body, whose head has passed.
    pub fn refused_in_body(&self) -> bool {
        matches!(self.state, State::Refused { in_body: true, .. })
    }

    /// How many heads are complete.
    pub fn heads(&self) -> u64 {
        self.heads
    }

    /// Whether what goes on next begins a message.
    pub fn goes_on_between(&self) -> bool {
        matches!(self.state, State::Between { .. })
    }

    /// What goes on of the piece that was fed last, of which `pass` octets may pass, and of what was held before: whole
    /// lines of heads, in which what stands raw in a query is percent-encoded, and whatever comes of bodies. What goes on
    /// is within the bounds.
    pub fn onward<'o>(&mut self, piece: &'o [u8], pass: usize) -> Cow<'o, [u8]> {
        let Onward { front, held, mut raw } = std::mem::take(&mut self.onward);
        let end = pass.min(piece.len() - held);
        if front.is_empty() && raw.is_empty() {
            return Cow::Borrowed(&piece[..end]);
        }
        let all = [&front, &piece[..end]].concat();
        raw.retain(|place| *place < all.len());
        Cow::Owned(uri::encoded_at(&all, &raw))
    }

    /// Judges the next octets of the connection.
    pub fn feed(&mut self, octets: &[u8]) -> Step {
        self.onward = Onward::default();
        let mut at = 0;
        // Where the message that is being read began, as far as this piece shows it. In a body everything before the
        // faulty line has its place in a message that was let through.
        let mut message = 0;
        while at < octets.len() {
            if self.between() {
                message = at;
            }
            match self.advance(&octets[at..], at) {
                Ok(taken) => at += taken,
                Err(fault) => {
                    let in_body = match self.state {
                        State::Refused { in_body, .. } => in_body,
                        _ => self.in_body(),
                    };
                    let pass = if in_body { at } else { message };
                    self.state = State::Refused { fault, in_body };
                    self.line.forget();
                    // Then it is the beginning of what is refused.
                    if pass == 0 {
                        self.onward = Onward::default();
                    }
                    return Step::Refuse { pass, fault };
                }
            }
        }
        if matches!(self.state, State::Between { .. } | State::Fields(_)) {
            self.onward.held = self.line.octets().len().min(octets.len());
        }
        Step::Pass
    }

    /// Takes the octets up to the next border; at least one. They stand at `at` in their piece.
    fn advance(&mut self, octets: &[u8], at: usize) -> Result<usize, Fault> {
        match &mut self.state {
            State::Refused { fault, .. } => Err(*fault),
            State::Length(left) => {
                let taken = take(left, octets.len());
                if *left == 0 {
                    self.next_message();
                }
                Ok(taken)
            }
            State::Chunks(chunked) => match chunked.data(octets.len()) {
                Some(taken) => Ok(taken),
                None => self.take_line(octets, at),
            },
            State::Between { .. } | State::Fields(_) => self.take_line(octets, at),
        }
    }

    fn take_line(&mut self, octets: &[u8], at: usize) -> Result<usize, Fault> {
        let Some(end) = memchr::memchr(b'\n', octets) else {
            self.judge_size(octets.len())?;
            self.line.keep(octets);
            return Ok(octets.len());
        };
        let piece = &octets[..=end];
        self.judge_size(piece.len())?;
        match self.line.finish(piece) {
            None => self.judge_line(piece, at + piece.len())?,
            Some(line) => {
                if matches!(self.state, State::Between { .. } | State::Fields(_)) {
                    self.onward.front = line[..line.len() - piece.len()].to_vec();
                }
                self.judge_line(&line, at + piece.len())?;
                // Keep the allocation for the rest of this head only; an idle connection holds none.
                if !matches!(self.state, State::Between { .. }) {
                    self.line.reuse(line);
                }
            }
        }
        Ok(piece.len())
    }

    /// The bounds hold before a line is complete, so that a line without an end cannot grow.
    fn judge_size(&self, more: usize) -> Result<(), Fault> {
        let line = self.line.octets().len() + more;
        match &self.state {
            State::Between { .. } if line > self.bounds.request_line => Err(Fault::TargetTooLong),
            State::Fields(head) if head.size + line > self.bounds.head_size => Err(Fault::HeadTooLarge),
            State::Chunks(chunked) => chunked.judge_size(line, &self.bounds),
            State::Between { .. } | State::Fields(_) | State::Length(_) | State::Refused { .. } => Ok(()),
        }
    }

    /// Judges a line that ends at `end` of what was fed.
    fn judge_line(&mut self, with_end: &[u8], end: usize) -> Result<(), Fault> {
        let line = line::without_end(with_end)?;
        match &mut self.state {
            State::Between { after_empty_line } if line.is_empty() => match after_empty_line {
                true => return Err(Fault::EmptyLines),
                false => *after_empty_line = true,
            },
            State::Between { .. } => {
                let minor = field::request_line(line)?;
                let raw = field::raw(line);
                let size = with_end.len() + 2 * raw.len();
                if size > self.bounds.request_line {
                    return Err(Fault::TargetTooLong);
                }
                let start = self.onward.front.len() + end - with_end.len();
                self.onward.raw.extend(raw.into_iter().map(|place| start + place));
                let head = Head { minor, size, fields: 0, hosts: 0, length: None, chunked: false };
                self.state = State::Fields(head);
            }
            State::Fields(head) if line.is_empty() => {
                let body = head.body()?;
                self.heads += 1;
                match body {
                    Body::None => self.next_message(),
                    Body::Length(length) => self.state = State::Length(length),
                    Body::Chunks => self.state = State::Chunks(Chunked::START),
                }
            }
            State::Fields(head) => {
                head.size += with_end.len();
                head.fields += 1;
                if head.fields > self.bounds.fields {
                    return Err(Fault::HeadTooLarge);
                }
                head.take(field::field(line)?)?;
            }
            State::Chunks(chunked) => match chunked.line(line, &self.bounds)? {
                Rest::More => {}
                Rest::Ended => self.next_message(),
            },
            State::Length(_) | State::Refused { .. } => unreachable!("no lines are read there"),
        }
        Ok(())
    }

    fn next_message(&mut self) {
        self.state = State::Between { after_empty_line: false };
    }
}

impl Head {
    fn take(&mut self, meaning: Meaning) -> Result<(), Fault> {
        match meaning {
            Meaning::Other => Ok(()),
            Meaning::Host => {
                self.hosts += 1;
                if self.hosts > 1 { Err(Fault::Host) } else { Ok(()) }
            }
            // An identical second length could be folded into one; refusing it is simpler to reason about.
            Meaning::Length(_) if self.length.is_some() => Err(Fault::ContentLength),
            Meaning::Length(length) => {
                self.length = Some(length);
                if self.chunked { Err(Fault::TwoLengths) } else { Ok(()) }
            }
            Meaning::Chunked if self.chunked || self.minor == Minor::Zero => Err(Fault::TransferEncoding),
            Meaning::Chunked => {
                self.chunked = true;
                if self.length.is_some() { Err(Fault::TwoLengths) } else { Ok(()) }
            }
        }
    }

    /// What follows a complete head.
    fn body(&self) -> Result<Body, Fault> {
        if self.minor == Minor::One && self.hosts == 0 {
            return Err(Fault::Host);
        }
        Ok(match self.length {
            _ if self.chunked => Body::Chunks,
            None | Some(0) => Body::None,
            Some(length) => Body::Length(length),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { head_size: 1_000, fields: 10, request_line: 300 };

    fn fault(octets: &[u8]) -> Option<Fault> {
        match Guard::new(BOUNDS).feed(octets) {
            Step::Pass => None,
            Step::Refuse { fault, .. } => Some(fault),
        }
    }

    #[test]
    fn plain_requests_pass_and_are_counted() {
        let mut guard = Guard::new(BOUNDS);
        let requests = b"GET /a?b HTTP/1.1\r\nHost: x\r\nA:\r\n\r\n\
            POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nGET /\
            POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n5;a=b\r\n\r\n\n12\r\n0\r\nT: 1\r\n\r\n\
            \r\nGET http://x/ HTTP/1.0\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_eq!(guard.feed(requests), Step::Pass);
        assert_eq!(guard.heads(), 5);
        assert!(guard.between());
        assert!(!guard.in_head());
        assert_eq!(guard.feed(b"G"), Step::Pass);
        assert!(guard.in_head());
    }

    const LENIENT: &[(&[u8], Fault)] = &[
        (b"GET / HTTP/1.1\nHost: x\n\n", Fault::LineEnd),
        (b"GET / HTTP/1.1\r\nHost: x\n\r\n", Fault::LineEnd),
        (b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", Fault::LineEnd),
        (b"GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", Fault::Control),
        (b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", Fault::Folded),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\tfolded\r\n\r\n", Fault::Folded),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", Fault::FieldName),
        (b"GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n", Fault::FieldName),
        (b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", Fault::FieldName),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", Fault::Host),
        (b"GET / HTTP/1.1\r\n\r\n", Fault::Host),
        (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", Fault::RequestLine),
        (b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n", Fault::RequestLine),
        (b" GET / HTTP/1.1\r\nHost: x\r\n\r\n", Fault::RequestLine),
        (b"GET /\r\n\r\n", Fault::RequestLine),
        (b"G(T / HTTP/1.1\r\nHost: x\r\n\r\n", Fault::Method),
        (b"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n", Fault::Method),
        (b"GET /#f HTTP/1.1\r\nHost: x\r\n\r\n", Fault::Target),
        (b"GET /\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n", Fault::Target),
        (b"GET /\x7f HTTP/1.1\r\nHost: x\r\n\r\n", Fault::Control),
        (b"GET a HTTP/1.1\r\nHost: x\r\n\r\n", Fault::Target),
        (b"GET * HTTP/1.1\r\nHost: x\r\n\r\n", Fault::Target),
        (b"GET /<a> HTTP/1.1\r\nHost: x\r\n\r\n", Fault::Target),
        (b"GET /` HTTP/1.1\r\nHost: x\r\n\r\n", Fault::Target),
        (b"GET /?a=\"#\" HTTP/1.1\r\nHost: x\r\n\r\n", Fault::Target),
        (b"GET /?a=\" \" HTTP/1.1\r\nHost: x\r\n\r\n", Fault::RequestLine),
        (b"GET /?a=\"\0 HTTP/1.1\r\nHost: x\r\n\r\n", Fault::Control),
        (b"GET /?a=\"\x7f HTTP/1.1\r\nHost: x\r\n\r\n", Fault::Control),
        (b"GET /?a=\"\r HTTP/1.1\r\nHost: x\r\n\r\n", Fault::LineEnd),
        (b"G\"T /?a HTTP/1.1\r\nHost: x\r\n\r\n", Fault::Method),
        (b"GET /?a HTTP/1.1\"\r\nHost: x\r\n\r\n", Fault::Version),
        (b"GET http://[a/ HTTP/1.1\r\nHost: x\r\n\r\n", Fault::Target),
        (b"GET http://a\"b/ HTTP/1.1\r\nHost: x\r\n\r\n", Fault::Target),
        (b"GET http:///a HTTP/1.1\r\nHost: x\r\n\r\n", Fault::Target),
        (b"CONNECT x?y HTTP/1.1\r\nHost: x\r\n\r\n", Fault::Target),
        (b"GET / http/1.1\r\nHost: x\r\n\r\n", Fault::Version),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: \x7f\r\n\r\n", Fault::Control),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", Fault::OtherVersion),
        (b"GET / HTTP/1.2\r\nHost: x\r\n\r\n", Fault::OtherVersion),
        (b"GET / HTTP/1.01\r\nHost: x\r\n\r\n", Fault::Version),
        (b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", Fault::EmptyLines),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::TransferEncoding),
    ];

    #[test]
    fn what_a_lenient_reader_would_forgive_is_refused() {
        let head = |fields: &str| format!("POST / HTTP/1.1\r\nHost: x\r\n{fields}\r\n\r\n").into_bytes();
        for (octets, expected) in LENIENT {
            assert_eq!(fault(octets), Some(*expected), "{}", String::from_utf8_lossy(octets));
        }
        for (fields, expected) in [
            ("Content-Length: +1", Fault::ContentLength),
            ("Content-Length: -1", Fault::ContentLength),
            ("Content-Length: 0x1", Fault::ContentLength),
            ("Content-Length:", Fault::ContentLength),
            ("Content-Length: 1, 1", Fault::ContentLength),
            ("Content-Length: 1 1", Fault::ContentLength),
            ("Content-Length: 9223372036854775808", Fault::ContentLength),
            ("Content-Length: 1\r\nContent-Length: 1", Fault::ContentLength),
            ("Content-Length: 1\r\nTransfer-Encoding: chunked", Fault::TwoLengths),
            ("Transfer-Encoding: chunked\r\nContent-Length: 1", Fault::TwoLengths),
            ("Transfer-Encoding: gzip, chunked", Fault::Coding),
            ("Transfer-Encoding: chunked, gzip", Fault::TransferEncoding),
            ("Transfer-Encoding: chunked, chunked", Fault::TransferEncoding),
            ("Transfer-Encoding: identity, chunked", Fault::TransferEncoding),
            ("Transfer-Encoding: , chunked", Fault::TransferEncoding),
            ("Transfer-Encoding: identity", Fault::TransferEncoding),
            ("Transfer-Encoding: xchunked", Fault::TransferEncoding),
            ("Transfer-Encoding: \x0bchunked", Fault::Control),
            ("Transfer-Encoding: chunked;a=b", Fault::TransferEncoding),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", Fault::TransferEncoding),
            ("Transfer-Encoding:", Fault::TransferEncoding),
        ] {
            assert_eq!(fault(&head(fields)), Some(expected), "{fields}");
        }
    }

    #[test]
    fn chunks_are_plain_hexadecimal_and_end_where_they_say() {
        let body = |chunks: &str| {
            let mut octets = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            octets.extend_from_slice(chunks.as_bytes());
            fault(&octets)
        };
        let long = "a".repeat(300);
        for (chunks, expected) in [
            ("5\r\nhello\r\n0\r\n\r\n", None),
            ("5 ;x\r\nhello\r\n000\r\nA: b\r\n\r\n", None),
            ("0x5\r\n", Some(Fault::Chunk)),
            ("+5\r\n", Some(Fault::Chunk)),
            (" 5\r\n", Some(Fault::Chunk)),
            ("5 \r\n", Some(Fault::Chunk)),
            ("\r\n", Some(Fault::Chunk)),
            ("00000000000000005\r\n", Some(Fault::Chunk)),
            ("5\nhello", Some(Fault::LineEnd)),
            ("5\r\nhelloX\r\n", Some(Fault::Chunk)),
            ("5\r\nhello\n", Some(Fault::LineEnd)),
            ("0\r\n folded\r\n", Some(Fault::Folded)),
            (long.as_str(), Some(Fault::Chunk)),
        ] {
            assert_eq!(body(chunks), expected, "{chunks:?}");
        }
        assert_eq!(body(&format!("1;{long}\r\n")), Some(Fault::Chunk));
        assert_eq!(body(&format!("1;{}\r\nx\r\n", "a".repeat(200)).repeat(30)), Some(Fault::Chunk));
    }

    #[test]
    fn bounds_hold_before_a_line_is_complete() {
        assert_eq!(fault(&[b'a'; 301]), Some(Fault::TargetTooLong));
        let mut octets = b"GET / HTTP/1.1\r\nHost: x\r\nA: ".to_vec();
        octets.resize(1_001, b'a');
        assert_eq!(fault(&octets), Some(Fault::HeadTooLarge));
        let fields = format!("GET / HTTP/1.1\r\n{}", "A: b\r\n".repeat(11));
        assert_eq!(fault(fields.as_bytes()), Some(Fault::HeadTooLarge));
    }

    #[test]
    fn what_precedes_a_refused_message_may_pass() {
        let mut guard = Guard::new(BOUNDS);
        let good = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let octets = [good.as_slice(), b"GET / HTTP/1.1\nHost: x\r\n\r\n"].concat();
        assert_eq!(guard.feed(&octets), Step::Refuse { pass: good.len(), fault: Fault::LineEnd });
        assert_eq!(guard.feed(b"GET"), Step::Refuse { pass: 0, fault: Fault::LineEnd });
    }

    /// What goes on of octets that come in pieces of these sizes; `None`: some are refused.
    fn passed(octets: &[u8], sizes: &[usize]) -> Option<Vec<u8>> {
        let mut guard = Guard::new(BOUNDS);
        let (mut rest, mut passed) = (octets, Vec::new());
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at(rest.len().min(*size));
            if guard.feed(piece) != Step::Pass {
                return None;
            }
            passed.extend_from_slice(&guard.onward(piece, piece.len()));
            rest = behind;
        }
        Some(passed)
    }

    #[test]
    fn what_stands_raw_in_a_query_is_encoded_there_and_nowhere_else() {
        let octets = b"\r\nPOST /a\"?CMCD=sid=\"a\",x=<\xc3\xa4\xff>?\" HTTP/1.1\r\nHost: x\r\nA: /?\"<\xff \"\r\n\
            Content-Length: 5\r\n\r\n?\"<>\xffGET http://x/?\" HTTP/1.1\r\nHost: x\r\n\r\n";
        let expected =
            b"\r\nPOST /a\"?CMCD=sid=%22a%22,x=%3C%C3%A4%FF%3E?%22 HTTP/1.1\r\nHost: x\r\nA: /?\"<\xff \"\r\n\
            Content-Length: 5\r\n\r\n?\"<>\xffGET http://x/?%22 HTTP/1.1\r\nHost: x\r\n\r\n";
        for size in [1, 2, 3, 7, 20, 1_000] {
            assert_eq!(passed(octets, &[size]).as_deref(), Some(&expected[..]), "in pieces of {size}");
        }
    }

    #[test]
    fn a_line_of_a_head_goes_on_once_it_is_judged() {
        let mut guard = Guard::new(BOUNDS);
        let mut feed = |piece: &'static str| {
            let step = guard.feed(piece.as_bytes());
            let pass = match step {
                Step::Pass => piece.len(),
                Step::Refuse { pass, .. } => pass,
            };
            let onward = String::from_utf8(guard.onward(piece.as_bytes(), pass).into_owned()).unwrap();
            (onward, step == Step::Pass, guard.goes_on_between())
        };
        let of = |onward: &str, passes, between| (onward.to_owned(), passes, between);
        assert_eq!(feed("GET /?"), of("", true, true));
        assert_eq!(feed("\" HTTP/1.1\r\nHo"), of("GET /?%22 HTTP/1.1\r\n", true, false));
        assert_eq!(
            feed("st: x\r\n\r\nPOST /?\" HTTP/1.1\r\nHost: x\r\n"),
            of("Host: x\r\n\r\nPOST /?%22 HTTP/1.1\r\nHost: x\r\n", true, false)
        );
        assert_eq!(feed("Transfer-Encoding: chunked\r\n\r\n3"), of("Transfer-Encoding: chunked\r\n\r\n3", true, false));
        assert_eq!(feed("\r\nabc\r\n0\r\n\r\nGET / "), of("\r\nabc\r\n0\r\n\r\n", true, true));
        assert_eq!(feed("x HTTP/1.1\r\n"), of("", false, false));
        assert_eq!(feed("GET"), of("", false, false));
    }

    #[test]
    fn the_bounds_are_those_of_what_goes_on() {
        let request = |quotes| format!("GET /?{} HTTP/1.1\r\nHost: x\r\n\r\n", "\"".repeat(quotes)).into_bytes();
        assert_eq!(fault(&request(94)), None);
        assert_eq!(fault(&request(95)), Some(Fault::TargetTooLong));
        let (line, field) = (format!("GET /?{} HTTP/1.1\r\n", "\"".repeat(90)), "a".repeat(800));
        assert_eq!(fault(format!("{line}Host: x\r\nA: {field}\r\n\r\n").as_bytes()), Some(Fault::HeadTooLarge));
        assert_eq!(fault(format!("{}Host: x\r\nA: {field}\r\n\r\n", line.replace('"', "a")).as_bytes()), None);
    }

    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            8 => Just(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
            2 => Just(b"GET /\"?a=\"<\xff HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
            4 => Just(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc".to_vec()),
            4 => Just(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_vec()),
            1 => Just(b"\r\n".to_vec()),
            1 => Just(b"GET / HTTP/1.1\r\nHost: x\nB: c\r\n\r\n".to_vec()),
            1 => Just(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n".to_vec()),
            1 => proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b':'), Just(b' '), any::<u8>()], 0..40),
        ];
        proptest::collection::vec(piece, 1..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn the_verdict_does_not_depend_on_how_the_octets_were_split(
            octets in stream(),
            cuts in proptest::collection::vec(1usize..50, 1..60),
        ) {
            let mut whole = Guard::new(BOUNDS);
            let verdict = whole.feed(&octets);
            let mut split = Guard::new(BOUNDS);
            let (mut at, mut cuts) = (0, cuts.iter().cycle());
            let mut last = Step::Pass;
            while at < octets.len() && last == Step::Pass {
                let to = (at + cuts.next().unwrap()).min(octets.len());
                last = split.feed(&octets[at..to]);
                at = to;
            }
            let kind = |step| match step { Step::Pass => None, Step::Refuse { fault, .. } => Some(fault) };
            prop_assert_eq!(kind(verdict), kind(last));
            prop_assert_eq!(whole.heads(), split.heads());
            prop_assert_eq!(whole.in_head(), split.in_head());
        }

        #[test]
        fn what_goes_on_does_not_depend_on_how_the_octets_were_split(
            octets in stream(),
            sizes in proptest::collection::vec(1usize..50, 1..60),
        ) {
            prop_assert_eq!(passed(&octets, &sizes), passed(&octets, &[usize::MAX]));
        }

        #[test]
        fn what_passes_has_a_target_that_the_library_above_reads(
            method in prop_oneof![Just("GET"), Just("OPTIONS"), Just("CONNECT")],
            start in prop_oneof![Just("/"), Just("http://"), Just("https://x"), Just("HTTP://x/"), Just("*"), Just("x:1"), Just("")],
            rest in proptest::collection::vec(
                prop_oneof![0x21u8..0x7f, Just(b'?'), Just(b'/'), Just(b'@'), Just(b':'), Just(b'['), Just(b'"'), Just(0xc3), any::<u8>()], 0..12),
        ) {
            let head = [method.as_bytes(), b" ", start.as_bytes(), &rest, b" HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
            if let Some(passed) = passed(&head, &[usize::MAX]) {
                let target = passed.split(|octet| *octet == b' ').nth(1).unwrap();
                prop_assert!(http::Uri::try_from(target).is_ok(), "{}", String::from_utf8_lossy(target));
            }
        }
    }
}

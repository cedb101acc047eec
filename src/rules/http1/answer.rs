//! The state machine that follows the answers on a connection to an origin: interim heads within a bound, the final
//! head, its body, and then nothing until the next request. Octets that come while nothing is asked for, or behind an
//! answer, pass untouched: whoever drives the connection must see them as what they are, and they are never the
//! beginning of a later answer.

use super::chunked::{Chunked, Rest, take};
use super::field::{self, Meaning, Minor};
use super::line::{self, Unfinished};
use super::{Bounds, Fault, Step};

/// Interim answers before a final one.
const INTERIM_MAX: u32 = 16;

/// What was asked for, as far as it decides on the body of the answer (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// HEAD: there is no body, whatever the fields say.
    Head,
    /// Any other method.
    Other,
}

/// Follows the answers of one HTTP/1.x connection.
#[derive(Debug)]
pub struct Answers {
    bounds: Bounds,
    state: State,
    line: Unfinished,
    asked: Asked,
    interim: u32,
}

#[derive(Debug)]
enum State {
    /// Nothing is asked for.
    Idle,
    /// Octets came that nobody asked for: nothing that follows is an answer.
    Surplus,
    /// Before or in a status line.
    Status,
    /// In the fields of a head.
    Fields(Head),
    /// In a body of known length.
    Length(u64),
    /// In a body in chunks.
    Chunks(Chunked),
    /// In a body that ends with the connection.
    ToClose,
    /// Nothing more is looked at.
    Refused(Fault),
}

/// What is known of a head so far.
#[derive(Debug)]
struct Head {
    minor: Minor,
    status: u16,
    size: usize,
    fields: usize,
    length: Option<u64>,
    chunked: bool,
}

impl Answers {
    /// Before the first request of a connection.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, state: State::Idle, line: Unfinished::default(), asked: Asked::Other, interim: 0 }
    }

    /// A request is about to be sent.
    pub fn ask(&mut self, asked: Asked) {
        if matches!(self.state, State::Idle) {
            self.state = State::Status;
            self.asked = asked;
            self.interim = 0;
        }
    }

    /// Whether octets came that nobody asked for.
    pub const fn has_surplus(&self) -> bool {
        matches!(self.state, State::Surplus)
    }

    /// Judges the next octets of the connection.
    pub fn feed(&mut self, octets: &[u8]) -> Step {
        let mut at = 0;
        while at < octets.len() {
            match self.advance(&octets[at..]) {
                Ok(taken) => at += taken,
                Err(fault) => {
                    self.state = State::Refused(fault);
                    self.line.forget();
                    return Step::Refuse { pass: at, fault };
                }
            }
        }
        Step::Pass
    }

    /// Takes the octets up to the next border; at least one.
    fn advance(&mut self, octets: &[u8]) -> Result<usize, Fault> {
        match &mut self.state {
            State::Refused(fault) => Err(*fault),
            State::Idle | State::Surplus => {
                self.state = State::Surplus;
                Ok(octets.len())
            }
            State::ToClose => Ok(octets.len()),
            State::Length(left) => {
                let taken = take(left, octets.len());
                if *left == 0 {
                    self.state = State::Idle;
                }
                Ok(taken)
            }
            State::Chunks(chunked) => match chunked.data(octets.len()) {
                Some(taken) => Ok(taken),
                None => self.take_line(octets),
            },
            State::Status | State::Fields(_) => self.take_line(octets),
        }
    }

    fn take_line(&mut self, octets: &[u8]) -> Result<usize, Fault> {
        let Some(end) = memchr::memchr(b'\n', octets) else {
            self.judge_size(octets.len())?;
            self.line.keep(octets);
            return Ok(octets.len());
        };
        let piece = &octets[..=end];
        self.judge_size(piece.len())?;
        match self.line.finish(piece) {
            None => self.judge_line(piece)?,
            Some(line) => self.judge_line(&line)?,
        }
        Ok(piece.len())
    }

    fn judge_size(&self, more: usize) -> Result<(), Fault> {
        let line = self.line.octets().len() + more;
        match &self.state {
            State::Status if line > self.bounds.head_size => Err(Fault::HeadTooLarge),
            State::Fields(head) if head.size + line > self.bounds.head_size => Err(Fault::HeadTooLarge),
            State::Chunks(chunked) => chunked.judge_size(line, &self.bounds),
            _ => Ok(()),
        }
    }

    fn judge_line(&mut self, with_end: &[u8]) -> Result<(), Fault> {
        let line = line::without_end(with_end)?;
        match &mut self.state {
            State::Status => {
                let (minor, status) = field::status_line(line)?;
                let size = with_end.len();
                self.state = State::Fields(Head { minor, status, size, fields: 0, length: None, chunked: false });
            }
            State::Fields(head) if line.is_empty() => {
                let next = head.next(self.asked)?;
                if matches!(next, State::Status) {
                    self.interim += 1;
                }
                if self.interim > INTERIM_MAX {
                    return Err(Fault::Interim);
                }
                self.state = next;
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
                Rest::Ended => self.state = State::Idle,
            },
            State::Idle | State::Surplus | State::Length(_) | State::ToClose | State::Refused(_) => {
                unreachable!("no lines are read there")
            }
        }
        Ok(())
    }
}

impl Head {
    fn take(&mut self, meaning: Meaning) -> Result<(), Fault> {
        match meaning {
            Meaning::Other | Meaning::Host => Ok(()),
            Meaning::Length(_) if self.length.is_some() => Err(Fault::ContentLength),
            Meaning::Length(_) if self.chunked => Err(Fault::TwoLengths),
            Meaning::Length(length) => {
                self.length = Some(length);
                Ok(())
            }
            Meaning::Chunked if self.length.is_some() => Err(Fault::TwoLengths),
            // RFC 9112 §6.1: neither in HTTP/1.0, nor where no body can be.
            Meaning::Chunked
                if self.chunked || self.minor == Minor::Zero || self.is_interim() || self.status == 204 =>
            {
                Err(Fault::TransferEncoding)
            }
            Meaning::Chunked => {
                self.chunked = true;
                Ok(())
            }
        }
    }

    fn is_interim(&self) -> bool {
        self.status < 200
    }

    /// What follows a complete head (RFC 9112 §6.3).
    fn next(&self, asked: Asked) -> Result<State, Fault> {
        Ok(match self.length {
            _ if self.status == 101 => return Err(Fault::Switch),
            _ if self.is_interim() => State::Status,
            _ if asked == Asked::Head || matches!(self.status, 204 | 304) => State::Idle,
            _ if self.chunked => State::Chunks(Chunked::START),
            Some(0) => State::Idle,
            Some(length) => State::Length(length),
            None => State::ToClose,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: Bounds = Bounds { head_size: 1_000, fields: 10, request_line: 0 };
    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    fn fault_to(asked: Asked, octets: &[u8]) -> Option<Fault> {
        let mut answers = Answers::new(BOUNDS);
        answers.ask(asked);
        match answers.feed(octets) {
            Step::Pass => None,
            Step::Refuse { fault, .. } => Some(fault),
        }
    }

    fn fault(octets: &str) -> Option<Fault> {
        fault_to(Asked::Other, octets.as_bytes())
    }

    #[test]
    fn answers_follow_requests_one_by_one() {
        let mut answers = Answers::new(BOUNDS);
        let table: [(Asked, &str); 7] = [
            (Asked::Other, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nServer:\r\n\r\nhello"),
            (Asked::Head, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
            (Asked::Other, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204\r\n\r\n"),
            (Asked::Other, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
            (Asked::Other, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: 1\r\n\r\n"),
            (Asked::Other, "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n"),
            (Asked::Other, "HTTP/1.0 200 OK\r\n\r\nto the end \0 of the connection\n"),
        ];
        for (asked, answer) in table {
            assert!(matches!(answers.state, State::Idle), "before {answer}");
            answers.ask(asked);
            assert_eq!(answers.feed(answer.as_bytes()), Step::Pass, "{answer}");
        }
        assert!(matches!(answers.state, State::ToClose));
    }

    #[test]
    fn what_nobody_asked_for_passes_and_is_never_an_answer() {
        let mut answers = Answers::new(BOUNDS);
        answers.ask(Asked::Other);
        assert_eq!(answers.feed(b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\n"), Step::Pass);
        answers.ask(Asked::Other);
        assert!(answers.has_surplus());
        assert_eq!(answers.feed(b"\0"), Step::Pass);
    }

    #[test]
    fn malformed_answers_are_refused() {
        let table = [
            ("HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", Fault::LineEnd),
            ("HTTP/1.1 200 OK\r\nA: b\n\r\n", Fault::LineEnd),
            ("\r\nHTTP/1.1 200 OK\r\n\r\n", Fault::StatusLine),
            ("HTTP/2 200 OK\r\n\r\n", Fault::StatusLine),
            ("HTTP/1.1  200 OK\r\n\r\n", Fault::StatusLine),
            ("HTTP/1.1 20 OK\r\n\r\n", Fault::StatusLine),
            ("HTTP/1.1 2000 OK\r\n\r\n", Fault::StatusLine),
            ("HTTP/1.1 099 Low\r\n\r\n", Fault::StatusLine),
            ("HTTP/1.1 600 High\r\n\r\n", Fault::StatusLine),
            ("HTTP/1.1 101 Switching\r\n\r\n", Fault::Switch),
            ("HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::TransferEncoding),
            ("HTTP/1.1 204 None\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::TransferEncoding),
            ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::TransferEncoding),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Fault::Coding),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::TwoLengths),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", Fault::ContentLength),
        ];
        for (octets, expected) in table {
            assert_eq!(fault(octets), Some(expected), "{octets}");
        }
        for (chunks, expected) in
            [("5\nhello", Fault::LineEnd), ("5\r\nhello!\r\n", Fault::Chunk), ("-5\r\n", Fault::Chunk)]
        {
            assert_eq!(fault(&[CHUNKED, chunks].concat()), Some(expected), "{chunks}");
        }
    }

    #[test]
    fn interim_answers_and_heads_are_bounded() {
        let interim = "HTTP/1.1 100 Continue\r\n\r\n";
        assert_eq!(fault(&interim.repeat(16)), None);
        assert_eq!(fault(&interim.repeat(17)), Some(Fault::Interim));
        assert_eq!(fault(&format!("HTTP/1.1 200 OK\r\n{}", "A: b\r\n".repeat(11))), Some(Fault::HeadTooLarge));
        assert_eq!(fault(&format!("HTTP/1.1 200 OK\r\nA: {}", "a".repeat(1_000))), Some(Fault::HeadTooLarge));
        assert_eq!(fault(&format!("{CHUNKED}0\r\n{}", "A: b\r\n".repeat(11))), Some(Fault::HeadTooLarge));
    }

    proptest! {
        #[test]
        fn the_verdict_does_not_depend_on_how_the_octets_were_split(
            pieces in proptest::collection::vec(prop_oneof![
                Just(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc".to_vec()),
                Just(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
                Just(CHUNKED.as_bytes().to_vec()),
                Just(b"3\r\nabc\r\n".to_vec()),
                Just(b"0\r\n\r\n".to_vec()),
                proptest::collection::vec(any::<u8>(), 0..20),
            ], 1..8),
            size in 1usize..50,
        ) {
            let octets = pieces.concat();
            let (mut whole, mut split) = (Answers::new(BOUNDS), Answers::new(BOUNDS));
            whole.ask(Asked::Other);
            split.ask(Asked::Other);
            let verdict = whole.feed(&octets);
            let step = octets.chunks(size).map(|piece| split.feed(piece)).find(|step| *step != Step::Pass);
            let kind = |step| match step { Step::Pass => None, Step::Refuse { fault, .. } => Some(fault) };
            prop_assert_eq!(kind(verdict), step.and_then(kind));
        }
    }
}

//! Strict readers of HTTP/1.x framing. They stand beneath the HTTP library and look at every octet of a head once, so
//! that what the library would forgive (and another hop might read differently) never gets there: RFC 9112 §2.2, §3 to
//! §7 and the smuggling that lives on their leniency.
//!
//! A [`Guard`] follows the requests of one connection, [`Answers`] the answers: heads, bodies by length, bodies by
//! chunks. Each keeps at most one unfinished line. The verdict on a stream of octets does not depend on how it was
//! split. After a refusal nothing more is judged.

mod answer;
mod chunked;
mod field;
mod guard;
mod line;

pub use answer::{Answers, Asked};
pub use guard::Guard;

/// What became of the octets that were fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// All of them may pass.
    Pass,
    /// Only the first `pass` octets belong to what may pass; what comes after them is refused.
    /// Where a refused head began in an earlier piece, `pass` is 0.
    Refuse {
        /// Octets of this piece that may still pass.
        pass: usize,
        /// Why the rest may not.
        fault: Fault,
    },
}

/// Why octets were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.detail())]
pub enum Fault {
    /// A line that ends in LF alone, or a CR that ends no line (RFC 9112 §2.2).
    LineEnd,
    /// A control octet other than HTAB in a line (RFC 9110 §5.5).
    Control,
    /// The request line is not `method SP target SP HTTP/1.x` (RFC 9112 §3).
    RequestLine,
    /// The method is no token (RFC 9110 §9.1).
    Method,
    /// The target holds a fragment, a control octet or an octet outside ASCII, or has no known form (RFC 9112 §3.2).
    Target,
    /// No version of HTTP where one must be.
    Version,
    /// A version of HTTP other than 1.0 and 1.1.
    OtherVersion,
    /// The first line of an answer is not `HTTP/1.x SP status` (RFC 9112 §4).
    StatusLine,
    /// More interim answers than the bound (RFC 9110 §15.2).
    Interim,
    /// A switch of protocols that nobody asked for (RFC 9110 §15.2.2).
    Switch,
    /// The request line is longer than the bound.
    TargetTooLong,
    /// The head is larger than the bound, or has too many fields.
    HeadTooLarge,
    /// More than one empty line before the request line (RFC 9112 §2.2).
    EmptyLines,
    /// A line that begins with white space (RFC 9112 §5.2, and §2.2 before the first field).
    Folded,
    /// A field name that is no token, or white space before its colon (RFC 9112 §5.1).
    FieldName,
    /// Content-Length twice, or not a plain number (RFC 9112 §6.3).
    ContentLength,
    /// Transfer-Encoding that is not exactly one `chunked`, or where it must not be (RFC 9112 §6.1).
    TransferEncoding,
    /// A coding beneath `chunked`, which is not understood (RFC 9112 §6.1).
    Coding,
    /// Content-Length and Transfer-Encoding together (RFC 9112 §6.1).
    TwoLengths,
    /// No Host on HTTP/1.1, or more than one (RFC 9112 §3.2).
    Host,
    /// A chunk line that is not a plain hexadecimal size, or a chunk of another length (RFC 9112 §7.1).
    Chunk,
}

impl Fault {
    /// What is wrong, for the one who sent it.
    pub const fn detail(self) -> &'static str {
        match self {
            Self::LineEnd => "a line does not end with CR LF",
            Self::Control => "a line contains a control octet",
            Self::RequestLine => "the request line is malformed",
            Self::Method => "the method is not a token",
            Self::Target => "the request target is malformed",
            Self::Version => "the HTTP version is malformed",
            Self::OtherVersion => "the HTTP version is neither 1.0 nor 1.1",
            Self::StatusLine => "the status line is malformed",
            Self::Interim => "there are too many interim answers",
            Self::Switch => "a switch of protocols was not asked for",
            Self::TargetTooLong => "the request target is too long",
            Self::HeadTooLarge => "the head is too large",
            Self::EmptyLines => "there is more than one empty line before the request",
            Self::Folded => "a header field is folded",
            Self::FieldName => "a header field name is malformed",
            Self::ContentLength => "Content-Length is malformed",
            Self::TransferEncoding => "Transfer-Encoding is not exactly chunked",
            Self::Coding => "a transfer coding is not known",
            Self::TwoLengths => "Content-Length and Transfer-Encoding are both present",
            Self::Host => "there is not exactly one Host",
            Self::Chunk => "the chunked body is malformed",
        }
    }
}

/// Bounds of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Octets of a head, request line and line ends included.
    pub head_size: usize,
    /// Fields of a head.
    pub fields: usize,
    /// Octets of a request line; longer ones are a matter of the target.
    pub request_line: usize,
}

//! A strict reader of HTTP/1.x request framing. It stands beneath the HTTP library and looks at every octet of a head
//! once, so that what the library would forgive (and another hop might read differently) never gets there:
//! RFC 9112 §2.2, §3, §5, §6, §7.1 and the smuggling that lives on their leniency.
//!
//! A `Guard` follows one connection: heads, bodies by length, bodies by chunks. It keeps at most one unfinished line.
//! The verdict on a stream of octets does not depend on how it was split. After a refusal nothing more is judged.

mod chunked;
mod field;
mod guard;

pub use guard::{Guard, Step};

/// Why the octets of a request were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.detail())]
pub enum Fault {
    /// A line that ends in LF alone, or a CR that ends no line (RFC 9112 §2.2).
    LineEnd,
    /// NUL in a field or a chunk line (RFC 9110 §5.5).
    Nul,
    /// The request line is not `method SP target SP HTTP/1.x` (RFC 9112 §3).
    RequestLine,
    /// The method is no token (RFC 9110 §9.1).
    Method,
    /// The target holds a fragment, a control octet or an octet outside ASCII, or has no known form (RFC 9112 §3.2).
    Target,
    /// The version is neither HTTP/1.0 nor HTTP/1.1.
    Version,
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
    /// Transfer-Encoding that is not exactly one `chunked`, or on HTTP/1.0 (RFC 9112 §6.1).
    TransferEncoding,
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
            Self::Nul => "a field contains NUL",
            Self::RequestLine => "the request line is malformed",
            Self::Method => "the method is not a token",
            Self::Target => "the request target is malformed",
            Self::Version => "the HTTP version is not 1.0 or 1.1",
            Self::TargetTooLong => "the request target is too long",
            Self::HeadTooLarge => "the request head is too large",
            Self::EmptyLines => "there is more than one empty line before the request",
            Self::Folded => "a header field is folded",
            Self::FieldName => "a header field name is malformed",
            Self::ContentLength => "Content-Length is malformed",
            Self::TransferEncoding => "Transfer-Encoding is not exactly chunked",
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

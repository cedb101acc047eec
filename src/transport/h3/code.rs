//! Error codes of HTTP/3 and QPACK, and the two kinds of errors: of one stream, of the whole connection.

/// An application error code as QUIC carries it.
pub type Code = u64;

/// Nothing went wrong (RFC 9114 §8.1).
pub const NO_ERROR: Code = 0x100;
/// The peer breaks a rule that has no code of its own.
pub const GENERAL_PROTOCOL_ERROR: Code = 0x101;
/// Our own fault; also how a body ends that cannot be completed.
pub const INTERNAL_ERROR: Code = 0x102;
/// A stream of a kind that the peer must not open, or the second of a kind.
pub const STREAM_CREATION_ERROR: Code = 0x103;
/// A stream that the connection needs was closed.
pub const CLOSED_CRITICAL_STREAM: Code = 0x104;
/// A frame that must not come here.
pub const FRAME_UNEXPECTED: Code = 0x105;
/// A frame whose layout or length is wrong.
pub const FRAME_ERROR: Code = 0x106;
/// More than any honest client asks for.
pub const EXCESSIVE_LOAD: Code = 0x107;
/// An identifier that must not be named.
pub const ID_ERROR: Code = 0x108;
/// SETTINGS that contradict themselves or HTTP/3.
pub const SETTINGS_ERROR: Code = 0x109;
/// The control stream does not begin with SETTINGS.
pub const MISSING_SETTINGS: Code = 0x10a;
/// Nothing was done for the request; it may be repeated.
pub const REQUEST_REJECTED: Code = 0x10b;
/// The request or its answer is given up.
pub const REQUEST_CANCELLED: Code = 0x10c;
/// The stream ended without a whole request.
pub const REQUEST_INCOMPLETE: Code = 0x10d;
/// The message is malformed (§4.1.2).
pub const MESSAGE_ERROR: Code = 0x10e;
/// A field section cannot be decoded (RFC 9204 §6).
pub const DECOMPRESSION_FAILED: Code = 0x200;
/// An instruction on the encoder stream is wrong.
pub const ENCODER_STREAM_ERROR: Code = 0x201;
/// An instruction on the decoder stream is wrong.
pub const DECODER_STREAM_ERROR: Code = 0x202;

/// Every code that is sent or counted, with its name in metrics; the last stands for any other.
pub const NAMES: [(Code, &str); 18] = [
    (NO_ERROR, "no-error"),
    (GENERAL_PROTOCOL_ERROR, "general-protocol-error"),
    (INTERNAL_ERROR, "internal-error"),
    (STREAM_CREATION_ERROR, "stream-creation-error"),
    (CLOSED_CRITICAL_STREAM, "closed-critical-stream"),
    (FRAME_UNEXPECTED, "frame-unexpected"),
    (FRAME_ERROR, "frame-error"),
    (EXCESSIVE_LOAD, "excessive-load"),
    (ID_ERROR, "id-error"),
    (SETTINGS_ERROR, "settings-error"),
    (MISSING_SETTINGS, "missing-settings"),
    (REQUEST_REJECTED, "request-rejected"),
    (REQUEST_CANCELLED, "request-cancelled"),
    (REQUEST_INCOMPLETE, "request-incomplete"),
    (MESSAGE_ERROR, "message-error"),
    (DECOMPRESSION_FAILED, "decompression-failed"),
    (ENCODER_STREAM_ERROR, "encoder-stream-error"),
    (DECODER_STREAM_ERROR, "decoder-stream-error"),
];

/// An error that ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionError {
    /// Why, for the peer's program.
    pub code: Code,
    /// Why, for people.
    pub reason: &'static str,
}

impl ConnectionError {
    /// The connection ends with `code`.
    pub const fn new(code: Code, reason: &'static str) -> Self {
        Self { code, reason }
    }
}

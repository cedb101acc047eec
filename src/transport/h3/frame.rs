//! HTTP/3 frames (RFC 9114 §7), read as they arrive. Nothing is kept but the head of a frame and payloads that have a
//! bound: a frame that exceeds its bound is refused by its announced length, before any of it is stored. DATA passes
//! through in the pieces that come, unknown frames are skipped.

use bytes::{Buf, Bytes};

use super::code::{self, ConnectionError};

/// Frame types.
pub mod kind {
    /// DATA
    pub const DATA: u64 = 0x00;
    /// HEADERS
    pub const HEADERS: u64 = 0x01;
    /// CANCEL_PUSH
    pub const CANCEL_PUSH: u64 = 0x03;
    /// SETTINGS
    pub const SETTINGS: u64 = 0x04;
    /// PUSH_PROMISE
    pub const PUSH_PROMISE: u64 = 0x05;
    /// GOAWAY
    pub const GOAWAY: u64 = 0x07;
    /// MAX_PUSH_ID
    pub const MAX_PUSH_ID: u64 = 0x0d;
    /// PRIORITY_UPDATE of a request stream (RFC 9218 §7.2)
    pub const PRIORITY_UPDATE: u64 = 0xf0700;
    /// PRIORITY_UPDATE of a push stream
    pub const PRIORITY_UPDATE_PUSH: u64 = 0xf0701;

    /// Types that HTTP/2 used and HTTP/3 forbids (RFC 9114 §7.2.8).
    pub const fn is_of_http2(kind: u64) -> bool {
        matches!(kind, 0x02 | 0x06 | 0x08 | 0x09)
    }
}

/// The most octets of unknown frames that a stream may carry.
pub const UNKNOWN_OCTETS: u64 = 16 << 10;
/// The most empty DATA frames of one stream.
const EMPTY_DATA: u32 = 100;

/// The largest value of a variable-length integer (RFC 9000 §16).
pub const VARINT_MAX: u64 = (1 << 62) - 1;

/// Reads a variable-length integer from the front of `input`; `None`: more octets are needed, nothing was taken.
pub fn varint(input: &mut &[u8]) -> Option<u64> {
    let first = *input.first()?;
    let length = 1 << (first >> 6);
    let octets = input.get(..length)?;
    *input = &input[length..];
    Some(octets[1..].iter().fold(u64::from(first & 0x3f), |value, octet| value << 8 | u64::from(*octet)))
}

/// Appends `value`, at most [`VARINT_MAX`], as a variable-length integer.
pub fn put_varint(value: u64, out: &mut Vec<u8>) {
    match value {
        0..=0x3f => out.push(value as u8),
        0x40..=0x3fff => out.extend((value as u16 | 0x4000).to_be_bytes()),
        0x4000..=0x3fff_ffff => out.extend((value as u32 | 0x8000_0000).to_be_bytes()),
        _ => out.extend((value | 0xc000_0000_0000_0000).to_be_bytes()),
    }
}

/// Appends the head of a frame.
pub fn put_head(kind: u64, length: u64, out: &mut Vec<u8>) {
    put_varint(kind, out);
    put_varint(length, out);
}

/// Integers that may arrive in pieces: at most the two of a frame's head.
#[derive(Debug, Default)]
pub struct Partial {
    octets: [u8; 16],
    filled: u8,
}

impl Partial {
    /// Takes octets of `input` until `read` finds what it wants in those taken so far.
    fn take<T>(&mut self, input: &mut Bytes, read: impl Fn(&mut &[u8]) -> Option<T>) -> Option<T> {
        if self.filled == 0 {
            let mut octets = &input[..];
            if let Some(found) = read(&mut octets) {
                let taken = input.len() - octets.len();
                input.advance(taken);
                return Some(found);
            }
        }
        while input.has_remaining() && usize::from(self.filled) < self.octets.len() {
            self.octets[usize::from(self.filled)] = input.get_u8();
            self.filled += 1;
            if let Some(found) = read(&mut &self.octets[..usize::from(self.filled)]) {
                self.filled = 0;
                return Some(found);
            }
        }
        None
    }

    /// One integer.
    pub fn varint(&mut self, input: &mut Bytes) -> Option<u64> {
        self.take(input, varint)
    }

    /// Type and length of a frame.
    fn head(&mut self, input: &mut Bytes) -> Option<(u64, u64)> {
        self.take(input, |octets| Some((varint(octets)?, varint(octets)?)))
    }

    fn is_empty(&self) -> bool {
        self.filled == 0
    }
}

/// A payload that is wanted whole.
#[derive(Debug)]
struct Whole {
    left: usize,
    octets: Vec<u8>,
}

impl Whole {
    fn new(length: usize) -> Self {
        Self { left: length, octets: Vec::new() }
    }

    /// The payload, once all of it has come. What comes in one piece is not copied.
    fn take(&mut self, input: &mut Bytes) -> Option<Bytes> {
        if self.octets.is_empty() && input.len() >= self.left {
            return Some(input.split_to(self.left));
        }
        let piece = input.split_to(self.left.min(input.len()));
        self.left -= piece.len();
        self.octets.extend_from_slice(&piece);
        (self.left == 0).then(|| std::mem::take(&mut self.octets).into())
    }
}

/// Octets of unknown frames, as they pass.
#[derive(Debug, Default)]
struct Skipped(u64);

impl Skipped {
    fn add(&mut self, octets: u64) -> Result<(), ConnectionError> {
        self.0 += octets;
        if self.0 > UNKNOWN_OCTETS {
            return Err(ConnectionError::new(code::EXCESSIVE_LOAD, "too many octets of unknown frames"));
        }
        Ok(())
    }
}

/// The least that the head of a frame takes.
const FRAME_HEAD: u64 = 2;

/// What a request stream carries.
#[derive(Debug, PartialEq, Eq)]
pub enum RequestPart {
    /// The header section, coded.
    Head(Bytes),
    /// The header section is larger than the bound; nothing more is to be read.
    HeadTooLarge,
    /// A DATA frame of that many octets begins.
    DataBegins(u64),
    /// The next octets of the body.
    Data(Bytes),
    /// The trailer section, coded.
    Trailers(Bytes),
}

#[derive(Debug)]
enum InRequest {
    Between,
    Section(Whole),
    Data(u64),
    Skip(u64),
}

/// What may come next on a request stream (RFC 9114 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Head,
    Body,
    End,
}

/// The frames of a request stream.
#[derive(Debug)]
pub struct RequestFrames {
    head: Partial,
    state: InRequest,
    order: Order,
    section_limit: usize,
    skipped: Skipped,
    empty: u32,
}

impl RequestFrames {
    /// A new stream; a coded field section may have `section_limit` octets.
    pub fn new(section_limit: usize) -> Self {
        Self {
            head: Partial::default(),
            state: InRequest::Between,
            order: Order::Head,
            section_limit,
            skipped: Skipped::default(),
            empty: 0,
        }
    }

    /// Takes from the front of `input` up to the next part; `None`: all of it was taken.
    ///
    /// # Errors
    /// The peer breaks the rules of frames, which ends the connection.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<RequestPart>, ConnectionError> {
        loop {
            match &mut self.state {
                InRequest::Between => {
                    let Some((kind, length)) = self.head.head(input) else { return Ok(None) };
                    if let Some(part) = self.begin(kind, length)? {
                        return Ok(Some(part));
                    }
                }
                InRequest::Section(whole) => {
                    let Some(section) = whole.take(input) else { return Ok(None) };
                    self.state = InRequest::Between;
                    return Ok(Some(match self.order {
                        Order::End => RequestPart::Trailers(section),
                        Order::Head | Order::Body => RequestPart::Head(section),
                    }));
                }
                InRequest::Data(0) | InRequest::Skip(0) => self.state = InRequest::Between,
                InRequest::Data(_) | InRequest::Skip(_) if input.is_empty() => return Ok(None),
                InRequest::Data(left) => {
                    let piece = input.split_to(piece_len(*left, input));
                    *left -= piece.len() as u64;
                    return Ok(Some(RequestPart::Data(piece)));
                }
                InRequest::Skip(left) => {
                    let piece = piece_len(*left, input);
                    input.advance(piece);
                    *left -= piece as u64;
                    self.skipped.add(piece as u64)?;
                }
            }
        }
    }

    fn begin(&mut self, kind: u64, length: u64) -> Result<Option<RequestPart>, ConnectionError> {
        let unexpected = |reason| Err(ConnectionError::new(code::FRAME_UNEXPECTED, reason));
        match kind {
            kind::HEADERS => self.begin_section(length),
            kind::DATA => match self.order {
                Order::Head => unexpected("DATA before HEADERS"),
                Order::End => unexpected("DATA after trailers"),
                Order::Body => self.begin_data(length),
            },
            kind::CANCEL_PUSH | kind::SETTINGS | kind::GOAWAY | kind::MAX_PUSH_ID | kind::PUSH_PROMISE => {
                unexpected("a frame that has no place on a request stream")
            }
            kind::PRIORITY_UPDATE | kind::PRIORITY_UPDATE_PUSH => unexpected("PRIORITY_UPDATE on a request stream"),
            _ if kind::is_of_http2(kind) => unexpected("a frame type of HTTP/2"),
            _ => {
                self.skipped.add(FRAME_HEAD)?;
                self.state = InRequest::Skip(length);
                Ok(None)
            }
        }
    }

    fn begin_section(&mut self, length: u64) -> Result<Option<RequestPart>, ConnectionError> {
        self.order = match self.order {
            Order::Head => Order::Body,
            Order::Body => Order::End,
            Order::End => return Err(ConnectionError::new(code::FRAME_UNEXPECTED, "HEADERS after trailers")),
        };
        match usize::try_from(length) {
            Ok(length) if length <= self.section_limit => {
                self.state = InRequest::Section(Whole::new(length));
                Ok(None)
            }
            _ if self.order == Order::Body => Ok(Some(RequestPart::HeadTooLarge)),
            _ => Err(ConnectionError::new(code::EXCESSIVE_LOAD, "a trailer section beyond every bound")),
        }
    }

    fn begin_data(&mut self, length: u64) -> Result<Option<RequestPart>, ConnectionError> {
        if length == 0 {
            self.empty += 1;
            if self.empty > EMPTY_DATA {
                return Err(ConnectionError::new(code::EXCESSIVE_LOAD, "too many empty DATA frames"));
            }
        }
        self.state = InRequest::Data(length);
        Ok(Some(RequestPart::DataBegins(length)))
    }

    /// Whether the header section has not begun or not ended.
    pub fn awaits_head(&self) -> bool {
        match self.order {
            Order::Head => true,
            Order::Body => matches!(self.state, InRequest::Section(_)),
            Order::End => false,
        }
    }

    /// The stream has ended.
    ///
    /// # Errors
    /// It ended inside a frame (RFC 9114 §7.1).
    pub fn end(&self) -> Result<(), ConnectionError> {
        match self.state {
            InRequest::Between | InRequest::Data(0) | InRequest::Skip(0) if self.head.is_empty() => Ok(()),
            _ => Err(ConnectionError::new(code::FRAME_ERROR, "a stream ends inside a frame")),
        }
    }
}

fn piece_len(left: u64, input: &Bytes) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(input.len())
}

/// A frame of the control stream.
#[derive(Debug, PartialEq, Eq)]
pub enum ControlFrame {
    /// SETTINGS with its payload.
    Settings(Bytes),
    /// GOAWAY, MAX_PUSH_ID or CANCEL_PUSH with the identifier they carry; the first is the frame's type.
    Id(u64, u64),
    /// PRIORITY_UPDATE of a request stream: its identifier and the priority field value.
    Priority(u64, Bytes),
    /// PRIORITY_UPDATE of a push.
    PushPriority,
    /// A frame of an unknown type begins; its octets are skipped.
    Unknown,
}

/// Octets of SETTINGS, of a PRIORITY_UPDATE: many times what any client sends.
const SETTINGS_LIMIT: u64 = 4 << 10;
const PRIORITY_LIMIT: u64 = 1 << 10;

#[derive(Debug)]
enum InControl {
    Between,
    Payload(u64, Whole),
    Skip(u64),
}

/// The frames of the peer's control stream.
#[derive(Debug)]
pub struct ControlFrames {
    head: Partial,
    state: InControl,
    skipped: Skipped,
    has_settings: bool,
}

impl Default for ControlFrames {
    fn default() -> Self {
        Self { head: Partial::default(), state: InControl::Between, skipped: Skipped::default(), has_settings: false }
    }
}

impl ControlFrames {
    /// Takes from the front of `input` up to the next frame; `None`: all of it was taken.
    ///
    /// # Errors
    /// The peer breaks the rules of the control stream, which ends the connection.
    pub fn next(&mut self, input: &mut Bytes) -> Result<Option<ControlFrame>, ConnectionError> {
        loop {
            match &mut self.state {
                InControl::Between => {
                    let Some((kind, length)) = self.head.head(input) else { return Ok(None) };
                    self.begin(kind, length)?;
                    if matches!(self.state, InControl::Skip(_)) {
                        return Ok(Some(ControlFrame::Unknown));
                    }
                }
                InControl::Payload(kind, whole) => {
                    let kind = *kind;
                    let Some(payload) = whole.take(input) else { return Ok(None) };
                    self.state = InControl::Between;
                    return read_control(kind, payload).map(Some);
                }
                InControl::Skip(0) => self.state = InControl::Between,
                InControl::Skip(_) if input.is_empty() => return Ok(None),
                InControl::Skip(left) => {
                    let piece = piece_len(*left, input);
                    input.advance(piece);
                    *left -= piece as u64;
                    self.skipped.add(piece as u64)?;
                }
            }
        }
    }

    fn begin(&mut self, kind: u64, length: u64) -> Result<(), ConnectionError> {
        if !self.has_settings && kind != kind::SETTINGS {
            return Err(ConnectionError::new(code::MISSING_SETTINGS, "the control stream begins without SETTINGS"));
        }
        let limit = match kind {
            kind::SETTINGS if self.has_settings => {
                return Err(ConnectionError::new(code::FRAME_UNEXPECTED, "a second SETTINGS frame"));
            }
            kind::SETTINGS => SETTINGS_LIMIT,
            kind::GOAWAY | kind::MAX_PUSH_ID | kind::CANCEL_PUSH if length > 8 => {
                return Err(ConnectionError::new(code::FRAME_ERROR, "a control frame longer than its identifier"));
            }
            kind::GOAWAY | kind::MAX_PUSH_ID | kind::CANCEL_PUSH => 8,
            kind::PRIORITY_UPDATE | kind::PRIORITY_UPDATE_PUSH => PRIORITY_LIMIT,
            kind::DATA | kind::HEADERS | kind::PUSH_PROMISE => {
                return Err(ConnectionError::new(code::FRAME_UNEXPECTED, "a frame of requests on the control stream"));
            }
            _ if kind::is_of_http2(kind) => {
                return Err(ConnectionError::new(code::FRAME_UNEXPECTED, "a frame type of HTTP/2"));
            }
            _ => {
                self.skipped.add(FRAME_HEAD)?;
                self.state = InControl::Skip(length);
                return Ok(());
            }
        };
        if length > limit {
            return Err(ConnectionError::new(code::EXCESSIVE_LOAD, "a control frame beyond every bound"));
        }
        self.has_settings = true;
        self.state = InControl::Payload(kind, Whole::new(length as usize));
        Ok(())
    }

    /// Some time has passed: unknown frames may use their octets anew.
    pub fn forgive(&mut self) {
        self.skipped.0 = 0;
    }
}

fn read_control(kind: u64, payload: Bytes) -> Result<ControlFrame, ConnectionError> {
    let short = || ConnectionError::new(code::FRAME_ERROR, "a control frame shorter or longer than its fields");
    if kind == kind::SETTINGS {
        return Ok(ControlFrame::Settings(payload));
    }
    let mut rest = &payload[..];
    let id = varint(&mut rest).ok_or_else(short)?;
    match kind {
        kind::PRIORITY_UPDATE => Ok(ControlFrame::Priority(id, payload.slice_ref(rest))),
        kind::PRIORITY_UPDATE_PUSH => Ok(ControlFrame::PushPriority),
        _ if rest.is_empty() => Ok(ControlFrame::Id(kind, id)),
        _ => Err(short()),
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;

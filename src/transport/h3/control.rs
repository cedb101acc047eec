//! The unidirectional streams of a connection (RFC 9114 §6.2): the peer's control stream and its two QPACK streams,
//! and our control stream. Of ours there is no QPACK stream: with a table capacity of 0 nothing would ever be said on it
//! (RFC 9204 §4.2).

use std::time::Duration;

use bytes::{Buf, Bytes};
use smallvec::SmallVec;

use super::code::{self, ConnectionError};
use super::frame::{self, ControlFrame, ControlFrames, Partial, VARINT_MAX, kind};
use super::priority;
use crate::clock::Tick;
use crate::transport::quic::streams::{Read, StreamId, Streams, Written};

/// Stream types.
mod stream_kind {
    pub const CONTROL: u64 = 0x00;
    pub const PUSH: u64 = 0x01;
    pub const QPACK_ENCODER: u64 = 0x02;
    pub const QPACK_DECODER: u64 = 0x03;
}

/// Settings.
mod setting {
    pub const QPACK_MAX_TABLE_CAPACITY: u64 = 0x01;
    pub const MAX_FIELD_SECTION_SIZE: u64 = 0x06;
    pub const QPACK_BLOCKED_STREAMS: u64 = 0x07;
    /// Settings of HTTP/2 that must not come (RFC 9114 §7.2.4.1).
    pub const OF_HTTP2: [u64; 5] = [0x00, 0x02, 0x03, 0x04, 0x05];
}

/// Octets read at once from a unidirectional stream.
const READ: usize = 4 << 10;
/// Unidirectional streams whose type is not known yet, and those that are: more than the driver lets a peer open.
const STREAMS: usize = 64;
/// A control stream may live for days: what it says in unknown frames is forgotten after this.
const FORGIVEN_AFTER: Duration = Duration::from_secs(10);

/// What the peer's streams tell the connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Signal {
    /// A frame, an instruction, a stream of no use: something to be counted.
    Counted,
    /// PRIORITY_UPDATE of a request, with the value of the field.
    Priority(u64, Bytes),
}

#[derive(Debug)]
enum Uni {
    Kind(Partial),
    Control(Box<ControlFrames>, Tick),
    Encoder,
    /// Octets of an instruction that are still to come; its integer has that many so far.
    Decoder(Option<u8>),
}

/// The peer's streams.
#[derive(Debug, Default)]
pub struct Peer {
    streams: Vec<(StreamId, Uni)>,
    /// Critical streams that were opened, a bit for each kind.
    seen: u8,
    max_push_id: Option<u64>,
    goaway: Option<u64>,
}

impl Peer {
    /// The peer has opened a unidirectional stream.
    ///
    /// # Errors
    /// There are more of them than any client needs.
    pub fn opened(&mut self, id: StreamId) -> Result<(), ConnectionError> {
        if self.streams.len() >= STREAMS {
            return Err(ConnectionError::new(code::EXCESSIVE_LOAD, "too many unidirectional streams"));
        }
        self.streams.push((id, Uni::Kind(Partial::default())));
        Ok(())
    }

    /// Reads what has come on a stream, and tells `each` what it says.
    ///
    /// # Errors
    /// The peer breaks a rule of these streams, or `each` refuses.
    pub fn read(
        &mut self,
        id: StreamId,
        streams: &mut dyn Streams,
        now: Tick,
        each: &mut dyn FnMut(Signal) -> Result<(), ConnectionError>,
    ) -> Result<(), ConnectionError> {
        let Some(index) = self.streams.iter().position(|(known, _)| *known == id) else { return Ok(()) };
        loop {
            match streams.read(id, READ) {
                Read::Blocked => return Ok(()),
                Read::Finished | Read::Reset(_) => {
                    let (_, stream) = self.streams.swap_remove(index);
                    return match stream {
                        Uni::Kind(_) => each(Signal::Counted),
                        Uni::Control(..) | Uni::Encoder | Uni::Decoder(_) => {
                            Err(ConnectionError::new(code::CLOSED_CRITICAL_STREAM, "a critical stream was closed"))
                        }
                    };
                }
                Read::Bytes(mut input) => {
                    if self.input(index, &mut input, now, each)? == Use::None {
                        self.streams.swap_remove(index);
                        streams.stop_sending(id, code::STREAM_CREATION_ERROR);
                        return Ok(());
                    }
                }
            }
        }
    }

    fn input(
        &mut self,
        index: usize,
        input: &mut Bytes,
        now: Tick,
        each: &mut dyn FnMut(Signal) -> Result<(), ConnectionError>,
    ) -> Result<Use, ConnectionError> {
        if let Uni::Kind(partial) = &mut self.streams[index].1 {
            let Some(kind) = partial.varint(input) else { return Ok(Use::Some) };
            let Some(stream) = self.begin(kind, now)? else {
                each(Signal::Counted)?;
                return Ok(Use::None);
            };
            self.streams[index].1 = stream;
        }
        match &mut self.streams[index].1 {
            Uni::Kind(_) => {}
            Uni::Encoder => encoder_stream(input, each)?,
            Uni::Decoder(partial) => decoder_stream(partial, input, each)?,
            Uni::Control(frames, forgiven) => {
                if now.since(*forgiven) > FORGIVEN_AFTER {
                    frames.forgive();
                    *forgiven = now;
                }
                while let Some(frame) = frames.next(input)? {
                    each(Signal::Counted)?;
                    if let Some(signal) = judge(frame, &mut self.max_push_id, &mut self.goaway)? {
                        each(signal)?;
                    }
                }
            }
        }
        Ok(Use::Some)
    }

    /// A stream says what it is; `None`: nothing that we know (RFC 9114 §9).
    fn begin(&mut self, kind: u64, now: Tick) -> Result<Option<Uni>, ConnectionError> {
        let (bit, stream) = match kind {
            stream_kind::CONTROL => (1, Uni::Control(Box::default(), now)),
            stream_kind::QPACK_ENCODER => (2, Uni::Encoder),
            stream_kind::QPACK_DECODER => (4, Uni::Decoder(None)),
            stream_kind::PUSH => {
                return Err(ConnectionError::new(code::STREAM_CREATION_ERROR, "a push stream from a client"));
            }
            _ => return Ok(None),
        };
        if self.seen & bit != 0 {
            return Err(ConnectionError::new(code::STREAM_CREATION_ERROR, "a second critical stream of one kind"));
        }
        self.seen |= bit;
        Ok(Some(stream))
    }
}

/// Whether a stream is of any use.
#[derive(PartialEq, Eq)]
enum Use {
    None,
    Some,
}

fn judge(
    frame: ControlFrame,
    max_push_id: &mut Option<u64>,
    goaway: &mut Option<u64>,
) -> Result<Option<Signal>, ConnectionError> {
    let id_error = |reason| Err(ConnectionError::new(code::ID_ERROR, reason));
    match frame {
        ControlFrame::Settings(payload) => check_settings(&payload)?,
        ControlFrame::Id(kind::MAX_PUSH_ID, id) => {
            if max_push_id.is_some_and(|before| id < before) {
                return id_error("MAX_PUSH_ID falls");
            }
            *max_push_id = Some(id);
        }
        ControlFrame::Id(kind::GOAWAY, id) => {
            if goaway.is_some_and(|before| id > before) {
                return id_error("the identifier of GOAWAY rises");
            }
            *goaway = Some(id);
        }
        ControlFrame::Id(..) => return id_error("CANCEL_PUSH of a push that was never promised"),
        ControlFrame::PushPriority => return id_error("PRIORITY_UPDATE of a push that was never promised"),
        ControlFrame::Priority(id, value) => return Ok(Some(Signal::Priority(id, value))),
        ControlFrame::Unknown => {}
    }
    Ok(None)
}

fn check_settings(mut payload: &[u8]) -> Result<(), ConnectionError> {
    let mut ids = SmallVec::<[u64; 8]>::new();
    while !payload.is_empty() {
        let pair = frame::varint(&mut payload).zip(frame::varint(&mut payload));
        let (id, _) = pair.ok_or(ConnectionError::new(code::FRAME_ERROR, "SETTINGS ends inside a setting"))?;
        if setting::OF_HTTP2.contains(&id) {
            return Err(ConnectionError::new(code::SETTINGS_ERROR, "a setting of HTTP/2"));
        }
        ids.push(id);
    }
    ids.sort_unstable();
    match ids.windows(2).any(|pair| pair[0] == pair[1]) {
        true => Err(ConnectionError::new(code::SETTINGS_ERROR, "a setting comes twice")),
        false => Ok(()),
    }
}

/// Set Dynamic Table Capacity to 0, the only instruction that a table of capacity 0 admits (RFC 9204 §4.3.1).
const CAPACITY_0: u8 = 0x20;

fn encoder_stream(
    input: &mut Bytes,
    each: &mut dyn FnMut(Signal) -> Result<(), ConnectionError>,
) -> Result<(), ConnectionError> {
    while input.has_remaining() {
        if input.get_u8() != CAPACITY_0 {
            return Err(ConnectionError::new(code::ENCODER_STREAM_ERROR, "an instruction for a table of capacity 0"));
        }
        each(Signal::Counted)?;
    }
    Ok(())
}

/// Octets that follow the first of an instruction's integer: as many as 62 bits need.
const CONTINUATION: u8 = 9;

/// Of a table that is never used only Stream Cancellation can be said (RFC 9204 §4.4.2).
fn decoder_stream(
    partial: &mut Option<u8>,
    input: &mut Bytes,
    each: &mut dyn FnMut(Signal) -> Result<(), ConnectionError>,
) -> Result<(), ConnectionError> {
    let wrong = |reason| Err(ConnectionError::new(code::DECODER_STREAM_ERROR, reason));
    while input.has_remaining() {
        let octet = input.get_u8();
        match *partial {
            Some(CONTINUATION) => return wrong("a stream identifier of more than 62 bits"),
            Some(octets) => *partial = (octet & 0x80 != 0).then_some(octets + 1),
            None => {
                each(Signal::Counted)?;
                if octet & 0xc0 != 0x40 {
                    return wrong("an acknowledgement of something never sent");
                }
                *partial = (octet & 0x3f == 0x3f).then_some(0);
            }
        }
    }
    Ok(())
}

/// Our control stream.
#[derive(Debug, Default)]
pub struct Own {
    id: Option<StreamId>,
    unsent: SmallVec<[Bytes; 2]>,
}

/// The identifier of the first of two GOAWAY frames: above every request (RFC 9114 §5.2).
pub const GOAWAY_ANNOUNCED: u64 = VARINT_MAX - 3;

impl Own {
    /// Begins the stream with SETTINGS; `field_section` is the largest header section that is taken.
    pub fn settings(&mut self, field_section: usize, grease: u64) {
        let mut settings = Vec::with_capacity(24);
        for (id, value) in [
            (setting::QPACK_MAX_TABLE_CAPACITY, 0),
            (setting::MAX_FIELD_SECTION_SIZE, field_section as u64),
            (setting::QPACK_BLOCKED_STREAMS, 0),
            (0x1f * (grease % (1 << 20)) + 0x21, grease % 0x3f), // reserved (RFC 9114 §7.2.4.1)
        ] {
            frame::put_varint(id, &mut settings);
            frame::put_varint(value, &mut settings);
        }
        let mut out = Vec::with_capacity(32);
        frame::put_varint(stream_kind::CONTROL, &mut out);
        frame::put_head(kind::SETTINGS, settings.len() as u64, &mut out);
        out.extend(settings);
        self.unsent.push(out.into());
    }

    /// Says GOAWAY.
    pub fn goaway(&mut self, id: u64) {
        let mut out = Vec::with_capacity(12);
        let mut payload = Vec::with_capacity(8);
        frame::put_varint(id, &mut payload);
        frame::put_head(kind::GOAWAY, payload.len() as u64, &mut out);
        out.extend(payload);
        self.unsent.push(out.into());
    }

    /// Whether this is the stream.
    pub fn is(&self, id: StreamId) -> bool {
        self.id == Some(id)
    }

    /// Opens the stream if need be, and writes what fits.
    ///
    /// # Errors
    /// The peer wants to hear nothing on it.
    pub fn flush(&mut self, streams: &mut dyn Streams) -> Result<(), ConnectionError> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        if self.id.is_none() {
            self.id = streams.open_uni();
            if let Some(id) = self.id {
                streams.set_priority(id, priority::CRITICAL);
            }
        }
        let Some(id) = self.id else { return Ok(()) };
        while !self.unsent.is_empty() {
            match streams.write(id, &mut self.unsent) {
                Written::Octets(0) | Written::Blocked => return Ok(()),
                Written::Octets(_) => self.unsent.retain(|chunk| !chunk.is_empty()),
                Written::Stopped(_) => {
                    return Err(ConnectionError::new(code::CLOSED_CRITICAL_STREAM, "our control stream is not wanted"));
                }
            }
        }
        Ok(())
    }
}

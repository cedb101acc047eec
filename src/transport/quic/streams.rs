//! The narrow trait between a QUIC connection and the HTTP/3 layer over it. The driver owns the connection and calls
//! the layer with what happened; the layer reads and writes streams through this trait, synchronously, in that call.

use bytes::Bytes;

/// A QUIC stream identifier (RFC 9000 §2.1): bit 0 says who opened it (0 client), bit 1 its direction (0 both ways).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// What a read of a stream gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// The next bytes in order.
    Bytes(Bytes),
    /// Nothing now; the layer is told when there is.
    Blocked,
    /// The peer finished the stream and every byte was read.
    Finished,
    /// The peer reset it with this code, or it does not exist any more.
    Reset(u64),
}

/// What a write to a stream gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// That many octets were taken from the front of the chunks; taken chunks are left empty.
    Octets(usize),
    /// No room now; the layer is told when there is.
    Blocked,
    /// The peer asked to stop with this code, or the stream does not exist any more.
    Stopped(u64),
}

/// What happened to a connection, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// The handshake is complete.
    Connected,
    /// The peer opened this stream. Read it at once: what came with the opening is not told as `Readable` again.
    Opened(StreamId),
    /// There is something to read.
    Readable(StreamId),
    /// There is room to write.
    Writable(StreamId),
    /// Every byte that was sent on it was acknowledged.
    Finished(StreamId),
    /// The peer asked to stop sending, with this code.
    Stopped(StreamId, u64),
    /// A stream that was refused for the peer's limit can be opened now.
    CanOpen,
}

/// The streams of one QUIC connection.
///
/// A stream of the peer is given back to its credit only when both halves are over: the receiving one read to `Finished`
/// or `Reset` or refused with `stop_sending`, the sending one finished or reset and acknowledged. A sending half that
/// was `Stopped` must still be ended: `finish` and `reset` both do.
pub trait Streams {
    /// Opens a unidirectional stream; `None` where the peer allows no more at present.
    fn open_uni(&mut self) -> Option<StreamId>;
    /// Reads up to `max` octets in order.
    fn read(&mut self, id: StreamId, max: usize) -> Read;
    /// Writes from the front of `chunks` without copying them. Not more is taken than the peer has room for and than
    /// the congestion window with 256 KiB of reserve holds.
    fn write(&mut self, id: StreamId, chunks: &mut [Bytes]) -> Written;
    /// Ends a stream after what was written.
    fn finish(&mut self, id: StreamId);
    /// Ends a stream as an error.
    fn reset(&mut self, id: StreamId, code: u64);
    /// Tells the peer that the rest of its stream is not wanted.
    fn stop_sending(&mut self, id: StreamId, code: u64);
    /// Higher goes first among the streams of the connection; streams of one priority share.
    fn set_priority(&mut self, id: StreamId, priority: i32);
    /// Closes the connection with an application code (RFC 9114 §8.1).
    fn close(&mut self, code: u64, reason: &[u8]);
}

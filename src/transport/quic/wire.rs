//! The streams of a quinn-proto connection as a layer sees them, and the watch over what the peer takes.

use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_proto::{Dir, FinishError, ReadError, Side, VarInt, WriteError};
use smallvec::SmallVec;

use super::streams::{Read, StreamId, Streams, Written};
use crate::clock::Tick;

/// Which streams wait for the peer to take something, and when it last took anything (RFC 9000 §21.6).
#[derive(Default)]
pub(super) struct Uptake {
    waiting: SmallVec<[StreamId; 4]>,
    last: Tick,
}

impl Uptake {
    fn blocked(&mut self, id: StreamId, now: Tick) {
        if self.waiting.is_empty() {
            self.last = now;
        }
        if !self.waiting.contains(&id) {
            self.waiting.push(id);
        }
    }

    fn took(&mut self, id: StreamId, now: Tick) {
        self.last = now;
        self.settled(id);
    }

    fn settled(&mut self, id: StreamId) {
        self.waiting.retain(|waiting| *waiting != id);
    }

    /// When the peer will have taken nothing for `patience`; `None` where nothing waits for it.
    pub(super) fn deadline(&self, patience: Duration) -> Option<Tick> {
        (!self.waiting.is_empty()).then(|| self.last + patience)
    }
}

/// One connection's streams, lent to its layer for a call.
pub(super) struct Wire<'a> {
    pub(super) quic: &'a mut quinn_proto::Connection,
    pub(super) uptake: &'a mut Uptake,
    pub(super) now: Instant,
    pub(super) tick: Tick,
}

/// A code as QUIC carries it; codes beyond 62 bits do not exist in any protocol and become the largest.
pub(super) fn code(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

/// A stream's identifier, if we may send on it.
fn sending(id: StreamId) -> Option<quinn_proto::StreamId> {
    let id = quinn_proto::StreamId::from(VarInt::from_u64(id.0).ok()?);
    (id.dir() == Dir::Bi || id.initiator() == Side::Server).then_some(id)
}

/// A stream's identifier, if the peer may send on it.
fn receiving(id: StreamId) -> Option<quinn_proto::StreamId> {
    let id = quinn_proto::StreamId::from(VarInt::from_u64(id.0).ok()?);
    (id.dir() == Dir::Bi || id.initiator() == Side::Client).then_some(id)
}

impl Streams for Wire<'_> {
    fn open_uni(&mut self) -> Option<StreamId> {
        self.quic.streams().open(Dir::Uni).map(|id| StreamId(id.into()))
    }

    fn read(&mut self, id: StreamId, max: usize) -> Read {
        let Some(id) = receiving(id) else { return Read::Reset(0) };
        let mut stream = self.quic.recv_stream(id);
        let Ok(mut chunks) = stream.read(true) else { return Read::Reset(0) };
        let read = match chunks.next(max) {
            Ok(Some(chunk)) => Read::Bytes(chunk.bytes),
            Ok(None) => Read::Finished,
            Err(ReadError::Blocked) => Read::Blocked,
            Err(ReadError::Reset(code)) => Read::Reset(code.into_inner()),
        };
        // Whether there is credit to announce is looked at after every call anyway.
        _ = chunks.finalize();
        read
    }

    fn write(&mut self, id: StreamId, chunks: &mut [Bytes]) -> Written {
        let Some(stream) = sending(id) else { return Written::Stopped(0) };
        match self.quic.send_stream(stream).write_chunks(chunks) {
            Ok(written) => {
                if written.bytes > 0 {
                    self.uptake.took(id, self.tick);
                }
                Written::Octets(written.bytes)
            }
            Err(WriteError::Blocked) => {
                self.uptake.blocked(id, self.tick);
                Written::Blocked
            }
            Err(WriteError::Stopped(code)) => {
                self.uptake.settled(id);
                Written::Stopped(code.into_inner())
            }
            Err(WriteError::ClosedStream) => {
                self.uptake.settled(id);
                Written::Stopped(0)
            }
        }
    }

    fn finish(&mut self, id: StreamId) {
        self.uptake.settled(id);
        let Some(stream) = sending(id) else { return };
        // A stopped stream keeps its place until it is reset (RFC 9000 §3.5).
        if let Err(FinishError::Stopped(code)) = self.quic.send_stream(stream).finish() {
            _ = self.quic.send_stream(stream).reset(code);
        }
    }

    // Of a stream that is over already there is nothing to end: the three calls below then have no effect.

    fn reset(&mut self, id: StreamId, error: u64) {
        self.uptake.settled(id);
        if let Some(stream) = sending(id) {
            _ = self.quic.send_stream(stream).reset(code(error));
        }
    }

    fn stop_sending(&mut self, id: StreamId, error: u64) {
        if let Some(stream) = receiving(id) {
            _ = self.quic.recv_stream(stream).stop(code(error));
        }
    }

    fn set_priority(&mut self, id: StreamId, priority: i32) {
        if let Some(stream) = sending(id) {
            _ = self.quic.send_stream(stream).set_priority(priority);
        }
    }

    fn close(&mut self, error: u64, reason: &[u8]) {
        self.quic.close(self.now, code(error), Bytes::copy_from_slice(reason));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_a_deadline_only_while_a_stream_waits_for_it() {
        let at = |seconds| Tick::at(Duration::from_secs(seconds));
        let patience = Duration::from_secs(30);
        let mut uptake = Uptake::default();
        assert_eq!(uptake.deadline(patience), None);
        uptake.blocked(StreamId(0), at(1));
        uptake.blocked(StreamId(4), at(2));
        assert_eq!(uptake.deadline(patience), Some(at(31)));
        uptake.took(StreamId(0), at(5));
        assert_eq!(uptake.deadline(patience), Some(at(35)));
        uptake.settled(StreamId(4));
        assert_eq!(uptake.deadline(patience), None);
    }
}

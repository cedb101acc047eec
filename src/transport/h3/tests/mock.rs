//! Both ends of a QUIC connection in memory: `Wire` is what the layer writes to, `Rig` what a client does and sees.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::Response;

use super::service::{TestBody, TestService};
use crate::clock::{Clock, WallTime};
use crate::config::Limits;
use crate::request::{Head, Line, Upload};
use crate::transport::h3::connection::Connection;
use crate::transport::h3::counters::Shards;
use crate::transport::h3::frame::{self, kind};
use crate::transport::h3::qpack::{self, Bounds, Secrecy};
use crate::transport::quic::layer::{Arrival, Layer};
use crate::transport::quic::streams::{Read, StreamEvent, StreamId, Streams, Written};

#[derive(Default)]
pub struct Pipe {
    inbound: VecDeque<Bytes>,
    inbound_end: Option<Result<(), u64>>,
    pub outbound: Vec<u8>,
    pub room: Option<usize>,
    pub writes: usize,
    pub is_finished: bool,
    pub reset: Option<u64>,
    stopped: Option<u64>,
    pub stop_sending: Option<u64>,
    pub priority: i32,
}

#[derive(Default)]
pub struct Wire {
    pub pipes: BTreeMap<StreamId, Pipe>,
    pub closed: Option<(u64, String)>,
    pub octets_read: usize,
    /// What all streams together may still write.
    pub room: Option<usize>,
    own: u64,
}

impl Wire {
    pub fn pipe(&mut self, id: StreamId) -> &mut Pipe {
        self.pipes.entry(id).or_default()
    }
}

impl Streams for Wire {
    fn open_uni(&mut self) -> Option<StreamId> {
        self.own += 1;
        Some(StreamId((self.own - 1) * 4 + 3))
    }

    fn read(&mut self, id: StreamId, max: usize) -> Read {
        assert!(max > 0, "a read of nothing");
        let pipe = self.pipe(id);
        if let Some(Err(code)) = pipe.inbound_end {
            return Read::Reset(code);
        }
        let Some(mut next) = pipe.inbound.pop_front() else {
            return if pipe.inbound_end.is_some() { Read::Finished } else { Read::Blocked };
        };
        let taken = next.split_to(max.min(next.len()));
        if !next.is_empty() {
            pipe.inbound.push_front(next);
        }
        self.octets_read += taken.len();
        Read::Bytes(taken)
    }

    fn write(&mut self, id: StreamId, chunks: &mut [Bytes]) -> Written {
        let mut shared = self.room;
        let pipe = self.pipe(id);
        assert!(!pipe.is_finished && pipe.reset.is_none(), "written after its end");
        if let Some(code) = pipe.stopped {
            return Written::Stopped(code);
        }
        let mut octets = 0;
        for chunk in chunks {
            let fits = chunk.len().min(pipe.room.unwrap_or(usize::MAX)).min(shared.unwrap_or(usize::MAX));
            let taken = chunk.split_to(fits);
            pipe.room = pipe.room.map(|room| room - fits);
            shared = shared.map(|room| room - fits);
            pipe.outbound.extend_from_slice(&taken);
            octets += fits;
        }
        pipe.writes += 1;
        self.room = shared;
        if octets == 0 { Written::Blocked } else { Written::Octets(octets) }
    }

    fn finish(&mut self, id: StreamId) {
        let pipe = self.pipe(id);
        assert!(pipe.reset.is_none() && !pipe.is_finished);
        pipe.is_finished = true;
    }

    fn reset(&mut self, id: StreamId, code: u64) {
        self.pipe(id).reset = Some(code);
    }

    fn stop_sending(&mut self, id: StreamId, code: u64) {
        self.pipe(id).stop_sending = Some(code);
    }

    fn set_priority(&mut self, id: StreamId, priority: i32) {
        self.pipe(id).priority = priority;
    }

    fn close(&mut self, code: u64, reason: &[u8]) {
        self.closed = Some((code, String::from_utf8(reason.to_vec()).unwrap()));
    }
}

/// A response as the client reads it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

pub const LOOSE: Bounds = Bounds { size: 1 << 20, fields: 1_000 };

pub fn section(block: &[u8]) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    qpack::decode::<()>(block, LOOSE, |name, value| {
        let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
        fields.push((text(name.octets()), text(value)));
        Ok(())
    })
    .unwrap();
    fields
}

/// The frames in `octets`; the last may be cut.
pub fn frames(mut octets: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some(kind) = frame::varint(&mut octets) {
        let length = frame::varint(&mut octets).unwrap() as usize;
        let (payload, rest) = octets.split_at(length.min(octets.len()));
        frames.push((kind, payload.to_vec()));
        octets = rest;
    }
    frames
}

pub fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::put_head(kind, payload.len() as u64, &mut out);
    out.extend_from_slice(payload);
    out
}

pub fn varint(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    frame::put_varint(value, &mut out);
    out
}

pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    qpack::begin(&mut out);
    for (name, value) in fields {
        qpack::encode(name, value.as_bytes(), Secrecy::Open, &mut out);
    }
    out
}

pub fn headers(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(kind::HEADERS, &block(fields))
}

pub fn request(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let first = [(":method", method), (":scheme", "https"), (":authority", "example.com"), (":path", path)];
    headers(&[&first[..], more].concat())
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

pub struct Rig {
    pub layer: Connection<TestService>,
    pub wire: Wire,
    pub clock: Clock,
    pub counters: Arc<Shards>,
    woken: Arc<Woken>,
    next: u64,
    next_uni: u64,
}

impl Rig {
    /// A connection whose requests `serve` answers at once.
    pub fn new(serve: impl Fn(Head, Upload) -> Response<TestBody> + Send + Sync + 'static) -> Self {
        Self::serving(move |head, upload| Box::pin(std::future::ready(serve(head, upload))))
    }

    pub fn serving(
        serve: impl Fn(Head, Upload) -> Pin<Box<dyn Future<Output = Response<TestBody>> + Send>> + Send + Sync + 'static,
    ) -> Self {
        Self::with_limits(Limits::default(), serve)
    }

    pub fn with_limits(
        limits: Limits,
        serve: impl Fn(Head, Upload) -> Pin<Box<dyn Future<Output = Response<TestBody>> + Send>> + Send + Sync + 'static,
    ) -> Self {
        let clock = Clock::manual(WallTime::default());
        let counters = Arc::new(Shards::new(1));
        let arrival = Arrival {
            peer: ([192, 0, 2, 1], 4433).into(),
            local_ip: None,
            local_port: 443,
            server_name: None,
            worker: 0,
            line: Line::default(),
        };
        let service = TestService::new(serve);
        let layer = Connection::new(service, &arrival, Arc::new(limits), clock.clone(), counters.clone());
        let mut rig =
            Self { layer, wire: Wire::default(), clock, counters, woken: Arc::default(), next: 0, next_uni: 2 };
        rig.event(StreamEvent::Connected);
        rig
    }

    /// A connection that answers `hello` to everything.
    pub fn hello() -> Self {
        Self::new(|_, _| Response::new(TestBody::full("hello")))
    }

    pub fn event(&mut self, event: StreamEvent) {
        self.layer.on_event(event, &mut self.wire);
        self.poll();
    }

    /// Polls until nothing wakes the connection any more.
    pub fn poll(&mut self) {
        let waker: Waker = self.woken.clone().into();
        for _ in 0..10_000 {
            self.woken.0.store(0, Ordering::SeqCst);
            self.layer.poll(&mut Context::from_waker(&waker), &mut self.wire);
            if self.woken.0.load(Ordering::SeqCst) == 0 {
                return;
            }
        }
        panic!("the connection never rests");
    }

    pub fn advance(&mut self, by: Duration) {
        self.clock.advance(by);
        self.poll();
    }

    pub fn open(&mut self) -> StreamId {
        let id = StreamId(self.next);
        self.next += 4;
        self.event(StreamEvent::Opened(id));
        id
    }

    pub fn open_uni(&mut self, octets: &[u8]) -> StreamId {
        let id = StreamId(self.next_uni);
        self.next_uni += 4;
        self.wire.pipe(id).inbound.push_back(octets.to_vec().into());
        self.event(StreamEvent::Opened(id));
        id
    }

    /// The client's control stream, with empty SETTINGS and then `octets`.
    pub fn control(&mut self, octets: &[u8]) -> StreamId {
        self.open_uni(&[&[0][..], &frame(kind::SETTINGS, b""), octets].concat())
    }

    pub fn send(&mut self, id: StreamId, octets: &[u8]) {
        self.wire.pipe(id).inbound.push_back(octets.to_vec().into());
        self.event(StreamEvent::Readable(id));
    }

    pub fn fin(&mut self, id: StreamId) {
        self.wire.pipe(id).inbound_end = Some(Ok(()));
        self.event(StreamEvent::Readable(id));
    }

    pub fn reset(&mut self, id: StreamId, code: u64) {
        self.wire.pipe(id).inbound_end = Some(Err(code));
        self.event(StreamEvent::Readable(id));
    }

    pub fn stop(&mut self, id: StreamId, code: u64) {
        self.wire.pipe(id).stopped = Some(code);
        self.event(StreamEvent::Stopped(id, code));
    }

    /// Events without a poll between them.
    pub fn events(&mut self, events: impl IntoIterator<Item = StreamEvent>) {
        events.into_iter().for_each(|event| self.layer.on_event(event, &mut self.wire));
        self.poll();
    }

    pub fn give_room(&mut self, id: StreamId, room: usize) {
        *self.wire.pipe(id).room.get_or_insert_default() += room;
        self.event(StreamEvent::Writable(id));
    }

    /// A whole request; its stream.
    pub fn ask(&mut self, octets: &[u8]) -> StreamId {
        let id = self.open();
        self.wire.pipe(id).inbound.push_back(octets.to_vec().into());
        self.fin(id);
        id
    }

    pub fn unread(&mut self, id: StreamId) -> usize {
        self.wire.pipe(id).inbound.iter().map(Bytes::len).sum()
    }

    /// What came on a stream.
    pub fn partial(&mut self, id: StreamId) -> Answer {
        let mut answer = Answer::default();
        for (kind, payload) in frames(&self.wire.pipe(id).outbound) {
            match kind {
                kind::DATA => answer.body.extend(payload),
                kind::HEADERS if answer.status == 0 => {
                    let mut fields = section(&payload);
                    assert_eq!(fields[0].0, ":status");
                    answer.status = fields.remove(0).1.parse().unwrap();
                    answer.headers = fields;
                }
                kind::HEADERS => answer.trailers = section(&payload),
                other => panic!("frame {other}"),
            }
        }
        answer
    }

    /// A response that ended well.
    pub fn answer(&mut self, id: StreamId) -> Answer {
        assert_eq!(self.wire.closed, None);
        let pipe = self.wire.pipe(id);
        assert!(pipe.is_finished && pipe.reset.is_none(), "not finished, reset {:?}", pipe.reset);
        self.partial(id)
    }

    /// The code that a stream was reset with; it must not have been finished.
    pub fn reset_code(&mut self, id: StreamId) -> Option<u64> {
        let pipe = self.wire.pipe(id);
        assert!(!pipe.is_finished, "a clean end");
        pipe.reset
    }

    pub fn closed(&self) -> Option<u64> {
        self.wire.closed.as_ref().map(|(code, _)| *code)
    }
}

//! A layer that says back what each stream says, and some ways to misbehave.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc::UnboundedSender;

use crate::transport::quic::layer::{Arrival, CloseCodes, Drain, Layer, MakeLayer};
use crate::transport::quic::streams::{Read, StreamEvent, StreamId, Streams, Written};

pub(super) const CODES: CloseCodes = CloseCodes { no_error: 0x100, internal: 0x102, stalled: 0x107 };

/// What a layer tells its test.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    Arrived(Arrival),
    Stopped(u64),
    Reset(u64),
    Drain(Drain),
    Waits,
    /// A write found no room, after that many octets on the connection.
    Full(usize),
    Gone,
}

/// A word that streams wait for; set from any thread.
#[derive(Default)]
pub(super) struct Signal {
    word: Option<Bytes>,
    wakers: Vec<Waker>,
}

/// Lets the streams that began with `wait` answer.
pub(super) fn give(signal: &Mutex<Signal>, word: &'static str) {
    let mut signal = signal.lock();
    signal.word = Some(word.into());
    signal.wakers.drain(..).for_each(Waker::wake);
}

#[derive(Clone)]
pub(super) struct MakeEcho {
    pub(super) told: UnboundedSender<Told>,
    pub(super) signal: Arc<Mutex<Signal>>,
}

impl MakeLayer for MakeEcho {
    type Layer = Echo;
    const CODES: CloseCodes = CODES;

    fn layer(&mut self, arrival: Arrival) -> Echo {
        _ = self.told.send(Told::Arrived(arrival));
        let (told, signal) = (self.told.clone(), self.signal.clone());
        Echo { told, signal, streams: BTreeMap::new(), waiting: Vec::new(), written: 0 }
    }
}

/// What is read from a stream is written to it; `flood` is answered without end, `wait` when the signal's word is
/// given, `panic` by one.
pub(super) struct Echo {
    told: UnboundedSender<Told>,
    signal: Arc<Mutex<Signal>>,
    streams: BTreeMap<StreamId, Answer>,
    waiting: Vec<StreamId>,
    written: usize,
}

#[derive(Default)]
struct Answer {
    chunks: VecDeque<Bytes>,
    endless: bool,
    ended: bool,
}

impl Echo {
    fn read(&mut self, id: StreamId, streams: &mut dyn Streams) {
        let answer = self.streams.entry(id).or_default();
        loop {
            match streams.read(id, 16_384) {
                Read::Bytes(bytes) => match &bytes[..] {
                    b"panic" => panic!("as the viewer asked"),
                    b"wait" => self.waiting.push(id),
                    b"flood" => answer.endless = true,
                    _ => answer.chunks.push_back(bytes),
                },
                Read::Blocked => break,
                Read::Finished => {
                    answer.ended = !self.waiting.contains(&id) && !answer.endless;
                    break;
                }
                Read::Reset(code) => {
                    _ = self.told.send(Told::Reset(code));
                    break;
                }
            }
        }
        self.write(id, streams);
    }

    fn write(&mut self, id: StreamId, streams: &mut dyn Streams) {
        let Some(answer) = self.streams.get_mut(&id) else { return };
        loop {
            if answer.endless && answer.chunks.is_empty() {
                answer.chunks.push_back(Bytes::from_static(&[7; 65_536]));
            }
            let Some(chunk) = answer.chunks.front_mut() else { break };
            match streams.write(id, std::slice::from_mut(chunk)) {
                Written::Octets(octets) => {
                    self.written += octets;
                    if chunk.is_empty() {
                        answer.chunks.pop_front();
                    }
                }
                Written::Blocked => {
                    _ = self.told.send(Told::Full(self.written));
                    return;
                }
                Written::Stopped(code) => return streams.reset(id, code),
            }
        }
        if answer.ended {
            streams.finish(id);
        }
    }
}

impl Layer for Echo {
    fn on_event(&mut self, event: StreamEvent, streams: &mut dyn Streams) {
        match event {
            StreamEvent::Opened(id) | StreamEvent::Readable(id) => self.read(id, streams),
            StreamEvent::Writable(id) => self.write(id, streams),
            StreamEvent::Finished(id) => _ = self.streams.remove(&id),
            StreamEvent::Stopped(id, code) => {
                _ = self.told.send(Told::Stopped(code));
                streams.reset(id, code);
                self.streams.remove(&id);
                self.waiting.retain(|waiting| *waiting != id);
            }
            StreamEvent::Connected | StreamEvent::CanOpen => {}
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, streams: &mut dyn Streams) {
        if self.waiting.is_empty() {
            return;
        }
        let word = {
            let mut signal = self.signal.lock();
            if signal.word.is_none() {
                signal.wakers.push(context.waker().clone());
                _ = self.told.send(Told::Waits);
            }
            signal.word.clone()
        };
        let Some(word) = word else { return };
        for id in std::mem::take(&mut self.waiting) {
            let answer = self.streams.entry(id).or_default();
            answer.chunks.push_back(word.clone());
            answer.ended = true;
            self.write(id, streams);
        }
    }

    fn drain(&mut self, step: Drain, _: &mut dyn Streams) {
        _ = self.told.send(Told::Drain(step));
    }

    fn is_idle(&self) -> bool {
        self.streams.is_empty()
    }

    fn is_holding(&self) -> bool {
        !self.waiting.is_empty()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        _ = self.told.send(Told::Gone);
    }
}

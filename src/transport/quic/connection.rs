//! One QUIC connection and what runs over it: events in, packets out, and the deadlines of both. The driver calls it;
//! it knows neither the socket nor its neighbours.
//!
//! Life: handshake → open (has a layer) → closed (the layer is gone, QUIC answers late packets) → drained, and removed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quinn_proto::crypto::rustls::HandshakeData;
use quinn_proto::{ConnectionError, ConnectionEvent, ConnectionHandle, Dir, Endpoint, Event, Transmit};
use tracing::{debug, error};

use super::counters::Counters;
use super::layer::{Arrival, CloseCodes, Drain, Layer, MakeLayer};
use super::ready::{ConnectionWaker, Ready};
use super::settings::{Permit, SEND_RESERVE};
use super::streams::{StreamEvent, StreamId, Streams};
use super::wire::{Uptake, Wire, code};
use crate::clock::{Clock, Tick};
use crate::config::Limits;
use crate::request::{Line, Sample};
use crate::rules::qoe::cmsd::Sending;

/// Between PINGs of a connection whose layer holds something.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Between the two steps of a drain, at least; a round trip where that is longer.
const DRAIN_STEP: Duration = Duration::from_secs(1);
/// Between two looks at how the way to the viewer is.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);
/// Rounds of events and polls before other connections have their turn.
const ROUNDS: usize = 4;

/// What the connections of one worker use together.
pub(super) struct Core<M> {
    pub(super) endpoint: Endpoint,
    pub(super) make: M,
    pub(super) clock: Clock,
    pub(super) limits: Limits,
    pub(super) counters: Arc<Counters>,
    pub(super) ready: Arc<Ready>,
    pub(super) worker: usize,
    pub(super) local_port: u16,
    pub(super) now: Tick,
    /// Handshakes in progress.
    pub(super) handshakes: usize,
    /// Connections that are not closed, handshakes included.
    pub(super) open: usize,
    pub(super) draining: Draining,
}

/// Whether the worker is asked to end its connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Draining {
    #[default]
    No,
    /// As they finish.
    Gently,
    /// Now.
    AtOnce,
}

impl<M> Core<M> {
    pub(super) fn instant(&self) -> Instant {
        self.clock.instant(self.now)
    }
}

enum Stage<L> {
    Handshake { until: Tick },
    Open(L),
    Closed,
}

/// How far a connection is on its way out.
#[derive(Clone, Copy)]
enum Leaving {
    No,
    Announced { last_at: Tick },
    Last,
}

/// Whether a connection goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It does.
    Goes,
    /// It does, and has more to do than one turn allows.
    Continues,
    /// It is drained: nothing of it is left.
    Ends,
}

/// One connection.
pub(super) struct Connection<L> {
    pub(super) handle: ConnectionHandle,
    pub(super) armed: Option<Tick>,
    pub(super) queued: Queued,
    quic: quinn_proto::Connection,
    stage: Stage<L>,
    signal: Arc<ConnectionWaker>,
    waker: Waker,
    uptake: Uptake,
    keep_alive: Option<Tick>,
    leaving: Leaving,
    peer: std::net::SocketAddr,
    send_window: u64,
    /// What is known of the way to the viewer, and since when.
    line: Line,
    looked: Option<Tick>,
    _permit: Permit,
}

/// In which of the driver's queues a connection stands.
#[derive(Default)]
pub(super) struct Queued {
    pub(super) turn: bool,
    pub(super) send: bool,
}

impl<L: Layer> Connection<L> {
    pub(super) fn new<M: MakeLayer<Layer = L>>(
        core: &mut Core<M>,
        handle: ConnectionHandle,
        quic: quinn_proto::Connection,
        permit: Permit,
    ) -> Self {
        let signal = ConnectionWaker::new(handle.0, &core.ready);
        core.handshakes += 1;
        core.open += 1;
        core.counters.accepted.add(1);
        Self {
            handle,
            armed: None,
            queued: Queued::default(),
            peer: quic.remote_address(),
            quic,
            stage: Stage::Handshake { until: core.now + core.limits.handshake },
            waker: signal.clone().into(),
            signal,
            uptake: Uptake::default(),
            keep_alive: None,
            leaving: Leaving::No,
            send_window: 0,
            line: Line::new(),
            looked: None,
            _permit: permit,
        }
    }

    /// Whether the layer is gone.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Closed)
    }

    /// The largest datagram that the path takes at present, in octets.
    pub(super) fn mtu(&self) -> u16 {
        self.quic.current_mtu()
    }

    /// A packet came for it.
    pub(super) fn receive<M>(&mut self, core: &Core<M>, event: ConnectionEvent) {
        self.quic.handle_event(event);
        let peer = self.quic.remote_address();
        if peer != self.peer {
            self.peer = peer;
            core.counters.migrations.add(1);
        }
    }

    /// Acts on the deadlines that have passed.
    pub(super) fn expire<M: MakeLayer<Layer = L>>(&mut self, core: &mut Core<M>) {
        self.armed = None;
        let now = core.now;
        if self.quic.poll_timeout().is_some_and(|due| core.clock.tick(due) <= now) {
            self.quic.handle_timeout(core.instant());
        }
        if matches!(self.stage, Stage::Handshake { until } if until <= now) {
            self.close(core, M::CODES.no_error, "handshake took too long");
        }
        if self.uptake.deadline(core.limits.write_progress).is_some_and(|due| due <= now) {
            core.counters.stalled.add(1);
            self.line.dies();
            self.close(core, M::CODES.stalled, "nothing was taken for too long");
        }
        if self.keep_alive.is_some_and(|due| due <= now) && !self.is_closed() {
            self.quic.ping();
            self.keep_alive = None;
        }
    }

    /// One turn: what happened goes to the layer, and the layer goes on.
    pub(super) fn turn<M: MakeLayer<Layer = L>>(&mut self, core: &mut Core<M>) -> Turn {
        let mut turn = Turn::Continues;
        for _ in 0..ROUNDS {
            if self.endpoint_events(core) == Turn::Ends {
                self.end(core);
                return Turn::Ends;
            }
            self.widen(&core.limits);
            let mut due = self.quic_events(core);
            due |= self.leave(core);
            due |= self.signal.take();
            if !due {
                turn = Turn::Goes;
                break;
            }
            let waker = self.waker.clone();
            self.lend(core, |layer, streams| layer.poll(&mut Context::from_waker(&waker), streams));
        }
        self.close_when_left(core);
        self.note_holding(core.now);
        self.look(core.now);
        turn
    }

    /// Says how the way to the viewer is, where something is in progress and that was not said a moment ago.
    fn look(&mut self, now: Tick) {
        let is_due = self.looked.is_none_or(|looked| now.since(looked) >= BETWEEN_LOOKS);
        let Stage::Open(layer) = &self.stage else { return };
        if !is_due || layer.is_idle() {
            return;
        }
        self.looked = Some(now);
        let path = self.quic.stats().path;
        self.line.say(Sample {
            sending: Sending {
                congestion_window: path.cwnd,
                // Flow control is each stream's own.
                receive_window: None,
                round_trip_us: u64::try_from(path.rtt.as_micros()).unwrap_or(u64::MAX),
                packets: path.sent_packets,
            },
            retransmits: path.lost_packets,
        });
    }

    /// The next packets to send, at most `datagrams` of them.
    pub(super) fn transmit<M>(&mut self, core: &Core<M>, datagrams: usize, buffer: &mut Vec<u8>) -> Option<Transmit> {
        self.quic.poll_transmit(core.instant(), datagrams, buffer)
    }

    /// When it wants to be called though nothing happens.
    pub(super) fn due<M>(&mut self, core: &Core<M>) -> Option<Tick> {
        let quic = self.quic.poll_timeout().map(|due| core.clock.tick(due));
        let stage = match &self.stage {
            Stage::Handshake { until } => Some(*until),
            Stage::Open(_) => self.uptake.deadline(core.limits.write_progress),
            Stage::Closed => None,
        };
        let leaving = match self.leaving {
            Leaving::Announced { last_at } if !self.is_closed() => Some(last_at),
            _ => None,
        };
        [quic, stage, leaving, self.keep_alive].into_iter().flatten().min()
    }

    /// Closes it with an application code; the layer is dropped.
    pub(super) fn close<M>(&mut self, core: &mut Core<M>, error: u64, reason: &'static str) {
        if !self.is_closed() {
            self.quic.close(core.instant(), code(error), Bytes::from_static(reason.as_bytes()));
            self.drop_layer(core);
        }
    }

    /// Forgets it without a word: for a connection whose state is not to be trusted any more.
    pub(super) fn end<M>(&mut self, core: &mut Core<M>) {
        self.drop_layer(core);
        let path = self.quic.stats().path;
        core.counters.packets_sent.add(path.sent_packets);
        core.counters.packets_lost.add(path.lost_packets);
    }

    fn endpoint_events<M>(&mut self, core: &mut Core<M>) -> Turn {
        while let Some(event) = self.quic.poll_endpoint_events() {
            let last = event.is_drained();
            if let Some(answer) = core.endpoint.handle_event(self.handle, event) {
                self.quic.handle_event(answer);
            }
            if last {
                return Turn::Ends;
            }
        }
        Turn::Goes
    }

    /// Hands events to the layer; says whether there were any.
    fn quic_events<M: MakeLayer<Layer = L>>(&mut self, core: &mut Core<M>) -> bool {
        let mut any = false;
        while let Some(event) = self.quic.poll() {
            match event {
                Event::Connected => self.open(core),
                Event::ConnectionLost { reason } => {
                    debug!(%reason, "quic connection lost");
                    if matches!(reason, ConnectionError::TimedOut) {
                        self.line.dies();
                    }
                    self.drop_layer(core);
                }
                Event::Stream(event) => self.stream_event(core, event),
                Event::HandshakeDataReady | Event::DatagramReceived | Event::DatagramsUnblocked => {
                    continue;
                }
            }
            any = true;
        }
        any
    }

    fn open<M: MakeLayer<Layer = L>>(&mut self, core: &mut Core<M>) {
        if !matches!(self.stage, Stage::Handshake { .. }) {
            return;
        }
        core.handshakes -= 1;
        core.counters.handshakes.add(1);
        let peer = self.quic.remote_address();
        let greeting = self.quic.crypto_session().handshake_data();
        let greeting = greeting.and_then(|greeting| greeting.downcast::<HandshakeData>().ok());
        let arrival = Arrival {
            peer: std::net::SocketAddr::new(peer.ip().to_canonical(), peer.port()),
            local_ip: self.quic.local_ip().map(|ip| ip.to_canonical()),
            local_port: core.local_port,
            server_name: greeting.and_then(|greeting| greeting.server_name),
            worker: core.worker,
            line: self.line.clone(),
        };
        self.stage = Stage::Open(core.make.layer(arrival));
        self.tell(core, StreamEvent::Connected);
    }

    fn stream_event<M: MakeLayer<Layer = L>>(&mut self, core: &mut Core<M>, event: quinn_proto::StreamEvent) {
        use quinn_proto::StreamEvent as Quic;
        let event = match event {
            Quic::Opened { dir } => {
                while let Some(id) = self.quic.streams().accept(dir) {
                    self.tell(core, StreamEvent::Opened(StreamId(id.into())));
                }
                return;
            }
            Quic::Readable { id } => StreamEvent::Readable(StreamId(id.into())),
            Quic::Writable { id } => StreamEvent::Writable(StreamId(id.into())),
            Quic::Finished { id } => StreamEvent::Finished(StreamId(id.into())),
            Quic::Stopped { id, error_code } => StreamEvent::Stopped(StreamId(id.into()), error_code.into_inner()),
            Quic::Available { dir: Dir::Uni } => StreamEvent::CanOpen,
            Quic::Available { dir: Dir::Bi } => return,
        };
        self.tell(core, event);
    }

    fn tell<M: MakeLayer<Layer = L>>(&mut self, core: &mut Core<M>, event: StreamEvent) {
        self.lend(core, |layer, streams| layer.on_event(event, streams));
    }

    /// Calls the layer with the connection's streams. If it panics or closes the connection, it is dropped.
    fn lend<M: MakeLayer<Layer = L>>(&mut self, core: &mut Core<M>, call: impl FnOnce(&mut L, &mut dyn Streams)) {
        let Stage::Open(layer) = &mut self.stage else { return };
        let (now, tick) = (core.instant(), core.now);
        let mut wire = Wire { quic: &mut self.quic, uptake: &mut self.uptake, now, tick };
        // The layer is not looked at again after a panic, and each of the wire's calls leaves QUIC whole.
        let outcome = catch_unwind(AssertUnwindSafe(|| call(layer, &mut wire)));
        if outcome.is_err() {
            core.counters.panics.add(1);
            error!("a connection's layer panicked and its connection is closed");
            self.close(core, M::CODES.internal, "");
        } else if self.quic.is_closed() {
            self.drop_layer(core);
        }
    }

    fn drop_layer<M>(&mut self, core: &mut Core<M>) {
        core.open -= usize::from(!self.is_closed());
        match std::mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Handshake { .. } => {
                core.handshakes -= 1;
                core.counters.handshake_failures.add(1);
            }
            Stage::Open(layer) => {
                if catch_unwind(AssertUnwindSafe(|| drop(layer))).is_err() {
                    core.counters.panics.add(1);
                }
            }
            Stage::Closed => {}
        }
        self.keep_alive = None;
    }

    /// What may be written ahead: as much as may be in flight, and a reserve, so that a viewer who takes nothing holds
    /// little of ours.
    fn widen(&mut self, limits: &Limits) {
        let window = self.quic.congestion_state().window().saturating_add(SEND_RESERVE);
        let window = window.min(limits.quic_send_window);
        if window != self.send_window {
            self.send_window = window;
            self.quic.set_send_window(window);
        }
    }

    /// Takes the steps of a drain as they fall due; says whether it took one.
    fn leave<M: MakeLayer<Layer = L>>(&mut self, core: &mut Core<M>) -> bool {
        // Who has been told to go goes, also where the drain was taken back meanwhile.
        let stays = core.draining == Draining::No && matches!(self.leaving, Leaving::No);
        if stays || !matches!(self.stage, Stage::Open(_)) {
            return false;
        }
        let step = match self.leaving {
            Leaving::No => {
                self.leaving = Leaving::Announced { last_at: core.now + DRAIN_STEP.max(self.quic.rtt()) };
                Drain::Announce
            }
            Leaving::Announced { last_at } if last_at <= core.now => {
                self.leaving = Leaving::Last;
                Drain::Last
            }
            Leaving::Announced { .. } | Leaving::Last => return false,
        };
        self.lend(core, |layer, streams| layer.drain(step, streams));
        true
    }

    fn close_when_left<M: MakeLayer<Layer = L>>(&mut self, core: &mut Core<M>) {
        let idle = matches!(&self.stage, Stage::Open(layer) if layer.is_idle());
        if matches!(self.leaving, Leaving::Last) && idle {
            let CloseCodes { no_error, .. } = M::CODES;
            self.close(core, no_error, "");
        }
    }

    fn note_holding(&mut self, now: Tick) {
        self.keep_alive = match &self.stage {
            Stage::Open(layer) if layer.is_holding() => self.keep_alive.or(Some(now + KEEP_ALIVE)),
            _ => None,
        };
    }
}

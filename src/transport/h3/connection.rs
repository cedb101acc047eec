//! One HTTP/3 connection: what the driver calls. It owns the request streams and polls those that are ready; it reads
//! the peer's control stream, keeps the peer's account, and ends in two steps (GOAWAY) when the node stops.
//!
//! An error of the connection drops every request at once and closes; nothing is read or written afterwards.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use tracing::debug;

use super::abuse::Account;
use super::code::{self, ConnectionError};
use super::control::{GOAWAY_ANNOUNCED, Own, Peer, Signal};
use super::counters::{Counters, Shards};
use super::request_stream::{RequestStream, Turn};
use super::wake::{Ready, StreamWaker};

use crate::clock::{Clock, Tick};
use crate::config::Limits;
use crate::request::{Line, Proxy, Viewer};
use crate::rules::priority::{self, Parameters};
use crate::transport::Service;
use crate::transport::quic::layer::{Arrival, CloseCodes, Drain, Layer, MakeLayer};
use crate::transport::quic::streams::{StreamEvent, StreamId, Streams};

/// What serves the HTTP/3 connections of a worker.
pub struct Maker<S> {
    /// What answers requests.
    pub service: S,
    /// The bounds of new connections; a reload swaps them.
    pub limits: Arc<ArcSwap<Limits>>,
    /// Where time comes from.
    pub clock: Clock,
    /// What is counted.
    pub counters: Arc<Shards>,
}

impl<S: Service> MakeLayer for Maker<S> {
    type Layer = Connection<S>;
    const CODES: CloseCodes =
        CloseCodes { no_error: code::NO_ERROR, internal: code::INTERNAL_ERROR, stalled: code::EXCESSIVE_LOAD };

    fn layer(&mut self, arrival: Arrival) -> Connection<S> {
        let (limits, counters) = (self.limits.load_full(), self.counters.clone());
        Connection::new(self.service.clone(), &arrival, limits, self.clock.clone(), counters)
    }
}

/// How far a graceful end is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    Announced,
    /// Requests from this stream on are refused.
    Behind(StreamId),
    Closed,
}

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;
type Streamed<S> = HashMap<StreamId, Box<RequestStream<S>>, foldhash::fast::RandomState>;

/// One HTTP/3 connection.
pub struct Connection<S: Service> {
    shared: Shared<S>,
    account: Account,
    requests: Streamed<S>,
    /// Responses that were written and are not acknowledged; as many as the driver allows streams.
    unacknowledged: HashSet<StreamId, foldhash::fast::RandomState>,
    /// What was said of the priority of requests that have not come; bounded as their identifiers are.
    early: BTreeMap<StreamId, Parameters>,
    /// The identifier of the next request.
    next: u64,
    ended: u64,
    peer: Peer,
    own: Own,
    ending: Ending,
    ready: Arc<Ready>,
    /// Empty between turns; kept for its room.
    turn: Vec<Arc<StreamWaker>>,
    timers: BTreeSet<(Tick, StreamId)>,
    sleep: Option<(Tick, Sleep)>,
}

/// What every stream uses.
struct Shared<S> {
    service: S,
    viewer: Viewer,
    line: Line,
    limits: Arc<Limits>,
    clock: Clock,
    counters: Arc<Shards>,
}

impl<S: Service> Shared<S> {
    fn counters(&self) -> &Counters {
        self.counters.mine()
    }

    fn turn<'a>(&'a self, account: &'a mut Account, streams: &'a mut dyn Streams) -> Turn<'a, S> {
        Turn {
            streams,
            service: &self.service,
            viewer: self.viewer,
            line: &self.line,
            limits: &self.limits,
            now: self.clock.now(),
            counters: self.counters(),
            account,
        }
    }
}

impl<S: Service> Connection<S> {
    /// The connection that has arrived. Who asks is its peer: no proxy in between can be trusted to say otherwise.
    pub fn new(service: S, arrival: &Arrival, limits: Arc<Limits>, clock: Clock, counters: Arc<Shards>) -> Self {
        let viewer = Viewer { peer: arrival.peer, address: arrival.peer, proxy: Proxy::None };
        let account = Account::new();
        Self {
            shared: Shared { service, viewer, line: arrival.line.clone(), limits, clock, counters },
            account,
            requests: HashMap::default(),
            unacknowledged: HashSet::default(),
            early: BTreeMap::new(),
            next: 0,
            ended: 0,
            peer: Peer::default(),
            own: Own::default(),
            ending: Ending::No,
            ready: Arc::default(),
            turn: Vec::new(),
            timers: BTreeSet::new(),
            sleep: None,
        }
    }

    fn event(&mut self, event: StreamEvent, streams: &mut dyn Streams) -> Result<(), ConnectionError> {
        match event {
            StreamEvent::Connected => {
                let grease = self.shared.clock.now().since_start().as_micros() as u64;
                self.own.settings(self.shared.limits.head_size, grease);
                self.own.flush(streams)
            }
            StreamEvent::Opened(id) if is_request(id) => {
                self.opened(id, streams);
                Ok(())
            }
            StreamEvent::Opened(id) => {
                self.peer.opened(id)?;
                self.read_peer(id, streams)
            }
            StreamEvent::Readable(id) if !is_request(id) => self.read_peer(id, streams),
            StreamEvent::Writable(id) if self.own.is(id) => self.own.flush(streams),
            StreamEvent::Readable(id) | StreamEvent::Writable(id) => {
                if let Some(request) = self.requests.get(&id) {
                    request.note();
                }
                Ok(())
            }
            StreamEvent::Finished(id) => {
                if let Some(request) = self.requests.get_mut(&id) {
                    request.acknowledged();
                }
                self.unacknowledged.remove(&id);
                Ok(())
            }
            StreamEvent::Stopped(id, _) if self.own.is(id) => {
                Err(ConnectionError::new(code::CLOSED_CRITICAL_STREAM, "our control stream is not wanted"))
            }
            StreamEvent::Stopped(id, code) => self.stopped(id, code, streams),
            StreamEvent::CanOpen => self.own.flush(streams),
        }
    }

    fn opened(&mut self, id: StreamId, streams: &mut dyn Streams) {
        let is_refused = matches!(self.ending, Ending::Behind(last) if id >= last);
        self.next = self.next.max(id.0 + 4);
        let update = self.early.remove(&id);
        if is_refused || self.requests.len() >= self.shared.limits.h3_streams as usize {
            self.ended += 1;
            self.shared.counters().resets_sent.add(code::REQUEST_REJECTED);
            streams.stop_sending(id, code::REQUEST_REJECTED);
            streams.reset(id, code::REQUEST_REJECTED);
            return;
        }
        let mut turn = self.shared.turn(&mut self.account, streams);
        let request = RequestStream::new(StreamWaker::new(id, &self.ready), id, update, &mut turn);
        request.note();
        self.requests.insert(id, Box::new(request));
    }

    fn stopped(&mut self, id: StreamId, code: u64, streams: &mut dyn Streams) -> Result<(), ConnectionError> {
        let Some(request) = self.requests.get_mut(&id) else {
            // The response was written already; what of it is still on the way is not wanted.
            self.unacknowledged.remove(&id);
            streams.reset(id, code::REQUEST_CANCELLED);
            return Ok(());
        };
        let given_up = request.given_up(code, &mut self.shared.turn(&mut self.account, streams));
        self.settle(id);
        given_up
    }

    fn read_peer(&mut self, id: StreamId, streams: &mut dyn Streams) -> Result<(), ConnectionError> {
        let now = self.shared.clock.now();
        let account = &mut self.account;
        let mut updates = Vec::new();
        self.peer.read(id, streams, now, &mut |signal| {
            match signal {
                Signal::Counted => account.control_frame(now)?,
                Signal::Priority(id, value) => updates.push((id, priority::parse(&value))),
            }
            Ok(())
        })?;
        updates.into_iter().try_for_each(|(id, update)| self.reprioritize(StreamId(id), update, streams))
    }

    /// PRIORITY_UPDATE, also of a request that has not come yet (RFC 9218 §7.2).
    fn reprioritize(
        &mut self,
        id: StreamId,
        update: Parameters,
        streams: &mut dyn Streams,
    ) -> Result<(), ConnectionError> {
        let beyond = self.ended + u64::from(self.shared.limits.h3_streams);
        if !is_request(id) || id.0 / 4 >= beyond {
            return Err(ConnectionError::new(code::ID_ERROR, "PRIORITY_UPDATE of a stream that cannot be opened"));
        }
        if let Some(request) = self.requests.get_mut(&id) {
            request.reprioritize(update, streams);
        } else if id.0 >= self.next {
            self.early.insert(id, update);
        }
        Ok(())
    }

    fn drive(&mut self, id: StreamId, streams: &mut dyn Streams) -> Result<(), ConnectionError> {
        let Some(request) = self.requests.get_mut(&id) else { return Ok(()) };
        let driven = request.drive(&mut self.shared.turn(&mut self.account, streams));
        self.settle(id);
        driven
    }

    /// A stream was worked on: forget it if it is done, else look at its deadline.
    fn settle(&mut self, id: StreamId) {
        let Some(request) = self.requests.get_mut(&id) else { return };
        if request.is_done() {
            if request.is_on_its_way() {
                self.unacknowledged.insert(id);
            }
            if let Some(timer) = request.timer {
                self.timers.remove(&(timer, id));
            }
            self.requests.remove(&id);
            self.ended += 1;
            return;
        }
        // A deadline that moved on is noticed when the old one has come.
        let Some(deadline) = request.deadline(&self.shared.limits) else { return };
        if request.timer.is_none_or(|timer| deadline < timer) {
            if let Some(timer) = request.timer.replace(deadline) {
                self.timers.remove(&(timer, id));
            }
            self.timers.insert((deadline, id));
        }
    }

    /// Drives the streams that are ready, then those whose time has come, until none is.
    fn turn(&mut self, context: &mut Context<'_>, streams: &mut dyn Streams) -> Result<(), ConnectionError> {
        let mut turn = std::mem::take(&mut self.turn);
        self.ready.take(context.waker(), &mut turn);
        if turn.len() > 1 {
            // When room has come, who goes first in QUIC takes of it first here.
            turn.sort_by_cached_key(|waker| Reverse(self.requests.get(&waker.id()).map(|request| request.place())));
        }
        let driven = turn.drain(..).try_for_each(|waker| self.drive(waker.id(), streams));
        self.turn = turn;
        driven?;
        loop {
            let now = self.shared.clock.now();
            while let Some(&(timer, id)) = self.timers.first().filter(|(timer, _)| *timer <= now) {
                self.timers.remove(&(timer, id));
                if let Some(request) = self.requests.get_mut(&id) {
                    request.timer = None;
                }
                self.drive(id, streams)?;
            }
            let Some(&(next, _)) = self.timers.first() else {
                self.sleep = None;
                return Ok(());
            };
            let shared = &self.shared;
            let (_, sleep) = match &mut self.sleep {
                Some(sleep) if sleep.0 <= next => sleep,
                sleep => sleep.insert((next, Box::pin(shared.clock.sleep_until(next)))),
            };
            match sleep.as_mut().poll(context) {
                Poll::Pending => return Ok(()),
                Poll::Ready(()) => self.sleep = None,
            }
        }
    }

    fn close(&mut self, error: ConnectionError, streams: &mut dyn Streams) {
        debug!(peer = %self.shared.viewer.peer, code = error.code, reason = error.reason, "HTTP/3 connection closed");
        self.ending = Ending::Closed;
        self.shared.counters().closes.add(error.code);
        streams.close(error.code, error.reason.as_bytes());
        self.requests.clear();
        self.unacknowledged.clear();
        self.early.clear();
        self.timers.clear();
        self.sleep = None;
    }

    fn goaway(&mut self, id: u64, streams: &mut dyn Streams) -> Result<(), ConnectionError> {
        self.shared.counters().goaways.add(1);
        self.own.goaway(id);
        self.own.flush(streams)
    }
}

/// Whether the client opened it for a request (RFC 9000 §2.1).
fn is_request(id: StreamId) -> bool {
    id.0 & 0b11 == 0
}

impl<S: Service> Layer for Connection<S> {
    fn on_event(&mut self, event: StreamEvent, streams: &mut dyn Streams) {
        if self.ending != Ending::Closed
            && let Err(error) = self.event(event, streams)
        {
            self.close(error, streams);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>, streams: &mut dyn Streams) {
        if self.ending != Ending::Closed
            && let Err(error) = self.turn(context, streams)
        {
            self.close(error, streams);
        }
    }

    fn drain(&mut self, step: Drain, streams: &mut dyn Streams) {
        let said = match (step, self.ending) {
            (Drain::Announce, Ending::No) => {
                self.ending = Ending::Announced;
                self.goaway(GOAWAY_ANNOUNCED, streams)
            }
            (Drain::Last, Ending::No | Ending::Announced) => {
                self.ending = Ending::Behind(StreamId(self.next));
                self.goaway(self.next, streams)
            }
            (Drain::Announce | Drain::Last, _) => Ok(()),
        };
        if let Err(error) = said {
            self.close(error, streams);
        }
    }

    fn is_idle(&self) -> bool {
        self.requests.is_empty() && self.unacknowledged.is_empty()
    }

    fn is_holding(&self) -> bool {
        self.requests.values().any(|request| request.is_holding())
    }
}

//! Who gets a place at an origin: the state behind a pool's lock, without sockets, tasks or waiting of its own.
//!
//! A request holds one of `requests` places and a connection. It gets, in this order: a share of an HTTP/2 connection
//! (the one with the fewest requests), the HTTP/1.1 connection that was idle for the shortest time, or leave to open
//! one. Else it queues: streams take turns, and within a stream the first comes first. Whatever frees something serves
//! the queue.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::Tick;
use crate::origin::figures::Taken;
use crate::outbound::dial::{DialError, Protocol};
use crate::outbound::link::{ManyLink, OneLink};
use crate::rules::upstream::fair::Fair;

/// An idle connection is not used again after this long: servers close theirs after 60 s and more.
const IDLE: Duration = Duration::from_secs(60);
/// Requests in flight on one HTTP/2 connection, at most, whatever the peer allows.
const STREAMS: usize = 100;
/// Addresses that are remembered to have vanished; connections to older ones end as any other.
const GONE: usize = 32;
/// Requests that one HTTP/2 connection serves before it is replaced: some of a peer's counters never fall.
const SERVED: u64 = 10_000;

/// Bounds of one origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections at once.
    pub connections: usize,
    /// Requests in flight at once.
    pub requests: usize,
    /// Requests waiting at once.
    pub queue: usize,
    /// Age after which an HTTP/2 connection is replaced.
    pub age: Duration,
}

/// The place of a connection in the order of their opening. A request takes any connection that is younger than a
/// given one; all are younger than the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Serial(u64);

/// Which connection it is, and where it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Birth {
    /// Its place in the order of their opening.
    pub serial: Serial,
    /// The address.
    pub peer: SocketAddr,
}

/// What a request wishes for.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// A connection younger than this.
    pub younger_than: Serial,
    /// Whose it is: lanes take turns where requests wait.
    pub lane: u64,
}

/// What a request gets. It holds a place from then on.
pub enum Grant {
    /// An idle HTTP/1.1 connection.
    Reuse(OneLink, Birth),
    /// A share of an HTTP/2 connection.
    Share(Arc<ManyLink>),
    /// Leave to open a connection.
    Open,
}

/// An HTTP/1.1 connection between two requests.
struct Idle {
    link: OneLink,
    birth: Birth,
    since: Tick,
}

/// An HTTP/2 connection that takes requests.
struct Seat {
    link: Arc<ManyLink>,
    birth: Birth,
    opened: Tick,
    last_used: Tick,
    load: usize,
    served: u64,
}

/// What an asker is told.
pub enum Asked {
    /// It has a place.
    Granted(Grant),
    /// It will be told.
    Queued(oneshot::Receiver<Result<Grant, DialError>>),
    /// The queue is full.
    Full,
}

/// The places of one origin.
pub struct Places {
    bounds: Bounds,
    spoken: Option<Protocol>,
    open: usize,
    opening: usize,
    in_flight: usize,
    newest: Serial,
    idle: Vec<Idle>,
    shared: Vec<Seat>,
    queue: Fair<Waiter>,
    /// Addresses that the name has no longer.
    gone: Vec<SocketAddr>,
}

struct Waiter {
    younger_than: Serial,
    hand: oneshot::Sender<Result<Grant, DialError>>,
}

impl Seat {
    fn has_room(&self) -> bool {
        self.load < self.link.streams().min(STREAMS)
    }

    /// Whether it should be replaced where there is room for another.
    fn is_worn(&self, age: Duration, now: Tick) -> bool {
        now.since(self.opened) >= age || self.served >= SERVED
    }

    fn is_stale(&self, now: Tick) -> bool {
        self.load == 0 && now.since(self.last_used) >= IDLE
    }
}

impl Places {
    /// Nothing open; `spoken` is the protocol where it is known beforehand (cleartext).
    pub fn new(bounds: Bounds, spoken: Option<Protocol>) -> Self {
        Self {
            bounds,
            spoken,
            open: 0,
            opening: 0,
            in_flight: 0,
            newest: Serial::default(),
            idle: Vec::new(),
            shared: Vec::new(),
            queue: Fair::default(),
            gone: Vec::new(),
        }
    }

    /// Asks for a place, with a connection that is younger than a given one.
    pub fn ask(&mut self, wish: Wish, now: Tick) -> Asked {
        let Wish { younger_than, lane } = wish;
        if self.queue.is_empty()
            && let Some(grant) = self.grant(younger_than, now)
        {
            return Asked::Granted(grant);
        }
        if self.queue.len() >= self.bounds.queue {
            self.queue.retain(|waiter| !waiter.hand.is_closed());
        }
        if self.queue.len() >= self.bounds.queue {
            return Asked::Full;
        }
        let (hand, told) = oneshot::channel();
        self.queue.push(lane, Waiter { younger_than, hand });
        Asked::Queued(told)
    }

    /// The connection that was opened last.
    pub fn newest(&self) -> Serial {
        self.newest
    }

    fn grant(&mut self, younger_than: Serial, now: Tick) -> Option<Grant> {
        if self.in_flight >= self.bounds.requests {
            return None;
        }
        self.drop_spent(now);
        let grant = self.share(younger_than).or_else(|| self.reuse(younger_than)).or_else(|| self.leave_to_open())?;
        self.in_flight += 1;
        Some(grant)
    }

    fn drop_spent(&mut self, now: Tick) {
        let room = self.open < self.bounds.connections;
        let age = self.bounds.age;
        self.shared.retain(|seat| {
            let replaced = seat.is_worn(age, now) && (room || seat.load == 0);
            !seat.link.is_closed() && !replaced && !seat.is_stale(now)
        });
        self.idle.retain(|idle| idle.link.is_idle() && now.since(idle.since) < IDLE);
    }

    fn share(&mut self, younger_than: Serial) -> Option<Grant> {
        let seats = self.shared.iter_mut().filter(|seat| seat.birth.serial > younger_than && seat.has_room());
        let seat = seats.min_by_key(|seat| seat.load)?;
        seat.load += 1;
        seat.served += 1;
        Some(Grant::Share(seat.link.clone()))
    }

    /// Where only too old ones are idle and all connections are open, one of them makes room: the queue is served when
    /// it has ended.
    fn reuse(&mut self, younger_than: Serial) -> Option<Grant> {
        let young = self.idle.iter().rposition(|idle| idle.birth.serial > younger_than);
        match young {
            Some(index) => {
                let idle = self.idle.remove(index);
                return Some(Grant::Reuse(idle.link, idle.birth));
            }
            None if self.open >= self.bounds.connections => _ = self.idle.pop(),
            None => {}
        }
        None
    }

    /// While it is unknown whether the origin speaks HTTP/2, or known that it does, one connection at a time is opened:
    /// it will carry those who wait.
    fn leave_to_open(&mut self) -> Option<Grant> {
        let wait_for_protocol = self.spoken != Some(Protocol::H1) && self.opening > 0;
        if self.open >= self.bounds.connections || wait_for_protocol {
            return None;
        }
        self.open += 1;
        self.opening += 1;
        Some(Grant::Open)
    }

    /// An opened HTTP/1.1 connection.
    pub fn opened_one(&mut self, peer: SocketAddr, now: Tick) -> Birth {
        let birth = Birth { serial: self.opened(Protocol::H1), peer };
        self.serve(now);
        birth
    }

    /// An opened HTTP/2 connection, its first request on it.
    pub fn opened_many(&mut self, link: &Arc<ManyLink>, peer: SocketAddr, now: Tick) {
        let birth = Birth { serial: self.opened(Protocol::H2), peer };
        self.shared.push(Seat { link: link.clone(), birth, opened: now, last_used: now, load: 1, served: 1 });
        self.serve(now);
    }

    fn opened(&mut self, protocol: Protocol) -> Serial {
        self.opening -= 1;
        self.spoken = Some(protocol);
        self.newest.0 += 1;
        self.newest
    }

    /// A connection was not opened: by `error`, or because the request went away. Where there is no other connection,
    /// those who wait would only wait for the same error.
    pub fn not_opened(&mut self, error: Option<&DialError>, now: Tick) {
        self.opening -= 1;
        self.in_flight -= 1;
        match error {
            Some(error) if self.open == 1 => {
                for waiter in self.queue.drain() {
                    _ = waiter.hand.send(Err(error.clone()));
                }
            }
            Some(_) | None => self.serve(now),
        }
    }

    /// A connection has ended.
    pub fn ended(&mut self, now: Tick) {
        self.open -= 1;
        self.idle.retain(|idle| !idle.link.is_closed());
        self.shared.retain(|seat| !seat.link.is_closed());
        self.serve(now);
    }

    /// A request ended and left its HTTP/1.1 connection ready for another one.
    pub fn put_back_one(&mut self, link: OneLink, birth: Birth, now: Tick) {
        self.in_flight -= 1;
        if !self.gone.contains(&birth.peer) {
            self.idle.push(Idle { link, birth, since: now });
        }
        self.serve(now);
    }

    /// The name has other addresses now: no further request goes to one that it has no longer, and what is open there
    /// ends with its requests.
    pub fn moved(&mut self, gone: &[SocketAddr], present: &[SocketAddr]) {
        self.gone.retain(|address| !present.contains(address));
        self.gone.extend(gone);
        self.gone.drain(..self.gone.len().saturating_sub(GONE));
        let Self { idle, shared, gone, .. } = self;
        idle.retain(|idle| !gone.contains(&idle.birth.peer));
        shared.retain(|seat| !gone.contains(&seat.birth.peer));
    }

    /// A request on a shared connection ended.
    pub fn put_back_many(&mut self, link: &Arc<ManyLink>, now: Tick) {
        self.in_flight -= 1;
        if let Some(seat) = self.shared.iter_mut().find(|seat| Arc::ptr_eq(&seat.link, link)) {
            seat.load -= 1;
            seat.last_used = now;
        }
        self.serve(now);
    }

    /// A request ended, and its HTTP/1.1 connection with it.
    pub fn put_back_none(&mut self, now: Tick) {
        self.in_flight -= 1;
        self.serve(now);
    }

    /// What was granted is not wanted any more.
    pub fn take_back(&mut self, grant: Grant, now: Tick) {
        match grant {
            Grant::Reuse(link, birth) => self.put_back_one(link, birth, now),
            Grant::Share(link) => self.put_back_many(&link, now),
            Grant::Open => {
                self.open -= 1;
                self.opening -= 1;
                self.put_back_none(now);
            }
        }
    }

    /// No further request goes to this connection.
    pub fn retire(&mut self, link: &Arc<ManyLink>) {
        self.shared.retain(|seat| !Arc::ptr_eq(&seat.link, link));
    }

    /// What is taken.
    pub fn taken(&self) -> Taken {
        let waiting = self.queue.iter().filter(|waiter| !waiter.hand.is_closed()).count();
        Taken { connections: self.open, in_flight: self.in_flight, waiting }
    }

    fn serve(&mut self, now: Tick) {
        while let Some((lane, waiter)) = self.queue.pop() {
            if waiter.hand.is_closed() {
                continue;
            }
            let Some(grant) = self.grant(waiter.younger_than, now) else {
                self.queue.put_back(lane, waiter);
                return;
            };
            if let Err(Ok(unwanted)) = waiter.hand.send(Ok(grant)) {
                self.take_back(unwanted, now);
            }
        }
    }
}

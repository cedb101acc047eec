//! The connections to one origin, shared by all workers: a lock around [`Places`], held for a few lines, and leases
//! that give back what they hold however they end.

use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tracing::debug;

use crate::clock::{Clock, Tick};
use crate::origin::failure::Wait;
use crate::origin::figures::{Figures, Taken};
use crate::origin::places::{Asked, Birth, Bounds, Grant, Places, Serial, Wish};
use crate::outbound::addresses::Addresses;
use crate::outbound::dial::{Dial, DialError, Protocol};
use crate::outbound::link::{self, Broken, Driver, Link, ManyLink, OneLink, Rest, SendError};
use crate::outbound::payload::Payload;

/// The connections to one origin.
pub struct Pool {
    dial: Dial,
    patience: Patience,
    clock: Clock,
    figures: Arc<Figures>,
    places: Mutex<Places>,
}

/// How long a request waits before it is sent.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a place.
    pub place: Duration,
    /// For TCP and TLS.
    pub connect: Duration,
}

/// Why there is no connection for a request.
#[derive(Debug)]
pub enum LeaseError {
    /// As many wait as may.
    QueueFull,
    /// A deadline passed.
    Timeout(Wait),
    /// It could not be opened.
    Dial(DialError),
    /// It broke before the first request.
    Broken(Broken),
}

/// A request's place and its connection. Dropping it gives the place back; an HTTP/1.1 connection in the middle of an
/// exchange is closed, of HTTP/2 only the stream is reset (by dropping the answer).
pub struct Lease {
    pool: Arc<Pool>,
    held: Option<Held>,
    heard_before: u64,
}

enum Held {
    One(OneLink, Birth),
    Many(Arc<ManyLink>),
}

/// Counts a connection from the leave to open it until it has ended.
struct Place(Weak<Pool>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(pool) = self.0.upgrade() {
            pool.places.lock().ended(pool.clock.now());
        }
    }
}

impl Pool {
    /// No connection yet.
    pub fn new(dial: Dial, patience: Patience, bounds: Bounds, clock: Clock, figures: Arc<Figures>) -> Arc<Self> {
        let spoken = if dial.tls.is_some() { None } else { Some(Protocol::H1) };
        Arc::new(Self { dial, patience, clock, figures, places: Mutex::new(Places::new(bounds, spoken)) })
    }

    /// What is taken.
    pub fn taken(&self) -> Taken {
        self.places.lock().taken()
    }

    /// The connection that was opened last.
    pub fn newest(&self) -> Serial {
        self.places.lock().newest()
    }

    /// The addresses of its name.
    pub fn addresses(&self) -> &Arc<Addresses> {
        &self.dial.addresses
    }

    /// Resolves the name anew, and lets connections to addresses that it has no longer end with their requests.
    pub async fn resolve(&self) {
        match self.dial.addresses.refresh(&self.clock).await {
            Ok(gone) => self.places.lock().moved(&gone, &self.dial.addresses.all()),
            Err(error) => debug!(%error, "a name could not be resolved anew; its last addresses stay"),
        }
    }

    /// A place for one request and a connection younger than a given one, within the pool's patience. A new connection
    /// runs on `driver`'s tasks.
    ///
    /// # Errors
    /// [`LeaseError`]; nothing of the request was sent.
    pub async fn lease(self: &Arc<Self>, driver: Driver<'_>, wish: Wish) -> Result<Lease, LeaseError> {
        let now = self.clock.now();
        let asked = self.places.lock().ask(wish, now);
        let grant = match asked {
            Asked::Granted(grant) => grant,
            Asked::Queued(told) => self.wait(told, now + self.patience.place).await?,
            Asked::Full => return Err(LeaseError::QueueFull),
        };
        match grant {
            Grant::Reuse(link, birth) => Ok(self.leased(Held::One(link, birth))),
            Grant::Share(link) => Ok(self.leased(Held::Many(link))),
            Grant::Open => self.open(driver).await,
        }
    }

    async fn wait(
        self: &Arc<Self>,
        told: oneshot::Receiver<Result<Grant, DialError>>,
        deadline: Tick,
    ) -> Result<Grant, LeaseError> {
        let mut waiting = Waiting { pool: self, told };
        tokio::select! {
            biased;
            told = &mut waiting.told => match told {
                Ok(granted) => granted.map_err(LeaseError::Dial),
                Err(_) => Err(LeaseError::Timeout(Wait::Place)),
            },
            () = self.clock.sleep_until(deadline) => Err(LeaseError::Timeout(Wait::Place)),
        }
    }

    async fn open(self: &Arc<Self>, driver: Driver<'_>) -> Result<Lease, LeaseError> {
        let place = Place(Arc::downgrade(self));
        let mut opening = Opening { pool: self, settled: false };
        let start = self.clock.now();
        let deadline = start + self.patience.connect;
        let wire = match self.dial.wire(&self.clock, deadline).await {
            Ok(wire) => wire,
            Err(error) => {
                opening.failed(&error);
                return Err(LeaseError::Dial(error));
            }
        };
        let peer = wire.peer();
        let link = tokio::select! {
            biased;
            link = link::open(wire, driver, place) => link.map_err(LeaseError::Broken)?,
            () = self.clock.sleep_until(deadline) => return Err(LeaseError::Timeout(Wait::Connect)),
        };
        let now = self.clock.now();
        self.figures.connected(now.since(start));
        opening.settled = true;
        Ok(match link {
            Link::One(link) => {
                let birth = self.places.lock().opened_one(peer, now);
                self.leased(Held::One(link, birth))
            }
            Link::Many(link) => {
                let link = Arc::new(link);
                self.places.lock().opened_many(&link, peer, now);
                self.leased(Held::Many(link))
            }
        })
    }

    fn leased(self: &Arc<Self>, held: Held) -> Lease {
        let heard_before = held.heard();
        Lease { pool: self.clone(), held: Some(held), heard_before }
    }
}

/// One who waits; a grant that comes too late for it goes back.
struct Waiting<'a> {
    pool: &'a Arc<Pool>,
    told: oneshot::Receiver<Result<Grant, DialError>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.told.close();
        if let Ok(Ok(grant)) = self.told.try_recv() {
            self.pool.places.lock().take_back(grant, self.pool.clock.now());
        }
    }
}

/// A connection being opened; the caller may go away meanwhile.
struct Opening<'a> {
    pool: &'a Arc<Pool>,
    settled: bool,
}

impl Opening<'_> {
    fn failed(&mut self, error: &DialError) {
        self.settled = true;
        self.pool.places.lock().not_opened(Some(error), self.pool.clock.now());
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.pool.places.lock().not_opened(None, self.pool.clock.now());
        }
    }
}

impl Held {
    fn heard(&self) -> u64 {
        match self {
            Self::One(link, _) => link.heard().octets(),
            Self::Many(link) => link.heard().octets(),
        }
    }
}

impl Lease {
    /// The protocol of its connection.
    pub fn protocol(&self) -> Protocol {
        match self.held() {
            Held::One(..) => Protocol::H1,
            Held::Many(_) => Protocol::H2,
        }
    }

    /// Whether an end of the connection is told apart from a cut.
    pub fn end_is_proven(&self) -> bool {
        match self.held() {
            Held::One(link, _) => link.end_is_proven(),
            Held::Many(_) => true,
        }
    }

    /// Whether the peer sent anything since the lease. On a shared connection that is unknown until a head is there.
    pub fn began_to_answer(&self) -> bool {
        matches!(self.held(), Held::One(link, _) if link.heard().octets() != self.heard_before)
    }

    /// Sends the request and waits for the head of its answer.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(&mut self, request: Request<Payload>) -> Result<Response<Incoming>, SendError> {
        match self.held.as_mut().expect("held until it is given back") {
            Held::One(link, _) => link.send(request).await,
            Held::Many(link) => link.send(request).await,
        }
    }

    /// Keeps further requests from its connection, if it is shared.
    pub fn retire(&self) {
        if let Held::Many(link) = self.held() {
            self.pool.places.lock().retire(link);
        }
    }

    /// The same, if nothing came on it since the lease: it may be dead.
    pub fn retire_if_silent(&self) {
        if self.held().heard() == self.heard_before {
            self.retire();
        }
    }

    /// After the last octet of an answer: completes when it is known what has become of the connection.
    pub fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Rest> {
        match self.held.as_mut().expect("held until it is given back") {
            Held::One(link, _) => link.poll_rest(cx),
            Held::Many(_) => Poll::Ready(Rest::Reusable),
        }
    }

    /// Gives it back after an answer that was wholly read; an HTTP/1.1 connection that is not ready is closed.
    pub fn give_back(mut self) {
        match self.held.take().expect("held until it is given back") {
            Held::One(link, birth) if link.is_idle() => {
                self.pool.places.lock().put_back_one(link, birth, self.pool.clock.now());
            }
            held => self.held = Some(held),
        }
    }

    fn held(&self) -> &Held {
        self.held.as_ref().expect("held until it is given back")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        let now = self.pool.clock.now();
        match held {
            Held::One(link, _) => {
                drop(link);
                self.pool.places.lock().put_back_none(now);
            }
            Held::Many(link) => self.pool.places.lock().put_back_many(&link, now),
        }
    }
}

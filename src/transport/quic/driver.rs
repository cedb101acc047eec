//! The loop of one worker's QUIC: one task that owns the socket, the endpoint and all connections, so that nothing on
//! the way of a packet is locked or handed over. Each turn receives, serves and sends within a budget, then lets the
//! worker's other tasks run. Everything that waits is bounded: a connection stands once in each queue, and one send at
//! most waits for the socket.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use quinn_proto::Endpoint;
use quinn_udp::UdpSocketState;

use super::cid::Seat;
use super::connection::{Core, Draining, Turn};
use super::handle::{Handle, Orders};
use super::incoming::Inbox;
use super::layer::MakeLayer;
use super::settings::{Segmentation, Settings, StartError};
use super::socket::{Outgoing, Sent, Socket};
use super::table::Table;
use crate::clock::Tick;

/// Batches of datagrams received in one turn.
const RECEIVES: usize = 4;
/// Deadlines acted on in one turn.
const EXPIRIES: usize = 256;
/// Connections served in one turn, and looked at for a drain.
const SERVED: usize = 64;
/// Batches sent in one turn: 2 MiB.
const SENDS: usize = 32;
/// Between two looks at what the kernel dropped.
const SAMPLE: Duration = Duration::from_secs(1);

/// One worker's QUIC. [`Driver::run`] does everything.
pub struct Driver<M: MakeLayer> {
    socket: (std::net::UdpSocket, UdpSocketState),
    segmentation: Segmentation,
    orders: Arc<Orders>,
    core: Core<M>,
    inbox: Inbox,
}

impl<M: MakeLayer> Driver<M> {
    /// Prepares the driver of the worker in `seat`, whose socket is `socket`; `make` makes the layers.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn new(
        socket: std::net::UdpSocket,
        seat: Seat,
        settings: &Settings,
        make: M,
    ) -> Result<(Self, Handle), StartError> {
        let server = Arc::new(settings.server()?);
        let prepared = UdpSocketState::new((&socket).into())?;
        // The path's size can be measured only where the network never splits our datagrams.
        let whole = !prepared.may_fragment();
        let endpoint = Endpoint::new(Arc::new(settings.endpoint(seat)), Some(server), whole, None);
        let orders = Arc::new(Orders::default());
        let core = Core {
            endpoint,
            make,
            clock: settings.clock.clone(),
            limits: settings.limits.clone(),
            counters: orders.counters.clone(),
            ready: orders.ready.clone(),
            worker: seat.worker.into(),
            local_port: socket.local_addr()?.port(),
            now: settings.clock.now(),
            handshakes: 0,
            open: 0,
            draining: Draining::No,
        };
        let handle = Handle::new(orders.clone());
        let inbox = Inbox::new(settings, seat);
        Ok((Self { socket: (socket, prepared), segmentation: settings.segmentation, orders, core, inbox }, handle))
    }

    /// Serves until the handle's `drain` or `close` has ended the last connection. To be run in one task of the worker's
    /// runtime; the task's end drops the connections without a word.
    ///
    /// # Errors
    /// What the system says when the socket does not work any more.
    pub async fn run(self) -> io::Result<()> {
        let Self { socket, segmentation, orders, core, inbox } = self;
        let socket = Socket::new(socket, segmentation, orders.counters.clone())?;
        let mut running = Running {
            socket,
            orders,
            core,
            inbox,
            table: Table::default(),
            woken: Vec::new(),
            sweep: None,
            buffer: Vec::new(),
            blocked: None,
            sleep: None,
            sample_at: Tick::default(),
        };
        let outcome = loop {
            match poll_fn(|context| running.turn(context)).await {
                Ok(Next::Again) => tokio::task::yield_now().await,
                Ok(Next::Over) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        running.orders.tell_vacant();
        outcome
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    /// There is more to do, after others had their turn.
    Again,
    /// There will be nothing more to do.
    Over,
}

type Sleep = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Running<M: MakeLayer> {
    socket: Socket,
    orders: Arc<Orders>,
    core: Core<M>,
    inbox: Inbox,
    table: Table<M::Layer>,
    /// Keys whose wakers were woken.
    woken: Vec<usize>,
    /// The next key to be told of a drain.
    sweep: Option<usize>,
    /// The packets of the send at hand.
    buffer: Vec<u8>,
    /// The send that waits for the socket; its octets are in `buffer`, and nothing else is sent before it.
    blocked: Option<Outgoing>,
    sleep: Option<(Tick, Sleep)>,
    sample_at: Tick,
}

impl<M: MakeLayer> Running<M> {
    fn turn(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Next>> {
        self.orders.ready.register(context.waker());
        self.core.now = self.core.clock.now();
        self.welcome();
        let mut more = self.receive(context)?;
        self.core.ready.take(&mut self.woken);
        for key in self.woken.drain(..) {
            self.table.wants_turn(key);
        }
        more |= self.expire();
        more |= self.obey();
        more |= self.serve();
        more |= self.send(context);
        self.sample();
        if self.core.draining != Draining::No && self.is_over() {
            self.orders.tell_vacant();
            if self.orders.ends() {
                return Poll::Ready(Ok(Next::Over));
            }
        }
        if more || self.is_due(context) {
            return Poll::Ready(Ok(Next::Again));
        }
        Poll::Pending
    }

    /// Takes what came in; says whether there may be more.
    fn receive(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        for _ in 0..RECEIVES {
            self.core.now = self.core.clock.now();
            let Self { socket, core, inbox, table, .. } = self;
            match socket.poll_receive(context, |meta, octets| inbox.sort(core, table, meta, octets)) {
                Poll::Ready(outcome) => outcome?,
                Poll::Pending => return Ok(false),
            }
            self.inbox.post(&self.socket);
        }
        Ok(true)
    }

    fn expire(&mut self) -> bool {
        for _ in 0..EXPIRIES {
            let Some(key) = self.table.timers.take_due(self.core.now) else { return false };
            self.table.with(&mut self.core, key, |connection, core| connection.expire(core));
            self.table.wants_turn(key);
        }
        true
    }

    /// Goes on where a drain was taken back, before anything is received: who comes after that is not refused.
    fn welcome(&mut self) {
        if self.core.draining == Draining::Gently && self.orders.draining() == Draining::No {
            self.orders.tell_open();
            self.obey();
        }
    }

    /// Follows the handle's orders; says whether some connections have not been told yet.
    fn obey(&mut self) -> bool {
        let ordered = self.orders.draining();
        if ordered != self.core.draining {
            self.core.draining = ordered;
            // Connections that were told to leave already do so, whatever comes.
            self.sweep = (ordered != Draining::No).then_some(0);
        }
        let Some(from) = self.sweep else { return false };
        let until = self.table.len().min(from + SERVED);
        for key in from..until {
            if self.core.draining == Draining::AtOnce {
                let (error, reason) = (M::CODES.no_error, "");
                self.table.with(&mut self.core, key, |connection, core| connection.close(core, error, reason));
            }
            self.table.wants_turn(key);
        }
        self.sweep = (until < self.table.len()).then_some(until);
        self.sweep.is_some()
    }

    fn serve(&mut self) -> bool {
        for _ in 0..SERVED {
            let Some(key) = self.table.next_turn() else { return false };
            let turn = self.table.with(&mut self.core, key, |connection, core| connection.turn(core));
            match turn {
                Some(Turn::Goes) => self.table.wants_to_send(key),
                Some(Turn::Continues) => {
                    self.table.wants_to_send(key);
                    self.table.wants_turn(key);
                }
                Some(Turn::Ends) => self.table.remove(key),
                None => {}
            }
        }
        true
    }

    fn send(&mut self, context: &mut Context<'_>) -> bool {
        self.core.now = self.core.clock.now();
        if let Some(outgoing) = self.blocked.take()
            && let Sent::Blocked(rest) = self.socket.send(context, outgoing, &self.buffer)
        {
            self.blocked = Some(rest);
            return false;
        }
        for _ in 0..SENDS {
            let Some(key) = self.table.next_to_send() else { return false };
            let (socket, buffer) = (&self.socket, &mut self.buffer);
            buffer.clear();
            let transmit = self.table.with(&mut self.core, key, |connection, core| {
                connection.transmit(core, socket.batch(connection.mtu()), buffer)
            });
            let Some(Some(transmit)) = transmit else {
                self.table.arm(&mut self.core, key);
                continue;
            };
            self.table.wants_to_send(key);
            if let Sent::Blocked(rest) = self.socket.send(context, transmit.into(), &self.buffer) {
                self.blocked = Some(rest);
                return false;
            }
        }
        true
    }

    /// Waits for the nearest deadline; says whether it has come already.
    fn is_due(&mut self, context: &mut Context<'_>) -> bool {
        let Some(due) = self.table.timers.next() else { return false };
        if !matches!(&self.sleep, Some((armed, _)) if *armed <= due) {
            self.sleep = Some((due, Box::pin(self.core.clock.sleep_until(due))));
        }
        // An older sleep ends before the nearest deadline: then there is nothing to do yet, and it is set anew.
        let over = self.sleep.as_mut().is_some_and(|(_, sleep)| sleep.as_mut().poll(context).is_ready());
        if over {
            self.sleep = None;
        }
        over
    }

    /// Whether every connection is closed and has said so.
    fn is_over(&self) -> bool {
        self.blocked.is_none() && self.sweep.is_none() && self.core.open == 0 && self.table.is_silent()
    }

    fn sample(&mut self) {
        self.core.counters.connections.set(self.table.living() as u64);
        if self.core.now >= self.sample_at {
            self.sample_at = self.core.now + SAMPLE;
            self.core.counters.receive_drops.set(self.socket.receive_drops());
        }
    }
}

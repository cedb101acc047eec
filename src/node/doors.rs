//! What viewers come in by: the sockets of every listener, one for each worker, and what serves behind them.
//!
//! Doors are opened together and closed together: TCP and UDP of one port number follow each other. A drain that is
//! taken back opens them anew on the same addresses.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU8;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use arc_swap::ArcSwap;
use http::Response;
use parking_lot::Mutex;
use tracing::{error, info, warn};

use crate::config::{Address, Config, Limits, Listener};
use crate::request::{self, Body, Edge, Head, Upload};
use crate::tasks::Tasks;
use crate::transport::admission::Admission;
use crate::transport::drain::Drain;
use crate::transport::h3;
use crate::transport::listener::{self, ListenError, WorkerListener};
use crate::transport::quic::{self, Driver, Handle, Seat, Segmentation, SharedKeys};
use crate::transport::steer::{Group, Steering};
use crate::transport::tcp::{self, Door, TcpContext};
use crate::transport::tls::Certificates;
use crate::transport::{Service, inherited};

use super::StartError;
use super::worker::Worker;

/// What answers requests in a node.
#[derive(Clone)]
pub struct EdgeService(pub Arc<Edge>);

impl Service for EdgeService {
    type Body = Body;

    fn serve(&self, head: Head, upload: Upload) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
        let edge = self.0.clone();
        Box::pin(async move { request::serve(&edge, head, upload).await })
    }
}

/// What all doors of a node share, however often they are opened.
pub struct Hall {
    /// What answers.
    pub service: EdgeService,
    /// Bounds of TCP connections; a reload swaps them.
    pub settings: Arc<ArcSwap<tcp::Settings>>,
    /// Bounds of HTTP/3 connections; a reload swaps them.
    pub limits: Arc<ArcSwap<Limits>>,
    /// Places for connections of all protocols.
    pub admission: Arc<Admission>,
    /// Certificates, where TLS is spoken.
    pub certificates: Option<Arc<Certificates>>,
    /// Counters of each worker's TCP connections.
    pub tcp: Vec<Arc<tcp::Counters>>,
    /// Counters of HTTP/3, a shard a worker.
    pub h3: Arc<h3::counters::Shards>,
    /// Secrets of QUIC.
    pub quic_keys: SharedKeys,
    /// Counts processes that take over from each other.
    pub generation: u8,
}

/// One address that is listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// `http`, `https` or `h3`.
    pub kind: &'static str,
    /// The address, with the port that was chosen where 0 was asked for.
    pub address: String,
    /// The same, where it is one of IP.
    pub socket: Option<SocketAddr>,
}

/// Doors that are open, or on their way to close.
pub struct Doors {
    /// Where they are.
    pub bound: Vec<Bound>,
    drain: Drain,
    quic: Vec<QuicPort>,
    /// Tasks of connections, by worker.
    connections: Vec<Tasks>,
}

/// A UDP port and its drivers, by worker.
struct QuicPort {
    address: SocketAddr,
    handles: Vec<Handle>,
    kept: Arc<Kept>,
}

/// The sockets of a UDP port once more: the kernel steers by their order, so that none may close before all. They go
/// with the last driver; from then on the port is closed to viewers.
#[derive(Default)]
struct Kept {
    sockets: Mutex<Vec<UdpSocket>>,
    drivers: AtomicUsize,
}

/// The sockets of the doors, bound and not yet served.
pub struct Sockets {
    tcp: Vec<(Vec<WorkerListener>, Entry)>,
    udp: Vec<Group>,
    bound: Vec<Bound>,
}

/// How connections of a TCP socket are spoken to.
struct Entry {
    secure: bool,
    proxy_protocol: Arc<[ipnet::IpNet]>,
}

impl Sockets {
    /// Binds every listener of a configuration.
    ///
    /// # Errors
    /// The first address that cannot be listened on.
    pub fn bind(config: &Config) -> Result<Self, StartError> {
        let mut sockets = Self { tcp: Vec::new(), udp: Vec::new(), bound: Vec::new() };
        for (kind, listener) in listeners(config) {
            let socket = sockets.bind_tcp(config, listener, (kind, &listener.address))?;
            if kind == "https" && config.http3.enabled {
                sockets.bind_udp(&listener.address, socket, config.node.workers)?;
            }
        }
        Ok(sockets)
    }

    /// Binds the TCP listeners once more, where they were before.
    fn bind_again(config: &Config, before: &[Bound]) -> Result<Self, StartError> {
        let mut sockets = Self { tcp: Vec::new(), udp: Vec::new(), bound: Vec::new() };
        let before = before.iter().filter(|bound| bound.kind != "h3");
        for ((kind, listener), bound) in listeners(config).zip(before) {
            let address = match bound.socket {
                Some(socket) if matches!(listener.address, Address::Socket(_)) => Address::Socket(socket),
                _ => listener.address.clone(),
            };
            sockets.bind_tcp(config, listener, (kind, &address))?;
        }
        Ok(sockets)
    }

    fn bind_tcp(
        &mut self,
        config: &Config,
        listener: &Listener,
        (kind, address): (&'static str, &Address),
    ) -> Result<Option<SocketAddr>, StartError> {
        let options = listener::Options {
            congestion: config.listen.congestion.clone(),
            user_timeout: Some(config.limits.write_progress),
        };
        let listeners = listener::bind(address, config.node.workers, &options)?;
        let socket = listeners.first().and_then(WorkerListener::local_address);
        let text = socket.map_or_else(|| name(address), |socket| socket.to_string());
        self.bound.push(Bound { kind, address: text, socket });
        let proxy_protocol = listener.proxy_protocol.as_slice().into();
        self.tcp.push((listeners, Entry { secure: kind == "https", proxy_protocol }));
        Ok(socket)
    }

    fn bind_udp(&mut self, address: &Address, socket: Option<SocketAddr>, workers: usize) -> Result<(), StartError> {
        let failed = |source| StartError::Udp { address: name(address), source };
        let group = match (address, socket) {
            (Address::Inherited(name), _) => match inherited::datagrams(name) {
                sockets if !sockets.is_empty() => Group::inherited(sockets).map_err(failed)?,
                _ => {
                    warn!(name, "no datagram socket of that name was handed over: no HTTP/3 there");
                    return Ok(());
                }
            },
            (_, Some(socket)) => Group::bind(socket, seats(workers)).map_err(failed)?,
            (_, None) => return Ok(()),
        };
        let bound = group.address().map_err(failed)?;
        self.bound.push(Bound { kind: "h3", address: bound.to_string(), socket: Some(bound) });
        self.udp.push(group);
        Ok(())
    }

    /// Where they are bound.
    pub fn bound(&self) -> &[Bound] {
        &self.bound
    }

    /// Serves behind them on the workers.
    ///
    /// # Errors
    /// Where QUIC cannot be prepared.
    pub fn open(mut self, config: &Config, hall: &Hall, workers: &[Worker]) -> Result<Doors, StartError> {
        let connections: Vec<Tasks> = workers.iter().map(|worker| worker.tasks.apart()).collect();
        let drain = Drain::new();
        self.accept(config, hall, (&drain, &connections));
        let settings = quic_settings(config, hall);
        let open = |group| match &settings {
            Some(settings) => QuicPort::open(group, settings, hall, &connections).map(Some),
            None => Ok(None),
        };
        let quic: Vec<Option<QuicPort>> = self.udp.into_iter().map(open).collect::<Result<_, _>>()?;
        let quic = quic.into_iter().flatten().collect();
        Ok(Doors { bound: self.bound, drain, quic, connections })
    }

    fn accept(&mut self, config: &Config, hall: &Hall, (drain, connections): (&Drain, &[Tasks])) {
        let contexts: Vec<_> = connections.iter().zip(&hall.tcp).map(|pair| context(hall, drain, pair)).collect();
        for (listeners, entry) in self.tcp.drain(..) {
            let tls = hall.certificates.as_ref().filter(|_| entry.secure);
            let tls = tls.map(|certificates| certificates.server_config(config.tls.min_version));
            let door = Door { tls, proxy_protocol: entry.proxy_protocol };
            for ((listener, context), tasks) in listeners.into_iter().zip(&contexts).zip(connections) {
                tasks.spawn("accept", accept(listener, door.clone(), context.clone()));
            }
        }
    }
}

async fn accept(listener: WorkerListener, door: Door, context: Arc<TcpContext<EdgeService>>) {
    if let Err(error) = tcp::serve(listener, door, context).await {
        error!(%error, "a listener cannot be used");
    }
}

fn listeners(config: &Config) -> impl Iterator<Item = (&'static str, &Listener)> {
    let http = config.listen.http.iter().map(|listener| ("http", listener));
    http.chain(config.listen.https.iter().map(|listener| ("https", listener)))
}

impl Doors {
    /// The same doors once more after they were closed, on the same addresses. Connections that were told to leave still
    /// belong to them.
    ///
    /// # Errors
    /// An address was taken meanwhile.
    pub fn reopen(&self, config: &Config, hall: &Hall) -> Result<Self, StartError> {
        let mut sockets = Sockets::bind_again(config, &self.bound)?;
        let drain = Drain::new();
        sockets.accept(config, hall, (&drain, &self.connections));
        let quic = match quic_settings(config, hall) {
            Some(settings) => {
                let reopen = |port: &QuicPort| port.reopen(&settings, hall, &self.connections);
                self.quic.iter().map(reopen).collect::<Result<_, _>>()?
            }
            None => Vec::new(),
        };
        Ok(Self { bound: self.bound.clone(), drain, quic, connections: self.connections.clone() })
    }

    /// Nothing is accepted any more; connections end as they finish.
    pub fn close(&self) {
        self.drain.begin();
        self.handles().for_each(Handle::drain);
    }

    /// Whether nothing is accepted any more.
    pub fn is_closed(&self) -> bool {
        self.drain.has_begun()
    }

    /// Ends what is left.
    pub fn cut(&self) {
        self.drain.cut();
        self.handles().for_each(Handle::close);
    }

    /// Completes when no connection is left, once the doors are closed.
    pub async fn emptied(&self) {
        for tasks in &self.connections {
            tasks.close();
            tasks.joined().await;
        }
    }

    /// Their QUIC drivers.
    pub fn handles(&self) -> impl Iterator<Item = &Handle> {
        self.quic.iter().flat_map(|port| &port.handles)
    }

    /// Tasks of their connections, by worker.
    pub fn tasks(&self) -> &[Tasks] {
        &self.connections
    }
}

fn context(
    hall: &Hall,
    drain: &Drain,
    (tasks, counters): (&Tasks, &Arc<tcp::Counters>),
) -> Arc<TcpContext<EdgeService>> {
    Arc::new(TcpContext {
        service: hall.service.clone(),
        settings: hall.settings.clone(),
        clock: hall.service.0.clock.clone(),
        tasks: tasks.clone(),
        admission: hall.admission.clone(),
        drain: drain.clone(),
        counters: counters.clone(),
    })
}

fn quic_settings(config: &Config, hall: &Hall) -> Option<quic::Settings> {
    let admission = hall.admission.clone();
    Some(quic::Settings {
        tls: hall.certificates.as_ref()?.quic_server_config(),
        keys: hall.quic_keys.clone(),
        limits: config.limits.clone(),
        segmentation: if config.http3.gso { Segmentation::Offloaded } else { Segmentation::Own },
        clock: hall.service.0.clock.clone(),
        admit: Arc::new(move |ip| Some(Box::new(admission.admit(ip)?) as quic::Permit)),
        generation: hall.generation,
    })
}

impl QuicPort {
    /// Starts a driver for each socket of a group, on the worker that the kernel steers its datagrams to.
    fn open(group: Group, settings: &quic::Settings, hall: &Hall, workers: &[Tasks]) -> Result<Self, StartError> {
        if group.steering == Steering::Refused {
            info!("datagrams are not steered by the kernel: one worker serves HTTP/3");
        }
        let address = group.address().map_err(quic::StartError::Socket)?;
        let kept: io::Result<Vec<_>> = group.sockets.iter().map(UdpSocket::try_clone).collect();
        let mut port = Self { address, handles: Vec::new(), kept: Arc::default() };
        *port.kept.sockets.lock() = kept.map_err(quic::StartError::Socket)?;
        let seats = port.seats(group.sockets.len());
        for place in group.sockets.into_iter().zip(seats) {
            port.handles.push(port.start(place, settings, hall, workers)?);
        }
        Ok(port)
    }

    /// The port once more after its drivers were told to leave: those that are still there go on, others get successors.
    fn reopen(&self, settings: &quic::Settings, hall: &Hall, workers: &[Tasks]) -> Result<Self, StartError> {
        let sockets: io::Result<Vec<_>> = self.kept.sockets.lock().iter().map(UdpSocket::try_clone).collect();
        let sockets = sockets.map_err(quic::StartError::Socket)?;
        if sockets.is_empty() {
            let group = Group::bind(self.address, seats(self.handles.len()))
                .map_err(|source| StartError::Udp { address: self.address.to_string(), source })?;
            return Self::open(group, settings, hall, workers);
        }
        let mut port = Self { address: self.address, handles: Vec::new(), kept: self.kept.clone() };
        let seats = self.seats(sockets.len());
        for (place, handle) in sockets.into_iter().zip(seats).zip(&self.handles) {
            port.handles.push(match handle.resume() {
                true => handle.clone(),
                false => port.start(place, settings, hall, workers)?,
            });
        }
        Ok(port)
    }

    fn seats(&self, sockets: usize) -> impl Iterator<Item = Seat> + use<> {
        let workers = u8::try_from(sockets).expect("there are no more sockets than seats");
        (0..workers).map(move |worker| Seat { worker, workers })
    }

    fn start(
        &self,
        (socket, seat): (UdpSocket, Seat),
        settings: &quic::Settings,
        hall: &Hall,
        workers: &[Tasks],
    ) -> Result<Handle, StartError> {
        let make = h3::Maker {
            service: hall.service.clone(),
            limits: hall.limits.clone(),
            clock: settings.clock.clone(),
            counters: hall.h3.clone(),
        };
        let (driver, handle) = Driver::new(socket, seat, settings, make)?;
        let kept = self.kept.clone();
        kept.drivers.fetch_add(1, SeqCst);
        workers[usize::from(seat.worker)].spawn("quic", async move {
            if let Err(error) = driver.run().await {
                error!(%error, "QUIC ended");
            }
            if kept.drivers.fetch_sub(1, SeqCst) == 1 {
                kept.sockets.lock().clear();
            }
        });
        Ok(handle)
    }
}

/// Workers that QUIC can name in a connection ID.
fn seats(workers: usize) -> NonZeroU8 {
    let workers = u8::try_from(workers).unwrap_or(u8::MAX);
    NonZeroU8::new(workers).unwrap_or(NonZeroU8::MIN)
}

fn name(address: &Address) -> String {
    match address {
        Address::Socket(socket) => socket.to_string(),
        Address::Inherited(name) => format!("fd:{name}"),
        Address::Unix(path) => format!("unix:{}", path.display()),
    }
}

impl From<ListenError> for StartError {
    fn from(error: ListenError) -> Self {
        Self::Listen(error)
    }
}

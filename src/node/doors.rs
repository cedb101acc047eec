//! What viewers come in by: the sockets of every listener, one for each worker, and what serves behind them.
//!
//! Doors are opened together and closed together: TCP and UDP of one port number follow each other. A drain that is
//! taken back opens them anew on the same addresses.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU8;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::Response;
use rustls::ServerConfig;
use tracing::{error, info, warn};

use crate::config::{Address, Config, Limits, Listener};
use crate::region::proof::{Gate, Message, WEIR_PEER};
use crate::request::{self, Body, Caller, Edge, Head, Refusal, Upload};
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

/// Port numbers that are tried where the system chooses them.
const PORTS: usize = 16;

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

/// What answers other nodes: who has not proven to be one is refused before anything of the request counts.
#[derive(Clone)]
pub struct PeerService {
    edge: Arc<Edge>,
    region: Arc<Region>,
}

/// What the node knows of its region where others come in.
pub struct Region {
    /// What proves that one belongs to it.
    pub gate: Gate,
    /// This node as the others name it.
    pub own: Option<String>,
    /// TLS, where it is spoken.
    pub tls: Option<Arc<ServerConfig>>,
    /// Bounds of connections; a reload swaps them. Every peer says where a viewer comes from.
    pub settings: Arc<ArcSwap<tcp::Settings>>,
}

impl PeerService {
    /// As what the request comes.
    ///
    /// # Errors
    /// `NotAPeer`, and `PeersDisagree` where it means another node.
    fn caller(&self, head: &Head) -> Result<Caller, Refusal> {
        let target = head.query.as_ref().map_or_else(|| head.path.clone(), |query| format!("{}?{query}", head.path));
        let host = head.authority.as_deref().unwrap_or_default();
        let message = Message { method: &head.method, host, target: &target };
        let said = self.region.gate.admit(message, &head.headers, self.edge.clock.wall()).map_err(Refusal::NotAPeer)?;
        match (&said.to, &self.region.own) {
            (Some(to), Some(own)) if to != own => Err(Refusal::PeersDisagree),
            (_, _) => Ok(Caller::Node(said.key)),
        }
    }
}

impl Service for PeerService {
    type Body = Body;

    fn serve(&self, mut head: Head, upload: Upload) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
        let caller = self.caller(&head);
        head.headers.remove(WEIR_PEER);
        let edge = self.edge.clone();
        match caller {
            Ok(caller) => {
                head.caller = caller;
                Box::pin(async move { request::serve(&edge, head, upload).await })
            }
            Err(refusal) => {
                // What it says of a viewer is not believed either.
                head.viewer.address = head.viewer.peer;
                Box::pin(async move { request::refuse(&edge, &head, refusal) })
            }
        }
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
    /// Where other nodes come in; `None`: nowhere.
    pub region: Option<Arc<Region>>,
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
    /// `http`, `https`, `h3` or `peers`.
    pub kind: &'static str,
    /// The address, with the port that was chosen where 0 was asked for.
    pub address: String,
    /// The same, where it is one of IP.
    pub socket: Option<SocketAddr>,
}

impl Bound {
    /// As a URL's authority: an unspecified address is reached as localhost.
    pub fn authority(&self) -> String {
        match self.socket {
            Some(socket) if socket.ip().is_unspecified() => format!("localhost:{}", socket.port()),
            _ => self.address.clone(),
        }
    }
}

/// Doors that are open, or on their way to close.
pub struct Doors {
    /// Where they are.
    pub bound: Vec<Bound>,
    drain: Drain,
    quic: Vec<QuicDoor>,
    /// Tasks of connections over TCP, by worker.
    connections: Vec<Tasks>,
    /// Tasks of QUIC drivers, by worker.
    drivers: Vec<Tasks>,
}

/// One worker's share of a UDP port.
struct QuicDoor {
    handle: Handle,
    /// The driver's own socket once more: the kernel counts the sockets of a port, so that none may close before all.
    socket: UdpSocket,
    seat: Seat,
}

/// The sockets of the doors, bound and not yet served.
pub struct Sockets {
    tcp: Vec<(Vec<WorkerListener>, Entry)>,
    udp: Vec<Group>,
    bound: Vec<Bound>,
}

/// How connections of a TCP socket are spoken to.
struct Entry {
    kind: &'static str,
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
            if kind == "https" && config.http3.enabled {
                sockets.bind_both(config, listener)?;
            } else {
                sockets.bind_tcp(config, listener, (kind, &listener.address))?;
            }
        }
        Ok(sockets)
    }

    /// Binds TCP and UDP on one port number. Where the system chose it for TCP, somebody may have it for UDP: another
    /// one is tried then.
    fn bind_both(&mut self, config: &Config, listener: &Listener) -> Result<(), StartError> {
        let chooses = matches!(listener.address, Address::Socket(address) if address.port() == 0);
        let mut tries = if chooses { PORTS } else { 1 };
        loop {
            let socket = self.bind_tcp(config, listener, ("https", &listener.address))?;
            tries -= 1;
            match self.bind_udp(&listener.address, socket, config.node.workers) {
                Err(StartError::Udp { source, .. }) if source.kind() == ErrorKind::AddrInUse && tries > 0 => {
                    self.tcp.pop();
                    self.bound.pop();
                }
                bound => return bound,
            }
        }
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
        self.tcp.push((listeners, Entry { kind, proxy_protocol }));
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
        let apart = || workers.iter().map(|worker| worker.tasks.apart()).collect::<Vec<Tasks>>();
        let (connections, drivers) = (apart(), apart());
        let drain = Drain::new();
        self.accept(config, hall, (&drain, &connections));
        let mut quic = Vec::new();
        for group in self.udp {
            quic.extend(drive(group, config, hall, &drivers)?);
        }
        Ok(Doors { bound: self.bound, drain, quic, connections, drivers })
    }

    fn accept(&mut self, config: &Config, hall: &Hall, (drain, connections): (&Drain, &[Tasks])) {
        let contexts: Vec<_> = connections
            .iter()
            .zip(&hall.tcp)
            .map(|pair| context(hall, (hall.service.clone(), &hall.settings), drain, pair))
            .collect();
        for (listeners, entry) in self.tcp.drain(..) {
            if entry.kind == "peers" {
                accept_peers(listeners, hall, (drain, connections));
                continue;
            }
            let tls = hall.certificates.as_ref().filter(|_| entry.kind == "https");
            let tls = tls.map(|certificates| certificates.server_config(config.tls.min_version));
            let door = Door { tls, proxy_protocol: entry.proxy_protocol };
            for ((listener, context), tasks) in listeners.into_iter().zip(&contexts).zip(connections) {
                tasks.spawn("accept", accept(listener, door.clone(), context.clone()));
            }
        }
    }
}

/// Serves other nodes.
fn accept_peers(listeners: Vec<WorkerListener>, hall: &Hall, (drain, connections): (&Drain, &[Tasks])) {
    let region = hall.region.as_ref().expect("a checked configuration has a region where it listens for one");
    let door = Door { tls: region.tls.clone(), ..Door::default() };
    let service = PeerService { edge: hall.service.0.clone(), region: region.clone() };
    for ((listener, tasks), counters) in listeners.into_iter().zip(connections).zip(&hall.tcp) {
        let context = context(hall, (service.clone(), &region.settings), drain, (tasks, counters));
        tasks.spawn("accept", accept(listener, door.clone(), context));
    }
}

async fn accept<S: Service>(listener: WorkerListener, door: Door, context: Arc<TcpContext<S>>) {
    if let Err(error) = tcp::serve(listener, door, context).await {
        error!(%error, "a listener cannot be used");
    }
}

fn listeners(config: &Config) -> impl Iterator<Item = (&'static str, &Listener)> {
    let http = config.listen.http.iter().map(|listener| ("http", listener));
    let https = config.listen.https.iter().map(|listener| ("https", listener));
    http.chain(https).chain(config.listen.peers.iter().map(|listener| ("peers", listener)))
}

impl Doors {
    /// The same doors once more after they were closed, on the same addresses. Connections that were told to leave still
    /// belong to them.
    ///
    /// # Errors
    /// An address was taken meanwhile.
    pub fn reopen(&self, config: &Config, hall: &Hall) -> Result<Self, StartError> {
        let mut sockets = Sockets::bind_again(config, &self.bound)?;
        let drain = self.drain.again();
        sockets.accept(config, hall, (&drain, &self.connections));
        let settings = quic_settings(config, hall);
        let mut quic = Vec::new();
        for door in &self.quic {
            let QuicDoor { handle, socket, seat } = door;
            let socket = socket.try_clone().map_err(quic::StartError::Socket)?;
            quic.push(match handle.resume() {
                true => QuicDoor { handle: handle.clone(), socket, seat: *seat },
                false => {
                    let settings = settings.as_ref().expect("there was QUIC, so there are certificates");
                    start_driver((socket, *seat), settings, hall, &self.drivers)?
                }
            });
        }
        let (connections, drivers) = (self.connections.clone(), self.drivers.clone());
        Ok(Self { bound: self.bound.clone(), drain, quic, connections, drivers })
    }

    /// Nothing is accepted any more; connections end as they finish. QUIC drivers stay to refuse who comes, so that
    /// nobody waits for an answer in vain.
    pub fn close(&self) {
        self.drain.begin();
        self.handles().for_each(Handle::pause);
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
        joined(&self.connections).await;
        for handle in self.handles() {
            handle.vacated().await;
        }
        self.handles().for_each(Handle::drain);
        joined(&self.drivers).await;
    }

    /// Their QUIC drivers.
    pub fn handles(&self) -> impl Iterator<Item = &Handle> {
        self.quic.iter().map(|door| &door.handle)
    }

    /// Tasks of their connections and drivers.
    pub fn tasks(&self) -> impl Iterator<Item = &Tasks> {
        self.connections.iter().chain(&self.drivers)
    }
}

/// Completes when none of the tasks lives.
async fn joined(tasks: &[Tasks]) {
    for tasks in tasks {
        tasks.close();
        tasks.joined().await;
    }
}

fn context<S: Service>(
    hall: &Hall,
    (service, settings): (S, &Arc<ArcSwap<tcp::Settings>>),
    drain: &Drain,
    (tasks, counters): (&Tasks, &Arc<tcp::Counters>),
) -> Arc<TcpContext<S>> {
    Arc::new(TcpContext {
        service,
        settings: settings.clone(),
        clock: hall.service.0.clock.clone(),
        tasks: tasks.clone(),
        admission: hall.admission.clone(),
        drain: drain.clone(),
        counters: counters.clone(),
    })
}

/// Starts a QUIC driver for each socket of a group, on the worker that the kernel steers its datagrams to.
fn drive(group: Group, config: &Config, hall: &Hall, workers: &[Tasks]) -> Result<Vec<QuicDoor>, StartError> {
    let Some(settings) = quic_settings(config, hall) else { return Ok(Vec::new()) };
    if group.steering == Steering::Refused {
        info!("datagrams are not steered by the kernel: one worker serves HTTP/3");
    }
    let workers_of_port = u8::try_from(group.sockets.len()).expect("there are no more sockets than seats");
    let seats = (0..workers_of_port).map(|worker| Seat { worker, workers: workers_of_port });
    let sockets = group.sockets.into_iter().zip(seats);
    sockets.map(|place| start_driver(place, &settings, hall, workers)).collect()
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

fn start_driver(
    (socket, seat): (UdpSocket, Seat),
    settings: &quic::Settings,
    hall: &Hall,
    workers: &[Tasks],
) -> Result<QuicDoor, StartError> {
    let make = h3::Maker {
        service: hall.service.clone(),
        limits: hall.limits.clone(),
        clock: settings.clock.clone(),
        counters: hall.h3.clone(),
    };
    let kept = socket.try_clone().map_err(quic::StartError::Socket)?;
    let (driver, handle) = Driver::new(socket, seat, settings, make)?;
    workers[usize::from(seat.worker)].spawn("quic", async move {
        if let Err(error) = driver.run().await {
            error!(%error, "QUIC ended");
        }
    });
    Ok(QuicDoor { handle, socket: kept, seat })
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

//! What viewers come in by: the sockets of every listener, one for each worker, and what serves behind them.
//!
//! Doors are opened together and closed together: TCP and UDP of one port number follow each other. A drain that is
//! taken back opens them anew on the same addresses.

use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::Response;
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

/// Doors that are open.
pub struct Doors {
    /// Where they are.
    pub bound: Vec<Bound>,
    drain: Drain,
    quic: Vec<Handle>,
    /// Tasks of connections, by worker.
    connections: Vec<Tasks>,
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
    /// Binds every listener of a configuration, `bound` before where the doors were open already.
    ///
    /// # Errors
    /// The first address that cannot be listened on.
    pub fn bind(config: &Config, before: Option<&[Bound]>) -> Result<Self, StartError> {
        let mut sockets = Self { tcp: Vec::new(), udp: Vec::new(), bound: Vec::new() };
        let mut before = before.unwrap_or_default().iter().filter(|bound| bound.kind != "h3");
        for listener in &config.listen.http {
            sockets.bind_one(config, listener, "http", before.next())?;
        }
        for listener in &config.listen.https {
            sockets.bind_one(config, listener, "https", before.next())?;
        }
        Ok(sockets)
    }

    fn bind_one(
        &mut self,
        config: &Config,
        listener: &Listener,
        kind: &'static str,
        before: Option<&Bound>,
    ) -> Result<(), StartError> {
        let workers = config.node.workers;
        let address = match before.and_then(|bound| bound.socket) {
            Some(socket) if matches!(listener.address, Address::Socket(_)) => Address::Socket(socket),
            _ => listener.address.clone(),
        };
        let options = listener::Options {
            congestion: config.listen.congestion.clone(),
            user_timeout: Some(config.limits.write_progress),
        };
        let listeners = listener::bind(&address, workers, &options)?;
        let socket = listeners.first().and_then(WorkerListener::local_address);
        let text = socket.map_or_else(|| name(&address), |socket| socket.to_string());
        self.bound.push(Bound { kind, address: text, socket });
        let secure = kind == "https";
        if secure && config.http3.enabled {
            self.bind_udp(&address, socket, workers)?;
        }
        self.tcp.push((listeners, Entry { secure, proxy_protocol: listener.proxy_protocol.as_slice().into() }));
        Ok(())
    }

    fn bind_udp(&mut self, address: &Address, socket: Option<SocketAddr>, workers: usize) -> Result<(), StartError> {
        let failed = |source| StartError::Udp { address: name(address), source };
        let group = match (address, socket) {
            (Address::Inherited(name), _) => match inherited::datagrams(name).into_iter().next() {
                Some(socket) => Group { sockets: vec![socket], steering: Steering::Single },
                None => {
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
    pub fn open(self, config: &Config, hall: &Hall, workers: &[Worker]) -> Result<Doors, StartError> {
        let drain = Drain::new();
        let connections: Vec<Tasks> = workers.iter().map(|worker| worker.tasks.apart()).collect();
        let contexts: Vec<_> = connections.iter().zip(&hall.tcp).map(|pair| context(hall, &drain, pair)).collect();
        for (listeners, entry) in self.tcp {
            let tls = hall.certificates.as_ref().filter(|_| entry.secure);
            let tls = tls.map(|certificates| certificates.server_config(config.tls.min_version));
            let door = Door { tls, proxy_protocol: entry.proxy_protocol };
            for ((listener, context), tasks) in listeners.into_iter().zip(&contexts).zip(&connections) {
                let serving = tcp::serve(listener, door.clone(), context.clone());
                tasks.spawn("accept", async move {
                    if let Err(error) = serving.await {
                        error!(%error, "a listener cannot be used");
                    }
                });
            }
        }
        let mut quic = Vec::new();
        for group in self.udp {
            quic.extend(drive(group, config, hall, &connections)?);
        }
        Ok(Doors { bound: self.bound, drain, quic, connections })
    }
}

impl Doors {
    /// Nothing is accepted any more; connections end as they finish.
    pub fn close(&self) {
        self.drain.begin();
        self.quic.iter().for_each(Handle::drain);
    }

    /// Whether nothing is accepted any more.
    pub fn is_closed(&self) -> bool {
        self.drain.has_begun()
    }

    /// Ends what is left.
    pub fn cut(&self) {
        self.drain.cut();
        self.quic.iter().for_each(Handle::close);
    }

    /// Completes when no connection is left, once the doors are closed.
    pub async fn emptied(&self) {
        for tasks in &self.connections {
            tasks.close();
            tasks.joined().await;
        }
    }

    /// What their QUIC drivers count.
    pub fn quic(&self) -> &[Handle] {
        &self.quic
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

/// Starts a QUIC driver for each socket of a group, on the worker that the kernel steers its datagrams to.
fn drive(group: Group, config: &Config, hall: &Hall, workers: &[Tasks]) -> Result<Vec<Handle>, StartError> {
    let Some(certificates) = &hall.certificates else { return Ok(Vec::new()) };
    let admission = hall.admission.clone();
    let settings = quic::Settings {
        tls: certificates.quic_server_config(),
        keys: hall.quic_keys.clone(),
        limits: config.limits.clone(),
        segmentation: if config.http3.gso { Segmentation::Offloaded } else { Segmentation::Own },
        clock: hall.service.0.clock.clone(),
        admit: Arc::new(move |ip| Some(Box::new(admission.admit(ip)?) as quic::Permit)),
        generation: hall.generation,
    };
    if group.steering == Steering::Single {
        info!("datagrams are not steered by the kernel: one worker serves HTTP/3");
    }
    let count = u8::try_from(group.sockets.len()).expect("there are no more sockets than seats");
    let mut handles = Vec::new();
    for (index, socket) in group.sockets.into_iter().enumerate() {
        let worker = u8::try_from(index).expect("there are no more sockets than seats");
        let make = h3::Maker {
            service: hall.service.clone(),
            limits: hall.limits.clone(),
            clock: settings.clock.clone(),
            counters: hall.h3.clone(),
        };
        let (driver, handle) = Driver::new(socket, Seat { worker, workers: count }, &settings, make)?;
        workers[index].spawn("quic", async move {
            if let Err(error) = driver.run().await {
                error!(%error, "QUIC ended");
            }
        });
        handles.push(handle);
    }
    Ok(handles)
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

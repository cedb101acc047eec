//! A running node: the only module that knows all parts. `start` puts them together, `control` keeps them in order
//! (reload, drain, stop), `facts` says how they are.

mod access;
mod certificates;
mod control;
mod disk;
mod doors;
mod facts;
mod journals;
mod limits;
mod memory;
mod numbers;
mod process;
mod region;
mod sessions;
mod state;
mod stories;
mod streams;
mod uplink;
mod witness;
mod worker;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::access::feed::Feeds;
use crate::access::webhooks::Webhooks;
use crate::access::{AccessError, Accesses};
use crate::admin::{self, AdminListener, BindError, Command, Guard};
use crate::cache::spill::{SpillConfig, SpillError};
use crate::cache::{Bells, Cache, CacheConfig};
use crate::clock::{Clock, Tick};
use crate::config::{self, Config, DiskEngine};
use crate::disk::Choice;
use crate::live::{Live, LiveConfig};
use crate::origin::peers::Peers;
use crate::origin::{OriginSetupError, Origins};
use crate::outbound::tls::TlsSetupError;
use crate::region::proof::Gate;
use crate::region::secrets::{self, RegionKeys, SecretsError};
use crate::request::edge::Parts;
use crate::request::{Edge, Policies, Refusal, warm};
use crate::tasks::Tasks;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::Exposition;
use crate::telemetry::traffic::Traffic;
use crate::transport::admission::Admission;
use crate::transport::h3;
use crate::transport::listener::ListenError;
use crate::transport::quic::{self, QuicKeys, SharedKeys};
use crate::transport::tcp;
use crate::transport::tls::{self, CertificateError, Certificates};
use crate::uplink::Uplink;

pub use doors::Bound;
pub use process::{ServeError, serve};

use doors::{Doors, EdgeService, Hall, Region, Sockets};
use worker::Worker;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address for viewers cannot be listened on.
    #[error(transparent)]
    Listen(ListenError),
    /// A UDP address cannot be listened on.
    #[error("cannot listen on {address} for HTTP/3: {source}")]
    Udp {
        /// The address.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// QUIC cannot be prepared.
    #[error(transparent)]
    Quic(#[from] quic::StartError),
    /// A certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The secret that sessions are sealed with cannot be kept.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The keys of an access cannot be used.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// An origin's TLS cannot be set up.
    #[error(transparent)]
    Origin(#[from] OriginSetupError),
    /// The TLS of a webhook, of a feed or of a sink cannot be set up.
    #[error("a webhook, a feed or a sink cannot be reached: {0}")]
    Webhook(#[from] TlsSetupError),
    /// The other nodes can never be told.
    #[cfg(feature = "nats")]
    #[error(transparent)]
    Region(#[from] crate::region::nats::NatsError),
    /// The admin API cannot listen.
    #[error(transparent)]
    Admin(#[from] BindError),
    /// The folder of what must survive a restart cannot be made.
    #[error("the folder {folder} cannot be made: {source}")]
    State {
        /// The folder.
        folder: String,
        /// What the system says.
        source: io::Error,
    },
    /// Another node has that folder.
    #[error("{folder} belongs to another node that is running: each needs a `state` of its own")]
    Taken {
        /// The folder.
        folder: String,
    },
    /// The disk cannot be used.
    #[error(transparent)]
    Disk(#[from] SpillError),
    /// The access log cannot be written.
    #[error("the access log cannot be opened: {0}")]
    AccessLog(io::Error),
    /// The system gives no thread.
    #[error("a worker cannot be started: {0}")]
    Worker(io::Error),
}

/// A running node. It goes on until it is told to stop; dropping this does not stop it.
pub struct Node {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    ended: JoinHandle<()>,
}

/// What the control loop, the admin API and the metrics share.
struct Shared {
    clock: Clock,
    started: Tick,
    /// What was resident once it had started, in bytes.
    resident_at_start: u64,
    /// Where the configuration was read from; `None`: it was made in this process, and is not read again.
    path: Option<PathBuf>,
    config: Mutex<Arc<Config>>,
    /// What keys are derived from that the region shares.
    secrets: Mutex<RegionKeys>,
    edge: Arc<Edge>,
    hall: Hall,
    /// What backends take back.
    feeds: Arc<Feeds>,
    uplink: Uplink,
    doors: Mutex<Arc<Doors>>,
    workers: Vec<Worker>,
    bells: Arc<Bells>,
    admin_bound: Vec<Bound>,
    /// Tasks of the control thread.
    tasks: Tasks,
    /// Ends the admin API, after everything else.
    stopped: CancellationToken,
}

impl Node {
    /// Starts a node from a checked configuration, on the runtime of the caller, which becomes its control thread.
    /// `path` is where a reload reads it again.
    ///
    /// # Errors
    /// What cannot be opened or bound; nothing is left running then.
    pub async fn start(config: Config, path: Option<PathBuf>) -> Result<Self, StartError> {
        Self::start_at(config, path, Clock::system()).await
    }

    /// The same by another clock: tests tell a day in seconds.
    ///
    /// # Errors
    /// As [`Node::start`].
    #[expect(
        clippy::too_many_lines,
        reason = "the one place in which all parts of a node are put together, in their order"
    )]
    pub async fn start_at(config: Config, path: Option<PathBuf>, clock: Clock) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let tasks = Tasks::current();
        let sockets = Sockets::bind(&config)?;
        let state = state::take(&config, &clock).await?;
        let admin_listeners = bind_admin(&config).await?;
        let secrets = secrets(&config)?;
        let certificates = certificates::open(&config, &secrets, &clock)?;
        let origins = Arc::new(origins(&config, &clock)?);
        let peers = config.peers.as_ref().map(of_peers).transpose()?;
        let access_log = open_access_log(&config, &tasks)?;

        let bells = Bells::new(config.node.workers);
        let cache = open_cache(&config, &bells, &clock)?;
        let traffic = Arc::new(Traffic::new(config.node.workers, &Refusal::WORDS, config.metrics.streams));
        let workers = start_workers(&config, &bells)?;
        let incarnation = clock.wall().since_epoch().as_secs() as u32;
        let advertised = control::advertised(&config, sockets.bound());
        let worker_tasks: Vec<_> = workers.iter().map(|worker| worker.tasks.clone()).collect();
        let live_workers = (clock.clone(), worker_tasks.clone());
        let live = Live::new(live_bounds(&config), cache.clone(), origins.clone(), bells.clone(), live_workers);
        config.node.state.iter().for_each(|folder| live.restore_numbers(numbers::read(folder)));
        let policies = Policies::new(config.clone(), origins, &traffic, access_log, advertised);
        let accesses = Arc::new(Accesses::new(&config, &secrets, (clock.clone(), tasks.clone()))?);
        let voice = region::voice(&config, &secrets);
        let journals = journals::engine(&config, &clock)?;
        let sessions = sessions::open(&config, (journals.as_ref(), &clock), &voice.bus)?;
        let webhooks = Webhooks::new(&config.node.name, clock.clone(), tasks.clone());
        webhooks.follow(&config.accesses)?;
        let feeds = Arc::new(Feeds::new(sessions.clone(), accesses.clone(), (clock.clone(), tasks.clone())));
        region::tell_of(&sessions, &voice.bus, &webhooks, &clock);
        let stories = stories::open(&config, &secrets, (journals, &clock, &tasks))?;
        let uplink = uplink::open(&config, &stories, (clock.clone(), tasks.clone()));
        let parts = Parts { cache, live, accesses, sessions, webhooks, bus: voice.bus.clone(), stories };
        let edge = Arc::new(Edge::new(clock.clone(), parts, traffic, policies, (worker_tasks, incarnation)));
        witness::tell_of(&edge, &config);
        voice.speak(&config, &edge, &tasks).await?;
        let hall = hall(&config, &edge, (certificates, peers, &secrets), incarnation as u8);
        let doors = sockets.open(&config, &hall, &workers)?;
        certificates::watch(&hall, &clock, &tasks);

        let (commands, orders) = mpsc::channel(16);
        let admin_bound = admin_listeners.iter().map(|(kind, listener)| bound_admin(kind, listener)).collect();
        let shared = Arc::new(Shared {
            started: clock.now(),
            resident_at_start: memory::resident().unwrap_or_default(),
            clock,
            path,
            config: Mutex::new(config.clone()),
            secrets: Mutex::new(secrets),
            edge,
            hall,
            feeds,
            uplink,
            doors: Mutex::new(Arc::new(doors)),
            workers,
            bells,
            admin_bound,
            tasks: tasks.clone(),
            stopped: CancellationToken::new(),
        });
        shared.clone().open_admin(admin_listeners, &config, &commands)?;
        shared.feeds.follow(&config.accesses, config.limits.revoked_for)?;
        uplink::follow(&shared.uplink, &config)?;
        shared.keep_up(&config);
        let running = control::run(shared.clone(), orders);
        let ended = tasks.spawn("control", async move {
            running.await;
            drop(state);
        });
        Ok(Self { shared, commands, ended })
    }

    /// Where it listens, admin and monitor included.
    pub fn bound(&self) -> Vec<Bound> {
        let doors = self.shared.doors.lock().clone();
        doors.bound.iter().chain(&self.shared.admin_bound).cloned().collect()
    }

    /// The first address of a kind: `http`, `https`, `h3`, `peers`, `admin` or `monitor`.
    pub fn address(&self, kind: &str) -> Option<SocketAddr> {
        self.bound().into_iter().find(|bound| bound.kind == kind).and_then(|bound| bound.socket)
    }

    /// A way to give it orders.
    pub fn commands(&self) -> mpsc::Sender<Command> {
        self.commands.clone()
    }

    /// Opens the access log anew.
    pub fn reopen_logs(&self) {
        if let Some(log) = &self.shared.edge.policies().access_log {
            log.reopen();
        }
    }

    /// Lets viewers leave by the order of the contract, and completes when it has stopped.
    pub async fn stop(mut self) {
        // A control loop that has ended has stopped already.
        _ = self.commands.send(Command::Drain(None)).await;
        self.ended().await;
    }

    /// Completes when it has stopped, whoever told it to. Its workers' threads end when the last of it is dropped.
    pub async fn ended(&mut self) {
        if (&mut self.ended).await.is_err() {
            tracing::error!("the control loop had panicked");
        }
    }
}

fn cache_bounds(config: &Config) -> CacheConfig {
    CacheConfig {
        memory: config.cache.memory,
        max_object: config.cache.max_object,
        fills_per_group: config.limits.fills,
        fill_readers: config.limits.fill_readers,
        live_reserve: config.cache.live_reserve,
        apart: config.cache.uncacheable_for,
    }
}

fn open_cache(config: &Config, bells: &Arc<Bells>, clock: &Clock) -> Result<Arc<Cache>, SpillError> {
    let disk = config.cache.disk.as_ref().map(|disk| SpillConfig {
        folder: disk.path.clone(),
        size: disk.size,
        engine: choice(disk.engine),
    });
    Cache::with_disk(cache_bounds(config), bells.clone(), clock.clone(), disk.as_ref()).map(Arc::new)
}

/// Which of the disk's engines a configuration wants.
const fn choice(engine: DiskEngine) -> Choice {
    match engine {
        DiskEngine::Auto => Choice::Auto,
        DiskEngine::IoUring => Choice::IoUring,
        DiskEngine::Threads => Choice::Threads,
    }
}

/// What the region's keys are derived from. Where nothing keeps it, sessions end with this process.
fn secrets(config: &Config) -> Result<RegionKeys, SecretsError> {
    let secrets = RegionKeys::of(config.node.secrets.as_ref(), config.node.state.as_deref())?;
    if secrets.source == secrets::Source::Process && !config.accesses.is_empty() {
        tracing::warn!("a restart ends the sessions of all viewers: neither `state` nor `secrets` is set in [node]");
    }
    Ok(secrets)
}

fn live_bounds(config: &Config) -> LiveConfig {
    LiveConfig {
        followers: config.limits.followers,
        held: config.limits.held_reloads,
        grace: config.limits.follow_grace,
        names: config.limits.media_names,
    }
}

fn open_access_log(config: &Config, tasks: &Tasks) -> Result<Option<AccessLog>, StartError> {
    let log = config.access_log.as_ref().map(|log| AccessLog::start(log, tasks));
    log.transpose().map_err(StartError::AccessLog)
}

fn start_workers(config: &Config, bells: &Arc<Bells>) -> Result<Vec<Worker>, StartError> {
    let start = |index| {
        let of_worker = bells.clone();
        let worker = Worker::start(index, move || of_worker.register_worker(index)).map_err(StartError::Worker)?;
        worker.tasks.spawn("bells", bells.ringer(index));
        Ok(worker)
    };
    (0..config.node.workers).map(start).collect()
}

/// Where everything comes from: the region, and the origins.
fn origins(config: &Config, clock: &Clock) -> Result<Origins, OriginSetupError> {
    let peers = config.peers.as_ref().map(|peers| Peers::new(peers, &config.limits, clock.clone())).transpose()?;
    Ok(Origins::new(&config.origins, &config.limits, clock.clone())?.with_peers(peers))
}

/// What the node knows of its region where others come in.
fn of_peers(peers: &config::Peers) -> Result<Arc<Region>, CertificateError> {
    let tls = peers.tls.as_ref().map(|tls| tls::of_peers(&tls.ca, &tls.own)).transpose()?;
    let settings = Arc::new(ArcSwap::default());
    Ok(Arc::new(Region { gate: Gate::new(peers.secret.as_ref()), own: peers.own.clone(), tls, settings }))
}

/// Bounds of connections of other nodes, each of which says where a viewer comes from.
fn peer_settings(config: &Config) -> tcp::Settings {
    let everywhere = [(Ipv4Addr::UNSPECIFIED.into(), 0), (Ipv6Addr::UNSPECIFIED.into(), 0)];
    let trusted_proxies = everywhere.map(|(address, length)| IpNet::new(address, length).expect("0 is a length"));
    tcp::Settings { limits: config.limits.clone(), trusted_proxies: trusted_proxies.to_vec() }
}

fn hall(
    config: &Config,
    edge: &Arc<Edge>,
    (certificates, region, secrets): (Option<Arc<Certificates>>, Option<Arc<Region>>, &RegionKeys),
    generation: u8,
) -> Hall {
    if let Some(region) = &region {
        region.settings.store(Arc::new(peer_settings(config)));
    }
    let workers = config.node.workers;
    let settings =
        tcp::Settings { limits: config.limits.clone(), trusted_proxies: config.listen.trusted_proxies.clone() };
    let admission = Admission::new(config.limits.connections, config.limits.connections_per_prefix);
    admission.set_prefixes(config.limits.prefixes());
    Hall {
        service: EdgeService(edge.clone()),
        settings: Arc::new(ArcSwap::from_pointee(settings)),
        limits: Arc::new(ArcSwap::from_pointee(config.limits.clone())),
        admission,
        region,
        certificates,
        tcp: (0..workers).map(|_| Arc::default()).collect(),
        h3: Arc::new(h3::counters::Shards::new(workers)),
        quic_keys: SharedKeys::new(&QuicKeys { master: *secrets.key("quic") }),
        generation,
    }
}

async fn bind_admin(config: &Config) -> Result<Vec<(&'static str, AdminListener)>, BindError> {
    let mut listeners = Vec::new();
    for (kind, address) in [("admin", &config.listen.admin), ("monitor", &config.listen.monitor)] {
        if let Some(address) = address {
            listeners.push((kind, AdminListener::bind(address).await?));
        }
    }
    Ok(listeners)
}

fn bound_admin(kind: &'static str, listener: &AdminListener) -> Bound {
    Bound { kind, address: listener.address(), socket: listener.local_addr() }
}

impl Shared {
    /// Starts what keeps things up to date until the node has stopped.
    fn keep_up(self: &Arc<Self>, config: &Config) {
        self.edge.policies().origins.watch(&self.tasks, &self.stopped);
        sessions::keep_up(self);
        stories::keep_up(self);
        let keep = |name, keeping| self.keep(name, keeping);
        keep("capacity", Box::pin(limits::keep(self.clone())));
        let countries = self.edge.countries.clone();
        keep("countries", Box::pin(countries.keep(self.clock.clone(), self.tasks.clone())));
        keep("warmth", Box::pin(warm::keep_routes(self.edge.clone())));
        if let Some(peers) = self.edge.policies().origins.peers() {
            keep("peers", Box::pin(peers.clone().keep()));
        }
        if let Some(folder) = config.node.state.clone() {
            keep("numbers", Box::pin(numbers::keep(self.clone(), folder)));
        }
        if let Some(spill) = self.edge.cache.spill().cloned() {
            keep("spill", Box::pin(async move { spill.write().await }));
        }
    }

    /// Runs something until the node has stopped.
    fn keep(&self, name: &'static str, keeping: Pin<Box<dyn Future<Output = ()> + Send>>) {
        let stopped = self.stopped.clone();
        self.tasks.spawn(name, async move { _ = stopped.run_until_cancelled(keeping).await });
    }

    /// Serves the admin API and the monitor on the control thread.
    fn open_admin(
        self: Arc<Self>,
        listeners: Vec<(&'static str, AdminListener)>,
        config: &Config,
        commands: &mpsc::Sender<Command>,
    ) -> Result<(), StartError> {
        let mut exposition = Exposition::default();
        exposition.add(facts::Metrics(self.clone()));
        let exposition = Arc::new(exposition);
        for (kind, listener) in listeners {
            let is_local = match listener.local_addr() {
                Some(address) => address.ip().to_canonical().is_loopback(),
                None => true,
            };
            let (guard, tls) = match kind {
                "monitor" => (Guard::Monitor, None),
                _ if is_local => (Guard::Local, None),
                _ => (Guard::Remote(config.admin.tokens.as_slice().into()), Some(admin_tls(config)?)),
            };
            let admin = admin::Admin {
                node: self.clone(),
                edge: self.edge.clone(),
                prints: self.edge.accesses.clone(),
                exposition: exposition.clone(),
                commands: commands.clone(),
                seats: admin::Seats::default(),
                ready_needs_origins: config.admin.ready_needs_origins,
            };
            let serving = admin.serve(listener, guard, (tls, self.tasks.clone(), self.clock.clone()));
            let stopped = self.stopped.clone();
            self.tasks.spawn("admin", async move { _ = stopped.run_until_cancelled(serving).await });
        }
        Ok(())
    }
}

fn admin_tls(config: &Config) -> Result<tokio_rustls::TlsAcceptor, BindError> {
    let certificate = config.admin.certificate.as_ref().or(config.tls.certificates.first());
    let certificate = certificate.expect("a checked configuration has a certificate for a remote admin listener");
    admin::tls(certificate, config.admin.client_ca.as_deref())
}

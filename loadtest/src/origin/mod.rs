//! The demo origin: a true LL-HLS origin that loops a real clip for ever as one timeline, with a fault desk. It knows nothing of
//! the node that it feeds.
//!
//! | paths | what |
//! |---|---|
//! | `/live/`, `/br/` | LL-HLS: parts as files, or as byte ranges of growing segments |
//! | `/plain/`, `/ts/` | without parts and blocking, in fragmented MP4 or transport streams |
//! | `/vod/`, `/ssai/` | the clip with an end; per viewer with ads of its own |
//! | `/dvr/CHANNEL/` | 1,000 light channels with windows of four hours |
//! | `/blob/NAME?size=…` | pseudo-random bodies of any size |
//!
//! Each of the first seven has a `master.m3u8`. Segments and parts are pure functions of their number ([`timeline`], [`media`]),
//! so that any of them can be asked for at any time in its window, of any origin with the same epoch.

pub mod answer;
pub mod blob;
pub mod body;
pub mod boxes;
pub mod clip;
pub mod clock;
pub mod control;
pub mod desk;
pub mod directives;
pub mod dvr;
pub mod fault;
pub mod growing;
pub mod media;
pub mod modes;
pub mod multivariant;
pub mod playlist;
pub mod server;
pub mod service;
pub mod stats;
pub mod timeline;
pub mod ts;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use blob::blob_bytes;
pub use clock::Clock;
pub use desk::{Desk, Full, Gate};
pub use fault::{Action, Rule};
pub use stats::{Entry, Stats};

use clip::{Clip, ClipError, SEGMENT_MS};
use server::{Orders, Port};

/// How an origin is started.
#[derive(Clone, Debug)]
pub struct OriginConfig {
    /// Address of HTTP/1.1 and HTTP/2 in clear; port 0 chooses one.
    pub http: SocketAddr,
    /// Address and certificates of the same over TLS. ALPN is set by the origin.
    pub https: Option<(SocketAddr, Arc<rustls::ServerConfig>)>,
    /// Address of the control port.
    pub control: SocketAddr,
    /// Part target in milliseconds, rounded to whole frames of 1/30 s, 133 ms to 2 s.
    pub part_ms: u64,
    /// Complete segments in a live playlist, 3 at least (three target durations must remain).
    pub window: u64,
    /// Unix milliseconds of the start of segment 0. Absent: so long before the start that a full window exists at once.
    /// Origins with the same epoch and part target publish the same bytes.
    pub epoch_ms: Option<u64>,
    /// Log entries kept, the newest.
    pub log_limit: usize,
    /// Time.
    pub clock: Clock,
}

impl Default for OriginConfig {
    fn default() -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            http: any,
            https: None,
            control: any,
            part_ms: 333,
            window: 15,
            epoch_ms: None,
            log_limit: 100_000,
            clock: Clock::machine(),
        }
    }
}

/// Why an origin did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address could not be bound.
    #[error("cannot listen on {0}: {1}")]
    Bind(SocketAddr, #[source] io::Error),
    /// The embedded clip is damaged.
    #[error(transparent)]
    Clip(#[from] ClipError),
}

/// The origin.
#[derive(Debug)]
pub struct Origin;

impl Origin {
    /// Binds the listeners and starts to serve.
    ///
    /// # Errors
    /// [`StartError`] if an address cannot be bound.
    pub async fn start(config: OriginConfig) -> Result<Running, StartError> {
        let clip = Arc::new(Clip::load()?);
        let window = config.window.max(3);
        let now = config.clock.now();
        let epoch_ms = config.epoch_ms.unwrap_or_else(|| now.saturating_sub((window + 1) * SEGMENT_MS));
        let desk = Desk::new(config.clock.clone(), epoch_ms, config.part_ms);
        let stats = Arc::new(Stats::new(config.log_limit));
        let origin = Arc::new(service::Origin {
            muxers: ts::Muxer::all(&clip),
            clip,
            clock: config.clock,
            window,
            desk: desk.clone(),
            stats: stats.clone(),
            viewers: AtomicU64::new(1),
        });
        let bind = async |addr, tls| Port::bind(addr, tls).await.map_err(|error| StartError::Bind(addr, error));
        let http = bind(config.http, None).await?;
        let https = match config.https {
            Some((addr, tls)) => Some(bind(addr, Some(tls)).await?),
            None => None,
        };
        let listener =
            TcpListener::bind(config.control).await.map_err(|error| StartError::Bind(config.control, error))?;
        let control_addr = listener.local_addr().map_err(|error| StartError::Bind(config.control, error))?;
        let (addr, tls_addr) = (http.addr, https.as_ref().map(|port| port.addr));
        let stop = watch::Sender::new(false);
        let orders = Orders { alive: desk.alive(), stop: stop.subscribe() };
        let mut tasks = JoinSet::new();
        for port in [Some(http), https].into_iter().flatten() {
            tasks.spawn(port.serve(origin.clone(), orders.clone()));
        }
        let control = control::Control { desk: desk.clone(), stats: stats.clone() };
        tasks.spawn(control.serve(listener, orders.stop));
        Ok(Running { addr, tls_addr, control_addr, desk, stats, stop, tasks })
    }
}

/// A running origin. Dropping it ends it; [`Running::stop`] also waits for the end.
#[derive(Debug)]
pub struct Running {
    addr: SocketAddr,
    tls_addr: Option<SocketAddr>,
    control_addr: SocketAddr,
    desk: Arc<Desk>,
    stats: Arc<Stats>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Running {
    /// Where HTTP is served in clear.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where HTTP is served over TLS, if it is.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.tls_addr
    }

    /// Where the control port is.
    pub fn control_addr(&self) -> SocketAddr {
        self.control_addr
    }

    /// The fault desk.
    pub fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// Counts and log.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Requests so far for a URL: path with query, or path with any query.
    pub fn requests_for(&self, url: &str) -> u64 {
        self.stats.requests_for(url)
    }

    /// Holds requests that match `pattern` until the gate is opened.
    ///
    /// # Errors
    /// [`Full`] if the fault desk holds 256 rules.
    pub fn hold(&self, pattern: &str) -> Result<Gate, Full> {
        self.desk.hold(pattern)
    }

    /// Closes listeners and connections and waits until they are closed.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

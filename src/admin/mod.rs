//! The admin API: its own listener, on the control thread. Each route is a thin call: what it says it reads from
//! counters, what it orders it sends to the node over a bounded channel.

mod api;
mod dashboard;
mod guard;
mod listen;
mod purge;
mod revoke;
mod session;
mod status;
mod story;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::request::Edge;
use crate::rules::session::SessionId;
use crate::sessions::Prints;
use crate::tasks::Tasks;
use crate::telemetry::metrics::Exposition;

pub use api::{openapi, router};
pub use dashboard::Seats;
pub use guard::Guard;
pub use listen::{AdminListener, BindError, tls};
use listen::{Caller, TlsListener};
pub use revoke::Within;
pub use status::{
    AccessStatus, CacheStatus, CapacityStatus, Connections, DiskStatus, IssuerStatus, JournalStatus, KeyStatus,
    ListenerStatus, LiveStatus, OriginStatus, PlaylistStatus, Problem, RegionNode, RegionStatus, Reloaded, Resident,
    ResourceStatus, RouteRoom, RouteStatus, SessionsStatus, SinkStatus, Status, StreamStatus, WebhookStatus,
    WorkerHealth,
};

/// What the admin API may order the node to do. The node answers each through its channel.
pub enum Command {
    /// Read the configuration anew.
    Reload(oneshot::Sender<Result<Reloaded, Vec<Problem>>>),
    /// Let viewers leave within the time; default: the configured deadline.
    Drain(Option<Duration>),
    /// Stay after all.
    CancelDrain(oneshot::Sender<Result<(), CannotCancel>>),
}

/// Why a drain cannot be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotCancel {
    /// No drain is under way.
    #[error("the node is not draining")]
    NotDraining,
    /// An address was taken meanwhile.
    #[error("the listeners cannot be opened again: the log says why")]
    CannotListen,
}

/// What the admin API asks of a node.
pub trait Node: Send + Sync + 'static {
    /// The facts of this moment.
    fn status(&self) -> Status;
    /// Takes a session, which the log no longer has, out of what waits for sinks or was refused by them: how many of its
    /// lines had been laid aside.
    fn erase(&self, session: SessionId) -> std::pin::Pin<Box<dyn Future<Output = std::io::Result<u64>> + Send>>;
    /// Whether each worker's loop answers within a second.
    fn workers(&self) -> std::pin::Pin<Box<dyn Future<Output = Vec<WorkerHealth>> + Send>>;
}

/// What the routes share.
#[derive(Clone)]
pub struct Admin {
    /// The node's facts.
    pub node: Arc<dyn Node>,
    /// The journey, for explanations.
    pub edge: Arc<Edge>,
    /// What texts of tokens are called in revocations.
    pub prints: Arc<dyn Prints>,
    /// All counters.
    pub exposition: Arc<Exposition>,
    /// Orders to the node.
    pub commands: mpsc::Sender<Command>,
    /// Who reads the dashboard's feed.
    pub seats: Seats,
    /// Whether origins count for readiness.
    pub ready_needs_origins: bool,
}

impl Admin {
    /// Serves the admin API on `listener` for as long as the runtime lives; over TLS where an acceptor is given.
    pub async fn serve(
        self,
        listener: AdminListener,
        guard: Guard,
        (tls, tasks, clock): (Option<tokio_rustls::TlsAcceptor>, Tasks, Clock),
    ) {
        let router = router(self, guard);
        let served = match (listener, tls) {
            (AdminListener::Tcp(listener), None) => axum::serve(listener, router).await,
            (AdminListener::Tcp(listener), Some(acceptor)) => {
                let listener = TlsListener::start(listener, acceptor, &tasks, &clock);
                let service = router.into_make_service_with_connect_info::<Caller>();
                axum::serve(listener, service).await
            }
            (AdminListener::Unix(listener, _path), _) => axum::serve(listener, router).await,
        };
        if let Err(error) = served {
            tracing::error!(%error, "admin listener ended");
        }
    }
}

//! Edge: the parts that a request may use. Each guards itself; `Edge` only holds them.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arc_swap::ArcSwap;

use crate::access::Accesses;
use crate::access::countries::Countries;
use crate::access::webhooks::Webhooks;
use crate::cache::Cache;
use crate::clock::Clock;
use crate::config::Config;
use crate::live::Live;
use crate::region::bus::Bus;
use crate::rules::caching::Key;
use crate::sessions::Sessions;
use crate::sessions::quota::Quota;
use crate::stories::Stories;
use crate::tasks::Tasks;
use crate::telemetry::beacons::Beacons;
use crate::telemetry::counters;
use crate::telemetry::traffic::Traffic;

use super::crowd::Crowd;
use super::page::Readiness;
use super::policies::Policies;

/// What one request is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId {
    incarnation: u32,
    worker: u8,
    number: u32,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}{:02x}{:08x}", self.incarnation, self.worker, self.number)
    }
}

thread_local! {
    static REQUESTS: Cell<u32> = const { Cell::new(0) };
}

/// What a node is made of, as far as requests use it.
pub struct Parts {
    /// What was fetched.
    pub cache: Arc<Cache>,
    /// Live streams, followed at their edge.
    pub live: Arc<Live>,
    /// Who judges tokens.
    pub accesses: Arc<Accesses>,
    /// Who is watching.
    pub sessions: Arc<Sessions>,
    /// The backends that are told of it.
    pub webhooks: Arc<Webhooks>,
    /// The other nodes that are told of it.
    pub bus: Bus,
    /// Where it is told what happens.
    pub stories: Arc<Stories>,
}

/// What every worker shares.
pub struct Edge {
    /// Time.
    pub clock: Clock,
    /// What was fetched.
    pub cache: Arc<Cache>,
    /// Live streams, followed at their edge.
    pub live: Arc<Live>,
    /// Who judges tokens.
    pub accesses: Arc<Accesses>,
    /// Who is watching.
    pub sessions: Arc<Sessions>,
    /// The backends that are told of it.
    pub webhooks: Arc<Webhooks>,
    /// The other nodes that are told of it.
    pub bus: Bus,
    /// Where it is told what happens.
    pub stories: Arc<Stories>,
    /// What passed.
    pub traffic: Arc<Traffic>,
    /// How much sessions and addresses may ask for.
    pub quota: Arc<Quota>,
    /// Who plays here, and whether there is room for more.
    pub crowd: Arc<Crowd>,
    /// Where viewers are.
    pub countries: Arc<Countries>,
    /// What became of players' reports.
    pub beacons: Beacons,
    policies: ArcSwap<Policies>,
    workers: Vec<Tasks>,
    hasher: foldhash::fast::RandomState,
    incarnation: u32,
    draining: AtomicBool,
}

impl Edge {
    /// The parts of a node with one `Tasks` a worker, at least one. `incarnation` tells request identifiers of this
    /// process from those of earlier ones.
    pub fn new(
        clock: Clock,
        Parts { cache, live, accesses, sessions, webhooks, bus, stories }: Parts,
        traffic: Arc<Traffic>,
        policies: Policies,
        (workers, incarnation): (Vec<Tasks>, u32),
    ) -> Self {
        let config = policies.config.clone();
        let edge = Self {
            quota: Quota::new(clock.clone(), &config.limits),
            crowd: Arc::new(Crowd::new(workers.len(), config.capacity.as_ref())),
            countries: Countries::new(&config.geo),
            beacons: Beacons::new(workers.len()),
            clock,
            cache,
            live,
            accesses,
            sessions,
            webhooks,
            bus,
            stories,
            traffic,
            policies: ArcSwap::from_pointee(policies),
            workers,
            hasher: foldhash::fast::RandomState::default(),
            incarnation,
            draining: AtomicBool::new(false),
        };
        edge.follow(&config);
        edge
    }

    /// Whether new viewers should come here.
    pub fn readiness(&self) -> Readiness {
        if self.draining.load(Relaxed) { Readiness::Draining } else { Readiness::Ready }
    }

    /// Says from now on whether new viewers should come here.
    pub fn set_readiness(&self, readiness: Readiness) {
        self.draining.store(readiness == Readiness::Draining, Relaxed);
    }

    /// The policies of this moment; a request keeps them to its end.
    pub fn policies(&self) -> Arc<Policies> {
        self.policies.load_full()
    }

    /// From now on new requests see `policies`.
    pub fn replace_policies(&self, policies: Policies) {
        self.follow(&policies.config);
        self.policies.store(Arc::new(policies));
    }

    /// What is counted and measured of viewers follows a configuration.
    fn follow(&self, config: &Config) {
        self.quota.configure(&config.limits);
        self.stories.open.set_bounds(config.limits.sessions, config.qoe.session_idle);
        self.stories.configure(config);
        self.countries.configure(&config.geo);
        let promises = config.routes.iter().map(|route| (route.name.as_str().into(), route.promise));
        self.crowd.configure(config.capacity.as_ref(), promises);
    }

    /// The worker that an object's fill and its origin connection live on.
    pub(super) fn home(&self, key: &Key) -> &Tasks {
        let hash = std::hash::BuildHasher::hash_one(&self.hasher, key);
        &self.workers[usize::try_from(hash % self.workers.len() as u64).expect("less than the workers")]
    }

    /// The tasks of the worker that runs the caller.
    pub(super) fn tasks(&self) -> &Tasks {
        &self.workers[counters::worker() % self.workers.len()]
    }

    /// An identifier for one request: the process, the worker, and a running number of the worker's own.
    pub(super) fn request_id(&self) -> RequestId {
        let number = REQUESTS.replace(REQUESTS.get().wrapping_add(1));
        RequestId { incarnation: self.incarnation, worker: (counters::worker() & 0xff) as u8, number }
    }
}

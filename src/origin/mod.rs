//! The way to the origins: connections, health, one request with its deadlines and its second chances.
//!
//! `fetch` asks the origins of a group in the order that `select` gives, over a connection that `pool` leases, with the
//! request that `ask` writes; before them `peers` asks the other nodes of the region for what many may share. `answer`
//! is what came back, and its body ends well only if it is whole. All of it is
//! shared by the workers; a connection is driven by the worker that opened it.

mod answer;
mod ask;
mod course;
mod failure;
mod fetch;
mod figures;
mod jar;
pub mod judge;
pub mod peers;
mod places;
mod pool;
pub mod promise;
pub mod pump;
pub mod redirect;
mod resume;
mod select;
mod sign;
mod storage;
mod streams;
pub mod supply;
pub mod told;
mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

pub use crate::outbound::interim::Interims;
pub use answer::{Answer, AnswerBody, Framing, Timing};
pub use ask::Ask;
pub use course::{Concern, Course, Naming, StreamId, Whose};
pub use failure::{FetchError, Outcome, Wait};
pub use figures::OriginFigures;
pub use streams::MediaHealth;

use crate::clock::{Clock, Tick};
use crate::config::{self, Limits, OriginScheme};
use crate::outbound::addresses::{Addresses, System};
use crate::outbound::dial::Dial;
use crate::outbound::tls::{Material, TlsClient, TlsSetupError};
use crate::region::proof::Signer;
use crate::rules::upstream::health::{Cause, Standing};
use crate::rules::upstream::home::Place;
use crate::rules::upstream::retry::Budget;
use crate::rules::upstream::select::hash;
use crate::tasks::Tasks;
use figures::Figures;
use peers::{Peers, Question, Shared, is_peer};
use places::Bounds;
use pool::{Patience, Pool};
use select::Memory;
use streams::Streams;
use told::{Ear, Ears, Haste};

/// Groups of origins that are remembered; a configuration has one for each of its routes at most.
const GROUPS: usize = 4_096;
use storage::Storage;

/// All origins of a configuration.
pub struct Origins {
    clock: Clock,
    by_name: HashMap<Arc<str>, Arc<Upstream>>,
    groups: Mutex<HashMap<u64, Arc<Group>, foldhash::fast::RandomState>>,
    /// How often the operator called streams back.
    recalls: Arc<AtomicU64>,
    peers: Option<Arc<Peers>>,
    ears: Ears,
}

/// The origins that one route asks, and what they share.
struct Group {
    members: Vec<Arc<Upstream>>,
    budget: Arc<Mutex<Budget>>,
}

impl Group {
    /// One origin, whose extra requests are its own.
    fn alone(upstream: &Arc<Upstream>) -> Self {
        Self { members: vec![upstream.clone()], budget: Arc::default() }
    }
}

/// One origin: what is configured, what is open, what is remembered.
struct Upstream {
    name: Arc<str>,
    config: config::Origin,
    material: Material,
    bounds: Bounds,
    clock: Clock,
    pool: Arc<Pool>,
    memory: Memory,
    figures: Arc<Figures>,
    streams: Streams,
    /// It is not well any more, or the operator has spoken.
    stirred: Arc<Notify>,
    is_watched: AtomicBool,
    /// Proves the node to another one.
    signer: Option<Signer>,
    storage: Storage,
}

/// What the operator says of an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Ask others, until told otherwise.
    Rest,
    /// Ask it again, and bring back the streams that prefer it.
    Return,
}

/// Why an origin cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("origin {origin}: {source}")]
pub struct OriginSetupError {
    /// Which one.
    pub origin: String,
    /// What is wrong with its TLS.
    pub source: TlsSetupError,
}

impl Origins {
    /// The origins of a configuration; nothing is connected yet. Reads certificate files: not for a worker's thread.
    ///
    /// # Errors
    /// [`OriginSetupError`] for the first origin whose files cannot be used.
    pub fn new(origins: &[config::Origin], limits: &Limits, clock: Clock) -> Result<Self, OriginSetupError> {
        let (by_name, recalls, ears) = (HashMap::new(), Arc::default(), Ears::default());
        Self { clock, by_name, groups: Mutex::default(), recalls, peers: None, ears }.reconfigured(origins, limits)
    }

    /// The origins of another configuration. An origin of which nothing changed (the contents of its files included)
    /// keeps its connections and its memory; the connections of one that changed end with their requests. Figures go
    /// on by name.
    ///
    /// # Errors
    /// As [`Origins::new`]; this one stays as it is.
    pub fn reconfigured(&self, origins: &[config::Origin], limits: &Limits) -> Result<Self, OriginSetupError> {
        let by_name = origins
            .iter()
            .map(|origin| {
                let before = self.by_name.get(origin.name.as_str());
                let upstream = Upstream::new(origin, limits, &self.clock, before)
                    .map_err(|source| OriginSetupError { origin: origin.name.clone(), source })?;
                Ok((upstream.name.clone(), upstream))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            clock: self.clock.clone(),
            by_name,
            groups: Mutex::default(),
            recalls: self.recalls.clone(),
            peers: self.peers.clone(),
            ears: self.ears.clone(),
        })
    }

    /// The same, with other nodes of the region that are asked first for what many may share.
    #[must_use]
    pub fn with_peers(self, peers: Option<Arc<Peers>>) -> Self {
        Self { peers, ..self }
    }

    /// From now on `ear` hears of requests that failed or took long.
    pub fn hear(&self, ear: Ear) {
        self.ears.hear(ear);
    }

    /// The other nodes of the region.
    pub fn peers(&self) -> Option<&Arc<Peers>> {
        self.peers.as_ref()
    }

    /// Asks the region's owner of what many may share, and after it the origins of `group`; without `shared` the
    /// origins alone. The request has no body.
    ///
    /// # Errors
    /// As [`Origins::fetch`]: a peer's failure is none, for the origins are asked then.
    pub async fn fetch_shared<N: AsRef<str>>(
        &self,
        tasks: &Tasks,
        group: &[N],
        mut ask: Ask,
        (shared, avoided): (Option<&Shared>, Option<&str>),
    ) -> Result<Answer, FetchError> {
        // What one origin alone knows is asked of that one; what came from a peer is any origin's.
        let shared = shared.filter(|_| ask.course.only.as_deref().is_none_or(is_peer));
        ask.course.only = ask.course.only.filter(|only| !is_peer(only));
        if let (Some(peers), Some(shared)) = (&self.peers, shared) {
            let question = Question::of(&ask, shared);
            if let Some(answer) = Box::pin(peers.ask(tasks, &question, avoided)).await {
                return Ok(answer);
            }
        }
        self.fetch(tasks, group, ask).await
    }

    /// Asks the origins of `group` (names, in order of preference; unknown ones are passed over) until one answers.
    /// Connections that are opened run on `tasks`, so these should be the calling worker's.
    ///
    /// A request that may be repeated (idempotent, without a body) goes on to the next origin after a failure to
    /// connect, a failed TLS handshake, a deadline, a reset, a malformed answer, and an answer of 502, 503 or 504; any
    /// request does if nothing of it was sent. Dropping the future gives up.
    ///
    /// # Errors
    /// [`FetchError`] of the last origin that was asked, where none answered.
    pub async fn fetch<N: AsRef<str>>(&self, tasks: &Tasks, group: &[N], ask: Ask) -> Result<Answer, FetchError> {
        let number = ask.course.number.unwrap_or_else(told::number);
        let concern = ask.course.concern.clone();
        let haste = if ask.first_byte.is_some() { Haste::Held } else { Haste::AtOnce };
        let group = self.group(group);
        let trail = redirect::Trail::of(&group.members, &ask);
        let began = self.clock.now();
        let outcome = match (fetch::fetch(tasks, &group, ask).await, trail) {
            (Ok(answer), Some(trail)) => trail.follow(self, tasks, answer).await,
            (outcome, _) => outcome,
        };
        self.ears.tell((number, concern.as_ref()), &outcome, (self.clock.now().since(began), haste));
        outcome
    }

    fn group<N: AsRef<str>>(&self, names: &[N]) -> Arc<Group> {
        // However they are ordered, they share what is left to be sent again.
        let sum = names.iter().fold(0_u64, |sum, name| sum.wrapping_add(hash(name.as_ref().as_bytes())));
        let members: Vec<_> = names.iter().filter_map(|name| self.by_name.get(name.as_ref()).cloned()).collect();
        let is_same = |group: &Group| {
            let pairs = group.members.iter().zip(&members);
            group.members.len() == members.len() && pairs.into_iter().all(|(one, other)| Arc::ptr_eq(one, other))
        };
        let mut groups = self.groups.lock();
        if let Some(group) = groups.get(&sum) {
            return match is_same(group) {
                true => group.clone(),
                false => Arc::new(Group { members, budget: group.budget.clone() }),
            };
        }
        let group = Arc::new(Group { members, budget: Arc::default() });
        if groups.len() < GROUPS {
            groups.insert(sum, group.clone());
        }
        group
    }

    /// How the origins of `group` are for streams that are followed, by their places in it.
    pub fn places<N: AsRef<str>>(&self, group: &[N]) -> Vec<(usize, Place)> {
        let now = self.clock.now();
        let place = |name: &N| {
            let upstream = self.by_name.get(name.as_ref())?;
            Some(match upstream.memory.standing(now) {
                Standing::Well | Standing::Returning => Place::Well(upstream.memory.since()),
                Standing::OnTrial | Standing::Resting(_) => Place::Away,
            })
        };
        group.iter().map(|name| place(name).unwrap_or(Place::Away)).enumerate().collect()
    }

    /// How a stream fares that is followed at an origin. Where most of its streams stall, the origin rests.
    pub fn tell(&self, origin: &str, (stream, label): (StreamId, &str), health: MediaHealth) {
        let Some(upstream) = self.by_name.get(origin) else { return };
        let now = self.clock.now();
        if upstream.streams.tell((stream, label), health, now) && upstream.memory.standing(now).is_well() {
            upstream.memory.eject(now, Cause::Streams);
            upstream.stirred.notify_one();
            warn!(origin, "most of the streams of this origin stall: it rests");
        }
    }

    /// Takes the operator's word on an origin; `None`: there is none of this name.
    pub fn order(&self, origin: &str, order: Order) -> Option<()> {
        let upstream = self.by_name.get(origin)?;
        let now = self.clock.now();
        match order {
            Order::Rest => upstream.memory.order_rest(now),
            Order::Return => {
                upstream.memory.order_return(now);
                upstream.streams.forgive();
                self.recalls.fetch_add(1, Relaxed);
            }
        }
        info!(origin, order = ?order, "origin ordered");
        upstream.stirred.notify_one();
        Some(())
    }

    /// A number that grows whenever the operator calls streams back.
    pub fn recalls(&self) -> u64 {
        self.recalls.load(Relaxed)
    }

    /// From now on, until `stopped`, names are resolved anew, probes are sent, and origins at rest are tried, by tasks of
    /// their own. What is watched already goes on being so.
    pub fn watch(&self, tasks: &Tasks, stopped: &CancellationToken) {
        for upstream in self.by_name.values().filter(|upstream| !upstream.is_watched.swap(true, Relaxed)) {
            let watching = watch::watch(Arc::downgrade(upstream), upstream.clock.clone(), tasks.clone());
            let stopped = stopped.clone();
            tasks.spawn("origin-watch", async move { _ = stopped.run_until_cancelled(watching).await });
        }
    }

    /// The present figures of each origin, by name.
    pub fn snapshot(&self) -> Vec<OriginFigures> {
        let now = self.clock.now();
        let groups: Vec<_> = self.groups.lock().values().cloned().collect();
        let left = |upstream: &Arc<Upstream>| {
            let groups = groups.iter().filter(|group| group.members.iter().any(|member| Arc::ptr_eq(member, upstream)));
            groups.map(|group| group.budget.lock().left(now)).min()
        };
        let of = |upstream: &Arc<Upstream>| OriginFigures { retries_left: left(upstream), ..upstream.snapshot(now) };
        let mut figures: Vec<_> = self.by_name.values().map(of).collect();
        figures.sort_by(|a, b| a.name.cmp(&b.name));
        figures
    }
}

impl Upstream {
    fn snapshot(&self, now: Tick) -> OriginFigures {
        let (streams, stalled) = self.streams.count(now);
        OriginFigures {
            since: self.memory.since(),
            addresses: self.pool.addresses().all(),
            streams,
            stalled,
            ..self.figures.snapshot(&self.name, self.memory.standing(now), self.pool.taken())
        }
    }

    fn new(
        config: &config::Origin,
        limits: &Limits,
        clock: &Clock,
        before: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, TlsSetupError> {
        let client = config.tls.client.as_ref().map(|pair| (pair.cert.as_path(), pair.key.as_path()));
        let material = Material::read(config.tls.ca.as_deref(), client)?;
        let bounds = Bounds {
            connections: config.connections.max(1),
            requests: config.requests.max(1),
            queue: limits.origin_queue,
            age: limits.connection_age,
        };
        if let Some(before) = before
            && before.config == *config
            && before.material == material
            && before.bounds == bounds
        {
            return Ok(before.clone());
        }
        let tls = match config.scheme {
            OriginScheme::Http => None,
            OriginScheme::Https => Some(TlsClient::new(&material, config.tls.sni.as_deref().unwrap_or(&config.host))?),
        };
        let dial = Dial { addresses: Addresses::new(&config.host, config.port, Arc::new(System)), tls };
        let patience = Patience { place: config.first_byte, connect: config.connect };
        let figures = before.map_or_else(Arc::default, |before| before.figures.clone());
        let memory = Memory::default();
        if let Some(before) = before {
            memory.inherit(&before.memory, clock.now());
        }
        Ok(Arc::new(Self {
            name: config.name.as_str().into(),
            config: config.clone(),
            material,
            bounds,
            clock: clock.clone(),
            pool: Pool::new(dial, patience, bounds, clock.clone(), figures.clone()),
            memory,
            figures,
            streams: Streams::default(),
            stirred: Arc::default(),
            is_watched: AtomicBool::new(false),
            signer: config.proof.as_ref().map(signer),
            storage: Storage::new(config),
        }))
    }
}

/// Counts of signers start anew with a process and a configuration: each is another sender.
fn signer(proof: &config::Proof) -> Signer {
    let sender = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), proof.to.as_deref());
    Signer::new(proof.secret.as_ref(), proof.to.as_deref(), sender)
}

#[cfg(test)]
mod tests;

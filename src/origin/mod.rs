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
pub mod supply;

use std::collections::HashMap;
use std::sync::Arc;

pub use answer::{Answer, AnswerBody, Framing, Timing};
pub use ask::Ask;
pub use course::{Course, Naming, StreamId, Whose};
pub use failure::{FetchError, Outcome, Wait};
pub use figures::OriginFigures;

use crate::clock::{Clock, Tick};
use crate::config::{self, Limits, OriginScheme};
use crate::outbound::dial::Dial;
use crate::outbound::tls::{Material, TlsClient, TlsSetupError};
use crate::region::proof::Signer;
use crate::tasks::Tasks;
use figures::Figures;
use peers::{Peers, Question, Shared, is_peer};
use places::Bounds;
use pool::{Patience, Pool};
use select::Memory;
use storage::Storage;

/// All origins of a configuration.
pub struct Origins {
    clock: Clock,
    by_name: HashMap<Arc<str>, Arc<Upstream>>,
    peers: Option<Arc<Peers>>,
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
    /// Proves the node to another one.
    signer: Option<Signer>,
    storage: Storage,
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
        Self { clock, by_name: HashMap::new(), peers: None }.reconfigured(origins, limits)
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
        Ok(Self { clock: self.clock.clone(), by_name, peers: self.peers.clone() })
    }

    /// The same, with other nodes of the region that are asked first for what many may share.
    #[must_use]
    pub fn with_peers(self, peers: Option<Arc<Peers>>) -> Self {
        Self { peers, ..self }
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
        let group: Vec<_> = group.iter().filter_map(|name| self.by_name.get(name.as_ref()).cloned()).collect();
        let trail = redirect::Trail::of(&group, &ask);
        let answer = fetch::fetch(tasks, &group, ask).await?;
        match trail {
            Some(trail) => trail.follow(self, tasks, answer).await,
            None => Ok(answer),
        }
    }

    /// The present figures of each origin, by name.
    pub fn snapshot(&self) -> Vec<OriginFigures> {
        let now = self.clock.now();
        let mut figures: Vec<_> = self.by_name.values().map(|upstream| upstream.snapshot(now)).collect();
        figures.sort_by(|a, b| a.name.cmp(&b.name));
        figures
    }
}

impl Upstream {
    fn snapshot(&self, now: Tick) -> OriginFigures {
        self.figures.snapshot(&self.name, self.memory.standing(now), self.pool.taken())
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
        let dial = Dial { host: config.host.as_str().into(), port: config.port, tls };
        let patience = Patience { place: config.first_byte, connect: config.connect };
        let figures = before.map_or_else(Arc::default, |before| before.figures.clone());
        Ok(Arc::new(Self {
            name: config.name.as_str().into(),
            config: config.clone(),
            material,
            bounds,
            clock: clock.clone(),
            pool: Pool::new(dial, patience, bounds, clock.clone(), figures.clone()),
            memory: Memory::default(),
            figures,
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

//! The keys of one issuer: read from files, or fetched and kept up to date. The last good set stays in force for as long as
//! nothing better comes; a key that is gone from it verifies nothing from that moment on.
//!
//! A task of its own keeps them: it sleeps until the set is due, a token asks for a key that is not in it, or somebody
//! says that files may have changed. It ends when nobody holds them any more.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use aws_lc_rs::rand;
use http::HeaderValue;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tracing::{error, info, warn};

use crate::clock::{Clock, Tick};
use crate::config::access::{KeptKeys, KeySource};
use crate::rules::token::Algorithm;
use crate::rules::token::key::{Key, KeySet};
use crate::rules::token::refresh::Rhythm;
use crate::tasks::Tasks;

use super::AccessError;
use super::jwks::{Fetched, Jwks, PATIENCE};

/// Files are looked at this often.
const LOOK: Duration = Duration::from_secs(5);

/// Where the keys of one issuer are, and whose they are.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub access: Arc<str>,
    /// Its place among the issuers of the access.
    pub index: usize,
    /// Its name in `iss`.
    pub issuer: Option<String>,
    pub source: KeySource,
    pub algorithms: Vec<Algorithm>,
}

/// The keys of one issuer.
pub(super) struct IssuerKeys {
    pub place: Place,
    jwks: Option<Jwks>,
    current: ArcSwapOption<Held>,
    /// Grows whenever a key comes or goes.
    generation: AtomicU64,
    keeping: Mutex<Keeping>,
    /// Something is due sooner than it was.
    stirred: Notify,
    /// How many attempts have come to an end.
    attempts: watch::Sender<u64>,
}

/// A set in force.
pub(super) struct Held {
    pub set: KeySet,
    pub generation: u64,
    uses: Vec<Arc<Use>>,
}

/// How often a key has verified a token, and when it last did.
#[derive(Debug, Default)]
struct Use {
    count: AtomicU64,
    /// Seconds since the epoch; 0: never.
    last: AtomicU64,
}

struct Keeping {
    rhythm: Rhythm,
    etag: Option<HeaderValue>,
    is_fetching: bool,
    trouble: Option<String>,
    has_alarmed: bool,
}

/// How a key is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFigures {
    /// Its identifier.
    pub kid: Option<Box<str>>,
    /// Its algorithm.
    pub algorithm: &'static str,
    /// Tokens whose signature it has verified.
    pub used: u64,
    /// When it last did, in seconds since the epoch; `None`: never.
    pub last_used: Option<u64>,
}

/// How the keys of an issuer are.
#[derive(Clone, Debug)]
pub struct KeysFigures {
    /// The issuer's place in its access.
    pub index: usize,
    /// Its name; `None`: it is not checked.
    pub issuer: Option<String>,
    /// The keys in force.
    pub keys: Vec<KeyFigures>,
    /// How long ago the set last came from its issuer; `None`: it did not, or it is kept here.
    pub age: Option<Duration>,
    /// Whether somebody has to look at it: for a day it could not be fetched again, or never could.
    pub alarm: bool,
    /// What the last attempt failed with.
    pub trouble: Option<String>,
}

impl fmt::Debug for IssuerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerKeys").field("access", &self.place.access).field("index", &self.place.index).finish()
    }
}

impl Held {
    /// Counts a token that this key has verified.
    pub fn used(&self, key: &Key, now: u64) {
        let index = self.set.keys().iter().position(|other| std::ptr::eq(other, key));
        if let Some(used) = index.and_then(|index| self.uses.get(index)) {
            used.count.fetch_add(1, Relaxed);
            used.last.fetch_max(now, Relaxed);
        }
    }
}

impl IssuerKeys {
    /// Keys of this place. Those that are kept here are read at once.
    pub fn new(place: Place, clock: &Clock) -> Result<Arc<Self>, AccessError> {
        let jwks = match &place.source {
            KeySource::Jwks { url, tls } => Some(
                Jwks::new(url, tls).map_err(|source| AccessError::Tls { access: place.access.to_string(), source })?,
            ),
            KeySource::Kept(_) => None,
        };
        let kept = match &place.source {
            KeySource::Kept(kept) => Some(
                kept.read(&place.algorithms)
                    .map_err(|(_, source)| AccessError::Keys { access: place.access.to_string(), source })?,
            ),
            KeySource::Jwks { .. } => None,
        };
        let keys = Self {
            place,
            jwks,
            current: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            keeping: Mutex::new(Keeping {
                rhythm: Rhythm::new(clock.now()),
                etag: None,
                is_fetching: false,
                trouble: None,
                has_alarmed: false,
            }),
            stirred: Notify::new(),
            attempts: watch::Sender::new(0),
        };
        if let Some(set) = kept {
            keys.put(set);
        }
        Ok(Arc::new(keys))
    }

    /// Whether both are the same keys, fetched or read in the same way.
    pub fn is_as(&self, other: &Self) -> bool {
        let fetched_alike = match (&self.jwks, &other.jwks) {
            (Some(own), Some(other)) => own.is_as(other),
            (None, None) => true,
            _ => false,
        };
        self.place == other.place && fetched_alike
    }

    /// The set in force; `None`: there never was one.
    pub fn held(&self) -> Option<Arc<Held>> {
        self.current.load_full()
    }

    /// What verified with an earlier one does not count any more.
    pub fn generation(&self) -> u64 {
        self.generation.load(Relaxed)
    }

    /// A set comes into force. Those of its keys that were there before keep their counters.
    fn put(&self, set: KeySet) {
        let old = self.held();
        if old.as_ref().is_some_and(|old| old.set.keys() == set.keys()) {
            return;
        }
        let kept = |key: &Key| {
            let old = old.as_ref()?;
            let index = old.set.keys().iter().position(|other| other == key)?;
            old.uses.get(index).cloned()
        };
        let uses = set.keys().iter().map(|key| kept(key).unwrap_or_default()).collect();
        let generation = self.generation.load(Relaxed) + 1;
        info!(access = %self.place.access, issuer = self.place.index, keys = set.keys().len(), "keys are in force");
        if !set.passed_over().is_empty() {
            let why = set.passed_over()[0];
            warn!(access = %self.place.access, issuer = self.place.index, count = set.passed_over().len(), %why, "keys are passed over");
        }
        self.current.store(Some(Arc::new(Held { set, generation, uses })));
        self.generation.store(generation, Relaxed);
    }

    /// A token asks for a key that is not there: whether others are there now. Waits for a fetch that goes on, or that
    /// begins where one may.
    pub async fn refreshed(&self, clock: &Clock) -> bool {
        let before = self.generation();
        let mut attempts = self.attempts.subscribe();
        let has_reason = {
            let mut keeping = self.keeping.lock();
            attempts.borrow_and_update();
            self.jwks.is_some() && (keeping.is_fetching || keeping.rhythm.ask(clock.now()))
        };
        if !has_reason {
            return false;
        }
        self.stirred.notify_one();
        tokio::select! {
            _ = attempts.changed() => {}
            () = clock.sleep(PATIENCE) => {}
        }
        self.generation() != before
    }

    /// Files may have changed.
    pub fn look(&self) {
        self.stirred.notify_one();
    }

    /// Keeps them up to date for as long as somebody holds them.
    pub async fn keep(keys: Weak<Self>, clock: Clock, tasks: Tasks) {
        loop {
            let Some(held) = keys.upgrade() else { return };
            let next = match &held.place.source {
                KeySource::Jwks { .. } => held.fetch_if_due(&clock, &tasks).await,
                KeySource::Kept(kept) => held.read_again(kept, &clock, &tasks).await,
            };
            // Who sleeps holds nothing.
            let stirred = held.clone().stirs();
            drop(held);
            tokio::select! {
                () = clock.sleep_until(next) => {}
                () = stirred => {}
            }
        }
    }

    /// Completes when something is due sooner, or nobody but this holds them.
    async fn stirs(self: Arc<Self>) {
        let weak = Arc::downgrade(&self);
        drop(self);
        let Some(keys) = weak.upgrade() else { return };
        keys.stirred.notified().await;
    }

    async fn fetch_if_due(&self, clock: &Clock, tasks: &Tasks) -> Tick {
        let Some(jwks) = &self.jwks else { return clock.now() + LOOK };
        let etag = {
            let mut keeping = self.keeping.lock();
            if clock.now() < keeping.rhythm.due() {
                return keeping.rhythm.due();
            }
            keeping.is_fetching = true;
            keeping.etag.clone()
        };
        let fetched = jwks.fetch(etag.as_ref(), &self.place.algorithms, (clock, tasks)).await;
        let now = clock.now();
        let (access, issuer) = (&self.place.access, self.place.index);
        let mut keeping = self.keeping.lock();
        keeping.is_fetching = false;
        match fetched {
            Ok(Fetched::Same { max_age }) => keeping.came(now, max_age),
            Ok(Fetched::New { keys, etag, max_age }) => {
                keeping.etag = etag;
                keeping.came(now, max_age);
                self.put(keys);
            }
            Err(why) => {
                keeping.rhythm.failed(now, chance());
                let is_new = keeping.trouble.replace(why.to_string()).is_none();
                if why.is_leak() {
                    error!(%access, issuer, "the issuer publishes a private key: whoever reads it signs tokens");
                } else if is_new {
                    warn!(%access, issuer, %why, "keys cannot be fetched; the last good ones stay in force");
                }
                if keeping.rhythm.is_alarming(now) && !keeping.has_alarmed {
                    keeping.has_alarmed = true;
                    error!(%access, issuer, %why, "keys could not be fetched for a day");
                }
            }
        }
        let due = keeping.rhythm.due();
        drop(keeping);
        self.attempts.send_modify(|attempts| *attempts += 1);
        due
    }

    async fn read_again(&self, kept: &KeptKeys, clock: &Clock, tasks: &Tasks) -> Tick {
        let (again, algorithms) = (kept.clone(), self.place.algorithms.clone());
        let read = tasks.spawn_blocking("key-files", move || again.read(&algorithms)).await;
        let (access, issuer) = (&self.place.access, self.place.index);
        let mut keeping = self.keeping.lock();
        match read {
            Ok(Ok(set)) => {
                keeping.trouble = None;
                self.put(set);
            }
            Ok(Err((_, why))) => {
                if keeping.trouble.replace(why.to_string()).is_none() {
                    warn!(%access, issuer, %why, "keys cannot be read again; the last good ones stay in force");
                }
            }
            Err(_) => {} // the node stops
        }
        drop(keeping);
        self.attempts.send_modify(|attempts| *attempts += 1);
        clock.now() + LOOK
    }

    /// How they are.
    pub fn figures(&self, now: Tick) -> KeysFigures {
        let held = self.held();
        let key = |(key, used): (&Key, &Arc<Use>)| KeyFigures {
            kid: key.kid().map(Into::into),
            algorithm: key.algorithm().name(),
            used: used.count.load(Relaxed),
            last_used: Some(used.last.load(Relaxed)).filter(|last| *last > 0),
        };
        let keys = held.iter().flat_map(|held| held.set.keys().iter().zip(&held.uses).map(key)).collect();
        let keeping = self.keeping.lock();
        KeysFigures {
            index: self.place.index,
            issuer: self.place.issuer.clone(),
            keys,
            age: keeping.rhythm.age(now),
            alarm: keeping.rhythm.is_alarming(now),
            trouble: keeping.trouble.clone(),
        }
    }

    /// How many attempts have come to an end, now and from now on.
    #[cfg(test)]
    pub fn attempts_so_far(&self) -> watch::Receiver<u64> {
        self.attempts.subscribe()
    }

    /// Completes when so many attempts to fetch or read have come to an end.
    #[cfg(test)]
    pub async fn attempted(&self, count: u64) {
        let mut attempts = self.attempts.subscribe();
        attempts.wait_for(|attempts| *attempts >= count).await.expect("the sender is in self");
    }
}

impl Keeping {
    fn came(&mut self, now: Tick, max_age: Option<Duration>) {
        self.rhythm.came(now, max_age);
        self.trouble = None;
        self.has_alarmed = false;
    }
}

/// 0…1
fn chance() -> f64 {
    let mut octets = [0; 4];
    rand::fill(&mut octets).expect("the system has random numbers");
    f64::from(u32::from_be_bytes(octets)) / f64::from(u32::MAX)
}

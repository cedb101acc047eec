//! Who sees what is gated: the gates of all accesses, the keys of their issuers, and who is told of what happens.
//!
//! A reload builds all gates anew and swaps them at once; keys whose source has not changed go on as they are, with what
//! was fetched. A configuration whose keys cannot be used leaves the old gates standing.

pub mod countries;
pub mod feed;
mod gate;
mod jwks;
mod keys;
#[cfg(test)]
mod tests;
mod verified;
pub mod webhooks;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;

use crate::clock::Clock;
use crate::config::Config;
use crate::config::access::{Access, UnusableKeys};
use crate::outbound::tls::TlsSetupError;
use crate::region::secrets::RegionKeys;
use crate::rules::session::Named;
use crate::rules::token::Reason;
use crate::sessions::Prints;
use crate::tasks::Tasks;
use crate::telemetry::metrics::{Family, Labels, Value};

pub use gate::{Gate, Verdict};
pub use keys::{KeyFigures, KeysFigures};

use gate::{Common, Sealing};
use keys::{IssuerKeys, Place};

/// Why gates cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// TLS towards an issuer cannot be set up.
    #[error("the keys of access {access} cannot be fetched: {source}")]
    Tls {
        /// The access.
        access: String,
        /// Why.
        source: TlsSetupError,
    },
    /// Keys that are kept here cannot be used.
    #[error("the keys of access {access} cannot be used: {source}")]
    Keys {
        /// The access.
        access: String,
        /// Why.
        source: UnusableKeys,
    },
}

/// All gates of a node.
pub struct Accesses {
    clock: Clock,
    tasks: Tasks,
    gates: ArcSwap<BTreeMap<Arc<str>, Entry>>,
    common: Arc<Common>,
    gates_made: AtomicU64,
}

#[derive(Clone)]
struct Entry {
    gate: Arc<Gate>,
    keys: Vec<Arc<IssuerKeys>>,
}

/// How an access is.
#[derive(Clone, Debug)]
pub struct AccessFigures {
    /// Its name.
    pub name: Arc<str>,
    /// The keys of its issuers, in their order.
    pub issuers: Vec<KeysFigures>,
}

impl Accesses {
    /// The gates of a configuration. `tasks` keep the keys up to date.
    ///
    /// # Errors
    /// The first keys that cannot be used.
    pub fn new(config: &Config, region: &RegionKeys, (clock, tasks): (Clock, Tasks)) -> Result<Self, AccessError> {
        let accesses = Self {
            clock,
            tasks,
            gates: ArcSwap::default(),
            common: Arc::new(Common::new()),
            gates_made: AtomicU64::new(0),
        };
        accesses.reload(config, region)?;
        Ok(accesses)
    }

    /// From now on the gates of this configuration stand.
    ///
    /// # Errors
    /// The first keys that cannot be used; nothing has changed then.
    pub fn reload(&self, config: &Config, region: &RegionKeys) -> Result<(), AccessError> {
        let old = self.gates.load_full();
        let sealing = Sealing { seals: region.seals(), prints: region.prints() };
        let mut begun = Vec::new();
        let mut gates = BTreeMap::new();
        for access in &config.accesses {
            let keys = self.keys(access, &old, &mut begun)?;
            let number = self.gates_made.fetch_add(1, Relaxed);
            let shared = (self.common.clone(), self.clock.clone());
            let gate = Arc::new(Gate::new(access, keys.clone(), sealing.clone(), shared, number));
            gates.insert(gate.name().clone(), Entry { gate, keys });
        }
        self.gates.store(Arc::new(gates));
        for keys in begun {
            self.tasks.spawn("keys", IssuerKeys::keep(Arc::downgrade(&keys), self.clock.clone(), self.tasks.clone()));
        }
        old.values().flat_map(|entry| &entry.keys).for_each(|keys| keys.look());
        Ok(())
    }

    /// The keys of an access's issuers: those that are there already, or others, which are also put into `begun`.
    fn keys(
        &self,
        access: &Access,
        old: &BTreeMap<Arc<str>, Entry>,
        begun: &mut Vec<Arc<IssuerKeys>>,
    ) -> Result<Vec<Arc<IssuerKeys>>, AccessError> {
        let name: Arc<str> = access.name.as_str().into();
        let mut all = Vec::new();
        for (index, issuer) in access.issuers.iter().enumerate() {
            let (source, algorithms) = (issuer.keys.clone(), issuer.algorithms.clone());
            let place = Place { access: name.clone(), index, issuer: issuer.issuer.clone(), source, algorithms };
            let keys = IssuerKeys::new(place, &self.clock)?;
            let known = old.get(&name).and_then(|entry| entry.keys.iter().find(|other| other.is_as(&keys)));
            let keys = known.cloned().unwrap_or_else(|| {
                begun.push(keys.clone());
                keys
            });
            all.push(keys);
        }
        Ok(all)
    }

    /// The gate of an access.
    pub fn gate(&self, access: &str) -> Option<Arc<Gate>> {
        self.gates.load().get(access).map(|entry| entry.gate.clone())
    }

    /// How they are.
    pub fn figures(&self) -> Vec<AccessFigures> {
        let now = self.clock.now();
        let of = |(name, entry): (&Arc<str>, &Entry)| AccessFigures {
            name: name.clone(),
            issuers: entry.keys.iter().map(|keys| keys.figures(now)).collect(),
        };
        self.gates.load().iter().map(of).collect()
    }

    /// Counters of keys and tokens.
    pub fn families(&self) -> Vec<Family> {
        let mut keys = Family::new("weir_access_keys", "Keys in force, by access and issuer");
        let mut age = Family::new("weir_access_keys_age_seconds", "How long ago the keys last came from their issuer");
        let mut alarm = Family::new("weir_access_keys_alarm", "1 where keys could not be fetched for a day");
        let mut used = Family::new("weir_access_keys_used", "Tokens whose signature a key of the issuer has verified");
        for access in self.figures() {
            for issuer in access.issuers {
                let labels: Labels = vec![("access", access.name.to_string()), ("issuer", issuer.index.to_string())];
                keys = keys.with(labels.clone(), Value::Gauge(issuer.keys.len() as f64));
                if let Some(time) = issuer.age {
                    age = age.with(labels.clone(), Value::Gauge(time.as_secs_f64()));
                }
                alarm = alarm.with(labels.clone(), Value::Gauge(f64::from(u8::from(issuer.alarm))));
                let count = issuer.keys.iter().map(|key| key.used).sum();
                used = used.with(labels, Value::Counter(count));
            }
        }
        let figures = &self.common.figures;
        let mut tokens = Family::new("weir_tokens_verified", "Tokens that were judged, by what came of it");
        for (word, count) in Reason::WORDS.iter().chain(&["ok"]).zip(&figures.results) {
            let count = count.load(Relaxed);
            if count > 0 || *word == "ok" {
                tokens = tokens.with(vec![("result", (*word).to_owned())], Value::Counter(count));
            }
        }
        let remembered = figures.remembered.load(Relaxed);
        let reused = figures.reused.load(Relaxed);
        let (good, bad) = self.common.memory.counts();
        let entries = Family::new("weir_tokens_remembered", "Tokens whose signature need not be verified again")
            .with(vec![("result", "ok".to_owned())], Value::Gauge(good as f64))
            .with(vec![("result", "refused".to_owned())], Value::Gauge(bad as f64));
        let hits = "Tokens that had been verified a moment ago";
        vec![
            keys,
            age,
            alarm,
            used,
            tokens,
            entries,
            Family::counter("weir_tokens_remembered_hits", hits, remembered),
            Family::counter("weir_tokens_reused", "Tokens used again that ask that this be reported", reused),
        ]
    }
}

impl Prints for Accesses {
    fn accesses(&self) -> Vec<Arc<str>> {
        self.gates.load().keys().cloned().collect()
    }

    fn print(&self, access: &str, named: Named, text: &str) -> Option<u64> {
        Some(self.gate(access)?.print(named, text))
    }
}

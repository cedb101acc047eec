//! How much a session, and an address, may ask for: requests, connections, octets a second, held reloads, bad tokens.
//!
//! What is remembered of viewers is in tables of a fixed size, made anew where a reload changes the limits. Rates are
//! governor's, by the node's own clock. A limit that is off costs nothing.

mod kept;
mod rate;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use foldhash::quality::RandomState;
use parking_lot::Mutex;

use crate::clock::{Clock, Tick};
use crate::config::{Limits, Rate};
use crate::rules::admission::pace::Pace;
use crate::rules::session::SessionId;

use super::sets::{Print, Sets};
pub use kept::CONNECTIONS_MAX;
use kept::{Connections, Paid, Window};
use rate::Limiter;

/// How far bodies of a session may be ahead of its rate: a player fills its buffer first.
const AHEAD: Duration = Duration::from_secs(4);
/// When to come back after too many bad tokens: the time in which they are counted.
const BAD_TOKENS: Duration = Duration::from_secs(10);
/// When to come back after too many reloads were held.
const HELD: Duration = Duration::from_secs(1);
/// How many times its rate of bodies a session may send at once: players send one for each event.
const BEACONS_AT_ONCE: u32 = 5;
/// The same for reports: a body has five hundred at most.
const RECORDS_AT_ONCE: u32 = 10;
/// One device of an open route may stand for so many viewers: those of an address prefix with one User-Agent.
const VIEWERS: u32 = 50;
/// Shards of what is held.
const SHARDS: usize = 16;

/// A limit that somebody has gone beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Requests of a session.
    SessionRequests,
    /// Requests of an address.
    AddressRequests,
    /// Connections of a session.
    SessionConnections,
    /// Reloads of a session that are held.
    SessionHeld,
    /// Bad tokens from an address.
    BadTokens,
    /// Bodies of reports of a session.
    SessionBeacons,
    /// Reports of a session.
    SessionRecords,
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::SessionRequests,
        Self::AddressRequests,
        Self::SessionConnections,
        Self::SessionHeld,
        Self::BadTokens,
        Self::SessionBeacons,
        Self::SessionRecords,
    ];

    /// The word in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::SessionRequests => "session-requests",
            Self::AddressRequests => "address-requests",
            Self::SessionConnections => "session-connections",
            Self::SessionHeld => "session-held",
            Self::BadTokens => "bad-tokens",
            Self::SessionBeacons => "session-beacons",
            Self::SessionRecords => "session-records",
        }
    }
}

/// Why somebody must wait, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// The limit.
    pub limit: Limit,
    /// When to come back.
    pub retry: Duration,
}

impl Limit {
    fn exceeded(self) -> impl Fn(Duration) -> Exceeded {
        move |retry| Exceeded { limit: self, retry }
    }
}

/// How often the limits have bitten, and what they cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Refusals, in the order of [`Limit::ALL`].
    pub refused: [u64; Limit::ALL.len()],
    /// What was forgotten of somebody for want of room.
    pub displaced: u64,
    /// Times that a body waited for its session's rate.
    pub paced: u64,
    /// What the tables take, in octets.
    pub octets: u64,
}

/// The limits of sessions and addresses.
pub struct Quota {
    clock: Clock,
    rules: ArcSwap<Rules>,
    // Holds no more entries than there are held reloads.
    held: [Mutex<HashMap<SessionId, usize, RandomState>>; SHARDS],
    hasher: RandomState,
    refused: [AtomicU64; Limit::ALL.len()],
    /// Of tables that were replaced.
    displaced: AtomicU64,
    paced: AtomicU64,
}

impl Quota {
    /// The limits of a configuration.
    pub fn new(clock: Clock, limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            rules: ArcSwap::from_pointee(Rules::new(&clock, limits)),
            clock,
            held: Default::default(),
            hasher: RandomState::default(),
            refused: Default::default(),
            displaced: AtomicU64::new(0),
            paced: AtomicU64::new(0),
        })
    }

    /// Follows a new configuration. What is remembered stays where its limits do.
    pub fn configure(&self, limits: &Limits) {
        let old = self.rules.load();
        if old.differ(limits) {
            self.displaced.fetch_add(old.figures().0, Relaxed);
            self.rules.store(Arc::new(Rules::new(&self.clock, limits)));
        }
    }

    /// Counts a request: for its session first, then for its address.
    ///
    /// # Errors
    /// The limit that it goes beyond, and when to come back.
    pub fn request(&self, session: Option<SessionId>, address: SocketAddr) -> Result<(), Exceeded> {
        let rules = self.rules.load();
        let outcome = match session {
            Some(session) => rules.of_session(session, address, self.clock.now()),
            None => Ok(()),
        };
        let outcome = outcome.and_then(|()| rules.of_address(address.ip(), self.clock.now()));
        self.counted(outcome)
    }

    /// Counts a token that opened nothing. Good ones are not counted, and not refused for this. Nobody guesses from this
    /// machine: what comes over loopback is the operator's own, or a proxy that does not say whom it speaks for.
    ///
    /// # Errors
    /// There were too many from the address in the ten seconds before.
    pub fn bad_token(&self, address: IpAddr) -> Result<(), Exceeded> {
        let rules = self.rules.load();
        let Some(sets) = rules.bad_tokens.as_ref().filter(|_| !address.to_canonical().is_loopback()) else {
            return Ok(());
        };
        let (second, most) = (second(self.clock.now()), rules.limits.bad_tokens);
        let key = sets.print(rules.limits.prefixes().of(address));
        let before = sets.update(key, second.into(), |known| {
            let mut window = known.unwrap_or_default();
            let before = window.count(second);
            window.add(second);
            (before, Some(window))
        });
        self.counted(if before < most { Ok(()) } else { Err(Limit::BadTokens.exceeded()(BAD_TOKENS)) })
    }

    /// Counts a body of reports of whoever `sender` stands for.
    ///
    /// # Errors
    /// It sent more than it may, and when to come back.
    pub fn beacon(&self, sender: impl Hash) -> Result<(), Exceeded> {
        let rules = self.rules.load();
        let Some(limiter) = &rules.beacons else { return Ok(()) };
        self.counted(limiter.take(sender, self.clock.now()).map_err(Limit::SessionBeacons.exceeded()))
    }

    /// Counts so many reports.
    ///
    /// # Errors
    /// As [`Quota::beacon`].
    pub fn records(&self, sender: impl Hash, records: usize) -> Result<(), Exceeded> {
        self.count_records(|rules| &rules.records, sender, records)
    }

    /// Counts so many reports of a device, whoever of its viewers they are of: fifty times as many as one may send.
    ///
    /// # Errors
    /// As [`Quota::beacon`].
    pub fn records_of_device(&self, device: impl Hash, records: usize) -> Result<(), Exceeded> {
        self.count_records(|rules| &rules.devices, device, records)
    }

    fn count_records(
        &self,
        limiter: impl Fn(&Rules) -> &Option<Limiter>,
        sender: impl Hash,
        records: usize,
    ) -> Result<(), Exceeded> {
        let rules = self.rules.load();
        let Some(limiter) = limiter(&rules) else { return Ok(()) };
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        self.counted(limiter.take_many(sender, records, self.clock.now()).map_err(Limit::SessionRecords.exceeded()))
    }

    /// A place for a reload of a session that is to be held.
    ///
    /// # Errors
    /// As many are held as may be.
    pub fn hold(self: &Arc<Self>, session: SessionId) -> Result<Held, Exceeded> {
        let most = self.rules.load().limits.held_per_session;
        let mut shard = self.shard(session).lock();
        let held = shard.entry(session).or_default();
        if most > 0 && *held >= most {
            drop(shard);
            return self.counted(Err(Limit::SessionHeld.exceeded()(HELD)));
        }
        *held += 1;
        drop(shard);
        Ok(Held { quota: self.clone(), session })
    }

    /// What paces the bodies of a session; `None`: nothing does.
    pub fn pacer(self: &Arc<Self>, session: SessionId) -> Option<Pacer> {
        let rules = self.rules.load_full();
        let session = rules.octets.as_ref()?.1.print(session);
        Some(Pacer { quota: self.clone(), rules, session })
    }

    /// How often the limits have bitten, and what they cost.
    pub fn figures(&self) -> Figures {
        let (displaced, octets) = self.rules.load().figures();
        Figures {
            refused: std::array::from_fn(|index| self.refused[index].load(Relaxed)),
            displaced: self.displaced.load(Relaxed) + displaced,
            paced: self.paced.load(Relaxed),
            octets,
        }
    }

    fn counted<T>(&self, outcome: Result<T, Exceeded>) -> Result<T, Exceeded> {
        outcome.inspect_err(|exceeded| _ = self.refused[exceeded.limit as usize].fetch_add(1, Relaxed))
    }

    fn shard(&self, session: SessionId) -> &Mutex<HashMap<SessionId, usize, RandomState>> {
        &self.held[self.hasher.hash_one(session) as usize % SHARDS]
    }
}

/// A place of a held reload; dropping it frees the place.
pub struct Held {
    quota: Arc<Quota>,
    session: SessionId,
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut shard = self.quota.shard(self.session).lock();
        if let Some(held) = shard.get_mut(&self.session) {
            *held -= 1;
            if *held == 0 {
                shard.remove(&self.session);
            }
        }
    }
}

/// Paces the bodies of one session, all of them together.
pub struct Pacer {
    quota: Arc<Quota>,
    rules: Arc<Rules>,
    session: Print,
}

impl Pacer {
    /// From when on more may be sent; `None`: now.
    pub fn wait(&self) -> Option<Tick> {
        let (pace, sets) = self.rules.octets.as_ref()?;
        let now = self.quota.clock.now();
        let paid = sets.update(self.session, 0, |known| (known, None))?;
        let ready = pace.ready(paid.0);
        (ready > now).then(|| {
            self.quota.paced.fetch_add(1, Relaxed);
            ready
        })
    }

    /// Octets were sent.
    pub fn sent(&self, octets: u64) {
        let Some((pace, sets)) = &self.rules.octets else { return };
        let now = self.quota.clock.now();
        let nanos = u64::try_from(now.since_start().as_nanos()).unwrap_or(u64::MAX);
        sets.update(self.session, nanos, |known| {
            ((), Some(Paid(pace.charge(known.unwrap_or_default().0, octets, now))))
        });
    }
}

/// One generation of the limits.
struct Rules {
    limits: Limits,
    session: Option<Limiter>,
    address: Option<Limiter>,
    connections: Option<Sets<Connections>>,
    octets: Option<(Pace, Sets<Paid>)>,
    bad_tokens: Option<Sets<Window>>,
    beacons: Option<Limiter>,
    records: Option<Limiter>,
    /// Of records too, by device.
    devices: Option<Limiter>,
}

impl Rules {
    fn new(clock: &Clock, limits: &Limits) -> Self {
        let keys = limits.limit_table;
        let with_burst = |rate: Rate, burst| {
            (rate.count > 0).then(|| Limiter::new(clock, rate, (rate.count.saturating_mul(burst), keys)))
        };
        let limiter = |rate| with_burst(rate, 1);
        let records = limits.records_per_session;
        let of_device = Rate { count: records.count.saturating_mul(VIEWERS), ..records };
        let pace = Pace { rate: limits.session_rate, ahead: AHEAD };
        Self {
            session: limiter(limits.requests_per_session),
            address: limiter(limits.requests_per_prefix),
            connections: (limits.connections_per_session > 0).then(|| Sets::new(keys)),
            octets: (pace.rate > 0).then(|| (pace, Sets::new(keys))),
            bad_tokens: (limits.bad_tokens > 0).then(|| Sets::new(keys)),
            beacons: with_burst(limits.beacons_per_session, BEACONS_AT_ONCE),
            records: with_burst(records, RECORDS_AT_ONCE),
            devices: with_burst(of_device, RECORDS_AT_ONCE),
            limits: limits.clone(),
        }
    }

    fn differ(&self, new: &Limits) -> bool {
        let of = |limits: &Limits| {
            let rates = (limits.requests_per_session, limits.requests_per_prefix, limits.session_rate);
            let counts = (limits.connections_per_session, limits.held_per_session, limits.bad_tokens);
            let beacons = (limits.beacons_per_session, limits.records_per_session);
            (rates, counts, beacons, limits.prefixes(), limits.limit_table)
        };
        of(&self.limits) != of(new)
    }

    fn of_session(&self, session: SessionId, address: SocketAddr, now: Tick) -> Result<(), Exceeded> {
        if let Some(limiter) = &self.session {
            limiter.take(session, now).map_err(Limit::SessionRequests.exceeded())?;
        }
        // A port that is not known tells no connection from another.
        let Some(sets) = self.connections.as_ref().filter(|_| address.port() > 0) else { return Ok(()) };
        let (second, connection) = (second(now), sets.print(address).half());
        let outcome = sets.update(sets.print(session), second.into(), |known| {
            let mut connections = known.unwrap_or_default();
            (connections.used(connection, second, self.limits.connections_per_session), Some(connections))
        });
        outcome.map_err(Limit::SessionConnections.exceeded())
    }

    fn of_address(&self, address: IpAddr, now: Tick) -> Result<(), Exceeded> {
        let Some(limiter) = &self.address else { return Ok(()) };
        limiter.take(self.limits.prefixes().of(address), now).map_err(Limit::AddressRequests.exceeded())
    }

    /// What the tables have displaced, and what they take.
    fn figures(&self) -> (u64, u64) {
        let limiters = [&self.session, &self.address, &self.beacons, &self.records, &self.devices]
            .map(|limiter| limiter.as_ref().map(Limiter::sets));
        let all = limiters.into_iter().flatten().map(|sets| (sets.displaced(), sets.octets()));
        let others = [
            self.connections.as_ref().map(|sets| (sets.displaced(), sets.octets())),
            self.octets.as_ref().map(|(_, sets)| (sets.displaced(), sets.octets())),
            self.bad_tokens.as_ref().map(|sets| (sets.displaced(), sets.octets())),
        ];
        all.chain(others.into_iter().flatten()).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

fn second(now: Tick) -> u32 {
    u32::try_from(now.since_start().as_secs()).unwrap_or(u32::MAX)
}

//! What becomes of what happens: entries come from every worker, are put in order, counted into the figures of this
//! moment, noted in the index of sessions and kept in the log, from which stories are told and sinks are fed.
//!
//! Who tells something never waits and never writes what another worker writes: each worker has a ring of its own. One
//! task on the control thread empties the rings. A player's reports are acknowledged once they are kept.

pub mod fold;
mod groups;
pub mod index;
mod lines;
pub mod live;
mod metrics;
pub mod open;
pub mod snapshot;
pub mod telling;
mod views;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::clock::{Clock, WallTime};
use crate::journal::NotKept;
use crate::journal::log::{Log, Reply};
use crate::rules::session::{PrintKey, SessionId};
use crate::rules::timeline::event::{Ended, Entry, Event, Lost, NodeChange};
use crate::telemetry::counters::Sharded;

use fold::Folds;
use index::Index;
use lines::Lines;
use live::Live;
use open::OpenSessions;
use telling::Retention;
use views::Views;

/// Rings are emptied at least this often where nobody waits.
const ROUND: Duration = Duration::from_millis(250);

/// Entries that wait in the ring of one worker.
const RING: usize = 65_536;

/// Where stories are kept and told.
pub struct Stories {
    clock: Clock,
    node: Arc<str>,
    region: Option<Arc<str>>,
    boot: u64,
    number: AtomicU64,
    rings: Sharded<Mutex<Ring>>,
    /// What went as it should.
    pub folds: Folds,
    /// Who watches on open routes.
    pub open: OpenSessions,
    /// The second in which was last taken what was added up.
    folded: AtomicU64,
    round: AtomicUsize,
    bell: Notify,
    log: Log,
    key: PrintKey,
    views: Views,
    /// For how long entries of routes are kept.
    retention: Mutex<Retention>,
    /// The figures of this moment.
    pub live: Mutex<Live>,
    /// Which sessions there are, and where their entries are.
    pub index: Mutex<Index>,
}

#[derive(Default)]
struct Ring {
    entries: Vec<Entry>,
    replies: Vec<Reply>,
    lost: u64,
}

/// What the node calls itself in what it tells.
pub struct Names {
    /// The node.
    pub node: Arc<str>,
    /// Its region.
    pub region: Option<Arc<str>>,
    /// This process of it.
    pub boot: u64,
}

impl Stories {
    /// Stories of a node with so many workers, kept in `log`; `key`: what players and addresses are hidden with.
    pub fn new(clock: Clock, Names { node, region, boot }: Names, workers: usize, (log, key): (Log, PrintKey)) -> Self {
        Self {
            clock,
            node,
            region,
            boot,
            number: AtomicU64::new(0),
            rings: Sharded::new(workers),
            folds: Folds::new(workers),
            open: OpenSessions::new(0, Duration::ZERO),
            folded: AtomicU64::new(0),
            round: AtomicUsize::new(0),
            bell: Notify::new(),
            log,
            key,
            views: Views::new(workers),
            retention: Mutex::default(),
            live: Mutex::default(),
            index: Mutex::default(),
        }
    }

    /// What identifiers of open sessions are made with.
    pub fn key(&self) -> &PrintKey {
        &self.key
    }

    /// The view of a session by what its player calls it: a keyed hash (CTA-5004-B §7.4).
    pub fn view(&self, session: SessionId, sid: &str) -> SessionId {
        self.views.of(&self.key, session, sid)
    }

    /// What the node calls itself.
    pub fn name(&self) -> &str {
        &self.node
    }

    /// Time, as entries tell it.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Where entries are kept.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// This process: what tells its fetches and lines from those of earlier ones.
    pub fn boot(&self) -> u64 {
        self.boot
    }

    /// Tells that something happened. Never waits; where its worker's ring is full, it is lost and counted.
    pub fn tell(&self, entry: Entry) {
        let mut ring = self.rings.mine().lock();
        if ring.entries.len() >= RING {
            ring.lost += 1;
            return;
        }
        ring.entries.push(entry);
    }

    /// Tells that something changed on the node: what, of what, and in a sentence for people.
    pub fn node(&self, what: &'static str, of: Option<&str>, detail: Option<&str>) {
        let (of, detail) = (of.map(Into::into), detail.map(Into::into));
        let event = Event::Node(NodeChange { what: what.into(), of, detail, ..NodeChange::default() });
        self.tell(Entry { at: millis(self.clock.wall()), session: None, route: None, stream: None, event });
    }

    /// Tells what players report; completes when it is kept.
    ///
    /// # Errors
    /// Where it is not: there is no room, or the disk did not take it.
    pub async fn report(&self, entries: Vec<Entry>) -> Result<(), NotKept> {
        // Better known at once: what is refused is in no figure, and comes again.
        self.log.takes()?;
        let (reply, answer) = oneshot::channel();
        {
            let mut ring = self.rings.mine().lock();
            if ring.entries.len() + entries.len() > RING {
                return Err(NotKept::Full);
            }
            ring.entries.extend(entries);
            ring.replies.push(reply);
        }
        self.bell.notify_one();
        answer.await.unwrap_or(Err(NotKept::Stopping))
    }

    /// How full the fullest ring is, in per cent.
    pub fn pressure(&self) -> usize {
        self.rings.all().map(|ring| ring.lock().entries.len() * 100 / RING).max().unwrap_or_default()
    }

    /// Empties the rings for as long as the node runs.
    pub async fn keep(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.bell.notified() => {}
                () = self.clock.sleep(ROUND) => self.look_around(),
            }
            // Whoever waits for the disk, it is not this task: figures go on.
            self.turn(Vec::new());
        }
    }

    /// Tells who is over.
    fn look_around(&self) {
        let now = self.clock.wall();
        let step = self.round.fetch_add(1, Relaxed) % open::STEPS;
        for over in self.open.sweep(step, self.clock.now()) {
            let ended = Ended { reason: "idle".into(), requests: over.requests(), bytes: over.octets() };
            let stream = Some(&over.stream).filter(|stream| !stream.is_empty()).cloned();
            let (session, route) = (Some(over.id), Some(over.route.clone()));
            self.tell(Entry { at: millis(now), session, route, stream, event: Event::Ended(ended) });
        }
    }

    /// Keeps all that there is: the node stops.
    pub async fn close(&self) {
        let (reply, answer) = oneshot::channel();
        self.keep_with(self.folds.take(), vec![reply]);
        _ = answer.await;
    }

    /// Counts, notes and keeps all that was told until now; completes when it is kept, or is not.
    pub async fn round(&self) {
        let (reply, answer) = oneshot::channel();
        self.turn(vec![reply]);
        _ = answer.await;
    }

    fn turn(&self, replies: Vec<Reply>) {
        let second = self.clock.wall().since_epoch().as_secs();
        let is_new = self.folded.swap(second, Relaxed) != second;
        self.keep_with(if is_new { self.folds.take() } else { Vec::new() }, replies);
    }

    /// Counts and notes these, and all that was told until now, and hands it to the log.
    fn keep_with(&self, mut entries: Vec<Entry>, mut replies: Vec<Reply>) {
        let mut lost = 0;
        for ring in self.rings.all() {
            let mut ring = ring.lock();
            entries.append(&mut ring.entries);
            replies.append(&mut ring.replies);
            lost += std::mem::take(&mut ring.lost);
        }
        let now = millis(self.clock.wall());
        let losses = self.log.take_losses();
        let losses = losses.each().map(|(why, count)| (why.word(), count)).chain([("ring-full", lost)]);
        entries.extend(losses.filter(|(_, count)| *count > 0).map(|(reason, count)| {
            let event = Event::Lost(Lost { reason: reason.into(), count });
            Entry { at: now, session: None, route: None, stream: None, event }
        }));
        entries.sort_by_key(|entry| entry.at);
        let from = self.log.figures().next;
        {
            let mut live = self.live.lock();
            let mut index = self.index.lock();
            entries.retain(|entry| !index.is_of_erased(entry));
            for (number, entry) in (from..).zip(&entries) {
                live.note(entry);
                index.note(entry, number);
            }
            live.pass(now);
        }
        let mut lines = Lines::of(self);
        let records: Vec<_> = entries.iter().map(|entry| lines.record(entry)).collect();
        if !records.is_empty() || !replies.is_empty() {
            self.log.keep(records, replies);
        }
    }
}

/// A moment as entries have it.
pub fn millis(at: WallTime) -> u64 {
    u64::try_from(at.since_epoch().as_millis()).unwrap_or(u64::MAX)
}

/// The day of a moment, counted from the epoch.
pub fn day(at: WallTime) -> u64 {
    at.since_epoch().as_secs() / 86_400
}

/// The entry that a kept line holds; `None`: it was written by a later version.
pub fn entry_of(line: &[u8]) -> Option<Entry> {
    serde_json::from_slice(line).ok()
}

#[cfg(test)]
mod tests;

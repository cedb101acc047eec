//! What the nodes of a region tell each other: revocations, the sessions that count for a subject, purges.
//!
//! Whoever tells never waits: what is new is written into bounded logs here, and one task (`rounds`) sends it. Nothing is
//! trusted to arrive: all news are numbered, every node says once a second how far it is, and who lacks something asks
//! for it. So it does not matter what was lost, nor for how long a node was away. Without `[nats]` a bus is silent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::clock::{Clock, Tick};
use crate::rules::caching::purge::{Meant, Mode};
use crate::rules::session::Revocation;
use crate::tasks::Tasks;

use super::book::Book;
use super::message::{NodeId, Presence, Seal};
use super::rounds::Rounds;
use super::secrets::Key;
use super::wire::Wire;

/// News that are kept for those who missed them; who missed more asks for everything.
const LOG: usize = 20_000;
/// Purges that wait to be told.
const PURGES: usize = 64;

/// What a node does with what others tell, and what it tells them. Called on the control thread, but for purges; never waits
/// for another node.
pub trait Listener: Send + Sync + 'static {
    /// These are in force; what is known already comes again.
    fn revoked(&self, revocations: &[Revocation]);
    /// What became of the sessions of this node since this was asked for last; `None`: too much, and all must be told.
    fn changes(&self) -> Option<Vec<Presence>>;
    /// The sessions of this node that count for their subjects.
    fn living(&self) -> Vec<Presence>;
    /// What became of the sessions of another node. What goes on there counts until it is said to go on no more.
    fn apply(&self, node: NodeId, changes: &[Presence]);
    /// Purges on this node alone: objects and playlists that went. May take its time.
    ///
    /// # Errors
    /// Why nothing was purged, in a sentence.
    fn purge(&self, meant: &Meant, mode: Mode) -> Result<(u64, u64), String>;
}

/// A node's voice in its region. Clones are one voice.
#[derive(Clone, Default)]
pub struct Bus(Option<Arc<Shared>>);

/// What the bus and its task share.
pub(super) struct Shared {
    pub name: String,
    pub told: Mutex<Told>,
    pub book: Mutex<Book>,
    pub bell: Notify,
    pub counts: Counts,
    pub nodes: Mutex<Vec<NodeFigures>>,
    pub seal: Seal,
    purges: mpsc::Sender<Purging>,
    leaving: mpsc::Sender<oneshot::Sender<()>>,
}

/// Revocations that this node has told.
#[derive(Default)]
pub(super) struct Told {
    pub log: VecDeque<Revocation>,
    /// The number of the next one.
    pub next: u64,
}

/// A purge that all nodes are told of.
pub(super) struct Purging {
    pub meant: Meant,
    pub mode: Mode,
    /// Who has not answered by then is silent.
    pub until: Tick,
    pub reply: oneshot::Sender<Replies>,
}

/// What the other nodes made of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replies {
    /// Who answered.
    pub answered: Vec<Reply>,
    /// Who is there and did not answer in time.
    pub silent: Vec<String>,
}

/// What one node made of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// How it is called.
    pub node: String,
    /// Objects and playlists that went, or why nothing did.
    pub outcome: Result<(u64, u64), String>,
}

/// Why something that came was passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    /// It was not from a node of the region.
    Forged,
    /// It was of another version, or malformed.
    Malformed,
    /// It was too old, or the clocks differ.
    Old,
    /// It had come before.
    Replayed,
    /// More nodes than there may be.
    Crowd,
}

impl Passed {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Forged, Self::Malformed, Self::Old, Self::Replayed, Self::Crowd];

    /// Its word in metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Forged => "forged",
            Self::Malformed => "malformed",
            Self::Old => "old",
            Self::Replayed => "replayed",
            Self::Crowd => "crowd",
        }
    }
}

/// Kinds of messages, by the words of metrics.
pub const KINDS: [&str; 7] = ["revoked", "beat", "ask", "page", "purge", "purged", "left"];

#[derive(Default)]
pub(super) struct Counts {
    pub connected: AtomicBool,
    pub sent: [AtomicU64; KINDS.len()],
    pub heard: [AtomicU64; KINDS.len()],
    pub passed: [AtomicU64; Passed::ALL.len()],
    pub dropped_out: AtomicU64,
    pub dropped_in: AtomicU64,
    pub caught_up: AtomicU64,
}

/// Another node as this one sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFigures {
    /// How it is called.
    pub name: String,
    /// When it was last heard.
    pub heard: Tick,
    /// Whether everything that it has told is known here.
    pub is_whole: bool,
    /// Its sessions that are known.
    pub sessions: usize,
}

/// The region as this node sees it.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Whether others can be reached.
    pub connected: bool,
    /// The others.
    pub nodes: Vec<NodeFigures>,
    /// Messages sent, by kind.
    pub sent: Vec<(&'static str, u64)>,
    /// Messages heard, by kind.
    pub heard: Vec<(&'static str, u64)>,
    /// What was passed over.
    pub passed: Vec<(Passed, u64)>,
    /// Messages that found no room, out and in.
    pub dropped: (u64, u64),
    /// How often something that was missed was asked for and came.
    pub caught_up: u64,
    /// Revocations that can be told to nodes that come, and those that found no place.
    pub book: (usize, u64),
}

/// What a bus needs of its node.
pub struct Node {
    /// How the node is called.
    pub name: String,
    /// The region; nodes of another one are not heard.
    pub region: String,
    /// This process.
    pub id: NodeId,
    /// The keys that all nodes of the region derive from their secrets, the current one first.
    pub keys: Vec<Key>,
    /// Revocations that are kept for nodes that come later, at most.
    pub revocations: usize,
}

/// The part of a bus that its task needs; [`Started::run`] begins.
pub struct Started {
    shared: Arc<Shared>,
    purges: mpsc::Receiver<Purging>,
    leaving: mpsc::Receiver<oneshot::Sender<()>>,
}

impl NodeId {
    /// One that no other process has.
    pub fn random() -> Self {
        let mut id = [0; 8];
        aws_lc_rs::rand::fill(&mut id).expect("the system has random numbers");
        Self(u64::from_be_bytes(id).max(1))
    }
}

impl Bus {
    /// A node alone: nobody is told anything.
    pub fn silent() -> Self {
        Self(None)
    }

    /// A voice that is heard once its task runs.
    pub fn new(node: &Node) -> (Self, Started) {
        let (purges, purge_orders) = mpsc::channel(PURGES);
        let (leaving, left) = mpsc::channel(1);
        let shared = Arc::new(Shared {
            name: node.name.clone(),
            told: Mutex::default(),
            book: Mutex::new(Book::new(node.revocations)),
            bell: Notify::new(),
            counts: Counts::default(),
            nodes: Mutex::default(),
            seal: Seal::new(&node.keys, &node.region, node.id),
            purges,
            leaving,
        });
        let started = Started { shared: shared.clone(), purges: purge_orders, leaving: left };
        (Self(Some(shared)), started)
    }

    /// Whether there is a region.
    pub fn is_silent(&self) -> bool {
        self.0.is_none()
    }

    /// A revocation has come into force that came to this node first, by an order or the backend's feed: the others are
    /// told.
    pub fn tell(&self, revocation: &Revocation) {
        let Some(shared) = &self.0 else { return };
        shared.book.lock().note(revocation);
        shared.told.lock().push(revocation);
        shared.bell.notify_one();
    }

    /// A revocation has come into force that the others know, or may: those who come later are told.
    pub fn note(&self, revocation: &Revocation) {
        if let Some(shared) = &self.0 {
            shared.book.lock().note(revocation);
        }
    }

    /// Has all other nodes purge, and waits for their answers until `until` at most. Not for this node's own purge.
    pub async fn purge(&self, meant: Meant, mode: Mode, until: Tick) -> Replies {
        let Some(shared) = &self.0 else { return Replies::default() };
        let (reply, replies) = oneshot::channel();
        let told = shared.purges.try_send(Purging { meant, mode, until, reply });
        match told {
            Ok(()) => replies.await.unwrap_or_default(),
            Err(_) => Replies { answered: Vec::new(), silent: shared.names() },
        }
    }

    /// From now on the region's keys are these, the current one first.
    pub fn rekey(&self, keys: &[Key]) {
        if let Some(shared) = &self.0 {
            shared.seal.rekey(keys);
        }
    }

    /// Tells the others what they do not know yet and that this node leaves, until `until` at most.
    pub async fn leave(&self, clock: &Clock, until: Tick) {
        let Some(shared) = &self.0 else { return };
        let (reply, left) = oneshot::channel();
        if shared.leaving.try_send(reply).is_ok() {
            tokio::select! {
                biased;
                _ = left => {}
                () = clock.sleep_until(until) => {}
            }
        }
    }

    /// The region as this node sees it; `None`: there is none.
    pub fn figures(&self) -> Option<Figures> {
        let shared = self.0.as_ref()?;
        let counts = &shared.counts;
        let by_kind = |counts: &[AtomicU64; KINDS.len()]| {
            KINDS.iter().zip(counts).map(|(kind, count)| (*kind, count.load(Relaxed))).collect()
        };
        Some(Figures {
            connected: counts.connected.load(Relaxed),
            nodes: shared.nodes.lock().clone(),
            sent: by_kind(&counts.sent),
            heard: by_kind(&counts.heard),
            passed: Passed::ALL.iter().zip(&counts.passed).map(|(why, count)| (*why, count.load(Relaxed))).collect(),
            dropped: (counts.dropped_out.load(Relaxed), counts.dropped_in.load(Relaxed)),
            caught_up: counts.caught_up.load(Relaxed),
            book: shared.book.lock().count(),
        })
    }
}

impl Started {
    /// Speaks and listens over `wire` until the node has left, or the wire ends.
    pub async fn run(self, listener: Arc<dyn Listener>, wire: Wire, (clock, tasks): (Clock, Tasks)) {
        let Self { shared, purges, leaving } = self;
        Rounds::new(shared, listener, wire, (clock, tasks)).run(purges, leaving).await;
    }
}

impl Shared {
    fn names(&self) -> Vec<String> {
        self.nodes.lock().iter().map(|node| node.name.clone()).collect()
    }
}

impl Told {
    fn push(&mut self, revocation: &Revocation) {
        if self.log.len() >= LOG {
            self.log.pop_front();
        }
        self.log.push_back(revocation.clone());
        self.next += 1;
    }

    /// Those from a number on, at most so many; `None`: they are no longer here.
    pub fn from(&self, first: u64, most: usize) -> Option<Vec<Revocation>> {
        let skip = first.checked_sub(self.next - self.log.len() as u64)?;
        Some(self.log.iter().skip(usize::try_from(skip).ok()?).take(most).cloned().collect())
    }
}

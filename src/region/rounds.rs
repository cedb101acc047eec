//! The one task that speaks and listens for a node: it sends what is new, says once a second that the node is there and how
//! far it is, and asks the others for what it lacks of theirs, one after the other.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::{info, warn};

use crate::clock::{Clock, Tick};
use crate::rules::caching::purge::{Meant, Mode};
use crate::tasks::Tasks;

use super::bus::{Listener, Passed, Purging, Replies, Reply, Shared};
use super::message::{Beat, Items, Lack, MOST, Message, NodeId, Page, Presence, Said, To};
use super::others::Other;
use super::replay::Replays;
use super::wire::{Happened, Order, Wire};

/// Between two looks at what became of this node's sessions.
const TICK: Duration = Duration::from_millis(200);
/// A node is heard this often.
const BEAT: Duration = Duration::from_secs(1);
/// A node that is not heard for this long is gone, and its sessions count no longer.
pub const GONE: Duration = Duration::from_secs(10);
/// How far two clocks may be apart, and how long a message may take.
const SKEW_SECONDS: u64 = 30;
/// Nodes of a region, at most.
const NODES: usize = 256;
/// For one page.
const ANSWER: Duration = Duration::from_secs(2);
/// Questions in a row without an answer; then the node rests.
const TRIES: u8 = 3;
const REST: Duration = Duration::from_secs(5);
/// Purges of others that are carried out at once.
const PURGES: usize = 16;

/// The task's state.
pub(super) struct Rounds {
    shared: Arc<Shared>,
    listener: Arc<dyn Listener>,
    wire: Wire,
    clock: Clock,
    tasks: Tasks,
    others: BTreeMap<NodeId, Other>,
    connected: bool,
    /// Revocations before this number were sent.
    sent: u64,
    /// Changes of this node's sessions before this number were sent.
    changed: u64,
    next_tick: Tick,
    next_beat: Tick,
    pull: Option<Pull>,
    /// This node's sessions, for those who ask for all of them.
    snapshot: Snapshot,
    orders: HashMap<u64, Pending>,
    replays: Replays,
    purging: Arc<AtomicUsize>,
}

/// A question that is open.
struct Pull {
    node: NodeId,
    lack: Lack,
    ask: u64,
    until: Tick,
    tries: u8,
    /// Up to where the first page says that everything comes.
    upto: Option<u64>,
}

#[derive(Default)]
struct Snapshot {
    number: u64,
    upto: u64,
    sessions: Vec<Presence>,
}

/// A purge whose answers are awaited.
struct Pending {
    awaited: Vec<(NodeId, String)>,
    answered: Vec<Reply>,
    until: Tick,
    reply: oneshot::Sender<Replies>,
}

impl Rounds {
    pub fn new(shared: Arc<Shared>, listener: Arc<dyn Listener>, wire: Wire, (clock, tasks): (Clock, Tasks)) -> Self {
        let now = clock.now();
        Self {
            shared,
            listener,
            wire,
            clock,
            tasks,
            others: BTreeMap::new(),
            connected: false,
            sent: 0,
            changed: 0,
            next_tick: now,
            next_beat: now,
            pull: None,
            snapshot: Snapshot::default(),
            orders: HashMap::new(),
            replays: Replays::default(),
            purging: Arc::default(),
        }
    }

    pub async fn run(mut self, mut purges: mpsc::Receiver<Purging>, mut leaving: mpsc::Receiver<oneshot::Sender<()>>) {
        let shared = self.shared.clone();
        loop {
            let timer = self.clock.sleep_until(self.next_tick);
            tokio::select! {
                biased;
                left = leaving.recv() => {
                    self.leave(left).await;
                    return;
                }
                happened = self.wire.events.recv() => match happened {
                    Some(happened) => self.happened(happened),
                    None => return,
                },
                () = shared.bell.notified() => self.tell(),
                order = purges.recv() => match order {
                    Some(order) => self.order(order),
                    None => return,
                },
                () = timer => self.tick(),
            }
            self.ask();
        }
    }

    fn happened(&mut self, happened: Happened) {
        let counts = &self.shared.counts;
        match happened {
            Happened::Connected => {
                info!("the region can be reached");
                self.connected = true;
                counts.connected.store(true, Relaxed);
                self.tell();
                self.beat(Vec::new());
            }
            Happened::Lost => {
                warn!("the region cannot be reached: this node goes on alone");
                self.connected = false;
                counts.connected.store(false, Relaxed);
                self.others.values_mut().for_each(|other| other.is_confirmed = false);
                self.show();
            }
            Happened::Dropped(count) => _ = counts.dropped_in.fetch_add(count, Relaxed),
            Happened::Came(to, octets) => match self.shared.seal.open(to, &octets) {
                Ok(said) if said.by == self.shared.seal.own => {}
                Ok(said) => {
                    counts.heard[usize::from(said.message.kind())].fetch_add(1, Relaxed);
                    self.hear(said);
                }
                Err(super::message::Unheard::Forged) => self.pass(Passed::Forged),
                Err(super::message::Unheard::Malformed) => self.pass(Passed::Malformed),
            },
        }
    }

    fn pass(&self, why: Passed) {
        self.shared.counts.passed[why as usize].fetch_add(1, Relaxed);
    }

    fn hear(&mut self, said: Said) {
        let Said { by, number, at, message } = said;
        let is_old = self.clock.wall().since_epoch().as_secs().abs_diff(at) > SKEW_SECONDS;
        match message {
            // It changes nothing to hear one again, and a clock that is wrong is no reason to let somebody go on.
            Message::Revoked(first, revocations) => {
                if let Some(other) = self.others.get_mut(&by) {
                    other.told.heard(first, revocations.len() as u64);
                }
                self.listener.revoked(&revocations);
            }
            Message::Beat(_) | Message::Purge(..) if is_old => self.pass(Passed::Old),
            Message::Beat(beat) => self.heard_beat((by, number), &beat),
            Message::Ask(ask, lack) => {
                let page = self.page(ask, lack);
                self.send(To::Node(by), &Message::Page(page));
            }
            Message::Page(page) => self.heard_page(by, page),
            Message::Purge(order, meant, mode) => {
                let taken = self.replays.take((by.0, number), self.clock.wall(), 2 * SKEW_SECONDS);
                match taken {
                    Ok(()) => self.carry_out((by, order), meant, mode),
                    Err(_) => self.pass(Passed::Replayed),
                }
            }
            Message::Purged(order, node, outcome) => self.heard_answer((by, order), Reply { node, outcome }),
            Message::Left => {
                // A replayed one is followed by a beat that makes good for it.
                if !is_old {
                    self.gone(by);
                }
            }
        }
    }

    fn heard_beat(&mut self, (by, number): (NodeId, u64), beat: &Beat) {
        let now = self.clock.now();
        let is_new = !self.others.contains_key(&by);
        if is_new && self.others.len() >= NODES {
            return self.pass(Passed::Crowd);
        }
        let other = self.others.entry(by).or_insert_with(|| Other::new(beat.name.clone(), now));
        if number <= other.number {
            return self.pass(Passed::Replayed);
        }
        (other.number, other.heard) = (number, now);
        let fresh = other.beat(beat);
        if !fresh.is_empty() {
            self.listener.apply(by, &fresh);
        }
        if is_new {
            info!(node = beat.name, "a node of the region is there");
            // It learns at once that this one is there too.
            self.beat(Vec::new());
            self.show();
        }
    }

    /// Sends revocations that came to this node first.
    fn tell(&mut self) {
        while self.connected {
            let (first, revocations) = {
                let told = self.shared.told.lock();
                // What no longer is in the log is asked for by those who see that it is missing.
                self.sent = self.sent.max(told.next - told.log.len() as u64);
                (self.sent, told.from(self.sent, MOST).unwrap_or_default())
            };
            if revocations.is_empty() {
                return;
            }
            self.sent += revocations.len() as u64;
            self.send(To::All, &Message::Revoked(first, revocations));
        }
    }

    fn tick(&mut self) {
        let now = self.clock.now();
        self.next_tick = now + TICK;
        if self.connected {
            self.tell_changes();
            if now >= self.next_beat {
                self.beat(Vec::new());
            }
        }
        let gone = |(node, other): (&NodeId, &Other)| (now.since(other.heard) > GONE).then_some(*node);
        let silent: Vec<_> = self.others.iter().filter_map(gone).collect();
        silent.into_iter().for_each(|node| self.gone(node));
        let over: Vec<_> = self.orders.iter().filter(|(_, order)| order.until <= now).map(|(id, _)| *id).collect();
        over.into_iter().for_each(|order| self.settle(order));
        if self.pull.as_ref().is_some_and(|pull| pull.until <= now) {
            self.ask_again(now);
        }
        self.show();
    }

    fn show(&self) {
        *self.shared.nodes.lock() = self.others.values().map(Other::figures).collect();
    }

    fn gone(&mut self, node: NodeId) {
        let Some(other) = self.others.remove(&node) else { return };
        info!(node = other.name, "a node of the region is gone");
        self.listener.apply(node, &other.into_gone());
        if self.pull.as_ref().is_some_and(|pull| pull.node == node) {
            self.pull = None;
        }
        self.show();
    }

    /// Tells what became of this node's sessions.
    fn tell_changes(&mut self) {
        match self.listener.changes() {
            Some(changes) => changes.chunks(MOST).for_each(|some| self.beat(some.to_vec())),
            // A number that nobody hears: all ask for all.
            None => {
                self.changed += 1;
                self.beat(Vec::new());
            }
        }
    }

    fn beat(&mut self, changes: Vec<Presence>) {
        let count = changes.len() as u64;
        let told = self.sent;
        let beat = Beat { name: self.shared.name.clone(), told, changed: self.changed, changes };
        self.changed += count;
        self.next_beat = self.clock.now() + BEAT;
        self.send(To::All, &Message::Beat(beat));
    }

    fn send(&self, to: To, message: &Message) {
        if !self.connected {
            return;
        }
        let counts = &self.shared.counts;
        let octets = self.shared.seal.seal(to, message, self.clock.wall());
        match self.wire.orders.try_send(Order::Send(to, octets)) {
            Ok(()) => counts.sent[usize::from(message.kind())].fetch_add(1, Relaxed),
            Err(_) => counts.dropped_out.fetch_add(1, Relaxed),
        };
    }

    /// A page of what another node lacks.
    fn page(&mut self, ask: u64, lack: Lack) -> Page {
        let now = self.clock.wall().since_epoch().as_secs();
        let gone = Page { ask, upto: 0, next: None, items: Items::Gone };
        match lack {
            Lack::Revocations(from) => {
                let piece = self.shared.book.lock().piece(from, MOST, now);
                let Some(piece) = piece else { return gone };
                Page { ask, upto: self.sent, next: piece.next, items: Items::Revocations(piece.revocations) }
            }
            Lack::Told(from) => {
                let told = self.shared.told.lock();
                let Some(revocations) = told.from(from, MOST) else { return gone };
                let next = from + revocations.len() as u64;
                let next = (next < told.next).then_some(next);
                Page { ask, upto: self.sent, next, items: Items::Revocations(revocations) }
            }
            Lack::Sessions(from) => self.page_of_sessions(ask, from).unwrap_or(gone),
        }
    }

    /// The upper half of a place names the snapshot, the lower the session in it.
    fn page_of_sessions(&mut self, ask: u64, from: u64) -> Option<Page> {
        if from == 0 {
            self.tell_changes();
            let number = (self.snapshot.number + 1) & 0x7FFF_FFFF;
            self.snapshot = Snapshot { number, upto: self.changed, sessions: self.listener.living() };
        }
        let Snapshot { number, upto, sessions } = &self.snapshot;
        let start = (from & 0xFFFF_FFFF) as usize;
        if from != 0 && from >> 32 != *number || start > sessions.len() {
            return None;
        }
        let end = sessions.len().min(start + MOST);
        let next = (end < sessions.len()).then_some(number << 32 | end as u64);
        let page = Page { ask, upto: *upto, next, items: Items::Sessions(sessions[start..end].to_vec()) };
        if next.is_none() {
            self.snapshot.sessions = Vec::new();
        }
        Some(page)
    }

    /// Asks one of those of whom something is lacking, if no question is open.
    fn ask(&mut self) {
        if self.pull.is_some() || !self.connected {
            return;
        }
        let now = self.clock.now();
        let lacking = self.others.iter_mut().find(|(_, other)| other.lacks() && other.rests_until <= now);
        let Some((node, other)) = lacking else { return };
        let lack = if !other.told.is_whole() {
            other.told.lacks_from().map_or(Lack::Revocations(0), Lack::Told)
        } else {
            other.begin_round();
            Lack::Sessions(0)
        };
        let node = *node;
        self.question(Pull { node, lack, ask: 0, until: now, tries: 0, upto: None });
    }

    fn question(&mut self, pull: Pull) {
        let mut ask = [0; 8];
        aws_lc_rs::rand::fill(&mut ask).expect("the system has random numbers");
        let ask = u64::from_le_bytes(ask);
        self.send(To::Node(pull.node), &Message::Ask(ask, pull.lack));
        self.pull = Some(Pull { ask, until: self.clock.now() + ANSWER, tries: pull.tries + 1, ..pull });
    }

    fn ask_again(&mut self, now: Tick) {
        let Some(pull) = self.pull.take() else { return };
        if pull.tries < TRIES && self.connected {
            return self.question(pull);
        }
        if let Some(other) = self.others.get_mut(&pull.node) {
            other.rests_until = now + REST;
        }
    }

    fn heard_page(&mut self, by: NodeId, page: Page) {
        let Some(pull) = self.pull.take_if(|pull| (pull.node, pull.ask) == (by, page.ask)) else { return };
        let Some(other) = self.others.get_mut(&by) else { return };
        let upto = pull.upto.unwrap_or(page.upto);
        let of_sessions = matches!(pull.lack, Lack::Sessions(_));
        match page.items {
            Items::Gone => {
                let lack = if of_sessions { Lack::Sessions(0) } else { Lack::Revocations(0) };
                // A table that is written anew all the time is not asked for without end.
                return match pull.tries < TRIES {
                    true => self.question(Pull { lack, upto: None, ..pull }),
                    false => other.rests_until = self.clock.now() + REST,
                };
            }
            Items::Revocations(revocations) => self.listener.revoked(&revocations),
            Items::Sessions(sessions) => {
                let fresh = other.page(&sessions);
                self.listener.apply(by, &fresh);
            }
        }
        let next = page.next.map(|next| match pull.lack {
            Lack::Revocations(_) => Lack::Revocations(next),
            Lack::Told(_) => Lack::Told(next),
            Lack::Sessions(_) => Lack::Sessions(next),
        });
        if let Some(lack) = next {
            return self.question(Pull { lack, upto: Some(upto), tries: 0, ..pull });
        }
        if of_sessions {
            other.changed.complete(upto);
            let over = other.end_round();
            self.listener.apply(by, &over);
        } else {
            other.told.complete(upto);
        }
        self.shared.counts.caught_up.fetch_add(1, Relaxed);
        self.show();
    }

    /// Has the others purge.
    fn order(&mut self, order: Purging) {
        let Purging { meant, mode, until, reply } = order;
        let mut id = [0; 8];
        aws_lc_rs::rand::fill(&mut id).expect("the system has random numbers");
        let id = u64::from_le_bytes(id);
        let awaited: Vec<_> = self.others.iter().map(|(node, other)| (*node, other.name.clone())).collect();
        self.send(To::All, &Message::Purge(id, meant, mode));
        let until = if self.connected { until } else { self.clock.now() };
        let is_over = awaited.is_empty() || !self.connected;
        self.orders.insert(id, Pending { awaited, answered: Vec::new(), until, reply });
        if is_over {
            self.settle(id);
        }
    }

    fn heard_answer(&mut self, (by, order): (NodeId, u64), reply: Reply) {
        let Some(pending) = self.orders.get_mut(&order) else { return };
        pending.awaited.retain(|(node, _)| *node != by);
        if pending.answered.len() < NODES && !pending.answered.iter().any(|other| other.node == reply.node) {
            pending.answered.push(reply);
        }
        if pending.awaited.is_empty() {
            self.settle(order);
        }
    }

    /// Whoever ordered it is told what came of it; it may have gone.
    fn settle(&mut self, order: u64) {
        let Some(pending) = self.orders.remove(&order) else { return };
        let silent = pending.awaited.into_iter().map(|(_, name)| name).collect();
        _ = pending.reply.send(Replies { answered: pending.answered, silent });
    }

    /// Purges because another node said so, beside the rounds, and answers it.
    fn carry_out(&self, (by, order): (NodeId, u64), meant: Meant, mode: Mode) {
        let (listener, shared, clock) = (self.listener.clone(), self.shared.clone(), self.clock.clone());
        let (orders, purging) = (self.wire.orders.clone(), self.purging.clone());
        let is_crowd = purging.fetch_add(1, Relaxed) >= PURGES;
        self.tasks.spawn_blocking("region-purge", move || {
            let outcome = match is_crowd {
                true => Err("too many purges at once".to_owned()),
                false => listener.purge(&meant, mode),
            };
            purging.fetch_sub(1, Relaxed);
            let answer = Message::Purged(order, shared.name.clone(), outcome);
            // Where there is no room the other one calls this node silent.
            _ = orders.try_send(Order::Send(To::Node(by), shared.seal.seal(To::Node(by), &answer, clock.wall())));
        });
    }

    /// Says what is left to be said, and goodbye.
    async fn leave(mut self, left: Option<oneshot::Sender<()>>) {
        self.tell();
        self.send(To::All, &Message::Left);
        let (flushed, done) = oneshot::channel();
        if self.connected && self.wire.orders.send(Order::Flush(flushed)).await.is_ok() {
            // Where the wire has ended there is nobody left to be told.
            _ = done.await;
        }
        if let Some(left) = left {
            _ = left.send(());
        }
    }
}

//! Several nodes on one wire that loses what it is told to lose, and time that moves by hand.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::bus::{Bus, Listener, Node, Replies, Reply};
use super::message::{NodeId, Presence, To};
use super::rounds::GONE;
use super::wire::{Happened, Order, Wire};
use crate::clock::{Clock, WallTime};
use crate::rules::caching::purge::{Meant, Mode};
use crate::rules::session::{Revocation, SessionId, What};
use crate::tasks::Tasks;

const KEY: [u8; 32] = [7; 32];

/// Carries octets between nodes that can be reached.
#[derive(Default)]
struct Hub {
    nodes: Mutex<BTreeMap<NodeId, mpsc::Sender<Happened>>>,
    cut: Mutex<HashSet<NodeId>>,
    /// One of so many messages is lost, by a lot that is the same each time; 0: none.
    loses: AtomicU64,
    count: AtomicU64,
}

impl Hub {
    fn join(self: &Arc<Self>, node: NodeId, tasks: &Tasks) -> Wire {
        let (happened, events) = mpsc::channel(4_096);
        let (orders, mut ordered) = mpsc::channel(4_096);
        happened.try_send(Happened::Connected).unwrap();
        self.nodes.lock().insert(node, happened);
        let hub = self.clone();
        tasks.spawn("hub", async move {
            while let Some(order) = ordered.recv().await {
                match order {
                    Order::Send(to, octets) => hub.carry(node, to, &octets),
                    Order::Flush(done) => _ = done.send(()),
                }
            }
        });
        Wire { orders, events }
    }

    fn carry(&self, from: NodeId, to: To, octets: &bytes::Bytes) {
        let every = self.loses.load(SeqCst);
        let lot = self.count.fetch_add(1, SeqCst).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
        let lost = every > 0 && lot.is_multiple_of(every);
        if lost || self.cut.lock().contains(&from) {
            return;
        }
        for (node, happened) in self.nodes.lock().iter() {
            let is_for_it = *node != from && (to == To::All || to == To::Node(*node));
            if is_for_it && !self.cut.lock().contains(node) {
                _ = happened.try_send(Happened::Came(to, octets.clone()));
            }
        }
    }

    fn cut(&self, node: NodeId) {
        self.cut.lock().insert(node);
        self.nodes.lock()[&node].try_send(Happened::Lost).unwrap();
    }

    fn heal(&self, node: NodeId) {
        self.cut.lock().remove(&node);
        self.nodes.lock()[&node].try_send(Happened::Connected).unwrap();
    }
}

/// What a node of the tests knows.
#[derive(Default)]
struct Memory {
    bus: Mutex<Bus>,
    revoked: Mutex<BTreeSet<u64>>,
    changes: Mutex<Option<Vec<Presence>>>,
    living: Mutex<Vec<Presence>>,
    elsewhere: Mutex<BTreeSet<(NodeId, SessionId)>>,
    purged: Mutex<Vec<Meant>>,
}

impl Memory {
    /// As the table does: what is new is announced.
    fn take(&self, revocations: &[Revocation]) -> Vec<Revocation> {
        let is_new = |one: &&Revocation| match one.what {
            What::Subject(print) => self.revoked.lock().insert(print),
            _ => false,
        };
        revocations.iter().filter(is_new).cloned().collect()
    }
}

impl Listener for Memory {
    fn revoked(&self, revocations: &[Revocation]) {
        self.take(revocations).iter().for_each(|one| self.bus.lock().note(one));
    }

    fn changes(&self) -> Option<Vec<Presence>> {
        self.changes.lock().replace(Vec::new())
    }

    fn living(&self) -> Vec<Presence> {
        self.living.lock().clone()
    }

    fn apply(&self, node: NodeId, changes: &[Presence]) {
        let mut elsewhere = self.elsewhere.lock();
        for change in changes {
            let key = (node, change.session);
            let is_new = if change.goes_on { elsewhere.insert(key) } else { elsewhere.remove(&key) };
            assert!(is_new, "only news are handed on: {change:?}");
        }
    }

    fn purge(&self, meant: &Meant, _: Mode) -> Result<(u64, u64), String> {
        self.purged.lock().push(meant.clone());
        match meant {
            Meant::Stream(_) => Err("no such stream".to_owned()),
            _ => Ok((3, 1)),
        }
    }
}

struct Member {
    id: NodeId,
    bus: Bus,
    memory: Arc<Memory>,
}

impl Member {
    fn revoke(&self, prints: impl IntoIterator<Item = u64>) {
        let revocations: Vec<_> = prints.into_iter().map(revocation).collect();
        self.memory.take(&revocations).iter().for_each(|one| self.bus.tell(one));
    }

    fn knows(&self) -> BTreeSet<u64> {
        self.memory.revoked.lock().clone()
    }

    fn begins(&self, session: u8) {
        self.change(lives(session));
    }

    fn ends(&self, session: u8) {
        self.change(Presence { goes_on: false, ..lives(session) });
    }

    fn change(&self, presence: Presence) {
        let mut living = self.memory.living.lock();
        living.retain(|one| one.session != presence.session);
        if presence.goes_on {
            living.push(presence.clone());
        }
        if let Some(changes) = self.memory.changes.lock().as_mut() {
            changes.push(presence);
        }
    }

    /// The sessions of another node that it knows.
    fn sees(&self, other: &Member) -> Vec<u8> {
        let elsewhere = self.memory.elsewhere.lock();
        elsewhere.iter().filter(|(node, _)| *node == other.id).map(|(_, session)| session.0[0]).collect()
    }

    fn is_whole(&self, others: usize) -> bool {
        let figures = self.bus.figures().unwrap();
        figures.nodes.len() == others && figures.nodes.iter().all(|node| node.is_whole)
    }

    fn passed(&self, word: &str) -> u64 {
        let figures = self.bus.figures().unwrap();
        figures.passed.iter().find(|(why, _)| why.word() == word).unwrap().1
    }
}

fn revocation(print: u64) -> Revocation {
    Revocation { access: "members".into(), what: What::Subject(print), at: 1_800_000_000, until: 1_900_000_000 }
}

fn lives(session: u8) -> Presence {
    let session = SessionId([session; 12]);
    Presence { access: "members".into(), subject: 7, session, began_ms: 5, goes_on: true }
}

struct Region {
    clock: Clock,
    tasks: Tasks,
    hub: Arc<Hub>,
}

impl Region {
    fn new() -> Self {
        let clock = Clock::manual(WallTime::at(Duration::from_secs(1_800_000_000)));
        Self { clock, tasks: Tasks::current(), hub: Arc::default() }
    }

    fn node(&self, id: u64) -> Member {
        self.node_with(id, KEY, &self.clock)
    }

    fn node_with(&self, id: u64, key: [u8; 32], clock: &Clock) -> Member {
        let id = NodeId(id);
        let (name, region) = (format!("edge-{}", id.0), "ams".to_owned());
        let (bus, started) = Bus::new(&Node { name, region, id, keys: vec![key.into()], revocations: 1_000_000 });
        let memory = Arc::new(Memory::default());
        *memory.bus.lock() = bus.clone();
        *memory.changes.lock() = Some(Vec::new());
        let wire = self.hub.join(id, &self.tasks);
        self.tasks.spawn("region", started.run(memory.clone(), wire, (clock.clone(), self.tasks.clone())));
        Member { id, bus, memory }
    }

    /// Lets time pass until it is so.
    async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = self.clock.now();
        while !is_so() {
            self.pass(Duration::from_millis(20)).await;
            assert!(self.clock.now().since(begun) < Duration::from_secs(120), "never: {what}");
        }
    }

    async fn pass(&self, time: Duration) {
        // Each step is a few messages and tasks long.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        self.clock.advance(time);
    }

    /// Purges from a node; time passes only once it may. Those who purge do so on threads of their own.
    async fn purge(&self, node: &Member, meant: Meant, time_passes: impl Fn() -> bool) -> Replies {
        let until = self.clock.now() + Duration::from_secs(2);
        let purge = node.bus.purge(meant, Mode::Hard, until);
        tokio::pin!(purge);
        loop {
            let step = if time_passes() { Duration::from_millis(50) } else { Duration::ZERO };
            tokio::select! {
                biased;
                replies = &mut purge => break replies,
                () = self.pass(step) => {}
            }
        }
    }

    async fn three(&self) -> [Member; 3] {
        let all = [self.node(1), self.node(2), self.node(3)];
        self.until("all know each other", || all.iter().all(|node| node.is_whole(2))).await;
        all
    }
}

#[tokio::test]
async fn a_revocation_on_one_node_is_in_force_on_all() {
    let region = Region::new();
    let [a, b, c] = region.three().await;
    let begun = region.clock.now();
    a.revoke([1]);
    region.until("both know it", || [&b, &c].iter().all(|node| node.knows().contains(&1))).await;
    assert!(region.clock.now().since(begun) < Duration::from_millis(100), "it waits for no beat");
    assert_eq!(b.bus.figures().unwrap().book.0, 1, "and will tell those who come");
}

#[tokio::test]
async fn a_node_that_was_away_gets_what_it_missed_and_the_others_what_it_took() {
    let region = Region::new();
    let [a, b, c] = region.three().await;
    region.hub.cut(c.id);
    region.until("it is alone", || !c.bus.figures().unwrap().connected).await;
    a.revoke(0..1_500);
    b.revoke([5_000]);
    c.revoke(9_000..9_005);
    // Longer than a silent node is remembered.
    region.until("the others have forgotten it", || a.is_whole(1)).await;
    assert_eq!(c.knows().len(), 5, "it works alone");
    region.hub.heal(c.id);
    let all: BTreeSet<u64> = (0..1_500).chain([5_000]).chain(9_000..9_005).collect();
    region.until("all know all", || [&a, &b, &c].iter().all(|node| node.knows() == all)).await;
}

#[tokio::test]
async fn a_short_absence_costs_only_what_was_missed() {
    let region = Region::new();
    let [a, _, c] = region.three().await;
    a.revoke(0..3_000);
    region.until("it knows them", || c.knows().len() == 3_000).await;
    region.pass(Duration::from_secs(2)).await;
    let pages = |node: &Member| node.bus.figures().unwrap().heard.iter().find(|(kind, _)| *kind == "page").unwrap().1;
    region.hub.cut(c.id);
    region.until("it is alone", || !c.bus.figures().unwrap().connected).await;
    a.revoke([7_000]);
    region.pass(Duration::from_secs(2)).await;
    let before = pages(&c);
    region.hub.heal(c.id);
    region.until("it knows what it missed", || c.knows().contains(&7_000)).await;
    assert_eq!(pages(&c), before + 1);
}

#[tokio::test]
async fn a_node_that_comes_late_learns_everything() {
    let region = Region::new();
    let [a, b] = [region.node(1), region.node(2)];
    region.until("both know each other", || a.is_whole(1) && b.is_whole(1)).await;
    a.revoke(0..2_500);
    a.begins(1);
    a.begins(2);
    region.until("b knows it", || b.knows().len() == 2_500 && b.sees(&a) == [1, 2]).await;
    region.hub.cut(a.id);
    let c = region.node(3);
    region.until("c learns from b what a said", || c.knows().len() == 2_500).await;
    region.hub.heal(a.id);
    region.until("c sees a's sessions", || c.sees(&a) == [1, 2]).await;
}

#[tokio::test]
async fn whoever_missed_more_than_is_kept_is_told_everything() {
    let region = Region::new();
    let [a, b, c] = region.three().await;
    region.hub.cut(b.id);
    region.until("it is alone", || !b.bus.figures().unwrap().connected).await;
    a.revoke(0..25_000);
    region.until("the other one knows them", || c.knows().len() == 25_000).await;
    region.hub.heal(b.id);
    region.until("it knows them too", || b.knows().len() == 25_000).await;
}

#[tokio::test]
async fn what_is_lost_on_the_way_is_noticed_and_asked_for() {
    for loses in [2, 3, 5] {
        let region = Region::new();
        let [a, b, c] = region.three().await;
        region.hub.loses.store(loses, SeqCst);
        for step in 0..20_u8 {
            a.revoke([u64::from(step)]);
            b.revoke([100 + u64::from(step)]);
            c.begins(step);
            if step.is_multiple_of(3) {
                c.ends(step);
            }
            region.pass(Duration::from_millis(300)).await;
        }
        let all: BTreeSet<u64> = (0..20).chain(100..120).collect();
        let living: Vec<u8> = (0..20_u8).filter(|step| !step.is_multiple_of(3)).collect();
        region
            .until("nothing is lacking", || {
                [&a, &b, &c].iter().all(|node| node.knows() == all) && a.sees(&c) == living && b.sees(&c) == living
            })
            .await;
    }
}

#[tokio::test]
async fn sessions_of_other_nodes_count_until_they_end_or_their_node_is_gone() {
    let region = Region::new();
    let [a, b, c] = region.three().await;
    let begun = region.clock.now();
    a.begins(1);
    a.begins(2);
    b.begins(3);
    region.until("c sees them", || c.sees(&a) == [1, 2] && c.sees(&b) == [3]).await;
    assert!(region.clock.now().since(begun) < Duration::from_millis(500), "that is the bound of a limit's error");
    a.ends(1);
    region.until("one is over", || c.sees(&a) == [2]).await;
    region.hub.cut(a.id);
    let silent = region.clock.now();
    region.until("it is gone", || c.sees(&a).is_empty()).await;
    assert!(region.clock.now().since(silent) >= GONE - Duration::from_secs(1));
    assert_eq!(c.sees(&b), [3]);
}

#[tokio::test]
async fn where_too_much_has_changed_all_is_told() {
    let region = Region::new();
    let [a, b, _] = region.three().await;
    a.begins(1);
    region.until("it is seen", || b.sees(&a) == [1]).await;
    a.memory.living.lock().clear();
    (10..14).for_each(|session| a.memory.living.lock().push(lives(session)));
    *a.memory.changes.lock() = None;
    region.until("the new ones are seen, and not the old", || b.sees(&a) == [10, 11, 12, 13]).await;
}

#[tokio::test]
async fn a_node_that_leaves_says_so_once_all_is_told() {
    let region = Region::new();
    let [a, b, c] = region.three().await;
    a.begins(1);
    region.until("it is seen", || b.sees(&a) == [1]).await;
    let begun = region.clock.now();
    a.revoke([5]);
    a.bus.leave(&region.clock, begun + Duration::from_secs(5)).await;
    let is_gone = |node: &Member| node.knows().contains(&5) && node.sees(&a).is_empty() && node.is_whole(1);
    region.until("both know", || is_gone(&b) && is_gone(&c)).await;
    assert!(region.clock.now().since(begun) < Duration::from_secs(1));
}

#[tokio::test]
async fn a_purge_reaches_all_nodes_and_says_who_did_not_answer() {
    let region = Region::new();
    let [a, b, c] = region.three().await;
    let reply = |node: &Member, outcome| Reply { node: format!("edge-{}", node.id.0), outcome };
    let mut replies = region.purge(&a, Meant::All, || false).await;
    replies.answered.sort_by(|one, other| one.node.cmp(&other.node));
    assert_eq!(replies, Replies { answered: vec![reply(&b, Ok((3, 1))), reply(&c, Ok((3, 1)))], silent: Vec::new() });
    assert_eq!((a.memory.purged.lock().len(), c.memory.purged.lock().as_slice()), (0, &[Meant::All][..]));
    region.hub.cut.lock().insert(c.id);
    let answers = |node: &Member| {
        let figures = node.bus.figures().unwrap();
        figures.heard.iter().find(|(kind, _)| *kind == "purged").unwrap().1
    };
    let replies = region.purge(&a, Meant::Stream("one".to_owned()), || answers(&a) == 3).await;
    let answered = vec![reply(&b, Err("no such stream".to_owned()))];
    assert_eq!(replies, Replies { answered, silent: vec!["edge-3".to_owned()] });
    region.hub.cut(a.id);
    region.until("a is alone", || !a.bus.figures().unwrap().connected).await;
    let replies = region.purge(&a, Meant::All, || false).await;
    assert_eq!(replies.silent.len(), 2, "nobody could be told");
}

#[tokio::test]
async fn a_stranger_on_the_wire_is_not_heard() {
    let region = Region::new();
    let [a, b] = [region.node(1), region.node(2)];
    let stranger = region.node_with(9, [8; 32], &region.clock);
    region.until("the two know each other", || a.is_whole(1) && b.is_whole(1)).await;
    stranger.revoke([1]);
    region.until("it was heard of", || a.passed("forged") > 2 && b.passed("forged") > 2).await;
    assert!(a.knows().is_empty() && b.knows().is_empty());
    a.revoke([2]);
    region.until("the other one knows", || b.knows().contains(&2)).await;
    assert!(!stranger.knows().contains(&2));
}

#[tokio::test]
async fn a_node_whose_clock_is_wrong_is_told_of_revocations_all_the_same() {
    let region = Region::new();
    let a = region.node(1);
    let wrong = Clock::manual(WallTime::at(Duration::from_secs(1_700_000_000)));
    let b = region.node_with(2, KEY, &wrong);
    region.until("a has heard it", || a.passed("old") > 0).await;
    b.revoke([1]);
    region.until("a knows", || a.knows().contains(&1)).await;
    a.revoke([2]);
    region.until("b knows", || b.knows().contains(&2)).await;
    assert!(a.bus.figures().unwrap().nodes.is_empty(), "it counts for nothing else");
}

#[tokio::test]
async fn a_message_that_is_sent_again_changes_nothing() {
    let region = Region::new();
    let [a, b, _] = region.three().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    // Somebody on the wire notes what a says.
    let (happened, mut events) = mpsc::channel(4_096);
    region.hub.nodes.lock().insert(NodeId(99), happened);
    let noted = seen.clone();
    region.tasks.spawn("spy", async move {
        while let Some(event) = events.recv().await {
            if let Happened::Came(To::All, octets) = event {
                noted.lock().push(octets);
            }
        }
    });
    a.begins(1);
    region.purge(&a, Meant::All, || false).await;
    region.until("b sees it", || b.sees(&a) == [1]).await;
    a.ends(1);
    region.until("b sees that it is over", || b.sees(&a).is_empty()).await;
    let again = seen.lock().clone();
    let to_b = region.hub.nodes.lock()[&b.id].clone();
    again.into_iter().for_each(|octets| to_b.try_send(Happened::Came(To::All, octets)).unwrap());
    region.until("b has passed them over", || b.passed("replayed") > 1).await;
    assert_eq!(b.memory.purged.lock().len(), 1);
    assert!(b.sees(&a).is_empty() && b.is_whole(2));
}

#[tokio::test]
async fn a_node_alone_tells_nobody() {
    let bus = Bus::silent();
    bus.tell(&revocation(1));
    bus.note(&revocation(1));
    let clock = Clock::manual(WallTime::default());
    let replies = bus.purge(Meant::All, Mode::Hard, clock.now()).await;
    bus.leave(&clock, clock.now()).await;
    assert_eq!(replies, Replies::default());
    assert!(bus.figures().is_none());
}

//! What happens to sessions, told to the backend of their access: signed batches, in order, at least once.
//!
//! Whoever tells never waits: an event goes into the queue of its access, and where that is full the oldest goes out and
//! is counted. One task for each access sends what is there, a batch at a time, and tries it again for a bounded time.
//! What waits is in memory alone: a node that is killed loses it, one that is drained sends it first.

mod delivery;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Tick};
use crate::config::access::Access;
use crate::outbound::tls::TlsSetupError;
use crate::rules::session::{Event, EventKind};
use crate::tasks::Tasks;

use delivery::Target;
pub use delivery::{Attempt, SIGNATURE};

/// Events of one batch, at most.
const BATCH: usize = 100;
/// Refusals that are told within a second, at most: whoever presents bad tokens by the thousand must not push out what
/// happens to good ones.
const REFUSALS: u32 = 100;
const SECOND: Duration = Duration::from_secs(1);

/// The backends of all accesses.
pub struct Webhooks {
    node: Arc<str>,
    hooks: ArcSwap<Vec<Arc<Hook>>>,
    /// Tells this process's events from those of any other.
    incarnation: u64,
    count: AtomicU64,
    clock: Clock,
    tasks: Tasks,
    /// Whether the node stops: what waits is tried at once, and not again.
    hurry: watch::Sender<bool>,
}

/// An event and the number by which the backend knows it again.
#[derive(Clone)]
struct Numbered {
    id: String,
    event: Event,
}

/// The backend of one access.
struct Hook {
    access: Arc<str>,
    target: ArcSwap<Target>,
    queue: Mutex<Queue>,
    bell: Notify,
    ended: CancellationToken,
    counts: Counts,
    last: Mutex<Last>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Numbered>,
    /// Being sent.
    under_way: usize,
    /// The backend wants nothing more (410), until the configuration changes.
    is_gone: bool,
    /// Refusals since a moment that is less than a second ago.
    refusals: (Tick, u32),
}

#[derive(Default)]
struct Counts {
    delivered: AtomicU64,
    dropped: AtomicU64,
    attempts: [AtomicU64; Attempt::ALL.len()],
}

#[derive(Default)]
struct Last {
    attempt: Option<Attempt>,
    delivered: Option<Tick>,
}

/// How one backend is served.
#[derive(Clone, Debug)]
pub struct Figures {
    /// The access.
    pub access: Arc<str>,
    /// Events that wait or are being sent.
    pub waiting: usize,
    /// Events that were taken.
    pub delivered: u64,
    /// Events that were lost: the queue was full, or the time for trying was over.
    pub dropped: u64,
    /// Attempts by what they came to.
    pub attempts: Vec<(Attempt, u64)>,
    /// What the last one came to.
    pub last: Option<Attempt>,
    /// When something was last taken.
    pub delivered_at: Option<Tick>,
    /// Whether the backend has said that it wants nothing more.
    pub is_gone: bool,
}

impl Webhooks {
    /// No backend yet. `node` is how the node is called.
    pub fn new(node: &str, clock: Clock, tasks: Tasks) -> Arc<Self> {
        let mut incarnation = [0; 8];
        aws_lc_rs::rand::fill(&mut incarnation).expect("the system has random numbers");
        Arc::new(Self {
            node: node.into(),
            hooks: ArcSwap::default(),
            incarnation: u64::from_be_bytes(incarnation),
            count: AtomicU64::new(0),
            clock,
            tasks,
            hurry: watch::Sender::new(false),
        })
    }

    /// From now on these are told. What waits for a backend that stays is kept.
    ///
    /// # Errors
    /// Where TLS towards one cannot be set up; nothing has changed then.
    pub fn follow(self: &Arc<Self>, accesses: &[Access]) -> Result<(), TlsSetupError> {
        let wanted = accesses.iter().filter_map(|access| Some((access.name.as_str(), access.webhook.as_ref()?)));
        let targets: Vec<_> =
            wanted.map(|(name, config)| Target::new(config).map(|target| (name, target))).collect::<Result<_, _>>()?;
        let before = self.hooks.load_full();
        let mut hooks = Vec::with_capacity(targets.len());
        for (name, target) in targets {
            match before.iter().find(|hook| *hook.access == *name) {
                Some(hook) => {
                    hook.turn_to(target);
                    hooks.push(hook.clone());
                }
                None => {
                    let hook = Arc::new(Hook::new(name, target));
                    self.tasks.spawn("webhook", delivery::run(self.clone(), hook.clone()));
                    hooks.push(hook);
                }
            }
        }
        for hook in before.iter().filter(|old| !hooks.iter().any(|hook| Arc::ptr_eq(hook, old))) {
            hook.ended.cancel();
        }
        self.hooks.store(Arc::new(hooks));
        Ok(())
    }

    /// Tells the backend of the event's access, if it wants to know. Never waits.
    pub fn tell(&self, event: Event) {
        let hooks = self.hooks.load();
        let Some(hook) = hooks.iter().find(|hook| hook.access == event.access) else { return };
        if hook.target.load().wants(event.kind) {
            let count = self.count.fetch_add(1, Relaxed);
            hook.take(Numbered { id: format!("{:016x}{count:08x}", self.incarnation), event }, self.clock.now());
        }
    }

    /// How each backend is served.
    pub fn figures(&self) -> Vec<Figures> {
        self.hooks.load().iter().map(|hook| hook.figures()).collect()
    }

    /// Sends what waits, without patience for those who fail, until `until`; from then on nothing is sent.
    pub async fn flush(&self, until: Tick) {
        self.hurry.send_replace(true);
        let hooks = self.hooks.load_full();
        let all = async {
            for hook in hooks.iter() {
                hook.emptied().await;
            }
        };
        tokio::select! {
            biased;
            () = all => {}
            () = self.clock.sleep_until(until) => {}
        }
        hooks.iter().for_each(|hook| hook.ended.cancel());
    }
}

impl Queue {
    /// Counts a refusal; whether there were too many within a second.
    fn has_many_refusals(&mut self, now: Tick) -> bool {
        let (since, count) = &mut self.refusals;
        if now.since(*since) >= SECOND {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count > REFUSALS
    }
}

impl Hook {
    fn new(access: &str, target: Target) -> Self {
        Self {
            access: access.into(),
            target: ArcSwap::from_pointee(target),
            queue: Mutex::default(),
            bell: Notify::new(),
            ended: CancellationToken::new(),
            counts: Counts::default(),
            last: Mutex::default(),
        }
    }

    fn turn_to(&self, target: Target) {
        if !self.target.load().is_as(&target) {
            self.target.store(Arc::new(target));
            self.queue.lock().is_gone = false;
        }
    }

    fn take(&self, event: Numbered, now: Tick) {
        let most = self.target.load().queue;
        let mut queue = self.queue.lock();
        let mut dropped = 0;
        let is_refusal = event.event.kind == EventKind::Refused;
        if queue.is_gone || is_refusal && queue.has_many_refusals(now) {
            dropped = 1;
        } else {
            while queue.waiting.len() >= most && queue.waiting.pop_front().is_some() {
                dropped += 1;
            }
            queue.waiting.push_back(event);
        }
        drop(queue);
        self.counts.dropped.fetch_add(dropped, Relaxed);
        self.bell.notify_waiters();
    }

    /// The next events to be sent, as soon as there are any.
    async fn batch(&self) -> Vec<Numbered> {
        loop {
            let rung = self.bell.notified();
            tokio::pin!(rung);
            rung.as_mut().enable();
            {
                let mut queue = self.queue.lock();
                let count = queue.waiting.len().min(BATCH);
                if count > 0 {
                    queue.under_way = count;
                    return queue.waiting.drain(..count).collect();
                }
            }
            rung.await;
        }
    }

    /// A batch is dealt with.
    fn done(&self, (delivered, dropped): (usize, usize)) {
        self.counts.delivered.fetch_add(delivered as u64, Relaxed);
        self.counts.dropped.fetch_add(dropped as u64, Relaxed);
        self.queue.lock().under_way = 0;
        self.bell.notify_waiters();
    }

    /// The backend wants nothing more.
    fn gone(&self) {
        let mut queue = self.queue.lock();
        queue.is_gone = true;
        let dropped = queue.waiting.len();
        queue.waiting.clear();
        self.counts.dropped.fetch_add(dropped as u64, Relaxed);
    }

    /// Completes when nothing waits or is being sent.
    async fn emptied(&self) {
        loop {
            let rung = self.bell.notified();
            tokio::pin!(rung);
            rung.as_mut().enable();
            {
                let queue = self.queue.lock();
                if queue.waiting.is_empty() && queue.under_way == 0 {
                    return;
                }
            }
            rung.await;
        }
    }

    fn figures(&self) -> Figures {
        let (waiting, is_gone) = {
            let queue = self.queue.lock();
            (queue.waiting.len() + queue.under_way, queue.is_gone)
        };
        let last = self.last.lock();
        let attempts = Attempt::ALL.iter().zip(&self.counts.attempts);
        Figures {
            access: self.access.clone(),
            waiting,
            delivered: self.counts.delivered.load(Relaxed),
            dropped: self.counts.dropped.load(Relaxed),
            attempts: attempts.map(|(attempt, count)| (*attempt, count.load(Relaxed))).collect(),
            last: last.attempt,
            delivered_at: last.delivered,
            is_gone,
        }
    }
}

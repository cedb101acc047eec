//! One sink: from the log to its target, a batch at a time, until nobody wants it any more.
//!
//! Order: a batch is cut, written down under its key, sent until it is dealt with, counted, and written down as that.
//! A process that is killed in between sends the same octets under the same key again. A batch from before an erasure is
//! made anew from the log.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::Tick;
use crate::config::sinks::{self, To};
use crate::journal::log::Numbered;
use crate::rules::delivery::progress::{Fate, Progress};
use crate::rules::delivery::verdict::Verdict;
use crate::rules::delivery::{backoff, batch};

use super::With;
use super::cursor::Cursor;
use super::figures::{Behind, Figures, Health};
use super::parcel::{Parcel, Stretch};
use super::quarantine::{Laid, Quarantine};
use super::target::{Attempt, Outcome, Target};

/// Attempts that fail behind each other before a sink is called down: one may always be unlucky.
const DOWN: u32 = 2;

/// One sink.
pub(super) struct Sink {
    pub name: String,
    armed: ArcSwap<Armed>,
    cursor: Cursor,
    quarantine: Quarantine,
    state: Mutex<State>,
    attempts: [AtomicU64; Attempt::ALL.len()],
    cursor_failures: AtomicU64,
    /// The configuration was read anew.
    bell: Notify,
    /// Nobody wants it any more.
    pub ended: CancellationToken,
    /// Nothing more is done for it.
    pub idle: CancellationToken,
}

struct Armed {
    config: sinks::Sink,
    target: Arc<dyn Target>,
}

struct State {
    progress: Progress,
    /// Whether that is written down.
    kept: bool,
    health: Health,
    /// Whether it wants nothing more, and is asked again only once the configuration was read anew.
    is_left_alone: bool,
    /// Attempts that failed behind each other.
    failures: u32,
    last: Option<(Attempt, String)>,
    delivered_at: Option<Tick>,
    batches: u64,
    octets: u64,
    /// When the oldest record was told that is not dealt with, in milliseconds since the epoch.
    oldest: Option<u64>,
}

/// How far a batch was brought.
enum Brought {
    /// It is dealt with.
    ToAnEnd(Fate),
    /// Something was erased since it was made: it is made anew.
    Outdated,
    /// The node stops.
    Nowhere,
}

/// Does for a sink what is to be done, until it has ended or the node stops.
pub(super) async fn run(sink: Arc<Sink>, with: Arc<With>) {
    let _idle = sink.idle.clone().drop_guard();
    let sending = async {
        while let Some(parcel) = sink.next(&with).await {
            match sink.deliver(&parcel, &with).await {
                Brought::ToAnEnd(fate) => sink.settle(&parcel, fate),
                Brought::Outdated => {}
                Brought::Nowhere => break,
            }
        }
        sink.write_down(&with).await;
    };
    _ = sink.ended.run_until_cancelled(sending).await;
}

impl Sink {
    /// Goes on where an earlier process had come to, or begins with the oldest record that is kept.
    pub fn open(config: sinks::Sink, target: Arc<dyn Target>, with: &With) -> Self {
        let (folder, name) = (with.folder.as_deref(), config.name.clone());
        let cursor = Cursor::new(folder, &name);
        let log = with.stories.log().figures();
        let progress = cursor.read().map_or(Progress::from(log.first), |progress| progress.in_log(log.next));
        let state = State {
            progress,
            kept: false,
            health: Health::Up,
            is_left_alone: false,
            failures: 0,
            last: None,
            delivered_at: None,
            batches: 0,
            octets: 0,
            oldest: None,
        };
        Self {
            armed: ArcSwap::from_pointee(Armed { config, target }),
            quarantine: Quarantine::new(folder, &name),
            name,
            cursor,
            state: Mutex::new(state),
            attempts: Default::default(),
            cursor_failures: AtomicU64::new(0),
            bell: Notify::new(),
            ended: CancellationToken::new(),
            idle: CancellationToken::new(),
        }
    }

    /// Its target, if it is the one that a configuration wants.
    pub fn target_of(&self, config: &sinks::Sink) -> Option<Arc<dyn Target>> {
        let armed = self.armed.load();
        let is_same = armed.config.to == config.to && armed.config.timeout == config.timeout;
        is_same.then(|| armed.target.clone())
    }

    /// From now on it is told so. Whoever wanted nothing more is asked again.
    pub fn turn_to(&self, config: sinks::Sink, target: Arc<dyn Target>) {
        self.armed.store(Arc::new(Armed { config, target }));
        self.state.lock().is_left_alone = false;
        self.bell.notify_one();
    }

    /// Something was erased: what waits to be sent is looked at again.
    pub fn look_again(&self) {
        self.bell.notify_one();
    }

    /// The next batch, written down; `None`: the node stops, and there is none.
    async fn next(&self, with: &With) -> Option<Parcel> {
        let log = with.stories.log();
        let mut hurry = with.hurry.subscribe();
        let mut failures = 0;
        loop {
            let (from, is_under_way) = self.place();
            let as_of = with.erasures.seen();
            if is_under_way {
                match self.resumed(as_of, with).await {
                    Ok(Some(parcel)) => return Some(parcel),
                    Ok(None) => {}
                    Err(error) => {
                        failures += 1;
                        self.unreadable(&error, failures, with).await;
                        continue;
                    }
                }
            }
            let config = self.armed.load_full();
            let (next, is_last) = (log.figures().readable, *hurry.borrow());
            if next <= from {
                self.write_down(with).await;
                if is_last {
                    return None;
                }
                tokio::select! {
                    () = log.reached(from) => {}
                    // Its sender lives as long as whoever waits here.
                    _ = hurry.wait_for(|hurry| *hurry) => {}
                }
                continue;
            }
            let records = match log.read(from, config.config.batch).await {
                Ok(records) => records,
                Err(error) => {
                    failures += 1;
                    self.unreadable(&error, failures, with).await;
                    continue;
                }
            };
            let is_full = records.last().is_some_and(|last| last.number + 1 < next);
            let wait = self.patience(&records, with).filter(|_| !is_full && !is_last);
            if let Some(until) = wait {
                self.write_down(with).await;
                tokio::select! {
                    () = with.clock.sleep_until(until) => {}
                    _ = hurry.wait_for(|hurry| *hurry) => {}
                }
                continue;
            }
            if let Some(parcel) = self.cut((&records, next, as_of), &config.config.events, with).await {
                return Some(parcel);
            }
        }
    }

    async fn unreadable(&self, error: &io::Error, failures: u32, with: &With) {
        warn!(sink = %self.name, %error, "the log cannot be read");
        with.clock.sleep(backoff::pause(failures, (with.lot)())).await;
    }

    fn place(&self) -> (u64, bool) {
        let state = self.state.lock();
        (state.progress.next, state.progress.under_way.is_some())
    }

    /// Until when a batch that is not full waits; `None`: it has waited.
    fn patience(&self, records: &[Numbered], with: &With) -> Option<Tick> {
        let oldest = records.first()?.record.at;
        self.state.lock().oldest = Some(oldest);
        let every = self.armed.load().config.every;
        let wait = batch::patience(oldest, now_ms(with), every);
        (!wait.is_zero()).then(|| with.clock.now() + wait)
    }

    /// Makes a batch of what was read, below `next`; `None`: nothing of it is for this sink.
    async fn cut(
        &self,
        (records, next, as_of): (&[Numbered], u64, u64),
        events: &BTreeSet<&'static str>,
        with: &With,
    ) -> Option<Parcel> {
        let most = self.armed.load().config.batch;
        let Some(stretch) = Stretch::cut(records, most, events).filter(|stretch| stretch.extent.count > 0) else {
            let last = records.last().map_or(next - 1, |last| last.number);
            self.passed(|progress| progress.pass_over(last, records.len() as u64));
            return None;
        };
        let key = batch::key(with.stories.name(), with.stories.boot(), stretch.extent.first, stretch.check());
        {
            let mut state = self.state.lock();
            state.progress.under_way = Some(stretch.under_way(key.clone()));
            state.kept = false;
        }
        self.write_down(with).await;
        Some(Parcel::new(stretch, key, as_of))
    }

    /// The batch that may have been sent already, if it can be made again as it was.
    ///
    /// # Errors
    /// Where the log cannot be read: nothing has changed.
    async fn resumed(&self, as_of: u64, with: &With) -> io::Result<Option<Parcel>> {
        let (from, under_way) = {
            let state = self.state.lock();
            (state.progress.next, state.progress.under_way.clone())
        };
        let Some(under_way) = under_way else { return Ok(None) };
        let records = with.stories.log().read(from, batch::LARGEST).await?;
        let end = records.partition_point(|numbered| numbered.number <= under_way.last);
        let events = &self.armed.load_full().config.events;
        let stretch = Stretch::cut(&records[..end], usize::MAX, events);
        let is_as_it_was = |stretch: &Stretch| {
            let again = stretch.under_way(String::new());
            (again.count, again.check) == (under_way.count, under_way.check)
        };
        let Some(stretch) = stretch.filter(is_as_it_was) else {
            // What is made of the rest is another batch, under another key; its records keep theirs.
            self.state.lock().progress.under_way = None;
            return Ok(None);
        };
        self.state.lock().oldest = Some(stretch.extent.from);
        Ok(Some(Parcel::new(stretch, under_way.key, as_of)))
    }

    /// Tries a batch until it is dealt with.
    async fn deliver(&self, parcel: &Parcel, with: &Arc<With>) -> Brought {
        loop {
            if with.erasures.seen() != parcel.as_of {
                return Brought::Outdated;
            }
            let is_last = *with.hurry.borrow();
            if !is_last && self.state.lock().is_left_alone {
                self.patience_until(None, with).await;
                continue;
            }
            let armed = self.armed.load_full();
            let outcome = armed.target.attempt(parcel, with).await;
            self.attempts[outcome.attempt as usize].fetch_add(1, Relaxed);
            let (verdict, failures) = (outcome.verdict, self.note(outcome, with));
            match verdict {
                Verdict::Taken => return Brought::ToAnEnd(Fate::Delivered),
                Verdict::Refused => {
                    return match self.quarantine.lay_aside(parcel, armed.config.quarantine, with).await {
                        Laid::Aside => Brought::ToAnEnd(Fate::Quarantined),
                        Laid::Nowhere => Brought::ToAnEnd(Fate::Refused),
                        Laid::Outdated => Brought::Outdated,
                    };
                }
                _ if is_last => return Brought::Nowhere,
                Verdict::Gone => {
                    let mut state = self.state.lock();
                    state.is_left_alone = Arc::ptr_eq(&armed, &self.armed.load_full());
                }
                Verdict::Again(wish) => {
                    let pause = backoff::pause_at_least(wish, failures, (with.lot)());
                    self.patience_until(Some(with.clock.now() + pause), with).await;
                }
            }
        }
    }

    /// Waits until it is time for the next attempt, until the configuration is read anew, or until the node stops.
    async fn patience_until(&self, until: Option<Tick>, with: &With) {
        let mut hurry = with.hurry.subscribe();
        let pause = async {
            match until {
                Some(until) => with.clock.sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = hurry.wait_for(|hurry| *hurry) => {}
            () = self.bell.notified() => {}
            () = pause => {}
        }
    }

    /// Notes what an attempt came to, and tells where that changes how the sink is; how many have failed until now.
    fn note(&self, Outcome { attempt, verdict, detail }: Outcome, with: &With) -> u32 {
        let (before, after, failures) = {
            let mut state = self.state.lock();
            state.failures = if let Verdict::Again(_) = verdict { state.failures.saturating_add(1) } else { 0 };
            let before = state.health;
            state.health = match verdict {
                Verdict::Taken => Health::Up,
                Verdict::Refused => Health::Refusing,
                Verdict::Gone => Health::Gone,
                Verdict::Again(_) if state.failures >= DOWN => Health::Down,
                Verdict::Again(_) => before,
            };
            state.last = Some((attempt, detail.clone()));
            if attempt == Attempt::Taken {
                state.delivered_at = Some(with.clock.now());
                state.last = Some((attempt, String::new()));
            }
            (before, state.health, state.failures)
        };
        if before != after {
            self.tell((before, after), &detail, with);
        }
        failures
    }

    fn tell(&self, (before, after): (Health, Health), detail: &str, with: &With) {
        let (sink, stories) = (self.name.as_str(), &with.stories);
        match after {
            Health::Down => {
                warn!(sink, why = detail, "a sink does not take what it is told; it waits in the log");
                stories.node("sink-down", Some(sink), Some(detail));
            }
            Health::Gone => {
                error!(sink, "a sink wants nothing more; it is told nothing until the configuration is reloaded");
                stories.node("sink-down", Some(sink), Some("it wants nothing more (410)"));
            }
            Health::Refusing => {
                error!(sink, why = detail, "a sink refuses a batch; it is laid aside, and the next one is sent");
                stories.node("alarm", Some(sink), Some(&format!("the sink refuses batches: {detail}")));
            }
            Health::Up => {
                info!(sink, "a sink takes what it is told again");
                let was_down = matches!(before, Health::Down | Health::Gone);
                if was_down {
                    stories.node("sink-up", Some(sink), None);
                }
            }
        }
    }

    /// A batch is dealt with.
    fn settle(&self, parcel: &Parcel, fate: Fate) {
        if fate == Fate::Delivered {
            let mut state = self.state.lock();
            state.batches += 1;
            state.octets += parcel.lines.len() as u64;
        }
        self.passed(|progress| progress.settle(fate));
    }

    fn passed(&self, pass: impl FnOnce(&mut Progress)) {
        let missed = {
            let mut state = self.state.lock();
            let before = state.progress.missed;
            pass(&mut state.progress);
            state.kept = false;
            state.oldest = None;
            state.progress.missed - before
        };
        if missed > 0 {
            warn!(sink = %self.name, records = missed, "the log let go of records before a sink had them");
        }
    }

    /// Writes down how far it has come, unless that is written down. Where the disk does not take it, a restart sends
    /// again what was sent, under the keys of its records.
    async fn write_down(&self, with: &With) {
        let progress = {
            let mut state = self.state.lock();
            if std::mem::replace(&mut state.kept, true) {
                return;
            }
            state.progress.clone()
        };
        if let Err(error) = self.cursor.keep(&progress, &with.tasks).await {
            self.state.lock().kept = false;
            if self.cursor_failures.fetch_add(1, Relaxed) == 0 {
                warn!(sink = %self.name, %error, "a sink's cursor cannot be written down");
            }
        }
    }

    /// How it does.
    pub fn figures(&self, with: &With) -> Figures {
        let log = with.stories.log().figures();
        let attempts = Attempt::ALL.iter().zip(&self.attempts);
        let attempts = attempts.map(|(attempt, count)| (*attempt, count.load(Relaxed))).collect();
        let state = self.state.lock();
        let records = log.next.saturating_sub(state.progress.next);
        let held = (log.next - log.first).max(1);
        let oldest = state.oldest.filter(|_| records > 0);
        let behind = Behind {
            records,
            octets: u64::try_from(u128::from(log.octets) * u128::from(records.min(held)) / u128::from(held))
                .unwrap_or(u64::MAX),
            seconds: oldest.map_or(0.0, |at| now_ms(with).saturating_sub(at) as f64 / 1_000.0),
        };
        Figures {
            sink: self.name.clone(),
            kind: match self.armed.load().config.to {
                To::Http(_) => "http",
                To::Nats(_) => "nats",
                To::File(_) => "file",
            },
            health: state.health,
            progress: state.progress.clone(),
            batches: state.batches,
            octets: state.octets,
            behind,
            attempts,
            last: state.last.as_ref().map(|(attempt, _)| *attempt),
            detail: state.last.as_ref().map(|(_, detail)| detail.clone()).unwrap_or_default(),
            delivered_at: state.delivered_at,
            cursor_failures: self.cursor_failures.load(Relaxed),
        }
    }
}

fn now_ms(with: &With) -> u64 {
    u64::try_from(with.clock.wall().since_epoch().as_millis()).unwrap_or(u64::MAX)
}

//! The fault desk: the rules in force, and what they may change of the origin: its timeline, and whether it lives.
//!
//! Rules are judged in the order in which they were made. A rule with a count vanishes with its last request, but requests that
//! wait at it stay until it is released or removed by name.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tokio::sync::watch;

use super::clock::Clock;
use super::fault::{Action, Barrier, Rule, Verdict};
use super::timeline::{PartPlan, Timeline};

const MAX_RULES: usize = 256;

/// The rules in force.
#[derive(Debug)]
pub struct Desk {
    clock: Clock,
    part_ms: u64,
    inner: Mutex<Inner>,
    alive: watch::Sender<bool>,
}

#[derive(Debug)]
struct Inner {
    rules: Vec<Active>,
    named: u64,
    timeline: Timeline,
}

#[derive(Debug)]
struct Active {
    rule: Rule,
    since_ms: u64,
    hits: u64,
    barrier: Arc<Barrier>,
}

impl Active {
    fn spent(&self) -> bool {
        self.rule.count.is_some_and(|count| self.hits >= count)
    }
}

/// A rule in force as the control port shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// The rule.
    #[serde(flatten)]
    pub rule: Rule,
    /// Requests it has been applied to.
    pub hits: u64,
    /// Requests that have come to wait at it.
    pub came: u64,
}

/// The desk holds as many rules as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the fault desk is full")]
pub struct Full;

impl Desk {
    pub(super) fn new(clock: Clock, epoch_ms: u64, part_ms: u64) -> Arc<Self> {
        let timeline = Timeline { epoch_ms, plan: PartPlan::new(part_ms) };
        let inner = Mutex::new(Inner { rules: Vec::new(), named: 0, timeline });
        Arc::new(Self { clock, part_ms, inner, alive: watch::Sender::new(true) })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a rule in force and returns its name.
    ///
    /// # Errors
    /// [`Full`] if 256 rules are in force.
    pub fn add(&self, rule: Rule) -> Result<String, Full> {
        self.put(rule).map(|(id, _)| id)
    }

    fn put(&self, mut rule: Rule) -> Result<(String, Arc<Barrier>), Full> {
        if !rule.id.is_empty() {
            self.remove(&rule.id.clone());
        }
        let mut inner = self.inner();
        inner.rules.retain(|active| !active.spent() || active.barrier.came() > 0);
        if inner.rules.len() >= MAX_RULES {
            return Err(Full);
        }
        if rule.id.is_empty() {
            inner.named += 1;
            rule.id = format!("fault-{}", inner.named);
        }
        let now = self.clock.now();
        match rule.action {
            Action::PartTarget { ms } => change_parts(&mut inner.timeline, now, ms),
            Action::Die => drop(self.alive.send_replace(false)),
            _ => {}
        }
        let (id, barrier) = (rule.id.clone(), Barrier::new());
        inner.rules.push(Active { rule, since_ms: now, hits: 0, barrier: barrier.clone() });
        Ok((id, barrier))
    }

    /// Takes a rule out of force, lets go what waits at it, and says whether there was one.
    pub fn remove(&self, id: &str) -> bool {
        let mut inner = self.inner();
        let Some(index) = inner.rules.iter().position(|active| active.rule.id == id) else {
            return false;
        };
        let gone = inner.rules.remove(index);
        gone.barrier.open();
        match gone.rule.action {
            Action::PartTarget { .. } => change_parts(&mut inner.timeline, self.clock.now(), self.part_ms),
            Action::Die => {
                self.alive.send_modify(|alive| *alive = !inner.rules.iter().any(|each| each.rule.action == Action::Die))
            }
            _ => {}
        }
        true
    }

    /// Takes all rules out of force.
    pub fn clear(&self) {
        let ids: Vec<String> = self.inner().rules.iter().map(|active| active.rule.id.clone()).collect();
        for id in ids {
            self.remove(&id);
        }
    }

    /// The rules in force.
    pub fn standing(&self) -> Vec<Standing> {
        let inner = self.inner();
        let show =
            |active: &Active| Standing { rule: active.rule.clone(), hits: active.hits, came: active.barrier.came() };
        inner.rules.iter().map(show).collect()
    }

    /// Holds requests that match `pattern` until the gate is opened or dropped.
    ///
    /// # Errors
    /// [`Full`] if 256 rules are in force.
    pub fn hold(self: &Arc<Self>, pattern: &str) -> Result<Gate, Full> {
        self.gate(Rule::new(pattern, Action::Hold))
    }

    /// Puts a rule that makes requests wait ([`Action::Hold`] or [`Action::Stall`]) in force, with a handle on it.
    ///
    /// # Errors
    /// [`Full`] if 256 rules are in force.
    pub fn gate(self: &Arc<Self>, rule: Rule) -> Result<Gate, Full> {
        let (id, barrier) = self.put(rule)?;
        Ok(Gate { desk: self.clone(), id, barrier })
    }

    pub(super) fn judge(&self, url: &str) -> Verdict {
        let mut verdict = Verdict::default();
        for active in &mut self.inner().rules {
            if !active.spent() && active.rule.matches(url) {
                active.hits += 1;
                verdict.add(&active.rule.action, active.since_ms, &active.barrier);
            }
        }
        verdict
    }

    pub(super) fn timeline(&self) -> Timeline {
        self.inner().timeline.clone()
    }

    pub(super) fn alive(&self) -> watch::Receiver<bool> {
        self.alive.subscribe()
    }
}

fn change_parts(timeline: &mut Timeline, now: u64, ms: u64) {
    let next = timeline.edge(now).open + 1;
    timeline.plan.change(next, ms);
}

/// A handle on requests that wait. Dropping it lets them go and removes its rule.
#[derive(Debug)]
pub struct Gate {
    desk: Arc<Desk>,
    id: String,
    barrier: Arc<Barrier>,
}

impl Gate {
    /// Returns when a request has come to wait, or had come before.
    pub async fn arrived(&self) {
        self.barrier.reached(1).await;
    }

    /// Returns when `count` requests have come to wait in all.
    pub async fn arrived_times(&self, count: u64) {
        self.barrier.reached(count).await;
    }

    /// Requests that have come to wait so far.
    pub fn came(&self) -> u64 {
        self.barrier.came()
    }

    /// Lets all of them go on, and removes the rule.
    pub fn open(self) {}
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.desk.remove(&self.id);
        self.barrier.open();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn desk() -> Arc<Desk> {
        Desk::new(Clock::manual(100_000), 0, 333)
    }

    #[test]
    fn a_rule_with_a_count_is_spent_by_its_requests() {
        let desk = desk();
        desk.add(Rule::new("seg", Action::Delay { ms: 5 }).times(2)).unwrap();
        assert_eq!(["/seg", "/other", "/seg", "/seg"].map(|url| desk.judge(url).delay_ms), [5, 0, 5, 0]);
        assert_eq!(desk.standing()[0].hits, 2);
    }

    #[test]
    fn the_desk_is_bounded_and_spent_rules_make_room() {
        let desk = desk();
        for _ in 0..MAX_RULES {
            desk.add(Rule::new("x", Action::Html).times(1)).unwrap();
        }
        assert_eq!(desk.add(Rule::new("x", Action::Html)), Err(Full));
        desk.judge("x");
        assert!(desk.add(Rule::new("x", Action::Html)).is_ok());
    }

    #[test]
    fn a_new_part_length_begins_with_the_next_segment_and_ends_with_its_rule() {
        let clock = Clock::manual(100_000);
        let desk = Desk::new(clock.clone(), 0, 333);
        let id = desk.add(Rule::new("*", Action::PartTarget { ms: 500 })).unwrap();
        let frames = |msn| desk.timeline().plan.frames(msn);
        assert_eq!([frames(50), frames(51), frames(80)], [10, 15, 15]);
        clock.advance(20_000);
        assert!(desk.remove(&id));
        assert_eq!([frames(50), frames(51), frames(60), frames(61)], [10, 15, 15, 10]);
    }

    #[test]
    fn a_named_rule_replaces_its_namesake() {
        let desk = desk();
        for ms in [1, 2] {
            desk.add(Rule { id: "slow".to_owned(), ..Rule::new("", Action::Delay { ms }) }).unwrap();
        }
        assert_eq!((desk.judge("/").delay_ms, desk.standing().len()), (2, 1));
    }
}

//! Many clocks, one order. Nodes are taken to agree on the time; a player's clock may be anything, so it is set right by
//! the report that was on its way for the shortest time: by the smallest difference between its arrival and its own time.
//! Each view has its own difference, for behind one session there may be two players with two clocks.
//!
//! What bears the same time stays in the order in which it was handed over, but for reports of one view: they are in the
//! order of their numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::rules::qoe::report::{Mode, Report};
use crate::rules::session::SessionId;

use super::super::event::{Entry, Event};

/// Whatever is further from its arrival than a day has no clock that can be set right.
const DAY_MS: u64 = 86_400_000;
/// Numbers further apart than this are not those of one player.
const MOST_MISSING: u64 = 100_000;

/// What one node wrote down.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// The node.
    pub node: Arc<str>,
    /// What it wrote.
    pub entry: Entry,
}

/// Something that happened, and when.
#[derive(Clone, Copy)]
pub(super) struct Moment<'a> {
    /// When, by the clock of nodes.
    pub(super) at: u64,
    pub(super) told: &'a Told,
}

/// What happened, in one order.
pub(super) struct Ordered<'a> {
    pub(super) moments: Vec<Moment<'a>>,
    /// Reports that came twice, or whose clock is beyond use.
    pub(super) dropped: u64,
    /// Reports whose numbers are missing between others.
    pub(super) missing: u64,
}

/// A report's own time, where it bears one and it did not come with a request, which has the node's.
fn own_time(report: &Report) -> Option<u64> {
    if report.mode == Mode::Request { None } else { report.data.ts }
}

/// Puts in order what concerns a session: its own entries, and the nodes' that it lived through.
pub(super) fn ordered<'a>(told: impl Iterator<Item = &'a Told> + Clone) -> Ordered<'a> {
    let reports = told.clone().filter_map(|told| match &told.entry.event {
        Event::Report(report) => Some((told.entry.at, &**report)),
        _ => None,
    });
    let offsets = offsets(reports.clone());
    let missing = missing(reports.map(|(_, report)| report));
    let mut seen = BTreeSet::new();
    let mut dropped = 0;
    let mut keyed = Vec::new();
    for told in told {
        let (mut at, mut number) = (told.entry.at, 0);
        if let Event::Report(report) = &told.entry.event {
            let ts = own_time(report);
            let again = report.record.as_deref().is_some_and(|record| !seen.insert(record));
            if again || ts.is_some_and(|ts| ts.abs_diff(at) > DAY_MS) {
                dropped += 1;
                continue;
            }
            if let (Some(ts), Some(offset)) = (ts, offsets.get(&report.view)) {
                at = u64::try_from(i128::from(ts) + offset).unwrap_or(at);
            }
            number = report.data.sn.map_or(0, |sn| sn.saturating_add(1));
        }
        keyed.push(((at, number), Moment { at, told }));
    }
    keyed.sort_by_key(|(key, _)| *key);
    Ordered { moments: keyed.into_iter().map(|(_, moment)| moment).collect(), dropped, missing }
}

/// What is to be added to the time of each view's player.
fn offsets<'a>(reports: impl Iterator<Item = (u64, &'a Report)>) -> BTreeMap<Option<SessionId>, i128> {
    let mut offsets = BTreeMap::new();
    for (at, report) in reports {
        let Some(ts) = own_time(report).filter(|ts| ts.abs_diff(at) <= DAY_MS) else { continue };
        let offset = i128::from(at) - i128::from(ts);
        let least = offsets.entry(report.view).or_insert(offset);
        *least = offset.min(*least);
    }
    offsets
}

/// How many numbers are missing between those that came, by view and way.
fn missing<'a>(reports: impl Iterator<Item = &'a Report>) -> u64 {
    let mut numbers: BTreeMap<_, BTreeSet<u64>> = BTreeMap::new();
    for report in reports {
        if let Some(number) = report.data.sn {
            numbers.entry((report.view, report.mode == Mode::Request)).or_default().insert(number);
        }
    }
    let gaps = numbers.values().map(|numbers| {
        let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { return 0 };
        let missing = (last - first).saturating_sub(numbers.len() as u64 - 1);
        if missing > MOST_MISSING { 0 } else { missing }
    });
    gaps.sum()
}

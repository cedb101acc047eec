//! Spells: from the moment in which a node tells that something is not well to the one in which it is again. Each thing of
//! each node has its own. A process that ends takes its spells along: whoever starts anew tells of what it finds.

use std::collections::BTreeMap;

use super::super::event::{Entry, Event, NodeChange};
use super::clocks::Moment;
use super::facts::Window;

/// What may be not well for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sort {
    /// An origin.
    Origin,
    /// A playlist.
    Playlist,
}

/// A time in which something was not well.
pub(super) struct Spell<'a> {
    pub(super) sort: Sort,
    pub(super) time: Window,
    pub(super) node: &'a str,
    /// What was told when it began.
    pub(super) change: &'a NodeChange,
    /// The stream that it concerns.
    pub(super) stream: Option<&'a str>,
}

/// What is not well by now, and what was not before.
#[derive(Default)]
pub(super) struct Spells<'a> {
    open: BTreeMap<(&'a str, Sort, Option<&'a str>), (u64, &'a Entry)>,
    over: Vec<Spell<'a>>,
}

/// What a word says of what sort: that it is not well from now on, or that it is again.
fn says(what: &str) -> Option<(Sort, Turn)> {
    Some(match what {
        "origin-down" => (Sort::Origin, Turn::Worse),
        "origin-up" => (Sort::Origin, Turn::Better),
        "playlist-late" => (Sort::Playlist, Turn::Worse),
        "playlist-again" => (Sort::Playlist, Turn::Better),
        _ => return None,
    })
}

enum Turn {
    Worse,
    Better,
}

impl<'a> Spells<'a> {
    /// The next moment.
    pub(super) fn take(&mut self, moment: &Moment<'a>) {
        let (at, node, entry) = (moment.at, &*moment.told.node, &moment.told.entry);
        let Event::Node(change) = &entry.event else { return };
        let of = change.of.as_deref();
        match says(&change.what) {
            Some((sort, Turn::Worse)) => _ = self.open.entry((node, sort, of)).or_insert((at, entry)),
            Some((sort, Turn::Better)) => {
                let ended = self.open.remove_entry(&(node, sort, of));
                self.over.extend(ended.and_then(|ended| spell(ended, at)));
            }
            None if &*change.what == "started" => {
                let ended = self.open.extract_if(.., |(of, ..), _| *of == node);
                self.over.extend(ended.filter_map(|ended| spell(ended, at)));
            }
            None => {}
        }
    }

    /// All of them; what is not well yet is not until `end`.
    pub(super) fn until(self, end: u64) -> Vec<Spell<'a>> {
        let Self { open, mut over } = self;
        over.extend(open.into_iter().filter_map(|open| spell(open, end)));
        over
    }
}

fn spell<'a>(
    ((node, sort, _), (from, entry)): ((&'a str, Sort, Option<&'a str>), (u64, &'a Entry)),
    to: u64,
) -> Option<Spell<'a>> {
    let Event::Node(change) = &entry.event else { return None };
    Some(Spell { sort, time: Window { from, to }, node, change, stream: entry.stream.as_deref() })
}

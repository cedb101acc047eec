//! What the nodes saw that may explain something: refusals, waits for origins, late playlists, changes of nodes, the path,
//! and what was delivered all the same. Each with the time that it covers.

use std::collections::BTreeMap;

use super::super::event::{Event, Fetch, NodeChange, Path, Request, Served};
use super::cause::{Cause, Fault};
use super::clocks::Moment;

/// Whoever waits longer than this for a first octet may be hurt by it.
pub(super) const SLOW_MS: u64 = 2_000;
/// A round trip that makes live playback hard, in microseconds.
pub(super) const RTT_BAD_US: u32 = 400_000;
/// A playlist older than this has not advanced in time, whatever its target duration.
const LATE_MS: u64 = 10_000;

/// A reload that was held in vain was held for at least so long.
const LEAST_HOLD_MS: u64 = 3_000;

/// A time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Window {
    pub(super) fn length(&self) -> u64 {
        self.to.saturating_sub(self.from)
    }

    pub(super) fn holds(&self, at: u64) -> bool {
        (self.from..=self.to).contains(&at)
    }

    /// The same, beginning this much earlier.
    pub(super) fn after(&self, lead: u64) -> Self {
        Self { from: self.from.saturating_sub(lead), to: self.to }
    }
}

/// What of `within` is covered by any of these times, in milliseconds.
pub(super) fn covered(within: &Window, times: impl Iterator<Item = Window>) -> u64 {
    let clipped = times.map(|time| (time.from.max(within.from), time.to.min(within.to)));
    let mut clipped: Vec<_> = clipped.filter(|(from, to)| from < to).collect();
    clipped.sort_unstable();
    let mut until = 0;
    let mut sum = 0;
    for (from, to) in clipped {
        sum += to.saturating_sub(from.max(until)); // disjoint times: the sum is no longer than all of them
        until = until.max(to);
    }
    sum
}

/// A refusal.
pub(super) struct Refused<'a> {
    pub(super) at: u64,
    pub(super) cause: Cause,
    pub(super) word: &'a str,
    pub(super) node: &'a str,
}

/// A wait for an origin that took too long or brought nothing.
pub(super) struct Wait<'a> {
    pub(super) time: Window,
    pub(super) cause: Cause,
    pub(super) origin: &'a str,
    /// What was asked for; `None`: it is not told.
    pub(super) path: Option<&'a str>,
    pub(super) wait_ms: u64,
    pub(super) status: Option<u16>,
}

/// What the nodes saw.
#[derive(Default)]
pub(super) struct Facts<'a> {
    pub(super) refusals: Vec<Refused<'a>>,
    pub(super) waits: Vec<Wait<'a>>,
    pub(super) late: Vec<Window>,
    /// When which origin was known not to be well.
    pub(super) down: Vec<(Window, &'a str)>,
    pub(super) changes: Vec<(u64, &'a str, &'a NodeChange)>,
    /// Answers from memory that came late: when, where, by how much.
    pub(super) slow: Vec<(u64, &'a str, u64)>,
    pub(super) paths: Vec<(u64, &'a Path)>,
    /// Bodies that did not reach the viewer whole.
    pub(super) cut: Vec<u64>,
    pub(super) served: Vec<(u64, &'a Served)>,
    /// When a token first opened what was asked for.
    pub(super) let_in: Option<u64>,
    /// When something was answered as it should be; and whether more than one thing was.
    pub(super) good: Vec<(u64, u32)>,
    /// When each node was asked for something.
    pub(super) asked: Vec<(u64, &'a str)>,
    pub(super) lost: Vec<u64>,
}

/// What went wrong with a question to an origin.
pub(super) fn has_trouble(fetch: &Fetch) -> Option<Cause> {
    let of_origin = |cause: &Cause| cause.fault() == Fault::Origin;
    match (&fetch.error, fetch.status) {
        (Some(word), _) => Some(Cause::of_refusal(word).filter(of_origin).unwrap_or(Cause::OriginError)),
        (None, None) => Some(Cause::OriginSlow),
        (None, Some(status)) if status >= 500 => Some(Cause::OriginError),
        (None, Some(_)) if fetch.wait_ms >= SLOW_MS => Some(Cause::OriginSlow),
        (None, Some(_)) => None,
    }
}

impl<'a> Facts<'a> {
    /// What is seen in these moments, the last of them at `end`.
    pub(super) fn of(moments: &[Moment<'a>], end: u64) -> Self {
        let mut facts = Self::default();
        let mut late_since = None;
        let mut down_since = BTreeMap::new();
        for moment in moments {
            let (at, node) = (moment.at, &*moment.told.node);
            match &moment.told.entry.event {
                Event::Verdict(verdict) => {
                    let Some(word) = verdict.reason.as_deref() else {
                        facts.let_in.get_or_insert(at);
                        continue;
                    };
                    let cause = Cause::of_refusal(word).unwrap_or(Cause::TokenRefused);
                    facts.refusals.push(Refused { at, cause, word, node });
                }
                Event::Ended(ended) => {
                    if let Some(cause) = Cause::of_refusal(&ended.reason) {
                        facts.refusals.push(Refused { at, cause, word: &ended.reason, node });
                    }
                }
                Event::Request(request) => facts.of_request(at, node, request),
                Event::Served(served) => facts.of_served(at, node, served),
                Event::Fetch(fetch) => facts.of_fetch(at, fetch, None),
                Event::Path(path) => facts.paths.push((at, path)),
                Event::Node(change) => {
                    match &*change.what {
                        "playlist-late" => _ = late_since.get_or_insert(at),
                        "playlist-again" => {
                            let since = late_since.take();
                            facts.late.extend(since.map(|from| Window { from, to: at }));
                        }
                        "origin-down" => _ = down_since.entry(change.of.as_deref()).or_insert(at),
                        "origin-up" => {
                            let since = down_since.remove_entry(&change.of.as_deref());
                            let down =
                                |(of, from): (Option<_>, _)| (Window { from, to: at }, of.unwrap_or("of the stream"));
                            facts.down.extend(since.map(down));
                        }
                        _ => {}
                    }
                    facts.changes.push((at, node, change));
                }
                Event::Lost(_) => facts.lost.push(at),
                Event::Began(_) | Event::Report(_) => {}
            }
        }
        facts.late.extend(late_since.map(|from| Window { from, to: end }));
        let still = down_since.into_iter();
        facts.down.extend(still.map(|(of, from)| (Window { from, to: end }, of.unwrap_or("of the stream"))));
        facts
    }

    fn of_request(&mut self, at: u64, node: &'a str, request: &'a Request) {
        self.asked.push((at, node));
        if let Some(fetch) = &request.origin {
            self.of_fetch(at, fetch, Some(&request.path));
        }
        if !request.complete {
            self.cut.push(at);
        }
        if let Some(age) = request.playlist_age_ms {
            self.of_age(at, age);
        }
        if request.status < 400 {
            self.good.push((at, 1));
            if request.origin.is_none() && request.first_byte_ms >= SLOW_MS {
                self.slow.push((at, node, request.first_byte_ms));
            }
            return;
        }
        let word = request.reason.as_deref().unwrap_or_default();
        let cause = Cause::of_refusal(word).unwrap_or(match request.fault.as_deref() {
            Some("origin") => Cause::OriginError,
            Some("node") => Cause::NodeConfiguration,
            _ => Cause::BadRequest,
        });
        match cause {
            Cause::PlaylistLate => {
                self.late.push(Window { from: at.saturating_sub(request.hold_ms.max(LEAST_HOLD_MS)), to: at })
            }
            cause if cause.fault() == Fault::Origin => {
                // The wait itself says more, where it is told and went wrong.
                if request.origin.as_ref().is_some_and(|fetch| has_trouble(fetch).is_some()) {
                    return;
                }
                let time = Window { from: at.saturating_sub(request.took_ms.max(1)), to: at };
                let (path, status) = (Some(&*request.path), Some(request.status));
                let wait_ms = request.took_ms;
                let origin = request.origin.as_ref().map_or("of the stream", |fetch| &*fetch.origin);
                self.waits.push(Wait { time, cause, origin, path, wait_ms, status });
            }
            cause => self.refusals.push(Refused { at, cause, word, node }),
        }
    }

    fn of_served(&mut self, at: u64, node: &'a str, served: &'a Served) {
        self.asked.push((at, node));
        self.good.push((at, served.requests));
        self.served.push((at, served));
        if served.first_byte_ms >= SLOW_MS {
            self.slow.push((at, node, served.first_byte_ms));
        }
        if let Some(age) = served.playlist_age_ms {
            self.of_age(at, age);
        }
    }

    fn of_fetch(&mut self, at: u64, fetch: &'a Fetch, path: Option<&'a str>) {
        let Some(cause) = has_trouble(fetch) else { return };
        let time = Window { from: at.saturating_sub(fetch.wait_ms.max(1)), to: at };
        let Fetch { origin, wait_ms, status, .. } = fetch;
        self.waits.push(Wait { time, cause, origin, path, wait_ms: *wait_ms, status: *status });
    }

    fn of_age(&mut self, at: u64, age: u64) {
        if age >= LATE_MS {
            self.late.push(Window { from: at.saturating_sub(age), to: at });
        }
    }

    /// Whether something was answered as it should be after this moment. One answer within a second may have been on its
    /// way already.
    pub(super) fn is_good_after(&self, at: u64) -> bool {
        self.good.iter().any(|(good, number)| *good > at && (*number > 1 || *good - at > 1_000))
    }
}

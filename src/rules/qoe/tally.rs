//! The views of a session and their figures, as its entries come in. The same code makes the figures of this moment and
//! those of a session that is long over: it is told one fact after the other.
//!
//! Reports may come late, twice and in any order; requests come in order. Nothing here grows without a bound.

use super::claims::Passed;
use super::figures::{End, Received, SessionFigures};
use super::playback::WAITING;
use super::report::Report;
use super::sums::Both;
pub use super::view::Age;
use super::view::View;

/// Views of one session that are known at once: many players behind one address look like one session of an open route.
const VIEWS: usize = 64;

/// A view that is over is kept for what may still come.
pub const KEPT_MS: u64 = 900_000;

/// Holds that are known of a session.
const HOLDS: usize = 16;

/// How far the player's and the node's account of a request may be apart.
const APART_MS: u64 = 5_000;

/// A session.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Moments of a player that wait for earlier ones.
    most: usize,
    views: Vec<View>,
    /// The view that was heard of last.
    current: usize,
    earlier: u64,
    requests: u64,
    bytes: u64,
    holds: Vec<Hold>,
    next_hold: usize,
    gone: Received,
}

#[derive(Clone, Debug)]
struct Hold {
    path: Box<str>,
    at: u64,
    ms: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self::with(WAITING)
    }
}

impl Tally {
    /// One that is told everything at once, and puts all of it in order.
    pub fn whole() -> Self {
        Self::with(usize::MAX)
    }

    fn with(most: usize) -> Self {
        Self {
            most,
            views: Vec::new(),
            current: 0,
            earlier: 0,
            requests: 0,
            bytes: 0,
            holds: Vec::new(),
            next_hold: 0,
            gone: Received::default(),
        }
    }

    /// Its player reports, at this time by the node's clock.
    pub fn report(&mut self, at: u64, report: &Report) {
        let index = match report.view {
            Some(_) => self.views.iter().position(|view| view.id == report.view),
            None => (!self.views.is_empty()).then_some(self.current),
        };
        // A view of which only requests were seen turns out to be the one that reports.
        let adopted = || self.views.iter().position(|view| view.id.is_none() && !view.has_reports() && view.takes(at));
        let index = index.or_else(adopted).unwrap_or_else(|| self.begin(at));
        self.current = index;
        let holds = &self.holds;
        let view = &mut self.views[index];
        view.id = view.id.or(report.view);
        view.report(at, report, (self.most, &|url, during| held(holds, url, during)));
    }

    /// Requests of it were answered well.
    pub fn pass(&mut self, at: u64, passed: &Passed) {
        self.requests += passed.requests;
        self.bytes = self.bytes.saturating_add(passed.bytes);
        if passed.playlists + passed.media == 0 {
            return;
        }
        let takes = self.views.get(self.current).is_some_and(|view| view.takes(at));
        if !takes {
            self.current = self.views.iter().rposition(|view| view.takes(at)).unwrap_or_else(|| self.begin(at));
        }
        self.views[self.current].pass(at, passed);
    }

    /// A request of it was held for so many milliseconds.
    pub fn hold(&mut self, at: u64, path: &str, ms: u64) {
        let hold = Hold { path: path.into(), at, ms };
        if self.holds.len() < HOLDS {
            self.holds.push(hold);
        } else {
            self.holds[self.next_hold] = hold;
            self.next_hold = (self.next_hold + 1) % HOLDS;
        }
    }

    /// It ended: in silence, or because it had to.
    pub fn finish(&mut self, at: u64, end: End) {
        self.views.iter_mut().for_each(|view| view.finish(at, end));
    }

    /// A view begins; the oldest one goes where there are too many, one that is over first.
    fn begin(&mut self, at: u64) -> usize {
        if self.views.len() >= VIEWS {
            let oldest = (0..self.views.len()).min_by_key(|index| {
                let view = &self.views[*index];
                (view.end(at).is_none(), view.since())
            });
            self.drop_view(oldest.expect("there are views"));
        }
        self.views.push(View::new(None, at));
        self.views.len() - 1
    }

    fn drop_view(&mut self, index: usize) {
        let view = self.views.remove(index);
        self.gone.add(&view.received());
        self.earlier += 1;
        if self.current > index || self.current >= self.views.len() {
            self.current = self.current.saturating_sub(1);
        }
    }

    /// Time has passed: views are over in silence, and those that were over for long go.
    pub fn rest(&mut self, now: u64) {
        self.views.iter_mut().for_each(|view| view.rest(now));
        while let Some(index) =
            self.views.iter().position(|view| view.end(now).is_some() && now.saturating_sub(view.since()) > KEPT_MS)
        {
            self.drop_view(index);
        }
    }

    /// Views that somebody watches: heard of within `idle` milliseconds, and not over.
    pub fn watched(&self, now: u64, idle: u64) -> u64 {
        self.views.iter().filter(|view| view.is_watched(now, idle)).count() as u64
    }

    /// What it takes, in bytes.
    pub fn weight(&self) -> usize {
        let holds =
            self.holds.capacity() * size_of::<Hold>() + self.holds.iter().map(|hold| hold.path.len()).sum::<usize>();
        let spare = (self.views.capacity() - self.views.len()) * size_of::<View>();
        size_of::<Self>() + holds + spare + self.views.iter().map(View::weight).sum::<usize>()
    }

    /// How its views would be missed, with what each takes in bytes.
    pub fn ages(&self, now: u64, idle: u64) -> impl Iterator<Item = (Age, usize)> {
        self.views.iter().map(move |view| (view.age(now, idle), view.weight()))
    }

    /// Counts for good all views that would be missed no more than this; how many they were.
    pub fn shed(&mut self, most: Age, (now, idle): (u64, u64), sums: &mut Both) -> u64 {
        let before = self.earlier;
        if self.views.iter().any(|view| view.age(now, idle) <= most) {
            self.credit(sums);
        }
        while let Some(index) = self.views.iter().position(|view| view.age(now, idle) <= most) {
            self.drop_view(index);
        }
        self.views.shrink_to_fit();
        self.earlier - before
    }

    /// Adds what is new since the last time to sums of many views.
    pub fn credit(&mut self, sums: &mut Both) {
        self.views.iter_mut().for_each(|view| view.credit(sums));
    }

    /// Its reports.
    pub fn received(&self) -> Received {
        let mut received = self.gone;
        self.views.iter().for_each(|view| received.add(&view.received()));
        received
    }

    /// What it comes to at this time.
    pub fn figures(&self, now: u64) -> SessionFigures {
        SessionFigures {
            views: self.views.iter().map(|view| view.figures(now)).collect(),
            earlier_views: self.earlier,
            requests: self.requests,
            bytes: self.bytes,
        }
    }
}

/// For how long a request of this time was held.
fn held(holds: &[Hold], url: &str, (began, ended): (u64, u64)) -> u64 {
    let during = began.saturating_sub(APART_MS)..=ended.saturating_add(APART_MS);
    let of = holds.iter().filter(|hold| *hold.path == *url && during.contains(&hold.at));
    of.min_by_key(|hold| hold.at.abs_diff(ended)).map_or(0, |hold| hold.ms)
}

//! How it went for the viewer, as the player says: the states that it went through, each until the next one, and what
//! went wrong in them. The clock is the nodes' by now.
//!
//! Rebuffering counts as a stall only after something was played and outside of seeks (CTA-5004-B §5.30).

use std::collections::BTreeMap;

use crate::rules::qoe::report::{Data, Mode, Rated, Report, State};
use crate::rules::qoe::waits::{Wait, Waits};
use crate::rules::session::SessionId;

use super::super::event::Event;
use super::clocks::Moment;

/// A time without a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stall {
    pub(super) from: u64,
    pub(super) to: u64,
}

/// A start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Startup {
    /// When it was started.
    pub(super) began: u64,
    /// How long it took until there was a picture, in milliseconds.
    pub(super) took: u64,
    /// Whether the player says so, or only what it asked for.
    pub(super) is_estimate: bool,
}

/// By what a player says what it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Tells {
    #[default]
    Nothing,
    /// By how things stand at each request.
    ByRequests,
    /// By each change, when it happens.
    ByEvents,
}

/// How it went.
#[derive(Default)]
pub(super) struct Play {
    /// Whether a player says what it does, so that no news of a stall means that there was none.
    pub(super) tells: bool,
    /// Stalls, in their order.
    pub(super) stalls: Vec<Stall>,
    /// The first start.
    pub(super) startup: Option<Startup>,
    /// From when until when it was waited for in vain.
    pub(super) in_vain: Option<(u64, u64)>,
    /// When the player gave up, and what it says of it.
    pub(super) failures: Vec<(u64, String)>,
    pub(super) played_ms: Option<u64>,
    /// What was played last, in kbit/s.
    pub(super) kbps: Option<u64>,
    pub(super) switches: u64,
    pub(super) latency_ms: Option<u64>,
    pub(super) dropped_frames: Option<u64>,
    pub(super) reports: u64,
    /// The lowest measured throughput, in kbit/s, and when.
    pub(super) throughput: Option<(u64, u64)>,
    /// Reports that came late, by the corrected clock: for when they were made, and by how much.
    pub(super) late: Vec<(u64, u64)>,
}

/// The largest of a list: that of the picture, where several are given.
pub(super) fn most(rated: &[Rated]) -> Option<u64> {
    rated.iter().map(|rated| rated.value).max()
}

#[derive(Default)]
struct View {
    state: Option<(State, u64)>,
    tells: Tells,
    asked: Option<u64>,
    played: bool,
    stalls: Vec<Stall>,
    claimed: Vec<Stall>,
    waits: Waits,
    startup: Option<Startup>,
    failed: bool,
    played_ms: u64,
    msd: Option<u64>,
    kbps: Option<u64>,
    frames: Option<(u64, u64)>,
}

/// How it went until `end`, when the session was last heard of.
pub(super) fn play(moments: &[Moment<'_>], end: u64) -> Play {
    let mut play = Play::default();
    let mut views: BTreeMap<Option<SessionId>, View> = BTreeMap::new();
    for moment in moments {
        let Event::Report(report) = &moment.told.entry.event else { continue };
        play.take(moment, report);
        let view = views.entry(report.view).or_default();
        play.switches += u64::from(view.take(moment.at, report));
        if report.data.sta == Some(State::Failed) && !view.failed {
            view.failed = true;
            play.failures.push((moment.at, report.data.ec.join(", ")));
        }
    }
    for view in views.into_values() {
        play.close(view, end);
    }
    play.stalls.sort_by_key(|stall| (stall.from, stall.to));
    play
}

impl Play {
    fn take(&mut self, moment: &Moment<'_>, report: &Report) {
        self.reports += 1;
        let data = &report.data;
        self.kbps = most(&data.pb).or(most(&data.br)).or(self.kbps);
        self.latency_ms = data.ltc.or(self.latency_ms);
        if let Some(kbps) = most(&data.mtp)
            && self.throughput.is_none_or(|(least, _)| kbps < least)
        {
            self.throughput = Some((kbps, moment.at));
        }
        if report.mode != Mode::Request {
            self.late.push((moment.at, moment.told.entry.at.saturating_sub(moment.at)));
        }
    }

    fn close(&mut self, mut view: View, end: u64) {
        view.end(end);
        let tells = view.tells != Tells::Nothing;
        self.tells |= tells;
        self.stalls.append(if view.tells == Tells::ByEvents { &mut view.stalls } else { &mut view.claimed });
        let first = |start: &Startup| self.startup.is_none_or(|earlier| start.began < earlier.began);
        if let Some(startup) = view.startup().filter(first) {
            self.startup = Some(startup);
        }
        if let (Some(asked), false, false) = (view.asked, view.played, view.failed) {
            self.in_vain = Some((asked, end.max(asked)));
        }
        if tells {
            self.played_ms = Some(self.played_ms.unwrap_or_default().saturating_add(view.played_ms));
        }
        if let Some((first, last)) = view.frames {
            let frames = self.dropped_frames.get_or_insert_default();
            *frames = frames.saturating_add(last.saturating_sub(first));
        }
    }
}

impl View {
    /// Whether the bit rate changed.
    fn take(&mut self, at: u64, report: &Report) -> bool {
        let data = &report.data;
        self.msd = self.msd.or(data.msd);
        if let Some(frames) = data.dfa {
            self.frames = Some((self.frames.map_or(frames, |(first, _)| first), frames));
        }
        let is_request = report.mode == Mode::Request;
        let wait = if is_request { self.waits.note(data, at) } else { None };
        self.claim(at, data, wait);
        if let Some(state) = data.sta {
            self.tells = self.tells.max(if is_request { Tells::ByRequests } else { Tells::ByEvents });
            self.go(state, at);
        }
        let kbps = most(&data.pb).or(most(&data.br));
        let changed = kbps.is_some() && self.kbps.is_some() && kbps != self.kbps;
        self.kbps = kbps.or(self.kbps);
        changed
    }

    /// It says that it had run dry, or, if not for how long, its requests do: `wait` is over by now.
    fn claim(&mut self, at: u64, data: &Data, wait: Option<Wait>) {
        if let Some(ms) = most(&data.bsd) {
            self.claimed.push(Stall { from: at.saturating_sub(ms), to: at });
        } else if data.bs == Some(true) && self.waits.dries().is_none() {
            self.claimed.push(Stall { from: at, to: at });
        }
        let is_told = |from| self.claimed.last().is_some_and(|last| last.to >= from);
        if let Some(Wait { from, to }) = wait.filter(|wait| !is_told(wait.from)) {
            self.claimed.push(Stall { from, to });
        }
    }

    /// What the player says of its start; if nothing, what its requests show.
    fn startup(&self) -> Option<Startup> {
        let by_requests = || {
            let Wait { from, to } = self.waits.start()?;
            Some(Startup { began: from, took: to.saturating_sub(from), is_estimate: true })
        };
        let is_said = self.msd.is_some() || self.tells == Tells::ByEvents;
        self.startup.filter(|_| is_said).or_else(by_requests)
    }

    fn go(&mut self, state: State, at: u64) {
        let before = self.state.map(|(state, _)| state);
        let state = match (state, before) {
            (State::Rebuffering, Some(State::Seeking)) => State::Seeking,
            (State::Rebuffering, _) if !self.played => State::Starting,
            (state, _) => state,
        };
        if before == Some(state) {
            return;
        }
        self.leave(at);
        self.state = Some((state, at));
        match state {
            State::Starting => _ = self.asked.get_or_insert(at),
            State::Playing if !self.played => {
                self.played = true;
                let began = self.asked.unwrap_or(at);
                let took = self.msd.or(self.asked.map(|asked| at - asked.min(at)));
                self.startup = took.map(|took| Startup { began, took, is_estimate: false });
            }
            // Who pauses before the first picture does not wait for it.
            State::Paused | State::Quit | State::Ended if !self.played && before != Some(State::Starting) => {
                self.asked = None;
            }
            _ => {}
        }
    }

    /// The state ends.
    fn leave(&mut self, at: u64) {
        match self.state {
            Some((State::Playing, since)) => self.played_ms = self.played_ms.saturating_add(at.saturating_sub(since)),
            Some((State::Rebuffering, since)) => self.stalls.push(Stall { from: since, to: at.max(since) }),
            _ => {}
        }
        self.state = None;
    }

    /// Nothing more is heard of it.
    fn end(&mut self, at: u64) {
        self.leave(at);
        self.claimed.extend(self.waits.dries().map(|Wait { from, to }| Stall { from, to }));
    }
}

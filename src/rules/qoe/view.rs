//! One view: what one player showed without being loaded anew. It begins with the first that is heard of it, lives as long
//! as there are reports or requests, and is over when its player says so, when its session ends, or after silence. What
//! comes after that makes its figures better for a quarter of an hour, and brings no viewer back.

use super::claims::{Asked, Claims, PLAYED_MS, Passed};
use super::figures::{End, Figures, Outcome, Received, Spread, ViewFigures};
use super::playback::{Line, Moment, Playback, SILENT_MS};
use super::report::{Data, Mode, Report, State};
use super::serials::{Known, Serial, Serials};
use super::sketch::Sketch;
use super::sums::{Both, Counts, Sums};
use crate::rules::session::SessionId;

/// A time that is more than this off says nothing.
const OFF_MS: u64 = 86_400_000;

/// What comes so long after the end counts for nothing.
const LATE_MS: u64 = 900_000;

/// What is this old when it comes was not sent when it was made.
const FRESH_MS: u64 = 10_000;

/// Requests that were on their way when the player said that it is over.
const ON_THEIR_WAY_MS: u64 = 5_000;

/// An estimate of the startup stands once it is this old: its player may still tell.
const SETTLED_MS: u64 = 10_000;

/// A sign of life from requests is noted among reports only so often.
const SIGN_MS: u64 = 20_000;

/// One view.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Its identifier; `None`: its player names none.
    pub(super) id: Option<SessionId>,
    began: u64,
    last: u64,
    batches: Option<Box<Batches>>,
    asked: Asked,
    /// By how they come.
    serials: [Serials; 3],
    received: Received,
    end: Option<(u64, End)>,
    credited: [Counts; 2],
    is_startup_credited: [bool; 2],
    is_touched: bool,
}

/// What came in batches.
#[derive(Clone, Debug)]
struct Batches {
    last: u64,
    offset: Option<i64>,
    playback: Playback,
    claims: Claims,
    first_byte: Sketch,
    last_byte: Sketch,
    known: Known,
}

/// How something would be missed, the least first: what nobody watches before what is watched, what is silent for long
/// before what was heard of a moment ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age {
    /// Whether somebody watches.
    pub is_watched: bool,
    /// When it was heard of last, or when it was over.
    pub since: u64,
}

/// For how long the node held an answer to a request of this time.
pub(super) type HoldOf<'a> = &'a dyn Fn(&str, (u64, u64)) -> u64;

impl View {
    pub(super) fn new(id: Option<SessionId>, at: u64) -> Self {
        Self { id, began: at, last: at, ..Self::default() }
    }

    /// What came in batches, of which at most so many moments wait.
    fn batches(&mut self, most: usize) -> &mut Batches {
        self.batches.get_or_insert_with(|| {
            let (claims, known) = (Claims::default(), Known::default());
            let (first_byte, last_byte) = (Sketch::default(), Sketch::default());
            let playback = Playback::new(most);
            Box::new(Batches { last: 0, offset: None, playback, claims, first_byte, last_byte, known })
        })
    }

    fn offset(&self) -> i64 {
        self.batches.as_ref().and_then(|batches| batches.offset).unwrap_or_default()
    }

    /// What it takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>() + self.asked.room() + self.batches.as_ref().map_or(0, |batches| batches.weight())
    }

    /// Whether its player has reported anything.
    pub(super) const fn has_reports(&self) -> bool {
        self.received.reports > 0
    }

    /// Why it is over, if it is.
    pub(super) fn end(&self, now: u64) -> Option<End> {
        self.end.map(|(_, end)| end).or_else(|| self.is_silent(now).then_some(End::Silence))
    }

    /// Since when it is over; while it goes on, the last that was heard of it.
    pub(super) fn since(&self) -> u64 {
        self.end.map_or(self.last, |(at, _)| at)
    }

    fn is_silent(&self, now: u64) -> bool {
        let by_reports = self
            .batches
            .as_ref()
            .is_none_or(|batches| now.saturating_sub(batches.last) > batches.playback.silent_after());
        let by_media = now.saturating_sub(self.asked.last_media.unwrap_or(self.began)) > self.asked.silent_after();
        by_reports && by_media
    }

    /// Whether somebody watches: nobody has said that it is over, and it was heard of within `idle` milliseconds.
    pub(super) fn is_watched(&self, now: u64, idle: u64) -> bool {
        let may_come_back = self.end.is_none_or(|(_, end)| end == End::Silence);
        may_come_back && now.saturating_sub(self.last) < idle
    }

    /// How it would be missed.
    pub(super) fn age(&self, now: u64, idle: u64) -> Age {
        Age { is_watched: self.is_watched(now, idle), since: self.since() }
    }

    /// Whether requests of this time are still its own.
    pub(super) fn takes(&self, at: u64) -> bool {
        self.end.is_none_or(|(end, why)| why == End::Silence || at < end + ON_THEIR_WAY_MS)
    }

    /// Its session ended.
    pub(super) fn finish(&mut self, at: u64, end: End) {
        self.is_touched = true;
        self.end.get_or_insert((at, end));
    }

    /// Requests were answered.
    pub(super) fn pass(&mut self, at: u64, passed: &Passed) {
        self.is_touched = true;
        self.asked.pass(at, passed);
        self.end = self.end.filter(|(_, end)| *end != End::Silence);
        if self.end.is_none() {
            self.last = self.last.max(at);
            self.sign(at);
        }
    }

    /// A request that asks for media is a sign of life among what is reported, too.
    fn sign(&mut self, at: u64) {
        let Some(batches) = &mut self.batches else { return };
        let offset = batches.offset.unwrap_or_default();
        let ts = shifted(at, -offset);
        if batches.playback.last().is_some_and(|last| ts.saturating_sub(last) >= SIGN_MS) {
            // It comes after the last one.
            _ = batches.playback.add(Moment::sign(ts), offset);
        }
    }

    /// Its player reports.
    pub(super) fn report(&mut self, at: u64, report: &Report, (most, hold_of): (usize, HoldOf<'_>)) {
        if !self.is_taken(at, report, most) {
            return;
        }
        self.is_touched = true;
        self.received.reports += 1;
        match report.mode {
            Mode::Request => self.of_request(at, &report.data),
            Mode::Event | Mode::Beacon => self.of_batch(at, &report.data, (most, hold_of)),
        }
    }

    /// Whether a report counts.
    fn is_taken(&mut self, at: u64, report: &Report, most: usize) -> bool {
        if report.data.ts.is_some_and(|ts| ts.abs_diff(at) > OFF_MS) {
            self.received.off += 1;
            return false;
        }
        if report.record.as_deref().is_some_and(|record| self.batches(most).known.is_again(record)) {
            self.received.again += 1;
            return false;
        }
        if self.end.is_some_and(|(end, _)| at > end + LATE_MS) && !self.is_fresh(at, &report.data) {
            self.received.late += 1;
            return false;
        }
        let serials = &mut self.serials[report.mode as usize];
        if report.data.sn.is_some_and(|sn| serials.note(sn) == Serial::Doubled) {
            self.received.doubled += 1;
        }
        true
    }

    /// Whether a report was sent when it was made.
    fn is_fresh(&self, at: u64, data: &Data) -> bool {
        data.ts.is_none_or(|ts| at.saturating_sub(shifted(ts, self.offset())) < FRESH_MS)
    }

    fn of_request(&mut self, at: u64, data: &Data) {
        self.asked.note(data, at);
        if self.end.is_some_and(|(end, why)| why == End::Silence || at >= end + ON_THEIR_WAY_MS) {
            self.end = None;
        }
        if self.end.is_none() {
            self.last = self.last.max(at);
        }
    }

    fn of_batch(&mut self, at: u64, data: &Data, (most, hold_of): (usize, HoldOf<'_>)) {
        let batches = self.batches(most);
        // The least is nearest to what its clock is off by: the rest is time on the way.
        let offset = data.ts.map(|ts| at.cast_signed() - ts.cast_signed());
        batches.offset = batches.offset.into_iter().chain(offset).min();
        batches.last = batches.last.max(at);
        let offset = batches.offset.unwrap_or_default();
        let ts = data.ts.unwrap_or_else(|| shifted(at, -offset));
        batches.claims.note(data, ts);
        if data.e.as_deref() == Some("rr") {
            batches.of_response(shifted(ts, offset), data, hold_of);
        } else if batches.playback.add(Moment::of(data, ts, at), offset).is_err() {
            self.received.unordered += 1;
        }
        self.live_on(at, data);
    }

    /// Whether it goes on, after what its player has just said.
    fn live_on(&mut self, at: u64, data: &Data) {
        let end = match self.batches.as_ref().and_then(|batches| batches.playback.state()) {
            Some(State::Ended) => Some(End::Ended),
            Some(State::Failed) => Some(End::Failed),
            Some(State::Quit) => Some(End::Quit),
            _ => None,
        };
        match (end, self.end) {
            (Some(end), None) => self.end = Some((at, end)),
            (Some(_), Some(_)) => {}
            (None, Some((_, End::Session))) => {}
            // Its player goes on after all.
            (None, Some(_)) if self.is_fresh(at, data) => self.end = None,
            (None, _) => {}
        }
        if self.end.is_none() && self.is_fresh(at, data) || self.end.is_some_and(|(end, _)| end == at) {
            self.last = self.last.max(at);
        }
    }

    /// Notes that it is over where nothing was heard of it for too long.
    pub(super) fn rest(&mut self, now: u64) {
        if self.end.is_none() && self.is_silent(now) {
            (self.end, self.is_touched) = (Some((self.last, End::Silence)), true);
        }
    }

    fn inferred(&self, end: Option<End>) -> Figures {
        let outcome = match (self.asked.playlists, self.asked.media, end) {
            (_, 2.., _) => Outcome::Played,
            (1.., _, Some(_)) => Outcome::ExitBeforeStart,
            (1.., ..) => Outcome::Starting,
            (0, ..) => Outcome::Unknown,
        };
        Figures { outcome, ..self.asked.figures() }
    }

    /// What it comes to.
    pub(super) fn figures(&self, now: u64) -> ViewFigures {
        let end = self.end(now);
        let until = self.asked.last_media;
        let reported = self.batches.as_ref().map(|batches| batches.figures(&batches.line(until), end));
        ViewFigures {
            view: self.id,
            began: self.began,
            last: self.last,
            end,
            clock_offset_ms: self.batches.as_ref().and_then(|batches| batches.offset),
            reported: reported.unwrap_or_default(),
            inferred: self.inferred(end),
            received: self.received(),
        }
    }

    /// What its reports were like.
    pub(super) fn received(&self) -> Received {
        Received { missing: self.serials.iter().map(Serials::missing).sum(), ..self.received }
    }

    /// Adds what is new since the last time to sums of many views.
    pub(super) fn credit(&mut self, sums: &mut Both) {
        if !std::mem::take(&mut self.is_touched) {
            return;
        }
        let end = self.end.map(|(_, end)| end);
        let is_settled = end.is_some() || self.last.saturating_sub(self.began) >= SETTLED_MS;
        if let Some(batches) = &mut self.batches {
            let line = batches.line(self.asked.last_media);
            let figures = batches.figures(&line, end);
            let latency = line.latency_now(batches.offset.unwrap_or_default());
            let new = counts(&figures, (line.bits, line.rated_ms), end).since(&mut self.credited[0]);
            put((&mut sums.reported, new), &figures, (latency, &mut self.is_startup_credited[0]));
            batches.claims.throughput.take(&mut sums.reported.throughput);
        }
        let mut figures = self.inferred(end);
        figures.startup_ms = figures.startup_ms.filter(|_| is_settled || !figures.startup_estimated);
        let new = counts(&figures, self.asked.rated(), end).since(&mut self.credited[1]);
        let startup = (self.asked.latency_now(), &mut self.is_startup_credited[1]);
        put((&mut sums.inferred, new), &figures, startup);
        // What players measure is theirs, though it comes with requests.
        self.asked.claims.throughput.take(&mut sums.inferred.throughput);
    }
}

impl Batches {
    /// What it takes, in bytes.
    const fn weight(&self) -> usize {
        let sketches = self.first_byte.room() + self.last_byte.room() + self.claims.throughput.room();
        size_of::<Self>() + self.playback.room() + self.known.room() + sketches
    }

    /// A response has come, to a request of this time, which says nothing of what the player does: how long it took,
    /// without what we held it for.
    fn of_response(&mut self, began: u64, data: &Data, hold_of: HoldOf<'_>) {
        if data.ttfb.zip(data.ttlb).is_some_and(|(first, last)| first > last) {
            return;
        }
        let took = data.ttlb.or(data.ttfb).unwrap_or_default();
        let held = data.url.as_deref().map_or(0, |url| hold_of(url, (began, began.saturating_add(took))));
        data.ttfb.into_iter().for_each(|ms| self.first_byte.add(ms.saturating_sub(held), 1));
        data.ttlb.into_iter().for_each(|ms| self.last_byte.add(ms.saturating_sub(held), 1));
    }

    /// What reports come to. `last_media`: the last sign of life from requests, by the node's clock.
    fn line(&self, last_media: Option<u64>) -> Line {
        let offset = self.offset.unwrap_or_default();
        self.playback.line(offset, last_media.map(|at| shifted(at, -offset)))
    }

    fn figures(&self, line: &Line, end: Option<End>) -> Figures {
        let outcome = match (line.outcome(), end) {
            (Outcome::Starting, Some(End::Silence | End::Quit)) => Outcome::ExitBeforeStart,
            (outcome, _) => outcome,
        };
        let is_known = line.is_known();
        let mut figures = Figures {
            outcome,
            startup_ms: self.claims.startup.or_else(|| line.startup()),
            states: line.states(),
            rebuffer_ms: if is_known { Some(line.states().rebuffering) } else { self.claims.starved() },
            rebuffers: if is_known { Some(line.rebuffers()) } else { self.claims.starvations() },
            switches_up: line.switches.0,
            switches_down: line.switches.1,
            latency_ms: line.latency(),
            latency_drift_ms_per_minute: line.drift(),
            dropped_frames: self.claims.frames(),
            throughput_kbps: self.claims.throughput.whole().quantile(0.5),
            first_byte_ms: Spread::of(&self.first_byte),
            last_byte_ms: Spread::of(&self.last_byte),
            ..Figures::default()
        };
        figures.relate((line.bits, line.rated_ms));
        figures
    }
}

/// The numbers of a view for sums of many. Until it has played for a second, it is left out of all ratios.
fn counts(figures: &Figures, (bits, rated_ms): (u64, u64), end: Option<End>) -> Counts {
    let is_over = end.is_some();
    let is = |outcome| u64::from(figures.outcome == outcome);
    let endings = Counts {
        exits_before_start: is(Outcome::ExitBeforeStart),
        start_failures: is(Outcome::StartFailure),
        playback_failures: is(Outcome::PlaybackFailure),
        ..Counts::default()
    };
    let playing_ms = figures.states.playing;
    if playing_ms < PLAYED_MS {
        return Counts { left_out: u64::from(is_over && figures.outcome != Outcome::Unknown), ..endings };
    }
    Counts {
        views: 1,
        playing_ms,
        rebuffer_ms: figures.rebuffer_ms.unwrap_or_default(),
        watched_ms: figures.rebuffer_ms.map_or(0, |_| playing_ms),
        rebuffers: figures.rebuffers.unwrap_or_default(),
        bits,
        rated_ms,
        switches_up: figures.switches_up,
        switches_down: figures.switches_down,
        // No screen shows more than one in a millisecond, whatever a player counts.
        dropped_frames: figures.dropped_frames.unwrap_or_default().min(playing_ms),
        frames_ms: figures.dropped_frames.map_or(0, |_| playing_ms),
        ..endings
    }
}

/// Adds what is new. The time of playing that is new was spent as far behind live as the view is now.
fn put((sums, new): (&mut Sums, Counts), figures: &Figures, (latency, is_startup_credited): (Option<u64>, &mut bool)) {
    if let Some(startup) = figures.startup_ms.filter(|_| !*is_startup_credited) {
        *is_startup_credited = true;
        sums.startup.add(startup, 1);
    }
    latency.into_iter().for_each(|latency| sums.latency.add(latency, new.playing_ms));
    sums.merge(&Sums { counts: new, ..Sums::default() });
}

/// A time moved by an offset.
fn shifted(time: u64, by: i64) -> u64 {
    time.saturating_add_signed(by)
}

const _: () = assert!(SIGN_MS * 2 < SILENT_MS);

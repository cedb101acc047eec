//! What a player does, from what it reports: moments in the order of (time, number, arrival), and what they come to.
//!
//! Moments may come late and in any order. The last few wait in order, so that a late one finds its place; what is older
//! is counted for good, and a moment that belongs before it is refused. All times are the player's own.

use super::figures::{Outcome, Spread, States};
use super::report::{Data, ObjectType, Rated, State};
use super::sketch::Sketch;

/// Moments that wait in order for as long as a player is being watched.
pub(super) const WAITING: usize = 32;

/// Without a sign of life for longer than this, and than three of the player's intervals, it was not there
/// (and the time until the last one is what counts).
pub(super) const SILENT_MS: u64 = 90_000;

/// Intervals of which one must bring a report.
const INTERVALS: u64 = 3;

/// What a player's interval is taken for at most.
const LONGEST_INTERVAL_MS: u64 = 600_000;

/// A play head from here on is a time of the calendar (CTA-5004-B `pt`).
const CALENDAR_MS: u64 = 1_000_000_000_000;

/// A moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Moment {
    /// When, its number, and when it arrived: its place.
    pub place: (u64, u64, u64),
    state: Option<State>,
    is_unseen: bool,
    is_interval: bool,
    shown: Option<u32>,
    rates: Rates,
    latency: Option<Latency>,
}

/// How far behind live.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Latency {
    /// As the player says.
    Told(u32),
    /// Its clock less its play head.
    ByHead(i64),
}

/// Bit rates by what has them, in kilobits per second; zero: not said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates([u32; 3]);

impl Rates {
    pub(super) fn of(rated: &[Rated]) -> Self {
        let mut rates = Self::default();
        for rated in rated {
            let place = match rated.of {
                Some(ObjectType::Video) => 0,
                Some(ObjectType::Audio) => 1,
                Some(ObjectType::Muxed) | None => 2,
                Some(_) => continue,
            };
            rates.0[place] = u32::try_from(rated.value).unwrap_or(u32::MAX);
        }
        rates
    }

    /// That of what is seen: of pictures and sound together, of pictures, and of sound where there is nothing else.
    pub(super) fn seen(self) -> Option<u32> {
        [self.0[2], self.0[0], self.0[1]].into_iter().find(|rate| *rate > 0)
    }

    /// Changes upwards and downwards from what these were; takes the new ones.
    pub(super) fn change(&mut self, to: Self) -> (u64, u64) {
        let (mut up, mut down) = (0, 0);
        for (now, next) in self.0.iter_mut().zip(to.0).filter(|(_, next)| *next > 0) {
            up += u64::from(*now > 0 && next > *now);
            down += u64::from(*now > next);
            *now = next;
        }
        (up, down)
    }
}

impl Moment {
    /// What a report says of the moment at which it was made.
    pub(super) fn of(data: &Data, ts: u64, at: u64) -> Self {
        let by_head = || {
            let head = data.pt.filter(|head| *head >= CALENDAR_MS)?;
            Some(Latency::ByHead(ts.cast_signed().saturating_sub(head.cast_signed())))
        };
        let told = data.ltc.map(|ltc| Latency::Told(u32::try_from(ltc).unwrap_or(u32::MAX)));
        Self {
            place: (ts, data.sn.unwrap_or_default(), at),
            state: data.sta,
            is_unseen: data.nr == Some(true),
            is_interval: data.e.as_deref() == Some("t"),
            shown: Rates::of(&data.pb).seen(),
            rates: Rates::of(&data.br),
            latency: told.or_else(by_head),
        }
    }

    /// A sign of life that says nothing else.
    pub(super) fn sign(ts: u64) -> Self {
        Self { place: (ts, 0, 0), ..Self::default() }
    }

    const fn ts(&self) -> u64 {
        self.place.0
    }
}

/// What a player is doing, as it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Starting,
    Playing,
    Seeking,
    Rebuffering,
    Paused,
    Waiting,
    Preloading,
    Over,
}

/// What moments up to one of them come to.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    /// The place of the last one.
    last: Option<(u64, u64, u64)>,
    doing: Option<Doing>,
    is_unseen: bool,
    states: States,
    began: Option<u64>,
    started: Option<u64>,
    outcome: Outcome,
    rebuffers: u64,
    shown: Option<u32>,
    is_shown_told: bool,
    /// Rate times time: bits.
    pub bits: u64,
    /// The time of playing in which the rate is known.
    pub rated_ms: u64,
    rates: Rates,
    pub switches: (u64, u64),
    latency: Option<Latency>,
    told: Sketch,
    by_head: Sketch,
    drift: Drift,
    interval: Option<(u64, Option<u64>)>,
}

impl Line {
    /// Counts a moment that comes after all before. `offset`: what the player's clock is set forward by.
    fn advance(&mut self, moment: &Moment, offset: i64) {
        if moment.is_interval {
            self.measure(moment.ts());
        }
        if let Some((last, ..)) = self.last {
            // Nobody was there from the last sign of life on, if this one is too far from it.
            if moment.ts().saturating_sub(last) <= self.silent_after() {
                self.count(last, moment.ts(), offset);
            }
        }
        self.last = Some(moment.place);
        if moment.shown.is_some() {
            (self.shown, self.is_shown_told) = (moment.shown, true);
        } else if !self.is_shown_told && moment.rates.seen().is_some() {
            self.shown = moment.rates.seen();
        }
        let (up, down) = self.rates.change(moment.rates);
        self.switches = (self.switches.0 + up, self.switches.1 + down);
        if let Some(latency) = moment.latency {
            self.latency = Some(latency);
            if let Some(ms) = latency.ms(offset) {
                self.drift.add(moment.ts(), ms);
            }
        }
        if let Some(state) = moment.state {
            self.is_unseen = moment.is_unseen;
            self.enter(state, moment.ts());
        }
    }

    /// A report that comes by the clock shows the player's interval: the least time between two of them.
    fn measure(&mut self, ts: u64) {
        let (before, known) = self.interval.map_or((None, None), |(before, known)| (Some(before), known));
        let between = before.map(|before| ts.saturating_sub(before).min(LONGEST_INTERVAL_MS)).filter(|ms| *ms > 0);
        self.interval = Some((ts, known.into_iter().chain(between).min()));
    }

    /// After how long without a sign of life the player was not there.
    fn silent_after(&self) -> u64 {
        let interval = self.interval.and_then(|(_, known)| known).unwrap_or_default();
        (interval * INTERVALS).max(SILENT_MS)
    }

    /// The time from one moment to another goes to what is being done.
    fn count(&mut self, from: u64, to: u64, offset: i64) {
        let time = to.saturating_sub(from);
        let states = &mut self.states;
        let place = match self.doing {
            None | Some(Doing::Over) => return,
            Some(Doing::Starting) => &mut states.starting,
            Some(Doing::Playing) if self.is_unseen => &mut states.unseen,
            Some(Doing::Playing) => &mut states.playing,
            Some(Doing::Seeking) => &mut states.seeking,
            Some(Doing::Rebuffering) => &mut states.rebuffering,
            Some(Doing::Paused) => &mut states.paused,
            Some(Doing::Waiting) => &mut states.waiting,
            Some(Doing::Preloading) => &mut states.preloading,
        };
        *place = place.saturating_add(time);
        if self.doing != Some(Doing::Playing) || self.is_unseen {
            return;
        }
        if let Some(rate) = self.shown {
            self.bits = self.bits.saturating_add(u64::from(rate).saturating_mul(time));
            self.rated_ms = self.rated_ms.saturating_add(time);
        }
        match self.latency {
            Some(latency @ Latency::Told(_)) => latency.ms(offset).into_iter().for_each(|ms| self.told.add(ms, time)),
            Some(latency @ Latency::ByHead(_)) => {
                latency.ms(offset).into_iter().for_each(|ms| self.by_head.add(ms, time));
            }
            None => {}
        }
    }

    fn enter(&mut self, state: State, ts: u64) {
        let has_played = self.started.is_some();
        let next = match state {
            State::Starting => Doing::Starting,
            State::Playing => Doing::Playing,
            State::Seeking => Doing::Seeking,
            // Filling the buffer before the first picture is starting, after a seek it is seeking
            // (CTA-5004-B `sta`: rebuffering is neither).
            State::Rebuffering if !has_played => Doing::Starting,
            State::Rebuffering if self.doing == Some(Doing::Seeking) => Doing::Seeking,
            State::Rebuffering => Doing::Rebuffering,
            State::Paused => Doing::Paused,
            State::Waiting => Doing::Waiting,
            State::Preloading => Doing::Preloading,
            State::Ended | State::Failed | State::Quit => Doing::Over,
        };
        self.rebuffers += u64::from(self.doing == Some(Doing::Playing) && next == Doing::Rebuffering);
        match (state, next) {
            (State::Starting, _) if self.began.is_none() => self.began = Some(ts),
            (State::Playing, _) if !has_played => self.started = Some(ts),
            _ => {}
        }
        self.outcome = match (state, self.outcome, has_played) {
            (_, Outcome::StartFailure | Outcome::PlaybackFailure, _) => self.outcome,
            (State::Failed, _, true) => Outcome::PlaybackFailure,
            (State::Failed, Outcome::Starting | Outcome::ExitBeforeStart, false) => Outcome::StartFailure,
            (State::Quit, Outcome::Starting, false) => Outcome::ExitBeforeStart,
            (State::Playing, ..) => Outcome::Played,
            (State::Starting, Outcome::Unknown, false) => Outcome::Starting,
            (_, outcome, _) => outcome,
        };
        self.doing = Some(next);
    }

    /// Time in each state.
    pub(super) const fn states(&self) -> States {
        self.states
    }

    /// How it began and ended, as far as the player says so.
    pub(super) const fn outcome(&self) -> Outcome {
        self.outcome
    }

    /// From the first start to the first picture.
    pub(super) fn startup(&self) -> Option<u64> {
        Some(self.started?.saturating_sub(self.began?))
    }

    /// Transitions from playing to rebuffering.
    pub(super) const fn rebuffers(&self) -> u64 {
        self.rebuffers
    }

    /// Whether the player said what it does at all.
    pub(super) const fn is_known(&self) -> bool {
        self.doing.is_some()
    }

    /// How far behind live, each second of playing counted alike.
    pub(super) fn latency(&self) -> Option<Spread> {
        Spread::of(&self.told).or_else(|| Spread::of(&self.by_head))
    }

    /// The last that is known of it.
    pub(super) fn latency_now(&self, offset: i64) -> Option<u64> {
        self.latency?.ms(offset)
    }

    /// What it grew by, in milliseconds each minute.
    pub(super) fn drift(&self) -> Option<f64> {
        self.drift.slope()
    }
}

impl Latency {
    fn ms(self, offset: i64) -> Option<u64> {
        match self {
            Self::Told(ms) => Some(ms.into()),
            Self::ByHead(behind) => u64::try_from(behind.saturating_add(offset)).ok(),
        }
    }
}

/// How latency moved: the means of half minutes, and the line through those of five minutes.
#[derive(Clone, Debug, Default, PartialEq)]
struct Drift([(u64, u64, u64); 10]);

const HALF_MINUTE_MS: u64 = 30_000;

impl Drift {
    fn add(&mut self, ts: u64, ms: u64) {
        let half = ts / HALF_MINUTE_MS;
        let slot = &mut self.0[(half % 10) as usize];
        if slot.0 != half {
            *slot = (half, 0, 0);
        }
        (slot.1, slot.2) = (slot.1 + 1, slot.2.saturating_add(ms));
    }

    fn slope(&self) -> Option<f64> {
        let newest = self.0.iter().map(|(half, ..)| *half).max()?;
        let known = self.0.iter().filter(|(half, n, _)| *n > 0 && half + 10 > newest);
        let points: Vec<_> =
            known.map(|(half, n, sum)| ((newest - half) as f64 / -2.0, *sum as f64 / *n as f64)).collect();
        let n = points.len() as f64;
        let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / n, y + point.1 / n));
        let (up, across) = points.iter().fold((0.0, 0.0), |(up, across), point| {
            (up + (point.0 - x) * (point.1 - y), across + (point.0 - x) * (point.0 - x))
        });
        (points.len() > 1).then(|| up / across)
    }
}

/// The moments of one player.
#[derive(Clone, Debug)]
pub(super) struct Playback {
    counted: Line,
    waiting: Vec<Moment>,
    most: usize,
}

/// A moment belongs before what is counted already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLate;

impl Playback {
    /// No moments yet; at most so many of them wait for earlier ones.
    pub(super) fn new(most: usize) -> Self {
        Self { counted: Line::default(), waiting: Vec::new(), most }
    }

    /// Puts a moment in its place.
    pub(super) fn add(&mut self, moment: Moment, offset: i64) -> Result<(), TooLate> {
        if self.counted.last.is_some_and(|last| moment.place < last) {
            return Err(TooLate);
        }
        let at = self.waiting.partition_point(|other| other.place <= moment.place);
        if self.waiting.len() < self.most {
            self.waiting.insert(at, moment);
            return Ok(());
        }
        // It takes the place of the oldest, or is that itself.
        let oldest = match at.checked_sub(1) {
            None => moment,
            Some(at) => {
                let oldest = self.waiting.remove(0);
                self.waiting.insert(at, moment);
                oldest
            }
        };
        self.counted.advance(&oldest, offset);
        Ok(())
    }

    /// What it takes beside itself, in bytes.
    pub(super) const fn room(&self) -> usize {
        self.waiting.capacity() * size_of::<Moment>() + self.counted.told.room() + self.counted.by_head.room()
    }

    /// The time of the last moment.
    pub(super) fn last(&self) -> Option<u64> {
        self.waiting.last().map(Moment::ts).or(self.counted.last.map(|(ts, ..)| ts))
    }

    /// After how long without a sign of life the player is not there any more.
    pub(super) fn silent_after(&self) -> u64 {
        self.counted.silent_after().max(self.interval() * INTERVALS)
    }

    /// The least time between two of the reports that come by the clock.
    fn interval(&self) -> u64 {
        let reports = self.waiting.iter().filter(|moment| moment.is_interval);
        let pairs = reports.clone().zip(reports.skip(1));
        let between = pairs.map(|(one, next)| next.ts().saturating_sub(one.ts()).min(LONGEST_INTERVAL_MS));
        between.filter(|between| *between > 0).min().unwrap_or_default()
    }

    /// The last state that the player told.
    pub(super) fn state(&self) -> Option<State> {
        let waiting = self.waiting.iter().rev().find_map(|moment| moment.state);
        waiting.or_else(|| self.counted.doing.filter(|doing| *doing == Doing::Over).map(|_| State::Ended))
    }

    /// What all moments come to, with the time until the last proof of life, by the player's clock.
    pub(super) fn line(&self, offset: i64, until: Option<u64>) -> Line {
        let mut line = self.counted.clone();
        self.waiting.iter().for_each(|moment| line.advance(moment, offset));
        if let (Some((last, ..)), Some(until)) = (line.last, until) {
            line.count(last, until, offset);
        }
        line
    }
}

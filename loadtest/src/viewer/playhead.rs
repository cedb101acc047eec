//! The simulated clock of playback: what is buffered, what is shown, where it ran dry.
//!
//! Pure: it is told what was appended and when, and works out afterwards when the buffer must have been empty. Playback begins
//! when every track has the start position; it stops where the shortest track ends, and goes on once all tracks have enough. The
//! rate is chosen at each append, the way hls.js chooses it at each `timeupdate`.

use std::time::Instant;

use super::time::{Micros, duration, micros};

/// What a playhead is set up with.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Number of tracks: 1, or 2 with the sound apart.
    pub tracks: usize,
    /// Where to begin.
    pub start: Micros,
    /// The latency to play at; none for a stream with an end.
    pub target_latency: Option<Micros>,
    /// The rate of catching up, such as 1.05; 1 never catches up.
    pub max_rate: f64,
}

/// Dry buffers that a viewer would have seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stalls {
    /// How many.
    pub count: u64,
    /// How long in all.
    pub total: Micros,
    /// The longest.
    pub longest: Micros,
}

/// Less than a frame of 60/s: nobody sees it.
const SHORTEST_STALL: Micros = 10_000;
/// What players want ahead before they begin, or begin again: with less, the next request would decide.
const ENOUGH: Micros = 200_000;
/// What hls.js wants buffered before it plays faster.
const CATCH_UP_BUFFER: Micros = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Waiting,
    Playing { from: Micros, at: Instant, rate: f64 },
    Dry { position: Micros, since: Instant },
}

/// The clock.
#[derive(Clone, Debug)]
pub struct Playhead {
    setup: Setup,
    buffers: Vec<Option<(Micros, Micros)>>,
    over: Vec<bool>,
    state: State,
    stalls: Stalls,
}

impl Playhead {
    /// With nothing buffered.
    pub fn new(setup: Setup) -> Self {
        Self {
            buffers: vec![None; setup.tracks],
            over: vec![false; setup.tracks],
            setup,
            state: State::Waiting,
            stalls: Stalls::default(),
        }
    }

    /// Media from `start` to `end` of `track` is there. `live` is the calendar time, where the stream has it.
    pub fn append(&mut self, track: usize, (start, end): (Micros, Micros), (now, live): (Instant, Option<Micros>)) {
        self.advance(now);
        let buffer = self.buffers[track].get_or_insert((start, start));
        buffer.1 = buffer.1.max(end);
        let Some(dry) = self.dry_at() else { return };
        match self.state {
            State::Waiting => {
                let from = self.buffers.iter().flatten().map(|buffer| buffer.0);
                let from = from.max().unwrap_or(start).max(self.setup.start);
                if self.is_enough(from, dry) {
                    self.play(from, now, live);
                }
            }
            State::Dry { position, since } if self.is_enough(position, dry) => {
                self.stall(micros(now - since));
                self.play(position, now, live);
            }
            State::Playing { .. } => {
                let position = self.position(now).expect("it plays");
                self.play(position, now, live);
            }
            State::Dry { .. } => {}
        }
    }

    fn is_enough(&self, position: Micros, dry: Micros) -> bool {
        let over = self.over.iter().any(|over| *over);
        dry - position >= if over { 1 } else { ENOUGH }
    }

    fn play(&mut self, from: Micros, at: Instant, live: Option<Micros>) {
        let rate = self.rate(from, live);
        self.state = State::Playing { from, at, rate };
    }

    /// latency-controller.ts of hls.js: faster within a target's reach, with a second buffered, in steps of 5 %.
    fn rate(&self, position: Micros, live: Option<Micros>) -> f64 {
        let (Some(live), Some(target)) = (live, self.setup.target_latency) else {
            return 1.0;
        };
        let behind = (live - position - target) as f64 / 1e6;
        let buffered = self.dry_at().map_or(0, |end| end - position);
        if behind <= 0.05 || buffered <= CATCH_UP_BUFFER {
            return 1.0;
        }
        let wanted = (2.0 / (1.0 + (-0.75 * behind).exp()) * 20.0).round() / 20.0;
        wanted.clamp(1.0, self.setup.max_rate.max(1.0))
    }

    /// Where the shortest track ends; none until all have begun.
    fn dry_at(&self) -> Option<Micros> {
        let ends = self.buffers.iter().zip(&self.over);
        let mut shortest = Micros::MAX;
        for (buffer, over) in ends {
            let (_, end) = (*buffer)?;
            if !over {
                shortest = shortest.min(end);
            }
        }
        if shortest == Micros::MAX {
            return self.buffers.iter().flatten().map(|buffer| buffer.1).max();
        }
        Some(shortest)
    }

    /// Works out what was shown until `now`.
    pub fn advance(&mut self, now: Instant) {
        let State::Playing { from, at, rate } = self.state else {
            return;
        };
        let Some(dry) = self.dry_at() else { return };
        let shown = from + (micros(now.saturating_duration_since(at)) as f64 * rate) as Micros;
        if shown >= dry {
            let lasted = ((dry - from) as f64 / rate) as Micros;
            self.state = State::Dry { position: dry, since: at + duration(lasted) };
        }
    }

    fn stall(&mut self, long: Micros) {
        if long >= SHORTEST_STALL {
            self.stalls.count += 1;
            self.stalls.total += long;
            self.stalls.longest = self.stalls.longest.max(long);
        }
    }

    /// Nothing more comes on `track`: its end is the end of the stream, not a dry buffer.
    pub fn end(&mut self, track: usize) {
        self.over[track] = true;
    }

    /// What `track` has is followed by a hole; playback goes on at `target`, once there is media. The wait is a stall.
    pub fn jump(&mut self, track: usize, target: Micros, now: Instant) {
        self.advance(now);
        let position = target.max(self.position(now).unwrap_or(target));
        self.buffers[track] = None;
        match self.state {
            State::Waiting => self.setup.start = position,
            State::Playing { .. } => self.state = State::Dry { position, since: now },
            State::Dry { since, .. } => self.state = State::Dry { position, since },
        }
    }

    /// What is shown at `now`, if playback began.
    pub fn position(&self, now: Instant) -> Option<Micros> {
        match self.state {
            State::Waiting => None,
            State::Playing { from, at, rate } => {
                let shown = from + (micros(now.saturating_duration_since(at)) as f64 * rate) as Micros;
                Some(self.dry_at().map_or(shown, |dry| shown.min(dry)))
            }
            State::Dry { position, .. } => Some(position),
        }
    }

    /// Where what is buffered of `track` ends.
    pub fn buffered(&self, track: usize) -> Option<Micros> {
        self.buffers[track].map(|(_, end)| end)
    }

    /// How much of `track` lies ahead at `now`.
    pub fn ahead(&self, track: usize, now: Instant) -> Micros {
        let position = self.position(now).unwrap_or(self.setup.start);
        self.buffers[track].map_or(0, |(_, end)| end - position)
    }

    /// Whether media is shown at this moment.
    pub fn is_playing(&self) -> bool {
        matches!(self.state, State::Playing { .. })
    }

    /// The stalls until `now`, one that has not ended included.
    pub fn finish(mut self, now: Instant) -> Stalls {
        self.advance(now);
        let ended = self.over.iter().all(|over| *over);
        if let State::Dry { since, .. } = self.state
            && !ended
        {
            self.stall(micros(now.saturating_duration_since(since)));
        }
        self.stalls
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const S: Micros = 1_000_000;

    fn playhead(tracks: usize) -> (Playhead, impl Fn(u64) -> Instant) {
        let setup = Setup { tracks, start: 10 * S, target_latency: Some(S), max_rate: 1.05 };
        let zero = Instant::now();
        (Playhead::new(setup), move |ms| zero + Duration::from_millis(ms))
    }

    #[test]
    fn playback_begins_when_both_tracks_have_the_start() {
        let (mut head, at) = playhead(2);
        head.append(0, (8 * S, 11 * S), (at(0), None));
        head.append(1, (9 * S, 10 * S), (at(50), None));
        assert_eq!(head.position(at(50)), None);
        head.append(1, (10 * S, 11 * S), (at(100), None));
        assert_eq!(head.position(at(600)), Some(10 * S + 500_000));
        assert_eq!(head.ahead(0, at(600)), 500_000);
    }

    #[test]
    fn a_dry_buffer_is_a_stall_from_the_moment_it_was_empty_until_all_tracks_have_more() {
        let (mut head, at) = playhead(2);
        head.append(0, (10 * S, 12 * S), (at(0), None));
        head.append(1, (10 * S, 11 * S), (at(0), None));
        head.append(0, (12 * S, 13 * S), (at(1200), None));
        assert!(!head.is_playing());
        head.append(1, (11 * S, 12 * S), (at(1500), None));
        assert_eq!(head.position(at(1600)), Some(11 * S + 100_000));
        let stalls = head.clone().finish(at(2500));
        let once = Stalls { count: 1, total: 500_000, longest: 500_000 };
        assert_eq!(stalls, once);
        let stalls = head.finish(at(3000));
        assert_eq!((stalls.count, stalls.total), (2, S));
    }

    #[test]
    fn an_append_in_the_last_moment_is_no_stall() {
        let (mut head, at) = playhead(1);
        for second in 0..5 {
            let start = (10 + second) * S;
            let late = if second == 0 { 0 } else { 5 };
            let now = at(u64::try_from(second).unwrap() * 1000 + late);
            head.append(0, (start, start + S), (now, None));
        }
        assert_eq!(head.finish(at(4000)).count, 0);
    }

    #[test]
    fn the_end_of_a_stream_is_no_stall() {
        let (mut head, at) = playhead(1);
        head.append(0, (10 * S, 11 * S), (at(0), None));
        head.end(0);
        assert_eq!(head.finish(at(9000)).count, 0);
    }

    #[test]
    fn a_viewer_who_is_late_and_has_a_second_catches_up_by_five_percent() {
        let (mut head, at) = playhead(1);
        head.append(0, (10 * S, 12 * S), (at(0), Some(13 * S)));
        assert_eq!(head.position(at(1000)), Some(11 * S + 50_000));
        // Too little ahead now: it plays at its own pace.
        head.append(0, (12 * S, 12 * S), (at(1000), Some(14 * S)));
        assert_eq!(head.position(at(1500)), Some(11 * S + 550_000));
    }

    #[test]
    fn a_jump_waits_for_media_at_its_target() {
        let (mut head, at) = playhead(1);
        head.append(0, (10 * S, 11 * S), (at(0), None));
        head.jump(0, 20 * S, at(500));
        head.append(0, (20 * S, 21 * S), (at(700), None));
        assert_eq!(head.position(at(800)), Some(20 * S + 100_000));
        assert_eq!(head.finish(at(800)).total, 200_000);
    }
}

//! What a follower knows of a live media playlist and its origin: what to ask next, and what the last answer means for
//! that. A plain request settles every doubt: after a failure, a refusal of directives, or a delta update that cannot be
//! merged, the whole playlist is asked for.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use crate::clock::{Tick, WallTime};
use crate::rules::caching::validator::Validators;
use crate::rules::hls::delta::merge;
use crate::rules::hls::parse::{Malformed, parse};
use crate::rules::hls::rhythm::{Poll, Rhythm};
use crate::rules::hls::window::{Advance, Finding, Left, Window};
use crate::rules::hls::{MediaPlaylist, Position};

use super::ask::{Blocking, Question};
use super::edition::Edition;
use super::figures::Why;
use super::pace;

/// Requests with directives in a row that came to nothing at once, after which directives are not used for a while.
const REFUSALS: u32 = 3;
/// For how long that is.
const WITHOUT_DIRECTIVES: Duration = Duration::from_mins(1);
/// Delta updates in a row that could not be merged, after which none is asked for any more.
const FAILED_MERGES: u32 = 3;

/// A live media playlist and its origin.
pub(super) struct Following {
    pub(super) window: Window,
    pub(super) edition: Option<Arc<Edition>>,
    rhythm: Rhythm,
    validators: Option<Validators>,
    /// When the origin last answered with a playlist, or that it has not changed.
    answered: Option<Tick>,
    /// The next request is plain, for this reason.
    plain: Option<Why>,
    /// Failures in a row.
    failures: u32,
    refusals: u32,
    failed_merges: u32,
    /// The last version was the first of an origin that began anew: what was asked for stood in other numbers.
    has_begun_anew: bool,
    no_directives_before: Tick,
    /// The place of the origin whose list viewers see.
    origin: Option<usize>,
    /// The stream has moved there, and viewers see nothing of it yet; how the origin before was.
    moving: Option<Left>,
}

/// Why an answer is no version of the playlist.
pub(super) enum NoVersion {
    Malformed(Malformed),
    /// The whole playlist must be asked for.
    CannotMerge,
}

impl Following {
    pub(super) fn new(window: Window) -> Self {
        Self {
            window,
            edition: None,
            rhythm: Rhythm::default(),
            validators: None,
            answered: None,
            plain: None,
            failures: 0,
            refusals: 0,
            failed_merges: 0,
            has_begun_anew: false,
            no_directives_before: Tick::default(),
            origin: None,
            moving: None,
        }
    }

    pub(super) fn target_duration(&self) -> Duration {
        self.window.published().map_or(Duration::ZERO, |published| published.frontier.target_duration)
    }

    pub(super) fn part_target(&self) -> Option<Duration> {
        self.window.published()?.frontier.part_target
    }

    pub(super) fn is_ended(&self) -> bool {
        self.window.published().is_some_and(|published| published.frontier.is_ended)
    }

    /// When the origin last answered well.
    pub(super) fn answered(&self) -> Option<Tick> {
        self.answered
    }

    /// What to ask now, and why.
    pub(super) fn question(&self, now: Tick) -> (Why, Question) {
        let plain = Question { validates: self.validators.clone(), ..Question::default() };
        if let Some(why) = self.plain {
            let validates = plain.validates.filter(|_| !matches!(why, Why::FailedMerge | Why::Failover));
            return (why, Question { validates, ..Question::default() });
        }
        let Some(upstream) = self.window.upstream() else {
            return (if self.answered.is_some() { Why::Refresh } else { Why::First }, plain);
        };
        if now < self.no_directives_before {
            return (Why::Poll, plain);
        }
        // A copy older than half of what is skipped may lack what the update leaves out (§6.3.7).
        let is_young = |skips: Duration| self.answered.is_some_and(|at| now.since(at) < skips / 2);
        let skips = self.failed_merges < FAILED_MERGES && upstream.skips.is_some_and(is_young);
        let blocks = upstream.blocks.then(|| Blocking::of(&upstream, self.target_duration()));
        match (blocks, skips) {
            (None, false) => (Why::Poll, plain),
            (Some(_), false) => (Why::Reload, Question { blocks, ..Question::default() }),
            // A validator is that of the whole playlist.
            (_, true) => (Why::Delta, Question { blocks, skips, validates: None }),
        }
    }

    /// Reads a version of the playlist from `text`.
    ///
    /// # Errors
    /// [`NoVersion`].
    pub(super) fn read(&mut self, text: &str) -> Result<MediaPlaylist, NoVersion> {
        let before = self.window.ingested();
        let playlist = parse(text, before).map_err(NoVersion::Malformed)?;
        if playlist.facts.skip.is_none() {
            return Ok(playlist);
        }
        match before.map(|before| merge(before, &playlist)) {
            Some(Ok(merged)) => {
                self.failed_merges = 0;
                Ok(merged)
            }
            Some(Err(_)) | None => {
                self.failed_merges = self.failed_merges.saturating_add(1);
                self.plain = Some(Why::FailedMerge);
                Err(NoVersion::CannotMerge)
            }
        }
    }

    /// The place of the origin whose list viewers see.
    pub(super) fn origin(&self) -> Option<usize> {
        self.origin
    }

    /// The next request is for the whole list, of whoever answers: `home` is to be its origin, or any.
    pub(super) fn moves(&mut self, from: Left) {
        self.plain = Some(Why::Failover);
        self.no_directives_before = Tick::default();
        self.refusals = 0;
        self.moving = Some(match self.moving {
            Some(Left::Silent) => Left::Silent,
            Some(Left::Talking) | None => from,
        });
    }

    /// Whether viewers are to see the list of another origin.
    pub(super) fn is_moving(&self) -> bool {
        self.moving.is_some()
    }

    /// When it has stalled for so long that another origin is asked.
    pub(super) fn given_up_from(&self, target_durations: u32) -> Option<Tick> {
        self.window.given_up_from(self.target_duration() * target_durations)
    }

    /// Takes on a version that answered `question`, from the origin at this place.
    pub(super) fn take(&mut self, playlist: MediaPlaylist, question: &Question, came: &Received<'_>) -> Advance {
        let last_segment = playlist.segments.last().map_or(Duration::ZERO, |segment| segment.duration);
        let next = |window: &Window| window.published().map(|published| published.frontier.next);
        let before = next(&self.window);
        let is_others = came.origin.is_some() && self.origin.is_some() && came.origin != self.origin;
        let advance = match is_others {
            true => self.window.take_over(playlist, self.moving.unwrap_or(Left::Silent), came.answered),
            false => self.window.take(playlist, came.answered),
        };
        if matches!(advance, Advance::Unchanged | Advance::Advanced(..)) {
            (self.origin, self.moving) = (came.origin.or(self.origin), None);
        }
        self.validators = match question.blocks.is_some() || question.skips {
            true => None,
            false => Some(Validators::of(came.headers, came.wall)),
        };
        let begins_anew = |finding: &Finding| matches!(finding, Finding::Restarted { .. });
        self.has_begun_anew = matches!(&advance, Advance::Advanced(_, findings) if findings.iter().any(begins_anew));
        match &advance {
            Advance::Unchanged => self.answered_well(question, came, (false, last_segment)),
            // A mere revision says nothing of when the next segment comes.
            Advance::Advanced(..) => {
                self.answered_well(question, came, (next(&self.window) != before, last_segment));
            }
            Advance::Behind if is_others => self.plain = Some(Why::Failover),
            Advance::Behind => self.plain = None,
            Advance::Refused(_) => {}
        }
        advance
    }

    /// Takes on that nothing has changed.
    pub(super) fn unchanged(&mut self, question: &Question, came: &Received<'_>) {
        let published = self.window.published();
        let last = published.and_then(|published| published.playlist.segments.last());
        let last_segment = last.map_or(Duration::ZERO, |segment| segment.duration);
        self.answered_well(question, came, (false, last_segment));
    }

    fn answered_well(&mut self, question: &Question, came: &Received<'_>, (changed, last_segment): (bool, Duration)) {
        self.answered = Some(came.answered);
        self.plain = None;
        self.failures = 0;
        if question.blocks.is_some() {
            self.refusals = 0;
            return;
        }
        self.rhythm.observe(&Poll {
            asked: came.asked,
            answered: came.answered,
            changed,
            last_segment,
            target_duration: self.target_duration(),
            part_target: self.part_target(),
        });
    }

    /// Whether a blocking reload was answered before what it asked for was there.
    pub(super) fn is_early(&self, question: &Question) -> bool {
        let (Some(asked), Some(newest)) = (question.blocks, self.window.ingested()) else { return false };
        let is_there = match asked.part {
            Some(part) => newest.next() > Position::new(asked.msn, part),
            None => newest.open_msn() > asked.msn,
        };
        !is_there && !newest.facts.is_ended && !self.has_begun_anew
    }

    /// When to ask again after an answer that came well.
    pub(super) fn next(&self, asked: Tick, now: Tick) -> Tick {
        match self.question(now).1.blocks {
            Some(_) => pace::after_reload(asked),
            None => self.rhythm.next().max(pace::after_reload(asked)),
        }
    }

    /// A request with directives came to nothing within `after`: a plain one shows what is wrong. Whether directives are
    /// not used for a while.
    pub(super) fn doubts_directives(&mut self, after: Duration, now: Tick) -> bool {
        self.plain = Some(Why::Recovery);
        // An origin that gives up after holding is no origin that refuses.
        if after >= self.target_duration() {
            return false;
        }
        self.refusals = self.refusals.saturating_add(1);
        let gives_up = self.refusals >= REFUSALS;
        if gives_up {
            self.refusals = 0;
            self.no_directives_before = now + WITHOUT_DIRECTIVES;
        }
        gives_up
    }

    /// A plain request failed at `now`; when to ask again.
    pub(super) fn failed(&mut self, now: Tick) -> Tick {
        self.failures = self.failures.saturating_add(1);
        self.plain = Some(Why::Recovery);
        pace::after_failure(now, self.failures, self.target_duration())
    }

    /// Whether the last playlist has been repeated long enough, `times` target durations after the origin last answered.
    pub(super) fn is_stale(&self, now: Tick, times: u32) -> bool {
        self.answered.is_none_or(|at| now >= at + self.target_duration() * times)
    }
}

/// The circumstances of an answer.
pub(super) struct Received<'c> {
    pub(super) headers: &'c HeaderMap,
    pub(super) asked: Tick,
    pub(super) answered: Tick,
    pub(super) wall: WallTime,
    /// The place of the origin that answered, where there are several.
    pub(super) origin: Option<usize>,
}

//! The next version for viewers: what this node writes into it, how far it has come, and whether it is one at all.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::control::{self, DateRanges};
use super::findings::{Cause, Finding, duration_up_to, rounded};
use super::lines::{self, Kind};
use super::numbering::Seen;
use super::view::{self, Shown};
use super::{Advance, Published, Window};
use crate::clock::Tick;
use crate::rules::hls::playlist::{MediaPlaylist, Tag};
use crate::rules::hls::reload::Frontier;

/// Closed segments whose number of parts is kept: a reload that waits for a part of one of them is judged by it.
pub(super) const CLOSED: u64 = 8;

impl Window {
    pub(super) fn publish(&mut self, new: MediaPlaylist, mut shown: Shown, now: Tick) -> Advance {
        self.write_target(&new, &mut shown.playlist);
        if view::is_live(&new) {
            self.write_control(&mut shown.playlist);
        }
        let before = self.published.take();
        let changes = before.as_ref().is_none_or(|before| before.generation != self.generation)
            || before.as_ref().is_some_and(|before| !is_same(&before.playlist, &shown.playlist));
        self.ingested = Some(new);
        if !changes {
            self.published = before;
            return Advance::Unchanged;
        }
        self.watch.look(&shown.playlist);
        let published = Arc::new(self.version(before.as_deref(), shown, now));
        self.resumed = None;
        if published.frontier.next > self.seen.next || before.is_none() {
            self.advanced_at = now;
        }
        let facts = &published.playlist.facts;
        self.seen = Seen {
            media_sequence: facts.media_sequence,
            discontinuity_sequence: facts.discontinuity_sequence,
            next: published.frontier.next,
        };
        if published.first_of_generation == 0 {
            self.earlier = (HashSet::new(), Duration::ZERO);
        }
        self.published = Some(Arc::clone(&published));
        Advance::Advanced(published, self.watch.take())
    }

    /// The target duration that viewers see: the first one, until a segment does not fit.
    fn write_target(&mut self, new: &MediaPlaylist, shown: &mut MediaPlaylist) {
        let origins = new.facts.target_duration;
        let known = self.ingested.as_ref().map_or(0, MediaPlaylist::open_msn);
        let fresh = new.segments.iter().enumerate().rev().take_while(|(index, _)| new.msn(*index) >= known);
        let longest = fresh.map(|(_, segment)| rounded(segment.duration)).max().unwrap_or_default();
        if self.target_duration.is_zero() || (origins > self.target_duration && longest > self.target_duration) {
            self.target_duration = origins;
        }
        if origins != self.target_duration {
            shown.facts.target_duration = self.target_duration;
            lines::write(shown, Kind::TargetDuration, &self.target_duration.as_secs().to_string());
        }
    }

    fn write_control(&mut self, shown: &mut MediaPlaylist) {
        let is_range = |tag: &Tag| matches!(tag, Tag::DateRange(_));
        let outside = shown.head.iter().chain(&shown.tail).any(|line| is_range(&line.tag));
        let newest = shown.segments.iter().enumerate().rev();
        let newest = newest.take_while(|(index, _)| shown.msn(*index) >= self.seen.next.msn);
        let inside = || newest.flat_map(|(_, segment)| &segment.lasting).any(|line| is_range(&line.tag));
        let ranges = if outside || inside() { DateRanges::Seen } else { DateRanges::Unseen };
        let enough = shown.facts.target_duration * 7 + Duration::from_nanos(1);
        let wanted = self.offered.decide(shown, duration_up_to(shown, enough), ranges);
        let (origin, facts) = (shown.facts.server_control.unwrap_or_default(), &shown.facts);
        let least = |found: Option<Duration>, kept: Option<Duration>| kept.filter(|_| found != kept);
        let raised = least(origin.hold_back, wanted.hold_back)
            .or_else(|| least(origin.part_hold_back, wanted.part_hold_back).filter(|_| facts.part_target.is_some()));
        self.watch.note(Cause::HoldBack, raised.map(|least| Finding::HoldBack { least }));
        control::write(shown, wanted);
    }

    fn version(&self, before: Option<&Published>, shown: Shown, now: Tick) -> Published {
        let Shown { playlist, reports, earlier, revised } = shown;
        let mut dates = before.map(|before| before.dates.clone()).unwrap_or_default();
        dates.advance(&playlist, now);
        let keep = self.offered.skip_until().unwrap_or_default().max(playlist.facts.target_duration * 6) * 2;
        let known = before.map_or(&[][..], |before| &before.revised);
        let is_known = |(msn, at): &&(u64, Tick)| {
            *msn >= playlist.msn(0) && now.since(*at) <= keep && revised.binary_search(msn).is_err()
        };
        let mut all: Vec<_> = known.iter().filter(is_known).copied().collect();
        all.extend(revised.iter().map(|msn| (*msn, now)));
        let facts = &playlist.facts;
        let frontier = Frontier {
            next: playlist.next().max(self.seen.next),
            closed_parts: self.closed_parts(before.map(|before| &before.frontier), &playlist),
            target_duration: facts.target_duration,
            part_target: facts.part_target,
            is_ended: facts.is_ended,
        };
        Published {
            reports,
            frontier,
            dates,
            revised: all,
            generation: self.generation,
            first_of_generation: earlier,
            at: now,
            version: before.map_or(0, |before| before.version) + 1,
            playlist,
        }
    }

    /// How many parts each of the last closed segments had. Those of the segment that was open last were counted while
    /// they were listed.
    fn closed_parts(&self, before: Option<&Frontier>, playlist: &MediaPlaylist) -> Vec<u64> {
        let next = playlist.next().max(self.seen.next).msn;
        let known = |msn: u64| {
            let Some(before) = before else { return (msn == self.seen.next.msn).then_some(self.seen.next.part) };
            let behind = before.next.msn.checked_sub(msn)? as usize;
            let place = before.closed_parts.len().checked_sub(behind)?;
            before.closed_parts.get(place).copied().or((behind == 0).then_some(before.next.part))
        };
        let listed = |msn: u64| {
            let segment = playlist.segments.get(msn.checked_sub(playlist.msn(0))? as usize)?;
            Some(segment.parts.len() as u64)
        };
        let counted = (next.saturating_sub(CLOSED)..next).map(|msn| known(msn).max(listed(msn)));
        counted.skip_while(Option::is_none).map(Option::unwrap_or_default).collect()
    }
}

/// Whether two versions are the same for viewers. Segments that are one are not looked into.
fn is_same(one: &MediaPlaylist, other: &MediaPlaylist) -> bool {
    let pairs = || one.segments.iter().zip(&other.segments);
    one.segments.len() == other.segments.len()
        && one.head == other.head
        && one.tail == other.tail
        && pairs().all(|(one, other)| Arc::ptr_eq(one, other) || one.text == other.text)
}

//! An origin's list as viewers see it: numbered for them, behind what is left of earlier generations, without rendition
//! reports. Everything else is the origin's, and segments are shared with the version before wherever they can be.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::bridge;
use super::dress;
use super::lines::{self, Kind};
use super::numbering::{Numbering, Seen};
use crate::rules::hls::playlist::{Line, MediaPlaylist, PlaylistType, RenditionReport, Segment, Tag};

/// What a list is seen through.
pub(super) struct View<'w> {
    pub(super) numbering: &'w Numbering,
    pub(super) seen: &'w Seen,
    /// Lines before the first segment of the generation.
    pub(super) lead: &'w [Line],
    /// What was listed before, of this generation: as its origin published it, and as viewers saw it.
    pub(super) base: Option<Base<'w>>,
    pub(super) earlier: Earlier<'w>,
}

/// The version before: a segment of `ingested` is found in `shown`.
#[derive(Clone, Copy)]
pub(super) struct Base<'w> {
    pub(super) ingested: &'w MediaPlaylist,
    pub(super) shown: &'w MediaPlaylist,
    /// Segments of `shown` that belong to earlier generations.
    pub(super) earlier: usize,
}

/// What viewers' list still has of earlier generations.
#[derive(Clone, Copy)]
pub(super) struct Earlier<'w> {
    pub(super) segments: &'w [Arc<Segment>],
    /// Their names, hashed.
    pub(super) names: &'w HashSet<u64>,
    /// How long the whole list may become with them.
    pub(super) span: Duration,
}

/// What viewers see.
pub(super) struct Shown {
    pub(super) playlist: MediaPlaylist,
    pub(super) reports: Vec<RenditionReport>,
    /// Segments of earlier generations, at its beginning.
    pub(super) earlier: usize,
    /// Numbers, as viewers know them, of segments whose lines changed since they were listed, in order.
    pub(super) revised: Vec<u64>,
}

impl Base<'_> {
    /// The origin's segment `msn` as it was, and as viewers saw it.
    fn find(&self, msn: u64, viewers: u64) -> Option<(&Arc<Segment>, &Arc<Segment>)> {
        let then = msn.checked_sub(self.ingested.msn(0))?;
        let index = viewers.checked_sub(self.shown.msn(0)).filter(|index| *index >= self.earlier as u64)?;
        Some((self.ingested.segments.get(then as usize)?, self.shown.segments.get(index as usize)?))
    }
}

impl View<'_> {
    /// The list as viewers see it.
    pub(super) fn show(&self, new: &MediaPlaylist) -> Shown {
        let is_its_own = |tag: &Tag| !is_live(new) || !is_report(tag);
        let first = self.first(new);
        let hidden = (first - new.msn(0)) as usize;
        let carried = self.carried(new, first, hidden);
        let mut shown = Shown {
            playlist: MediaPlaylist { facts: new.facts.clone(), ..MediaPlaylist::default() },
            reports: Vec::new(),
            earlier: 0,
            revised: Vec::new(),
        };
        outside(&new.head, &is_its_own, &mut shown.playlist.head, &mut shown.reports);
        let mut dropped = self.earlier.segments.len();
        if self.keeps_earlier(new) {
            dropped = self.dropped(new, hidden);
            self.show_earlier(dropped, &mut shown);
        }
        self.show_own(new, hidden, &carried, &mut shown);
        outside(&new.tail, &is_its_own, &mut shown.playlist.tail, &mut shown.reports);
        if hidden == new.segments.len() && new.open_parts().next().is_some() {
            shown.playlist.tail.splice(0..0, carried);
        }
        self.number(new, first, dropped, &mut shown);
        shown
    }

    /// The first segment of `new` that is shown: nothing from before the generation began, nothing that viewers' list
    /// had dropped (another origin may keep more).
    fn first(&self, new: &MediaPlaylist) -> u64 {
        let floor = self.numbering.floor.map_or(0, |floor| floor.msn);
        let least = self.numbering.origins(self.seen.media_sequence);
        new.msn(0).max(floor).max(least).min(new.open_msn())
    }

    fn begins_at(&self, msn: u64) -> bool {
        self.numbering.floor.is_some_and(|floor| floor.msn == msn)
    }

    /// Lines that go before the first segment that is shown.
    fn carried(&self, new: &MediaPlaylist, first: u64, hidden: usize) -> Vec<Line> {
        match self.begins_at(first) {
            true => self.lead.to_vec(),
            false => dress::reaching_forward(&new.segments[..hidden]),
        }
    }

    /// A list has no holes: once the origin has dropped the beginning of its generation, nothing before it can stay. Nor
    /// can a name stand for two things.
    fn keeps_earlier(&self, new: &MediaPlaylist) -> bool {
        let Some(floor) = self.numbering.floor.filter(|_| !self.earlier.segments.is_empty()) else { return false };
        let from = self.base.map_or(0, |base| base.ingested.open_msn().saturating_sub(new.msn(0)) as usize);
        let fresh = new.segments.get(from..).unwrap_or_default();
        new.msn(0) <= floor.msn && !bridge::names(fresh, new).any(|name| self.earlier.names.contains(&name))
    }

    /// How many of the earlier segments go, so that the list does not grow beyond its span.
    fn dropped(&self, new: &MediaPlaylist, hidden: usize) -> usize {
        if new.facts.kind == Some(PlaylistType::Event) {
            return 0;
        }
        let duration = |segments: &[Arc<Segment>]| segments.iter().map(|segment| segment.duration).sum::<Duration>();
        let mut left = self.earlier.span.saturating_sub(duration(&new.segments[hidden..]));
        let kept = self.earlier.segments.iter().rev().take_while(|segment| {
            let fits = segment.duration <= left;
            left = left.saturating_sub(segment.duration);
            fits
        });
        self.earlier.segments.len() - kept.count()
    }

    fn show_earlier(&self, dropped: usize, shown: &mut Shown) {
        let (gone, kept) = self.earlier.segments.split_at(dropped);
        shown.earlier = kept.len();
        shown.playlist.segments.extend(kept.iter().map(dress::ended));
        if let Some(first) = shown.playlist.segments.first_mut().filter(|_| !gone.is_empty()) {
            let led = dress::led(first, &dress::reaching_forward(gone));
            if led.text != first.text {
                shown.revised.push(self.seen.media_sequence + dropped as u64);
                *first = Arc::new(led);
            }
        }
    }

    fn show_own(&self, new: &MediaPlaylist, hidden: usize, carried: &[Line], shown: &mut Shown) {
        let strips = is_live(new);
        shown.playlist.segments.reserve(new.segments.len() - hidden);
        for (index, source) in new.segments.iter().enumerate().skip(hidden) {
            let msn = new.msn(index);
            let viewers = self.numbering.viewers(msn);
            let is_first = index == hidden;
            let before = self.base.as_ref().and_then(|base| base.find(msn, viewers));
            // The first one of a list that another origin begins earlier has what reaches into it already.
            let stays = |then: &Arc<Segment>| match is_first {
                true => hidden > 0 && !self.begins_at(msn),
                false => Arc::ptr_eq(then, source),
            };
            if let Some((_, same)) = before.filter(|(then, _)| stays(then)) {
                let same = if is_first { dress::ended(same) } else { Arc::clone(same) };
                shown.playlist.segments.push(same);
                continue;
            }
            let mut dressed = Arc::clone(source);
            if strips && source.lasting.iter().any(|line| is_report(&line.tag)) {
                shown.reports.extend(source.lasting.iter().filter_map(|line| report(&line.tag)));
                dressed = Arc::new(dress::without(source, |line| is_report(&line.tag)));
            }
            if is_first && (hidden > 0 || !carried.is_empty()) {
                dressed = Arc::new(dress::led(&dressed, carried));
            }
            // What a viewer was told to fetch stays, also where a query is written anew in each version.
            match before {
                Some((_, same)) if same.text == dressed.text => dressed = Arc::clone(same),
                Some((_, same)) if same.uri() != dressed.uri() => {
                    dressed = dress::ended(same);
                }
                // What reaches into the list is said anew where it begins: a player's copy has it before. Parts that are
                // listed no more, far behind the edge, do no harm in it.
                Some((_, same)) if is_first && dress::is_restated(same, &dressed) => {}
                Some((_, same)) if dress::has_lost_parts_alone(same, &dressed) => {}
                Some(_) => shown.revised.push(viewers),
                None => {}
            }
            shown.playlist.segments.push(dressed);
        }
    }

    /// Writes the numbers.
    fn number(&self, new: &MediaPlaylist, first: u64, dropped: usize, shown: &mut Shown) {
        let count = |segments: &[Arc<Segment>]| segments.iter().map(|one| u64::from(one.discontinuities)).sum::<u64>();
        let hidden = (first - new.msn(0)) as usize;
        let origins = new.facts.discontinuity_sequence + count(&new.segments[..hidden]);
        let discontinuity_sequence = match shown.earlier {
            0 => self.numbering.discontinuity(origins, first).max(self.seen.discontinuity_sequence),
            _ => self.seen.discontinuity_sequence + count(&self.earlier.segments[..dropped]),
        };
        let playlist = &mut shown.playlist;
        let media_sequence = self.numbering.viewers(first) - shown.earlier as u64;
        if media_sequence != new.facts.media_sequence {
            playlist.facts.media_sequence = media_sequence;
            lines::write(playlist, Kind::MediaSequence, &media_sequence.to_string());
        }
        if discontinuity_sequence != new.facts.discontinuity_sequence {
            playlist.facts.discontinuity_sequence = discontinuity_sequence;
            lines::write(playlist, Kind::DiscontinuitySequence, &discontinuity_sequence.to_string());
        }
    }
}

/// Whether a playlist is one that this node adds to: those that have ended, or never change, stay as they are.
pub(super) fn is_live(playlist: &MediaPlaylist) -> bool {
    !playlist.facts.is_ended && playlist.facts.kind != Some(PlaylistType::Vod)
}

/// Lines outside of segments that are the playlist's own, and the reports among the others.
fn outside(lines: &[Line], is_its_own: impl Fn(&Tag) -> bool, to: &mut Vec<Line>, reports: &mut Vec<RenditionReport>) {
    for line in lines {
        match is_its_own(&line.tag) {
            true => to.push(line.clone()),
            false => reports.extend(report(&line.tag)),
        }
    }
}

fn is_report(tag: &Tag) -> bool {
    matches!(tag, Tag::RenditionReport(_))
}

fn report(tag: &Tag) -> Option<RenditionReport> {
    match tag {
        Tag::RenditionReport(report) => Some(report.clone()),
        _ => None,
    }
}

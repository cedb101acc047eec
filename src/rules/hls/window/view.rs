//! An origin's list as viewers see it: numbered for them, behind what is left of earlier generations, without rendition
//! reports. Everything else is the origin's, and segments are shared with the version before wherever they can be.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::bridge;
use super::dress;
use super::lines::{self, Kind};
use super::numbering::{Numbering, Seen, open_discontinuities};
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
    pub(super) layout: Layout,
}

/// Where lines of the playlist as a whole stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Layout {
    /// Before and behind the segments.
    #[default]
    Apart,
    /// Among those of segments too: packagers that begin with EXT-X-MAP or EXT-X-KEY write them so.
    Scattered,
}

impl Layout {
    /// That of `new`. What it shares with `last` is not looked into again.
    pub(super) fn of(self, new: &MediaPlaylist, last: Option<&MediaPlaylist>) -> Self {
        let shared = |index: usize| {
            let last = last?;
            last.segments.get(new.msn(index).checked_sub(last.msn(0))? as usize)
        };
        let is_scattered = new.segments.iter().enumerate().any(|(index, segment)| {
            !shared(index).is_some_and(|last| Arc::ptr_eq(last, segment))
                && segment.lasting.iter().any(|line| dress::is_of_the_whole(&line.tag))
        });
        if is_scattered { Self::Scattered } else { self }
    }
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

/// Where what is shown of an origin's list begins.
struct Beginning {
    /// Its first segment, in the origin's numbers, and its index.
    first: u64,
    hidden: usize,
    /// Lines that go before it.
    carried: Vec<Line>,
    /// Discontinuities at it that viewers' EXT-X-DISCONTINUITY-SEQUENCE, which may not fall, counts already.
    counted: u32,
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
        let mut beginning = self.beginning(new);
        let hidden = beginning.hidden;
        let mut shown = Shown {
            playlist: MediaPlaylist { facts: new.facts.clone(), ..MediaPlaylist::default() },
            reports: Vec::new(),
            earlier: 0,
            revised: Vec::new(),
        };
        outside(&new.head, is_its_own, &mut shown.playlist.head, &mut shown.reports);
        if self.gathers(new) {
            shown.playlist.head.extend(dress::of_the_whole(&new.segments));
        }
        let mut dropped = self.earlier.segments.len();
        if self.keeps_earlier(new) {
            dropped = self.dropped(new, hidden);
            self.show_earlier(dropped, &mut shown);
        }
        if shown.earlier > 0 {
            beginning.counted = 0;
        }
        self.show_own(new, &beginning, &mut shown);
        outside(&new.tail, is_its_own, &mut shown.playlist.tail, &mut shown.reports);
        if hidden == new.segments.len() && new.open_parts().next().is_some() {
            shown.playlist.tail.splice(0..0, beginning.carried);
        }
        self.number(new, beginning.first, dropped, &mut shown);
        shown
    }

    fn beginning(&self, new: &MediaPlaylist) -> Beginning {
        let first = self.first(new);
        let hidden = (first - new.msn(0)) as usize;
        let fallen = self.seen.discontinuity_sequence.saturating_sub(self.discontinuity_sequence(new, first));
        let counted = u32::try_from(fallen).unwrap_or(u32::MAX);
        Beginning { first, hidden, carried: self.carried(new, first, hidden), counted }
    }

    /// Whether the first thing that is shown would have a lower discontinuity sequence number than viewers' list has.
    pub(super) fn has_fallen(&self, new: &MediaPlaylist) -> bool {
        let Beginning { hidden, carried, counted, .. } = self.beginning(new);
        let led = carried.iter().filter(|line| line.tag == Tag::Discontinuity).count() as u32;
        let own = new.segments.get(hidden).map_or_else(|| open_discontinuities(new), |first| first.discontinuities);
        counted > own.saturating_add(led)
    }

    /// The discontinuity sequence number before `first`, as the origin's list has it.
    fn discontinuity_sequence(&self, new: &MediaPlaylist, first: u64) -> u64 {
        let hidden = &new.segments[..(first - new.msn(0)) as usize];
        self.numbering.discontinuity(new.facts.discontinuity_sequence + discontinuities(hidden), first)
    }

    /// The first segment of `new` that is shown: nothing from before the generation began, nothing that viewers' list
    /// had dropped (another origin may keep more).
    fn first(&self, new: &MediaPlaylist) -> u64 {
        let floor = self.numbering.floor.map_or(0, |floor| floor.msn);
        let least = self.numbering.origins(self.seen.media_sequence);
        new.msn(0).max(floor).max(least).min(new.open_msn())
    }

    /// Whether lines of the playlist as a whole are moved from among the segments to the head, where this node writes its
    /// own: always, but for a list that is shown as it is.
    fn gathers(&self, new: &MediaPlaylist) -> bool {
        let is_changed = is_live(new) || self.base.is_some() || self.numbering.floor.is_some();
        is_changed && self.layout == Layout::Scattered
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
        shown.playlist.segments.extend(kept.iter().map(dress::moved));
        if let Some(first) = shown.playlist.segments.first_mut().filter(|_| !gone.is_empty()) {
            let led = dress::led(first, &dress::reaching_forward(gone));
            if led.text != first.text {
                shown.revised.push(self.seen.media_sequence + dropped as u64);
                *first = Arc::new(led);
            }
        }
    }

    fn show_own(&self, new: &MediaPlaylist, beginning: &Beginning, shown: &mut Shown) {
        let (hidden, carried, counted) = (beginning.hidden, &beginning.carried, beginning.counted);
        let (strips, gathers) = (is_live(new), self.gathers(new));
        shown.playlist.segments.reserve(new.segments.len() - hidden);
        for (index, source) in new.segments.iter().enumerate().skip(hidden) {
            let msn = new.msn(index);
            let viewers = self.numbering.viewers(msn);
            let is_first = index == hidden;
            let before = self.base.as_ref().and_then(|base| base.find(msn, viewers));
            // The first one of a list that another origin begins earlier has what reaches into it already.
            let stays = |then: &Arc<Segment>, same: &Segment| match is_first {
                true => {
                    let is_counted_alike = same.discontinuities == source.discontinuities.saturating_sub(counted);
                    hidden > 0 && !self.begins_at(msn) && is_counted_alike
                }
                false => Arc::ptr_eq(then, source),
            };
            if let Some((_, same)) = before.filter(|(then, same)| stays(then, same)) {
                let same = if is_first { dress::moved(same) } else { Arc::clone(same) };
                shown.playlist.segments.push(same);
                continue;
            }
            let mut dressed = Arc::clone(source);
            let is_out = |tag: &Tag| (strips && is_report(tag)) || (gathers && dress::is_of_the_whole(tag));
            if source.lasting.iter().any(|line| is_out(&line.tag)) {
                shown.reports.extend(source.lasting.iter().filter_map(|line| report(&line.tag)).filter(|_| strips));
                dressed = Arc::new(dress::without(source, |line| is_out(&line.tag)));
            }
            if is_first && (hidden > 0 || !carried.is_empty()) {
                dressed = Arc::new(dress::led(&dressed, carried));
            }
            if is_first && counted > 0 && dressed.discontinuities > 0 {
                dressed = Arc::new(dress::without_discontinuities(&dressed, counted));
            }
            // What a viewer was told to fetch stays, also where a query is written anew in each version.
            if let Some((_, same)) = before.filter(|(_, same)| same.uri() != dressed.uri()) {
                dressed = Arc::new(dress::under(&dressed, same.uri()));
            }
            match before {
                Some((_, same)) if same.text == dressed.text => dressed = Arc::clone(same),
                // Nothing but a line end.
                Some((_, same)) if dress::moved(same).text == dressed.text => {}
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
        let discontinuity_sequence = match shown.earlier {
            0 => self.discontinuity_sequence(new, first).max(self.seen.discontinuity_sequence),
            _ => self.seen.discontinuity_sequence + discontinuities(&self.earlier.segments[..dropped]),
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

fn discontinuities(segments: &[Arc<Segment>]) -> u64 {
    segments.iter().map(|segment| u64::from(segment.discontinuities)).sum()
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

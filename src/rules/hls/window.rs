//! How a rendition advances: what its origin published becomes what viewers see, whose sequence never goes backwards.
//! A rewound or replaced origin is bridged with a discontinuity, and starts a new generation of names (§6.2.1, §6.2.2).
//!
//! For viewers, over the life of a window: sequence numbers never fall, what a number stands for never changes, and the
//! frontier never goes back. All else is as the origin wrote it, but for EXT-X-SERVER-CONTROL and rendition reports.
//!
//! EXT-X-TARGETDURATION may not change, origins change it all the same. Viewers keep the first while every segment
//! fits, and see a larger one from the first segment that does not, without a discontinuity: the media go on as before.

mod bridge;
mod control;
pub(super) mod dress;
mod findings;
mod lines;
mod numbering;
mod relation;
mod remembered;
mod version;
mod view;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use self::bridge::Shore;
use self::control::Offered;
use self::findings::Watch;
use self::numbering::{NUMBER_MAX, Numbering, Seen, last_discontinuity};
use self::relation::{Mark, Relation};
use self::view::{Base, Earlier, Layout, View};
use super::dates::DateRanges;
use super::playlist::{Line, MediaPlaylist, RenditionReport, Segment};
use super::reload::Frontier;
use crate::clock::Tick;

pub use self::findings::Finding;
pub use self::remembered::Remembered;

/// One version as viewers see it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Published {
    /// The playlist, numbered as viewers know it, with EXT-X-SERVER-CONTROL as this node keeps it, and without
    /// rendition reports. One that has ended, or never changes, is as its origin wrote it, reports included.
    pub playlist: MediaPlaylist,
    /// The reports that its origin wrote, in viewers' terms as far as is known.
    pub reports: Vec<RenditionReport>,
    /// How far it has come.
    pub frontier: Frontier,
    /// When its date ranges came, and others went.
    pub dates: DateRanges,
    /// Segments whose lines changed after they were first listed: media sequence number and when. Bounded by the window,
    /// and by twice the longest skip boundary that is offered.
    pub revised: Vec<(u64, Tick)>,
    /// The generation that names listed from now on belong to.
    pub generation: u32,
    /// Index of the first segment of this generation; those before it belong to earlier ones.
    pub first_of_generation: usize,
    /// When it was published.
    pub at: Tick,
    /// Running number of the version, from 1.
    pub version: u64,
}

/// What became of a version that the origin published.
#[derive(Clone, Debug, PartialEq)]
pub enum Advance {
    /// Nothing new.
    Unchanged,
    /// A new version for viewers.
    Advanced(Arc<Published>, Vec<Finding>),
    /// Older than what viewers have: another origin behind, or a cache.
    Behind,
    /// It cannot follow what viewers have; why.
    Refused(Finding),
}

/// The state of one rendition.
#[derive(Clone, Debug, Default)]
pub struct Window {
    published: Option<Arc<Published>>,
    ingested: Option<MediaPlaylist>,
    /// What was remembered, until the first version shows whether it goes on.
    resumed: Option<Remembered>,
    /// How to ask for what follows the version that was taken last, whether viewers see it or not.
    upstream: Option<Upstream>,
    numbering: Numbering,
    seen: Seen,
    generation: u32,
    /// Lines before the first segment of the generation.
    lead: Vec<Line>,
    /// Names and span of what viewers' list has of earlier generations.
    earlier: (HashSet<u64>, Duration),
    /// Where the list of the generation before had come to.
    left: Option<Mark>,
    lag: Option<Lag>,
    layout: Layout,
    target_duration: Duration,
    offered: Offered,
    watch: Watch,
    advanced_at: Tick,
}

/// How the origin was that a stream has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It does not answer.
    Silent,
    /// It answers.
    Talking,
}

/// An origin's list behind what viewers have: since when, and how far.
#[derive(Clone, Copy, Debug)]
struct Lag {
    since: Tick,
    next: super::Position,
    has_advanced: bool,
}

/// What is asked of the origin next, in its own numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// `_HLS_msn` of the next reload.
    pub msn: u64,
    /// `_HLS_part`, where it has parts.
    pub part: Option<u64>,
    /// Whether it offers blocking reloads.
    pub blocks: bool,
    /// The skip boundary, where it offers delta updates that go on from [`Window::ingested`].
    pub skips: Option<Duration>,
}

impl Window {
    /// A window that goes on where another one stopped being followed: with its numbers and its generation if the
    /// origin's list is a continuation, with a bridge if not.
    pub fn resume(remembered: Remembered) -> Self {
        Self {
            numbering: remembered.numbering.clone(),
            seen: remembered.seen.clone(),
            generation: remembered.generation,
            target_duration: remembered.target_duration,
            offered: remembered.offered.clone(),
            resumed: Some(remembered),
            ..Self::default()
        }
    }

    /// What [`Window::resume`] needs.
    pub fn remember(&self) -> Remembered {
        let (Some(published), Some(ingested)) = (&self.published, &self.ingested) else {
            return self.resumed.clone().unwrap_or_default();
        };
        Remembered {
            numbering: self.numbering.clone(),
            seen: self.seen.clone(),
            generation: self.generation,
            target_duration: self.target_duration,
            offered: self.offered.clone(),
            discontinuity: last_discontinuity(&published.playlist),
            mark: Some(Mark::of(ingested)),
        }
    }

    /// Takes on a version that the origin published, its URIs already rewritten, delta updates already merged.
    pub fn take(&mut self, ingested: MediaPlaylist, now: Tick) -> Advance {
        if let Err(finding) = self.check(&ingested) {
            return Advance::Refused(finding);
        }
        self.upstream = Upstream::behind(&ingested);
        self.layout = self.layout.of(&ingested, self.ingested.as_ref());
        let target = ingested.facts.target_duration;
        match self.relation(&ingested) {
            Relation::Follows => self.follow(ingested, now),
            Relation::Behind => self.fall_behind(ingested, target * 3 / 2, now),
            Relation::Below => self.fall_behind(ingested, Duration::ZERO, now),
            Relation::Other => self.leave(ingested, now),
        }
    }

    /// Takes on a version of another origin, to which the stream has moved. Where it is not evidently the same list, it
    /// is bridged: at once where it comes as far as that of the origin before, or where there is nothing to compare and
    /// that one is silent; else as soon as it is seen to advance.
    pub fn take_over(&mut self, ingested: MediaPlaylist, from: Left, now: Tick) -> Advance {
        let Some(last) = self.ingested.clone() else { return self.take(ingested, now) };
        if let Err(finding) = self.check(&ingested) {
            return Advance::Refused(finding);
        }
        self.upstream = Upstream::behind(&ingested);
        self.layout = self.layout.of(&ingested, self.ingested.as_ref());
        let target = ingested.facts.target_duration;
        match relation::across(&last, &ingested) {
            Relation::Follows => self.follow(ingested, now),
            Relation::Behind => self.fall_behind(ingested, target * 3 / 2, now),
            Relation::Below | Relation::Other => {
                match relation::is_as_late(&last, &ingested).unwrap_or(from == Left::Silent) {
                    true => self.replace(ingested, now),
                    false => self.fall_behind(ingested, Duration::ZERO, now),
                }
            }
        }
    }

    /// The version that viewers see.
    pub fn published(&self) -> Option<&Arc<Published>> {
        self.published.as_ref()
    }

    /// The last version that viewers see, as the origin published it: the base of delta updates and of sharing.
    pub fn ingested(&self) -> Option<&MediaPlaylist> {
        self.ingested.as_ref()
    }

    /// How to ask the origin for what comes next; `None`: nothing is known of it, or nothing will come.
    pub fn upstream(&self) -> Option<Upstream> {
        self.upstream
    }

    /// When the playlist counts as stalled: two part targets, or one and a half target durations, after it last
    /// advanced; `None`: nothing is to be expected.
    pub fn stalled_from(&self) -> Option<Tick> {
        let facts = &self.ingested.as_ref().filter(|ingested| view::is_live(ingested))?.facts;
        let patience = facts.part_target.map_or(facts.target_duration * 3 / 2, |target| target * 2);
        (!patience.is_zero()).then(|| self.advanced_at + patience)
    }

    /// When a stall has lasted so long that another origin is asked, `wait` after it last advanced at the earliest.
    pub fn given_up_from(&self, wait: Duration) -> Option<Tick> {
        self.stalled_from().map(|stalled| stalled.max(self.advanced_at + wait))
    }

    fn check(&self, new: &MediaPlaylist) -> Result<(), Finding> {
        let (facts, open) = (&new.facts, new.open_msn());
        if facts.skip.is_some() {
            return Err(Finding::NotMerged);
        }
        let seen = self.seen.next.msn.max(self.seen.discontinuity_sequence);
        let largest = open.max(facts.discontinuity_sequence).max(seen);
        if largest < NUMBER_MAX { Ok(()) } else { Err(Finding::NumberTooLarge) }
    }

    fn relation(&self, new: &MediaPlaylist) -> Relation {
        // Where the discontinuities of two lists cannot be compared, viewers' numbers say whether they were counted on.
        let has_fallen = || self.view(None, &[]).has_fallen(new);
        let Some(last) = &self.ingested else {
            let mark = self.resumed.as_ref().and_then(|remembered| remembered.mark.as_ref());
            let relation = mark.map_or(Relation::Follows, |mark| mark.relation(new));
            return if relation == Relation::Follows && has_fallen() { Relation::Other } else { relation };
        };
        let relation = relation::of(last, new);
        // A list of the generation before has nothing in common with this one, but may have larger numbers.
        let jumps = relation == Relation::Follows && new.msn(0) >= last.open_msn();
        let is_left = jumps && self.left.as_ref().is_some_and(|left| left.is_in(new));
        let is_too_far = self.numbering.viewers(new.open_msn()) >= NUMBER_MAX;
        if is_left || is_too_far || (jumps && has_fallen()) { Relation::Other } else { relation }
    }

    /// The list goes on.
    fn follow(&mut self, new: MediaPlaylist, now: Tick) -> Advance {
        self.lag = None;
        if let Some(last) = &self.ingested {
            self.watch.compare(last, &new);
        } else if let Some(floor) = self.numbering.floor {
            self.lead = bridge::lead_again(&new, floor);
        }
        let published = self.published.clone();
        let base = self.ingested.as_ref().zip(published.as_ref()).map(|(ingested, published)| Base {
            ingested,
            shown: &published.playlist,
            earlier: published.first_of_generation,
        });
        let earlier = base.map_or(&[][..], |base| &base.shown.segments[..base.earlier]);
        let shown = self.view(base, earlier).show(&new);
        self.publish(new, shown, now)
    }

    fn view<'w>(&'w self, base: Option<Base<'w>>, earlier: &'w [Arc<Segment>]) -> View<'w> {
        let (names, span) = (&self.earlier.0, self.earlier.1);
        let earlier = Earlier { segments: earlier, names, span };
        View { numbering: &self.numbering, seen: &self.seen, lead: &self.lead, base, earlier, layout: self.layout }
    }

    /// The list goes less far. If it keeps advancing all the same while ours does not, it has begun again. What lags by a
    /// little may catch up, and has time for it; what has nothing in common with ours lags by more than the window.
    fn fall_behind(&mut self, new: MediaPlaylist, patience: Duration, now: Tick) -> Advance {
        self.ask_in_full();
        let next = new.next();
        let lag = self.lag.get_or_insert(Lag { since: now, next, has_advanced: false });
        lag.has_advanced |= next > lag.next;
        lag.next = next;
        let has_restarted = lag.has_advanced && now.since(lag.since) > patience;
        if has_restarted { self.replace(new, now) } else { Advance::Behind }
    }

    /// The list is another one. That of the generation before is not gone back to while this one advances: two origins
    /// that answer in turn would make a discontinuity each time.
    fn leave(&mut self, new: MediaPlaylist, now: Tick) -> Advance {
        let is_left = self.left.as_ref().is_some_and(|left| left.is_in(&new));
        let advances = self.stalled_from().is_some_and(|stalled| now < stalled);
        if is_left && advances {
            self.ask_in_full();
            return Advance::Behind;
        }
        self.replace(new, now)
    }

    /// A delta update would be merged with a list that it does not go on from.
    fn ask_in_full(&mut self) {
        if let Some(upstream) = &mut self.upstream {
            upstream.skips = None;
        }
    }

    /// Bridges what viewers have with another list.
    fn replace(&mut self, new: MediaPlaylist, now: Tick) -> Advance {
        let published = self.published.clone();
        let resumed = self.resumed.as_ref();
        let discontinuity = match &published {
            Some(published) => last_discontinuity(&published.playlist),
            None => resumed.map_or(0, |remembered| remembered.discontinuity),
        };
        let gap = now.since(self.advanced_at);
        let shore = Shore { published: published.as_deref(), next: self.seen.next, discontinuity, gap };
        let Some(bridge) = shore.bridge(&new) else {
            self.ask_in_full();
            return Advance::Behind;
        };
        let mark = match &self.ingested {
            Some(last) => Some(Mark::of(last)),
            None => resumed.and_then(|remembered| remembered.mark.clone()),
        };
        let from = mark.as_ref().map_or(0, Mark::last_msn);
        self.watch.restart(Finding::Restarted { from, to: new.msn(0) }, self.seen.next);
        (self.left, self.lag, self.lead, self.numbering) = (mark, None, bridge.lead, bridge.numbering);
        self.generation += 1;
        self.target_duration = self.target_duration.max(new.facts.target_duration);
        let kept = published.as_ref().filter(|_| bridge.keeps).map(|published| &published.playlist);
        let earlier = kept.map_or(&[][..], |playlist| &playlist.segments[..]);
        let span = kept.map_or(Duration::ZERO, MediaPlaylist::duration);
        self.earlier = (bridge::name_set(earlier), span);
        let shown = self.view(None, earlier).show(&new);
        self.publish(new, shown, now)
    }
}

impl Upstream {
    /// What follows `list`.
    fn behind(list: &MediaPlaylist) -> Option<Self> {
        let (facts, next) = (&list.facts, list.next());
        let control = facts.server_control.unwrap_or_default();
        view::is_live(list).then_some(Self {
            msn: next.msn,
            part: facts.part_target.map(|_| next.part),
            blocks: control.can_block_reload,
            skips: control.can_skip_until,
        })
    }
}

#[cfg(test)]
mod tests;

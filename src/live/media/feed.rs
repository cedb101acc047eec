//! The names of one playlist from version to version: what is new is listed, what is gone is let go of, and what it
//! hints is promised. Only what differs is looked at, except that segments are compared by their addresses.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Tick;
use crate::live::Asked;
use crate::origin::supply::Located;
use crate::rules::hls::multivariant::Role;
use crate::rules::hls::playlist::Segment;
use crate::rules::hls::variables::Variables;
use crate::rules::hls::{Published, calendar};

use super::growing::Extent;
use super::listing::{self, Item, Namer};
use super::names::{Author, Begins, Fingerprint, Listing};
use super::promises::Manners;
use super::{Kind, Media};

/// How often a part's life is a target duration: after it was published, and after its tag left (§6.2.2).
const PART_AFTER_PUBLICATION: u32 = 7;
const PART_AFTER_ITS_TAG: u32 = 3;

/// What an origin's answer to a held request may come later than its last moment.
const MARGIN: Duration = Duration::from_secs(1);

/// What begins by its date further from now than this is not behind live: its clock is another one.
const LONGEST_BEHIND: Duration = Duration::from_secs(7 * 86_400);

/// What is remembered of a playlist between two versions.
pub(super) struct Feed {
    /// The duration of its longest version.
    longest: Duration,
    /// The variables of its multivariant playlist, as they were known when its first version came: names are taken out
    /// as they were entered.
    imported: Arc<Variables>,
    in_force: InForce,
    growing: Vec<(Fingerprint, Box<str>)>,
    /// Who knows what its newest generation of names stands for.
    author: Author,
    generation: u32,
    /// Another origin lists the same as the one before.
    is_passed_on: bool,
}

/// A hint of the last version.
pub(super) struct Hinted {
    pub print: Fingerprint,
    pub located: Located,
    /// As viewers ask for it.
    pub target: String,
}

/// Initialisation sections and keys, and from which segment on: those before the last change in front of the window
/// apply to no segment any more.
#[derive(Default)]
struct InForce(Vec<Applied>);

/// An initialisation section or key, and from which segment on it applies.
struct Applied {
    from: u64,
    print: Fingerprint,
    kind: Kind,
    /// The same name is something else in another generation.
    generation: u32,
}

/// Where in a version something is listed.
#[derive(Clone, Copy)]
struct Place {
    generation: u32,
    near_until: Option<Tick>,
    /// When its segment begins, in milliseconds since 1970.
    date: Option<i64>,
}

/// One version as it is entered into the table, or taken out.
struct Turn<'a> {
    media: &'a Media,
    namer: Namer<'a>,
    published: &'a Published,
    role: Option<Role>,
    longest: Duration,
    now: Tick,
    author: Author,
}

impl InForce {
    /// Something applies; whether that is new. Segments come in order.
    fn note(&mut self, applied: Applied) -> bool {
        let is_before = |other: &&Applied| other.kind == applied.kind && other.from <= applied.from;
        let from = self.0.iter().filter(is_before).map(|other| other.from).max();
        let is_same = |other: &Applied| {
            (other.kind, other.print, other.generation) == (applied.kind, applied.print, applied.generation)
        };
        if self.0.iter().any(|other| Some(other.from) == from && is_same(other)) {
            return false;
        }
        self.0.push(applied);
        true
    }

    /// What applies to nothing from `first` on.
    fn retire(&mut self, first: u64) -> Vec<(Fingerprint, Kind)> {
        let mut retired = Vec::new();
        for kind in [Kind::Init, Kind::DecryptionKey] {
            let starts = self.0.iter().filter(|applied| applied.from <= first && applied.kind == kind);
            let Some(start) = starts.map(|applied| applied.from).max() else { continue };
            let gone = self.0.extract_if(.., |applied| applied.kind == kind && applied.from < start);
            retired.extend(gone.map(|applied| (applied.print, applied.kind)));
        }
        retired
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            longest: Duration::ZERO,
            imported: Arc::default(),
            in_force: InForce::default(),
            growing: Vec::new(),
            author: Author::ANYONE,
            generation: 0,
            is_passed_on: false,
        }
    }
}

impl Feed {
    /// The next version comes from there. Where another origin goes on with the same names, all know them.
    pub fn comes_from(&mut self, author: Author, generation: u32) {
        let is_known = self.longest > Duration::ZERO;
        if !is_known || generation != self.generation {
            (self.author, self.generation) = (author, generation);
        } else if self.author != author && self.author != Author::ANYONE {
            (self.author, self.is_passed_on) = (Author::ANYONE, true);
        }
    }

    /// A feed of a playlist whose multivariant playlist has these variables.
    pub fn new(imported: Arc<Variables>) -> Self {
        Self { imported, ..Self::default() }
    }

    /// Takes on a version; what it hints.
    pub fn publish(
        &mut self,
        media: &Media,
        asked: &Asked,
        (before, now): (Option<&Published>, &Published),
        role: Option<Role>,
    ) -> Vec<Hinted> {
        self.longest = self.longest.max(now.playlist.duration());
        let tick = media.clock.now();
        let imported = self.imported.clone();
        let author = self.author;
        let turn = |published| Turn::new(media, (asked, &imported), published, (role, self.longest, tick), author);
        let (new, old) = (turn(now), before.map(turn));
        self.segments(old.as_ref(), &new);
        let hinted = self.tail(old.as_ref(), &new);
        self.grow(media, &new);
        if std::mem::take(&mut self.is_passed_on) {
            new.pass_on();
        }
        for (print, kind) in self.in_force.retire(now.playlist.msn(0)) {
            media.names.unlist(print, (new.life(kind, Duration::ZERO), tick));
        }
        hinted
    }

    /// The playlist is no longer followed.
    pub fn retire(&mut self, media: &Media, asked: &Asked, last: &Published, margin: Duration) {
        let now = media.clock.now();
        let imported = self.imported.clone();
        let facts = (None, self.longest.max(margin), now);
        let turn = Turn::new(media, (asked, &imported), last, facts, self.author);
        for segment in &last.playlist.segments {
            turn.unlist_segment(segment);
        }
        for item in listing::open_parts(&last.playlist) {
            turn.unlist(item, margin);
        }
        for (item, _) in listing::hints(&last.playlist) {
            if let Some((print, _)) = turn.unlist(item, Duration::ZERO) {
                media.withdraw(print);
            }
        }
        for applied in self.in_force.0.drain(..) {
            media.names.unlist(applied.print, (turn.life(applied.kind, Duration::ZERO), now));
        }
        for (print, _) in self.growing.drain(..) {
            media.growths.end(print, Extent::Withdrawn);
        }
    }

    fn segments(&mut self, old: Option<&Turn<'_>>, new: &Turn<'_>) {
        let playlist = &new.published.playlist;
        let first = playlist.msn(0);
        let listed_before = |msn: u64| -> Option<&Arc<Segment>> {
            let before = &old?.published.playlist;
            before.segments.get(usize::try_from(msn.checked_sub(before.msn(0))?).ok()?)
        };
        let mut after = playlist.duration();
        for ((index, segment), date) in playlist.segments.iter().enumerate().zip(new.dates()) {
            after = after.saturating_sub(segment.duration);
            let msn = playlist.msn(index);
            let before = listed_before(msn);
            if before.is_some_and(|before| Arc::ptr_eq(before, segment)) {
                continue;
            }
            let is_new_generation = index >= new.published.first_of_generation;
            let generation = if is_new_generation { new.published.generation } else { 0 };
            let place = Place { generation, near_until: new.media.near_until(playlist, after), date };
            for item in listing::of_segment(segment) {
                let duration = if item.kind == Kind::Part { Duration::ZERO } else { segment.duration };
                new.list(item, place, duration);
            }
            for item in listing::inits_and_keys(segment) {
                self.note(new, msn, item, generation);
            }
            if let (Some(before), Some(old)) = (before, old) {
                old.unlist_segment(before);
            }
        }
        let Some(old) = old else { return };
        let before = &old.published.playlist;
        for (index, segment) in before.segments.iter().enumerate() {
            if before.msn(index) >= first {
                break;
            }
            old.unlist_segment(segment);
        }
    }

    fn note(&mut self, turn: &Turn<'_>, msn: u64, item: Item<'_>, generation: u32) {
        let Some((print, _)) = turn.locate(item) else { return };
        if self.in_force.note(Applied { from: msn, print, kind: item.kind, generation }) {
            turn.list(item, Place { generation, near_until: turn.near_until(), date: None }, Duration::ZERO);
        }
    }

    /// The open segment and the hints. What both versions list there at the same place stays as it is.
    fn tail(&mut self, old: Option<&Turn<'_>>, new: &Turn<'_>) -> Vec<Hinted> {
        let playlist = &new.published.playlist;
        let generation = new.published.generation;
        let place = Place { generation, near_until: new.near_until(), date: new.dates().last().flatten() };
        for item in listing::open_inits_and_keys(playlist) {
            self.note(new, playlist.open_msn(), item, generation);
        }
        let parts: Vec<_> = listing::open_parts(playlist).collect();
        let before: Vec<_> = old.iter().flat_map(|old| listing::open_parts(&old.published.playlist)).collect();
        let is_same_parent = old.is_some_and(|old| {
            old.published.playlist.open_msn() == playlist.open_msn() && old.published.generation == generation
        });
        let same = match is_same_parent {
            true => parts.iter().zip(&before).take_while(|(one, other)| one == other).count(),
            false => 0,
        };
        for item in &parts[same..] {
            new.list(*item, place, Duration::ZERO);
        }
        let hinted = listing::hints(playlist).filter_map(|(item, _)| {
            let (print, located) = new.enter(item, place, Duration::ZERO)?;
            if item.kind != Kind::Growing {
                new.media.promises.hint(print, new.manners());
                new.media.names.hint(print);
            }
            let target = new.namer.target(item.uri)?;
            Some(Hinted { print, located, target })
        });
        let hinted: Vec<_> = hinted.collect();
        let Some(old) = old else { return hinted };
        for item in &before[same..] {
            old.unlist(*item, old.life(item.kind, Duration::ZERO));
        }
        for (item, _) in listing::hints(&old.published.playlist) {
            if let Some((print, true)) = old.unlist(item, Duration::ZERO) {
                new.media.withdraw(print);
            }
        }
        hinted
    }

    /// How far the segments have come that still grow.
    fn grow(&mut self, media: &Media, new: &Turn<'_>) {
        let playlist = &new.published.playlist;
        let items = listing::open_parts(playlist).chain(listing::hints(playlist).map(|(item, _)| item));
        let mut uris: Vec<&str> = items.filter(|item| item.kind == Kind::Growing).map(|item| item.uri).collect();
        uris.dedup();
        for uri in &uris {
            if self.growing.iter().any(|(_, other)| **other == **uri) {
                continue;
            }
            if let Some((print, _)) = new.locate(Item::new(uri, Kind::Growing)) {
                self.growing.push((print, (*uri).into()));
            }
        }
        self.growing.retain(|(print, uri)| {
            let covered = listing::covered(playlist, uri);
            if uris.contains(&&**uri) {
                media.growths.reach(*print, covered, new.manners());
                return true;
            }
            let is_listed = playlist.segments.iter().rev().any(|segment| segment.uri() == &**uri);
            media.names.close(*print);
            media.growths.end(*print, if is_listed { Extent::Closed(covered) } else { Extent::Withdrawn });
            false
        });
    }
}

impl<'a> Turn<'a> {
    fn new(
        media: &'a Media,
        (asked, imported): (&'a Asked, &Variables),
        published: &'a Published,
        (role, longest, now): (Option<Role>, Duration, Tick),
        author: Author,
    ) -> Self {
        Self { media, namer: Namer::new(asked, &published.playlist, imported), published, role, longest, now, author }
    }

    /// All that this generation lists and hints is known to all origins.
    fn pass_on(&self) {
        let playlist = &self.published.playlist;
        let segments = playlist.segments[self.published.first_of_generation.min(playlist.segments.len())..].iter();
        let closed = segments.flat_map(|segment| listing::of_segment(segment).chain(listing::inits_and_keys(segment)));
        let open = listing::open_parts(playlist).chain(listing::open_inits_and_keys(playlist));
        let hinted = listing::hints(playlist).map(|(item, _)| item);
        for item in closed.chain(open).chain(hinted) {
            if let Some((print, _)) = self.locate(item) {
                self.media.names.anyone(print);
            }
        }
        self.media.passed_on.send_modify(|times| *times += 1);
    }

    /// When its segments begin, and the open one, as far as a live stream says so by a clock that is about right.
    fn dates(&self) -> impl Iterator<Item = Option<i64>> {
        let playlist = &self.published.playlist;
        let now = self.media.clock.wall().since_epoch();
        let is_live = !playlist.facts.is_ended;
        let is_right = move |date: &i64| {
            u64::try_from(*date).is_ok_and(|date| Duration::from_millis(date).abs_diff(now) < LONGEST_BEHIND)
        };
        playlist.dates().map(move |date| date.filter(|date| is_live && is_right(date)))
    }

    /// Until when what stands at the live edge is near it.
    fn near_until(&self) -> Option<Tick> {
        self.media.near_until(&self.published.playlist, Duration::ZERO)
    }

    fn target_duration(&self) -> Duration {
        self.published.playlist.facts.target_duration
    }

    /// For how long something is needed once its last version let go of it.
    fn life(&self, kind: Kind, duration: Duration) -> Duration {
        match kind {
            Kind::Part => self.target_duration() * PART_AFTER_ITS_TAG,
            Kind::Segment => duration + self.longest,
            Kind::Init | Kind::DecryptionKey | Kind::Growing => self.target_duration() + self.longest,
        }
    }

    fn locate(&self, item: Item<'_>) -> Option<(Fingerprint, Located)> {
        let target = self.namer.target(item.uri)?;
        self.media.parameters.note(&self.namer.asked().rules.route, &target);
        let located = self.namer.locate(&target)?;
        Some((self.media.names.fingerprint(&located.key), located))
    }

    /// How its origin is asked for what it may not have yet.
    fn manners(&self) -> Manners {
        let facts = &self.published.playlist.facts;
        Manners {
            pace: facts.part_target.unwrap_or(facts.target_duration) / 4,
            patience: facts.target_duration * 3 + MARGIN,
        }
    }

    /// Enters what is listed; what was promised is there.
    fn list(&self, item: Item<'_>, place: Place, duration: Duration) {
        if let Some((print, _)) = self.enter(item, place, duration)
            && self.media.promises.keep(print, self.now + self.target_duration())
        {
            self.media.names.unhint(print);
        }
    }

    fn enter(&self, item: Item<'_>, place: Place, duration: Duration) -> Option<(Fingerprint, Located)> {
        let (print, located) = self.locate(item)?;
        let Place { generation, near_until, date } = place;
        let listing = Listing {
            kind: item.kind,
            role: self.role,
            generation,
            near_until,
            life: self.life(item.kind, duration),
            author: self.author,
            begins: date.map(|date| Begins::at(calendar::later(date, item.after))),
        };
        self.media.names.list(print, &listing, self.now);
        if item.kind == Kind::Part {
            self.media.names.need(print, self.now + self.target_duration() * PART_AFTER_PUBLICATION);
        }
        Some((print, located))
    }

    fn unlist(&self, item: Item<'_>, life: Duration) -> Option<(Fingerprint, bool)> {
        let (print, _) = self.locate(item)?;
        Some((print, self.media.names.unlist(print, (life, self.now))))
    }

    fn unlist_segment(&self, segment: &Segment) {
        for item in listing::of_segment(segment) {
            self.unlist(item, self.life(item.kind, segment.duration));
        }
    }
}

//! What followed playlists name: for how long a name lives, in which generation, and how it is delivered; and the
//! prefetch of what they hint.

mod feed;
mod figures;
mod growing;
mod listing;
mod names;
mod parameters;
mod prefetch;
mod promises;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderMap;
use http::uri::PathAndQuery;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::cache::{Cache, ResponseHead};
use crate::clock::{Clock, Tick};
use crate::origin::peers::Shared;
use crate::origin::{Concern, Naming, Origins};
use crate::rules::caching::media::{self, Word};
use crate::rules::caching::negative::Errors;
use crate::rules::caching::{Freshness, Key};
use crate::rules::hls::multivariant::Role;
use crate::rules::hls::variables::Variables;
use crate::rules::hls::{MediaPlaylist, Published};
use crate::tasks::Tasks;
use crate::telemetry::metrics::{Family, Source as MetricSource};

use super::Asked;
use feed::Feed;
use figures::Figures;
use listing::Namer;
use names::{Author, Fingerprint, Known, Listing, Names};
use parameters::Parameters;
use prefetch::Unread;
use promises::{Growths, Promises};

pub use figures::PartAnswer;
pub use names::{Begins, Marks};

/// Something that a followed playlist names.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    /// What it is.
    pub kind: Kind,
    /// The rendition's role in its stream, as far as it is known.
    pub role: Option<Role>,
    /// The object in the cache: the key of the name in its generation.
    pub key: Key,
    /// The name: the key without a generation.
    pub name: Key,
    /// For how long it is still needed; `None`: for as long as it is listed, which it is.
    pub needed_until: Option<Tick>,
    /// For how long it is needed once it is no longer listed.
    pub life: Duration,
    /// Since when the name has stood for it: what was received before may be something else.
    pub since: Tick,
    /// Until when it is near the live edge, if it is.
    pub near_until: Option<Tick>,
    /// What is remembered of it beside.
    pub marks: Marks,
    /// When it begins on the calendar, if its stream is live and says so.
    pub begins: Option<Begins>,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A media initialisation section.
    Init,
    /// A media segment.
    Segment,
    /// A partial segment that is a resource of its own: sent once it can be sent whole.
    Part,
    /// A segment that still grows, and whose parts are ranges of it.
    Growing,
    /// A decryption key.
    DecryptionKey,
}

/// Whether anybody watches a rendition: what is hinted is fetched only then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// Somebody does.
    Now,
    /// Nobody did for a while.
    NotNow,
}

/// Where something that is named comes from.
pub struct Source {
    /// Names of its origins, in the order in which they are asked.
    pub group: Vec<String>,
    /// The same as the route lists them.
    pub places: Vec<String>,
    /// Path and query, before an origin's base path.
    pub target: PathAndQuery,
    /// The fields of the request; of these go upstream those that tell of the way that it has come.
    pub fields: HeaderMap,
    /// What the viewer called the edge, where the origin wants to see it.
    pub viewer_authority: Option<String>,
    /// For how long errors are kept that say nothing of it.
    pub errors: Errors,
    /// How the region's owner is asked before the origins; `None`: it is not.
    pub shared: Option<Shared>,
    /// What it is for.
    pub concern: Option<Concern>,
}

/// How long the next origin may take to be known to list the same as one that broke off.
const SUCCESSION: Duration = Duration::from_millis(500);

/// Names and prefetches of the whole node.
pub struct Media {
    names: Names,
    parameters: Parameters,
    promises: Promises,
    growths: Growths,
    feeds: Mutex<HashMap<Key, Arc<Mutex<Feed>>>>,
    unread: Unread,
    /// Touched when names that one origin knew are known to all.
    passed_on: watch::Sender<u64>,
    figures: Figures,
    cache: Arc<Cache>,
    origins: ArcSwap<Origins>,
    clock: Clock,
    workers: Vec<Tasks>,
}

impl Named {
    /// Whether a stored response may be used for it now.
    pub fn freshness(&self, stored: &ResponseHead, now: Tick) -> Freshness {
        let word = Word { since: self.since, left: self.left(now) };
        media::freshness(stored.status, &stored.lifetime, &word, now)
    }

    /// For how long it is needed from now on, at least.
    pub fn left(&self, now: Tick) -> Duration {
        self.needed_until.map_or(self.life, |until| until.since(now))
    }
}

impl Media {
    /// No names; at most `names` at once.
    pub fn new(
        names: usize,
        cache: Arc<Cache>,
        origins: Arc<Origins>,
        (clock, workers): (Clock, Vec<Tasks>),
    ) -> Arc<Self> {
        Arc::new(Self {
            names: Names::new(names),
            parameters: Parameters::default(),
            promises: Promises::default(),
            growths: Growths::default(),
            feeds: Mutex::default(),
            unread: Unread::default(),
            passed_on: watch::channel(0).0,
            figures: Figures::new(workers.len()),
            cache,
            origins: ArcSwap::new(origins),
            clock,
            workers,
        })
    }

    /// What the table of names takes, in bytes.
    pub fn octets(&self) -> u64 {
        self.names.octets() as u64
    }

    /// From now on so many names, and these origins.
    pub fn reconfigure(&self, names: usize, origins: Arc<Origins>) {
        self.names.set_most(names);
        self.origins.store(origins);
    }

    /// What a followed playlist names at a key (without generation), if one does.
    pub fn find(&self, key: &Key) -> Option<Named> {
        self.known(self.names.fingerprint(key), key)
    }

    /// Somebody asks for it: what was prefetched has been of use.
    pub fn asked_for(&self, named: &Named) {
        if named.marks.is_unread() {
            let print = self.names.fingerprint(&named.name);
            self.names.read(print);
            self.unread.read(print);
        }
    }

    fn known(&self, print: Fingerprint, key: &Key) -> Option<Named> {
        self.names.find(print, self.clock.now()).map(|known| self.named(known, key))
    }

    fn named(&self, known: Known, key: &Key) -> Named {
        let now = self.clock.now();
        let near_until = known.near_until.filter(|until| *until > now);
        Named {
            kind: known.kind,
            role: known.role,
            key: key.in_generation(known.generation),
            name: key.clone(),
            needed_until: known.until,
            life: known.life,
            since: known.since,
            near_until,
            marks: known.marks,
            begins: known.begins,
        }
    }

    /// A playlist is followed from now on, whose multivariant playlist has these variables.
    pub fn followed(&self, asked: &Asked, imported: Arc<Variables>) {
        self.feeds.lock().entry(asked.key.clone()).or_insert_with(|| Arc::new(Mutex::new(Feed::new(imported))));
    }

    /// The next version of a playlist comes from the origin at this place; `None`: all mean the same by what it names.
    pub fn comes_from(&self, asked: &Asked, place: Option<usize>, generation: u32) {
        let feed = self.feeds.lock().entry(asked.key.clone()).or_default().clone();
        feed.lock().comes_from(place.map_or(Author::ANYONE, Author::at), generation);
    }

    /// Who alone knows what something that is named stands for; `None`: whoever is asked.
    fn naming(self: &Arc<Self>, print: Fingerprint, source: &Source) -> Option<Naming> {
        let place = self.names.find(print, self.clock.now())?.author.place().filter(|_| source.places.len() > 1)?;
        let names: Vec<Arc<str>> = source.places.iter().map(|name| Arc::from(name.as_str())).collect();
        let media = self.clone();
        let by = move || {
            let known = media.names.find(print, media.clock.now());
            // Whom it was asked of knew it, if nobody does any more.
            let place = known.map_or(Some(place), |known| known.author.place());
            place.and_then(|place| names.get(place).cloned())
        };
        Some(Naming::new(Arc::new(by), self.passed_on.subscribe()))
    }

    /// Whether what could not be had of one of several origins may be asked of another, at once or within a while.
    pub async fn is_passed_on(self: &Arc<Self>, named: &Named, places: &[String]) -> bool {
        let print = self.names.fingerprint(&named.name);
        let mut changes = self.passed_on.subscribe();
        let is_anyones =
            || self.names.find(print, self.clock.now()).is_some_and(|known| known.author.place().is_none());
        if places.len() < 2 {
            return false;
        }
        let passed = async {
            while !is_anyones() {
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            biased;
            () = passed => true,
            () = self.clock.sleep(SUCCESSION) => false,
        }
    }

    /// A playlist has a new version: names come and go, and what it hints is fetched.
    pub fn published(
        self: &Arc<Self>,
        asked: &Asked,
        (before, now): (Option<&Published>, &Published),
        watched: Watched,
        role: Option<Role>,
    ) {
        let feed = self.feeds.lock().entry(asked.key.clone()).or_default().clone();
        let hinted = feed.lock().publish(self, asked, (before, now), role);
        if watched == Watched::Now {
            hinted.into_iter().for_each(|hinted| self.prefetch(asked, hinted));
        }
    }

    /// A playlist is no longer followed: its names live on for `margin`.
    pub fn retired(&self, asked: &Asked, last: &Published, margin: Duration) {
        if let Some(feed) = self.feeds.lock().remove(&asked.key) {
            feed.lock().retire(self, asked, last, margin);
        }
    }

    /// A playlist that is made for one viewer lists what many may share: it is named for as long as the playlist lasts.
    pub fn listed_once(&self, asked: &Asked, playlist: &MediaPlaylist) {
        let now = self.clock.now();
        let namer = Namer::new(asked, playlist, &Variables::default());
        let longest = playlist.duration() + playlist.facts.target_duration;
        let mut after = playlist.duration();
        let segments = playlist.segments.iter().flat_map(|segment| {
            after = after.saturating_sub(segment.duration);
            let near_until = self.near_until(playlist, after);
            let items = listing::of_segment(segment).chain(listing::inits_and_keys(segment));
            items.map(move |item| (item, near_until, segment.duration))
        });
        let open = listing::open_parts(playlist).chain(listing::open_inits_and_keys(playlist));
        let open = open.map(|item| (item, self.near_until(playlist, Duration::ZERO), Duration::ZERO));
        for (item, near_until, duration) in segments.chain(open) {
            let Some(target) = namer.target(item.uri) else { continue };
            self.parameters.note(&asked.rules.route, &target);
            let Some(located) = namer.locate(&target) else { continue };
            let life = longest + duration;
            let kind = if item.kind == Kind::Growing { Kind::Segment } else { item.kind };
            let listing =
                Listing { kind, role: None, generation: 0, near_until, life, author: Author::ANYONE, begins: None };
            self.names.mention(self.names.fingerprint(&located.key), &listing, now);
        }
    }

    /// Whether a parameter of a query counts because a followed playlist of the route writes it into the URIs that it
    /// lists.
    pub fn writes_parameter(&self, route: &str, name: &str) -> bool {
        self.parameters.writes(route, name)
    }

    /// It has turned out to be too large to be stored.
    pub fn is_large(&self, named: &Named) {
        self.names.is_large(self.names.fingerprint(&named.name));
    }

    /// A part was asked for, and answered by the node itself.
    pub fn count_part(&self, answer: PartAnswer) {
        self.figures.part(answer);
    }

    /// A part was asked for that did not exist yet.
    pub fn count_hold(&self) {
        self.figures.holds.mine().add(1);
    }

    /// Until when something is near the live edge that has `after` between itself and the end of its playlist.
    fn near_until(&self, playlist: &MediaPlaylist, after: Duration) -> Option<Tick> {
        let now = self.clock.now();
        let until = now + self.cache.live_reserve() - after;
        (until > now && !playlist.facts.is_ended).then_some(until)
    }

    /// A hint is gone, and what it hinted is not listed.
    fn withdraw(&self, print: Fingerprint) {
        self.promises.withdraw(print);
        self.names.unhint(print);
    }

    /// The worker that a name is fetched on.
    fn home(&self, print: Fingerprint) -> &Tasks {
        &self.workers[print.spread(self.workers.len())]
    }
}

impl MetricSource for Media {
    fn families(&self) -> Vec<Family> {
        self.figures.families((self.names.count(), self.names.refused.value(), self.growths.count()))
    }
}

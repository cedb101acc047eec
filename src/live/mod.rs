//! The live edge: one follower for each watched rendition, what it published, who waits for more, and what it names.
//!
//! A `Playlist` is anything under a playlist's URL: asked for once however many want it, then followed (a live media
//! playlist), kept (a multivariant one, or one that has ended), or known to be made per viewer. Its task lives on its
//! home worker; viewers on every worker read its state, and wait in its `Parking`.

mod ask;
pub mod edition;
mod failing;
pub mod figures;
mod follower;
mod following;
mod home;
mod judge;
mod kept;
mod kinds;
pub mod media;
mod moving;
mod numbers;
mod pace;
pub mod parking;
#[cfg(test)]
mod parking_tests;
mod personal;
pub mod playlist;
mod print;
mod purge;
pub mod references;
pub mod state;
pub mod streams;
mod sync;
mod table;
#[cfg(test)]
mod tests;
mod weight;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderMap;
use http::uri::PathAndQuery;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::cache::{Bells, Cache};
use crate::clock::{Clock, Tick};
use crate::config::Playlists;
use crate::origin::Origins;
use crate::origin::supply::Supply;
use crate::rules::caching::Key;
use crate::rules::caching::negative::Errors;
use crate::rules::hls::query;
use crate::rules::hls::rewrite::resolve;
use crate::rules::hls::window::Remembered;
use crate::tasks::Tasks;

use figures::{Figures, Late, Snapshot};
use follower::Follower;
use media::Media;
use numbers::Numbers;
use parking::{Held, Parking};
use personal::Personal;
use playlist::{NEVER, Playlist};
use state::State;
use streams::{Located, Streams};
use table::{Opened, Table};

pub use weight::Weight;

/// The bounds of the live edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveConfig {
    /// Playlists that are followed, or known, at once.
    pub followers: usize,
    /// Requests held at once, on the whole node.
    pub held: usize,
    /// For how long a rendition is followed after its last viewer.
    pub grace: Duration,
    /// Names of media that are remembered at once.
    pub names: usize,
}

/// A playlist as a request names it.
#[derive(Clone)]
pub struct Asked {
    /// What makes two requests the same playlist: without directives, and with the query that counts.
    pub key: Key,
    /// Public path and query, without directives.
    pub target: Arc<str>,
    /// Path and query as asked for upstream.
    pub upstream: PathAndQuery,
    /// The fields of the request to the origin: nothing that names a viewer.
    pub fields: HeaderMap,
    /// What the viewer called the edge, where the origin wants to see it.
    pub viewer_authority: Option<String>,
    /// How its route treats it.
    pub rules: Arc<Rules>,
}

/// How a route treats live streams.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// The route's name.
    pub route: Arc<str>,
    /// Where its objects come from.
    pub supply: Arc<Supply>,
    /// Whether its playlists are one viewer's each.
    pub playlists: crate::config::Playlists,
    /// Whether keys are shared among viewers.
    pub keys: crate::config::Keys,
    /// How what they name is written.
    pub references: references::References,
    /// Query parameters that count, beside the packagers' own and those that playlists write.
    pub query_keep: Vec<String>,
    /// For how many target durations the last playlist is repeated while its origin fails.
    pub stale_playlist_for: u32,
    /// For how many target durations a stream may stall at its origin before the next one is asked.
    pub failover_after: u32,
    /// Whether streams return by themselves to the origin that is preferred.
    pub failback: crate::config::Failback,
    /// For how long errors are kept that say nothing of it.
    pub errors: Errors,
}

/// Why a playlist is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// As many playlists as allowed are followed.
    #[error("as many playlists as allowed are followed")]
    Followers,
}

impl Asked {
    /// Its public path.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }

    /// The playlist that `uri`, in this one, names; `None`: it is foreign.
    fn locate(&self, uri: &str) -> Option<Located> {
        let target = resolve(&self.target, uri)?;
        // All that the playlist itself writes counts.
        let target = match target.split_once('?') {
            Some((path, own)) => match query::keep(Some(own), |_| true).query {
                Some(own) => format!("{path}?{own}"),
                None => path.to_owned(),
            },
            None => target,
        };
        let located = self.rules.supply.locate(&target, self.viewer_authority.as_deref())?;
        Some(Located { key: located.key, target: target.into(), upstream: located.upstream })
    }

    /// The same request for another playlist of the stream.
    fn beside(&self, located: Located) -> Self {
        Self { key: located.key, target: located.target, upstream: located.upstream, ..self.clone() }
    }
}

/// All playlists of the node, and what they name.
pub struct Live {
    /// What followed playlists name.
    pub media: Arc<Media>,
    /// How many requests are held.
    pub held: Arc<Held>,
    /// What followers did and noticed.
    pub figures: Arc<Figures>,
    config: ArcSwap<LiveConfig>,
    origins: ArcSwap<Origins>,
    table: Arc<Table>,
    streams: Streams,
    numbers: Numbers,
    personal: Personal,
    bells: Arc<Bells>,
    clock: Clock,
    workers: Vec<Tasks>,
    closed: CancellationToken,
}

impl Live {
    /// A live edge in which nothing is followed. `workers` has the tasks of each worker.
    pub fn new(
        config: LiveConfig,
        cache: Arc<Cache>,
        origins: Arc<Origins>,
        bells: Arc<Bells>,
        (clock, workers): (Clock, Vec<Tasks>),
    ) -> Arc<Self> {
        let table = Arc::new(Table::new());
        Arc::new(Self {
            media: Media::new(config.names, cache, origins.clone(), (clock.clone(), workers.clone())),
            held: Held::new(config.held),
            figures: Arc::default(),
            config: ArcSwap::from_pointee(config),
            origins: ArcSwap::new(origins),
            streams: Streams::new(table.clone()),
            numbers: Numbers::default(),
            personal: Personal::new(),
            table,
            bells,
            clock,
            workers,
            closed: CancellationToken::new(),
        })
    }

    /// The playlist that a request names; asked for now if nobody did, and followed for as long as it is watched.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn open(self: &Arc<Self>, asked: &Asked) -> Result<Arc<Playlist>, Refused> {
        let now = self.clock.now();
        if asked.rules.playlists == Playlists::PerViewer || self.personal.knows(&asked.key, now) {
            let playlist = self.unknown(asked, now);
            playlist.set_state(State::PerViewer);
            return Ok(playlist);
        }
        let known = self.open_known(asked, now)?;
        let (then, now_ruled) = (&known.asked.rules, &asked.rules);
        let is_outdated = !Arc::ptr_eq(then, now_ruled) && then.route == now_ruled.route && then != now_ruled;
        if !is_outdated {
            return Ok(known);
        }
        // Its route was configured anew: who waits asks again, and the sequence goes on.
        self.table.remove_if(&known, |_| true);
        known.dismiss();
        let anew = self.open_known(asked, now)?;
        anew.keep_warm(known.warm_until());
        Ok(anew)
    }

    fn open_known(self: &Arc<Self>, asked: &Asked, now: Tick) -> Result<Arc<Playlist>, Refused> {
        let config = **self.config.load();
        let opened = self.table.open(&asked.key, (config.followers, config.grace), now, || self.unknown(asked, now));
        match opened {
            Ok(Opened::Known(playlist)) => Ok(playlist),
            Ok(Opened::New(playlist)) => {
                let home = &self.workers[self.table.place(&asked.key, self.workers.len())];
                home.spawn("follower", Follower::new(self.clone(), playlist.clone(), home.clone()).run());
                Ok(playlist)
            }
            Err(refused) => {
                self.figures.refused.add(1);
                Err(refused)
            }
        }
    }

    fn unknown(&self, asked: &Asked, now: Tick) -> Arc<Playlist> {
        let parking = Parking::new(self.bells.clone(), self.held.clone());
        let playlist = Playlist::new(asked.clone(), parking, now);
        if let Some(stream) = self.streams.of(&asked.key) {
            playlist.set_stream(stream);
        }
        Arc::new(playlist)
    }

    /// Follows a playlist whether or not anybody watches: for `period`, or for ever. The renditions of a multivariant
    /// playlist are followed with it.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn warm(self: &Arc<Self>, asked: &Asked, period: Option<Duration>) -> Result<Arc<Playlist>, Refused> {
        self.warm_until(asked, period.map_or(NEVER, |period| self.clock.now() + period))
    }

    fn warm_until(self: &Arc<Self>, asked: &Asked, until: Tick) -> Result<Arc<Playlist>, Refused> {
        // Nobody watches it: what is known is not touched.
        let known = self.find(&asked.key).filter(|known| known.asked.rules == asked.rules);
        let playlist = known.map_or_else(|| self.open(asked), Ok)?;
        playlist.keep_warm(until);
        self.warm_renditions(&playlist);
        Ok(playlist)
    }

    /// Keeps the renditions of a warm multivariant playlist as warm as itself.
    fn warm_renditions(self: &Arc<Self>, playlist: &Playlist) {
        let (State::Multivariant(_), Some(stream)) = (&*playlist.state(), playlist.stream()) else { return };
        if !playlist.is_warm(self.clock.now()) {
            return;
        }
        for member in stream.members() {
            if let Err(refused) = self.warm_until(&playlist.asked.beside(member.asked), playlist.warm_until()) {
                let (route, path) = (&*playlist.asked.rules.route, playlist.asked.path());
                warn!(route, playlist = path, cause = %refused, "not all renditions are kept warm");
                return;
            }
        }
    }

    /// The playlist under a key, if it is known.
    pub fn find(&self, key: &Key) -> Option<Arc<Playlist>> {
        self.table.find(key)
    }

    /// Whether a key is that of a playlist, as far as is known.
    pub fn knows(&self, key: &Key) -> bool {
        self.table.find(key).is_some() || self.is_per_viewer(key)
    }

    /// Whether a playlist turned out to be one viewer's.
    pub fn is_per_viewer(&self, key: &Key) -> bool {
        self.personal.knows(key, self.clock.now())
    }

    /// How many playlists are known to be one viewer's each.
    pub fn per_viewer(&self) -> usize {
        self.personal.count(self.clock.now())
    }

    /// Whether a parameter of a query counts because a playlist of the route writes it into the URIs that it lists.
    pub fn writes_parameter(&self, route: &str, name: &str) -> bool {
        self.streams.writes_parameter(route, name) || self.media.writes_parameter(route, name)
    }

    /// Takes on changed bounds and origins.
    pub fn reconfigure(&self, config: LiveConfig, origins: Arc<Origins>) {
        self.held.set_most(config.held);
        self.media.reconfigure(config.names, origins.clone());
        self.origins.store(origins);
        self.config.store(Arc::new(config));
    }

    /// All playlists that are known.
    pub fn playlists(&self) -> Vec<Arc<Playlist>> {
        self.table.all()
    }

    /// How many playlists are known.
    pub fn count(&self) -> usize {
        self.table.len()
    }

    /// The playlists that do not advance although they should.
    pub fn late(&self) -> Vec<Late> {
        let is_late = |playlist: &&Arc<Playlist>| playlist.activity.is_stalled();
        let late = |playlist: &Arc<Playlist>| Late {
            route: playlist.asked.rules.route.clone(),
            path: playlist.asked.path().to_owned(),
        };
        self.table.all().iter().filter(is_late).map(late).collect()
    }

    /// How all playlists are now.
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let mut snapshots: Vec<_> = self.table.all().iter().map(|playlist| Snapshot::of(playlist, now, wall)).collect();
        snapshots.sort_by(|a, b| (&a.route, &a.path).cmp(&(&b.route, &b.path)));
        snapshots
    }

    /// Takes on how the numbers of playlists were counted when the node ran before, by the texts of their keys, and keeps
    /// count of them from now on.
    pub fn restore_numbers(&self, earlier: impl IntoIterator<Item = (Box<str>, Remembered)>) {
        self.numbers.restore(earlier);
    }

    /// How the numbers of playlists are counted, a second ago at most where they are followed.
    pub fn numbers(&self) -> BTreeMap<Box<str>, Remembered> {
        let let_go = self.numbers.all().into_iter();
        let followed = self
            .table
            .all()
            .into_iter()
            .filter_map(|playlist| Some((Box::from(playlist.asked.key.as_str()), playlist.numbers()?)));
        let_go.chain(followed).collect()
    }

    /// Ends every follower; who waits is released.
    pub fn close(&self) {
        self.closed.cancel();
    }
}

//! Which renditions belong together: what a multivariant playlist names, or, where none is known, what rendition reports
//! name. A stream lives as long as its multivariant playlist is known or one of its renditions is followed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::rules::caching::Key;
use crate::rules::hls::multivariant::{Multivariant, Role};
use crate::rules::hls::reports::Sibling;
use crate::rules::hls::rewrite::{relative, resolve};
use crate::rules::hls::variables::Variables;

use super::Asked;
use super::home::Home;
use super::playlist::Playlist;
use super::state::State;
use super::table::Table;

/// Renditions of one stream that are remembered.
const RENDITIONS: usize = 256;
/// Names of parameters that multivariant playlists of one route write.
const PARAMETERS: usize = 64;
/// Below so many keys, those of streams that are gone are not looked for.
const FEW_KEYS: usize = 1_024;

/// A number that no stamp had before.
static STAMPS: AtomicU64 = AtomicU64::new(1);

/// One multivariant playlist and all below it.
pub struct Stream {
    table: Weak<Table>,
    stamp: AtomicU64,
    source: Source,
    members: Mutex<Vec<Member>>,
    variables: ArcSwap<Variables>,
    home: Arc<Home>,
}

/// A rendition of a stream.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Member {
    /// The playlist.
    pub(super) asked: Located,
    /// What it carries.
    pub(super) role: Option<Role>,
}

/// A playlist that a document names.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Located {
    pub(super) key: Key,
    pub(super) target: Arc<str>,
    pub(super) upstream: http::uri::PathAndQuery,
}

/// Who says what belongs together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Multivariant,
    Reports,
}

/// All streams, by the keys of their renditions.
pub(super) struct Streams {
    table: Arc<Table>,
    by_key: Mutex<Keys>,
    parameters: ArcSwap<HashMap<Arc<str>, Vec<Box<str>>>>,
}

#[derive(Default)]
struct Keys {
    streams: HashMap<Key, Weak<Stream>, foldhash::fast::RandomState>,
    prune_at: usize,
}

impl Stream {
    fn new(table: &Arc<Table>, source: Source, label: &str) -> Arc<Self> {
        Arc::new(Self {
            table: Arc::downgrade(table),
            stamp: AtomicU64::new(fresh_stamp()),
            source,
            members: Mutex::default(),
            variables: ArcSwap::default(),
            home: Home::new(label),
        })
    }

    /// Changes whenever one of its renditions does.
    pub(super) fn stamp(&self) -> u64 {
        self.stamp.load(Relaxed)
    }

    /// One of its renditions has changed.
    pub(super) fn changed(&self) {
        self.stamp.store(fresh_stamp(), Relaxed);
    }

    /// The origin that all of its renditions come from.
    pub(super) fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// The variables of its multivariant playlist.
    pub fn variables(&self) -> Arc<Variables> {
        self.variables.load_full()
    }

    /// What a rendition carries.
    pub fn role(&self, key: &Key) -> Option<Role> {
        self.members.lock().iter().find(|member| member.asked.key == *key)?.role
    }

    pub(super) fn members(&self) -> Vec<Member> {
        self.members.lock().clone()
    }

    /// What is known now of the renditions other than `playlist`. An I-frame playlist counts only where the origin
    /// reports it too (Appendix B.1).
    pub(super) fn siblings(&self, playlist: &Playlist) -> Vec<Sibling> {
        let (State::Media(edition), Some(table)) = (&*playlist.state(), self.table.upgrade()) else {
            return Vec::new();
        };
        let own = &*playlist.asked.target;
        let reported: Vec<_> = edition
            .published
            .reports
            .iter()
            .filter_map(|report| Some((resolve(own, &report.uri)?, &*report.uri)))
            .collect();
        let sibling = |member: Member| {
            if member.asked.key == playlist.asked.key {
                return None;
            }
            let as_reported = reported.iter().find(|(target, _)| is_same(&member.asked.target, target));
            if as_reported.is_none() && member.role == Some(Role::IFrames) {
                return None;
            }
            let State::Media(newest) = &*table.find(&member.asked.key)?.state() else { return None };
            let uri = as_reported.map_or_else(|| relative(own, &member.asked.target), |(_, uri)| (*uri).to_owned());
            Some(Sibling::new(&uri, &newest.published.frontier))
        };
        self.members().into_iter().filter_map(sibling).collect()
    }
}

impl Streams {
    pub(super) fn new(table: Arc<Table>) -> Self {
        Self { table, by_key: Mutex::default(), parameters: ArcSwap::default() }
    }

    /// The stream of a playlist, as far as is known.
    pub(super) fn of(&self, key: &Key) -> Option<Arc<Stream>> {
        self.by_key.lock().streams.get(key)?.upgrade()
    }

    /// Takes on what a multivariant playlist names; `own` is the stream that an earlier version of it made.
    pub(super) fn take(&self, asked: &Asked, document: &Multivariant, own: Option<Arc<Stream>>) -> Arc<Stream> {
        let query = asked.target.split_once('?').map(|(_, query)| query);
        let variables = Variables::of(&document.definitions, query, &Variables::default());
        let mut members = Vec::new();
        for rendition in &document.renditions {
            let uri = variables.replace(&rendition.uri);
            let Some(located) = uri.and_then(|uri| asked.locate(&uri)) else { continue };
            self.note_parameters(&asked.rules.route, &located.target);
            members.push(Member { asked: located, role: Some(rendition.role) });
            if members.len() == RENDITIONS {
                break;
            }
        }
        let stream = own.unwrap_or_else(|| Stream::new(&self.table, Source::Multivariant, asked.path()));
        stream.variables.store(Arc::new(variables));
        self.set_members(&stream, members);
        stream
    }

    /// Takes on what the rendition reports of a playlist name that belongs to no stream yet.
    pub(super) fn take_reports<'u>(&self, playlist: &Playlist, uris: impl Iterator<Item = &'u str>) {
        let member = |asked: Located| Member { asked, role: None };
        let mut members: Vec<_> =
            uris.take(RENDITIONS).filter_map(|uri| playlist.asked.locate(uri)).map(member).collect();
        if members.is_empty() {
            return;
        }
        let joined = members.iter().find_map(|member| self.of(&member.asked.key));
        members.push(member(Located {
            key: playlist.asked.key.clone(),
            target: playlist.asked.target.clone(),
            upstream: playlist.asked.upstream.clone(),
        }));
        let stream = joined.unwrap_or_else(|| Stream::new(&self.table, Source::Reports, playlist.asked.path()));
        let known = stream.members();
        members.retain(|member| known.iter().all(|other| other.asked.key != member.asked.key));
        members.splice(0..0, known);
        members.truncate(RENDITIONS);
        playlist.set_stream(stream.clone());
        self.set_members(&stream, members);
    }

    fn set_members(&self, stream: &Arc<Stream>, members: Vec<Member>) {
        let keys: Vec<_> = members.iter().map(|member| member.asked.key.clone()).collect();
        *stream.members.lock() = members;
        for key in keys {
            if self.claim(&key, stream)
                && let Some(playlist) = self.table.find(&key)
            {
                playlist.set_stream(stream.clone());
            }
        }
        stream.changed();
    }

    /// Whether `key` belongs to `stream` from now on. Of several that name it, that of a multivariant playlist counts,
    /// and of those the largest.
    fn claim(&self, key: &Key, stream: &Arc<Stream>) -> bool {
        let rank = |stream: &Stream| (stream.source == Source::Multivariant, stream.members.lock().len());
        let mut keys = self.by_key.lock();
        if keys.streams.len() >= keys.prune_at.max(FEW_KEYS) {
            keys.streams.retain(|_, stream| stream.strong_count() > 0);
            keys.prune_at = keys.streams.len() * 2;
        }
        let held_by = keys.streams.get(key).and_then(Weak::upgrade);
        if held_by.is_some_and(|other| !Arc::ptr_eq(&other, stream) && rank(&other) >= rank(stream)) {
            return false;
        }
        keys.streams.insert(key.clone(), Arc::downgrade(stream));
        true
    }

    /// Whether a multivariant playlist of the route writes the parameter into the URIs that it lists.
    pub(super) fn writes_parameter(&self, route: &str, name: &str) -> bool {
        self.parameters.load().get(route).is_some_and(|names| names.iter().any(|known| **known == *name))
    }

    fn note_parameters(&self, route: &Arc<str>, target: &str) {
        let Some((_, query)) = target.split_once('?') else { return };
        let names = query.split('&').map(|parameter| parameter.split_once('=').map_or(parameter, |(name, _)| name));
        for name in names.filter(|name| !name.is_empty()) {
            if self.writes_parameter(route, name) {
                continue;
            }
            self.parameters.rcu(|all| {
                let mut all = HashMap::clone(all);
                let names = all.entry(route.clone()).or_default();
                if names.len() < PARAMETERS {
                    names.push(name.into());
                }
                all
            });
        }
    }
}

fn fresh_stamp() -> u64 {
    STAMPS.fetch_add(1, Relaxed)
}

/// Whether a report means `target`. One without a query leaves out what the playlist was asked for with.
fn is_same(target: &str, reported: &str) -> bool {
    target == reported || target.split_once('?').is_some_and(|(path, _)| path == reported)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sibling_is_named_relative_to_the_playlist_that_reports_it() {
        for (base, target, uri) in [
            ("/live/a.m3u8", "/live/b.m3u8", "b.m3u8"),
            ("/live/a.m3u8?x=/y/", "/live/b.m3u8?z=1/2", "b.m3u8?z=1/2"),
            ("/live/hi/a.m3u8", "/live/lo/a.m3u8", "../lo/a.m3u8"),
            ("/live/hi/a.m3u8", "/live/a.m3u8", "../a.m3u8"),
            ("/live/a.m3u8", "/live/lo/a.m3u8", "lo/a.m3u8"),
            ("/a.m3u8", "/x/y/b.m3u8", "x/y/b.m3u8"),
            ("/live1/a.m3u8", "/live2/a.m3u8", "../live2/a.m3u8"),
            ("/live/a.m3u8", "/live/b:1.m3u8", "./b:1.m3u8"),
        ] {
            assert_eq!(relative(base, target), uri, "{target} from {base}");
        }
    }

    #[test]
    fn a_report_without_a_query_means_the_playlist_of_that_path() {
        assert!(is_same("/a.m3u8", "/a.m3u8"));
        assert!(is_same("/a.m3u8?x=1", "/a.m3u8"));
        assert!(!is_same("/a.m3u8", "/a.m3u8?x=1"));
        assert!(!is_same("/a.m3u8?x=1", "/a.m3u8?x=2"));
    }
}

//! What one version of a playlist names: the URIs of its segments, parts, initialisation sections, keys and hints, each
//! with what it stands for.

use std::borrow::Cow;
use std::time::Duration;

use crate::live::Asked;
use crate::origin::supply::Located;
use crate::rules::hls::playlist::{ByteRange, HintKind, PartialSegment, PreloadHint, Segment};
use crate::rules::hls::rewrite::resolve;
use crate::rules::hls::variables::Variables;
use crate::rules::hls::{MediaPlaylist, playlist};
use crate::rules::hls::{calendar, query};

use super::Kind;

/// The names of a version as URIs → what they are called upstream.
pub(super) struct Namer<'a> {
    asked: &'a Asked,
    variables: Variables,
}

/// A name of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item<'p> {
    pub uri: &'p str,
    pub kind: Kind,
    /// How long after its segment it begins.
    pub after: Duration,
}

impl<'p> Item<'p> {
    /// What begins with its segment.
    pub const fn new(uri: &'p str, kind: Kind) -> Self {
        Self { uri, kind, after: Duration::ZERO }
    }
}

impl<'a> Namer<'a> {
    /// The names of a playlist that was asked for so; `imported` are the variables of its multivariant playlist.
    pub fn new(asked: &'a Asked, playlist: &MediaPlaylist, imported: &Variables) -> Self {
        let query = asked.target.split_once('?').map(|(_, query)| query);
        Self { asked, variables: Variables::of(playlist.definitions(), query, imported) }
    }

    /// How the playlist was asked for.
    pub fn asked(&self) -> &'a Asked {
        self.asked
    }

    /// The public target that a player makes of a URI; `None` where it leads elsewhere.
    pub fn target(&self, uri: &str) -> Option<String> {
        let uri = match uri.contains("{$") {
            true => self.variables.replace(uri)?,
            false => Cow::Borrowed(uri),
        };
        resolve(&self.asked.target, &uri)
    }

    /// Where the resource is. Its query is written as that of a viewer's request is kept.
    pub fn locate(&self, target: &str) -> Option<Located> {
        let viewer = self.asked.viewer_authority.as_deref();
        let Some((path, written)) = target.split_once('?') else {
            return self.asked.rules.supply.locate(target, viewer);
        };
        match query::keep(Some(written), |_| true).query {
            Some(query) => self.asked.rules.supply.locate(&format!("{path}?{query}"), viewer),
            None => self.asked.rules.supply.locate(path, viewer),
        }
    }
}

/// The segment and its parts, without what does not exist.
pub(super) fn of_segment(segment: &Segment) -> impl Iterator<Item = Item<'_>> {
    let own = (!segment.is_gap).then(|| Item::new(segment.uri(), Kind::Segment));
    let parts = segment.parts.iter().zip(calendar::offsets(segment.parts.iter()));
    let parts = parts.filter(|(part, _)| exists(part)).filter_map(|(part, after)| match part.byte_range {
        None => Some(Item { after, ..Item::new(&part.uri, Kind::Part) }),
        Some(_) if *part.uri == *segment.uri() => None,
        Some(_) => Some(Item { after, ..Item::new(&part.uri, Kind::Segment) }),
    });
    own.into_iter().chain(parts)
}

/// The parts of the segment that is still open.
pub(super) fn open_parts(playlist: &MediaPlaylist) -> impl Iterator<Item = Item<'_>> {
    let parts = playlist.open_parts().zip(calendar::offsets(playlist.open_parts()));
    parts.filter(|(part, _)| exists(part)).map(|(part, after)| match part.byte_range {
        // A range of what begins with its first part.
        Some(_) => Item::new(&part.uri, Kind::Growing),
        None => Item { after, ..Item::new(&part.uri, Kind::Part) },
    })
}

/// What is hinted, the first of each kind.
pub(super) fn hints(playlist: &MediaPlaylist) -> impl Iterator<Item = (Item<'_>, &PreloadHint)> {
    let first = |kind| playlist.hints().find(move |hint| hint.kind == kind);
    [first(HintKind::Part), first(HintKind::Map)].into_iter().flatten().map(|hint| {
        let kind = match hint.kind {
            HintKind::Map => Kind::Init,
            HintKind::Part if hint.range.is_some() || has_ranges(playlist) => Kind::Growing,
            HintKind::Part => Kind::Part,
        };
        let after =
            if kind == Kind::Part { playlist.open_parts().map(|part| part.duration).sum() } else { Duration::ZERO };
        (Item { after, ..Item::new(&hint.uri, kind) }, hint)
    })
}

/// Initialisation sections and keys among the lines of the segment that is still open.
pub(super) fn open_inits_and_keys(playlist: &MediaPlaylist) -> impl Iterator<Item = Item<'_>> {
    playlist.tail.iter().filter_map(|line| match &line.tag {
        playlist::Tag::Map(map) => Some(Item::new(&map.uri, Kind::Init)),
        playlist::Tag::Key(Some(uri)) => Some(Item::new(uri, Kind::DecryptionKey)),
        _ => None,
    })
}

/// Initialisation sections and keys among the lines of a segment.
pub(super) fn inits_and_keys(segment: &Segment) -> impl Iterator<Item = Item<'_>> {
    let inits = segment.maps.iter().map(|map| Item::new(&map.uri, Kind::Init));
    inits.chain(segment.keys.iter().map(|uri| Item::new(uri, Kind::DecryptionKey)))
}

fn exists(part: &PartialSegment) -> bool {
    !part.is_gap
}

/// Whether the parts of the playlist are ranges of their parents: the hint of a parent's first part does not say so.
fn has_ranges(playlist: &MediaPlaylist) -> bool {
    let last = playlist.segments.iter().rev().find_map(|segment| segment.parts.last());
    playlist.open_parts().last().or(last).is_some_and(|part| part.byte_range.is_some())
}

/// The octet behind the last one of `uri` that parts or segments of the playlist cover.
pub(super) fn covered(playlist: &MediaPlaylist, uri: &str) -> u64 {
    let end = |range: &ByteRange| range.start.saturating_add(range.length);
    let open = playlist.open_parts().filter(|part| *part.uri == *uri).filter_map(|part| part.byte_range.as_ref());
    let recent = playlist.segments.iter().rev().take(RECENT);
    let closed = recent.flat_map(|segment| {
        let parts = segment.parts.iter().filter(|part| *part.uri == *uri).filter_map(|part| part.byte_range.as_ref());
        parts.chain(segment.byte_range.as_ref().filter(|_| segment.uri() == uri))
    });
    open.chain(closed).map(end).max().unwrap_or_default()
}

/// Closed segments that may share a file with the one that is open, as far as is looked.
const RECENT: usize = 8;

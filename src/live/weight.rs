//! What the live edge takes in memory, for status and metrics: estimates, made from a few samples, so that a scrape costs
//! the same however long playlists are.

use super::Live;
use super::edition::Edition;
use super::playlist::Playlist;
use super::state::{Document, State};
use crate::rules::hls::playlist::{PartialSegment, Segment};

/// A playlist without its versions: its places, parking, task and counters.
const PLAYLIST: u64 = 6 << 10;
/// What a rendition of a multivariant playlist takes beside the text.
const RENDITION: u64 = 512;
/// A request that is held, without its connection.
const HELD: u64 = 2 << 10;
/// What is kept of a segment or part beside what it says: references of the last versions, its names.
const LISTED: u64 = 96;

/// What the live edge takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Playlists, their versions in every form, and their followers.
    pub playlists: u64,
    /// The table of names of media.
    pub names: u64,
    /// Requests that are held.
    pub held: u64,
}

impl Live {
    /// What it takes in memory.
    pub fn weight(&self) -> Weight {
        Weight {
            playlists: self.table.all().iter().map(|playlist| of_playlist(playlist)).sum(),
            names: self.media.octets(),
            held: self.held.now() as u64 * HELD,
        }
    }
}

fn of_playlist(playlist: &Playlist) -> u64 {
    PLAYLIST
        + match &*playlist.state() {
            State::Media(edition) => of_edition(edition),
            State::Multivariant(document) => of_document(document),
            State::Asked | State::PerViewer | State::Failed(_) => 0,
        }
}

/// The origin's version and the viewers' one each have segments of their own.
fn of_edition(edition: &Edition) -> u64 {
    let segments = &edition.published.playlist.segments;
    let samples = [segments.first(), segments.get(segments.len() / 2), segments.last()];
    let samples: Vec<u64> = samples.into_iter().flatten().map(|segment| of_segment(segment)).collect();
    let average = samples.iter().sum::<u64>().checked_div(samples.len() as u64).unwrap_or_default();
    2 * average * segments.len() as u64 + edition.octets()
}

fn of_segment(segment: &Segment) -> u64 {
    let parts = segment.parts.len();
    let own = size_of::<Segment>() + segment.text.len() + parts * size_of::<PartialSegment>();
    own as u64 + (1 + parts as u64) * LISTED
}

fn of_document(document: &Document) -> u64 {
    let multivariant = &document.multivariant;
    2 * multivariant.text.len() as u64 + multivariant.renditions.len() as u64 * RENDITION
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::HeaderMap;

    use super::*;
    use crate::rules::hls::Published;
    use crate::rules::hls::parse::parse;

    fn edition(segments: usize) -> Edition {
        let mut text = "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:4\n#EXT-X-MEDIA-SEQUENCE:1\n".to_owned();
        (0..segments).for_each(|number| text.push_str(&format!("#EXTINF:4,\nsegment{number:04}.m4s\n")));
        let playlist = parse(&text, None).unwrap();
        Edition::new(Arc::new(Published { playlist, ..Published::default() }), HeaderMap::new(), None)
    }

    #[test]
    fn a_longer_playlist_takes_more_in_proportion() {
        let (short, long) = (of_edition(&edition(100)), of_edition(&edition(1_000)));
        assert!(short > 100 * 200 && (9 * short..=11 * short).contains(&long), "{short} {long}");
    }
}

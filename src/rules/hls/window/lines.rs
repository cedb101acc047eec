//! Tags of the playlist as a whole, written anew in the head.

use crate::rules::hls::playlist::{Line, MediaPlaylist, Tag};

/// A tag that this node may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// EXT-X-TARGETDURATION.
    TargetDuration,
    /// EXT-X-MEDIA-SEQUENCE.
    MediaSequence,
    /// EXT-X-DISCONTINUITY-SEQUENCE.
    DiscontinuitySequence,
    /// EXT-X-SERVER-CONTROL.
    ServerControl,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::TargetDuration => "#EXT-X-TARGETDURATION:",
            Self::MediaSequence => "#EXT-X-MEDIA-SEQUENCE:",
            Self::DiscontinuitySequence => "#EXT-X-DISCONTINUITY-SEQUENCE:",
            Self::ServerControl => "#EXT-X-SERVER-CONTROL:",
        }
    }

    pub(super) const fn tag(self) -> Tag {
        match self {
            Self::TargetDuration => Tag::TargetDuration,
            Self::MediaSequence => Tag::MediaSequence,
            Self::DiscontinuitySequence => Tag::DiscontinuitySequence,
            Self::ServerControl => Tag::ServerControl,
        }
    }
}

/// How lines of the playlist end.
pub(super) fn line_end(playlist: &MediaPlaylist) -> &'static str {
    if playlist.head.first().is_some_and(|line| line.text.ends_with("\r\n")) { "\r\n" } else { "\n" }
}

/// Whether the tag stands before the first segment.
pub(super) fn is_in_head(playlist: &MediaPlaylist, kind: Kind) -> bool {
    playlist.head.iter().any(|line| line.tag == kind.tag())
}

/// What follows the tag's colon, before or behind the segments.
pub(super) fn text_of(playlist: &MediaPlaylist, kind: Kind) -> Option<String> {
    let value = |text: &str| text.strip_prefix(kind.name()).map(|value| value.trim_ascii_end().to_owned());
    let line = playlist.head.iter().chain(&playlist.tail).find(|line| line.tag == kind.tag())?;
    value(&line.text)
}

/// Writes the tag with `value`: over itself, or behind the first lines of the head. Behind the segments it is taken out.
pub(super) fn write(playlist: &mut MediaPlaylist, kind: Kind, value: &str) {
    let text = format!("{}{value}{}", kind.name(), line_end(playlist));
    if let Some(line) = playlist.head.iter_mut().find(|line| line.tag == kind.tag()) {
        line.text = text.into();
        return;
    }
    playlist.tail.retain(|line| line.tag != kind.tag());
    let before = [Tag::Header, Tag::Version, Tag::TargetDuration, Tag::MediaSequence];
    let place = playlist.head.iter().rposition(|line| before.contains(&line.tag)).map_or(0, |at| at + 1);
    if let Some(line) = place.checked_sub(1).map(|at| &mut playlist.head[at])
        && !line.text.ends_with('\n')
    {
        line.text = format!("{}\n", line.text).into();
    }
    playlist.head.insert(place, Line { text: text.into(), tag: kind.tag() });
}

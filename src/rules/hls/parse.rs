//! Text → `MediaPlaylist`, losing no line.

use super::playlist::MediaPlaylist;

/// Why a text is no media playlist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct Malformed {
    /// Which line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// What a playlist is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It lists segments.
    Media,
    /// It lists renditions.
    Multivariant,
}

/// What a text is, judged by its first line (§4.4.1.1) and the first tag that only one kind has; a playlist without any
/// such tag is an empty media playlist. `None`: it is no playlist.
pub fn kind(_text: &str) -> Option<Kind> {
    unimplemented!("model")
}

/// Reads a media playlist. Segments that `before`, an earlier version, has word for word under the same media sequence
/// number are shared with it.
///
/// # Errors
/// [`Malformed`] for the first line that breaks a rule without which the playlist means nothing.
pub fn parse(_text: &str, _before: Option<&MediaPlaylist>) -> Result<MediaPlaylist, Malformed> {
    unimplemented!("model")
}

//! What a multivariant playlist says, line by line (§4.4.6).

use super::parse::Malformed;
use super::playlist::Definition;

/// A multivariant playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Multivariant {
    /// The text as read.
    pub text: String,
    /// The media playlists that it names, in order, each once.
    pub renditions: Vec<Rendition>,
    /// EXT-X-DEFINE tags, in order.
    pub definitions: Vec<Definition>,
}

/// A media playlist that a multivariant playlist names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendition {
    /// Its URI, as written.
    pub uri: Box<str>,
    /// What it carries: what EXT-X-MEDIA says of it, where a variant names it too.
    pub role: Role,
    /// The highest BANDWIDTH that is said of it: of the variants that it is the main rendition of, or its own where it
    /// is one of I-frames.
    pub bandwidth: Option<u64>,
}

/// What a rendition carries, as far as its priority is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The main rendition of a variant.
    Main,
    /// EXT-X-MEDIA of TYPE=AUDIO.
    Audio,
    /// EXT-X-MEDIA of TYPE=VIDEO.
    Video,
    /// EXT-X-MEDIA of TYPE=SUBTITLES.
    Subtitles,
    /// EXT-X-I-FRAME-STREAM-INF.
    IFrames,
}

impl Multivariant {
    /// Reads a multivariant playlist.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(_text: &str) -> Result<Self, Malformed> {
        unimplemented!("rewrite")
    }
}

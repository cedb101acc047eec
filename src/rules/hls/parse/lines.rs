//! Lines, and what kind of line each is (RFC 8216bis §4.1).

use memchr::{memchr, memrchr};

/// What stands on a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'t> {
    /// Nothing, or a comment.
    Nothing,
    /// A tag: its name without the `#`, and what follows its colon.
    Tag(&'t str, &'t str),
    /// A URI.
    Uri(&'t str),
}

/// What the tags of a name belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The segment that follows (§4.4.4).
    Segment,
    /// A media playlist (§4.4.3, §4.4.5).
    Media,
    /// A multivariant playlist (§4.4.6).
    Multivariant,
    /// A playlist of either kind (§4.4.1, §4.4.2), or nothing that is known.
    Either,
}

/// The first line of `text`, its line end included.
pub fn first(text: &str) -> &str {
    let end = memchr(b'\n', text.as_bytes()).map_or(text.len(), |at| at + 1);
    &text[..end]
}

/// What stands on `line`. White space at its ends does not count.
pub fn content(line: &str) -> Content<'_> {
    let trimmed = line.trim_ascii_end();
    if let Some(tag) = trimmed.strip_prefix("#EXT").and(trimmed.strip_prefix('#')) {
        let colon = tag.bytes().position(|octet| octet == b':');
        return colon.map_or(Content::Tag(tag, ""), |colon| Content::Tag(&tag[..colon], &tag[colon + 1..]));
    }
    match trimmed.trim_ascii_start() {
        "" => Content::Nothing,
        text if text.starts_with('#') => Content::Nothing,
        uri => Content::Uri(uri),
    }
}

/// Where the line of the last URI in `text` ends; 0 where there is none.
pub fn end_of_last_uri(text: &str) -> usize {
    let mut end = text.len();
    while end > 0 {
        let start = memrchr(b'\n', &text.as_bytes()[..end - 1]).map_or(0, |at| at + 1);
        if matches!(content(&text[start..end]), Content::Uri(_)) {
            return end;
        }
        end = start;
    }
    0
}

/// What tags of `name` belong to.
pub fn scope(name: &str) -> Scope {
    match name {
        "EXTINF"
        | "EXT-X-PART"
        | "EXT-X-PROGRAM-DATE-TIME"
        | "EXT-X-BYTERANGE"
        | "EXT-X-DISCONTINUITY"
        | "EXT-X-KEY"
        | "EXT-X-MAP"
        | "EXT-X-GAP"
        | "EXT-X-BITRATE" => Scope::Segment,
        "EXT-X-TARGETDURATION"
        | "EXT-X-MEDIA-SEQUENCE"
        | "EXT-X-DISCONTINUITY-SEQUENCE"
        | "EXT-X-ENDLIST"
        | "EXT-X-PLAYLIST-TYPE"
        | "EXT-X-I-FRAMES-ONLY"
        | "EXT-X-PART-INF"
        | "EXT-X-SERVER-CONTROL"
        | "EXT-X-DATERANGE"
        | "EXT-X-SKIP"
        | "EXT-X-PRELOAD-HINT"
        | "EXT-X-RENDITION-REPORT" => Scope::Media,
        "EXT-X-STREAM-INF"
        | "EXT-X-MEDIA"
        | "EXT-X-I-FRAME-STREAM-INF"
        | "EXT-X-SESSION-DATA"
        | "EXT-X-SESSION-KEY"
        | "EXT-X-CONTENT-STEERING" => Scope::Multivariant,
        _ => Scope::Either,
    }
}

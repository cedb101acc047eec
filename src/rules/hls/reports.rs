//! Rendition reports at the moment of sending (§4.4.5.4, Appendix B.1).

use super::playlist::RenditionReport;
use super::position::Position;

/// What is known of another rendition of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sibling {
    /// Its URI, relative to the playlist that is sent.
    pub uri: Box<str>,
    /// The first position that it does not list yet.
    pub next: Position,
    /// Whether it has parts.
    pub has_parts: bool,
}

/// The report lines of a playlist: those that its origin wrote, brought up to what is known of the siblings, and those
/// of siblings that the origin left out.
pub fn write(_origin: &[RenditionReport], _siblings: &[Sibling]) -> String {
    unimplemented!("delta")
}

//! What a text must be like (CTA-5007, match types): a component of a URI, or a field of a request.

use aws_lc_rs::digest;

use super::pattern::{LONGEST as LONGEST_PATTERN, Pattern};
use super::wire;

/// The most octets of a text to compare with.
pub const LONGEST: usize = 1_024;
/// The most groups of a pattern that are compared.
pub const MOST_GROUPS: usize = 16;

/// What a text must be like.
#[derive(Clone, Debug, PartialEq)]
pub enum TextMatch {
    /// This.
    Exact(Box<str>),
    /// Begin so.
    Prefix(Box<str>),
    /// End so.
    Suffix(Box<str>),
    /// Have this in it.
    Contains(Box<str>),
    /// Of this pattern, and its groups are these where they are named.
    Pattern(Pattern, Vec<Option<Box<str>>>),
    /// Have this SHA-256.
    Sha256([u8; 32]),
    /// Have this SHA-512/256.
    Sha512Of256([u8; 32]),
}

impl TextMatch {
    /// Whether a text is like that.
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Exact(other) => **other == *text,
            Self::Prefix(prefix) => text.starts_with(&**prefix),
            Self::Suffix(suffix) => text.ends_with(&**suffix),
            Self::Contains(part) => text.contains(&**part),
            Self::Pattern(pattern, groups) => pattern.matches_groups(text, groups),
            Self::Sha256(hash) => digest::digest(&digest::SHA256, text.as_bytes()).as_ref() == hash,
            Self::Sha512Of256(hash) => digest::digest(&digest::SHA512_256, text.as_bytes()).as_ref() == hash,
        }
    }

    /// Writes it.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut text = |kind: u8, text: &str| {
            out.push(kind);
            wire::put_text(out, text);
        };
        match self {
            Self::Exact(other) => text(0, other),
            Self::Prefix(other) => text(1, other),
            Self::Suffix(other) => text(2, other),
            Self::Contains(other) => text(3, other),
            Self::Pattern(pattern, groups) => {
                text(4, pattern.text());
                wire::put_number(out, groups.len() as u64);
                for group in groups {
                    out.push(group.is_some().into());
                    group.iter().for_each(|group| wire::put_text(out, group));
                }
            }
            Self::Sha256(hash) => {
                out.push(5);
                out.extend_from_slice(hash);
            }
            Self::Sha512Of256(hash) => {
                out.push(6);
                out.extend_from_slice(hash);
            }
        }
    }

    /// Reads what was written.
    pub fn read(input: &mut &[u8]) -> Option<Self> {
        let kind = wire::take_octet(input)?;
        let text = |input: &mut &[u8]| wire::take_text(input, LONGEST).map(Into::into);
        Some(match kind {
            0 => Self::Exact(text(input)?),
            1 => Self::Prefix(text(input)?),
            2 => Self::Suffix(text(input)?),
            3 => Self::Contains(text(input)?),
            4 => {
                let pattern = Pattern::unread(wire::take_text(input, LONGEST_PATTERN)?)?;
                let count = wire::take_count(input, MOST_GROUPS)?;
                let mut group = || match wire::take_octet(input)? {
                    0 => Some(None),
                    1 => text(input).map(Some),
                    _ => None,
                };
                Self::Pattern(pattern, (0..count).map(|_| group()).collect::<Option<_>>()?)
            }
            5 => Self::Sha256(wire::take_octets(input)?),
            6 => Self::Sha512Of256(wire::take_octets(input)?),
            _ => return None,
        })
    }
}

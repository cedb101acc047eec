//! What a multivariant playlist says, line by line (§4.4.6).

use std::collections::HashMap;

use super::parse::attributes::Attributes;
use super::parse::lines::{self, Content, Scope};
use super::parse::{self, Malformed, tags};
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

/// The most renditions of a playlist: each may be named in all others.
const RENDITIONS_MAX: usize = 1_024;
/// Attributes that say that they must be understood, and are.
const UNDERSTOOD: [&str; 1] = ["REQ-VIDEO-LAYOUT"];

impl Multivariant {
    /// Reads a multivariant playlist. A tag that cannot be read says nothing, and a URI line that no EXT-X-STREAM-INF
    /// announces is none.
    ///
    /// # Errors
    /// [`Malformed`]: it is no playlist, has tags of media playlists, or names too many renditions.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let mut reader = Reader { found: Self { text: text.to_owned(), ..Self::default() }, ..Reader::default() };
        let (mut rest, mut line) = (text, 0);
        loop {
            let written = lines::first(rest);
            line += 1;
            reader.take(line, written).map_err(|what| Malformed { line, what })?;
            rest = &rest[written.len()..];
            if rest.is_empty() {
                return Ok(reader.found);
            }
        }
    }
}

/// What the lines so far say.
#[derive(Default)]
struct Reader<'t> {
    found: Multivariant,
    /// Where in the list of renditions a URI is.
    places: HashMap<&'t str, usize>,
    /// What EXT-X-STREAM-INF says of the URI line that follows.
    announced: Option<Named<'t>>,
}

/// What a tag says of a rendition.
#[derive(Clone, Copy)]
struct Named<'t> {
    uri: Option<&'t str>,
    role: Role,
    bandwidth: Option<u64>,
}

impl<'t> Reader<'t> {
    fn take(&mut self, line: usize, written: &'t str) -> Result<(), &'static str> {
        match lines::content(written) {
            _ if line == 1 && !parse::has_header(written) => Err("the first line is not #EXTM3U"),
            Content::Tag(name, value) => self.tag(name, value),
            Content::Uri(uri) => match self.announced.take() {
                Some(named) => self.name(Named { uri: Some(uri), ..named }),
                None => Ok(()),
            },
            Content::Nothing => Ok(()),
        }
    }

    fn tag(&mut self, name: &str, list: &'t str) -> Result<(), &'static str> {
        match name {
            "EXT-X-STREAM-INF" => self.announced = named(list, Some(Role::Main)),
            "EXT-X-MEDIA" => return named(list, None).map_or(Ok(()), |named| self.name(named)),
            "EXT-X-I-FRAME-STREAM-INF" => {
                return named(list, Some(Role::IFrames)).map_or(Ok(()), |named| self.name(named));
            }
            "EXT-X-DEFINE" => self.found.definitions.extend(tags::define(list).ok()),
            _ if matches!(lines::scope(name), Scope::Segment | Scope::Media) => return Err("a tag of media playlists"),
            _ => {}
        }
        Ok(())
    }

    fn name(&mut self, named: Named<'t>) -> Result<(), &'static str> {
        let Some(uri) = named.uri else { return Ok(()) };
        let renditions = &mut self.found.renditions;
        match self.places.get(uri) {
            Some(place) => {
                let rendition = &mut renditions[*place];
                rendition.bandwidth = rendition.bandwidth.max(named.bandwidth);
                if rendition.role == Role::Main {
                    rendition.role = named.role;
                }
            }
            None if renditions.len() == RENDITIONS_MAX => return Err("more renditions than may be named"),
            None => {
                self.places.insert(uri, renditions.len());
                renditions.push(Rendition { uri: uri.into(), role: named.role, bandwidth: named.bandwidth });
            }
        }
        Ok(())
    }
}

/// What the attributes of a tag say of a rendition in the given role, or in that of its TYPE, as far as they can be
/// read: blanks in a list are common, and the rendition is there all the same. `None`: it is of another TYPE, or has an
/// attribute that must be understood and is not (§6.3.1).
fn named(list: &str, role: Option<Role>) -> Option<Named<'_>> {
    let (mut uri, mut type_, mut bandwidth) = (None, None, None);
    for (name, value) in Attributes::of(list).map_while(Result::ok) {
        match name {
            "URI" => uri = value.filled(),
            "TYPE" => type_ = value.word(),
            "BANDWIDTH" => bandwidth = value.integer(),
            _ if name.starts_with("REQ-") && !UNDERSTOOD.contains(&name) => return None,
            _ => {}
        }
    }
    Some(Named { uri, role: role.or_else(|| of_type(type_?))?, bandwidth })
}

fn of_type(type_: &str) -> Option<Role> {
    match type_ {
        "AUDIO" => Some(Role::Audio),
        "VIDEO" => Some(Role::Video),
        "SUBTITLES" => Some(Role::Subtitles),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

//! What a purge means: which stored objects it covers, and how. Pure: the cache, its disk and the live edge each ask
//! here for what they hold.
//!
//! Objects are told by their key, and by the tags that their origin gave them. What is public about a key (the path that
//! viewers ask for, the stream) is worked out from the `Space` of a route, so that nothing of it needs to be stored, and
//! a changed configuration is obeyed at once.

use std::borrow::Cow;
use std::fmt;

use http::{HeaderMap, HeaderName};

use super::key::Key;
use crate::rules::uri::{self, PathPattern};

/// Tags as several operators of caches write them: a list with commas.
pub const CACHE_TAG: HeaderName = HeaderName::from_static("cache-tag");
/// Tags as others write them: words.
pub const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");

/// Tags of one object that count; further ones do not.
const TAGS: usize = 128;
/// The longest tag that counts, in octets.
pub const LONGEST_TAG: usize = 1_024;

/// What an object is known by, where something is to be purged.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    /// Its key, with its generation.
    pub key: &'a Key,
    /// The stream that it was stored as a piece of, where whoever holds it noted that.
    pub stream: Option<&'a str>,
    /// What its origin calls it: [`Tag`]s as numbers.
    pub tags: &'a [u64],
    /// When it was received or last confirmed, in seconds since 1970.
    pub stored: u64,
}

/// A tag, as a number that is the same in every process (FNV-1a): two that share one are purged together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(pub u64);

impl Tag {
    /// The tag that is written like this; `None` for nothing, and for what is longer than a tag may be.
    pub fn of(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        let step = |hash: u64, octet: &u8| (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
        let fits = !text.is_empty() && text.len() <= LONGEST_TAG;
        fits.then(|| Self(text.iter().fold(0xcbf2_9ce4_8422_2325, step)))
    }

    /// The tags of a response, in the order in which they stand there, the first of them.
    pub fn all(response: &HeaderMap) -> impl Iterator<Item = Self> {
        let lines = |name: HeaderName, is_end: fn(&u8) -> bool| {
            response.get_all(name).iter().flat_map(move |line| line.as_bytes().split(is_end))
        };
        let words = lines(SURROGATE_KEY, u8::is_ascii_whitespace);
        lines(CACHE_TAG, |octet| *octet == b',').chain(words).filter_map(Self::of).take(TAGS)
    }
}

/// Removes what viewers need not know: by which tags an object is purged.
pub fn strip_tags(response: &mut HeaderMap) {
    response.remove(CACHE_TAG);
    response.remove(SURROGATE_KEY);
}

/// How the public paths of one route look in keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    /// What all its keys begin with: group, scheme, and the authority where it does not depend on the viewer.
    start: String,
    /// Whether the authority is whatever the viewer called the edge.
    host: Host,
    /// The path that every request to the first origin begins with, without a slash at the end.
    base: String,
    /// What public paths begin with, and those of the origin do not.
    strip: String,
    /// The public paths that the route serves.
    paths: PathPattern,
    /// The folder of all of them.
    folder: String,
}

/// Whose authority stands in a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// The origin's: it belongs to the start.
    Origin,
    /// Whatever the viewer called the edge.
    Viewer,
}

impl Space {
    /// The space of a route whose keys all begin with `start`, up to the path or, for [`Host::Viewer`], up to the
    /// authority; `base` and `strip` as [`Space`] says, `paths` as the route has them.
    pub fn new((start, host): (String, Host), (base, strip): (&str, &str), paths: &PathPattern, folder: &str) -> Self {
        Self {
            start,
            host,
            base: base.trim_end_matches('/').to_owned(),
            strip: strip.trim_end_matches('/').to_owned(),
            paths: paths.clone(),
            folder: folder.to_owned(),
        }
    }

    /// Path and query by which viewers ask for an object; `None`: not through this route.
    pub fn public<'k>(&self, key: &'k Key) -> Option<Cow<'k, str>> {
        let rest = key.name().strip_prefix(self.start.as_str())?;
        let target = match self.host {
            Host::Origin => rest,
            Host::Viewer => &rest[rest.find('/')?..],
        };
        let target = target.strip_prefix(self.base.as_str()).filter(|target| target.starts_with('/'))?;
        let public = uri::join(&self.strip, target);
        self.paths.name_in(path(&public))?;
        Some(public)
    }

    /// The stream that a public path of the route belongs to: what stands for the name in its pattern, else the first
    /// folder below it.
    pub fn stream<'p>(&self, public: &'p str) -> &'p str {
        let path = path(public);
        match self.paths.name_in(path) {
            Some("") | None => {
                let below = uri::strip(path, &self.folder).unwrap_or(path).trim_start_matches('/');
                below.split_once('/').map_or("", |(folder, _)| folder)
            }
            Some(name) => name,
        }
    }
}

fn path(target: &str) -> &str {
    target.split('?').next().unwrap_or_default()
}

/// What an operator means, as viewers call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant {
    /// What a viewer would get for this URL, in every variant and generation.
    Url(String),
    /// All whose URL begins like this; a bare path: whatever the host.
    Prefix(String),
    /// All of a stream, by the name that it has in metrics and status.
    Stream(String),
    /// All that its origin tagged like this.
    Tag(String),
    /// Everything.
    All,
}

/// The objects that are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// These objects, in every generation and every variant. Keys are without a generation.
    Objects(Vec<Key>),
    /// All whose public path and query begin like this, in these spaces.
    Prefix(String, Vec<Space>),
    /// All of a stream, in these spaces.
    Stream(String, Vec<Space>),
    /// All that their origin gave this tag.
    Tag(Tag),
    /// Everything.
    All,
}

impl Selector {
    /// Whether it covers an object, whatever its tags: `None` where that depends on them.
    pub fn covers_key(&self, key: &Key) -> Option<bool> {
        match self {
            Self::Objects(keys) => Some(keys.iter().any(|meant| meant.name() == key.name())),
            Self::Prefix(prefix, spaces) => {
                Some(spaces.iter().any(|space| space.public(key).is_some_and(|public| public.starts_with(prefix))))
            }
            Self::Stream(name, spaces) => {
                let is_of = |space: &Space| space.public(key).is_some_and(|public| space.stream(&public) == name);
                Some(spaces.iter().any(is_of))
            }
            Self::Tag(_) => None,
            Self::All => Some(true),
        }
    }

    /// Whether it covers an object.
    pub fn covers(&self, labels: &Labels<'_>) -> bool {
        match self {
            Self::Tag(tag) => labels.tags.contains(&tag.0),
            Self::Stream(name, _) if labels.stream == Some(name) => true,
            _ => self.covers_key(labels.key).unwrap_or(false),
        }
    }

    /// Whether it covers an object whose head has these fields.
    pub fn covers_response(&self, key: &Key, response: &HeaderMap) -> bool {
        match self {
            Self::Tag(tag) => Tag::all(response).any(|other| other == *tag),
            _ => self.covers_key(key).unwrap_or(false),
        }
    }

    /// Whether it may cover a response that is still awaited: what its tags will be is not known.
    pub fn may_cover(&self, key: &Key) -> bool {
        self.covers_key(key).unwrap_or(true)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Objects(_) => f.write_str("url"),
            Self::Prefix(..) => f.write_str("prefix"),
            Self::Stream(..) => f.write_str("stream"),
            Self::Tag(_) => f.write_str("tag"),
            Self::All => f.write_str("all"),
        }
    }
}

/// What becomes of what is covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It goes.
    Hard,
    /// It is stale from now on: sent where its windows allow that (RFC 5861), else validated.
    Soft,
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn pattern(text: &str) -> PathPattern {
        PathPattern::parse(text).unwrap()
    }

    fn space(base: &str, strip: &str, paths: &str) -> Space {
        Space::new(("a,b https://o.example".to_owned(), Host::Origin), (base, strip), &pattern(paths), paths)
    }

    fn key(target: &str) -> Key {
        Key::new("a,b", "https", "o.example", target)
    }

    fn labels<'a>(key: &'a Key, tags: &'a [u64]) -> Labels<'a> {
        Labels { key, stream: None, tags, stored: 0 }
    }

    #[test]
    fn an_object_is_meant_in_every_generation_and_no_other_is() {
        let selector = Selector::Objects(vec![key("/live/a?x=1"), key("/live/b")]);
        for (target, generation, covered) in [
            ("/live/a?x=1", 0, true),
            ("/live/a?x=1", 7, true),
            ("/live/b", 12, true),
            ("/live/a", 0, false),
            ("/live/a?x=12", 0, false),
            ("/live/a?x=1&y", 0, false),
            ("/live/b/", 0, false),
        ] {
            let key = key(target).in_generation(generation);
            assert_eq!(selector.covers(&labels(&key, &[])), covered, "{key}");
            assert_eq!(selector.may_cover(&key), covered, "{key}");
        }
        let other = Key::new("a", "https", "o.example", "/live/b");
        assert!(!selector.covers(&labels(&other, &[])), "another group");
    }

    #[test]
    fn prefixes_and_streams_are_those_that_viewers_write() {
        let plain = space("", "", "/live/{stream}/");
        let moved = space("/base", "/live", "/live/{stream}/");
        let unnamed = space("", "", "/vod/");
        for (space, prefix, target, covered) in [
            (&plain, "/live/one/", "/live/one/a.m3u8?x", true),
            (&plain, "/live/on", "/live/one/a.m3u8", true),
            (&plain, "/live/one/", "/live/oneself/a", false),
            (&plain, "/", "/live/one/a", true),
            (&plain, "/", "/vod/one/a", false),
            (&plain, "/live/one/a?x=", "/live/one/a?x=1", true),
            (&moved, "/live/one/", "/base/one/a", true),
            (&moved, "/live/one/", "/one/a", false),
            (&moved, "/live/one/", "/baseone/a", false),
            (&unnamed, "/vod/x", "/vod/xyz", true),
        ] {
            let selector = Selector::Prefix(prefix.to_owned(), vec![space.clone()]);
            assert_eq!(selector.covers(&labels(&key(target), &[])), covered, "{prefix} {target}");
        }
        for (space, stream, target, covered) in [
            (&plain, "one", "/live/one/v1/a.m4s", true),
            (&plain, "one", "/live/two/one/a.m4s", false),
            (&moved, "one", "/base/one/a", true),
            (&unnamed, "show", "/vod/show/v1/a", true),
            (&unnamed, "show", "/vod/show", false),
            (&unnamed, "v1", "/vod/show/v1/a", false),
        ] {
            let selector = Selector::Stream(stream.to_owned(), vec![space.clone()]);
            for generation in [0, 3] {
                let key = key(target).in_generation(generation);
                assert_eq!(selector.covers(&labels(&key, &[])), covered, "{stream} {target}");
            }
        }
        let elsewhere = key("/elsewhere");
        let noted = Labels { stream: Some("one"), ..labels(&elsewhere, &[]) };
        assert!(Selector::Stream("one".to_owned(), Vec::new()).covers(&noted), "as whoever stored it noted");
    }

    #[test]
    fn what_viewers_called_the_edge_does_not_matter() {
        let start = ("a,b http://".to_owned(), Host::Viewer);
        let space = Space::new(start, ("/base/", ""), &pattern("/live/{stream}/"), "/live/{stream}/");
        let selector = Selector::Stream("one".to_owned(), vec![space]);
        for (host, target, covered) in [
            ("edge:8080", "/base/live/one/a", true),
            ("other.example", "/base/live/one/a", true),
            ("edge", "/live/one/a", false),
            ("edge", "/base/live/two/a", false),
        ] {
            assert_eq!(selector.may_cover(&Key::new("a,b", "http", host, target)), covered, "{host} {target}");
        }
    }

    fn response(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn tags_are_read_in_both_ways_of_writing_them() {
        let headers = response(&[
            ("cache-tag", "one, two words ,,  three"),
            ("cache-tag", "four"),
            ("surrogate-key", "five six\tseven  one"),
        ]);
        let key = key("/x");
        for (tag, covered) in [
            ("one", true),
            ("two words", true),
            (" three ", true),
            ("four", true),
            ("six", true),
            ("seven", true),
            ("two", false),
            ("five six", false),
            ("One", false),
            ("eight", false),
        ] {
            let selector = Selector::Tag(Tag::of(tag.as_bytes()).unwrap());
            assert_eq!(selector.covers_response(&key, &headers), covered, "{tag}");
            let tags: Vec<_> = Tag::all(&headers).map(|tag| tag.0).collect();
            assert_eq!(selector.covers(&labels(&key, &tags)), covered, "{tag}");
            assert!(selector.may_cover(&key), "what is awaited may carry it");
        }
        assert_eq!((Tag::of(b""), Tag::of(b"  "), Tag::of(&[b'x'; LONGEST_TAG + 1])), (None, None, None));
        let mut stripped = headers;
        strip_tags(&mut stripped);
        assert!(stripped.is_empty());
    }

    #[test]
    fn tags_are_numbers_that_outlive_the_process() {
        assert_eq!(Tag::of(b"a"), Some(Tag(0xaf63_dc4c_8601_ec8c)), "FNV-1a as published");
    }

    #[test]
    fn an_origin_cannot_tag_without_end() {
        let many: String = (0..10_000).map(|number| format!("t{number},")).collect();
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_TAG, HeaderValue::try_from(many).unwrap());
        assert_eq!(Tag::all(&headers).count(), TAGS);
    }

    proptest! {
        #[test]
        fn a_purge_of_what_a_viewer_writes_covers_what_the_viewer_gets(
            base in prop_oneof![Just(""), Just("/b"), Just("/live")],
            strip in prop_oneof![Just(""), Just("/live")],
            stream in "[a-c]{1,3}",
            rest in "(/[a-c.]{0,3}){1,3}(\\?[a-c=&]{0,4})?",
            cut in 0..20_usize,
            generation in 0..3_u32,
        ) {
            let space = space(base, strip, "/live/{stream}/");
            let public = format!("/live/{stream}{rest}");
            let asked = format!("{base}{}", public.strip_prefix(strip).unwrap());
            let key = key(&asked).in_generation(generation);
            let seen = space.public(&key);
            prop_assert_eq!(seen.as_deref(), Some(public.as_str()));
            prop_assert!(Selector::Stream(stream, vec![space.clone()]).may_cover(&key));
            let prefix = public[..cut.min(public.len())].to_owned();
            prop_assert!(Selector::Prefix(prefix, vec![space]).may_cover(&key));
            prop_assert!(Selector::All.may_cover(&key));
        }

        #[test]
        fn whatever_an_origin_writes_as_tags_is_read_without_a_panic(text in "[ -~\\t]{0,60}") {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_TAG, HeaderValue::try_from(text.as_str()).unwrap());
            headers.insert(SURROGATE_KEY, HeaderValue::try_from(text.as_str()).unwrap());
            prop_assert!(Tag::all(&headers).count() <= TAGS);
        }
    }
}

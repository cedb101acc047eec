//! What would be asked upstream → `Key`, without anything that names a viewer.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What makes two requests the same object: origin group and the scheme, authority, path and query that would be asked
/// for upstream (HTTP caching, RFC 9111 §2; the viewer's own scheme and host are not in it). Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(Arc<str>);

impl Key {
    /// The key of `scheme://authority/path?query` as fetched through `group`. `target` is canonical (`rules::uri`).
    /// The authority counts in lower case and without the scheme's default port (RFC 9110 §4.2.3).
    pub fn new(group: &str, scheme: &str, authority: &str, target: &str) -> Self {
        let authority = without_default_port(scheme, authority);
        let mut text = String::with_capacity(group.len() + scheme.len() + authority.len() + target.len() + 4);
        text.push_str(group);
        text.push(' ');
        let start = text.len();
        text.push_str(scheme);
        text.push_str("://");
        text.push_str(authority);
        text[start..].make_ascii_lowercase();
        text.push_str(target);
        Self(text.into())
    }

    /// The same name in a later generation of its stream: an origin that restarted may use it for something else.
    #[must_use]
    pub fn in_generation(&self, generation: u32) -> Self {
        if generation == 0 { self.clone() } else { Self(format!("{}#{generation}", self.0).into()) }
    }

    /// The name: the key as text, without a generation.
    pub fn name(&self) -> &str {
        self.0.split('#').next().unwrap_or_default()
    }

    /// Which generation of its stream it is of; 0 for the first, and for all that is not of a stream.
    pub fn generation(&self) -> u32 {
        self.0.split_once('#').and_then(|(_, generation)| generation.parse().ok()).unwrap_or_default()
    }

    /// A key from the text that [`Key::as_str`] gave.
    pub fn written(text: &str) -> Self {
        Self(text.into())
    }

    /// The key as text, for explanations.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Path and query as asked for upstream.
    pub fn target(&self) -> &str {
        let url = self.0.find("://").map_or(0, |at| at + 3);
        self.0[url..].find('/').map_or("", |at| &self.0[url + at..])
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn without_default_port<'a>(scheme: &str, authority: &'a str) -> &'a str {
    let port = match scheme {
        _ if scheme.eq_ignore_ascii_case("http") => ":80",
        _ if scheme.eq_ignore_ascii_case("https") => ":443",
        _ => return authority,
    };
    // A colon alone means the default port too.
    authority.strip_suffix(port).or_else(|| authority.strip_suffix(':')).unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_write_one_origin_share_one_key() {
        let key = |scheme, authority| Key::new("Group", scheme, authority, "/A?B=%2F");
        for (scheme, authority) in
            [("https", "a.example"), ("HTTPS", "A.Example"), ("https", "a.example:443"), ("https", "a.example:")]
        {
            assert_eq!(key(scheme, authority).as_str(), "Group https://a.example/A?B=%2F");
        }
        assert_eq!(key("http", "a.example:80").as_str(), "Group http://a.example/A?B=%2F");
        assert_eq!(key("https", "a.example:80").as_str(), "Group https://a.example:80/A?B=%2F");
        assert_eq!(key("https", "[::1]:443").as_str(), "Group https://[::1]/A?B=%2F");
    }

    #[test]
    fn a_name_stays_the_same_over_generations() {
        let key = Key::new("a", "https", "o", "/p?q");
        assert_eq!((key.in_generation(0).name(), key.in_generation(0).generation()), (key.as_str(), 0));
        assert_eq!((key.in_generation(12).name(), key.in_generation(12).generation()), (key.as_str(), 12));
        assert_ne!(key.in_generation(12), key);
    }

    #[test]
    fn whatever_is_asked_for_tells_objects_apart() {
        let keys = [
            Key::new("a", "https", "o", "/p?q"),
            Key::new("b", "https", "o", "/p?q"),
            Key::new("a", "http", "o", "/p?q"),
            Key::new("a", "https", "x", "/p?q"),
            Key::new("a", "https", "o", "/P?q"),
            Key::new("a", "https", "o", "/p?Q"),
            Key::new("a", "https", "o", "/p?"),
            Key::new("a", "https", "o", "/p"),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert_eq!(keys.iter().position(|other| other == key), Some(index));
        }
        assert_eq!(keys[0].target(), "/p?q");
    }
}

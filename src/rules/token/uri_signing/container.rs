//! What a URI must be (RFC 9246 §2.1.15): one of this hash, or of this pattern. The URI is the whole one that was asked
//! for, scheme and host included, in its normal form (RFC 3986 §6.2.2) and without the token.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::rules::token::pattern::{LONGEST, Pattern};
use crate::rules::token::scope::Asked;
use crate::rules::token::wire;

/// What a URI must be.
#[derive(Clone, Debug, PartialEq)]
pub enum Container {
    /// Have this SHA-256 (RFC 6920 §3).
    Hash([u8; 32]),
    /// Of this pattern, from beginning to end.
    Pattern(Pattern),
}

impl Container {
    /// Reads `hash:sha-256;…` or `regex:…`; drafts and an open implementation write `uri-hash:` and `uri-regex:`. `None`:
    /// it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, value) = text.split_once(':')?;
        match kind {
            "regex" | "uri-regex" => Pattern::read(value).map(Self::Pattern),
            "hash" | "uri-hash" => {
                let hash = URL_SAFE_NO_PAD.decode(value.strip_prefix("sha-256;")?).ok()?;
                hash.try_into().ok().map(Self::Hash)
            }
            _ => None,
        }
    }

    /// Whether the URI that is asked for is that.
    pub fn matches(&self, asked: &Asked<'_>) -> bool {
        let uri = whole(asked);
        match self {
            Self::Hash(hash) => digest::digest(&digest::SHA256, uri.as_bytes()).as_ref() == hash,
            Self::Pattern(pattern) => pattern.matches(&uri),
        }
    }

    /// Writes it.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hash(hash) => {
                out.push(0);
                out.extend_from_slice(hash);
            }
            Self::Pattern(pattern) => {
                out.push(1);
                wire::put_text(out, pattern.text());
            }
        }
    }

    /// Reads what was written.
    pub fn read(input: &mut &[u8]) -> Option<Self> {
        match wire::take_octet(input)? {
            0 => wire::take_octets(input).map(Self::Hash),
            1 => Pattern::unread(wire::take_text(input, LONGEST)?).map(Self::Pattern),
            _ => None,
        }
    }
}

/// The URI that is asked for, in one piece.
fn whole(asked: &Asked<'_>) -> String {
    let mut uri = format!("{}://{}", asked.scheme, asked.host);
    if let Some(port) = asked.port {
        uri.push_str(&format!(":{port}"));
    }
    uri.push_str(asked.path);
    if let Some(query) = asked.query {
        uri.push('?');
        uri.push_str(query);
    }
    uri
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked<'a>(path: &'a str, query: Option<&'a str>, port: Option<u16>) -> Asked<'a> {
        Asked { scheme: "https", host: "live.example.com", port, path, query }
    }

    fn hash(uri: &str) -> Container {
        let hash = digest::digest(&digest::SHA256, uri.as_bytes());
        let text = URL_SAFE_NO_PAD.encode(hash.as_ref());
        Container::parse(&format!("hash:sha-256;{text}")).expect("a container")
    }

    #[test]
    fn a_hash_is_of_the_whole_uri() {
        let container = hash("https://live.example.com/a/b.m3u8");
        assert!(container.matches(&asked("/a/b.m3u8", None, None)));
        assert!(!container.matches(&asked("/a/b.m3u8", Some(""), None)));
        assert!(!container.matches(&asked("/a/b.m3u8", None, Some(8443))));
        assert!(!container.matches(&Asked { scheme: "http", ..asked("/a/b.m3u8", None, None) }));
        assert!(hash("https://live.example.com:8443/a?x=1").matches(&asked("/a", Some("x=1"), Some(8443))));
    }

    #[test]
    fn what_is_no_container_is_none() {
        for text in [
            "",
            "hash:",
            "hash:sha-256",
            "hash:sha-256;",
            "hash:sha-256;AAAA",
            "hash:sha-512;AAAA",
            "regex:",
            "regex",
            "Regex:.*",
            "glob:.*",
            "regex:(",
            ".*",
            "hash:sha-256;AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",
        ] {
            assert_eq!(Container::parse(text), None, "{text}");
        }
        for text in ["regex:.*", "uri-regex:.*", "regex:https://a:80/.*"] {
            assert!(Container::parse(text).is_some(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(hash: [u8; 32], pattern in "[a-z.*/]{1,20}") {
            let pattern = Pattern::read(&pattern).map(Container::Pattern);
            for container in pattern.into_iter().chain([Container::Hash(hash)]) {
                let mut out = Vec::new();
                container.write(&mut out);
                let mut input = &out[..];
                prop_assert_eq!(Container::read(&mut input), Some(container));
                prop_assert!(input.is_empty());
            }
        }
    }
}

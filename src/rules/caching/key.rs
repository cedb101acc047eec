//! What would be asked upstream → `Key`, without anything that names a viewer.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// What makes two requests the same object: origin group and the scheme, authority, path and query that would be asked
/// for upstream (HTTP caching, RFC 9111 §2; the viewer's own scheme and host are not in it). Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key(Arc<str>);

impl Key {
    /// The key of `scheme://authority/path?query` as fetched through `group`.
    pub fn new(group: &str, scheme: &str, authority: &str, target: &str) -> Self {
        Self(format!("{group} {scheme}://{authority}{target}").into())
    }

    /// The key as text, for explanations.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

//! Variable substitution (§4.4.2.3).

use std::borrow::Cow;

use super::playlist::Definition;

/// The variables of a playlist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables(Vec<(Box<str>, Box<str>)>);

impl Variables {
    /// The variables that `definitions` make, in a playlist that was asked for with `query` and belongs to a
    /// multivariant playlist with the variables `imported`. Those that cannot be resolved are left out.
    pub fn of<'d>(
        _definitions: impl IntoIterator<Item = &'d Definition>,
        _query: Option<&str>,
        _imported: &Variables,
    ) -> Self {
        unimplemented!("rewrite")
    }

    /// `uri` with every `{$name}` replaced; `None` where one is not known.
    pub fn replace<'u>(&self, _uri: &'u str) -> Option<Cow<'u, str>> {
        unimplemented!("rewrite")
    }
}

//! What a field of a request must be like (`cath`).

use http::{HeaderMap, HeaderName};

use crate::rules::token::text_match::TextMatch;

/// What a field of the request must be like. Values of several lines are joined by `, ` (RFC 9110 §5.2).
#[derive(Clone, Debug, PartialEq)]
pub struct FieldMatch {
    name: HeaderName,
    expected: TextMatch,
}

impl FieldMatch {
    /// The most of them in a token.
    pub const MOST: usize = 32;

    /// What a field must be like.
    pub const fn new(name: HeaderName, expected: TextMatch) -> Self {
        Self { name, expected }
    }

    /// Whether a request's fields are like that. One that is missing, or is no text, is not.
    pub fn matches(&self, headers: &HeaderMap) -> bool {
        let values: Option<Vec<_>> = headers.get_all(&self.name).iter().map(|value| value.to_str().ok()).collect();
        match values.as_deref() {
            None | Some([]) => false,
            Some([value]) => self.expected.matches(value),
            Some(values) => self.expected.matches(&values.join(", ")),
        }
    }
}

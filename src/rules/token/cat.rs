//! Common Access Tokens (CTA-5007).

/// What a field of the request must be like (`cath`).
#[derive(Clone, Debug, PartialEq)]
pub struct FieldMatch;

/// What a component of the URI must be like (`catu`).
#[derive(Clone, Debug, PartialEq)]
pub struct UriMatch;

/// What to answer where a claim fails (`catif`).
#[derive(Clone, Debug, PartialEq)]
pub struct FailureAnswer;

//! Edge tokens of the form that is usually called `hdnts`: for those who move over.

/// The paths that a token covers.
#[derive(Clone, Debug, PartialEq)]
pub struct Acl;

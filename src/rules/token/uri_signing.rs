//! CDNI URI signing (RFC 9246).

/// What a URI must be (RFC 9246 §2.1.15).
#[derive(Clone, Debug, PartialEq)]
pub struct Container;

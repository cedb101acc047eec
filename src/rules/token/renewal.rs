//! How a token is renewed while it is used (RFC 9246 §3; `catr` of CTA-5007).

/// How a token is renewed.
#[derive(Clone, Debug, PartialEq)]
pub struct Renewal;

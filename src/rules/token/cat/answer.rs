//! What to answer where a claim fails (`catif`): an issuer may send its viewers to a page of its own, and no more. Statuses
//! are of redirects and of the viewer's errors; fields are from a short list, so that a token can set no cookie, lift no
//! rule of the browser and end no message early.

use http::header::{CACHE_CONTROL, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::rules::token::reason::Reason;

use super::label;

/// The fields that an answer may have.
const ALLOWED: [HeaderName; 4] = [LOCATION, WWW_AUTHENTICATE, RETRY_AFTER, CACHE_CONTROL];

/// What to answer where a claim fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureAnswer {
    claim: i128,
    status: StatusCode,
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl FailureAnswer {
    /// The most of them in a token.
    pub const MOST: usize = 16;

    /// An answer for a claim; `None` where the status is none that a token may choose. Fields that it may not choose are
    /// left out.
    pub(super) fn new<'f>(
        claim: i128,
        status: u16,
        fields: impl IntoIterator<Item = (&'f str, &'f str)>,
    ) -> Option<Self> {
        let status = StatusCode::from_u16(status).ok().filter(|status| (300..500).contains(&status.as_u16()))?;
        let allowed = |(name, value): (&str, &str)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok().filter(|name| ALLOWED.contains(name))?;
            let is_safe = name != LOCATION || is_place(value);
            let value = HeaderValue::from_str(value).ok().filter(|_| is_safe)?;
            Some((name, value))
        };
        Some(Self { claim, status, fields: fields.into_iter().filter_map(allowed).collect() })
    }

    /// Whether this is the answer for a rejection.
    pub fn is_for(&self, reason: Reason) -> bool {
        let claims: &[i128] = match reason {
            Reason::IssuerUnknown => &[label::ISS],
            Reason::AudienceMismatch => &[label::AUD],
            Reason::TokenExpired => &[label::EXP],
            Reason::TokenNotYet => &[label::NBF, label::IAT],
            Reason::Replayed => &[label::CATREPLAY],
            Reason::AddressMismatch => &[label::CATNIP],
            Reason::UriOutOfScope => &[label::CATU],
            Reason::MethodRefused => &[label::CATM],
            Reason::AlpnMismatch => &[label::CATALPN],
            // The verdict on fields: no other is told of a token whose claims were all read.
            Reason::ClaimUnknown => &[label::CATH],
            Reason::GeoRefused | Reason::GeoUnknown => &[label::CATGEOISO3166],
            _ => &[],
        };
        claims.contains(&self.claim)
    }

    /// The status: 300 to 499.
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The fields.
    pub fn fields(&self) -> &[(HeaderName, HeaderValue)] {
        &self.fields
    }
}

/// A path of ours, or a URL of the web.
fn is_place(value: &str) -> bool {
    let is_path = value.starts_with('/') && !value.starts_with("//") && !value.starts_with("/\\");
    is_path || value.starts_with("https://") || value.starts_with("http://")
}

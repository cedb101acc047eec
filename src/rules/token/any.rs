//! A token of whatever format: told by how it looks, and by nothing that its bearer could choose to be judged more mildly.
//! A JWT with a claim of URI signing is one of URI signing, also where that is not taken: read as a JWT it would lose its
//! scope.

use std::borrow::Cow;

use aws_lc_rs::digest::{Context, SHA256};

use super::claims::Format;
use super::jwt::Verified;
use super::key::KeySet;
use super::reason::{Reason, Rejection};
use super::scope::Asked;
use super::terms::FormatTerms;
use super::{cat, hdnts, jwt, uri_signing};

/// A token that was taken apart. Nothing of it is verified.
#[derive(Debug)]
pub enum Unverified<'t> {
    /// JSON Web Token.
    Jwt(jwt::Unverified<'t>),
    /// CDNI URI signing.
    UriSigning(uri_signing::Unverified<'t>),
    /// Common Access Token.
    Cat(Box<cat::Unverified>),
    /// Edge token.
    Hdnts(hdnts::Unverified<'t>),
}

impl<'t> Unverified<'t> {
    /// Takes a token apart.
    pub fn read(token: &'t str) -> Result<Self, Rejection> {
        if hdnts::is_of(token) {
            return hdnts::Unverified::read(token).map(Self::Hdnts);
        }
        if is_cbor(token) {
            return cat::Unverified::read(token).map(|token| Self::Cat(Box::new(token)));
        }
        let token = jwt::Unverified::read(token)?;
        Ok(match uri_signing::Unverified::is_of(&token) {
            true => Self::UriSigning(uri_signing::Unverified::of(token)),
            false => Self::Jwt(token),
        })
    }

    /// Its format.
    pub const fn format(&self) -> Format {
        match self {
            Self::Jwt(_) => Format::Jwt,
            Self::UriSigning(_) => Format::UriSigning,
            Self::Cat(_) => Format::Cat,
            Self::Hdnts(_) => Format::Hdnts,
        }
    }

    /// The issuer that it names, for finding its keys in a fixed table and for nothing else.
    pub fn issuer(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Jwt(token) => token.issuer().map(Into::into),
            Self::UriSigning(token) => token.issuer().map(Into::into),
            Self::Cat(token) => token.issuer().map(|issuer| issuer.into_string().into()),
            Self::Hdnts(_) => None,
        }
    }

    /// The identifier of the key that it names, likewise.
    pub fn kid(&self) -> Option<&str> {
        match self {
            Self::Jwt(token) => token.kid(),
            Self::UriSigning(token) => token.kid(),
            Self::Cat(token) => token.kid(),
            Self::Hdnts(_) => None,
        }
    }

    /// SHA-256 of what is signed: what a token without an identifier is known by. The octets of the whole will not do, for
    /// its bearer can change those: ECDSA has two signatures for one message, and COSE a header that nobody signs.
    pub fn print(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        match self {
            Self::Jwt(token) => context.update(token.signed().as_bytes()),
            Self::UriSigning(token) => context.update(token.signed().as_bytes()),
            Self::Cat(token) => context.update(token.payload()),
            Self::Hdnts(token) => token.signed().for_each(|part| context.update(part)),
        }
        context.finish().as_ref().try_into().expect("SHA-256 has 32 octets")
    }

    /// Its claims, if one of `keys` has signed it and its format is taken. `asked` is for edge tokens of one URL, which do
    /// not name it.
    pub fn verify<'k>(
        &self,
        keys: &'k KeySet,
        terms: &FormatTerms,
        asked: &Asked<'_>,
    ) -> Result<Verified<'k>, Rejection> {
        if !terms.takes(self.format()) {
            return Err(Rejection::new(Reason::TokenMalformed, "tokens of this format are not accepted here"));
        }
        match self {
            Self::Jwt(token) => token.verify(keys, &terms.jwt),
            Self::UriSigning(token) => token.verify(keys, &terms.jwt),
            Self::Cat(token) => token.verify(keys, terms),
            Self::Hdnts(token) => token.verify(keys, &terms.hdnts, asked),
        }
    }
}

/// Whether a text without dots begins as base64url of tags 61, 17 or 18 does.
fn is_cbor(token: &str) -> bool {
    !token.contains('.') && (token.starts_with("2D") || token.starts_with('0'))
}

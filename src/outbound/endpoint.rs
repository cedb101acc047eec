//! A URL that is asked or told something now and then: how to come to it, and whether that is still the same.

use std::path::Path;
use std::sync::Arc;

use http::Uri;

use super::addresses::{Addresses, System};
use super::dial::Dial;
use super::tls::{Material, TlsClient, TlsSetupError};

/// The files and the name of TLS towards a URL.
#[derive(Clone, Copy, Debug, Default)]
pub struct Proofs<'a> {
    /// Authorities; `None`: the system's.
    pub ca: Option<&'a Path>,
    /// A client's chain and key.
    pub client: Option<(&'a Path, &'a Path)>,
    /// The name in SNI and verification; `None`: the URL's host.
    pub name: Option<&'a str>,
}

/// How to come to a URL.
#[derive(Clone)]
pub struct Endpoint {
    /// Connects to it.
    pub dial: Dial,
    /// What its files hold: a reload that finds the same need change nothing.
    pub material: Material,
}

impl Endpoint {
    /// Of an absolute `http` or `https` URL.
    ///
    /// # Errors
    /// Where TLS towards it cannot be set up.
    pub fn new(url: &Uri, proofs: Proofs<'_>) -> Result<Self, TlsSetupError> {
        let material = Material::read(proofs.ca, proofs.client)?;
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
        let is_tls = url.scheme_str() == Some("https");
        let tls = is_tls.then(|| TlsClient::new(&material, proofs.name.unwrap_or(host))).transpose()?;
        let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Ok(Self { dial: Dial { addresses: Addresses::new(host, port, Arc::new(System)), tls }, material })
    }
}

/// A lot for a pause. Without randomness it is the shortest pause; that is no reason to stop.
pub fn lot() -> u16 {
    let mut octets = [0; 2];
    _ = aws_lc_rs::rand::fill(&mut octets);
    u16::from_be_bytes(octets)
}

//! A JWK set at its issuer: one conditional fetch of it (RFC 7517, RFC 9110 §13.1.2).
//!
//! Only what the configuration names is asked. A redirect may lead to another path of the same host, nowhere else: whoever
//! answers decides who may watch.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, ETAG, IF_NONE_MATCH, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};

use crate::clock::Clock;
use crate::config::OriginTls;
use crate::outbound::addresses::{Addresses, System};
use crate::outbound::dial::Dial;
use crate::outbound::exchange::{Bounds, ExchangeError, exchange};
use crate::outbound::link::Driver;
use crate::outbound::tls::{Material, TlsClient, TlsSetupError};
use crate::rules::caching::control::Control;
use crate::rules::token::Algorithm;
use crate::rules::token::jwk::{self, LARGEST_SET};
use crate::rules::token::key::{BadKey, KeySet};
use crate::tasks::Tasks;

/// For one fetch, with its redirects.
pub const PATIENCE: Duration = Duration::from_secs(5);
const MOST_REDIRECTS: usize = 3;

/// Where a set is.
pub struct Jwks {
    url: Uri,
    dial: Dial,
    material: Material,
}

/// What a fetch brought.
#[derive(Debug)]
pub enum Fetched {
    /// The set is the one that is known.
    Same {
        /// How long its issuer says that it holds.
        max_age: Option<Duration>,
    },
    /// Another one, or the first.
    New {
        /// Its keys; at least one.
        keys: KeySet,
        /// What tells it from others.
        etag: Option<HeaderValue>,
        /// How long its issuer says that it holds.
        max_age: Option<Duration>,
    },
}

/// Why there is no set.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No whole answer.
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
    /// The answer has another status.
    #[error("the issuer answers {0}")]
    Status(StatusCode),
    /// It redirects to another host, or in circles.
    #[error("the issuer redirects to another host, or too often: name the place itself")]
    Elsewhere,
    /// What it answers is no set of keys that can be used.
    #[error("{0}")]
    Keys(#[from] BadKey),
    /// There are no keys in it that verify signatures.
    #[error("no key of the set verifies signatures here")]
    Empty,
}

impl FetchError {
    /// Whether a person has to act at once: whoever can read the set can sign tokens.
    pub fn is_leak(&self) -> bool {
        matches!(self, Self::Keys(BadKey::Private))
    }
}

impl Jwks {
    /// Prepares TLS towards it.
    ///
    /// # Errors
    /// What is wrong with the authorities, or the certificate.
    pub fn new(url: &Uri, tls: &OriginTls) -> Result<Self, TlsSetupError> {
        let client = tls.client.as_ref().map(|pair| (pair.cert.as_path(), pair.key.as_path()));
        let material = Material::read(tls.ca.as_deref(), client)?;
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
        let is_tls = url.scheme_str() == Some("https");
        let name = tls.sni.as_deref().unwrap_or(host);
        let client = is_tls.then(|| TlsClient::new(&material, name)).transpose()?;
        let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let addresses = Addresses::new(host, port, Arc::new(System));
        Ok(Self { url: url.clone(), dial: Dial { addresses, tls: client }, material })
    }

    /// Whether both would ask the same in the same way.
    pub fn is_as(&self, other: &Self) -> bool {
        self.url == other.url && self.material == other.material
    }

    /// Fetches the set; `known`: what tells the one that is known from others.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn fetch(
        &self,
        known: Option<&HeaderValue>,
        algorithms: &[Algorithm],
        (clock, tasks): (&Clock, &Tasks),
    ) -> Result<Fetched, FetchError> {
        let bounds = Bounds { deadline: clock.now() + PATIENCE, answer: LARGEST_SET };
        let mut url = self.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let driver = Driver { clock, tasks };
            let answered = exchange(&self.dial, driver, request(&url, known), bounds).await?;
            let max_age = Control::of(&answered.headers, &[]).max_age;
            match answered.status {
                StatusCode::OK => {
                    let keys = public(jwk::read_set(&answered.body, algorithms)?)?;
                    return Ok(Fetched::New { keys, etag: answered.headers.get(ETAG).cloned(), max_age });
                }
                StatusCode::NOT_MODIFIED if known.is_some() => return Ok(Fetched::Same { max_age }),
                status if status.is_redirection() => url = self.redirected(&answered.headers)?,
                status => return Err(FetchError::Status(status)),
            }
        }
        Err(FetchError::Elsewhere)
    }

    /// Where a redirect leads on this host.
    fn redirected(&self, headers: &HeaderMap) -> Result<Uri, FetchError> {
        let location =
            headers.get(LOCATION).and_then(|location| location.to_str().ok()).ok_or(FetchError::Elsewhere)?;
        let uri = location.parse::<Uri>().map_err(|_| FetchError::Elsewhere)?;
        if location.starts_with("//") {
            return Err(FetchError::Elsewhere);
        }
        match (uri.scheme(), uri.authority()) {
            (None, None) if location.starts_with('/') => {
                let mut parts = self.url.clone().into_parts();
                parts.path_and_query = uri.path_and_query().cloned();
                Uri::from_parts(parts).map_err(|_| FetchError::Elsewhere)
            }
            (scheme, authority) if scheme == self.url.scheme() && authority == self.url.authority() => Ok(uri),
            _ => Err(FetchError::Elsewhere),
        }
    }
}

/// A shared secret in a public place is none, like a private key (RFC 7517 §9.2).
fn public(keys: KeySet) -> Result<KeySet, FetchError> {
    if keys.keys().iter().any(|key| key.secret().is_some()) {
        return Err(BadKey::Private.into());
    }
    if keys.is_empty() { Err(FetchError::Empty) } else { Ok(keys) }
}

fn request(url: &Uri, known: Option<&HeaderValue>) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = url.clone();
    let headers = request.headers_mut();
    headers.insert(ACCEPT, HeaderValue::from_static("application/jwk-set+json, application/json"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("weir/", env!("CARGO_PKG_VERSION"))));
    if let Some(etag) = known {
        headers.insert(IF_NONE_MATCH, etag.clone());
    }
    request
}

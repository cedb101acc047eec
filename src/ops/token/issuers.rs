//! Who may have issued a token that is checked, and with what keys: from a configuration, or from the command line.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Full;
use rustls_pki_types::ServerName;

use super::super::wire::{self, Host, Peer};
use super::{CheckArguments, TokenError, read};
use crate::clock::Clock;
use crate::config::access::{Access, Issuer, KeySource};
use crate::config::{Config, OriginTls};
use crate::rules::token::any::Unverified;
use crate::rules::token::scope::Asked;
use crate::rules::token::steps::Checked;
use crate::rules::token::terms::FormatTerms;
use crate::rules::token::verdict::Terms;
use crate::rules::token::{Format, KeySet, Reason, Rejection, jwk};

/// How far clocks may be apart, where no configuration says so.
const LEEWAY: Duration = Duration::from_secs(5);
/// A set of keys comes within this, or not at all.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is taken where no configuration says so.
const FORMATS: [Format; 4] = [Format::Jwt, Format::UriSigning, Format::Cat, Format::Hdnts];

/// Everybody whose tokens count.
pub(super) struct Issuers {
    known: Vec<Known>,
    leeway: Duration,
}

/// One of them.
struct Known {
    name: Option<Box<str>>,
    audience: Option<String>,
    max_lifetime: Option<Duration>,
    keys: KeySet,
    formats: FormatTerms,
}

/// What became of a token, and whose terms it is judged by.
pub(super) struct Judged<'i> {
    pub(super) checked: Checked,
    issuer: Option<&'i Known>,
    leeway: Duration,
}

impl Judged<'_> {
    pub(super) fn terms(&self) -> Terms<'_> {
        Terms {
            issuers: self.issuer.and_then(|issuer| issuer.name.as_ref()).map_or(&[], std::slice::from_ref),
            audience: self.issuer.and_then(|issuer| issuer.audience.as_deref()),
            leeway: self.leeway,
            max_lifetime: self.issuer.and_then(|issuer| issuer.max_lifetime),
        }
    }
}

impl Issuers {
    pub(super) async fn of(arguments: &CheckArguments, clock: &Clock) -> Result<Self, TokenError> {
        match &arguments.config {
            Some(config) => Self::configured(config, arguments.access.as_deref(), clock).await,
            None => Self::typed(arguments),
        }
    }

    fn typed(arguments: &CheckArguments) -> Result<Self, TokenError> {
        let (file, keys) = if let Some(file) = &arguments.jwks_file {
            (file, jwk::read_set(&read(file)?, &[]))
        } else if let Some(file) = &arguments.public_key_file {
            (file, jwk::read_pem(&read(file)?, None, &[]))
        } else {
            let file = arguments.hmac_secret_file.as_ref().expect("clap asks for one of them");
            (file, jwk::read_secret(read(file)?.trim_ascii(), None, &[]).and_then(|key| KeySet::of([key])))
        };
        let keys = keys.map_err(|source| TokenError::Keys { file: file.clone(), source })?;
        let known = Known {
            name: arguments.issuer.as_deref().map(Into::into),
            audience: arguments.audience.clone(),
            max_lifetime: None,
            keys,
            formats: FormatTerms { formats: FORMATS.to_vec(), ..FormatTerms::default() },
        };
        Ok(Self { known: vec![known], leeway: LEEWAY })
    }

    async fn configured(config: &Path, access: Option<&str>, clock: &Clock) -> Result<Self, TokenError> {
        let (config, _) = Config::load(config)?;
        let access = chosen(&config.accesses, access)?;
        let mut known = Vec::with_capacity(access.issuers.len());
        for issuer in &access.issuers {
            known.push(Known {
                name: issuer.issuer.as_deref().map(Into::into),
                audience: issuer.audience.clone(),
                max_lifetime: issuer.max_lifetime,
                keys: keys(&access.name, issuer, clock).await?,
                formats: issuer.terms(),
            });
        }
        Ok(Self { known, leeway: access.leeway })
    }

    /// Asks each issuer whom the token may belong to; the first that has signed it counts.
    pub(super) fn judge(&self, token: &str, asked: &Asked<'_>) -> Judged<'_> {
        let of = |checked, issuer| Judged { checked, issuer, leeway: self.leeway };
        let token = match Unverified::read(token) {
            Ok(token) => token,
            Err(rejection) => return of(Checked::Unreadable(rejection), None),
        };
        let named = token.issuer();
        let candidates = self.known.iter().filter(|known| match (&known.name, &named) {
            (Some(known), Some(named)) => **known == **named,
            (Some(_), None) => self.known.len() == 1,
            (None, _) => true,
        });
        let unknown = Rejection::new(Reason::IssuerUnknown, "iss is not an issuer that is configured here");
        let mut last = of(Checked::Refused(unknown), None);
        for issuer in candidates {
            match token.verify(&issuer.keys, &issuer.formats, asked) {
                Ok(verified) => return of(Checked::Verified(Box::new(verified.claims)), Some(issuer)),
                Err(rejection) => last = of(Checked::Refused(rejection), Some(issuer)),
            }
        }
        last
    }
}

fn chosen<'a>(accesses: &'a [Access], name: Option<&str>) -> Result<&'a Access, TokenError> {
    let names = || accesses.iter().map(|access| format!("`{}`", access.name)).collect::<Vec<_>>().join(", ");
    match (name, accesses) {
        (_, []) => Err(TokenError::Access("the configuration has no [access.NAME]: nothing is gated".to_owned())),
        (None, [only]) => Ok(only),
        (None, _) => Err(TokenError::Access(format!("--access does not say which one: there are {}", names()))),
        (Some(name), _) => accesses.iter().find(|access| access.name == name).ok_or_else(|| {
            TokenError::Access(format!("there is no access `{name}` in the configuration, but {}", names()))
        }),
    }
}

async fn keys(access: &str, issuer: &Issuer, clock: &Clock) -> Result<KeySet, TokenError> {
    match &issuer.keys {
        KeySource::Kept(kept) => {
            let read = kept.read(&issuer.algorithms);
            read.map_err(|(_, source)| TokenError::Kept { access: access.to_owned(), source })
        }
        KeySource::Jwks { url, tls } => {
            let set = fetch(url, tls, clock).await?;
            jwk::read_set(&set, &issuer.algorithms).map_err(|error| TokenError::fetch(url, error))
        }
    }
}

/// A set of keys, from where the configuration says.
async fn fetch(url: &Uri, tls: &OriginTls, clock: &Clock) -> Result<Bytes, TokenError> {
    let authority = url.authority().expect("a configuration is checked for that");
    let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let is_secure = url.scheme_str() == Some("https");
    let port = authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    let host = Host { name: name.clone(), port };
    let peer = if is_secure {
        let config = wire::trust(tls.ca.as_ref()).map_err(|error| TokenError::fetch(url, error))?;
        let name = tls.sni.clone().unwrap_or(name);
        let name = ServerName::try_from(name).map_err(|error| TokenError::fetch(url, error))?;
        Peer::Tls { host, name, config }
    } else {
        Peer::Tcp(host)
    };
    let target = url.path_and_query().map_or("/", |target| target.as_str());
    let request = Request::builder()
        .method(Method::GET)
        .uri(target)
        .header(HOST, authority.as_str())
        .header(USER_AGENT, concat!("weir/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "application/json")
        .body(Full::default())
        .expect("a URL's parts are a request's");
    let answer = wire::ask(&peer, request, clock, PATIENCE).await.map_err(|error| TokenError::fetch(url, error))?;
    match answer.status {
        StatusCode::OK => Ok(answer.body),
        status => Err(TokenError::fetch(url, format!("the answer is {status}"))),
    }
}

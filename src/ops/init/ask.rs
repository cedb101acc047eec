//! One question to an origin, and who is asked.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, COOKIE, HOST, ORIGIN, SET_COOKIE, USER_AGENT};
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::Full;
use rustls_pki_types::ServerName;

use super::super::wire::{self, AskError, Host, Peer, TrustError};
use crate::clock::Clock;

/// What an origin takes for an answer is longer only where it is in trouble.
const PATIENCE: Duration = Duration::from_secs(10);
/// A page that stands for all players'.
const PLAYER: &str = "https://player.example";

/// An origin as it was named: where it is, and what is asked for first.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) scheme: &'static str,
    /// Host and port as typed.
    pub(super) authority: String,
    /// Path and query.
    pub(super) target: String,
    ca: Option<PathBuf>,
    peer: Peer,
}

/// Why nothing can be asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoSite {
    #[error("`{0}` is no origin: write --origin https://HOST[:PORT]/PATH, best the URL of a playlist")]
    Url(String),
    #[error(transparent)]
    Trust(#[from] TrustError),
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Said {
    /// A field as text; empty where it is absent.
    pub(super) fn field(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap_or_default()
    }

    /// The cookies that it gives, as they are sent back.
    pub(super) fn cookies(&self) -> Option<String> {
        let pairs = self.headers.get_all(SET_COOKIE).iter().filter_map(|field| field.to_str().ok()?.split(';').next());
        let pairs: Vec<_> = pairs.map(str::trim).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

impl Site {
    /// Reads a URL; TLS trusts the authorities in `ca`, else the system's.
    pub(super) fn parse(url: &str, ca: Option<&PathBuf>) -> Result<Self, NoSite> {
        let bad = || NoSite::Url(url.to_owned());
        let uri: Uri = url.split('#').next().unwrap_or_default().parse().map_err(|_| bad())?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(bad)?;
        let (scheme, port) = match uri.scheme_str() {
            Some("http") => ("http", 80),
            Some("https") => ("https", 443),
            Some(_) | None => return Err(bad()),
        };
        let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let host = Host { name: name.clone(), port: authority.port_u16().unwrap_or(port) };
        let peer = match scheme {
            "http" => Peer::Tcp(host),
            _ => {
                let config = wire::trust(ca)?;
                Peer::Tls { host, name: ServerName::try_from(name).map_err(|_| bad())?, config }
            }
        };
        let target = uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        Ok(Self { scheme, authority: authority.as_str().to_ascii_lowercase(), target, ca: ca.cloned(), peer })
    }

    /// Where an absolute URL leads from here; `None`: it is none.
    pub(super) fn moved(&self, url: &str) -> Option<Self> {
        let url = if url.starts_with("//") { format!("{}:{url}", self.scheme) } else { url.to_owned() };
        Self::parse(&url, self.ca.as_ref()).ok()
    }

    /// Another path and query of the same.
    pub(super) fn at(&self, target: String) -> Self {
        Self { target, ..self.clone() }
    }

    /// Its URL without a path.
    pub(super) fn base(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// Its path without a query.
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Asks for a path and query, as a page of another site would.
    pub(super) async fn ask(&self, target: &str, cookies: Option<&str>, clock: &Clock) -> Result<Said, AskError> {
        let mut request = Request::get(target)
            .header(HOST, &self.authority)
            .header(USER_AGENT, "weir-init")
            .header(ACCEPT, "*/*")
            .header(ORIGIN, PLAYER);
        if let Some(cookies) = cookies {
            request = request.header(COOKIE, cookies);
        }
        let request = request.body(Full::default()).expect("the target was read from a URL, cookies from fields");
        let answer = wire::ask(&self.peer, request, clock, PATIENCE).await?;
        Ok(Said { status: answer.status, headers: answer.headers, body: answer.body })
    }

    /// Whether it agrees on HTTP/2 over TLS.
    pub(super) async fn speaks_h2(&self, clock: &Clock) -> bool {
        let Peer::Tls { host, name, config } = &self.peer else { return false };
        let mut offering = (**config).clone();
        offering.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        tokio::select! {
            agreed = wire::agreed(host, name, Arc::new(offering)) => agreed.as_deref() == Some(b"h2"),
            () = clock.sleep(PATIENCE) => false,
        }
    }
}

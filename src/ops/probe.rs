//! `weir check --probe`: each origin is asked once for its base path, and what comes back is told.

use std::path::PathBuf;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{Method, Request};
use http_body_util::Full;
use rustls_pki_types::ServerName;
use serde::Serialize;

use super::summary::url;
use super::wire::{self, Host, Peer};
use crate::clock::Clock;
use crate::config::{HostHeader, Origin, OriginScheme};

/// What an origin answered.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Probe {
    /// The origin's name.
    origin: String,
    /// What was asked for.
    url: String,
    /// The status of its answer.
    status: Option<u16>,
    /// Why there is none.
    error: Option<String>,
}

impl Probe {
    /// Whether the origin answered at all: what its base path is worth only a viewer's path can tell.
    pub(super) fn is_good(&self) -> bool {
        self.status.is_some_and(|status| status < 500)
    }

    /// The same, in a sentence.
    pub(super) fn sentence(&self) -> String {
        let Self { origin, url, status, error } = self;
        match (status, error) {
            (Some(status), _) if self.is_good() => format!("Origin `{origin}` answers: {status} for {url}."),
            (Some(status), _) => format!("Origin `{origin}` is in trouble: {status} for {url}."),
            (None, error) => {
                let error = error.as_deref().unwrap_or("no answer");
                format!("Origin `{origin}` does not answer at {url}: {error}.")
            }
        }
    }
}

/// Asks an origin with HEAD, within the deadlines that the node would give it.
pub(super) async fn probe(origin: &Origin, clock: &Clock) -> Probe {
    let url = url(origin) + "/";
    let answer = match question(origin, &url) {
        Ok((peer, request)) => {
            let answer = wire::ask(&peer, request, clock, origin.connect + origin.first_byte).await;
            answer.map(|answer| answer.status.as_u16()).map_err(|error| error.to_string())
        }
        Err(error) => Err(error),
    };
    Probe { origin: origin.name.clone(), url, status: answer.as_ref().ok().copied(), error: answer.err() }
}

fn question(origin: &Origin, url: &str) -> Result<(Peer, Request<Full<Bytes>>), String> {
    let host = Host { name: origin.host.clone(), port: origin.port };
    let peer = match origin.scheme {
        OriginScheme::Http => Peer::Tcp(host),
        OriginScheme::Https => {
            let ca: Option<&PathBuf> = origin.tls.ca.as_ref();
            let config = wire::trust(ca).map_err(|error| error.to_string())?;
            let name = origin.tls.sni.clone().unwrap_or_else(|| origin.host.clone());
            let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
            Peer::Tls { host, name, config }
        }
    };
    let authority = match &origin.host_header {
        HostHeader::Name(name) => name.as_str(),
        HostHeader::Origin | HostHeader::Viewer => {
            url.split_once("://").and_then(|(_, rest)| rest.split('/').next()).unwrap_or_default()
        }
    };
    let mut request = Request::builder().method(Method::HEAD).uri(format!("{}/", origin.base_path));
    for (name, value) in &origin.set_headers {
        request = request.header(name, value);
    }
    let request = request.header(HOST, authority).header(USER_AGENT, "weir-check").body(Full::default());
    Ok((peer, request.map_err(|error| error.to_string())?))
}

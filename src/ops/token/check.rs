//! `weir token check`: what a node makes of a token, step by step.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderMap, Uri};

use super::issuers::{Issuers, Judged};
use super::told::Told;
use super::{CheckArguments, Outcome, TokenError, given, now};
use crate::clock::Clock;
use crate::rules::token::carrier::{self, Kind};
use crate::rules::token::scope::{Asked, comparable_query};
use crate::rules::token::steps::{self, Checked, Skew, Step};
use crate::rules::token::verdict::Facts;
use crate::rules::token::{Claims, Reason, Rejection};
use crate::rules::uri::{Strictness, Target};

pub(super) async fn run(arguments: &CheckArguments, clock: &Clock, out: &mut dyn Write) -> Result<Outcome, TokenError> {
    let text = given(arguments.token.as_deref(), arguments.token_file.as_deref()).map_err(TokenError::Given)?;
    let (token, carried) = within_url(&text)?;
    let url = match (&arguments.url, carried) {
        (Some(url), _) => Some(Request::of(url)?),
        (None, carried) => carried,
    };
    let issuers = Issuers::of(arguments, clock).await?;
    let judged = issuers.judge(&token, &asked(url.as_ref()));
    let now = now(arguments.at, clock);
    let steps = taken(arguments, &judged, url.as_ref(), now);
    let claims = if let Checked::Verified(claims) = &judged.checked { Some(&**claims) } else { None };
    let skew = claims.map(|claims| Skew::of(claims, now)).unwrap_or_default();
    let told = Told { token: &token, steps: &steps, claims, skew, now };
    match arguments.json {
        true => writeln!(out, "{}", serde_json::to_string_pretty(&told.facts()).expect("facts are JSON"))?,
        false => write!(out, "{}", told.text())?,
    }
    Ok(if told.failure().is_none() { Outcome::Good } else { Outcome::Finding })
}

/// What is asked for with a token, canonical.
struct Request {
    scheme: String,
    host: String,
    port: Option<u16>,
    path: Result<String, Rejection>,
    query: Option<String>,
}

impl Request {
    fn of(text: &str) -> Result<Self, TokenError> {
        let uri: Uri = text.parse().map_err(|_| TokenError::Url(text.to_owned()))?;
        let (Some(scheme @ ("http" | "https")), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(TokenError::Url(text.to_owned()));
        };
        let whole = carrier::in_path(uri.path()).map_or_else(|| uri.path().to_owned(), |parted| parted.whole());
        // As a node takes it on a gated route: what could be read in two ways is refused.
        let path = Target::canonical(&whole, None, Strictness::Strict).map(|target| target.path.into_owned());
        let port = uri.port_u16().filter(|port| *port != if scheme == "https" { 443 } else { 80 });
        Ok(Self {
            scheme: scheme.to_owned(),
            host: host.to_ascii_lowercase().trim_end_matches('.').to_owned(),
            port,
            path: path.map_err(|_| NOT_CANONICAL),
            query: uri.query().and_then(|query| comparable_query(query, |_| false)).map(Into::into),
        })
    }
}

const NOT_CANONICAL: Rejection =
    Rejection::new(Reason::UriNotCanonical, "the URI can be read in more than one way: write it plainly");

/// The token that a URL carries, and what the URL asks for without it; else the text itself.
fn within_url(text: &str) -> Result<(String, Option<Request>), TokenError> {
    let is_url = text.starts_with("http://") || text.starts_with("https://");
    let parted = if is_url { carrier::in_path(text) } else { None };
    match parted {
        Some(parted) if parted.credential.kind == Kind::Session => Err(TokenError::Session),
        Some(parted) => Ok((parted.credential.text.to_string(), Some(Request::of(text)?))),
        None => Ok((text.to_owned(), None)),
    }
}

/// Each step, and what came of it. What is not known of the request is not asked.
fn taken(arguments: &CheckArguments, judged: &Judged<'_>, request: Option<&Request>, now: u64) -> Vec<Step> {
    let terms = judged.terms();
    let Some(request) = request else { return steps::steps(&judged.checked, &terms, None, now) };
    if let Err(rejection) = &request.path {
        return refused(steps::steps(&judged.checked, &terms, None, now), *rejection);
    }
    let headers = HeaderMap::new();
    let facts = Facts {
        asked: asked(Some(request)),
        method: &arguments.method,
        address: arguments.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        alpn: None,
        country: arguments.country.as_deref(),
        headers: &headers,
    };
    let Checked::Verified(claims) = &judged.checked else {
        return steps::steps(&judged.checked, &terms, Some(&facts), now);
    };
    let (claims, unknown) = without_unknown(arguments, claims);
    let mut steps = steps::steps(&Checked::Verified(Box::new(claims)), &terms, Some(&facts), now);
    for step in &mut steps {
        if step.outcome == steps::Outcome::Holds && unknown.contains(&step.name) {
            step.outcome = steps::Outcome::NotAsked;
        }
    }
    steps
}

/// What is asked for, canonical; nothing in particular where nothing is said.
fn asked(request: Option<&Request>) -> Asked<'_> {
    match request {
        Some(Request { scheme, host, port, path, query }) => {
            let path = path.as_deref().unwrap_or("/");
            Asked { scheme, host, port: *port, path, query: query.as_deref() }
        }
        None => Asked { scheme: "https", host: "", port: None, path: "/", query: None },
    }
}

/// The claims without those about facts that the command line does not say, and the names of the steps that judge these.
fn without_unknown(arguments: &CheckArguments, claims: &Claims) -> (Claims, Vec<&'static str>) {
    let mut claims = claims.clone();
    let mut unknown = Vec::new();
    if arguments.address.is_none() && claims.networks.take().is_some() {
        unknown.push("address");
    }
    if claims.alpn.take().is_some() {
        unknown.push("protocol");
    }
    if arguments.country.is_none() && claims.countries.take().is_some() {
        unknown.push("country");
    }
    if !std::mem::take(&mut claims.fields).is_empty() {
        unknown.push("fields");
    }
    (claims, unknown)
}

/// A request that no node takes fails on its URI, where nothing has failed before.
fn refused(mut steps: Vec<Step>, rejection: Rejection) -> Vec<Step> {
    let has_failed = steps.iter().any(|step| matches!(step.outcome, steps::Outcome::Fails(_)));
    for step in steps.iter_mut().filter(|step| step.outcome == steps::Outcome::NotAsked && !has_failed) {
        step.outcome = if step.name == "uri" { steps::Outcome::Fails(rejection) } else { steps::Outcome::NotReached };
    }
    steps
}

//! The admin API from outside: `explain`, `status`, `reload`, `warm`, `purge`, `origin`, `drain`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::Full;
use rustls_pki_types::ServerName;
use serde::de::DeserializeOwned;

use super::answers::{Purged, Refused, Reload, Status, Warmed};
use super::explained::Explanation;
use super::wire::{self, Answer, AskError, Host, Peer, TrustError};
use super::{
    DrainArguments, ExplainArguments, NodeArguments, OriginAction, OriginArguments, Outcome, PurgeArguments,
    WarmArguments,
};
use crate::clock::Clock;
use crate::config::{Address, Config, Problems, value};

/// A node reads its configuration and answers well within this.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often `drain --by` looks.
const LOOK: Duration = Duration::from_secs(1);
/// What a node may take beyond `--by` to end its last connections.
const GRACE: Duration = Duration::from_secs(10);

/// Why a node was not asked, or did not do it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("`{0}` is no admin address; write http://127.0.0.1:9180, https://HOST:PORT or unix:PATH")]
    Address(String),
    #[error("--admin does not say which node, and neither does the configuration:\n{0}")]
    Config(#[from] Problems),
    #[error("{} has no admin API (`admin = false`); name another node with --admin", .0.display())]
    Off(PathBuf),
    #[error("the admin socket `{0}` is inherited, so its address is not known here; name it with --admin")]
    Inherited(String),
    #[error("{} cannot be used as a token: {why}", file.display())]
    Token { file: PathBuf, why: String },
    #[error("the viewer's token cannot be used: {0}")]
    ViewerToken(String),
    #[error(transparent)]
    Trust(#[from] TrustError),
    #[error("the node at {address} cannot be asked: {source}")]
    Ask { address: String, source: AskError },
    #[error("the node at {address} refused with {status}{why}")]
    Refused { address: String, status: StatusCode, why: String },
    #[error("the node at {address} gave an answer that is not understood: {source}")]
    Answer { address: String, source: serde_json::Error },
}

impl ClientError {
    /// Wrong use, where the command line can mend it; else a finding.
    fn outcome(&self) -> Outcome {
        match self {
            Self::Ask { .. } | Self::Refused { .. } | Self::Answer { .. } => Outcome::Finding,
            _ => Outcome::WrongUse,
        }
    }
}

/// A node's admin API.
pub(super) struct Node<'a> {
    /// As it was named.
    address: String,
    peer: Peer,
    authority: String,
    token: Option<HeaderValue>,
    /// The token of a viewer whose request is explained. It goes in a field: URLs are written down.
    viewer_token: Option<HeaderValue>,
    clock: &'a Clock,
}

/// `weir explain`
///
/// # Errors
/// Where `out` or `complaints` cannot be written.
pub async fn explain(
    arguments: &ExplainArguments,
    clock: &Clock,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> io::Result<Outcome> {
    let ask = async {
        let mut node = Node::of(&arguments.node, clock)?;
        let mut target = format!("/explain?url={}", escaped(&arguments.url));
        for field in &arguments.headers {
            target += &format!("&header={}", escaped(field));
        }
        node.viewer_token = viewer_token(arguments)?;
        node.ok(Method::GET, &target, "").await
    };
    let show =
        |answer: &Explanation| (answer.text(), if answer.is_served() { Outcome::Good } else { Outcome::Finding });
    shown(ask.await, &arguments.node, show, out, complaints)
}

/// `weir status`
///
/// # Errors
/// Where `out` or `complaints` cannot be written.
pub async fn status(
    arguments: &NodeArguments,
    clock: &Clock,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> io::Result<Outcome> {
    let ask = async { Node::of(arguments, clock)?.ok(Method::GET, "/status", "").await };
    let show = |answer: &Status| (answer.text(), Outcome::Good);
    shown(ask.await, arguments, show, out, complaints)
}

/// `weir reload`
///
/// # Errors
/// Where `out` or `complaints` cannot be written.
pub async fn reload(
    arguments: &NodeArguments,
    clock: &Clock,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> io::Result<Outcome> {
    let ask = async {
        let node = Node::of(arguments, clock)?;
        let answer = node.ask(Method::POST, "/reload", "{}").await?;
        if answer.status == StatusCode::UNPROCESSABLE_ENTITY { node.read(answer) } else { node.good(answer) }
    };
    let show = |answer: &Reload| (answer.text(), if answer.is_taken() { Outcome::Good } else { Outcome::Finding });
    shown(ask.await, arguments, show, out, complaints)
}

/// `weir warm`
///
/// # Errors
/// Where `out` or `complaints` cannot be written.
pub async fn warm(
    arguments: &WarmArguments,
    clock: &Clock,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> io::Result<Outcome> {
    let body = serde_json::json!({ "url": arguments.url, "for": arguments.time.map(value::write_time) });
    let ask = async { Node::of(&arguments.node, clock)?.ok(Method::POST, "/warm", &body.to_string()).await };
    let time = match arguments.time {
        Some(time) => format!("for {}", value::write_time(time)),
        None => "until the node ends".to_owned(),
    };
    let show = |answer: &Warmed| (answer.text(&time), Outcome::Good);
    shown(ask.await, &arguments.node, show, out, complaints)
}

/// `weir purge`
///
/// # Errors
/// Where `out` or `complaints` cannot be written.
pub async fn purge(
    arguments: &PurgeArguments,
    clock: &Clock,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> io::Result<Outcome> {
    let PurgeArguments { url, prefix, stream, tag, all, soft, dry_run, local, node } = arguments;
    let named = [("url", url), ("prefix", prefix), ("stream", stream), ("tag", tag)];
    let named = named.into_iter().find_map(|(kind, text)| Some((kind, text.as_ref()?)));
    let mut body = serde_json::json!({ "mode": if *soft { "soft" } else { "hard" }, "dry_run": dry_run });
    if *local {
        body["scope"] = "node".into();
    }
    let what = match named {
        Some((kind, text)) => {
            body[kind] = text.as_str().into();
            format!("{kind} {text}")
        }
        None => {
            body["all"] = (*all).into();
            "everything".to_owned()
        }
    };
    let ask = async { Node::of(node, clock)?.ok(Method::POST, "/purge", &body.to_string()).await };
    let show = |answer: &Purged| (answer.text(&what), answer.outcome());
    shown(ask.await, node, show, out, complaints)
}

/// `weir origin`
///
/// # Errors
/// Where `out` or `complaints` cannot be written.
pub async fn origin(
    arguments: &OriginArguments,
    clock: &Clock,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> io::Result<Outcome> {
    let name = &arguments.name;
    let (action, said) = match arguments.action {
        OriginAction::Rest => ("rest", format!("{name} rests: others are asked in its place\n")),
        OriginAction::Return => ("return", format!("{name} is asked again, and its streams come back\n")),
    };
    let body = serde_json::json!({ "action": action }).to_string();
    let target = format!("/origins/{}", escaped(name));
    let ask = async { Node::of(&arguments.node, clock)?.ok::<serde_json::Value>(Method::POST, &target, &body).await };
    shown(ask.await, &arguments.node, |_| (said, Outcome::Good), out, complaints)
}

/// `weir drain`
///
/// # Errors
/// Where `out` or `complaints` cannot be written.
pub async fn drain(
    arguments: &DrainArguments,
    clock: &Clock,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> io::Result<Outcome> {
    let body = match (arguments.cancel, arguments.by) {
        (true, _) => r#"{"cancel":true}"#.to_owned(),
        (false, Some(by)) => format!(r#"{{"by_seconds":{}}}"#, by.as_secs_f64().ceil() as u64),
        (false, None) => "{}".to_owned(),
    };
    let node = match Node::of(&arguments.node, clock) {
        Ok(node) => node,
        Err(error) => return complain(&error, complaints),
    };
    let asked = node.ok::<serde_json::Value>(Method::POST, "/drain", &body).await;
    let text = match (arguments.cancel, arguments.by) {
        (true, _) => "viewers are let in again\n".to_owned(),
        (false, Some(by)) => format!("viewers are asked to leave within {}\n", value::write_time(by)),
        (false, None) => "viewers are asked to leave\n".to_owned(),
    };
    let good = asked.is_ok();
    let outcome = shown(asked, &arguments.node, |_| (text, Outcome::Good), out, complaints)?;
    match arguments.by {
        Some(by) if good && !arguments.node.json => watch(&node, by, out, complaints).await,
        _ => Ok(outcome),
    }
}

/// Prints how many connections are left whenever the number changes, until none is, or the node is gone.
async fn watch(node: &Node<'_>, by: Duration, out: &mut dyn Write, complaints: &mut dyn Write) -> io::Result<Outcome> {
    let end = node.clock.now() + by + GRACE;
    let mut last = None;
    while node.clock.now() < end {
        let left = match node.ok::<Status>(Method::GET, "/status", "").await {
            Ok((status, _)) if !status.is_draining() => {
                writeln!(out, "the drain was cancelled")?;
                return Ok(Outcome::Finding);
            }
            Ok((status, _)) => status.connections(),
            Err(ClientError::Ask { source: AskError::Unreachable(_), .. }) => {
                writeln!(out, "the node has ended")?;
                return Ok(Outcome::Good);
            }
            // It may have ended under the answer: whoever looks again finds nobody.
            Err(ClientError::Ask { source: AskError::NotHttp(_), .. }) => {
                node.clock.sleep_until(node.clock.now() + LOOK).await;
                continue;
            }
            Err(error) => return complain(&error, complaints),
        };
        if last.replace(left) != Some(left) {
            writeln!(out, "{left} connections left")?;
            out.flush()?;
        }
        if left == 0 {
            return Ok(Outcome::Good);
        }
        node.clock.sleep_until(node.clock.now() + LOOK).await;
    }
    writeln!(complaints, "weir: connections are left after {}", value::write_time(by))?;
    Ok(Outcome::Finding)
}

/// Prints an answer as facts or as text, or why there is none.
pub(super) fn shown<T>(
    answer: Result<(T, Bytes), ClientError>,
    arguments: &NodeArguments,
    show: impl FnOnce(&T) -> (String, Outcome),
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> io::Result<Outcome> {
    let (answer, facts) = match answer {
        Ok(answer) => answer,
        Err(error) => return complain(&error, complaints),
    };
    let (text, outcome) = show(&answer);
    if arguments.json {
        out.write_all(facts.trim_ascii_end())?;
        out.write_all(b"\n")?;
    } else {
        out.write_all(text.as_bytes())?;
    }
    Ok(outcome)
}

pub(super) fn complain(error: &ClientError, complaints: &mut dyn Write) -> io::Result<Outcome> {
    writeln!(complaints, "weir: {error}")?;
    Ok(error.outcome())
}

impl<'a> Node<'a> {
    /// The node that the arguments name: --admin (or WEIR_ADMIN), else the one of --config.
    pub(super) fn of(arguments: &NodeArguments, clock: &'a Clock) -> Result<Self, ClientError> {
        let address = match &arguments.admin {
            Some(address) => address.clone(),
            None => configured(&arguments.config)?,
        };
        let (peer, authority) = peer(&address, arguments.admin_ca.as_ref())?;
        let token = arguments.admin_token_file.as_deref().map(token).transpose()?;
        Ok(Self { address, peer, authority, token, viewer_token: None, clock })
    }

    /// Asks, and takes any answer.
    pub(super) async fn ask(&self, method: Method, target: &str, body: &str) -> Result<Answer, ClientError> {
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(HOST, &self.authority)
            .header(USER_AGENT, concat!("weir/", env!("CARGO_PKG_VERSION")))
            // No web page can send this type without a preflight, so a node on loopback insists on it.
            .header(CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        if let Some(token) = &self.viewer_token {
            request = request.header("weir-viewer-token", token);
        }
        let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
        let request = request.body(body).expect("targets are escaped, and the authority was parsed");
        let answer = wire::ask(&self.peer, request, self.clock, PATIENCE).await;
        answer.map_err(|source| ClientError::Ask { address: self.address.clone(), source })
    }

    /// Asks, and reads the answer if it is a good one.
    pub(super) async fn ok<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: &str,
    ) -> Result<(T, Bytes), ClientError> {
        let answer = self.ask(method, target, body).await?;
        self.good(answer)
    }

    pub(super) fn good<T: DeserializeOwned>(&self, answer: Answer) -> Result<(T, Bytes), ClientError> {
        if answer.status.is_success() {
            return self.read(answer);
        }
        let refused: Refused = serde_json::from_slice(&answer.body).unwrap_or_default();
        let hint = match answer.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if self.token.is_none() => "; give it --admin-token-file",
            _ => "",
        };
        let why = refused.text() + hint;
        Err(ClientError::Refused { address: self.address.clone(), status: answer.status, why })
    }

    pub(super) fn read<T: DeserializeOwned>(&self, answer: Answer) -> Result<(T, Bytes), ClientError> {
        match serde_json::from_slice(&answer.body) {
            Ok(read) => Ok((read, answer.body)),
            Err(source) => Err(ClientError::Answer { address: self.address.clone(), source }),
        }
    }
}

/// The admin address of a configuration, as --admin would name it.
fn configured(config: &Path) -> Result<String, ClientError> {
    match Config::admin_address(config)? {
        None => Err(ClientError::Off(config.to_owned())),
        Some(Address::Inherited(name)) => Err(ClientError::Inherited(name)),
        Some(unix @ Address::Unix(_)) => Ok(unix.to_string()),
        Some(Address::Socket(mut socket)) => {
            if socket.ip().is_unspecified() {
                let loopback = match socket {
                    std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                    std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
                };
                socket.set_ip(loopback);
                return Ok(format!("https://{socket}"));
            }
            let scheme = if socket.ip().is_loopback() { "http" } else { "https" };
            Ok(format!("{scheme}://{socket}"))
        }
    }
}

/// Who an admin address is, and the Host that it is asked as.
fn peer(address: &str, ca: Option<&PathBuf>) -> Result<(Peer, String), ClientError> {
    let bad = || ClientError::Address(address.to_owned());
    if let Some(path) = address.strip_prefix("unix:") {
        return if path.is_empty() { Err(bad()) } else { Ok((Peer::Unix(path.into()), "localhost".to_owned())) };
    }
    let url = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let uri: Uri = url.parse().map_err(|_| bad())?;
    let authority = uri.authority().ok_or_else(bad)?;
    let default_port = match uri.scheme_str() {
        Some("http") => 80,
        Some("https") => 443,
        _ => return Err(bad()),
    };
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() || authority.as_str().contains('@') {
        return Err(bad());
    }
    let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let host = Host { name: name.clone(), port: authority.port_u16().unwrap_or(default_port) };
    let peer = if default_port == 80 {
        Peer::Tcp(host)
    } else {
        let name = ServerName::try_from(name).map_err(|_| bad())?;
        Peer::Tls { host, name, config: wire::trust(ca)? }
    };
    Ok((peer, authority.to_string()))
}

/// `Authorization` with the token of a file.
fn token(file: &Path) -> Result<HeaderValue, ClientError> {
    let refuse = |why: String| ClientError::Token { file: file.to_owned(), why };
    let text = std::fs::read_to_string(file).map_err(|error| refuse(error.to_string()))?;
    let token = text.trim();
    if token.is_empty() {
        return Err(refuse("it is empty".to_owned()));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|error| refuse(error.to_string()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The viewer's token of a question, from where the command line says.
fn viewer_token(arguments: &ExplainArguments) -> Result<Option<HeaderValue>, ClientError> {
    let ExplainArguments { token, token_file, .. } = arguments;
    if token.is_none() && token_file.is_none() {
        return Ok(None);
    }
    let text = super::token::given(token.as_deref(), token_file.as_deref()).map_err(ClientError::ViewerToken)?;
    let value = HeaderValue::from_str(&text);
    let mut value = value.map_err(|_| ClientError::ViewerToken("a token is visible ASCII".to_owned()))?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Text as a value of a query.
pub(super) fn escaped(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

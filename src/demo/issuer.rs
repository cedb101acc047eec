//! The demo's paywall: a key that is made at the start and signs links, its JWK set for the node, and a desk where what was
//! issued is taken back. It stands where a backend would: beside the node, whose admin API it asks.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path as FolderPath, PathBuf};
use std::sync::Arc;

use aws_lc_rs::rand;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use weir_loadtest::client::{Client, ClientError, Trust, Way};
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::rules::token::Algorithm;
use crate::rules::token::mint::{MintError, SigningKey};

/// Its name, and what it calls the node.
pub const NAME: &str = "https://paywall.demo";
/// The node, as the issuer's tokens call it.
pub const AUDIENCE: &str = "weir-demo";
/// The access that the demo's streams are gated by.
pub const ACCESS: &str = "demo";
/// Where the page finds it, through the node.
pub const DESK: &str = "/issuer/";

/// A link opens things for a minute: time to watch it expire while what it opened plays on.
const LINK: u64 = 60;
/// What was paid for.
const ENTITLEMENT: u64 = 3_600;
/// How long an expired link is expired.
const AGO: u64 = 300;
const STREAM: &str = "/live/master.m3u8";

/// The issuer, bound.
pub struct Issuer {
    listener: TcpListener,
    address: SocketAddr,
    key: SigningKey,
    set: String,
}

/// What its routes share.
struct Desk {
    key: SigningKey,
    set: String,
    admin: SocketAddr,
    clock: Clock,
}

/// A link that is asked for.
#[derive(Deserialize)]
struct Wish {
    viewer: String,
    kind: Kind,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// Opens the stream.
    Good,
    /// Would have opened it.
    Expired,
    /// Opens another one.
    Elsewhere,
    /// Was changed on its way.
    Spoiled,
}

/// A link.
#[derive(Serialize)]
struct Link {
    link: String,
    claims: Map<String, Value>,
}

impl Issuer {
    /// Makes a key, and binds a free port on loopback.
    ///
    /// # Errors
    /// Where there is none, or no key is made.
    pub async fn bind() -> Result<Self, io::Error> {
        let failed = |error: MintError| io::Error::other(error.to_string());
        let new = SigningKey::generate(Algorithm::Es256).map_err(failed)?;
        let key = SigningKey::from_pem(&new.private, None, None).map_err(failed)?;
        let set = json!({ "keys": [key.public_jwk()] }).to_string();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, key, set })
    }

    /// Where it is bound.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until it is dropped; `admin` is the node's admin API.
    pub fn serve(self, admin: SocketAddr, clock: Clock) -> impl Future<Output = ()> {
        let Self { listener, key, set, .. } = self;
        let desk = Arc::new(Desk { key, set, admin, clock });
        let routes = Router::new()
            .route("/jwks.json", get(keys))
            .route("/issuer/link", post(link))
            .route("/issuer/revoke/{session}", post(revoke))
            .route("/issuer/session/{session}", get(session))
            .with_state(desk);
        async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "the issuer does not answer any more");
            }
        }
    }
}

/// A file of what the demo's sessions are sealed with.
///
/// # Errors
/// Where it cannot be written.
pub fn secrets(folder: &FolderPath) -> io::Result<PathBuf> {
    let mut secret = Zeroizing::new([0; 32]);
    rand::fill(&mut *secret).map_err(|error| io::Error::other(error.to_string()))?;
    let file = folder.join("node.keys");
    let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file)?;
    writeln!(open, "{}", Zeroizing::new(STANDARD.encode(secret.as_slice())).as_str())?;
    Ok(file)
}

async fn keys(State(desk): State<Arc<Desk>>) -> Response {
    ([(CONTENT_TYPE, "application/jwk-set+json"), (CACHE_CONTROL, "max-age=300")], desk.set.clone()).into_response()
}

async fn link(State(desk): State<Arc<Desk>>, Json(wish): Json<Wish>) -> Response {
    let now = desk.clock.wall().since_epoch().as_secs();
    match desk.issue(&wish, now) {
        Ok(link) => ([(CACHE_CONTROL, "no-store")], Json(link)).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// What was issued is taken back: one session, so that the viewer's next link plays again.
async fn revoke(State(desk): State<Arc<Desk>>, Path(session): Path<String>) -> Response {
    let order = json!({ "access": ACCESS, "session": session });
    desk.ask_node(Method::POST, "/revoke", order.to_string()).await
}

async fn session(State(desk): State<Arc<Desk>>, Path(session): Path<String>) -> Response {
    if !session.bytes().all(|octet| octet.is_ascii_hexdigit()) {
        return StatusCode::NOT_FOUND.into_response();
    }
    desk.ask_node(Method::GET, &format!("/sessions/{session}"), String::new()).await
}

impl Desk {
    fn issue(&self, wish: &Wish, now: u64) -> Result<Link, MintError> {
        let issued = if matches!(wish.kind, Kind::Expired) { now - AGO } else { now };
        let path = if matches!(wish.kind, Kind::Elsewhere) { "/live/another-event" } else { "/live" };
        let mut id = [0; 8];
        rand::fill(&mut id)?;
        let claims = json!({
            "iss": NAME, "aud": AUDIENCE, "sub": wish.viewer, "jti": format!("{:016x}", u64::from_be_bytes(id)),
            "iat": issued, "exp": issued + LINK, "session_end": now + ENTITLEMENT, "path": path,
        });
        let Value::Object(claims) = claims else { unreachable!("it is written as an object") };
        let mut token = self.key.sign("JWT", &claims)?;
        if matches!(wish.kind, Kind::Spoiled) {
            let at = token.rfind('.').expect("a token has three parts") + 1;
            let other = if token[at..].starts_with('A') { "B" } else { "A" };
            token.replace_range(at..=at, other);
        }
        Ok(Link { link: format!("/.weir/t/{token}{STREAM}"), claims })
    }

    /// What the node's admin API says, as it says it.
    async fn ask_node(&self, method: Method, path: &str, body: String) -> Response {
        let ask = async {
            let client = Client::connect(&self.admin.to_string(), Way::H1, &Trust::AcceptAny).await?;
            let fields = [("content-type", "application/json")];
            let mut answer = client.request(method, path, &fields, Bytes::from(body)).await?;
            Ok::<_, ClientError>((answer.status, answer.bytes().await?))
        };
        match ask.await {
            Ok((status, body)) => {
                (status, [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], body).into_response()
            }
            Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
        }
    }
}

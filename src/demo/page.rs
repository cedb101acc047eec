//! The player page and the player, served by a small origin of their own, so that they too pass the node.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::json;
use tokio::net::TcpListener;

use super::{Addresses, Audience};

const HTML: &str = include_str!("player.html");
const GATED: &str = include_str!("gated.html");
/// Where the repository and the container image keep the player.
const PLACES: [&str; 2] = ["node_modules/hls.js/dist/hls.min.js", "/usr/share/weir/hls.min.js"];

/// The player's script, or why there is none.
pub enum Player {
    /// hls.js.
    Found(PathBuf),
    /// The browser's own HLS has to do.
    Missing(String),
}

impl Player {
    /// Looks for hls.js, and installs it once where the repository can.
    pub fn find() -> Self {
        if let Some(found) = Self::installed() {
            return Self::Found(found);
        }
        let root = repository();
        if !root.join("package-lock.json").exists() {
            return Self::Missing(
                "hls.js is not installed, and there is no package-lock.json here to install it by.".to_owned(),
            );
        }
        tracing::info!(folder = %root.display(), "hls.js is not there yet: installing it once by npm ci");
        let npm = Command::new("npm")
            .args(["ci", "--omit=dev", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"])
            .current_dir(root)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status();
        match (npm, Self::installed()) {
            (Ok(_), Some(found)) => Self::Found(found),
            (Ok(status), None) => Self::Missing(format!("hls.js is not installed: npm ci ended with {status}.")),
            (Err(error), _) => Self::Missing(format!("hls.js is not installed, and npm cannot be run ({error}).")),
        }
    }

    fn installed() -> Option<PathBuf> {
        PLACES.iter().map(|place| repository().join(place)).find(|path| path.exists())
    }

    /// What is missing, in a sentence.
    pub fn missing(&self) -> Option<&str> {
        match self {
            Self::Found(_) => None,
            Self::Missing(why) => Some(why),
        }
    }
}

/// The folder the demo was started in, or the one it was built from where that is still there.
fn repository() -> &'static Path {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR"));
    if Path::new("package-lock.json").exists() || !built_from.exists() { Path::new(".") } else { built_from }
}

/// The origin of the page, bound.
pub struct Page(TcpListener, SocketAddr);

impl Page {
    /// Binds a free port on loopback.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self(listener, address))
    }

    /// Where it is bound.
    pub fn address(&self) -> SocketAddr {
        self.1
    }

    /// Serves the page with what it must know.
    pub fn serve(self, addresses: &Addresses, player: &Player, audience: Audience) -> impl Future<Output = ()> + use<> {
        let trust = format!("chromium --ignore-certificate-errors-spki-list={}", addresses.spki);
        let facts = json!({
            "stream": "/live/master.m3u8",
            "https": addresses.page_https,
            "admin": addresses.admin,
            "trust": trust,
            "missing": player.missing(),
            "player": {},
        });
        // Within a script element only this could end it.
        let facts = facts.to_string().replace('<', "\\u003c");
        let page = if audience == Audience::Gated { GATED } else { HTML };
        let html = page.replace("__FACTS__", &facts);
        let script = match player {
            Player::Found(path) => std::fs::read(path).unwrap_or_default(),
            Player::Missing(_) => Vec::new(),
        };
        let pages = Router::new()
            .route("/", get(move || std::future::ready(answer("text/html; charset=utf-8", html.clone().into()))))
            .route("/hls.js", get(move || std::future::ready(answer("text/javascript", script.clone()))));
        async move {
            if let Err(error) = axum::serve(self.0, pages).await {
                tracing::error!(%error, "the page is not served any more");
            }
        }
    }
}

fn answer(kind: &'static str, body: Vec<u8>) -> impl IntoResponse {
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "max-age=60")], body)
}

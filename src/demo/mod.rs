//! `weir demo`: a live origin, a node and a player page in one process on loopback, from the same public parts as
//! everything else; with `--gated` an issuer of tokens beside them. Needs no configuration, and no network but that hls.js is installed once through npm.

mod certificates;
mod issuer;
mod page;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio::runtime::Builder;
use weir_loadtest::origin::{Origin, OriginConfig, Running};

use crate::clock::Clock;
use crate::config::{Config, Problems};
use crate::node::{Node, StartError};

use certificates::Certificates;
use issuer::Issuer;
use page::{Page, Player};

/// Where the demo's parts listen, and how it behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Cleartext address of the node.
    pub http: SocketAddr,
    /// TLS and QUIC address of the node.
    pub https: SocketAddr,
    /// Admin address of the node.
    pub admin: SocketAddr,
    /// Address of the origin.
    pub origin: SocketAddr,
    /// Whether a browser is opened.
    pub browser: Browser,
    /// How the addresses are printed.
    pub print: Print,
    /// Who sees the streams.
    pub audience: Audience,
}

/// Who sees the demo's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everybody.
    Everybody,
    /// Who has a link of the demo's issuer.
    Gated,
}

/// Whether a browser is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Browser {
    /// Where there is a desktop with one.
    Open,
    /// Not at all.
    Leave,
}

/// How the addresses are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Print {
    /// For people.
    Text,
    /// As one line of JSON.
    Json,
}

/// Why the demo does not start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The origin does not start.
    #[error("{0}; choose another address with --origin")]
    Origin(#[from] weir_loadtest::origin::StartError),
    /// The node's configuration is refused.
    #[error(transparent)]
    Config(#[from] Problems),
    /// The node does not start.
    #[error("{0}; choose other addresses with --http, --https and --admin")]
    Node(#[from] StartError),
    /// Certificates cannot be made.
    #[error("certificates cannot be made: {0}")]
    Certificates(#[from] rcgen::Error),
    /// The system refuses something.
    #[error("the demo cannot be set up: {0}")]
    System(#[from] io::Error),
}

/// What the demo tells of itself.
#[derive(Debug, Serialize)]
struct Addresses {
    /// The player page in clear, and over TLS.
    page: String,
    page_https: String,
    /// The stream through the node, and straight from the origin.
    stream: String,
    stream_https: String,
    origin_stream: String,
    /// The origin's fault desk and counts.
    origin_control: String,
    admin: String,
    /// The authority that signed the node's certificate, and what a browser is told to trust it.
    ca: PathBuf,
    spki: String,
    /// The port of HTTP/3 is that of HTTPS.
    https_port: u16,
}

/// Runs the demo until Ctrl-C.
///
/// # Errors
/// Why it did not start.
pub fn run(options: &Options) -> Result<(), DemoError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(play(options))
}

async fn play(options: &Options) -> Result<(), DemoError> {
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    let player = Player::find();
    let certificates = Certificates::make()?;
    let origin = Origin::start(OriginConfig { http: options.origin, ..OriginConfig::default() }).await?;
    let page = Page::bind().await?;
    let issuer = match options.audience {
        Audience::Everybody => None,
        Audience::Gated => Some(Issuer::bind().await?),
    };
    let secrets = issuer.is_some().then(|| issuer::secrets(certificates.folder())).transpose()?;
    let own = (page.address(), issuer.as_ref().map(Issuer::address), secrets.as_deref());
    let (config, _) = Config::parse(&edge_toml(options, &origin, own, &certificates), certificates.folder())?;
    let mut node = Node::start(config, None).await?;

    let addresses = addresses(&node, &origin, &certificates);
    let admin = node.address("admin").expect("the demo's node has an admin listener");
    let desk = async move {
        match issuer {
            Some(issuer) => issuer.serve(admin, Clock::system()).await,
            None => std::future::pending().await,
        }
    };
    let pages = page.serve(&addresses, &player, options.audience);
    let mut serving = std::pin::pin!(async move { tokio::join!(pages, desk) });
    print(options, &addresses, &player)?;
    if options.browser == Browser::Open {
        open_browser(&addresses.page);
    }
    tokio::select! {
        result = &mut interrupted => result?,
        _ = terminated.recv() => {}
        _ = &mut serving => {}
        () = node.ended() => {}
    }
    if options.print == Print::Text {
        say("\nstopping\n")?;
    }
    tokio::select! {
        () = node.stop() => {}
        _ = &mut serving => {}
        // Whoever presses Ctrl-C twice does not want to wait for viewers to finish.
        _ = tokio::signal::ctrl_c() => {}
    }
    origin.stop().await;
    Ok(())
}

/// The demo's node, as a file would describe it.
fn edge_toml(
    options: &Options,
    origin: &Running,
    (page, issuer, secrets): (SocketAddr, Option<SocketAddr>, Option<&Path>),
    certificates: &Certificates,
) -> String {
    let Options { http, https, admin, .. } = options;
    let (origin, cert, key) = (origin.addr(), certificates.cert(), certificates.key());
    let (cert, key) = (cert.display(), key.display());
    let secrets = secrets.map_or_else(String::new, |file| format!("secrets = \"{}\"", file.display()));
    let mut toml = format!(
        r#"
[node]
name = "weir-demo"
{secrets}
[listen]
http = ["{http}"]
https = ["{https}"]
admin = "{admin}"
[tls]
certificates = [{{ cert = "{cert}", key = "{key}" }}]
[cache]
memory = "256MiB"
[shutdown]
deadline = "5s"
[origins.origin]
url = "http://{origin}"
[origins.page]
url = "http://{page}"
"#
    );
    let access = if issuer.is_some() { format!("access = \"{}\"\n", issuer::ACCESS) } else { String::new() };
    for path in ["live", "br", "plain", "ts", "vod", "ssai", "blob"] {
        toml += &format!("[[route]]\nname = \"{path}\"\npath = \"/{path}/\"\norigins = [\"origin\"]\n{access}");
    }
    if let Some(issuer) = issuer {
        let (name, audience) = (issuer::NAME, issuer::AUDIENCE);
        toml += &format!(
            r#"
[access.{}]
issuer = "{name}"
audience = "{audience}"
jwks = "http://{issuer}/jwks.json"
[origins.issuer]
url = "http://{issuer}"
[[route]]
name = "issuer"
path = "{}"
origins = ["issuer"]
live = "off"
"#,
            issuer::ACCESS,
            issuer::DESK
        );
    }
    toml + "[[route]]\nname = \"page\"\npath = \"/\"\norigins = [\"page\"]\n"
}

fn addresses(node: &Node, origin: &Running, certificates: &Certificates) -> Addresses {
    // The numeric address: a browser that is told to speak QUIC to `localhost` tries ::1 alone.
    let authority = |kind| node.address(kind).map_or_else(String::new, |address| address.to_string());
    let (http, https) = (authority("http"), authority("https"));
    Addresses {
        page: format!("http://{http}/"),
        page_https: format!("https://{https}/"),
        stream: format!("http://{http}/live/master.m3u8"),
        stream_https: format!("https://{https}/live/master.m3u8"),
        origin_stream: format!("http://{}/live/master.m3u8", origin.addr()),
        origin_control: format!("http://{}/__stats", origin.control_addr()),
        admin: format!("http://{}", authority("admin")),
        ca: certificates.ca(),
        spki: certificates.spki(),
        https_port: node.address("https").map_or(0, |address| address.port()),
    }
}

fn print(options: &Options, addresses: &Addresses, player: &Player) -> io::Result<()> {
    if options.print == Print::Json {
        return say(&format!("{}\n", serde_json::to_string(addresses)?));
    }
    let Addresses { page, page_https, stream, stream_https, origin_stream, origin_control, admin, ca, spki, .. } =
        addresses;
    let ca = ca.display();
    let https = page_https.trim_start_matches("https://").trim_end_matches('/');
    if options.audience == Audience::Gated {
        return say(&format!(
            "
  the paywall   {page}   a working link, an expired one, a forged one; taking back
                {page_https}
  dashboard     {admin}/

  Everything below /live/ is gated: {stream} alone is refused, and says why.
  Ctrl-C ends all of it.
"
        ));
    }
    let missing = player.missing().map(|missing| format!("\n  note          {missing}")).unwrap_or_default();
    say(&format!(
        "
  player page   {page}
                {page_https}
  stream        {stream}
  dashboard     {admin}/
  origin        {origin_stream}
                {origin_control}   what was fetched, how often

  curl --http1.1 {stream}
  curl --http2 --cacert {ca} {stream_https}
  curl --http3-only --cacert {ca} {stream_https}
       (a curl without HTTP/3: cargo run --release -p weir-loadtest --bin weir-loadtest -- fetch --way h3 --ca {ca} --url {stream_https})

  trust         {ca} is a throw-away authority, gone when the demo ends. For one browser run alone:
                chromium --user-data-dir=$(mktemp -d) --ignore-certificate-errors-spki-list={spki} {page_https}
                and for HTTP/3 from the first request on: --origin-to-force-quic-on={https}{missing}

  Ctrl-C ends all of it.
"
    ))
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Opens the page where there is a desktop; where that fails, the address stands on the terminal.
fn open_browser(page: &str) {
    if std::env::var_os("DISPLAY").is_none() && std::env::var_os("WAYLAND_DISPLAY").is_none() {
        return;
    }
    let quiet = std::process::Stdio::null;
    let opened =
        std::process::Command::new("xdg-open").arg(page).stdin(quiet()).stdout(quiet()).stderr(quiet()).spawn();
    if let Err(error) = opened {
        tracing::debug!(%error, "no browser was opened");
    }
}

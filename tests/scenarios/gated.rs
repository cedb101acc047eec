//! Gated streams: one token opens a session, what its playlists name inherits it, the origin hears of neither, and who is
//! refused is told why. The viewers here repeat no field and no cookie: all they have is the URLs that they were given.

mod backend;
mod carriers;
mod inheritance;
#[cfg(feature = "nats")]
mod nodes;
mod refusals;
mod region;
mod renewal;
mod secrecy;
mod sharing;

use std::path::Path;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::sync::watch;
use weir_loadtest::client::Response;

use crate::certificates::Authority;
use crate::script::{Body, Script, Seen, reply};
use crate::stage::{Setup, Stage};

/// What the issuer and the node share.
const SECRET: &str = "a secret of thirty-two octets, or more of them";
const LIST: (&str, &str) = ("content-type", "application/vnd.apple.mpegurl");
/// The first segment of the media playlists, and how many are complete.
const FIRST: u64 = 100;

/// The path of the multivariant playlist.
pub const MAIN: &str = "/live/a/main.m3u8";

/// Seconds since the epoch.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A token with these claims.
pub fn mint(claims: &Value) -> String {
    signed("JWT", claims)
}

/// Claims of a type, signed by the issuer.
pub fn signed(kind: &str, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({ "alg": "HS256", "typ": kind })), part(claims));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
}

/// A viewer's good token, for five minutes.
pub fn token(viewer: &str) -> String {
    let id = format!("token-of-{viewer}-{:x}", now());
    mint(&json!({
        "iss": "https://issuer.test", "sub": viewer, "jti": id, "iat": now(), "exp": now() + 300, "path": "/live/a",
    }))
}

/// A node whose route `/live/{stream}/` is gated, with further keys of its access, before an open one.
pub fn gated(upstream: &Script, access: &str) -> Setup {
    gated_with(upstream, access, "")
}

/// The same with further keys of the gated route.
pub fn gated_with(upstream: &Script, access: &str, route: &str) -> Setup {
    Setup {
        upstream: Some(upstream.addr),
        prepare: Some(keys),
        tables: format!(
            r#"
[access.members]
issuer = "https://issuer.test"
hmac_secret_file = "issuer.secret"
{access}
[[route]]
name = "gated"
path = "/live/{{stream}}/"
origins = ["main"]
access = "members"
{route}
"#
        ),
        ..Setup::default()
    }
}

pub fn keys(folder: &Path, _: &Authority) {
    secret_file(&folder.join("issuer.secret"), SECRET);
}

/// A file that its owner alone can read.
pub fn secret_file(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// How far the origin's stream has come: parts of the open segment.
pub struct Stream {
    parts: watch::Sender<u64>,
    pub origin: Script,
}

impl Stream {
    /// A stream of one multivariant playlist and two renditions, with one part of the open segment.
    pub async fn start() -> Self {
        let (parts, seen) = watch::channel(1);
        let origin = Script::start_with(move |request| Box::pin(answer(request, seen.clone()))).await;
        Self { parts, origin }
    }

    /// One part more is there.
    pub fn publish(&self) {
        self.parts.send_modify(|parts| *parts += 1);
    }

    /// All that the origin was asked, as text.
    pub fn heard(&self) -> String {
        self.origin.seen().iter().map(|seen| format!("{} {} {:?}\n", seen.method, seen.target, seen.headers)).collect()
    }
}

async fn answer(seen: Seen, mut parts: watch::Receiver<u64>) -> http::Response<Body> {
    let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
    let host = seen.field("host");
    match path {
        "/live/a/over/main.m3u8" => reply(200, &[LIST, ("cache-control", "max-age=3600")], multivariant(&host)),
        "/live/a/over/v/hi.m3u8" => {
            let text = media(&host, 0).split("#EXT-X-PRELOAD").next().unwrap().to_owned() + "#EXT-X-ENDLIST\n";
            reply(200, &[LIST, ("cache-control", "max-age=3600")], text)
        }
        MAIN => reply(200, &[LIST, ("cache-control", "max-age=60")], multivariant(&host)),
        "/live/a/own.m3u8" => reply(200, &[LIST, ("cache-control", "no-store")], multivariant(&host)),
        "/live/a/v/hi.m3u8" | "/live/a/v/lo.m3u8" => {
            let wanted = query.split('&').find_map(|parameter| parameter.strip_prefix("_HLS_part=")?.parse().ok());
            let parts = *parts.wait_for(|parts| wanted.is_none_or(|wanted: u64| *parts > wanted)).await.unwrap();
            reply(200, &[LIST, ("cache-control", "max-age=1")], media(&host, parts))
        }
        "/live/a/moved" => reply(302, &[("location", "/live/a/v/hi.m3u8")], ""),
        // However long a story takes, nothing of it becomes stale.
        _ => reply(200, &[("cache-control", "max-age=3600")], format!("octets of {path}")),
    }
}

/// References of every kind: relative, rooted, absolute of the origin's own, with a variable, and foreign.
fn multivariant(host: &str) -> String {
    format!(
        "#EXTM3U\n#EXT-X-DEFINE:NAME=\"where\",VALUE=\"v\"\n\
         #EXT-X-SESSION-DATA:DATA-ID=\"a\",URI=\"/live/a/data.json\"\n\
         #EXT-X-SESSION-KEY:METHOD=SAMPLE-AES,URI=\"skd://licence.example/key\"\n\
         #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"s\",URI=\"https://ads.example/s.m3u8\"\n\
         #EXT-X-STREAM-INF:BANDWIDTH=2000000\nv/hi.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=1000000\n/live/a/v/lo.m3u8?x=1\n\
         #EXT-X-STREAM-INF:BANDWIDTH=900000\nhttp://{host}/live/a/v/mid.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=800000\n{{$where}}/var.m3u8\n\
         #EXT-X-STREAM-INF:BANDWIDTH=700000\n/open/o.m3u8\n"
    )
}

/// When the streams of this process began, in milliseconds since 1970.
static BEGAN: LazyLock<u64> = LazyLock::new(|| now() * 1_000);

/// Rooted and absolute references in a media playlist, too, and a date.
fn media(host: &str, parts: u64) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-VERSION:9\n#EXT-X-PART-INF:PART-TARGET=0.5\n\
         #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5\n#EXT-X-MEDIA-SEQUENCE:{FIRST}\n\
         #EXT-X-MAP:URI=\"/live/a/v/init.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"/live/a/key\"\n"
    );
    weir_loadtest::origin::playlist::date(&mut text, *BEGAN);
    for msn in FIRST..FIRST + 3 {
        text += &format!("#EXTINF:4.0,\nhttp://{host}/live/a/v/s{msn}.m4s\n");
    }
    text += "#EXTINF:4.0,\nhttps://ads.example/ad.m4s\n";
    for part in 0..parts {
        text += &format!("#EXT-X-PART:DURATION=0.5,URI=\"/live/a/v/s{}.{part}.m4s\"\n", FIRST + 4);
    }
    text + &format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"/live/a/v/s{}.{parts}.m4s\"\n", FIRST + 4)
}

/// The whole body as text.
pub async fn body(mut answer: Response) -> String {
    String::from_utf8(answer.bytes().await.unwrap().to_vec()).unwrap()
}

/// What a player makes of `uri` in a document at `base`, both as paths.
pub fn resolved(base: &str, uri: &str) -> String {
    weir::rules::hls::rewrite::resolve(base, uri).unwrap()
}

/// The URIs of a document: its lines and its quoted attributes that end like a name.
pub fn uris(text: &str) -> Vec<String> {
    let quoted = |line: &str| line.split("URI=\"").nth(1).and_then(|rest| rest.split('"').next()).map(str::to_owned);
    let uri = |line: &str| if line.starts_with('#') { quoted(line) } else { Some(line.to_owned()) };
    text.lines().filter(|line| !line.is_empty()).filter_map(uri).collect()
}

/// The one URI of a document that has this piece.
pub fn named(text: &str, piece: &str) -> String {
    let found = uris(text).into_iter().find(|uri| uri.contains(piece));
    found.unwrap_or_else(|| panic!("nothing is called {piece} in {text}"))
}

/// A viewer plays: the multivariant playlist by `path` and fields, then everything below it with URLs alone. What it has
/// asked for.
pub async fn play(stage: &Stage, stream: &Stream, path: &str, fields: &[(&str, &str)]) -> Vec<String> {
    let answer = stage.get_with(path, fields).await;
    assert_eq!(answer.status, 200, "{path}");
    let main = body(answer).await;
    let hi = resolved(path, &named(&main, "hi.m3u8"));
    let answer = stage.get(&hi).await;
    assert_eq!(answer.status, 200, "{hi}");
    let playlist = body(answer).await;
    let mut asked = vec![path.to_owned(), hi.clone()];
    for piece in ["init.mp4", "s100.m4s", "s104.0.m4s", "/key"] {
        let target = resolved(&hi, &named(&playlist, piece));
        let answer = stage.get(&target).await;
        assert_eq!(answer.status, 200, "{target} of {playlist}");
        assert!(body(answer).await.starts_with("octets of /live/a/"), "{target}");
        asked.push(target);
    }
    let parts = *stream.parts.borrow();
    let joint = if hi.contains('?') { '&' } else { '?' };
    let reload = format!("{hi}{joint}_HLS_msn=104&_HLS_part={parts}");
    let viewer = stage.viewer().await;
    let waiting = tokio::spawn(async move { viewer.get(&reload, &[]).await.unwrap() });
    stage.until_metric("weir_held_requests", |held| held >= 1.0).await;
    stream.publish();
    let answer = waiting.await.unwrap();
    assert_eq!(answer.status, 200);
    let playlist = body(answer).await;
    assert!(playlist.contains(&format!("s104.{parts}.m4s")), "{playlist}");
    asked
}

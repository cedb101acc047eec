//! The questions that an origin is asked, one after the other, and what each answer means.

use super::ask::{Said, Site};
use super::found::{Found, Kind, Playlist};
use crate::clock::Clock;
use crate::ops::wire::AskError;
use crate::rules::hls::multivariant::Multivariant;
use crate::rules::hls::parse;
use crate::rules::hls::rewrite::resolve;

/// More hops are a loop.
const HOPS: usize = 5;
/// A name that nobody gives to anything.
const NOBODYS: &str = "weir-init-asks-for-what-does-not-exist.m4s";

/// Why an origin is not worth a configuration yet.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoOrigin {
    #[error("{url} cannot be asked: {why}. {remedy}")]
    Ask { url: String, why: AskError, remedy: &'static str },
    #[error("{url} does not exist ({status}): give a URL that a player opens, best that of a playlist")]
    Absent { url: String, status: u16 },
    #[error(
        "{url} refuses ({status}): a private bucket needs `auth = {{ aws_sigv4 = … }}`, a packager with a key \
         `auth = {{ header = …, value_file = … }}`; write the file by hand, edge.toml shows both"
    )]
    Refused { url: String, status: u16 },
    #[error("{url} is in trouble ({status}): try again when it is well")]
    Trouble { url: String, status: u16 },
    #[error("{url} answers with a page, not with a playlist: its first line is not #EXTM3U. Is the path right?")]
    Page { url: String },
    #[error("{url} redirects to {location}, more often than {HOPS} times or to what is no URL: give the last one")]
    Redirects { url: String, location: String },
}

/// Where one got to, with what is known by then.
struct Reached {
    site: Site,
    said: Said,
    cookies: Option<String>,
    redirects: Vec<String>,
}

/// Finds out what an origin is.
pub(super) async fn look(site: &Site, clock: &Clock) -> Result<Found, NoOrigin> {
    let reached = reach(site, clock).await?;
    let url = format!("{}{}", reached.site.base(), reached.site.target);
    let (said, path) = (&reached.said, reached.site.path().to_owned());
    let is_folder = path.ends_with('/');
    let kind = match parse::kind(said.text()).filter(|_| said.status.is_success()) {
        Some(parse::Kind::Media) => Kind::Media,
        Some(parse::Kind::Multivariant) => Kind::Multivariant,
        None => match said.status.as_u16() {
            200..=299 if path.ends_with(".m3u8") || path.ends_with(".m3u") => return Err(NoOrigin::Page { url }),
            _ if is_folder && said.status.as_u16() < 500 => Kind::Folder,
            200..=299 => Kind::Plain,
            status @ (401 | 403 | 407) => return Err(NoOrigin::Refused { url, status }),
            status @ 500..=599 => return Err(NoOrigin::Trouble { url, status }),
            status => return Err(NoOrigin::Absent { url, status }),
        },
    };
    let (playlist, renditions) = playlist(&reached, kind, clock).await;
    let folder = &path[..=path.rfind('/').unwrap_or(0)];
    let absent = reached.site.ask(&format!("{folder}{NOBODYS}"), reached.cookies.as_deref(), clock).await;
    Ok(Found {
        kind,
        status: said.status.as_u16(),
        http2: reached.site.speaks_h2(clock).await,
        playlist,
        renditions,
        lifetime: lifetime(said),
        cors: !said.field("access-control-allow-origin").is_empty(),
        wants_cookie: reached.cookies.is_some(),
        absent: absent.ok().map(|said| said.status.as_u16()),
        redirects: reached.redirects,
    })
}

/// Asks for the URL, brings cookies back where they are demanded, and follows redirects.
async fn reach(site: &Site, clock: &Clock) -> Result<Reached, NoOrigin> {
    let (mut site, mut cookies, mut redirects) = (site.clone(), None, Vec::new());
    loop {
        let url = format!("{}{}", site.base(), site.target);
        let ask = site.ask(&site.target, cookies.as_deref(), clock).await;
        let said = ask.map_err(|why| NoOrigin::Ask { remedy: remedy(&why), url: url.clone(), why })?;
        if cookies.is_none() && matches!(said.status.as_u16(), 401 | 403) && said.cookies().is_some() {
            cookies = said.cookies();
            continue;
        }
        if !matches!(said.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Ok(Reached { site, said, cookies, redirects });
        }
        let location = said.field("location").to_owned();
        let next = match resolve(&site.target, &location) {
            Some(target) => Some(site.at(target)),
            None => site.moved(&location),
        };
        match next.filter(|_| redirects.len() < HOPS) {
            Some(next) => {
                redirects.push(format!("{}{}", next.base(), next.path()));
                site = next;
            }
            None => return Err(NoOrigin::Redirects { url, location }),
        }
    }
}

fn remedy(why: &AskError) -> &'static str {
    match why {
        AskError::Unreachable(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            "Is it running, and is the port right?"
        }
        AskError::Unreachable(error) if error.raw_os_error().is_none() => {
            "Is the name right, and known to this machine?"
        }
        AskError::Unreachable(_) => "Can this machine reach it?",
        AskError::Tls(_) => "If its certificate comes from an authority of your own, name that with --ca FILE",
        AskError::TooSlow(_) => "Is there a firewall between?",
        AskError::NotHttp(_) => "Does it speak HTTP on this port? TLS needs https://",
        AskError::TooLarge => "Give the URL of a playlist",
    }
}

/// The media playlist at hand, or the first that the multivariant playlist names, and how many it names.
async fn playlist(reached: &Reached, kind: Kind, clock: &Clock) -> (Option<Playlist>, usize) {
    let text = reached.said.text();
    match kind {
        Kind::Media => (read(text), 1),
        Kind::Multivariant => {
            let Ok(multivariant) = Multivariant::parse(text) else { return (None, 0) };
            let uri = multivariant.renditions.first().and_then(|first| resolve(&reached.site.target, &first.uri));
            let said = match &uri {
                Some(target) => reached.site.ask(target, reached.cookies.as_deref(), clock).await.ok(),
                None => None,
            };
            (said.and_then(|said| read(said.text())), multivariant.renditions.len())
        }
        Kind::Plain | Kind::Folder => (None, 0),
    }
}

fn read(text: &str) -> Option<Playlist> {
    let facts = parse::parse(text, None).ok()?.facts;
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let control = facts.server_control.unwrap_or_default();
    Some(Playlist {
        target_duration_ms: millis(facts.target_duration),
        part_target_ms: facts.part_target.map(millis),
        blocks: control.can_block_reload,
        skips: control.can_skip_until.is_some(),
        ended: facts.is_ended,
    })
}

fn lifetime(said: &Said) -> Option<String> {
    let named = ["cdn-cache-control", "cache-control", "expires"].into_iter().find(|name| !said.field(name).is_empty());
    named.map(|name| format!("{name}: {}", said.field(name)))
}

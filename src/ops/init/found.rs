//! What was found out about an origin, and how it is told.

use serde::Serialize;

use super::ask::Site;

/// What the URL is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    Multivariant,
    Media,
    Plain,
    Folder,
}

/// What a media playlist can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, printed as JSON")]
pub(super) struct Playlist {
    pub(super) target_duration_ms: u64,
    pub(super) part_target_ms: Option<u64>,
    pub(super) blocks: bool,
    pub(super) skips: bool,
    pub(super) ended: bool,
}

/// What was found out about an origin.
#[derive(Clone, Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, printed as JSON")]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) status: u16,
    pub(super) http2: bool,
    /// Its playlist, or the first that its multivariant playlist names.
    pub(super) playlist: Option<Playlist>,
    pub(super) renditions: usize,
    /// What it says of lifetimes.
    pub(super) lifetime: Option<String>,
    pub(super) cors: bool,
    pub(super) wants_cookie: bool,
    /// What it says for what does not exist.
    pub(super) absent: Option<u16>,
    /// Where it redirected to, hop by hop.
    pub(super) redirects: Vec<String>,
}

impl Found {
    /// The same in sentences.
    pub(super) fn sentences(&self, site: &Site) -> Vec<String> {
        let mut said = vec![self.speaks(site), self.is(site)];
        said.extend(self.playlist.as_ref().map(Playlist::sentence));
        if !self.redirects.is_empty() {
            said.push(format!("It redirects to {}; the node follows.", self.redirects.join(", then ")));
        }
        if self.wants_cookie {
            said.push("It refuses who does not bring its cookie back; the node keeps and brings it.".to_owned());
        }
        said.push(match &self.lifetime {
            Some(says) => {
                format!("It says of lifetimes: {says}. Media of a live stream lives by the stream all the same.")
            }
            None => "It says nothing of lifetimes: media lives by the stream, all else by RFC 9111.".to_owned(),
        });
        said.push(match self.cors {
            true => "It sends CORS fields; the node replaces them by its own, which let every page play.".to_owned(),
            false => "It sends no CORS fields; the node adds its own, which let every page play.".to_owned(),
        });
        said.push(self.absence());
        said
    }

    fn speaks(&self, site: &Site) -> String {
        let how = match (site.scheme, self.http2) {
            ("https", true) => "over TLS, HTTP/2 and HTTP/1.1",
            ("https", false) => "over TLS, HTTP/1.1",
            _ => "in cleartext, HTTP/1.1",
        };
        format!("{} answers {how}.", site.base())
    }

    fn is(&self, site: &Site) -> String {
        let path = site.path();
        match self.kind {
            Kind::Multivariant => format!("{path} is a multivariant playlist of {} renditions.", self.renditions),
            Kind::Media => format!("{path} is a media playlist."),
            Kind::Plain => format!("{path} is no playlist; it and all that is not named by one is cached by RFC 9111."),
            Kind::Folder => format!("{path} is a folder ({}); give the URL of a playlist to learn more.", self.status),
        }
    }

    fn absence(&self) -> String {
        match self.absent {
            Some(status @ (404 | 410)) => format!("It says {status} for what does not exist."),
            Some(403) => {
                "It says 403 for what does not exist, as private storages do; the node makes it 404.".to_owned()
            }
            Some(status @ 200..=299) => {
                format!("Beware: it says {status} for what does not exist; players take that for media.")
            }
            Some(status) => format!("Beware: it says {status} for what does not exist."),
            None => "It did not answer a request for what does not exist.".to_owned(),
        }
    }
}

impl Playlist {
    fn sentence(&self) -> String {
        let seconds = |ms: u64| ms as f64 / 1e3;
        let mut said = format!("Its segments last up to {} s", seconds(self.target_duration_ms));
        match self.part_target_ms {
            Some(part) => said.push_str(&format!(", its parts {} s (low latency)", seconds(part))),
            None => said.push_str(", without parts"),
        }
        said.push_str(match (self.ended, self.blocks, self.skips) {
            (true, ..) => "; it has ended.",
            (false, true, true) => "; it holds reloads and has delta updates.",
            (false, true, false) => "; it holds reloads.",
            (false, false, true) => "; it has delta updates and does not hold reloads: the node does.",
            (false, false, false) => "; it does not hold reloads: the node does.",
        });
        said
    }
}

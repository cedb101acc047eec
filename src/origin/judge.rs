//! Heads that arrive, as they are stored and shared: what the rules say of them, by the terms they were asked for under.

use http::header::{CONTENT_TYPE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::cache::{ResponseHead, Sharing};
use crate::rules::caching::control::TARGETS;
use crate::rules::caching::freshness::{Policy, Received, Times};
use crate::rules::caching::negative::{self, Asked};
use crate::rules::caching::storable::{self, Credentials, RequestFacts, SetCookie, Verdict, WhyNot};
use crate::rules::caching::validator::Validators;
use crate::rules::caching::{Control, Variant, media};
use crate::rules::fields::{date, hop};

use super::Framing;
use super::pump::{Fetching, Terms};

/// Types of playlists.
const PLAYLISTS: [&str; 2] = ["application/vnd.apple.mpegurl", "audio/mpegurl"];

impl Fetching {
    /// The head as it is stored and shared, and what the rules say of it; `None` where it varies on everything.
    pub(super) fn head(
        &self,
        status: StatusCode,
        mut headers: HeaderMap,
        times: Times,
    ) -> Option<(ResponseHead, Verdict)> {
        let variant = Variant::ignoring(&headers, &self.fields, &self.unvaried)?;
        let control = Control::of(&headers, &TARGETS);
        let facts = RequestFacts { method: Method::GET, credentials: Credentials::of(&self.fields), no_store: false };
        let received = Received { status, headers: &headers, times };
        let verdict = match &self.terms {
            Terms::Plain | Terms::Unnamed => {
                storable::verdict(&facts, &received, &control, &Policy::PLAIN, self.cookies)
            }
            Terms::Media(_) => media::verdict(&facts, &received, &control),
        };
        let asked = match &self.terms {
            Terms::Plain | Terms::Unnamed => Asked::Plain,
            Terms::Media(_) => Asked::Media,
        };
        let verdict = match self.validates {
            None => negative::verdict(verdict, (&facts, asked), &received, &control, &self.errors),
            // An error that is kept would drive out what may stand in for it (RFC 5861 §4).
            Some(_) => verdict,
        };
        let variant = match &self.terms {
            Terms::Plain | Terms::Unnamed => {
                if self.cookies == SetCookie::Strip && !matches!(verdict.sharing, storable::Sharing::Nobody(_)) {
                    headers.remove(SET_COOKIE);
                }
                variant
            }
            // Nothing that differs between viewers was asked for.
            Terms::Media(_) => {
                media::strip(&mut headers);
                Variant::default()
            }
        };
        let validators = Validators::of(&headers, times.responded_wall);
        Some((ResponseHead { status, headers, variant, lifetime: verdict.lifetime, validators }, verdict))
    }

    /// Whether what came is about the fields of the request, which are those of whoever asked first.
    pub(super) fn is_at_fault(&self, status: StatusCode, verdict: &Verdict) -> bool {
        let has_viewers_fields = match &self.terms {
            Terms::Plain | Terms::Unnamed => true,
            Terms::Media(_) => false,
        };
        has_viewers_fields && verdict.storable.is_err() && negative::is_about_the_request(status)
    }

    /// Whether the next viewer of a stream will want it: by its type, or by the name it was asked for under.
    pub(super) fn is_media(&self, head: &ResponseHead) -> bool {
        if let Terms::Media(_) = self.terms {
            return true;
        }
        let kind = head.headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes().to_ascii_lowercase()).unwrap_or_default();
        kind.starts_with(b"video/") || kind.starts_with(b"audio/") || self.is_named_as_media()
    }

    pub(super) fn is_named_as_media(&self) -> bool {
        if let Terms::Media(_) = self.terms {
            return true;
        }
        const ENDINGS: [&str; 10] = [".m4s", ".mp4", ".m4v", ".m4a", ".cmfv", ".cmfa", ".ts", ".aac", ".m3u8", ".vtt"];
        let path = self.target.path();
        ENDINGS.iter().any(|end| path.ends_with(end))
    }
}

/// Whether an answer is a playlist by its type (RFC 8216bis §4).
pub(super) fn is_playlist(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let kind = kind.split(|octet| *octet == b';').next().unwrap_or_default().trim_ascii();
    PLAYLISTS.iter().any(|playlist| kind.eq_ignore_ascii_case(playlist.as_bytes()))
}

/// What every head is before it is judged.
pub(super) fn complete(headers: &mut HeaderMap, times: Times) {
    hop::strip_unstorable(headers);
    date::ensure_date(headers, times.responded_wall);
}

/// The head of media that was put together from several answers, and who may have it.
pub fn media_head(status: StatusCode, mut headers: HeaderMap, times: Times) -> (ResponseHead, Sharing) {
    complete(&mut headers, times);
    let control = Control::of(&headers, &TARGETS);
    let facts = RequestFacts { method: Method::GET, credentials: Credentials::None, no_store: false };
    let verdict = media::verdict(&facts, &Received { status, headers: &headers, times }, &control);
    media::strip(&mut headers);
    let validators = Validators::of(&headers, times.responded_wall);
    let lifetime = verdict.lifetime;
    let head = ResponseHead { status, headers, variant: Variant::default(), lifetime, validators };
    (head, sharing(&verdict, Framing::Delimited))
}

/// Whether a 304 that says so keeps what was stored from being used for others.
pub(super) const fn forbids(why: WhyNot) -> bool {
    matches!(why, WhyNot::NoStore | WhyNot::Private | WhyNot::Authorization)
}

pub(super) fn sharing(verdict: &Verdict, framing: Framing) -> Sharing {
    // The end of a cleartext connection looks the same whether the body was cut or not.
    let store = verdict.storable.is_ok() && framing != Framing::ClosedUnproven;
    match verdict.sharing {
        storable::Sharing::Nobody(_) => Sharing::Private,
        storable::Sharing::Waiting(_) => Sharing::Waiting { store },
        storable::Sharing::Anyone => Sharing::Shared { store },
    }
}

//! `POST /purge`

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cache::{Act, Removed};
use crate::request::purge::{self, NotPurged, Outcome};
use crate::rules::caching::purge::{Meant, Mode};

use super::Admin;
use super::api::problem;

/// What is to be purged: exactly one of `url`, `prefix`, `stream`, `tag` and `all`.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PurgeOrder {
    /// A URL, as a viewer would ask for it: all variants and generations of it.
    url: Option<String>,
    /// The beginning of URLs, or of paths on any host.
    prefix: Option<String>,
    /// A stream, as `/status` names it.
    stream: Option<String>,
    /// A tag that the origin wrote in Cache-Tag or Surrogate-Key.
    tag: Option<String>,
    /// Everything.
    all: bool,
    /// `hard`: it goes; `soft`: it is stale from now on. Default: `hard`.
    mode: PurgeMode,
    /// Only counts what would be purged, in memory.
    dry_run: bool,
}

/// What becomes of what is purged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PurgeMode {
    /// It goes.
    #[default]
    Hard,
    /// It is stale from now on.
    Soft,
}

/// What was purged.
#[derive(Debug, Serialize, ToSchema)]
pub struct PurgeOutcome {
    /// What became of it.
    mode: PurgeMode,
    /// Whether it was only counted.
    dry_run: bool,
    /// Objects in memory.
    objects: u64,
    /// What these take, in bytes.
    bytes: u64,
    /// Fetches in progress, which are not stored and get no further readers.
    fills: u64,
    /// Playlists, which are fetched anew.
    playlists: usize,
    /// Objects on the disk, which go where the purge is soft too; `null`: there is none, or they were not counted.
    disk: Option<GoneBelow>,
}

/// What went from the disk.
#[derive(Debug, Serialize, ToSchema)]
pub struct GoneBelow {
    /// Objects.
    objects: u64,
    /// What these took, in bytes; 0 where objects were named.
    bytes: u64,
}

/// Why an order is none: the place, and what would help.
type Nonsense = (&'static str, String);

impl PurgeOrder {
    fn read(body: &[u8]) -> Result<Self, Nonsense> {
        serde_json::from_slice(body).map_err(|error| {
            let remedy = r#"write one of {"url": …}, {"prefix": …}, {"stream": …}, {"tag": …} and {"all": true}"#;
            ("body", format!("{error}; {remedy}"))
        })
    }

    fn meant(self) -> Result<Meant, Nonsense> {
        let texts = [
            self.url.map(Meant::Url),
            self.prefix.map(Meant::Prefix),
            self.stream.map(Meant::Stream),
            self.tag.map(Meant::Tag),
            self.all.then_some(Meant::All),
        ];
        let mut meant = texts.into_iter().flatten();
        match (meant.next(), meant.next()) {
            (Some(meant), None) => Ok(meant),
            (None, _) => Err(("body", "say what is meant: url, prefix, stream, tag, or all = true".to_owned())),
            (Some(_), Some(_)) => Err((
                "body",
                "url, prefix, stream, tag and all exclude each other: order one after the other".to_owned(),
            )),
        }
    }
}

fn place(meant: &Meant) -> &'static str {
    match meant {
        Meant::Url(_) => "url",
        Meant::Prefix(_) => "prefix",
        Meant::Stream(_) => "stream",
        Meant::Tag(_) => "tag",
        Meant::All => "all",
    }
}

/// Purges what is stored and what arrives: when it answers, nothing of it is left.
#[utoipa::path(post, path = "/purge", request_body = PurgeOrder, responses(
    (status = 200, body = PurgeOutcome),
    (status = 400, description = "It is not clear what is meant; `reason` says where, `detail` why and what would help"),
))]
pub async fn order(State(admin): State<Admin>, body: Bytes) -> Response {
    let outcome = PurgeOrder::read(&body).and_then(|order| carry_out(&admin, order));
    match outcome {
        Ok(outcome) => Json(outcome).into_response(),
        Err((place, detail)) => problem(StatusCode::BAD_REQUEST, place, &detail),
    }
}

fn carry_out(admin: &Admin, order: PurgeOrder) -> Result<PurgeOutcome, Nonsense> {
    let PurgeOrder { mode, dry_run, .. } = order;
    let meant = order.meant()?;
    let act = match (dry_run, mode) {
        (true, _) => Act::Count,
        (false, PurgeMode::Hard) => Act::Purge(Mode::Hard),
        (false, PurgeMode::Soft) => Act::Purge(Mode::Soft),
    };
    let remedy = |refused: NotPurged| match refused {
        NotPurged::Nonsense(why) => why.to_owned(),
        NotPurged::Refused(_) => format!("{refused}; `weir explain` says more of a URL"),
    };
    let outcome = purge::purge(&admin.edge, &meant, act).map_err(|refused| (place(&meant), remedy(refused)))?;
    let Outcome { cache, playlists } = outcome;
    tracing::info!(
        selector = place(&meant),
        soft = mode == PurgeMode::Soft,
        dry_run,
        objects = cache.memory.objects,
        "purged"
    );
    Ok(PurgeOutcome {
        mode,
        dry_run,
        objects: cache.memory.objects,
        bytes: cache.memory.bytes,
        fills: cache.fills,
        playlists,
        disk: cache.disk.map(|Removed { objects, bytes }| GoneBelow { objects, bytes }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_means_one_thing_or_says_what_is_wrong_with_it() {
        let meant = |text: &str| PurgeOrder::read(text.as_bytes()).and_then(PurgeOrder::meant);
        for (text, meaning) in [
            (r#"{"url": "https://a/b"}"#, Meant::Url("https://a/b".into())),
            (r#"{"prefix": "/live/", "mode": "soft"}"#, Meant::Prefix("/live/".into())),
            (r#"{"stream": "one", "dry_run": true}"#, Meant::Stream("one".into())),
            (r#"{"tag": "news", "all": false}"#, Meant::Tag("news".into())),
            (r#"{"all": true, "mode": "hard"}"#, Meant::All),
        ] {
            assert_eq!(meant(text), Ok(meaning), "{text}");
        }
        for (text, said) in [
            ("", "line 1 column 0"),
            ("{", "line 1 column 1"),
            (r#"{"urll": "x"}"#, "unknown field `urll`"),
            (r#"{"url": 7}"#, "invalid type"),
            (r#"{"url": "/x", "mode": "firm"}"#, "expected `hard` or `soft`"),
            (r#"{"all": false}"#, "say what is meant"),
            ("{}", "say what is meant"),
            (r#"{"url": "/x", "all": true}"#, "exclude each other"),
        ] {
            let (place, why) = meant(text).unwrap_err();
            assert!(place == "body" && why.contains(said), "{text}: {why}");
        }
    }
}

//! `POST /purge`

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::cache::{Act, Removed};
use crate::region::bus::{Replies, Reply};
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
    /// Only counts what would be purged, in memory, on this node.
    dry_run: bool,
    /// `region`: on all nodes of the region; `node`: on this one alone. Default: `region`.
    scope: PurgeScope,
}

/// Where it is purged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PurgeScope {
    /// On all nodes that this one can tell, and on this one.
    #[default]
    Region,
    /// On this one alone.
    Node,
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
    /// What the other nodes of the region made of it; empty where they were not told.
    nodes: Vec<NodeOutcome>,
    /// Nodes that are there and did not answer in time: what they have is not known to be gone.
    silent: Vec<String>,
}

/// What another node made of a purge.
#[derive(Debug, Serialize, ToSchema)]
pub struct NodeOutcome {
    /// Its name.
    node: String,
    /// Objects in memory.
    objects: u64,
    /// Playlists, which are fetched anew.
    playlists: u64,
    /// Why nothing was purged there.
    error: Option<String>,
}

impl From<Reply> for NodeOutcome {
    fn from(reply: Reply) -> Self {
        let ((objects, playlists), error) = match reply.outcome {
            Ok(counts) => (counts, None),
            Err(why) => ((0, 0), Some(why)),
        };
        Self { node: reply.node, objects, playlists, error }
    }
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

/// An order that means one thing.
struct Judged {
    meant: Meant,
    mode: PurgeMode,
    act: Act,
    scope: PurgeScope,
}

impl PurgeOrder {
    fn read(body: &[u8]) -> Result<Self, Nonsense> {
        serde_json::from_slice(body).map_err(|error| {
            let remedy = r#"write one of {"url": …}, {"prefix": …}, {"stream": …}, {"tag": …} and {"all": true}"#;
            ("body", format!("{error}; {remedy}"))
        })
    }

    fn judged(self) -> Result<Judged, Nonsense> {
        let Self { mode, dry_run, scope, .. } = self;
        let act = match (dry_run, mode) {
            (true, _) => Act::Count,
            (false, PurgeMode::Hard) => Act::Purge(Mode::Hard),
            (false, PurgeMode::Soft) => Act::Purge(Mode::Soft),
        };
        Ok(Judged { meant: self.meant()?, mode, act, scope })
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

/// Purges what is stored and what arrives: when it answers, nothing of it is left on this node, nor on those that it
/// names.
#[utoipa::path(post, path = "/purge", request_body = PurgeOrder, responses(
    (status = 200, body = PurgeOutcome),
    (status = 400, description = "It is not clear what is meant; `reason` says where, `detail` why and what would help"),
))]
pub async fn order(State(admin): State<Admin>, body: Bytes) -> Response {
    match PurgeOrder::read(&body).and_then(PurgeOrder::judged) {
        Ok(judged) => match carry_out(&admin, &judged) {
            Ok(outcome) => Json(everywhere(&admin, outcome, judged).await).into_response(),
            Err((place, detail)) => problem(StatusCode::BAD_REQUEST, place, &detail),
        },
        Err((place, detail)) => problem(StatusCode::BAD_REQUEST, place, &detail),
    }
}

/// Has the other nodes purge what was purged here.
async fn everywhere(admin: &Admin, mut outcome: PurgeOutcome, judged: Judged) -> PurgeOutcome {
    let config = admin.edge.policies().config.clone();
    let Judged { meant, act, scope, .. } = judged;
    if let (Act::Purge(mode), PurgeScope::Region, Some(nats)) = (act, scope, &config.nats) {
        let until = admin.edge.clock.now() + nats.answer_within;
        let Replies { answered, silent } = admin.edge.bus.purge(meant, mode, until).await;
        outcome.nodes = answered.into_iter().map(NodeOutcome::from).collect();
        outcome.silent = silent;
    }
    outcome
}

fn carry_out(admin: &Admin, judged: &Judged) -> Result<PurgeOutcome, Nonsense> {
    let remedy = |refused: NotPurged| match refused {
        NotPurged::Nonsense(why) => why.to_owned(),
        NotPurged::Refused(_) => format!("{refused}; `weir explain` says more of a URL"),
    };
    let Judged { meant, mode, act, .. } = judged;
    let (mode, dry_run) = (*mode, *act == Act::Count);
    let outcome = purge::purge(&admin.edge, meant, *act).map_err(|refused| (place(meant), remedy(refused)))?;
    let Outcome { cache, playlists } = outcome;
    tracing::info!(
        selector = place(meant),
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
        nodes: Vec::new(),
        silent: Vec::new(),
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

//! `/sessions/{id}/story`, `/entries`, `/others`, `DELETE /sessions/{id}`, and the search of `GET /sessions`: what happened
//! to a viewer, who else had it, and its end.
//!
//! A session is named by whatever a support engineer has: its identifier, its support code, or its subject as the issuer
//! calls it. What names several is answered with their list.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::rules::session::{Named, SessionId};
use crate::rules::timeline::story::{Cause, Fault, Story};
use crate::stories::index::{self, Known};

use super::Admin;
use super::api::problem;
use super::revoke::Within;

/// Sessions of one list, where nothing else is asked for.
const LISTED: usize = 50;
/// Sessions of the longest list.
const MOST_LISTED: usize = 200;

/// One session of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionRow {
    /// Its identifier.
    session: String,
    /// What a viewer tells on the phone.
    support_code: String,
    /// Its access; none: its route is open.
    access: Option<String>,
    /// Its route.
    route: Option<String>,
    /// The stream that was watched last.
    stream: Option<String>,
    /// The player's family and major version.
    player: Option<String>,
    /// `h1`, `h2` or `h3`.
    protocol: Option<String>,
    /// When it was first heard of, in milliseconds since the epoch.
    began: u64,
    /// When it was last heard of, in milliseconds since the epoch.
    ended: u64,
    /// What happened and whose fault it was, in one sentence.
    headline: String,
    /// Whose fault it was.
    fault: Fault,
    /// Why.
    cause: Cause,
}

/// Sessions that were looked for.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Found {
    /// Those heard of last, the newest first.
    pub(super) found: Vec<SessionRow>,
    /// How many there are in all; with `cause`: that it may be behind.
    pub(super) number: usize,
    /// Whether all of them are here.
    pub(super) complete: bool,
}

/// Who else had the same.
#[derive(Debug, Serialize, ToSchema)]
pub struct OthersAnswer {
    /// The cause.
    cause: Cause,
    /// Whose fault it is.
    fault: Fault,
    /// How many other sessions were hurt by it at the same time.
    sessions: usize,
    /// How many were looked at to find them.
    examined: usize,
    /// Whether all that it could be were looked at.
    complete: bool,
    /// How many there are of each stream.
    streams: BTreeMap<String, usize>,
    /// How many there are of each protocol.
    protocols: BTreeMap<String, usize>,
    /// How many there are of each country.
    countries: BTreeMap<String, usize>,
    /// How many there are of each player.
    players: BTreeMap<String, usize>,
    /// The newest of them.
    found: Vec<SessionRow>,
}

/// What one node wrote down of a session, and of itself in its time.
#[derive(Serialize, ToSchema)]
pub struct Entries {
    /// The node.
    node: String,
    /// The session.
    session: String,
    /// The entries, as the schema of lines describes them.
    #[schema(value_type = Vec<Object>)]
    entries: Vec<crate::rules::timeline::event::Entry>,
}

/// What was erased.
#[derive(Debug, Serialize, ToSchema)]
pub struct Erased {
    /// The session.
    session: String,
    /// Entries that are gone from this node, with those in batches that sinks refused.
    entries: u64,
}

/// What names a session.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct NamedBy {
    /// The access whose subject it is; default: every one.
    access: Option<String>,
}

/// Which sessions are looked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// Of this access alone.
    pub(super) access: Option<String>,
    /// An identifier, a support code, a subject, or a part of a stream's name.
    search: Option<String>,
    /// A part of a stream's name.
    stream: Option<String>,
    /// Hurt by this cause, by its word.
    cause: Option<String>,
    /// Heard of since then, in milliseconds since the epoch.
    since: Option<u64>,
    /// At most so many; default 50, at most 200.
    limit: Option<usize>,
}

impl Search {
    /// Whether sessions are looked for, and not only counted.
    pub(super) fn is_asked(&self) -> bool {
        self.search.is_some()
            || self.stream.is_some()
            || self.cause.is_some()
            || self.since.is_some()
            || self.limit.is_some()
    }
}

impl SessionRow {
    fn of(story: &Story) -> Self {
        let who = &story.who;
        Self {
            session: story.session.to_string(),
            support_code: story.support_code.clone(),
            access: who.access.clone(),
            route: who.route.clone(),
            stream: who.stream.clone(),
            player: who.player.clone(),
            protocol: who.protocols.last().cloned(),
            began: story.began,
            ended: story.ended,
            headline: story.headline.clone(),
            fault: story.fault,
            cause: story.cause,
        }
    }
}

/// Why a session is not told of.
pub(super) enum NotTold {
    /// Nothing of that name is kept.
    Nothing,
    /// The name is of several.
    Several(Found),
    /// The log cannot be read.
    Unreadable(std::io::Error),
}

impl IntoResponse for NotTold {
    fn into_response(self) -> Response {
        match self {
            Self::Nothing => {
                let why = "nothing of such a session is kept on this node: it was on another one, was erased, or is older \
                           than `journal.keep`; a subject needs its access where there are several";
                problem(StatusCode::NOT_FOUND, "no-such-session", why)
            }
            Self::Several(found) => (StatusCode::MULTIPLE_CHOICES, Json(found)).into_response(),
            Self::Unreadable(error) => {
                problem(StatusCode::SERVICE_UNAVAILABLE, "journal-unreadable", &error.to_string())
            }
        }
    }
}

impl From<std::io::Error> for NotTold {
    fn from(error: std::io::Error) -> Self {
        Self::Unreadable(error)
    }
}

/// What a text may look for, beside what `query` says: the session of an identifier, those of a support code, those of a
/// subject, whose name may look like either. The first of them that finds something is meant.
fn names<'a>(admin: &'a Admin, text: &'a str, query: &'a index::Query) -> impl Iterator<Item = index::Query> + 'a {
    let session = SessionId::read(text).map(|session| index::Query { session: Some(session), ..query.clone() });
    let code = index::Query::read_code(text).map(|code| index::Query { code: Some(code), ..query.clone() });
    let subjects = std::iter::once_with(|| {
        let subjects = Some(subjects(admin, text, query.access.as_deref()));
        index::Query { subjects, ..query.clone() }
    });
    session.into_iter().chain(code).chain(subjects)
}

/// What a subject is called within each access.
fn subjects(admin: &Admin, text: &str, access: Option<&str>) -> Vec<(std::sync::Arc<str>, Box<str>)> {
    let accesses = admin.prints.accesses().into_iter().filter(|name| access.is_none_or(|access| access == &**name));
    let print = |access: std::sync::Arc<str>| {
        let print = admin.prints.print(&access, Named::Subject, text)?;
        Some((access, format!("{print:016x}").into()))
    };
    accesses.filter_map(print).collect()
}

/// The sessions that a text names, the newest first.
async fn named(admin: &Admin, text: &str, access: Option<&str>) -> std::io::Result<Vec<(SessionId, Known)>> {
    admin.edge.stories.settle().await;
    let query = index::Query { access: access.map(str::to_owned), ..index::Query::default() };
    {
        let index = admin.edge.stories.index.lock();
        let found = names(admin, text, &query).map(|query| index.find(&query, MOST_LISTED).0);
        match found.into_iter().find(|found| !found.is_empty()) {
            Some(found) => return Ok(found),
            None if index.figures().1 == 0 => return Ok(Vec::new()),
            None => {}
        }
    }
    // The index may have forgotten what the log has not.
    let found = admin.edge.stories.of_subjects(&subjects(admin, text, access), MOST_LISTED).await?;
    Ok(found.into_iter().map(|session| (session, Known::default())).collect())
}

/// The one session that a text names.
async fn one(admin: &Admin, text: &str, access: Option<&str>) -> Result<SessionId, NotTold> {
    let found = named(admin, text, access).await?;
    match (found.as_slice(), SessionId::read(text)) {
        ([(id, _)], _) => Ok(*id),
        ([], Some(id)) if access.is_none() => Ok(id),
        ([], _) => Err(NotTold::Nothing),
        (found, _) => Err(NotTold::Several(listed(admin, found, found.len()).await?)),
    }
}

async fn listed(admin: &Admin, found: &[(SessionId, Known)], number: usize) -> std::io::Result<Found> {
    let told = admin.edge.stories.stories(found).await?;
    let complete = told.complete && number == found.len();
    Ok(Found { found: told.stories.iter().map(SessionRow::of).collect(), number, complete })
}

/// Looks for sessions.
pub(super) async fn find(admin: &Admin, search: &Search) -> Result<Found, Response> {
    let cause = match &search.cause {
        None => None,
        Some(word) => Some(Cause::of_word(word).ok_or_else(|| {
            let words: Vec<_> = Cause::ALL.iter().map(|cause| cause.word()).collect();
            problem(StatusCode::BAD_REQUEST, "cause", &format!("a cause is one of {}", words.join(", ")))
        })?),
    };
    let most = search.limit.unwrap_or(LISTED).clamp(1, MOST_LISTED);
    // Whether a cause is behind a session only its story tells: as many are told as fit in an answer.
    let told = if cause.is_some() { MOST_LISTED } else { most };
    admin.edge.stories.settle().await;
    let (found, number) = look(admin, search, cause, told);
    let mut listed = listed(admin, &found, number).await.map_err(|error| NotTold::from(error).into_response())?;
    if let Some(cause) = cause {
        listed.found.retain(|row| row.cause == cause);
        listed.number = listed.found.len();
        listed.found.truncate(most);
    }
    Ok(listed)
}

/// A text that names no session is a part of a stream's name.
fn look(admin: &Admin, search: &Search, cause: Option<Cause>, most: usize) -> (Vec<(SessionId, Known)>, usize) {
    let text = search.search.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let (access, stream) = (search.access.clone(), search.stream.clone());
    let query = index::Query { access, stream, cause, since: search.since, ..index::Query::default() };
    let index = admin.edge.stories.index.lock();
    let Some(text) = text else { return index.find(&query, most) };
    let found = names(admin, text, &query).map(|query| index.find(&query, most)).find(|(_, number)| *number > 0);
    found.unwrap_or_else(|| index.find(&index::Query { stream: Some(text.to_owned()), ..query.clone() }, most))
}

async fn story_of(admin: &Admin, text: &str, access: Option<&str>) -> Result<Story, NotTold> {
    let session = one(admin, text, access).await?;
    admin.edge.stories.story(session).await?.ok_or(NotTold::Nothing)
}

/// One session as a story, up to this moment.
#[utoipa::path(get, path = "/sessions/{id}/story", params(NamedBy), responses(
    (status = 200, body = Story),
    (status = 300, body = Found, description = "Several sessions are called so"),
    (status = 404, description = "Nothing of it is kept on this node"),
))]
pub async fn story(State(admin): State<Admin>, Path(id): Path<String>, Query(by): Query<NamedBy>) -> Response {
    match story_of(&admin, &id, by.access.as_deref()).await {
        Ok(story) => Json(story).into_response(),
        Err(why) => why.into_response(),
    }
}

/// What this node wrote down of a session: what a story is told from, together with what other nodes wrote.
#[utoipa::path(get, path = "/sessions/{id}/entries", params(NamedBy), responses(
    (status = 200, body = Entries),
    (status = 300, body = Found, description = "Several sessions are called so"),
    (status = 404, description = "Nothing of it is kept on this node"),
))]
pub async fn entries(State(admin): State<Admin>, Path(id): Path<String>, Query(by): Query<NamedBy>) -> Response {
    let told = async {
        let session = one(&admin, &id, by.access.as_deref()).await?;
        let told = admin.edge.stories.told(session).await?;
        if told.is_empty() { Err(NotTold::Nothing) } else { Ok((session, told)) }
    };
    match told.await {
        Ok((session, told)) => Json(Entries {
            node: admin.edge.stories.name().to_owned(),
            session: session.to_string(),
            entries: told.into_iter().map(|told| told.entry).collect(),
        })
        .into_response(),
        Err(why) => why.into_response(),
    }
}

/// Who else was hurt at the same time for the same cause.
#[utoipa::path(get, path = "/sessions/{id}/others", params(NamedBy), responses(
    (status = 200, body = OthersAnswer),
    (status = 300, body = Found, description = "Several sessions are called so"),
    (status = 404, description = "Nothing of it is kept on this node"),
))]
pub async fn others(State(admin): State<Admin>, Path(id): Path<String>, Query(by): Query<NamedBy>) -> Response {
    let answer = async {
        let story = story_of(&admin, &id, by.access.as_deref()).await?;
        let others = admin.edge.stories.others(&story).await?;
        let count = |of: &dyn Fn(&Story) -> Option<String>| {
            let mut counts = BTreeMap::new();
            let words = others.alike.iter().filter_map(of);
            words.for_each(|word| *counts.entry(word).or_default() += 1);
            counts
        };
        Ok::<_, NotTold>(OthersAnswer {
            cause: story.cause,
            fault: story.fault,
            sessions: others.alike.len(),
            examined: others.examined,
            complete: others.complete,
            streams: count(&|story| story.who.stream.clone()),
            protocols: count(&|story| story.who.protocols.last().cloned()),
            countries: count(&|story| story.who.country.clone()),
            players: count(&|story| story.who.player.clone()),
            found: others.alike.iter().take(LISTED).map(SessionRow::of).collect(),
        })
    };
    match answer.await {
        Ok(answer) => Json(answer).into_response(),
        Err(why) => why.into_response(),
    }
}

/// Erases what this node keeps of a session, in its journal and in batches that sinks refused. What has gone upstream is
/// the receiver's to erase.
#[utoipa::path(delete, path = "/sessions/{id}", params(NamedBy), responses(
    (status = 200, body = Erased),
    (status = 300, body = Found, description = "Several sessions are called so"),
    (status = 403, description = "The token may not erase sessions of this access"),
    (status = 404, description = "Nothing of it is kept on this node"),
    (status = 503, description = "The journal cannot be written anew; some of it may still be there"),
))]
pub async fn erase(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    Query(by): Query<NamedBy>,
    within: Option<Extension<Within>>,
) -> Response {
    let session = match one(&admin, &id, by.access.as_deref()).await {
        Ok(session) => session,
        Err(why) => return why.into_response(),
    };
    if let Some(Extension(Within(accesses))) = within {
        let index = admin.edge.stories.index.lock();
        let access = index.known(session).and_then(|known| known.access.clone());
        if !access.is_some_and(|access| accesses.iter().any(|name| **name == *access)) {
            let why = "the token may erase sessions of other accesses only: see `access` of [[admin.tokens]]";
            return problem(StatusCode::FORBIDDEN, "token-access", why);
        }
    }
    let erased = async {
        let entries = admin.edge.stories.erase(session).await?;
        Ok::<_, std::io::Error>(entries + admin.node.erase(session).await?)
    };
    match erased.await {
        Ok(0) => NotTold::Nothing.into_response(),
        Ok(entries) => Json(Erased { session: session.to_string(), entries }).into_response(),
        Err(error) => NotTold::from(error).into_response(),
    }
}

//! What players report of themselves, in batches: CMCD events (CTA-5004-B §2.2) and the generic beacon.
//!
//! A body is answered 204 once what it says is kept, whatever befalls the node then. What is wrong in it is dropped and
//! counted, piece by piece. Each record goes into the session of whoever sends it, by its credential or its device, and
//! into no other. Nothing here waits for media, and no media waits for it.

mod body;
mod records;
mod terms;
#[cfg(test)]
mod tests;
mod turn;
mod whose;

use std::time::Duration;

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::journal::NotKept;
use crate::rules::cors::{Cors, is_preflight, share_times};
use crate::rules::qoe::report::Mode;
use crate::rules::session::SessionId;
use crate::rules::timeline::event::Entry;
use crate::rules::token::carrier::Credential;
use crate::telemetry::beacons::{Dropped, Losses, Outcome};

use super::answer::{Access, Answer};
use super::edge::Edge;
use super::policies::{NoRoute, Policies, RoutePolicy};
use super::refusal::Unwelcome;
use super::witness::opener;
use super::{Head, Refusal, Upload};
use body::Coding;
use records::{Intake, Record};
use turn::Turn;
use whose::Presenting;

/// When to come back where reports cannot be kept now.
const RETRY: Duration = Duration::from_secs(5);

/// What is kept is kept within this, or it is not known whether it is.
const KEPT_WITHIN: Duration = Duration::from_secs(10);

/// From so full a ring on, in per cent, bodies of reports that come again and again are put off.
const BUSY: usize = 80;

/// And from so full a one, all that tell neither a state nor an error.
const BUSIER: usize = 90;

/// Answers go out after everything that is played, whatever is asked for (RFC 9218 §4.1, §8).
const LAST: HeaderValue = HeaderValue::from_static("u=7");
const PRIORITY: HeaderName = HeaderName::from_static("priority");

const SEC_GPC: HeaderName = HeaderName::from_static("sec-gpc");

/// What a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// CMCD events.
    Cmcd,
    /// Generic beacons.
    Generic,
}

impl Kind {
    /// What a reserved path takes.
    pub fn at(path: &str) -> Option<Self> {
        match path {
            "/.weir/cmcd" => Some(Self::Cmcd),
            "/.weir/beacon" => Some(Self::Generic),
            _ => None,
        }
    }

    const fn mode(self) -> Mode {
        match self {
            Self::Cmcd => Mode::Event,
            Self::Generic => Mode::Beacon,
        }
    }

    /// The types of its bodies, the first of them as it should be.
    const fn types(self) -> &'static [&'static str] {
        match self {
            // CTA-5004-A called it otherwise.
            Self::Cmcd => &["application/cmcd", "text/cmcd"],
            Self::Generic => &["application/json"],
        }
    }
}

/// A request with reports, of which all carriers were cut.
pub struct Beacon {
    kind: Kind,
    presenting: Presenting,
}

impl Beacon {
    /// Cuts what may be a credential of the host's accesses out of a request; `carried` stood in its path.
    pub fn cut(policies: &Policies, head: &mut Head, (kind, carried): (Kind, Option<Credential>)) -> Self {
        Self { kind, presenting: Presenting::cut(policies, head, carried) }
    }
}

/// The answer to a request with reports, or to the preflight of one.
///
/// # Errors
/// Those of a body that cannot be taken, of a credential that opens nothing, and of limits.
pub async fn answer(
    edge: &Edge,
    policies: &Policies,
    head: &Head,
    (beacon, upload): (Beacon, Upload),
) -> Result<Answer, Refusal> {
    if is_preflight(&head.method, &head.headers) {
        let fields = cors(policies, head).map(|cors| cors.preflight_of_reports(&head.headers)).unwrap_or_default();
        return Ok(Answer { access: Access::Settled, ..Answer::own(StatusCode::NO_CONTENT, fields) });
    }
    let taken = take(edge, policies, head, (beacon, upload)).await;
    let outcome = match &taken {
        Ok(()) => Outcome::Taken,
        Err(refusal) if is_later(refusal) => Outcome::Later,
        Err(_) => Outcome::Refused,
    };
    edge.beacons.answered(outcome, edge.clock.now().since(head.received));
    taken?;
    let fields = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static("no-store"))]);
    Ok(Answer::own(StatusCode::NO_CONTENT, fields))
}

/// Says on an answer that it can wait and, where it is not to a preflight, who may read it: whoever plays from here.
pub fn dress(policies: &Policies, head: &Head, headers: &mut HeaderMap) {
    headers.insert(PRIORITY, LAST);
    if is_preflight(&head.method, &head.headers) {
        return;
    }
    if let Some(cors) = cors(policies, head) {
        cors.apply(&head.headers, headers);
        share_times(headers);
    }
}

/// The rules for other sites: those of the first route of the host that allows the one that asks.
fn cors<'p>(policies: &'p Policies, head: &Head) -> Option<&'p Cors> {
    let mut all = routes(policies, head).filter_map(|route| route.cors.as_ref());
    let first = all.clone().next();
    all.find(|cors| cors.is_for(&head.headers)).or(first)
}

fn routes<'p>(policies: &'p Policies, head: &Head) -> impl Iterator<Item = &'p RoutePolicy> + Clone {
    let host = head.host().to_owned();
    policies.routes.iter().filter(move |route| route.serves_host(&host))
}

async fn take(
    edge: &Edge,
    policies: &Policies,
    head: &Head,
    (beacon, upload): (Beacon, Upload),
) -> Result<(), Refusal> {
    let qoe = &policies.config.qoe;
    if let Err(NoRoute::Host) = policies.route(head.host(), "/") {
        return Err(Refusal::MisdirectedHost);
    }
    if !qoe.enabled || !qoe.intake.beacons {
        return Err(Unwelcome::Off.into());
    }
    if head.method != Method::POST {
        return Err(Unwelcome::NotPosted.into());
    }
    let coding = body::coding(&head.headers, beacon.kind.types())?;
    let sender = beacon.presenting.sender(edge, policies, head)?;
    sender.may_send(edge, head)?;
    let by = sender.by(edge, head);
    let _place = edge.beacons.enter(by, opener(head).place()).ok_or(Unwelcome::NotKept { retry: RETRY })?;
    let body = body::read(edge, upload).await?;
    if !edge.beacons.has_time(by, edge.clock.now()) {
        return Err(Unwelcome::NotKept { retry: RETRY }.into());
    }
    let turn = Turn::new(edge);
    let (kind, losses) = (beacon.kind, Losses::default());
    let mut intake = Intake { edge, policies, head, kind, sender: &sender, turn, losses };
    let entries = entries(&mut intake, &body, coding).await;
    let losses = intake.losses;
    drop(intake);
    let kept = match entries {
        Ok(entries) => keep(edge, kind.mode(), entries).await,
        Err(refusal) => Err(refusal),
    };
    if !kept.as_ref().is_err_and(is_later) {
        edge.beacons.lost(&losses);
    }
    kept
}

/// Whether a body comes again.
fn is_later(refusal: &Refusal) -> bool {
    refusal.status() == StatusCode::TOO_MANY_REQUESTS
}

/// What a body comes to.
async fn entries(intake: &mut Intake<'_>, body: &Bytes, coding: Coding) -> Result<Vec<Entry>, Refusal> {
    let body = coding.decode(body)?;
    let records = intake.read(&body).await?;
    put_off(intake.edge.stories.pressure(), records.iter().map(Record::event))?;
    intake.entries(records).await
}

/// Where more is told than can be kept, what comes again and again waits first, and what tells states and errors last
/// (CTA-5004-B §6.15: players enlarge their batches).
fn put_off<'r>(pressure: usize, mut events: impl Iterator<Item = &'r str>) -> Result<(), Refusal> {
    let may_wait = match pressure {
        BUSIER.. => !events.any(|event| matches!(event, "ps" | "e")),
        BUSY.. => events.all(|event| matches!(event, "t" | "rr")),
        _ => false,
    };
    if may_wait { Err(Unwelcome::NotKept { retry: RETRY }.into()) } else { Ok(()) }
}

/// Completes when the entries are kept.
async fn keep(edge: &Edge, mode: Mode, entries: Vec<Entry>) -> Result<(), Refusal> {
    let count = entries.len();
    if count == 0 {
        return Ok(());
    }
    let kept = tokio::select! {
        kept = edge.stories.report(entries) => kept,
        () = edge.clock.sleep(KEPT_WITHIN) => Err(NotKept::Disk),
    };
    match kept {
        Ok(()) => {
            edge.beacons.kept(mode, count);
            Ok(())
        }
        Err(NotKept::Disk | NotKept::Full | NotKept::Stopping) => {
            edge.beacons.dropped(Dropped::NotKept, count);
            Err(Unwelcome::NotKept { retry: RETRY }.into())
        }
    }
}

/// Whether a viewer asks that nothing be kept of it but what playback needs (Global Privacy Control).
pub fn wants_privacy(head: &Head) -> bool {
    head.headers.get(SEC_GPC).is_some_and(|value| value == "1")
}

/// Whether a session is among those of which one in so many is kept.
pub fn is_chosen(session: SessionId, of: u32) -> bool {
    let [.., a, b, c, d] = session.0;
    of == 1 || of > 1 && u32::from_be_bytes([a, b, c, d]) % of == 0
}

//! One request to a group of origins: deadlines, one retry on a fresh connection, the next origin where one fails.
//! Extra requests are a small share of all, and what one origin alone knows is asked of no other.
//!
//! A request is sent a second time only if no octet of an answer came and nothing can happen twice: it was not sent at
//! all, or it is idempotent and has no body (RFC 9110 §9.2.2, HC-72). Only such a request goes on to the next origin.

use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::uri::{Authority, PathAndQuery};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::clock::{Clock, Tick, WallTime};
use crate::origin::answer::{Answer, AnswerBody, Expects, Settles, Timing, judge};
use crate::origin::ask::Ask;
use crate::origin::failure::{FetchError, Outcome, Wait};
use crate::origin::places::{Serial, Wish};
use crate::origin::pool::{Lease, LeaseError};
use crate::origin::select::{Candidates, failed, in_order};
use crate::origin::storage::Taken;
use crate::origin::{Group, Upstream};
use crate::outbound::link::{Broken, Driver, SendError};
use crate::outbound::payload::{Payload, Uptake};
use crate::region::proof::{Message, Signer, WEIR_PEER};
use crate::rules::fields::hop::strip_hop_by_hop;
use crate::rules::upstream::health::{Cause, Class, Standing};
use crate::rules::upstream::rendezvous::Print;
use crate::rules::upstream::select::hash;
use crate::tasks::Tasks;

/// Requests that an origin at rest is sent at once, where nothing else is left: it is not made worse, and whoever asks
/// for more is told at once.
const AT_REST: usize = 16;

/// A request on its way through a group.
struct Errand<'a> {
    tasks: &'a Tasks,
    group: &'a Group,
    ask: Ask,
    began: Tick,
    lane: u64,
    repeatable: bool,
    /// The print of the key of what is asked for, where another node is to know it.
    key: Option<Print>,
    /// Whether a cookie that an origin wanted back has been brought to it.
    brought_cookie: bool,
}

/// A failed attempt.
struct Failed {
    error: FetchError,
    next: Next,
    sent: Sent,
}

/// Whether anything of a request may have reached its origin: to send it again is an extra request then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Nothing,
    Perhaps,
}

/// What may follow a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The same origin, on a connection younger than this; or another origin.
    Again(Serial),
    /// Another origin.
    Elsewhere,
    /// Nothing: it could happen twice, or is not the origin's fault.
    GiveUp,
}

/// Asks the origins of `group` in order, until one answers.
///
/// # Errors
/// The last origin's failure, where none answered.
pub(super) async fn fetch(tasks: &Tasks, group: &Group, ask: Ask) -> Result<Answer, FetchError> {
    let Some(clock) = group.members.first().map(|upstream| upstream.clock.clone()) else {
        return Err(FetchError::NoOrigin);
    };
    let repeatable = ask.is_repeatable();
    let began = clock.now();
    let candidates = candidates(group, ask.course.only.as_deref(), began)?;
    group.budget.lock().asked(began);
    let mut errand =
        Errand { tasks, group, began, lane: lane(&ask), ask, repeatable, key: None, brought_cookie: false };
    let mut unwell_answer = None;
    let mut last_error = FetchError::NoOrigin;
    for (index, (upstream, standing)) in candidates.iter().enumerate() {
        let is_last = index + 1 == candidates.len();
        if is_last && matches!(standing, Standing::Resting(_)) && upstream.pool.taken().in_flight >= AT_REST {
            upstream.figures.refused();
            last_error = FetchError::Resting { origin: upstream.name.clone() };
            break;
        }
        let sent = match errand.run(upstream).await {
            Ok(answer) if is_unwell(answer.status) => {
                errand.blame(upstream, Class::Unwell);
                if is_last || !repeatable {
                    return Ok(answer);
                }
                unwell_answer = Some(answer);
                Sent::Perhaps
            }
            Ok(answer) => {
                upstream.memory.succeeded(clock.now());
                return Ok(answer);
            }
            Err(Failed { error, next, sent }) => {
                upstream.figures.count(error.outcome());
                if let Some(class) = error.class() {
                    errand.blame(upstream, class);
                }
                last_error = error;
                if next == Next::GiveUp {
                    break;
                }
                sent
            }
        };
        if !is_last {
            if !errand.may_go_on(upstream, sent) {
                break;
            }
            upstream.figures.failed_over();
        }
    }
    unwell_answer.ok_or(last_error)
}

/// Who is asked. Where one origin alone knows what is asked for, and takes no connections, nobody waits to hear that.
fn candidates(group: &Group, only: Option<&str>, now: Tick) -> Result<Candidates, FetchError> {
    let candidates = match only {
        None => in_order(&group.members, now),
        Some(only) => {
            let named: Vec<_> = group.members.iter().filter(|upstream| *upstream.name == *only).cloned().collect();
            in_order(&named, now)
        }
    };
    match candidates.first() {
        None => Err(FetchError::NoOrigin),
        Some((upstream, Standing::Resting(Cause::Failures(Class::Connect | Class::Timeout)))) if only.is_some() => {
            upstream.figures.refused();
            Err(FetchError::Resting { origin: upstream.name.clone() })
        }
        Some(_) => Ok(candidates),
    }
}

/// Requests of one stream wait together; without a stream, those of one folder.
fn lane(ask: &Ask) -> u64 {
    let path = ask.path_and_query.path();
    let folder = &path[..path.rfind('/').unwrap_or(0)];
    ask.course.stream.map_or_else(|| hash(folder.as_bytes()), |stream| stream.0)
}

/// An answer that speaks of the origin, not of what was asked for.
pub(super) fn is_unwell(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT)
}

impl Failed {
    const fn unsent(error: FetchError, next: Next) -> Self {
        Self { error, next, sent: Sent::Nothing }
    }

    const fn sent(error: FetchError, next: Next) -> Self {
        Self { error, next, sent: Sent::Perhaps }
    }
}

impl Errand<'_> {
    /// It speaks against an origin's health. An origin that holds a reload and has nothing new for that stream at last
    /// says nothing of its other streams.
    fn blame(&self, upstream: &Arc<Upstream>, class: Class) {
        let may_be_held = self.ask.first_byte.is_some();
        if !(may_be_held && matches!(class, Class::Unwell | Class::Timeout)) {
            failed(&self.group.members, upstream, upstream.clock.now(), class);
        }
    }

    /// Whether it may be sent once more. What was sent already is sent again only while few are.
    fn may_go_on(&self, upstream: &Upstream, sent: Sent) -> bool {
        let may = sent == Sent::Nothing || self.group.budget.lock().spend(upstream.clock.now());
        if !may {
            upstream.figures.spared();
        }
        may
    }

    /// One origin: one attempt, and one more on a fresh connection.
    async fn run(&mut self, upstream: &Arc<Upstream>) -> Result<Answer, Failed> {
        let failed = match self.attempt(upstream, Serial::default()).await {
            Ok(answer) => return Ok(answer),
            Err(failed) => failed,
        };
        let Next::Again(younger_than) = failed.next else { return Err(failed) };
        if !self.may_go_on(upstream, failed.sent) {
            return Err(failed);
        }
        upstream.figures.retried();
        self.attempt(upstream, younger_than).await
    }

    async fn attempt(&mut self, upstream: &Arc<Upstream>, younger_than: Serial) -> Result<Answer, Failed> {
        let clock = &upstream.clock;
        let driver = Driver { clock, tasks: self.tasks };
        let leased = upstream.pool.lease(driver, Wish { younger_than, lane: self.lane }).await;
        let not_leased = |error| Failed::unsent(not_leased(upstream, error), Next::Elsewhere);
        let mut lease = leased.map_err(not_leased)?;
        let (payload, uptake) = match self.ask.body.take() {
            Some(source) => {
                let (payload, uptake) = Payload::new(source, clock);
                (payload, Some(uptake))
            }
            None => (Payload::none(), None),
        };
        let Some(mut request) = self.ask.written(&upstream.config, lease.protocol(), payload) else {
            let error = FetchError::Unaskable { origin: upstream.name.clone() };
            return Err(Failed::unsent(error, Next::GiveUp));
        };
        self.ask.course.interims.listen(&mut request);
        let path = request.uri().path().to_owned();
        let sent = upstream.storage.dress(&mut request, &self.ask, (clock, self.tasks));
        if let Some(signer) = &upstream.signer {
            prove(signer, &mut request, (self.key, clock.wall()));
        }
        let settles = if uptake.is_some() { Settles::AtOnce } else { Settles::WithTheConnection };
        let sent_at = clock.now();
        let limit = self.ask.first_byte.unwrap_or_default().max(upstream.config.first_byte);
        let response = tokio::select! {
            biased;
            response = lease.send(request) => response.map_err(|error| self.not_answered(upstream, &lease, error))?,
            () = silence(clock, sent_at, limit, uptake) => {
                lease.retire_if_silent();
                let error = FetchError::Timeout { origin: upstream.name.clone(), which: Wait::FirstByte };
                return Err(Failed::sent(error, self.if_repeatable(Next::Elsewhere)));
            }
        };
        let first_byte = clock.now().since(sent_at);
        upstream.figures.first_byte(first_byte);
        let timing = Timing { before: sent_at.since(self.began), first_byte };
        let mut answer = self.judged(upstream, lease, response, (settles, timing)).map_err(|what| {
            let error = FetchError::Malformed { origin: upstream.name.clone(), what };
            Failed::sent(error, self.if_repeatable(Next::Elsewhere))
        })?;
        match upstream.storage.takes(&mut answer, (&self.ask, &path, sent), clock) {
            Taken::WantsItsCookieBack if !self.brought_cookie => {
                self.brought_cookie = true;
                answer.body.unread().await;
                upstream.figures.retried();
                Box::pin(self.attempt(upstream, Serial::default())).await
            }
            Taken::WantsItsCookieBack | Taken::AsItIs => Ok(answer),
        }
    }

    fn not_answered(&mut self, upstream: &Upstream, lease: &Lease, error: SendError) -> Failed {
        let broken = match error {
            SendError::Unsent(request) => {
                self.ask.body = request.into_body().into_source();
                let detail = "the connection ended before the request".into();
                let error = FetchError::Reset { origin: upstream.name.clone(), detail };
                return Failed::unsent(error, Next::Again(upstream.pool.newest()));
            }
            SendError::Broken(broken) => broken,
        };
        let next = match &broken {
            Broken::Source => Next::GiveUp,
            Broken::Malformed(_) => self.if_repeatable(Next::Elsewhere),
            Broken::StreamReset(_) => self.if_repeatable(Next::Again(Serial::default())),
            Broken::Refused | Broken::Reset(_) if lease.began_to_answer() => self.if_repeatable(Next::Elsewhere),
            Broken::Refused | Broken::Reset(_) => self.if_repeatable(Next::Again(upstream.pool.newest())),
        };
        if broken == Broken::Refused {
            lease.retire();
        }
        // What was refused was not taken (RFC 9113 §8.7): to send it again asks for nothing twice.
        let sent = if broken == Broken::Refused { Sent::Nothing } else { Sent::Perhaps };
        Failed { error: FetchError::broken(&upstream.name, broken), next, sent }
    }

    fn if_repeatable(&self, next: Next) -> Next {
        if self.repeatable { next } else { Next::GiveUp }
    }

    fn judged(
        &self,
        upstream: &Arc<Upstream>,
        lease: Lease,
        response: Response<Incoming>,
        (settles, timing): (Settles, Timing),
    ) -> Result<Answer, String> {
        let judged = judge(&response, &self.ask.method, &lease)?;
        let (mut head, incoming) = response.into_parts();
        strip_hop_by_hop(&mut head.headers);
        upstream.figures.count(if head.status.is_server_error() { Outcome::ServerError } else { Outcome::Answered });
        let expects = Expects { octets: judged.expected, settles };
        Ok(Answer {
            status: head.status,
            version: head.version,
            headers: head.headers,
            body: AnswerBody::new(incoming, lease, upstream, expects),
            origin: upstream.name.clone(),
            announced_length: judged.announced_length,
            framing: judged.framing,
            timing,
            found_at: None,
        })
    }
}

/// Proves to the node that is asked that this one belongs to its region.
fn prove(signer: &Signer, request: &mut Request<Payload>, (key, now): (Option<Print>, WallTime)) {
    let named = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = request.uri().authority().map(Authority::as_str).or(named).unwrap_or_default().to_ascii_lowercase();
    let target = request.uri().path_and_query().map_or("", PathAndQuery::as_str);
    let proof = signer.sign(Message { method: request.method(), host: &host, target }, key, now);
    request.headers_mut().insert(WEIR_PEER, proof);
}

/// Asks one upstream; nothing is judged of its answer but that it is one.
///
/// # Errors
/// Its failure.
pub(super) async fn once(tasks: &Tasks, upstream: &Arc<Upstream>, ask: Ask, key: Print) -> Result<Answer, FetchError> {
    let (repeatable, group) = (ask.is_repeatable(), Group::alone(upstream));
    let began = upstream.clock.now();
    group.budget.lock().asked(began);
    let lane = lane(&ask);
    let group = &group;
    let mut errand = Errand { tasks, group, ask, began, lane, repeatable, key: Some(key), brought_cookie: false };
    errand.run(upstream).await.map_err(|failed| {
        upstream.figures.count(failed.error.outcome());
        failed.error
    })
}

fn not_leased(upstream: &Upstream, error: LeaseError) -> FetchError {
    let origin = upstream.name.clone();
    match error {
        LeaseError::QueueFull => FetchError::QueueFull { origin },
        LeaseError::Timeout(which) => FetchError::Timeout { origin, which },
        LeaseError::Dial(error) => FetchError::dial(&origin, error),
        LeaseError::Broken(broken) => FetchError::broken(&origin, broken),
    }
}

/// Completes when the origin has neither answered nor taken a piece of the request's body for `limit`.
async fn silence(clock: &Clock, sent_at: Tick, limit: Duration, uptake: Option<Uptake>) {
    let mut since = sent_at;
    loop {
        clock.sleep_until(since + limit).await;
        let last = uptake.as_ref().map_or(sent_at, |uptake| uptake.silent_since().max(sent_at));
        if last <= since {
            return;
        }
        since = last;
    }
}

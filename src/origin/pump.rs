//! Fetch → fill, in a task of its own: no viewer owns a fill. The pump decides, by the rules, who may share what
//! arrives and whether it is stored, and copies the body into the fill as it comes. When all readers have left, media
//! that will be stored is finished, for the next viewer wants it; anything else is given up.
//!
//! Media that a stream has promised may be asked for before it exists: an origin that does not hold such a request says
//! 404 for now, and is asked again and again within the same fill, until it has it or the promise is withdrawn.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_ENCODING, VARY};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Method, StatusCode};
use http_body::Body;
use tracing::{debug, info, warn};

use crate::cache::{FillFailure, FillWriter, Object, Sharing, Transmission};
use crate::clock::{Clock, Tick};
use crate::outbound::interim::Interims;
use crate::rules::caching::freshness::Times;
use crate::rules::caching::negative::Errors;
use crate::rules::caching::storable::{SetCookie, Verdict};
use crate::rules::caching::validator;
use crate::rules::qoe::cmsd;
use crate::tasks::Tasks;

use super::course::{Concern, Course};
use super::judge::{complete, forbids, is_playlist, sharing};
use super::peers::{Shared, is_peer};
use super::promise::{Promise, Withdrawn};
use super::redirect;
use super::resume::{Broken, Pouring};
use super::{Answer, AnswerBody, Ask, FetchError, Naming, Origins, told};

/// What is to be fetched.
pub struct Fetching {
    /// Where from.
    pub origins: Arc<Origins>,
    /// Which of them, in order of preference.
    pub group: Vec<String>,
    /// Path and query, before the origin's base path.
    pub target: PathAndQuery,
    /// The fields of the request.
    pub fields: HeaderMap,
    /// Fields on which Vary means nothing: no request for it carries them, or the operator says so.
    pub unvaried: Arc<[HeaderName]>,
    /// What is done with Set-Cookie.
    pub cookies: SetCookie,
    /// What the viewer called the edge, for origins that want to see it.
    pub viewer_authority: Option<String>,
    /// The stale object that the origin may confirm.
    pub validates: Option<Arc<Object>>,
    /// What is stored for other requests, and the origin may choose in its place (RFC 9111 §4.3.1).
    pub siblings: Vec<Arc<Object>>,
    /// By which rules the answer is judged.
    pub terms: Terms,
    /// Who hears what its origin says before the answer.
    pub interims: Interims,
    /// For how long errors are kept that say nothing of it.
    pub errors: Errors,
    /// How the region's owner is asked before the origins; `None`: it is not.
    pub shared: Option<Shared>,
    /// Who names it, where a stream of several origins does; `None`: any origin of the group is asked.
    pub naming: Option<Naming>,
    /// What it is for.
    pub concern: Option<Concern>,
}

impl Fetching {
    /// The course of a request for it now.
    pub fn course(&self) -> Course {
        let course = self.naming.as_ref().map(Naming::course).unwrap_or_default();
        Course { concern: self.concern.clone(), ..course }
    }

    /// Asks once: the region's owner first, where it is known to others.
    ///
    /// # Errors
    /// As [`Origins::fetch`].
    pub async fn fetch(&self, tasks: &Tasks, ask: Ask) -> Result<Answer, FetchError> {
        self.origins.fetch_shared(tasks, &self.group, ask, (self.shared.as_ref(), None)).await
    }
}

/// By which rules an answer is judged.
#[derive(Clone)]
pub enum Terms {
    /// RFC 9111 alone.
    Plain,
    /// RFC 9111, unless it turns out to be a playlist of a live stream.
    Unnamed,
    /// Media that a stream names, and that it may have promised before it exists.
    Media(Option<Promise>),
}

/// What came is a playlist, which nobody reads from a fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what came is a playlist of a live stream")]
pub struct IsPlaylist;

/// How long the next origin may take to be known to list the same as one that is dead.
const SUCCESSION: Duration = Duration::from_millis(500);

/// Fetches one object into its fill.
pub struct Pump {
    fetching: Fetching,
    clock: Clock,
    tasks: Tasks,
}

/// What the readers' leaving means for a fill.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WhenUnread {
    Finish,
    Stop,
}

/// Another origin than the one that was asked lists the same.
struct PassedOn;

/// What became of a request whose answer is awaited.
enum Came {
    Answer(Box<Result<Answer, FetchError>>),
    Withdrawn,
    Unwanted,
}

/// What comes next of a body.
enum Next {
    Octets(Bytes),
    End,
    Failed(FetchError),
    Unread,
}

impl Pump {
    /// A pump for one object, whose connections run on `tasks`.
    pub fn new(fetching: Fetching, clock: Clock, tasks: Tasks) -> Self {
        Self { fetching, clock, tasks }
    }

    /// Fetches to the end, or until nobody wants it.
    pub async fn run(self, mut writer: FillWriter) {
        if self.fetching.validates.is_none() {
            let Some(kept) = writer.from_disk(&self.fetching.fields).await else { return };
            writer = kept;
        }
        let mut promise = self.promise().cloned();
        let began = self.clock.now();
        loop {
            let requested = self.clock.now();
            let number = told::number();
            let fetched = self.fetch_while_wanted(writer, promise.as_mut(), number).await;
            let Some((mut outcome, kept)) = fetched else { return };
            writer = kept;
            let fetch = told::fetch(number, &outcome, self.clock.now().since(requested));
            let hops = outcome.as_mut().map(|answer| cmsd::take_dynamic(&mut answer.headers)).unwrap_or_default();
            writer.comes_by(Transmission { fetch: Some(Arc::new(fetch)), hops });
            match (outcome, &mut promise) {
                (Ok(answer), Some(promise)) if answer.status == StatusCode::NOT_FOUND => {
                    drop(answer);
                    if let Err(withdrawn) = promise.not_yet(&self.clock, (began, requested)).await {
                        return writer.fail(FillFailure::new(withdrawn));
                    }
                }
                (Ok(answer), _) if answer.status == StatusCode::NOT_MODIFIED => {
                    return self.confirm(answer, requested, writer).await;
                }
                // Where media is must not be each player's to find out: what is not followed is no answer.
                (Ok(answer), _) if self.is_of_stream() && redirect::is_one(answer.status) => {
                    return fail(writer, FetchError::Redirected { origin: answer.origin });
                }
                (Err(error), promise) => match self.passed_on(&error, promise.as_mut()).await {
                    Some(PassedOn) => {}
                    None => return self.fill(Err(error), requested, writer).await,
                },
                (outcome, _) => return self.fill(outcome, requested, writer).await,
            }
        }
    }

    /// Keeps what somebody else has asked for: an answer to POST that stands for a GET.
    pub async fn keep(self, mut answer: Answer, requested: Tick, writer: FillWriter) {
        let hops = cmsd::take_dynamic(&mut answer.headers);
        writer.comes_by(Transmission { fetch: None, hops });
        self.fill(Ok(answer), requested, writer).await;
    }

    /// The origin that alone knew it gives no sign of life: whether another one lists the same, within a while.
    async fn passed_on(&self, error: &FetchError, promise: Option<&mut Promise>) -> Option<PassedOn> {
        let mut naming = self.fetching.naming.clone()?;
        let only = naming.course().only.filter(|only| error.is_dead() && error.origin() == Some(only))?;
        tokio::select! {
            biased;
            () = naming.passed_on(&only) => Some(PassedOn),
            () = Promise::withdrawn(promise) => None,
            () = self.clock.sleep(SUCCESSION) => None,
        }
    }

    /// The origin's answer, and the writer back; `None` where the promise was withdrawn, or where all who waited for
    /// its head have left, and neither what is asked for nor why says that others will come.
    async fn fetch_while_wanted(
        &self,
        mut writer: FillWriter,
        promise: Option<&mut Promise>,
        number: u64,
    ) -> Option<(Result<Answer, FetchError>, FillWriter)> {
        let finishes = self.fetching.validates.is_some() || self.fetching.is_named_as_media();
        let mut withdrawn = pin!(Promise::withdrawn(promise));
        let candidates = self.candidates();
        let mut fetch = pin!(self.fetch(&candidates, Some(number)));
        loop {
            let outcome = poll_fn(|cx| {
                if let Poll::Ready(outcome) = fetch.as_mut().poll(cx) {
                    return Poll::Ready(Came::Answer(Box::new(outcome)));
                }
                if withdrawn.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Came::Withdrawn);
                }
                match finishes {
                    true => Poll::Pending,
                    false => writer.poll_unwanted(cx).map(|()| Came::Unwanted),
                }
            });
            match outcome.await {
                Came::Answer(outcome) => return Some((*outcome, writer)),
                Came::Withdrawn => {
                    writer.fail(FillFailure::new(Withdrawn));
                    return None;
                }
                // Where somebody came in the same moment, they are the one who waits now.
                Came::Unwanted => writer = *writer.give_up().err()?,
            }
        }
    }

    /// The stored objects that the origin is asked about. A date says something of one alone, and a coding must be one
    /// that the request accepts, whatever the origin takes for the same.
    fn candidates(&self) -> Vec<&Arc<Object>> {
        let has_tag = |object: &Arc<Object>| object.head.validators.entity_tag().is_some();
        match &self.fetching.validates {
            Some(own) if !has_tag(own) => vec![own],
            own => {
                let is_plain = |object: &&Arc<Object>| !object.head.headers.contains_key(CONTENT_ENCODING);
                let is_whole = |object: &&Arc<Object>| object.head.status == StatusCode::OK && has_tag(object);
                let others = self.fetching.siblings.iter().filter(is_whole).filter(is_plain);
                own.iter().chain(others).collect()
            }
        }
    }

    async fn fetch(&self, validates: &[&Arc<Object>], number: Option<u64>) -> Result<Answer, FetchError> {
        let mut headers = self.fetching.fields.clone();
        headers.extend(validator::conditional_request(validates.iter().map(|object| &object.head.validators)));
        let ask = Ask {
            method: Method::GET,
            path_and_query: self.fetching.target.clone(),
            headers,
            viewer_authority: self.fetching.viewer_authority.clone(),
            body: None,
            first_byte: self.promise().map(|promise| promise.patience),
            course: Course { interims: self.fetching.interims.clone(), number, ..self.fetching.course() },
        };
        self.fetching.fetch(&self.tasks, ask).await
    }

    /// The rest of a body of which so many octets have come, from another one than `avoided`: its body, and how many
    /// octets of that are known already.
    async fn rest(&self, broken: &mut Broken, got: u64, avoided: &str) -> Option<(Answer, u64)> {
        let mut headers = self.fetching.fields.clone();
        headers.extend(broken.question(got)?);
        let ask = Ask {
            method: Method::GET,
            path_and_query: self.fetching.target.clone(),
            headers,
            viewer_authority: self.fetching.viewer_authority.clone(),
            body: None,
            first_byte: self.promise().map(|promise| promise.patience),
            course: self.fetching.course(),
        };
        let Fetching { origins, group, shared, .. } = &self.fetching;
        let answer = origins.fetch_shared(&self.tasks, group, ask, (shared.as_ref(), Some(avoided))).await.ok()?;
        let known = broken.continues(&answer, got)?;
        Some((answer, known))
    }

    /// The origin says that a stored object still holds (RFC 9111 §4.3.4). Where it speaks of none that it was asked
    /// about, the whole is fetched after all. What it forbids to keep is not refreshed: each asks for itself.
    async fn confirm(self, answer: Answer, requested: Tick, writer: FillWriter) {
        let candidates = self.candidates();
        let validators: Vec<_> = candidates.iter().map(|object| &object.head.validators).collect();
        let Some(confirmed) = validator::select_for_304(&validators, &answer.headers) else {
            let outcome = self.fetch(&[], None).await;
            return self.fill(outcome, requested, writer).await;
        };
        let object = candidates[confirmed];
        let times = self.times(requested);
        let mut headers = object.head.headers.clone();
        validator::update_from_304(&mut headers, &answer.headers, times.responded_wall);
        match self.fetching.head(object.head.status, headers, times) {
            Some((_, Verdict { storable: Err(why), .. })) if forbids(why) => writer.fail_unshared(),
            Some((head, _)) => writer.refreshed(object.with_head(head)),
            None => writer.fail_unshared(),
        }
    }

    fn is_of_stream(&self) -> bool {
        matches!(self.fetching.terms, Terms::Media(_))
    }

    fn promise(&self) -> Option<&Promise> {
        match &self.fetching.terms {
            Terms::Media(promise) => promise.as_ref(),
            Terms::Plain | Terms::Unnamed => None,
        }
    }

    fn times(&self, requested: Tick) -> Times {
        Times { requested, responded: self.clock.now(), responded_wall: self.clock.wall() }
    }

    async fn fill(self, outcome: Result<Answer, FetchError>, requested: Tick, mut writer: FillWriter) {
        let answer = match outcome {
            Ok(answer) => answer,
            Err(error) => return fail(writer, error),
        };
        let Answer { status, mut headers, body, announced_length, framing, origin, .. } = answer;
        let broken = is_peer(&origin).then(|| Broken::new(status, &headers, announced_length)).flatten();
        if matches!(self.fetching.terms, Terms::Unnamed) && status == StatusCode::OK && is_playlist(&headers) {
            return writer.fail(FillFailure::new(IsPlaylist));
        }
        let times = self.times(requested);
        complete(&mut headers, times);
        let (head, sharing) = match self.fetching.head(status, headers.clone(), times) {
            Some((head, verdict)) if self.fetching.is_at_fault(status, &verdict) => (head, Sharing::AtFault),
            Some((head, verdict)) => (head, sharing(&verdict, framing)),
            None => {
                // What varies on everything fits one request alone, whatever the others carry.
                headers.remove(VARY);
                let Some((mut head, _)) = self.fetching.head(status, headers, times) else { return };
                head.headers.insert(VARY, http::HeaderValue::from_static("*"));
                (head, Sharing::Private)
            }
        };
        let unread = match sharing {
            // What was stale is wanted again, also where its viewers were answered at once and have gone.
            Sharing::Shared { store: true } | Sharing::Waiting { store: true }
                if self.fetching.validates.is_some() || self.fetching.is_media(&head) =>
            {
                WhenUnread::Finish
            }
            Sharing::Shared { .. } | Sharing::Waiting { .. } | Sharing::Private | Sharing::AtFault => WhenUnread::Stop,
        };
        if writer.head(head, announced_length, sharing).is_ok() {
            let pouring = Pouring { body, skip: 0, got: 0, from: origin, broken };
            self.pour(pouring, unread, writer).await;
        }
    }
}

impl Pump {
    /// Copies a body into its fill. Where it breaks off, and another node or origin has the same, the rest comes from
    /// there: nobody who reads it notices.
    async fn pour(&self, mut pouring: Pouring, unread: WhenUnread, mut writer: FillWriter) {
        loop {
            match next(Pin::new(&mut pouring.body), unread, &mut writer).await {
                Next::Octets(octets) => {
                    let Some(octets) = pouring.unknown(octets) else { continue };
                    if let Err(end) = writer.push(octets) {
                        return debug!(%end, "fill ended early");
                    }
                }
                Next::End => return writer.complete(),
                Next::Failed(error) => {
                    if !self.resume(&mut pouring).await {
                        return fail(writer, error);
                    }
                    info!(cause = %error, got = pouring.got, to = &*pouring.from, "a body goes on from elsewhere");
                }
                Next::Unread => match writer.give_up() {
                    Ok(()) => return,
                    // Somebody came in the same moment.
                    Err(kept) => writer = *kept,
                },
            }
        }
    }

    /// Whether a body that broke off goes on from elsewhere.
    async fn resume(&self, pouring: &mut Pouring) -> bool {
        let Some(broken) = &mut pouring.broken else { return false };
        let Some((answer, known)) = self.rest(broken, pouring.got, &pouring.from).await else { return false };
        pouring.skip = known;
        pouring.from = answer.origin;
        pouring.body = answer.body;
        true
    }
}

/// The next octets, read only once there is room for them.
async fn next(mut body: Pin<&mut AnswerBody>, unread: WhenUnread, writer: &mut FillWriter) -> Next {
    poll_fn(|cx| {
        let is_unread = writer.poll_unwanted(cx).is_ready();
        // Looked at in this order: a satisfied reader says so before it leaves.
        let finishes = writer.should_finish() || unread == WhenUnread::Finish && writer.will_be_stored();
        if is_unread && !finishes {
            return Poll::Ready(Next::Unread);
        }
        if writer.poll_ready(cx).is_pending() {
            return Poll::Pending;
        }
        loop {
            match body.as_mut().poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(Next::End),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Next::Failed(error)),
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(octets) if !octets.is_empty() => return Poll::Ready(Next::Octets(octets)),
                    Ok(_) | Err(_) => {}
                },
            }
        }
    })
    .await
}

fn fail(writer: FillWriter, error: FetchError) {
    warn!(cause = %error, "fetch failed");
    writer.fail(FillFailure::new(error));
}

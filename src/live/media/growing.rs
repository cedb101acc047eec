//! A segment that still grows, and whose parts are ranges of it: one fill, fed by one request after the other.
//!
//! An origin may stream the rest as it comes, answer each hint with its part, or know no more than the length of a file
//! that grows: each request asks for what is not there yet. Octets come in order, each once, and are passed on part by
//! part, as the playlist lists them. The segment is whole once the playlist has closed it and all of it is there.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED, RANGE};
use http::{HeaderValue, Method, StatusCode};
use http_body::Body as _;
use tokio::sync::watch;
use tracing::debug;

use crate::cache::{FillFailure, FillWriter, Sharing};
use crate::clock::{Clock, Tick};
use crate::origin::judge;
use crate::origin::promise::Withdrawn;
use crate::origin::pump::Fetching;
use crate::origin::redirect;
use crate::origin::{Answer, AnswerBody, Ask, FetchError, Framing};
use crate::rules::caching::freshness::Times;
use crate::rules::caching::range::{self, OPEN_END};
use crate::tasks::Tasks;

/// How far a segment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Its parts that are listed cover so many octets.
    Open(u64),
    /// It is listed itself, and has so many; 0: nobody has said.
    Closed(u64),
    /// It is neither hinted nor listed any more.
    Withdrawn,
}

/// How a segment grows, and how its origin is asked.
pub(super) struct Growth {
    pub extent: watch::Receiver<Extent>,
    /// The shortest time between two requests that bring nothing.
    pub pace: Duration,
    /// For how long an origin may hold a request, and for how long nothing may come.
    pub patience: Duration,
}

/// Feeds the fill of one growing segment.
pub(super) struct Grower {
    pub fetching: Fetching,
    pub growth: Growth,
    pub clock: Clock,
    pub tasks: Tasks,
}

/// What has arrived of it.
struct Stock {
    writer: FillWriter,
    has_head: bool,
    /// What is not passed on yet.
    held: VecDeque<Bytes>,
    passed: u64,
    received: u64,
}

/// Why it comes to nothing.
enum Broken {
    Withdrawn,
    Fetch(FetchError),
    /// What comes may not be shared: its ranges are one viewer's each, who asks for them alone.
    Unshared,
    /// The fill has ended already.
    Fill,
}

impl From<FetchError> for Broken {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}

impl Grower {
    /// Feeds it to its end.
    pub async fn run(mut self, writer: FillWriter) {
        let mut stock = Stock { writer, has_head: false, held: VecDeque::new(), passed: 0, received: 0 };
        match self.grow(&mut stock).await {
            Ok(()) => stock.writer.complete(),
            Err(Broken::Withdrawn) => stock.writer.fail(FillFailure::new(Withdrawn)),
            Err(Broken::Fetch(error)) => {
                tracing::warn!(cause = %error, "a growing segment broke off");
                stock.writer.fail(FillFailure::new(error));
            }
            Err(Broken::Unshared) => stock.writer.fail_unshared(),
            Err(Broken::Fill) => debug!("the fill of a growing segment ended early"),
        }
    }

    async fn grow(&mut self, stock: &mut Stock) -> Result<(), Broken> {
        let mut progress = self.clock.now();
        loop {
            let extent = *self.growth.extent.borrow_and_update();
            stock.pass_on(extent).await?;
            match extent {
                Extent::Closed(total) if stock.has_head && total > 0 && stock.received >= total => return Ok(()),
                Extent::Withdrawn => return Err(Broken::Withdrawn),
                Extent::Open(_) | Extent::Closed(_) => {}
            }
            let (asked, before) = (self.clock.now(), stock.received);
            let outcome = self.ask(stock, extent).await;
            let mut next = asked + self.growth.pace;
            if stock.received > before {
                progress = self.clock.now();
                // What came to an end that nobody announced is over, and the playlist is about to say so.
                let streamed = matches!(outcome, Ok(Ended::Streamed));
                next = progress + self.growth.pace * if streamed { 4 } else { 1 };
            }
            match outcome {
                // All that the resource has: there is no more where its length was never said.
                Ok(Ended::Whole | Ended::Streamed) if matches!(*self.growth.extent.borrow(), Extent::Closed(0)) => {
                    return Ok(());
                }
                Ok(_) => {}
                Err(Broken::Fetch(error)) if self.clock.now().since(progress) < self.growth.patience => {
                    debug!(cause = %error, "asking again for a growing segment");
                }
                Err(broken) => return Err(broken),
            }
            if self.clock.now().since(progress) > self.growth.patience {
                return Err(Broken::Withdrawn);
            }
            let is_behind = match *self.growth.extent.borrow() {
                Extent::Open(covered) => stock.received <= covered,
                Extent::Closed(_) | Extent::Withdrawn => true,
            };
            // What has brought nothing, or more than is listed, has come too early.
            if stock.received == before || !is_behind {
                self.rest_until(next).await;
            }
        }
    }

    /// Waits until the playlist says something new, and no longer than until `next`.
    async fn rest_until(&mut self, next: Tick) {
        tokio::select! {
            biased;
            Ok(()) = self.growth.extent.changed() => {}
            () = self.clock.sleep_until(next) => {}
        }
    }

    /// One request for what is not there yet.
    async fn ask(&mut self, stock: &mut Stock, extent: Extent) -> Result<Ended, Broken> {
        let from = stock.received;
        let last = match extent {
            Extent::Closed(total) if from < total => total - 1,
            // An origin that streams it is then asked once, wherever the segment was come upon.
            Extent::Open(_) | Extent::Closed(_) | Extent::Withdrawn => OPEN_END,
        };
        let mut headers = self.fetching.fields.clone();
        let whole = from == 0 && matches!(extent, Extent::Closed(_));
        if !whole {
            let range = HeaderValue::try_from(format!("bytes={from}-{last}")).expect("digits are a field value");
            headers.insert(RANGE, range);
        }
        let ask = Ask {
            method: Method::GET,
            path_and_query: self.fetching.target.clone(),
            headers,
            viewer_authority: self.fetching.viewer_authority.clone(),
            body: None,
            first_byte: Some(self.growth.patience),
            course: self.fetching.course(),
        };
        let requested = self.clock.now();
        let answer = {
            let fetch = pin!(self.fetching.fetch(&self.tasks, ask));
            let mut extent = self.growth.extent.clone();
            tokio::select! {
                biased;
                answer = fetch => answer?,
                () = withdrawn(&mut extent) => return Err(Broken::Withdrawn),
            }
        };
        let origin = answer.origin.clone();
        let skip = match (answer.status, range::first_of(&answer.headers)) {
            (StatusCode::OK, _) => from,
            (StatusCode::PARTIAL_CONTENT, Some(first)) if first <= from => from - first,
            (StatusCode::NOT_FOUND | StatusCode::RANGE_NOT_SATISFIABLE, _) => return Ok(Ended::NotYet),
            (status, _) if redirect::is_one(status) => return Err(FetchError::Redirected { origin }.into()),
            (status, _) => {
                let what = format!("it answers the range from {from} on with {status} and another one, or none");
                return Err(FetchError::Malformed { origin, what }.into());
            }
        };
        let ended = match (answer.status, answer.framing, answer.announced_length) {
            (_, Framing::Delimited, None) => Ended::Streamed,
            (StatusCode::OK, Framing::Delimited | Framing::ClosedProven, _) => Ended::Whole,
            _ => Ended::Part,
        };
        let body = self.begin(stock, answer, requested)?;
        self.pour(stock, body, skip).await?;
        Ok(ended)
    }

    /// Gives the fill its head, if it has none yet.
    fn begin(&self, stock: &mut Stock, answer: Answer, requested: Tick) -> Result<AnswerBody, Broken> {
        if stock.has_head {
            return Ok(answer.body);
        }
        let times = Times { requested, responded: self.clock.now(), responded_wall: self.clock.wall() };
        let mut headers = answer.headers;
        // What identifies a state of the file does not identify the segment.
        for name in [CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED] {
            headers.remove(name);
        }
        let (head, sharing) = judge::media_head(StatusCode::OK, headers, times);
        if sharing == Sharing::Private {
            return Err(Broken::Unshared);
        }
        stock.writer.head(head, None, sharing).map_err(|_| Broken::Fill)?;
        stock.has_head = true;
        Ok(answer.body)
    }

    /// Takes in a body, without its first `skip` octets, and passes on what the playlist lists meanwhile.
    async fn pour(&mut self, stock: &mut Stock, body: AnswerBody, mut skip: u64) -> Result<(), Broken> {
        let mut body = pin!(body);
        loop {
            let extent = *self.growth.extent.borrow_and_update();
            if extent == Extent::Withdrawn {
                return Err(Broken::Withdrawn);
            }
            stock.pass_on(extent).await?;
            let octets = tokio::select! {
                biased;
                octets = next(body.as_mut()) => octets,
                Ok(()) = self.growth.extent.changed() => continue,
            };
            let Some(mut octets) = octets.transpose()? else { return Ok(()) };
            let skipped = skip.min(octets.len() as u64);
            skip -= skipped;
            _ = octets.split_to(usize::try_from(skipped).expect("no more than its length"));
            stock.take(octets);
        }
    }
}

/// How an answer ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// There was nothing.
    NotYet,
    /// It was as long as was announced.
    Part,
    /// It came as it was made, to its end.
    Streamed,
    /// It was all that there was of the resource, announced.
    Whole,
}

impl Stock {
    fn take(&mut self, octets: Bytes) {
        if !octets.is_empty() {
            self.received += octets.len() as u64;
            self.held.push_back(octets);
        }
    }

    /// Hands the fill what belongs to whole parts.
    async fn pass_on(&mut self, extent: Extent) -> Result<(), Broken> {
        let to = match extent {
            Extent::Open(covered) => covered,
            Extent::Closed(_) => u64::MAX,
            Extent::Withdrawn => return Ok(()),
        };
        while self.passed < to
            && let Some(mut octets) = self.held.pop_front()
        {
            let room = usize::try_from(to - self.passed).unwrap_or(usize::MAX);
            if octets.len() > room {
                self.held.push_front(octets.split_off(room));
            }
            self.passed += octets.len() as u64;
            poll_fn(|cx| self.writer.poll_ready(cx)).await;
            self.writer.push(octets).map_err(|_| Broken::Fill)?;
        }
        Ok(())
    }
}

async fn withdrawn(extent: &mut watch::Receiver<Extent>) {
    if extent.wait_for(|extent| *extent == Extent::Withdrawn).await.is_err() {
        std::future::pending().await
    }
}

async fn next(mut body: Pin<&mut AnswerBody>) -> Option<Result<Bytes, FetchError>> {
    loop {
        match poll_fn(|cx| body.as_mut().poll_frame(cx)).await? {
            Ok(frame) => {
                if let Ok(octets) = frame.into_data() {
                    return Some(Ok(octets));
                }
            }
            Err(error) => return Some(Err(error)),
        }
    }
}

//! One request stream: frames in, a request to the service, its body on the way up, the response on the way down.
//!
//! Life: the header section comes (it has a deadline) · the service is asked · the response is written. Both halves end
//! each for itself. Whoever gives up on either side ends both at once: the future and the body are dropped there and
//! then, and the client sees a reset, never a clean end.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderName, Method, Response};

use super::abuse::{Account, End, Pace};
use super::code::{self, Code, ConnectionError};
use super::counters::{Counters, Malformed};
use super::frame::{RequestFrames, RequestPart};
use super::message::{self, Request};
use super::priority;
use super::qpack::Bounds;
use super::response::{Broken, Outgoing, Progress};
use super::upload::{UploadSender, upload};
use super::wake::StreamWaker;
use crate::clock::Tick;
use crate::config::Limits;
use crate::request::{Head, Line, Upload, UploadError, Viewer};
use crate::rules::fields::structured::joined;
use crate::rules::priority::{self as rule, Parameters, Priority};
use crate::transport::Service;
use crate::transport::head::BadRequest;
use crate::transport::quic::streams::{Read, StreamId, Streams};
use crate::transport::tcp::answer::bad_request;

/// What a stream may use of its connection while it is driven.
pub struct Turn<'a, S: Service> {
    /// The streams of QUIC.
    pub streams: &'a mut dyn Streams,
    /// Who answers.
    pub service: &'a S,
    /// Who asks.
    pub viewer: Viewer,
    /// What is known of the way to them.
    pub line: &'a Line,
    /// The bounds.
    pub limits: &'a Limits,
    /// The present.
    pub now: Tick,
    /// What is counted.
    pub counters: &'a Counters,
    /// What the connection has used up.
    pub account: &'a mut Account,
}

enum Receiving {
    /// Frames are read.
    Open(RequestFrames),
    /// What comes is not read any more, and not refused yet.
    Unread,
    Closed,
}

enum Incoming {
    /// Nobody has asked for a body, or wants it any more; that many octets are still taken and thrown away.
    Discard(usize),
    Stream(UploadSender),
}

type Answer<B> = Pin<Box<dyn Future<Output = Response<B>> + Send>>;

enum Work<B> {
    /// The header section has not come.
    AwaitsHead,
    /// It has; whether a body follows is not known yet.
    Asked(Box<Head>),
    Serving(Answer<B>, Method),
    Sending(Outgoing<B>),
    /// The response was written whole.
    Written,
    /// The client has all of it, or a reset.
    Gone,
}

/// Octets of a body nobody wants that are thrown away before the stream is left unread.
const DISCARD: usize = 64 << 10;
/// Octets of one read, and reads of one turn: what a stream takes before others have theirs.
const READ: usize = 16 << 10;
const READS: usize = 16;

/// A request stream.
pub struct RequestStream<S: Service> {
    id: StreamId,
    opened: Tick,
    wake: Arc<StreamWaker>,
    waker: Waker,
    receiving: Receiving,
    incoming: Incoming,
    work: Work<S::Body>,
    announced: Option<u64>,
    received: u64,
    pace: Pace,
    blocked_since: Option<Tick>,
    client: Parameters,
    is_reprioritized: bool,
    place: i32,
    /// When the connection looks at this stream's deadline; kept by the connection.
    pub timer: Option<Tick>,
}

impl<S: Service> RequestStream<S> {
    /// A stream that the client has just opened; `update` is what it said of its priority before.
    pub fn new(wake: Arc<StreamWaker>, id: StreamId, update: Option<Parameters>, turn: &mut Turn<'_, S>) -> Self {
        let mut stream = Self {
            id,
            opened: turn.now,
            waker: wake.clone().into(),
            wake,
            receiving: Receiving::Open(RequestFrames::new(turn.limits.head_size)),
            incoming: Incoming::Discard(DISCARD),
            work: Work::AwaitsHead,
            announced: None,
            received: 0,
            pace: Pace::default(),
            blocked_since: None,
            client: update.unwrap_or_default(),
            is_reprioritized: update.is_some(),
            place: 0,
            timer: None,
        };
        stream.prioritize(Parameters::default(), turn.streams);
        stream
    }

    /// Notes that there is something to do.
    pub fn note(&self) {
        self.wake.note();
    }

    /// Whether both halves have ended.
    pub fn is_done(&self) -> bool {
        matches!((&self.work, &self.receiving), (Work::Written | Work::Gone, Receiving::Closed))
    }

    /// Whether its response was written and is not known to have arrived.
    pub fn is_on_its_way(&self) -> bool {
        matches!(self.work, Work::Written)
    }

    /// The client has all of the response.
    pub fn acknowledged(&mut self) {
        if self.is_on_its_way() {
            self.work = Work::Gone;
        }
    }

    /// Whether it waits for the service.
    pub fn is_holding(&self) -> bool {
        match self.work {
            Work::Serving(..) => true,
            Work::Sending(_) => self.blocked_since.is_none(),
            Work::AwaitsHead | Work::Asked(_) | Work::Written | Work::Gone => false,
        }
    }

    /// The client changed the priority (RFC 9218 §7.2).
    pub fn reprioritize(&mut self, update: Parameters, streams: &mut dyn Streams) {
        self.client = update;
        self.is_reprioritized = true;
        self.prioritize(Parameters::default(), streams);
    }

    fn prioritize(&mut self, response: Parameters, streams: &mut dyn Streams) {
        self.place = priority::of_stream(self.id, Priority::merged(self.client, response));
        streams.set_priority(self.id, self.place);
    }

    /// Its place among the streams of the connection; the higher goes first.
    pub fn place(&self) -> i32 {
        self.place
    }

    /// Does what can be done now.
    ///
    /// # Errors
    /// The peer broke a rule that ends the connection.
    pub fn drive(&mut self, turn: &mut Turn<'_, S>) -> Result<(), ConnectionError> {
        self.receive(turn)?;
        self.answer(turn)?;
        self.refuse_rest(turn);
        if self.deadline(turn.limits).is_some_and(|deadline| deadline <= turn.now) {
            self.expire(turn)?;
        }
        Ok(())
    }

    // ---- the way up

    fn receive(&mut self, turn: &mut Turn<'_, S>) -> Result<(), ConnectionError> {
        for _ in 0..READS {
            let Some(room) = self.room(turn.now) else { return Ok(()) };
            match turn.streams.read(self.id, room) {
                Read::Bytes(mut input) => {
                    self.pace.stop_waiting(input.len(), turn.now);
                    self.input(&mut input, turn)?;
                }
                Read::Blocked => {
                    if matches!(self.incoming, Incoming::Stream(_)) || matches!(self.work, Work::Asked(_)) {
                        self.pace.wait(turn.now);
                    }
                    self.ask_with_body(turn);
                    return Ok(());
                }
                Read::Finished => return self.request_ended(turn),
                Read::Reset(code) => return self.given_up(code, turn),
            }
        }
        self.ask_with_body(turn);
        self.note_again();
        Ok(())
    }

    fn note_again(&self) {
        self.waker.wake_by_ref();
    }

    /// How much may be read now; `None`: nothing.
    fn room(&mut self, now: Tick) -> Option<usize> {
        let Receiving::Open(_) = self.receiving else { return None };
        if let Incoming::Stream(sender) = &self.incoming {
            match sender.room() {
                Some(0) => {
                    self.pace.stop_waiting(0, now);
                    return None;
                }
                Some(room) => return Some(room.min(READ)),
                None => self.incoming = Incoming::Discard(DISCARD),
            }
        }
        match self.incoming {
            Incoming::Discard(0) => {
                self.receiving = Receiving::Unread;
                None
            }
            Incoming::Discard(_) | Incoming::Stream(_) => Some(READ),
        }
    }

    fn input(&mut self, input: &mut Bytes, turn: &mut Turn<'_, S>) -> Result<(), ConnectionError> {
        while let Receiving::Open(frames) = &mut self.receiving {
            let Some(part) = frames.next(input)? else { break };
            self.part(part, turn)?;
        }
        Ok(())
    }

    fn part(&mut self, part: RequestPart, turn: &mut Turn<'_, S>) -> Result<(), ConnectionError> {
        let bounds = Bounds { size: turn.limits.head_size, fields: turn.limits.head_fields };
        match part {
            RequestPart::Head(section) => {
                match message::read(&section, bounds, turn.viewer, turn.now)? {
                    Request::Serve(head, announced) => self.asked(head, announced, turn),
                    Request::Refuse(bad, method) => self.refuse(bad, method),
                    Request::Malformed(reason) => return self.malformed(reason, turn),
                }
                Ok(())
            }
            RequestPart::HeadTooLarge => {
                self.refuse(message::TOO_LARGE, None);
                Ok(())
            }
            RequestPart::DataBegins(length) => {
                if length == 0 {
                    turn.account.empty_data()?;
                }
                let total = self.received.saturating_add(length);
                match self.announced.is_some_and(|announced| total > announced) {
                    true => self.malformed(Malformed::ContentLength, turn),
                    false => Ok(()),
                }
            }
            RequestPart::Data(piece) => {
                self.received += piece.len() as u64;
                self.ask_with_body(turn);
                match &mut self.incoming {
                    Incoming::Stream(sender) => sender.push(&piece),
                    Incoming::Discard(left) => *left = left.saturating_sub(piece.len()),
                }
                Ok(())
            }
            RequestPart::Trailers(section) => match message::read_trailers(&section, bounds)? {
                Ok(()) => Ok(()),
                Err(reason) => self.malformed(reason, turn),
            },
        }
    }

    fn asked(&mut self, mut head: Box<Head>, announced: Option<u64>, turn: &mut Turn<'_, S>) {
        turn.counters.requests.add(1);
        if !self.is_reprioritized {
            self.client = parameters(&head.headers);
            if self.client != Parameters::default() {
                self.prioritize(Parameters::default(), turn.streams);
            }
        }
        self.announced = announced;
        head.line = turn.line.clone();
        self.work = Work::Asked(head);
    }

    /// Asks the service, with the body that is to come.
    fn ask_with_body(&mut self, turn: &mut Turn<'_, S>) {
        if !matches!(self.work, Work::Asked(_)) {
            return;
        }
        let body = match self.announced {
            Some(0) => Upload::Empty,
            announced => {
                let (sender, body) = upload(announced, self.waker.clone());
                self.incoming = Incoming::Stream(sender);
                Upload::Streaming(Box::pin(body))
            }
        };
        self.ask(body, turn);
    }

    fn ask(&mut self, body: Upload, turn: &mut Turn<'_, S>) {
        if let Work::Asked(head) = std::mem::replace(&mut self.work, Work::Gone) {
            let method = head.method.clone();
            self.work = Work::Serving(turn.service.serve(*head, body), method);
        }
    }

    fn request_ended(&mut self, turn: &mut Turn<'_, S>) -> Result<(), ConnectionError> {
        if let Receiving::Open(frames) = &self.receiving {
            frames.end()?;
        }
        self.receiving = Receiving::Closed;
        if matches!(self.work, Work::AwaitsHead) {
            return self.fault_of_client(code::REQUEST_INCOMPLETE, turn);
        }
        if self.announced.is_some_and(|announced| announced != self.received) {
            return self.malformed(Malformed::ContentLength, turn);
        }
        if let Incoming::Stream(sender) = &self.incoming {
            sender.end(Ok(()));
        }
        if matches!(self.work, Work::Asked(_)) {
            self.ask(Upload::Empty, turn);
        }
        Ok(())
    }

    /// After the response: what still comes is not wanted (RFC 9114 §4.1), but for a reader that goes on.
    fn refuse_rest(&mut self, turn: &mut Turn<'_, S>) {
        let is_read = match (&self.receiving, &self.incoming) {
            (Receiving::Closed, _) => return,
            (Receiving::Open(_), Incoming::Stream(sender)) => sender.room().is_some(),
            (Receiving::Open(_) | Receiving::Unread, _) => false,
        };
        if matches!(self.work, Work::Written | Work::Gone) && !is_read {
            self.receiving = Receiving::Closed;
            turn.streams.stop_sending(self.id, code::NO_ERROR);
        }
    }

    // ---- the way down

    fn answer(&mut self, turn: &mut Turn<'_, S>) -> Result<(), ConnectionError> {
        if let Work::Serving(answer, method) = &mut self.work {
            let Poll::Ready(response) = answer.as_mut().poll(&mut Context::from_waker(&self.waker)) else {
                return Ok(());
            };
            if response.status().is_informational() {
                // No final answer (RFC 9114 §4.1), and 101 does not exist (§4.5).
                return self.end(code::INTERNAL_ERROR, End::Answered, turn);
            }
            let own = parameters(response.headers());
            self.work = Work::Sending(Outgoing::new(response, method));
            if own != Parameters::default() {
                self.prioritize(own, turn.streams);
            }
        }
        self.write(turn)
    }

    fn write(&mut self, turn: &mut Turn<'_, S>) -> Result<(), ConnectionError> {
        let Work::Sending(outgoing) = &mut self.work else { return Ok(()) };
        match outgoing.write(&mut Context::from_waker(&self.waker), self.id, turn.streams) {
            Ok(Progress::Done) => {
                turn.streams.finish(self.id);
                self.blocked_since = None;
                self.work = Work::Written;
                turn.account.stream_ended(End::Answered, self.opened, turn.now)
            }
            Ok(Progress::AwaitsBody) => {
                self.blocked_since = None;
                Ok(())
            }
            Ok(Progress::Blocked { taken }) => {
                if taken > 0 || self.blocked_since.is_none() {
                    self.blocked_since = Some(turn.now);
                }
                Ok(())
            }
            Err(Broken::Body) => self.end(code::INTERNAL_ERROR, End::Answered, turn),
            Err(Broken::Stopped(code)) => self.given_up(code, turn),
        }
    }

    /// Answers in words that the request is not served. Nothing more is read of it.
    fn refuse(&mut self, bad: BadRequest, method: Option<Method>) {
        let answer = bad_request(bad);
        self.work = Work::Sending(Outgoing::whole(answer, &method.unwrap_or_default()));
        self.receiving = Receiving::Unread;
    }

    // ---- ends

    /// The client has reset the stream or asked to stop, with `code`.
    ///
    /// # Errors
    /// It does so too often.
    pub fn given_up(&mut self, code: Code, turn: &mut Turn<'_, S>) -> Result<(), ConnectionError> {
        turn.counters.resets_received.add(code);
        let answer = match self.work {
            Work::AwaitsHead | Work::Asked(_) => code::REQUEST_REJECTED,
            Work::Serving(..) | Work::Sending(_) | Work::Written | Work::Gone => code::REQUEST_CANCELLED,
        };
        self.end(answer, End::GivenUp, turn)
    }

    fn malformed(&mut self, reason: Malformed, turn: &mut Turn<'_, S>) -> Result<(), ConnectionError> {
        turn.counters.add_malformed(reason);
        if let Incoming::Stream(sender) = &self.incoming {
            sender.end(Err(UploadError::Malformed));
        }
        self.fault_of_client(code::MESSAGE_ERROR, turn)
    }

    fn fault_of_client(&mut self, code: Code, turn: &mut Turn<'_, S>) -> Result<(), ConnectionError> {
        self.end(code, End::GivenUp, turn)
    }

    /// Ends both halves with an error, and drops what works on the request.
    fn end(&mut self, code: Code, end: End, turn: &mut Turn<'_, S>) -> Result<(), ConnectionError> {
        if !matches!(self.receiving, Receiving::Closed) {
            turn.streams.stop_sending(self.id, code);
            self.receiving = Receiving::Closed;
        }
        self.incoming = Incoming::Discard(0);
        let before = std::mem::replace(&mut self.work, Work::Gone);
        if matches!(before, Work::Gone) {
            return Ok(());
        }
        turn.streams.reset(self.id, code);
        turn.counters.resets_sent.add(code);
        self.blocked_since = None;
        match before {
            Work::Written => Ok(()),
            _ => turn.account.stream_ended(end, self.opened, turn.now),
        }
    }

    // ---- deadlines

    /// When the stream is to be looked at even if nothing happens.
    pub fn deadline(&self, limits: &Limits) -> Option<Tick> {
        let head = match &self.receiving {
            Receiving::Open(frames) if frames.awaits_head() => Some(self.opened + limits.head),
            Receiving::Open(_) | Receiving::Unread | Receiving::Closed => None,
        };
        let body = matches!(self.receiving, Receiving::Open(_)).then(|| self.pace.deadline()).flatten();
        let write = self.blocked_since.map(|since| since + limits.write_progress);
        [head, body, write].into_iter().flatten().min()
    }

    fn expire(&mut self, turn: &mut Turn<'_, S>) -> Result<(), ConnectionError> {
        if self.blocked_since.is_some_and(|since| since + turn.limits.write_progress <= turn.now) {
            return self.end(code::REQUEST_CANCELLED, End::Answered, turn);
        }
        if matches!(self.work, Work::AwaitsHead) {
            return self.end(code::REQUEST_REJECTED, End::GivenUp, turn);
        }
        if let Incoming::Stream(sender) = &self.incoming {
            sender.end(Err(UploadError::Stalled));
        }
        self.incoming = Incoming::Discard(0);
        self.receiving = Receiving::Closed;
        turn.streams.stop_sending(self.id, code::REQUEST_CANCELLED);
        Ok(())
    }
}

/// The priority field of a message.
fn parameters(headers: &http::HeaderMap) -> Parameters {
    joined(headers, &PRIORITY).map_or_else(Parameters::default, |value| rule::parse(&value))
}

const PRIORITY: HeaderName = HeaderName::from_static("priority");

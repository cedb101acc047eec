//! A response still arriving: one `FillWriter`, many `FillReader`s. The fill belongs to the object, not to a viewer.
//!
//! A `Lead` is the duty to fetch: started it becomes the writer and its first reader, dropped it fails the flight.
//! Readers come at any time and get the octets already there, then the rest as it arrives. However the writer ends,
//! every reader learns of it, and the flight leaves the table.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderValue;
use parking_lot::Mutex;

use crate::rules::caching::{Key, Variant};
use crate::rules::timeline::event::Fetch;

use super::arrival::{Answer, Arrival, Caller, Joining, Next};
use super::bells::lane;
use super::failure::{FillEnd, Refused};
use super::object::{Object, ObjectReader, ResponseHead};
use super::parts::Parts;
use super::permits::Permit;
use super::writer::FillWriter;

/// What is known of the transmission that brings an object, and is not kept with it.
#[derive(Clone, Debug, Default)]
pub struct Transmission {
    /// The request upstream.
    pub fetch: Option<Arc<Fetch>>,
    /// What the hops before said of it (CMSD-Dynamic, CTA-5006).
    pub hops: Vec<HeaderValue>,
}

/// A fill as the table of flights, its writer and its readers hold it.
pub(super) struct Fill {
    pub key: Key,
    /// The requests that the response is expected to fit, where a stored one is being validated.
    pub expected: Option<Variant>,
    pub arrival: Arrival,
    pub parts: Arc<Parts>,
    /// It would be stored once it is complete, as far as is known.
    pub stores: AtomicBool,
    /// It was purged while it arrived: it is not stored.
    pub withdrawn: AtomicBool,
    /// A reader has left with all it came for: the rest is worth having.
    pub finishes: AtomicBool,
    /// It comes from disk.
    pub from_disk: AtomicBool,
    /// The transmission that it comes by, once that has its answer.
    pub transmission: Mutex<Transmission>,
}

impl Fill {
    pub fn new(key: Key, expected: Option<Variant>, parts: Arc<Parts>) -> Arc<Self> {
        let arrival = Arrival::new();
        Arc::new(Self {
            key,
            expected,
            arrival,
            parts,
            stores: false.into(),
            withdrawn: false.into(),
            finishes: false.into(),
            from_disk: false.into(),
            transmission: Mutex::default(),
        })
    }

    /// Whether it will be stored once it is complete, as far as is known.
    pub fn will_be_stored(&self) -> bool {
        self.stores.load(Ordering::Relaxed) && !self.withdrawn.load(Ordering::SeqCst)
    }

    /// One more reader where the fill takes one; `None` where it is not for this request.
    pub fn join(self: &Arc<Self>, fits: impl Fn(&Variant) -> bool) -> Option<Result<FillReader, Refused>> {
        if !self.expected.as_ref().is_none_or(&fits) {
            return None;
        }
        match self.arrival.join(self.parts.reader_limit(), |head| fits(&head.variant)) {
            Joining::Joined(place) => Some(Ok(FillReader::new(self.clone(), Some(place)))),
            Joining::Full => Some(Err(Refused::Readers)),
            Joining::Unfit => None,
        }
    }
}

/// What only the one who fetches holds: dropping it ends the flight.
pub(super) struct Helm {
    pub fill: Arc<Fill>,
    _permit: Permit,
}

impl Helm {
    pub fn fail(&self, why: FillEnd) {
        self.fill.arrival.fail(why).settle(&self.fill.parts.bells);
    }
}

impl Drop for Helm {
    fn drop(&mut self) {
        self.fail(FillEnd::Abandoned);
        self.fill.parts.flights.land(&self.fill.key, &self.fill);
    }
}

/// The duty to fetch an object that others wait for. Dropped unstarted, the flight fails and they are woken.
pub struct Lead {
    helm: Helm,
    reader: FillReader,
}

impl Lead {
    pub(super) fn new(fill: Arc<Fill>, permit: Permit) -> Self {
        let place = fill.arrival.lead();
        let reader = FillReader::new(fill.clone(), Some(place));
        Self { helm: Helm { fill, _permit: permit }, reader }
    }

    pub(super) fn flight(&self) -> Arc<Fill> {
        self.helm.fill.clone()
    }

    /// The writer for whoever fetches, and the reader of whoever asked first.
    pub fn start(self) -> (FillWriter, FillReader) {
        (FillWriter::new(self.helm), self.reader)
    }
}

/// What a reader learns first.
pub enum FillAnswer {
    /// The head, and the length of the body where it is known.
    Arriving(Arc<ResponseHead>, Option<u64>),
    /// The whole response: it is complete already, or what was stored has been validated.
    Complete(Arc<Object>),
}

/// Reads a fill from its first octet, or from where it was told to. A clone is another reader from the first octet,
/// while that is still kept; where it is not, it sees `FillEnd::Gone`.
pub struct FillReader {
    fill: Arc<Fill>,
    place: Option<usize>,
    offset: u64,
    rest: Option<ObjectReader>,
}

impl FillReader {
    fn new(fill: Arc<Fill>, place: Option<usize>) -> Self {
        Self { fill, place, offset: 0, rest: None }
    }

    /// Ready once the head is there, or the fill has ended.
    ///
    /// # Errors
    /// Why this reader gets nothing.
    pub fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<FillAnswer, FillEnd>> {
        self.poll_reached(0, cx)
    }

    /// Ready once all of the body is there, so that it can be sent at the speed of the line; also where it passes
    /// through without being kept.
    ///
    /// # Errors
    /// As [`FillReader::poll_head`].
    pub fn poll_whole(&mut self, cx: &mut Context<'_>) -> Poll<Result<FillAnswer, FillEnd>> {
        self.poll_reached(u64::MAX, cx)
    }

    /// Ready once that many octets of the body are there, or its end.
    ///
    /// # Errors
    /// As [`FillReader::poll_head`].
    pub fn poll_reached(&mut self, octets: u64, cx: &mut Context<'_>) -> Poll<Result<FillAnswer, FillEnd>> {
        let Some(place) = self.place else { return Poll::Ready(Err(FillEnd::Gone)) };
        let caller = Caller { lane: lane(), waker: cx.waker() };
        let answer = ready!(self.fill.arrival.poll_reached(place, octets, &caller));
        Poll::Ready(answer.map(|answer| match answer {
            Answer::Arriving(head, length) => FillAnswer::Arriving(head, length),
            Answer::Complete(object) => FillAnswer::Complete(object),
        }))
    }

    /// The next octets, at most a chunk of them; `None` at the end of a complete body. An error is final: the body
    /// cannot be completed for this reader.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, FillEnd>>> {
        if let Some(rest) = &mut self.rest {
            return Poll::Ready(rest.next().map(Ok));
        }
        let Some(place) = self.place else { return Poll::Ready(Some(Err(FillEnd::Gone))) };
        let caller = Caller { lane: lane(), waker: cx.waker() };
        let (next, aftermath) = self.fill.arrival.poll_next(place, &caller);
        aftermath.settle(&self.fill.parts.bells);
        match ready!(next) {
            Ok(Next::Octets(octets)) => {
                self.offset += octets.len() as u64;
                Poll::Ready(Some(Ok(octets)))
            }
            Ok(Next::Object(object)) => {
                let rest = self.rest.insert(object.reader(self.offset..object.length()));
                Poll::Ready(rest.next().map(Ok))
            }
            Ok(Next::End) => Poll::Ready(None),
            Err(end) => Poll::Ready(Some(Err(end))),
        }
    }

    /// Goes on at `offset` of the body. To be called before the first chunk is read.
    pub fn seek(&mut self, offset: u64) {
        self.offset = offset;
        if let Some(place) = self.place {
            self.fill.arrival.seek(place, offset).settle(&self.fill.parts.bells);
        }
    }

    /// Whether the response had begun, however it has ended.
    pub fn has_begun(&self) -> bool {
        self.fill.arrival.has_begun()
    }

    /// Octets of the body that have arrived.
    pub fn arrived(&self) -> u64 {
        self.fill.arrival.arrived()
    }

    /// Octets of the body, where they are known.
    pub fn length(&self) -> Option<u64> {
        self.fill.arrival.length()
    }

    /// This reader has all it came for, a range or the head alone: the fetch should go on without it where what
    /// arrives is stored, or the next range would begin at the first octet again.
    pub fn let_it_finish(&self) {
        self.fill.finishes.store(true, Ordering::Relaxed);
    }

    /// Whether what arrives comes from disk.
    pub fn is_from_disk(&self) -> bool {
        self.fill.from_disk.load(Ordering::Relaxed)
    }

    /// The transmission that it comes by, once that has its answer: the same for all who read it.
    pub fn transmission(&self) -> Transmission {
        self.fill.transmission.lock().clone()
    }

    /// Whether the object will be stored once it is complete, as far as is known now.
    pub fn will_be_stored(&self) -> bool {
        self.fill.will_be_stored()
    }
}

impl Clone for FillReader {
    fn clone(&self) -> Self {
        let limit = self.fill.parts.reader_limit();
        let place = self.place.and_then(|place| self.fill.arrival.join_beside(place, limit));
        Self::new(self.fill.clone(), place)
    }
}

impl Drop for FillReader {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.fill.arrival.leave(place).settle(&self.fill.parts.bells);
        }
    }
}

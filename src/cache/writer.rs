//! The writing side of a fill, owned by the task that fetches.
//!
//! It copies what arrives once, into chunks of exact size that are paid for in advance: the whole announced length, or
//! step by step. What is too large to store, or cannot be paid for while it arrives, passes through a window instead:
//! it is not stored, the slowest reader sets the pace, and one who holds up others for too long is cut.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;

use crate::clock::Tick;
use crate::rules::caching::Freshness;

use super::arrival::Response;
use super::audience::Audience;
use super::failure::{FillEnd, FillFailure, Refused};
use super::fill::{Fill, Helm, Transmission};
use super::memory::{Charge, Kind, chunk, chunk_weight};
use super::object::{Object, ResponseHead};

/// The largest chunk.
const CHUNK: usize = 64 << 10;

/// Chunks below this size are gathered into larger ones.
const SMALL: usize = 4 << 10;

/// Small chunks in a row before they are gathered.
const RUN: usize = 32;

/// What a fill of unknown length reserves at a time.
const STEP: u64 = 1 << 20;

/// What a fill of known length adds at a time, where it came in more pieces than expected.
const SMALL_STEP: u64 = 4 << 10;

/// Octets between the slowest reader and the end, in a fill that is not kept.
const WINDOW: u64 = 1 << 20;

/// What a fill that is not kept reserves at a time, and the least it goes on with.
const PASSING_STEP: u64 = 4 * PASSING_LEAST;
const PASSING_LEAST: u64 = chunk_weight(CHUNK as u64);

/// What a fill takes beside head and body.
const FILL: u64 = 1_024;

/// How long one reader may keep the window full while others wait.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who may have a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Everyone whose request it fits.
    Shared {
        /// Whether it is stored once it is complete; else it goes with its last reader.
        store: bool,
    },
    /// Those who wait for it when its head comes: whoever comes later asks anew.
    Waiting {
        /// As above.
        store: bool,
    },
    /// The first reader alone; for a while everyone asks for himself.
    Private,
    /// The first reader alone, whose own request it is about: the others ask again.
    AtFault,
}

impl Sharing {
    const fn audience(self) -> Audience {
        match self {
            Self::Shared { .. } => Audience::Everyone,
            Self::Waiting { .. } => Audience::Waiting,
            Self::Private => Audience::Leader,
            Self::AtFault => Audience::AtFault,
        }
    }

    /// Whether many read it, so that it is kept while it arrives.
    const fn is_shared(self) -> bool {
        matches!(self, Self::Shared { .. } | Self::Waiting { .. })
    }

    const fn stores(self) -> bool {
        matches!(self, Self::Shared { store: true } | Self::Waiting { store: true })
    }
}

/// Writes a fill. Dropped before it is complete, the fill has failed for every reader.
pub struct FillWriter {
    helm: Helm,
    head: Option<Arc<ResponseHead>>,
    head_charge: Option<Charge>,
    length: Option<u64>,
    got: u64,
    mode: Mode,
    purse: Charge,
    run: Run,
    patience: Patience,
    announced: bool,
    near_until: Option<Tick>,
    judge: Option<Judge>,
    /// It is not kept, whatever its size.
    passes: bool,
}

/// Judges a stored response.
pub type Judge = Box<dyn Fn(&ResponseHead, Tick) -> Freshness + Send + Sync>;

/// Whether what comes from disk stays in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Yes,
    No,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// All of it is kept until it is complete.
    Keeping,
    /// It passes through a window.
    Passing,
    /// As before, and nobody can join any more.
    PassingOn,
}

enum Patience {
    Untried,
    Waiting(Pin<Box<dyn Future<Output = ()> + Send>>),
    Lost,
}

/// The small chunks at the end of what has arrived.
#[derive(Default)]
struct Run {
    chunks: Vec<Bytes>,
    octets: usize,
}

impl FillWriter {
    /// It comes by this transmission: told to all who read it while it arrives.
    pub fn comes_by(&self, transmission: Transmission) {
        *self.helm.fill.transmission.lock() = transmission;
    }

    pub(super) fn new(helm: Helm) -> Self {
        let purse = helm.fill.parts.memory.charge(Kind::Fills, 0);
        Self {
            helm,
            head: None,
            head_charge: None,
            length: None,
            got: 0,
            mode: Mode::Keeping,
            purse,
            run: Run::default(),
            patience: Patience::Untried,
            announced: true,
            near_until: None,
            judge: None,
            passes: false,
        }
    }

    /// What arrives is near the edge of a live stream: once stored, it is let go after everything that is not, until
    /// this moment.
    pub fn keep_near(&mut self, until: Tick) {
        self.near_until = Some(until);
    }

    /// How a response is judged that is found on disk; else by its own lifetime.
    pub fn judge_by(&mut self, judge: impl Fn(&ResponseHead, Tick) -> Freshness + Send + Sync + 'static) {
        self.judge = Some(Box::new(judge));
    }

    pub(super) fn judge(&self, head: &ResponseHead, now: Tick) -> Freshness {
        self.judge.as_ref().map_or_else(|| head.lifetime.freshness(now), |judge| judge(head, now))
    }

    pub(super) fn fill(&self) -> &Arc<Fill> {
        &self.helm.fill
    }

    /// What will arrive comes from disk; where it is not `kept` it passes through a window.
    pub(super) fn comes_from_disk(&mut self, is_kept: Kept) {
        self.passes = is_kept == Kept::No;
        self.helm.fill.from_disk.store(true, Ordering::Relaxed);
    }

    /// The head, once it is there.
    pub(super) fn arrived_head(&self) -> Option<&Arc<ResponseHead>> {
        self.head.as_ref()
    }

    /// The fill ends without a response.
    pub(super) fn end(self, why: FillEnd) {
        self.helm.fail(why);
    }

    /// The head, once; `length` is the announced length of the body. Readers see it together with the first octets, or
    /// as soon as the writer has to wait for those ([`FillWriter::poll_unwanted`]).
    ///
    /// # Errors
    /// Memory does not suffice: the fill has failed.
    pub fn head(&mut self, head: ResponseHead, length: Option<u64>, sharing: Sharing) -> Result<(), Refused> {
        let fill = self.helm.fill.clone();
        let parts = &fill.parts;
        let head = head.detached();
        let Some(head_charge) = parts.reserve(Kind::Heads, head.weight()) else { return Err(self.refuse()) };
        self.mode = self.reserve_for(length, sharing).ok_or_else(|| self.refuse())?;
        let head = Arc::new(head);
        self.head = Some(head.clone());
        self.head_charge = Some(head_charge);
        self.length = length;
        let audience = sharing.audience();
        fill.stores.store(self.mode == Mode::Keeping && sharing.stores(), Ordering::Relaxed);
        if self.mode == Mode::Passing {
            fill.arrival.narrow(WINDOW).settle(&parts.bells);
        }
        match audience {
            Audience::Leader => parts.set_apart(&fill.key),
            Audience::AtFault => {}
            Audience::Everyone | Audience::Waiting => parts.apart.unset(&fill.key),
        }
        // Nobody joins it; what will be stored must be found by a purge all the same.
        if audience != Audience::Everyone && !fill.stores.load(Ordering::Relaxed) {
            parts.flights.land(&fill.key, &fill);
        }
        if !sharing.is_shared() {
            self.mode = Mode::PassingOn;
        }
        fill.arrival.head(Response { head, length, audience }).settle(&parts.bells);
        self.announced = !sharing.is_shared();
        Ok(())
    }

    /// Reserves what the body takes, in the best mode that there is room for.
    fn reserve_for(&mut self, length: Option<u64>, sharing: Sharing) -> Option<Mode> {
        let parts = &self.helm.fill.parts;
        let keeps = !self.passes && sharing.is_shared() && length.is_none_or(|length| length <= parts.max_object());
        let whole = FILL + length.map_or(STEP, cost);
        if keeps && let Some(charge) = parts.reserve(Kind::Fills, whole) {
            self.purse.absorb(charge);
            return Some(Mode::Keeping);
        }
        if keeps && whole <= PASSING_STEP {
            return None;
        }
        self.purse.absorb(parts.reserve(Kind::Fills, whole.min(PASSING_STEP))?);
        Some(Mode::Passing)
    }

    fn refuse(&self) -> Refused {
        self.helm.fail(Refused::Memory.into());
        Refused::Memory
    }

    /// Ready where the next octets have room: at once while the fill is kept, else when the window has some.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.mode == Mode::Keeping {
            return Poll::Ready(());
        }
        let fill = self.helm.fill.clone();
        self.land_if_closed();
        while fill.arrival.poll_room(cx.waker()).is_pending() {
            if let Patience::Untried = self.patience {
                self.patience = Patience::Waiting(Box::pin(fill.parts.clock.sleep(PATIENCE)));
            }
            if let Patience::Waiting(wait) = &mut self.patience {
                ready!(wait.as_mut().poll(cx));
                self.patience = Patience::Lost;
            }
            let (cut, aftermath) = fill.arrival.cut_laggards();
            aftermath.settle(&fill.parts.bells);
            if !cut {
                return Poll::Pending;
            }
        }
        self.patience = Patience::Untried;
        if self.refill_purse() {
            return Poll::Ready(());
        }
        fill.parts.memory.wait(cx.waker());
        if self.refill_purse() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn refill_purse(&mut self) -> bool {
        let parts = &self.helm.fill.parts;
        if self.purse.bytes() < PASSING_LEAST {
            let missing = PASSING_LEAST - self.purse.bytes();
            let charge = parts.reserve(Kind::Fills, PASSING_STEP).or_else(|| parts.reserve(Kind::Fills, missing));
            let Some(charge) = charge else { return false };
            self.purse.absorb(charge);
        }
        true
    }

    /// The next octets of the body, published at once. Where the fill passes through, ask [`FillWriter::poll_ready`]
    /// before each call.
    ///
    /// # Errors
    /// The body is longer than announced: the fill has failed.
    ///
    /// # Panics
    /// Before the head.
    pub fn push(&mut self, octets: Bytes) -> Result<(), FillEnd> {
        assert!(self.head.is_some(), "a body follows its head");
        let got = self.got + octets.len() as u64;
        if let Some(announced) = self.length.filter(|announced| got > *announced) {
            let why = FillEnd::TooLong { announced };
            self.helm.fail(why.clone());
            return Err(why);
        }
        if octets.is_empty() {
            return Ok(());
        }
        if self.mode == Mode::Keeping && (got > self.helm.fill.parts.max_object() || !self.affords(octets.len())) {
            self.pass();
        }
        self.got = got;
        let chunks: Vec<Bytes> = octets.chunks(CHUNK).map(|octets| self.copy(octets)).collect();
        if self.mode == Mode::Keeping {
            chunks.iter().for_each(|chunk| self.run.add(chunk));
        }
        let fill = &self.helm.fill;
        fill.arrival.append(chunks).settle(&fill.parts.bells);
        self.announced = true;
        if self.run.is_due() {
            self.gather();
        }
        self.land_if_closed();
        Ok(())
    }

    /// Whether the purse holds what `octets` take, if need be after another reservation.
    fn affords(&mut self, octets: usize) -> bool {
        let Some(missing) = cost(octets as u64).checked_sub(self.purse.bytes()).filter(|missing| *missing > 0) else {
            return true;
        };
        let parts = &self.helm.fill.parts;
        let step = if self.length.is_some() { SMALL_STEP } else { STEP };
        let charge = parts.reserve(Kind::Fills, missing.max(step)).or_else(|| parts.reserve(Kind::Fills, missing));
        let affords = charge.is_some();
        charge.into_iter().for_each(|charge| self.purse.absorb(charge));
        affords
    }

    /// From now on the fill passes through a window.
    fn pass(&mut self) {
        let fill = &self.helm.fill;
        self.mode = Mode::Passing;
        fill.stores.store(false, Ordering::Relaxed);
        fill.arrival.narrow(WINDOW).settle(&fill.parts.bells);
        self.run = Run::default();
        let spare = self.purse.bytes().saturating_sub(PASSING_STEP);
        drop(self.purse.split(Kind::Fills, spare));
    }

    /// Takes the flight out of the table once nobody can join it.
    fn land_if_closed(&mut self) {
        let fill = &self.helm.fill;
        if self.mode == Mode::Passing && fill.arrival.has_lost_start() {
            fill.parts.flights.land(&fill.key, fill);
            self.mode = Mode::PassingOn;
        }
    }

    /// An accounted copy. A push that is larger than the purse allows is let in whole, once: its octets are in memory
    /// already, and the next one waits.
    fn copy(&mut self, octets: &[u8]) -> Bytes {
        let bytes = chunk_weight(octets.len() as u64);
        let charge = self.purse.split(Kind::Bodies, bytes);
        chunk(octets.into(), charge.unwrap_or_else(|| self.helm.fill.parts.memory.charge(Kind::Bodies, bytes)))
    }

    /// Puts one chunk in the place of the small ones at the end; where memory is short they stay.
    fn gather(&mut self) {
        let run = std::mem::take(&mut self.run);
        if run.chunks.len() < 2 || !self.affords(run.octets) {
            return;
        }
        let gathered = self.copy(&run.chunks.concat());
        let fill = &self.helm.fill;
        fill.arrival.replace_tail(gathered.clone()).settle(&fill.parts.bells);
        if gathered.len() < CHUNK / 2 {
            self.run = Run { octets: gathered.len(), chunks: vec![gathered] };
        }
    }

    /// Ready once nobody reads the fill any more. To be polled while the writer waits for octets: readers who wait for
    /// the head alone then get it.
    pub fn poll_unwanted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let fill = &self.helm.fill;
        if !std::mem::replace(&mut self.announced, true) {
            fill.arrival.announce().settle(&fill.parts.bells);
        }
        fill.arrival.poll_unwanted(cx.waker())
    }

    /// Gives the fill up, if still nobody reads it.
    ///
    /// # Errors
    /// Somebody has joined meanwhile: the writer goes on.
    pub fn give_up(self) -> Result<(), Box<Self>> {
        let fill = &self.helm.fill;
        let (failed, aftermath) = fill.arrival.fail_unread();
        aftermath.settle(&fill.parts.bells);
        if failed { Ok(()) } else { Err(Box::new(self)) }
    }

    /// Whether the fetch should go on while nobody reads: all but the end has arrived, or it will be stored and a
    /// reader has left it satisfied.
    pub fn should_finish(&self) -> bool {
        let finishes = self.helm.fill.finishes.load(Ordering::Relaxed);
        self.length == Some(self.got) || finishes && self.will_be_stored()
    }

    /// Whether what arrives will be stored, as far as is known: `false` for what passes through.
    pub fn will_be_stored(&self) -> bool {
        self.helm.fill.will_be_stored()
    }

    /// The body has ended. A fill that is kept becomes an object; it is stored before its flight leaves the table.
    /// Where the body is shorter than announced, the fill has failed for every reader, and nothing is stored.
    pub fn complete(mut self) {
        if let Some(announced) = self.length.filter(|announced| self.got != *announced) {
            return self.helm.fail(FillEnd::CutShort { got: self.got, announced });
        }
        if self.mode == Mode::Keeping {
            self.gather();
        }
        let fill = &self.helm.fill;
        let aftermath = match (self.mode, self.head.take(), self.head_charge.take()) {
            (Mode::Keeping, Some(head), Some(charge)) => {
                let object = Object::new(head, fill.arrival.pieces(), charge);
                if self.will_be_stored() {
                    fill.parts.keep(fill, &object, self.near_until);
                }
                fill.arrival.complete(object)
            }
            (Mode::Keeping | Mode::Passing | Mode::PassingOn, _, _) => fill.arrival.drain(),
        };
        aftermath.settle(&fill.parts.bells);
    }

    /// What was stored still holds (304): readers get `object`, which is stored in its old one's place.
    pub fn refreshed(self, object: Arc<Object>) {
        let fill = &self.helm.fill;
        fill.parts.keep(fill, &object, self.near_until);
        fill.arrival.complete(object).settle(&fill.parts.bells);
    }

    /// What would come is for one reader alone, and this fill is for many: each asks for itself.
    pub fn fail_unshared(self) {
        let fill = &self.helm.fill;
        fill.parts.set_apart(&fill.key);
        self.helm.fail(FillEnd::NotShared);
    }

    /// The fill has failed: every reader learns why, and nothing is stored.
    pub fn fail(self, why: FillFailure) {
        self.helm.fail(FillEnd::Failed(why));
    }
}

impl Run {
    fn add(&mut self, chunk: &Bytes) {
        if chunk.len() < SMALL {
            self.octets += chunk.len();
            self.chunks.push(chunk.clone());
        } else {
            *self = Self::default();
        }
    }

    fn is_due(&self) -> bool {
        self.chunks.len() >= RUN || self.octets >= CHUNK - SMALL
    }
}

/// What a body of `octets` takes in whole chunks.
const fn cost(octets: u64) -> u64 {
    let (whole, rest) = (octets / CHUNK as u64, octets % CHUNK as u64);
    whole * chunk_weight(CHUNK as u64) + if rest > 0 { chunk_weight(rest) } else { 0 }
}

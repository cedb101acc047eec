//! The state machine of a fill: what has arrived, who reads it and who waits. No runtime, clock or store is known here.
//!
//! `Awaited → Arriving → Complete | Drained | Failed`, each step once; a fill may also complete or fail while its head
//! is awaited. All of it stands under one lock, held for a few lines. What a step leaves to do (wake readers, wake the
//! writer, drop chunks) is handed out as an `Aftermath`, to be done once the lock is free.
//!
//! With a window the fill is not kept: chunks that every reader has passed are let go, and the writer waits while more
//! than the window lies between the slowest reader and the end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use slab::Slab;

use super::audience::Audience;
use super::bells::{Bells, Lanes};
use super::failure::FillEnd;
use super::object::{Object, Piece, ResponseHead, slice};
use super::sync::Mutex;
use super::waiting::{For, Ticket, Waiting};

/// A fill as its writer and its readers share it.
pub(super) struct Arrival {
    state: Mutex<State>,
}

/// Who waits: a task, and the lane of the worker that polls it.
pub(super) struct Caller<'a> {
    pub lane: usize,
    pub waker: &'a Waker,
}

/// How a reader came to the fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Leader,
    Joiner,
}

/// The head of a response that arrives.
#[derive(Clone)]
pub(super) struct Response {
    pub head: Arc<ResponseHead>,
    /// Octets of the body, where announced.
    pub length: Option<u64>,
    pub audience: Audience,
}

/// What a reader learns of the head.
pub(super) enum Answer {
    Arriving(Arc<ResponseHead>, Option<u64>),
    Complete(Arc<Object>),
}

/// What a reader gets next.
pub(super) enum Next {
    Octets(Bytes),
    /// The fill is complete: the rest is read from the object.
    Object(Arc<Object>),
    End,
}

/// Whether a reader could join.
pub(super) enum Joining {
    Joined(usize),
    /// The fill has as many readers as it may.
    Full,
    /// The fill is not for this request: look elsewhere.
    Unfit,
}

/// What remains to be done once the lock is free.
#[must_use]
#[derive(Default)]
pub(super) struct Aftermath {
    readers: [Lanes; 2],
    writer: Option<Waker>,
    freed: Vec<Piece>,
}

impl Aftermath {
    pub fn settle(self, bells: &Bells) {
        drop(self.freed);
        self.readers.into_iter().for_each(|lanes| bells.ring(lanes));
        if let Some(writer) = self.writer {
            writer.wake();
        }
    }
}

struct State {
    phase: Phase,
    /// Its head has been there.
    has_begun: bool,
    pieces: VecDeque<Piece>,
    /// Offset of the first octet that is still here.
    base: u64,
    /// Octets that have arrived.
    end: u64,
    window: Option<Window>,
    readers: Slab<Reader>,
    waiting: Waiting,
    writer: Option<Waker>,
}

enum Phase {
    Awaited,
    Arriving(Response),
    Complete(Arc<Object>),
    /// All has arrived, and what the readers have passed is gone.
    Drained(Response),
    Failed(FillEnd),
}

struct Window {
    limit: u64,
    /// The writer was refused room; it gets some once half of the window is free.
    blocked: bool,
}

struct Reader {
    role: Role,
    offset: u64,
    ticket: Option<Ticket>,
    /// It held up others for too long.
    is_cut: bool,
}

impl Arrival {
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State {
                phase: Phase::Awaited,
                has_begun: false,
                pieces: VecDeque::new(),
                base: 0,
                end: 0,
                window: None,
                readers: Slab::new(),
                waiting: Waiting::default(),
                writer: None,
            }),
        }
    }

    /// The place of the first reader.
    pub fn lead(&self) -> usize {
        self.state.lock().seat(Role::Leader)
    }

    /// A place for one more reader, from the first octet, where the fill takes one. `fits` judges a head that is
    /// already there.
    pub fn join(&self, limit: usize, fits: impl FnOnce(&ResponseHead) -> bool) -> Joining {
        let mut state = self.state.lock();
        let fits = match &state.phase {
            Phase::Awaited => true,
            Phase::Arriving(response) => {
                response.audience == Audience::Everyone && state.base == 0 && fits(&response.head)
            }
            // What is complete was stored before, if it may be shared; and what failed is asked for anew.
            Phase::Complete(_) | Phase::Drained(_) | Phase::Failed(_) => false,
        };
        match fits {
            false => Joining::Unfit,
            true if state.readers.len() >= limit => Joining::Full,
            true => Joining::Joined(state.seat(Role::Joiner)),
        }
    }

    /// A place beside that of another reader, from the first octet where that is still here.
    pub fn join_beside(&self, reader: usize, limit: usize) -> Option<usize> {
        let mut state = self.state.lock();
        let role = state.readers[reader].role;
        (state.base == 0 && state.readers.len() < limit).then(|| state.seat(role))
    }

    /// Whether its head has been there, whatever became of it.
    pub fn has_begun(&self) -> bool {
        self.state.lock().has_begun
    }

    /// Places taken.
    pub fn readers(&self) -> usize {
        self.state.lock().readers.len()
    }

    /// Gives a place up.
    pub fn leave(&self, reader: usize) -> Aftermath {
        let mut state = self.state.lock();
        let gone = state.readers.remove(reader);
        state.waiting.forget(gone.ticket);
        let mut aftermath = state.trim();
        if state.readers.is_empty() {
            aftermath.writer = aftermath.writer.or(state.writer.take());
        }
        aftermath
    }

    /// Moves a reader to an offset.
    pub fn seek(&self, reader: usize, offset: u64) -> Aftermath {
        let mut state = self.state.lock();
        state.readers[reader].offset = offset;
        state.trim()
    }

    pub fn length(&self) -> Option<u64> {
        let state = self.state.lock();
        match &state.phase {
            Phase::Arriving(response) => response.length,
            Phase::Drained(_) => Some(state.end),
            Phase::Complete(object) => Some(object.length()),
            Phase::Awaited | Phase::Failed(_) => None,
        }
    }

    /// The head, once it is there.
    pub fn known_head(&self) -> Option<Arc<ResponseHead>> {
        match &self.state.lock().phase {
            Phase::Arriving(response) | Phase::Drained(response) => Some(response.head.clone()),
            Phase::Awaited | Phase::Complete(_) | Phase::Failed(_) => None,
        }
    }

    /// Octets that have arrived.
    pub fn arrived(&self) -> u64 {
        self.state.lock().end
    }

    /// What there is of the response once its head and `octets` of its body are there, or its end; from the start where
    /// not all of it is kept, so that waiting would hold it up.
    pub fn poll_reached(&self, reader: usize, octets: u64, caller: &Caller<'_>) -> Poll<Result<Answer, FillEnd>> {
        let mut state = self.state.lock();
        if let Some(end) = state.ended(reader) {
            return Poll::Ready(Err(end));
        }
        let is_short = state.end < octets && state.window.is_none();
        Poll::Ready(Ok(match &state.phase {
            Phase::Awaited => {
                state.wait(reader, For::octets(octets), caller);
                return Poll::Pending;
            }
            Phase::Arriving(_) if is_short => {
                state.wait(reader, For::octets(octets), caller);
                return Poll::Pending;
            }
            Phase::Arriving(response) => Answer::Arriving(response.head.clone(), response.length),
            Phase::Drained(response) => Answer::Arriving(response.head.clone(), Some(state.end)),
            Phase::Complete(object) => Answer::Complete(object.clone()),
            Phase::Failed(end) => return Poll::Ready(Err(end.clone())),
        }))
    }

    pub fn poll_next(&self, reader: usize, caller: &Caller<'_>) -> (Poll<Result<Next, FillEnd>>, Aftermath) {
        let mut state = self.state.lock();
        if let Some(end) = state.ended(reader) {
            return (Poll::Ready(Err(end)), Aftermath::default());
        }
        if let Phase::Complete(object) = &state.phase {
            return (Poll::Ready(Ok(Next::Object(object.clone()))), Aftermath::default());
        }
        let offset = state.readers[reader].offset;
        if offset < state.base {
            return (Poll::Ready(Err(FillEnd::Gone)), Aftermath::default());
        }
        if offset < state.end {
            let octets = state.take(reader, offset);
            return (Poll::Ready(Ok(Next::Octets(octets))), state.trim());
        }
        if let Phase::Drained(_) = state.phase {
            return (Poll::Ready(Ok(Next::End)), Aftermath::default());
        }
        state.wait(reader, For::More, caller);
        // A blocked writer may cut those who hold it up as soon as somebody waits for it.
        let writer = state.is_blocked().then(|| state.writer.take()).flatten();
        (Poll::Pending, Aftermath { writer, ..Aftermath::default() })
    }

    /// The head has arrived. Nobody is woken for it yet, so that head and first octets go out together; only where it
    /// turns everyone but the leader away.
    pub fn head(&self, response: Response) -> Aftermath {
        let mut state = self.state.lock();
        debug_assert!(matches!(state.phase, Phase::Awaited), "a response has one head");
        let private = response.audience.turns_away().is_some();
        state.has_begun = true;
        state.phase = Phase::Arriving(response);
        if private { state.wake_all() } else { Aftermath::default() }
    }

    /// Wakes those who wait, whatever is there for them.
    pub fn announce(&self) -> Aftermath {
        self.state.lock().wake()
    }

    /// Octets have arrived.
    pub fn append(&self, chunks: impl IntoIterator<Item = Bytes>) -> Aftermath {
        let mut state = self.state.lock();
        for octets in chunks {
            state.end += octets.len() as u64;
            let end = state.end;
            state.pieces.push_back(Piece { end, octets });
        }
        let mut aftermath = state.wake();
        aftermath.freed = state.trim().freed;
        aftermath
    }

    /// Puts one chunk in the place of those that hold its octets, the last that arrived.
    pub fn replace_tail(&self, octets: Bytes) -> Aftermath {
        let mut state = self.state.lock();
        let start = state.end - octets.len() as u64;
        let mut aftermath = Aftermath::default();
        while state.pieces.back().is_some_and(|piece| piece.end > start) {
            aftermath.freed.extend(state.pieces.pop_back());
        }
        let end = state.end;
        state.pieces.push_back(Piece { end, octets });
        aftermath
    }

    /// From now on no more than `limit` octets are kept for the slowest reader.
    pub fn narrow(&self, limit: u64) -> Aftermath {
        let mut state = self.state.lock();
        state.window = Some(Window { limit, blocked: false });
        let aftermath = state.trim();
        // Those who wait for all of it would hold the rest up.
        Aftermath { readers: state.waiting.take_all(), ..aftermath }
    }

    /// Whether the first octet is gone, so that nobody can join any more.
    pub fn has_lost_start(&self) -> bool {
        self.state.lock().base > 0
    }

    /// Ready where the window has room.
    pub fn poll_room(&self, waker: &Waker) -> Poll<()> {
        let mut state = self.state.lock();
        let held = state.end - state.base;
        let Some(window) = &mut state.window else { return Poll::Ready(()) };
        window.blocked |= held >= window.limit;
        if !window.blocked {
            return Poll::Ready(());
        }
        state.listen(waker);
        Poll::Pending
    }

    /// Cuts those who keep the window more than half full, where somebody else waits for more; whether it did.
    pub fn cut_laggards(&self) -> (bool, Aftermath) {
        let mut state = self.state.lock();
        let Some(window) = &state.window else { return (false, Aftermath::default()) };
        let (end, needed) = (state.end, state.end.saturating_sub(window.limit / 2));
        if !state.readers.iter().any(|(_, reader)| !reader.is_cut && reader.offset >= end) {
            return (false, Aftermath::default());
        }
        for (_, reader) in &mut state.readers {
            if reader.offset < needed {
                reader.is_cut = true;
            }
        }
        let mut aftermath = state.wake_all();
        aftermath.freed = state.trim().freed;
        (!state.is_blocked(), aftermath)
    }

    /// Ready where nobody reads the fill.
    pub fn poll_unwanted(&self, waker: &Waker) -> Poll<()> {
        let mut state = self.state.lock();
        if state.readers.is_empty() {
            return Poll::Ready(());
        }
        state.listen(waker);
        Poll::Pending
    }

    /// What has arrived, for the object that it becomes.
    pub fn pieces(&self) -> Arc<[Piece]> {
        self.state.lock().pieces.iter().cloned().collect()
    }

    /// The fill has become an object.
    pub fn complete(&self, object: Arc<Object>) -> Aftermath {
        self.state.lock().finish(Phase::Complete(object))
    }

    /// The last octet has arrived, and what is still here is left to the readers.
    pub fn drain(&self) -> Aftermath {
        let mut state = self.state.lock();
        match std::mem::replace(&mut state.phase, Phase::Awaited) {
            Phase::Arriving(response) => {
                state.phase = Phase::Drained(response);
                state.wake_all()
            }
            other => {
                state.phase = other;
                Aftermath::default()
            }
        }
    }

    /// The fill has failed for everyone. Without effect once it is complete or has failed.
    pub fn fail(&self, why: FillEnd) -> Aftermath {
        self.state.lock().finish(Phase::Failed(why))
    }

    /// Fails the fill if nobody reads it; whether it did.
    pub fn fail_unread(&self) -> (bool, Aftermath) {
        let mut state = self.state.lock();
        if !state.readers.is_empty() {
            return (false, Aftermath::default());
        }
        (true, state.finish(Phase::Failed(FillEnd::Abandoned)))
    }
}

impl State {
    fn seat(&mut self, role: Role) -> usize {
        self.readers.insert(Reader { role, offset: 0, ticket: None, is_cut: false })
    }

    /// Why this reader, or everyone, gets nothing more.
    fn ended(&self, reader: usize) -> Option<FillEnd> {
        let reader = &self.readers[reader];
        let turned_away = match &self.phase {
            Phase::Arriving(response) | Phase::Drained(response) => response.audience.turns_away(),
            Phase::Failed(end) => return Some(end.clone()),
            Phase::Awaited | Phase::Complete(_) => None,
        };
        if let (Some(end), Role::Joiner) = (turned_away, reader.role) {
            return Some(end);
        }
        reader.is_cut.then_some(FillEnd::TooSlow)
    }

    /// The octets from `offset`, which is here, to the end of their chunk.
    fn take(&mut self, reader: usize, offset: u64) -> Bytes {
        let at = self.pieces.partition_point(|piece| piece.end <= offset);
        let piece = &self.pieces[at];
        self.readers[reader].offset = piece.end;
        slice(&piece.octets, piece.end - piece.octets.len() as u64, offset..piece.end)
    }

    /// Lets chunks go that every reader has passed, and lets a blocked writer in once half of the window is free.
    fn trim(&mut self) -> Aftermath {
        let mut aftermath = Aftermath::default();
        let Some(window) = &mut self.window else { return aftermath };
        let readers = &self.readers;
        while let Some(first) = self.pieces.front() {
            if readers.iter().any(|(_, reader)| !reader.is_cut && reader.offset < first.end) {
                break;
            }
            self.base = first.end;
            aftermath.freed.extend(self.pieces.pop_front());
        }
        if window.blocked && self.end - self.base <= window.limit / 2 {
            window.blocked = false;
            aftermath.writer = self.writer.take();
        }
        aftermath
    }

    fn is_blocked(&self) -> bool {
        self.window.as_ref().is_some_and(|window| window.blocked)
    }

    fn listen(&mut self, waker: &Waker) {
        if !self.writer.as_ref().is_some_and(|held| held.will_wake(waker)) {
            self.writer = Some(waker.clone());
        }
    }

    fn wait(&mut self, reader: usize, of: For, caller: &Caller<'_>) {
        let held = self.readers[reader].ticket;
        self.readers[reader].ticket = Some(self.waiting.wait(held, of, (caller.lane, caller.waker)));
    }

    fn wake(&mut self) -> Aftermath {
        Aftermath { readers: self.waiting.take(), ..Aftermath::default() }
    }

    fn wake_all(&mut self) -> Aftermath {
        Aftermath { readers: self.waiting.take_all(), ..Aftermath::default() }
    }

    fn finish(&mut self, phase: Phase) -> Aftermath {
        if !matches!(self.phase, Phase::Awaited | Phase::Arriving(_)) {
            return Aftermath::default();
        }
        self.phase = phase;
        let mut aftermath = self.wake_all();
        aftermath.freed = self.pieces.drain(..).collect();
        aftermath
    }
}

//! The connections of one worker by key, the queues they stand in, and their deadlines. A key is quinn-proto's own
//! handle, so that both tables agree; it is used again when its connection is drained.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use quinn_proto::EndpointEvent;
use tracing::error;

use super::connection::{Connection, Core};
use super::layer::{Layer, MakeLayer};
use super::timers::Timers;

/// The connections of one worker.
pub(super) struct Table<L> {
    slots: Vec<Option<Box<Connection<L>>>>,
    living: usize,
    turns: VecDeque<usize>,
    sends: VecDeque<usize>,
    pub(super) timers: Timers,
}

impl<L> Default for Table<L> {
    fn default() -> Self {
        Self { slots: Vec::new(), living: 0, turns: VecDeque::new(), sends: VecDeque::new(), timers: Timers::default() }
    }
}

impl<L: Layer> Table<L> {
    /// Takes in a new connection.
    pub(super) fn insert(&mut self, connection: Connection<L>) {
        let key = connection.handle.0;
        if self.slots.len() <= key {
            self.slots.resize_with(key + 1, || None);
        }
        self.slots[key] = Some(Box::new(connection));
        self.living += 1;
        self.wants_turn(key);
    }

    /// Removes a connection that quinn-proto has drained.
    pub(super) fn remove(&mut self, key: usize) {
        if let Some(connection) = self.slots[key].take() {
            self.timers.remove(key, connection.armed);
            self.living -= 1;
        }
    }

    /// Calls one connection. A panic in it, which would be a fault of QUIC itself, ends that connection only.
    pub(super) fn with<M, T>(
        &mut self,
        core: &mut Core<M>,
        key: usize,
        call: impl FnOnce(&mut Connection<L>, &mut Core<M>) -> T,
    ) -> Option<T>
    where
        M: MakeLayer<Layer = L>,
    {
        let connection = self.slots.get_mut(key)?.as_deref_mut()?;
        // After a panic the connection is forgotten, so that no one sees what it left half done.
        match catch_unwind(AssertUnwindSafe(|| call(connection, core))) {
            Ok(outcome) => Some(outcome),
            Err(_) => {
                error!("a quic connection panicked and is dropped");
                core.counters.panics.add(1);
                connection.end(core);
                core.endpoint.handle_event(connection.handle, EndpointEvent::drained());
                self.remove(key);
                None
            }
        }
    }

    /// The connection has something to do.
    pub(super) fn wants_turn(&mut self, key: usize) {
        if let Some(Some(connection)) = self.slots.get_mut(key)
            && !std::mem::replace(&mut connection.queued.turn, true)
        {
            self.turns.push_back(key);
        }
    }

    /// The connection may have packets to send.
    pub(super) fn wants_to_send(&mut self, key: usize) {
        if let Some(Some(connection)) = self.slots.get_mut(key)
            && !std::mem::replace(&mut connection.queued.send, true)
        {
            self.sends.push_back(key);
        }
    }

    /// The next connection that has something to do.
    pub(super) fn next_turn(&mut self) -> Option<usize> {
        let key = self.turns.pop_front()?;
        if let Some(connection) = &mut self.slots[key] {
            connection.queued.turn = false;
        }
        Some(key)
    }

    /// The next connection that may have packets to send.
    pub(super) fn next_to_send(&mut self) -> Option<usize> {
        let key = self.sends.pop_front()?;
        if let Some(connection) = &mut self.slots[key] {
            connection.queued.send = false;
        }
        Some(key)
    }

    /// Sets the timer of a connection that has done what it could.
    pub(super) fn arm<M>(&mut self, core: &mut Core<M>, key: usize) {
        if let Some(Some(connection)) = self.slots.get_mut(key)
            && let Some(due) = connection.due(core)
        {
            self.timers.set(key, &mut connection.armed, due);
        }
    }

    /// How many connections there are.
    pub(super) fn living(&self) -> usize {
        self.living
    }

    /// One more than the largest key.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether no connection has anything to do or to say.
    pub(super) fn is_silent(&self) -> bool {
        self.turns.is_empty() && self.sends.is_empty()
    }
}

//! Who waits for a fill: in one list for anything new, in another for all of it, so that nobody is woken for pieces that
//! he will not send.

use std::task::Waker;

use super::bells::Lanes;

/// What somebody waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    More,
    All,
}

impl For {
    /// So many octets of the body; `u64::MAX`: to its end.
    pub fn octets(octets: u64) -> Self {
        if octets == u64::MAX { Self::All } else { Self::More }
    }
}

/// A place in a list, until it is taken out to be woken.
#[derive(Clone, Copy)]
pub(super) struct Ticket {
    of: For,
    round: u64,
    lane: usize,
    place: usize,
}

/// Both lists.
#[derive(Default)]
pub(super) struct Waiting {
    more: List,
    all: List,
}

#[derive(Default)]
struct List {
    lanes: Lanes,
    /// How often the waiting were taken out to be woken: a ticket of an earlier round is void.
    round: u64,
}

impl List {
    fn take(&mut self) -> Lanes {
        self.round += 1;
        std::mem::take(&mut self.lanes)
    }
}

impl Waiting {
    fn list(&mut self, of: For) -> &mut List {
        match of {
            For::More => &mut self.more,
            For::All => &mut self.all,
        }
    }

    /// A place for a task of a lane, in place of the one it `held`.
    pub fn wait(&mut self, held: Option<Ticket>, of: For, (lane, waker): (usize, &Waker)) -> Ticket {
        if let Some(ticket) = held.filter(|ticket| ticket.of == of && ticket.lane == lane) {
            let list = self.list(of);
            if list.round == ticket.round && list.lanes.holds(lane, ticket.place, waker) {
                return ticket;
            }
        }
        self.forget(held);
        let list = self.list(of);
        Ticket { of, round: list.round, lane, place: list.lanes.enter(lane, waker.clone()) }
    }

    /// Gives a place up.
    pub fn forget(&mut self, ticket: Option<Ticket>) {
        let Some(Ticket { of, round, lane, place }) = ticket else { return };
        let list = self.list(of);
        if list.round == round {
            list.lanes.leave(lane, place);
        }
    }

    /// Takes out who waits for anything new.
    pub fn take(&mut self) -> [Lanes; 2] {
        [self.more.take(), Lanes::default()]
    }

    /// Takes out everyone.
    pub fn take_all(&mut self) -> [Lanes; 2] {
        [self.more.take(), self.all.take()]
    }
}

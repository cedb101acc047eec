//! What a poll of a connection wrote leaves in one write.
//!
//! hyper writes and flushes whenever it has something; each flush would be a system call and, over TLS, a record. So
//! here a flush does nothing: writes up to 4 kB are gathered in a pooled buffer, larger ones go to TLS as they are
//! (one record for a full HTTP/2 frame), and after the poll of the connection whoever drives it calls
//! [`Outlet::poll_out`], which hands everything to the socket until that blocks. Over cleartext larger writes go to
//! the socket at once, together with what was gathered before them.
//!
//! At most `BACKLOG` octets wait behind TLS; beyond that writes are refused until `poll_out` made room.

use std::cell::RefCell;
use std::io::{self, IoSlice, Write};
use std::task::{Context, Poll, ready};

use rustls::ServerConnection;
use smallvec::SmallVec;

use crate::clock::Tick;
use crate::transport::stream::{Blocking, Socket};

/// Writes up to this are gathered: taken whole or not at all.
pub(super) const SMALL: usize = 4 << 10;
/// The largest TLS record.
const RECORD: usize = 16 << 10;
/// The size of a gathering buffer.
const GATHER: usize = RECORD;
/// Octets that may wait behind TLS, and a record more.
const BACKLOG: usize = 128 << 10;
/// Gathering buffers that a thread keeps for the next connection.
const POOL: usize = 32;

thread_local! {
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// How octets are protected on their way.
pub(super) enum Session {
    /// Not at all.
    Clear,
    /// By TLS.
    Tls(Box<ServerConnection>),
}

/// The way out of a connection.
#[derive(Default)]
pub(super) struct Outlet {
    gathered: Option<Vec<u8>>,
    /// Octets at the front of `gathered` that the socket has taken (cleartext).
    sent: usize,
    /// Octets that TLS has taken and the socket has not, about.
    backlog: usize,
    refused: bool,
    blocked: Option<Tick>,
}

impl Outlet {
    /// Since when the socket has taken nothing although there was something to take.
    pub(super) fn blocked_since(&self) -> Option<Tick> {
        self.blocked
    }

    /// Whether a write was refused for want of room that is there now. Asking forgets it.
    pub(super) fn room_again(&mut self) -> bool {
        self.backlog < BACKLOG && std::mem::take(&mut self.refused)
    }

    /// Takes octets, or refuses all of them.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        (socket, session): (&mut Socket, &mut Session),
        slices: &[IoSlice<'_>],
        now: Tick,
    ) -> Poll<io::Result<usize>> {
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        if total <= SMALL {
            if self.gathered.as_ref().is_some_and(|gathered| gathered.len() + total > GATHER) {
                match session {
                    Session::Clear => ready!(self.poll_gathered(cx, socket, now))?,
                    Session::Tls(tls) => self.seal(tls)?,
                }
            }
            if self.backlog >= BACKLOG {
                self.refused = true;
                return Poll::Pending;
            }
            let gathered = self.gathered.get_or_insert_with(buffer);
            slices.iter().for_each(|slice| gathered.extend_from_slice(slice));
            return Poll::Ready(Ok(total));
        }
        match session {
            Session::Clear => self.poll_write_clear(cx, socket, slices, now),
            Session::Tls(tls) => self.write_sealed(tls, slices),
        }
    }

    fn write_sealed(&mut self, tls: &mut ServerConnection, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.seal(tls)?;
        if self.backlog >= BACKLOG {
            self.refused = true;
            return Poll::Pending;
        }
        // Whole records: a frame that is cut for want of a few octets of room becomes two.
        let room = (BACKLOG - self.backlog).next_multiple_of(RECORD);
        let taken = tls.writer().write_vectored(&first(slices, room))?;
        self.backlog += taken;
        Poll::Ready(Ok(taken))
    }

    fn poll_write_clear(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
        slices: &[IoSlice<'_>],
        now: Tick,
    ) -> Poll<io::Result<usize>> {
        let before = self.gathered.as_ref().map_or(0, |gathered| gathered.len() - self.sent);
        let written = {
            let mut all: SmallVec<[IoSlice<'_>; 65]> = SmallVec::new();
            all.extend(self.gathered.as_ref().map(|gathered| IoSlice::new(&gathered[self.sent..])));
            all.extend(slices.iter().map(|slice| IoSlice::new(slice)));
            socket.poll_write(cx, &all)
        };
        let Poll::Ready(taken) = written else {
            self.blocked.get_or_insert(now);
            return Poll::Pending;
        };
        let taken = taken?;
        self.took(taken)?;
        if taken < before {
            self.sent += taken;
            // The socket is nearly full; the next call finds it so and waits.
            self.refused = true;
            return Poll::Pending;
        }
        self.release();
        match taken - before {
            0 if !slices.is_empty() => {
                self.refused = true;
                Poll::Pending
            }
            rest => Poll::Ready(Ok(rest)),
        }
    }

    /// Hands what was written to the socket until nothing is left or it blocks.
    pub(super) fn poll_out(
        &mut self,
        cx: &mut Context<'_>,
        (socket, session): (&mut Socket, &mut Session),
        now: Tick,
    ) -> Poll<io::Result<()>> {
        let tls = match session {
            Session::Clear => return self.poll_gathered(cx, socket, now),
            Session::Tls(tls) => tls,
        };
        self.seal(tls)?;
        while tls.wants_write() {
            match tls.write_tls(&mut Blocking { socket, cx }) {
                Ok(taken) => {
                    self.took(taken)?;
                    self.backlog = self.backlog.saturating_sub(taken);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked.get_or_insert(now);
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.backlog = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_gathered(&mut self, cx: &mut Context<'_>, socket: &mut Socket, now: Tick) -> Poll<io::Result<()>> {
        while let Some(gathered) = &self.gathered {
            match socket.poll_write(cx, &[IoSlice::new(&gathered[self.sent..])]) {
                Poll::Ready(taken) => {
                    let taken = taken?;
                    self.sent += taken;
                    let done = self.sent == gathered.len();
                    self.took(taken)?;
                    if done {
                        self.release();
                    }
                }
                Poll::Pending => {
                    self.blocked.get_or_insert(now);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Says after what was written that nothing more comes (RFC 8446 §6.1).
    pub(super) fn end(&mut self, session: &mut Session) -> io::Result<()> {
        if let Session::Tls(tls) = session {
            self.seal(tls)?;
            tls.send_close_notify();
        }
        Ok(())
    }

    /// Turns what was gathered into a record.
    fn seal(&mut self, tls: &mut ServerConnection) -> io::Result<()> {
        if let Some(gathered) = &self.gathered {
            tls.writer().write_all(gathered)?;
            self.backlog += gathered.len();
            self.release();
        }
        Ok(())
    }

    fn took(&mut self, octets: usize) -> io::Result<()> {
        self.blocked = None;
        if octets == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
    }

    fn release(&mut self) {
        self.sent = 0;
        let Some(mut buffer) = self.gathered.take() else { return };
        buffer.clear();
        BUFFERS.with_borrow_mut(|pool| {
            if pool.len() < POOL {
                pool.push(buffer);
            }
        });
    }
}

fn buffer() -> Vec<u8> {
    BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(GATHER))
}

/// The first `max` octets of several slices.
fn first<'a>(slices: &'a [IoSlice<'_>], max: usize) -> SmallVec<[IoSlice<'a>; 64]> {
    let mut left = max;
    let mut taken = SmallVec::new();
    for slice in slices {
        if left == 0 {
            break;
        }
        let piece = &slice[..slice.len().min(left)];
        left -= piece.len();
        taken.push(IoSlice::new(piece));
    }
    taken
}

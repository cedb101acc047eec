//! Drives one connection: polls hyper, then writes out what that left, once; watches for a viewer that leaves; keeps
//! the deadlines that hyper does not know; ends in the way that fits how it came to an end.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;

use super::counters::{Counters, Deadline};
use super::exchange::Exchanges;
use super::wire::Wire;
use super::{Settings, Spoken, answer};
use crate::clock::{Clock, Tick};
use crate::transport::alarm::Alarm;
use crate::transport::drain::Drain;
use crate::transport::head::BadRequest;

/// Polls of hyper in one poll of the connection; then other connections have their turn.
const PASSES: usize = 16;
/// How long a connection that was asked to end may stay without doing anything.
const FAREWELL: Duration = Duration::from_secs(5);
/// How long what a viewer still sends is read after our last word, so that it can read that word.
const LINGER: Duration = Duration::from_secs(2);
/// Octets read meanwhile.
const LINGER_OCTETS: usize = 256 << 10;

/// GOAWAY with that code, for whatever streams there were (RFC 9113 §6.8, §10.5).
const ENHANCE_YOUR_CALM: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0xb];

/// A connection of hyper's.
pub(super) trait Connection: Future<Output = hyper::Result<()>> {
    /// Ends after what is going on.
    fn end_gracefully(self: Pin<&mut Self>);
}

/// How a connection came to its end.
#[derive(Debug)]
pub(super) enum Ending {
    /// As HTTP says.
    Done,
    /// An answer could not be completed: what was sent must not look whole.
    Broken,
    /// A head was refused beneath hyper.
    Refused(BadRequest),
    /// The viewer left, or the socket failed.
    Gone,
    /// A deadline passed.
    Late(Deadline),
    /// The viewer opens streams only to cancel them, or floods the connection.
    Abusive,
    /// The node ends.
    Cut,
}

/// What a connection is driven with.
pub(super) struct Driver {
    pub(super) wire: Arc<Mutex<Wire>>,
    pub(super) exchanges: Arc<Exchanges>,
    pub(super) counters: Arc<Counters>,
    pub(super) settings: Arc<Settings>,
    pub(super) clock: Clock,
    pub(super) drain: Drain,
    pub(super) spoken: Spoken,
    pub(super) began: Tick,
}

enum Stage {
    Serving,
    /// Asked to end, at that time.
    Ending(Tick),
}

impl Driver {
    /// Runs `connection` to its end and closes the wire.
    pub(super) async fn run<C: Connection>(self, connection: C) {
        let ending = self.drive(connection).await;
        match &ending {
            Ending::Gone => super::counters::count(&self.counters.gone),
            Ending::Late(deadline) => self.counters.missed(*deadline),
            Ending::Refused(bad) => self.counters.bad_request(*bad),
            Ending::Abusive => super::counters::count(&self.counters.abusive),
            Ending::Done | Ending::Broken | Ending::Cut => {}
        }
        self.close(ending).await;
    }

    async fn drive<C: Connection>(&self, connection: C) -> Ending {
        let mut connection = pin!(connection);
        let mut alarm = Alarm::new(self.clock.clone());
        let mut begun = pin!(self.drain.begun());
        let mut cutting = pin!(self.drain.cutting());
        let mut stage = Stage::Serving;
        poll_fn(|cx| {
            // A request that is here already is taken up before the connection is asked to end.
            let mut ending = self.poll_passes(cx, connection.as_mut());
            if ending.is_pending() && begun.as_mut().poll(cx).is_ready() {
                if cutting.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Ending::Cut);
                }
                if matches!(stage, Stage::Serving) {
                    stage = self.end_gracefully(connection.as_mut());
                    ending = self.poll_passes(cx, connection.as_mut());
                }
            }
            if ending.is_ready() {
                return ending;
            }
            loop {
                let Some((deadline, due)) = self.deadline(&stage) else { return Poll::Pending };
                ready!(alarm.poll_at(cx, deadline));
                match due {
                    Due::Late(Deadline::Idle) if self.spoken == Spoken::H2 && matches!(stage, Stage::Serving) => {
                        self.counters.missed(Deadline::Idle);
                        stage = self.end_gracefully(connection.as_mut());
                    }
                    Due::Late(deadline) => return Poll::Ready(self.late(deadline)),
                    Due::Age => stage = self.end_gracefully(connection.as_mut()),
                    Due::Farewell => return Poll::Ready(Ending::Done),
                }
                if let Poll::Ready(ending) = self.poll_passes(cx, connection.as_mut()) {
                    return Poll::Ready(ending);
                }
            }
        })
        .await
    }

    /// A deadline passed; a viewer that takes nothing gives no other sign of life.
    fn late(&self, deadline: Deadline) -> Ending {
        if matches!(deadline, Deadline::Write) {
            self.wire.lock().line.dies();
        }
        Ending::Late(deadline)
    }

    fn end_gracefully<C: Connection>(&self, connection: Pin<&mut C>) -> Stage {
        connection.end_gracefully();
        Stage::Ending(self.clock.now())
    }

    /// Polls the connection and writes out what that left, again while that made room for more.
    fn poll_passes<C: Connection>(&self, cx: &mut Context<'_>, mut connection: Pin<&mut C>) -> Poll<Ending> {
        let now = self.clock.now();
        for _ in 0..PASSES {
            {
                let mut wire = self.wire.lock();
                wire.now = now;
                wire.inlet.begin_pass(now);
            }
            let finished = connection.as_mut().poll(cx);
            let mut wire = self.wire.lock();
            if let Poll::Ready(result) = finished {
                return Poll::Ready(self.ending(&wire, result));
            }
            if self.spoken == Spoken::H2 && (self.exchanges.is_abusive() || wire.inlet.floods()) {
                return Poll::Ready(Ending::Abusive);
            }
            let out = match wire.poll_out(cx) {
                Poll::Ready(Err(error)) => {
                    if is_silence(&error) {
                        wire.line.dies();
                    }
                    return Poll::Ready(Ending::Gone);
                }
                Poll::Ready(Ok(())) => Poll::Ready(()),
                Poll::Pending => Poll::Pending,
            };
            if wire.outlet.room_again() {
                continue;
            }
            if let Err(error) = wire.poll_watch(cx) {
                if is_silence(&error) {
                    wire.line.dies();
                }
                return Poll::Ready(Ending::Gone);
            }
            // A viewer that closed its side while we have something for it may still be reading; one for which we
            // have nothing is gone, and what it waits for is freed.
            let blocked = out.is_pending() || wire.outlet.blocked_since().is_some();
            if self.spoken == Spoken::H1 && wire.inlet.has_left() && !blocked {
                if std::mem::replace(&mut wire.leaving, true) {
                    return Poll::Ready(Ending::Gone);
                }
                // An answer that is on its way already, in this task or another, has one more turn.
                cx.waker().wake_by_ref();
            }
            return Poll::Pending;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn ending(&self, wire: &Wire, result: hyper::Result<()>) -> Ending {
        match (result, wire.inlet.refused_head()) {
            (Err(error), _) if error.is_user() || error.is_body_write_aborted() => Ending::Broken,
            (_, Some(fault)) => Ending::Refused(BadRequest::Octets(fault)),
            (Ok(()), None) => Ending::Done,
            // hyper has written an answer to what it could not parse.
            (Err(error), None) if error.is_parse() => Ending::Done,
            (Err(_), None) if self.exchanges.open() > 0 => Ending::Gone,
            (Err(_), None) => Ending::Done,
        }
    }

    /// The next moment at which something is due, and what.
    fn deadline(&self, stage: &Stage) -> Option<(Tick, Due)> {
        let limits = &self.settings.limits;
        let wire = self.wire.lock();
        let idle = self.exchanges.open() == 0;
        let end = match stage {
            Stage::Serving => Some((self.began + limits.connection_age, Due::Age)),
            Stage::Ending(since) if idle => Some(((*since).max(self.exchanges.last_end()) + FAREWELL, Due::Farewell)),
            // Bodies that are being sent may take their time; the drain's own deadline cuts them.
            Stage::Ending(_) => None,
        };
        let viewer = match (wire.outlet.blocked_since(), wire.inlet.head_since(), wire.inlet.last_read()) {
            (Some(since), ..) => Some((since + limits.write_progress, Due::Late(Deadline::Write))),
            (None, Some(since), _) => Some((since + limits.head, Due::Late(Deadline::Head))),
            (None, None, None) => Some((self.began + limits.first_byte, Due::Late(Deadline::FirstByte))),
            (None, None, Some(_)) if idle && matches!(stage, Stage::Serving) => {
                Some((self.exchanges.last_end() + limits.idle, Due::Late(Deadline::Idle)))
            }
            (None, None, Some(_)) => None,
        };
        [end, viewer].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Says the last word that fits and closes.
    async fn close(&self, ending: Ending) {
        let clean = match ending {
            Ending::Gone | Ending::Cut => return,
            Ending::Abusive => return self.calm(),
            Ending::Late(Deadline::Write) => return,
            // Without an end of its own a body ends with the connection; only a reset shows that it is cut.
            Ending::Broken if self.exchanges.last_is_http10() => return,
            Ending::Broken => false,
            Ending::Refused(bad) => {
                self.tell(bad);
                true
            }
            Ending::Done | Ending::Late(_) => true,
        };
        if clean && self.wire.lock().end_session().is_err() {
            return;
        }
        let mut alarm = Alarm::new(self.clock.clone());
        let deadline = self.clock.now() + self.settings.limits.write_progress;
        let closed = poll_fn(|cx| {
            if let Poll::Ready(closed) = self.wire.lock().poll_close(cx) {
                return Poll::Ready(closed.is_ok());
            }
            ready!(alarm.poll_at(cx, deadline));
            Poll::Ready(false)
        })
        .await;
        if closed && !matches!(ending, Ending::Late(_)) {
            self.linger(&mut alarm).await;
        }
    }

    /// Tells an abusive viewer so if the socket takes it at once; nobody waits for it.
    fn calm(&self) {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut wire = self.wire.lock();
        let said = wire.poll_write(&mut cx, &[IoSlice::new(ENHANCE_YOUR_CALM)]);
        if matches!(said, Poll::Ready(Ok(_))) {
            _ = wire.poll_close(&mut cx);
        }
    }

    /// A refused request is answered here, since hyper never saw it whole.
    fn tell(&self, bad: BadRequest) {
        let octets = answer::octets(bad, self.clock.wall().system_time());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        // What does not fit beside a viewer that takes nothing is not told.
        _ = self.wire.lock().poll_write(&mut cx, &[IoSlice::new(&octets)]);
    }

    async fn linger(&self, alarm: &mut Alarm) {
        let deadline = self.clock.now() + LINGER;
        let mut left = LINGER_OCTETS;
        let mut buffer = [0; 4096];
        poll_fn(|cx| {
            let mut wire = self.wire.lock();
            if wire.inlet.has_ended() {
                return Poll::Ready(());
            }
            while left > 0 {
                match wire.socket.poll_read(cx, &mut buffer) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                    Poll::Ready(Ok(read)) => left = left.saturating_sub(read),
                    Poll::Pending => {
                        drop(wire);
                        return alarm.poll_at(cx, deadline);
                    }
                }
            }
            Poll::Ready(())
        })
        .await;
    }
}

/// Whether a socket failed for want of any word from the viewer, who would have said goodbye with a reset or an end.
fn is_silence(error: &io::Error) -> bool {
    use io::ErrorKind::{HostUnreachable, NetworkUnreachable, TimedOut};
    matches!(error.kind(), TimedOut | HostUnreachable | NetworkUnreachable)
}

/// What happens at a deadline.
enum Due {
    Late(Deadline),
    Age,
    Farewell,
}

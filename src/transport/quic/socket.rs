//! The UDP socket of one worker: datagrams in batches in (recvmmsg, GRO), batches out (GSO), and a send that waits for
//! room keeps its place. Where the system cannot split a batch, we split it, from then on and for the batch at hand.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use quinn_proto::Transmit;
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, UdpSocketState};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tracing::{debug, warn};

use super::counters::Counters;
use super::settings::Segmentation;
use crate::transport::socket::receive_drops;

/// Octets that are asked for the socket's buffers, both ways.
const SOCKET_BUFFER: usize = 4 << 20;
/// Octets of one receive buffer: what GRO joins at most.
const RECEIVE_BUFFER: usize = 65_535;
/// Datagrams in one send: 44 of 1,472 octets are what one IPv4 datagram's length can say.
const SEGMENTS: usize = 44;
/// The largest UDP payload, over IPv4.
const LARGEST_SEND: usize = 65_507;

/// One worker's socket.
pub(super) struct Socket {
    io: UdpSocket,
    state: UdpSocketState,
    segmentation: Segmentation,
    buffer: Box<[u8]>,
    counters: Arc<Counters>,
}

/// A send that is not done yet: a part of the driver's send buffer.
pub(super) struct Outgoing {
    destination: SocketAddr,
    ecn: Option<EcnCodepoint>,
    source: Option<IpAddr>,
    segment: Option<usize>,
    start: usize,
    end: usize,
}

/// How a send went.
pub(super) enum Sent {
    /// It is over.
    Done,
    /// The socket has no room; the task is woken when it has, and the rest is to be sent first.
    Blocked(Outgoing),
}

impl From<Transmit> for Outgoing {
    fn from(transmit: Transmit) -> Self {
        Self {
            destination: transmit.destination,
            ecn: transmit.ecn.map(|ecn| match ecn {
                quinn_proto::EcnCodepoint::Ect0 => EcnCodepoint::Ect0,
                quinn_proto::EcnCodepoint::Ect1 => EcnCodepoint::Ect1,
                quinn_proto::EcnCodepoint::Ce => EcnCodepoint::Ce,
            }),
            source: transmit.src_ip,
            segment: transmit.segment_size,
            start: 0,
            end: transmit.size,
        }
    }
}

/// What came of one attempt to send.
#[derive(Debug, PartialEq, Eq)]
enum Attempt {
    Over,
    NoRoom,
    /// The system cannot split the batch; nothing of it was sent.
    NotSplit(i32),
}

impl Outgoing {
    /// Sends from its place on, by `call`, which gets octets and the size of a datagram where it is to split them.
    fn advance(
        &mut self,
        segmentation: Segmentation,
        counters: &Counters,
        mut call: impl FnMut(&Self, Range<usize>, Option<usize>) -> io::Result<()>,
    ) -> Attempt {
        while self.start < self.end {
            let (until, segment) = match (self.segment, segmentation) {
                (Some(size), Segmentation::Own) => (self.end.min(self.start + size), None),
                (segment, _) => (self.end, segment),
            };
            match call(self, self.start..until, segment) {
                Ok(()) => {
                    let size = segment.unwrap_or(until - self.start).max(1);
                    counters.datagrams_out.add((until - self.start).div_ceil(size) as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Attempt::NoRoom,
                Err(error) => match error.raw_os_error() {
                    // What network drivers say that claim to split and fail at it.
                    Some(code @ (libc::EIO | libc::EINVAL)) if segment.is_some() => {
                        return Attempt::NotSplit(code);
                    }
                    // What a probe of the path's size is answered with; it counts as lost, as it should.
                    Some(libc::EMSGSIZE) => {}
                    _ => {
                        counters.send_errors.add(1);
                        debug!(%error, "send failed");
                    }
                },
            }
            self.start = until;
        }
        Attempt::Over
    }
}

impl Socket {
    /// # Errors
    /// What the system says when it refuses an option.
    pub(super) fn new(
        (socket, state): (std::net::UdpSocket, UdpSocketState),
        segmentation: Segmentation,
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        enlarge_buffers(&socket)?;
        let segmentation = if state.max_gso_segments() > 1 { segmentation } else { Segmentation::Own };
        counters.offloaded.store(segmentation == Segmentation::Offloaded, Relaxed);
        let buffer = vec![0; RECEIVE_BUFFER * BATCH_SIZE].into();
        Ok(Self { io: UdpSocket::from_std(socket)?, state, segmentation, buffer, counters })
    }

    /// Datagrams that the kernel dropped for want of room; 0 where it cannot tell.
    pub(super) fn receive_drops(&self) -> u64 {
        receive_drops(self.io.as_fd()).unwrap_or_default().into()
    }

    /// How many datagrams of `size` octets one send may hold.
    pub(super) fn batch(&self, size: u16) -> usize {
        match self.segmentation {
            Segmentation::Own => 1,
            Segmentation::Offloaded => (LARGEST_SEND / usize::from(size).max(1)).clamp(1, SEGMENTS),
        }
    }

    /// Receives one batch and hands its buffers over, each with what is known about it. Pending: the task is woken.
    pub(super) fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        mut each: impl FnMut(&RecvMeta, &[u8]),
    ) -> Poll<io::Result<()>> {
        let Self { io, state, buffer, .. } = self;
        let mut meta = [RecvMeta::default(); BATCH_SIZE];
        let mut chunks = buffer.chunks_exact_mut(RECEIVE_BUFFER);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().expect("the buffer holds a whole batch")));
        let received = loop {
            ready!(io.poll_recv_ready(context))?;
            match io.try_io(Interest::READABLE, || state.recv((&*io).into(), &mut slices, &mut meta)) {
                Ok(received) => break received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // An ICMP error of some earlier send says nothing of this socket (and anyone can forge it).
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        };
        for (meta, slice) in meta.iter().zip(&slices).take(received) {
            self.counters.datagrams_in.add(meta.len.div_ceil(meta.stride.max(1)) as u64);
            each(meta, &slice[..meta.len]);
        }
        Poll::Ready(Ok(()))
    }

    /// Sends `outgoing`, whose octets are in `buffer`.
    pub(super) fn send(&mut self, context: &mut Context<'_>, mut outgoing: Outgoing, buffer: &[u8]) -> Sent {
        let mut segmentation = self.segmentation;
        let mut refused = None;
        loop {
            let attempt = outgoing.advance(segmentation, &self.counters, |outgoing, range, segment| {
                self.call(outgoing, &buffer[range], segment)
            });
            match attempt {
                Attempt::Over => break,
                Attempt::NoRoom if self.io.poll_send_ready(context).is_pending() => {
                    self.counters.send_waits.add(1);
                    return Sent::Blocked(outgoing);
                }
                Attempt::NoRoom => {}
                Attempt::NotSplit(code) => {
                    segmentation = Segmentation::Own;
                    refused = Some((code, self.counters.send_errors.value()));
                }
            }
        }
        // Only if the same datagrams went out one by one was the splitting at fault, and not, say, an address of ours
        // that is gone.
        if let Some((code, errors)) = refused
            && errors == self.counters.send_errors.value()
        {
            self.segmentation = Segmentation::Own;
            self.counters.offloaded.store(false, Relaxed);
            let error = io::Error::from_raw_os_error(code);
            warn!(%error, "udp segmentation offload failed and is off");
        }
        Sent::Done
    }

    /// Sends an answer that needs no connection; without room it is lost, and the peer asks again.
    pub(super) fn answer(&self, transmit: Transmit, buffer: &[u8]) {
        let outgoing = Outgoing::from(transmit);
        match self.call(&outgoing, &buffer[..outgoing.end], None) {
            Ok(()) => self.counters.datagrams_out.add(1),
            Err(_) => self.counters.send_errors.add(1),
        }
    }

    fn call(&self, outgoing: &Outgoing, contents: &[u8], segment_size: Option<usize>) -> io::Result<()> {
        let transmit = quinn_udp::Transmit {
            destination: outgoing.destination,
            ecn: outgoing.ecn,
            contents,
            segment_size,
            src_ip: outgoing.source,
        };
        self.io.try_io(Interest::WRITABLE, || self.state.try_send((&self.io).into(), &transmit))
    }
}

fn enlarge_buffers(socket: &std::net::UdpSocket) -> io::Result<()> {
    let socket = socket2::SockRef::from(socket);
    socket.set_recv_buffer_size(SOCKET_BUFFER)?;
    socket.set_send_buffer_size(SOCKET_BUFFER)?;
    // The kernel doubles what it is asked for, to cover its own bookkeeping, and says the doubled figure.
    let (receive, send) = (socket.recv_buffer_size()? / 2, socket.send_buffer_size()? / 2);
    if receive < SOCKET_BUFFER || send < SOCKET_BUFFER {
        warn!(receive, send, wanted = SOCKET_BUFFER, "udp socket buffers are smaller than asked for");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> Outgoing {
        Outgoing {
            destination: ([127, 0, 0, 1], 1).into(),
            ecn: None,
            source: None,
            segment: Some(100),
            start: 0,
            end: 250,
        }
    }

    #[test]
    fn a_batch_that_the_system_cannot_split_is_split_by_us_and_nothing_is_sent_twice() {
        let counters = Counters::default();
        let mut outgoing = batch();
        let attempt = outgoing.advance(Segmentation::Offloaded, &counters, |_, range, segment| {
            assert_eq!((range, segment), (0..250, Some(100)));
            Err(io::Error::from_raw_os_error(libc::EIO))
        });
        assert_eq!(attempt, Attempt::NotSplit(libc::EIO));
        let mut sent = Vec::new();
        let attempt = outgoing.advance(Segmentation::Own, &counters, |_, range, segment| {
            sent.push((range, segment));
            Ok(())
        });
        assert_eq!((attempt, sent), (Attempt::Over, vec![(0..100, None), (100..200, None), (200..250, None)]));
        assert_eq!((counters.datagrams_out.value(), counters.send_errors.value()), (3, 0));
    }

    #[test]
    fn a_send_without_room_goes_on_where_it_stopped() {
        let counters = Counters::default();
        let mut outgoing = batch();
        let mut room = 2;
        let mut sent = Vec::new();
        let mut call = |_: &Outgoing, range: Range<usize>, _| {
            if room == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            room -= 1;
            sent.push(range);
            Ok(())
        };
        assert_eq!(outgoing.advance(Segmentation::Own, &counters, &mut call), Attempt::NoRoom);
        assert_eq!(
            outgoing.advance(Segmentation::Own, &counters, |_, range, _| {
                assert_eq!(range, 200..250);
                Ok(())
            }),
            Attempt::Over
        );
        assert_eq!(sent, [0..100, 100..200]);
    }

    #[test]
    fn a_probe_that_is_too_large_is_no_fault_and_another_refusal_is_counted() {
        let counters = Counters::default();
        for code in [libc::EMSGSIZE, libc::EPERM] {
            let attempt =
                batch().advance(Segmentation::Offloaded, &counters, |_, _, _| Err(io::Error::from_raw_os_error(code)));
            assert_eq!(attempt, Attempt::Over);
        }
        assert_eq!((counters.datagrams_out.value(), counters.send_errors.value()), (0, 1));
    }
}

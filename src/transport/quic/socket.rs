//! The UDP socket of one worker: datagrams in batches in (recvmmsg, GRO), batches out (GSO), and a send that waits for
//! room keeps its place. Where the system cannot split a batch, we split it, from then on and for the batch at hand.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
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

impl Outgoing {
    /// The octets that the next system call sends.
    fn call(&self, segmentation: Segmentation) -> (usize, Option<usize>) {
        match (self.segment, segmentation) {
            (Some(size), Segmentation::Own) => (self.end.min(self.start + size), None),
            (segment, _) => (self.end, segment),
        }
    }

    fn datagrams(&self, until: usize) -> u64 {
        let size = self.segment.unwrap_or(until - self.start).max(1);
        (until - self.start).div_ceil(size) as u64
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
        while outgoing.start < outgoing.end {
            let (until, segment) = outgoing.call(self.segmentation);
            match self.send_once(&outgoing, &buffer[outgoing.start..until], segment) {
                Ok(()) => {
                    self.counters.datagrams_out.add(outgoing.datagrams(until));
                    outgoing.start = until;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.io.poll_send_ready(context).is_pending() {
                        self.counters.send_waits.add(1);
                        return Sent::Blocked(outgoing);
                    }
                }
                Err(error) if segment.is_some() && cannot_split(&error) => self.split_ourselves(&error),
                Err(error) => {
                    // Lost, as a datagram may be. EMSGSIZE is what a probe of the path's size is answered with.
                    if error.raw_os_error() != Some(libc::EMSGSIZE) {
                        self.counters.send_errors.add(1);
                        debug!(%error, "send failed");
                    }
                    outgoing.start = until;
                }
            }
        }
        Sent::Done
    }

    /// Sends an answer that needs no connection; without room it is lost, and the peer asks again.
    pub(super) fn answer(&self, transmit: Transmit, buffer: &[u8]) {
        let outgoing = Outgoing::from(transmit);
        match self.send_once(&outgoing, &buffer[..outgoing.end], None) {
            Ok(()) => self.counters.datagrams_out.add(1),
            Err(_) => self.counters.send_errors.add(1),
        }
    }

    fn send_once(&self, outgoing: &Outgoing, contents: &[u8], segment_size: Option<usize>) -> io::Result<()> {
        let transmit = quinn_udp::Transmit {
            destination: outgoing.destination,
            ecn: outgoing.ecn,
            contents,
            segment_size,
            src_ip: outgoing.source,
        };
        self.io.try_io(Interest::WRITABLE, || self.state.try_send((&self.io).into(), &transmit))
    }

    fn split_ourselves(&mut self, error: &io::Error) {
        self.segmentation = Segmentation::Own;
        self.counters.offloaded.store(false, Relaxed);
        warn!(%error, "udp segmentation offload failed and is off");
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

/// What drivers say that claim segmentation offload and fail at it.
fn cannot_split(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL))
}

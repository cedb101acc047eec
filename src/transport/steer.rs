//! Datagrams to the worker that owns the connection. The sockets of one port form a group (SO_REUSEPORT), one for each
//! worker in order; a classic BPF program, which needs no privilege, lets the kernel choose among them by the octet of
//! the connection ID that names the worker. Without it the kernel chooses by address, and a connection whose viewer
//! changes address would die. Where the program is refused, one socket alone serves the port.

#![expect(unsafe_code, reason = "SO_ATTACH_REUSEPORT_CBPF has no safe wrapper; the argument stands at the call")]

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU8;
use std::os::fd::AsRawFd;

use socket2::{Domain, Protocol, Socket, Type};
use tracing::warn;

/// The UDP sockets of one port.
#[derive(Debug)]
pub struct Group {
    /// One for each worker, in worker order; a single one where the kernel cannot steer.
    pub sockets: Vec<UdpSocket>,
    /// How datagrams find their worker.
    pub steering: Steering,
}

/// How datagrams find their worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steering {
    /// There is one worker only.
    Single,
    /// The kernel reads the connection ID.
    ByConnectionId,
    /// The kernel refused the filter: the first worker serves the whole port.
    Refused,
}

impl Group {
    /// Binds `address` once for each worker; with port 0, all get the port that the first one was given.
    ///
    /// # Errors
    /// What the system says when a socket cannot be made or bound; a port that another process serves is in use.
    pub fn bind(address: SocketAddr, workers: NonZeroU8) -> io::Result<Self> {
        if workers.get() == 1 {
            let socket = bound(address, Sharing::Exclusive)?;
            return Ok(Self { sockets: vec![socket], steering: Steering::Single });
        }
        // Without this, a port that another process shares would be shared with it silently.
        if address.port() != 0 {
            drop(bound(address, Sharing::Exclusive)?);
        }
        let first = bound(address, Sharing::Group)?;
        let address = first.local_addr()?;
        let mut sockets = vec![first];
        for _ in 1..workers.get() {
            sockets.push(bound(address, Sharing::Group)?);
        }
        if let Err(error) = attach(&sockets[0], workers) {
            warn!(%error, "steering filter refused, one worker serves quic");
            sockets.truncate(1);
            return Ok(Self { sockets, steering: Steering::Refused });
        }
        Ok(Self { sockets, steering: Steering::ByConnectionId })
    }

    /// Takes sockets that the service manager bound, in its order; several must share their port (SO_REUSEPORT).
    ///
    /// # Errors
    /// There is none, or the kernel refuses to steer among several: none of them may be left unserved, since it stays
    /// open at the service manager's and would swallow datagrams.
    pub fn inherited(sockets: Vec<UdpSocket>) -> io::Result<Self> {
        let workers = u8::try_from(sockets.len()).ok().and_then(NonZeroU8::new).ok_or(io::ErrorKind::InvalidInput)?;
        if workers.get() == 1 {
            return Ok(Self { sockets, steering: Steering::Single });
        }
        attach(&sockets[0], workers)?;
        Ok(Self { sockets, steering: Steering::ByConnectionId })
    }

    /// The address that all are bound to.
    ///
    /// # Errors
    /// What the system says.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.sockets[0].local_addr()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Exclusive,
    Group,
}

fn bound(address: SocketAddr, sharing: Sharing) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    if sharing == Sharing::Group {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// `A = long header ? octet 6 : octet 1; return A % workers`: the first octet of the destination connection ID (RFC 8999
/// §5) by remainder. Of a client's first packets it is random, and the same in each of them.
fn program(workers: NonZeroU8) -> [libc::sock_filter; 7] {
    use libc::{BPF_A, BPF_ABS, BPF_ALU, BPF_B, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_MOD, BPF_RET, sock_filter};
    let step = |code: u32, jt: u8, jf: u8, k: u32| sock_filter { code: code as u16, jt, jf, k };
    [
        step(BPF_LD | BPF_B | BPF_ABS, 0, 0, 0),
        step(BPF_JMP | BPF_JSET | BPF_K, 0, 2, 0x80),
        step(BPF_LD | BPF_B | BPF_ABS, 0, 0, 6),
        step(BPF_JMP, 0, 0, 1),
        step(BPF_LD | BPF_B | BPF_ABS, 0, 0, 1),
        step(BPF_ALU | BPF_MOD | BPF_K, 0, 0, workers.get().into()),
        step(BPF_RET | BPF_A, 0, 0, 0),
    ]
}

/// Sets the filter for the whole group that `socket` belongs to.
fn attach(socket: &UdpSocket, workers: NonZeroU8) -> io::Result<()> {
    let mut steps = program(workers);
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: the descriptor is open while `socket` is borrowed. `program` is a sock_fprog of the length that is passed,
    // its pointer covers the seven instructions of `steps`, and both live past the call; the kernel copies them and
    // keeps no pointer.
    let outcome = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const program).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;

    fn group(workers: u8) -> Group {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Group::bind(any, NonZeroU8::new(workers).unwrap()).unwrap()
    }

    fn arrives_at(group: &Group, datagram: &[u8], worker: usize) {
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        client.send_to(datagram, group.address().unwrap()).unwrap();
        let socket = &group.sockets[worker];
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).expect("the datagram is for this worker");
        assert_eq!(&buffer[..length], datagram);
    }

    #[test]
    fn the_kernel_reads_the_worker_from_long_and_short_headers() {
        let group = group(3);
        assert_eq!(group.steering, Steering::ByConnectionId);
        for octet in 0..12_u8 {
            let worker = usize::from(octet % 3);
            arrives_at(&group, &[0x40, octet, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], worker);
            arrives_at(&group, &[0xc0, 0xff, 0, 0, 1, 8, octet, 0xff], worker);
        }
    }

    #[test]
    fn inherited_sockets_are_steered_if_they_share_their_port() {
        let bound_by_others = group(2).sockets;
        assert_eq!(Group::inherited(bound_by_others).unwrap().steering, Steering::ByConnectionId);
        let strangers = [group(1), group(1)].into_iter().flat_map(|group| group.sockets).collect();
        assert!(Group::inherited(strangers).is_err());
        assert!(Group::inherited(Vec::new()).is_err());
    }

    #[test]
    fn a_port_that_is_served_cannot_be_shared_by_accident() {
        let group = group(2);
        let again = Group::bind(group.address().unwrap(), NonZeroU8::new(2).unwrap());
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}

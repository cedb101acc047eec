//! What a socket can tell of itself.

#![expect(unsafe_code, reason = "neither option has a safe wrapper; the argument stands at each call")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::request::Sample;
use crate::rules::qoe::cmsd::Sending;

/// What SO_MEMINFO gives: nine numbers, the last of them is the drops.
const MEMINFO: usize = libc::SK_MEMINFO_DROPS as usize + 1;

/// Datagrams that the kernel dropped because the socket's receive buffer was full, since it was made (modulo 2^32).
///
/// # Errors
/// What the system says; kernels before 4.12 cannot tell.
pub fn receive_drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut info = [0_u32; MEMINFO];
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the descriptor is open while it is borrowed. `info` is writable for `length` octets, every bit pattern is
    // a u32, and the kernel writes no more than `length` octets and then says how many.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if outcome == 0 { Ok(info[MEMINFO - 1]) } else { Err(io::Error::last_os_error()) }
}

/// So much of the kernel's `tcp_info` is asked for, in words of 32 bits: up to and with `tcpi_snd_wnd` (Linux 5.4).
const TCP_INFO: usize = 58;

/// The words of `tcp_info` that are read here (include/uapi/linux/tcp.h).
mod word {
    pub const SEGMENT: usize = 4;
    pub const ROUND_TRIP: usize = 17;
    pub const WINDOW: usize = 20;
    pub const RETRANSMITS: usize = 25;
    pub const DATA_SEGMENTS: usize = 39;
    pub const RECEIVE_WINDOW: usize = 57;
}

/// How the path of a TCP connection is, as the kernel sees it.
///
/// # Errors
/// What the system says; kernels before 4.6 do not count what was sent.
pub fn path(socket: BorrowedFd<'_>) -> io::Result<Sample> {
    let mut info = [0_u32; TCP_INFO];
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the descriptor is open while it is borrowed. `info` is writable for `length` octets, every bit pattern is
    // a u32, and the kernel writes no more than `length` octets and then says how many.
    let outcome = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if outcome != 0 {
        return Err(io::Error::last_os_error());
    }
    let known = length as usize / size_of::<u32>();
    if known <= word::DATA_SEGMENTS {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let at = |word: usize| u64::from(info[word]);
    Ok(Sample {
        sending: Sending {
            congestion_window: at(word::WINDOW) * at(word::SEGMENT),
            receive_window: (known > word::RECEIVE_WINDOW).then(|| at(word::RECEIVE_WINDOW)),
            round_trip_us: at(word::ROUND_TRIP),
            packets: at(word::DATA_SEGMENTS),
        },
        retransmits: at(word::RETRANSMITS),
    })
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::time::Duration;

    use super::*;
    use crate::clock::Clock;

    /// The path of a connection over which something went.
    fn used() -> Sample {
        use std::io::{Read, Write};
        use std::net::{TcpListener, TcpStream};

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut viewer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut ours, _) = listener.accept().unwrap();
        let before = path(ours.as_fd()).unwrap();
        assert_eq!((before.sending.packets, before.sending.throughput_kbps()), (0, None));
        let mut octets = [7; 1_000];
        for _ in 0..20 {
            ours.write_all(&octets).unwrap();
            viewer.read_exact(&mut octets).unwrap();
        }
        path(ours.as_fd()).unwrap()
    }

    #[test]
    fn the_kernel_tells_how_the_path_of_a_connection_is() {
        // On a busy machine an acknowledgement may come so late that something is sent again.
        let is_calm = |after: &Sample| after.retransmits == 0 && after.sending.round_trip_us < 1_000_000;
        let after = (0..4).map(|_| used()).find(is_calm).unwrap_or_else(used);
        assert!((20..100).contains(&after.sending.packets), "{after:?}");
        assert!((1..1_000_000).contains(&after.sending.round_trip_us), "{after:?}");
        assert!((10_000..100_000_000).contains(&after.sending.congestion_window), "{after:?}");
        assert!((1..1_000_000_000).contains(&after.sending.receive_window.unwrap()), "{after:?}");
        assert!(after.sending.throughput_kbps().is_some() && after.retransmits == 0, "{after:?}");
        assert!(path(std::net::UdpSocket::bind("127.0.0.1:0").unwrap().as_fd()).is_err());
    }

    #[test]
    fn datagrams_that_found_no_room_are_counted() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket2::SockRef::from(&socket).set_recv_buffer_size(4_096).unwrap();
        assert_eq!(receive_drops(socket.as_fd()).unwrap(), 0);
        let clock = Clock::system();
        // The kernel delivers when it comes to it.
        while receive_drops(socket.as_fd()).unwrap() == 0 {
            assert!(clock.now().since_start() < Duration::from_secs(10));
            for _ in 0..64 {
                sender.send_to(&[0; 1_400], socket.local_addr().unwrap()).unwrap();
            }
        }
    }
}

//! What a socket can tell of itself.

#![expect(unsafe_code, reason = "SO_MEMINFO has no safe wrapper; the argument stands at the call")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

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

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn datagrams_that_found_no_room_are_counted() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket2::SockRef::from(&socket).set_recv_buffer_size(4_096).unwrap();
        assert_eq!(receive_drops(socket.as_fd()).unwrap(), 0);
        for _ in 0..64 {
            sender.send_to(&[0; 1_400], socket.local_addr().unwrap()).unwrap();
        }
        assert!(receive_drops(socket.as_fd()).unwrap() > 0);
    }
}

//! Sockets that the service manager opened for us (sd_listen_fds(3)): `LISTEN_FDS` of them from descriptor 3 on, named
//! in `LISTEN_FDNAMES`. The environment is read once; each socket is handed out once.

use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixListener;
use std::sync::LazyLock;

use listenfd::ListenFd;
use parking_lot::Mutex;

struct Handed {
    sockets: ListenFd,
    names: Vec<String>,
}

static HANDED: LazyLock<Mutex<Handed>> = LazyLock::new(|| {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let names = names.split(':').map(str::to_owned).collect();
    Mutex::new(Handed { sockets: ListenFd::from_env(), names })
});

impl Handed {
    /// The places of the sockets of that name.
    fn named(&self, name: &str) -> Vec<usize> {
        (0..self.sockets.len()).filter(|place| self.names.get(*place).is_some_and(|other| other == name)).collect()
    }
}

/// The stream sockets of that name: TCP and Unix.
pub(super) fn streams(name: &str) -> (Vec<TcpListener>, Vec<UnixListener>) {
    let mut handed = HANDED.lock();
    let (mut tcp, mut unix) = (Vec::new(), Vec::new());
    for place in handed.named(name) {
        // A socket of another kind is refused and stays.
        if let Ok(Some(listener)) = handed.sockets.take_tcp_listener(place) {
            tcp.push(listener);
        } else if let Ok(Some(listener)) = handed.sockets.take_unix_listener(place) {
            unix.push(listener);
        }
    }
    (tcp, unix)
}

/// The datagram sockets of that name, for QUIC.
pub fn datagrams(name: &str) -> Vec<UdpSocket> {
    let mut handed = HANDED.lock();
    let places = handed.named(name);
    places.into_iter().filter_map(|place| handed.sockets.take_udp_socket(place).ok().flatten()).collect()
}

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

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// Runs in a process of its own, which inherits a socket.
    #[test]
    #[ignore = "started by the test below, with a socket handed over"]
    fn a_process_that_inherits() {
        let (tcp, unix) = streams("web");
        assert_eq!((tcp.len(), unix.len()), (1, 0));
        assert!(streams("web").0.is_empty() && datagrams("web").is_empty() && streams("other").0.is_empty());
        let port = tcp[0].local_addr().unwrap().port().to_string();
        assert_eq!(Ok(port), std::env::var("EXPECTED_PORT"));
    }

    #[test]
    fn a_socket_that_was_handed_over_is_found_by_its_name_once() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let this = std::env::current_exe().unwrap();
        let run = "export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web; exec \"$0\" \"$@\" 3<&0";
        let status = Command::new("sh")
            .args(["-c", run])
            .arg(this)
            .args(["--ignored", "--exact", "transport::inherited::tests::a_process_that_inherits"])
            .env("EXPECTED_PORT", port)
            .stdin(Stdio::from(std::os::fd::OwnedFd::from(listener)))
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
    }
}

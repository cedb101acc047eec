//! Sockets that listen, and their options. Every worker has one of its own on the same address (`SO_REUSEPORT`), bound
//! in worker order; a Unix socket or an inherited one is shared by all of them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tracing::warn;

use super::inherited;
use crate::config::Address;

/// Connections that wait to be accepted, per worker.
const BACKLOG: i32 = 4_096;

/// Options of viewers' sockets; accepted connections have them too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// TCP congestion control by the kernel's name; `None`: the kernel's default.
    pub congestion: Option<String>,
    /// The kernel gives up a connection whose octets were not acknowledged for so long; `None`: its own patience.
    pub user_timeout: Option<Duration>,
}

/// Why an address is not listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The socket could not be made or bound.
    #[error("cannot listen on {address}")]
    Bind {
        /// What was asked for.
        address: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// The kernel does not know that congestion control, or does not let us choose it.
    #[error(
        "cannot use congestion control {name}; /proc/sys/net/ipv4/tcp_allowed_congestion_control lists what may be used"
    )]
    Congestion {
        /// Its name.
        name: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// No socket of that name was handed over.
    #[error("no stream socket named {0} was handed over (LISTEN_FDNAMES)")]
    NotInherited(String),
}

/// One worker's listener, not yet bound to a runtime.
#[derive(Debug)]
pub struct WorkerListener(Kind);

#[derive(Debug)]
enum Kind {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

/// A listener in the runtime that accepts from it.
pub(super) enum Accepting {
    Tcp(tokio::net::TcpListener),
    Unix(tokio::net::UnixListener),
}

impl WorkerListener {
    /// The address it is bound to; `None` for a Unix socket. QUIC follows its port.
    pub fn local_address(&self) -> Option<SocketAddr> {
        match &self.0 {
            Kind::Tcp(listener) => listener.local_addr().ok(),
            Kind::Unix(_) => None,
        }
    }

    pub(super) fn accepting(self) -> io::Result<Accepting> {
        match self.0 {
            Kind::Tcp(listener) => tokio::net::TcpListener::from_std(listener).map(Accepting::Tcp),
            Kind::Unix(listener) => tokio::net::UnixListener::from_std(listener).map(Accepting::Unix),
        }
    }

    fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(match &self.0 {
            Kind::Tcp(listener) => Kind::Tcp(listener.try_clone()?),
            Kind::Unix(listener) => Kind::Unix(listener.try_clone()?),
        }))
    }
}

/// A listener for each of `workers` workers, in their order. Port 0 becomes one free port, the same for all.
///
/// # Errors
/// The address is taken or not ours, or an option is refused.
pub fn bind(address: &Address, workers: usize, options: &Options) -> Result<Vec<WorkerListener>, ListenError> {
    let failed = |source| ListenError::Bind { address: text(address), source };
    let first = match address {
        Address::Socket(address) => return bind_tcp(*address, workers, options),
        Address::Unix(path) => vec![WorkerListener(Kind::Unix(bind_unix(path).map_err(failed)?))],
        Address::Inherited(name) => take_inherited(name, options)?,
    };
    // Where fewer sockets than workers were handed over, some share one.
    let shared = |worker: usize| first[worker % first.len()].try_clone().map_err(failed);
    (0..workers).map(shared).collect()
}

fn bind_tcp(wanted: SocketAddr, workers: usize, options: &Options) -> Result<Vec<WorkerListener>, ListenError> {
    let failed = |source| ListenError::Bind { address: wanted.to_string(), source };
    let (first, mut address) = match tcp_socket(wanted, options) {
        Ok(socket) => (socket, wanted),
        Err(error) if wanted.ip().is_unspecified() && wanted.is_ipv6() && no_ipv6(&error) => {
            let fallback = SocketAddr::from((Ipv4Addr::UNSPECIFIED, wanted.port()));
            warn!(%wanted, "this machine has no IPv6; listening on IPv4 alone");
            (tcp_socket(fallback, options)?, fallback)
        }
        Err(error) => return Err(error),
    };
    address.set_port(first.local_addr().map_err(failed)?.port());
    let rest = (1..workers).map(|_| tcp_socket(address, options));
    std::iter::once(Ok(first))
        .chain(rest)
        .map(|listener| listener.map(|listener| WorkerListener(Kind::Tcp(listener))))
        .collect()
}

fn no_ipv6(error: &ListenError) -> bool {
    let ListenError::Bind { source, .. } = error else { return false };
    matches!(source.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

fn tcp_socket(address: SocketAddr, options: &Options) -> Result<std::net::TcpListener, ListenError> {
    let failed = |source| ListenError::Bind { address: address.to_string(), source };
    let socket =
        Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP)).map_err(failed)?;
    if address.is_ipv6() {
        // `[::]` accepts IPv4 too.
        socket.set_only_v6(false).map_err(failed)?;
    }
    socket.set_reuse_address(true).map_err(failed)?;
    socket.set_reuse_port(true).map_err(failed)?;
    set_options(&SockRef::from(&socket), options, &address.to_string())?;
    socket.bind(&address.into()).map_err(failed)?;
    socket.listen(BACKLOG).map_err(failed)?;
    Ok(socket.into())
}

/// Linux hands these on to accepted connections, which saves three system calls for each.
fn set_options(socket: &SockRef<'_>, options: &Options, address: &str) -> Result<(), ListenError> {
    let failed = |source| ListenError::Bind { address: address.to_owned(), source };
    socket.set_tcp_nodelay(true).map_err(failed)?;
    socket.set_tcp_user_timeout(options.user_timeout).map_err(failed)?;
    if let Some(name) = &options.congestion {
        socket
            .set_tcp_congestion(name.as_bytes())
            .map_err(|source| ListenError::Congestion { name: name.clone(), source })?;
    }
    Ok(())
}

/// A socket file that nobody listens on any more is replaced; anything else at that path is an error.
fn bind_unix(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    use std::os::unix::net::{UnixListener, UnixStream};
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    let is_dead = || UnixStream::connect(path).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if is_socket && is_dead() {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn take_inherited(name: &str, options: &Options) -> Result<Vec<WorkerListener>, ListenError> {
    let failed = |source| ListenError::Bind { address: format!("fd:{name}"), source };
    let (tcp, unix) = inherited::streams(name);
    let mut listeners = Vec::new();
    for listener in tcp {
        listener.set_nonblocking(true).map_err(failed)?;
        set_options(&SockRef::from(&listener), options, name)?;
        listeners.push(WorkerListener(Kind::Tcp(listener)));
    }
    for listener in unix {
        listener.set_nonblocking(true).map_err(failed)?;
        listeners.push(WorkerListener(Kind::Unix(listener)));
    }
    if listeners.is_empty() { Err(ListenError::NotInherited(name.to_owned())) } else { Ok(listeners) }
}

fn text(address: &Address) -> String {
    match address {
        Address::Socket(address) => address.to_string(),
        Address::Inherited(name) => format!("fd:{name}"),
        Address::Unix(path) => format!("unix:{}", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpStream;

    use super::*;

    fn any_port() -> Address {
        Address::Socket("[::]:0".parse().unwrap())
    }

    #[test]
    fn port_0_is_one_port_for_all_workers_and_both_families() {
        let listeners = bind(&any_port(), 3, &Options::default()).unwrap();
        let ports: Vec<u16> = listeners.iter().map(|listener| listener.local_address().unwrap().port()).collect();
        assert!(ports[0] != 0 && ports.iter().all(|port| *port == ports[0]), "{ports:?}");
        TcpStream::connect(("127.0.0.1", ports[0])).unwrap();
        TcpStream::connect(("::1", ports[0])).unwrap();
        let again = Address::Socket(format!("[::]:{}", ports[0]).parse().unwrap());
        bind(&again, 1, &Options::default()).unwrap();
    }

    #[tokio::test]
    async fn accepted_connections_have_the_options_of_their_listener() {
        let options = Options { congestion: Some("reno".to_owned()), user_timeout: Some(Duration::from_secs(30)) };
        let listener = bind(&any_port(), 1, &options).unwrap().pop().unwrap();
        let port = listener.local_address().unwrap().port();
        let _viewer = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let Accepting::Tcp(listener) = listener.accepting().unwrap() else { panic!("it is TCP") };
        let (stream, _) = listener.accept().await.unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(30)));
        assert!(socket.tcp_congestion().unwrap().starts_with(b"reno"));
    }

    #[test]
    fn an_address_that_is_taken_or_an_unknown_algorithm_is_an_error_that_says_so() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let holder = std::net::TcpListener::bind(taken);
        let error = bind(&Address::Socket(taken), 1, &Options::default());
        if holder.is_ok() {
            assert!(error.unwrap_err().to_string().contains(&taken.to_string()));
        }
        let options = Options { congestion: Some("nonsense".to_owned()), user_timeout: None };
        assert!(bind(&any_port(), 1, &options).unwrap_err().to_string().contains("nonsense"));
        let missing = Address::Inherited("nobody".to_owned());
        assert!(bind(&missing, 1, &Options::default()).unwrap_err().to_string().contains("nobody"));
    }

    #[tokio::test]
    async fn a_unix_socket_is_shared_and_a_dead_one_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.sock");
        let address = Address::Unix(path.clone());
        let dead = bind(&address, 2, &Options::default()).unwrap();
        assert_eq!(dead.len(), 2);
        assert!(bind(&address, 1, &Options::default()).is_err());
        drop(dead);
        let listener = bind(&address, 1, &Options::default()).unwrap().pop().unwrap();
        let mut viewer = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let Accepting::Unix(listener) = listener.accepting().unwrap() else { panic!("it is a Unix socket") };
        drop(listener.accept().await.unwrap());
        assert_eq!(viewer.read(&mut [0]).unwrap(), 0);
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(bind(&Address::Unix(folder.path().join("file")), 1, &Options::default()).is_err());
    }
}

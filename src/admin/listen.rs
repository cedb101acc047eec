//! Where the admin API listens: loopback in clear, a Unix socket, elsewhere TLS. Handshakes run beside each other, at
//! most a few at once, so that one slow caller keeps nobody out.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use crate::clock::Clock;
use crate::config::{Address, Certificate};
use crate::tasks::Tasks;

/// Handshakes at once.
const HANDSHAKES: usize = 64;
/// A handshake's longest time.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Why an admin listener cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be bound.
    #[error("cannot listen on {address} for the admin API: {source}")]
    Bind {
        /// The address as configured.
        address: String,
        /// Why not.
        source: io::Error,
    },
    /// A file for TLS cannot be used.
    #[error("{path}: {detail}")]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Inherited sockets are for viewers.
    #[error("the admin API does not listen on an inherited socket: give an address or unix:PATH")]
    Inherited,
}

/// A bound admin listener.
pub enum AdminListener {
    /// TCP in clear.
    Tcp(TcpListener),
    /// A Unix socket, removed when the listener goes.
    Unix(UnixListener, UnixPath),
}

/// The file of a Unix socket; dropping it removes the file.
pub struct UnixPath(PathBuf);

impl Drop for UnixPath {
    fn drop(&mut self) {
        // The folder may be gone already; then so is the socket.
        _ = std::fs::remove_file(&self.0);
    }
}

impl AdminListener {
    /// Binds an address. A Unix socket that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// Where the address cannot be bound.
    pub async fn bind(address: &Address) -> Result<Self, BindError> {
        match address {
            Address::Socket(socket) => {
                let fault = |source| BindError::Bind { address: socket.to_string(), source };
                Ok(Self::Tcp(TcpListener::bind(socket).await.map_err(fault)?))
            }
            Address::Unix(path) => {
                let fault = |source| BindError::Bind { address: format!("unix:{}", path.display()), source };
                remove_dead_socket(path).await.map_err(fault)?;
                let listener = UnixListener::bind(path).map_err(fault)?;
                Ok(Self::Unix(listener, UnixPath(path.clone())))
            }
            Address::Inherited(_) => Err(BindError::Inherited),
        }
    }

    /// Where it listens, as `--admin` takes it.
    pub fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => listener.local_addr().map_or_else(|_| String::new(), |address| address.to_string()),
            Self::Unix(_, path) => format!("unix:{}", path.0.display()),
        }
    }

    /// The port, where it has one.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }
}

async fn remove_dead_socket(path: &Path) -> io::Result<()> {
    match tokio::net::UnixStream::connect(path).await {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens on it")),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

/// TLS for an admin listener off loopback.
///
/// # Errors
/// Where a file cannot be read or does not fit.
pub fn tls(certificate: &Certificate, client_ca: Option<&Path>) -> Result<TlsAcceptor, BindError> {
    let fault = |path: &Path, error: &dyn std::fmt::Display| BindError::Tls {
        path: path.to_owned(),
        detail: error.to_string(),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.2 and 1.3");
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(path)? {
                roots.add(root).map_err(|error| fault(path, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| fault(path, &error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from_pem_file(&certificate.key).map_err(|error| fault(&certificate.key, &error))?;
    let config = builder
        .with_single_cert(certificates(&certificate.cert)?, key)
        .map_err(|error| fault(&certificate.cert, &error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BindError> {
    let fault =
        |error: rustls::pki_types::pem::Error| BindError::Tls { path: path.to_owned(), detail: error.to_string() };
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(fault)?.collect();
    read.map_err(fault)
}

/// A connection whose handshake is done, or that needs none.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Connections behind TLS, as `axum::serve` takes them.
pub struct TlsListener {
    ready: mpsc::Receiver<(Box<dyn Stream>, Caller)>,
    address: Option<SocketAddr>,
}

/// Whether the caller showed a certificate of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// It showed none.
    Unknown,
    /// It did.
    Certified,
}

impl TlsListener {
    /// Accepts on `listener` in tasks of `tasks`.
    pub fn start(listener: TcpListener, acceptor: TlsAcceptor, tasks: &Tasks, clock: &Clock) -> Self {
        let (done, ready) = mpsc::channel(HANDSHAKES);
        let address = listener.local_addr().ok();
        let (spawner, clock) = (tasks.clone(), clock.clone());
        tasks.spawn("admin-accept", async move {
            let places = Arc::new(Semaphore::new(HANDSHAKES));
            loop {
                let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = done.closed() => return,
                };
                let Ok((stream, _)) = accepted else {
                    clock.sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let (acceptor, done, deadline) = (acceptor.clone(), done.clone(), clock.sleep(HANDSHAKE));
                spawner.spawn("admin-handshake", async move {
                    let _place = place;
                    tokio::select! {
                        stream = shake(acceptor, stream) => {
                            if let Some(stream) = stream {
                                _ = done.send(stream).await;
                            }
                        }
                        () = deadline => {}
                    }
                });
            }
        });
        Self { ready, address }
    }
}

async fn shake(acceptor: TlsAcceptor, stream: TcpStream) -> Option<(Box<dyn Stream>, Caller)> {
    match acceptor.accept(stream).await {
        Ok(stream) => {
            let certified = stream.get_ref().1.peer_certificates().is_some();
            Some((Box::new(stream), if certified { Caller::Certified } else { Caller::Unknown }))
        }
        Err(error) => {
            debug!(%error, "admin handshake failed");
            None
        }
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = Box<dyn Stream>;
    type Addr = Caller;

    async fn accept(&mut self) -> (Self::Io, Caller) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Caller> {
        self.address.map(|_| Caller::Unknown).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Connected<IncomingStream<'_, TlsListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, TlsListener>) -> Self {
        *stream.remote_addr()
    }
}

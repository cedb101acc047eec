//! What many clients share: whom they trust, TLS and QUIC settings, receive windows, and a few UDP sockets.
//!
//! Sessions are never resumed, so that each viewer pays, and costs the server, a whole handshake like one who comes for the
//! first time. QUIC endpoints are made when first needed and spread over a few sockets, because a server with several workers
//! may choose one by the address of the sender.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// Which certificates a client accepts.
#[derive(Clone, Debug)]
pub enum Trust {
    /// Those that lead to one of these roots.
    Roots(Arc<RootCertStore>),
    /// Any; names are not checked either.
    AcceptAny,
}

/// Why a root could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The file cannot be read, or is not PEM.
    #[error("cannot read certificates: {0}")]
    Pem(#[from] pem::Error),
    /// It is not a certificate that can be a root.
    #[error("not a root certificate: {0}")]
    Certificate(#[from] rustls::Error),
}

impl Trust {
    /// The certificates of a PEM file as roots.
    ///
    /// # Errors
    /// [`TrustError`] if the file is not readable, not PEM, or holds no usable certificate.
    pub fn pem_file(path: &Path) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path)? {
            roots.add(certificate?)?;
        }
        Ok(Self::Roots(Arc::new(roots)))
    }

    /// One certificate as the root.
    ///
    /// # Errors
    /// [`TrustError::Certificate`] if it cannot be a root.
    pub fn certificate(certificate: CertificateDer<'static>) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        roots.add(certificate)?;
        Ok(Self::Roots(Arc::new(roots)))
    }
}

/// How much a server may send before the reader has read, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Receive {
    /// Window of a stream in HTTP/2 and HTTP/3.
    pub stream: u32,
    /// Window of a connection in HTTP/2 and HTTP/3.
    pub connection: u32,
    /// Receive buffer of a TCP socket (SO_RCVBUF); none: the kernel's.
    pub tcp: Option<u32>,
}

impl Receive {
    /// What Chromium uses.
    pub const BROWSER: Self = Self { stream: 6 << 20, connection: 15 << 20, tcp: None };
    /// As little as is practical, so that a slow reader is slow for the server too.
    pub const NARROW: Self = Self { stream: 64 << 10, connection: 64 << 10, tcp: Some(16 << 10) };
}

const SOCKETS: usize = 4;
const UDP_BUFFER: usize = 4 << 20;
const QUIC_IDLE: Duration = Duration::from_secs(30);
const QUIC_PING: Duration = Duration::from_secs(15);

/// Settings and sockets for any number of clients; cheap to clone.
#[derive(Clone)]
pub struct Network(Arc<Parts>);

struct Parts {
    tls: Arc<ClientConfig>,
    tls_h2: Arc<ClientConfig>,
    quic: quinn::ClientConfig,
    receive: Receive,
    endpoints: Mutex<Endpoints>,
}

#[derive(Default)]
struct Endpoints {
    made: Vec<(SocketAddr, quinn::Endpoint)>,
    turn: usize,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("receive", &self.0.receive).finish_non_exhaustive()
    }
}

impl Network {
    /// With the windows of a browser.
    pub fn new(trust: &Trust) -> Self {
        Self::with(trust, Receive::BROWSER)
    }

    /// With other windows.
    pub fn with(trust: &Trust, receive: Receive) -> Self {
        let mut transport = quinn::TransportConfig::default();
        transport
            .max_idle_timeout(Some(QUIC_IDLE.try_into().expect("30 s are below the limit of QUIC")))
            .keep_alive_interval(Some(QUIC_PING))
            .stream_receive_window(receive.stream.into())
            .receive_window(receive.connection.into());
        let crypto = QuicClientConfig::try_from(tls(trust, b"h3"))
            .expect("the provider has the cipher suite of QUIC's initial packets");
        let mut quic = quinn::ClientConfig::new(Arc::new(crypto));
        quic.transport_config(Arc::new(transport));
        Self(Arc::new(Parts {
            tls: Arc::new(tls(trust, b"http/1.1")),
            tls_h2: Arc::new(tls(trust, b"h2")),
            quic,
            receive,
            endpoints: Mutex::default(),
        }))
    }

    pub(crate) fn tls(&self) -> Arc<ClientConfig> {
        self.0.tls.clone()
    }

    pub(crate) fn tls_h2(&self) -> Arc<ClientConfig> {
        self.0.tls_h2.clone()
    }

    pub(crate) fn receive(&self) -> Receive {
        self.0.receive
    }

    /// Begins a QUIC connection on the next socket of the server's address family.
    pub(crate) fn quic(&self, server: SocketAddr, name: &str) -> io::Result<quinn::Connecting> {
        let endpoint = self.endpoint(wildcard(server))?;
        endpoint.connect_with(self.0.quic.clone(), server, name).map_err(io::Error::other)
    }

    fn endpoint(&self, any: SocketAddr) -> io::Result<quinn::Endpoint> {
        let mut endpoints = self.endpoints();
        endpoints.turn += 1;
        let turn = endpoints.turn % SOCKETS;
        let found = endpoints.made.iter().filter(|(bound, _)| *bound == any).nth(turn);
        if let Some((_, endpoint)) = found {
            return Ok(endpoint.clone());
        }
        let endpoint =
            quinn::Endpoint::new(quinn::EndpointConfig::default(), None, socket(any)?, Arc::new(quinn::TokioRuntime))?;
        endpoints.made.push((any, endpoint.clone()));
        Ok(endpoint)
    }

    fn endpoints(&self) -> std::sync::MutexGuard<'_, Endpoints> {
        self.0.endpoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves all QUIC connections to new sockets, as when a viewer changes the network (RFC 9000, section 9).
    ///
    /// # Errors
    /// An address could not be bound.
    pub fn rebind(&self) -> io::Result<()> {
        let endpoints = self.endpoints();
        endpoints.made.iter().try_for_each(|(any, endpoint)| endpoint.rebind(socket(*any)?))
    }

    /// Waits until all QUIC connections have ended and said so to their servers.
    pub async fn ended(&self) {
        let made: Vec<_> = self.endpoints().made.clone();
        for (_, endpoint) in made {
            endpoint.wait_idle().await;
        }
    }
}

/// Any address of the server's family.
fn wildcard(server: SocketAddr) -> SocketAddr {
    match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

fn socket(any: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(any)?;
    // The kernel may grant less; loss is then QUIC's to mend.
    let plain = socket2::SockRef::from(&socket);
    plain.set_recv_buffer_size(UDP_BUFFER)?;
    plain.set_send_buffer_size(UDP_BUFFER)?;
    Ok(socket)
}

fn tls(trust: &Trust, alpn: &[u8]) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for TLS 1.2 and 1.3");
    let mut config = match trust {
        Trust::Roots(roots) => builder.with_root_certificates(roots.clone()),
        Trust::AcceptAny => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny(algorithms(&provider))))
        }
    }
    .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config
}

fn algorithms(provider: &CryptoProvider) -> WebPkiSupportedAlgorithms {
    provider.signature_verification_algorithms
}

/// Accepts any certificate; signatures of the handshake are still checked.
#[derive(Debug)]
struct AcceptAny(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

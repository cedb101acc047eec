//! One HTTP/1.1 request on a connection of its own: over TCP, TLS or a Unix socket, within a deadline and a size.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::clock::Clock;

/// The longest answer that is read.
const LARGEST_ANSWER: usize = 64 << 20;

/// Who is asked.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    /// A host in cleartext.
    Tcp(Host),
    /// A host over TLS; its certificate must be good for `name`.
    Tls { host: Host, name: ServerName<'static>, config: Arc<ClientConfig> },
    /// A Unix socket of this machine.
    Unix(PathBuf),
}

/// A name or an address (IPv6 without brackets), and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) port: u16,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    #[error("nobody answers there: {0}")]
    Unreachable(#[source] io::Error),
    #[error("no TLS connection: {0}")]
    Tls(#[source] io::Error),
    #[error("no answer within {} ms", .0.as_millis())]
    TooSlow(Duration),
    #[error("the answer is no HTTP/1.1: {0}")]
    NotHttp(#[from] hyper::Error),
    #[error("the answer is larger than 64 MiB")]
    TooLarge,
}

/// Why no TLS settings could be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum TrustError {
    #[error("{} holds no usable authorities: {why}", file.display())]
    Authorities { file: PathBuf, why: String },
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// TLS settings that trust the authorities of a PEM file, or else the system's.
pub(super) fn trust(ca: Option<&PathBuf>) -> Result<Arc<ClientConfig>, TrustError> {
    let mut roots = RootCertStore::empty();
    match ca {
        None => _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
        Some(file) => {
            let refuse = |why: String| TrustError::Authorities { file: file.clone(), why };
            let authorities = CertificateDer::pem_file_iter(file).map_err(|error| refuse(error.to_string()))?;
            for authority in authorities {
                let authority = authority.map_err(|error| refuse(error.to_string()))?;
                roots.add(authority).map_err(|error| refuse(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(refuse("there is no certificate in it".to_owned()));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Asks once, and gives up after `patience`.
pub(super) async fn ask(
    peer: &Peer,
    request: Request<Full<Bytes>>,
    clock: &Clock,
    patience: Duration,
) -> Result<Answer, AskError> {
    tokio::select! {
        answer = asked(peer, request) => answer,
        () = clock.sleep_until(clock.now() + patience) => Err(AskError::TooSlow(patience)),
    }
}

async fn asked(peer: &Peer, request: Request<Full<Bytes>>) -> Result<Answer, AskError> {
    match peer {
        Peer::Tcp(host) => exchange(connect(host).await?, request).await,
        Peer::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(AskError::Unreachable)?;
            exchange(stream, request).await
        }
        Peer::Tls { host, name, config } => {
            let tcp = connect(host).await?;
            let stream = TlsConnector::from(config.clone()).connect(name.clone(), tcp).await;
            exchange(stream.map_err(AskError::Tls)?, request).await
        }
    }
}

async fn connect(host: &Host) -> Result<TcpStream, AskError> {
    TcpStream::connect((host.name.as_str(), host.port)).await.map_err(AskError::Unreachable)
}

/// What a host agrees on where `config` offers protocols (ALPN).
pub(super) async fn agreed(host: &Host, name: &ServerName<'static>, config: Arc<ClientConfig>) -> Option<Vec<u8>> {
    let tcp = connect(host).await.ok()?;
    let stream = TlsConnector::from(config).connect(name.clone(), tcp).await.ok()?;
    stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec)
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, AskError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        match Limited::new(body, LARGEST_ANSWER).collect().await {
            Ok(body) => Ok(Answer { status: head.status, headers: head.headers, body: body.to_bytes() }),
            Err(error) if error.is::<LengthLimitError>() => Err(AskError::TooLarge),
            Err(error) => Err(error.downcast::<hyper::Error>().map_or(AskError::TooLarge, |error| (*error).into())),
        }
    };
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // The connection ends first where the peer closes it after its answer: what was read is still there.
        _ = connection => answer.await,
    }
}

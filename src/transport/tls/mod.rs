//! Certificates for TLS and QUIC: loaded, chosen, and replaced without a dropped connection.
//!
//! One `Certificates` serves both transports of all workers. A handshake reads one snapshot of the table; a reload
//! builds a new table and swaps it. A pair that cannot be loaded, or whose key does not fit its certificate (an
//! update half done), keeps its predecessor, and [`Certificates::outdated`] counts it until the files fit again.

mod table;
mod tickets;
mod watch;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tracing::{info, warn};

use self::table::Table;
pub use self::tickets::Tickets;
pub use self::watch::watch;
use crate::config::{Certificate, TlsVersion};

/// Why a certificate cannot be used; names the file and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// No pair is configured.
    #[error("no certificate is configured; name a pair under tls.certificates")]
    None,
    /// A file cannot be read.
    #[error("cannot read {path}: {source}; check the path and its permissions")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file is not the PEM it should be.
    #[error("{path} holds no {wanted} in PEM; expected a -----BEGIN {wanted}----- block")]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
    },
    /// The key is of a kind that is not supported, or damaged.
    #[error("{path} holds a key that cannot be used: {source}; ECDSA P-256, P-384, Ed25519 and RSA keys can")]
    Key {
        /// The file.
        path: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// The certificate cannot be parsed.
    #[error("{path} holds a certificate that cannot be used: {source}; issue it anew")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// Key and certificate are not of one pair.
    #[error("{key} is not the key of {cert}; the leaf must come first in the chain, and both files from one issue")]
    Mismatch {
        /// The chain.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// rustls refuses the set-up.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// The certificates of a node.
#[derive(Debug)]
pub struct Certificates {
    provider: Arc<CryptoProvider>,
    ticketer: Arc<dyn ProducesTickets>,
    table: ArcSwap<Table>,
    // Held only while a reload runs.
    sources: Mutex<Vec<Source>>,
}

/// A configured pair and the last of its contents that fitted together.
#[derive(Clone, Debug)]
struct Source {
    certificate: Certificate,
    loaded: Arc<CertifiedKey>,
    outdated: bool,
}

impl Certificates {
    /// Loads every pair.
    ///
    /// # Errors
    /// The first pair that cannot be used.
    pub fn load(certificates: &[Certificate]) -> Result<Arc<Self>, CertificateError> {
        Self::load_with(certificates, aws_lc_rs::Ticketer::new().map_err(CertificateError::Setup)?)
    }

    /// Loads every pair; sessions are resumed by these tickets.
    ///
    /// # Errors
    /// The first pair that cannot be used.
    pub fn load_with(
        certificates: &[Certificate],
        ticketer: Arc<dyn ProducesTickets>,
    ) -> Result<Arc<Self>, CertificateError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let sources = load_all(certificates, &provider)?;
        let table = ArcSwap::from_pointee(table(&sources));
        Ok(Arc::new(Self { provider, ticketer, table, sources: Mutex::new(sources) }))
    }

    /// Reads all files again. Pairs that do not fit keep what they had.
    pub fn reload(&self) {
        let mut sources = self.sources.lock();
        let mut changed = false;
        for source in sources.iter_mut() {
            match load_pair(&source.certificate, &self.provider) {
                Ok(loaded) => {
                    source.outdated = false;
                    if loaded.cert != source.loaded.cert {
                        info!(cert = %source.certificate.cert.display(), "certificate replaced");
                        source.loaded = Arc::new(loaded);
                        changed = true;
                    }
                }
                Err(error) => {
                    source.outdated = true;
                    warn!(%error, "certificate not replaced; the old one stays in use");
                }
            }
        }
        if changed {
            self.table.store(Arc::new(table(&sources)));
        }
    }

    /// Follows a changed configuration.
    ///
    /// # Errors
    /// The first pair that cannot be used; then nothing changes.
    pub fn replace(&self, certificates: &[Certificate]) -> Result<(), CertificateError> {
        let loaded = load_all(certificates, &self.provider)?;
        let mut sources = self.sources.lock();
        *sources = loaded;
        self.table.store(Arc::new(table(&sources)));
        Ok(())
    }

    /// Pairs whose files hold something that cannot be used, so that an older certificate is in use.
    pub fn outdated(&self) -> usize {
        self.sources.lock().iter().filter(|source| source.outdated).count()
    }

    /// The files that are in use.
    fn files(&self) -> Vec<PathBuf> {
        let sources = self.sources.lock();
        sources.iter().flat_map(|source| [source.certificate.cert.clone(), source.certificate.key.clone()]).collect()
    }

    /// TLS over TCP: HTTP/2 and HTTP/1.1 by ALPN; TLS 1.2 only with ECDHE and AEAD, which is all that rustls knows.
    pub fn server_config(self: &Arc<Self>, min_version: TlsVersion) -> Arc<ServerConfig> {
        let versions: &[&SupportedProtocolVersion] = match min_version {
            TlsVersion::V12 => &[&TLS12, &TLS13],
            TlsVersion::V13 => &[&TLS13],
        };
        let mut config = self.config(versions);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }

    /// TLS 1.3 within QUIC, for HTTP/3; no early data, since a replayed request could not be told from the first.
    pub fn quic_server_config(self: &Arc<Self>) -> Arc<ServerConfig> {
        let mut config = self.config(&[&TLS13]);
        config.alpn_protocols = vec![b"h3".to_vec()];
        config.max_early_data_size = 0;
        Arc::new(config)
    }

    fn config(self: &Arc<Self>, versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(versions)
            .expect("the provider has suites of TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        // One ticket is what one connection needs; more cost octets in each handshake.
        config.send_tls13_tickets = 1;
        config.ticketer = self.ticketer.clone();
        // Tickets carry the sessions; a table of sessions would be per process and bounded to a few.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.table.load().choose(hello.server_name(), hello.signature_schemes())
    }
}

/// TLS for other nodes of a region: whoever has no certificate of its authority does not get in.
///
/// # Errors
/// What of the files cannot be used.
pub fn of_peers(ca: &Path, own: &Certificate) -> Result<Arc<ServerConfig>, CertificateError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let loaded = load_pair(own, &provider)?;
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(&read(ca)?) {
        let authority =
            authority.map_err(|_| CertificateError::NotPem { path: ca.to_owned(), wanted: "CERTIFICATE" })?;
        roots.add(authority).map_err(|source| CertificateError::Certificate { path: ca.to_owned(), source })?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|_| CertificateError::NotPem { path: ca.to_owned(), wanted: "CERTIFICATE" })?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has suites of TLS 1.3")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(loaded)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn load_all(certificates: &[Certificate], provider: &CryptoProvider) -> Result<Vec<Source>, CertificateError> {
    if certificates.is_empty() {
        return Err(CertificateError::None);
    }
    let load = |certificate: &Certificate| {
        let loaded = Arc::new(load_pair(certificate, provider)?);
        Ok(Source { certificate: certificate.clone(), loaded, outdated: false })
    };
    certificates.iter().map(load).collect()
}

fn table(sources: &[Source]) -> Table {
    Table::new(sources.iter().map(|source| source.loaded.clone()).collect())
}

/// Reads a pair and judges whether both belong together.
fn load_pair(pair: &Certificate, provider: &CryptoProvider) -> Result<CertifiedKey, CertificateError> {
    let Certificate { cert, key } = pair;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(cert)?)
        .collect::<Result<_, _>>()
        .map_err(|_| CertificateError::NotPem { path: cert.clone(), wanted: "CERTIFICATE" })?;
    let Some(leaf) = chain.first() else {
        return Err(CertificateError::NotPem { path: cert.clone(), wanted: "CERTIFICATE" });
    };
    rustls::server::ParsedCertificate::try_from(leaf)
        .map_err(|source| CertificateError::Certificate { path: cert.clone(), source })?;
    let secret = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|_| CertificateError::NotPem { path: key.clone(), wanted: "PRIVATE KEY" })?;
    CertifiedKey::from_der(chain, secret, provider).map_err(|source| match source {
        rustls::Error::InconsistentKeys(_) => CertificateError::Mismatch { cert: cert.clone(), key: key.clone() },
        source => CertificateError::Key { path: key.clone(), source },
    })
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    std::fs::read(path).map_err(|source| CertificateError::Unreadable { path: path.to_owned(), source })
}

#[cfg(test)]
pub(crate) mod tests;

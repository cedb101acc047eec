//! What a peer must prove, and what we prove to it: the one place that builds rustls client configurations. The
//! cryptography is aws-lc-rs, named explicitly; HTTP/2 and HTTP/1.1 are offered by ALPN.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

/// What the files of one peer hold. Two that are equal give the same connections, so a reload can tell whether a
/// connection still fits. Holds a private key: never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Material {
    /// Authorities (PEM); `None`: the system's.
    ca: Option<Vec<u8>>,
    /// A client certificate chain and its key (PEM).
    client: Option<(Vec<u8>, Vec<u8>)>,
}

/// TLS towards one peer, ready for handshakes. Cheap to clone.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// Why TLS towards a peer cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The authorities do not parse, or there are none in the file.
    #[error("the file of authorities holds no usable certificate")]
    Authorities,
    /// The machine has no authorities of its own.
    #[error("this machine has no certificate authorities: install them, or name a file (tls.ca)")]
    NoSystemAuthorities,
    /// The client certificate and its key do not parse or do not fit together.
    #[error("the client certificate and its key are not usable: {0}")]
    ClientCertificate(String),
    /// A name that no certificate can bear.
    #[error("{0:?} is not a name for TLS")]
    Name(String),
}

impl Material {
    /// Reads the files: authorities, and a client's chain and key.
    ///
    /// # Errors
    /// [`TlsSetupError::Unreadable`].
    pub fn read(ca: Option<&Path>, client: Option<(&Path, &Path)>) -> Result<Self, TlsSetupError> {
        let ca = ca.map(read).transpose()?;
        let client = client.map(|(cert, key)| Ok((read(cert)?, read(key)?))).transpose()?;
        Ok(Self { ca, client })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsSetupError> {
    std::fs::read(path).map_err(|source| TlsSetupError::Unreadable { path: path.to_owned(), source })
}

impl TlsClient {
    /// TLS with a peer that must show a certificate for `name` (also sent as SNI, unless it is an address).
    ///
    /// # Errors
    /// Whatever is wrong with the material or the name.
    pub fn new(material: &Material, name: &str) -> Result<Self, TlsSetupError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let roots = match &material.ca {
            Some(pem) => custom_roots(pem)?,
            None => system_roots()?,
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports TLS 1.2 and 1.3")
            .with_root_certificates(roots);
        let mut config = match &material.client {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let unusable = |error: &dyn std::fmt::Display| TlsSetupError::ClientCertificate(error.to_string());
                let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
                    .collect::<Result<_, _>>()
                    .map_err(|error| unusable(&error))?;
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| unusable(&error))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| unusable(&error))?
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let name = ServerName::try_from(name.to_owned()).map_err(|_| TlsSetupError::Name(name.to_owned()))?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// The configuration for a handshake.
    pub(super) fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }

    /// The name that the peer must bear.
    pub(super) fn name(&self) -> ServerName<'static> {
        self.name.clone()
    }
}

fn custom_roots(pem: &[u8]) -> Result<RootCertStore, TlsSetupError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| TlsSetupError::Authorities)?;
        roots.add(certificate).map_err(|_| TlsSetupError::Authorities)?;
    }
    if roots.is_empty() { Err(TlsSetupError::Authorities) } else { Ok(roots) }
}

/// Single files that do not parse are passed over: machines carry odd ones, and the rest still serve.
fn system_roots() -> Result<RootCertStore, TlsSetupError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsSetupError::NoSystemAuthorities) } else { Ok(roots) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_no_authority() {
        let material = Material { ca: Some(b"not a certificate".to_vec()), client: None };
        assert!(matches!(TlsClient::new(&material, "origin.test"), Err(TlsSetupError::Authorities)));
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let missing = Path::new("/nonexistent/ca.pem");
        let Err(TlsSetupError::Unreadable { path, .. }) = Material::read(Some(missing), None) else {
            panic!("a missing file was read")
        };
        assert_eq!(path, missing);
    }
}

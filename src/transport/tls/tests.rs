//! Certificates over real handshakes.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};
use tempfile::TempDir;

use super::*;

/// A certificate authority for tests, with the folder that its pairs lie in.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    folder: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap().der().clone();
        Self { issuer: Issuer::new(params, key), root, folder: tempfile::tempdir().unwrap() }
    }

    fn pair(&self, file: &str) -> Certificate {
        let path = |end: &str| self.folder.path().join(format!("{file}.{end}"));
        Certificate { cert: path("pem"), key: path("key") }
    }

    fn issue(&self, file: &str, names: &[&str], key: &KeyPair) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let cert = CertificateParams::new(names).unwrap().signed_by(key, &self.issuer).unwrap();
        let pair = self.pair(file);
        std::fs::write(&pair.cert, cert.pem()).unwrap();
        std::fs::write(&pair.key, key.serialize_pem()).unwrap();
        pair
    }

    /// One ECDSA pair for each set of names.
    pub(crate) fn certificates(&self, sets: &[&[&str]]) -> Arc<Certificates> {
        let issue = |(place, names): (usize, &&[&str])| {
            self.issue(&place.to_string(), names, &KeyPair::generate().unwrap())
        };
        Certificates::load(&sets.iter().enumerate().map(issue).collect::<Vec<_>>()).unwrap()
    }

    /// A client that trusts this authority.
    pub(crate) fn client(&self) -> ClientConfig {
        self.client_of(&[&TLS12, &TLS13])
    }

    fn client_of(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

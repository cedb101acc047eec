//! Throw-away authorities and leaves.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use weir_loadtest::client::Trust;

/// An authority and its key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// What kind of key a leaf has.
#[derive(Clone, Copy)]
pub enum Kind {
    Ecdsa,
    Rsa,
}

impl Authority {
    /// A new one.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Writes `NAME.pem` and `NAME.key` for localhost into `folder`.
    pub fn leaf(&self, folder: &Path, name: &str, kind: Kind) -> (PathBuf, PathBuf) {
        let key = match kind {
            Kind::Ecdsa => KeyPair::generate(),
            Kind::Rsa => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048),
        };
        let key = key.unwrap();
        let mut leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        leaf.distinguished_name.push(DnType::CommonName, name);
        leaf.subject_alt_names.push(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
        leaf.subject_alt_names.push(SanType::IpAddress(Ipv6Addr::LOCALHOST.into()));
        let cert = leaf.signed_by(&key, &self.issuer).unwrap();
        let files = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
        fs::write(&files.0, cert.pem()).unwrap();
        fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }

    /// Writes the authority itself, and returns its file.
    pub fn file(&self, folder: &Path, name: &str) -> PathBuf {
        let file = folder.join(name);
        fs::write(&file, &self.pem).unwrap();
        file
    }

    /// Trust in this authority alone.
    pub fn trust(&self, folder: &Path) -> Trust {
        Trust::pem_file(&self.file(folder, "ca.pem")).unwrap()
    }
}

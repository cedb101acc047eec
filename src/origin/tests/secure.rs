//! TLS and HTTP/2, against hyper's servers with certificates of a throw-away authority.

use super::*;

use std::io::Write;


/// A throw-away authority, its certificate in a file.
pub(super) struct Authority {
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
    file: tempfile::NamedTempFile,
}

impl Authority {
    pub fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(pem.as_bytes()).unwrap();
        Self { issuer: rcgen::Issuer::new(params, key), file }
    }

    /// An origin's TLS that trusts it alone.
    pub fn trusted(&self) -> OriginTls {
        OriginTls { ca: Some(self.file.path().to_owned()), ..OriginTls::default() }
    }
}

//! A throw-away authority and a leaf for localhost, in a temporary folder that goes with the demo.

use std::fs::{self, Permissions};
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType,
};

use super::DemoError;

/// The demo's certificates; dropping this removes them.
pub struct Certificates {
    folder: PathBuf,
    spki: String,
}

impl Certificates {
    /// Makes an authority and a leaf.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn make() -> Result<Self, DemoError> {
        let folder = fresh_folder()?;
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::default();
        authority.distinguished_name.push(DnType::CommonName, "Weir demo authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority_cert = authority.self_signed(&authority_key)?;
        let issuer = Issuer::new(authority, authority_key);

        let key = KeyPair::generate()?;
        let mut leaf = CertificateParams::new(vec!["localhost".to_owned()])?;
        leaf.distinguished_name.push(DnType::CommonName, "localhost");
        leaf.subject_alt_names.push(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
        leaf.subject_alt_names.push(SanType::IpAddress(Ipv6Addr::LOCALHOST.into()));
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let cert = leaf.signed_by(&key, &issuer)?;

        let made = Self { spki: base64(digest(&SHA256, &key.subject_public_key_info()).as_ref()), folder };
        fs::write(made.ca(), authority_cert.pem())?;
        fs::write(made.cert(), cert.pem())?;
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(made.key())?;
        file.write_all(key.serialize_pem().as_bytes())?;
        Ok(made)
    }

    /// The folder they are in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The authority.
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The node's chain.
    pub fn cert(&self) -> PathBuf {
        self.folder.join("edge.pem")
    }

    /// The node's key.
    pub fn key(&self) -> PathBuf {
        self.folder.join("edge.key")
    }

    /// SHA-256 of the leaf's public key, as browsers take it on their command line.
    pub fn spki(&self) -> String {
        self.spki.clone()
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        // A folder that is gone already was removed by somebody else.
        _ = fs::remove_dir_all(&self.folder);
    }
}

/// A new folder that only this user can read.
fn fresh_folder() -> std::io::Result<PathBuf> {
    let mut name = [0_u8; 8];
    aws_lc_rs::rand::fill(&mut name).map_err(|_| std::io::Error::other("the system has no random numbers"))?;
    let name: String = name.iter().map(|octet| format!("{octet:02x}")).collect();
    let folder = std::env::temp_dir().join(format!("weir-demo-{name}"));
    fs::create_dir(&folder)?;
    fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
    Ok(folder)
}

/// Base64 with padding (RFC 4648 §4).
fn base64(octets: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in octets.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, octet| bits << 8 | u32::from(*octet)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= group.len() { digit.into() } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_pads_what_does_not_fill_a_group() {
        for (octets, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(octets.as_bytes()), text);
        }
    }

    #[test]
    fn the_folder_goes_with_the_certificates() {
        let certificates = Certificates::make().unwrap();
        let folder = certificates.folder().to_owned();
        assert!(certificates.key().exists());
        drop(certificates);
        assert!(!folder.exists());
    }
}

//! Files that a configuration names: certificates, keys, authorities and secrets. Each is opened while the
//! configuration is read, so that a missing one is a finding with a line and not a surprise at the first handshake.

use std::env;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs as provider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::{Zeroize, Zeroizing};

use super::Certificate;
use super::file::{Section, Value};
use super::finding::Complaint;

/// More than any chain or bundle of authorities has.
const LARGEST_FILE: u64 = 16 << 20;
/// Shorter secrets can be guessed.
const SHORTEST_SECRET: usize = 16;

/// What a guesser has to try for fewer than 2^64 guesses is no secret.
const LEAST_BITS: f64 = 64.0;
/// Read by those who are neither the owner nor of the file's group.
const READ_BY_OTHERS: u32 = 0o004;

/// A secret that was read from where the configuration said. It never appears in a log, and is wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Whether a caller presents this secret; takes the same time wherever the two differ.
    pub fn matches(&self, presented: &[u8]) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), presented).is_ok()
    }

    /// The secret itself, for those who sign or send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A whole file of bounded size.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_up_to(path, LARGEST_FILE)
}

/// A whole file of at most so many octets.
///
/// # Errors
/// It cannot be read, or is larger.
pub fn read_up_to(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(largest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest {
        let largest = super::value::rough_size(largest);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {largest}")));
    }
    Ok(bytes)
}

/// A file name, relative to `base`, and the file's bytes; unreadable files are reported.
fn named_file(value: &Value<'_>, base: &Path, what: &str) -> Option<(PathBuf, Vec<u8>)> {
    let path = base.join(value.text()?);
    match read(&path) {
        Ok(bytes) => Some((path, bytes)),
        Err(error) => {
            let complaint = Complaint::new(format!("{what} cannot be read: {error}")).found(path.display().to_string());
            value.place.refuse(complaint.remedy(match error.kind() {
                io::ErrorKind::NotFound => "relative names start at the folder of this file",
                io::ErrorKind::PermissionDenied => "let the node's user read it",
                _ => "name a readable file",
            }));
            None
        }
    }
}

/// `{ cert, key }`: both exist, hold what they should, and belong together.
pub(super) fn certificate(mut section: Section<'_>, base: &Path) -> Option<Certificate> {
    let cert = section.required("cert", "\"edge.pem\"");
    let key = section.required("key", "\"edge.key\"");
    section.finish();
    pair(&cert?, &key?, base)
}

/// `cert` and `key` of a section: a client certificate, where there is one.
pub(super) fn client(section: &mut Section<'_>, base: &Path) -> Option<Certificate> {
    match (section.value("cert"), section.value("key")) {
        (Some(cert), Some(key)) => pair(&cert, &key, base),
        (Some(alone), None) | (None, Some(alone)) => {
            let complaint = Complaint::new("a client certificate is a pair").remedy("give both `cert` and `key`");
            alone.place.refuse(complaint);
            None
        }
        (None, None) => None,
    }
}

/// A chain and its key, from the two values that name them.
pub(super) fn pair(cert: &Value<'_>, key: &Value<'_>, base: &Path) -> Option<Certificate> {
    let chain = named_file(cert, base, "the certificate");
    let secret = secret_file(key, base, "the private key");
    let (cert_path, chain) = chain?;
    let (key_path, secret) = secret?;
    let chain = chain_of(&chain).map_err(|complaint| cert.place.refuse(complaint));
    let secret = PrivateKeyDer::from_pem_slice(&secret).map_err(|error| {
        let complaint = Complaint::new(format!("no usable private key: {error}")).found(key_path.display().to_string());
        key.place.refuse(complaint.accepted("PEM with PKCS#8, SEC1 or PKCS#1, not encrypted"));
    });
    let (chain, secret) = (chain.ok()?, secret.ok()?);
    match CertifiedKey::from_der(chain, secret, &provider::default_provider()) {
        Ok(_) => Some(Certificate { cert: cert_path, key: key_path }),
        Err(rustls::Error::InconsistentKeys(_)) => {
            let complaint = Complaint::new("the key does not belong to the certificate");
            let found = format!("{} beside {}", key_path.display(), cert_path.display());
            key.place.refuse(complaint.found(found).remedy("name the key that the certificate was issued for"));
            None
        }
        Err(error) => {
            let complaint = Complaint::new(format!("certificate and key cannot be used: {error}"));
            cert.place.refuse(complaint.found(cert_path.display().to_string()));
            None
        }
    }
}

/// The same of a file that nobody else should read.
fn secret_file(value: &Value<'_>, base: &Path, what: &str) -> Option<(PathBuf, Vec<u8>)> {
    let (path, bytes) = named_file(value, base, what)?;
    warn_of_readers(&path, value);
    Some((path, bytes))
}

/// Says that a file with a secret can be read by everybody on the machine.
pub(super) fn warn_of_readers(path: &Path, value: &Value<'_>) {
    let Ok(metadata) = path.metadata() else { return };
    if metadata.is_file() && metadata.mode() & READ_BY_OTHERS != 0 {
        let complaint = Complaint::new("everybody on this machine can read the secret");
        let found = format!("{} with mode {:04o}", path.display(), metadata.mode() & 0o7777);
        value.place.warn(complaint.found(found).remedy(format!("chmod 600 {}", path.display())));
    }
}

/// Base64 or base64url, with or without padding; `None`: it is something else.
pub(super) fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let mut urlsafe = text.to_vec();
    for octet in &mut urlsafe {
        match octet {
            b'+' => *octet = b'-',
            b'/' => *octet = b'_',
            _ => {}
        }
    }
    let decoded = GeneralPurpose::new(&URL_SAFE, config).decode(&urlsafe).ok();
    urlsafe.zeroize();
    decoded
}

/// Hexadecimal digits; `None`: it is something else.
pub(super) fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |octet: u8| char::from(octet).to_digit(16);
    let pairs = text.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()).collect()
}

/// Whether a host is this machine, so that nothing leaves it on the way there.
pub(super) fn is_this_machine(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Bits that a text has at most: as many as one in which each character comes as often, and in no order.
pub(super) fn bits(octets: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    octets.iter().for_each(|octet| counts[usize::from(*octet)] += 1);
    let length = octets.len() as f64;
    let of = |count: u32| f64::from(count) * (length / f64::from(count)).log2();
    counts.into_iter().filter(|count| *count > 0).map(of).sum()
}

fn chain_of(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Complaint> {
    let chain = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    let accepted = "PEM with at least one CERTIFICATE, the leaf first";
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => Err(Complaint::new("there is no certificate in this file").accepted(accepted)),
        Err(error) => Err(Complaint::new(format!("no usable certificate: {error}")).accepted(accepted)),
    }
}

/// A PEM file of authorities.
pub(super) fn authorities(value: &Value<'_>, base: &Path) -> Option<PathBuf> {
    let (path, pem) = named_file(value, base, "the file of authorities")?;
    let chain = chain_of(&pem).map_err(|complaint| value.place.refuse(complaint)).ok()?;
    let mut store = RootCertStore::empty();
    for authority in chain {
        if let Err(error) = store.add(authority) {
            let complaint = Complaint::new(format!("an authority cannot be used: {error}"));
            value.place.refuse(complaint.found(path.display().to_string()));
            return None;
        }
    }
    Some(path)
}

/// A secret: `"file"` or `{ env = "NAME" }`. White space around it is not part of it.
pub(super) fn secret(value: &Value<'_>, base: &Path) -> Option<Secret> {
    visible(&file_or_variable(value, base)?, value)
}

/// What `"file"` or `{ env = "NAME" }` keeps.
fn file_or_variable(value: &Value<'_>, base: &Path) -> Option<String> {
    if !value.is_table() {
        return file_text(value, base);
    }
    let mut section = value.table()?;
    let name = section.required("env", "\"NAME\"");
    section.finish();
    variable(&name?)
}

/// A field's value that is kept elsewhere: `{ env = "NAME" }` or `{ file = "NAME" }`.
pub(super) fn kept_elsewhere(value: &Value<'_>, base: &Path) -> Option<Secret> {
    let mut section = value.table()?;
    let (env, file) = (section.value("env"), section.value("file"));
    section.finish();
    let text = match (&env, &file) {
        (Some(name), None) => variable(name)?,
        (None, Some(file)) => file_text(file, base)?,
        (Some(_), Some(_)) | (None, None) => {
            let complaint = Complaint::new("the value's place is not said");
            value.place.refuse(complaint.accepted("a text, `{ env = \"NAME\" }` or `{ file = \"NAME\" }`"));
            return None;
        }
    };
    visible(&text, value)
}

/// A secret of several lines: `"file"` or `{ env = "NAME" }`.
pub(super) fn text(value: &Value<'_>, base: &Path) -> Option<Secret> {
    let text = file_or_variable(value, base)?;
    if text.trim().is_empty() {
        value.place.refuse(Complaint::new("the secret is empty").remedy("fill the file"));
        return None;
    }
    Some(Secret::from(text))
}

fn variable(name: &Value<'_>) -> Option<String> {
    match env::var(name.text()?) {
        Ok(text) => Some(text),
        Err(error) => {
            let complaint = Complaint::new("the secret's environment variable cannot be read");
            name.place.refuse(complaint.found(error.to_string()).remedy("set it in the node's environment"));
            None
        }
    }
}

fn file_text(value: &Value<'_>, base: &Path) -> Option<String> {
    let (_, bytes) = secret_file(value, base, "the secret")?;
    Some(String::from_utf8(bytes).unwrap_or_default())
}

fn visible(text: &str, value: &Value<'_>) -> Option<Secret> {
    let text = text.trim();
    let visible = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    if !visible {
        let complaint = Complaint::new("the secret is empty, or holds more than one line of visible ASCII");
        value.place.refuse(complaint.accepted("one line of visible ASCII"));
        return None;
    }
    if text.len() < SHORTEST_SECRET {
        let complaint = Complaint::new(format!("the secret has fewer than {SHORTEST_SECRET} characters"));
        value.place.warn(complaint.remedy("make one with `openssl rand -hex 32`"));
    } else if bits(text.as_bytes()) < LEAST_BITS {
        let complaint = Complaint::new("the secret can be guessed: it repeats few characters");
        value.place.warn(complaint.remedy("make one with `openssl rand -hex 32`"));
    }
    Some(Secret::from(text.to_owned()))
}

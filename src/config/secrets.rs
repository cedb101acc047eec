//! The file that `secrets` in `[node]` names: one master secret, and the one before it, from which every key that nodes
//! of a region share is derived.
//!
//! A line each, as hexadecimal digits or base64; what begins with `#` is a comment. The first line is the current secret:
//! what is made from now on is made by it. What the second one made is still taken.

use std::fmt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::file::Value;
use super::finding::Complaint;
use super::material;

/// Shorter ones can be guessed.
const LEAST: usize = 16;
/// What a key of HMAC-SHA-256 is worth.
const WORTH: usize = 32;

/// The master secrets of a node. They cannot be printed, and are wiped when they are dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets {
    /// The file.
    pub path: PathBuf,
    /// By what everything is made from now on.
    pub current: Zeroizing<Vec<u8>>,
    /// What was current before, and is still taken.
    pub previous: Option<Zeroizing<Vec<u8>>>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What is wrong with a file of secrets.
#[derive(Debug, thiserror::Error)]
pub enum BadSecrets {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// No line holds a secret.
    #[error("there is no secret in it")]
    Empty,
    /// More than a current and a previous one.
    #[error("it has more than two lines, and nothing is older than the previous secret")]
    Many,
    /// A line is neither hexadecimal digits nor base64.
    #[error("line {0} is neither hexadecimal digits nor base64")]
    Form(usize),
    /// A secret has fewer than 16 octets.
    #[error("the secret of line {0} has fewer than {LEAST} octets")]
    Short(usize),
    /// A secret is one octet again and again, or nearly so.
    #[error("the secret of line {0} can be guessed: it repeats few octets")]
    Guessable(usize),
}

impl Secrets {
    /// Reads a file.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub fn read(path: &Path) -> Result<Self, BadSecrets> {
        let octets = Zeroizing::new(material::read(path)?);
        let mut secrets = Vec::new();
        for (index, line) in octets.split(|octet| *octet == b'\n').enumerate() {
            let line = line.trim_ascii();
            if !line.is_empty() && !line.starts_with(b"#") {
                secrets.push(secret(line, index + 1)?);
            }
        }
        let mut secrets = secrets.into_iter();
        match (secrets.next(), secrets.next(), secrets.next()) {
            (None, ..) => Err(BadSecrets::Empty),
            (.., Some(_)) => Err(BadSecrets::Many),
            (Some(current), previous, None) => Ok(Self { path: path.to_owned(), current, previous }),
        }
    }
}

fn secret(line: &[u8], number: usize) -> Result<Zeroizing<Vec<u8>>, BadSecrets> {
    let octets = material::hex(line).or_else(|| material::base64(line)).ok_or(BadSecrets::Form(number))?;
    let octets = Zeroizing::new(octets);
    if octets.len() < LEAST {
        return Err(BadSecrets::Short(number));
    }
    // Random octets of this length, each of which comes about as often as the others, have far more bits than two each.
    match material::bits(&octets) < octets.len() as f64 * 2.0 {
        true => Err(BadSecrets::Guessable(number)),
        false => Ok(octets),
    }
}

/// `secrets` in `[node]`
pub(super) fn secrets(value: &Value<'_>, base: &Path) -> Option<Secrets> {
    let path = base.join(value.text()?);
    let secrets = Secrets::read(&path).map_err(|error| {
        let complaint = Complaint::new(format!("the node's secrets cannot be used: {error}"));
        let make = format!("make it with `openssl rand -hex 32 > {0}; chmod 600 {0}`", path.display());
        let remedy = match &error {
            BadSecrets::Unreadable(io) if io.kind() != std::io::ErrorKind::NotFound => {
                "let the node's user read it".to_owned()
            }
            BadSecrets::Many => "keep the two newest, the current one first".to_owned(),
            _ => make,
        };
        let accepted = "a line for the current secret, and perhaps one for the previous: hexadecimal digits or base64";
        value.place.refuse(complaint.found(path.display().to_string()).accepted(accepted).remedy(remedy));
    });
    let secrets = secrets.ok()?;
    material::warn_of_readers(&path, value);
    if secrets.current.len() < WORTH {
        let complaint = Complaint::new(format!("the node's secret has fewer than {WORTH} octets"));
        value.place.warn(complaint.remedy("make one with `openssl rand -hex 32`"));
    }
    if secrets.previous.as_ref() == Some(&secrets.current) {
        let complaint = Complaint::new("the current and the previous secret are the same");
        value.place.warn(complaint.remedy("put a new one into the first line, and keep the old one in the second"));
    }
    Some(secrets)
}

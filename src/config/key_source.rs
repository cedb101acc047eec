//! Where the keys of issuers are: fetched, in files, in the environment. What is kept here is read when the configuration
//! is, so that a wrong key is a finding.

use std::path::{Path, PathBuf};

use http::Uri;
use zeroize::Zeroizing;

use crate::rules::token::algorithm::Algorithm;
use crate::rules::token::jwk;
use crate::rules::token::key::{BadKey, Key, KeySet};

use super::file::{Section, Value};
use super::finding::Complaint;
use super::{OriginTls, Secret, material, origin};

const SOURCES: &str = "one of `jwks`, `jwks_file`, `public_key_file` and `hmac_secret_file`";

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq)]
pub enum KeySource {
    /// In a JWK set (RFC 7517) that is fetched.
    Jwks {
        /// From where: https, or http on this machine.
        url: Uri,
        /// TLS towards it.
        tls: OriginTls,
    },
    /// Here.
    Kept(KeptKeys),
}

/// Keys that are kept on this machine.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptKeys {
    /// How they are written.
    pub form: KeyForm,
    /// Where; at least one.
    pub places: Vec<KeyPlace>,
}

/// How keys are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// As a JWK set, which may hold shared secrets.
    JwkSet,
    /// As PEM.
    Public,
    /// As a shared secret.
    Shared(Encoding),
}

/// How a shared secret is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// The octets of the first line are the secret.
    Text,
    /// Base64 or base64url, with or without padding.
    Base64,
    /// Hexadecimal digits.
    Hex,
    /// All octets of the file are the secret.
    Raw,
}

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// In a file, which is watched.
    File(PathBuf),
    /// In the environment; this is what was there.
    Environment(Secret),
}

/// Why keys that are kept here cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnusableKeys {
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// It is not written so.
    #[error("it is not {0}")]
    Encoding(&'static str),
    /// What it holds is no key that can be used.
    #[error("{0}")]
    Key(#[from] BadKey),
    /// It holds no key that can be used.
    #[error("there is no key in it that verifies signatures")]
    Empty,
}

impl KeptKeys {
    /// The keys, as they are now.
    ///
    /// # Errors
    /// The first place that is wrong, and why.
    pub fn read(&self, algorithms: &[Algorithm]) -> Result<KeySet, (usize, UnusableKeys)> {
        let mut keys: Vec<Key> = Vec::new();
        for (index, place) in self.places.iter().enumerate() {
            keys.extend(self.form.read(place, algorithms).map_err(|error| (index, error))?);
        }
        KeySet::of(keys).map_err(|error| (self.places.len() - 1, error.into()))
    }

    /// The files that hold them.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.places.iter().filter_map(|place| match place {
            KeyPlace::File(path) => Some(path.as_path()),
            KeyPlace::Environment(_) => None,
        })
    }
}

impl KeyForm {
    fn read(self, place: &KeyPlace, algorithms: &[Algorithm]) -> Result<Vec<Key>, UnusableKeys> {
        let octets = Zeroizing::new(match place {
            KeyPlace::File(path) => material::read(path).map_err(UnusableKeys::Unreadable)?,
            KeyPlace::Environment(secret) => secret.reveal().as_bytes().to_vec(),
        });
        let keys = match self {
            Self::JwkSet => jwk::read_set(&octets, algorithms)?.keys().to_vec(),
            Self::Public => jwk::read_pem(&octets, None, algorithms)?.keys().to_vec(),
            Self::Shared(encoding) => vec![jwk::read_secret(&encoding.decode(&octets)?, None, algorithms)?],
        };
        if keys.is_empty() { Err(UnusableKeys::Empty) } else { Ok(keys) }
    }
}

impl Encoding {
    fn decode(self, octets: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnusableKeys> {
        let line = octets.trim_ascii();
        Ok(Zeroizing::new(match self {
            Self::Raw => octets.to_vec(),
            Self::Text if line.iter().all(|octet| !octet.is_ascii_control()) => line.to_vec(),
            Self::Text => return Err(UnusableKeys::Encoding("one line of text")),
            Self::Base64 => material::base64(line).ok_or(UnusableKeys::Encoding("base64"))?,
            Self::Hex => material::hex(line).ok_or(UnusableKeys::Encoding("hexadecimal digits"))?,
        }))
    }
}

/// Where keys are, and where that stands.
pub(super) struct Source<'a> {
    pub(super) keys: KeySource,
    pub(super) value: Value<'a>,
}

/// Whether a source must be named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// One must.
    Required,
    /// Each of a list names its own.
    Elsewhere,
}

/// The one source of keys that is named. Where one is needed and there is none, that is reported.
pub(super) fn source<'a>(
    section: &mut Section<'a>,
    base: &Path,
    algorithms: &[Algorithm],
    need: Need,
) -> Option<Source<'a>> {
    let jwks = section.value("jwks");
    let tls = section.table("jwks_tls");
    let file = section.value("jwks_file");
    let public = section.value("public_key_file");
    let secret = section.value("hmac_secret_file");
    let encoding = section.value("hmac_encoding");
    let given: Vec<_> = [&jwks, &file, &public, &secret].into_iter().flatten().collect();
    if let [first, second, ..] = given.as_slice() {
        let complaint = Complaint::new("the keys are in two places at once");
        let found = format!("{} beside {}", second.place.key, first.place.key);
        second.place.refuse(complaint.found(found).accepted(SOURCES).remedy("keep one of them"));
        return None;
    }
    if let (Some(tls), None) = (&tls, &jwks) {
        tls.place.refuse(Complaint::new("nothing is fetched over TLS here").remedy("remove the key, or set `jwks`"));
    }
    if let (Some(encoding), None) = (&encoding, &secret) {
        let remedy = "remove the key, or set `hmac_secret_file`";
        encoding.place.refuse(Complaint::new("there is no shared secret to be read so").remedy(remedy));
    }
    let tls = origin::tls(tls, base);
    let words =
        [("text", Encoding::Text), ("base64", Encoding::Base64), ("hex", Encoding::Hex), ("raw", Encoding::Raw)];
    let encoding = encoding.and_then(|value| value.choice(&words)).unwrap_or(Encoding::Text);
    let kept = |value: Value<'a>, form| {
        let keys = kept(&value, form, base, algorithms).map(KeySource::Kept)?;
        Some(Source { keys, value })
    };
    match (jwks, file, public, secret) {
        (Some(value), ..) => Some(Source { keys: KeySource::Jwks { url: url(&value)?, tls }, value }),
        (_, Some(value), ..) => kept(value, KeyForm::JwkSet),
        (_, _, Some(value), _) => kept(value, KeyForm::Public),
        (.., Some(value)) => kept(value, KeyForm::Shared(encoding)),
        (None, None, None, None) => {
            if need == Need::Required {
                let complaint = Complaint::new("no key says whose tokens count").accepted(SOURCES);
                let remedy = "add `jwks = \"https://paywall.example/.well-known/jwks.json\"`, or another source";
                section.place.refuse_absence(complaint.remedy(remedy));
            }
            None
        }
    }
}

pub(super) fn url(value: &Value<'_>) -> Option<Uri> {
    let text = value.text()?;
    let uri = text.parse::<Uri>().ok().filter(|uri| {
        let plain = uri.authority().is_some_and(|authority| {
            let explicit = authority.as_str().len() > authority.host().len();
            !authority.as_str().contains('@') && (!explicit || authority.port_u16().is_some_and(|port| port > 0))
        });
        matches!(uri.scheme_str(), Some("http" | "https")) && plain && !text.contains('#')
    });
    let Some(uri) = uri else {
        let complaint = Complaint::new("not a URL that keys can be fetched from").found(value.place.typed());
        let file = Path::new(text).extension().map(|_| "a file is named by `jwks_file`".to_owned());
        value.place.refuse(complaint.accepted("\"https://HOST[:PORT]/PATH\", without credentials").perhaps(file));
        return None;
    };
    if uri.scheme_str() == Some("http") && !material::is_this_machine(uri.host().unwrap_or_default()) {
        let complaint = Complaint::new("keys that came in cleartext may be anybody's").found(value.place.typed());
        let remedy = format!("write \"{}\"", text.replacen("http:", "https:", 1));
        value.place.refuse(complaint.accepted("https; http on this machine alone").remedy(remedy));
        return None;
    }
    Some(uri)
}

/// Keys in files, or in the environment: each is read, so that a wrong one is a finding.
pub(super) fn kept(value: &Value<'_>, form: KeyForm, base: &Path, algorithms: &[Algorithm]) -> Option<KeptKeys> {
    let values = if value.is_table() { vec![value.clone()] } else { value.one_or_many()? };
    if values.is_empty() {
        value.place.refuse(Complaint::new("no file is named").remedy("name one"));
        return None;
    }
    let read = |value: &Value<'_>| -> Option<KeyPlace> {
        let place = match value.is_table() {
            true => KeyPlace::Environment(material::secret(value, base)?),
            false => KeyPlace::File(base.join(value.text()?)),
        };
        if let (KeyPlace::File(path), KeyForm::Shared(_) | KeyForm::JwkSet) = (&place, form) {
            material::warn_of_readers(path, value);
        }
        match form.read(&place, algorithms) {
            Ok(_) => Some(place),
            Err(error) => {
                value.place.refuse(unusable(&error, &place, form));
                None
            }
        }
    };
    let places: Vec<_> = values.iter().map(read).collect::<Option<_>>()?;
    let keys = KeptKeys { form, places };
    match keys.read(algorithms) {
        Ok(_) => Some(keys),
        Err((_, error)) => {
            value.place.refuse(Complaint::new(error.to_string()).remedy("give each key a `kid` of its own"));
            None
        }
    }
}

fn unusable(error: &UnusableKeys, place: &KeyPlace, form: KeyForm) -> Complaint {
    let complaint = match place {
        KeyPlace::File(path) => {
            Complaint::new(format!("the key cannot be used: {error}")).found(path.display().to_string())
        }
        KeyPlace::Environment(_) => Complaint::new(format!("the key cannot be used: {error}")),
    };
    complaint.remedy(match (error, form) {
        (UnusableKeys::Unreadable(io), _) if io.kind() == std::io::ErrorKind::NotFound => {
            "relative names start at the folder of this file"
        }
        (UnusableKeys::Unreadable(_), _) => "let the node's user read it",
        (UnusableKeys::Encoding(_), _) => {
            "say by `hmac_encoding` how it is written: \"text\", \"base64\", \"hex\" or \"raw\""
        }
        (UnusableKeys::Key(BadKey::Short), _) => "make one with `openssl rand -hex 32`",
        (_, KeyForm::Shared(_)) => "a public key goes to `public_key_file`, a JWK set to `jwks_file`",
        (_, KeyForm::Public) => "accepted is PEM; a JWK set goes to `jwks_file`, a shared secret to `hmac_secret_file`",
        (_, KeyForm::JwkSet) => "accepted is {\"keys\": […]}; PEM goes to `public_key_file`",
    })
}

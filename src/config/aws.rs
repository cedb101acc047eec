//! `auth = { aws_sigv4 = { … } }`: how requests to a private bucket are signed, and the file of credentials.
//!
//! The file is the usual one (`[profile]` with `aws_access_key_id`, `aws_secret_access_key`, `aws_session_token`), or
//! JSON as credential processes and STS write it. It is read here so that a bad one is a finding with a line; whoever
//! signs reads it again when it changes, by the same rules.

use std::fmt;
use std::path::{Path, PathBuf};

use http::Method;
use serde::Deserialize;

use super::file::{Section, Value};
use super::finding::Complaint;
use super::material;

/// Methods that are signed unless the file says otherwise: a viewer who may ask the node must not be able to write to
/// the bucket in the node's name.
const READS: [Method; 2] = [Method::GET, Method::HEAD];
/// Methods that may be signed.
const METHODS: [(&str, Method); 6] = [
    ("GET", Method::GET),
    ("HEAD", Method::HEAD),
    ("PUT", Method::PUT),
    ("POST", Method::POST),
    ("DELETE", Method::DELETE),
    ("OPTIONS", Method::OPTIONS),
];
const ACCEPTED: &str = "`[default]` with `aws_access_key_id = …` and `aws_secret_access_key = …`, or JSON with \
                        `AccessKeyId` and `SecretAccessKey`";

/// `auth.aws_sigv4`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsSigV4 {
    /// The region of the bucket.
    pub region: String,
    /// The service, `s3` for storages.
    pub service: String,
    /// The file of credentials.
    pub credentials_file: PathBuf,
    /// Which of its profiles.
    pub profile: String,
    /// Methods that are signed; others pass unsigned.
    pub methods: Vec<Method>,
}

/// Credentials of a storage. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct AwsCredentials {
    /// Names the key.
    pub access_key_id: String,
    /// The key.
    pub secret_access_key: String,
    /// What goes along with temporary keys.
    pub session_token: Option<String>,
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AwsCredentials(..)")
    }
}

/// Why a file holds no credentials. Says nothing of what it holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCredentials {
    /// It cannot be read.
    #[error("the file of credentials cannot be read: {0}")]
    Unreadable(String),
    /// It is neither of the two forms.
    #[error("the file of credentials is neither a list of profiles nor JSON")]
    Form,
    /// The profile is not in it.
    #[error("the file of credentials has no profile `{0}`")]
    Profile(String),
    /// One of the two keys is missing, or is not one line of visible ASCII.
    #[error("the credentials have no usable {0}")]
    Key(&'static str),
}

impl AwsCredentials {
    /// Reads a file.
    ///
    /// # Errors
    /// Why it holds none for `profile`.
    pub fn read(file: &Path, profile: &str) -> Result<Self, NoCredentials> {
        let bytes = material::read(file).map_err(|error| NoCredentials::Unreadable(error.to_string()))?;
        Self::parse(&String::from_utf8(bytes).map_err(|_| NoCredentials::Form)?, profile)
    }

    /// Reads a text of either form; JSON knows no profiles.
    ///
    /// # Errors
    /// Why it holds none for `profile`.
    pub fn parse(text: &str, profile: &str) -> Result<Self, NoCredentials> {
        let typed = if text.trim_start().starts_with('{') { json(text)? } else { ini(text, profile)? };
        let usable = |key: Option<String>, name| {
            let usable = |key: &String| !key.is_empty() && key.bytes().all(|octet| octet.is_ascii_graphic());
            key.filter(usable).ok_or(NoCredentials::Key(name))
        };
        let session_token = typed.token.map(|token| usable(Some(token), "session token")).transpose()?;
        Ok(Self {
            access_key_id: usable(typed.id, "access key id")?,
            secret_access_key: usable(typed.secret, "secret access key")?,
            session_token,
        })
    }
}

/// Credentials as they were typed.
#[derive(Default, Deserialize)]
struct Typed {
    #[serde(rename = "AccessKeyId")]
    id: Option<String>,
    #[serde(rename = "SecretAccessKey")]
    secret: Option<String>,
    #[serde(rename = "SessionToken", alias = "Token")]
    token: Option<String>,
    /// STS puts them one level deeper.
    #[serde(rename = "Credentials")]
    inner: Option<Box<Typed>>,
}

fn json(text: &str) -> Result<Typed, NoCredentials> {
    let typed: Typed = serde_json::from_str(text).map_err(|_| NoCredentials::Form)?;
    match typed.inner {
        Some(inner) => Ok(*inner),
        None => Ok(typed),
    }
}

fn ini(text: &str, profile: &str) -> Result<Typed, NoCredentials> {
    let (mut typed, mut here, mut found, mut any) = (Typed::default(), false, false, false);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            // A configuration file of the same tools calls it `[profile NAME]`.
            let name = name.trim();
            here = name.strip_prefix("profile ").map_or(name, str::trim) == profile;
            (found, any) = (found || here, true);
            continue;
        }
        let Some((key, value)) = line.split_once('=').filter(|_| here) else { continue };
        let value = Some(value.trim().to_owned());
        match key.trim().to_ascii_lowercase().as_str() {
            "aws_access_key_id" => typed.id = value,
            "aws_secret_access_key" => typed.secret = value,
            "aws_session_token" | "aws_security_token" => typed.token = value,
            _ => {}
        }
    }
    match (any, found) {
        (false, _) => Err(NoCredentials::Form),
        (true, false) => Err(NoCredentials::Profile(profile.to_owned())),
        (true, true) => Ok(typed),
    }
}

/// Reads `aws_sigv4 = { … }`.
pub(super) fn sigv4(value: &Value<'_>, base: &Path) -> Option<AwsSigV4> {
    let mut section = value.table()?;
    let region = section.required("region", "\"eu-central-1\"").and_then(|value| word(&value));
    let service = section.value("service").map_or(Some("s3".to_owned()), |value| word(&value));
    let file = section.required("credentials_file", "\"aws.credentials\"");
    let profile = section.value("profile").map_or(Some("default".to_owned()), |value| value.text().map(str::to_owned));
    let methods = methods(&mut section);
    section.finish();
    let (file, profile) = (file?, profile?);
    let path = base.join(file.text()?);
    if let Err(why) = AwsCredentials::read(&path, &profile) {
        let complaint = Complaint::new(why.to_string()).found(path.display().to_string()).accepted(ACCEPTED);
        file.place.refuse(complaint.remedy(match why {
            NoCredentials::Unreadable(_) => {
                "name a file that the node's user can read; relative names start at the folder of this file"
            }
            NoCredentials::Profile(_) => "name one of its profiles with `profile = \"NAME\"`",
            NoCredentials::Form | NoCredentials::Key(_) => "write both keys, each on one line",
        }));
        return None;
    }
    Some(AwsSigV4 { region: region?, service: service?, credentials_file: path, profile, methods })
}

fn methods(section: &mut Section<'_>) -> Vec<Method> {
    let Some(list) = section.value("methods").and_then(|value| value.list()) else { return READS.to_vec() };
    let named = list.iter().filter_map(|value| {
        let words: Vec<_> = METHODS.iter().enumerate().map(|(index, (word, _))| (*word, index)).collect();
        value.choice(&words).map(|index| METHODS[index].1.clone())
    });
    named.collect()
}

/// A part of a scope of credentials, which slashes separate.
fn word(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let is_word = text.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.'));
    if !is_word {
        let complaint = Complaint::new("not the name of a region or service").found(value.place.typed());
        value.place.refuse(complaint.accepted("letters, digits, `-`, `_` and `.`"));
    }
    is_word.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, profile: &str) -> Result<(String, String, Option<String>), NoCredentials> {
        AwsCredentials::parse(text, profile).map(|it| (it.access_key_id, it.secret_access_key, it.session_token))
    }

    #[test]
    fn both_forms_of_credentials_are_read() {
        let keys = |token: Option<&str>| Ok(("AKID".to_owned(), "s/+=".to_owned(), token.map(str::to_owned)));
        for (text, profile, read) in [
            ("[default]\naws_access_key_id = AKID\naws_secret_access_key=s/+=\n", "default", keys(None)),
            (
                "# mine\n[a]\naws_access_key_id=X\n[profile b]\r\nregion = r\r\nAWS_ACCESS_KEY_ID = AKID\r\n\
                 aws_secret_access_key = s/+=\r\naws_session_token = t\r\n[c]\naws_access_key_id=Y",
                "b",
                keys(Some("t")),
            ),
            ("{\"Version\":1,\"AccessKeyId\":\"AKID\",\"SecretAccessKey\":\"s/+=\"}", "default", keys(None)),
            (
                " {\"Credentials\":{\"AccessKeyId\":\"AKID\",\"SecretAccessKey\":\"s/+=\",\"SessionToken\":\"t\"}}",
                "x",
                keys(Some("t")),
            ),
            ("{\"AccessKeyId\":\"AKID\",\"SecretAccessKey\":\"s/+=\",\"Token\":\"t\"}", "x", keys(Some("t"))),
            ("[default]\naws_access_key_id = AKID", "default", Err(NoCredentials::Key("secret access key"))),
            ("[default]\naws_secret_access_key = x", "default", Err(NoCredentials::Key("access key id"))),
            ("[other]\n", "default", Err(NoCredentials::Profile("default".to_owned()))),
            ("aws_access_key_id = AKID", "default", Err(NoCredentials::Form)),
            ("{\"AccessKeyId\":1}", "default", Err(NoCredentials::Form)),
            ("", "default", Err(NoCredentials::Form)),
        ] {
            assert_eq!(parsed(text, profile), read, "{text}");
        }
    }

    #[test]
    fn credentials_never_show_themselves() {
        let credentials = AwsCredentials::parse("{\"AccessKeyId\":\"AKID\",\"SecretAccessKey\":\"s\"}", "").unwrap();
        assert_eq!(format!("{credentials:?}"), "AwsCredentials(..)");
    }
}

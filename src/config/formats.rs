//! What the tokens of an issuer are like: their formats, and what some of these need to know beside keys.

use std::path::Path;

use zeroize::Zeroizing;

use crate::rules::token::Format;
use crate::rules::token::mint::SigningKey;
use crate::rules::token::terms::{AnyPath, HdntsTerms, OlderHash};

use super::file::{Section, Value};
use super::finding::Complaint;
use super::material;

const FORMATS: [(&str, Format); 4] =
    [("jwt", Format::Jwt), ("uri-signing", Format::UriSigning), ("cat", Format::Cat), ("hdnts", Format::Hdnts)];

/// The formats that are taken.
pub(super) fn list(value: &Value<'_>) -> Option<Vec<Format>> {
    let list = value.one_or_many()?;
    if list.is_empty() {
        let complaint = Complaint::new("no format is taken, so no token is");
        value.place.refuse(complaint.accepted("\"jwt\", \"uri-signing\", \"cat\", \"hdnts\"").remedy("name one"));
    }
    let mut formats: Vec<_> = list.iter().filter_map(|item| item.choice(&FORMATS)).collect();
    formats.dedup();
    Some(formats)
}

/// The type that tokens name.
pub(super) fn token_type(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"+-./_".contains(&octet);
    if !text.bytes().all(plain) {
        let complaint = Complaint::new("not a type that tokens name").found(value.place.typed());
        value.place.refuse(complaint.accepted("a type like \"at+jwt\", as `typ` says it"));
        return None;
    }
    Some(text.to_owned())
}

/// What edge tokens are like.
pub(super) fn hdnts(mut section: Section<'_>, base: &Path) -> HdntsTerms {
    let salt = section.value("salt_file").and_then(|value| material::secret(&value, base));
    let older = section.value("sha1").and_then(|value| value.flag());
    let any = section.value("any_path").and_then(|value| value.flag());
    section.finish();
    HdntsTerms {
        salt: salt.map(|salt| Zeroizing::new(salt.reveal().to_owned())),
        older: if older == Some(true) { OlderHash::Sha1 } else { OlderHash::Refused },
        any: if any == Some(true) { AnyPath::Allowed } else { AnyPath::Refused },
    }
}

/// What tokens are renewed with: a private key of this region's, which every node of it has.
pub(super) fn renewal_key(value: &Value<'_>, base: &Path) -> Option<SigningKey> {
    let path = base.join(value.text()?);
    material::warn_of_readers(&path, value);
    let refused = |why: String, remedy: &str| {
        let complaint = Complaint::new(format!("the key cannot be used: {why}")).found(path.display().to_string());
        value.place.refuse(complaint.remedy(remedy));
    };
    let text = match material::read(&path) {
        Ok(octets) => Zeroizing::new(String::from_utf8_lossy(&octets).into_owned()),
        Err(error) => {
            refused(error.to_string(), "make one with `weir token keygen`, and let the node's user read it");
            return None;
        }
    };
    match SigningKey::from_pem(&text, None, None) {
        Ok(key) => Some(key),
        Err(error) => {
            refused(error.to_string(), "make one with `weir token keygen`");
            None
        }
    }
}

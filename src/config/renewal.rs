//! `renewal_key_file`: what tokens are renewed with.

use std::path::Path;

use zeroize::Zeroizing;

use crate::rules::token::mint::SigningKey;

use super::file::Value;
use super::finding::Complaint;
use super::material;

/// What tokens are renewed with: a private key of this region's, which every node of it has.
pub(super) fn key(value: &Value<'_>, base: &Path) -> Option<SigningKey> {
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

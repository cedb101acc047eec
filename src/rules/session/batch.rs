//! A signed batch of revocations, as the feed of a backend sends it: a JWS in its compact form (RFC 7515 §7.1) whose payload
//! says for which access it is, what is taken back, and from where to go on.
//!
//! Nothing in it is ever taken back again, so that old batches, and batches in any order, do no harm.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::naming::{Meant, Naming, Unclear};
use crate::rules::token::Rejection;
use crate::rules::token::jws::Header;
use crate::rules::token::key::KeySet;

/// The type that a batch names (`typ`): a token of the same key is none (RFC 8725 §3.11).
pub const TYPE: &str = "weir-revocations+jwt";

/// Octets of a batch.
pub const LARGEST: usize = 8 << 20;

/// Entries of a batch.
const MOST: usize = 100_000;

/// Octets of a cursor.
const LONGEST_CURSOR: usize = 512;

/// A batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// What is taken back, each with the moment until which that counts, where it says so.
    pub entries: Vec<(Meant, Option<u64>)>,
    /// From where to go on.
    pub cursor: Option<String>,
    /// Whether there is more behind the cursor already.
    pub has_more: bool,
}

/// Why something is no batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBatch {
    /// It has not three parts of base64url.
    #[error("it is no JWS in the compact form")]
    Form,
    /// Its header, its algorithm, or its key.
    #[error("{0}")]
    Rejected(#[from] Rejection),
    /// Its type is another.
    #[error("its `typ` is not weir-revocations+jwt")]
    Type,
    /// Its signature does not hold.
    #[error("its signature does not hold")]
    Signature,
    /// Its payload cannot be read.
    #[error("its payload cannot be read: {0}")]
    Payload(String),
    /// It is for another access.
    #[error("it is for another access")]
    Access,
    /// It has too many entries, or a cursor that is too long.
    #[error("it has more than 100,000 entries, or a cursor of more than 512 octets")]
    TooLarge,
    /// One of its entries.
    #[error("entry {0}: {1}")]
    Entry(usize, Unclear),
}

#[derive(Deserialize)]
struct Payload {
    access: String,
    #[serde(default)]
    cursor: Option<String>,
    #[serde(default)]
    more: bool,
    revocations: Vec<Naming>,
}

impl Batch {
    /// Verifies and reads a batch for `access`.
    ///
    /// # Errors
    /// [`BadBatch`].
    pub fn read(octets: &[u8], access: &str, keys: &KeySet) -> Result<Self, BadBatch> {
        let text = std::str::from_utf8(octets.trim_ascii()).map_err(|_| BadBatch::Form)?;
        let (signed, signature) = text.rsplit_once('.').ok_or(BadBatch::Form)?;
        let (header, payload) = signed.split_once('.').ok_or(BadBatch::Form)?;
        let part = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| BadBatch::Form);
        let header = Header::read(&part(header)?)?;
        if header.token_type.as_deref() != Some(TYPE) {
            return Err(BadBatch::Type);
        }
        let signature = part(signature)?;
        let keys = keys.choose(header.kid.as_deref(), header.algorithm)?;
        if !keys.iter().any(|key| key.verifies(signed.as_bytes(), &signature)) {
            return Err(BadBatch::Signature);
        }
        Self::of(&part(payload)?, access)
    }

    fn of(payload: &[u8], access: &str) -> Result<Self, BadBatch> {
        let payload: Payload =
            serde_json::from_slice(payload).map_err(|error| BadBatch::Payload(format!("line {}", error.line())))?;
        if payload.access != access {
            return Err(BadBatch::Access);
        }
        let is_long = payload.cursor.as_ref().is_some_and(|cursor| cursor.len() > LONGEST_CURSOR);
        if payload.revocations.len() > MOST || is_long {
            return Err(BadBatch::TooLarge);
        }
        let entry = |(index, naming): (usize, Naming)| {
            let until = naming.until;
            naming.meant().map(|meant| (meant, until)).map_err(|why| BadBatch::Entry(index, why))
        };
        let entries = payload.revocations.into_iter().enumerate().map(entry).collect::<Result<_, _>>()?;
        Ok(Self { entries, cursor: payload.cursor, has_more: payload.more })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::rules::session::Named;
    use crate::rules::token::mint::SigningKey;
    use crate::rules::token::{jwk, reason::Reason};

    const SECRET: &[u8] = b"thirty-two octets of a secret, or more";

    fn keys() -> KeySet {
        KeySet::of([jwk::read_secret(SECRET, None, &[]).unwrap()]).unwrap()
    }

    fn signed(secret: &[u8], kind: &str, payload: &Value) -> String {
        let key = SigningKey::from_secret(secret, None, None).unwrap();
        key.sign(kind, payload.as_object().unwrap()).unwrap()
    }

    fn batch(payload: &Value) -> Result<Batch, BadBatch> {
        Batch::read(signed(SECRET, TYPE, payload).as_bytes(), "members", &keys())
    }

    #[test]
    fn a_batch_says_what_is_taken_back_and_from_where_to_go_on() {
        let payload = json!({
            "access": "members", "cursor": "17", "more": true, "iat": 1,
            "revocations": [{ "subject": "alice", "until": 5 }, { "issued_before": 7 }, { "all": true }],
        });
        let entries = vec![
            (Meant::Text(Named::Subject, "alice".into()), Some(5)),
            (Meant::IssuedBefore(7), None),
            (Meant::All, None),
        ];
        assert_eq!(batch(&payload), Ok(Batch { entries, cursor: Some("17".into()), has_more: true }));
        let least = json!({ "access": "members", "revocations": [] });
        assert_eq!(batch(&least), Ok(Batch { entries: vec![], cursor: None, has_more: false }));
    }

    #[test]
    fn nothing_is_taken_from_whoever_is_not_the_backend() {
        let payload = json!({ "access": "members", "revocations": [{ "all": true }] });
        let read = |text: &str| Batch::read(text.as_bytes(), "members", &keys()).unwrap_err();
        let good = signed(SECRET, TYPE, &payload);
        assert_eq!(read(&signed(b"another secret of at least 32 octets", TYPE, &payload)), BadBatch::Signature);
        assert_eq!(read(&signed(SECRET, "JWT", &payload)), BadBatch::Type, "a token of the same key is no batch");
        let other = signed(SECRET, TYPE, &json!({ "access": "members", "revocations": [] }));
        let (what, signature) = (other.rsplit_once('.').unwrap().0, good.rsplit_once('.').unwrap().1);
        assert_eq!(read(&format!("{what}.{signature}")), BadBatch::Signature);
        assert_eq!(read(&good[..good.len() - 2]), BadBatch::Form);
        assert_eq!(read("a.b"), BadBatch::Form);
        assert_eq!(read(""), BadBatch::Form);
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"weir-revocations+jwt"}"#);
        let body = URL_SAFE_NO_PAD.encode(payload.to_string());
        let BadBatch::Rejected(rejection) = read(&format!("{none}.{body}.")) else { panic!("it is not signed") };
        assert_eq!(rejection.reason, Reason::AlgRefused);
        assert_eq!(Batch::read(good.as_bytes(), "others", &keys()), Err(BadBatch::Access));
    }

    #[test]
    fn a_batch_that_is_not_understood_whole_is_not_taken_at_all() {
        let with = |entry: Value| json!({ "access": "members", "revocations": [{ "kid": "a" }, entry] });
        for (entry, why) in [
            (json!({}), Unclear::Nothing),
            (json!({ "subject": "a", "kid": "b" }), Unclear::Both("subject", "kid")),
            (json!({ "subject": "" }), Unclear::Empty("subject")),
            (json!({ "session": "00" }), Unclear::Session),
        ] {
            assert_eq!(batch(&with(entry)), Err(BadBatch::Entry(1, why)));
        }
        assert!(matches!(batch(&with(json!({ "colour": "red" }))), Err(BadBatch::Payload(_))));
        assert!(matches!(batch(&json!({ "access": "members" })), Err(BadBatch::Payload(_))));
        let long = "c".repeat(LONGEST_CURSOR + 1);
        let payload = json!({ "access": "members", "cursor": long, "revocations": [] });
        assert_eq!(batch(&payload), Err(BadBatch::TooLarge));
    }
}

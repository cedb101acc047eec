//! Tokens of viewers: where each viewer's comes from, and where it travels.
//!
//! A viewer shows its token when it asks for the multivariant playlist, and never again: what follows inherits by the URIs of
//! that playlist, as in a player that repeats neither fields nor cookies.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

/// Where a token travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Carrier {
    /// `/.weir/t/TOKEN/…`
    #[default]
    Path,
    /// `Authorization: Bearer TOKEN`
    Header,
    /// `?token=TOKEN`
    Query,
    /// `Cookie: token=TOKEN`
    Cookie,
}

/// Where tokens come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// From a list, in the order in which viewers come, and from its beginning again.
    List(Arc<[String]>),
    /// Each is made when it is needed.
    Mint(Arc<Issuer>),
}

/// Makes tokens with a shared secret (HS256), a subject for each viewer.
#[derive(Debug)]
pub struct Issuer {
    /// The secret; the key prints nothing of it.
    pub key: hmac::Key,
    /// `iss`
    pub issuer: Option<String>,
    /// `aud`
    pub audience: Option<String>,
    /// `path`
    pub path: Option<String>,
    /// How long a token opens things.
    pub lives: Duration,
}

/// A token that opens a stream, and how it is shown.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Where from.
    pub source: Source,
    /// Where it travels.
    pub carrier: Carrier,
    /// Which viewer, from 0.
    pub viewer: u32,
}

/// A request that shows a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Path and query.
    pub path: String,
    /// A field, where it travels in one.
    pub field: Option<(&'static str, String)>,
}

impl Issuer {
    /// With this secret.
    pub fn new(secret: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        Self { key, issuer: None, audience: None, path: None, lives: Duration::from_secs(300) }
    }

    /// A token of the viewer, now.
    pub fn token(&self, viewer: u32) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let mut claims = json!({
            "sub": format!("viewer-{viewer}"),
            "jti": format!("{viewer}-{now}"),
            "iat": now,
            "exp": now + self.lives.as_secs(),
        });
        for (name, value) in [("iss", &self.issuer), ("aud", &self.audience), ("path", &self.path)] {
            if let Some(value) = value {
                claims[name] = json!(value);
            }
        }
        let encode = |octets: &[u8]| URL_SAFE_NO_PAD.encode(octets);
        let signed = format!("{}.{}", encode(br#"{"alg":"HS256","typ":"JWT"}"#), encode(claims.to_string().as_bytes()));
        let signature = hmac::sign(&self.key, signed.as_bytes());
        format!("{signed}.{}", encode(signature.as_ref()))
    }
}

impl Ticket {
    /// The same for another viewer.
    #[must_use]
    pub fn of(&self, viewer: u32) -> Self {
        Self { viewer, ..self.clone() }
    }

    /// A request for `path` that shows a token. Each is a new one where tokens are made: old ones may have expired.
    pub fn show(&self, path: &str) -> Shown {
        let token = match &self.source {
            Source::List(list) => list.get(self.viewer as usize % list.len().max(1)).cloned().unwrap_or_default(),
            Source::Mint(issuer) => issuer.token(self.viewer),
        };
        match self.carrier {
            Carrier::Path => Shown { path: format!("/.weir/t/{token}{path}"), field: None },
            Carrier::Query => {
                let mark = if path.contains('?') { '&' } else { '?' };
                Shown { path: format!("{path}{mark}token={token}"), field: None }
            }
            Carrier::Header => {
                Shown { path: path.to_owned(), field: Some(("authorization", format!("Bearer {token}"))) }
            }
            Carrier::Cookie => Shown { path: path.to_owned(), field: Some(("cookie", format!("token={token}"))) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_where_it_travels() {
        let list: Arc<[String]> = ["one".to_owned(), "two".to_owned()].into();
        let ticket = Ticket { source: Source::List(list), carrier: Carrier::Path, viewer: 0 };
        let shown = |carrier, viewer, path: &str| Ticket { carrier, ..ticket.of(viewer) }.show(path);
        assert_eq!(shown(Carrier::Path, 1, "/live/m").path, "/.weir/t/two/live/m");
        assert_eq!(shown(Carrier::Query, 2, "/live/m").path, "/live/m?token=one");
        assert_eq!(shown(Carrier::Query, 0, "/live/m?x").path, "/live/m?x&token=one");
        let field = |name, value: &str| Shown { path: "/m".to_owned(), field: Some((name, value.to_owned())) };
        assert_eq!(shown(Carrier::Header, 0, "/m"), field("authorization", "Bearer one"));
        assert_eq!(shown(Carrier::Cookie, 0, "/m"), field("cookie", "token=one"));
    }

    #[test]
    fn a_token_is_signed_and_says_who_it_is_for() {
        let issuer = Issuer { issuer: Some("i".to_owned()), ..Issuer::new(b"secret") };
        let token = issuer.token(7);
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        hmac::verify(&issuer.key, signed.as_bytes(), &signature).unwrap();
        let claims = URL_SAFE_NO_PAD.decode(signed.split_once('.').unwrap().1).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!((&claims["sub"], &claims["iss"]), (&json!("viewer-7"), &json!("i")));
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 300);
        assert!(claims.get("aud").is_none());
        assert!(!format!("{issuer:?}").contains("secret"), "{issuer:?}");
    }
}

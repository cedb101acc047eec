//! `weir token mint`: a token, from a private key and what the command line says.

use std::io::Write;
use std::path::Path;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::{MintArguments, TokenError, now, read};
use crate::clock::Clock;
use crate::rules::token::Algorithm;
use crate::rules::token::mint::{MintError, SigningKey};

/// A random identifier, in octets.
const IDENTIFIER: usize = 12;

pub(super) fn run(arguments: &MintArguments, clock: &Clock, out: &mut dyn Write) -> Result<(), TokenError> {
    let key = key(arguments)?;
    let claims = claims(arguments, now(arguments.at, clock))?;
    let token = key.sign(&arguments.token_type, &claims)?;
    if !arguments.json {
        writeln!(out, "{token}")?;
        return Ok(());
    }
    let header = json!({ "alg": key.algorithm().name(), "kid": key.kid(), "typ": arguments.token_type });
    let facts = json!({ "token": token, "header": header, "claims": claims });
    writeln!(out, "{}", serde_json::to_string_pretty(&facts).expect("claims are JSON"))?;
    Ok(())
}

fn key(arguments: &MintArguments) -> Result<SigningKey, TokenError> {
    let file = &arguments.key;
    let octets = Zeroizing::new(read(file)?);
    let beside = beside(file);
    let of_set = |name: &str| beside.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let kid = arguments.kid.clone().or_else(|| of_set("kid"));
    let algorithm = arguments.algorithm.or_else(|| Algorithm::named(&of_set("alg")?));
    let text = octets.trim_ascii();
    let key = match std::str::from_utf8(text) {
        Ok(pem) if pem.starts_with("-----BEGIN ") => SigningKey::from_pem(pem, algorithm, kid.as_deref()),
        _ => SigningKey::from_secret(text, algorithm, kid.as_deref()),
    };
    key.map_err(|source| TokenError::SigningKey { file: file.clone(), source })
}

/// The only key of the set that `keygen` has written beside a private key.
fn beside(file: &Path) -> Option<Value> {
    let set: Value = serde_json::from_slice(&read(&file.with_extension("jwks.json")).ok()?).ok()?;
    match set.get("keys")?.as_array()?.as_slice() {
        [key] => Some(key.clone()),
        _ => None,
    }
}

fn claims(arguments: &MintArguments, now: u64) -> Result<Map<String, Value>, TokenError> {
    let one_or_many = |texts: &[String]| match texts {
        [] => None,
        [text] => Some(json!(text)),
        texts => Some(json!(texts)),
    };
    let id = match &arguments.id {
        Some(id) => id.clone(),
        None => {
            let mut octets = [0; IDENTIFIER];
            rand::fill(&mut octets).map_err(MintError::from)?;
            URL_SAFE_NO_PAD.encode(octets)
        }
    };
    let own = [
        ("iss", arguments.issuer.as_ref().map(|issuer| json!(issuer))),
        ("aud", one_or_many(&arguments.audience)),
        ("sub", arguments.subject.as_ref().map(|subject| json!(subject))),
        ("iat", Some(json!(now))),
        ("nbf", arguments.not_before.map(|moment| json!(moment.seconds(now)))),
        ("exp", Some(json!(now.saturating_add(arguments.time.as_secs())))),
        ("jti", Some(json!(id))),
        ("path", one_or_many(&arguments.path)),
        ("ip", arguments.ip.as_ref().map(|prefix| json!(prefix))),
        ("max_sessions", arguments.max_sessions.map(|count| json!(count))),
        ("session_end", arguments.session_end.map(|moment| json!(moment.seconds(now)))),
    ];
    let mut claims: Map<String, Value> =
        own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    for (name, value) in &arguments.claims {
        if claims.insert(name.clone(), value.clone()).is_some() {
            return Err(TokenError::Claim(name.clone()));
        }
    }
    Ok(claims)
}

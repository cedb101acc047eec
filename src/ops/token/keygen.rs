//! `weir token keygen`: an issuer's key as the two files that it goes into, or a node's secrets.

use std::io::Write;
use std::path::Path;

use aws_lc_rs::rand;
use serde::Serialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::{KeygenArguments, TokenError, moment, now, read, write_new};
use crate::clock::Clock;
use crate::rules::token::mint::{MintError, SigningKey};

/// Only the owner.
const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;
/// What a node's secret is worth, in octets.
const SECRET: usize = 32;

/// What `--json` prints.
#[derive(Serialize)]
struct Facts {
    /// The file that signs, or that nodes share.
    private: String,
    /// The file that verifies.
    #[serde(skip_serializing_if = "Option::is_none")]
    public: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    algorithm: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<String>,
    /// What goes into `edge.toml`.
    edge_toml: String,
}

pub(super) fn run(arguments: &KeygenArguments, clock: &Clock, out: &mut dyn Write) -> Result<(), TokenError> {
    let made = std::fs::create_dir_all(&arguments.out);
    made.map_err(|source| TokenError::Write { file: arguments.out.clone(), source })?;
    let facts = if arguments.node { of_node(arguments, clock)? } else { of_issuer(arguments, clock)? };
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&facts).expect("texts are JSON"))?;
        return Ok(());
    }
    let width = facts.public.as_ref().map_or(0, String::len).max(facts.private.len());
    let private = if arguments.node { "what sessions are sealed with" } else { "signs: the issuer's alone" };
    writeln!(out, "{:width$}  {private}", facts.private)?;
    if let Some(public) = &facts.public {
        writeln!(out, "{public:width$}  verifies: the node's, and anybody's")?;
    }
    writeln!(out, "\nFor edge.toml:\n\n{}", facts.edge_toml)?;
    Ok(())
}

fn of_issuer(arguments: &KeygenArguments, clock: &Clock) -> Result<Facts, TokenError> {
    let algorithm = arguments.algorithm;
    let today = || {
        let written = moment::written(now(None, clock));
        format!("{}-{}", &written[..10], algorithm.name().to_ascii_lowercase())
    };
    let kid = arguments.kid.clone().unwrap_or_else(today);
    let key = SigningKey::generate(algorithm)?;
    let file = |ending: &str| arguments.out.join(format!("{kid}.{ending}"));
    let table = |keys: &str| {
        let (issuer, audience) = (quoted(&arguments.issuer), quoted(&arguments.audience));
        format!(
            "[access.members]\nissuer = {issuer}\naudience = {audience}\n{keys}\n\n# and in each [[route]] that is gated\naccess = \"members\""
        )
    };
    let Some(mut public) = key.public else {
        let file = file("secret");
        write_new(&file, &format!("{}\n", *key.private), PRIVATE)?;
        let private = file.display().to_string();
        let keys = format!("hmac_secret_file = {}\nalgorithms = [\"{}\"]", quoted(&private), algorithm.name());
        return Ok(Facts {
            edge_toml: table(&keys),
            private,
            public: None,
            algorithm: Some(algorithm.name()),
            kid: None,
        });
    };
    public["kid"] = json!(kid);
    let (private, set) = (file("pem"), file("jwks.json"));
    write_new(&private, &key.private, PRIVATE)?;
    let text = serde_json::to_string_pretty(&json!({ "keys": [public] })).expect("a key is JSON");
    write_new(&set, &format!("{text}\n"), PUBLIC)?;
    let set = set.display().to_string();
    Ok(Facts {
        private: private.display().to_string(),
        edge_toml: table(&format!("jwks_file = {}", quoted(&set))),
        public: Some(set),
        algorithm: Some(algorithm.name()),
        kid: Some(kid),
    })
}

/// A new current secret. What it replaces stays as the previous one, so that sessions go on.
fn of_node(arguments: &KeygenArguments, clock: &Clock) -> Result<Facts, TokenError> {
    let file = arguments.out.join("node.keys");
    let mut secret = Zeroizing::new([0; SECRET]);
    rand::fill(&mut *secret).map_err(MintError::from)?;
    let today = moment::written(now(None, clock));
    let mut text = Zeroizing::new(format!("# current, since {today}\n{}\n", *hex(&*secret)));
    match current(&file) {
        Some(previous) => {
            text.push_str(&format!("# the one before it, for what it has sealed\n{}\n", *previous));
            replace(&file, &text)?;
        }
        None => write_new(&file, &text, PRIVATE)?,
    }
    let private = file.display().to_string();
    let edge_toml = format!("[node]\nsecrets = {}", quoted(&private));
    Ok(Facts { private, public: None, algorithm: None, kid: None, edge_toml })
}

/// The current secret of a file, as it stands there.
fn current(file: &Path) -> Option<Zeroizing<String>> {
    let text = Zeroizing::new(String::from_utf8(read(file).ok()?).ok()?);
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'))?;
    Some(Zeroizing::new(first.to_owned()))
}

/// The file is whole at every moment.
fn replace(file: &Path, text: &str) -> Result<(), TokenError> {
    let beside = file.with_extension("keys.new");
    // What an interrupted run has left.
    if read(&beside).is_ok() {
        std::fs::remove_file(&beside).map_err(|source| TokenError::Write { file: beside.clone(), source })?;
    }
    write_new(&beside, text, PRIVATE)?;
    std::fs::rename(&beside, file).map_err(|source| TokenError::Write { file: file.to_owned(), source })
}

fn hex(octets: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(octets.len() * 2));
    for octet in octets {
        text.push(char::from_digit(u32::from(octet >> 4), 16).expect("four bits"));
        text.push(char::from_digit(u32::from(octet & 15), 16).expect("four bits"));
    }
    text
}

/// A text as TOML writes it.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

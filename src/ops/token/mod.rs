//! `weir token`: keys are made, tokens are minted, and a verdict is explained step by step.
//!
//! A secret goes from file to file. It is never printed, and a token is not either, but by `mint`, whose purpose that is.

mod check;
mod issuers;
mod keygen;
mod mint;
mod moment;
mod told;

#[cfg(test)]
mod tests;

use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use http::Method;

use super::Outcome;
use crate::clock::Clock;
use crate::config::access::UnusableKeys;
use crate::config::{Problems, value};
use crate::rules::token::mint::MintError;
use crate::rules::token::{Algorithm, BadKey};

use moment::Moment;

/// No file of a key or a token is larger.
const LARGEST_FILE: u64 = 1 << 20;

/// `weir token`
#[derive(Args, Clone, Debug)]
pub struct TokenArguments {
    /// What to do
    #[command(subcommand)]
    pub command: TokenCommand,
}

/// What `weir token` does.
#[derive(Clone, Debug, Subcommand)]
pub enum TokenCommand {
    /// Makes a key: a private half for the issuer, a public half for the node
    #[command(
        after_help = "Example: weir token keygen --kid 2026-a --issuer https://paywall.example --out keys\n         \
                            weir token keygen --node --out ."
    )]
    Keygen(KeygenArguments),
    /// Prints a token
    #[command(after_help = "Example: weir token mint --key keys/2026-a.pem --issuer https://paywall.example \
                            --audience weir-edge --subject viewer-17 --path /live/event1 --for 5m --session-end 4h")]
    Mint(MintArguments),
    /// Says step by step what a node makes of a token
    #[command(
        after_help = "Example: weir token check - --config edge.toml --url https://edge.example/live/event1/master.m3u8 < token"
    )]
    Check(CheckArguments),
}

/// `weir token keygen`
#[derive(Args, Clone, Debug)]
pub struct KeygenArguments {
    /// ES256, ES384, EdDSA, RS256, PS256, HS256, HS384 or HS512
    #[arg(long, default_value = "ES256", value_parser = algorithm)]
    pub algorithm: Algorithm,
    /// The key's identifier; default: today's date and the algorithm
    #[arg(long, value_parser = kid)]
    pub kid: Option<String>,
    /// The folder that the files go into
    #[arg(long, default_value = ".", value_name = "DIR")]
    pub out: PathBuf,
    /// What tokens will say in `iss`, for the table that is printed
    #[arg(long, value_name = "NAME", default_value = "https://paywall.example")]
    pub issuer: String,
    /// What tokens will say in `aud`, for the table that is printed
    #[arg(long, value_name = "NAME", default_value = "weir-edge")]
    pub audience: String,
    /// Make a node's secrets in place of an issuer's key: a new current one, and the one before it is kept
    #[arg(long, conflicts_with_all = ["algorithm", "kid", "issuer", "audience"])]
    pub node: bool,
    /// Print facts as JSON
    #[arg(long)]
    pub json: bool,
}

/// `weir token mint`
#[derive(Args, Clone, Debug)]
pub struct MintArguments {
    /// The private key (PEM), or a shared secret
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Its algorithm; default: what the set beside it says, else ES256, ES384, EdDSA, RS256 or HS256 by the kind of key
    #[arg(long, value_parser = algorithm)]
    pub algorithm: Option<Algorithm>,
    /// The key's identifier; default: what the set beside it says
    #[arg(long, value_parser = kid)]
    pub kid: Option<String>,
    /// Who issues it (`iss`)
    #[arg(long, value_name = "NAME")]
    pub issuer: Option<String>,
    /// Whom it is for (`aud`); may be repeated
    #[arg(long, value_name = "NAME")]
    pub audience: Vec<String>,
    /// Whom it is issued to (`sub`)
    #[arg(long, value_name = "NAME")]
    pub subject: Option<String>,
    /// A path that it covers, with all below; may be repeated
    #[arg(long, value_name = "PATH", value_parser = path)]
    pub path: Vec<String>,
    /// How long it opens things
    #[arg(long = "for", value_name = "TIME", default_value = "5m", value_parser = value::time)]
    pub time: Duration,
    /// From when on it does
    #[arg(long, value_name = "TIME", value_parser = Moment::parse, allow_hyphen_values = true)]
    pub not_before: Option<Moment>,
    /// When what it opened is over
    #[arg(long, value_name = "TIME", value_parser = Moment::parse)]
    pub session_end: Option<Moment>,
    /// How many sessions of the subject may go on at once
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_sessions: Option<u32>,
    /// The address or prefix that may use it
    #[arg(long, value_name = "PREFIX", value_parser = prefix)]
    pub ip: Option<String>,
    /// Its identifier (`jti`); default: a random one
    #[arg(long, value_name = "NAME")]
    pub id: Option<String>,
    /// Another claim, its value JSON or else text; may be repeated
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    pub claims: Vec<(String, serde_json::Value)>,
    /// Its type (`typ`)
    #[arg(long = "type", value_name = "TYPE", default_value = "JWT")]
    pub token_type: String,
    /// The time that it is issued at, in place of now
    #[arg(long, value_name = "TIME", value_parser = Moment::parse, allow_hyphen_values = true)]
    pub at: Option<Moment>,
    /// Print token, header and claims as JSON
    #[arg(long)]
    pub json: bool,
}

/// `weir token check`
#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("keys").required(true))]
pub struct CheckArguments {
    /// The token, a URL that carries it, or `-` for standard input. Arguments are visible in lists of processes
    #[arg(value_name = "TOKEN|-", required_unless_present = "token_file")]
    pub token: Option<String>,
    /// File that holds the token
    #[arg(long, value_name = "FILE", conflicts_with = "token")]
    pub token_file: Option<PathBuf>,
    /// The configuration whose access judges it
    #[arg(long, value_name = "FILE", group = "keys")]
    pub config: Option<PathBuf>,
    /// The access in it; default: the one of the URL's route, or the only one
    #[arg(long, value_name = "NAME", requires = "config")]
    pub access: Option<String>,
    /// A JWK set that has its key
    #[arg(long, value_name = "FILE", group = "keys")]
    pub jwks_file: Option<PathBuf>,
    /// The public key (PEM)
    #[arg(long, value_name = "FILE", group = "keys")]
    pub public_key_file: Option<PathBuf>,
    /// The shared secret
    #[arg(long, value_name = "FILE", group = "keys")]
    pub hmac_secret_file: Option<PathBuf>,
    /// Who must have issued it, where no configuration says so
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    pub issuer: Option<String>,
    /// Whom it must be for, where no configuration says so
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    pub audience: Option<String>,
    /// What is asked for with it
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// The method of the request
    #[arg(long, default_value = "GET", requires = "url")]
    pub method: Method,
    /// The viewer's address
    #[arg(long, value_name = "IP", requires = "url")]
    pub address: Option<IpAddr>,
    /// The viewer's country (ISO 3166-1), perhaps with a subdivision
    #[arg(long, value_name = "COUNTRY", requires = "url", value_parser = country)]
    pub country: Option<String>,
    /// The time of the verdict, in place of now
    #[arg(long, value_name = "TIME", value_parser = Moment::parse, allow_hyphen_values = true)]
    pub at: Option<Moment>,
    /// Print facts as JSON
    #[arg(long)]
    pub json: bool,
}

/// Why nothing was made, or nothing could be judged.
#[derive(Debug, thiserror::Error)]
enum TokenError {
    #[error("{} cannot be read: {source}", file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("{} cannot be written: {source}", file.display())]
    Write { file: PathBuf, source: io::Error },
    #[error("{} exists, and a key is not replaced: choose another --kid or --out", .0.display())]
    Exists(PathBuf),
    #[error("{} cannot be used to sign: {source}", file.display())]
    SigningKey { file: PathBuf, source: MintError },
    #[error("no key was made: {0}")]
    Made(#[from] MintError),
    #[error("{} cannot be used: {source}", file.display())]
    Keys { file: PathBuf, source: BadKey },
    #[error("the keys of access `{access}` cannot be used: {source}")]
    Kept { access: String, source: UnusableKeys },
    #[error("the claim `{0}` has an option of its own, or is given twice")]
    Claim(String),
    #[error("{0}")]
    Config(#[from] Problems),
    #[error("{0}")]
    Access(String),
    #[error("`{0}` is no URL of a viewer's request: write https://HOST/PATH")]
    Url(String),
    #[error("the keys at {url} cannot be fetched: {why}")]
    Fetch { url: String, why: String },
    #[error("{0}")]
    Given(String),
    #[error("the URL carries a session, which a node has sealed: only a node can open it (`weir explain`)")]
    Session,
    #[error("the output cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl TokenError {
    fn fetch(url: &http::Uri, why: impl ToString) -> Self {
        Self::Fetch { url: url.to_string(), why: why.to_string() }
    }
}

/// Runs it.
///
/// # Errors
/// Where `out` or `complaints` cannot be written.
pub async fn run(
    arguments: &TokenArguments,
    clock: &Clock,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> io::Result<Outcome> {
    let ran = match &arguments.command {
        TokenCommand::Keygen(arguments) => keygen::run(arguments, clock, out).map(|()| Outcome::Good),
        TokenCommand::Mint(arguments) => mint::run(arguments, clock, out).map(|()| Outcome::Good),
        TokenCommand::Check(arguments) => check::run(arguments, clock, out).await,
    };
    match ran {
        Ok(outcome) => Ok(outcome),
        Err(TokenError::Output(error)) => Err(error),
        Err(error) => {
            writeln!(complaints, "weir: {error}")?;
            Ok(Outcome::WrongUse)
        }
    }
}

/// Now, in seconds since 1970, or what was said in its place.
fn now(at: Option<Moment>, clock: &Clock) -> u64 {
    let now = clock.wall().since_epoch().as_secs();
    at.map_or(now, |at| at.seconds(now))
}

/// A file of bounded size.
fn read(file: &Path) -> Result<Vec<u8>, TokenError> {
    let fail = |source| TokenError::Read { file: file.to_owned(), source };
    let mut octets = Vec::new();
    std::fs::File::open(file).map_err(fail)?.take(LARGEST_FILE).read_to_end(&mut octets).map_err(fail)?;
    Ok(octets)
}

/// Writes a file that was not there before; `mode` is what of it others may do.
fn write_new(file: &Path, text: &str, mode: u32) -> Result<(), TokenError> {
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(file);
    let written = written.and_then(|mut open| {
        open.write_all(text.as_bytes())?;
        open.sync_all()
    });
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => TokenError::Exists(file.to_owned()),
        _ => TokenError::Write { file: file.to_owned(), source },
    })
}

const NO_TOKEN: &str = "there is no token: give it on standard input (`-`), or by --token-file";

/// The token that a command is about: an argument, a file, or standard input.
pub(super) fn given(token: Option<&str>, file: Option<&Path>) -> Result<String, String> {
    let text = match (token, file) {
        (None, None) => return Err(NO_TOKEN.to_owned()),
        (Some("-"), _) if io::stdin().is_terminal() => return Err(NO_TOKEN.to_owned()),
        (Some("-"), _) => {
            let mut text = String::new();
            let read = io::stdin().take(LARGEST_FILE).read_to_string(&mut text);
            read.map_err(|error| format!("standard input cannot be read: {error}"))?;
            text
        }
        (Some(token), _) => token.to_owned(),
        (None, Some(file)) => String::from_utf8_lossy(&read(file).map_err(|error| error.to_string())?).into_owned(),
    };
    Ok(text.trim().to_owned())
}

fn algorithm(text: &str) -> Result<Algorithm, &'static str> {
    let upper = text.to_ascii_uppercase();
    let upper = if upper == "EDDSA" || upper == "ED25519" { "EdDSA" } else { &upper };
    Algorithm::named(upper).ok_or("accepted are ES256, ES384, EdDSA, RS256, PS256, HS256, HS384 and HS512")
}

/// It names files too.
fn kid(text: &str) -> Result<String, &'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(plain) && text.len() <= 128 {
        true => Ok(text.to_owned()),
        false => Err("a key's identifier here is letters, digits, `-`, `_` and `.`"),
    }
}

fn path(text: &str) -> Result<String, &'static str> {
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err("a path begins with `/`") }
}

fn prefix(text: &str) -> Result<String, &'static str> {
    match text.parse::<IpAddr>().is_ok() || text.parse::<ipnet::IpNet>().is_ok() {
        true => Ok(text.to_owned()),
        false => Err(value::PREFIXES),
    }
}

fn country(text: &str) -> Result<String, &'static str> {
    match text.len() >= 2 && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-') {
        true => Ok(text.to_ascii_uppercase()),
        false => Err("a country is two letters, like DE"),
    }
}

fn claim(text: &str) -> Result<(String, serde_json::Value), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((name.to_owned(), value))
}

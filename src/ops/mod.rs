//! The command line: arguments to `Command`, and every command that is not the node itself.
//!
//! What these commands know of a running node they ask over its admin API. Exit codes are 0 for good, 1 for a
//! finding, 2 for wrong use; `--json` prints facts for machines.

mod answers;
pub mod check;
pub mod client;
mod explained;
mod init;
mod journal_status;
mod picture;
mod probe;
mod sessions;
mod story;
mod summary;
#[cfg(test)]
mod tests;
pub mod token;
mod wire;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use http::{HeaderName, HeaderValue};

use crate::clock::Clock;
use crate::config::value;

/// What was typed after `weir`.
#[derive(Debug, Parser)]
#[command(name = "weir", version, about = "An edge node for live video", subcommand_required = true)]
#[command(
    after_help = "Example: weir demo\n         weir check --config edge.toml\n         weir serve --config edge.toml"
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// One command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs a whole working system on loopback: a live origin, a node and a player page
    #[command(after_help = "Example: weir demo --no-open\n         weir demo --gated")]
    Demo(DemoArguments),
    /// Runs a node
    #[command(after_help = "Example: weir serve --config /etc/weir/edge.toml")]
    Serve(ServeArguments),
    /// A command that works on a configuration or on a running node.
    #[command(flatten)]
    Tool(Tool),
}

/// A command that is not the node itself.
#[derive(Debug, Subcommand)]
pub enum Tool {
    /// Reports every problem of a configuration at once, and says what the node will do
    #[command(after_help = "Example: weir check --config edge.toml --strict")]
    Check(CheckArguments),
    /// Asks an origin what it is, and writes a short configuration for it
    #[command(after_help = "Example: weir init --origin https://packager.example/live/one/master.m3u8")]
    Init(InitArguments),
    /// Says what a running node would do with a request, and why
    #[command(
        after_help = "Example: weir explain https://live.example.com/live/one/index.m3u8 -H 'Accept-Encoding: gzip'"
    )]
    Explain(ExplainArguments),
    /// Shows how a running node does
    #[command(after_help = "Example: weir status --admin unix:/run/weir/admin.sock --json")]
    Status(NodeArguments),
    /// Lets a running node read its configuration again
    #[command(after_help = "Example: weir reload --config edge.toml")]
    Reload(NodeArguments),
    /// Lets a running node follow a stream before anybody watches
    #[command(after_help = "Example: weir warm https://live.example.com/live/one/index.m3u8 --for 10m")]
    Warm(WarmArguments),
    /// Lets a running node forget what it has stored
    #[command(after_help = "Example: weir purge --stream one\n         \
                            weir purge --url https://live.example.com/live/one/index.m3u8 --soft\n         \
                            weir purge --tag news --dry-run")]
    Purge(PurgeArguments),
    /// Takes a session, a subject, a token or more back on a running node
    #[command(after_help = "Example: weir revoke --access members --subject alice\n         \
                            weir revoke --access members --session 5f0c1e2d3b4a59687786a5b4 --for 1h\n         \
                            weir revoke --access members --issued-before 1767225600")]
    Revoke(RevokeArguments),
    /// Tells one viewer's session as a story: what happened, why, and whose fault it was
    #[command(after_help = "Example: weir session BW61-WB9V\n         \
                            weir session alice --access members --others\n         \
                            weir session 5f0c1e2d3b4a59687786a5b4 --admin http://edge-1:9180 --admin http://edge-2:9180\n         \
                            weir session alice --access members --erase")]
    Session(SessionArguments),
    /// Takes an origin of a running node out of use, or brings it back
    #[command(after_help = "Example: weir origin primary rest\n         weir origin primary return")]
    Origin(OriginArguments),
    /// Lets viewers leave a running node
    #[command(after_help = "Example: weir drain --by 10m\n         weir drain --cancel")]
    Drain(DrainArguments),
    /// Makes keys and tokens, and explains verdicts
    #[command(after_help = "Example: weir token keygen --out keys\n         \
                            weir token mint --key keys/2026-a.pem --subject viewer-17 --path /live/event1\n         \
                            weir token check - --config edge.toml < token")]
    Token(Box<token::TokenArguments>),
}

/// `weir demo`
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct DemoArguments {
    /// Cleartext address of the node
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    pub http: SocketAddr,
    /// TLS and QUIC address of the node
    #[arg(long, default_value = "127.0.0.1:8443", value_name = "ADDRESS")]
    pub https: SocketAddr,
    /// Admin address of the node
    #[arg(long, default_value = "127.0.0.1:9180", value_name = "ADDRESS")]
    pub admin: SocketAddr,
    /// Address of the origin
    #[arg(long, default_value = "127.0.0.1:8090", value_name = "ADDRESS")]
    pub origin: SocketAddr,
    /// Gate the stream: an issuer of tokens, links that work and links that do not, and a revoke button
    #[arg(long)]
    pub gated: bool,
    /// Leave the browser closed
    #[arg(long)]
    pub no_open: bool,
    /// Print the addresses as one line of JSON
    #[arg(long)]
    pub json: bool,
}

/// `weir serve`
#[derive(Args, Clone, Debug)]
pub struct ServeArguments {
    /// The configuration
    #[arg(long, default_value = "edge.toml", value_name = "FILE")]
    pub config: PathBuf,
}

/// `weir check`
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct CheckArguments {
    /// The configuration
    #[arg(long, default_value = "edge.toml", value_name = "FILE")]
    pub config: PathBuf,
    /// Ask each origin for its base path too
    #[arg(long)]
    pub probe: bool,
    /// Count warnings as findings
    #[arg(long)]
    pub strict: bool,
    /// Print facts as JSON
    #[arg(long)]
    pub json: bool,
}

/// `weir init`
#[derive(Args, Clone, Debug)]
pub struct InitArguments {
    /// The origin, best as the URL of a playlist
    #[arg(long, value_name = "URL")]
    pub origin: String,
    /// The file that is written
    #[arg(long, default_value = "edge.toml", value_name = "FILE")]
    pub out: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    pub force: bool,
    /// Authorities (PEM) that the origin's certificate is judged by; default: the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Print facts as JSON
    #[arg(long)]
    pub json: bool,
}

/// Which node, and how to be let in.
#[derive(Args, Clone, Debug)]
pub struct NodeArguments {
    /// Address of the node's admin API; default: the one in --config
    #[arg(long, env = "WEIR_ADMIN", value_name = "URL|unix:PATH")]
    pub admin: Option<String>,
    /// File that holds a token for it
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// Authorities (PEM) that its certificate is judged by; default: the system's
    #[arg(long, value_name = "FILE")]
    pub admin_ca: Option<PathBuf>,
    /// The configuration that says where the admin API listens
    #[arg(long, default_value = "edge.toml", value_name = "FILE")]
    pub config: PathBuf,
    /// Print facts as JSON
    #[arg(long)]
    pub json: bool,
}

/// `weir explain`
#[derive(Args, Clone, Debug)]
pub struct ExplainArguments {
    /// What a viewer would ask for
    #[arg(value_name = "URL")]
    pub url: String,
    /// A field of the viewer's request; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = field)]
    pub headers: Vec<String>,
    /// The viewer's token, or `-` for standard input. Arguments are visible in lists of processes
    #[arg(long, value_name = "TOKEN|-", conflicts_with = "token_file")]
    pub token: Option<String>,
    /// File that holds the viewer's token
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Which node
    #[command(flatten)]
    pub node: NodeArguments,
}

/// A field as it stands in a request.
fn field(text: &str) -> Result<String, &'static str> {
    let (name, value) = text.split_once(':').ok_or("write it as `Name: value`")?;
    HeaderName::try_from(name.trim()).map_err(|_| "what stands before the colon is no field name")?;
    HeaderValue::try_from(value.trim()).map_err(|_| "what stands behind the colon is no field value")?;
    Ok(text.to_owned())
}

/// `weir warm`
#[derive(Args, Clone, Debug)]
pub struct WarmArguments {
    /// The playlist, as a viewer would ask for it
    #[arg(value_name = "URL")]
    pub url: String,
    /// For how long; default: until the node ends
    #[arg(long = "for", value_name = "TIME", value_parser = value::time)]
    pub time: Option<Duration>,
    /// Which node
    #[command(flatten)]
    pub node: NodeArguments,
}

/// `weir purge`
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[group(skip)]
#[command(group = clap::ArgGroup::new("meant").required(true))]
pub struct PurgeArguments {
    /// A URL, as a viewer would ask for it: all variants and generations of it
    #[arg(long, value_name = "URL", group = "meant")]
    pub url: Option<String>,
    /// The beginning of URLs, or of paths on any host
    #[arg(long, value_name = "URL", group = "meant")]
    pub prefix: Option<String>,
    /// A stream, as `weir status` names it
    #[arg(long, value_name = "NAME", group = "meant")]
    pub stream: Option<String>,
    /// A tag that the origin wrote in Cache-Tag or Surrogate-Key
    #[arg(long, value_name = "TAG", group = "meant")]
    pub tag: Option<String>,
    /// Everything
    #[arg(long, group = "meant")]
    pub all: bool,
    /// Keep it, but as stale: it is sent where its windows allow that, else validated
    #[arg(long)]
    pub soft: bool,
    /// Only count what would go, on this node
    #[arg(long)]
    pub dry_run: bool,
    /// On this node alone, not on all of its region
    #[arg(long)]
    pub local: bool,
    /// Which node
    #[command(flatten)]
    pub node: NodeArguments,
}

/// `weir revoke`
#[derive(Args, Clone, Debug)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("revoked").required(true))]
pub struct RevokeArguments {
    /// The access name within which it holds
    #[arg(long, value_name = "NAME")]
    pub access: String,
    /// A session, by its 24 hexadecimal digits
    #[arg(long, value_name = "ID", group = "revoked")]
    pub session: Option<String>,
    /// A subject (`sub`): all of its sessions and tokens
    #[arg(long, value_name = "TEXT", group = "revoked")]
    pub subject: Option<String>,
    /// A token by its identifier (`jti`, `cti`), and its sessions
    #[arg(long, value_name = "TEXT", group = "revoked")]
    pub token_id: Option<String>,
    /// Whatever was signed with a key of this identifier
    #[arg(long, value_name = "TEXT", group = "revoked")]
    pub kid: Option<String>,
    /// Whatever an issuer has issued
    #[arg(long, value_name = "TEXT", group = "revoked")]
    pub issuer: Option<String>,
    /// Whatever was issued before this moment, in seconds since the epoch
    #[arg(long, value_name = "SECONDS", group = "revoked")]
    pub issued_before: Option<u64>,
    /// Everything of the access: the event is over
    #[arg(long, group = "revoked")]
    pub all: bool,
    /// For how long; default: as the node is configured
    #[arg(long = "for", value_name = "TIME", value_parser = value::time)]
    pub time: Option<Duration>,
    /// Which node
    #[command(flatten)]
    pub node: NodeArguments,
}

/// `weir session`
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct SessionArguments {
    /// The session: its 24 hexadecimal digits, the support code that the viewer tells, or its subject
    #[arg(value_name = "ID|CODE|SUBJECT")]
    pub what: String,
    /// The access whose subject it is
    #[arg(long, value_name = "NAME")]
    pub access: Option<String>,
    /// Say who else had the same
    #[arg(long)]
    pub others: bool,
    /// Erase what is kept of it; of a subject: of all its sessions
    #[arg(long, conflicts_with = "others")]
    pub erase: bool,
    /// Address of a node's admin API, once for each node that the viewer may have been on; default: the one in --config
    #[arg(long, env = "WEIR_ADMIN", value_name = "URL|unix:PATH", value_delimiter = ',')]
    pub admin: Vec<String>,
    /// File that holds a token for them
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// Authorities (PEM) that their certificates are judged by; default: the system's
    #[arg(long, value_name = "FILE")]
    pub admin_ca: Option<PathBuf>,
    /// The configuration that says where the admin API listens
    #[arg(long, default_value = "edge.toml", value_name = "FILE")]
    pub config: PathBuf,
    /// Print facts as JSON
    #[arg(long)]
    pub json: bool,
}

impl SessionArguments {
    /// Each node by itself.
    fn nodes(&self) -> Vec<NodeArguments> {
        let one = |admin: Option<&String>| NodeArguments {
            admin: admin.cloned(),
            admin_token_file: self.admin_token_file.clone(),
            admin_ca: self.admin_ca.clone(),
            config: self.config.clone(),
            json: self.json,
        };
        if self.admin.is_empty() { vec![one(None)] } else { self.admin.iter().map(|admin| one(Some(admin))).collect() }
    }
}

/// `weir origin`
#[derive(Args, Clone, Debug)]
pub struct OriginArguments {
    /// Its name in the configuration
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Whether it rests, or returns and gets its streams back
    #[arg(value_enum)]
    pub action: OriginAction,
    /// Which node
    #[command(flatten)]
    pub node: NodeArguments,
}

/// What an origin is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OriginAction {
    /// Others are asked in its place
    Rest,
    /// It is asked again
    Return,
}

/// `weir drain`
#[derive(Args, Clone, Debug)]
pub struct DrainArguments {
    /// When the last viewer must have left; shows how many are left until then
    #[arg(long, value_name = "TIME", value_parser = value::time, conflicts_with = "cancel")]
    pub by: Option<Duration>,
    /// Let viewers in again
    #[arg(long)]
    pub cancel: bool,
    /// Which node
    #[command(flatten)]
    pub node: NodeArguments,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to complain about.
    Good,
    /// Something was found, or a node could not be asked.
    Finding,
    /// The command was used wrongly.
    WrongUse,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Good => ExitCode::SUCCESS,
            Outcome::Finding => ExitCode::from(1),
            Outcome::WrongUse => ExitCode::from(2),
        }
    }
}

/// Runs a command to its end. Facts go to `out`, complaints to `complaints`.
///
/// # Errors
/// Where `out` or `complaints` cannot be written, or no runtime can be made.
pub fn run(tool: Tool, out: &mut dyn Write, complaints: &mut dyn Write) -> io::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let clock = Clock::system();
    match tool {
        Tool::Check(arguments) => runtime.block_on(check::run(&arguments, &clock, out)),
        Tool::Init(arguments) => runtime.block_on(init::run(&arguments, &clock, out, complaints)),
        Tool::Explain(arguments) => runtime.block_on(client::explain(&arguments, &clock, out, complaints)),
        Tool::Status(arguments) => runtime.block_on(client::status(&arguments, &clock, out, complaints)),
        Tool::Reload(arguments) => runtime.block_on(client::reload(&arguments, &clock, out, complaints)),
        Tool::Warm(arguments) => runtime.block_on(client::warm(&arguments, &clock, out, complaints)),
        Tool::Purge(arguments) => runtime.block_on(client::purge(&arguments, &clock, out, complaints)),
        Tool::Revoke(arguments) => runtime.block_on(sessions::revoke(&arguments, &clock, out, complaints)),
        Tool::Session(arguments) => runtime.block_on(story::session(&arguments, &clock, out, complaints)),
        Tool::Origin(arguments) => runtime.block_on(client::origin(&arguments, &clock, out, complaints)),
        Tool::Token(arguments) => runtime.block_on(token::run(&arguments, &clock, out, complaints)),
        Tool::Drain(arguments) => runtime.block_on(client::drain(&arguments, &clock, out, complaints)),
    }
}

#[cfg(test)]
mod command_line {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_has_an_example_and_the_arguments_are_sound() {
        let mut command = Arguments::command();
        command.clone().debug_assert();
        for command in command.get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            assert!(help.contains("Example: weir "), "{help}");
        }
    }

    #[test]
    fn wrong_use_is_told_from_asking_for_help() {
        let code = |line: &[&str]| Arguments::try_parse_from(line).map_err(|error| error.exit_code()).err();
        assert_eq!(code(&["weir", "check", "--strict"]), None);
        assert_eq!(code(&["weir", "--help"]), Some(0));
        assert_eq!(code(&["weir", "purge", "--all", "--soft", "--dry-run"]), None);
        assert_eq!(code(&["weir", "purge", "--stream", "one"]), None);
        for line in [
            &["weir"][..],
            &["weir", "chek"],
            &["weir", "check", "--jsn"],
            &["weir", "drain", "--by", "10"],
            &["weir", "drain", "--by", "10m", "--cancel"],
            &["weir", "explain"],
            &["weir", "explain", "/x", "-H", "no colon"],
            &["weir", "explain", "/x", "-H", "b d: x"],
            &["weir", "warm", "/x", "--for", "10"],
            &["weir", "purge"],
            &["weir", "purge", "--soft"],
            &["weir", "purge", "/x"],
            &["weir", "purge", "--url", "/x", "--all"],
            &["weir", "purge", "--stream", "one", "--tag", "news"],
            &["weir", "revoke", "--access", "a"],
            &["weir", "revoke", "--subject", "b"],
            &["weir", "revoke", "--access", "a", "--subject", "b", "--all"],
            &["weir", "revoke", "--access", "a", "--all", "--for", "7"],
            &["weir", "session"],
            &["weir", "origin", "primary"],
            &["weir", "origin", "primary", "sleep"],
            &["weir", "demo", "--http", "8080"],
        ] {
            assert_eq!(code(line), Some(2), "{line:?}");
        }
    }
}

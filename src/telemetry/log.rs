//! Logs for people: levels and form. Tokens, cookies and whole URLs are never logged by anybody.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Sends logs to standard error: lines for a terminal, JSON otherwise. `WEIR_LOG`, else `RUST_LOG`, filters them;
/// default: `info`. A second call changes nothing.
pub fn start() {
    let filter = std::env::var("WEIR_LOG").or_else(|_| std::env::var("RUST_LOG")).unwrap_or_else(|_| "info".to_owned());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_span_events(FmtSpan::NONE)
        .with_writer(std::io::stderr)
        .with_target(false);
    // Whoever embeds the node may have set up logging already; theirs stands.
    _ = if std::io::stderr().is_terminal() {
        builder.try_init()
    } else {
        builder.json().flatten_event(true).try_init()
    };
}

//! The configuration for an origin, short and commented.

use std::fmt::Write;
use std::path::PathBuf;

use super::ask::Site;
use super::found::{Found, Kind};

/// What viewers ask the node for, where the configuration of [`page`] runs.
pub(super) fn public(site: &Site) -> String {
    match base_path(site) {
        "" => site.target.clone(),
        base => site.target[base.len()..].to_owned(),
    }
}

/// A folder is put before every path; of a playlist, viewers ask by the path that it has.
fn base_path(site: &Site) -> &str {
    let path = site.path();
    if path.ends_with('/') { path.trim_end_matches('/') } else { "" }
}

/// The file.
pub(super) fn page(site: &Site, found: &Found, ca: Option<&PathBuf>) -> String {
    let mut text = format!(
        "# Weir in front of {base}, as `weir init` found it. `weir check` says what the node will do; the shipped\n\
         # edge.toml names every key.\n\n\
         [listen]\n\
         # Cleartext, IPv4 and IPv6. For TLS and HTTP/3 add: https = [\"[::]:8443\"], and [tls] with a certificate.\n\
         http = [\"[::]:8080\"]\n\n\
         [origins.primary]\n\
         url = {url}\n",
        base = site.base(),
        url = quoted(&format!("{}{}", site.base(), base_path(site))),
    );
    if let Some(ca) = ca {
        let whole = std::fs::canonicalize(ca).unwrap_or_else(|_| ca.clone());
        _ = writeln!(
            text,
            "# Its certificate comes from an authority of your own.\ntls = {{ ca = {} }}",
            quoted(&whole.display().to_string())
        );
    }
    if found.absent == Some(403) {
        text.push_str("# It says 403 for what does not exist. For a private bucket add auth = { aws_sigv4 = … }.\nmissing = [403]\n");
    }
    if found.wants_cookie {
        text.push_str("# It refuses who does not bring its cookie back.\ncookies = true\n");
    }
    let others = others(site, found);
    if !found.redirects.is_empty() {
        let hops = found.redirects.len();
        _ = writeln!(text, "# It redirects; the node follows to the origins of this file.\nredirects = {hops}");
    }
    for (number, other) in others.iter().enumerate() {
        _ = writeln!(text, "\n# Redirects lead here.\n[origins.redirect{}]\nurl = {}", number + 1, quoted(other));
    }
    let names = (1..=others.len()).map(|number| format!(", \"redirect{number}\"")).collect::<String>();
    let live = match (found.kind, &found.playlist) {
        (Kind::Multivariant | Kind::Media, Some(playlist)) if playlist.part_target_ms.is_some() => {
            "# A low-latency stream: its playlists are followed once for all viewers, and reloads are held here.\n"
        }
        (Kind::Multivariant | Kind::Media, _) => "# Its playlists are followed once for all viewers.\n",
        (Kind::Plain | Kind::Folder, _) => {
            "# Playlists are followed once for all viewers; all else is cached by RFC 9111.\n"
        }
    };
    _ = write!(
        text,
        "\n{live}[[route]]\nname = \"live\"\npath = \"/\"\n# Several are asked in this order.\norigins = [\"primary\"{names}]\n"
    );
    text
}

/// Where redirects lead beside the origin itself, each once.
fn others(site: &Site, found: &Found) -> Vec<String> {
    let mut others = Vec::new();
    for url in &found.redirects {
        let end = url.find("://").and_then(|scheme| Some(scheme + 3 + url[scheme + 3..].find('/')?));
        let base = url[..end.unwrap_or(url.len())].to_owned();
        if base != site.base() && !others.contains(&base) {
            others.push(base);
        }
    }
    others
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

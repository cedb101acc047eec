//! Whom the node tells what viewers experience, in sentences.

use crate::config::Config;
use crate::config::sinks::{Compression, Sink, To};
use crate::config::value::{rough_size, write_time};

/// A sentence for each sink, and what is said of them all.
pub(super) fn sentences(config: &Config) -> Vec<String> {
    let sinks = &config.qoe.sinks;
    let mut sentences: Vec<_> = sinks.iter().map(sink).collect();
    if !sinks.is_empty() && !config.qoe.enabled {
        sentences.push("Sinks are told nothing: `enabled` in [qoe] is false.".to_owned());
    } else if !sinks.is_empty() && config.node.state.is_none() {
        sentences.push("What sinks do not have is lost by a restart: `state` in [node] names no folder.".to_owned());
    }
    sentences
}

fn sink(sink: &Sink) -> String {
    let to = match &sink.to {
        To::Http(http) => {
            let packed = match http.compression {
                Compression::None => String::new(),
                Compression::Gzip | Compression::Zstd => {
                    format!(", compressed with {}", http.compression.coding().unwrap_or_default())
                }
            };
            // A query may hold a secret.
            let scheme = http.url.scheme_str().unwrap_or_default();
            let authority = http.url.authority().map(http::uri::Authority::as_str).unwrap_or_default();
            format!("{scheme}://{authority}{}{packed}", http.url.path())
        }
        To::Nats(nats) => {
            let servers: Vec<_> = nats.servers.iter().map(|server| server.url()).collect();
            format!("the subject {} of {}", nats.subject, servers.join(", "))
        }
        To::File(file) => {
            let (path, rotate) = (file.path.display(), rough_size(file.rotate));
            format!("{path}, of which {} earlier files of {rotate} are kept", file.keep)
        }
    };
    let what = match sink.events.is_empty() {
        true => "what viewers experience".to_owned(),
        false => sink.events.iter().copied().collect::<Vec<_>>().join(", "),
    };
    let (every, batch) = (write_time(sink.every), rough_size(sink.batch as u64));
    format!("Sink `{}` is told {what}, every {every} or {batch}: {to}.", sink.name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn each_sink_is_said_without_its_secrets() {
        let text = "[listen]\nhttp = [\"[::]:80\"]\n[origins.o]\nurl = \"http://o\"\n[[route]]\norigins = [\"o\"]\n\
                    [qoe.sinks.main]\ntype = \"http\"\nurl = \"https://qoe.example/in?key=s3cr3t\"\nevents = [\"node\", \"ended\"]\n\
                    [qoe.sinks.archive]\ntype = \"file\"\npath = \"/q.ndjson\"\n";
        let (config, _) = Config::parse(text, Path::new("/")).unwrap_or_else(|wrong| panic!("{wrong}"));
        assert_eq!(
            sentences(&config),
            [
                "Sink `main` is told ended, node, every 1s or 1 MiB: https://qoe.example/in, compressed with gzip.",
                "Sink `archive` is told what viewers experience, every 1s or 1 MiB: /q.ndjson, of which 8 earlier files \
                 of 256 MiB are kept.",
                "What sinks do not have is lost by a restart: `state` in [node] names no folder.",
            ]
        );
    }
}

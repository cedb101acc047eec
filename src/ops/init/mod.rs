//! `weir init`: asks one origin what it is, and writes a short commented configuration for it. Nothing is overwritten
//! unless that is wanted, and what is written passes `weir check`.

mod ask;
mod found;
mod look;
mod page;
#[cfg(test)]
mod tests;

use std::fs::OpenOptions;
use std::io::{self, Write};

use serde::Serialize;

use self::ask::Site;
use self::found::Found;
use super::{InitArguments, Outcome};
use crate::clock::Clock;

/// What `--json` prints.
#[derive(Serialize)]
struct Facts<'a> {
    file: String,
    #[serde(flatten)]
    found: &'a Found,
    sentences: Vec<String>,
    next: Vec<String>,
}

/// Probes an origin and writes a configuration for it.
///
/// # Errors
/// Where `out` or `complaints` cannot be written.
pub async fn run(
    arguments: &InitArguments,
    clock: &Clock,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> io::Result<Outcome> {
    let site = match Site::parse(&arguments.origin, arguments.ca.as_ref()) {
        Ok(site) => site,
        Err(why) => return complain(complaints, &why.to_string(), Outcome::WrongUse),
    };
    let file = arguments.out.display();
    if !arguments.force && arguments.out.exists() {
        let why = format!("{file} exists: write another with --out FILE, or replace it with --force");
        return complain(complaints, &why, Outcome::WrongUse);
    }
    let found = match look::look(&site, clock).await {
        Ok(found) => found,
        Err(why) => return complain(complaints, &why.to_string(), Outcome::Finding),
    };
    let text = page::page(&site, &found, arguments.ca.as_ref());
    let mut options = OpenOptions::new();
    // Whoever made the file meanwhile keeps it.
    let options = if arguments.force { options.create(true).truncate(true) } else { options.create_new(true) };
    let written = options.write(true).open(&arguments.out).and_then(|mut opened| opened.write_all(text.as_bytes()));
    if let Err(why) = written {
        return complain(complaints, &format!("{file} cannot be written: {why}"), Outcome::Finding);
    }
    let sentences = found.sentences(&site);
    let next = vec![
        format!("weir check --config {file}"),
        format!("weir serve --config {file}"),
        format!("http://localhost:8080{}", page::public(&site)),
    ];
    if arguments.json {
        let facts = Facts { file: file.to_string(), found: &found, sentences, next };
        writeln!(out, "{}", serde_json::to_string_pretty(&facts)?)?;
    } else {
        for sentence in sentences {
            writeln!(out, "{sentence}")?;
        }
        writeln!(out, "\nWrote {file}. Next: `{}`, then `{}`, and play {}", next[0], next[1], next[2])?;
    }
    Ok(Outcome::Good)
}

fn complain(complaints: &mut dyn Write, why: &str, outcome: Outcome) -> io::Result<Outcome> {
    writeln!(complaints, "weir: {why}")?;
    Ok(outcome)
}

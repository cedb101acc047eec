//! `weir check`: every problem of a configuration at once, and what the node would do with it.

use std::io::{self, Write};

use miette::Severity;
use serde::Serialize;

pub use super::picture::Colour;
use super::picture::Picture;
use super::probe::{self, Probe};
use super::summary::{self, Memory};
use super::{CheckArguments, Outcome};
use crate::clock::Clock;
use crate::config::{Config, Finding, Machine, Problems};

/// What `--json` prints.
#[derive(Serialize)]
struct Facts {
    file: String,
    good: bool,
    problems: Vec<Finding>,
    warnings: Vec<Finding>,
    summary: Vec<String>,
    memory: Option<Memory>,
    probes: Vec<Probe>,
}

/// Judges a configuration and prints the judgement.
///
/// # Errors
/// Where `out` cannot be written.
pub async fn run(arguments: &CheckArguments, clock: &Clock, out: &mut dyn Write) -> io::Result<Outcome> {
    let facts = match Config::load(&arguments.config) {
        Err(problems) => {
            if !arguments.json {
                write!(out, "{}", picture(&problems, Colour::of(&io::stdout())))?;
                return Ok(Outcome::Finding);
            }
            Facts {
                file: arguments.config.display().to_string(),
                good: false,
                problems: problems.problems,
                warnings: problems.warnings,
                summary: Vec::new(),
                memory: None,
                probes: Vec::new(),
            }
        }
        Ok((config, warnings)) => good(arguments, &config, warnings, clock).await,
    };
    if arguments.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&facts)?)?;
    } else {
        tell(arguments, &facts, out)?;
    }
    Ok(if facts.good { Outcome::Good } else { Outcome::Finding })
}

async fn good(arguments: &CheckArguments, config: &Config, warnings: Vec<Finding>, clock: &Clock) -> Facts {
    let machine = Machine::here();
    let mut probes = Vec::new();
    if arguments.probe {
        for origin in &config.origins {
            probes.push(probe::probe(origin, clock).await);
        }
    }
    let strict_enough = warnings.is_empty() || !arguments.strict;
    Facts {
        file: arguments.config.display().to_string(),
        good: strict_enough && probes.iter().all(Probe::is_good),
        problems: Vec::new(),
        warnings,
        summary: summary::sentences(config, &machine),
        memory: Some(Memory::of(config, &machine)),
        probes,
    }
}

/// Prints what was found in a configuration that works.
fn tell(arguments: &CheckArguments, facts: &Facts, out: &mut dyn Write) -> io::Result<()> {
    if !facts.warnings.is_empty() {
        let text = std::fs::read_to_string(&arguments.config).unwrap_or_default();
        let picture = Picture::of(&arguments.config, &text, Colour::of(&io::stdout()));
        for warning in &facts.warnings {
            writeln!(out, "{}", picture.draw(warning, Severity::Warning))?;
        }
    }
    for sentence in &facts.summary {
        writeln!(out, "{sentence}")?;
    }
    for probe in &facts.probes {
        writeln!(out, "{}", probe.sentence())?;
    }
    let verdict = match (facts.good, facts.warnings.len()) {
        (true, 0) => "good".to_owned(),
        (_, 0) => "an origin does not answer".to_owned(),
        (true, warnings) => format!("good, with {}", summary::count(warnings, "warning")),
        (false, warnings) => format!("not good: {}", summary::count(warnings, "warning")),
    };
    writeln!(out, "\n{}: {verdict}", facts.file)
}

/// All problems of a configuration, drawn one after the other, and their number.
pub fn picture(problems: &Problems, colour: Colour) -> String {
    let picture = Picture::of(&problems.file, &problems.text, colour);
    let mut drawing = String::new();
    for problem in &problems.problems {
        drawing += &picture.draw(problem, Severity::Error);
        drawing.push('\n');
    }
    for warning in &problems.warnings {
        drawing += &picture.draw(warning, Severity::Warning);
        drawing.push('\n');
    }
    let warnings = match problems.warnings.len() {
        0 => String::new(),
        warnings => format!(", {}", summary::count(warnings, "warning")),
    };
    let count = summary::count(problems.problems.len(), "problem");
    drawing + &format!("{}: {count}{warnings}\n", problems.file.display())
}

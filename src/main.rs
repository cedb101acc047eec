//! The `weir` command: arguments to a command, its result to an exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use weir::ops::{self, Arguments, Command, Outcome};

fn main() -> ExitCode {
    let (mut out, mut complaints) = (io::stdout().lock(), io::stderr().lock());
    let outcome = match Arguments::parse().command {
        Command::Demo(_) | Command::Serve(_) => {
            _ = writeln!(complaints, "weir: this build has no node");
            return Outcome::WrongUse.into();
        }
        Command::Tool(tool) => ops::run(tool, &mut out, &mut complaints),
    };
    match outcome {
        Ok(outcome) => outcome.into(),
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Outcome::Good.into(),
        Err(error) => {
            _ = writeln!(complaints, "weir: {error}");
            Outcome::Finding.into()
        }
    }
}

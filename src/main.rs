//! The `weir` command: arguments to a command, its result to an exit code.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use weir::ops::{self, Arguments, Command, DemoArguments, Outcome, ServeArguments};
use weir::telemetry::log;
use weir::{demo, node};

// Chunks of many sizes are made and freed on many threads: the system's allocator keeps what it should give back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Demo(arguments) => {
            log::start();
            ended(demo::run(&options(arguments)))
        }
        Command::Serve(arguments) => serve(&arguments),
        Command::Tool(tool) => match ops::run(tool, &mut io::stdout().lock(), &mut io::stderr().lock()) {
            Ok(outcome) => outcome.into(),
            // Whoever read the output has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Outcome::Good.into(),
            Err(error) => ended(Err(error)),
        },
    }
}

fn serve(arguments: &ServeArguments) -> ExitCode {
    match node::serve(&arguments.config) {
        Err(node::ServeError::Config(problems)) => {
            _ = write!(io::stderr(), "{}", ops::check::picture(&problems, ops::check::Colour::of(&io::stderr())));
            Outcome::Finding.into()
        }
        outcome => ended(outcome),
    }
}

fn options(arguments: DemoArguments) -> demo::Options {
    let DemoArguments { http, https, admin, origin, gated, no_open, json } = arguments;
    let browser = if no_open { demo::Browser::Leave } else { demo::Browser::Open };
    let print = if json { demo::Print::Json } else { demo::Print::Text };
    let audience = if gated { demo::Audience::Gated } else { demo::Audience::Everybody };
    demo::Options { http, https, admin, origin, browser, print, audience }
}

fn ended<E: std::error::Error>(outcome: Result<(), E>) -> ExitCode {
    match outcome {
        Ok(()) => Outcome::Good.into(),
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(source) = cause {
                text = format!("{text}: {source}");
                cause = source.source();
            }
            _ = writeln!(io::stderr(), "weir: {text}");
            Outcome::Finding.into()
        }
    }
}

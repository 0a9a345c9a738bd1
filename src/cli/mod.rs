//! Arguments in, exit code out. The only place that knows the terminal, the environment and the process.

mod arguments;
mod commands;
mod exit;
mod past;
mod snapshots;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

pub use arguments::{Arguments, Command};

/// Runs the program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match Arguments::try_parse_from(arguments) {
        Ok(arguments) => commands::run(arguments),
        Err(error) => {
            // clap writes help to stdout and errors to stderr by itself.
            let failed = error.use_stderr();
            let _ = error.print();
            if failed { exit::USAGE.into() } else { ExitCode::SUCCESS }
        }
    }
}

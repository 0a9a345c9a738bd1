//! The program: a runtime, and nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    provision::cli::run(std::env::args_os())
}

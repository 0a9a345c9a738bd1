//! A program's run, kept whole so that a failed assertion can show all of it.

use std::fmt;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What a program did.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Its command line.
    pub line: String,
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Ran {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
        writeln!(formatter, "{} ended with {code} after {:.1} s", self.line, self.took.as_secs_f64())?;
        writeln!(formatter, "--- stdout\n{}", self.stdout)?;
        write!(formatter, "--- stderr\n{}", self.stderr)
    }
}

impl Ran {
    /// Requires this exit code.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Requires exit code 0.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        self.expect(0)
    }

    /// Requires any other exit code than 0.
    #[track_caller]
    pub fn failed(self) -> Self {
        assert!(self.code != Some(0), "it should have failed: {self}");
        self
    }

    /// Requires a text in one of the two outputs.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.has(text), "{text:?} is not in the output of {self}");
        self
    }

    /// Whether a text is in one of the two outputs.
    pub fn has(&self, text: &str) -> bool {
        self.stdout.contains(text) || self.stderr.contains(text)
    }

    /// Standard output without white space around it.
    pub fn text(&self) -> &str {
        self.stdout.trim()
    }

    /// Exit code 0 as `Ok`, the whole run as the reason otherwise; for waiting.
    pub fn result(self) -> Result<Self, String> {
        if self.code == Some(0) { Ok(self) } else { Err(self.to_string()) }
    }

    pub(super) fn of(command: &Command, output: Output, started: Instant) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            line: line(command),
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            took: started.elapsed(),
        }
    }
}

fn line(command: &Command) -> String {
    let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
    format!("{} {}", command.get_program().to_string_lossy(), words.join(" "))
}

/// Runs a program to its end, with nothing to read.
pub fn run(command: &mut Command) -> Ran {
    run_with_input(command, b"")
}

/// Runs a program to its end with this standard input, which must fit into a pipe or be read before it writes.
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Ran {
    let started = Instant::now();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", line(command)));
    let mut pipe = child.stdin.take().expect("standard input is a pipe");
    // A program that reads nothing closes the pipe: its exit code tells the rest.
    let _ = pipe.write_all(input);
    drop(pipe);
    let output = child.wait_with_output().unwrap_or_else(|error| panic!("{}: {error}", line(command)));
    let ran = Ran::of(command, output, started);
    println!("{:7.1} s  {} -> {:?}", ran.took.as_secs_f64(), ran.line, ran.code);
    ran
}

//! Findings and advice while a cluster is built.

use crate::config::{At, Field, Findings, Position, Source, shown};

/// What was found so far.
pub(super) struct Checks {
    pub findings: Findings,
    pub advice: Vec<String>,
}

impl Checks {
    pub fn new(source: &Source) -> Self {
        Self { findings: Findings::none(source.clone()), advice: Vec::new() }
    }

    pub fn fail(&mut self, at: Position, message: impl Into<String>, help: impl Into<String>) {
        self.findings.push(at, message, help);
    }

    pub fn advise(&mut self, text: String) {
        self.advice.push(format!("advice: {text}"));
    }

    /// A value for which there is no default.
    pub fn required<'a, T>(&mut self, field: &'a Field<T>, at: Position, what: &str, help: &str) -> Option<&'a At<T>> {
        if field.is_missing() {
            self.fail(at, format!("{what} is missing"), help);
        }
        field.written()
    }

    /// A written text in a grammar; `None` for what is missing or wrong.
    pub fn grammar<'a>(
        &mut self,
        field: &'a Field<String>,
        what: &str,
        check: fn(&str) -> Result<(), &'static str>,
    ) -> Option<&'a str> {
        let written = field.written()?;
        match check(&written.value) {
            Ok(()) => Some(&written.value),
            Err(rule) => {
                self.fail(written.at, format!("{} is no {what}", shown(written)), rule);
                None
            }
        }
    }

    /// A written number within bounds; `None` for what is missing or wrong.
    pub fn number(&mut self, field: &Field<String>, what: &str, least: u32, most: u32) -> Option<u32> {
        let written = field.written()?;
        let digits = written.value.bytes().all(|byte| byte.is_ascii_digit());
        let number = written.value.parse().ok().filter(|number| digits && (least..=most).contains(number));
        if number.is_none() {
            self.fail(
                written.at,
                format!("{} is no {what}", shown(written)),
                format!("write a number from {least} to {most}"),
            );
        }
        number
    }

    /// A written port.
    pub fn port(&mut self, field: &Field<String>, what: &str) -> Option<u16> {
        self.number(field, what, 1, u32::from(u16::MAX)).and_then(|port| u16::try_from(port).ok())
    }
}

//! How one attempt to connect ended.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};
use serde_json::Value;

/// What came of a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The pod that was meant has answered.
    Answered,
    /// Nothing came back in time.
    Silent,
    /// Something said that nobody listens there.
    Refused,
    /// The way said that the packet is too long for it.
    TooLong,
    /// The way said that it leads nowhere.
    NoRoute,
    /// The name server did not answer.
    NameSilent,
    /// The name server does not know the name.
    NameUnknown,
    /// Another one answered than was meant: its name.
    Stranger(String),
    /// Anything else, in the words of whoever tried.
    Other(String),
}

/// What a resolver waits for an answer before it asks again (resolv.conf(5), `timeout`; also Go's own).
const LOOKUP_PATIENCE: Duration = Duration::from_secs(5);

/// So much of somebody else's words is kept.
const MOST_WORDS: usize = 200;

impl Outcome {
    /// Whether the connection works.
    pub fn works(&self) -> bool {
        *self == Self::Answered
    }

    /// Reads what a test pod says of its attempt to reach `wanted`: status and body of `netexec`'s `/dial`. The answer to
    /// `hostname` is the name of the pod that gave it.
    pub fn of_dial(status: u16, body: &[u8], wanted: &str) -> Self {
        let text = String::from_utf8_lossy(body);
        if status != 200 {
            return Self::of_words(&text);
        }
        let Ok(told) = serde_json::from_slice::<Value>(body) else { return Self::of_words(&text) };
        let last = |list: &str| told[list].as_array()?.last()?.as_str().map(str::to_owned);
        match (last("responses"), last("errors")) {
            (_, Some(error)) => Self::of_words(&error),
            (Some(name), None) => Self::of_name(&name, wanted),
            (None, None) => Self::Other("an empty answer".into()),
        }
    }

    /// Compares the name that was answered with the one that was meant.
    pub fn of_name(answered: &str, wanted: &str) -> Self {
        match answered.trim() {
            name if name == wanted => Self::Answered,
            name => Self::Stranger(shortened(name)),
        }
    }

    /// What a look-up says that ended like this after `took`. Go's resolver asks for addresses of IPv4 and of IPv6 at once and
    /// keeps the error that comes first: that the name has no address of IPv6, "no such host", where the other question is
    /// lost. But a lost question takes its time, and a name server that does not know a name says so at once.
    #[must_use]
    pub fn of_lookup(self, took: Duration) -> Self {
        if self == Self::NameUnknown && took >= LOOKUP_PATIENCE { Self::NameSilent } else { self }
    }

    /// Reads the words of Go's network library. Those of a look-up come first: they hold the words of its own connection.
    pub fn of_words(words: &str) -> Self {
        let says = |part: &str| words.contains(part);
        match () {
            () if says("lookup ") && says("no such host") => Self::NameUnknown,
            () if says("lookup ") => Self::NameSilent,
            () if says("connection refused") => Self::Refused,
            () if says("message too long") => Self::TooLong,
            () if says("no route to host") || says("network is unreachable") => Self::NoRoute,
            () if says("timeout") || says("Timeout") || says("deadline exceeded") => Self::Silent,
            () => Self::Other(shortened(words)),
        }
    }
}

/// An error repeats the request, which may be longer than a screen.
fn shortened(words: &str) -> String {
    let words = words.trim();
    match words.char_indices().nth(MOST_WORDS) {
        Some((end, _)) => format!("{}...", &words[..end]),
        None => words.to_owned(),
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered => formatter.write_str("answered"),
            Self::Silent => formatter.write_str("no answer"),
            Self::Refused => formatter.write_str("refused"),
            Self::TooLong => formatter.write_str("too long for the way"),
            Self::NoRoute => formatter.write_str("no route"),
            Self::NameSilent => formatter.write_str("no answer from the name server"),
            Self::NameUnknown => formatter.write_str("name unknown"),
            Self::Stranger(name) => write!(formatter, "answered by {name}"),
            Self::Other(words) => formatter.write_str(words),
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dial(status: u16, body: &str) -> Outcome {
        Outcome::of_dial(status, body.as_bytes(), "server-2")
    }

    #[test]
    fn answers_of_the_test_pods_are_understood() {
        let lookup = "host and/or port param are invalid. lookup kubernetes.default.svc.cluster.local.";
        for (status, body, outcome) in [
            (200, r#"{"responses":["server-2"]}"#.to_owned(), Outcome::Answered),
            (200, r#"{"responses":["server-1"]}"#.to_owned(), Outcome::Stranger("server-1".into())),
            (
                200,
                r#"{"errors":["Get \"http://10.42.1.3:8080/hostname\": dial tcp 10.42.1.3:8080: connect: connection refused"]}"#.to_owned(),
                Outcome::Refused,
            ),
            (
                200,
                r#"{"errors":["Get \"http://10.42.1.3:8080/hostname\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)"]}"#.to_owned(),
                Outcome::Silent,
            ),
            (
                200,
                r#"{"errors":["reading from udp connection failed. err:'read udp 10.42.0.2:4->10.42.1.3:8081: i/o timeout'"]}"#.to_owned(),
                Outcome::Silent,
            ),
            (
                200,
                r#"{"errors":["reading from udp connection failed. err:'read udp 10.42.0.2:4->10.42.1.3:8081: read: message too long'"]}"#.to_owned(),
                Outcome::TooLong,
            ),
            (200, r#"{"errors":["dial tcp 10.42.1.3:8080: connect: no route to host"]}"#.to_owned(), Outcome::NoRoute),
            (200, "{}".to_owned(), Outcome::Other("an empty answer".into())),
            (400, format!("{lookup} on 10.43.0.10:53: no such host\n"), Outcome::NameUnknown),
            (400, format!("{lookup} on 10.43.0.10:53: read udp: i/o timeout\n"), Outcome::NameSilent),
            (400, format!("{lookup} on 10.43.0.10:53: read: connection refused\n"), Outcome::NameSilent),
            (500, "broken".to_owned(), Outcome::Other("broken".into())),
        ] {
            assert_eq!(dial(status, &body), outcome, "{body}");
        }
    }

    #[test]
    fn a_name_is_unknown_only_where_no_question_was_lost() {
        let unknown = |seconds| Outcome::NameUnknown.of_lookup(Duration::from_secs(seconds));
        assert_eq!((unknown(0), unknown(4)), (Outcome::NameUnknown, Outcome::NameUnknown));
        assert_eq!((unknown(5), unknown(10)), (Outcome::NameSilent, Outcome::NameSilent));
        assert_eq!(Outcome::Answered.of_lookup(Duration::from_secs(10)), Outcome::Answered);
    }

    #[test]
    fn a_request_that_an_error_repeats_is_cut() {
        let Outcome::Other(words) = dial(500, &"x".repeat(40_000)) else { panic!("no words") };
        assert_eq!(words.len(), MOST_WORDS + 3);
    }
}

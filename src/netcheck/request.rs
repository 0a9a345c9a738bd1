//! What test pods are asked for: paths of `agnhost netexec`.

use std::fmt::Write as _;

use serde_json::Value;

/// Gives the pod's name.
pub const HOSTNAME: &str = "/hostname";
/// Gives the MTU of the pod's interface; container runtimes name it `eth0`.
pub const MTU_REQUEST: &str = "/shell?cmd=cat%20/sys/class/net/eth0/mtu";
/// Bytes of an IPv4 and a UDP header.
const IP_AND_UDP: u32 = 28;
/// So many bytes fill more than twenty full-size packets of an MTU of 1500.
const LONG_REQUEST: usize = 32 << 10;

/// One connection that a test pod shall try. Its target is the name of a pod, which the pod answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    protocol: &'static str,
    host: String,
    port: u16,
    size: Size,
}

/// How long a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Short,
    Long,
    /// As a datagram, this many bytes with its headers.
    Packet(u32),
}

impl Dial {
    /// A short request over TCP.
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self { protocol: "http", host: host.into(), port, size: Size::Short }
    }

    /// A request over TCP that takes many full-size packets; the answer is short, so that one direction is tested.
    #[must_use]
    pub fn long(mut self) -> Self {
        self.size = Size::Long;
        self
    }

    /// A short datagram.
    pub fn udp(host: impl Into<String>, port: u16) -> Self {
        Self { protocol: "udp", ..Self::tcp(host, port) }
    }

    /// A datagram that fills a packet of `mtu` bytes. The kernel sends what fits into the interface's MTU in one piece and
    /// forbids routers to cut it. The pod that gets it trims the spaces, so that its answer is short.
    #[must_use]
    pub fn filling(mut self, mtu: u32) -> Self {
        self.size = Size::Packet(mtu);
        self
    }

    fn request(&self) -> String {
        let name = HOSTNAME.trim_start_matches('/');
        match self.size {
            Size::Short => name.to_owned(),
            Size::Long => padded(name),
            Size::Packet(mtu) => format!("{name:<length$}", length = mtu.saturating_sub(IP_AND_UDP) as usize),
        }
    }

    /// The path that is asked of the pod.
    pub fn path(&self) -> String {
        let Self { protocol, host, port, .. } = self;
        format!("/dial?protocol={protocol}&host={}&port={port}&request={}", encoded(host), encoded(&self.request()))
    }
}

/// [`HOSTNAME`] in as many packets as [`Dial::long`] takes.
pub fn padded_hostname() -> String {
    padded(HOSTNAME)
}

fn padded(path: &str) -> String {
    format!("{path}?pad={}", "x".repeat(LONG_REQUEST))
}

/// Percent-encodes; a space is a plus, since there may be thousands of them.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => encoded.push('+'),
            byte if byte.is_ascii_alphanumeric() || b"-._".contains(&byte) => encoded.push(byte.into()),
            // Writing to a String cannot fail.
            byte => drop(write!(encoded, "%{byte:02X}")),
        }
    }
    encoded
}

/// Reads the answer to [`MTU_REQUEST`]; `None` where it is no number.
pub fn mtu_of(body: &[u8]) -> Option<u32> {
    let told: Value = serde_json::from_slice(body).ok()?;
    told["output"].as_str()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_fills_exactly_one_packet() {
        let dial = Dial::udp("10.42.1.3", 8081).filling(1450);
        assert_eq!(dial.request().len(), 1450 - 28);
        assert_eq!(dial.request().trim(), "hostname");
        assert!(dial.path().starts_with("/dial?protocol=udp&host=10.42.1.3&port=8081&request=hostname+++"));
    }

    #[test]
    fn a_long_request_fits_into_what_a_path_may_hold() {
        let path = Dial::tcp("10.42.1.3", 8080).long().path();
        assert!(path.starts_with("/dial?protocol=http&host=10.42.1.3&port=8080&request=hostname%3Fpad%3Dxxx"));
        assert!(path.len() < usize::from(u16::MAX) - 1, "the limit of a URI");
        assert!(http::Uri::try_from(path).is_ok());
    }

    #[test]
    fn the_mtu_is_read_from_the_shells_output() {
        assert_eq!(mtu_of(br#"{"output":"1450\n"}"#), Some(1450));
        assert_eq!(mtu_of(br#"{"error":"exit status 1","output":"cat: can't open"}"#), None);
        assert_eq!(mtu_of(b"404 page not found"), None);
    }
}

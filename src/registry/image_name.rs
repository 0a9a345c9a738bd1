//! An image's name in its parts.

use super::RegistryError;
use crate::state::ImageReference;

/// The hub's name in image names.
const HUB: &str = "docker.io";
/// Other names of it that people write.
const HUB_ALIASES: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];
/// Where the hub's API is.
const HUB_API: &str = "registry-1.docker.io";
const LONGEST_TAG: usize = 128;
const LONGEST_REPOSITORY: usize = 255;

/// Registry, repository and tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ImageName {
    /// As [`super::RegistryAccess::host`] names it.
    pub registry: String,
    pub repository: String,
    pub tag: String,
}

impl ImageName {
    /// Takes a name apart by Docker's rules: the first part is a registry if it has a dot or a colon or is `localhost`, a name
    /// without a registry is the hub's. A tag must be written: one that is left out would mean another image each month.
    pub fn parse(image: &ImageReference) -> Result<Self, RegistryError> {
        let wrong = |reason: &str| RegistryError::Name { image: image.clone(), reason: reason.into() };
        if image.0.contains('@') {
            return Err(wrong("it names a digest; write its tag, the digest is recorded at the first use"));
        }
        let tag = image.tag();
        let path = image.path().strip_suffix(tag).and_then(|path| path.strip_suffix(':'));
        let Some(repository) = path.filter(|_| !tag.is_empty()) else {
            return Err(wrong("it has no tag; write one, such as `:v1.34.1`"));
        };
        let registry = canonical(image.domain());
        let official = registry == HUB && !repository.contains('/');
        let repository = if official { format!("library/{repository}") } else { repository.to_owned() };
        if !is_host(registry) {
            return Err(wrong("its registry is not a host name with or without a port"));
        }
        if repository.len() > LONGEST_REPOSITORY || !repository.split('/').all(is_part_of_repository) {
            return Err(wrong(
                "its repository may hold lower-case letters, digits, and single `.`, `_` and `-` between them",
            ));
        }
        if tag.len() > LONGEST_TAG || !is_tag(tag) {
            return Err(wrong("its tag may hold letters, digits, `_`, `.` and `-`, at most 128 of them"));
        }
        Ok(Self { registry: registry.to_owned(), repository, tag: tag.to_owned() })
    }
}

/// One name for each registry.
pub(super) fn canonical(registry: &str) -> &str {
    if HUB_ALIASES.contains(&registry) { HUB } else { registry }
}

/// The host that answers for a registry.
pub(super) fn api_host(registry: &str) -> &str {
    if registry == HUB { HUB_API } else { registry }
}

fn is_host(registry: &str) -> bool {
    let (name, port) = match registry.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, port),
        _ => (registry, "1"),
    };
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    let named = address.map_or_else(|| name.split('.').all(label), |text| text.parse::<std::net::Ipv6Addr>().is_ok());
    named && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Words of letters and digits with separators (`.`, `_`, `__`, or any number of `-`) between them.
fn is_part_of_repository(part: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let separators = part.split(|letter: char| letter.is_ascii_alphanumeric()).filter(|run| !run.is_empty());
    let separated = |run: &str| matches!(run, "." | "_" | "__") || run.bytes().all(|byte| byte == b'-');
    let bytes = part.as_bytes();
    bytes.iter().copied().all(allowed)
        && edge(bytes.first())
        && edge(bytes.last())
        && separators.into_iter().all(separated)
}

fn is_tag(tag: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    tag.bytes().all(allowed) && !tag.starts_with(['.', '-'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ImageName, RegistryError> {
        ImageName::parse(&ImageReference(text.into()))
    }

    #[test]
    fn names_are_taken_apart_as_docker_does() {
        for (text, registry, repository, tag) in [
            ("busybox:1", "docker.io", "library/busybox", "1"),
            ("docker.io/library/haproxy:2.6.12", "docker.io", "library/haproxy", "2.6.12"),
            ("index.docker.io/haproxy:2", "docker.io", "library/haproxy", "2"),
            ("rancher/pause:3.6", "docker.io", "rancher/pause", "3.6"),
            ("localhost/pause:3.6", "localhost", "pause", "3.6"),
            ("registry.lab:5000/pause:3.10", "registry.lab:5000", "pause", "3.10"),
            ("registry.k8s.io/coredns/coredns:v1.12.1", "registry.k8s.io", "coredns/coredns", "v1.12.1"),
            ("[fd00::1]:5000/a__b/c-d.e:T_1", "[fd00::1]:5000", "a__b/c-d.e", "T_1"),
        ] {
            let name = parse(text).unwrap();
            assert_eq!(name, ImageName { registry: registry.into(), repository: repository.into(), tag: tag.into() });
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long = format!("busybox:{}", "1".repeat(129));
        for text in [
            "",
            ":1",
            "busybox",
            "registry.lab:5000/pause",
            "registry.lab:0/pause:1",
            "registry.lab:65536/pause:1",
            "registry.lab/Pause:1",
            "registry.lab//pause:1",
            "registry.lab/../pause:1",
            "registry.lab/pause/:1",
            "user@registry.lab/pause:1",
            "https://registry.lab/pause:1",
            "registry..lab/pause:1",
            "registry.lab/pause:1 2",
            "registry.lab/pause:-1",
            "registry.lab/pa?use:1",
            "registry.lab/pa%2fuse:1",
            "registry.lab/pause:1\n",
            "busybox@sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            &long,
        ] {
            assert!(matches!(parse(text), Err(RegistryError::Name { .. })), "{text}: {:?}", parse(text));
        }
    }
}

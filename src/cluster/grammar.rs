//! What texts of the file may look like. Nothing that passes means anything to a shell.

/// Fits, or the rule that it breaks.
type Fits = Result<(), &'static str>;

fn rule(holds: bool, rule: &'static str) -> Fits {
    if holds { Ok(()) } else { Err(rule) }
}

fn word(text: &str, others: &str) -> bool {
    !text.is_empty() && text.chars().all(|character| character.is_ascii_alphanumeric() || others.contains(character))
}

fn begins_and_ends_with_letter_or_digit(text: &str) -> bool {
    let alphanumeric = |character: Option<char>| character.is_some_and(|character| character.is_ascii_alphanumeric());
    alphanumeric(text.chars().next()) && alphanumeric(text.chars().next_back())
}

/// A name of a cluster.
pub(super) fn cluster_name(text: &str) -> Fits {
    let fits = text.len() <= 63 && word(text, "-_.") && begins_and_ends_with_letter_or_digit(text);
    rule(fits, "use letters, digits, `-`, `_` and `.`, at most 63, a letter or digit at both ends")
}

/// A login name (useradd(8)), also of the form `user@domain`.
pub(super) fn user(text: &str) -> Fits {
    let begins = text.starts_with(|character: char| character.is_ascii_alphabetic() || character == '_');
    rule(
        begins && text.len() <= 64 && word(text, "-_.@"),
        "use letters, digits, `-`, `_`, `.` and `@`, a letter or `_` at the beginning",
    )
}

/// A path on this machine.
pub(super) fn path(text: &str) -> Fits {
    let fits = |character: char| character.is_alphanumeric() || "/._-+@,=: ".contains(character);
    let rest = text.strip_prefix("~/").unwrap_or(text);
    let plain = !rest.is_empty() && rest.chars().all(fits) && !text.starts_with('-');
    rule(
        plain,
        "use letters, digits, blanks and any of `/._-+@,=:`; `~/` at the front is your home folder, variables are not expanded",
    )
}

/// A DNS name in lower case (RFC 1123 subdomain).
pub(super) fn dns_name(text: &str) -> Fits {
    let label = |label: &str| {
        let characters = label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        label.len() <= 63 && characters && begins_and_ends_with_letter_or_digit(label)
    };
    let fits = text.len() <= 253 && text.split('.').all(label);
    rule(
        fits,
        "use lower-case letters, digits and `-`, in parts of at most 63 with dots between them, a letter or digit at both ends of each",
    )
}

/// A network interface (15 characters are the kernel's limit).
pub(super) fn interface(text: &str) -> Fits {
    rule(
        text.len() <= 15 && word(text, "-_.:") && !text.starts_with('-'),
        "write the name of an interface such as `eth1`, at most 15 characters",
    )
}

/// Key of a label or taint: `name` or `prefix/name` (Kubernetes, "Syntax and character set").
pub(super) fn label_key(text: &str) -> Fits {
    const RULE: &str = "write `name` or `dns.prefix/name`; a name has at most 63 letters, digits, `-`, `_` and `.`, a letter or digit at both ends";
    let name = match text.split_once('/') {
        None => text,
        Some((prefix, name)) => {
            dns_name(prefix).map_err(|_| RULE)?;
            name
        }
    };
    rule(!name.is_empty() && label_value(name).is_ok(), RULE)
}

/// Value of a label or taint; it may be empty.
pub(super) fn label_value(text: &str) -> Fits {
    let fits = text.is_empty() || (text.len() <= 63 && word(text, "-_.") && begins_and_ends_with_letter_or_digit(text));
    rule(fits, "use at most 63 letters, digits, `-`, `_` and `.`, a letter or digit at both ends")
}

/// A name of the API in a certificate: a DNS name, `*.` allowed at the front.
pub(super) fn certificate_name(text: &str) -> Fits {
    let plain = text.strip_prefix("*.").unwrap_or(text).to_ascii_lowercase();
    dns_name(&plain).map_err(|_| "write an IP address or a DNS name such as `api.example.org`")
}

/// `host`, `host:port`, `host:port/path`, as names of images begin.
pub(super) fn registry(text: &str) -> Fits {
    const RULE: &str = "write the host as names of images begin, without `https://`: `registry.example:5000` or `registry.example/team`";
    let (host, path) = text.split_once('/').unwrap_or((text, ""));
    let (name, port) = host.split_once(':').unwrap_or((host, "443"));
    let port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    let dotted = host.contains(['.', ':']) || name == "localhost";
    let path = path.is_empty() && !text.ends_with('/') || path.split('/').all(path_part);
    rule(dns_name(name).is_ok() && port && dotted && path, RULE)
}

/// A part of an image's path (distribution specification, "name").
fn path_part(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    text.bytes().all(fits) && begins_and_ends_with_letter_or_digit(text)
}

/// A full name of an image with its tag.
pub(super) fn image(text: &str) -> Fits {
    if text.contains('@') {
        return Err("leave the digest out and write a tag: the digest that is met first is kept for every node");
    }
    const RULE: &str = "write name and tag, such as `registry.example:5000/team/pause:3.10`: lower-case letters, digits and `._-` between slashes";
    let (name, tag) =
        text.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).ok_or("write its tag too, such as `:3.10`")?;
    let begins = |first: char| first.is_ascii_alphanumeric() || first == '_';
    let tagged = tag.len() <= 128 && word(tag, "._-") && tag.starts_with(begins);
    let (domain, path) = match name.split_once('/') {
        Some((domain, path)) if domain.contains(['.', ':']) || domain == "localhost" => (Some(domain), path),
        _ => (None, name),
    };
    let domain = domain.is_none_or(|domain| registry(domain).is_ok());
    rule(tagged && domain && path.split('/').all(path_part), RULE)
}

/// An address of a site or a proxy: `http` or `https`, a host, perhaps user, password, port and path.
pub(super) fn site(text: &str) -> Fits {
    const RULE: &str = "write an address that begins with `https://` or `http://`, without blanks, `?` and `#`";
    let rest = text.strip_prefix("https://").or(text.strip_prefix("http://")).ok_or(RULE)?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (name, port) = host.split_once(':').unwrap_or((host, "443"));
    let port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%/+:@=,".contains(&byte));
    rule(dns_name(&name.to_ascii_lowercase()).is_ok() && port && plain(authority) && plain(path), RULE)
}

/// A flag of a program, without dashes in front.
pub(super) fn flag(text: &str) -> Fits {
    let fits = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    rule(
        fits && text.len() <= 100 && begins_and_ends_with_letter_or_digit(text),
        "write the flag without dashes in front: lower-case letters, digits and `-`",
    )
}

/// A name, a domain with a dot in front, an address or a range that is reached without a proxy.
pub(super) fn proxy_exception(text: &str) -> Fits {
    let fits = word(text, ".-:/") && !text.starts_with('-');
    rule(fits, "write a name, a domain such as `.example.org`, an address or a range such as `10.0.0.0/8`")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a shell would act on; no grammar lets it through.
    const SHELL: &[&str] = &[
        "$(reboot)",
        "`reboot`",
        "a;reboot",
        "a|b",
        "a&b",
        "a>b",
        "$HOME",
        "a\nb",
        "a'b",
        "a\"b",
        "a*",
        "a\\b",
        "!a",
        "{a,b}",
    ];

    type Check = fn(&str) -> Fits;

    #[test]
    fn nothing_for_a_shell_passes() {
        let checks: [Check; 13] = [
            cluster_name,
            user,
            path,
            dns_name,
            interface,
            label_key,
            label_value,
            certificate_name,
            registry,
            image,
            site,
            flag,
            proxy_exception,
        ];
        for check in checks {
            for text in SHELL {
                assert!(check(text).is_err(), "{text}");
            }
        }
    }

    #[test]
    fn what_people_write_passes() {
        let good: &[(Check, &[&str])] = &[
            (cluster_name, &["local", "prod.eu-1"]),
            (user, &["root", "ubuntu", "svc_rke", "admin@corp.example"]),
            (path, &["~/.ssh/id_rsa", "/home/a b/key", "keys/é.pem"]),
            (interface, &["eth0", "bond0.100", "enp3s0f1np1"]),
            (label_key, &["app", "example.org/tier", "node-role.kubernetes.io/ingress"]),
            (label_value, &["", "true", "a.b_c-d"]),
            (certificate_name, &["api.example.org", "*.example.org", "API"]),
            (registry, &["docker.io", "registry.example:5000", "10.0.0.1:5000/team/a", "localhost:5000"]),
            (image, &["rancher/pause:3.7", "haproxy:2.8", "r.example:5000/a/b_c:v1.2-x", "registry.k8s.io/pause:3.10"]),
            (site, &["https://dl.k8s.io/release", "http://user:p%40ss@10.0.0.1:8080/a/b", "https://x.example"]),
            (proxy_exception, &["10.0.0.0/8", ".example.org", "localhost"]),
        ];
        for (check, texts) in good {
            for text in *texts {
                assert_eq!(check(text), Ok(()), "{text}");
            }
        }
    }

    #[test]
    fn limits_hold() {
        assert!(label_value(&"a".repeat(64)).is_err());
        assert!(label_key(&format!("{}/a", "a".repeat(254))).is_err());
        assert!(label_key("/a").is_err() && label_key("a/").is_err() && label_key("a/b/c").is_err());
        assert!(interface("a-name-of-sixteen").is_err());
        assert!(path("~").is_err() && path("~root/key").is_err());
        assert!(cluster_name("-a").is_err());
        for text in ["https://r.example", "registry", "r.example:0", "r.example/", "r.example/A", "r.example//a", ""] {
            assert!(registry(text).is_err(), "{text}");
        }
        for text in ["pause", "pause:", "r.example:5000/pause", "Pause:1", "a//b:1", "a:b/c:1", "a:1@sha256:00", "/a:1"]
        {
            assert!(image(text).is_err(), "{text}");
        }
        for text in ["dl.k8s.io", "ftp://x.example", "https://", "https://x.example/?a", "https://x.example:99999"] {
            assert!(site(text).is_err(), "{text}");
        }
    }
}

//! What needs no site; the rest stands in `tests/it/download`.

use std::path::Path;

use super::checksum::parse;
use super::excerpt::{excerpt, looks_like_html};
use super::*;
use crate::base::{Digest, KubernetesVersion};
use crate::web::BaseUrl;

#[test]
fn the_default_folder_follows_the_variables() {
    let folder = |variables: &[(&str, &str)], system: &str| {
        default_folder(variables.iter().copied(), system).map(|path| path.display().to_string())
    };
    let home = ("HOME", "/home/me");
    assert_eq!(folder(&[home], "linux").as_deref(), Some("/home/me/.cache/provision"));
    assert_eq!(folder(&[home], "macos").as_deref(), Some("/home/me/Library/Caches/provision"));
    for system in ["linux", "macos"] {
        assert_eq!(folder(&[home, ("XDG_CACHE_HOME", "/c")], system).as_deref(), Some("/c/provision"));
    }
    assert_eq!(folder(&[("XDG_CACHE_HOME", "c"), home], "linux").as_deref(), Some("/home/me/.cache/provision"));
    assert_eq!(folder(&[("XDG_CACHE_HOME", ""), ("HOME", "")], "linux"), None);
}

#[test]
fn files_are_where_their_projects_publish_them() {
    let version = KubernetesVersion::parse("v1.34.1").unwrap();
    let base = |text| BaseUrl::parse(text).unwrap();
    let kubelet = kubernetes_file(&base(KUBERNETES_SITE), &version, "amd64", "kubelet");
    assert_eq!(kubelet.url.to_string(), "https://dl.k8s.io/release/v1.34.1/bin/linux/amd64/kubelet");
    let plugins = cni_plugins(&base(CNI_SITE), "v1.6.2", "arm64");
    let address =
        "https://github.com/containernetworking/plugins/releases/download/v1.6.2/cni-plugins-linux-arm64-v1.6.2.tgz";
    assert_eq!(plugins.url.to_string(), address);
    assert_eq!((plugins.to_string(), kubelet.to_string()), ("cni-plugins v1.6.2".into(), "kubelet v1.34.1".into()));
    for request in [kubelet, plugins] {
        let Checksum::Beside(checksum) = &request.checksum else { panic!("{request:?}") };
        assert_eq!(checksum.to_string(), format!("{}.sha256", request.url));
    }
}

#[test]
fn a_checksum_is_digits_or_a_line_of_sha256sum() {
    let digits = Digest::of("x").hexadecimal().to_owned();
    let upper = digits.to_uppercase();
    for text in [
        digits.clone(),
        format!("{digits}\n"),
        format!("  {digits}  "),
        format!("{digits}  kubelet\r\n"),
        format!("{digits} *a b.tgz\n"),
        format!("{upper}  kubelet"),
    ] {
        assert_eq!(parse(text.as_bytes()), Some(Digest::of("x")), "{text}");
    }
    for text in [
        String::new(),
        digits[1..].to_owned(),
        format!("{digits}0"),
        format!("sha256:{digits}"),
        format!("{digits} kubelet"),
        format!("{digits}  a\n{digits}  b\n"),
        format!("kubelet  {digits}"),
        format!("{digits}  {}", "a".repeat(5000)),
        "<html><title>Log in</title>".to_owned(),
    ] {
        assert_eq!(parse(text.as_bytes()), None, "{text}");
    }
    assert_eq!(parse(&[0xff; 64]), None);
}

#[test]
fn foreign_text_is_harmless_in_a_message() {
    let text = format!("<html>\r\n\t<b>\u{1b}[2Jx</b>\u{9b}{}", "y".repeat(100));
    let shown = excerpt(text.as_bytes());
    assert!(shown.starts_with("<html> <b>\u{fffd}[2Jx</b>\u{fffd}yyy"), "{shown}");
    assert_eq!(shown.chars().count(), 80);
    assert_eq!(excerpt(&[0xff, b'a']), "\u{fffd}a");
}

#[test]
fn pages_are_told_from_programs() {
    for page in ["<!DOCTYPE html>\n<html>", "\u{feff}\n <HTML lang=en>", "<html>"] {
        assert!(looks_like_html(page.as_bytes()), "{page}");
    }
    for other in ["\u{7f}ELF", "", "<?xml version='1.0'?>", "<!doctype"] {
        assert!(!looks_like_html(other.as_bytes()), "{other}");
    }
}

#[test]
fn a_cache_that_cannot_be_made_is_named() {
    let error = Cache::open(Path::new("/dev/null/cache")).unwrap_err().to_string();
    assert!(error.starts_with("creating /dev/null/cache/sha256: ") && error.contains("XDG_CACHE_HOME"), "{error}");
}

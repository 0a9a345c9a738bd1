//! The lab's registry and file server, and the ways to break them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::Lab;

/// The folder of the file server on its machine.
const FILES: &str = "/srv/lab/files";

/// A registry with TLS and credentials and a file server, filled with what the lab's bundles hold. It is one more
/// machine of the lab, `registry` to [`Lab::script`], and goes with it.
pub struct Registry<'a> {
    lab: &'a Lab,
    settings: BTreeMap<String, String>,
}

/// A port of the registry's machine that has both images and files, and what is wrong with it.
#[derive(Debug, Clone, Copy)]
pub enum Port {
    /// The certificate expired yesterday.
    Expired = 8444,
    /// What [`Registry::fail`] says.
    Flaky = 8445,
    /// Takes connections and never says a word.
    Silent = 8446,
    /// Ends TLS, takes the request and never answers it.
    Stalled = 8447,
    /// Answers everything with a page for people.
    Html = 8448,
    /// Nothing: a registry as the public ones are, with tokens and with bytes from another place. No files.
    Token = 8449,
    /// Gives 4 MiB a second on a connection.
    Slow = 8450,
    /// No TLS.
    Plain = 8480,
}

/// Where images and files can be asked for.
#[derive(Debug, Clone)]
pub struct Site {
    /// Address and port, as an image reference begins.
    pub registry: String,
    /// What `downloads.kubernetes` is to be.
    pub kubernetes: String,
    /// What `downloads.cni` is to be.
    pub cni: String,
}

impl<'a> Registry<'a> {
    /// Starts it with these Kubernetes versions, if it does not run already.
    pub(super) fn start_with(lab: &'a Lab, versions: &[&str]) -> Self {
        let ran = lab.command(&[&["registry", "up"], versions].concat()).succeeded();
        let settings = ran.stdout.lines().filter_map(|line| line.split_once(": "));
        Self { lab, settings: settings.map(|(key, value)| (key.to_owned(), value.to_owned())).collect() }
    }

    fn setting(&self, name: &str) -> &str {
        self.settings.get(name).unwrap_or_else(|| panic!("the lab names no {name}: {:?}", self.settings))
    }

    /// The ports that are right.
    pub fn site(&self) -> Site {
        Site {
            registry: self.setting("registry").into(),
            kubernetes: self.setting("kubernetes_base").into(),
            cni: self.setting("cni_base").into(),
        }
    }

    /// A port that is wrong.
    pub fn wrong(&self, port: Port) -> Site {
        let scheme = if matches!(port, Port::Plain) { "http" } else { "https" };
        let registry = format!("{}:{}", self.address(), port as u16);
        let base = |what: &str| format!("{scheme}://{registry}/{what}");
        Site { kubernetes: base("kubernetes"), cni: base("cni"), registry }
    }

    /// Its machine's address.
    pub fn address(&self) -> String {
        self.lab.address("registry")
    }

    /// Address and port by the name that hosts know, and this machine does not.
    pub fn by_name(&self) -> String {
        "registry.lab:5000".into()
    }

    /// The user that it lets in.
    pub fn user(&self) -> &str {
        self.setting("user")
    }

    /// The password that it was made with.
    pub fn password(&self) -> String {
        fs::read_to_string(self.setting("password_file")).expect("the registry's password")
    }

    /// The CA of all its certificates.
    pub fn ca(&self) -> PathBuf {
        self.setting("ca_file").into()
    }

    /// An HTTP proxy that reaches it.
    pub fn proxy(&self) -> &str {
        self.setting("proxy")
    }

    /// What answers as a network does that wants people to sign in, in the place of a proxy.
    pub fn html_proxy(&self) -> String {
        format!("http://{}:3129", self.address())
    }

    /// What went through the proxy.
    pub fn proxy_log(&self) -> String {
        self.run("journalctl -o cat -u tinyproxy")
    }

    /// What was asked of the registry and of the file server since the machine was started.
    pub fn log(&self) -> String {
        self.run("journalctl -o cat -u docker-registry; cat /var/log/nginx/access.log")
    }

    /// Stops the registry; the file server goes on.
    pub fn stop(&self) {
        self.run("systemctl stop docker-registry");
    }

    /// Starts it again.
    pub fn start(&self) {
        self.run("systemctl start docker-registry");
        self.lab.command(&["registry", "await"]).succeeded();
    }

    /// From now on it wants another password.
    pub fn change_password(&self, password: &str) {
        self.run(&format!("printf %s '{password}' >/etc/lab/password; lab-password"));
    }

    /// Makes a tag (`kube-proxy:v1.34.1`) mean the image that another one means.
    pub fn move_tag(&self, image: &str, to: &str) {
        let at = "docker://127.0.0.1:5001";
        self.skopeo(&format!(
            "copy --quiet --all --src-tls-verify=false --dest-tls-verify=false {at}/{to} {at}/{image}"
        ));
    }

    /// Takes a tag away.
    pub fn delete_tag(&self, image: &str) {
        self.skopeo(&format!("delete --tls-verify=false docker://127.0.0.1:5001/{image}"));
    }

    /// The next requests to [`Port::Flaky`] get this status, those after them what they ask for.
    pub fn fail(&self, status: u16, times: u32) -> Site {
        self.run(&format!("lab-flaky {status} {times}"));
        self.wrong(Port::Flaky)
    }

    /// Changes one byte in the middle of a file; its path is the one in the URL.
    pub fn damage_file(&self, path: &str) {
        let file = file(path);
        self.run(&format!(
            "at=$(($(stat -c %s {file}) / 2)); byte=$(od -An -tu1 -j $at -N 1 {file}); \
             printf \"\\\\x$(printf %02x $((byte ^ 1)))\" | dd of={file} bs=1 seek=$at conv=notrunc status=none"
        ));
    }

    /// Takes a file away; its path is the one in the URL.
    pub fn remove_file(&self, path: &str) {
        self.run(&format!("rm {}", file(path)));
    }

    /// Puts a text under a path of a URL.
    pub fn put_file(&self, path: &str, text: &str) {
        self.run(&format!("cat >{} <<'TEXT'\n{text}TEXT\n", file(path)));
    }

    fn skopeo(&self, arguments: &str) {
        self.run(&format!("skopeo --insecure-policy {arguments}"));
    }

    fn run(&self, script: &str) -> String {
        self.lab.script("registry", script)
    }
}

fn file(path: &str) -> String {
    Path::new(FILES).join(path.trim_start_matches('/')).to_string_lossy().into_owned()
}

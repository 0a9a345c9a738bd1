//! The lab's registry and file server: they are what they say, and can be broken as real ones break.

use std::fs;
use std::net::TcpStream;

use crate::harness::{Lab, Port, Ran, Registry, SECOND, Site, V1_34, until};

const KUBELET: &str = "/v1.34.1/bin/linux/amd64/kubelet";
const CNI: &str = "/v1.6.2/cni-plugins-linux-amd64-v1.6.2.tgz";
const KUBE_PROXY: &str = "kube-proxy:v1.34.1";
/// Reserved for texts: nobody has it.
const ELSEWHERE: &str = "192.0.2.1/443";

#[test]
fn a_host_without_a_way_out_pulls_from_the_labs_registry_with_credentials_and_its_ca() {
    let lab = Lab::prepared("1", V1_34);
    let registry = lab.registry();
    for route in ["dead", "none"] {
        lab.route("h1", route);
        lab.command(&["reboot", "h1"]).succeeded();
        let reaches = |to: &str| lab.try_script("h1", &format!("timeout 3 bash -c 'echo >/dev/tcp/{to}'"));
        reaches("registry.lab/5000").succeeded();
        reaches(ELSEWHERE).failed();
    }
    until("Docker after the reboot", 60 * SECOND, || lab.try_script("h1", "docker version").result());

    let image = format!("{}/{KUBE_PROXY}", registry.by_name());
    let id = || lab.try_script("h1", &format!("docker image inspect -f '{{{{.Id}}}}' {image}"));
    let own = format!("docker image inspect -f '{{{{.Id}}}}' registry.k8s.io/{KUBE_PROXY}");
    let own = lab.script("h1", &own);
    lab.script("h1", "docker image ls -q | sort -u | xargs docker image rm -f");
    id().failed();
    let pull = || lab.try_script("h1", &format!("docker pull --quiet {image}"));
    pull().failed().says("x509");
    lab.script("h1", &format!("mkdir -p /etc/docker/certs.d/{}", registry.by_name()));
    let ca = format!("/etc/docker/certs.d/{}/ca.crt", registry.by_name());
    lab.send("h1", &registry.ca(), &ca);
    pull().failed().says("no basic auth credentials");
    let login = format!(
        "echo '{}' | docker login -u {} --password-stdin {}",
        registry.password(),
        registry.user(),
        registry.by_name()
    );
    lab.script("h1", &login);
    pull().succeeded();
    assert_eq!(id().stdout, own, "the registry's image is not the bundle's");
}

#[test]
#[ignore = "a minute; what the lab itself can do, and `supply` meets the worst of these ports"]
fn the_registrys_machine_has_a_port_for_each_way_in_which_a_site_can_be_wrong() {
    let lab = Lab::none(V1_34);
    let registry = lab.registry();
    TcpStream::connect(registry.site().registry).expect("this machine reaches it");
    let ca = fs::read_to_string(registry.ca()).expect("the CA");
    assert_eq!(lab.script("registry", "cat /etc/lab/ca.crt"), ca);
    let ask = Ask { lab: &lab };

    ask.all_is_well(&registry.site());
    ask.the_files_are_the_bundles();
    ask.all_is_well(&registry.wrong(Port::Slow));
    ask.all_is_well(&registry.wrong(Port::Plain));
    ask.url("--cacert /etc/ssl/certs/ca-certificates.crt", &kubelet(&registry.site())).failed().says("certificate");
    ask.url("", &kubelet(&registry.wrong(Port::Expired))).failed().says("certificate has expired");
    ask.url("-m 3", &kubelet(&registry.wrong(Port::Silent))).expect(28);
    ask.url("-m 3 -v", &kubelet(&registry.wrong(Port::Stalled))).expect(28).says("SSL connection using");
    ask.status("", &kubelet(&registry.wrong(Port::Html)), "200").says("<html>");
    ask.url(&format!("-x {}", registry.html_proxy()), &kubelet(&registry.site())).failed();

    assert!(!registry.proxy_log().contains("CONNECT"), "{}", registry.proxy_log());
    ask.status(&format!("-x {}", registry.proxy()), &kubelet(&registry.site()), "200");
    assert!(registry.proxy_log().contains("CONNECT"), "{}", registry.proxy_log());
    ask.it_fails_three_times(&registry);
    ask.tokens_and_redirects_work(&registry.wrong(Port::Token));
    assert!(registry.log().contains("/v2/kube-proxy/manifests/"), "{}", registry.log());
}

#[test]
#[ignore = "a minute; what the lab itself can do"]
fn the_labs_registry_can_be_stopped_and_what_it_holds_can_be_changed() {
    let lab = Lab::none(V1_34);
    let registry = lab.registry();
    let ask = Ask { lab: &lab };
    let site = registry.site();

    registry.stop();
    ask.url("", &format!("https://{}/v2/", site.registry)).expect(7);
    registry.start();
    let known = ask.digest(&site, KUBE_PROXY);
    assert_ne!(known, ask.digest(&site, "kube-scheduler:v1.34.1"));
    registry.move_tag(KUBE_PROXY, "kube-scheduler:v1.34.1");
    assert_eq!(ask.digest(&site, KUBE_PROXY), ask.digest(&site, "kube-scheduler:v1.34.1"));
    registry.delete_tag("pause:3.10.1");
    ask.status(CREDENTIALS, &manifest(&site, "pause:3.10.1"), "404").says("MANIFEST_UNKNOWN");

    let published = ask.url("", &format!("{}.sha256", kubelet(&site))).succeeded();
    assert_eq!(ask.sha256(&kubelet(&site)), published.text());
    registry.damage_file(&format!("kubernetes{KUBELET}"));
    assert_ne!(ask.sha256(&kubelet(&site)), published.text());
    registry.remove_file(&format!("cni{CNI}"));
    ask.status("", &format!("{}{CNI}", site.cni), "404");

    // A call again keeps what is there; the machine's restart does as well.
    lab.command(&["reboot", "registry"]).succeeded();
    ask.status("", &format!("{}{CNI}", lab.registry().site().cni), "404");
    registry.change_password("another");
    let with = |password: &str| format!("{ACCEPT} -u {}:{password}", registry.user());
    ask.status(&with(&registry.password()), &manifest(&site, KUBE_PROXY), "401");
    ask.status(&with("another"), &manifest(&site, KUBE_PROXY), "200");
}

#[test]
#[ignore = "a minute; what the lab itself can do"]
fn a_killed_call_for_the_registry_is_completed_by_the_next_and_down_leaves_nothing() {
    let lab = Lab::none(V1_34);
    lab.registry();
    lab.command(&["registry", "down"]).succeeded();
    assert!(!lab.has_host("registry"), "it is still there");
    lab.kill_when(&["registry"], "the registry to be made", || lab.has_host("registry"));
    Ask { lab: &lab }.all_is_well(&lab.registry().site());
    lab.command(&["registry", "down"]).succeeded();
    assert!(!lab.folder().join("registry").exists(), "its folder is left");
}

/// What clients of today take.
const ACCEPT: &str = "-H 'Accept: application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json'";
/// The credentials as the machine itself has them.
const CREDENTIALS: &str = r#"-u "$(cat /etc/lab/user):$(cat /etc/lab/password)""#;

fn kubelet(site: &Site) -> String {
    format!("{}{KUBELET}", site.kubernetes)
}

fn manifest(site: &Site, image: &str) -> String {
    let scheme = if site.kubernetes.starts_with("https") { "https" } else { "http" };
    let (name, tag) = image.split_once(':').expect("an image has a tag");
    format!("{scheme}://{}/v2/{name}/manifests/{tag}", site.registry)
}

/// Asks with curl on the registry's own machine: hosts are too bare for it.
struct Ask<'a> {
    lab: &'a Lab,
}

impl Ask<'_> {
    fn url(&self, options: &str, url: &str) -> Ran {
        self.lab.try_script("registry", &format!("curl -sS -m 60 --cacert /etc/lab/ca.crt {options} '{url}'"))
    }

    /// The answer's status and body; big ones are cut.
    #[track_caller]
    fn status(&self, options: &str, url: &str, status: &str) -> Ran {
        let ran = self.url(&format!("{options} -r 0-999 -w '\\n%{{http_code}}'"), url).succeeded();
        let code = ran.text().lines().last().unwrap_or_default().replace("206", "200");
        assert_eq!(code, status, "{ran}");
        ran
    }

    fn sha256(&self, url: &str) -> String {
        let script = format!("curl -sSf --cacert /etc/lab/ca.crt '{url}' | sha256sum | cut -d' ' -f1");
        self.lab.script("registry", &script).trim().to_owned()
    }

    /// The digest that a tag means, which is that of its index.
    fn digest(&self, site: &Site, image: &str) -> String {
        let ran = self.url(&format!("-f -I {ACCEPT} {CREDENTIALS}"), &manifest(site, image)).succeeded();
        let line = ran.stdout.lines().find(|line| line.to_lowercase().starts_with("docker-content-digest:"));
        line.unwrap_or_else(|| panic!("no digest in {ran}")).to_owned()
    }

    #[track_caller]
    fn all_is_well(&self, site: &Site) {
        self.status("", &manifest(site, KUBE_PROXY), "401").says("UNAUTHORIZED");
        self.status("-u lab:wrong", &manifest(site, KUBE_PROXY), "401").says("UNAUTHORIZED");
        let options = format!("{ACCEPT} {CREDENTIALS}");
        self.status(&options, &manifest(site, KUBE_PROXY), "200").says("manifest.list.v2+json");
        self.status("", &kubelet(site), "200");
        self.status("", &format!("{}{CNI}.sha256", site.cni), "200").says("  cni-plugins-linux-amd64-v1.6.2.tgz");
    }

    /// Whole, and put together from parts as an interrupted download is.
    fn the_files_are_the_bundles(&self) {
        let files = self.lab.bundle(V1_34).join("index.json");
        let index = fs::read_to_string(files).expect("the bundle's index");
        let site = self.lab.registry().site();
        let sha256 = self.sha256(&kubelet(&site));
        assert!(index.contains(&sha256), "{sha256} is not in {index}");
        let script = format!(
            "ask() {{ curl -sSf --cacert /etc/lab/ca.crt -r $1 '{}'; }}; {{ ask 0-999999; ask 1000000-; }} | sha256sum",
            kubelet(&site)
        );
        assert!(self.lab.script("registry", &script).starts_with(&sha256), "parts are not the whole");
    }

    fn it_fails_three_times(&self, registry: &Registry<'_>) {
        for status in [429, 500] {
            let site = registry.fail(status, 3);
            for _ in 0..3 {
                self.status("", &kubelet(&site), &status.to_string());
            }
            self.all_is_well(&site);
        }
    }

    /// As clients do it that know only what the answers say.
    fn tokens_and_redirects_work(&self, site: &Site) {
        let told = self.url("-i", &manifest(site, KUBE_PROXY)).succeeded().says("scope=\"repository:kube-proxy:pull\"");
        let realm = told.stdout.split('"').nth(1).unwrap_or_else(|| panic!("no realm in {told}")).to_owned();
        self.status("", &realm, "401");
        let token = self.status(CREDENTIALS, &realm, "200").stdout;
        let token = token.split('"').nth(3).expect("a token").to_owned();
        let header = format!(
            "-H 'Authorization: Bearer {token}' -H 'Accept: application/vnd.docker.distribution.manifest.v2+json'"
        );
        let ran = self.url(&header, &manifest(site, KUBE_PROXY)).succeeded();
        let digest = ran
            .stdout
            .split('"')
            .find(|word| word.starts_with("sha256:"))
            .unwrap_or_else(|| panic!("{ran}"))
            .to_owned();
        let blob = manifest(site, KUBE_PROXY).replace("/manifests/v1.34.1", &format!("/blobs/{digest}"));
        self.status("", &blob, "401");
        // Curl gives the token to the first place only, as it must be.
        let script = format!("curl -sSfL --cacert /etc/lab/ca.crt {header} '{blob}' | sha256sum");
        let bytes = self.lab.script("registry", &script);
        assert_eq!(bytes.split(' ').next(), digest.strip_prefix("sha256:"), "the blob's bytes");
    }
}

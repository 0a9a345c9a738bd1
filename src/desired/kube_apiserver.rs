//! kube-apiserver with its policies: audit, admission, encryption at rest.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::DesiredError;
use super::etcd::client_url;
use super::input::Site;
use super::part::{CIPHER_SUITES, Part, ROOT, SSL, System, certificate, key, pair, reads, writes, yaml};
use crate::base::Secret;
use crate::cluster::PodSecurity;
use crate::release::PodSecurityMechanism;
use crate::state::{Component, Content, Owner};

const AUDIT_LOG: &str = "/var/log/kube-audit";
const AUDIT_POLICY: &str = include_str!("../../templates/kube-apiserver/audit-policy.yaml");
/// Seconds in which the API proxies see that this apiserver is going: their checks are one second apart, and the second
/// failed one counts. The same as HAProxy's `inter` and `fall`, with room.
const SHUTDOWN_DELAY: i64 = 5;
/// The same of an apiserver that does not take itself out of the Service `kubernetes`: pods are sent to it until its lease is
/// over (15 s after it was renewed), another apiserver has looked (every 10 s) and kube-proxy has followed (1 s).
const STALE_ENDPOINT_DELAY: i64 = 28;

pub(super) fn part(site: &Site<'_>) -> Result<Part, DesiredError> {
    let mut part = Part::new(Component::KubeApiserver);
    let certificates = certificates(site, &mut part)?;
    let admission = admission(site)?;
    let policies = part.sealed(vec![("admission.yaml", admission.clone()), ("audit-policy.yaml", AUDIT_POLICY.into())]);
    part.copy("admission.yaml", Content::Text(admission));
    part.copy("audit-policy.yaml", Content::Text(AUDIT_POLICY.into()));
    part.copy("encryption.yaml", Content::Secret(encryption(site)?));
    part.directory(AUDIT_LOG, Owner::ROOT, 0o700);
    let delay = shutdown_delay(site);
    let system = System {
        component: Component::KubeApiserver,
        image: &site.release.images.kube_apiserver,
        entrypoint: "/usr/local/bin/kube-apiserver".into(),
        arguments: arguments(site, &certificates, &policies, delay),
        mounts: vec![reads(certificates), reads(policies), writes(AUDIT_LOG)],
        stop_timeout_seconds: delay + site.release.apiserver_stop_margin_seconds,
    };
    part.container = Some(system.spec(site)?);
    Ok(part)
}

/// Waiting for clients to go elsewhere makes sense only where there is an elsewhere.
fn shutdown_delay(site: &Site<'_>) -> i64 {
    match site.cluster.control_planes().count() {
        0 | 1 => 0,
        _ if site.release.leaves_stale_endpoint => STALE_ENDPOINT_DELAY,
        _ => SHUTDOWN_DELAY,
    }
}

fn certificates(site: &Site<'_>, part: &mut Part) -> Result<String, DesiredError> {
    let identities = site.control_plane()?;
    let service_account = &site.bundle.service_account;
    let mut files = vec![
        ("ca.crt", certificate(&site.bundle.cluster_authority)),
        ("etcd-ca.crt", certificate(&site.bundle.etcd_authority)),
        ("front-proxy-ca.crt", certificate(&site.bundle.front_proxy_authority)),
        ("service-account.key", key(&service_account.private)),
        ("service-account.pub", Content::Text(service_account.public.clone())),
        ("encryption.yaml", Content::Secret(encryption(site)?)),
    ];
    files.extend(pair(["apiserver.crt", "apiserver.key"], &identities.apiserver));
    files.extend(pair(["etcd-client.crt", "etcd-client.key"], &identities.apiserver_etcd_client));
    files.extend(pair(["kubelet-client.crt", "kubelet-client.key"], &identities.apiserver_kubelet_client));
    files.extend(pair(["front-proxy-client.crt", "front-proxy-client.key"], &identities.front_proxy_client));
    Ok(part.certificates(files))
}

/// Every flag that CIS 1.2 asks for, and what this design adds, in the order of the Kubernetes reference.
fn arguments(site: &Site<'_>, certificates: &str, policies: &str, delay: i64) -> Vec<String> {
    let mut arguments = general_arguments(site, delay);
    arguments.extend(policy_arguments(site, certificates, policies));
    arguments.extend(certificate_arguments(site, certificates));
    arguments
}

fn general_arguments(site: &Site<'_>, delay: i64) -> Vec<String> {
    let network = &site.cluster.network;
    let (first, last) = site.cluster.node_port_range;
    vec![
        format!("--advertise-address={}", site.node.internal_address),
        // The controller-manager beside it uses loopback, everybody else the internal address.
        "--bind-address=0.0.0.0".into(),
        "--secure-port=6443".into(),
        "--allow-privileged=true".into(),
        format!("--etcd-servers={}", etcd_servers(site)),
        "--storage-backend=etcd3".into(),
        format!("--service-cluster-ip-range={}", network.service_cidr),
        format!("--service-node-port-range={first}-{last}"),
        "--kubelet-preferred-address-types=InternalIP,ExternalIP,Hostname".into(),
        "--profiling=false".into(),
        format!("--shutdown-delay-duration={delay}s"),
    ]
}

/// The member of the same node first: an apiserver stays on the first that answers.
fn etcd_servers(site: &Site<'_>) -> String {
    let (own, others): (Vec<_>, Vec<_>) = site.cluster.etcd_members().partition(|member| member.name == site.node.name);
    let urls: Vec<String> = own.into_iter().chain(others).map(client_url).collect();
    urls.join(",")
}

fn policy_arguments(site: &Site<'_>, certificates: &str, policies: &str) -> Vec<String> {
    vec![
        "--anonymous-auth=false".into(),
        "--authorization-mode=Node,RBAC".into(),
        format!("--enable-admission-plugins={}", site.release.admission_plugins.join(",")),
        format!("--admission-control-config-file={policies}/admission.yaml"),
        format!("--audit-policy-file={policies}/audit-policy.yaml"),
        format!("--audit-log-path={AUDIT_LOG}/audit.log"),
        "--audit-log-format=json".into(),
        // Whichever comes first: 30 days, or ten files of 100 MB.
        "--audit-log-maxage=30".into(),
        "--audit-log-maxbackup=10".into(),
        "--audit-log-maxsize=100".into(),
        "--audit-log-mode=blocking".into(),
        "--audit-log-truncate-enabled=true".into(),
        format!("--encryption-provider-config={certificates}/encryption.yaml"),
    ]
}

fn certificate_arguments(site: &Site<'_>, certificates: &str) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={certificates}/{name}");
    vec![
        file("tls-cert-file", "apiserver.crt"),
        file("tls-private-key-file", "apiserver.key"),
        format!("--tls-cipher-suites={}", CIPHER_SUITES.join(",")),
        "--tls-min-version=VersionTLS12".into(),
        file("client-ca-file", "ca.crt"),
        file("etcd-cafile", "etcd-ca.crt"),
        file("etcd-certfile", "etcd-client.crt"),
        file("etcd-keyfile", "etcd-client.key"),
        file("kubelet-certificate-authority", "ca.crt"),
        file("kubelet-client-certificate", "kubelet-client.crt"),
        file("kubelet-client-key", "kubelet-client.key"),
        file("proxy-client-cert-file", "front-proxy-client.crt"),
        file("proxy-client-key-file", "front-proxy-client.key"),
        file("requestheader-client-ca-file", "front-proxy-ca.crt"),
        "--requestheader-allowed-names=front-proxy-client".into(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
        "--requestheader-group-headers=X-Remote-Group".into(),
        "--requestheader-username-headers=X-Remote-User".into(),
        format!("--service-account-issuer=https://kubernetes.default.svc.{}", site.cluster.network.domain),
        file("service-account-key-file", "service-account.pub"),
        file("service-account-signing-key-file", "service-account.key"),
        "--service-account-lookup=true".into(),
    ]
}

/// Admission plugins' configuration, one file for all.
fn admission(site: &Site<'_>) -> Result<String, DesiredError> {
    let level = site.cluster.pod_security.as_str();
    // Beside PodSecurityPolicy, which fills settings in, this plugin only tells: it looks at pods before that.
    let enforce = match site.release.pod_security {
        PodSecurityMechanism::Policy => PodSecurity::Privileged.as_str(),
        PodSecurityMechanism::Admission => level,
    };
    let value = json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [
            {
                "name": "EventRateLimit",
                "configuration": {
                    "apiVersion": "eventratelimit.admission.k8s.io/v1alpha1",
                    "kind": "Configuration",
                    "limits": [{ "type": "Server", "qps": 5000, "burst": 20000 }],
                },
            },
            {
                "name": "PodSecurity",
                "configuration": {
                    "apiVersion": site.release.pod_security_configuration,
                    "kind": "PodSecurityConfiguration",
                    "defaults": {
                        "enforce": enforce, "enforce-version": "latest",
                        "audit": level, "audit-version": "latest",
                        "warn": level, "warn-version": "latest",
                    },
                    "exemptions": { "usernames": [], "runtimeClasses": [], "namespaces": ["kube-system"] },
                },
            },
        ],
    });
    yaml(&format!("{ROOT}/admission.yaml"), &value)
}

/// No `identity` provider: on a new cluster nothing was ever stored in plain text, and nothing that is may be believed.
fn encryption(site: &Site<'_>) -> Result<Secret, DesiredError> {
    let encryption = &site.bundle.encryption;
    let value = json!({
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [{
            "resources": ["secrets"],
            "providers": [{
                "secretbox": { "keys": [{ "name": encryption.name, "secret": STANDARD.encode(encryption.key.expose()) }] },
            }],
        }],
    });
    let path = format!("{SSL}/{}/encryption.yaml", Component::KubeApiserver);
    Ok(Secret::new(yaml(&path, &value)?))
}

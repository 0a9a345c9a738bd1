use super::*;
use crate::base::{Digest, Secret};
use crate::cluster::{Cluster, NetworkPlugin, Node, Roles, fixture};

const NOW: i64 = 1_795_000_000;
const DAY: i64 = 86_400;

/// Counts instead of guessing; keys are real, because certificates are compared by content.
struct CountingMaker(u8);

impl KeyMaker for CountingMaker {
    fn p256(&mut self) -> Result<Secret, KeyMakerError> {
        let key = rcgen::KeyPair::generate().map_err(|error| KeyMakerError(error.to_string()))?;
        Ok(Secret::new(key.serialize_pem()))
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), KeyMakerError> {
        self.0 = self.0.wrapping_add(1);
        buffer.fill(self.0);
        Ok(())
    }
}

fn node(number: u8, control_plane: bool) -> Node {
    let roles = Roles { control_plane, etcd: control_plane, worker: true };
    Node { address: format!("h{number}.example.org"), ..fixture::node(number, roles) }
}

fn cluster() -> Cluster {
    let sans = vec!["api.example.org".into()];
    Cluster { sans, ..fixture::cluster(vec![node(1, true), node(2, false)], NetworkPlugin::None) }
}

fn run(cluster: &Cluster, renewal: Renewal, stored: &Material, now: i64) -> Result<Completion, PkiError> {
    complete(&PkiRequest { cluster, renewal }, stored, now, &mut CountingMaker(0))
}

fn fresh() -> Material {
    run(&cluster(), Renewal::Make, &Material::new(), NOW).unwrap().material
}

fn name(text: &str) -> MaterialName {
    MaterialName::parse(text).unwrap()
}

fn read(material: &Material, text: &str) -> certificate::Certificate {
    certificate::Certificate::read(material[&name(text)].certificate.as_deref().unwrap()).unwrap()
}

#[test]
fn a_new_cluster_gets_everything_and_a_second_call_changes_nothing() {
    let first = run(&cluster(), Renewal::Make, &Material::new(), NOW).unwrap();
    // Three authorities, the service account's and the encryption key, 13 leaves of a control plane, 4 of a worker, and
    // that of metrics-server.
    assert_eq!(first.made.len(), 3 + 2 + 13 + 4 + 1);
    assert_eq!(first.bundle.encryption.name, "k20261118");
    assert_eq!(first.bundle.encryption.key.expose().len(), 32);
    for renewal in [Renewal::Make, Renewal::Renew] {
        let second = run(&cluster(), renewal, &first.material, NOW + DAY).unwrap();
        assert_eq!(second.material, first.material);
        assert_eq!((second.made.len(), second.renewals.len(), second.expiring().count()), (0, 0, 0));
        assert_eq!(second.bundle, first.bundle);
    }
}

#[test]
fn the_apiserver_is_named_by_every_way_to_reach_it() {
    let names: Vec<_> =
        read(&fresh(), "node/h1/apiserver").profile.names.iter().map(AlternativeName::to_string).collect();
    let expected = [
        "10.0.0.1",
        "10.43.0.1",
        "127.0.0.1",
        "api.example.org",
        "h1",
        "h1.example.org",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
    ];
    assert_eq!(names, expected);
}

#[test]
fn subjects_are_those_that_kubernetes_authorizes() {
    let material = fresh();
    for (leaf, subject) in [
        ("node/h2/kubelet-client", "CN=system:node:h2, O=system:nodes"),
        ("node/h2/kubelet-server", "CN=system:node:h2, O=system:nodes"),
        ("node/h2/kube-proxy", "CN=system:kube-proxy"),
        ("node/h2/api-proxy", "CN=provision:api-proxy:h2"),
        ("node/h1/etcd-server", "CN=h1"),
        ("node/h1/controller-manager", "CN=system:kube-controller-manager"),
        ("node/h1/local-admin", "CN=provision:local-admin:h1, O=provision:admins"),
        ("authority/etcd", "CN=etcd-ca"),
    ] {
        assert_eq!(read(&material, leaf).profile.subject.to_string(), subject, "{leaf}");
    }
}

#[test]
fn each_leaf_is_signed_by_its_own_authority_only() {
    let material = fresh();
    let signed =
        |leaf: &str, authority: &str| read(&material, leaf).require_issuer(&read(&material, authority)).is_ok();
    assert!(signed("node/h1/apiserver-etcd-client", "authority/etcd"));
    assert!(!signed("node/h1/apiserver-etcd-client", "authority/cluster"));
    assert!(signed("node/h1/front-proxy-client", "authority/front-proxy"));
    assert!(!signed("node/h1/kubelet-client", "authority/etcd"));
}

#[test]
fn a_lost_authority_is_never_made_again_over_its_leaves() {
    for renewal in [Renewal::Make, Renewal::Renew] {
        let mut stored = fresh();
        stored.remove(&name("authority/etcd"));
        let error = run(&cluster(), renewal, &stored, NOW).unwrap_err();
        assert!(matches!(&error, PkiError::AuthorityLost { leaf, .. } if leaf.as_str().contains("etcd")), "{error}");
    }
}

#[test]
fn keys_of_a_cluster_that_has_run_are_not_made_again() {
    for lost in ["service-account", "encryption/k20261118"] {
        let mut stored = fresh();
        stored.remove(&name(lost)).unwrap();
        assert!(matches!(run(&cluster(), Renewal::Renew, &stored, NOW), Err(PkiError::Lost { .. })), "{lost}");
        assert_eq!(run(&cluster(), Renewal::Make, &stored, NOW).unwrap().made, [name(lost)]);
    }
    assert!(matches!(run(&cluster(), Renewal::Renew, &Material::new(), NOW), Err(PkiError::Lost { .. })));
}

#[test]
fn a_node_that_joins_gets_its_own_and_touches_no_other() {
    let mut cluster = cluster();
    let stored = fresh();
    cluster.nodes.push(node(3, false));
    let completion = run(&cluster, Renewal::Renew, &stored, NOW).unwrap();
    let made: Vec<_> = completion.made.iter().map(MaterialName::as_str).collect();
    assert_eq!(made, ["node/h3/kubelet-client", "node/h3/kubelet-server", "node/h3/kube-proxy", "node/h3/api-proxy"]);
    assert!(completion.renewals.is_empty());
    assert!(stored.iter().all(|(name, entry)| completion.material[name] == *entry));
}

#[test]
fn a_certificate_that_no_longer_fits_is_made_anew_and_told_of_where_something_uses_it() {
    let stored = fresh();
    let mut cluster = cluster();
    cluster.sans = vec!["new.example.org".into()];
    let leaf = name("node/h1/apiserver");
    let renewed = run(&cluster, Renewal::Renew, &stored, NOW).unwrap();
    let [due] = renewed.renewals.as_slice() else { panic!("{:?}", renewed.renewals) };
    let reason = "certificate node/h1/apiserver lacks new.example.org, still names api.example.org";
    assert_eq!(due.to_string(), reason);
    let old = &stored[&leaf];
    assert!(
        due.explains(&Digest::of(old.key.expose())) && due.explains(&Digest::of(old.certificate.as_ref().unwrap()))
    );
    assert!(!due.explains(&Digest::of(renewed.material[&leaf].key.expose())));
    assert_eq!(renewed.made, [leaf]);
    assert_eq!(run(&cluster, Renewal::Renew, &renewed.material, NOW).unwrap().made, []);
    assert_eq!(run(&cluster, Renewal::Keep, &stored, NOW).unwrap().material, stored);
    let remade = run(&cluster, Renewal::Make, &stored, NOW).unwrap();
    assert_eq!(remade.made, [name("node/h1/apiserver")]);
    assert!(remade.renewals.is_empty());
}

#[test]
fn metrics_servers_certificate_names_its_service_and_is_made_only_for_it() {
    let with = fresh();
    let certificate = read(&with, "service/metrics-server");
    let names = ["metrics-server.kube-system.svc", "metrics-server.kube-system.svc.cluster.local"];
    assert_eq!(certificate.profile.names, names.map(AlternativeName::of).into());
    assert_eq!(certificate.profile.usage, Usage::Server);
    let without = Cluster { metrics: None, ..cluster() };
    let made = run(&without, Renewal::Make, &Material::new(), NOW).unwrap();
    assert!(!made.material.contains_key(&name("service/metrics-server")));
    assert_eq!(made.bundle.metrics_server, None);
    // It comes later where it is wanted later.
    let later = run(&cluster(), Renewal::Renew, &made.material, NOW).unwrap();
    assert_eq!(later.made, [name("service/metrics-server")]);
}

#[test]
fn the_last_third_is_renewed_and_the_last_sixty_days_are_warned_of() {
    let stored = fresh();
    let at = |days: i64| run(&cluster(), Renewal::Renew, &stored, NOW + days * DAY).unwrap();
    assert!(at(240).renewals.is_empty());
    let third = at(250);
    assert_eq!((third.renewals.len(), third.made.len(), third.expiring().count()), (18, 18, 0));
    assert_eq!(read(&third.material, "node/h1/etcd-peer").validity.left(NOW + 250 * DAY), 365 * DAY);
    assert_eq!(third.renewals[0].reason, RenewalReason::RunsOut { days: 115 });
    assert_eq!(at(306).expiring().count(), 18);
    assert_eq!(at(366).renewals[0].reason, RenewalReason::RunsOut { days: -1 });
}

#[test]
fn nothing_outlives_its_authority() {
    let stored = fresh();
    let mut old = stored.clone();
    old.retain(|name, _| name.as_leaf_kind().is_none());
    let material = run(&cluster(), Renewal::Renew, &old, NOW + 3400 * DAY).unwrap().material;
    let authority = read(&material, "authority/cluster").validity;
    assert_eq!(read(&material, "node/h1/apiserver").validity.not_after, authority.not_after);
    // Renewing them again could not let them live any longer.
    let late = run(&cluster(), Renewal::Renew, &material, NOW + 3640 * DAY).unwrap();
    assert_eq!((late.renewals.len(), late.expiring().count()), (0, 18 + 3));
    let over = run(&cluster(), Renewal::Renew, &stored, NOW + 3651 * DAY);
    assert!(matches!(over, Err(PkiError::AuthorityExpired { .. })));
}

#[test]
fn stored_material_that_does_not_belong_together_is_refused() {
    let (stored, other) = (fresh(), fresh());
    let leaf = name("node/h1/apiserver");
    let authority = name("authority/cluster");
    let swapped_key = MaterialEntry { key: other[&leaf].key.clone(), ..stored[&leaf].clone() };
    let broken = MaterialEntry { certificate: Some("-----BEGIN".into()), ..stored[&leaf].clone() };
    let cases = [
        (&leaf, swapped_key, "do not belong together"),
        (&leaf, broken, "not PEM"),
        (&leaf, other[&leaf].clone(), "another authority"),
        (&authority, stored[&leaf].clone(), "not an authority's"),
        (&authority, other[&authority].clone(), "another authority"),
    ];
    for (name, entry, reason) in cases {
        let mut stored = stored.clone();
        stored.insert(name.clone(), entry);
        let error = run(&cluster(), Renewal::Make, &stored, NOW).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn a_run_signs_itself_an_hour() {
    let material = fresh();
    let validity = Validity::starting(NOW, RUN_LIFETIME_SECONDS);
    let maker = &mut CountingMaker(0);
    let identity = run_identity(&material, Authority::Cluster, Subject::admin("run"), validity, maker).unwrap();
    let certificate = certificate::Certificate::read(&identity.certificate).unwrap();
    certificate.require_issuer(&read(&material, "authority/cluster")).unwrap();
    assert_eq!(certificate.validity, Validity { not_before: NOW - 300, not_after: NOW + 3600 });
    assert_eq!(certificate.profile.subject, Subject::admin("run"));
    assert_eq!(certificate.profile.usage, Usage::Client);
}

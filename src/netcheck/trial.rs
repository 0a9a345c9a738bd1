//! The objects that a check makes: a namespace of its own and everything in it.

use serde_json::{Value, json};

use crate::base::NodeName;
use crate::state::{FIELD_MANAGER, ImageReference, Object, ObjectKey};

/// Every object of a check carries it; its value is [`CHECK`].
const CHECK_LABEL: &str = "provision/check";
/// The value of [`CHECK_LABEL`].
const CHECK: &str = "network";
/// With a random end, the namespace's name.
pub const NAMESPACE_PREFIX: &str = "provision-check-";
/// Changes as long as the check lives.
const HEARTBEAT: &str = "provision/check-heartbeat";
/// What a pod is for, and which of the servers it is.
const ROLE: &str = "provision/check-role";
const SERVER: &str = "provision/check-server";
/// Where test pods take requests over TCP.
pub const HTTP_PORT: u16 = 8080;
/// Where they take datagrams.
pub const UDP_PORT: u16 = 8081;
/// The port of Services.
pub const SERVICE_PORT: u16 = 80;
/// Services are tested with so many, each with its only endpoint on another node.
const MOST_SERVICES: usize = 3;
const ACCOUNT: &str = "tester";

/// The objects of one check: a server on each node, and on the first one two more pods, of which a policy allows one to
/// reach the servers.
#[derive(Debug, Clone)]
pub struct Trial {
    namespace: String,
    image: ImageReference,
    nodes: Vec<NodeName>,
}

impl Trial {
    /// For these nodes, in a namespace whose name ends with `mark`.
    pub fn new(mark: &str, image: ImageReference, nodes: Vec<NodeName>) -> Self {
        Self { namespace: format!("{NAMESPACE_PREFIX}{mark}"), image, nodes }
    }

    /// The nodes, in order of the servers' numbers.
    pub fn nodes(&self) -> &[NodeName] {
        &self.nodes
    }

    /// What the pods run.
    pub fn image(&self) -> &ImageReference {
        &self.image
    }

    /// The namespace's name.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The namespace's key.
    pub fn key(&self) -> ObjectKey {
        ObjectKey::namespace(&self.namespace)
    }

    /// The label and value by which all objects of checks are found.
    pub fn selector() -> String {
        format!("{CHECK_LABEL}={CHECK}")
    }

    /// The namespace after so many beats of its check. Whatever the cluster's default, its pods are restricted.
    pub fn namespace_object(&self, beats: u64) -> Object {
        let mut labels = labels(&[]);
        labels["pod-security.kubernetes.io/enforce"] = "restricted".into();
        let annotations = json!({ HEARTBEAT: beats.to_string() });
        let metadata = json!({ "name": self.namespace, "labels": labels, "annotations": annotations });
        let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata });
        Object { key: self.key(), addon: String::new(), manager: FIELD_MANAGER, body }
    }

    /// The account of the pods, which has no rights and gives no token; the pods need it to be there.
    pub fn account(&self) -> Object {
        self.object("v1", "ServiceAccount", ACCOUNT, &[], json!({ "automountServiceAccountToken": false }))
    }

    /// Pods and Services.
    pub fn workload(&self) -> Vec<Object> {
        let servers = self.nodes.iter().enumerate().map(|(number, node)| {
            let number = number.to_string();
            self.pod(&format!("server-{number}"), node, &[(ROLE, "server"), (SERVER, &number)])
        });
        let clients = self
            .nodes
            .first()
            .into_iter()
            .flat_map(|node| [Self::FRIEND, Self::STRANGER].map(|name| self.pod(name, node, &[(ROLE, name)])));
        servers.chain(clients).chain((0..self.services().len()).map(|number| self.service(number))).collect()
    }

    /// The pod that the policy allows to reach servers, on the first node.
    pub const FRIEND: &str = "friend";
    /// The pod that it does not.
    pub const STRANGER: &str = "stranger";

    /// The name of the server on a node.
    pub fn server(&self, node: &NodeName) -> Option<String> {
        let number = self.nodes.iter().position(|known| known == node)?;
        Some(format!("server-{number}"))
    }

    /// Services with the nodes on which their only endpoints are.
    pub fn services(&self) -> Vec<(ObjectKey, NodeName)> {
        let spread = self.nodes.len().div_ceil(MOST_SERVICES).max(1);
        let chosen = self.nodes.iter().step_by(spread).take(MOST_SERVICES).enumerate();
        chosen
            .map(|(number, node)| (self.key_of("v1", "Service", &format!("service-{number}")), node.clone()))
            .collect()
    }

    /// Denies everything that comes in to the servers but from the friend.
    pub fn policy(&self) -> Object {
        let from = json!([{ "podSelector": { "matchLabels": { ROLE: Self::FRIEND } } }]);
        let spec = json!({
            "podSelector": { "matchLabels": { ROLE: "server" } },
            "policyTypes": ["Ingress"],
            "ingress": [{ "from": from }],
        });
        self.object("networking.k8s.io/v1", "NetworkPolicy", "only-friends", &[], json!({ "spec": spec }))
    }

    fn service(&self, number: usize) -> Object {
        let node = &self.services()[number].1;
        let server = self.nodes.iter().position(|known| known == node).unwrap_or_default().to_string();
        let spec = json!({
            "type": "NodePort",
            "selector": { SERVER: server },
            "ports": [{ "name": "http", "protocol": "TCP", "port": SERVICE_PORT, "targetPort": HTTP_PORT }],
        });
        self.object("v1", "Service", &format!("service-{number}"), &[], json!({ "spec": spec }))
    }

    /// A pod put on its node past the scheduler, whatever the node's taints: it is the network that is tested. It asks for
    /// no resources, so that a full node can be tested too.
    fn pod(&self, name: &str, node: &NodeName, marks: &[(&str, &str)]) -> Object {
        let container = json!({
            "name": "netexec",
            "image": self.image.0,
            "imagePullPolicy": "IfNotPresent",
            "args": ["netexec", format!("--http-port={HTTP_PORT}"), format!("--udp-port={UDP_PORT}")],
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] },
            },
        });
        let spec = json!({
            "nodeName": node,
            "serviceAccountName": ACCOUNT,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 1,
            "tolerations": [{ "operator": "Exists" }],
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 65534,
                "runAsGroup": 65534,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "containers": [container],
        });
        self.object("v1", "Pod", name, marks, json!({ "spec": spec }))
    }

    fn object(&self, api_version: &str, kind: &str, name: &str, marks: &[(&str, &str)], rest: Value) -> Object {
        let mut body = json!({
            "apiVersion": api_version,
            "kind": kind,
            "metadata": { "name": name, "namespace": self.namespace, "labels": labels(marks) },
        });
        if let (Some(body), Value::Object(rest)) = (body.as_object_mut(), rest) {
            body.extend(rest);
        }
        Object { key: self.key_of(api_version, kind, name), addon: String::new(), manager: FIELD_MANAGER, body }
    }

    fn key_of(&self, api_version: &str, kind: &str, name: &str) -> ObjectKey {
        let [api_version, kind, namespace, name] = [api_version, kind, &self.namespace, name].map(str::to_owned);
        ObjectKey { api_version, kind, namespace, name }
    }
}

fn labels(marks: &[(&str, &str)]) -> Value {
    let mut labels = json!({ CHECK_LABEL: CHECK, "app.kubernetes.io/managed-by": "provision-check" });
    for (name, value) in marks {
        labels[*name] = (*value).into();
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(count: usize) -> Trial {
        let nodes = (1..=count).map(|number| NodeName::new(format!("h{number}")).unwrap()).collect();
        Trial::new("1a2b3c", ImageReference("registry.example/agnhost:2.56".into()), nodes)
    }

    #[test]
    fn everything_is_labelled_and_lies_in_the_checks_namespace() {
        let trial = trial(3);
        let mut objects = trial.workload();
        objects.extend([trial.account(), trial.policy()]);
        assert_eq!(objects.len(), 3 + 2 + 3 + 2);
        for object in &objects {
            assert_eq!(object.key.namespace, "provision-check-1a2b3c");
            assert_eq!(Object::new(object.body.clone()).unwrap().key, object.key);
            assert_eq!(object.body["metadata"]["labels"][CHECK_LABEL], "network");
        }
        assert_eq!(trial.namespace_object(3).body["metadata"]["annotations"][HEARTBEAT], "3");
    }

    #[test]
    fn services_have_their_endpoints_on_different_nodes() {
        for (count, nodes) in
            [(1, vec!["h1"]), (2, vec!["h1", "h2"]), (3, vec!["h1", "h2", "h3"]), (7, vec!["h1", "h4", "h7"])]
        {
            let trial = trial(count);
            let chosen: Vec<String> = trial.services().iter().map(|(_, node)| node.to_string()).collect();
            assert_eq!(chosen, nodes);
            let workload = trial.workload();
            for (number, (key, node)) in trial.services().into_iter().enumerate() {
                let service = workload.iter().find(|object| object.key == key).unwrap();
                let server = trial.server(&node).unwrap();
                let pod = workload.iter().find(|object| object.key.name == server).unwrap();
                assert_eq!(
                    service.body["spec"]["selector"][SERVER], pod.body["metadata"]["labels"][SERVER],
                    "{number}"
                );
                assert_eq!(pod.body["spec"]["nodeName"], node.as_str());
            }
        }
    }

    #[test]
    fn pods_are_of_the_restricted_level() {
        for object in trial(2).workload().iter().filter(|object| object.key.kind == "Pod") {
            let spec = &object.body["spec"];
            assert_eq!(spec["securityContext"]["runAsNonRoot"], true);
            assert_eq!(spec["containers"][0]["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
            assert_eq!(spec["automountServiceAccountToken"], false);
        }
    }
}

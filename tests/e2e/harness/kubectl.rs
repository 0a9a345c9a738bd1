//! The API as its users reach it.

use std::path::{Path, PathBuf};
use std::process::Command;

use provision::ops::PATIENCE;
use serde_json::{Value, json};

use super::{Lab, Ran, SECOND, run, run_with_input, until};

/// kubectl of the cluster's version, as one identity.
#[derive(Debug, Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// As the operator: with what `provision kubeconfig` writes.
    pub fn operator(lab: &Lab) -> Self {
        let kubeconfig = lab.folder().join("kubeconfig");
        let path = kubeconfig.to_string_lossy();
        lab.tool().run(&["kubeconfig", "--output", &path]).succeeded();
        Self { program: Self::program(lab), kubeconfig }
    }

    /// The program, out of the version's bundle.
    pub fn program(lab: &Lab) -> PathBuf {
        lab.bundle(lab.version()).join(format!("files/kubectl-{}", lab.version()))
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        run(self.command().args(arguments))
    }

    /// Applies a manifest.
    pub fn apply(&self, manifest: &Value) -> Ran {
        run_with_input(self.command().args(["apply", "-f", "-"]), manifest.to_string().as_bytes())
    }

    /// Runs it with a text on its standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Ran {
        run_with_input(self.command().args(arguments), input.as_bytes())
    }

    /// Runs it and reads its output as JSON.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        self.try_json(arguments).unwrap_or_else(|reason| panic!("{reason}"))
    }

    /// The same, for waiting: an API that does not answer now is a reason to ask again.
    pub fn try_json(&self, arguments: &[&str]) -> Result<Value, String> {
        let ran = self.run(&[arguments, &["-o", "json"]].concat()).result()?;
        serde_json::from_str(&ran.stdout).map_err(|error| format!("{error}: {ran}"))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--kubeconfig").arg(&self.kubeconfig).arg("--request-timeout=30s");
        command
    }

    /// The same cluster as another identity, known by a token, at home in a namespace.
    fn with_token(&self, namespace: &str, token: &str) -> Self {
        let mut config = self.json(&["config", "view", "--raw", "--minify"]);
        for context in config["contexts"].as_array_mut().into_iter().flatten() {
            context["context"]["namespace"] = json!(namespace);
        }
        for user in config["users"].as_array_mut().into_iter().flatten() {
            user["user"] = json!({ "token": token });
        }
        let kubeconfig = self.kubeconfig.with_file_name(format!("kubeconfig-{namespace}"));
        write(&kubeconfig, &config);
        Self { program: self.program.clone(), kubeconfig }
    }

    /// An ordinary identity: a namespace of its own and the role `edit` in it, nothing else.
    pub fn tenant(&self, namespace: &str) -> Self {
        self.run(&["create", "namespace", namespace]).succeeded();
        self.run(&["-n", namespace, "create", "serviceaccount", "dev"]).succeeded();
        let account = format!("--serviceaccount={namespace}:dev");
        self.run(&["-n", namespace, "create", "rolebinding", "dev", "--clusterrole=edit", &account]).succeeded();
        let token = self.run(&["-n", namespace, "create", "token", "dev"]).succeeded();
        let tenant = self.with_token(namespace, token.text());
        // Pods can be made once the namespace has its own account.
        until("the namespace's default account", 120 * SECOND, || {
            self.run(&["-n", namespace, "get", "serviceaccount", "default"]).result()
        });
        // An apiserver knows of a new role a moment after it has it.
        until("the tenant's role", 30 * SECOND, || {
            tenant.run(&["auth", "can-i", "create", "deployments.apps"]).result()
        });
        tenant
    }

    /// Waits until every pod that matches is Ready, and at least this many are.
    #[track_caller]
    pub fn await_pods(&self, namespace: &str, selector: &str, least: usize) -> Vec<Value> {
        until(&format!("{least} pods {selector} in {namespace}"), PATIENCE, || {
            let list = self.try_json(&["-n", namespace, "get", "pods", "-l", selector])?;
            let pods = list["items"].as_array().cloned().unwrap_or_default();
            if pods.len() >= least && pods.iter().all(is_ready) { Ok(pods) } else { Err(states(&pods)) }
        })
    }

    /// Waits until these nodes, and no others, are there and Ready.
    #[track_caller]
    pub fn await_nodes(&self, names: &[&str]) {
        until(&format!("nodes {names:?}"), PATIENCE, || {
            let list = self.try_json(&["get", "nodes"])?;
            let nodes = list["items"].as_array().cloned().unwrap_or_default();
            let mut seen: Vec<_> = nodes.iter().filter_map(|node| node["metadata"]["name"].as_str()).collect();
            seen.sort_unstable();
            if seen == names && nodes.iter().all(is_ready) { Ok(()) } else { Err(states(&nodes)) }
        });
    }
}

/// Whether the condition Ready is true; nodes and pods have the same.
fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

fn states(objects: &[Value]) -> String {
    let state = |object: &Value| format!("{}: {}", object["metadata"]["name"], object["status"]);
    objects.iter().map(state).collect::<Vec<_>>().join("\n")
}

fn write(path: &Path, value: &Value) {
    std::fs::write(path, value.to_string()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

//! Jobs that are at work while something else goes on: each must end exactly once.

use serde_json::{Value, json};

use super::{AGNHOST, Kubectl, Lab, SECOND, until};

/// Pods may write to their host here, whatever keeps them from it elsewhere.
const NAMESPACE: &str = "kube-system";
/// A file for each Job, with what its pods say: on the host, and in the pod.
const FOLDER: &str = "/var/lib/e2e-jobs";

/// Jobs of one pod each, which must run to its end once. Where a node is drained, a pod that is told to end does so at once, and
/// its Job begins anew elsewhere; one that a budget keeps is waited for.
pub struct Jobs<'a> {
    lab: &'a Lab,
    kubectl: &'a Kubectl,
    hosts: Vec<String>,
    names: Vec<String>,
    /// Those of them whose pods a budget keeps.
    kept: Vec<String>,
}

/// What a pod said about itself.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    job: String,
    word: String,
}

impl<'a> Jobs<'a> {
    /// Starts a Job for each of these times, in seconds, that its work takes; their names begin with this. Those that are to be
    /// kept have a budget over their pod. All are at work when this returns.
    pub fn begin(lab: &'a Lab, kubectl: &'a Kubectl, name: &str, seconds: &[u32], kept: &[u32]) -> Self {
        let (mut names, mut budgets) = (Vec::new(), Vec::new());
        for (is_kept, seconds) in seconds.iter().map(|one| (false, one)).chain(kept.iter().map(|one| (true, one))) {
            let name = format!("{name}-{}{seconds}", if is_kept { "kept-" } else { "" });
            if is_kept {
                kubectl.apply(&budget(&name)).succeeded();
                budgets.push(name.clone());
            }
            kubectl.apply(&job(&name, *seconds)).succeeded();
            names.push(name);
        }
        let nodes = kubectl.json(&["get", "nodes"])["items"].as_array().cloned().unwrap_or_default();
        let hosts = nodes.iter().filter_map(|node| node["metadata"]["name"].as_str().map(str::to_owned)).collect();
        let jobs = Self { lab, kubectl, hosts, names, kept: budgets };
        until("all Jobs at work", 60 * SECOND, || {
            let said = jobs.said();
            let waits = jobs.names.iter().find(|name| count(&said, name, "started") == 0);
            waits.map_or(Ok(()), |name| Err(format!("{name} has not started: {said:?}")))
        });
        jobs
    }

    /// Waits until every Job is over. Each has succeeded, by one pod, which alone has run to its end, and no pod has ended
    /// that was not told to. Gives how often one was told to.
    #[track_caller]
    pub fn have_ended_once(&self, limit: std::time::Duration) -> usize {
        for name in &self.names {
            until(&format!("the end of Job {name}"), limit, || self.has_succeeded(name));
        }
        let said = self.said();
        let told = self.names.iter().map(|name| self.has_ended_once(name, &said)).sum();
        println!("{} Jobs have ended once each; their pods were told to end {told} times", self.names.len());
        told
    }

    fn has_succeeded(&self, name: &str) -> Result<(), String> {
        let job = self.kubectl.try_json(&["-n", NAMESPACE, "get", "job", name])?;
        let is = |condition: &str| {
            let conditions = job["status"]["conditions"].as_array().into_iter().flatten();
            conditions.into_iter().any(|one| one["type"] == condition && one["status"] == "True")
        };
        assert!(!is("Failed"), "{job}");
        if is("Complete") { Ok(()) } else { Err(job["status"].to_string()) }
    }

    #[track_caller]
    fn has_ended_once(&self, name: &str, said: &[Said]) -> usize {
        let [started, told, ended] = ["started", "told", "ended"].map(|word| count(said, name, word));
        assert_eq!((ended, started), (1, 1 + told), "{name}: {said:?}");
        assert!(told == 0 || !self.kept.iter().any(|kept| kept == name), "{name}: {said:?}");
        let status = &self.kubectl.json(&["-n", NAMESPACE, "get", "job", name])["status"];
        assert_eq!(status["succeeded"], 1, "{name}: {status}");
        // Kubernetes counts a pod that was evicted from 1.25 on.
        assert!(
            status["failed"].as_u64().unwrap_or_default() <= told as u64,
            "{name}: {status}, {told} were told to end"
        );
        let selector = format!("job-name={name}");
        let pods = self.kubectl.json(&["-n", NAMESPACE, "get", "pods", "-l", &selector]);
        let pods = pods["items"].as_array().cloned().unwrap_or_default();
        let phases: Vec<&Value> = pods.iter().map(|pod| &pod["status"]["phase"]).collect();
        assert_eq!(phases, ["Succeeded"], "{name}");
        told
    }

    fn said(&self) -> Vec<Said> {
        let script = format!("cd {FOLDER} 2>/dev/null || exit 0; grep -Hs . * || true");
        let text: String = self.hosts.iter().map(|host| self.lab.script(host, &script)).collect();
        let line = |line: &str| {
            let (job, rest) = line.split_once(':')?;
            let (word, _) = rest.split_once(' ')?;
            Some(Said { job: job.to_owned(), word: word.to_owned() })
        };
        text.lines().filter_map(line).collect()
    }
}

fn count(said: &[Said], job: &str, word: &str) -> usize {
    said.iter().filter(|said| said.job == job && said.word == word).count()
}

fn budget(name: &str) -> Value {
    json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"job-name": name}}},
    })
}

/// A Job of one pod that says when it starts, when it is told to end before its time, and when it has done its work. One that
/// finds on its host that its work was begun there goes on with it and is soon done.
fn job(name: &str, seconds: u32) -> Value {
    let script = format!(
        "say() {{ echo \"$1 $HOSTNAME\" >>{FOLDER}/{name}; }}
         trap 'say told; exit 1' TERM
         work={seconds}
         case $(cat {FOLDER}/{name} 2>&1) in *told*) work=5 ;; esac
         say started
         sleep $work & wait $!
         trap '' TERM
         say ended"
    );
    let container = json!({
        "name": "main", "image": AGNHOST, "imagePullPolicy": "Never", "command": ["/bin/sh", "-c", script],
        "volumeMounts": [{"name": "said", "mountPath": FOLDER}],
        "securityContext": {"runAsUser": 0, "allowPrivilegeEscalation": false},
    });
    let folder = json!({"path": FOLDER, "type": "DirectoryOrCreate"});
    let pod = json!({
        "restartPolicy": "Never", "containers": [container], "volumes": [{"name": "said", "hostPath": folder}],
    });
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"parallelism": 1, "completions": 1, "template": {"spec": pod}},
    })
}

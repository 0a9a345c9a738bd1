//! A pod or a pod template as the checks see it.

use serde_json::Value;

use crate::base::Minor;

/// Metadata and spec of a pod or of a template, and the Kubernetes minor by whose rules it is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pod<'a> {
    pub metadata: &'a Value,
    pub spec: &'a Value,
    pub minor: Minor,
}

/// Where containers stand in a spec.
pub(super) const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// A container with its name in words.
pub(super) struct Container<'a> {
    name: &'a str,
    pub value: &'a Value,
}

impl<'a> Container<'a> {
    /// Its security settings; null where it has none.
    pub fn security(&self) -> &'a Value {
        &self.value["securityContext"]
    }

    /// A line about it.
    pub fn says(&self, what: &str) -> String {
        format!("container {}: {what}", self.name)
    }
}

impl<'a> Pod<'a> {
    /// All containers: a pod is as open as the most open of them.
    pub fn containers(&self) -> impl Iterator<Item = Container<'a>> {
        let spec = self.spec;
        CONTAINERS.iter().flat_map(move |place| items(&spec[*place])).map(|value| {
            let name = value["name"].as_str().unwrap_or("without a name");
            Container { name, value }
        })
    }

    /// The pod's security settings, which hold for containers that have none of their own.
    pub fn security(&self) -> &'a Value {
        &self.spec["securityContext"]
    }

    /// Lines of those containers that have something to say.
    pub fn each(&self, check: impl Fn(&Container<'a>) -> Option<String>) -> Vec<String> {
        self.containers().filter_map(|container| check(&container).map(|what| container.says(&what))).collect()
    }

    /// Lines of the pod's own security settings and of each container's.
    pub fn each_context(&self, check: impl Fn(&'a Value) -> Option<String>) -> Vec<String> {
        let own = check(self.security()).map(|what| format!("pod: {what}"));
        own.into_iter().chain(self.each(|container| check(container.security()))).collect()
    }

    /// Whether it says that it is for Windows, where some settings have no meaning; looked at from 1.25 on.
    pub fn is_windows(&self) -> bool {
        self.minor >= Minor(25) && self.spec["os"]["name"] == "windows"
    }
}

/// The items of a list; none where there is no list.
pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The texts of a list.
pub(super) fn texts(value: &Value) -> impl Iterator<Item = &str> {
    items(value).iter().filter_map(Value::as_str)
}

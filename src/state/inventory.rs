//! The list of what the tool keeps, which the cluster itself carries.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{FIELD_MANAGER, Object, ObjectKey};

/// Every object that the tool has applied and still keeps. It is written before an object is applied for the first time
/// and forgets one only after it is gone or given up, so that nothing of ours is ever lost sight of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// In the order of [`ObjectKey`]; each object once.
    entries: Vec<InventoryEntry>,
}

/// One object of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InventoryEntry {
    /// The add-on that it belongs to.
    pub addon: String,
    /// What names it.
    #[serde(flatten)]
    pub key: ObjectKey,
    /// Whether it was not there before the tool applied it. Only what the tool made does it ever delete.
    pub made: bool,
}

/// The key of the ConfigMap under which the list stands.
const FIELD: &str = "objects";

impl Inventory {
    /// The key of the object that holds the list.
    pub fn key() -> ObjectKey {
        ObjectKey {
            api_version: "v1".into(),
            kind: "ConfigMap".into(),
            namespace: "kube-system".into(),
            name: "provision-inventory".into(),
        }
    }

    /// The objects, sorted.
    pub fn entries(&self) -> &[InventoryEntry] {
        &self.entries
    }

    /// The entry of an object, under whatever version of its group it stands.
    pub fn entry(&self, key: &ObjectKey) -> Option<&InventoryEntry> {
        self.entries.iter().find(|entry| entry.key.is_same_object(key))
    }

    /// Adds an object, or brings the one that is there up to date. Who made it stays as it was found out first.
    pub fn note(&mut self, entry: InventoryEntry) {
        match self.entries.iter_mut().find(|known| known.key.is_same_object(&entry.key)) {
            Some(known) => *known = InventoryEntry { made: known.made, ..entry },
            None => self.entries.push(entry),
        }
        self.entries.sort_by(|one, other| one.key.cmp(&other.key));
    }

    /// Forgets all that do not pass.
    pub fn retain(&mut self, passes: impl Fn(&InventoryEntry) -> bool) {
        self.entries.retain(passes);
    }

    /// Reads the list out of the object that holds it.
    ///
    /// # Errors
    ///
    /// What is wrong with a list that somebody has changed.
    pub fn of(body: &Value) -> Result<Self, String> {
        let text = body["data"][FIELD].as_str().ok_or_else(|| format!("data.{FIELD} is missing"))?;
        let mut entries: Vec<InventoryEntry> =
            serde_json::from_str(text).map_err(|error| format!("data.{FIELD}: {error}"))?;
        entries.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(Self { entries })
    }

    /// The object that holds the list: one line for each object, so that people can read it.
    pub fn object(&self) -> Object {
        let lines: Vec<String> = self.entries.iter().map(|entry| json!(entry).to_string()).collect();
        let text = format!("[\n{}\n]\n", lines.join(",\n"));
        let key = Self::key();
        let labels = json!({ "app.kubernetes.io/managed-by": "provision" });
        let body = json!({
            "apiVersion": key.api_version,
            "kind": key.kind,
            "metadata": { "name": key.name, "namespace": key.namespace, "labels": labels },
            "data": { FIELD: text },
        });
        Object { key, addon: "inventory".into(), manager: FIELD_MANAGER, body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(api_version: &str, name: &str, made: bool) -> InventoryEntry {
        let (kind, namespace) = ("Deployment".into(), "a".into());
        let key = ObjectKey { api_version: api_version.into(), kind, namespace, name: name.into() };
        InventoryEntry { addon: "dns".into(), key, made }
    }

    #[test]
    fn a_list_reads_back() {
        let mut inventory = Inventory::default();
        assert_eq!(Inventory::of(&inventory.object().body), Ok(inventory.clone()));
        inventory.note(entry("apps/v1", "b", true));
        inventory.note(entry("apps/v1", "a", false));
        assert_eq!(Inventory::of(&inventory.object().body), Ok(inventory.clone()));
        assert_eq!(inventory.entries()[0].key.name, "a");
    }

    #[test]
    fn another_version_is_the_same_object_and_who_made_it_stays() {
        let mut inventory = Inventory::default();
        inventory.note(entry("apps/v1beta1", "a", false));
        inventory.note(entry("apps/v1", "a", true));
        assert_eq!(inventory.entries(), [entry("apps/v1", "a", false)]);
    }

    #[test]
    fn a_list_that_somebody_has_changed_is_an_error() {
        for body in [json!({}), json!({"data": {"objects": "["}}), json!({"data": {"objects": "[{}]"}})] {
            assert!(Inventory::of(&body).is_err(), "{body}");
        }
    }
}

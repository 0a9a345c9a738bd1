//! Objects as etcd has them.

/// An object as an apiserver has stored it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// Namespace and name, or the name alone: the rest of its key in etcd.
    pub name: String,
    /// Its bytes: JSON, protobuf behind four bytes that say so, or encrypted.
    pub value: Vec<u8>,
}

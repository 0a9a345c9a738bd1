//! Keys and certificates: what a cluster needs, what is there, what is missing or running out.
//!
//! Pure: material that exists, the clock and the maker of keys are passed in. Whoever calls stores the result before
//! anything uses it.

mod bundle;

pub use bundle::{
    Bundle, ControlPlaneIdentities, EncryptionKey, EtcdIdentities, Identity, NodeIdentities, ServiceAccountKey,
};

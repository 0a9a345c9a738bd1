//! etcd, reached through a host: its JSON gateway on the client port. Only reads.

mod answers;
mod error;
mod member;

pub use answers::{EtcdStatus, Pair};
pub use error::EtcdError;
pub use member::EtcdMember;

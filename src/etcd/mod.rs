//! etcd, reached through a host: its JSON gateway on the client port. Only reads.

mod answers;
mod damage;
mod error;
mod member;

pub use answers::EtcdStatus;
pub use damage::damage;
pub use error::EtcdError;
pub use member::EtcdMember;

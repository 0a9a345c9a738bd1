//! `provision` brings hosts reached over SSH to a hardened Kubernetes cluster described by one `cluster.yml`.
//!
//! The data takes one way through the modules, and each may use only modules of a lower rank
//! (`tests/it/layering.rs` enforces it):
//!
//! | rank | modules | what they may do |
//! | --- | --- | --- |
//! | 0 | `base` | nothing but values |
//! | 1 | `config`, `release`, `state`, `event`, `https` | pure, but for `https`: requests over a given stream |
//! | 2 | `cluster` | pure |
//! | 3 | `pki`, `host` | `pki` is pure; `host` talks to hosts |
//! | 4 | `desired`, `entropy`, `kubeapi`, `etcd` | `desired` is pure; `entropy` makes keys; the others talk through a host |
//! | 5 | `plan`, `observe` | `plan` is pure; `observe` only looks |
//! | 6 | `journal` | the state folder |
//! | 7 | `engine`, `report` | runs a plan; shows events |
//! | 8 | `ops` | use cases |
//! | 9 | `cli` | arguments, exit codes |

pub mod base;
pub mod cluster;
pub mod desired;
pub mod entropy;
pub mod etcd;
pub mod event;
pub mod host;
pub mod https;
pub mod kubeapi;
pub mod pki;
pub mod state;

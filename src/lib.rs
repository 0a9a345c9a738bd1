//! `provision` brings hosts reached over SSH to a hardened Kubernetes cluster described by one `cluster.yml`.
//!
//! The data takes one way through the modules, and each may use only modules of a lower rank
//! (`tests/it/layering.rs` reads this table and enforces it):
//!
//! | rank | modules | what they may do |
//! | --- | --- | --- |
//! | 0 | `base` | nothing but values |
//! | 1 | `config`, `state`, `event`, `https`, `web` | pure, but for `https`: requests over a given stream, and `web`: requests to sites |
//! | 2 | `release`, `download` | `release` is pure; `download` fetches files into this machine's cache |
//! | 3 | `cluster` | pure |
//! | 4 | `pki`, `netcheck`, `podsecurity`, `host`, `bundle`, `registry` | `pki`, `netcheck` and `podsecurity` are pure; `host` talks to hosts; `bundle` keeps files on this machine; `registry` talks to registries |
//! | 5 | `desired`, `crossing`, `entropy`, `kubeapi`, `etcd` | `desired` and `crossing` are pure; `entropy` makes keys; the others talk through a host |
//! | 6 | `plan`, `endpoints` | `plan` is pure; `endpoints` is what runs on hosts, behind one trait |
//! | 7 | `observe`, `journal` | `observe` only looks; `journal` is the state folder |
//! | 8 | `engine`, `report` | runs a plan; shows events |
//! | 9 | `ops` | use cases |
//! | 10 | `cli` | arguments, exit codes |

pub mod base;
pub mod bundle;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod crossing;
pub mod desired;
pub mod download;
pub mod endpoints;
pub mod engine;
pub mod entropy;
pub mod etcd;
pub mod event;
pub mod host;
pub mod https;
pub mod journal;
pub mod kubeapi;
pub mod netcheck;
pub mod observe;
pub mod ops;
pub mod pki;
pub mod plan;
pub mod podsecurity;
pub mod registry;
pub mod release;
pub mod report;
pub mod state;
pub mod web;

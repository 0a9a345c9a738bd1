//! End-to-end: the built program against real hosts of the lab, each scenario with hosts of its own.
//!
//! A scenario's name is the promise that it proves. They take turns on one lab (`target/e2e`), so that their
//! hosts fit into 8 GB together; hosts that only have to be there are copies of one that was prepared once.
//! `docs/testing.md` explains how to run one of them alone.

mod harness;

mod addons;
mod addons_user;
mod canal;
#[path = "../support/canal_calls.rs"]
mod canal_calls;
mod check_network;
mod drain;
mod drift;
mod etcd_roll;
mod first_cluster;
mod heal;
mod interrupted;
mod lab;
mod old_version;
mod preflight;
mod registry;
mod renewal;
mod restart;
mod snapshot;
mod ssh;
mod state_folder;
mod supply;
mod swap;
mod tenant;
mod three_nodes;
mod upgrade;
mod upgrade_report;
mod upgrade_served;
mod way_back;
mod worker;

//! What needs two modules or more, without a real host.

mod alone;
mod bundle;
mod canal_access;
#[path = "../support/canal_calls.rs"]
mod canal_calls;
mod check_network;
mod config_cases;
mod config_fuzz;
mod configuration_doc;
mod crash;
mod desired;
mod download;
mod examples;
mod host_contract;
mod layering;
mod objects;
mod one_door;
mod pod_security;
mod registry;
mod supply;
mod swap_program;

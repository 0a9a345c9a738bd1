//! What needs two modules or more, without a real host.

mod host_contract;
mod layering;
mod one_door;

//! What needs two modules or more, without a real host.

mod layering;

//! Long runs, each of a tool on a sandbox that is up.

pub(crate) mod offboard;
mod world;

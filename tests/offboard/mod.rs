//! `offboard`.

mod archive;
mod choices;
mod crash;
mod refuse;
mod report;
mod restore;

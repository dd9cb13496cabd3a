//! `offboard`.

mod archive;
mod choices;
mod crash;
mod delete;
mod refuse;
mod report;
mod restore;

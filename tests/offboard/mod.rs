//! `offboard`.

mod archive;
mod crash;
mod refuse;
mod report;

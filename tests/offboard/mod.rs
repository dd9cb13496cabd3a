//! `offboard`.

mod archive;
mod choices;
mod crash;
mod faults;
mod refuse;
mod report;

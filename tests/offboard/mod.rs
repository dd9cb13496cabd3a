//! `offboard`.

mod archive;
mod choices;
mod crash;
mod delete;
mod faults;
mod places;
mod refuse;
mod report;
mod restore;

//! `offboard`.

mod archive;
mod choices;
mod crash;
mod delete;
mod faults;
mod refuse;
mod report;
mod restore;
mod several;

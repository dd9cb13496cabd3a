//! `offboard`.

mod archive;
mod awkward;
mod choices;
mod crash;
mod delete;
mod elsewhere;
mod faults;
mod places;
mod refuse;
mod report;
mod restore;
mod several;

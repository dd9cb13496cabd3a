//! The inverse of an archive's actions: verbs of the services' enums that put back what an
//! archive holds, from its records. Whatever a record says is checked against the plan and the
//! guard: it may come from elsewhere.

pub mod attributes;
pub mod database;
pub mod host;
pub mod put_back;
pub mod records;
pub mod tarball;

//! `newwiki`.

mod files;
mod offline;
mod pairs;

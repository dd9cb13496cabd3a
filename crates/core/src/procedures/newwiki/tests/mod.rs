//! Names against the real lists, edits of any file, plans of the real ones.

mod files;
mod laws;
mod messages;
mod names;
mod plans;
mod values;

use std::path::PathBuf;

/// A file or folder of the fixtures: real lists, as they were on 2026-11-21.
fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/newwiki")
        .join(name)
}

fn real(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

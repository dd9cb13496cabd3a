//! The laws of `sandbox soak db-sync`, for a few kills.

use std::path::Path;

use opsweek_sandbox::{Kill, Victim};

use super::private::{alone, private};

/// Until each was in time, which depends on the machine.
#[test]
fn staging_is_whole_whoever_is_killed_and_its_readers_notice_nothing() {
    let world = private();
    let world = alone(&world);
    let kill = |victim, step, part| Kill {
        victim,
        step,
        part,
        anew: step == "cut-over",
    };
    let figures = world
        .0
        .kill_syncs(
            Path::new(env!("CARGO_BIN_EXE_db-sync")),
            |done| match (done.server_kills, done.tool_kills) {
                (0, _) => Some(kill(Victim::Server, "copy", 0.5)),
                (1, _) => Some(kill(Victim::Server, "cut-over", 0.1)),
                (_, 0) => Some(kill(Victim::Tool, "drop-previous", 0.3)),
                (_, 1) => Some(kill(Victim::Tool, "swap-back", 0.1)),
                _ => None,
            },
            &|line| println!("{line}"),
        )
        .unwrap();
    println!("{figures}");
    assert!(figures.reads > 1000, "{figures}");
}

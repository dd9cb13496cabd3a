//! Plans in files: what binds them, and whom they are trusted from.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::toy::Move;
use super::{Desk, Ran, mode};
use crate::plan_file;

/// A world with a plan saved for it.
fn saved() -> (Desk, PathBuf) {
    let desk = Desk::with(&[("a", "1")]);
    let path = desk.path("plan.json");
    let ran = desk.run(&["elvis", "--archive", "--save-plan", path.to_str().unwrap()]);
    assert_eq!(ran.code, 3);
    assert_eq!(
        ran.err,
        "saved DIR/plan.json (sha256:HASH); run it: toy --plan DIR/plan.json --yes\n"
    );
    (desk, path)
}

fn run(desk: &Desk, path: &Path) -> Ran {
    desk.run(&["--plan", path.to_str().unwrap(), "--yes"])
}

/// Changes the plan; `hash` with its hash made to match, as no hand would.
fn edit(path: &Path, hash: bool, change: impl FnOnce(&mut Value)) {
    let mut saved: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut saved["plan"]);
    if hash {
        let plan: opsweek_core::engine::Plan<Move> =
            serde_json::from_value(saved["plan"].clone()).unwrap();
        saved["hash"] = plan.hash().unwrap().into();
    }
    fs::write(path, saved.to_string()).unwrap();
}

#[test]
fn a_reviewed_plan_runs_without_a_terminal() {
    let (desk, path) = saved();
    assert_eq!(run(&desk, &path).code, 0);
    assert!(!desk.has("left/a") && desk.has("kept/a"));
    // Again: there is nothing to do.
    assert_eq!(run(&desk, &path).code, 0);
    assert_eq!(desk.run(&["--plan", path.to_str().unwrap(), "-n"]).code, 0);
}

#[test]
fn a_plan_from_a_file_asks_without_yes() {
    let (desk, path) = saved();
    let args = ["--plan", path.to_str().unwrap()];
    assert_eq!(desk.run(&args).code, 5);
    assert_eq!(desk.answered(&["no"], &args).code, 5);
    assert_eq!(desk.answered(&["elvis"], &args).code, 0);
}

#[test]
fn a_saved_plan_is_private_and_never_goes_through_a_link() {
    let (desk, path) = saved();
    assert_eq!(mode(&path), 0o600);
    desk.write("victim", "precious");
    fs::set_permissions(desk.path("victim"), Permissions::from_mode(0o644)).unwrap();
    fs::remove_file(&path).unwrap();
    symlink(desk.path("victim"), &path).unwrap();
    let args = ["elvis", "--archive", "--save-plan", path.to_str().unwrap()];
    assert_eq!(desk.run(&args).code, 3);
    assert_eq!(fs::read_to_string(desk.path("victim")).unwrap(), "precious");
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
    assert_eq!(mode(&path), 0o600);
    // Where it cannot be written, that is said.
    let args = ["elvis", "--archive", "--save-plan", "/nonexistent/plan"];
    assert_eq!(desk.run(&args).code, 1);
}

#[test]
fn a_plan_that_was_edited_is_refused() {
    let edits: [fn(&mut Value); 4] = [
        |plan| plan["steps"][1]["action"]["Remove"]["name"] = "b".into(),
        |plan| plan["subject"] = "presley".into(),
        |plan| plan["more"] = 1.into(),
        |plan| plan["steps"] = json!(1),
    ];
    for change in edits {
        let (desk, path) = saved();
        edit(&path, false, change);
        let ran = run(&desk, &path);
        assert_eq!(ran.code, 4, "{ran:?}");
        assert!(desk.has("left/a") && !desk.has("state"));
    }
    let (desk, path) = saved();
    fs::write(&path, "{").unwrap();
    assert_eq!(run(&desk, &path).code, 4);
}

#[test]
fn a_plan_of_another_tool_time_or_world_is_refused() {
    type Change = fn(&mut Value);
    let edits: [(&str, u8, Change); 6] = [
        ("was made by toy 0.9 (format 1)", 4, |plan| {
            plan["version"] = "0.9".into();
        }),
        ("was made by offboard 1.0 (format 1)", 4, |plan| {
            plan["tool"] = "offboard".into();
        }),
        ("was made by toy 1.0 (format 2)", 4, |plan| {
            plan["format"] = 2.into();
        }),
        (
            "the plan is 25 h 0 min old, and may be 24 h 0 min",
            4,
            |plan| {
                let created = plan["created"].as_i64().unwrap();
                plan["created"] = (created - 90_000).into();
            },
        ),
        ("the safety configuration is not the one", 4, |plan| {
            plan["safety"] = "lax".into();
        }),
        ("destroys, yet is not marked irreversible", 8, |plan| {
            plan["steps"][1]["risk"] = "costly".into();
        }),
    ];
    for (why, code, change) in edits {
        let (desk, path) = saved();
        edit(&path, true, change);
        let ran = run(&desk, &path);
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.err.contains(why), "{ran:?}");
        assert!(desk.has("left/a") && !desk.has("state"));
    }
}

#[test]
fn the_world_must_be_the_one_that_was_looked_at() {
    let (desk, path) = saved();
    desk.write("vault", "id 2");
    let ran = run(&desk, &path);
    assert_eq!(ran.code, 4);
    insta::assert_snapshot!(ran.err, @"
    error: vault is not the one that the plan was made for: id 2, not id 1
    hint: check the configuration; plan again for this one
    ");
    // Somebody else's answer weighs more than none.
    desk.write("host-down", "");
    assert_eq!(run(&desk, &path).code, 4);
    // A host that does not answer fails its own steps only.
    desk.write("vault", "id 1");
    desk.write("vault-down", "");
    let ran = run(&desk, &path);
    assert_eq!(ran.code, 7);
    assert!(
        ran.err
            .contains("vault cannot be reached: connection refused")
    );
    fs::remove_file(desk.path("vault-down")).unwrap();
    assert!(!desk.has("state") && desk.has("left/a"));
    assert_eq!(run(&desk, &path).code, 0);
}

#[test]
fn a_file_of_somebody_else_must_be_pinned() {
    let (mut desk, path) = saved();
    let saved: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let hash = saved["hash"].as_str().unwrap();
    let pinned = |desk: &Desk, hash: &str| {
        let path = path.to_str().unwrap();
        desk.run(&["--plan", path, "--yes", "--approve", hash, "-n"])
    };
    let other = format!("sha256:{}", "0".repeat(64));
    assert_eq!(pinned(&desk, &other).code, 4);

    let owner = desk.uid;
    desk.uid += 1;
    let ran = run(&desk, &path);
    assert_eq!(ran.code, 8);
    assert!(ran.err.contains("not to you"));
    assert_eq!(pinned(&desk, hash).code, 3);
    desk.uid = owner;

    for bits in [0o620, 0o602] {
        fs::set_permissions(&path, Permissions::from_mode(bits)).unwrap();
        let ran = run(&desk, &path);
        assert_eq!(ran.code, 8);
        assert!(ran.err.contains("others can write to it"));
        assert_eq!(pinned(&desk, hash).code, 3);
    }
    assert!(desk.has("left/a"));
}

#[test]
fn only_a_file_is_a_plan_file() {
    let (desk, path) = saved();
    assert_eq!(run(&desk, &desk.path("none.json")).code, 2);
    assert_eq!(run(&desk, &desk.path("left")).code, 8);
    fs::remove_file(&path).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, mode, 0).unwrap();
    assert_eq!(run(&desk, &path).code, 8);
    // Larger than any plan, and no disk needed for it.
    fs::remove_file(&path).unwrap();
    let file = fs::File::create(&path).unwrap();
    file.set_len(plan_file::MAX + 1).unwrap();
    file.set_permissions(Permissions::from_mode(0o600)).unwrap();
    let ran = run(&desk, &path);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("larger than 64 MiB"));
}

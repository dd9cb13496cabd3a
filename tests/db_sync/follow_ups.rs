//! What is run once staging has changed.

use super::own::{NEW, Own};
use crate::support::{Ran, scratch};
use std::path::{Path, PathBuf};

/// The command that a run which did not do all says to go on with.
fn going_on(ran: &Ran) -> String {
    let (_, rest) = ran.stderr.split_once("go on with db-sync --plan ").unwrap();
    rest.split_once(" --yes").unwrap().0.to_owned()
}

#[test]
fn a_failing_follow_up_is_told_and_gone_on_with() {
    let [first, flag, last] = ["follow-first", "follow-flag", "follow-last"].map(scratch);
    let touch = |path: &Path| format!("[\"touch\", \"{}\"]", path.display());
    let cache = format!(
        "test -e {} || {{ echo the cache is down >&2; exit 3; }}",
        flag.display()
    );
    let own = Own::new(
        "follow",
        &format!(
            "follow_ups = [{}, [\"sh\", \"-c\", \"{cache}\"], {}]",
            touch(&first),
            touch(&last)
        ),
    );
    let plan = own.db_sync([own.name, "--dry-run"]).expect(3);
    let shown = plan.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for what in ["follow-up-1", "follow-up-2", "follow-up-3", "run touch"] {
        assert!(shown.contains(what), "{what}: {}", plan.stdout);
    }
    assert!(!first.exists());

    // Staging is new all the same: what comes after the cut-over cannot undo it.
    let ran = own.sync().expect(6);
    assert_eq!(own.seen(), NEW);
    assert!(first.exists() && !last.exists());
    for told in [
        "exit status: 3",
        "the cache is down",
        "staging has been replaced already",
    ] {
        assert!(ran.stdout.contains(told), "{told}: {}", ran.stdout);
    }
    let journal = own.journals();
    assert!(journal.contains("the cache is down"), "{journal}");

    // What is left is done, and what is done is not run again.
    std::fs::write(&flag, "").unwrap();
    std::fs::remove_file(&first).unwrap();
    let plan = going_on(&ran);
    own.db_sync(["--plan", &plan, "--yes"]).expect(0);
    assert!(last.exists() && !first.exists());
    std::fs::remove_file(&last).unwrap();
    own.db_sync(["--plan", &plan, "--yes"]).expect(0);
    assert!(!last.exists());
}

/// Until the processes whose numbers are in the file have ended.
fn await_end(numbers: &Path) {
    for number in std::fs::read_to_string(numbers).unwrap().lines() {
        let stat = PathBuf::from(format!("/proc/{number}/stat"));
        // Gone, or dead and not yet waited for.
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_follow_up_without_end_is_ended_with_its_children() {
    let number = scratch("endless-number");
    let endless = format!(
        "echo begun; sleep 86400 & echo $! > {}; wait",
        number.display()
    );
    let own = Own::new(
        "endless",
        &format!("follow_ups = [[\"sh\", \"-c\", \"{endless}\"]]\nfollow_up_deadline = \"5s\""),
    );
    let ran = own.sync().expect(6);
    assert_eq!(own.seen(), NEW);
    for told in ["did not end within 5 s", "begun"] {
        assert!(ran.stdout.contains(told), "{told}: {}", ran.stdout);
    }
    await_end(&number);
    // The same again, with what is left.
    let again = own.db_sync(["--plan", &going_on(&ran), "--yes"]);
    let again = again.expect(6);
    assert!(
        again.stdout.contains("did not end within 5 s"),
        "{}",
        again.stdout
    );
}

#[test]
fn a_killed_tool_takes_its_follow_up_along() {
    let [numbers, flag] = ["orphan-numbers", "orphan-flag"].map(scratch);
    let endless = format!(
        "test -e {} && exit; sleep 86400 & echo $! >> {1}; echo $$ >> {1}; wait",
        flag.display(),
        numbers.display()
    );
    let own = Own::new(
        "orphan",
        &format!("follow_ups = [[\"sh\", \"-c\", \"{endless}\"]]"),
    );
    let plan = scratch("orphan.json").to_str().unwrap().to_owned();
    own.db_sync([own.name, "--save-plan", &plan]).expect(3);
    let mut tool = own.start(["--plan", &plan, "--yes"]);
    while std::fs::read_to_string(&numbers).map_or(0, |text| text.lines().count()) < 2 {
        assert_eq!(tool.try_wait().unwrap(), None, "ended before its follow-up");
        std::thread::yield_now();
    }
    tool.kill().unwrap();
    tool.wait().unwrap();
    await_end(&numbers);

    std::fs::write(&flag, "").unwrap();
    own.db_sync(["--plan", &plan, "--yes"]).expect(0);
    assert_eq!(own.seen(), NEW);
}

#[test]
fn a_follow_up_that_is_named_twice_runs_twice() {
    let times = scratch("twice-times");
    let append = format!("[\"sh\", \"-c\", \"echo ran >> {}\"]", times.display());
    let own = Own::new("again", &format!("follow_ups = [{append}, {append}]"));
    own.sync().expect(0);
    assert_eq!(std::fs::read_to_string(&times).unwrap(), "ran\nran\n");
}

//! What is run once staging has changed.

use std::path::Path;

use super::own::{NEW, Own};
use crate::support::{Ran, sandbox, scratch};

/// The command that a run which did not do all says to go on with.
fn going_on(ran: &Ran) -> String {
    let (_, rest) = ran.stderr.split_once("go on with db-sync --plan ").unwrap();
    rest.split_once(" --yes").unwrap().0.to_owned()
}

/// All that the journals about that subject say.
fn journals(subject: &str) -> String {
    let entries = std::fs::read_dir(sandbox().dir().join("state/journal")).unwrap();
    let texts = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().contains(&format!("-{subject}-")))
        .map(|path| std::fs::read_to_string(path).unwrap());
    texts.collect()
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
    let journal = journals(&own.staging);
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
    let number = std::fs::read_to_string(&number).unwrap();
    let stat = format!("/proc/{}/stat", number.trim());
    // Gone, or dead and not yet waited for.
    while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        std::thread::yield_now();
    }
    // The same again, with what is left.
    let again = own.db_sync(["--plan", &going_on(&ran), "--yes"]);
    let again = again.expect(6);
    assert!(
        again.stdout.contains("did not end within 5 s"),
        "{}",
        again.stdout
    );
}

//! Runs: who says yes, how they end, what they leave behind.

use std::fs;

use opsweek_core::engine::journal::{self, Entry};

use super::{Desk, mode};

const ARCHIVE: [&str; 2] = ["elvis", "--archive"];
const KEEP: [&str; 3] = ["elvis", "--keep", "--yes"];

#[test]
fn the_typed_subject_is_a_yes() {
    let desk = Desk::with(&[("a", "1")]);
    let args = [
        "elvis",
        "--archive",
        "--task",
        "T123",
        "--reason",
        "has left",
    ];
    let ran = desk.answered(&["elvis"], &args);
    assert_eq!(ran.code, 0);
    insta::assert_snapshot!(ran.out, @"
    elvis

    left
     NAME
     a

    clear elvis

    copy
     STEP    STATE  RISK  WHAT
     copy a               copy left/a to kept/a

    remove
     STEP      STATE  RISK          WHAT
     remove a         IRREVERSIBLE  remove left/a

    Outcome: clear elvis

    copy
     STEP    STATE  RISK  WHAT
     copy a  done         copy left/a to kept/a

    remove
     STEP      STATE  RISK          WHAT
     remove a  done   IRREVERSIBLE  remove left/a

    What is left: elvis

    left
     NAME
    ");
    insta::assert_snapshot!(ran.err, @"
    ? clear elvis. Some steps CANNOT be undone. Type elvis to go on []
    START copy a: copy left/a to kept/a
    DONE copy a
    START remove a: remove left/a
    DONE remove a
    !log elvis@stat1008 toy elvis: clear elvis: has left (T123) [exit 0]
    ");
    assert!(!desk.has("left/a") && desk.has("kept/a") && !desk.has("lock"));
}

#[test]
fn anything_else_is_a_no() {
    let desk = Desk::with(&[("a", "1")]);
    for answer in ["", "yes", "y", "Elvis", "elvis ", "presley"] {
        let ran = desk.answered(&[answer], &ARCHIVE);
        assert_eq!(ran.code, 5, "{answer}");
        assert!(ran.err.ends_with("error: declined: nothing was changed\n"));
    }
    assert!(desk.has("left/a") && !desk.has("kept/a") && !desk.has("state"));
}

#[test]
fn without_a_terminal_there_is_nobody_to_ask() {
    let desk = Desk::with(&[("a", "1")]);
    // Not even --yes answers for what cannot be undone.
    for args in [&ARCHIVE as &[&str], &["elvis", "--archive", "--yes"]] {
        let ran = desk.run(args);
        assert_eq!(ran.code, 5);
        insta::allow_duplicates! { insta::assert_snapshot!(ran.err, @"
        error: nobody to ask: there is no terminal
        hint: some steps cannot be undone: review the plan (--save-plan FILE), then run it (--plan FILE --yes)
        "); }
    }
    let ran = desk.run(&["elvis", "--keep"]);
    assert_eq!(ran.code, 5);
    assert!(ran.err.contains("hint: --yes answers"));
    assert!(!desk.has("kept/a"));
    // What it does answer for; that something is left then is told.
    assert_eq!(desk.run(&KEEP).code, 3);
    assert!(desk.has("kept/a"));
}

#[test]
fn yes_at_a_terminal_still_asks_before_what_cannot_be_undone() {
    let desk = Desk::with(&[("a", "1")]);
    let args = ["elvis", "--archive", "--yes", "--format", "json"];
    let ran = desk.answered(&["no"], &args);
    assert_eq!(ran.code, 5);
    // Nobody decides on what is only in a document that is yet to come.
    assert!(ran.err.contains("IRREVERSIBLE  remove left/a"));
}

#[test]
fn a_missing_choice_is_asked_for() {
    let desk = Desk::with(&[("a", "1")]);
    let args = ["elvis", "--keep", "--give", "-n"];
    let ran = desk.run(&args);
    assert_eq!(ran.code, 5);
    assert_eq!(
        ran.err,
        "error: unanswered: who gets it?\nhint: give --owner\n"
    );
    let ran = desk.answered(&["aqu"], &args);
    assert_eq!((ran.code, &*ran.err), (3, "? who gets it? [analytics]\n"));
    assert_eq!(desk.answered(&["root"], &args).code, 8);
    assert_eq!(desk.answered(&["again"], &args).code, 1);
    let ran = desk.run(&["elvis", "--keep", "--give", "-n", "--yes"]);
    let said = "who gets it? analytics (by --yes)\n";
    assert_eq!((ran.code, &*ran.err), (3, said));
}

#[test]
fn every_refusal_is_told() {
    let desk = Desk::with(&[("a", "1")]);
    desk.write("active", "");
    let ran = desk.answered(&[], &ARCHIVE);
    assert_eq!(ran.code, 8);
    insta::assert_snapshot!(ran.err, @"
    error: elvis can still log in
    hint: --even-if-active
    error: elvis runs an application
    hint: --even-if-active
    ");
}

#[test]
fn an_unsound_plan_of_our_own_never_runs() {
    let desk = Desk::with(&[("a", "1")]);
    desk.write("unsound", "");
    let ran = desk.answered(&[], &ARCHIVE);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("destroys before kept/a is proven"));
    assert!(desk.has("left/a"));
}

#[test]
fn how_a_run_ends_is_its_exit_code() {
    let ends: [(u8, &[(&str, &str)]); 6] = [
        (1, &[("a", "fail")]),
        // All is done, but the lock is gone that was to be given back.
        (1, &[("a", "thief")]),
        (6, &[("a", "1"), ("b", "fail")]),
        (6, &[("a", "stop")]),
        (7, &[("a", "cut")]),
        (7, &[("a", "cut"), ("b", "fail")]),
    ];
    for (code, left) in ends {
        let desk = Desk::with(left);
        let ran = desk.answered(&["elvis"], &ARCHIVE);
        assert_eq!(ran.code, code, "{left:?}: {ran:?}");
        assert!(!desk.has("lock"));
        assert!(ran.err.contains(&format!(" [exit {code}]")));
    }
}

#[test]
fn a_failed_run_says_why_and_how_to_go_on() {
    let desk = Desk::with(&[("a", "fail"), ("b", "2")]);
    let ran = desk.answered(&["elvis"], &ARCHIVE);
    insta::assert_snapshot!(ran.out, @"
    elvis

    left
     NAME
     a
     b

    clear elvis

    copy
     STEP    STATE  RISK  WHAT
     copy a               copy left/a to kept/a
     copy b               copy left/b to kept/b

    remove
     STEP      STATE  RISK          WHAT
     remove a         IRREVERSIBLE  remove left/a
     remove b         IRREVERSIBLE  remove left/b

    Outcome: clear elvis

    copy
     STEP    STATE              RISK  WHAT
     copy a  failed: disk full        copy left/a to kept/a
     copy b  done                     copy left/b to kept/b

    remove
     STEP      STATE                                     RISK          WHAT
     remove a  skipped: needs copy a, which is not done  IRREVERSIBLE  remove left/a
     remove b  done                                      IRREVERSIBLE  remove left/b

    - hint: make room

    What is left: elvis

    left
     NAME
     a
    ");
    insta::assert_snapshot!(ran.err, @"
    ? clear elvis. Some steps CANNOT be undone. Type elvis to go on []
    START copy a: copy left/a to kept/a
    FAILED copy a: disk full
    START copy b: copy left/b to kept/b
    DONE copy b
    START remove b: remove left/b
    DONE remove b
    hint: go on with toy --plan DIR/state/plans/toy-elvis-HASH.json --yes
    !log elvis@stat1008 toy elvis: clear elvis [exit 6]
    ");

    // The same plan goes on; until then every later run says so.
    let plan = desk.only("state/plans");
    let plan = plan.to_str().unwrap();
    let ran = desk.run(&["elvis", "--archive", "-n"]);
    assert_eq!(ran.code, 3);
    insta::assert_snapshot!(ran.err, @"hint: an unfinished run of toy elvis (elvis@stat1008, TIME): continue with toy --plan DIR/state/plans/toy-elvis-HASH.json --yes");
    assert_eq!(desk.run(&["elvis"]).err, "");
    assert_eq!(desk.run(&["presley", "--archive", "-n"]).err, "");
    let ran = desk.run(&["--plan", plan, "--yes"]);
    assert_eq!(ran.code, 6);
    assert!(!ran.err.contains("unfinished"));
}

#[test]
fn a_run_that_was_killed_is_told() {
    let desk = Desk::with(&[("a", "1")]);
    assert_eq!(desk.answered(&["elvis"], &ARCHIVE).code, 0);
    desk.write("left/b", "1");
    assert!(
        !desk
            .run(&["elvis", "--keep", "-n"])
            .err
            .contains("unfinished")
    );
    let path = desk.only("state/journal");
    let text = fs::read_to_string(&path).unwrap();
    let end = text.trim_end().rfind('\n').unwrap();
    fs::write(&path, &text[..end]).unwrap();
    assert!(
        desk.run(&["elvis", "--keep", "-n"])
            .err
            .contains("unfinished")
    );
}

#[test]
fn drift_stops_the_run() {
    let desk = Desk::with(&[("a", "1")]);
    let plan = desk.path("plan.json");
    let plan = plan.to_str().unwrap();
    assert_eq!(
        desk.run(&["elvis", "--archive", "--save-plan", plan]).code,
        3
    );
    desk.write("left/a", "2");
    assert_eq!(desk.run(&["--plan", plan, "-n"]).code, 4);
    let ran = desk.run(&["--plan", plan, "--yes"]);
    assert_eq!(ran.code, 4);
    assert!(ran.out.contains("drifted: left/a has changed"));
    // The same plan would only say so again.
    assert!(ran.err.contains("plan again") && !ran.err.contains("go on with"));
    assert!(desk.has("left/a") && !desk.has("kept/a"));
}

#[test]
fn a_lock_that_is_held_is_respected() {
    let desk = Desk::with(&[("a", "1")]);
    desk.write("lock", "presley@stat1009 sha256:0");
    let ran = desk.run(&KEEP);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err
            .contains("error: cannot lock elvis\ncaused by: held by presley@stat1009")
    );
    assert!(desk.has("lock") && !desk.has("kept/a"));
}

#[test]
fn nothing_is_begun_that_cannot_be_recorded() {
    let desk = Desk::with(&[("a", "1")]);
    desk.write("state", "not a folder");
    let ran = desk.run(&KEEP);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("state_dir"));
    assert!(!desk.has("kept/a") && !desk.has("lock"));
}

#[test]
fn the_run_is_recorded() {
    let desk = Desk::with(&[("a", "1")]);
    desk.answered(&["elvis"], &["elvis", "--archive", "--task", "T123"]);
    let path = desk.only("state/journal");
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(&desk.path("state/journal")), 0o700);
    let records = journal::read(&path).unwrap();
    let Entry::Run(header) = &records[0].entry else {
        panic!("{records:?}")
    };
    assert_eq!(header.by, "elvis@stat1008");
    assert_eq!(header.task.as_deref(), Some("T123"));
    assert_eq!(records.last().unwrap().entry, Entry::Ended(0));
    assert_eq!(mode(&desk.only("state/plans")), 0o600);
}

#[test]
fn the_log_line_is_handed_over_as_one_argument() {
    let desk = Desk::with(&[("a", "1")]);
    let script = r#"printf %s "$1" > "$0""#;
    let log = desk.path("log").display().to_string();
    desk.configure(&format!("log_command = ['sh', '-c', '{script}', '{log}']"));
    let args = ["--reason", "$(reboot); done"];
    let ran = desk.answered(&["elvis"], &[&ARCHIVE as &[&str], &args].concat());
    assert_eq!(ran.code, 0);
    let line = "!log elvis@stat1008 toy elvis: clear elvis: $(reboot); done [exit 0]";
    assert_eq!(fs::read_to_string(desk.path("log")).unwrap(), line);

    desk.write("left/a2", "1");
    desk.configure("log_command = ['false']");
    let ran = desk.answered(&["elvis"], &ARCHIVE);
    assert_eq!(ran.code, 0);
    assert!(ran.err.contains("error: log command false: exit status: 1"));
}

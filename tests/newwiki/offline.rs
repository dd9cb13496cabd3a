//! `newwiki --offline`: the two files and nothing else.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::files::{ALLOWLIST, GROUPED, Refinery};

fn tsv(projects: &[&str]) -> String {
    let row = |one: &&str| format!("project\t{one}\t2015-10-12 00:00:00\n");
    projects.iter().map(row).collect()
}

#[test]
fn several_wikis_in_both_files() {
    let refinery = Refinery::with(
        tsv(&["ab.wikipedia", "cd.wikipedia"]) + "agent_type\tuser\t2015-10-12 00:00:00\n",
        "# header\nenwiki,1,675849233\ncdwiki,14,1\nabwiki,14,1\n",
    );
    let ran = refinery.done(&[
        "bcwiki",
        "azywiki",
        "bcwikibooks",
        "--date",
        "2024-06-21",
        "--task",
        "T123456",
    ]);
    assert_eq!(
        refinery.text(ALLOWLIST),
        "project\tab.wikipedia\t2015-10-12 00:00:00\n\
         project\tazy.wikipedia\t2024-06-21 00:00:00\n\
         project\tbc.wikibooks\t2024-06-21 00:00:00\n\
         project\tbc.wikipedia\t2024-06-21 00:00:00\n\
         project\tcd.wikipedia\t2015-10-12 00:00:00\n\
         agent_type\tuser\t2015-10-12 00:00:00\n"
    );
    assert_eq!(
        refinery.text(GROUPED),
        "# header\nenwiki,1,675849233\ncdwiki,14,1\nabwiki,14,1\n\
         bcwiki,14,1\nazywiki,14,1\nbcwikibooks,14,1\n"
    );
    // It says loudly what it did not do, wherever somebody may look.
    assert!(ran.stdout.starts_with("OFFLINE"), "{}", ran.stdout);
    assert!(
        ran.stderr.contains("OFFLINE") && ran.stderr.contains("(T123456)"),
        "{}",
        ran.stderr
    );
    // Nothing else is in the refinery, and the files are as readable as before.
    assert_eq!(refinery.files().len(), 2);
    let mode = std::fs::metadata(refinery.path(ALLOWLIST))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o664);
}

#[test]
fn today_is_the_date_where_none_is_given() {
    let refinery = Refinery::today();
    let day = || {
        let out = std::process::Command::new("date")
            .args(["-u", "+%F"])
            .output()
            .unwrap();
        String::from_utf8(out.stdout).unwrap().trim().to_owned()
    };
    let before = day();
    refinery.done(&["--project", "azy.wikipedia"]);
    let rows = [before, day()].map(|day| format!("project\tazy.wikipedia\t{day} 00:00:00\n"));
    let text = refinery.text(ALLOWLIST);
    assert!(rows.iter().any(|row| text.contains(row)));
}

#[test]
fn only_one_file_is_touched() {
    for (only, file, other) in [
        ("allowlist", ALLOWLIST, GROUPED),
        ("sqoop", GROUPED, ALLOWLIST),
    ] {
        let refinery = Refinery::today();
        let untouched = refinery.bytes(other);
        std::fs::remove_file(refinery.path(other)).unwrap();
        refinery.done(&["azywiki", "--only", only]);
        assert!(refinery.text(file).contains("azy"));
        assert!(!refinery.path(other).exists());
        refinery.write(other, untouched);
        refinery.done(&["azywiki"]);
        assert!(refinery.text(other).contains("azy"));
    }
}

#[test]
fn wikis_and_values_go() {
    let refinery = Refinery::with(
        tsv(&[
            "ab.wikipedia",
            "api.wikimedia",
            "cd.wikipedia",
            "cd.wikipedia",
            "wikidata",
        ]),
        "# header\nabwiki,1,9\ncdwiki,14,1",
    );
    refinery.done(&[
        "--drop",
        "abwiki",
        "--drop",
        "cdwiki",
        "--drop-project",
        "api.wikimedia",
    ]);
    assert_eq!(refinery.text(ALLOWLIST), tsv(&["wikidata"]));
    assert_eq!(refinery.text(GROUPED), "# header\n");

    // In and out at once, in one file each.
    let refinery = Refinery::with(tsv(&["ab.wikipedia"]), "abwiki,14,1\n");
    refinery.done(&[
        "cdwiki",
        "--only",
        "sqoop",
        "--drop-project",
        "ab.wikipedia",
    ]);
    assert_eq!(refinery.text(ALLOWLIST), "");
    assert_eq!(refinery.text(GROUPED), "abwiki,14,1\ncdwiki,14,1\n");
}

#[test]
fn odd_bytes_stay_as_they_are() {
    let tsv = b"project\tab.wikipedia\t2015-10-12 12:00:00\r\n\
        project x\xff y\n\
        \n\
        project\tcd.wikipedia\t2018-05-21 00-00-00\n\
        project\tcd.wikipedia\t2018-05-21 00:00:00\n\
        agent_type\tuser\t2015-10-12 00:00:00";
    let csv = b"# h\r\nabwiki,1,9\r\n\ncd\xff,14\n  \ncdwiki,14,1";
    let refinery = Refinery::with(tsv, csv);
    let ran = refinery.done(&["bcwiki", "--date", "2024-06-21"]);
    let (after, grouped) = refinery.both();
    let row = b"project\tbc.wikipedia\t2024-06-21 00:00:00\n";
    let place = tsv.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let expected = [&tsv[..place], row, &tsv[place..], b"\n"].concat();
    assert_eq!(after, expected);
    assert_eq!(grouped, [csv.as_slice(), b"\nbcwiki,14,1\n"].concat());
    // All of it is told, the duplicate first.
    let told = [
        "DUPLICATE",
        "carriage return",
        "not UTF-8",
        "blank line",
        "no newline at the end",
        "not at 00:00:00",
    ];
    for one in told {
        assert!(ran.stdout.contains(one), "{one}: {}", ran.stdout);
    }
    let first = told
        .iter()
        .min_by_key(|one| ran.stdout.find(**one))
        .unwrap();
    assert_eq!(*first, "DUPLICATE");
}

#[test]
fn mending_is_asked_for() {
    let refinery = Refinery::today();
    let (before, grouped) = refinery.both();
    let dry = refinery
        .offline(&["--fix-lint", "azywiki", "--dry-run"])
        .expect(3);
    for step in ["mend-allowlist", "edit-allowlist", "edit-sqoop"] {
        assert!(dry.stdout.contains(step), "{}", dry.stdout);
    }
    assert_eq!(refinery.both(), (before.clone(), grouped.clone()));
    refinery.done(&["--fix-lint"]);
    let after = refinery.text(ALLOWLIST);
    assert_eq!(after.matches("gr.wikimedia").count(), 1);
    assert!(after.contains("project\tnyc.wikimedia\t2018-05-21 00:00:00\n"));
    assert_eq!(
        after.lines().count() + 1,
        String::from_utf8(before).unwrap().lines().count()
    );
    // A group in several pieces is nothing that a tool should join.
    assert_eq!(refinery.bytes(GROUPED), grouped);
    let again = refinery.done(&["--fix-lint"]);
    assert!(again.stderr.contains("nothing to do"));
}

#[test]
fn a_plan_is_reviewed_and_run_later() {
    let refinery = Refinery::today();
    let before = refinery.both();
    let plan = refinery.folder.path().join("plan.json");
    let plan = plan.to_str().unwrap();
    let saved = refinery
        .offline(&["azywiki", "bolwiki", "--fix-lint", "--save-plan", plan])
        .expect(3);
    assert!(saved.stdout.contains("OFFLINE"));
    assert_eq!(refinery.both(), before);
    // Rows, not the file.
    assert!(std::fs::metadata(plan).unwrap().len() < 20_000);
    refinery.run(&["--plan", plan, "--yes"]).expect(0);
    assert!(
        refinery
            .text(GROUPED)
            .ends_with("azywiki,14,1\nbolwiki,14,1\n")
    );
    let done = refinery.both();
    let again = refinery.run(&["--plan", plan, "--yes"]).expect(0);
    assert!(again.stdout.contains("already done"), "{}", again.stdout);
    assert_eq!(refinery.both(), done);
}

#[test]
fn a_file_that_somebody_edits_meanwhile_is_left_alone() {
    let refinery = Refinery::today();
    let plan = refinery.folder.path().join("plan.json");
    let plan = plan.to_str().unwrap();
    refinery
        .offline(&["azywiki", "--save-plan", plan])
        .expect(3);
    let mut theirs = refinery.text(ALLOWLIST);
    theirs.push_str("project\tzz.wikipedia\t2026-11-21 00:00:00\n");
    refinery.write(ALLOWLIST, &theirs);
    let ran = refinery.run(&["--plan", plan, "--yes"]).expect(6);
    assert!(
        ran.stdout.contains("edited by somebody else"),
        "{}",
        ran.stdout
    );
    assert_eq!(refinery.text(ALLOWLIST), theirs);
    // The other file is a lane of its own; a new plan does the rest.
    assert!(refinery.text(GROUPED).ends_with("azywiki,14,1\n"));
    refinery.done(&["azywiki"]);
    assert!(refinery.text(ALLOWLIST).contains("azy.wikipedia"));
}

#[test]
fn a_run_that_is_killed_is_gone_on_with() {
    let whole = Refinery::today();
    whole.done(&["azywiki", "--fix-lint", "--date", "2024-06-21"]);
    for step in ["mend-allowlist", "edit-allowlist", "edit-sqoop"] {
        for moment in ["started", "applied", "finished"] {
            let refinery = Refinery::today();
            let plan = refinery.folder.path().join("plan.json");
            let plan = plan.to_str().unwrap();
            refinery
                .offline(&[
                    "azywiki",
                    "--fix-lint",
                    "--date",
                    "2024-06-21",
                    "--save-plan",
                    plan,
                ])
                .expect(3);
            let mut killed = refinery.command();
            killed.env("OPSWEEK_CRASH", format!("{moment}:{step}"));
            let killed = killed.args(["--plan", plan, "--yes"]).output().unwrap();
            assert!(killed.status.code().is_none(), "{moment} {step}");
            refinery.run(&["--plan", plan, "--yes"]).expect(0);
            assert!(refinery.both() == whole.both(), "{moment} {step}");
            assert_eq!(refinery.files().len(), 2, "{moment} {step}");
        }
    }
}

#[test]
fn what_is_no_name_is_refused() {
    let refinery = Refinery::today();
    let before = refinery.both();
    for (arguments, code, hint) in [
        (&["Azywiki"][..], 8, "azywiki"),
        (&["azy.wikipedia"], 8, "--project azy.wikipedia"),
        (&["azywiki_p"], 8, ""),
        (&["azywiki", "../../etc/passwd"], 8, ""),
        (&["azywiki\n"], 8, ""),
        (&["azy'wiki"], 8, ""),
        (&[""], 8, ""),
        (&["--project", "azywiki"], 8, "azy.wikipedia"),
        (&["--project", "azy.wikipedia.org"], 8, ".org"),
        (&["--project", "azy.wikipedia\tx"], 8, ""),
        (&["--drop", "azy"], 8, ""),
        (&["--drop-project", "a\tb"], 8, ""),
        (&["--drop", "azywiki", "azywiki"], 8, ""),
        (&["--date", "2024-02-30", "azywiki"], 2, "YYYY-MM-DD"),
        (&["--date", "today", "azywiki"], 2, "YYYY-MM-DD"),
        (&["--only", "both", "azywiki"], 2, "sqoop"),
        (&["--push", "azywiki"], 2, "--offline"),
        (&["--sync-hdfs", "azywiki"], 2, "--offline"),
        (&["--audit"], 2, "--offline"),
        (&["--project", "azy.wikidpedia"], 8, "azy.wikipedia?"),
        (
            &["https://azy.wikipedia.org/"],
            8,
            "--project azy.wikipedia",
        ),
        (&[], 2, "--help"),
    ] {
        let ran = refinery.offline(&[&["--yes"], arguments].concat());
        assert_eq!(ran.code, Some(code), "{arguments:?}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("error:"),
            "{arguments:?}: {}",
            ran.stderr
        );
        assert!(ran.stderr.contains(hint), "{arguments:?}: {}", ran.stderr);
    }
    assert_eq!(refinery.both(), before);
}

#[test]
fn a_refinery_that_is_none() {
    let refinery = Refinery::today();
    std::fs::remove_file(refinery.path(GROUPED)).unwrap();
    let before = refinery.bytes(ALLOWLIST);
    let ran = refinery.offline(&["azywiki", "--yes"]).expect(7);
    assert!(
        ran.stderr.contains("grouped_wikis.csv") && ran.stderr.contains("--only allowlist"),
        "{}",
        ran.stderr
    );
    assert_eq!(refinery.bytes(ALLOWLIST), before);
    refinery
        .run(&[
            "--offline",
            "--refinery",
            "/nonexistent",
            "azywiki",
            "--yes",
        ])
        .expect(2);
    refinery.run(&["--offline", "azywiki", "--yes"]).expect(2);
    // Only --offline does without a configuration.
    let path = refinery.path("");
    let ran = refinery
        .run(&["--refinery", path.to_str().unwrap(), "azywiki", "--yes"])
        .expect(2);
    assert!(ran.stderr.contains("no configuration"), "{}", ran.stderr);
}

/// A file, or a folder on the way to it, that is a link could lead anywhere.
#[test]
fn nothing_is_edited_through_a_link() {
    for linked in [ALLOWLIST, "static_data/pageview"] {
        let refinery = Refinery::today();
        let before = refinery.bytes(ALLOWLIST);
        let plan = refinery.folder.path().join("plan.json");
        let plan = plan.to_str().unwrap();
        let asked = ["azywiki", "--only", "allowlist"];
        let save = [&asked[..], &["--save-plan", plan]].concat();
        refinery.offline(&save).expect(3);
        let place = refinery.path(linked);
        let elsewhere = refinery.folder.path().join("elsewhere");
        std::fs::rename(&place, &elsewhere).unwrap();
        symlink(&elsewhere, &place).unwrap();
        let run = [&asked[..], &["--yes"]].concat();
        let ran = refinery.offline(&run).expect(7);
        for told in ["is behind a link", "hint: put the file itself there"] {
            assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
        }
        // And by a plan of before.
        let ran = refinery.run(&["--plan", plan, "--yes"]).expect(7);
        assert!(ran.stderr.contains("is behind a link"), "{}", ran.stderr);
        assert_eq!(refinery.bytes(ALLOWLIST), before);
        assert!(place.is_symlink());
    }
    // The whole checkout may be behind one.
    let refinery = Refinery::today();
    let link = refinery.folder.path().join("link");
    symlink(refinery.path(""), &link).unwrap();
    let link = link.to_str().unwrap();
    let ran = refinery.run(&["--offline", "--refinery", link, "azywiki", "--yes"]);
    ran.expect(0);
    assert!(refinery.text(ALLOWLIST).contains("azy.wikipedia"));
}

#[test]
fn a_sqoop_list_without_a_group_is_refused() {
    let refinery = Refinery::with(tsv(&["ab.wikipedia"]), "# header\n");
    let before = refinery.both();
    let ran = refinery.offline(&["azywiki", "--yes"]).expect(8);
    assert!(ran.stderr.contains("no row whose group"), "{}", ran.stderr);
    assert_eq!(refinery.both(), before);
}

#[test]
fn nobody_answers_without_yes() {
    let refinery = Refinery::today();
    let before = refinery.both();
    let ran = refinery.offline(&["azywiki"]).expect(5);
    assert!(ran.stderr.contains("--yes"), "{}", ran.stderr);
    assert_eq!(refinery.both(), before);
}

#[test]
fn json_is_one_document() {
    let refinery = Refinery::today();
    let ran = refinery
        .offline(&["azywiki", "--dry-run", "--format", "json"])
        .expect(3);
    let json = ran.json();
    assert_eq!(json["plan"]["subject"], "azywiki");
    let insert = &json["plan"]["steps"][1]["action"]["file"]["edit"]["hunks"][0]["insert"][0];
    assert_eq!(insert, "azywiki,14,1");
    assert!(
        json["report"]["document"]["title"]
            .as_str()
            .unwrap()
            .starts_with("OFFLINE")
    );
}

//! `--move-table` and `--include`: what lies in other places than it should.

use crate::support::{
    Ran, databases_of, in_hdfs, listing, offboard, offboard_with, on_host, sandbox, scratch, seed,
    world_of,
};

pub(super) const WAREHOUSE: &str = "/user/hive/warehouse";

pub(super) fn sql(statement: &str) -> Vec<Vec<String>> {
    sandbox().metastore_sql(statement).unwrap()
}

/// Gives the user's partitioned table `sessions`, with its files, to azy.
pub(super) fn give_to_azy(user: &str) {
    sql(&format!(
        "UPDATE TBLS t JOIN DBS d ON t.DB_ID = d.DB_ID SET t.OWNER = 'azy' \
         WHERE d.NAME = '{user}' AND t.TBL_NAME = 'sessions'"
    ));
    let folder = format!("{WAREHOUSE}/{user}.db/sessions");
    let given = sandbox().hdfs(None, &["dfs", "-chown", "-R", "azy", &folder]);
    assert!(given.unwrap().status.success());
}

/// Database, owner, location of each table and partition of this name.
pub(super) fn located(table: &str, owner: &str) -> Vec<Vec<String>> {
    sql(&format!(
        "SELECT d.NAME, t.OWNER, s.LOCATION FROM TBLS t JOIN DBS d ON t.DB_ID = d.DB_ID \
         JOIN SDS s ON t.SD_ID = s.SD_ID WHERE t.TBL_NAME = '{table}' AND t.OWNER = '{owner}' \
         UNION ALL SELECT d.NAME, p.PART_NAME, s.LOCATION FROM PARTITIONS p \
         JOIN TBLS t ON p.TBL_ID = t.TBL_ID JOIN DBS d ON t.DB_ID = d.DB_ID \
         JOIN SDS s ON p.SD_ID = s.SD_ID WHERE t.TBL_NAME = '{table}' AND t.OWNER = '{owner}'"
    ))
}

/// Plans with these flags, which ends with this code.
fn plan(user: &str, flags: &[&str], code: i32) -> (Ran, String) {
    let file = scratch(&format!("{user}.json"));
    let mut command = offboard_with(&sandbox().config_path());
    command
        .arg(user)
        .args(["--new-owner", "analytics", "--stop-processes"])
        .args(flags)
        .arg("--save-plan")
        .arg(&file);
    let planned = Ran::from(command.output().unwrap()).expect(code);
    (planned, file.to_str().unwrap().to_owned())
}

#[test]
fn others_tables_move_out_and_data_elsewhere_comes_along_and_back() {
    let user = "elvisfar";
    seed(user);
    give_to_azy(user);
    let far = format!("/wmf/data/research/{user}");
    let before = world_of(user);
    let elsewhere = listing(&[&far]);
    let archive = ["--archive", "--relocate", "--include", &far];
    let (refused, _) = plan(user, &archive, 8);
    assert!(
        refused.stderr.contains("sessions of azy") && refused.stderr.contains("--move-table"),
        "{}",
        refused.stderr
    );
    let table = format!("{user}.sessions=shared");
    let moved = [&archive[..], &["--move-table", &table]].concat();
    // Its partition of 2024 lies elsewhere, in a folder that is to go.
    let (refused, _) = plan(user, &moved, 8);
    assert!(
        refused.stderr.contains("outside the table's folder"),
        "{}",
        refused.stderr
    );
    assert_eq!(world_of(user), before);
    let clicks = format!("{far}/clicks");
    let moved = [
        "--archive",
        "--relocate",
        "--include",
        &clicks,
        "--move-table",
        &table,
    ];
    let keep = [&moved[..], &["--host-homes", "keep"]].concat();
    let (_, file) = plan(user, &keep, 3);
    let other = scratch(&format!("{user}-other.json"));
    std::fs::rename(file, &other).unwrap();
    let (_, file) = plan(user, &moved, 3);
    offboard(["--plan", &file, "--yes"]).expect(0);
    // Of two plans from one look, the later one does not take the other's records for its own.
    let late = offboard(["--plan", other.to_str().unwrap(), "--yes"]).expect(6);
    assert!(late.stdout.contains("of another plan"), "{}", late.stdout);

    let there = located("sessions", "azy");
    let at = format!("{WAREHOUSE}/shared.db/sessions");
    assert!(there.iter().all(|row| row[0] == "shared"), "{there:?}");
    assert!(there.iter().any(|row| row[2].ends_with(&at)), "{there:?}");
    let month = format!("{at}/year=2025/month=1");
    assert!(
        there.iter().any(|row| row[2].ends_with(&month)),
        "{there:?}"
    );
    let old = format!("{far}/sessions/year=2024/month=12");
    assert!(there.iter().any(|row| row[2].ends_with(&old)), "{there:?}");
    assert!(in_hdfs(&format!("{month}/part-00000.tsv")) && in_hdfs(&old));
    assert_eq!(databases_of(user), Vec::<Vec<String>>::new());
    assert!(!in_hdfs(&clicks));
    let kept = format!(
        "/wmf/data/archive/user/{user}/.opsweek/hive/{}.data",
        clicks.trim_start_matches('/').replace('/', ".")
    );
    assert!(in_hdfs(&format!("{kept}/part-00000.tsv")));
    offboard([user]).expect(0);

    offboard([user, "--restore", "--yes"]).expect(0);
    assert_eq!(listing(&[&far]), elsewhere);
    let tables = sql(&format!(
        "SELECT t.TBL_NAME FROM TBLS t JOIN DBS d ON t.DB_ID = d.DB_ID \
         WHERE d.NAME = '{user}' ORDER BY 1"
    ));
    assert!(!tables.is_empty() && !tables.contains(&vec!["sessions".to_owned()]));
    assert_eq!(located("sessions", "azy"), there);
    // Others' tests of that database see it as it was.
    sandbox()
        .hdfs(
            None,
            &["dfs", "-mv", &at, &format!("/user/azy/{user}-sessions")],
        )
        .unwrap();
}

#[test]
fn included_data_is_deleted_and_others_is_not_taken() {
    let user = "elvisdistant";
    seed(user);
    crate::offboard::delete::clear(user);
    // An account may be gone before what it left, and crontab(1) does not know it then.
    let host = &sandbox().hosts()[1].name;
    let gone = on_host(host, &format!("userdel {user}; id {user} || echo gone"));
    assert_eq!(gone, "gone\n");
    let crontab = format!("cat /var/spool/cron/crontabs/{user} | wc -l");
    assert_ne!(on_host(host, &crontab), "0\n");
    let far = format!("/wmf/data/research/{user}");
    let delete = ["--delete", "--task", "T123456", "--include", &far];
    let mine = || {
        sandbox()
            .hdfs(None, &["dfs", "-chown", user, &far])
            .unwrap()
    };
    sandbox()
        .hdfs(None, &["dfs", "-chown", "azy", &far])
        .unwrap();
    let (refused, _) = plan(user, &delete, 8);
    assert!(
        refused
            .stderr
            .contains(&format!("{far} belongs to azy, not to {user}")),
        "{}",
        refused.stderr
    );
    assert!(mine().status.success());
    let (_, file) = plan(user, &delete, 3);
    offboard(["--plan", &file, "--yes"]).expect(0);
    assert_eq!(on_host(host, &crontab), "0\n");
    assert!(!in_hdfs(&far));
    assert!(in_hdfs(&format!("/user/hdfs/.Trash/Current{far}/clicks")));
    for path in ["/user/azy", "/tmp/elvis", "/wmf/data/archive/user"] {
        plan(user, &["--archive", "--include", path], 8);
    }
}

#[test]
fn another_users_database_with_its_folder_in_the_home_is_in_the_way() {
    let user = "elvisholds";
    seed(user);
    let database = format!("in_{user}");
    let folder = format!("/user/{user}/of-azy");
    sql(&format!(
        "INSERT INTO DBS (DB_ID, DB_LOCATION_URI, NAME, OWNER_NAME, OWNER_TYPE, CTLG_NAME) \
         SELECT MAX(DB_ID) + 1000000, 'hdfs://nn{folder}', '{database}', 'azy', 'USER', 'hive' \
         FROM DBS"
    ));
    let before = world_of(user);
    let archive = ["--archive", "--relocate"];
    let delete = ["--delete", "--skip-trash", "--task", "T123456"];
    for flags in [&archive[..], &delete] {
        let (refused, _) = plan(user, flags, 8);
        let told = format!("database {database} of azy has its folder inside: {folder}");
        assert!(refused.stderr.contains(&told), "{}", refused.stderr);
    }
    assert_eq!(world_of(user), before);
    sql(&format!("DELETE FROM DBS WHERE NAME = '{database}'"));
    plan(user, &archive, 3);
}

#[test]
fn a_database_of_a_role_of_that_name_is_not_the_users() {
    let user = "elvisrole";
    seed(user);
    sql(&format!(
        "UPDATE DBS SET OWNER_TYPE = 'ROLE' WHERE NAME = '{user}'"
    ));
    let (planned, _) = plan(user, &["--archive", "--relocate"], 3);
    let told = planned.stdout;
    assert!(
        told.contains(&format!("table {user}.events in another's database")),
        "{told}"
    );
    for step in ["move-database-", "drop-"] {
        assert!(!told.contains(&format!("{step}{user}")), "{told}");
    }
}

#[test]
fn what_stays_elsewhere_is_named() {
    let user = "elvisleaves";
    seed(user);
    let far = format!("/wmf/data/research/{user}");
    // A folder of the database that is neither the warehouse's nor the home's.
    sql(&format!(
        "UPDATE DBS SET DB_LOCATION_URI = 'hdfs://nn{far}' WHERE NAME = '{user}'"
    ));
    let (planned, _) = plan(user, &["--archive", "--relocate"], 3);
    let told = format!("kept where it is: hdfs://nn{far} of the database {user}");
    assert!(planned.stdout.contains(&told), "{}", planned.stdout);
    // A table of the user in azy's database, and one of its partitions outside its folder.
    let table = format!("referrers_of_{user}");
    let inside = format!("/user/{user}/exports/referrers/year=2025/month=1");
    sql(&format!(
        "UPDATE TBLS SET OWNER = '{user}' WHERE TBL_NAME = '{table}'"
    ));
    sql(&format!(
        "UPDATE SDS SET LOCATION = REPLACE(LOCATION, '{inside}', '{far}/january')"
    ));
    let (planned, _) = plan(user, &["--archive", "--relocate"], 3);
    let partition = format!("azy.{table} partition year=2025/month=1");
    let kept = planned
        .stdout
        .lines()
        .find(|line| line.contains("kept where") && line.contains(&partition));
    let at = format!("{far}/january");
    assert!(
        kept.is_some_and(|line| line.contains(&at))
            && !planned.stdout.contains("month=2 elsewhere"),
        "{}",
        planned.stdout
    );
}

//! `--restore`: archive, restore, and the same world, by the servers' own clients.

use std::process::Command;

use serde_json::Value;

use crate::support::{
    Ran, in_hdfs, listing, offboard, offboard_with, on_host, sandbox, scratch, seed,
};

const ARCHIVE: &str = "/wmf/data/archive/user";
const HOST: &str = "stat1008.eqiad.wmnet";

/// A leaver with more that is awkward than the seed has.
fn leaver(user: &str) {
    seed(user);
    let script = format!(
        "set -e; cd /home/{user}; export LC_ALL=C
         printf x > $'odd names/not \\xff\\xfe UTF-8'; ln -s $'\\xff' $'links/\\xfe'
         setfacl -m u:{user}:rwx,d:g:analytics-privatedata-users:rwx notebooks/2024
         mkdir setgid; chgrp analytics-privatedata-users setgid; chmod 2775 setgid
         mkdir -m 700 private; echo secret > private/f; ln private/f setgid/hard
         truncate -s 20M holes; printf end >> holes
         echo n > $(printf 'n%.0s' $(seq 250))
         mkdir -p $(printf '%0100d/' 1 2 3 4); echo deep > $(printf '%0100d/' 1 2 3 4)/f
         chown -hR {user}: odd\\ names links setgid private holes n* 000*; chmod 2775 setgid
         chgrp analytics-privatedata-users setgid private/f
         touch -h -d '2023-02-03 04:05:06.123456789' links/* odd\\ names/* private/f holes; touch -d '2022-01-01 01:01:01.5' . private"
    );
    let told = on_host(HOST, &format!("({script}) 2>&1 && echo made"));
    assert!(told.ends_with("made\n"), "{told}");
    let database = user;
    // A table of the user's in another's database, with its files in the home.
    let (from, to) = (
        format!("/user/hive/warehouse/shared.db/{user}_daily"),
        format!("/user/{user}/tables/daily"),
    );
    hdfs(&["dfs", "-mv", &from, &to]);
    for (change, of) in [
        (
            format!(
                "UPDATE SDS s JOIN TBLS t ON t.SD_ID = s.SD_ID \
                 SET s.LOCATION = REPLACE(s.LOCATION, '{from}', '{to}') \
                 WHERE t.TBL_NAME = '{user}_daily'"
            ),
            "a location",
        ),
        (
            format!(
                "INSERT INTO DATABASE_PARAMS SELECT DB_ID, 'purpose', 'tests ''and'' more' FROM DBS WHERE NAME = '{database}'"
            ),
            "a property",
        ),
        (
            format!(
                "INSERT INTO FUNCS (FUNC_ID, CLASS_NAME, CREATE_TIME, DB_ID, FUNC_NAME, FUNC_TYPE, OWNER_NAME, OWNER_TYPE) \
                 SELECT 1000000 + DB_ID, 'org.example.Shout', 1, DB_ID, 'shout', 1, '{user}', 'USER' FROM DBS WHERE NAME = '{database}'"
            ),
            "a function",
        ),
        (
            format!(
                "UPDATE TBLS SET RETENTION = 7, LAST_ACCESS_TIME = 1700000000 WHERE TBL_NAME = 'events' \
                 AND DB_ID = (SELECT DB_ID FROM DBS WHERE NAME = '{database}')"
            ),
            "numbers",
        ),
    ] {
        sandbox().metastore_sql(&change).expect(of);
    }
}

fn world(user: &str) -> String {
    sandbox().listing(user).unwrap()
}

#[track_caller]
fn same(before: &str, after: &str) {
    let lost = before.lines().filter(|line| !after.contains(line));
    let new = after.lines().filter(|line| !before.contains(line));
    let lost: Vec<&str> = lost.take(20).collect();
    let new: Vec<&str> = new.take(20).collect();
    assert!(before == after, "lost: {lost:#?}\nnew: {new:#?}");
}

/// A saved plan's file and its steps' ids.
fn plan(user: &str, flags: &[&str], name: &str) -> (String, Vec<String>) {
    let file = scratch(&format!("{user}-{name}.json"));
    let file = file.to_str().unwrap().to_owned();
    let mut command = offboard_with(&sandbox().config_path());
    command.arg(user).args(flags).args(["--save-plan", &file]);
    Ran::from(command.output().unwrap()).expect(3);
    let text = std::fs::read_to_string(&file).unwrap();
    let saved: Value = serde_json::from_str(&text).unwrap();
    let steps = saved["plan"]["steps"].as_array().unwrap().iter();
    let ids = steps.map(|step| step["id"].as_str().unwrap().to_owned());
    (file, ids.collect())
}

const LEAVES: [&str; 5] = [
    "--archive",
    "--new-owner",
    "analytics",
    "--relocate",
    "--stop-processes",
];

fn archived(user: &str) {
    let (file, _) = plan(user, &LEAVES, "archive");
    offboard(["--plan", &file, "--yes"]).expect(0);
}

fn run(arguments: &[&str], code: i32) -> Ran {
    let mut command = offboard_with(&sandbox().config_path());
    Ran::from(command.args(arguments).output().unwrap()).expect(code)
}

/// Kills the run at the moment; whether it came to that.
fn kill(file: &str, moment: &str) {
    let mut command = offboard_with(&sandbox().config_path());
    command
        .env("OPSWEEK_CRASH", moment)
        .args(["--plan", file, "--yes"]);
    let ran = Ran::from(command.output().unwrap());
    assert!(
        ran.code.is_none(),
        "{moment}: {:?}\n{}",
        ran.code,
        ran.stderr
    );
}

fn hdfs(arguments: &[&str]) {
    let output = sandbox().hdfs(None, arguments).unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_same_world_though_both_directions_were_killed_three_times() {
    let user = "elvisback";
    leaver(user);
    let before = world(user);
    let (file, _) = plan(user, &LEAVES, "archive");
    for moment in [
        "applied:move-home",
        "finished:own-archive",
        "applied:drop-elvisback",
    ] {
        kill(&file, moment);
    }
    run(&["--plan", &file, "--yes"], 0);
    assert!(!in_hdfs(&format!("/user/{user}")));
    let (file, _) = plan(user, &["--restore"], "restore");
    for moment in [
        "applied:put-back-home",
        "applied:make-database-elvisback",
        &format!("finished:restore-{HOST}"),
    ] {
        kill(&file, moment);
    }
    run(&["--plan", &file, "--yes"], 0);
    same(&before, &world(user));
    // The records are in the trash, and nothing is left to restore.
    assert!(!listing(&[ARCHIVE]).contains(&format!("{ARCHIVE}/{user}")));
    let trash = format!("/user/hdfs/.Trash/Current{ARCHIVE}/.{user}.restoring");
    assert!(in_hdfs(&format!("{trash}/manifest.json")));
    let again = run(&[user, "--restore", "--yes"], 0);
    assert!(
        again.stdout.contains("there is no archive of elvisback"),
        "{}",
        again.stdout
    );
    // And the plan that is done says so.
    run(&["--plan", &file, "--yes"], 0);
    same(&before, &world(user));
}

/// Kinds of the cluster's lane in one user's run, from kill to kill.
#[test]
fn killed_around_every_kind_of_step() {
    let user = "elviskillback";
    seed(user);
    let before = world(user);
    archived(user);
    let (file, steps) = plan(user, &["--restore"], "restore");
    let kinds = [
        "set-records-aside",
        "put-back-elviskillback.db",
        "relocate-azy.referrers_of_elviskillback",
        "make-database-elviskillback",
        "owner-shared.elviskillback_daily",
        "attributes",
        "owner-files",
        "give-up-records",
    ];
    for id in kinds {
        assert!(steps.iter().any(|step| step == id), "{id}: {steps:?}");
        kill(&file, &format!("applied:{id}"));
        kill(&file, &format!("finished:{id}"));
    }
    run(&["--plan", &file, "--yes"], 0);
    same(&before, &world(user));
}

#[test]
fn killed_around_steps_on_hosts() {
    for (user, id) in [
        ("elvisunpack", "restore-stat1009.eqiad.wmnet"),
        ("elvislinger", "linger-stat1012.eqiad.wmnet"),
    ] {
        seed(user);
        let before = world(user);
        archived(user);
        let (file, _) = plan(user, &["--restore"], "restore");
        kill(&file, &format!("applied:{id}"));
        kill(&file, &format!("finished:{id}"));
        run(&["--plan", &file, "--yes"], 0);
        same(&before, &world(user));
    }
}

#[test]
fn what_was_put_back_by_hand_is_left_and_the_rest_comes() {
    let user = "elvishand";
    seed(user);
    let before = world(user);
    archived(user);
    // The home with the records in it, the database's folder, a host's home.
    let home = format!("/user/{user}");
    hdfs(&["dfs", "-mv", &format!("{ARCHIVE}/{user}"), &home]);
    let folder = format!("/user/hive/warehouse/{user}.db");
    hdfs(&[
        "dfs",
        "-mv",
        &format!("{home}/.opsweek/hive/{user}.db"),
        &folder,
    ]);
    let tarball = format!("{home}/.opsweek/hosts/{HOST}.tar.zst");
    let output = sandbox().hdfs(None, &["dfs", "-cat", &tarball]).unwrap();
    let mut unpack = Command::new(sandbox().ssh_command(HOST).unwrap().get_program());
    unpack.args(sandbox().ssh_command(HOST).unwrap().get_args());
    unpack.arg("sudo -n tar -C / --zstd -xp --numeric-owner --acls --xattrs -f -");
    let mut child = unpack.stdin(std::process::Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &output.stdout).unwrap();
    assert!(child.wait().unwrap().success());
    let (file, steps) = plan(user, &["--restore"], "restore");
    let gone = [
        "put-back-home",
        "put-back-elvishand.db",
        &format!("restore-{HOST}"),
    ];
    assert!(
        steps.iter().all(|step| !gone.contains(&step.as_str())),
        "{steps:?}"
    );
    run(&["--plan", &file, "--yes"], 0);
    same(&before, &world(user));
}

#[test]
fn what_a_drop_that_was_cut_short_took_comes_back_though_a_new_plan_never_saw_it() {
    let user = "elvishalfdrop";
    leaver(user);
    let before = world(user);
    let (file, _) = plan(user, &LEAVES, "archive");
    kill(&file, &format!("started:drop-{user}"));
    // The drop goes from table to table.
    let sql = |text: &str| sandbox().metastore_sql(text).unwrap();
    let tables = format!(
        "FROM TBLS t JOIN DBS d ON t.DB_ID = d.DB_ID WHERE d.NAME = '{user}' AND t.TBL_NAME = 'events'"
    );
    for of in ["TABLE_PARAMS", "TBL_PRIVS", "TAB_COL_STATS"] {
        sql(&format!(
            "DELETE FROM {of} WHERE TBL_ID IN (SELECT t.TBL_ID {tables})"
        ));
    }
    sql(&format!("DELETE t {tables}"));
    sql(&format!(
        "DELETE f FROM FUNCS f JOIN DBS d ON f.DB_ID = d.DB_ID WHERE d.NAME = '{user}'"
    ));
    let lock = format!("{ARCHIVE}/.{user}.lock");
    hdfs(&["dfs", "-rm", "-skipTrash", &lock]);
    let (file, _) = plan(user, &LEAVES, "again");
    run(&["--plan", &file, "--yes"], 0);
    let (file, _) = plan(user, &["--restore"], "restore");
    kill(&file, &format!("applied:make-database-{user}"));
    run(&["--plan", &file, "--yes"], 0);
    same(&before, &world(user));
}

#[test]
fn what_is_in_the_way_is_refused_and_never_touched() {
    let user = "elvisway";
    seed(user);
    let before = world(user);
    archived(user);
    let home = format!("/user/{user}");
    hdfs(&["dfs", "-mkdir", &home]);
    let ran = run(&[user, "--restore", "--dry-run"], 8);
    assert!(
        ran.stderr.contains("/user/elvisway is in the way"),
        "{}",
        ran.stderr
    );
    hdfs(&["dfs", "-rmdir", &home]);

    // A database of that name, which is another.
    let (made, database) = (scratch("elvisway.sql"), "elvisway");
    std::fs::write(&made, "").unwrap();
    let sql = |text: &str| sandbox().metastore_sql(text).unwrap();
    sql(&format!(
        "INSERT INTO DBS (DB_ID, `DESC`, DB_LOCATION_URI, NAME, OWNER_NAME, OWNER_TYPE, CTLG_NAME) \
         SELECT 2000000, 'another', DB_LOCATION_URI, '{database}', 'azy', 'USER', CTLG_NAME FROM DBS WHERE NAME = 'azy'"
    ));
    let ran = run(&[user, "--restore", "--dry-run"], 8);
    assert!(
        ran.stderr.contains("differs from the record: owner"),
        "{}",
        ran.stderr
    );
    sql("DELETE FROM DBS WHERE DB_ID = 2000000");

    // A home on a host spares that host, and the records stay.
    let (file, steps) = plan(user, &["--restore"], "early");
    assert!(steps.contains(&format!("restore-{HOST}")));
    on_host(
        HOST,
        &format!("mkdir /home/{user} && echo mine > /home/{user}/new"),
    );
    let ran = run(&["--plan", &file, "--yes"], 7);
    assert!(
        ran.stdout.contains("/home/elvisway is in the way"),
        "{}",
        ran.stdout
    );
    assert_eq!(on_host(HOST, &format!("cat /home/{user}/new")), "mine\n");
    let aside = format!("{ARCHIVE}/.{user}.restoring");
    assert!(in_hdfs(&format!("{aside}/hosts/{HOST}.tar.zst")));
    let ran = run(&[user, "--restore", "--dry-run"], 7);
    assert!(
        ran.stdout
            .contains("is there, and is not what the archive has"),
        "{}",
        ran.stdout
    );
    let mut again = vec![user];
    again.extend(LEAVES);
    again.push("--dry-run");
    let ran = run(&again, 8);
    assert!(ran.stderr.contains("is being restored"), "{}", ran.stderr);
    on_host(HOST, &format!("mv /home/{user} /home/{user}.new"));
    let (file, _) = plan(user, &["--restore"], "late");
    run(&["--plan", &file, "--yes"], 0);
    on_host(HOST, &format!("rm -r /home/{user}.new"));
    same(&before, &world(user));
}

#[test]
fn a_change_between_review_and_run_is_a_drift() {
    let user = "elvisdrifts";
    seed(user);
    archived(user);
    let (file, _) = plan(user, &["--restore"], "restore");
    hdfs(&["dfs", "-touchz", &format!("{ARCHIVE}/{user}/new")]);
    let ran = run(&["--plan", &file, "--yes"], 6);
    assert!(ran.stdout.contains("number of files was"), "{}", ran.stdout);
    assert!(!in_hdfs(&format!("/user/{user}")));
    // A new plan takes it along.
    let (file, _) = plan(user, &["--restore"], "again");
    run(&["--plan", &file, "--yes"], 0);
    assert!(in_hdfs(&format!("/user/{user}/new")));
}

#[test]
fn what_changed_since_it_was_recorded_is_not_dropped() {
    let user = "elvislater";
    seed(user);
    let (file, _) = plan(user, &LEAVES, "archive");
    kill(&file, "finished:own-archive");
    let sql = |text: &str| sandbox().metastore_sql(text).unwrap();
    let table = |column: &str, name: &str| {
        format!(
            "(SELECT t.{column} FROM TBLS t JOIN DBS d ON t.DB_ID = d.DB_ID \
             WHERE d.NAME = '{user}' AND t.TBL_NAME = '{name}')"
        )
    };
    let (events, sessions) = (table("TBL_ID", "events"), table("TBL_ID", "sessions"));
    let storage = table("SD_ID", "events");
    let new = "PART_ID >= 4000000 AND PART_NAME = 'year=2030/month=1'";
    let at = |place: &str| {
        vec![format!(
            "UPDATE SDS SET LOCATION = {place} WHERE SD_ID = {storage}"
        )]
    };
    let cases: [(&str, Vec<String>, Vec<String>); 4] = [
        (
            "a partition of elvislater.sessions",
            vec![
                format!(
                    "INSERT INTO PARTITIONS \
                     (PART_ID, CREATE_TIME, LAST_ACCESS_TIME, PART_NAME, SD_ID, TBL_ID) \
                     SELECT 4000000 + MIN(PART_ID), 1, 0, 'year=2030/month=1', MIN(SD_ID), \
                     MIN(TBL_ID) FROM PARTITIONS WHERE TBL_ID = {sessions}"
                ),
                format!(
                    "INSERT INTO PARTITION_KEY_VALS (PART_ID, PART_KEY_VAL, INTEGER_IDX) \
                     SELECT PART_ID, '2030', 0 FROM PARTITIONS WHERE {new} \
                     UNION ALL SELECT PART_ID, '1', 1 FROM PARTITIONS WHERE {new}"
                ),
            ],
            vec![
                format!(
                    "DELETE FROM PARTITION_KEY_VALS WHERE PART_ID IN \
                     (SELECT PART_ID FROM PARTITIONS WHERE {new})"
                ),
                format!("DELETE FROM PARTITIONS WHERE {new}"),
            ],
        ),
        (
            "the table elvislater.events",
            at("CONCAT(LOCATION, '2')"),
            at("TRIM(TRAILING '2' FROM LOCATION)"),
        ),
        (
            "the table elvislater.events",
            vec![format!(
                "INSERT INTO TABLE_PARAMS (TBL_ID, PARAM_KEY, PARAM_VALUE) \
                 VALUES ({events}, 'later', 'yes')"
            )],
            vec!["DELETE FROM TABLE_PARAMS WHERE PARAM_KEY = 'later'".to_owned()],
        ),
        (
            "the database elvislater",
            vec![format!(
                "UPDATE DBS SET `DESC` = 'later' WHERE NAME = '{user}'"
            )],
            Vec::new(),
        ),
    ];
    for (what, change, undo) in cases {
        for text in &change {
            sql(text);
        }
        let ran = run(&["--plan", &file, "--yes"], 6);
        let told = format!("{what} has changed since it was recorded: plan again");
        assert!(ran.stdout.contains(&told), "{told}: {}", ran.stdout);
        for text in &undo {
            sql(text);
        }
    }
    let tables = sql(&format!(
        "SELECT t.TBL_NAME FROM TBLS t JOIN DBS d ON t.DB_ID = d.DB_ID WHERE d.NAME = '{user}'"
    ));
    assert_eq!(tables.len(), 4, "{tables:?}");
}

#[test]
fn of_several_archives_one_is_chosen() {
    let user = "elvistwice";
    seed(user);
    archived(user);
    seed(user);
    let before = world(user);
    archived(user);
    let ran = run(&[user, "--restore"], 8);
    assert!(
        ran.stderr
            .contains("several archives of elvistwice: elvistwice, elvistwice.2"),
        "{}",
        ran.stderr
    );
    let (_, dated) = ran.stderr.split_once("elvistwice, ").unwrap();
    let dated = dated.split_whitespace().next().unwrap().to_owned();
    let ran = run(&[user, "--restore", "--from", "elvistwice.19990101"], 8);
    assert!(
        ran.stderr.contains("no archive elvistwice.19990101"),
        "{}",
        ran.stderr
    );
    run(&[user, "--restore", "--from", "../azy"], 8);
    let (file, _) = plan(user, &["--restore", "--from", &dated], "restore");
    run(&["--plan", &file, "--yes"], 0);
    same(&before, &world(user));
    assert!(in_hdfs(&format!("{ARCHIVE}/{user}/.opsweek/complete.json")));
}

/// Replaces a file of the archive.
fn replace(path: &str, content: &[u8]) {
    let file = scratch(&path.replace('/', "_"));
    std::fs::write(&file, content).unwrap();
    hdfs(&["dfs", "-put", "-f", file.to_str().unwrap(), path]);
}

fn read(path: &str) -> Vec<u8> {
    sandbox().hdfs(None, &["dfs", "-cat", path]).unwrap().stdout
}

#[test]
fn records_from_elsewhere_lead_nowhere() {
    let user = "elvisevil";
    seed(user);
    archived(user);
    let records = format!("{ARCHIVE}/{user}/.opsweek");
    // A tarball that would write outside, with a proof that vouches for it.
    let folder = scratch("evil");
    std::fs::create_dir_all(folder.join("etc")).unwrap();
    std::fs::write(folder.join("etc/evil"), "x").unwrap();
    let tar = |arguments: &[&str]| {
        let done = Command::new("tar")
            .arg("-C")
            .arg(&folder)
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
        done.stdout
    };
    let tarball = tar(&["--zstd", "--format=posix", "-cf", "-", "etc/evil"]);
    let proof = format!("{records}/hosts/{HOST}.json");
    let mut text: Value = serde_json::from_slice(&read(&proof)).unwrap();
    let sum = scratch("evil.tar.zst");
    std::fs::write(&sum, &tarball).unwrap();
    let sum = Command::new("sha256sum").arg(&sum).output().unwrap().stdout;
    text["sha256"] = String::from_utf8_lossy(&sum[..64]).into();
    text["bytes"] = tarball.len().into();
    replace(&format!("{records}/hosts/{HOST}.tar.zst"), &tarball);
    replace(&proof, text.to_string().as_bytes());
    let (file, _) = plan(user, &["--restore"], "restore");
    let ran = run(&["--plan", &file, "--yes"], 6);
    assert!(
        ran.stdout.contains("outside the user's places"),
        "{}",
        ran.stdout
    );
    assert_eq!(
        on_host(
            HOST,
            "ls /etc/evil /home/elvisevil /home/.elvisevil* 2>/dev/null"
        ),
        ""
    );

    // A manifest that would move somebody else's folder.
    let aside = format!("{ARCHIVE}/.{user}.restoring");
    let manifest = format!("{aside}/manifest.json");
    let mut text: Value = serde_json::from_slice(&read(&manifest)).unwrap();
    text["moves"][1][0] = "/user/hive/warehouse/shared.db".into();
    replace(&manifest, text.to_string().as_bytes());
    let ran = run(&[user, "--restore", "--dry-run"], 8);
    assert!(ran.stderr.contains("was not moved to"), "{}", ran.stderr);
    text["user"] = "azy".into();
    replace(&manifest, text.to_string().as_bytes());
    let ran = run(&[user, "--restore", "--dry-run"], 8);
    assert!(ran.stderr.contains("it is about \"azy\""), "{}", ran.stderr);
}

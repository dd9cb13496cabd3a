//! Data that is not as one would like it, on the real servers.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use crate::support::{
    Ran, host_trees, in_hdfs, listing, offboard, offboard_with, on_host, sandbox, scratch, seed,
    world_of,
};

const ARCHIVE: &str = "/wmf/data/archive/user";

fn sql(statement: &str) -> Vec<Vec<String>> {
    sandbox().metastore_sql(statement).unwrap()
}

fn plan(user: &str, flags: &[&str], code: i32) -> (Ran, String) {
    let file = scratch(&format!("{user}.json"));
    let mut command = offboard_with(&sandbox().config_path());
    command.arg(user).args(flags).arg("--save-plan").arg(&file);
    let planned = Ran::from(command.output().unwrap()).expect(code);
    (planned, file.to_str().unwrap().to_owned())
}

const LEAVES: [&str; 5] = [
    "--archive",
    "--new-owner",
    "analytics",
    "--relocate",
    "--stop-processes",
];

/// Makes the table an Iceberg table as Hive knows one, by its properties.
fn make_iceberg(database: &str, table: &str) {
    for (key, value) in [
        ("table_type", "ICEBERG"),
        (
            "metadata_location",
            "hdfs://nn/somewhere/metadata/00001.metadata.json",
        ),
    ] {
        sql(&format!(
            "INSERT INTO TABLE_PARAMS (TBL_ID, PARAM_KEY, PARAM_VALUE) \
             SELECT t.TBL_ID, '{key}', '{value}' FROM TBLS t JOIN DBS d ON t.DB_ID = d.DB_ID \
             WHERE d.NAME = '{database}' AND t.TBL_NAME = '{table}'"
        ));
    }
}

fn properties(database: &str, table: &str) -> Vec<Vec<String>> {
    sql(&format!(
        "SELECT p.PARAM_KEY, p.PARAM_VALUE FROM TABLE_PARAMS p JOIN TBLS t ON p.TBL_ID = t.TBL_ID \
         JOIN DBS d ON t.DB_ID = d.DB_ID WHERE d.NAME = '{database}' AND t.TBL_NAME = '{table}' \
         ORDER BY 1"
    ))
}

#[test]
fn an_iceberg_table_of_somebody_else_stays_where_its_metadata_says() {
    let user = "elvisberg";
    seed(user);
    make_iceberg("azy", &format!("referrers_of_{user}"));
    let before = world_of(user);
    let (refused, _) = plan(user, &LEAVES, 8);
    assert!(
        refused
            .stderr
            .contains("it is an Iceberg table, whose metadata names every file"),
        "{}",
        refused.stderr
    );
    assert_eq!(world_of(user), before);
}

#[test]
fn an_own_iceberg_table_comes_back_as_it_was() {
    let user = "elvisiceberg";
    seed(user);
    make_iceberg(user, "events");
    let before = (sandbox().listing(user).unwrap(), properties(user, "events"));
    assert!(
        before
            .1
            .contains(&vec!["table_type".to_owned(), "ICEBERG".to_owned()])
    );
    let (_, file) = plan(user, &LEAVES, 3);
    offboard(["--plan", &file, "--yes"]).expect(0);
    assert_eq!(properties(user, "events"), Vec::<Vec<String>>::new());
    offboard([user, "--restore", "--yes"]).expect(0);
    assert_eq!(properties(user, "events"), before.1);
    assert!(in_hdfs(&format!(
        "/user/hive/warehouse/{user}.db/events/part-00000.tsv"
    )));
}

#[test]
fn partitions_alone_in_the_home_follow_it_and_their_table_stays() {
    let user = "elvisparts";
    seed(user);
    let table = format!("referrers_of_{user}");
    let theirs = format!("/user/azy/{table}");
    let made = sandbox().hdfs(None, &["dfs", "-mkdir", "-p", &theirs]);
    assert!(made.unwrap().status.success());
    sql(&format!(
        "UPDATE SDS s JOIN TBLS t ON t.SD_ID = s.SD_ID JOIN DBS d ON t.DB_ID = d.DB_ID \
         SET s.LOCATION = REPLACE(s.LOCATION, '/user/{user}/exports/referrers', '{theirs}') \
         WHERE d.NAME = 'azy' AND t.TBL_NAME = '{table}'"
    ));
    let (planned, file) = plan(user, &LEAVES, 3);
    assert!(
        planned
            .stdout
            .contains(&format!("azy.{table} has files here")),
        "{}",
        planned.stdout
    );
    offboard(["--plan", &file, "--yes"]).expect(0);
    let table_at = sql(&format!(
        "SELECT s.LOCATION FROM SDS s JOIN TBLS t ON t.SD_ID = s.SD_ID WHERE t.TBL_NAME = '{table}'"
    ));
    assert!(table_at[0][0].ends_with(&theirs), "{table_at:?}");
    let partitions_at = sql(&format!(
        "SELECT s.LOCATION FROM SDS s JOIN PARTITIONS p ON p.SD_ID = s.SD_ID \
         JOIN TBLS t ON p.TBL_ID = t.TBL_ID WHERE t.TBL_NAME = '{table}'"
    ));
    assert!(!partitions_at.is_empty());
    for row in partitions_at {
        let path = row[0].find(ARCHIVE).map(|at| row[0][at..].to_owned());
        assert!(path.is_some_and(|path| in_hdfs(&path)), "{row:?}");
    }
}

/// Makes an empty folder an encryption zone of the user.
fn make_zone(user: &str, path: &str) {
    let owner = format!("{user}:analytics-privatedata-users");
    for arguments in [
        &["dfs", "-mkdir", "-p", path][..],
        &[
            "crypto",
            "-createZone",
            "-keyName",
            "sandbox",
            "-path",
            path,
        ],
        &["dfs", "-chown", &owner, path],
    ] {
        let output = sandbox().hdfs(None, arguments).unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}

fn zones() -> String {
    let output = sandbox().hdfs(None, &["crypto", "-listZones"]).unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_lies_in_an_encryption_zone_is_refused_and_a_zone_below_the_home_goes_along() {
    let user = "elviszone";
    seed(user);
    let zone = format!("/wmf/data/zone-of-{user}");
    make_zone(user, &zone);
    let inner = format!("{zone}/data");
    let made = sandbox().hdfs(Some(user), &["dfs", "-mkdir", &inner]);
    assert!(made.unwrap().status.success());
    let before = world_of(user);
    let (refused, _) = plan(user, &[&LEAVES[..], &["--include", &inner]].concat(), 8);
    assert!(
        refused
            .stderr
            .contains(&format!("{inner} is in an encryption zone")),
        "{}",
        refused.stderr
    );
    assert_eq!(world_of(user), before);

    let below = format!("/user/{user}/vault");
    make_zone(user, &below);
    let (_, file) = plan(user, &LEAVES, 3);
    offboard(["--plan", &file, "--yes"]).expect(0);
    let kept = format!("{ARCHIVE}/{user}/vault");
    assert!(in_hdfs(&kept) && zones().contains(&kept), "{}", zones());
    offboard([user, "--restore", "--yes"]).expect(0);
    assert!(in_hdfs(&below) && zones().contains(&below), "{}", zones());
}

#[test]
fn a_home_that_is_a_link_goes_without_what_it_points_to() {
    let user = "elvislink";
    seed(user);
    let host = &sandbox().hosts()[0].name;
    let made = on_host(
        host,
        &format!(
            "mv /home/{user} /root/{user}-kept && ln -s /root/{user}-kept /home/{user} && echo made"
        ),
    );
    assert_eq!(made, "made\n");
    let (planned, file) = plan(user, &LEAVES, 3);
    let told = format!("link to /root/{user}-kept");
    assert!(planned.stdout.contains(&told), "{}", planned.stdout);
    offboard(["--plan", &file, "--yes"]).expect(0);
    assert!(!host_trees(user).contains(&format!("/home/{user}")));
    let kept = on_host(host, &format!("find /root/{user}-kept -mindepth 1 | wc -l"));
    assert!(kept.trim().parse::<u32>().unwrap() > 3, "{kept}");
    offboard([user, "--restore", "--yes"]).expect(0);
    let link = on_host(host, &format!("readlink /home/{user}"));
    assert_eq!(link, format!("/root/{user}-kept\n"));
}

#[test]
fn a_table_is_given_away_though_its_files_may_not_be_touched() {
    let user = "elvistmp";
    seed(user);
    let from = format!("/user/hive/warehouse/shared.db/{user}_daily");
    let folder = format!("/tmp/{user}");
    for arguments in [
        &["dfs", "-mkdir", "-p", "/tmp"][..],
        &["dfs", "-mv", &from, &folder],
    ] {
        let done = sandbox().hdfs(None, arguments).unwrap();
        assert!(done.status.success(), "{done:?}");
    }
    sql(&format!(
        "UPDATE SDS s JOIN TBLS t ON t.SD_ID = s.SD_ID \
         SET s.LOCATION = REPLACE(s.LOCATION, '{from}', '{folder}') \
         WHERE t.TBL_NAME = '{user}_daily'"
    ));
    let owner = || {
        sql(&format!(
            "SELECT OWNER FROM TBLS WHERE TBL_NAME = '{user}_daily'"
        ))
    };
    let files = listing(&[&folder]);
    assert!(files.contains(user), "{files}");
    let (planned, file) = plan(user, &LEAVES, 3);
    let told = format!("in {folder} stay {user}'s: outside offboard.hdfs_roots");
    assert!(planned.stdout.contains(&told), "{}", planned.stdout);
    offboard(["--plan", &file, "--yes"]).expect(0);
    assert_eq!(owner(), [["analytics"]]);
    assert_eq!(listing(&[&folder]), files);
    offboard([user, "--restore", "--yes"]).expect(0);
    assert_eq!(owner(), [[user]]);
    assert_eq!(listing(&[&folder]), files);
}

#[test]
fn a_file_with_names_in_two_homes_comes_back_as_one() {
    let user = "elvisnames";
    seed(user);
    let host = &sandbox().hosts()[0].name;
    let (one, other) = (format!("/home/{user}"), format!("/srv/home/{user}"));
    let script = format!(
        "mkdir -p {other} && echo his > {one}/f && ln {one}/f {other}/g && ln {other}/g {other}/h \
         && chown -R {user}: {one}/f {other} && echo made"
    );
    assert_eq!(on_host(host, &script), "made\n");
    let before = sandbox().listing(user).unwrap();
    let (_, file) = plan(user, &LEAVES, 3);
    offboard(["--plan", &file, "--yes"]).expect(0);
    assert!(!host_trees(user).contains(&other));
    let (_, file) = plan(user, &["--restore"], 3);
    let killed = offboard_with(&sandbox().config_path())
        .env("OPSWEEK_CRASH", format!("applied:restore-{host}"))
        .args(["--plan", &file, "--yes"])
        .output()
        .unwrap();
    assert_eq!(killed.status.code(), None, "{killed:?}");
    // As a run leaves it that was killed when one of the homes had its name.
    assert_eq!(
        on_host(host, &format!("rm -r {other} && echo gone")),
        "gone\n"
    );
    offboard(["--plan", &file, "--yes"]).expect(0);
    assert!(sandbox().listing(user).unwrap() == before);
    let names = on_host(
        host,
        &format!("find {one} {other} -samefile {one}/f | wc -l"),
    );
    assert_eq!(names, "3\n");
}

#[test]
fn device_nodes_are_named_and_left_out() {
    let user = "elvisnodes";
    seed(user);
    let host = &sandbox().hosts()[0].name;
    let home = format!("/home/{user}");
    let before = sandbox().listing(user).unwrap();
    let script = format!(
        "touch -r {home} /tmp/{user} && mknod {home}/whiteout c 0 0 && mknod {home}/other c 0 0 \
         && chown {user}: {home}/whiteout {home}/other && touch -r /tmp/{user} {home} && echo made"
    );
    assert_eq!(on_host(host, &script), "made\n");
    let (planned, file) = plan(user, &LEAVES, 3);
    let nodes = "(the first of 2 device nodes)";
    let named = |text: &str| {
        let told = |line: &str| line.contains("never archived") && line.contains(nodes);
        assert!(text.lines().any(told), "{text}");
    };
    named(&planned.stdout);
    offboard(["--plan", &file, "--yes"]).expect(0);
    let restored = offboard([user, "--restore", "--yes"]).expect(0);
    named(&format!("{}{}", restored.stdout, restored.stderr));
    assert!(sandbox().listing(user).unwrap() == before);
}

/// What stands for a name that is not UTF-8 where only UTF-8 can be written.
const STANDS: &[u8; 4] = b"QZQZ";
const NOT_UTF8: &[u8; 4] = b"\xff\xfe\xc3(";

/// A port by which the `NameNode` is reached, and on which names turn into what is not UTF-8: in
/// `requests`, or else in answers.
fn spoilt(requests: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let namenode = sandbox().port("namenode").unwrap().unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let server = TcpStream::connect(("127.0.0.1", namenode)).unwrap();
            let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || pump(from, to, requests));
            std::thread::spawn(move || pump(server, client, !requests));
        }
    });
    port
}

fn pump(mut from: TcpStream, mut to: TcpStream, spoil: bool) {
    let mut buffer = vec![0; 1 << 20];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let bytes = &mut buffer[..length];
        if spoil {
            for at in 0..length.saturating_sub(3) {
                if bytes[at..].starts_with(STANDS) {
                    bytes[at..at + 4].copy_from_slice(NOT_UTF8);
                }
            }
        }
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    // Whoever has ended it already needs no telling.
    let _ = to.shutdown(Shutdown::Both);
}

/// Names of HDFS are text: the `NameNode` takes bytes that are none for U+FFFD, one for each that
/// fits nowhere, and so it stays.
#[test]
fn a_name_that_is_not_utf8_becomes_one_in_hdfs() {
    let user = "elvisbytes";
    seed(user);
    let folder = format!("hdfs://127.0.0.1:{}/user/{user}/aQZQZb", spoilt(true));
    let made = sandbox().hdfs(Some(user), &["dfs", "-mkdir", &folder]);
    assert!(made.unwrap().status.success());
    let port = sandbox().port("namenode-http").unwrap().unwrap();
    let mut web = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let path = format!("/webhdfs/v1/user/{user}?op=LISTSTATUS&user.name=hdfs");
    write!(web, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut listed = String::new();
    web.read_to_string(&mut listed).unwrap();
    let name = "a\u{fffd}\u{fffd}\u{fffd}(b";
    assert!(listed.contains(name), "{listed}");
    let before = sandbox().listing(user).unwrap();
    let (_, file) = plan(user, &LEAVES, 3);
    offboard(["--plan", &file, "--yes"]).expect(0);
    offboard([user, "--restore", "--yes"]).expect(0);
    assert_eq!(sandbox().listing(user).unwrap(), before);
}

/// Were there such a name, it would be a place that could not be looked at.
#[test]
fn a_name_that_arrives_as_no_utf8_is_a_gap() {
    let user = "elvisgap";
    seed(user);
    let folder = format!("/user/{user}/notebooks/QZQZ");
    let made = sandbox().hdfs(Some(user), &["dfs", "-mkdir", "-p", &folder]);
    assert!(made.unwrap().status.success());
    let before = world_of(user);
    let config = scratch(&format!("{user}.toml"));
    let text = std::fs::read_to_string(sandbox().config_path()).unwrap();
    let url = format!("[hdfs]\nurl = \"hdfs://127.0.0.1:{}\"\n", spoilt(false));
    std::fs::write(&config, text.replacen("[hdfs]\n", &url, 1)).unwrap();
    for flags in [&[][..], &LEAVES] {
        let mut command = offboard_with(&config);
        let ran = Ran::from(command.arg(user).args(flags).output().unwrap()).expect(7);
        let told = format!("list /user/{user}/notebooks as hdfs: a name in it is not UTF-8");
        let all = format!("{}{}", ran.stdout, ran.stderr);
        assert!(
            all.contains("NOT looked at: hdfs: ") && all.contains(&told),
            "{all}"
        );
    }
    assert_eq!(world_of(user), before);
}

#[test]
fn a_home_in_hdfs_that_is_a_file_is_no_archive() {
    let user = "elvisflat";
    let home = format!("/user/{user}");
    for command in [
        &["dfs", "-touchz", &home][..],
        &["dfs", "-chown", user, &home],
    ] {
        assert!(sandbox().hdfs(None, command).unwrap().status.success());
    }
    let (refused, _) = plan(user, &["--archive"], 8);
    let told = format!("{home} is a file, not a folder");
    assert!(refused.stderr.contains(&told), "{}", refused.stderr);
    assert!(in_hdfs(&home));
    offboard([user, "--delete", "--yes"]).expect(0);
    assert!(!in_hdfs(&home) && in_hdfs(&format!("/user/hdfs/.Trash/Current{home}")));
}

#[test]
fn a_folder_among_a_hosts_archived_homes_is_told_and_stays() {
    let user = "elvisshelf";
    let host = &sandbox().hosts()[0].name;
    let folder = format!("/var/userarchive/{user}");
    let made = format!("mkdir -p {folder} && touch {folder}/by-hand && echo made");
    assert_eq!(on_host(host, &made), "made\n");
    let looked = offboard([user]).expect(3);
    assert!(looked.stdout.contains(&folder), "{}", looked.stdout);
    offboard([user, "--archive", "--yes"]).expect(3);
    assert_eq!(on_host(host, &format!("ls {folder}")), "by-hand\n");
}

#[test]
fn a_home_whose_own_quota_the_archive_would_break_is_refused_with_the_way_out() {
    let user = "elvislimit";
    seed(user);
    let home = format!("/user/{user}");
    let quota = |command: &[&str]| {
        let set = sandbox().hdfs(None, &[&["dfsadmin"], command].concat());
        assert!(set.unwrap().status.success());
    };
    let counted = sandbox().hdfs(None, &["dfs", "-count", &home]).unwrap();
    let counted = String::from_utf8(counted.stdout).unwrap();
    let names = counted.split_whitespace().take(2);
    let names: u64 = names.map(|count| count.parse::<u64>().unwrap()).sum();
    quota(&["-setQuota", &names.to_string(), &home]);
    let before = world_of(user);
    let (refused, _) = plan(user, &LEAVES, 8);
    assert!(
        refused
            .stderr
            .contains(&format!("{home} has a quota of {names} names")),
        "{}",
        refused.stderr
    );
    assert_eq!(world_of(user), before);
    let hint = refused.stderr.split("dfsadmin ").nth(1).unwrap();
    let hint: Vec<&str> = hint.split_whitespace().take(3).collect();
    assert_eq!((hint[0], hint[2]), ("-setQuota", home.as_str()));
    quota(&hint);
    let (_, file) = plan(user, &LEAVES, 3);
    offboard(["--plan", &file, "--yes"]).expect(0);
}

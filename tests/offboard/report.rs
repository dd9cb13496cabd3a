//! The look: it finds everything, changes nothing, and says so by its exit code.

use std::path::PathBuf;

use crate::support::{Ran, offboard, offboard_with, sandbox, scratch, seed, world_of};

#[test]
fn a_name_unknown_everywhere_is_clean() {
    let ran = offboard(["nemo"]).expect(0);
    assert!(
        ran.stdout.contains("nothing of nemo is left"),
        "{}",
        ran.stdout
    );
}

#[test]
fn finds_everything_and_changes_nothing() {
    let user = "elvislook";
    seed(user);
    let before = world_of(user);
    let text = offboard([user]).expect(3).stdout;
    for place in [
        "/user/elvislook",
        "/user/hive/warehouse/elvislook.db",
        "database elvislook",
        "/home/elvislook",
        "/srv/home/elvislook",
        "/var/userarchive/elvislook",
        "/var/spool/cron/crontabs/elvislook",
        "linger",
        "process",
        "in another's database",
        "has files here",
        "elsewhere: stays",
        ".ssh is never archived",
    ] {
        assert!(text.contains(place), "{place} is missing in\n{text}");
    }
    let json = offboard([user, "--format", "json"]).expect(3).json();
    assert_eq!(json["exit"], 3);
    assert_eq!(json["report"]["leftovers"], true);
    let csv = offboard([user, "--format", "csv"]).expect(3).stdout;
    assert!(csv.starts_with("table,place,what,path"), "{csv}");
    let remarkup = offboard([user, "--format", "remarkup"]).expect(3).stdout;
    assert!(remarkup.contains("| place | what | path |"), "{remarkup}");
    assert_eq!(world_of(user), before);
}

/// The sandbox's configuration with another section [metastore].
fn configured(name: &str, change: impl FnOnce(&mut toml::Table)) -> PathBuf {
    let text = std::fs::read_to_string(sandbox().config_path()).unwrap();
    let mut config: toml::Table = text.parse().unwrap();
    change(config["metastore"].as_table_mut().unwrap());
    let path = scratch(name);
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

#[test]
fn others_files_are_found_by_sql_as_by_the_metastore() {
    let user = "elvistables";
    seed(user);
    let looked = |config: PathBuf| {
        let ran: Ran = offboard_with(&config)
            .args([user, "--format", "json"])
            .output()
            .unwrap()
            .into();
        ran.expect(3).json()["report"].clone()
    };
    let by_table = configured("by-table.toml", |metastore| {
        metastore
            .remove("sql")
            .expect("the sandbox names its tables");
    });
    let by_sql = looked(sandbox().config_path());
    assert_eq!(by_sql, looked(by_table));
    let of_azy = sandbox()
        .metastore_sql(&format!(
            "SELECT S.LOCATION FROM DBS D JOIN TBLS T ON T.DB_ID = D.DB_ID \
             JOIN SDS S ON S.SD_ID = T.SD_ID WHERE D.NAME = 'azy' \
             AND T.TBL_NAME = 'referrers_of_{user}' AND S.LOCATION LIKE '%/user/{user}/%'"
        ))
        .unwrap();
    assert_eq!(of_azy.len(), 1, "{of_azy:?}");
    let text = by_sql.to_string();
    assert!(text.contains(&format!("azy.referrers_of_{user}")), "{text}");
}

#[test]
fn tables_that_cannot_be_read_leave_the_look_incomplete() {
    let ask = |name: &str, server: &str, database: &str| -> String {
        let config = configured(name, |metastore| {
            let sql: toml::Table = format!("server = '{server}'\ndatabase = '{database}'")
                .parse()
                .unwrap();
            metastore.insert("sql".to_owned(), sql.into());
        });
        let user = "elvisunread";
        seed(user);
        let ran: Ran = offboard_with(&config).arg(user).output().unwrap().into();
        ran.expect(7).stdout
    };
    // An account that may not, and a database that is no metastore's.
    let said = ask("no-grant.toml", "metadata", "metastore");
    assert!(said.contains("NOT looked at: hive"), "{said}");
    assert!(said.contains("own tables cannot be read"), "{said}");
    let said = ask("no-such.toml", "metastore", "superset_production");
    assert!(said.contains("NOT looked at: hive"), "{said}");
}

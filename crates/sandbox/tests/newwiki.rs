//! The pageview tables in HDFS and the metastore, judged by `hdfs dfs` and SQL.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::fs;
use std::path::{Path, PathBuf};

use opsweek_sandbox::{Sandbox, Service, UpOptions};

const FOLDER: &str = "/wmf/refinery/current/static_data/pageview/allowlist";

fn quiet(_: &str) {}

fn hdfs(sandbox: &Sandbox, arguments: &[&str]) -> String {
    let output = sandbox.hdfs(None, arguments).unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_pageview_tables_lie_over_their_files() {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("newwiki");
    let sandbox = Sandbox::open(&dir).unwrap();
    sandbox.down(&quiet).unwrap();
    if dir.exists() {
        fs::remove_dir_all(&dir).unwrap();
    }
    let options = UpOptions {
        with: vec![Service::Metastore, Service::MariaDb],
        ..UpOptions::default()
    };
    sandbox.up(&options, &quiet).unwrap();
    sandbox.seed_newwiki().unwrap();

    let current = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fixtures/newwiki/current"
    );
    let allowlist = fs::read_to_string(Path::new(current).join("allowlist.tsv")).unwrap();
    let file = format!("{FOLDER}/allowlist.tsv");
    assert_eq!(hdfs(&sandbox, &["dfs", "-cat", &file]), allowlist);

    let locations = "SELECT T.TBL_NAME, T.TBL_TYPE, S.LOCATION FROM TBLS T \
                     JOIN SDS S ON S.SD_ID = T.SD_ID ORDER BY 1";
    let tables = sandbox.metastore_sql(locations).unwrap();
    assert_eq!(tables.len(), 2);
    assert_eq!(tables[0][..2], ["pageview_allowlist", "EXTERNAL_TABLE"]);
    assert!(tables[0][2].ends_with(FOLDER), "{tables:?}");
    let partitions = "SELECT P.PART_NAME, S.LOCATION FROM PARTITIONS P \
                      JOIN SDS S ON S.SD_ID = P.SD_ID ORDER BY P.CREATE_TIME";
    let partitions = sandbox.metastore_sql(partitions).unwrap();
    assert_eq!(partitions.len(), 11);
    let mut views = String::new();
    for partition in &partitions {
        assert!(partition[1].ends_with(&partition[0]), "{partition:?}");
        views += &hdfs(&sandbox, &["dfs", "-cat", &format!("{}/0*", partition[1])]);
    }
    assert!(
        views.lines().all(|line| line.split('\t').count() == 3),
        "{views}"
    );
    assert_eq!(views.matches("project\tazy.wikipedia\t").count(), 6);

    // The metastore's tables may be read by who has but that right.
    let read = "SELECT table_schema FROM information_schema.schema_privileges \
                WHERE grantee LIKE '''metastore\\_reader''%' GROUP BY 1";
    assert_eq!(sandbox.mariadb("metadata", read).unwrap(), "metastore\n");

    // Seeding again takes away what was added and brings back what is gone.
    hdfs(
        &sandbox,
        &["dfs", "-mv", &file, &format!("{FOLDER}/second.tsv")],
    );
    sandbox
        .mariadb("cloud", "DROP VIEW azywiki_p.page")
        .unwrap();
    fs::write(dir.join("dblists/all.dblist"), "").unwrap();
    sandbox.seed_newwiki().unwrap();
    let listed = hdfs(&sandbox, &["dfs", "-ls", "-C", FOLDER]);
    assert_eq!(listed, format!("{file}\n"));
    sandbox
        .mariadb("cloud", "SELECT * FROM azywiki_p.page")
        .unwrap();
    for list in ["all", "s5"] {
        let list = fs::read_to_string(dir.join(format!("dblists/{list}.dblist"))).unwrap();
        assert!(list.contains("\nazywiki\n"));
    }
    sandbox.down(&quiet).unwrap();
}

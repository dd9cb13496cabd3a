//! What must not go on in staging, on a server that makes one value of another without a word.

use super::own::Own;
use super::private::{alone, private};
use super::{command, config_from, sql};
use crate::support::{Ran, scratch};

/// A text and a number, with values that the server calls equal to one of the other kind.
const TABLES: &str = "
    CREATE TABLE t (id int PRIMARY KEY, state varchar(20), price decimal(5,2), flag bit(1));
    INSERT INTO t VALUES (1, 'active', 1.5, 1), (2, '1', 0, 0), (3, NULL, NULL, NULL), (4, 'on', 0, 1);
    CREATE TABLE u (id int PRIMARY KEY, n int(4) zerofill);
    INSERT INTO u VALUES (1, 0), (2, 1), (3, NULL), (4, 7);";

const RULES: &str = "neutralise = [
    { do = \"set\", table = \"report_schedule\", column = \"active\", value = 0 },
    { do = \"set\", table = \"t\", column = \"state\", value = 0 },
    { do = \"set\", table = \"t\", column = \"price\", value = 0 },
    { do = \"set\", table = \"t\", column = \"flag\", value = 0 },
    { do = \"delete\", table = \"u\", column = \"n\", values = [\"lock\", \"7\"] },
]";

/// What staging has then.
const SEEN: &str = "
    SELECT GROUP_CONCAT(state, ' ', price, ' ', flag + 0 ORDER BY id) FROM t;
    SELECT GROUP_CONCAT(COALESCE(n + 0, 'NULL') ORDER BY id) FROM u;";
const EXPECTED: &str = "0 0.00 0,0 0.00 0,0 0.00 0,0 0.00 0\n0,1,NULL\n";

#[test]
fn no_value_is_taken_for_another_one() {
    let own = Own::new("coerced", RULES);
    sql("metadata", &format!("USE {}; {TABLES}", own.production));
    own.sync().expect(0);
    let seen = sql("metadata", &format!("USE {}; {SEEN}", own.staging));
    assert_eq!(seen, EXPECTED);
}

#[test]
fn nor_on_a_server_that_is_not_strict() {
    let world = private();
    let world = alone(&world);
    world.seed();
    world.sql(&format!("USE superset_production; {TABLES}"));
    let profile = "[db-sync.profiles.prod-to-staging]";
    let path = world.0.config_path();
    let config = config_from(&path, "not-strict.toml", |text| {
        assert!(text.contains(profile), "{text}");
        text.replace(profile, &format!("{profile}\n{RULES}"))
    });
    world.sql("SET GLOBAL sql_mode = ''");
    let mut run = command(&config);
    let ran = run.args(["prod-to-staging", "--yes"]).output().unwrap();
    world.sql("SET GLOBAL sql_mode = DEFAULT");
    Ran::from(ran).expect(0);
    assert_eq!(
        world.sql(&format!("USE superset_staging; {SEEN}")),
        EXPECTED
    );
}

#[test]
fn a_profile_that_cannot_be_meant_is_refused_with_the_configuration() {
    let list = |lines: &str| {
        let path = scratch("meant.toml");
        let profile = "[db-sync.profiles.x]\nsource = { server = \"x\", database = \"x\" }\n\
                       target = { server = \"x\", database = \"x_staging\" }";
        std::fs::write(&path, format!("{profile}\n{lines}\n")).unwrap();
        Ran::from(command(&path).arg("--list").output().unwrap())
    };
    list("").expect(0);
    for (lines, what) in [
        (
            "neutralise = [{ do = \"delete\", table = \"u\", column = \"n\", values = [] }]",
            "values is empty",
        ),
        ("follow_ups = [[]]", "names no program"),
        ("follow_ups = [[\"ls\"], [\"\"]]", "names no program"),
    ] {
        let ran = list(lines).expect(2);
        assert!(ran.stderr.contains(what), "{}", ran.stderr);
    }
}

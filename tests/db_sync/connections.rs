//! Superset's connections to its data sources: what they say of principals, and how it is
//! encrypted.

use opsweek_core::services::sql::Secret;
use opsweek_core::services::superset::{Layout, SecretKey};

use super::own::{NEW, OLD, Own};
use super::sql;
use crate::support::{sandbox, scratch};

/// Whom production is for its data sources.
const PRINCIPAL: &str = "superset/superset.svc.eqiad.wmnet@WIKIMEDIA";

/// [`Own`] with a table of connections, and the keys of the sandbox's Superset.
fn own(name: &'static str, more: &str) -> Own {
    let secrets = sandbox().dir().join("secrets");
    let keys = ["source", "target"].map(|side| {
        let of = if side == "source" {
            "production"
        } else {
            "staging"
        };
        let file = secrets.join(format!("superset_{of}.key"));
        format!("{side}_key_file = \"{}\"\n", file.display())
    });
    let own = Own::new(name, &format!("{}{more}", keys.concat()));
    sql(
        "metadata",
        &format!(
            "CREATE TABLE {}.dbs (id int PRIMARY KEY, database_name varchar(250), \
             sqlalchemy_uri varchar(1024), extra text, encrypted_extra blob)",
            own.production
        ),
    );
    own
}

/// A text as the sandbox's production encrypts it.
fn encrypted(text: &str) -> String {
    let file = sandbox().dir().join("secrets/superset_production.key");
    let key = std::fs::read_to_string(file).unwrap();
    let key = SecretKey::new(&Secret::new(key.trim_end()));
    key.seal(Layout::Cbc, &Secret::new(text)).unwrap()
}

impl Own {
    /// Production has these connections and no others: `(id, name, uri, extra, encrypted_extra)`.
    fn connections(&self, rows: &str) {
        let table = format!("{}.dbs", self.production);
        let insert = match rows {
            "" => String::new(),
            rows => format!("INSERT INTO {table} VALUES {rows}"),
        };
        sql("metadata", &format!("DELETE FROM {table}; {insert}"));
    }
}

#[test]
fn productions_principal_where_no_rule_reaches_it_is_refused() {
    let own = own("principals", "");
    let hidden = encrypted(&format!(
        "{{\"connect_args\": {{\"principal\": \"{PRINCIPAL}\", \"password\": \"hunter2\"}}}}"
    ));
    let uri = "'presto://h/x?KerberosPrincipal=superset%2Fsuperset.svc.eqiad.wmnet%40WIKIMEDIA'";
    let at = |path: &str| {
        format!("'{{\"engine_params\": {{\"connect_args\": {{\"{path}\": \"{PRINCIPAL}\"}}}}}}'")
    };
    let (known, other) = (at("KerberosPrincipal"), at("principal"));
    for (row, place) in [
        (
            format!("(5, 'trino', 'trino://h/x', {other}, NULL)"),
            "dbs 5 (trino), extra engine_params.connect_args.principal: superset/",
        ),
        (
            format!("(6, 'hive', 'hive://h/x', '{{}}', '{hidden}')"),
            "dbs 6, encrypted_extra connect_args.principal: superset/",
        ),
    ] {
        own.connections(&row);
        let ran = own.sync().expect(8);
        assert!(ran.stderr.contains(place), "{place}: {}", ran.stderr);
        assert!(ran.stdout.contains("stays: no rule"), "{}", ran.stdout);
        let told = ran.stderr + &ran.stdout;
        assert!(!told.contains("hunter2"), "{told}");
    }
    assert_eq!((own.seen().as_str(), own.beside().as_str()), (OLD, ""));

    // In a URI it is told, however it is written there.
    let told = format!("(4, 'druid', {uri}, NULL, NULL)");
    own.connections(&told);
    let ran = own.db_sync([own.name, "--dry-run"]).expect(3);
    let stays = format!("dbs 4 (druid), sqlalchemy_uri: {PRINCIPAL} stays");
    assert!(ran.stdout.contains(&stays), "{}", ran.stdout);

    // What comes between the look and the copy is noticed by the proof.
    let good = format!("{told}, (5, 'trino', 'trino://h/x', {known}, NULL)");
    own.connections(&good);
    let plan = scratch("principals.json");
    let plan = plan.to_str().unwrap();
    own.db_sync([own.name, "--dry-run", "--save-plan", plan])
        .expect(3);
    own.connections(&format!(
        "{good}, (6, 'hive', 'hive://h/x', '{{}}', '{hidden}')"
    ));
    let ran = own.db_sync(["--plan", plan, "--yes"]).expect(6);
    let place = "dbs 6, encrypted_extra connect_args.principal: superset/";
    assert!(ran.stderr.contains(place), "{}", ran.stderr);
    assert_eq!(own.seen(), OLD);

    // Another staging: plans of one second and one staging have one number.
    let other = format!("CREATE TABLE {}.other (id int PRIMARY KEY)", own.staging);
    sql("metadata", &other);
    own.connections(&good);
    own.sync().expect(0);
    assert_eq!(own.seen(), NEW);
    let extra = format!("SELECT extra FROM {}.dbs WHERE id = 5", own.staging);
    let extra = sql("metadata", &extra);
    assert!(extra.contains("superset/superset-next.svc.eqiad.wmnet@WIKIMEDIA"));
    assert!(!extra.contains(PRINCIPAL), "{extra}");
}

#[test]
fn a_blank_text_and_what_is_not_copied_are_no_fault() {
    let own = own("blank", "");
    let blank = encrypted("");
    // A column of a table that is never copied, under a key that nobody has any more.
    sql(
        "metadata",
        &format!(
            "USE {}; CREATE TABLE database_user_oauth2_tokens (id int PRIMARY KEY, \
             access_token blob); INSERT INTO database_user_oauth2_tokens VALUES (1, 'older')",
            own.production
        ),
    );
    own.connections(&format!(
        "(4, NULL, NULL, ' ', '{blank}'), (5, 'x', 'x://', NULL, NULL)"
    ));
    let ran = own.db_sync([own.name, "--dry-run"]).expect(3);
    assert!(
        ran.stdout.contains("1 secrets are encrypted"),
        "{}",
        ran.stdout
    );
    own.sync().expect(0);
    assert_eq!(own.seen(), NEW);
    let left = format!(
        "SELECT COUNT(*), SUM(encrypted_extra = '{blank}'), \
         (SELECT COUNT(*) FROM {0}.database_user_oauth2_tokens) FROM {0}.dbs",
        own.staging
    );
    assert_eq!(sql("metadata", &left), "2\t0\t0\n");
}

#[test]
fn an_extra_that_is_no_json_is_not_told_as_a_wrong_key() {
    let own = own("unjson", "");
    own.connections("(4, 'x', 'x://', '{hunter2', NULL)");
    let ran = own.sync().expect(8);
    let told = "no JSON in unjson:unjson_production: dbs 4 (x), extra: not JSON, at line 1";
    assert!(ran.stderr.contains(told), "{}", ran.stderr);
    assert!(!ran.stderr.contains("do not open"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    assert_eq!((own.seen().as_str(), own.beside().as_str()), (OLD, ""));
}

#[test]
fn a_table_of_that_name_that_is_not_supersets_is_copied() {
    let own = Own::new("nosuperset", "");
    sql(
        "metadata",
        &format!(
            "USE {}; CREATE TABLE dbs (id int PRIMARY KEY, extra text); \
             INSERT INTO dbs VALUES (1, 'no json')",
            own.production
        ),
    );
    own.sync().expect(0);
    assert_eq!(own.seen(), NEW);
}

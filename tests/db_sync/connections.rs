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

    own.connections(&good);
    own.sync().expect(0);
    assert_eq!(own.seen(), NEW);
    let extra = format!("SELECT extra FROM {}.dbs WHERE id = 5", own.staging);
    let extra = sql("metadata", &extra);
    assert!(extra.contains("superset/superset-next.svc.eqiad.wmnet@WIKIMEDIA"));
    assert!(!extra.contains(PRINCIPAL), "{extra}");
}

//! The database servers, what is in them and who may see it, and the name server, judged
//! by their own clients.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use opsweek_sandbox::{Error, Sandbox, Service, Size, UpOptions, process};

/// A sandbox of its own with the database servers up.
fn up(name: &str) -> Sandbox {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let sandbox = Sandbox::open(&dir).unwrap();
    sandbox.down(&quiet).unwrap();
    if dir.exists() {
        fs::remove_dir_all(&dir).unwrap();
    }
    let options = UpOptions {
        with: vec![Service::MariaDb],
        ..UpOptions::default()
    };
    sandbox.up(&options, &quiet).unwrap();
    sandbox
}

fn quiet(_: &str) {}

fn port(sandbox: &Sandbox, server: &str) -> u16 {
    sandbox.port(server).unwrap().unwrap()
}

fn pids(sandbox: &Sandbox) -> Vec<(String, i32)> {
    let servers = sandbox.status().unwrap().servers;
    let pids = servers.into_iter().map(|server| (server.name, server.pid));
    let mut pids: Vec<_> = pids.collect();
    pids.sort();
    pids
}

/// The client over the network, with the account's password and the sandbox's authority.
fn client(sandbox: &Sandbox, server: &str, account: &str) -> Command {
    let dir = sandbox.dir();
    let password = fs::read_to_string(dir.join(format!("secrets/mariadb-{account}"))).unwrap();
    let mut command = Command::new("mariadb");
    command
        .args([
            "--no-defaults",
            "--protocol=tcp",
            "--host=127.0.0.1",
            "--batch",
        ])
        .args([
            "--skip-column-names",
            "--ssl-verify-server-cert",
            "--user",
            account,
        ])
        .arg(format!("--port={}", port(sandbox, server)))
        .arg(format!("--ssl-ca={}", dir.join("tls/ca.pem").display()))
        .env("MYSQL_PWD", password.trim_end());
    command
}

/// What an account gets to see.
fn ask(sandbox: &Sandbox, server: &str, account: &str, sql: &str) -> Result<String, String> {
    answer(
        &client(sandbox, server, account)
            .args(["--execute", sql])
            .output()
            .unwrap(),
    )
}

fn answer(output: &Output) -> Result<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(text(&output.stderr))
    }
}

/// The answer of the name server to one question, as bytes.
fn resolve(sandbox: &Sandbox, name: &str, kind: u8) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    // RFC 1035, 4.1: id, flags (recursion desired), one question.
    let mut question = vec![7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    question.extend(encoded(name));
    question.extend([0, kind, 0, 1]);
    socket
        .send_to(&question, ("127.0.0.1", port(sandbox, "dns")))
        .unwrap();
    let mut answer = vec![0; 4096];
    let length = socket.recv(&mut answer).unwrap();
    answer.truncate(length);
    answer
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn accounts_see_what_they_may_and_no_more() {
    let sandbox = up("accounts");
    let read = |server: &str, sql: &str| sandbox.mariadb(server, sql).unwrap();

    // Production may be read and staging written; nothing else.
    let count = "SELECT COUNT(*) > 0 FROM superset_production.dashboards";
    assert_eq!(ask(&sandbox, "metadata", "dbsync", count).unwrap(), "1\n");
    for refused in [
        "DELETE FROM superset_production.logs",
        "CREATE DATABASE superset_staging2",
        "CREATE DATABASE supersetxstaging",
        "SELECT * FROM mysql.global_priv",
        "LOCK TABLES superset_production.dbs READ",
        "FLUSH TABLES WITH READ LOCK",
        "SET GLOBAL max_connections = 5",
    ] {
        let error = ask(&sandbox, "metadata", "dbsync", refused).unwrap_err();
        assert!(error.contains("denied"), "{refused}: {error}");
    }
    for server in ["metadata", "target"] {
        let work = "CREATE DATABASE superset_staging_new; \
                    CREATE SEQUENCE superset_staging_new.s; \
                    CREATE TABLE superset_staging_new.t (a int PRIMARY KEY); \
                    INSERT INTO superset_staging_new.t VALUES (1); \
                    DROP DATABASE superset_staging_new";
        ask(&sandbox, server, "dbsync", work).unwrap();
    }
    let error = ask(
        &sandbox,
        "target",
        "dbsync",
        "SELECT 1 FROM superset_production.dbs",
    );
    assert!(error.unwrap_err().contains("denied"));

    // The replicas are read only, and the cloud's views are all that is seen there.
    let tables = |schema: &str| {
        format!(
            "SELECT GROUP_CONCAT(table_name ORDER BY table_name) \
             FROM information_schema.tables WHERE table_schema = '{schema}'"
        )
    };
    let all = "actor,comment,page,revision,site_stats,user\n";
    let production = |sql: &str| ask(&sandbox, "prod-replica", "research", sql);
    let cloud = |sql: &str| ask(&sandbox, "cloud", "s53272", sql);
    assert_eq!(production(&tables("azywiki")).unwrap(), all);
    assert_eq!(cloud(&tables("azywiki_p")).unwrap(), all);
    assert_eq!(cloud("SELECT COUNT(*) FROM azywiki_p.page").unwrap(), "0\n");
    assert_eq!(cloud(&tables("azywiki")).unwrap(), "NULL\n");
    assert_eq!(production(&tables("tokwiki")).unwrap(), all);
    assert_eq!(cloud(&tables("nupwiki_p")).unwrap(), "page,site_stats\n");
    let schemas = |wiki: &str| format!("SHOW DATABASES LIKE '{wiki}%'");
    assert_eq!(cloud(&schemas("tokwiki")).unwrap(), "");
    for (missing, expected) in [("rkiwiki", "rkiwiki\n"), ("zghwiktionary", "")] {
        assert_eq!(production(&schemas(missing)).unwrap(), expected);
        assert_eq!(production(&tables(missing)).unwrap(), "NULL\n");
    }
    assert!(
        production("DROP TABLE azywiki.page")
            .unwrap_err()
            .contains("denied")
    );
    assert!(
        cloud("SELECT 1 FROM azywiki.page")
            .unwrap_err()
            .contains("denied")
    );
    let method = "SELECT plugin FROM mysql.user WHERE user = 'research'";
    assert_eq!(read("prod-replica", method), "ed25519\n");

    // Nobody without the password, nobody without TLS, and not with any authority.
    for (server, account) in [
        ("target", "dbsync"),
        ("prod-replica", "research"),
        ("cloud", "s53272"),
    ] {
        let try_with = |change: &dyn Fn(&mut Command)| {
            let mut command = client(&sandbox, server, account);
            command.args(["--execute", "SELECT 1"]);
            change(&mut command);
            answer(&command.output().unwrap())
        };
        assert_eq!(try_with(&|_| ()).unwrap(), "1\n");
        let wrong = try_with(&|command| {
            command.env("MYSQL_PWD", "wrong");
        });
        assert!(wrong.unwrap_err().contains("1045"), "{server}");
        let plain = try_with(&|command| {
            command.arg("--skip-ssl");
        });
        assert!(plain.is_err(), "{server}");
        let other = try_with(&|command| {
            command.arg("--ssl-ca=/etc/ssl/certs/ca-certificates.crt");
        });
        assert!(other.unwrap_err().contains("certificate"), "{server}");
    }

    // Certificates name who they are for; keys and passwords are their owner's.
    let named = |server: &str, host: &str| {
        let output = Command::new("openssl")
            .args(["x509", "-noout", "-checkhost", host, "-in"])
            .arg(sandbox.dir().join(format!("tls/{server}.pem")))
            .output()
            .unwrap();
        !String::from_utf8_lossy(&output.stdout).contains("NOT match")
    };
    assert!(named("prod-replica", "dbstore1008.eqiad.wmnet"));
    assert!(named("cloud", "an-redacteddb1001.eqiad.wmnet"));
    assert!(named("target", "localhost"));
    assert!(!named("target", "dbstore1008.eqiad.wmnet"));
    let modes = |folder: &str, ending: &str| {
        let entries = fs::read_dir(sandbox.dir().join(folder)).unwrap();
        let paths: Vec<PathBuf> = entries
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.to_string_lossy().ends_with(ending))
            .collect();
        assert!(!paths.is_empty());
        for path in paths {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{}", path.display());
        }
    };
    modes("secrets", "");
    modes("tls", ".key");

    sandbox.down(&quiet).unwrap();
    assert_eq!(process::of_sandbox(sandbox.dir()), []);
}

#[test]
fn servers_come_and_go_one_by_one() {
    let sandbox = up("one-by-one");
    let names: Vec<String> = pids(&sandbox).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        ["cloud", "dns", "metadata", "prod-replica", "target"]
    );
    let others = |gone: &str| -> Vec<(String, i32)> {
        let mut pids = pids(&sandbox);
        pids.retain(|(name, _)| name != gone);
        pids
    };

    // What was committed outlives a kill, and nobody else notices it.
    sandbox
        .mariadb(
            "target",
            "CREATE DATABASE kept; CREATE TABLE kept.t AS SELECT 7 AS a",
        )
        .unwrap();
    let before = others("target");
    sandbox.kill_server("target").unwrap();
    let error = sandbox.mariadb("target", "SELECT 1").unwrap_err();
    assert!(matches!(error, Error::NotUp { .. }), "{error}");
    assert!(error.to_string().starts_with("target is not up"), "{error}");
    sandbox.start_server("target", &quiet).unwrap();
    assert_eq!(
        sandbox.mariadb("target", "SELECT a FROM kept.t").unwrap(),
        "7\n"
    );
    assert_eq!(others("target"), before);

    // Of two that were stopped, one comes back alone.
    sandbox.stop_server("cloud").unwrap();
    sandbox.stop_server("target").unwrap();
    sandbox.start_server("cloud", &quiet).unwrap();
    assert!(sandbox.mariadb("target", "SELECT 1").is_err());
    sandbox.start_server("target", &quiet).unwrap();

    // A paused server takes connections and says nothing.
    sandbox.pause_server("cloud").unwrap();
    let mut waiting = client(&sandbox, "cloud", "s53272");
    waiting.args(["--connect-timeout=1", "--execute", "SELECT 1"]);
    assert!(answer(&waiting.output().unwrap()).is_err());
    sandbox.resume_server("cloud").unwrap();
    assert_eq!(ask(&sandbox, "cloud", "s53272", "SELECT 1").unwrap(), "1\n");

    // The name server follows a replica that had to take another port.
    let (srv, a) = (33, 1);
    let service = "_s5-analytics._tcp.eqiad.wmnet";
    let old = port(&sandbox, "prod-replica");
    assert!(contains(
        &resolve(&sandbox, service, srv),
        &old.to_be_bytes()
    ));
    sandbox.stop_server("prod-replica").unwrap();
    let taken = TcpListener::bind(("127.0.0.1", old)).unwrap();
    sandbox.start_server("prod-replica", &quiet).unwrap();
    let new = port(&sandbox, "prod-replica");
    assert_ne!(new, old);
    let answer = resolve(&sandbox, service, srv);
    assert!(contains(&answer, &new.to_be_bytes()));
    assert!(contains(&answer, &encoded("dbstore1008.eqiad.wmnet")[..12]));
    drop(taken);
    for host in ["dbstore1008.eqiad.wmnet", "an-redacteddb1001.eqiad.wmnet"] {
        assert!(
            contains(&resolve(&sandbox, host, a), &[127, 0, 0, 1]),
            "{host}"
        );
    }
    // NXDOMAIN for what is not there, REFUSED for what is others'.
    assert_eq!(resolve(&sandbox, "nobody.eqiad.wmnet", a)[3] & 15, 3);
    assert_eq!(resolve(&sandbox, "example.org", a)[3] & 15, 5);

    let error = sandbox.stop_server("nobody").unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert_eq!(sandbox.mariadb("nobody", "").unwrap_err().exit_code(), 2);
    sandbox.down(&quiet).unwrap();
}

#[test]
fn staging_is_an_older_copy_of_production() {
    let sandbox = up("superset");
    let read = |sql: &str| sandbox.mariadb("metadata", sql).unwrap();
    let number = |sql: &str| read(sql).trim().parse::<u64>().unwrap();
    let count = |database: &str, table: &str| {
        number(&format!("SELECT COUNT(*) FROM superset_{database}.{table}"))
    };
    let secrets = "SELECT GROUP_CONCAT(HEX(password)) FROM superset_%.dbs";
    let structure = "SELECT table_name, column_name, column_type FROM information_schema.columns \
                     WHERE table_schema = 'superset_%' ORDER BY 1, ordinal_position";
    let of = |sql: &str, database: &str| read(&sql.replace('%', database));

    assert_eq!(of(structure, "staging"), of(structure, "production"));
    assert!(of(structure, "staging").lines().count() > 400);
    for table in ["slices", "dashboards", "logs", "query"] {
        assert!(
            count("staging", table) < count("production", table),
            "{table}"
        );
    }
    assert_ne!(of(secrets, "staging"), of(secrets, "production"));
    let theirs =
        "SELECT COUNT(*) FROM superset_staging.dbs WHERE extra LIKE '%superset/superset.svc%'";
    assert_eq!(number(theirs), 0);
    assert_eq!(number(&theirs.replace("staging", "production")), 2);
    assert_eq!(
        of(
            "SELECT SUM(active) FROM superset_%.report_schedule",
            "staging"
        ),
        "0\n"
    );
    // Every table that a copy leaves out has something to leave out.
    for table in [
        "ab_api_key",
        "cache_keys",
        "database_user_oauth2_tokens",
        "embedded_dashboards",
        "logs",
        "query",
        "report_execution_log",
        "ssh_tunnels",
        "tab_state",
        "task_subscribers",
        "tasks",
    ] {
        assert!(count("production", table) > 0, "{table}");
    }
    let on_target = "SELECT COUNT(*) FROM superset_staging.slices";
    assert_eq!(sandbox.mariadb("target", on_target).unwrap(), "130\n");

    // What was made is as big as asked, the same every time, and nobody's event.
    let log = || read("SHOW MASTER STATUS");
    let before = log();
    read("CREATE DATABASE superset_staging_new");
    assert_ne!(log(), before);
    let before = log();
    sandbox.seed_superset(Size(20_000_000)).unwrap();
    let sum = "CHECKSUM TABLE superset_production.logs, superset_production.query, \
               superset_production.slices, superset_production.key_value, superset_staging.dbs";
    let first = read(sum);
    let bytes = number(
        "SELECT SUM(data_length + index_length) FROM information_schema.tables \
         WHERE table_schema = 'superset_production' AND table_name IN \
         ('logs', 'query', 'tab_state', 'slices', 'key_value')",
    );
    assert!((15_000_000..30_000_000).contains(&bytes), "{bytes}");
    assert_eq!(read("SHOW DATABASES LIKE 'superset_staging_new'"), "");
    sandbox.seed_superset("20MB".parse().unwrap()).unwrap();
    assert_eq!(read(sum), first);
    assert_eq!(log(), before);

    for orphans in [
        "SELECT COUNT(*) FROM superset_production.query q LEFT JOIN superset_production.dbs d \
         ON d.id = q.database_id WHERE d.id IS NULL",
        "SELECT COUNT(*) FROM superset_production.logs l LEFT JOIN superset_production.ab_user u \
         ON u.id = l.user_id WHERE u.id IS NULL",
        "SELECT COUNT(*) FROM superset_staging.dashboard_slices s LEFT JOIN \
         superset_staging.slices c ON c.id = s.slice_id WHERE c.id IS NULL",
    ] {
        assert_eq!(number(orphans), 0, "{orphans}");
    }
    sandbox.down(&quiet).unwrap();
}

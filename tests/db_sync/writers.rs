//! Whoever writes to production meanwhile waits for the moment of the snapshot at most, and only
//! as long as the tool says.
//!
//! The writers are procedures on the server, which measure every write by the server's clock. So
//! does one that looks who waits for a lock.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};

use super::private::{Private, alone, planned, private, run_of};
use crate::support::{Ran, scratch};

const WRITERS: usize = 4;
/// What scheduling may add on a machine that is busy with other tests, in milliseconds: the
/// writers' procedures and the tool take turns on few processors.
const BUSY: u64 = 2000;

/// Rows for the copy to be some seconds at, and procedures that write and look until there is a
/// row in `stop`. Each writer changes rows of its own: they do not wait for each other.
const WORLD: &str = "
    SET SESSION sql_log_bin = 0;
    SET GLOBAL time_zone = '+00:00';
    DROP DATABASE IF EXISTS writers;
    CREATE DATABASE writers;
    USE writers;
    CREATE TABLE writers.stop (id INT PRIMARY KEY);
    CREATE TABLE writers.latency
      (id INT PRIMARY KEY AUTO_INCREMENT, writer INT NOT NULL, began DATETIME(6) NOT NULL,
       us BIGINT NOT NULL);
    CREATE TABLE writers.waits
      (id INT PRIMARY KEY AUTO_INCREMENT, seen DATETIME(6) NOT NULL, state VARCHAR(64) NOT NULL);
    CREATE TABLE superset_production.traffic
      (id INT PRIMARY KEY AUTO_INCREMENT, writer INT NOT NULL, turn INT NOT NULL,
       filler VARCHAR(500) NOT NULL);
    INSERT INTO superset_production.traffic (writer, turn, filler)
      SELECT 1 + seq % 4, 0, REPEAT(MD5(seq), 15) FROM seq_1_to_80000;
    ANALYZE TABLE superset_production.traffic;
    DELIMITER //
    CREATE PROCEDURE writers.write_on(me INT)
    BEGIN
      DECLARE began DATETIME(6);
      DECLARE turn INT DEFAULT 0;
      WHILE NOT EXISTS (SELECT 1 FROM writers.stop) DO
        SET turn = turn + 1, began = SYSDATE(6);
        IF turn % 2 THEN
          INSERT INTO superset_production.traffic (writer, turn, filler) VALUES (me, turn, 'new');
        ELSE
          UPDATE superset_production.traffic SET traffic.turn = turn
            WHERE traffic.id = me + 4 * (turn % 10000);
        END IF;
        INSERT INTO writers.latency (writer, began, us)
          VALUES (me, began, TIMESTAMPDIFF(MICROSECOND, began, SYSDATE(6)));
        DO SLEEP(0.005);
      END WHILE;
    END//
    CREATE PROCEDURE writers.look_on()
      WHILE NOT EXISTS (SELECT 1 FROM writers.stop) DO
        INSERT INTO writers.waits (seen, state)
          SELECT SYSDATE(6), STATE FROM information_schema.PROCESSLIST
          WHERE USER = 'root' AND STATE LIKE 'Waiting for%lock%';
        DO SLEEP(0.005);
      END WHILE//
    DELIMITER ;";

/// A copy, planned and run to its end.
#[track_caller]
fn copied(config: &Path, plan: &str) {
    let plan = planned(config, plan);
    Ran::from(run_of(config, &plan).output().unwrap()).expect(0);
}

/// Clients that are in those procedures.
struct Busy<'a> {
    world: &'a Private,
    clients: Vec<Child>,
}

impl<'a> Busy<'a> {
    fn start(world: &'a Private) -> Self {
        let calls = (1..=WRITERS).map(|me| format!("CALL writers.write_on({me})"));
        let calls = calls.chain(["CALL writers.look_on()".to_owned()]);
        let clients = calls.map(|call| {
            let mut client = world.0.mariadb_command("metadata").unwrap();
            client
                .args(["--execute", &call])
                .stdin(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        });
        let clients = clients.collect();
        let busy = Self { world, clients };
        busy.all_write_since("0001-01-01");
        busy
    }

    /// Until every writer has begun and ended a write after that moment.
    fn all_write_since(&self, moment: &str) {
        let writers =
            format!("SELECT COUNT(DISTINCT writer) FROM writers.latency WHERE began > '{moment}'");
        while self.world.number(&writers) < WRITERS as u64 {
            std::thread::yield_now();
        }
    }

    /// Runs a copy while they write; gives what they have seen.
    fn during(&self, config: &Path, name: &str) -> Phase {
        let now = || self.world.sql("SELECT SYSDATE(6)").trim().to_owned();
        let locks = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS \
                     WHERE VARIABLE_NAME = 'Innodb_row_lock_waits'";
        let (from, row_locks) = (now(), self.world.number(locks));
        copied(config, &format!("writers-{name}.json"));
        let (until, row_locks) = (now(), self.world.number(locks) - row_locks);
        // What began meanwhile has ended, too.
        self.all_write_since(&until);
        let within = format!("BETWEEN '{from}' AND '{until}'");
        let told = |path: &str| {
            let query = format!(
                "SELECT JSON_VALUE(detail, '$.{path}') FROM superset_staging._opsweek_sync \
                 WHERE stage = 'copied'"
            );
            self.world.sql(&query).trim().to_owned()
        };
        let held = told("writers_held_up_milliseconds").parse().ok();
        let moment = format!(
            "seen BETWEEN '{0}' - INTERVAL {1} * 1000 MICROSECOND \
             AND '{0}' + INTERVAL {BUSY} * 1000 MICROSECOND",
            told("snapshot.taken"),
            held.unwrap_or(0) + BUSY
        );
        let waits = format!("FROM writers.waits WHERE seen {within}");
        Phase {
            writes: self.world.number(&format!(
                "SELECT COUNT(*) FROM writers.latency WHERE began {within}"
            )),
            longest: self.world.number(&format!(
                "SELECT MAX(us) DIV 1000 FROM writers.latency WHERE began {within}"
            )),
            waits: self.world.number(&format!("SELECT COUNT(*) {waits}")),
            stray_waits: self
                .world
                .number(&format!("SELECT COUNT(*) {waits} AND NOT ({moment})")),
            row_locks,
            held,
            readers: told("readers"),
            alone: told("one_connection_because"),
            histogram: self.histogram(&within),
        }
    }

    /// Writes by the power of two of milliseconds that they took.
    fn histogram(&self, within: &str) -> String {
        let rows = self.world.sql(&format!(
            "SELECT IF(us < 1000, 0, 1 + FLOOR(LOG2(us / 1000))) AS bucket, COUNT(*) \
             FROM writers.latency WHERE began {within} GROUP BY bucket ORDER BY bucket"
        ));
        rows.lines().fold(String::new(), |mut text, row| {
            let (bucket, count) = row.split_once('\t').unwrap();
            let below = 1_u64 << bucket.parse::<u32>().unwrap();
            let _ = writeln!(text, "  below {below:>6} ms {count:>8}");
            text
        })
    }

    /// No writer met an error.
    fn stop(self) {
        self.world.sql("INSERT INTO writers.stop VALUES (1)");
        for client in self.clients {
            let ended = client.wait_with_output().unwrap();
            assert!(ended.status.success(), "{ended:?}");
        }
    }
}

/// What writers saw of a copy. Times are in milliseconds.
#[derive(Debug)]
struct Phase {
    writes: u64,
    /// The longest write.
    longest: u64,
    /// How often a writer was seen waiting for a table.
    waits: u64,
    /// How often far from the moment that the tool tells.
    stray_waits: u64,
    /// How often a row was waited for.
    row_locks: u64,
    /// What the tool says.
    held: Option<u64>,
    readers: String,
    alone: String,
    /// Lines: so many writes took less than that.
    histogram: String,
}

#[test]
fn no_write_waits_longer_than_the_moment_that_the_tool_reports() {
    let world = private();
    let world = alone(&world);
    world.seed();
    world.sql(WORLD);
    let config = |name: &str, snapshot: &str| {
        let text = std::fs::read_to_string(world.0.config_path()).unwrap();
        let head = "[db-sync.profiles.prod-to-staging]\n";
        assert!(text.contains(head), "{text}");
        let path = scratch(name);
        let text = text.replace(head, &format!("{head}snapshot = \"{snapshot}\"\n"));
        std::fs::write(&path, text).unwrap();
        path
    };
    let grant = |verb: &str, to: &str| {
        world.sql(&format!(
            "{verb} LOCK TABLES ON `superset\\_production`.* {to} dbsync@localhost"
        ));
    };
    grant("GRANT", "TO");
    let busy = Busy::start(&world);

    // By one connection without any lock nobody waits for us: what writes take now is what the
    // copy's load makes of them.
    let control = busy.during(&config("writers-single.toml", "single"), "single");
    assert_eq!(control.readers, "1");
    assert_eq!(control.held, None);
    assert_eq!((control.waits, control.row_locks), (0, 0));

    let config = config("writers-tables.toml", "tables");
    let short = busy.during(&config, "tables");
    assert_eq!(short.readers, "4", "{}", short.alone);
    let held = short.held.unwrap();
    assert!(
        short.longest <= held + control.longest + BUSY,
        "{short:?} {control:?}"
    );
    assert_eq!((short.stray_waits, short.row_locks), (0, 0), "{short:?}");

    // Somebody is in the midst of writing to a table: the lock is not to be had. Those who write
    // to the others meanwhile wait as long as it is asked for, and that is what is reported.
    let mut holder = world.0.mariadb_command("metadata").unwrap();
    let mut holder = holder
        .args(["--batch", "--skip-column-names", "--unbuffered"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = holder.stdin.take().unwrap();
    input
        .write_all(
            b"START TRANSACTION; UPDATE superset_production.user_attribute SET id = id WHERE id = 0;\n\
              SELECT 'in use';\n",
        )
        .unwrap();
    let mut said = [0; 7];
    holder.stdout.take().unwrap().read_exact(&mut said).unwrap();
    assert_eq!(&said, b"in use\n");
    let long = busy.during(&config, "in use");
    // It has nothing more to say, and with it ends the transaction.
    drop(input);
    assert!(holder.wait().unwrap().success());
    assert_eq!(long.readers, "1");
    let held = long.held.unwrap();
    assert!(
        long.longest <= held + control.longest + BUSY,
        "{long:?} {control:?}"
    );
    // That the writers do see it when they wait.
    assert!(long.longest >= 1000 && long.waits > 0, "{long:?}");

    for (name, phase) in [("single", &control), ("tables", &short), ("in use", &long)] {
        println!("{name}: {phase:?}\n{}", phase.histogram);
        assert!(phase.writes > 1000, "{phase:?}");
    }
    busy.stop();
    grant("REVOKE", "FROM");
}

//! A copy shows one moment, and holds up nobody longer than it says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use opsweek_core::services::sql::copy::{Phase, Watch, copy};
use opsweek_core::services::sql::marker::{Contents, Stage, contents};
use opsweek_core::services::sql::{Connection, Error, Server, snapshot};
use tokio_util::sync::CancellationToken;

use super::job;
use super::server::MariaDb;

/// Two tables whose rows are written in one transaction each: in any one moment they hold the
/// same numbers.
const PAIR: &str = "
    CREATE DATABASE prod; USE prod;
    CREATE TABLE a (id int PRIMARY KEY AUTO_INCREMENT, n int, filler varchar(5000), KEY (n));
    CREATE TABLE z (id int PRIMARY KEY AUTO_INCREMENT, n int, KEY (n));
    INSERT INTO a SELECT seq, 0, REPEAT('x', 5000) FROM seq_1_to_4000;
    ANALYZE TABLE a;
    CREATE USER reader@localhost;
    GRANT SELECT ON prod.* TO reader@localhost;
    GRANT ALL ON copy.* TO reader@localhost;
    GRANT PROCESS ON *.* TO reader@localhost";

async fn write(connection: &mut Connection, n: u64) {
    for statement in [
        "START TRANSACTION".to_owned(),
        format!("INSERT INTO prod.a (n) VALUES ({n})"),
        format!("INSERT INTO prod.z (n) VALUES ({n})"),
        "COMMIT".to_owned(),
    ] {
        connection.execute("writing", &statement, ()).await.unwrap();
    }
}

/// Writes until told to stop; gives the longest that one transaction took.
fn writer(
    server: Server,
    number: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) -> tokio::task::JoinHandle<Duration> {
    tokio::spawn(async move {
        let mut connection = server.connect().await.unwrap();
        let mut longest = Duration::ZERO;
        while !stop.load(Ordering::Relaxed) {
            let begun = Instant::now();
            write(&mut connection, number.fetch_add(1, Ordering::Relaxed)).await;
            longest = longest.max(begun.elapsed());
        }
        longest
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_shows_one_moment_while_others_write() {
    let mariadb = MariaDb::start(&[]);
    mariadb.sql(PAIR);
    let (number, stop) = (
        Arc::new(AtomicU64::new(1)),
        Arc::new(AtomicBool::new(false)),
    );
    let writers: Vec<_> = (0..3)
        .map(|_| writer(mariadb.root(), number.clone(), stop.clone()))
        .collect();
    let mut seen = Vec::new();
    for (user, mode, readers) in [
        ("root", snapshot::Mode::Tables, 3),
        ("root", snapshot::Mode::GlobalLock, 3),
        ("reader", snapshot::Mode::Tables, 1),
        ("root", snapshot::Mode::Single, 1),
    ] {
        let mut job = job(&mariadb.account(user), "prod", "copy").await;
        job.snapshot = mode;
        let done = copy(&job, &Watch::silent(CancellationToken::new()))
            .await
            .unwrap();
        assert_eq!(done.readers, readers, "{mode:?} {:?}", done.alone);
        assert_eq!(done.alone.is_some(), user == "reader");
        assert_eq!(done.held.is_some(), readers > 1);
        let torn = mariadb.sql(
            "SELECT COUNT(*) FROM copy.a x LEFT JOIN copy.z USING (n) WHERE x.n > 0 AND z.n IS NULL \
             UNION ALL SELECT COUNT(*) FROM copy.z x LEFT JOIN copy.a USING (n) WHERE a.n IS NULL \
             UNION ALL SELECT COUNT(*) > 0 FROM copy.z",
        );
        assert_eq!(torn, "0\n0\n1\n", "{mode:?}");
        seen.extend(done.held);
    }
    stop.store(true, Ordering::Relaxed);
    let held = seen.into_iter().max().unwrap();
    for writer in writers {
        let longest = writer.await.unwrap();
        // What a transaction takes on a busy machine without any lock comes on top.
        assert!(
            longest < held + Duration::from_secs(2),
            "{longest:?}, held {held:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_broke_off_is_known_as_half() {
    let mariadb = MariaDb::start(&[]);
    mariadb.sql(PAIR);
    let server = mariadb.root();
    let job = job(&server, "prod", "copy").await;
    let token = CancellationToken::new();
    let cancel = token.clone();
    let watch = Watch {
        cancel: token,
        progress: Arc::new(move |_| cancel.cancel()),
    };
    let stopped = copy(&job, &watch).await.unwrap_err();
    assert!(matches!(stopped, Error::Cancelled { .. }), "{stopped}");
    let mut connection = server.connect().await.unwrap();
    let half = contents(&mut connection, "copy").await.unwrap();
    assert!(matches!(half, Contents::Copy(marker) if marker.stage == Stage::Copying));

    // The server ends every connection but the client's own, in the middle.
    let killer = std::thread::scope(|scope| {
        let (told, begun) = std::sync::mpsc::channel();
        let told = std::sync::Mutex::new(told);
        let watch = Watch {
            cancel: CancellationToken::new(),
            // Whoever kills listens only once.
            progress: Arc::new(move |_| {
                let _ = told.lock().unwrap().send(());
            }),
        };
        let mariadb = &mariadb;
        let killed = scope.spawn(move || {
            begun.recv().unwrap();
            let ids = mariadb.sql("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'root' AND ID <> CONNECTION_ID()");
            for id in ids.lines() {
                mariadb.refuses(&format!("KILL {id}"));
            }
        });
        let handle = tokio::runtime::Handle::current();
        let failed = tokio::task::block_in_place(|| handle.block_on(copy(&job, &watch)));
        killed.join().unwrap();
        failed
    });
    let error = killer.unwrap_err();
    assert!(
        matches!(error, Error::Lost { .. } | Error::Refused { .. }),
        "{error:?}"
    );
    let mut connection = server.connect().await.unwrap();
    let half = contents(&mut connection, "copy").await.unwrap();
    assert!(matches!(half, Contents::Copy(marker) if marker.stage == Stage::Copying));
    copy(&job, &Watch::silent(CancellationToken::new()))
        .await
        .unwrap();
    assert_eq!(mariadb.sql("SELECT COUNT(*) FROM copy.a"), "4000\n");
}

/// Calls `work` the first time that rows of `table` were copied.
fn once_read(table: &'static str, work: impl Fn() + Send + Sync + 'static) -> Watch {
    let done = AtomicBool::new(false);
    Watch {
        cancel: CancellationToken::new(),
        progress: Arc::new(move |progress| {
            let now = progress.phase == Phase::Copy && progress.table == table;
            if now && !done.swap(true, Ordering::Relaxed) {
                work();
            }
        }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_altered_before_it_was_read_ends_the_copy() {
    let mariadb = Arc::new(MariaDb::start(&[]));
    mariadb.sql(PAIR);
    let mut job = job(&mariadb.root(), "prod", "copy").await;
    job.snapshot = snapshot::Mode::Single;
    let server = mariadb.clone();
    let watch = once_read("a", move || drop(server.sql("ALTER TABLE prod.z FORCE")));
    let error = copy(&job, &watch).await.unwrap_err();
    assert!(matches!(error, Error::Changed { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_lies_idle_lasts_as_long_as_the_copy() {
    let mariadb = Arc::new(MariaDb::start(&["--wait-timeout=1"]));
    mariadb.sql(PAIR);
    let job = job(&mariadb.root(), "prod", "copy").await;
    let server = mariadb.clone();
    let watch = once_read("a", move || {
        // Where all were ended there is none to wait for.
        let idle = "SELECT COALESCE(MAX(TIME) >= 3, 1) FROM information_schema.PROCESSLIST \
                    WHERE COMMAND = 'Sleep'";
        while server.sql(idle) != "1\n" {
            std::thread::yield_now();
        }
    });
    copy(&job, &watch).await.unwrap();
}

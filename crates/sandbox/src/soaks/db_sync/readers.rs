//! Those who read staging all the while.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::Soak;
use super::content::marks_of_staging;
use crate::error::Error;
use crate::files;
use crate::servers::mariadb::Server;

const READERS: usize = 3;
/// Statements a connection: a cut-over comes in the middle of one.
const STATEMENTS: usize = 50;
/// How the client begins to say that the server is not there, or not any more: numbers from
/// 2000 are its own errors, of the connection and of TLS; those of a server that has answered
/// are others. Source: `MariaDB`, "`MariaDB` Error Code Reference".
const GONE: &str = "ERROR 20";

/// What readers have seen.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) reads: usize,
    /// Everything that was ever seen.
    pub(super) generations: BTreeSet<String>,
}

impl Soak<'_> {
    /// Lets readers read staging while `work` is done.
    pub(super) fn while_reading<T>(
        &self,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<(T, Seen), Error> {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let start = |_| scope.spawn(|| self.read(&stop));
            let readers: Vec<_> = (0..READERS).map(start).collect();
            let done = work();
            stop.store(true, Ordering::Relaxed);
            let mut all = Seen::default();
            for reader in readers {
                let seen = reader
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
                all.reads += seen.reads;
                all.generations.extend(seen.generations);
            }
            Ok((done?, all))
        })
    }

    /// Reads until told to stop. That the server is gone is no error while it is killed.
    fn read(&self, stop: &AtomicBool) -> Result<Seen, Error> {
        let many = format!("{};", marks_of_staging()).repeat(STATEMENTS);
        let mut seen = Seen::default();
        while !stop.load(Ordering::Relaxed) {
            let before = self.outages.load(Ordering::SeqCst);
            let output = Server::Metadata
                .client(self.tool.sandbox.dir())
                .args([
                    "--batch",
                    "--skip-column-names",
                    "--unbuffered",
                    "--execute",
                ])
                .arg(&many)
                .output()
                .map_err(|source| self.tool.unrun(source))?;
            let after = self.outages.load(Ordering::SeqCst);
            let rows = String::from_utf8_lossy(&output.stdout);
            // A client that lost its server may have lost the end of a line.
            let whole = rows.rfind('\n').map_or("", |end| &rows[..end]);
            for row in whole.lines() {
                seen.reads += 1;
                if !seen.generations.contains(row) {
                    seen.generations.insert(row.to_owned());
                }
            }
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr);
                let killed = before % 2 == 1 || before != after;
                if !killed || !said.lines().any(|line| line.starts_with(GONE)) {
                    return Err(self.failed(format!(
                        "a reader of staging got an error: {}",
                        files::last_lines(&said, 3)
                    )));
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(seen)
    }
}

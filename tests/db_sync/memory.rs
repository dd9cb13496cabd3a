//! What the tool takes of memory.

use std::process::Stdio;
use std::time::Duration;

use super::command;
use super::private::{alone, private};
use crate::support::Ran;

/// The largest row, in bytes.
const ROW: u64 = 20_000_000;

/// The peak of a process that still runs, in KiB: `VmHWM` of proc(5), without the pages of the
/// program's own file (`RssFile`). Of those a debug build has 25 MiB more than a release.
fn peak(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let figure = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse().ok()
    };
    Some(figure("VmHWM:")?.saturating_sub(figure("RssFile:")?))
}

/// Copies a production with a large row to where `local_infile` is as given; gives the peak in KiB.
fn peak_of_a_copy(local_infile: bool) -> u64 {
    let world = private();
    let world = alone(&world);
    world.seed();
    world.sql(&format!(
        "SET GLOBAL max_allowed_packet = 67108864, GLOBAL local_infile = {local_infile}"
    ));
    world.sql(&format!(
        "SET SESSION sql_log_bin = 0; USE superset_production; \
         CREATE TABLE large (id INT PRIMARY KEY AUTO_INCREMENT, content LONGBLOB NOT NULL); \
         INSERT INTO large (content) SELECT REPEAT(MD5(seq), 1000) FROM seq_1_to_3200; \
         INSERT INTO large (content) VALUES (REPEAT(MD5('large'), {ROW} / 32)); \
         ANALYZE TABLE large"
    ));
    let mut run = command(&world.0.config_path())
        .args(["prod-to-staging", "--yes"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut most = 0;
    while run.try_wait().unwrap().is_none() {
        most = most.max(peak(run.id()).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    }
    Ran::from(run.wait_with_output().unwrap()).expect(0);
    let sum = |database: &str| {
        let line = world.sql(&format!("CHECKSUM TABLE {database}.large"));
        line.split('\t').nth(1).unwrap().to_owned()
    };
    assert_eq!(sum("superset_staging"), sum("superset_production"));
    world.sql("SET GLOBAL max_allowed_packet = DEFAULT, GLOBAL local_infile = 1");
    most
}

/// 64 MiB and twice the largest row, in KiB.
const BOUND: u64 = (64 << 10) + 2 * ROW / 1024;

#[test]
fn a_copy_stays_within_64_mib_and_twice_the_largest_row() {
    let most = peak_of_a_copy(true);
    assert!(most < BOUND, "{most} KiB, of {BOUND}");
}

#[test]
fn so_does_one_by_inserts() {
    let most = peak_of_a_copy(false);
    assert!(most < BOUND, "{most} KiB, of {BOUND}");
}

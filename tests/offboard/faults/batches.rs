//! Hosts in batches: one that fails holds those back that have not begun, and the same plan
//! goes on once it is mended.

use opsweek_sandbox::free_port;

use super::hosts_refuse::config;
use super::{clean, run};
use crate::support::{Ran, databases_of, offboard_with, sandbox, scratch, seed};

/// Plans the user's archive with these flags; gives the plan's file.
fn planned(user: &str, flags: &[&str]) -> String {
    let plan = scratch(&format!("{user}.json"));
    let plan = plan.to_str().unwrap();
    let mut command = offboard_with(&sandbox().config_path());
    command
        .args([user, "--archive", "--new-owner", "analytics", "--relocate"])
        .args(["--stop-processes", "--save-plan", plan])
        .args(flags);
    let ran = Ran::from(command.output().unwrap()).expect(3);
    assert!(ran.stdout.contains(" at a time, "), "{}", ran.stdout);
    plan.to_owned()
}

/// The sandbox's configuration, with nobody listening where that host should be.
fn without(user: &str, host: &str) -> std::path::PathBuf {
    let port = free_port().unwrap();
    let extra = format!("Host {host}\n  HostName 127.0.0.1\n  Port {port}\nHost *");
    config(user, &extra, None)
}

#[test]
fn one_that_fails_holds_back_what_has_not_begun() {
    let user = "elvisbatches";
    seed(user);
    let usual = sandbox().config_path();
    let plan = planned(user, &["--batch", "2", "--sleep", "1", "--success", "90%"]);
    let hosts = sandbox().hosts();
    // 6, and 7 wins: the second look does not see that host either.
    let broken = run(&without(user, &hosts[1].name), &plan).expect(7);
    // The seed leaves something on the first five hosts.
    let first = "BATCH 1 of 3: stat[1008-1009].eqiad.wmnet\n";
    assert!(broken.stderr.contains(first), "{}", broken.stderr);
    assert!(!broken.stderr.contains("BATCH 2"), "{}", broken.stderr);
    let held = "collect-stat[1010-1012].eqiad.wmnet";
    let why = "not begun: 1 of 2 before it succeeded, fewer than 90%";
    for said in [held, why] {
        assert!(broken.stdout.contains(said), "{said}:\n{}", broken.stdout);
    }
    // What was collected is not removed either, and nothing was dropped.
    for host in [0, 1, 4] {
        let home = hosts[host].root.join("home").join(user);
        assert!(home.symlink_metadata().is_ok(), "{}", home.display());
    }
    assert!(!databases_of(user).is_empty());
    let mended = run(&usual, &plan).expect(0);
    for said in [first, "BATCH 2 of 3: ", "BATCH 3 of 3: stat1012"] {
        assert!(mended.stderr.contains(said), "{said}:\n{}", mended.stderr);
    }
    clean(&usual, user);
}

#[test]
fn enough_that_succeed_let_the_rest_begin() {
    let user = "elvisenough";
    seed(user);
    let usual = sandbox().config_path();
    let plan = planned(user, &["--batch", "2", "--success", "50"]);
    let hosts = sandbox().hosts();
    let broken = run(&without(user, &hosts[1].name), &plan).expect(7);
    let home = |host: usize| hosts[host].root.join("home").join(user);
    assert!(!home(0).exists() && !home(4).exists(), "{}", broken.stdout);
    assert!(home(1).symlink_metadata().is_ok());
    assert!(!databases_of(user).is_empty());
    run(&usual, &plan).expect(0);
    clean(&usual, user);
}

#[test]
fn hosts_that_say_the_same_are_one_line() {
    let user = "elvisalike";
    seed(user);
    let port = free_port().unwrap();
    let extra = format!("Host stat1008* stat1009* stat1010*\n  Port {port}\nHost *");
    let config = config(user, &extra, None);
    // Alike but for their addresses.
    let text = std::fs::read_to_string(scratch(&format!("{user}.ssh_config"))).unwrap();
    let same = format!("Host stat1008* stat1009* stat1010*\n  HostName 127.0.0.1\n{text}");
    std::fs::write(scratch(&format!("{user}.ssh_config")), same).unwrap();
    let looked = Ran::from(offboard_with(&config).arg(user).output().unwrap()).expect(7);
    let folded = "- NOT looked at: stat[1008-1010].eqiad.wmnet: ";
    assert!(looked.stdout.contains(folded), "{}", looked.stdout);
    let lines = looked.stdout.matches("NOT looked at").count();
    assert_eq!(lines, 1, "{}", looked.stdout);
}

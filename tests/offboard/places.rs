//! `--places`: a launcher has the keytabs, another host root's ssh key.

use crate::support::{
    Ran, databases_of, host_trees, in_hdfs, offboard, offboard_with, sandbox, scratch, seed,
    world_of,
};

/// Plans with these flags, which ends with 3, and runs the plan.
fn run(user: &str, flags: &[&str]) -> Ran {
    let plan = scratch(&format!("{user}.json"));
    let plan = plan.to_str().unwrap();
    let mut command = offboard_with(&sandbox().config_path());
    command.arg(user).args(flags).args(["--save-plan", plan]);
    let planned = Ran::from(command.output().unwrap()).expect(3);
    assert!(
        planned.stdout.contains("not asked for: "),
        "{}",
        planned.stdout
    );
    offboard(["--plan", plan, "--yes"])
}

const CLUSTER: &[&str] = &["--places", "hdfs,hive"];
const HOSTS: &[&str] = &["--places", "hosts"];

fn homes(user: &str) -> Vec<String> {
    let trees = host_trees(user);
    let homes = trees.lines().filter(|line| line.contains("/home/"));
    homes.map(str::to_owned).collect()
}

#[test]
fn an_archive_in_two_parts_and_its_way_back() {
    let user = "elvisplaces";
    seed(user);
    let before = world_of(user);
    let home = format!("/user/{user}");
    let ran = offboard([user, "--archive", "--places", "hosts", "--dry-run"]).expect(8);
    assert!(
        ran.stderr
            .contains(&format!("{home} is there, and nothing proves")),
        "{}",
        ran.stderr
    );
    assert_eq!(world_of(user), before);

    let on_hosts = host_trees(user);
    let archive = ["--archive", "--new-owner", "analytics", "--relocate"];
    run(user, &[&archive[..], CLUSTER].concat()).expect(0);
    assert!(!in_hdfs(&home));
    assert_eq!(databases_of(user), Vec::<Vec<String>>::new());
    assert_eq!(host_trees(user), on_hosts);
    let looked = offboard([user, "--places", "hdfs,hive"]).expect(0);
    assert!(
        looked.stdout.contains("archive, waiting for hosts"),
        "{}",
        looked.stdout
    );
    offboard([user]).expect(3);

    run(
        user,
        &[&["--archive", "--stop-processes"][..], HOSTS].concat(),
    )
    .expect(0);
    assert_eq!(homes(user), Vec::<String>::new());
    offboard([user]).expect(0);

    run(user, &[&["--restore"][..], HOSTS].concat()).expect(3);
    assert!(!homes(user).is_empty() && !in_hdfs(&home));
    run(user, &[&["--restore"][..], CLUSTER].concat()).expect(3);
    assert!(in_hdfs(&home));
    assert_eq!(databases_of(user), [[user]]);
    // Nothing but the records is left to be dealt with, and for that all must be seen.
    offboard([user, "--restore", "--yes"]).expect(0);
    assert!(!in_hdfs(&format!(
        "/wmf/data/archive/user/.{user}.restoring"
    )));
}

#[test]
fn a_deletion_in_two_parts_in_either_order() {
    let user = "elvispartly";
    seed(user);
    let task = ["--delete", "--task", "T123456", "--stop-processes"];
    run(user, &[&task[..], HOSTS].concat()).expect(0);
    assert_eq!(homes(user), Vec::<String>::new());
    assert!(in_hdfs(&format!("/user/{user}")));
    crate::offboard::delete::clear(user);
    run(
        user,
        &[&task[..], &["--new-owner", "analytics"], CLUSTER].concat(),
    )
    .expect(0);
    assert!(!in_hdfs(&format!("/user/{user}")));
    let looked = offboard([user]).expect(0);
    assert!(
        looked.stdout.contains("records of a deletion"),
        "{}",
        looked.stdout
    );
}

//! Hosts that fail in the middle, and people who get in the way.

use super::{clean, planned, run, run_until};
use crate::support::{Ran, host_trees, in_hdfs, offboard_with, on_host, sandbox, scratch, seed};

const ARCHIVE: &str = "/wmf/data/archive/user";

#[test]
fn a_host_gone_in_the_middle_of_its_stream_fails_alone() {
    let user = "elvisgone";
    seed(user);
    let config = sandbox().config_path();
    let hosts = sandbox().hosts();
    let host = &hosts[0].name;
    on_host(
        host,
        &format!(
            "head -c 300M /dev/urandom > /home/{user}/noise && chown {user}: /home/{user}/noise"
        ),
    );
    let plan = planned(&config, user);
    let start = format!("START collect-{host}");
    let ran = run_until(
        &config,
        &plan,
        &[(&start, &|_| {
            // The stream's own processes, as soon as they are there.
            on_host(
                host,
                &format!("until pkill -9 -f 'ta[r] .*{user}'; do :; done"),
            );
        })],
    )
    .expect(6);
    assert!(
        ran.stderr.contains(&format!("collect-{host}")),
        "{}",
        ran.stderr
    );
    let trees = host_trees(user);
    assert!(trees.contains(&format!("/home/{user}/noise")), "{trees}");
    run(&config, &plan).expect(0);
    clean(&config, user);
    assert!(!host_trees(user).contains(&format!("/home/{user}")));
}

#[test]
fn what_changes_while_it_is_collected_is_told_and_not_lost() {
    let user = "elvischanges";
    seed(user);
    let config = sandbox().config_path();
    let host = &sandbox().hosts()[0].name;
    let noise = format!("/home/{user}/noise");
    on_host(
        host,
        &format!("head -c 100M /dev/urandom > {noise} && chown {user}: {noise}"),
    );
    let plan = planned(&config, user);
    let start = format!("START collect-{host}");
    let more = format!("until pgrep -f 'ta[r] .*{user}'; do :; done; echo more >> {noise}");
    let ran = run_until(&config, &plan, &[(&start, &|_| drop(on_host(host, &more)))]).expect(6);
    let told = [format!("collect-{host}"), format!("remove-{host}")];
    assert!(
        told.iter().any(|step| ran.stdout.contains(step)),
        "{}",
        ran.stdout
    );
    let digest = on_host(host, &format!("sha256sum < {noise}"));
    assert!(digest.len() > 64, "{digest}");
    // A new plan takes what is there now.
    let plan = planned(&config, user);
    run(&config, &plan).expect(0);
    clean(&config, user);
    let hosts = format!("{ARCHIVE}/{user}/.opsweek/hosts");
    let listed = sandbox().hdfs(None, &["dfs", "-ls", "-C", &hosts]).unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let again = format!("{hosts}/{host}-2.tar.zst");
    let last = if listed.contains(&again) {
        again
    } else {
        format!("{hosts}/{host}.tar.zst")
    };
    let here = scratch(&format!("{user}.tar.zst"));
    let got = sandbox().hdfs(None, &["dfs", "-get", &last, here.to_str().unwrap()]);
    assert!(got.unwrap().status.success(), "{listed}");
    let script = format!(
        "zstd -dc {} | tar -xO home/{user}/noise | sha256sum",
        here.display()
    );
    let kept = std::process::Command::new("sh")
        .args(["-c", &script])
        .output();
    assert_eq!(String::from_utf8(kept.unwrap().stdout).unwrap(), digest);
}

#[test]
fn a_target_that_somebody_made_meanwhile_is_left_alone() {
    let user = "elvistarget";
    seed(user);
    let config = sandbox().config_path();
    let plan = planned(&config, user);
    let target = format!("{ARCHIVE}/{user}");
    let mine = format!("{target}/azys-own");
    let made = sandbox()
        .hdfs(None, &["dfs", "-mkdir", "-p", &mine])
        .unwrap();
    assert!(made.status.success());
    let ran = run(&config, &plan);
    assert!(
        matches!(ran.code, Some(4 | 6)),
        "{:?}\n{}",
        ran.code,
        ran.stderr
    );
    assert!(in_hdfs(&mine) && in_hdfs(&format!("/user/{user}")));
    let removed = sandbox()
        .hdfs(None, &["dfs", "-rmdir", &mine, &target])
        .unwrap();
    assert!(removed.status.success(), "{removed:?}");
    run(&config, &plan).expect(0);
    clean(&config, user);
}

#[test]
fn who_may_not_read_is_told_what_was_not_seen() {
    let user = "elvisdenied";
    seed(user);
    let text = std::fs::read_to_string(sandbox().config_path()).unwrap();
    let config = scratch("denied.toml");
    let mut section = "";
    let lines = text.lines().map(|line| {
        if line.starts_with('[') {
            section = line;
        }
        match (section, line) {
            ("[hdfs]", "user = \"hdfs\"") => "user = \"azy\"",
            _ => line,
        }
    });
    std::fs::write(&config, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let private = sandbox()
        .hdfs(None, &["dfs", "-chmod", "700", &format!("/user/{user}")])
        .unwrap();
    assert!(private.status.success());
    let looked = Ran::from(offboard_with(&config).arg(user).output().unwrap()).expect(7);
    assert!(
        looked.stdout.contains("NOT looked at: hdfs") && looked.stdout.contains("azy"),
        "{}",
        looked.stdout
    );
}

//! Systems that are down, slow, or do not let us in.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::stage::Stage;
use crate::support::{Ran, sandbox};

/// A port where nobody listens.
fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A run that cannot look at a replica changes nothing, and says why and what to do.
fn incomplete(stage: &Stage, why: &str, hint: &str) {
    let before = stage.state();
    let begun = Instant::now();
    let ran = stage.run(&["azywiki", "--yes"]).expect(7);
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert!(
        ran.stderr.contains(why) || ran.stdout.contains(why),
        "{}\n{}",
        ran.stdout,
        ran.stderr
    );
    assert!(ran.stdout.contains(hint), "{}", ran.stdout);
    assert_eq!(stage.state(), before);
    // Without it there is no need for replicas.
    stage
        .run(&["azywiki", "--only", "allowlist", "--dry-run"])
        .expect(3);
}

#[test]
fn a_replica_that_is_down() {
    let stage = Stage::new("down");
    let lines = format!("host = \"127.0.0.1\"\nport = {}", closed_port());
    stage.configure_section("newwiki.production", &[], &lines);
    incomplete(&stage, "cannot be reached", "is the server running");
}

#[test]
fn a_replica_that_hangs() {
    let stage = Stage::new("slow");
    // It takes connections, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let lines = format!("host = \"127.0.0.1\"\nport = {port}\ndeadline = \"1s\"");
    stage.configure_section("newwiki.cloud", &["host", "port"], &lines);
    incomplete(
        &stage,
        "no answer within 1 s",
        "the server is slow or hangs",
    );
}

#[test]
fn a_replica_that_refuses_the_login() {
    let stage = Stage::new("login");
    let word = stage.file("password");
    fs::write(&word, "hunter2\n").unwrap();
    fs::set_permissions(&word, fs::Permissions::from_mode(0o600)).unwrap();
    let line = format!("password_file = {:?}", word.display().to_string());
    stage.configure_section("newwiki.cloud", &["password_file"], &line);
    incomplete(&stage, "the login is refused", "is its password right");
    let ran = stage.run(&["azywiki", "--format", "json"]);
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains("hunter2"));
}

#[test]
fn a_replica_whose_certificate_another_authority_signed() {
    let stage = Stage::new("tls");
    let line = format!("ca_file = {:?}", "/etc/ssl/certs/ca-certificates.crt");
    stage.configure_section("newwiki.production", &["ca_file"], &line);
    incomplete(&stage, "no trusted TLS connection", "ca_file must be");
}

#[test]
fn name_servers_that_are_down_or_know_nothing() {
    let stage = Stage::new("dns");
    let line = format!(
        "domain = \"example.org\"\nserver = \"127.0.0.1:{}\"",
        closed_port()
    );
    let keys = ["domain", "server"];
    stage.configure_section(
        "newwiki.dns",
        &keys[1..],
        &line["domain = \"example.org\"\n".len()..],
    );
    incomplete(
        &stage,
        "SRV _s5-analytics._tcp.eqiad.wmnet",
        "is the name server right",
    );
    let stage = Stage::new("domain");
    stage.configure_section(
        "newwiki.dns",
        &keys[..1],
        "domain = \"nowhere.eqiad.wmnet\"",
    );
    incomplete(&stage, "no such record", "is the domain right");
}

#[test]
fn without_the_metastore_the_edit_goes_on_and_the_run_says_so() {
    let stage = Stage::new("metastore");
    let uri = format!("uris = [\"thrift://127.0.0.1:{}\"]", closed_port());
    stage.configure_section("metastore", &["uris"], &uri);
    let ran = stage.run(&["azywiki", "--yes"]).expect(7);
    assert!(
        ran.stdout.contains("NOT looked at: unexpected values"),
        "{}",
        ran.stdout
    );
    assert_eq!(stage.git(&["rev-list", "--count", "master..HEAD"]), "1");
}

#[test]
fn without_hdfs_nothing_is_synced_or_begun() {
    let stage = Stage::new("hdfs");
    let conf = stage.file("conf");
    fs::create_dir_all(&conf).unwrap();
    let from = sandbox().dir().join("hdfs/conf");
    for name in ["core-site.xml", "hdfs-site.xml"] {
        let text = fs::read_to_string(from.join(name)).unwrap();
        let port = format!("127.0.0.1:{}", closed_port());
        let fs_name = text
            .split("hdfs://")
            .nth(1)
            .and_then(|rest| rest.split('<').next())
            .unwrap_or("127.0.0.1:0");
        fs::write(conf.join(name), text.replace(fs_name, &port)).unwrap();
    }
    let line = format!("conf_dir = {:?}", conf.display().to_string());
    stage.configure_section("hdfs", &["conf_dir"], &line);
    let before = stage.state();
    let ran = stage.run(&["azywiki", "--sync-hdfs", "--yes"]).expect(7);
    assert!(ran.stderr.contains("hdfs"), "{}", ran.stderr);
    assert_eq!(stage.state(), before);
}

#[test]
fn a_password_is_nowhere_after_a_run() {
    let stage = Stage::new("secrets");
    let secret = |account: &str| {
        let path = sandbox().dir().join(format!("secrets/mariadb-{account}"));
        fs::read_to_string(path).unwrap().trim().to_owned()
    };
    let passwords = ["research", "s53272"].map(secret);
    let line = "password_env = \"OPSWEEK_TEST_PASSWORD\"";
    stage.configure_section("newwiki.production", &["password_file"], line);
    let ran = stage.run(&["azywiki", "--push", "--yes"]).expect(2);
    assert!(ran.stderr.contains("no variable"), "{}", ran.stderr);

    let plan = stage.file("plan.json").display().to_string();
    let mut said = String::new();
    for (arguments, code) in [
        (vec!["azywiki", "--push", "--save-plan", &plan], 3),
        (vec!["--plan", &plan, "--yes", "--format", "json"], 0),
    ] {
        let mut command = stage.command(&arguments);
        command.env("OPSWEEK_TEST_PASSWORD", &passwords[0]);
        let ran = Ran::from(command.output().unwrap()).expect(code);
        said += &(ran.stdout + &ran.stderr);
    }
    let mut folders = vec![stage.file("")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if let Ok(bytes) = fs::read(entry.path()) {
                files += 1;
                said += &String::from_utf8_lossy(&bytes);
            }
        }
    }
    assert!(files > 10 && said.contains("DONE push") && said.contains("azywiki,14,1"));
    for password in passwords {
        assert!(!said.contains(&password));
    }
}

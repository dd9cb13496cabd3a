//! Systems that are down, slow, or do not let us in.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use opsweek_sandbox::free_port;

use super::secrets::forms;
use super::stage::Stage;

/// A run that cannot look at a replica changes nothing, and says why and what to do.
fn incomplete(stage: &Stage, why: &str, hint: &str) {
    let before = stage.state();
    let begun = Instant::now();
    let ran = stage.run(&["azywiki", "--yes"]).expect(7);
    assert!(begun.elapsed() < Duration::from_mins(3));
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
    let lines = format!("host = \"127.0.0.1\"\nport = {}", free_port().unwrap());
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
    // One account is of ed25519, the other a native one.
    for (side, name) in [("production", "login-ed25519"), ("cloud", "login-native")] {
        let stage = Stage::new(name);
        let secret = "n0t the p4ssword";
        let word = stage.file("password");
        fs::write(&word, format!("{secret}\n")).unwrap();
        fs::set_permissions(&word, fs::Permissions::from_mode(0o600)).unwrap();
        let line = format!("password_file = {:?}", word.display().to_string());
        stage.configure_section(&format!("newwiki.{side}"), &["password_file"], &line);
        incomplete(&stage, "the login is refused", "is its password right");
        for format in ["text", "json"] {
            let ran = stage.run(&["azywiki", "--format", format]);
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert!(said.contains("the login is refused"), "{said}");
            assert!(forms(secret).iter().all(|form| !said.contains(form)));
        }
    }
}

#[test]
fn a_replica_whose_certificate_another_authority_signed() {
    let stage = Stage::new("tls");
    let line = format!("ca_file = {:?}", "/etc/ssl/certs/ca-certificates.crt");
    stage.configure_section("newwiki.production", &["ca_file"], &line);
    incomplete(&stage, "no trusted TLS connection", "ca_file must be");
}

#[test]
fn a_replica_that_has_another_ones_certificate() {
    let stage = Stage::new("mismatch");
    // The name leads to the right server, whose certificate is for another name.
    let line = "host = \"dbstore1008.eqiad.wmnet\"";
    stage.configure_section("newwiki.cloud", &["host"], line);
    incomplete(&stage, "no trusted TLS connection", "host the name in it");
}

#[test]
fn name_servers_that_are_down_or_know_nothing() {
    let stage = Stage::new("dns");
    let line = format!(
        "domain = \"example.org\"\nserver = \"127.0.0.1:{}\"",
        free_port().unwrap()
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
    let uri = format!("uris = [\"thrift://127.0.0.1:{}\"]", free_port().unwrap());
    stage.configure_section("metastore", &["uris"], &uri);
    let ran = stage.run(&["azywiki", "--yes"]).expect(7);
    for told in ["NOT looked at: unexpected values", "hint: "] {
        assert!(ran.stdout.contains(told), "{told}: {}", ran.stdout);
    }
    assert_eq!(stage.git(&["rev-list", "--count", "master..HEAD"]), "1");
}

#[test]
fn without_hdfs_nothing_is_synced_or_begun() {
    let stage = Stage::new("hdfs");
    stage.namenode_at(free_port().unwrap(), free_port().unwrap());
    let before = stage.state();
    let ran = stage.run(&["azywiki", "--sync-hdfs", "--yes"]).expect(7);
    for told in ["hdfs", "hint: "] {
        assert!(ran.stderr.contains(told), "{told}: {}", ran.stderr);
    }
    assert_eq!(stage.state(), before);
}

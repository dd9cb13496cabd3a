//! Getting in: settings, jump hosts, host keys, our keys; and every way of not getting in.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use opsweek_core::services::fleet::{Command, Config, Error, Fleet, Output};
use opsweek_sandbox::free_port;
use tokio_util::sync::CancellationToken;

use super::server::{World, host, sh};
use super::{one_server, run};

async fn knock(fleet: &Fleet) -> Result<Output, Error> {
    run(fleet, "web1", Command::new(["true"])).await
}

fn with_agent(world: &World, options: &str) -> Fleet {
    Fleet::new(Config {
        agent: Some(world.path("agent")),
        ..world.config(options)
    })
}

#[tokio::test]
async fn a_refused_port_a_silent_one_and_no_name_are_told_apart() {
    let mut world = World::new();
    world.configure("web1", free_port().unwrap());
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    world.configure("web2", silent.local_addr().unwrap().port());
    world.append(
        "ssh_config",
        "Host web3.example.org\n  HostName web3.invalid\n",
    );
    let fleet = Fleet::new(Config {
        connect_deadline: Duration::from_secs(2),
        ..world.config("")
    });
    let refused = knock(&fleet).await.unwrap_err();
    assert!(matches!(refused, Error::Refused { .. }), "{refused:?}");
    let start = Instant::now();
    let silent = run(&fleet, "web2", Command::new(["true"]))
        .await
        .unwrap_err();
    assert!(matches!(silent, Error::NoBanner { .. }), "{silent:?}");
    assert!(start.elapsed() < Duration::from_secs(10));
    let nowhere = run(&fleet, "web3", Command::new(["true"]))
        .await
        .unwrap_err();
    assert!(matches!(nowhere, Error::Unreachable { .. }), "{nowhere:?}");
    // A stopped sshd still accepts: the kernel does.
    world.serve("web4", &["ed25519"], "");
    let stopped = world.pid("web4").to_string();
    sh("kill", &["-STOP", &stopped]);
    let fleet = Fleet::new(Config {
        connect_deadline: Duration::from_secs(2),
        ..world.config("")
    });
    let hung = run(&fleet, "web4", Command::new(["true"]))
        .await
        .unwrap_err();
    sh("kill", &["-CONT", &stopped]);
    assert!(matches!(hung, Error::NoBanner { .. }), "{hung:?}");
}

#[tokio::test]
async fn an_unknown_host_key_is_refused() {
    let (world, fleet) = one_server();
    let known = world.read("known_hosts");
    world.write("known_hosts", "");
    let error = knock(&fleet).await.unwrap_err();
    let Error::KeyUnknown { offer, .. } = &error else {
        panic!("{error:?}");
    };
    let listed = sh(
        "ssh-keygen",
        &["-l", "-f", &world.shown("web1_ed25519.pub")],
    );
    assert!(listed.contains(&offer.fingerprint), "{listed} {offer:?}");
    assert!(error.to_string().contains(&offer.fingerprint));
    world.write("known_hosts", &known);
    let key = fleet
        .host_key(&host("web1"), &CancellationToken::new())
        .await;
    assert_eq!(key.unwrap(), offer.fingerprint);
}

#[tokio::test]
async fn a_changed_host_key_is_refused_with_the_way_out() {
    let (world, fleet) = one_server();
    world.keygen("other_ed25519", "ed25519", "");
    let port = world.read("known_hosts");
    let port = port[port.find(':').unwrap() + 1..port.find(' ').unwrap()]
        .parse()
        .unwrap();
    let changed = world.known_line("other", "ed25519", port);
    world.write("known_hosts", &format!("# a comment\n{changed}"));
    let error = knock(&fleet).await.unwrap_err();
    let Error::KeyChanged { offer, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(offer.on_record, Some((world.path("known_hosts"), 2)));
    let hint = error.hint().unwrap();
    let remove = format!(
        "ssh-keygen -R '[127.0.0.1]:{port}' -f {}",
        world.shown("known_hosts")
    );
    assert!(hint.contains(&remove), "{hint}");
    // The way out does lead out: the entry goes, the key is unknown now.
    let line = hint
        .split("then: ")
        .nth(1)
        .unwrap()
        .split(", line")
        .next()
        .unwrap();
    sh("sh", &["-c", line]);
    assert!(matches!(knock(&fleet).await, Err(Error::KeyUnknown { .. })));
}

#[tokio::test]
async fn known_hosts_in_all_its_forms() {
    let (world, fleet) = one_server();
    let plain = world.read("known_hosts");
    let (_, key) = plain.split_once(' ').unwrap();
    sh(
        "ssh-keygen",
        &["-q", "-H", "-f", &world.shown("known_hosts")],
    );
    assert!(world.read("known_hosts").starts_with("|1|"));
    assert!(knock(&fleet).await.unwrap().success());
    for names in [
        "127.0.0.1",
        "[127.*]:*",
        "db1,[127.0.0.1]:*,db2",
        "127.0.0.?",
    ] {
        world.write("known_hosts", &format!("{names} {key}"));
        let result = knock(&world.fleet("")).await;
        assert!(result.unwrap().success(), "{names}");
    }
    for line in [
        format!("!127.0.0.1,127.* {key}"),
        format!("@cert-authority * {key}"),
        format!("#127.0.0.1 {key}"),
        format!("127.0.0.2 {key}"),
    ] {
        world.write("known_hosts", &line);
        let result = knock(&world.fleet("")).await;
        assert!(
            matches!(result, Err(Error::KeyUnknown { .. })),
            "{line} {result:?}"
        );
    }
    world.write("known_hosts", &format!("{plain}@revoked * {key}"));
    let error = knock(&world.fleet("")).await.unwrap_err();
    assert!(matches!(error, Error::KeyChanged { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("revoked"));
    let alias = world.fleet("HostKeyAlias web1-alias");
    world.write("known_hosts", &format!("web1-alias {key}"));
    assert!(knock(&alias).await.unwrap().success());
}

#[tokio::test]
async fn the_key_type_on_record_is_the_one_asked_for() {
    let mut world = World::new();
    let port = world.serve("web1", &["ed25519", "ecdsa", "rsa"], "");
    for kind in ["ecdsa", "rsa", "ed25519"] {
        let line = world.known_line("web1", kind, port);
        world.write("known_hosts", &line);
        assert!(knock(&world.fleet("")).await.unwrap().success(), "{kind}");
    }
    // A type on record that the server has no longer: not the same as a changed key.
    world.keygen("old_ecdsa", "ecdsa", "");
    let mut other = World::new();
    let port = other.serve("web1", &["ed25519"], "");
    world.write("old", &world.known_line("old", "ecdsa", port));
    let fleet = other.fleet(&format!("UserKnownHostsFile {}", world.shown("old")));
    let error = knock(&fleet).await.unwrap_err();
    let Error::KeyUnknown { offer, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(offer.on_record, Some((world.path("old"), 1)));
}

#[tokio::test]
async fn keys_of_every_type_open_and_a_wrong_one_does_not() {
    let (world, _) = one_server();
    for kind in ["rsa", "ecdsa", "ed25519"] {
        let name = format!("key_{kind}");
        world.keygen(&name, kind, "");
        let fleet = world.fleet(&format!("IdentityFile {}", world.shown(&name)));
        // The default key comes second, so this one alone must be taken off the list.
        world.write("authorized_keys", "");
        let error = knock(&fleet).await.unwrap_err();
        let Error::AuthRefused { user, tried, .. } = &error else {
            panic!("{error:?}");
        };
        assert_eq!(*user, world.user);
        assert!(tried.contains(&world.shown(&name)), "{tried}");
        world.write("authorized_keys", &world.read(&format!("{name}.pub")));
        assert!(knock(&fleet).await.unwrap().success(), "{kind}");
    }
}

#[tokio::test]
async fn an_encrypted_key_wants_the_agent() {
    let (world, _) = one_server();
    for (name, format) in [("locked", "RFC4716"), ("locked_pem", "PEM")] {
        let kind = if format == "PEM" { "rsa" } else { "ed25519" };
        world.keygen(name, kind, "");
        let file = world.shown(name);
        sh(
            "ssh-keygen",
            &[
                "-q", "-p", "-m", format, "-P", "", "-N", "secret", "-f", &file,
            ],
        );
        world.write("authorized_keys", &world.read(&format!("{name}.pub")));
        let options = format!("IdentityFile {file}");
        let error = knock(&world.fleet(&options)).await.unwrap_err();
        assert!(matches!(error, Error::KeyFile { .. }), "{error:?}");
        assert_eq!(
            error.to_string(),
            format!("web1.example.org: key {file}: it is encrypted")
        );
        assert!(error.hint().unwrap().ends_with(&format!("ssh-add {file}")));
    }
    let file = world.shown("locked");
    world.write("authorized_keys", &world.read("locked.pub"));
    sh("cp", &[&file, &world.shown("open")]);
    sh(
        "ssh-keygen",
        &[
            "-q",
            "-p",
            "-P",
            "secret",
            "-N",
            "",
            "-f",
            &world.shown("open"),
        ],
    );
    let _agent = world.agent(&["open"]);
    let fleet = with_agent(&world, &format!("IdentityFile {file}"));
    assert!(knock(&fleet).await.unwrap().success());
    world.write("garbage", "no key at all\n");
    let error = knock(&world.fleet(&format!("IdentityFile {}", world.shown("garbage")))).await;
    assert!(matches!(error, Err(Error::KeyFile { .. })), "{error:?}");
}

#[tokio::test]
async fn the_agents_identities_are_tried_in_turn() {
    let (world, _) = one_server();
    let names: Vec<String> = (1..=8).map(|number| format!("agent{number}")).collect();
    for name in &names {
        world.keygen(name, "ed25519", "");
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let _agent = world.agent(&names);
    world.write("authorized_keys", &world.read("agent3.pub"));
    assert!(knock(&with_agent(&world, "")).await.unwrap().success());
    // The eighth comes too late for a server that allows six tries, unless it is named.
    world.write("authorized_keys", &world.read("agent8.pub"));
    let error = knock(&with_agent(&world, "")).await.unwrap_err();
    assert!(matches!(error, Error::AuthRefused { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("IdentitiesOnly"));
    let only_the_eighth = format!(
        "IdentitiesOnly yes\nIdentityFile {}.pub",
        world.shown("agent8")
    );
    assert!(
        knock(&with_agent(&world, &only_the_eighth))
            .await
            .unwrap()
            .success()
    );
    let without = with_agent(&world, "IdentityAgent none");
    assert!(matches!(
        knock(&without).await,
        Err(Error::AuthRefused { .. })
    ));
}

#[tokio::test]
async fn an_agent_that_never_answers_does_not_hold_us() {
    let (world, _) = one_server();
    let agent = UnixListener::bind(world.path("agent")).unwrap();
    let fleet = Fleet::new(Config {
        agent: Some(world.path("agent")),
        connect_deadline: Duration::from_secs(2),
        ..world.config("")
    });
    let start = Instant::now();
    let error = knock(&fleet).await.unwrap_err();
    assert!(matches!(error, Error::Hung { .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(4));
    // Lets the thread go that waits for it.
    drop(agent);
}

#[tokio::test]
async fn certificates_open_from_a_file_and_from_the_agent() {
    let mut world = World::new();
    world.keygen("ca", "ed25519", "");
    let trust = format!("TrustedUserCAKeys {}", world.shown("ca.pub"));
    world.serve("web1", &["ed25519"], &trust);
    world.write("authorized_keys", "");
    assert!(matches!(
        knock(&world.fleet("")).await,
        Err(Error::AuthRefused { .. })
    ));
    let (ca, key) = (world.shown("ca"), world.shown("id.pub"));
    sh(
        "ssh-keygen",
        &["-q", "-s", &ca, "-I", "test", "-n", &world.user, &key],
    );
    assert!(knock(&world.fleet("")).await.unwrap().success());
    let elsewhere = world.shown("elsewhere-cert.pub");
    sh("mv", &[&world.shown("id-cert.pub"), &elsewhere]);
    assert!(matches!(
        knock(&world.fleet("")).await,
        Err(Error::AuthRefused { .. })
    ));
    let named = world.fleet(&format!("CertificateFile {elsewhere}"));
    assert!(knock(&named).await.unwrap().success());
    sh("mv", &[&elsewhere, &world.shown("id-cert.pub")]);
    let _agent = world.agent(&["id"]);
    sh("rm", &[&world.shown("id-cert.pub")]);
    assert!(knock(&with_agent(&world, "")).await.unwrap().success());
}

#[tokio::test]
async fn a_host_behind_jump_hosts_is_reached_through_them() {
    let mut world = World::new();
    let port = world.serve("web1", &["ed25519"], "");
    world.serve("bastion1", &["ed25519"], "");
    world.serve("bastion2", &["ed25519"], "");
    for jump in [
        "bastion1.example.org",
        "bastion1.example.org,bastion2.example.org",
    ] {
        let fleet = world.fleet(&format!(
            "Host web1.example.org\n  ProxyJump {jump}\nHost *"
        ));
        let output = knock(&fleet).await.unwrap();
        assert!(output.success());
        // The jump hosts were used, and no more of them than named.
        for bastion in ["bastion1", "bastion2"] {
            let used = world
                .read(&format!("{bastion}.log"))
                .contains("Accepted publickey");
            assert_eq!(used, jump.contains(bastion), "{jump} {bastion}");
        }
    }
    let options = format!(
        "Host web1.example.org\n  ProxyCommand ssh -F {} -W %h:%p bastion1.example.org\nHost *",
        world.config("").ssh_config.display()
    );
    assert!(knock(&world.fleet(&options)).await.unwrap().success());
    world.stop("bastion1");
    let fleet = world.fleet("Host web1.example.org\n  ProxyJump bastion1.example.org\nHost *");
    let error = knock(&fleet).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    let message = error.to_string();
    assert!(
        message.contains("Connection refused") && message.contains(&port.to_string()),
        "{message}"
    );
}

#[tokio::test]
async fn settings_that_ssh_refuses_are_told_in_its_words() {
    let world = World::new();
    let error = knock(&world.fleet("NoSuchKeyword yes")).await.unwrap_err();
    assert!(matches!(error, Error::Settings { .. }), "{error:?}");
    assert!(error.to_string().contains("nosuchkeyword"), "{error}");
    let missing = Fleet::new(Config {
        ssh_config: world.path("missing"),
        ..Config::default()
    });
    assert!(matches!(knock(&missing).await, Err(Error::Settings { .. })));
    let no_ssh = Fleet::new(Config {
        ssh_program: world.path("no-ssh"),
        ..world.config("")
    });
    assert!(matches!(knock(&no_ssh).await, Err(Error::Settings { .. })));
}

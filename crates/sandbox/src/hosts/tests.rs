use std::collections::HashSet;
use std::path::Path;
use std::sync::Mutex;

use super::{Error, Host, MAX_HOSTS, client, parallel, seed};

#[test]
fn hosts_are_numbered_from_stat1008_and_127_0_1_1() {
    let hosts = Host::first(Path::new("/s/hosts"), MAX_HOSTS, 2222);
    assert_eq!(hosts[0].name, "stat1008.eqiad.wmnet");
    assert_eq!(hosts[0].short(), "stat1008");
    assert_eq!(hosts[0].unit(), "hosts/stat1008");
    assert_eq!(hosts[0].socket().to_string(), "127.0.1.1:2222");
    assert_eq!(hosts[0].root, Path::new("/s/hosts/stat1008/root"));
    assert_eq!(hosts[0].log(), Path::new("/s/hosts/stat1008.log"));
    assert_eq!(hosts[49].name, "stat1057.eqiad.wmnet");
    assert_eq!(hosts[49].address.to_string(), "127.0.1.50");
}

#[test]
fn ssh_config_names_each_host_twice_and_nothing_of_the_callers_home() {
    let dir = Path::new("/s/50% of it/hosts");
    let text = client::config(dir, &Host::first(dir, 2, 2222)).unwrap();
    assert_eq!(
        text,
        "Host stat1008.eqiad.wmnet stat1008\n    HostName 127.0.1.1\n    Port 2222\n\n\
         Host stat1009.eqiad.wmnet stat1009\n    HostName 127.0.1.2\n    Port 2222\n\n\
         Host *\n    User ops\n    IdentityFile \"/s/50%% of it/hosts/ops_ed25519\"\n    \
         IdentitiesOnly yes\n    IdentityAgent none\n    \
         UserKnownHostsFile \"/s/50%% of it/hosts/known_hosts\"\n    \
         GlobalKnownHostsFile /dev/null\n    StrictHostKeyChecking yes\n    UpdateHostKeys no\n    BatchMode yes\n"
    );
}

#[test]
fn a_folder_that_ssh_config_cannot_name_is_refused() {
    for path in ["/s/\"", "/s/${HOME}", "/s/a\nb", "/s/a\\b"] {
        let error = client::config(Path::new(path), &[]).unwrap_err();
        assert!(matches!(error, Error::Folder { .. }), "{path}: {error}");
        assert!(error.hint().is_some());
    }
}

#[test]
fn known_hosts_lines_carry_the_port_and_drop_the_comment() {
    let host = Host::new(Path::new("/s"), 2, 2222);
    assert_eq!(
        client::known_hosts_line(&host, "ssh-ed25519 AAAA stat1010.eqiad.wmnet\n"),
        "[127.0.1.3]:2222 ssh-ed25519 AAAA\n"
    );
}

#[test]
fn a_seeded_user_keeps_its_uid_and_a_new_one_comes_after_all_others() {
    let accounts = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n\
                    ops:x:2000:2000::/home/ops:/bin/bash\nazywiki:x:2001:2001::/home/azywiki:/bin/bash\n";
    assert_eq!(seed::uid(accounts, "azywiki").unwrap(), 2001);
    assert_eq!(seed::uid(accounts, "elvis").unwrap(), 2002);
    assert_eq!(seed::uid("", "elvis").unwrap(), 2001);
    for user in ["root", "nobody", "ops"] {
        assert!(
            matches!(seed::uid(accounts, user), Err(Error::User { .. })),
            "{user}"
        );
    }
}

#[test]
fn only_names_that_useradd_takes_reach_a_host() {
    for user in ["elvis", "_elvis", "elvis-2", &"e".repeat(32)] {
        seed::check_name(user).unwrap();
    }
    for user in [
        "",
        "-rf",
        "Elvis",
        "elvis;id",
        "el vis",
        "elvis\n",
        "../elvis",
        "2elvis",
        &"e".repeat(33),
    ] {
        assert!(
            matches!(seed::check_name(user), Err(Error::User { .. })),
            "{user:?}"
        );
    }
}

#[test]
fn parallel_work_sees_every_item_once() {
    let seen = Mutex::new(Vec::new());
    let items: Vec<_> = (0..100).collect();
    parallel::each(&items, |item| {
        seen.lock().unwrap().push(*item);
        Ok::<_, ()>(())
    })
    .unwrap();
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), 100);
    assert_eq!(seen.into_iter().collect::<HashSet<_>>().len(), 100);
}

#[test]
fn parallel_work_stops_at_an_error() {
    let items: Vec<_> = (0..10_000).collect();
    let seen = Mutex::new(0);
    let result = parallel::each(&items, |item| {
        *seen.lock().unwrap() += 1;
        if *item == 3 { Err("three") } else { Ok(()) }
    });
    assert_eq!(result, Err("three"));
    assert!(*seen.lock().unwrap() < 10_000);
}

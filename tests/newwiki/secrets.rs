//! Where a password never is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use super::stage::Stage;
use crate::support::{Ran, sandbox};

/// All that a text with the secret in it may hold: the secret itself, its bytes in
/// hexadecimal digits, and what base64 makes of them wherever in a text they begin.
pub(super) fn forms(secret: &str) -> Vec<String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = secret
        .bytes()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    let number = |bits: &[u8]| bits.iter().fold(0, |sum, bit| sum * 2 + usize::from(*bit));
    let base64 = |skip: usize| -> String {
        let digits = bits[skip..].chunks_exact(6);
        digits.map(|six| char::from(DIGITS[number(six)])).collect()
    };
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    let halves = secret.bytes().flat_map(|byte| [byte >> 4, byte & 15]);
    let hex: String = halves.map(digit).collect();
    let mut forms = vec![secret.to_owned(), hex.to_uppercase(), hex];
    // Digits of which a part is of the byte before are left out.
    forms.extend([0, 4, 2].map(base64));
    forms
}

#[test]
fn forms_are_those_that_other_programs_make() {
    // xxd; and base64 of elvis, Aelvis, AAelvis: ZWx2aXM=, QWVsdmlz, QUFlbHZpcw==
    let made = [
        "elvis",
        "656C766973",
        "656c766973",
        "ZWx2aX",
        "Vsdmlz",
        "lbHZpc",
    ];
    assert_eq!(forms("elvis"), made);
}

/// What a folder's files hold, and how many there are.
fn content(folder: &std::path::Path) -> (usize, String) {
    let (mut files, mut all) = (0, String::new());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let (more, text) = content(&path);
            files += more;
            all += &text;
        } else if let Ok(bytes) = fs::read(path) {
            files += 1;
            all += &String::from_utf8_lossy(&bytes);
        }
    }
    (files, all)
}

#[test]
fn a_password_is_nowhere_during_and_after_a_run() {
    let stage = Stage::with_hdfs("secrets");
    let secret = |account: &str| {
        let path = sandbox().dir().join(format!("secrets/mariadb-{account}"));
        fs::read_to_string(path).unwrap().trim().to_owned()
    };
    let passwords = ["research", "s53272"].map(secret);
    let line = "password_env = \"OPSWEEK_TEST_PASSWORD\"";
    stage.configure_section("newwiki.production", &["password_file"], line);
    let ran = stage.run(&["azywiki", "--push", "--yes"]).expect(2);
    assert!(ran.stderr.contains("no variable"), "{}", ran.stderr);

    // Every git that is started says how.
    let (programs, started) = (stage.file("programs"), stage.file("started"));
    fs::create_dir_all(&programs).unwrap();
    let git = format!(
        "#!/bin/sh\nPATH=${{PATH#*:}}\necho git \"$@\" >> {}\nexec git \"$@\"\n",
        started.display()
    );
    fs::write(programs.join("git"), git).unwrap();
    fs::set_permissions(programs.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", programs.display());

    let plan = stage.file("plan.json").display().to_string();
    let save = ["azywiki", "--push", "--sync-hdfs", "--save-plan", &plan];
    let run = ["--plan", &plan, "--yes", "--format", "json"];
    let mut said = String::new();
    for (arguments, code) in [(&save[..], 3), (&run, 0)] {
        let mut command = stage.command(arguments);
        command
            .env("OPSWEEK_TEST_PASSWORD", &passwords[0])
            .env("PATH", &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It is empty until the program is loaded.
        let mut own = String::new();
        while own.is_empty() && child.try_wait().unwrap().is_none() {
            own = fs::read_to_string(format!("/proc/{}/cmdline", child.id())).unwrap();
        }
        said += &own;
        let ran = Ran::from(child.wait_with_output().unwrap()).expect(code);
        said += &(ran.stdout + &ran.stderr);
    }
    let (files, kept) = content(&stage.file(""));
    said += &kept;
    for (what, told) in [
        ("the tool's own arguments", "--save-plan"),
        ("git's arguments", "refs/for/master"),
        ("the journal and the output", "DONE push"),
        ("the plan", "swap-allowlist"),
        ("the files", "azywiki,14,1"),
    ] {
        assert!(said.contains(told), "{what}");
    }
    assert!(files > 10);
    let calls = fs::read_to_string(started).unwrap();
    assert!(calls.lines().count() > 5, "{calls}");
    for form in passwords.iter().flat_map(|secret| forms(secret)) {
        assert!(!said.contains(&form));
    }
}

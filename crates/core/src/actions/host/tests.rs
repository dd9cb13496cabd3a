//! What the scripts do, on this machine's files.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Folders of homes and of everything else, and the programs that a script finds.
struct Machine {
    root: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["home/elvis/deep", "else", "bin"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        fs::write(root.path().join("home/elvis/deep/file"), "his").unwrap();
        fs::write(root.path().join("else/file"), "another's").unwrap();
        let machine = Self { root };
        for tool in ["awk", "mv", "rm", "stat"] {
            let found = Command::new("sh")
                .args(["-c", "command -v \"$0\"", tool])
                .output()
                .unwrap();
            let path = String::from_utf8(found.stdout).unwrap();
            symlink(path.trim(), machine.path("bin").join(tool)).unwrap();
        }
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn home(&self) -> PathBuf {
        self.path("home/elvis")
    }

    fn tomb(&self) -> PathBuf {
        self.path("home/.elvis.opsweek-removing")
    }

    /// Runs `remove.sh` for one place, which was this object when it was looked at.
    fn remove(&self, kind: &str, place: &Path, was: &fs::Metadata) -> Output {
        let (dev, ino) = (was.dev().to_string(), was.ino().to_string());
        Command::new("/bin/bash")
            .env("PATH", self.path("bin"))
            .args(["-c", include_str!("remove.sh"), "opsweek", "elvis"])
            .args([kind, &dev, &ino])
            .arg(place)
            .output()
            .unwrap()
    }

    /// Nothing was removed, and this was said.
    #[track_caller]
    fn untouched(&self, output: &Output, said: &str) {
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success());
        assert!(stderr.contains(said), "{stderr}");
        assert!(self.path("else/file").exists());
    }
}

#[test]
fn a_home_is_removed_also_where_that_was_begun_before() {
    let machine = Machine::new();
    let was = fs::metadata(machine.home()).unwrap();
    assert!(
        machine
            .remove("folder", &machine.home(), &was)
            .status
            .success()
    );
    assert!(!machine.home().exists() && !machine.tomb().exists());

    let machine = Machine::new();
    fs::rename(machine.home(), machine.tomb()).unwrap();
    let was = fs::metadata(machine.tomb()).unwrap();
    assert!(
        machine
            .remove("folder", &machine.home(), &was)
            .status
            .success()
    );
    assert!(!machine.tomb().exists());
}

#[test]
fn a_home_that_is_another_by_now_is_left() {
    let machine = Machine::new();
    let was = fs::metadata(machine.path("else")).unwrap();
    let output = machine.remove("folder", &machine.home(), &was);
    machine.untouched(&output, "is not what it was");
    assert!(machine.home().join("deep/file").exists());
    // So is a removal that was begun of another.
    fs::rename(machine.home(), machine.tomb()).unwrap();
    let output = machine.remove("folder", &machine.home(), &was);
    machine.untouched(&output, "is not what it was");
    assert!(machine.tomb().join("deep/file").exists());
}

#[test]
fn a_link_in_a_homes_place_or_in_a_home_leads_nowhere() {
    let machine = Machine::new();
    let was = fs::metadata(machine.home()).unwrap();
    symlink(machine.path("else"), machine.path("home/elvis/out")).unwrap();
    assert!(
        machine
            .remove("folder", &machine.home(), &was)
            .status
            .success()
    );
    assert!(machine.path("else/file").exists());
    // Swapped after the look: there is no folder any more to be removed.
    let machine = Machine::new();
    let was = fs::metadata(machine.home()).unwrap();
    fs::rename(machine.home(), machine.path("home/aside")).unwrap();
    symlink(machine.path("else"), machine.home()).unwrap();
    machine.remove("folder", &machine.home(), &was);
    assert!(machine.home().is_symlink() && machine.path("else/file").exists());
    let output = machine.remove("single", &machine.home(), &was);
    machine.untouched(&output, "is not what it was");
    let was = fs::symlink_metadata(machine.home()).unwrap();
    assert!(
        machine
            .remove("single", &machine.home(), &was)
            .status
            .success()
    );
    assert!(!machine.home().is_symlink() && machine.path("else/file").exists());
}

#[test]
fn whoever_cannot_tell_what_is_mounted_removes_nothing() {
    for folder in ["home/elvis", "home/.elvis.opsweek-removing"] {
        let machine = Machine::new();
        fs::remove_file(machine.path("bin/awk")).unwrap();
        if folder != "home/elvis" {
            fs::rename(machine.home(), machine.tomb()).unwrap();
        }
        let was = fs::metadata(machine.path(folder)).unwrap();
        let output = machine.remove("folder", &machine.home(), &was);
        machine.untouched(&output, "cannot tell what is mounted");
        assert!(machine.path(folder).join("deep/file").exists());
    }
}

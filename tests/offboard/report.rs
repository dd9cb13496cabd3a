//! The look: it finds everything, changes nothing, and says so by its exit code.

use crate::support::{offboard, seed, world_of};

#[test]
fn a_name_unknown_everywhere_is_clean() {
    let ran = offboard(["nemo"]).expect(0);
    assert!(
        ran.stdout.contains("nothing of nemo is left"),
        "{}",
        ran.stdout
    );
}

#[test]
fn finds_everything_and_changes_nothing() {
    let user = "elvislook";
    seed(user);
    let before = world_of(user);
    let text = offboard([user]).expect(3).stdout;
    for place in [
        "/user/elvislook",
        "/user/hive/warehouse/elvislook.db",
        "database elvislook",
        "/home/elvislook",
        "/srv/home/elvislook",
        "/var/userarchive/elvislook",
        "/var/spool/cron/crontabs/elvislook",
        "linger",
        "process",
        "in another's database",
        "has files here",
        "elsewhere: stays",
        ".ssh is never archived",
    ] {
        assert!(text.contains(place), "{place} is missing in\n{text}");
    }
    let json = offboard([user, "--format", "json"]).expect(3).json();
    assert_eq!(json["exit"], 3);
    assert_eq!(json["report"]["leftovers"], true);
    let csv = offboard([user, "--format", "csv"]).expect(3).stdout;
    assert!(csv.starts_with("table,place,what,path"), "{csv}");
    let remarkup = offboard([user, "--format", "remarkup"]).expect(3).stdout;
    assert!(remarkup.contains("| place | what | path |"), "{remarkup}");
    assert_eq!(world_of(user), before);
}

use super::*;
use proptest::prelude::*;
use tar::Builder;

fn places() -> Vec<Place> {
    let place = |path: &str, wanted, there| Place {
        path: path.as_bytes().to_vec(),
        wanted,
        there,
    };
    vec![
        place("home/elvis", true, true),
        place("srv/home/elvis", false, true),
        place("var/spool/cron/crontabs/elvis", false, false),
    ]
}

/// A tarball of one entry, whatever its name.
fn one(kind: EntryType, name: &[u8], link: &[u8], mode: u32, uid: u64, data: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(uid);
    header.set_gid(uid);
    header.set_mtime(7);
    header.set_size(data.len() as u64);
    let fields = header.as_old_mut();
    fields.name[..name.len()].copy_from_slice(name);
    fields.linkname[..link.len()].copy_from_slice(link);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

fn filtered(tarball: &[u8]) -> Result<(u64, Vec<u8>), Refused> {
    let mut out = Vec::new();
    filter(tarball, &mut out, &places(), 1000).map(|copied| (copied, out))
}

fn names(tarball: &[u8]) -> Vec<String> {
    tar::Archive::new(tarball)
        .entries()
        .unwrap()
        .map(|entry| String::from_utf8_lossy(&entry.unwrap().path_bytes()).into_owned())
        .collect()
}

fn ended(mut entries: Vec<u8>) -> Vec<u8> {
    entries.extend([0; 2 * BLOCK]);
    entries
}

#[test]
fn entries_of_wanted_places_come_through_as_they_are() {
    let file = one(
        EntryType::Regular,
        b"home/elvis/\xff",
        b"",
        0o644,
        2001,
        &[7; 600],
    );
    let cron = one(
        EntryType::Regular,
        b"var/spool/cron/crontabs/elvis",
        b"",
        0o600,
        2001,
        b"x",
    );
    let link = one(
        EntryType::Symlink,
        b"home/elvis/out",
        b"/etc",
        0o777,
        2001,
        b"",
    );
    let hard = one(
        EntryType::Link,
        b"home/elvis/b",
        b"home/elvis/a",
        0o644,
        2001,
        b"",
    );
    let (from, to) = (b"home/elvis/c", b"srv/home/elvis/c");
    let across = one(EntryType::Link, from, to, 0o644, 2001, b"");
    let back = one(EntryType::Link, to, from, 0o644, 2001, b"");
    let links = [link, hard, across].concat();
    let whole = ended([file.clone(), cron, links.clone(), back].concat());
    let (copied, out) = filtered(&whole).unwrap();
    assert_eq!(copied, 4);
    assert_eq!(out, ended([file, links].concat()));
}

#[test]
fn long_names_are_those_of_the_extended_header() {
    let long = format!("home/elvis/{}", "n".repeat(300));
    let mut builder = Builder::new(Vec::new());
    builder
        .append_pax_extensions([("path", long.as_bytes())])
        .unwrap();
    let mut header = Header::new_ustar();
    header.set_path("home/elvis/short").unwrap();
    header.set_size(0);
    header.set_mode(0o644);
    header.set_uid(2001);
    header.set_gid(2001);
    header.set_mtime(0);
    header.set_entry_type(EntryType::Regular);
    header.set_cksum();
    builder.append(&header, io::empty()).unwrap();
    let tarball = builder.into_inner().unwrap();
    let (copied, out) = filtered(&tarball).unwrap();
    assert_eq!((copied, names(&out)), (1, vec![long]));

    let mut builder = Builder::new(Vec::new());
    builder
        .append_pax_extensions([("path", b"etc/shadow".as_slice())])
        .unwrap();
    builder.append(&header, io::empty()).unwrap();
    assert!(filtered(&builder.into_inner().unwrap()).is_err());
}

#[test]
fn no_file_can_do_more_than_its_owner() {
    let with = |attribute: &str| {
        let mut builder = Builder::new(Vec::new());
        let key = format!("SCHILY.xattr.{attribute}");
        builder
            .append_pax_extensions([(key.as_str(), b"x".as_slice())])
            .unwrap();
        let mut tarball = builder.into_inner().unwrap();
        tarball.truncate(tarball.len() - 2 * BLOCK);
        let name = b"home/elvis/ping";
        tarball.extend(one(EntryType::Regular, name, b"", 0o755, 2001, b""));
        filtered(&ended(tarball))
    };
    assert_eq!(with("user.comment").unwrap().0, 1);
    let refused = with("security.capability").unwrap_err().to_string();
    assert!(refused.contains("home/elvis/ping"), "{refused}");
}

#[test]
fn records_of_an_extended_header_may_hold_newlines() {
    let mut rest: &[u8] = b"12 path=a\nb\n8 k==\n\n\n";
    let mut next = || next_record(&mut rest).unwrap();
    assert_eq!(next(), Some((&b"path"[..], &b"a\nb"[..])));
    assert_eq!(next(), Some((&b"k"[..], &b"=\n\n"[..])));
    assert_eq!(next(), None);
    for damaged in [
        "x", "5", "5 ", "9 a=b\n", "2 a=b\n", "5 ab\n", "0 a=b\n", "-1 a=b\n",
    ] {
        assert!(next_record(&mut damaged.as_bytes()).is_err(), "{damaged:?}");
    }
}

#[test]
fn nothing_leads_outside() {
    let file = |name: &[u8]| one(EntryType::Regular, name, b"", 0o644, 2001, b"");
    let link = |kind, to: &[u8]| one(kind, b"home/elvis/l", to, 0o644, 2001, b"");
    let cases = [
        file(b"etc/passwd"),
        file(b"/home/elvis/x"),
        file(b"home/elvis/../azy/x"),
        file(b"home/elvis2/x"),
        file(b"home/elvis/./x"),
        file(b"home//elvis/x"),
        file(b"home"),
        file(b""),
        link(EntryType::Link, b"etc/shadow"),
        link(EntryType::Link, b"/etc/shadow"),
        link(EntryType::Link, b"home/elvis/../../etc/shadow"),
        link(EntryType::Link, b"var/spool/cron/crontabs/elvis"),
        link(EntryType::Block, b""),
        link(EntryType::Char, b""),
        link(EntryType::GNULongName, b""),
        link(EntryType::GNUSparse, b""),
        link(EntryType::XGlobalHeader, b""),
        one(
            EntryType::Directory,
            b"home/elvis/d",
            b"",
            0o755,
            2001,
            b"data",
        ),
        one(EntryType::Regular, b"home/elvis/su", b"", 0o4755, 0, b""),
        [
            link(EntryType::Symlink, b"/etc"),
            file(b"home/elvis/l/cron.d"),
        ]
        .concat(),
        [
            one(EntryType::Symlink, b"home/elvis", b"/etc", 0o777, 2001, b""),
            file(b"home/elvis/passwd"),
        ]
        .concat(),
    ];
    for (at, case) in cases.into_iter().enumerate() {
        let refused = filtered(&ended(case));
        assert!(
            matches!(refused, Err(Refused::Entry { .. })),
            "{at}: {refused:?}"
        );
    }
    let program = one(EntryType::Regular, b"home/elvis/su", b"", 0o4755, 2001, b"");
    assert!(filtered(&ended(program)).is_ok());
}

#[test]
fn a_tarball_without_its_end_or_with_a_changed_header_is_refused() {
    let file = one(
        EntryType::Regular,
        b"home/elvis/a",
        b"",
        0o644,
        2001,
        &[1; 700],
    );
    for length in [0, 1, 511, 512, 600, file.len()] {
        assert!(
            matches!(filtered(&file[..length]), Err(Refused::Io(_))),
            "{length}"
        );
    }
    let mut changed = ended(file);
    changed[0] = b'x';
    assert!(matches!(filtered(&changed), Err(Refused::Io(_))));
}

proptest! {
    /// Whatever comes in: what comes out holds names of the wanted place only.
    #[test]
    fn whatever_comes_in_nothing_foreign_comes_out(
        entries in prop::collection::vec(
            (
                "[\\x00-1LKSgx]",
                "(home/elvis|home|/|etc)?(/(\\.\\.|a|b|elvis|\\.|)){0,4}",
                "(home/elvis|home|/|etc)?(/(\\.\\.|a|b|\\.|)){0,4}",
                any::<u16>(),
                0..3000_u64,
            ),
            1..6,
        ),
    ) {
        let tarball: Vec<u8> = entries
            .iter()
            .flat_map(|(kind, name, link, mode, uid)| {
                let kind = EntryType::new(kind.as_bytes()[0]);
                one(kind, name.as_bytes(), link.as_bytes(), u32::from(*mode & 0o7777), *uid, b"")
            })
            .collect();
        let mut out = Vec::new();
        let done = filter(ended(tarball).as_slice(), &mut out, &places(), 1000);
        if done.is_err() {
            // What had come out by then.
            out = ended(out);
        }
        for name in names(&out) {
            let name = name.trim_end_matches('/');
            prop_assert!(name == "home/elvis" || name.starts_with("home/elvis/"), "{name}");
            prop_assert!(!name.split('/').any(|part| part == ".."), "{name}");
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = filtered(&bytes);
    }
}

use std::io::Read as _;

use super::*;

/// The `SECRET_KEY` of the dump in `fixtures/superset`.
const PRODUCTION: &str = "prodSecretKey-0123456789abcdefghijklmnopqrstuvwxyzABCDEF+/=";

fn key(secret: &str) -> SecretKey {
    SecretKey::new(&Secret::new(secret))
}

/// The values of encrypted columns in the dump: hexadecimal literals that are base64.
fn stored() -> Vec<Vec<u8>> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fixtures/superset/superset_production.sql.gz"
    );
    let output = std::process::Command::new("gzip")
        .args(["--decompress", "--stdout", path])
        .output()
        .unwrap();
    let mut dump = String::new();
    output.stdout.as_slice().read_to_string(&mut dump).unwrap();
    let mut table = "";
    let mut values = Vec::new();
    for line in dump.lines() {
        if let Some(rest) = line.strip_prefix("INSERT INTO `") {
            table = rest.split('`').next().unwrap();
        }
        if !matches!(table, "dbs" | "ssh_tunnels") || !line.starts_with('(') {
            continue;
        }
        for part in line.split("0x").skip(1) {
            let digits: &str = part.split(|c: char| !c.is_ascii_hexdigit()).next().unwrap();
            // The others are the 16 bytes of a uuid.
            if digits.len() > 32 {
                let bytes = (0..digits.len() / 2)
                    .map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap());
                values.push(bytes.collect());
            }
        }
    }
    values
}

#[test]
fn what_superset_wrote_opens_and_comes_back_byte_by_byte() {
    let (key, staging) = (key(PRODUCTION), key("staging's"));
    let values = stored();
    assert_eq!(values.len(), 7);
    let mut texts = Vec::new();
    for value in &values {
        let (layout, text) = key.open(value).unwrap();
        assert_eq!(layout, Layout::Cbc);
        let there = key.reseal(value, &staging).unwrap();
        assert_eq!(
            staging.open(there.as_bytes()).unwrap(),
            (layout, text.clone())
        );
        let back = staging.reseal(there.as_bytes(), &key).unwrap();
        assert_eq!(
            back.as_bytes(),
            value,
            "a text that ends in * is kept whole"
        );
        texts.push(text.reveal().to_owned());
    }
    let with_principal = texts
        .iter()
        .filter(|text| text.contains("superset/superset.svc.eqiad.wmnet@WIKIMEDIA"));
    assert_eq!(with_principal.count(), 1);
}

#[test]
fn a_wrong_key_opens_nothing_of_the_dump() {
    let key = key("another");
    for value in stored() {
        assert_eq!(key.open(&value), Err(SecretError::WrongKey));
    }
}

#[test]
fn both_layouts_come_back() {
    let key = key("a key");
    let other = self::key("another");
    for text in [
        "",
        "x",
        "exactly 16 bytes",
        "schlüssel \u{1f511}",
        &"long ".repeat(1000),
    ] {
        for layout in [Layout::Cbc, Layout::Gcm] {
            let sealed = key.seal(layout, &Secret::new(text)).unwrap();
            let opened = key.open(sealed.as_bytes()).unwrap();
            assert_eq!(opened, (layout, Secret::new(text)), "{layout:?}");
            assert!(
                other.open(sealed.as_bytes()).is_err(),
                "{text:?} {layout:?}"
            );
        }
    }
    let twice = [(); 2].map(|()| key.seal(Layout::Gcm, &Secret::new("x")).unwrap());
    assert_ne!(twice[0], twice[1], "a vector is never used again");
}

/// What `SQLAlchemy`-Utils 0.43 itself gives for the key "a key" and the text "opsweek"; the
/// vector of its `AesGcmEngine` was made twelve zeroes.
#[test]
fn other_implementations_say_the_same() {
    let key = key("a key");
    for (layout, stored) in [
        (
            Layout::Gcm,
            "AAAAAAAAAAAAAAAA68GChv4JNO5/GHZ2z4D4MnRmIFsy46s=",
        ),
        (Layout::Cbc, "j+tSgmpHUSt3dN3jB8Bk/g=="),
    ] {
        let opened = key.open(stored.as_bytes());
        assert_eq!(opened, Ok((layout, Secret::new("opsweek"))));
    }
}

#[test]
fn what_is_not_encrypted_is_told_so() {
    for value in ["", "plain text", "AAAA"] {
        let error = key("a key").open(value.as_bytes());
        assert_eq!(error, Err(SecretError::Malformed), "{value}");
    }
}

#[test]
fn nothing_is_shown() {
    let key = key("hunter2");
    assert_eq!(format!("{key:?}"), "SecretKey");
    let opened = key.open(
        key.seal(Layout::Cbc, &Secret::new("hunter2"))
            .unwrap()
            .as_bytes(),
    );
    assert!(!format!("{opened:?}").contains("hunter2"));
}

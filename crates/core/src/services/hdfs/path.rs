//! The rules every path meets before anything is contacted.

use super::error::Error;

/// Prefix of a file that is still being written, beside its final name.
const TEMPORARY: &str = "_TMP.";

/// The normal form of an absolute HDFS path: no trailing and no doubled slash.
///
/// # Errors
/// [`Error::Path`] for the empty or a relative path, one with a `.` or `..` component or a NUL
/// character (`DFSUtil.isValidName` refuses these too), and one below `/.reserved`, where the
/// `NameNode` resolves inode numbers and raw encrypted data instead of names.
pub fn normal(path: &str) -> Result<String, Error> {
    let refuse = |why| {
        Err(Error::Path {
            path: path.to_owned(),
            why,
        })
    };
    if path.is_empty() {
        return refuse("is empty");
    }
    if !path.starts_with('/') {
        return refuse("is relative");
    }
    if path.contains('\0') {
        return refuse("holds a NUL character");
    }
    let mut normal = String::with_capacity(path.len());
    for part in path.split('/').filter(|part| !part.is_empty()) {
        match part {
            "." | ".." => return refuse("holds a . or .. component"),
            ".reserved" if normal.is_empty() => return refuse("lies in /.reserved"),
            _ => {
                normal.push('/');
                normal.push_str(part);
            }
        }
    }
    if normal.is_empty() {
        normal.push('/');
    }
    Ok(normal)
}

/// As [`normal`], and refuses the root folder: for calls that move, remove or write a path.
pub(super) fn below_root(path: &str) -> Result<String, Error> {
    let normal = normal(path)?;
    if normal == "/" {
        return Err(Error::Path {
            path: path.to_owned(),
            why: "is the root folder",
        });
    }
    Ok(normal)
}

/// Whether the normal path `path` is `folder` or lies inside it.
pub fn is_within(path: &str, folder: &str) -> bool {
    folder == "/"
        || path
            .strip_prefix(folder)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Folder and name of a normal path that is not the root.
pub(super) fn split(path: &str) -> (&str, &str) {
    match path.rsplit_once('/') {
        Some(("", name)) => ("/", name),
        Some(parts) => parts,
        None => ("/", path),
    }
}

/// `name` inside `folder`; both normal.
pub(super) fn join(folder: &str, name: &str) -> String {
    format!("{}/{name}", folder.trim_end_matches('/'))
}

/// The name under which `path` is written: beside it, so that the last rename stays in one folder.
/// `unique` tells writers apart who may race for the same path.
pub(super) fn temporary(path: &str, unique: Option<&str>) -> String {
    let (folder, name) = split(path);
    let unique = unique.map(|part| format!(".{part}")).unwrap_or_default();
    join(folder, &format!("{TEMPORARY}{name}{unique}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn refuses_what_is_no_absolute_path() {
        for bad in [
            "",
            "user/elvis",
            ".",
            "..",
            "/user/../etc",
            "/user/./elvis",
            "/user/elvis/..",
            "/user/el\0vis",
            "hdfs://ns/user",
            "/.reserved/raw/user",
            "//.reserved/.inodes/1",
        ] {
            assert!(
                matches!(normal(bad), Err(Error::Path { .. })),
                "{bad:?} went through"
            );
        }
    }

    #[test]
    fn keeps_awkward_names_and_drops_spare_slashes() {
        for (given, want) in [
            ("/", "/"),
            ("///", "/"),
            ("/user//elvis/", "/user/elvis"),
            ("/user/a b\nc", "/user/a b\nc"),
            ("/user/-rf", "/user/-rf"),
            ("/user/...", "/user/..."),
            ("/user/.reserved", "/user/.reserved"),
            ("/user/日本", "/user/日本"),
        ] {
            assert_eq!(normal(given).unwrap(), want);
        }
    }

    #[test]
    fn the_root_is_no_target() {
        assert!(below_root("//").is_err());
        assert_eq!(below_root("/a/").unwrap(), "/a");
    }

    #[test]
    fn within_compares_whole_components() {
        assert!(is_within("/user/elvis", "/user/elvis"));
        assert!(is_within("/user/elvis/x", "/user/elvis"));
        assert!(!is_within("/user/elvis2", "/user/elvis"));
        assert!(is_within("/anything", "/"));
    }

    #[test]
    fn temporary_names_lie_beside_their_target() {
        assert_eq!(temporary("/a/b.zst", None), "/a/_TMP.b.zst");
        assert_eq!(temporary("/b", Some("7")), "/_TMP.b.7");
    }

    proptest! {
        #[test]
        fn normal_is_idempotent_and_never_climbs(path in "(/|[a.\\-\n é]){0,24}") {
            if let Ok(once) = normal(&path) {
                prop_assert_eq!(&normal(&once).unwrap(), &once);
                prop_assert!(once.starts_with('/') && !once.contains("//"));
                prop_assert!(once.split('/').all(|part| part != ".." && part != "."));
                prop_assert!(once == "/" || !once.ends_with('/'));
            }
        }

        #[test]
        fn split_undoes_join(folder in "(/[a-z é]{1,4}){0,3}", name in "[a-z .]{1,6}") {
            let folder = if folder.is_empty() { "/".to_owned() } else { folder };
            let path = join(&folder, &name);
            prop_assert_eq!(split(&path), (folder.as_str(), name.as_str()));
        }
    }
}

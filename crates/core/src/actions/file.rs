//! Edits of text files on this machine, bound to what the file holds before and after.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::World;
use crate::engine::plan::sha256_hex;
use crate::engine::{Failure, State};

/// The longest file that is edited: these are lists, not data.
const LONGEST: u64 = 64 << 20;

/// Lines that go, and lines that come in their place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hunk {
    /// How many lines of the file before the edit stand before it.
    pub after: usize,
    /// The lines that go, without their ends; what is not UTF-8 in them is replaced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
    /// The lines that come, without their ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub insert: Vec<String>,
}

/// An edit of one file. Done, it ends in a newline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The file: absolute, normalised, UTF-8.
    pub path: String,
    /// What changes, from the top, without overlaps.
    pub hunks: Vec<Hunk>,
    /// The SHA-256 of the file that the edit was made for.
    pub was: String,
    /// The SHA-256 of the file once it is done.
    pub becomes: String,
    /// What the file is while earlier steps of the plan have yet to edit it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<String>,
    /// What later steps of the plan make of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub later: Vec<String>,
}

/// A change of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Lines of a text file.
    Edit(Edit),
}

/// Hunks that don't fit the file that they are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the edit names lines that the file has not")]
pub struct Misfit;

/// The file after the edit: `hunks` done, and a newline at the end of the last line. Every
/// line that no hunk removes is kept, byte for byte.
pub fn edited(bytes: &[u8], hunks: &[Hunk]) -> Result<Vec<u8>, Misfit> {
    fn push(out: &mut Vec<u8>, line: &[u8]) {
        // Only the last line can lack its end.
        if out.last().is_some_and(|&end| end != b'\n') {
            out.push(b'\n');
        }
        out.extend_from_slice(line);
    }
    let lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
    let mut out = Vec::with_capacity(bytes.len() + 256);
    let mut next = 0;
    for hunk in hunks {
        let kept = lines.get(next..hunk.after).ok_or(Misfit)?;
        for line in kept {
            push(&mut out, line);
        }
        for line in &hunk.insert {
            push(&mut out, line.as_bytes());
            out.push(b'\n');
        }
        next = hunk.after + hunk.remove.len();
    }
    let rest = lines.get(next..).ok_or(Misfit)?;
    for line in rest {
        push(&mut out, line);
    }
    if !out.is_empty() {
        push(&mut out, b"");
    }
    Ok(out)
}

/// What a file holds. Blocking. Fails for a link, a path that leads through one, a folder, and
/// what is too long.
pub fn read(path: &str) -> Result<Vec<u8>, Failure> {
    let named = |source: io::Error| {
        Failure::new(
            Named {
                path: path.into(),
                source,
            },
            None,
        )
    };
    let real = fs::canonicalize(path).map_err(named)?;
    if real != Path::new(path) {
        let path = path.to_owned();
        return Err(Failure::new(
            Linked { path, real },
            "put the file itself there: where a link leads is never edited".to_owned(),
        ));
    }
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(
            (rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK)
                .bits()
                .cast_signed(),
        )
        .open(path)
        .map_err(named)?;
    let meta = file.metadata().map_err(named)?;
    if !meta.is_file() || meta.len() > LONGEST {
        return Err(Failure::new(
            format!("{path} is not a file of at most {LONGEST} bytes"),
            None,
        ));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(named)?;
    Ok(bytes)
}

/// The same without blocking.
pub(super) async fn read_in_background(path: String) -> Result<Vec<u8>, Failure> {
    blocking(move || read(&path)).await
}

/// What went wrong with which file.
#[derive(Debug, thiserror::Error)]
#[error("file {path}")]
struct Named {
    path: String,
    source: io::Error,
}

/// A path with a link in it: it could lead out of the checkout.
#[derive(Debug, thiserror::Error)]
#[error("file {path} is behind a link: it is {real:?}")]
struct Linked {
    path: String,
    real: PathBuf,
}

/// Puts the content in the file's place in one go: a reader sees the old file or the new
/// one, and so does whoever comes after a crash. Mode and owner stay.
fn replace(path: &str, bytes: &[u8]) -> io::Result<()> {
    let path = Path::new(path);
    let was = fs::symlink_metadata(path)?;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    // One name, so that a run that was killed leaves at most one such file, and the next
    // takes it over.
    let temporary: PathBuf = folder.join(format!(".{}.opsweek", name.display()));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let result = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        let now = file.metadata()?;
        if (now.uid(), now.gid()) != (was.uid(), was.gid()) {
            fchown(&file, Some(was.uid()), Some(was.gid()))?;
        }
        // After the owner: changing that drops bits of the mode.
        file.set_permissions(was.permissions())?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    })();
    if result.is_err() {
        // The error is what is told; the next run takes the file over.
        let _ = fs::remove_file(&temporary);
    }
    result
}

impl Edit {
    /// How the file stands, and what it holds.
    fn look(&self) -> Result<(State, Vec<u8>), Failure> {
        let bytes = read(&self.path)?;
        let now = sha256_hex(&bytes);
        let state = if now == self.becomes || self.later.contains(&now) {
            State::Done
        } else if now == self.was {
            State::Pending
        } else if self.earlier.contains(&now) {
            State::Waiting(format!("an earlier edit of {}", self.path))
        } else {
            State::Drifted(format!("{} was edited by somebody else", self.path))
        };
        Ok((state, bytes))
    }

    fn make(&self) -> Result<serde_json::Value, Failure> {
        let (state, bytes) = self.look()?;
        if state != State::Pending {
            return Err(Failure::drifted(format!("{} is being edited", self.path)));
        }
        let bytes = edited(&bytes, &self.hunks).map_err(|error| Failure::new(error, None))?;
        if sha256_hex(&bytes) != self.becomes {
            return Err(Failure::drifted(format!(
                "the edit of {} does not give what was planned",
                self.path
            )));
        }
        replace(&self.path, &bytes).map_err(|source| {
            let hint = match source.kind() {
                io::ErrorKind::PermissionDenied => "run as the owner of the checkout",
                io::ErrorKind::StorageFull => "make room",
                _ => "nothing was changed",
            };
            let path = self.path.clone();
            Failure::new(Named { path, source }, hint.to_owned())
        })?;
        Ok(json!({ "sha256": self.becomes, "bytes": bytes.len() }))
    }
}

impl Action {
    pub(super) async fn observe(&self, world: &World) -> Result<State, Failure> {
        let Self::Edit(edit) = self;
        world.guard.file(&edit.path)?;
        let edit = edit.clone();
        blocking(move || edit.look().map(|(state, _)| state)).await
    }

    pub(super) async fn apply(&self, world: &World) -> Result<serde_json::Value, Failure> {
        let Self::Edit(edit) = self;
        world.guard.file(&edit.path)?;
        let edit = edit.clone();
        blocking(move || edit.make()).await
    }

    pub(super) fn summary(&self) -> String {
        const SHOWN: usize = 3;
        let Self::Edit(edit) = self;
        let lines: Vec<String> = edit
            .hunks
            .iter()
            .flat_map(|hunk| {
                let gone = hunk.remove.iter().map(|line| format!("-{line}"));
                gone.chain(hunk.insert.iter().map(|line| format!("+{line}")))
            })
            .collect();
        let shown = lines.iter().take(SHOWN).cloned().collect::<Vec<_>>();
        let more = match lines.len() {
            0 => "a newline at its end".to_owned(),
            count if count > SHOWN => format!("{}, {} more", shown.join(", "), count - SHOWN),
            _ => shown.join(", "),
        };
        format!("edit {}: {more}", edit.path)
    }

    /// The version of the file that it makes: several edits of one file are a chain.
    pub(super) fn targets(&self) -> Vec<String> {
        let Self::Edit(edit) = self;
        vec![format!("file {} as {}", edit.path, edit.becomes)]
    }

    pub(super) fn faults(&self) -> Vec<String> {
        let Self::Edit(edit) = self;
        let mut faults = Vec::new();
        let normal = Path::new(&edit.path).components().collect::<PathBuf>();
        if !edit.path.starts_with('/')
            || normal.as_os_str() != edit.path.as_str()
            || edit.path.split('/').any(|part| part == "..")
            || edit.path.contains('\0')
        {
            faults.push(format!(
                "{:?} is not an absolute, normalised path",
                edit.path
            ));
        }
        if edit.was == edit.becomes || edit.later.contains(&edit.was) {
            faults.push(format!("the edit of {} changes nothing", edit.path));
        }
        let lines = edit.hunks.iter().flat_map(|hunk| &hunk.insert);
        if lines.into_iter().any(|line| line.contains('\n')) {
            faults.push("a line to insert holds a newline".to_owned());
        }
        faults
    }
}

async fn blocking<X: Send + 'static>(
    work: impl FnOnce() -> Result<X, Failure> + Send + 'static,
) -> Result<X, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::new(error, None))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn hunk(after: usize, remove: &[&str], insert: &[&str]) -> Hunk {
        let own = |lines: &[&str]| lines.iter().map(|&line| line.to_owned()).collect();
        Hunk {
            after,
            remove: own(remove),
            insert: own(insert),
        }
    }

    #[test]
    fn lines_go_and_come() {
        let done = |bytes: &[u8], hunks: &[Hunk]| edited(bytes, hunks).unwrap();
        assert_eq!(done(b"a\nc\n", &[hunk(1, &[], &["b"])]), b"a\nb\nc\n");
        assert_eq!(done(b"a\nc", &[hunk(2, &[], &["d"])]), b"a\nc\nd\n");
        assert_eq!(done(b"a\nc", &[hunk(0, &["a"], &[])]), b"c\n");
        assert_eq!(done(b"a", &[hunk(0, &["a"], &["b", "c"])]), b"b\nc\n");
        assert_eq!(done(b"a\xff\r\nb", &[]), b"a\xff\r\nb\n");
        assert_eq!(done(b"", &[hunk(0, &[], &["a"])]), b"a\n");
        assert_eq!(done(b"", &[]), b"");
        assert_eq!(
            done(
                b"a\nb\nc\n",
                &[hunk(0, &["a"], &[]), hunk(2, &["c"], &["d"])]
            ),
            b"b\nd\n"
        );
        for misfit in [hunk(4, &[], &[]), hunk(2, &["x", "y"], &[])] {
            assert_eq!(edited(b"a\nb\nc\n", &[misfit]), Err(Misfit));
        }
        let overlap = [hunk(1, &["b"], &[]), hunk(1, &["b"], &[])];
        assert_eq!(edited(b"a\nb\nc\n", &overlap), Err(Misfit));
    }

    fn edit(path: &Path, was: &str, becomes: &str) -> Edit {
        Edit {
            path: path.to_str().unwrap().to_owned(),
            hunks: vec![hunk(1, &[], &["b"])],
            was: sha256_hex(was.as_bytes()),
            becomes: sha256_hex(becomes.as_bytes()),
            earlier: vec![sha256_hex(b"early\n")],
            later: vec![sha256_hex(b"late\n")],
        }
    }

    #[test]
    fn the_file_is_what_was_planned_or_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        fs::write(&path, "a\nc\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o664)).unwrap();
        // What a killed run left.
        fs::write(folder.path().join(".list.opsweek"), "torn").unwrap();
        let edit = edit(&path, "a\nc\n", "a\nb\nc\n");
        assert_eq!(edit.look().unwrap().0, State::Pending);
        edit.make().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"a\nb\nc\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o664);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(edit.look().unwrap().0, State::Done);
        assert!(edit.make().unwrap_err().is_drift());

        for (now, state) in [
            ("late\n", "Done"),
            ("early\n", "Waiting"),
            ("a\n", "Drifted"),
        ] {
            fs::write(&path, now).unwrap();
            let found = format!("{:?}", edit.look().unwrap().0);
            assert!(found.starts_with(state), "{now}: {found}");
            assert!(edit.make().unwrap_err().is_drift());
            assert_eq!(fs::read_to_string(&path).unwrap(), now);
        }
    }

    #[test]
    fn an_edit_that_gives_something_else_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        fs::write(&path, "a\nc\n").unwrap();
        assert!(
            edit(&path, "a\nc\n", "a\nx\n")
                .make()
                .unwrap_err()
                .is_drift()
        );
        assert_eq!(fs::read(&path).unwrap(), b"a\nc\n");
    }

    #[test]
    fn links_and_folders_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let (list, link) = (folder.path().join("list"), folder.path().join("link"));
        fs::write(&list, "a\n").unwrap();
        std::os::unix::fs::symlink(&list, &link).unwrap();
        let (inside, other) = (folder.path().join("inside"), folder.path().join("other"));
        fs::create_dir(&inside).unwrap();
        fs::write(inside.join("list"), "a\n").unwrap();
        std::os::unix::fs::symlink(&inside, &other).unwrap();
        assert!(read(inside.join("list").to_str().unwrap()).is_ok());
        for path in [
            link.as_path(),
            folder.path(),
            Path::new("/dev/zero"),
            &list.join("x"),
            &other.join("list"),
        ] {
            assert!(read(path.to_str().unwrap()).is_err(), "{}", path.display());
        }
    }

    #[test]
    fn faults() {
        let good = Action::Edit(edit(Path::new("/srv/list"), "a\n", "b\n"));
        assert!(good.faults().is_empty());
        for path in [
            "",
            "list",
            "/srv//list",
            "/srv/../list",
            "/srv/./list",
            "/srv/list/",
        ] {
            let edit = edit(Path::new(path), "a\n", "b\n");
            assert!(!Action::Edit(edit).faults().is_empty(), "{path}");
        }
        assert!(
            !Action::Edit(edit(Path::new("/srv/list"), "a\n", "a\n"))
                .faults()
                .is_empty()
        );
        let mut torn = edit(Path::new("/srv/list"), "a\n", "b\n");
        torn.hunks = vec![hunk(0, &[], &["a\nb"])];
        assert!(!Action::Edit(torn).faults().is_empty());
    }
}

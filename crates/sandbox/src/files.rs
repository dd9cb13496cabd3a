//! Small things with files.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Context, Error};

/// Writes a whole file or leaves the old one: under a temporary name, then renamed.
/// `mode` are the permission bits.
pub(crate) fn write(path: &Path, mode: u32, text: &str) -> Result<(), Error> {
    let new = path.with_extension("new");
    // One left by a killed process may have another mode.
    let _ = fs::remove_file(&new);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&new)
        .context("create", &new)?;
    file.write_all(text.as_bytes()).context("write", &new)?;
    fs::rename(&new, path).context("write", path)
}

/// The folder of data that comes with the checkout this program was built from.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// Creates a folder and those above it.
pub(crate) fn folder(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).context("create", path)
}

/// Only the owner may look into the folder from now on.
pub(crate) fn restrict(path: &Path) -> Result<(), Error> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).context("restrict", path)
}

/// Removes a folder and what is in it, if it exists.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.context("remove", path),
    }
}

/// Copies a folder's folders and files.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<(), Error> {
    folder(to)?;
    for entry in fs::read_dir(from).context("list", from)? {
        let entry = entry.context("list", from)?;
        let target = to.join(entry.file_name());
        if entry.file_type().context("look at", entry.path())?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).context("copy", entry.path())?;
        }
    }
    Ok(())
}

/// The last `count` lines of a log.
pub(crate) fn tail(path: &Path, count: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    last_lines(&String::from_utf8_lossy(&text), count)
}

/// The last `count` lines, without the frames of Java's stack traces, which would
/// leave no room for what went wrong.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let is_frame = |line: &&str| line.trim_start().starts_with("at ") && line.ends_with(')');
    let lines: Vec<&str> = text.lines().filter(|line| !is_frame(line)).collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Runs a tool to its end; its output is shown only when it fails. `what` says what
/// it was to do.
pub(crate) fn run(command: &mut Command, what: &str) -> Result<String, Error> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Run {
            program: what.to_owned(),
            source,
        })?;
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(out);
    }
    let err = String::from_utf8_lossy(&output.stderr);
    Err(Error::Failed {
        program: format!("{what} ({})", output.status),
        said: last_lines(&format!("{out}\n{err}"), 15),
    })
}

/// A Hadoop configuration file (`<configuration><property>...`).
pub(crate) fn site_xml(properties: &[(&str, &str)]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\"?>\n<configuration>\n");
    for (name, value) in properties {
        let value = value
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        xml.push_str("  <property><name>");
        xml.push_str(name);
        xml.push_str("</name><value>");
        xml.push_str(&value);
        xml.push_str("</value></property>\n");
    }
    xml.push_str("</configuration>\n");
    xml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_say_what_went_wrong() {
        let log = "starting\njava.io.IOException: no\n\tat a.B.c(B.java:1)\n\tat a.B.d(B.java:2)\n";
        assert_eq!(last_lines(log, 1), "java.io.IOException: no");
        assert_eq!(last_lines(log, 9), "starting\njava.io.IOException: no");
        assert_eq!(last_lines("", 9), "");
    }

    #[test]
    fn a_value_is_escaped() {
        let xml = site_xml(&[("a", "x&y<z>")]);
        assert!(xml.contains("<name>a</name><value>x&amp;y&lt;z&gt;</value>"));
    }
}

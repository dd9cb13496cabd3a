//! Several users, named in a file.

use std::io::Read;
use std::path::Path;

use opsweek_cli::CliError;
use opsweek_core::actions::guard::UserName;

/// More than any list of leavers has.
const LARGEST: u64 = 1 << 20;

/// The users that the file names, each once, in its order. One line that is no name, and none
/// is taken: who is meant is not to be guessed.
pub(crate) fn read(path: &Path) -> Result<Vec<UserName>, CliError> {
    let at = |what: &str| CliError::usage(format!("--from-file {}{what}", path.display()));
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|source| at("").because(&source))?;
    file.take(LARGEST + 1)
        .read_to_string(&mut text)
        .map_err(|source| at("").because(&source))?;
    if text.len() as u64 > LARGEST {
        return Err(at(": is larger than 1 MiB"));
    }
    let users = parse(&text).map_err(|faults| {
        at(&format!(": {}", faults.join("; "))).hint("a user a line; # begins a comment")
    })?;
    if users.is_empty() {
        return Err(at(": names nobody"));
    }
    Ok(users)
}

/// All names, or all that is wrong.
fn parse(text: &str) -> Result<Vec<UserName>, Vec<String>> {
    let mut users: Vec<UserName> = Vec::new();
    let mut faults = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let name = line.split('#').next().unwrap_or_default().trim();
        if name.is_empty() {
            continue;
        }
        match UserName::try_from(name.to_owned()) {
            Ok(user) if users.contains(&user) => {}
            Ok(user) => users.push(user),
            Err(error) => faults.push(format!("line {}: {error}", index + 1)),
        }
    }
    if faults.is_empty() {
        Ok(users)
    } else {
        Err(faults)
    }
}

#[cfg(test)]
mod tests {
    use opsweek_cli::Exit;

    use super::*;

    #[test]
    fn names_are_taken_once_and_in_order() {
        let text = "# left in May\r\nelvis\n\n  azy # twice\nelvis\n#nemo\nazy";
        let users: Vec<String> = parse(text).unwrap().into_iter().map(String::from).collect();
        assert_eq!(users, ["elvis", "azy"]);
    }

    #[test]
    fn every_bad_line_is_named() {
        let faults = parse("elvis\n-rf\nazy presley\n../x").unwrap_err();
        let lines: Vec<&str> = faults.iter().map(|fault| &fault[..6]).collect();
        assert_eq!(lines, ["line 2", "line 3", "line 4"]);
    }

    #[test]
    fn a_file_that_names_nobody_is_wrong_usage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("leavers.txt");
        assert_eq!(read(&path).unwrap_err().exit(), Exit::Usage);
        std::fs::write(&path, "# nobody\n").unwrap();
        let error = read(&path).unwrap_err();
        assert!(error.to_string().contains("names nobody"), "{error}");
        std::fs::write(&path, vec![b'\n'; 1 << 21]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("1 MiB"));
    }
}

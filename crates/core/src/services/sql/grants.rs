//! What an account may do, from the lines of `SHOW GRANTS`.

/// The GRANT statements that the account still needs. `grants`: the lines of SHOW GRANTS;
/// `needs`: databases and the privileges needed on all of each; `account`: as
/// `CURRENT_USER()` gives it.
pub fn missing(grants: &[String], needs: &[(&str, &[&str])], account: &str) -> Vec<String> {
    let mut statements = Vec::new();
    for (database, privileges) in needs {
        let lacking: Vec<&str> = privileges
            .iter()
            .filter(|privilege| !grants.iter().any(|line| gives(line, database, privilege)))
            .copied()
            .collect();
        if !lacking.is_empty() {
            let pattern = database
                .replace('\\', "\\\\")
                .replace('_', "\\_")
                .replace('%', "\\%");
            let (user, host) = account.rsplit_once('@').unwrap_or((account, "%"));
            statements.push(format!(
                "GRANT {} ON {}.* TO '{}'@'{}';",
                lacking.join(", "),
                super::quote_identifier(&pattern),
                user.replace('\'', "''"),
                host.replace('\'', "''"),
            ));
        }
    }
    statements
}

/// Whether one line, `GRANT SELECT, INSERT ON `db`.* TO ...`, gives the privilege on all of
/// the database.
fn gives(line: &str, database: &str, privilege: &str) -> bool {
    let parts = line
        .strip_prefix("GRANT ")
        .and_then(|rest| rest.split_once(" ON "));
    let Some((privileges, rest)) = parts else {
        return false;
    };
    let has = privileges
        .split(", ")
        .any(|one| one == privilege || one == "ALL PRIVILEGES");
    let Some((object, _)) = rest.split_once(" TO ") else {
        return false;
    };
    let Some(pattern) = object.strip_suffix(".*") else {
        return false;
    };
    has && (pattern == "*" || {
        let pattern = pattern.trim_matches('`').replace("``", "`");
        matches(&pattern, database)
    })
}

/// Whether a pattern of a grant takes in the name: `_` any character, `%` any rest, `\`
/// before one that is meant itself. Source: `MariaDB`, "GRANT", "Database Privileges".
fn matches(pattern: &str, name: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => name.is_empty(),
        Some('%') => {
            let pattern = rest.as_str();
            let starts = name.char_indices().map(|(at, _)| at);
            starts
                .chain([name.len()])
                .any(|at| matches(pattern, &name[at..]))
        }
        Some(one) => {
            let (wanted, any) = match one {
                '_' => ('_', true),
                '\\' => (rest.next().unwrap_or('\\'), false),
                other => (other, false),
            };
            let mut name = name.chars();
            name.next().is_some_and(|c| any || c == wanted) && matches(rest.as_str(), name.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lacks_is_named_as_a_statement() {
        let grants = [
            "GRANT USAGE ON *.* TO `dbsync`@`localhost`".to_owned(),
            "GRANT SELECT ON `superset\\_production`.* TO `dbsync`@`localhost`".to_owned(),
            "GRANT SELECT, INSERT ON `superset_staging%`.* TO `dbsync`@`localhost`".to_owned(),
        ];
        let needs: [(&str, &[&str]); 3] = [
            ("superset_production", &["SELECT"]),
            ("superset_staging_new", &["SELECT", "INSERT", "DROP"]),
            ("supersetXproduction", &["SELECT"]),
        ];
        assert_eq!(
            missing(&grants, &needs, "dbsync@localhost"),
            [
                "GRANT DROP ON `superset\\_staging\\_new`.* TO 'dbsync'@'localhost';",
                "GRANT SELECT ON `supersetXproduction`.* TO 'dbsync'@'localhost';",
            ]
        );
        let all = ["GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost`".to_owned()];
        assert!(missing(&all, &needs, "root@localhost").is_empty());
        let one_table = ["GRANT SELECT ON `azywiki`.`page` TO `a`@`b`".to_owned()];
        assert_eq!(
            missing(&one_table, &[("azywiki", &["SELECT"])], "a@b").len(),
            1
        );
    }
}

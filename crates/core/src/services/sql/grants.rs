//! What an account may do, from the lines of `SHOW GRANTS`.

/// In the place of a database: the whole server.
pub const EVERYWHERE: &str = "*";

/// The GRANT statements that the account still needs. `grants`: the lines of SHOW GRANTS;
/// `needs`: databases, or [`EVERYWHERE`], and the privileges needed on all of each; `account`:
/// as `CURRENT_USER()` gives it.
pub fn missing(grants: &[String], needs: &[(&str, &[&str])], account: &str) -> Vec<String> {
    let grants: Vec<Grant<'_>> = grants.iter().filter_map(|line| Grant::read(line)).collect();
    let mut statements = Vec::new();
    for (database, privileges) in needs {
        let lines = counting(&grants, database);
        let lacking: Vec<&str> = privileges
            .iter()
            .filter(|privilege| !lines.iter().any(|line| line.gives(privilege)))
            .copied()
            .collect();
        if !lacking.is_empty() {
            let object = if *database == EVERYWHERE {
                EVERYWHERE.to_owned()
            } else {
                let pattern = database
                    .replace('\\', "\\\\")
                    .replace('_', "\\_")
                    .replace('%', "\\%");
                super::quote_identifier(&pattern)
            };
            let (user, host) = account.rsplit_once('@').unwrap_or((account, "%"));
            statements.push(format!(
                "GRANT {} ON {object}.* TO '{}'@'{}';",
                lacking.join(", "),
                user.replace('\'', "''"),
                host.replace('\'', "''"),
            ));
        }
    }
    statements
}

/// One line, ``GRANT SELECT, INSERT ON `db`.* TO `elvis`@`localhost` ``, of all of a database or
/// of the server.
struct Grant<'a> {
    privileges: &'a str,
    /// `None` for the whole server.
    pattern: Option<String>,
    /// The account or the role that has it.
    holder: &'a str,
}

impl<'a> Grant<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (privileges, rest) = line.strip_prefix("GRANT ")?.split_once(" ON ")?;
        let (object, rest) = rest.split_once(" TO ")?;
        let pattern = object.strip_suffix(".*")?;
        Some(Self {
            privileges,
            pattern: (pattern != "*").then(|| pattern.trim_matches('`').replace("``", "`")),
            holder: rest.split(' ').next().unwrap_or(rest),
        })
    }

    fn gives(&self, privilege: &str) -> bool {
        let mut given = self.privileges.split(", ");
        given.any(|one| one == privilege || one == "ALL PRIVILEGES")
    }

    /// How far the pattern goes without a wildcard. Source: `MariaDB`, `get_sort()` in
    /// `sql/sql_acl.cc`.
    fn exactness(&self) -> usize {
        let mut escaped = false;
        let pattern = self.pattern.as_deref().unwrap_or_default();
        let wildcard = pattern.bytes().position(|byte| {
            let is_wildcard = !escaped && matches!(byte, b'%' | b'_');
            escaped = !escaped && byte == b'\\';
            is_wildcard
        });
        wildcard.unwrap_or(usize::MAX)
    }
}

/// The lines that count for a database: those of the whole server, and of each holder the most
/// exact pattern alone. Source: `MariaDB`, "GRANT", "Database Privileges"; seen with 10.11.19.
fn counting<'a>(grants: &'a [Grant<'a>], database: &str) -> Vec<&'a Grant<'a>> {
    let takes_in = |grant: &&Grant<'_>| {
        let pattern = grant.pattern.as_deref();
        pattern.is_none_or(|pattern| database != EVERYWHERE && matches(pattern, database))
    };
    let (everywhere, patterns): (Vec<_>, Vec<_>) = grants
        .iter()
        .filter(takes_in)
        .partition(|grant| grant.pattern.is_none());
    let exact = patterns.iter().filter(|grant| {
        let rivals = patterns.iter().filter(|other| other.holder == grant.holder);
        rivals.map(|other| other.exactness()).max() == Some(grant.exactness())
    });
    exact.copied().chain(everywhere).collect()
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
        // Of several patterns the most exact one counts, for the account and for its role each.
        let patterns = [
            "GRANT INSERT ON `superset\\_staging%`.* TO `dbsync`@`localhost`".to_owned(),
            "GRANT SELECT ON `superset\\_staging`.* TO `dbsync`@`localhost`".to_owned(),
            "GRANT DROP ON `superset%`.* TO `copiers`".to_owned(),
        ];
        let needs_of = |privileges| missing(&patterns, &[("superset_staging", privileges)], "a@b");
        assert!(needs_of(&["SELECT", "DROP"]).is_empty());
        assert_eq!(
            needs_of(&["SELECT", "INSERT"]),
            ["GRANT INSERT ON `superset\\_staging`.* TO 'a'@'b';"]
        );
        let global = ["GRANT RELOAD ON *.* TO `dbsync`@`localhost`".to_owned()];
        let needs_all: [(&str, &[&str]); 1] = [(EVERYWHERE, &["RELOAD", "PROCESS"])];
        assert_eq!(
            missing(&global, &needs_all, "dbsync@localhost"),
            ["GRANT PROCESS ON *.* TO 'dbsync'@'localhost';"]
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

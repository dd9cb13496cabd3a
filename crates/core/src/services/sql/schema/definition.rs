//! The text of a definition, as SHOW CREATE gives it.

/// The table's collation said in its definition: what a character set's collation is by
/// default differs between servers.
pub(super) fn with_collation(create: String, collation: Option<&str>) -> String {
    let options = create.rfind("\n)").unwrap_or(0);
    match collation {
        Some(collation) if !create[options..].contains("COLLATE=") => {
            format!("{create} COLLATE={collation}")
        }
        _ => create,
    }
}

/// A piece of a definition's text.
enum Token<'a> {
    /// A name in backticks, as it is written.
    Name(&'a str),
    /// Anything else.
    Other(&'a str),
}

/// Cuts a definition into names, texts in quotes, and the single characters between. It was
/// written with an empty `sql_mode`, in which backslashes escape.
fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let quote = rest.chars().next()?;
        let end = match quote {
            '`' | '\'' | '"' => end_of_quotes(rest, quote),
            other => other.len_utf8(),
        };
        let (token, after) = rest.split_at(end);
        rest = after;
        Some(match quote {
            '`' => Token::Name(token),
            _ => Token::Other(token),
        })
    })
}

/// Where what begins with a quote ends, the closing quote included.
fn end_of_quotes(text: &str, quote: char) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, char)) = chars.next() {
        if char == '\\' && quote != '`' {
            chars.next();
        } else if char == quote {
            if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
            } else {
                return at + quote.len_utf8();
            }
        }
    }
    text.len()
}

/// The databases that a definition names, each once: a name before a dot is one's, as columns
/// stand in definitions without their table.
pub(super) fn databases_named(create: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut tokens = tokens(create).peekable();
    while let Some(token) = tokens.next() {
        if let (Token::Name(name), Some(Token::Other("."))) = (token, tokens.peek()) {
            let name = name[1..name.len() - 1].replace("``", "`");
            if !found.contains(&name) {
                found.push(name);
            }
            tokens.next();
            tokens.next();
        }
    }
    found
}

/// Whether the table, or a partition of it, names the folder of its files.
pub(super) fn has_directory(create: &str) -> bool {
    let plain = tokens(create).filter_map(|token| match token {
        Token::Other(text) if text.len() == 1 => Some(text),
        _ => None,
    });
    plain.collect::<String>().contains("DATA DIRECTORY")
}

/// A definition without ` AUTO_INCREMENT=7`.
pub(in super::super) fn without_next_number(create: &str) -> String {
    const OPTION: &str = " AUTO_INCREMENT=";
    let mut kept = String::with_capacity(create.len());
    let mut rest = create;
    let mut plain = String::new();
    for token in tokens(create) {
        let (Token::Name(text) | Token::Other(text)) = token;
        if text.len() > 1 {
            kept.push_str(&plain);
            kept.push_str(text);
            plain.clear();
        } else {
            plain.push_str(text);
        }
        rest = &rest[text.len()..];
        if plain.ends_with(OPTION) {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            plain.truncate(plain.len() - OPTION.len());
            kept.push_str(&plain);
            kept.push_str(&without_next_number(&rest[digits..]));
            return kept;
        }
    }
    kept + &plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_databases_are_found_outside_of_texts_only() {
        let named = |text: &str| databases_named(text);
        assert_eq!(
            named("CREATE TABLE `a` (`b` int REFERENCES `o``x`.`t` (`c`))"),
            ["o`x"]
        );
        assert_eq!(
            named("DEFAULT nextval(`prod`.`s`), x nextval(`prod`.`s`)"),
            ["prod"]
        );
        assert!(named("COMMENT 'see `prod`.`t` \\' `prod`.x' `a` '' `b`").is_empty());
        assert!(named("COMMENT 'it''s `prod`.`t`'").is_empty());
    }

    #[test]
    fn a_folder_is_named_outside_of_texts_only() {
        assert!(has_directory(
            "(\n  `a` int\n) ENGINE=InnoDB DATA DIRECTORY='/srv/x/'"
        ));
        assert!(has_directory(
            "(PARTITION `p` VALUES LESS THAN (1) DATA DIRECTORY = '/srv/x' ENGINE = InnoDB)"
        ));
        assert!(!has_directory(
            "(`DATA DIRECTORY` int COMMENT 'DATA DIRECTORY=')"
        ));
    }

    #[test]
    fn the_next_number_is_no_part_of_a_definition() {
        let create = "CREATE TABLE `x AUTO_INCREMENT=1` (\n  `id` int AUTO_INCREMENT COMMENT \
                      ' AUTO_INCREMENT=5'\n) ENGINE=InnoDB AUTO_INCREMENT=71 COMMENT='a'";
        let expected = "CREATE TABLE `x AUTO_INCREMENT=1` (\n  `id` int AUTO_INCREMENT COMMENT \
                        ' AUTO_INCREMENT=5'\n) ENGINE=InnoDB COMMENT='a'";
        assert_eq!(without_next_number(create), expected);
        assert_eq!(without_next_number(expected), expected);
    }

    #[test]
    fn a_collation_is_said_once() {
        let create = "CREATE TABLE `t` (\n  `a` text COLLATE=x\n) ENGINE=InnoDB".to_owned();
        let said = with_collation(create, Some("utf8mb4_bin"));
        assert!(said.ends_with("ENGINE=InnoDB COLLATE=utf8mb4_bin"));
        assert_eq!(with_collation(said.clone(), Some("utf8mb4_bin")), said);
    }
}

//! The wikis' databases on the two replicas. In production they are tables, in the
//! cloud `NAME_p` holds views of what may be shown of the tables in `NAME`.

use super::Server;

/// Wikis that are complete on both replicas: azywiki, the open public ones that are
/// not in the sqoop list yet, and some old ones of every section.
const WHOLE: [&str; 37] = [
    "azywiki",
    "bewwiktionary",
    "bolwiki",
    "kajwiki",
    "madwikisource",
    "magwiki",
    "minwikibooks",
    "minwikiquote",
    "minwikisource",
    "mswikiquote",
    "pcmwikiquote",
    "pplwiki",
    "thwikimedia",
    "tlwikisource",
    "urwikisource",
    "abwiki",
    "acewiki",
    "be_x_oldwiki",
    "commonswiki",
    "dewiki",
    "enwiki",
    "enwiktionary",
    "eswiki",
    "etwikimedia",
    "fawiki",
    "frwiki",
    "itwiki",
    "jawiki",
    "metawiki",
    "mediawikiwiki",
    "nlwiki",
    "plwiki",
    "ptwiki",
    "ruwiki",
    "svwiki",
    "wikidatawiki",
    "zhwiki",
];
/// Its cloud replica has not been made yet.
const ONLY_IN_PRODUCTION: &str = "tokwiki";
/// Its databases are there, its tables are not.
const EMPTY: &str = "rkiwiki";
/// In the cloud it lacks some core tables.
const PARTIAL: &str = "nupwiki";
// zghwiktionary, which is in the lists too, is on neither.

/// A few tables of `MediaWiki`, as far as it matters here.
const TABLES: [(&str, &str); 6] = [
    (
        "actor",
        "actor_id bigint unsigned PRIMARY KEY, actor_name varbinary(255) NOT NULL",
    ),
    (
        "comment",
        "comment_id bigint unsigned PRIMARY KEY, comment_text blob NOT NULL",
    ),
    (
        "page",
        "page_id int unsigned PRIMARY KEY, page_namespace int NOT NULL, \
         page_title varbinary(255) NOT NULL",
    ),
    (
        "revision",
        "rev_id bigint unsigned PRIMARY KEY, rev_page int unsigned NOT NULL, \
         rev_actor bigint unsigned NOT NULL, rev_timestamp binary(14) NOT NULL",
    ),
    (
        "site_stats",
        "ss_row_id int unsigned PRIMARY KEY, ss_total_edits bigint unsigned",
    ),
    (
        "user",
        "user_id int unsigned PRIMARY KEY, user_name varbinary(255) NOT NULL",
    ),
];
/// Those of [`TABLES`] that [`PARTIAL`] has in the cloud.
const OF_PARTIAL: [&str; 2] = ["page", "site_stats"];

/// The statements that make the databases; what exists stays.
pub(super) fn statements(server: Server) -> String {
    let cloud = match server {
        Server::Metadata | Server::Target => return String::new(),
        Server::ProdReplica => false,
        Server::Cloud => true,
    };
    let mut text = Vec::new();
    let mut wiki = |name: &str, tables: &[&str]| {
        text.push(format!(
            "CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET binary;\n"
        ));
        for (table, columns) in TABLES {
            if tables.contains(&table) {
                text.push(format!(
                    "CREATE TABLE IF NOT EXISTS {name}.{table} ({columns});\n"
                ));
            }
        }
        if cloud {
            text.push(format!(
                "CREATE DATABASE IF NOT EXISTS {name}_p CHARACTER SET binary;\n"
            ));
            for table in tables {
                text.push(format!(
                    "CREATE VIEW IF NOT EXISTS {name}_p.{table} AS SELECT * FROM {name}.{table};\n"
                ));
            }
        }
    };
    let all = TABLES.map(|(table, _)| table);
    for name in WHOLE {
        wiki(name, &all);
    }
    wiki(EMPTY, &[]);
    wiki(PARTIAL, if cloud { &OF_PARTIAL } else { &all });
    if !cloud {
        wiki(ONLY_IN_PRODUCTION, &all);
    }
    text.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cloud_shows_views() {
        let cloud = statements(Server::Cloud);
        assert!(cloud.contains("VIEW IF NOT EXISTS azywiki_p.revision AS"));
        assert!(cloud.contains("VIEW IF NOT EXISTS nupwiki_p.page AS"));
        assert!(!cloud.contains("nupwiki_p.revision"));
        assert!(!cloud.contains(ONLY_IN_PRODUCTION));
        let production = statements(Server::ProdReplica);
        assert!(production.contains("TABLE IF NOT EXISTS nupwiki.revision ("));
        assert!(production.contains("tokwiki.page"));
        assert!(!production.contains("_p."));
        assert!(!production.contains("rkiwiki."));
    }

    #[test]
    fn every_wiki_is_in_the_lists() {
        let lists = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../fixtures/newwiki/dblists"
        );
        let all = std::fs::read_to_string(format!("{lists}/all.dblist")).unwrap();
        let special = [ONLY_IN_PRODUCTION, EMPTY, PARTIAL, "zghwiktionary"];
        for name in WHOLE.iter().chain(&special).skip(1) {
            assert!(all.lines().any(|line| line == *name), "{name}");
        }
    }
}

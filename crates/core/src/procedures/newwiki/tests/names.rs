//! Names against the real lists.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::allowlist;
use super::super::lists::{Error, Lists};
use super::super::names::{Name, Project, date, resolve};
use super::{fixture, real};

fn lists() -> Lists {
    Lists::read(&fixture("dblists")).unwrap()
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

#[test]
fn every_wiki_has_a_project_of_its_own() {
    let lists = lists();
    assert_eq!(lists.all.len(), 1072);
    let projects: BTreeSet<Project> = lists
        .all
        .iter()
        .chain(&lists.deleted)
        .map(|name| name.project(lists.special.contains(name)))
        .collect();
    assert_eq!(projects.len(), lists.all.len() + lists.deleted.len());
    for project in &projects {
        assert_eq!(Project::parse(project.as_str()).as_ref(), Ok(project));
    }
}

/// Measured: the rule without its exceptions is right for 843 of the 860 open wikis.
#[test]
fn open_wikis_are_in_the_allowlist_by_their_projects() {
    let lists = lists();
    let allowed = allowlist::projects(&real("current/allowlist.tsv"));
    let open: Vec<&Name> = lists.open().collect();
    assert_eq!(open.len(), 860);
    let plain = |name: &Name| {
        let ending = name.as_str().rfind("wiki").unwrap();
        let (stem, family) = name.as_str().split_at(ending);
        let family = if family == "wiki" {
            "wikipedia"
        } else {
            family
        };
        format!("{}.{family}", stem.replace('_', "-"))
    };
    let by_rule = open.iter().filter(|name| {
        let rest = name.as_str().strip_suffix("wiktionary");
        let value = rest.map_or_else(
            || plain(name),
            |stem| format!("{}.wiktionary", stem.replace('_', "-")),
        );
        allowed.contains_key(value.as_bytes())
    });
    assert_eq!(by_rule.count(), 843);
    // With them, all but the seven that have no row.
    let missing: Vec<&str> = open
        .iter()
        .filter(|name| {
            let project = name.project(lists.special.contains(**name));
            !allowed.contains_key(project.as_str().as_bytes())
        })
        .map(|name| name.as_str())
        .collect();
    assert_eq!(
        missing,
        [
            "donatewiki",
            "loginwiki",
            "punjabiwikimedia",
            "romdwikimedia",
            "testcommonswiki",
            "testwikidatawiki",
            "votewiki"
        ]
    );
}

#[test]
fn projects_of_names() {
    for (database, project) in [
        ("azywiki", "azy.wikipedia"),
        ("zh_min_nanwiki", "zh-min-nan.wikipedia"),
        ("azwiktionary", "az.wiktionary"),
        ("aewikimedia", "ae.wikimedia"),
        ("be_x_oldwiki", "be-tarask.wikipedia"),
        ("be_x_oldwikibooks", "be-x-old.wikibooks"),
        ("etwikimedia", "ee.wikimedia"),
        ("etwiki", "et.wikipedia"),
        ("labswiki", "wikitech.wikimedia"),
        ("metawiki", "meta.wikimedia"),
        ("wikidatawiki", "wikidata"),
        ("mediawikiwiki", "mediawiki"),
        ("abstractwiki", "abstract.wikipedia"),
        ("advisorywiki", "advisory.wikimedia"),
        ("wikimaniawiki", "wikimania.wikimedia"),
        ("wikimania2027wiki", "wikimania2027.wikimedia"),
    ] {
        assert_eq!(name(database).project(false).as_str(), project);
    }
    // A special wiki that nobody has told this tool of.
    assert_eq!(name("azywiki").project(true).as_str(), "azy.wikimedia");
}

#[test]
fn a_name_is_what_a_database_can_be_called() {
    let long = format!("{}wiki", "a".repeat(61));
    for bad in [
        "",
        "wiki",
        "wiktionary",
        "azy",
        "Azywiki",
        "azy.wikipedia",
        "azywiki_p",
        "_azywiki",
        "azy_wiki",
        "9wiki",
        "azy-wiki",
        "azy wiki",
        "azywiki\n",
        "../azywiki",
        "--wiki",
        "azy`wiki",
        "äzywiki",
        &long,
    ] {
        assert!(Name::parse(bad).is_err(), "{bad:?}");
    }
    assert!(Name::parse(&long[1..]).is_ok());
}

#[test]
fn a_project_is_what_pageviews_have() {
    for good in [
        "azy.wikipedia",
        "wikidata",
        "mediawiki",
        "be-x-old.wikipedia",
        "en.wiktionary",
    ] {
        assert!(Project::parse(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        ".",
        "azy",
        "azy.wikipedia.org",
        "wikidata.org",
        "www.wikidata",
        "m.wikipedia",
        "azy.m.wikipedia",
        "Azy.wikipedia",
        "azy_x.wikipedia",
        "azy.wikipedia\t",
        "azy wikipedia",
        "-azy.wikipedia",
        "azy.",
        "azy.example",
        "azy..wikipedia",
        "azy.wikipediaa",
        "azy.wikidpedia",
        "azy.wiki",
        "wiki",
        "m.wikidata",
    ] {
        assert!(Project::parse(bad).is_err(), "{bad:?}");
    }
    for (bad, hint) in [
        ("azy.wikipedia.org", "did you mean azy.wikipedia?"),
        ("www.wikidata.org", "did you mean wikidata?"),
        ("m.wikidata", "did you mean wikidata?"),
        ("www.m.wikidata.org", "did you mean wikidata?"),
        ("azy.wikipediaa", "did you mean azy.wikipedia?"),
        ("azywiki", "the project of azywiki is azy.wikipedia"),
        ("azy", "it is what pageviews have: azy.wikipedia"),
    ] {
        assert_eq!(Project::asked(bad).unwrap_err().hint, hint);
    }
    // A family that there is not yet.
    assert!(Project::parse("azy.wikifoo").is_ok());
}

#[test]
fn dates() {
    assert!(date("2024-06-21").is_ok() && date("2024-02-29").is_ok());
    for bad in [
        "",
        "2024-6-21",
        "2024-02-30",
        "2023-02-29",
        "24-06-21",
        "2024-06-21 00:00:00",
        "today",
        "2024/06/21",
        "+02024-06-21",
        "２０２４-0",
    ] {
        assert!(date(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_lists_say_who_may_not() {
    let lists = lists();
    let refused = |text: &str| {
        let no = resolve(&name(text), Some(&lists)).unwrap_err();
        format!("{} ({})", no.what, no.hint)
    };
    for (wiki, list) in [
        ("dkwiki", "deleted.dblist"),
        ("officewiki", "private.dblist"),
        ("aawiki", "closed.dblist"),
        ("enwkiwiki", "all.dblist"),
    ] {
        assert!(refused(wiki).contains(list), "{wiki}: {}", refused(wiki));
    }
    assert!(refused("tigerwiki").contains("mediawiki-config"));
    assert!(
        refused("tygwiki").contains("tigwiki"),
        "{}",
        refused("tygwiki")
    );
    let no = Name::asked("Tigwiki", Some(&fixture("dblists"))).unwrap_err();
    assert_eq!(no.hint, "did you mean tigwiki, igwiki, tgwiki?");
    for (text, lists, hint) in [
        ("be-x-oldwiki", true, "did you mean be_x_oldwiki?"),
        ("be-x-oldwiki", false, "did you mean be_x_oldwiki?"),
        ("zghwiktionary_p", true, "did you mean zghwiktionary?"),
        ("isv", true, "did you mean isvwiki?"),
        ("isv.wikipedia", true, "its database is isvwiki; "),
        (
            "be-tarask.wikipedia",
            true,
            "its database is be_x_oldwiki; ",
        ),
        ("isv.wikipedia", false, "by --project isv.wikipedia"),
        (
            "https://isv.m.wikipedia.org/wiki/X",
            true,
            "its database is isvwiki; ",
        ),
        ("wikidata", true, "its database is wikidatawiki; "),
    ] {
        let dblists = fixture("dblists");
        let no = Name::asked(text, lists.then_some(dblists.as_path())).unwrap_err();
        assert!(no.hint.contains(hint), "{text}: {}", no.hint);
    }
    // Those that only some may edit are read by all.
    let ae = resolve(&name("aewikimedia"), Some(&lists)).unwrap();
    assert_eq!(
        (ae.project.as_str(), ae.section.as_deref()),
        ("ae.wikimedia", Some("s5"))
    );
}

#[test]
fn lists_that_cannot_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(format!("{name}.dblist")), text).unwrap();
    };
    let read = || Lists::read(folder.path());
    assert!(matches!(read(), Err(Error::Read { .. })));
    for name in ["all", "closed", "private", "deleted", "fishbowl", "special"] {
        write(name, "# a comment\n\nazywiki # another\n");
    }
    for section in 1..=8 {
        write(&format!("s{section}"), "");
    }
    write("s5", "azywiki\n");
    assert_eq!(read().unwrap().sections[&name("azywiki")], "s5");
    write("s7", "azywiki\n");
    assert!(matches!(read(), Err(Error::TwoSections { .. })));
    write("s7", "\n%% all - closed\n");
    assert!(matches!(read(), Err(Error::Line { line: 2, .. })));
}

proptest! {
    /// Whatever is taken for a name or a project can stand in SQL, a path and a row.
    #[test]
    fn what_is_taken_is_harmless(text in "\\PC{0,20}|[a-z_]{0,9}(wiki|wikibooks|wiki_p|\\.wikipedia)") {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if let Ok(name) = Name::parse(&text) {
            prop_assert!(name.as_str().chars().all(|c| plain(c) || c == '_'));
            let project = name.project(false);
            prop_assert!(project.as_str().chars().all(|c| plain(c) || c == '.' || c == '-'));
        }
        if let Ok(project) = Project::parse(&text) {
            prop_assert!(project.as_str().chars().all(|c| plain(c) || c == '.' || c == '-'));
        }
    }
}

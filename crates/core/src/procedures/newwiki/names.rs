//! Names: of databases (`azywiki`), and of projects as pageviews have them (`azy.wikipedia`).
//! Source of the rules: the allowlist's rows compared with `dblists/all.dblist`, and the
//! wikis' addresses.

use std::fmt;
use std::path::Path;

pub use jiff::civil::Date;

use serde::Serialize;

use super::lists::Lists;
use crate::procedures::Refusal;

/// The endings of databases' names and the projects that they stand for. `wiki` is the end
/// of no other.
const FAMILIES: [(&str, &str); 9] = [
    ("wiki", "wikipedia"),
    ("wiktionary", "wiktionary"),
    ("wikibooks", "wikibooks"),
    ("wikinews", "wikinews"),
    ("wikiquote", "wikiquote"),
    ("wikisource", "wikisource"),
    ("wikiversity", "wikiversity"),
    ("wikivoyage", "wikivoyage"),
    ("wikimedia", "wikimedia"),
];

/// How many close matches are told.
const CLOSE: usize = 3;

/// Projects of more than one language, and the foundation's site.
const OTHERS: [&str; 4] = [
    "mediawiki",
    "wikidata",
    "wikifunctions",
    "wikimediafoundation",
];

/// The last parts that projects have.
fn last_parts() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().map(|(_, project)| *project).chain(OTHERS)
}

/// The longest name that a database can have. Source: `MariaDB`, "Identifier Names".
const LONGEST: usize = 64;

/// Special wikis and renamed ones, whose address does not follow from the name of the
/// database. Sorted. Source: the addresses in `wmf-config/InitialiseSettings.php`,
/// `wgServer`.
const EXCEPTIONS: [(&str, &str); 29] = [
    ("abstractwiki", "abstract.wikipedia"),
    ("advisorywiki", "advisory.wikimedia"),
    ("apiportalwiki", "api.wikimedia"),
    ("be_x_oldwiki", "be-tarask.wikipedia"),
    ("commonswiki", "commons.wikimedia"),
    ("donatewiki", "donate.wikimedia"),
    ("etwikimedia", "ee.wikimedia"),
    ("fixcopyrightwiki", "fixcopyright.wikimedia"),
    ("foundationwiki", "foundation.wikimedia"),
    ("incubatorwiki", "incubator.wikimedia"),
    ("labswiki", "wikitech.wikimedia"),
    ("loginwiki", "login.wikimedia"),
    ("mediawikiwiki", "mediawiki"),
    ("metawiki", "meta.wikimedia"),
    ("nostalgiawiki", "nostalgia.wikipedia"),
    ("outreachwiki", "outreach.wikimedia"),
    ("qualitywiki", "quality.wikimedia"),
    ("sourceswiki", "wikisource"),
    ("specieswiki", "species.wikimedia"),
    ("strategywiki", "strategy.wikimedia"),
    ("testcommonswiki", "test-commons.wikimedia"),
    ("testwikidatawiki", "test.wikidata"),
    ("thankyouwiki", "thankyou.wikipedia"),
    ("usabilitywiki", "usability.wikimedia"),
    ("votewiki", "vote.wikimedia"),
    ("wg_enwiki", "wg-en.wikipedia"),
    ("wikidatawiki", "wikidata"),
    ("wikifunctionswiki", "wikifunctions"),
    ("wikimaniawiki", "wikimania.wikimedia"),
];

/// The name of a wiki's database: `^[a-z][a-z0-9_]*` and the ending of a family, so never a
/// path, an option, a quote.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub struct Name(String);

/// Text that is not the name of a wiki's database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the name of a wiki's database")]
pub struct NotAName(String);

impl Name {
    /// Takes a name of the right form.
    pub fn parse(text: &str) -> Result<Self, NotAName> {
        let wrong = || NotAName(text.chars().take(LONGEST).collect());
        let (stem, _) = family(text).ok_or_else(wrong)?;
        let first = stem.bytes().next().is_some_and(|c| c.is_ascii_lowercase());
        let rest = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
        let last = !stem.ends_with('_');
        if first && stem.bytes().all(rest) && last && text.len() <= LONGEST {
            Ok(Self(text.to_owned()))
        } else {
            Err(wrong())
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The project of the wiki: `azywiki` is `azy.wikipedia`. `special`: the wiki is in the
    /// list of special wikis; those are `.wikimedia` unless they are known to be another.
    pub fn project(&self, special: bool) -> Project {
        if let Ok(index) = EXCEPTIONS.binary_search_by_key(&self.as_str(), |(name, _)| name) {
            return Project(EXCEPTIONS[index].1.to_owned());
        }
        let (stem, project) = family(&self.0).unwrap_or((&self.0, "wikipedia"));
        // One a year: wikimania2018wiki.
        let year = stem.strip_prefix("wikimania").unwrap_or_default();
        let special = special || year.parse::<u16>().is_ok();
        let project = if special { "wikimedia" } else { project };
        Project(format!("{}.{project}", stem.replace('_', "-")))
    }
}

/// What stands before the family's ending, and the family's project.
fn family(name: &str) -> Option<(&str, &'static str)> {
    FAMILIES
        .iter()
        .find_map(|(ending, project)| Some((name.strip_suffix(ending)?, *project)))
}

impl Name {
    /// Takes a name that somebody asked for. `dblists`: where lists of known names are, for
    /// a refusal that names close ones.
    pub fn asked(text: &str, dblists: Option<&Path>) -> Result<Self, Refusal> {
        Self::parse(text).map_err(|error| {
            let lists = dblists.and_then(|folder| Lists::read(folder).ok());
            let known = || lists.iter().flat_map(|lists| &lists.all);
            let special = |name: &Self| lists.iter().any(|lists| lists.special.contains(name));
            // As people write it: Azywiki, be-tarask, azy.
            let meant = text.trim().to_lowercase().replace('-', "_");
            let of_stem = |name: &&Self| family(&name.0).is_some_and(|(stem, _)| stem == meant);
            let mut close: Vec<&str> = known().filter(of_stem).map(Self::as_str).collect();
            close.extend(close_matches(&meant, known().map(Self::as_str)));
            close.truncate(CLOSE);
            if lists.is_none() && Self::parse(&meant).is_ok() {
                close.push(&meant);
            }
            let project = Project::meant(text);
            let of_project = |name: &&Self| Some(name.project(special(name))) == project;
            let hint = if let (Some(name), Some(project)) = (known().find(of_project), &project) {
                format!(
                    "its database is {name}; the allowlist alone gets it by --project {project}"
                )
            } else if let Some(project) = project.filter(|one| one.as_str().contains('.')) {
                format!("a project goes into the allowlist by --project {project}")
            } else if close.is_empty() {
                "it is like azywiki or azywiktionary: a-z, 0-9 and _, then the family".to_owned()
            } else {
                format!("did you mean {}?", close.join(", "))
            };
            Refusal {
                what: error.to_string(),
                hint,
            }
        })
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A project as pageviews have it: a domain without `.org` and without `m.` or `www.`;
/// one part (`wikidata`) or two.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub struct Project(String);

/// Text that is not a project.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a project: {why}")]
pub struct NotAProject {
    text: String,
    why: &'static str,
}

impl Project {
    /// Takes a project of the right form.
    pub fn parse(text: &str) -> Result<Self, NotAProject> {
        let wrong = |why| NotAProject {
            text: text.chars().take(LONGEST).collect(),
            why,
        };
        let parts: Vec<&str> = text.split('.').collect();
        let last = parts.last().copied().unwrap_or_default();
        let label = |part: &&str| {
            let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
            !part.is_empty()
                && part.len() < LONGEST
                && part.bytes().all(inner)
                && !part.starts_with('-')
                && !part.ends_with('-')
        };
        if last == "org" {
            return Err(wrong("projects are written without .org"));
        }
        if parts.len() > 2 || !parts.iter().all(label) {
            return Err(wrong(
                "it is one or two parts of a-z, 0-9 and - like azy.wikipedia",
            ));
        }
        if parts.len() == 2 && matches!(parts[0], "www" | "m") {
            return Err(wrong("projects are written without www. and m."));
        }
        // A family that is new is none that is misspelt.
        let new = last
            .strip_prefix("wiki")
            .is_some_and(|rest| !rest.is_empty())
            && close_matches(last, last_parts()).is_empty();
        if !(new || last_parts().any(|known| known == last)) {
            return Err(wrong("its last part is no wiki family"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Takes a project that somebody asked for.
    pub fn asked(text: &str) -> Result<Self, Refusal> {
        Self::parse(text).map_err(|error| Refusal {
            what: error.to_string(),
            hint: match (Name::parse(text), Self::meant(text)) {
                (Ok(name), _) => format!("the project of {name} is {}", name.project(false)),
                (_, Some(project)) => format!("did you mean {project}?"),
                _ => "it is what pageviews have: azy.wikipedia".to_owned(),
            },
        })
    }

    /// The project of an address like `https://azy.m.wikipedia.org/wiki/X`, or one whose
    /// family is misspelt.
    fn meant(text: &str) -> Option<Self> {
        let text = text.trim().to_lowercase();
        let host = text
            .split_once("://")
            .map_or(text.as_str(), |(_, host)| host);
        let host = host.split('/').next()?;
        let host = host.strip_suffix(".org").unwrap_or(host);
        let host = ["www.", "m."]
            .iter()
            .fold(host, |host, start| host.strip_prefix(start).unwrap_or(host))
            .replace(".m.", ".");
        Self::parse(&host).ok().or_else(|| {
            let (language, family) = host.rsplit_once('.')?;
            let family = *close_matches(family, last_parts()).first()?;
            Self::parse(&format!("{language}.{family}")).ok()
        })
    }

    /// The project.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Project> for String {
    fn from(project: Project) -> Self {
        project.0
    }
}

impl fmt::Display for Project {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A wiki that may be let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wiki {
    /// Its database.
    pub name: Name,
    /// What pageviews call it.
    pub project: Project,
    /// The section of its database; not known with `--offline`.
    pub section: Option<String>,
}

/// Finds the wiki in the lists, or says which list forbids it. Without lists only the form
/// of the name is known to be right.
pub fn resolve(name: &Name, lists: Option<&Lists>) -> Result<Wiki, Refusal> {
    let Some(lists) = lists else {
        return Ok(Wiki {
            name: name.clone(),
            project: name.project(false),
            section: None,
        });
    };
    for (list, title, why) in [
        (&lists.deleted, "deleted", "it is no more"),
        (&lists.private, "private", "its views are not counted"),
        (&lists.closed, "closed", "it is no new wiki"),
    ] {
        if list.contains(name) {
            return Err(Refusal {
                what: format!("{name} is in {title}.dblist: {why}"),
                hint: format!("if that is wrong, correct {title}.dblist; --drop removes its rows"),
            });
        }
    }
    let Some(section) = lists
        .sections
        .get(name)
        .filter(|_| lists.all.contains(name))
    else {
        let what = if lists.all.contains(name) {
            format!("{name} is in no section: in none of s1.dblist to s8.dblist")
        } else {
            format!("{name} is unknown: not in all.dblist")
        };
        let close = close_matches(name.as_str(), lists.all.iter().map(Name::as_str));
        let hint = if close.is_empty() {
            "update the checkout of mediawiki-config: newwiki.dblists".to_owned()
        } else {
            format!(
                "did you mean {}? Else update the checkout of mediawiki-config: newwiki.dblists",
                close.join(", ")
            )
        };
        return Err(Refusal { what, hint });
    };
    Ok(Wiki {
        name: name.clone(),
        project: name.project(lists.special.contains(name)),
        section: Some(section.clone()),
    })
}

/// Takes a day as `YYYY-MM-DD`.
pub fn date(text: &str) -> Result<Date, String> {
    let form = |(index, c): (usize, char)| match index {
        4 | 7 => c == '-',
        _ => c.is_ascii_digit(),
    };
    let fits = text.len() == 10 && text.char_indices().all(form);
    let date = fits.then(|| text.parse().ok()).flatten();
    date.ok_or_else(|| "a date is YYYY-MM-DD".to_owned())
}

/// At most three of the candidates that are nearly `text`, the nearest first.
pub fn close_matches<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut close: Vec<(usize, &str)> = candidates
        .map(|one| (strsim::damerau_levenshtein(text, one), one))
        .filter(|(distance, _)| *distance <= 2)
        .collect();
    close.sort_unstable();
    close.into_iter().take(CLOSE).map(|(_, one)| one).collect()
}

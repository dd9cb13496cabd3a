//! Documents (headings, tables, notes), plans and outcomes as text, CSV and Phabricator
//! remarkup. Pure: strings in, strings out. JSON is the values' own serialisation.

use comfy_table::{ContentArrangement, Table as TextTable, presets};
use serde::Serialize;

use super::act::Act;
use super::plan::{Gap, Plan, Risk, Step};
use super::run::{Outcome, Outcomes};
use crate::fold::alike;

/// Something to show: a title, lines of text, tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Document {
    /// One line.
    pub title: String,
    /// Tables, in order.
    pub tables: Vec<Table>,
    /// What else the reader should know, a line each.
    pub notes: Vec<String>,
}

/// Rows of cells under named columns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Table {
    /// One line; may be empty.
    pub title: String,
    /// The columns' names.
    pub columns: Vec<&'static str>,
    /// As many cells a row as there are columns.
    pub rows: Vec<Vec<String>>,
}

/// The text with everything escaped that a terminal would take as a command or that would
/// break a line: names of files and users come from anywhere.
pub fn clean(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            // Bidirectional controls can make a path look like another one.
            let hidden = c.is_control() || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            let (escaped, plain) = if hidden {
                (Some(c.escape_default()), None)
            } else {
                (None, Some(c))
            };
            escaped.into_iter().flatten().chain(plain)
        })
        .collect()
}

/// A number of bytes as people read it: `1.5 GiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut unit = 0;
    // In tenths, so that no float is needed.
    let mut tenths = u128::from(count) * 10;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths = (tenths + 512) / 1024;
        unit += 1;
    }
    if unit == 0 {
        format!("{count} B")
    } else {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    }
}

impl Document {
    /// For a terminal `width` columns wide; unbounded when `None`.
    pub fn text(&self, width: Option<u16>) -> String {
        let mut parts = Vec::new();
        if !self.title.is_empty() {
            parts.push(clean(&self.title));
        }
        for table in &self.tables {
            let mut text = TextTable::new();
            text.load_style(presets::NOTHING)
                .set_header(table.columns.iter().map(|c| c.to_uppercase()));
            if let Some(width) = width {
                text.set_content_arrangement(ContentArrangement::Dynamic)
                    .set_width(width);
            }
            for row in &table.rows {
                text.add_row(row.iter().map(|cell| clean(cell)));
            }
            let body: Vec<String> = text
                .lines()
                .map(|line| line.trim_end().to_owned())
                .collect();
            let title = if table.title.is_empty() {
                String::new()
            } else {
                format!("{}\n", clean(&table.title))
            };
            parts.push(title + &body.join("\n"));
        }
        if !self.notes.is_empty() {
            let notes: Vec<String> = self
                .notes
                .iter()
                .map(|n| format!("- {}", clean(n)))
                .collect();
            parts.push(notes.join("\n"));
        }
        parts.join("\n\n") + "\n"
    }

    /// For a comment in Phabricator: its table syntax, cells in monospace where they are
    /// paths. Source: Phabricator's remarkup reference, "Tables".
    pub fn remarkup(&self) -> String {
        let cell = |text: &str| {
            let text = clean(text).replace('|', "&#124;");
            if text.starts_with('/') {
                format!("##{text}##")
            } else {
                text
            }
        };
        let mut lines = Vec::new();
        if !self.title.is_empty() {
            lines.push(format!("== {} ==", clean(&self.title)));
        }
        for table in &self.tables {
            if !table.title.is_empty() {
                lines.push(format!("\n**{}**\n", clean(&table.title)));
            }
            lines.push(format!("| {} |", table.columns.join(" | ")));
            lines.push(format!("|{}", "---|".repeat(table.columns.len())));
            for row in &table.rows {
                let cells: Vec<String> = row.iter().map(|text| cell(text)).collect();
                lines.push(format!("| {} |", cells.join(" | ")));
            }
        }
        if !self.notes.is_empty() {
            lines.push(String::new());
            lines.extend(self.notes.iter().map(|note| format!("- {}", clean(note))));
        }
        lines.join("\n") + "\n"
    }

    /// All tables' rows, each under the first column `table` with its table's title.
    /// Tables of different columns come one after another, each with its own header.
    pub fn csv(&self) -> String {
        let mut writer = csv::WriterBuilder::new()
            .flexible(true)
            .from_writer(Vec::new());
        let mut columns: Option<&[&str]> = None;
        for table in &self.tables {
            // Writing to memory cannot fail.
            if columns != Some(&table.columns) {
                let header = std::iter::once("table").chain(table.columns.iter().copied());
                let _ = writer.write_record(header);
                columns = Some(&table.columns);
            }
            for row in &table.rows {
                let cells = std::iter::once(&table.title).chain(row);
                let _ = writer.write_record(cells.map(|cell| clean(cell)));
            }
        }
        String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
    }
}

/// The plan for people: a table a wave, with how each step stands when `outcomes` are given.
/// Steps of several lanes that failed alike are one row.
pub fn plan<A: Act>(plan: &Plan<A>, outcomes: Option<&Outcomes>) -> Document {
    let mut tables = Vec::new();
    for (index, wave) in plan.waves.iter().enumerate() {
        let steps = plan.steps.iter().filter(|step| step.wave == index);
        let rows: Vec<Row<'_>> = steps.map(|step| Row::of(step, outcomes)).collect();
        if rows.is_empty() {
            continue;
        }
        let gate = if wave.gate && index > 0 {
            ", once all before is done"
        } else {
            ""
        };
        tables.push(Table {
            title: format!("{}{gate}", wave.name),
            columns: vec!["step", "state", "risk", "what"],
            rows: alike(rows.iter().map(|row| (row.lane, row.told.clone())))
                .into_iter()
                .map(|(lanes, told)| {
                    let mut of = rows.iter().filter(|row| row.told == told);
                    let first = of.next();
                    let same = of.all(|row| Some(&row.what) == first.map(|first| &first.what));
                    let what = first.map(|row| if same { &row.what } else { row.why });
                    let cells = told.into_iter().chain(what.cloned());
                    cells.map(|cell| cell.replace(LANE, &lanes)).collect()
                })
                .collect(),
        });
    }
    let mut notes = plan.notes.clone();
    notes.extend(unseen(&plan.coverage));
    if !plan.unasked.is_empty() {
        notes.push(format!("not asked for: {}", plan.unasked.join(", ")));
    }
    Document {
        title: plan.title.clone(),
        tables,
        notes,
    }
}

/// A step as a row; of one that failed, with its lane's name taken out.
struct Row<'a> {
    /// Empty for a row that is not to be told together with another.
    lane: &'a str,
    /// Id, state, risk.
    told: [String; 3],
    what: String,
    why: &'a String,
}

impl<'a> Row<'a> {
    fn of<A: Act>(step: &'a Step<A>, outcomes: Option<&Outcomes>) -> Self {
        let outcome = outcomes
            .and_then(|all| all.0.iter().find(|one| one.step == step.id))
            .map(|one| &one.outcome);
        let row = Self {
            lane: "",
            told: [
                step.id.clone(),
                outcome.map(state).unwrap_or_default(),
                risk(step.risk).to_owned(),
            ],
            what: step.action.summary(),
            why: &step.why,
        };
        let failed = outcome.is_some_and(|one| !one.is_done() && !one.is_pending());
        if !failed || !step.id.contains(&step.lane) {
            return row;
        }
        Self {
            lane: &step.lane,
            told: row.told.map(|cell| cell.replace(&step.lane, LANE)),
            what: row.what.replace(&step.lane, LANE),
            ..row
        }
    }
}

/// Stands for the lane's name in a row while rows are compared.
const LANE: &str = "\0";

/// What could not be looked at, a line each; lanes of which the same is to be said are folded.
pub fn unseen(gaps: &[Gap]) -> Vec<String> {
    let lines = gaps.iter().map(|gap| {
        let folds = gap.lane.as_ref() == Some(&gap.place);
        let place = (!folds).then_some(&gap.place);
        (gap.place.as_str(), (place, &gap.why))
    });
    alike(lines)
        .into_iter()
        .map(|(places, (place, why))| format!("NOT looked at: {}: {why}", place.unwrap_or(&places)))
        .collect()
}

fn risk(risk: Risk) -> &'static str {
    match risk {
        Risk::Reversible => "",
        Risk::Costly => "costly",
        Risk::Irreversible => "IRREVERSIBLE",
    }
}

/// An outcome in a few words.
pub fn state(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Applied(_) => "done".to_owned(),
        Outcome::AlreadyDone => "already done".to_owned(),
        Outcome::WouldApply | Outcome::WouldFollow(_) => "to do".to_owned(),
        Outcome::Drifted(why) => format!("drifted: {why}"),
        Outcome::Failed { causes, .. } => format!("failed: {}", causes.join(": ")),
        Outcome::Skipped(why) => format!("skipped: {why}"),
        Outcome::Interrupted => "stopped at a safe point".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Document {
        Document {
            title: "elvis".into(),
            tables: vec![Table {
                title: "hosts".into(),
                columns: vec!["place", "path"],
                rows: vec![
                    vec!["stat1008".into(), "/home/elvis".into()],
                    vec!["stat1009".into(), "/home/e|vis\n\u{1b}[31m".into()],
                ],
            }],
            notes: vec!["one".into()],
        }
    }

    #[test]
    fn text() {
        insta::assert_snapshot!(document().text(None), @r"
        elvis

        hosts
         PLACE     PATH
         stat1008  /home/elvis
         stat1009  /home/e|vis\n\u{1b}[31m

        - one
        ");
    }

    #[test]
    fn remarkup() {
        insta::assert_snapshot!(document().remarkup(), @r"
        == elvis ==

        **hosts**

        | place | path |
        |---|---|
        | stat1008 | ##/home/elvis## |
        | stat1009 | ##/home/e&#124;vis\n\u{1b}[31m## |

        - one
        ");
    }

    #[test]
    fn csv() {
        insta::assert_snapshot!(document().csv(), @r"
        table,place,path
        hosts,stat1008,/home/elvis
        hosts,stat1009,/home/e|vis\n\u{1b}[31m
        ");
    }

    #[test]
    fn bytes_are_rounded_and_never_overflow() {
        let shown: Vec<String> = [0, 1023, 1024, 1536, 1 << 30, u64::MAX].map(bytes).into();
        assert_eq!(
            shown,
            [
                "0 B",
                "1023 B",
                "1.0 KiB",
                "1.5 KiB",
                "1.0 GiB",
                "16384.0 PiB"
            ]
        );
    }
}

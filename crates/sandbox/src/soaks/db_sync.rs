//! Production copied to staging and staging put back, the tool and the server killed again and
//! again, with readers of staging all the while.

mod content;
mod readers;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::ChildStderr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::SoakOptions;
use super::tool::{Dice, Tool};
use crate::error::Error;
use crate::sandbox::{Progress, Sandbox};
use crate::servers::mariadb::superset::{PRODUCTION, STAGING, Size};
use crate::servers::mariadb::{DBSYNC, Server};
use crate::workspace;
use content::{Content, differences};

/// How often the tool is killed, and the server, unless told otherwise.
const KILLS: (usize, usize) = (50, 20);
/// How much production has beside what comes with the dump: a copy takes a second or two.
const SIZE: Size = Size(2_000_000);
const PROFILE: &str = "prod-to-staging";
/// The step of a restore; all others are a copy's.
const SWAP_BACK: &str = "swap-back";
/// The steps in which is killed. Most can go wrong in the first.
const STEPS: [&str; 7] = [
    "copy",
    "copy",
    "rewrite",
    "check",
    "drop-previous",
    "cut-over",
    SWAP_BACK,
];

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// `db-sync`.
    Tool,
    /// The server of both databases.
    Server,
}

/// How a run of `db-sync` is cut short.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kill {
    /// Who is killed.
    pub victim: Victim,
    /// In which step: of a restore by `swap-back`, else of a copy.
    pub step: &'static str,
    /// When in it: 0 as it begins, 1 when it usually ends.
    pub part: f64,
    /// Whether another copy is planned afterwards, instead of going on with the plan. A restore
    /// is always gone on with: another one would swap back what came to pass.
    pub anew: bool,
}

/// What was done and seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Copies and restores that came to their end.
    pub rounds: usize,
    /// How often the tool was killed before it had ended.
    pub tool_kills: usize,
    /// How often the server was killed before the tool had ended.
    pub server_kills: usize,
    /// After how many kills staging was as before; after all others it was as wanted.
    pub left_old: usize,
    /// How often staging was read meanwhile.
    pub reads: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kills = self.tool_kills + self.server_kills;
        write!(
            f,
            "{} rounds, {} kills of the tool and {} of the server: staging was old after {} and \
             new after {}, and never a mix in {} reads",
            self.rounds,
            self.tool_kills,
            self.server_kills,
            self.left_old,
            kills - self.left_old,
            self.reads
        )
    }
}

/// [`Sandbox::kill_syncs`] until both were killed as often as asked for.
pub(crate) fn soak(
    sandbox: &Sandbox,
    options: &SoakOptions,
    progress: Progress<'_>,
) -> Result<(), Error> {
    workspace::build(&["--bin", "db-sync"])?;
    let program = workspace::target()?.join("debug/db-sync");
    let kills = options.kills.unwrap_or(KILLS.0);
    let server_kills = options.server_kills.unwrap_or(KILLS.1);
    let mut dice = Dice::new();
    let next = |done: &Figures| {
        let tool = kills.saturating_sub(done.tool_kills) as u64;
        let server = server_kills.saturating_sub(done.server_kills) as u64;
        if tool + server == 0 {
            return None;
        }
        let victim = if dice.roll(tool + server) < tool {
            Victim::Tool
        } else {
            Victim::Server
        };
        let step = STEPS[usize::try_from(dice.roll(STEPS.len() as u64)).unwrap_or(0)];
        Some(Kill {
            victim,
            step,
            part: f64::from(u32::try_from(dice.roll(1100)).unwrap_or(0)) / 1000.0,
            anew: dice.roll(2) == 0,
        })
    };
    let figures = sandbox.kill_syncs(&program, next, progress)?;
    progress(&figures.to_string());
    Ok(())
}

impl Sandbox {
    /// Seeds Superset's databases, then lets `program`, a `db-sync`, copy production to staging
    /// or put staging back, and cuts it short as `next` says, until that says `None`. The server
    /// `metadata` must be up. Its binary log is emptied again and again.
    ///
    /// # Errors
    /// - After a kill staging is neither as it was nor as wanted: the checksum of every table and
    ///   the next number of every sequence count.
    /// - Going on does not end well, or not with staging as wanted.
    /// - Production is not what it was, or the binary log has an event about it.
    /// - A reader of staging sees a mix, what is neither old nor new, or an error that is not
    ///   that of a server which has just been killed.
    pub fn kill_syncs(
        &self,
        program: &Path,
        mut next: impl FnMut(&Figures) -> Option<Kill>,
        progress: Progress<'_>,
    ) -> Result<Figures, Error> {
        progress("seeding");
        self.seed_superset(SIZE)?;
        let mut soak = Soak::begin(self, program, progress)?;
        while let Some(kill) = next(&soak.figures) {
            soak.round(kill)?;
        }
        Ok(soak.figures)
    }
}

struct Soak<'a> {
    tool: Tool<'a>,
    progress: Progress<'a>,
    /// Production once, and what a copy made of it.
    once: (Content, Content),
    /// What production is marked with now.
    generation: u32,
    /// How long each step took when nobody was killed.
    took: BTreeMap<String, Duration>,
    /// Odd while the server is down or about to be.
    outages: AtomicUsize,
    figures: Figures,
}

impl<'a> Soak<'a> {
    /// Lets all steps be done once.
    fn begin(sandbox: &'a Sandbox, program: &Path, progress: Progress<'a>) -> Result<Self, Error> {
        let mut soak = Self {
            tool: Tool {
                soak: "soak db-sync",
                program: program.to_owned(),
                sandbox,
            },
            progress,
            once: Default::default(),
            generation: 0,
            took: BTreeMap::new(),
            outages: AtomicUsize::new(0),
            figures: Figures::default(),
        };
        progress("a copy, another one, and back");
        for restoring in [false, false, true] {
            if !restoring {
                soak.change_production()?;
            }
            let plan = soak.plan(restoring)?;
            soak.timed(&plan)?;
            if soak.generation == 1 {
                soak.once = (soak.content(PRODUCTION)?, soak.content(STAGING)?);
            }
        }
        soak.binlog_is_silent()?;
        Ok(soak)
    }

    fn failed(&self, said: String) -> Error {
        self.tool.failed(said)
    }

    fn sql(&self, statements: &str) -> Result<String, Error> {
        Server::Metadata.sql(self.tool.sandbox.dir(), statements)
    }

    /// Saves a plan; gives its file.
    fn plan(&self, restoring: bool) -> Result<String, Error> {
        let file = self.tool.sandbox.dir().join("soak-plan.json");
        let file = file.to_string_lossy().into_owned();
        let mut arguments = vec!["--dry-run", "--save-plan", &file, PROFILE];
        if restoring {
            arguments.insert(3, "restore");
        }
        self.tool.run(&arguments, 3)?;
        Ok(file)
    }

    /// Runs a plan to its end and notes how long its steps take.
    fn timed(&mut self, plan: &str) -> Result<(), Error> {
        let mut run = self
            .tool
            .command(&["--plan", plan, "--yes"])
            .spawn()
            .map_err(|source| self.tool.unrun(source))?;
        let mut begun = BTreeMap::new();
        let mut said = String::new();
        for line in lines(run.stderr.take()) {
            if let Some(step) = step_of(&line, "START ") {
                begun.insert(step.to_owned(), Instant::now());
            } else if let Some(step) = step_of(&line, "DONE ")
                && let Some(begun) = begun.remove(step)
            {
                self.took.insert(step.to_owned(), begun.elapsed());
            }
            said.push_str(&line);
            said.push('\n');
        }
        let ended = run.wait().map_err(|source| self.tool.unrun(source))?;
        if ended.success() {
            return Ok(());
        }
        Err(self.failed(format!("a run that nobody killed: {ended}: {said}")))
    }

    /// One copy or restore, cut short and gone on with.
    fn round(&mut self, kill: Kill) -> Result<(), Error> {
        let restoring = kill.step == SWAP_BACK;
        let old = self.content(STAGING)?;
        let mut generations = BTreeSet::from([self.seen(STAGING)?]);
        let new = if restoring {
            let previous = format!("{STAGING}_previous");
            generations.insert(self.seen(&previous)?);
            self.content(&previous)?
        } else {
            generations.insert(self.change_production()?);
            self.expected()?
        };
        let production = self.content(PRODUCTION)?;
        let plan = self.plan(restoring)?;

        let (killed, seen) = self.while_reading(|| {
            let killed = self.cut_short(&plan, &kill)?;
            let left = self.content(STAGING)?;
            if left != old && left != new {
                return Err(self.failed(format!(
                    "after {kill:?} staging is neither old ({}) nor new ({})",
                    differences(&left, &old),
                    differences(&left, &new)
                )));
            }
            if killed {
                let plan = if kill.anew && !restoring {
                    self.plan(restoring)?
                } else {
                    plan
                };
                self.tool.run(&["--plan", &plan, "--yes"], 0)?;
            }
            Ok(killed.then_some(left == old))
        })?;

        self.figures.reads += seen.reads;
        if !seen.generations.is_subset(&generations) {
            return Err(self.failed(format!(
                "during {kill:?} a reader saw {:?}, and not only {generations:?}",
                seen.generations
            )));
        }
        for (what, found, wanted) in [
            ("staging", self.content(STAGING)?, &new),
            ("production", self.content(PRODUCTION)?, &production),
        ] {
            if found != *wanted {
                return Err(self.failed(format!(
                    "after {kill:?} and going on {what} is wrong: {}",
                    differences(&found, wanted)
                )));
            }
        }
        self.binlog_is_silent()?;
        self.count(kill, killed);
        Ok(())
    }

    /// `killed`: whether staging was old after the kill, if it came to one.
    fn count(&mut self, kill: Kill, killed: Option<bool>) {
        let figures = &mut self.figures;
        figures.rounds += 1;
        let end = match killed {
            None => "it had ended already".to_owned(),
            Some(old) => {
                match kill.victim {
                    Victim::Tool => figures.tool_kills += 1,
                    Victim::Server => figures.server_kills += 1,
                }
                figures.left_old += usize::from(old);
                format!("staging was {}", if old { "old" } else { "new" })
            }
        };
        (self.progress)(&format!(
            "round {}: {:?} killed at {:.0} % of {}: {end}; {} and {} kills, {} reads",
            figures.rounds,
            kill.victim,
            kill.part * 100.0,
            kill.step,
            figures.tool_kills,
            figures.server_kills,
            figures.reads
        ));
    }

    /// Runs a plan and kills; whether the run was cut short. When this returns nothing of the
    /// run is at work any more, and the server is up.
    fn cut_short(&self, plan: &str, kill: &Kill) -> Result<bool, Error> {
        let unrun = |source| self.tool.unrun(source);
        let arguments = ["--plan", plan, "--yes"];
        let mut run = self.tool.command(&arguments).spawn().map_err(unrun)?;
        let mut said = lines(run.stderr.take());
        let mut all: Vec<String> = Vec::new();
        for line in said.by_ref() {
            let here = step_of(&line, "START ") == Some(kill.step);
            all.push(line);
            if here {
                break;
            }
        }
        let usual = self.took.get(kill.step).copied().unwrap_or_default();
        thread::sleep(usual.mul_f64(kill.part));
        let server = Server::Metadata.name();
        let late = run.try_wait().map_err(unrun)?.is_some();
        match kill.victim {
            _ if late => {}
            Victim::Tool => run.kill().map_err(unrun)?,
            Victim::Server => {
                self.outages.fetch_add(1, Ordering::SeqCst);
                self.tool.sandbox.kill_server(server)?;
            }
        }
        all.extend(said);
        let ended = run.wait().map_err(unrun)?;
        if kill.victim == Victim::Server && !late {
            self.tool.sandbox.start_server(server, &|_| ())?;
            self.outages.fetch_add(1, Ordering::SeqCst);
        }
        self.wait_for_its_statements()?;
        match (kill.victim, ended.code()) {
            (_, Some(0)) => Ok(false),
            (Victim::Tool, None) => Ok(true),
            (Victim::Server, Some(_)) if !late => Ok(true),
            _ => Err(self.failed(format!(
                "{kill:?}: the run ended by {ended}: {}",
                all.join("\n")
            ))),
        }
    }

    /// What a killed tool has asked for, the server does to its end.
    fn wait_for_its_statements(&self) -> Result<(), Error> {
        let left =
            format!("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = '{DBSYNC}'");
        while self.sql(&left)?.trim() != "0" {
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Fails when the binary log has an event that changes production: statements that name it,
    /// and rows of its tables. `Annotate_rows` changes nothing: it quotes the statement, and the
    /// mark of a copy names where it came from. Empties the log.
    fn binlog_is_silent(&self) -> Result<(), Error> {
        let logs = self.sql("SHOW BINARY LOGS")?;
        for file in logs.lines().filter_map(|line| line.split('\t').next()) {
            let events = self.sql(&format!("SHOW BINLOG EVENTS IN '{file}'"))?;
            let about =
                |event: &&str| event.contains(PRODUCTION) && !event.contains("\tAnnotate_rows\t");
            if let Some(event) = events.lines().find(about) {
                return Err(self.failed(format!("the binary log says of production: {event}")));
            }
        }
        self.sql("RESET MASTER").map(drop)
    }
}

/// The lines that a tool says.
fn lines(stderr: Option<ChildStderr>) -> impl Iterator<Item = String> {
    let lines = stderr.map(|stderr| BufReader::new(stderr).lines());
    lines.into_iter().flatten().map_while(Result::ok)
}

/// The step that a line is about: `START copy: ...`, `DONE copy`.
fn step_of<'a>(line: &'a str, verb: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(verb)?;
    rest.split([':', ' ']).next()
}

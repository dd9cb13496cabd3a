//! A world of named cells, its actions, and the laws of the loop over all of them.

mod pace;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::act::{Act, Cx, Failure, State};
use super::confirm::{Approved, Ask, Declined, Question};
use super::journal::{self, Header, Journal, JournalError, Sink};
use super::lint::lint;
use super::pace::Pace;
use super::plan::{FORMAT, Gap, Plan, Risk, Step, Wave};
use super::run::{Outcome, Outcomes, apply, check};
use pace::pace;

type Cells = BTreeMap<String, u32>;

/// Cells, a count of writes, and a moment at which the process dies.
#[derive(Default)]
struct World {
    cells: Mutex<Cells>,
    writes: AtomicUsize,
    /// The world and the journal share it: dead is dead.
    dead: Arc<AtomicBool>,
    /// Dies instead of the write of this number.
    die_at_write: Option<usize>,
}

impl World {
    fn of(cells: &Cells) -> Self {
        Self {
            cells: Mutex::new(cells.clone()),
            ..Self::default()
        }
    }

    fn get(&self, cell: &str) -> Option<u32> {
        self.cells.lock().unwrap().get(cell).copied()
    }

    fn write(&self, act: impl FnOnce(&mut Cells)) -> Result<(), Failure> {
        if self.die_at_write == Some(self.writes.load(Ordering::SeqCst)) {
            self.dead.store(true, Ordering::SeqCst);
        }
        if self.dead.load(Ordering::SeqCst) {
            return Err(Failure::new("killed", None));
        }
        self.writes.fetch_add(1, Ordering::SeqCst);
        act(&mut self.cells.lock().unwrap());
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Toy {
    /// One cell becomes another: a rename.
    Move { from: String, to: String, was: u32 },
    /// Two writes, of which a kill can leave one: a recursive change.
    Mark { cell: String, was: u32 },
    /// A copy: the proof of a later destruction.
    Copy { from: String, to: String, was: u32 },
    /// Removes a cell whose copy exists.
    Destroy {
        cell: String,
        was: u32,
        copy: String,
    },
}

const MARK: u32 = 1_000;

impl Act for Toy {
    type World = World;

    async fn observe(&self, world: &World, _: &Cx) -> Result<State, Failure> {
        Ok(match self {
            Self::Move { from, to, was } => match (world.get(from), world.get(to)) {
                // Whatever a later step made of it.
                (None, Some(_)) => State::Done,
                (Some(here), None) if here == *was => State::Pending,
                (None, None) => State::Waiting(from.clone()),
                other => State::Drifted(format!("{other:?}")),
            },
            Self::Mark { cell, was } => match (world.get(cell), world.get(&format!("{cell}'"))) {
                (None, _) => State::Waiting(cell.clone()),
                (Some(now), Some(_)) if now == was + MARK => State::Done,
                (Some(now), _) if now == *was || now == was + MARK => State::Pending,
                other => State::Drifted(format!("{other:?}")),
            },
            Self::Copy { from, to, was } => match (world.get(from), world.get(to)) {
                (Some(here), None) if here == *was => State::Pending,
                (_, Some(there)) if there == *was => State::Done,
                (None, None) => State::Waiting(from.clone()),
                other => State::Drifted(format!("{other:?}")),
            },
            Self::Destroy { cell, was, copy } => match (world.get(cell), world.get(copy)) {
                (None, Some(_)) => State::Done,
                (Some(here), Some(proof)) if here == *was && proof == *was => State::Pending,
                (Some(_), None) => State::Waiting(copy.clone()),
                other => State::Drifted(format!("{other:?}")),
            },
        })
    }

    async fn apply(&self, world: &World, _: &Cx) -> Result<serde_json::Value, Failure> {
        match self {
            Self::Move { from, to, .. } => world.write(|cells| {
                let value = cells.remove(from).unwrap();
                cells.insert(to.clone(), value);
            })?,
            Self::Mark { cell, was } => {
                world.write(|cells| {
                    cells.insert(cell.clone(), was + MARK);
                })?;
                tokio::task::yield_now().await;
                world.write(|cells| {
                    cells.insert(format!("{cell}'"), 0);
                })?;
            }
            Self::Copy { to, was, .. } => world.write(|cells| {
                cells.insert(to.clone(), *was);
            })?,
            Self::Destroy { cell, copy, was } => {
                if world.get(copy) != Some(*was) {
                    return Err(Failure::drifted("the copy is gone"));
                }
                world.write(|cells| {
                    cells.remove(cell);
                })?;
            }
        }
        Ok(serde_json::Value::Null)
    }

    fn summary(&self) -> String {
        format!("{self:?}")
    }

    fn targets(&self) -> Vec<String> {
        match self {
            Self::Move { from, .. } => vec![format!("move {from}")],
            Self::Mark { cell, .. } => vec![format!("mark {cell}")],
            Self::Copy { to, .. } => vec![format!("make {to}")],
            Self::Destroy { cell, .. } => vec![format!("destroy {cell}")],
        }
    }

    fn destroys(&self) -> Option<Vec<String>> {
        match self {
            Self::Destroy { copy, .. } => Some(vec![copy.clone()]),
            _ => None,
        }
    }

    fn proves(&self) -> Vec<String> {
        match self {
            Self::Copy { to, .. } => vec![to.clone()],
            _ => Vec::new(),
        }
    }

    fn faults(&self) -> Vec<String> {
        Vec::new()
    }
}

/// The toy's planner: every cell `l.n` of lane `l` is moved and marked; its `l.n source` is
/// copied and then destroyed.
fn plan(cells: &Cells) -> Plan<Toy> {
    let mut steps = Vec::new();
    let mut add = |wave, risk, lane: &str, verb: &str, cell: &str, action| {
        steps.push(Step {
            id: format!("{verb} {cell}"),
            lane: lane.to_owned(),
            wave,
            risk,
            why: "law".into(),
            action,
        });
    };
    for wave in 0..3 {
        for (cell, was) in cells.iter().filter(|(cell, _)| !cell.ends_with("source")) {
            let was = *was;
            let lane = cell.split('.').next().unwrap();
            let moved = format!("{cell} moved");
            let source = format!("{cell} source");
            let copy = format!("{cell} copy");
            match wave {
                0 => {
                    let action = Toy::Move {
                        from: cell.clone(),
                        to: moved.clone(),
                        was,
                    };
                    add(0, Risk::Reversible, lane, "move", cell, action);
                    let action = Toy::Mark { cell: moved, was };
                    add(0, Risk::Costly, lane, "mark", cell, action);
                }
                1 => {
                    let action = Toy::Copy {
                        from: source,
                        to: copy,
                        was,
                    };
                    add(1, Risk::Reversible, lane, "copy", cell, action);
                }
                _ => {
                    let action = Toy::Destroy {
                        cell: source,
                        was,
                        copy,
                    };
                    add(2, Risk::Irreversible, lane, "destroy", cell, action);
                }
            }
        }
    }
    Plan {
        format: FORMAT,
        tool: "toy".into(),
        version: "1".into(),
        subject: "elvis".into(),
        title: "toy".into(),
        created: 0,
        task: None,
        reason: None,
        safety: String::new(),
        world: BTreeMap::new(),
        coverage: Vec::new(),
        unasked: Vec::new(),
        overruled: Vec::new(),
        notes: Vec::new(),
        pace: None,
        waves: [("move", false), ("copy", false), ("destroy", true)]
            .map(|(name, gate)| Wave {
                name: name.into(),
                gate,
            })
            .into(),
        steps,
    }
}

/// Lines go nowhere; after `left` of them the process is dead.
struct Mortal {
    left: usize,
    dead: Arc<AtomicBool>,
}

impl Sink for Mortal {
    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        if self.left == 0 {
            self.dead.store(true, Ordering::SeqCst);
        }
        if self.dead.load(Ordering::SeqCst) {
            return Err(io::Error::other("killed"));
        }
        self.left -= 1;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Yes;

impl Ask for Yes {
    fn ask(&self, _: &Question<'_>) -> Result<(), Declined> {
        Ok(())
    }
}

fn cx() -> Cx {
    Cx::new(Arc::new(()), CancellationToken::new())
}

fn journal(world: &World, lines: usize) -> Result<Journal, JournalError> {
    let sink = Mortal {
        left: lines,
        dead: world.dead.clone(),
    };
    let header = Header {
        format: journal::FORMAT,
        tool: "toy 1".into(),
        subject: "elvis".into(),
        plan: String::new(),
        by: "ops".into(),
        task: None,
        reason: None,
    };
    Journal::to(Path::new("toy"), Box::new(sink), header)
}

fn run(plan: &Plan<Toy>, world: &World, lines: usize) -> Result<Outcomes, JournalError> {
    let journal = journal(world, lines)?;
    block(apply(
        &Approved::ask(plan, &Yes).unwrap(),
        world,
        &journal,
        &cx(),
    ))
}

fn block<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

const ALL: usize = usize::MAX;

/// Up to three lanes of up to three cells.
fn worlds() -> impl Strategy<Value = Cells> {
    prop::collection::btree_map("[abc]\\.[0-2]", 0..100_u32, 1..7)
        .prop_map(|cells| with_sources(&cells))
}

fn with_sources(cells: &Cells) -> Cells {
    let sources = cells
        .iter()
        .map(|(cell, was)| (format!("{cell} source"), *was));
    sources.chain(cells.clone()).collect()
}

proptest! {
    #[test]
    fn convergence(cells in worlds()) {
        let plan = plan(&cells);
        prop_assert_eq!(lint(&plan), Vec::<String>::new());
        let world = World::of(&cells);
        prop_assert!(run(&plan, &world, ALL).unwrap().all_done());
        prop_assert!(block(check(&plan, &world, &cx())).all_done());
        let writes = world.writes.load(Ordering::SeqCst);
        let again = run(&plan, &world, ALL).unwrap();
        prop_assert!(again.0.iter().all(|s| s.outcome == Outcome::AlreadyDone));
        prop_assert_eq!(world.writes.load(Ordering::SeqCst), writes);
    }

    #[test]
    fn a_dry_run_writes_nothing_and_foretells_every_step(cells in worlds()) {
        let plan = plan(&cells);
        let world = World::of(&cells);
        let outcomes = block(check(&plan, &world, &cx()));
        prop_assert_eq!(world.writes.load(Ordering::SeqCst), 0);
        prop_assert_eq!(outcomes.0.len(), plan.steps.len());
        prop_assert!(outcomes.0.iter().all(|s| s.outcome.is_pending()));
    }

    /// Killed around every line of the journal and instead of every write, a run that goes
    /// on from there ends in the same world.
    #[test]
    fn crash(cells in worlds()) {
        let plan = plan(&cells);
        let whole = World::of(&cells);
        run(&plan, &whole, ALL).unwrap();
        let end = whole.cells.lock().unwrap().clone();
        let writes = whole.writes.load(Ordering::SeqCst);
        let lines = 1 + 2 * plan.steps.len();
        let deaths = (0..lines).map(|l| (l, None)).chain((0..writes).map(|w| (ALL, Some(w))));
        for (lines, die_at_write) in deaths {
            let world = World { die_at_write, ..World::of(&cells) };
            let _ = run(&plan, &world, lines);
            prop_assert!(world.dead.load(Ordering::SeqCst));
            let left = world.cells.lock().unwrap().clone();
            let world = World::of(&left);
            prop_assert!(run(&plan, &world, ALL).unwrap().all_done());
            prop_assert_eq!(&*world.cells.lock().unwrap(), &end);
        }
    }

    /// Whatever cell somebody else changes, the run stops there, and no gate opens.
    #[test]
    fn drift(cells in worlds(), pick in any::<prop::sample::Index>()) {
        let plan = plan(&cells);
        let (cell, was) = cells.iter().filter(|(cell, _)| !cell.ends_with("source"))
            .nth(pick.index(cells.len() / 2)).unwrap();
        let mut changed = cells.clone();
        changed.insert(cell.clone(), was + 1);
        let world = World::of(&changed);
        let outcomes = run(&plan, &world, ALL).unwrap();
        let of = |id: &str| &outcomes.0.iter().find(|s| s.step == id).unwrap().outcome;
        let (moved, marked) = (format!("move {cell}"), format!("mark {cell}"));
        prop_assert!(matches!(of(&moved), Outcome::Drifted(_)));
        prop_assert!(matches!(of(&marked), Outcome::Skipped(_)));
        prop_assert_eq!(world.get(cell), Some(was + 1));
        for step in plan.steps.iter().filter(|s| s.risk == Risk::Irreversible) {
            prop_assert!(matches!(of(&step.id), Outcome::Skipped(_)));
        }
        for step in &plan.steps {
            let mut before = plan.steps.iter()
                .take_while(|other| other.id != step.id)
                .filter(|other| other.lane == step.lane || other.wave < plan.gate(step.wave));
            let missing = before.find(|earlier| !of(&earlier.id).is_done());
            match (of(&step.id), missing) {
                (Outcome::Skipped(why), Some(missing)) => {
                    prop_assert_eq!(why, &format!("needs {}, which is not done", missing.id));
                }
                (outcome, missing) => {
                    prop_assert!(missing.is_none() && !matches!(outcome, Outcome::Skipped(_)));
                }
            }
        }
    }
}

fn sample() -> (Cells, Plan<Toy>) {
    let cells = with_sources(&Cells::from([("a.0".into(), 1), ("b.0".into(), 2)]));
    let plan = plan(&cells);
    (cells, plan)
}

#[test]
fn a_waiting_step_that_nothing_serves_is_a_drift() {
    let (_, plan) = sample();
    let outcomes = run(&plan, &World::of(&Cells::new()), ALL).unwrap();
    assert!(matches!(outcomes.0[0].outcome, Outcome::Drifted(_)));
}

#[test]
fn a_cancelled_run_begins_nothing() {
    let (cells, plan) = sample();
    let world = World::of(&cells);
    let cx = cx();
    cx.cancel().cancel();
    let journal = journal(&world, ALL).unwrap();
    let approved = Approved::ask(&plan, &Yes).unwrap();
    let outcomes = block(apply(&approved, &world, &journal, &cx)).unwrap();
    assert!(!outcomes.any(Outcome::is_done));
    assert_eq!(world.writes.load(Ordering::SeqCst), 0);
}

#[test]
fn a_no_is_a_no() {
    struct No;
    impl Ask for No {
        fn ask(&self, question: &Question<'_>) -> Result<(), Declined> {
            assert_eq!(question.subject, "elvis");
            assert!(question.irreversible && question.hash.starts_with("sha256:"));
            Err(Declined::No)
        }
    }
    assert_eq!(Approved::ask(&sample().1, &No).unwrap_err(), Declined::No);
}

#[test]
fn every_change_of_a_plan_changes_its_hash() {
    let (_, plan) = sample();
    let mut seen = HashSet::from([plan.hash().unwrap()]);
    let changes: [fn(&mut Plan<Toy>); 7] = [
        |p| p.pace = Some(pace(1, 90)),
        |p| p.steps.truncate(1),
        |p| p.steps.swap(0, 2),
        |p| p.subject.push('2'),
        |p| p.safety.push('2'),
        |p| p.waves[2].gate = false,
        |p| p.created += 1,
    ];
    for change in changes {
        let mut other = plan.clone();
        change(&mut other);
        assert!(seen.insert(other.hash().unwrap()));
    }
}

/// Each fault is found, and named, in a plan that is otherwise sound.
#[test]
fn lint_refuses() {
    type Break = fn(&mut Plan<Toy>);
    let faults: [(&str, Break); 11] = [
        ("a batch of 0 lanes", |p| {
            p.pace = Some(Pace {
                lanes: BTreeSet::new(),
                ..pace(0, 9)
            });
        }),
        ("101% of the lanes", |p| {
            p.pace = Some(Pace {
                lanes: BTreeSet::new(),
                ..pace(1, 101)
            });
        }),
        ("c is paced and has no step", |p| p.pace = Some(pace(1, 9))),
        ("format 2 is not 1", |p| p.format = 2),
        ("two steps have the id move a.0", |p| {
            p.steps[2].id = p.steps[0].id.clone();
        }),
        ("wave 0 is out of order", |p| p.steps.reverse()),
        ("both change move a.0", |p| {
            p.steps[2].action = p.steps[0].action.clone();
        }),
        ("cannot be undone", |p| p.steps[0].risk = Risk::Irreversible),
        ("not marked irreversible", |p| {
            p.steps[7].risk = Risk::Costly;
        }),
        ("destroys before b.0 copy is proven", |p| {
            p.steps.remove(5);
        }),
        ("a was not looked at: down", |p| {
            p.coverage.push(Gap {
                place: "a".into(),
                why: "down".into(),
                lane: Some("a".into()),
            });
        }),
    ];
    for (fault, break_it) in faults {
        let mut plan = sample().1;
        break_it(&mut plan);
        let found = lint(&plan);
        assert!(
            found.iter().any(|f| f.contains(fault)),
            "{fault}: {found:?}"
        );
    }
}

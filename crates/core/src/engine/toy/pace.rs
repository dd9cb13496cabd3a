//! The laws of lanes that are begun in batches.

use super::super::act::{Event, Observer};
use super::super::render;
use super::*;

/// Four lanes of one cell each, begun one at a time; those named have changed meanwhile.
fn paced(pace: &Pace, changed: &[&str]) -> (World, Plan<Toy>) {
    let cells = ["a.0", "b.0", "c.0", "d.0"].map(|cell| (cell.to_owned(), 1));
    let cells = with_sources(&cells.into());
    let plan = Plan {
        pace: Some(pace.clone()),
        ..plan(&cells)
    };
    assert_eq!(lint(&plan), Vec::<String>::new());
    let world = World::of(&cells);
    for cell in changed {
        world.cells.lock().unwrap().insert((*cell).to_owned(), 2);
    }
    (world, plan)
}

pub(super) fn pace(batch: u32, success: u8) -> Pace {
    Pace {
        lanes: ["a", "b", "c", "d"].map(str::to_owned).into(),
        batch,
        sleep: 60,
        success,
    }
}

/// The lanes as batches of them began, and how long all took, in seconds of a clock that
/// stands still while anything runs.
async fn batches(world: &World, plan: &Plan<Toy>) -> (Vec<String>, u64, Outcomes) {
    #[derive(Default)]
    struct Seen(Mutex<Vec<String>>);
    impl Observer for Seen {
        fn event(&self, event: &Event<'_>) {
            if let Event::Batch { number, of, lanes } = event {
                let line = format!("{number}/{of} {}", lanes.join(" "));
                self.0.lock().unwrap().push(line);
            }
        }
    }
    let seen = Arc::new(Seen::default());
    let cx = Cx::new(seen.clone(), CancellationToken::new());
    let journal = journal(world, ALL).unwrap();
    let begun = tokio::time::Instant::now();
    let approved = Approved::ask(plan, &Yes).unwrap();
    let outcomes = apply(&approved, world, &journal, &cx).await.unwrap();
    let seen = seen.0.lock().unwrap().clone();
    (seen, begun.elapsed().as_secs(), outcomes)
}

#[tokio::test(start_paused = true)]
async fn paced_lanes_begin_some_at_a_time() {
    let (world, plan) = paced(&pace(3, 100), &[]);
    let (seen, seconds, outcomes) = batches(&world, &plan).await;
    assert!(outcomes.all_done());
    let one_wave = ["1/2 a b c", "2/2 d"];
    assert_eq!(seen, [one_wave, one_wave, one_wave].concat());
    // One pause a wave.
    assert_eq!(seconds, 180);
    // There is nothing to wait for where nothing is to be done.
    let (_, seconds, outcomes) = batches(&world, &plan).await;
    assert!(outcomes.all_done());
    assert_eq!(seconds, 0);
}

#[tokio::test(start_paused = true)]
async fn lanes_that_are_not_paced_do_not_wait() {
    let one = Pace {
        lanes: BTreeSet::from(["d".to_owned()]),
        ..pace(1, 100)
    };
    let (world, plan) = paced(&one, &["a.0"]);
    let (seen, seconds, outcomes) = batches(&world, &plan).await;
    // A fault in a lane that is not paced stops no other; the gate is another matter.
    assert_eq!((seen.len(), seconds), (3, 0));
    let of = |id: &str| &outcomes.0.iter().find(|s| s.step == id).unwrap().outcome;
    assert!(of("copy d.0").is_done());
    assert!(matches!(of("destroy d.0"), Outcome::Skipped(_)));
}

#[tokio::test(start_paused = true)]
async fn no_batch_begins_once_too_many_have_failed() {
    let done = |outcomes: &Outcomes, verb: &str| {
        let of = |lane: &&str| {
            let id = format!("{verb} {lane}.0");
            let found = outcomes.0.iter().find(|one| one.step == id);
            found.is_some_and(|one| one.outcome.is_done())
        };
        ["a", "b", "c", "d"]
            .into_iter()
            .filter(of)
            .collect::<String>()
    };
    for (success, moved, copied) in [
        (100, "a", ""),
        (51, "a", ""),
        (50, "acd", "acd"),
        (0, "acd", "acd"),
    ] {
        let (world, plan) = paced(&pace(1, success), &["b.0"]);
        let (_, _, outcomes) = batches(&world, &plan).await;
        assert_eq!(done(&outcomes, "move"), moved, "{success}");
        assert_eq!(done(&outcomes, "copy"), copied, "{success}");
    }
    // What was not begun is on record, with the reason.
    let (world, plan) = paced(&pace(1, 90), &["b.0"]);
    let (seen, _, outcomes) = batches(&world, &plan).await;
    assert_eq!(seen, ["1/4 a", "2/4 b"]);
    let last = outcomes
        .0
        .iter()
        .find(|one| one.step == "move c.0")
        .unwrap();
    let why = "not begun: 1 of 2 before it succeeded, fewer than 90%";
    assert_eq!(last.outcome, Outcome::Skipped(why.into()));
    // Once the fault is mended, the same plan goes on.
    world.cells.lock().unwrap().insert("b.0".into(), 1);
    assert!(batches(&world, &plan).await.2.all_done());
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_pause() {
    let (world, plan) = paced(&pace(1, 100), &[]);
    let cx = cx();
    let cancel = cx.cancel().clone();
    let journal = journal(&world, ALL).unwrap();
    let approved = Approved::ask(&plan, &Yes).unwrap();
    let begun = tokio::time::Instant::now();
    let (outcomes, ()) = tokio::join!(apply(&approved, &world, &journal, &cx), async {
        tokio::time::sleep(std::time::Duration::from_secs(7)).await;
        cancel.cancel();
    });
    assert_eq!(begun.elapsed().as_secs(), 7);
    let done = outcomes
        .unwrap()
        .0
        .into_iter()
        .filter(|one| one.outcome.is_done());
    assert_eq!(
        done.map(|one| one.step).collect::<Vec<_>>(),
        ["move a.0", "mark a.0"]
    );
}

#[tokio::test(start_paused = true)]
async fn lanes_that_failed_alike_are_one_row() {
    let (world, mut plan) = paced(&pace(1, 90), &["b.0"]);
    // A lane's name tells steps from each other only where they name it.
    for (lane, name) in [("a", "h1"), ("b", "h2"), ("c", "h3"), ("d", "h4")] {
        let of_lane = plan.steps.iter_mut().filter(|step| step.lane == lane);
        for step in of_lane {
            step.lane = name.to_owned();
            step.id = step.id.replace(&format!("{lane}.0"), name);
        }
    }
    let lanes = ["h1", "h2", "h3", "h4"].map(str::to_owned).into();
    plan.pace = Some(Pace {
        lanes,
        ..pace(1, 90)
    });
    let (_, _, outcomes) = batches(&world, &plan).await;
    let rows = &render::plan(&plan, Some(&outcomes)).tables[0].rows;
    let told: Vec<(&str, &str)> = rows.iter().map(|row| (&*row[0], &*row[1])).collect();
    let held = "skipped: not begun: 1 of 2 before it succeeded, fewer than 90%";
    let drifted = "drifted: (Some(2), None)";
    let needs = "skipped: needs move h2, which is not done";
    assert_eq!(
        told,
        [
            ("move h1", "done"),
            ("mark h1", "done"),
            ("move h2", drifted),
            ("mark h2", needs),
            ("move h[3-4]", held),
            ("mark h[3-4]", held),
        ]
    );
    // What they would have done differs: why they are there is the same.
    assert_eq!(rows[4][3], "law");
    assert!(rows[2][3].contains("b.0"), "{}", rows[2][3]);
}

//! What must hold of any plan, whoever made it. Independent of the planners: a plan that
//! breaks one of these is a bug of its planner or was tampered with, and never runs.

use std::collections::{HashMap, HashSet};

use super::act::Act;
use super::plan::{FORMAT, Plan, Risk, Step};

/// Everything that is wrong with the plan, a line each; empty for a sound one.
pub fn lint<A: Act>(plan: &Plan<A>) -> Vec<String> {
    let mut faults = Vec::new();
    if plan.format != FORMAT {
        faults.push(format!("format {} is not {FORMAT}", plan.format));
    }
    faults.extend(plan.pace.iter().flat_map(|pace| pace.faults(plan)));
    let mut ids = HashSet::new();
    let mut targets: HashMap<String, &str> = HashMap::new();
    let mut wave = 0;
    let mut past_undoing: HashSet<&str> = HashSet::new();
    let mut proofs = Proofs::new();
    for step in &plan.steps {
        let id = &step.id;
        if !ids.insert(id) {
            faults.push(format!("two steps have the id {id}"));
        }
        if step.wave < wave || step.wave >= plan.waves.len() {
            faults.push(format!("{id}: wave {} is out of order", step.wave));
        }
        wave = wave.max(step.wave);
        for target in step.action.targets() {
            if let Some(other) = targets.insert(target.clone(), id) {
                faults.push(format!("{other} and {id} both change {target}"));
            }
        }
        faults.extend(
            step.action
                .faults()
                .into_iter()
                .map(|fault| format!("{id}: {fault}")),
        );
        if step.risk == Risk::Irreversible {
            past_undoing.insert(&step.lane);
        } else if past_undoing.contains(step.lane.as_str()) {
            faults.push(format!(
                "{id}: comes after a step of its lane that cannot be undone"
            ));
        }
        irreversible(plan, step, &proofs, &mut faults);
        for proof in step.action.proves() {
            proofs
                .entry(proof)
                .or_default()
                .push((step.wave, &step.lane));
        }
    }
    faults
}

/// What the steps so far prove, with their waves and lanes.
type Proofs<'p> = HashMap<String, Vec<(usize, &'p str)>>;

fn irreversible<A: Act>(
    plan: &Plan<A>,
    step: &Step<A>,
    proofs: &Proofs<'_>,
    faults: &mut Vec<String>,
) {
    let id = &step.id;
    if let Some(needs) = step.action.destroys() {
        if step.risk != Risk::Irreversible {
            faults.push(format!("{id}: destroys, yet is not marked irreversible"));
        }
        if needs.is_empty() {
            faults.push(format!("{id}: destroys without a proof"));
        }
        let gate = plan.gate(step.wave);
        let precedes = |(wave, lane): &(usize, &str)| *wave < gate || *lane == step.lane;
        for need in needs {
            if !proofs
                .get(&need)
                .is_some_and(|from| from.iter().any(precedes))
            {
                faults.push(format!("{id}: destroys before {need} is proven"));
            }
        }
    }
    if step.risk == Risk::Irreversible {
        faults.extend(
            plan.coverage
                .iter()
                .filter(|gap| gap.lane.as_ref() == Some(&step.lane))
                .map(|gap| format!("{id}: {} was not looked at: {}", gap.place, gap.why)),
        );
    }
}

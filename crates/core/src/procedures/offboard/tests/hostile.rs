//! Plan files that somebody has changed.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::engine::Act as _;

/// Every text of a document that is not a key.
fn texts(value: &mut Value) -> Vec<&mut String> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter_mut().flat_map(texts).collect(),
        Value::Object(fields) => fields.values_mut().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

proptest! {
    /// Whoever makes a plan file gives it a hash as well: what keeps the tool from somebody
    /// else's places is the guard, whatever the rest says.
    #[test]
    fn whatever_a_plan_says_it_is_told_and_leads_nowhere_else(
        at in any::<prop::sample::Index>(),
        text in r"(/|\.\.|user|etc|tmp|elvis|azy|\*|'|\PC){0,8}",
    ) {
        let plan = planned(archive(), &everything()).unwrap();
        let mut changed = serde_json::to_value(&plan).unwrap();
        let mut all = texts(&mut changed);
        let at = at.index(all.len());
        *all[at] = text;
        let Ok(changed) = serde_json::from_value::<Plan<Action>>(changed) else {
            return Ok(());
        };
        lint(&changed);
        let guard = Policy::default().guard();
        for step in &changed.steps {
            prop_assert!(!step.action.summary().is_empty());
            let Action::Hdfs(action) = &step.action else {
                continue;
            };
            for path in action.paths() {
                let inside = guard.hdfs_roots.iter().any(|root| path.starts_with(&format!("{root}/")));
                let normal = !path.split('/').any(|part| part == "..");
                prop_assert!(guard.hdfs(path).is_err() || inside && normal, "{}", path);
            }
        }
    }
}

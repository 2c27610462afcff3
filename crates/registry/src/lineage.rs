//! From what a model was made, and what was made from it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tenancy::ModelId;

use crate::ModelEntry;

/// How one model came from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// The other is what it was made from.
    BaseModel,
    /// The other is the version before it.
    Previous,
}

/// A step from one model to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Relative {
    /// The later one.
    pub model: ModelId,
    /// How it came from the other.
    pub relation: Relation,
    /// The earlier one.
    pub from: ModelId,
}

/// The steps that lead to `id`, nearest first, and those that lead on from it. Who leads back to
/// themselves are named once.
pub fn lineage(
    models: &BTreeMap<ModelId, ModelEntry>,
    id: &ModelId,
) -> (Vec<Relative>, Vec<Relative>) {
    let steps: Vec<Relative> = models.values().flat_map(steps).collect();
    let walk = |is_next: fn(&Relative) -> (&ModelId, &ModelId)| {
        let (mut found, mut seen) = (Vec::new(), BTreeSet::from([id]));
        let mut now = vec![id];
        while !now.is_empty() {
            let mut next = Vec::new();
            for step in &steps {
                let (here, there) = is_next(step);
                if now.contains(&here) {
                    found.push(step.clone());
                    if seen.insert(there) {
                        next.push(there);
                    }
                }
            }
            now = next;
        }
        found
    };
    (walk(|step| (&step.model, &step.from)), walk(|step| (&step.from, &step.model)))
}

fn steps(entry: &ModelEntry) -> Vec<Relative> {
    let step = |relation, from: &Option<ModelId>| {
        from.clone().map(|from| Relative { model: entry.model.id.clone(), relation, from })
    };
    entry.provenance.as_ref().map_or_else(Vec::new, |it| {
        let steps =
            [step(Relation::BaseModel, &it.base_model), step(Relation::Previous, &it.previous)];
        steps.into_iter().flatten().collect()
    })
}

#[cfg(test)]
mod tests {
    use inference::{Protocol, fixtures};

    use super::*;
    use crate::{Origin, Provenance};

    fn entry(id: &str, base: Option<&str>, previous: Option<&str>) -> (ModelId, ModelEntry) {
        let named = |id: Option<&str>| id.map(|id| id.parse().unwrap());
        let provenance = Provenance {
            origin: Origin::FineTuned,
            base_model: named(base),
            previous: named(previous),
            version: None,
            source_arn: None,
            dataset: None,
            made_by: None,
            made_at: None,
        };
        let entry = ModelEntry {
            provenance: Some(provenance),
            ..ModelEntry::of(fixtures::model(id, Protocol::Converse))
        };
        (entry.model.id.clone(), entry)
    }

    #[test]
    fn it_is_followed_both_ways_and_in_circles_once() {
        let models = BTreeMap::from([
            entry("base", None, None),
            entry("v1", Some("base"), None),
            entry("v2", Some("base"), Some("v1")),
            entry("v3", Some("gone"), Some("v2")),
            entry("x", Some("y"), None),
            entry("y", Some("x"), None),
        ]);
        let text = |steps: Vec<Relative>| {
            steps.iter().map(|it| format!("{}<{}", it.model, it.from)).collect::<Vec<_>>()
        };
        let of = |id: &str| {
            let (before, after) = lineage(&models, &id.parse().unwrap());
            (text(before), text(after))
        };
        let (before, after) = of("v2");
        assert_eq!(before, ["v2<base", "v2<v1", "v1<base"]);
        assert_eq!(after, ["v3<v2"]);
        assert_eq!(of("base").1, ["v1<base", "v2<base", "v2<v1", "v3<v2"]);
        assert_eq!(of("x"), (vec!["x<y".into(), "y<x".into()], vec!["y<x".into(), "x<y".into()]));
    }
}

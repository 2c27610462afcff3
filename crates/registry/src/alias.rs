//! Names that stand for models: written as a whole, or pointed at another version of a model.

use administration::{InvalidField, strict};
use inference::{Alias, Step, Target};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tenancy::{ModelId, PrincipalId};

use crate::entry::sentence;
use crate::{Entry, Kind};

/// What GET shows beside the document, and may be sent back.
const SHOWN: [&str; 4] = ["object", "version", "changed_at", "changed_by"];

/// Shares are in percent.
pub const WHOLE: u32 = 100;

impl Entry for Alias {
    const KIND: Kind = Kind::Alias;

    fn id(&self) -> &ModelId {
        &self.name
    }

    fn names(&self) -> impl Iterator<Item = (&'static str, &ModelId)> {
        self.models().map(|model| ("steps", model))
    }

    fn read(
        mut body: Map<String, Value>,
        id: &ModelId,
        _before: Option<&Self>,
        _by: &PrincipalId,
        _now: Timestamp,
    ) -> Result<Self, InvalidField> {
        for name in SHOWN {
            body.remove(name);
        }
        if body.insert("name".to_owned(), json!(id)).is_some_and(|said| said != json!(id)) {
            return Err(InvalidField::new("name", "This is another name than the path's."));
        }
        let alias: Self = strict(body)?;
        checked(alias)
    }

    fn restored(&self, earlier: &Self, _by: &PrincipalId) -> Result<Self, InvalidField> {
        checked(earlier.clone())
    }
}

fn checked(alias: Alias) -> Result<Alias, InvalidField> {
    alias.validate().map_err(|error| InvalidField::new("steps", sentence(&error.problem)))?;
    Ok(alias)
}

/// The alias as it is when `model` is deployed under it: `share` percent of its calls meet the model, the
/// others the targets of its first step as before, in their proportions. With the [whole](WHOLE), `model`
/// is all of the first step. Later steps stay, without `model`.
///
/// # Errors
/// The share is none, or too fine for the weights that there are.
pub fn deployed(alias: &Alias, model: &ModelId, share: u32) -> Result<Alias, InvalidField> {
    let refuse = |message: &str| Err(InvalidField::new("share", message));
    if !(1..=WHOLE).contains(&share) {
        return refuse("This is in percent: 1 to 100.");
    }
    let mut alias = alias.clone();
    for step in &mut alias.steps {
        step.targets.retain(|target| target.model != *model);
    }
    let first = alias.steps.iter_mut().take(1).flat_map(|step| std::mem::take(&mut step.targets));
    let others: Vec<Target> = first.filter(|target| target.weight > 0 && share < WHOLE).collect();
    let all: u64 = others.iter().map(|target| u64::from(target.weight)).sum();
    // Whole numbers, as small as they can be.
    let mut weights = vec![if others.is_empty() { 1 } else { all * u64::from(share) }];
    weights.extend(others.iter().map(|it| u64::from(it.weight) * u64::from(WHOLE - share)));
    let divisor = weights.iter().copied().fold(0, gcd).max(1);
    let mut targets = Vec::new();
    let models = std::iter::once(model.clone()).chain(others.into_iter().map(|it| it.model));
    for (model, weight) in models.zip(weights) {
        let Ok(weight) = u32::try_from(weight / divisor) else {
            return refuse("The weights that there are do not leave room for this share.");
        };
        targets.push(Target { model, weight });
    }
    match alias.steps.first_mut() {
        Some(first) => first.targets = targets,
        None => alias.steps.push(Step { targets }),
    }
    // A step of nothing but the model is no step any more.
    alias.steps.retain(|step| !step.targets.is_empty());
    checked(alias)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn alias(steps: &Value) -> Alias {
        serde_json::from_value(json!({"name": "smart", "steps": steps})).unwrap()
    }

    fn steps(alias: &Alias) -> Vec<Vec<(&str, u32)>> {
        alias
            .steps
            .iter()
            .map(|step| step.targets.iter().map(|it| (it.model.as_str(), it.weight)).collect())
            .collect()
    }

    fn deploy(alias: &Alias, model: &str, share: u32) -> Result<Alias, InvalidField> {
        deployed(alias, &model.parse().unwrap(), share)
    }

    #[test]
    fn a_new_version_takes_over_by_and_by() {
        let before = alias(&json!([
            {"targets": [{"model": "tuned-1", "weight": 3}, {"model": "nova", "weight": 1}]},
            {"targets": [{"model": "tuned-2"}]},
            {"targets": [{"model": "lite"}]},
        ]));
        let canary = deploy(&before, "tuned-2", 20).unwrap();
        assert_eq!(
            steps(&canary),
            [vec![("tuned-2", 1), ("tuned-1", 3), ("nova", 1)], vec![("lite", 1)]]
        );
        // Its share is of the others again, not of what it had.
        let half = deploy(&canary, "tuned-2", 50).unwrap();
        assert_eq!(steps(&half)[0], [("tuned-2", 4), ("tuned-1", 3), ("nova", 1)]);
        let whole = deploy(&half, "tuned-2", WHOLE).unwrap();
        assert_eq!(steps(&whole), [vec![("tuned-2", 1)], vec![("lite", 1)]]);
        assert_eq!(steps(&deploy(&whole, "tuned-2", 10).unwrap())[0], [("tuned-2", 1)]);
        for share in [0, 101] {
            assert_eq!(deploy(&before, "tuned-2", share).unwrap_err().field, "share");
        }
        let heavy = json!([{"targets": [{"model": "a", "weight": u32::MAX}, {"model": "b"}]}]);
        assert_eq!(deploy(&alias(&heavy), "c", 37).unwrap_err().field, "share");
    }

    #[test]
    fn what_get_shows_can_be_sent_back() {
        let (id, by) = ("smart".parse().unwrap(), "ada".to_owned().try_into().unwrap());
        let read = |body: Value| {
            let body = body.as_object().unwrap().clone();
            Alias::read(body, &id, None, &by, Timestamp::UNIX_EPOCH)
        };
        let good = alias(&json!([{"targets": [{"model": "nova"}]}]));
        let mut shown = json!(good);
        shown["object"] = json!("alias");
        shown["version"] = json!(3);
        assert_eq!(read(shown).unwrap(), good);
        for (body, field) in [
            (json!({"name": "other", "steps": [{"targets": [{"model": "nova"}]}]}), "name"),
            (json!({}), "steps"),
            (json!({"steps": []}), "steps"),
            (json!({"steps": [{"targets": [{"model": "nova"}], "weight": 1}]}), "steps[0].weight"),
            (json!({"steps": [{"targets": [{"model": "nova", "weight": 0}]}]}), "steps"),
        ] {
            assert_eq!(read(body.clone()).unwrap_err().field, field, "{body}");
        }
    }

    proptest! {
        /// However often something is deployed: the alias is one, its shares are those that were asked for.
        #[test]
        fn shares_are_exact(deployments in prop::collection::vec((0..4_usize, 1..=WHOLE), 1..6)) {
            let mut now = alias(&json!([
                {"targets": [{"model": "m0", "weight": 7}, {"model": "m1", "weight": 5}]},
                {"targets": [{"model": "m2"}, {"model": "m3", "weight": 0}]},
            ]));
            for (model, share) in deployments {
                let model = format!("m{model}");
                let Ok(next) = deploy(&now, &model, share) else { continue };
                prop_assert_eq!(next.validate(), Ok(()));
                let first = steps(&next)[0].clone();
                let all: u64 = first.iter().map(|(_, weight)| u64::from(*weight)).sum();
                let own = first.iter().find(|(name, _)| *name == model).map_or(0, |it| it.1);
                let is_alone = first.len() == 1;
                prop_assert!(is_alone || u64::from(own) * 100 == all * u64::from(share));
                now = next;
            }
        }
    }
}

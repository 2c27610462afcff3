//! Where a model is in its life, and what answers in its place afterwards. Decided from the clock at each
//! call: no job has to run for a model to end on its day.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tenancy::ModelId;

use crate::{Alias, Catalog, Model, Step, Target};

/// Where a model is in its life, as its administrators say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Registered, and called by nobody yet.
    Draft,
    /// Called by tenants that have it on their list.
    #[default]
    Approved,
    /// Still called; to be left.
    Deprecated,
    /// Called by nobody any more.
    Retired,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Self; 4] = [Self::Draft, Self::Approved, Self::Deprecated, Self::Retired];

    /// The name used in documents and queries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Approved => "approved",
            Self::Deprecated => "deprecated",
            Self::Retired => "retired",
        }
    }

    /// Whether a model in this stage is called.
    pub fn is_callable(self) -> bool {
        matches!(self, Self::Approved | Self::Deprecated)
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
    pub(crate) fn is_approved(&self) -> bool {
        *self == Self::Approved
    }
}

/// When a model ends, and what follows. Days begin at midnight, UTC.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EndOfLife {
    /// The day from which on it is deprecated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated_on: Option<Date>,
    /// The day from which on nobody calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retires_on: Option<Date>,
    /// The model that answers in its place, for who may call that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<ModelId>,
    /// What its users should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// When a day begins, in Unix milliseconds. A day beyond all time never does.
fn begins_ms(day: Date) -> i64 {
    let midnight = TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0));
    midnight.map_or(i64::MAX, Timestamp::as_millisecond)
}

impl Model {
    /// Where it is in its life at `now_ms` (Unix milliseconds): what its stage says, or its dates if they
    /// are further on.
    pub fn stage_at(&self, now_ms: i64) -> Stage {
        let has_come = |day: Option<Date>| day.is_some_and(|day| begins_ms(day) <= now_ms);
        let (deprecated_on, retires_on) = self
            .end_of_life
            .as_ref()
            .map_or((None, None), |end| (end.deprecated_on, end.retires_on));
        match self.stage {
            Stage::Draft => Stage::Draft,
            Stage::Retired => Stage::Retired,
            Stage::Approved | Stage::Deprecated if has_come(retires_on) => Stage::Retired,
            Stage::Approved if has_come(deprecated_on) => Stage::Deprecated,
            stage => stage,
        }
    }

    /// Whether it is called at `now_ms`.
    pub fn is_callable_at(&self, now_ms: i64) -> bool {
        self.stage_at(now_ms).is_callable()
    }

    /// The model that answers in its place when it is retired.
    pub fn successor(&self) -> Option<&ModelId> {
        self.end_of_life.as_ref()?.successor.as_ref()
    }

    /// Whole days until it retires; none if no day is set, or it has come.
    pub fn days_until_retired(&self, now: Timestamp) -> Option<i64> {
        let day = self.end_of_life.as_ref()?.retires_on?;
        let left_ms = begins_ms(day).checked_sub(now.as_millisecond())?;
        (left_ms > 0 && self.stage != Stage::Retired).then(|| left_ms.div_euclid(86_400_000))
    }
}

impl Catalog {
    /// What answers at `now_ms` where `id` is named: itself, unless it is retired and a model that follows
    /// it is called. None if no such model is called.
    pub fn in_place_of(&self, id: &ModelId, now_ms: i64) -> Option<&Arc<Model>> {
        let mut seen = BTreeSet::new();
        let mut model = self.models.get(id)?;
        loop {
            match model.stage_at(now_ms) {
                Stage::Approved | Stage::Deprecated => return Some(model),
                Stage::Draft => return None,
                Stage::Retired => {
                    // Who follows each other in a circle is followed by nobody.
                    if !seen.insert(&model.id) {
                        return None;
                    }
                    model = self.models.get(model.successor()?)?;
                }
            }
        }
    }
}

impl Alias {
    /// The alias as it is meant at `now_ms`: a retired target is what follows it. What has no successor
    /// stays, and is passed over like every model that is not there.
    ///
    /// A successor takes over its predecessor's share, beside its own if it has one in that step. One that
    /// stands in an earlier step already has its place there.
    pub fn at(&self, catalog: &Catalog, now_ms: i64) -> Cow<'_, Self> {
        let is_meant = |id: &ModelId| catalog.in_place_of(id, now_ms).is_none_or(|it| it.id == *id);
        if self.models().all(is_meant) {
            return Cow::Borrowed(self);
        }
        let mut seen: BTreeSet<ModelId> = BTreeSet::new();
        let mut steps = Vec::new();
        for step in &self.steps {
            let mut targets: Vec<Target> = Vec::new();
            for old in &step.targets {
                let model = catalog.in_place_of(&old.model, now_ms);
                let model = model.map_or(&old.model, |model| &model.id).clone();
                if let Some(known) = targets.iter_mut().find(|it| it.model == model) {
                    known.weight = known.weight.saturating_add(old.weight);
                } else if !seen.contains(&model) {
                    targets.push(Target { model, weight: old.weight });
                }
            }
            seen.extend(targets.iter().map(|it| it.model.clone()));
            if !targets.is_empty() {
                steps.push(Step { targets });
            }
        }
        Cow::Owned(Self { steps, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fixtures;

    /// 2026-11-23T12:00:00Z
    const NOW_MS: i64 = 1_795_435_200_000;
    const DAY_MS: i64 = 86_400_000;

    fn model(id: &str, stage: Stage, retires_on: Option<&str>, successor: Option<&str>) -> Model {
        Model {
            id: id.parse().unwrap(),
            stage,
            end_of_life: Some(EndOfLife {
                deprecated_on: None,
                retires_on: retires_on.map(|day| day.parse().unwrap()),
                successor: successor.map(|id| id.parse().unwrap()),
                note: None,
            }),
            ..fixtures::model(id, crate::Protocol::Converse)
        }
    }

    fn catalog(models: Vec<Model>) -> Catalog {
        let models = models.into_iter().map(|model| (model.id.clone(), Arc::new(model))).collect();
        Catalog { models, ..Catalog::default() }
    }

    fn alias(steps: &[&[(&str, u32)]]) -> Alias {
        let target =
            |(id, weight): &(&str, u32)| Target { model: id.parse().unwrap(), weight: *weight };
        let steps =
            steps.iter().map(|step| Step { targets: step.iter().map(target).collect() }).collect();
        Alias {
            name: "smart".parse().unwrap(),
            steps,
            retry: crate::RetryPolicy::default(),
            has_affinity: false,
        }
    }

    #[test]
    fn an_entry_from_before_there_were_stages_is_approved() {
        let mut value =
            serde_json::to_value(fixtures::model("new", crate::Protocol::Converse)).unwrap();
        assert!(value.get("stage").is_none() && value.get("end_of_life").is_none());
        value["id"] = "old".into();
        let model: Model = serde_json::from_value(value).unwrap();
        assert_eq!((model.stage, model.stage_at(NOW_MS)), (Stage::Approved, Stage::Approved));
    }

    #[test]
    fn dates_decide_at_midnight() {
        let ends = model("a", Stage::Approved, Some("2026-11-24"), None);
        let midnight = NOW_MS + DAY_MS / 2;
        assert_eq!(ends.stage_at(midnight - 1), Stage::Approved);
        assert_eq!(ends.stage_at(midnight), Stage::Retired);
        let days = |ms| ends.days_until_retired(Timestamp::from_millisecond(ms).unwrap());
        assert_eq!((days(NOW_MS), days(NOW_MS - DAY_MS), days(midnight)), (Some(0), Some(1), None));
        let mut leaves = model("a", Stage::Approved, None, None);
        leaves.end_of_life.as_mut().unwrap().deprecated_on = Some("2026-11-24".parse().unwrap());
        assert_eq!(leaves.stage_at(midnight), Stage::Deprecated);
        let draft = model("a", Stage::Draft, Some("2020-01-01"), None);
        assert_eq!(draft.stage_at(NOW_MS), Stage::Draft, "what was never called does not end");
        let retired = model("a", Stage::Retired, Some("2030-01-01"), None);
        assert_eq!(retired.stage_at(NOW_MS), Stage::Retired);
    }

    #[test]
    fn a_successor_takes_over_from_the_day_on() {
        let catalog = catalog(vec![
            model("a", Stage::Approved, Some("2026-11-24"), Some("b")),
            model("b", Stage::Approved, None, None),
            model("c", Stage::Retired, None, Some("d")),
            model("d", Stage::Draft, None, None),
        ]);
        let alias = alias(&[&[("a", 90), ("b", 10)], &[("c", 1), ("b2", 1)]]);
        assert!(matches!(alias.at(&catalog, NOW_MS), Cow::Borrowed(_)));
        let switched = alias.at(&catalog, NOW_MS + DAY_MS).into_owned();
        let first: Vec<_> =
            switched.steps[0].targets.iter().map(|it| (it.model.as_str(), it.weight)).collect();
        assert_eq!(first, [("b", 100)]);
        let second: Vec<_> = switched.steps[1].targets.iter().map(|it| it.model.as_str()).collect();
        assert_eq!(second, ["c", "b2"], "a draft follows nobody");
    }

    proptest! {
        /// Whatever follows what, by date or by stage: an alias means models that are called wherever there
        /// is one, means it once, keeps its rules, and means the same when it is asked again.
        #[test]
        fn an_alias_switches_to_what_is_called(
            models in prop::collection::vec((0..4_usize, 0..6_usize, 0..4_i64), 6),
            steps in prop::collection::vec(prop::collection::btree_map(0..6_usize, 1..5_u32, 1..4), 1..4),
            after_days in 0..4_i64,
        ) {
            let name = |index: usize| format!("m{index}");
            let now_ms = NOW_MS + after_days * DAY_MS;
            let models = models.iter().enumerate().map(|(index, (stage, successor, day))| {
                let day = format!("2026-11-{}", 22 + day);
                model(&name(index), Stage::ALL[*stage], Some(&day), Some(&name(*successor)))
            });
            let catalog = catalog(models.collect());
            let mut seen = BTreeSet::new();
            let mut own = Vec::new();
            for step in &steps {
                let step: Vec<_> = step.iter().filter(|(index, _)| seen.insert(**index)).collect();
                if !step.is_empty() {
                    own.push(Step {
                        targets: step
                            .into_iter()
                            .map(|(index, weight)| Target { model: name(*index).parse().unwrap(), weight: *weight })
                            .collect(),
                    });
                }
            }
            let alias = Alias { steps: own, ..alias(&[]) };
            prop_assert!(alias.validate().is_ok());
            let meant = alias.at(&catalog, now_ms).into_owned();
            prop_assert!(meant.validate().is_ok());
            for id in meant.models() {
                prop_assert!(
                    catalog.models[id].is_callable_at(now_ms) || catalog.in_place_of(id, now_ms).is_none()
                );
            }
            let reached: BTreeSet<_> =
                alias.models().filter_map(|id| catalog.in_place_of(id, now_ms)).map(|it| &it.id).collect();
            prop_assert!(reached.iter().all(|id| meant.models().any(|it| it == *id)));
            prop_assert_eq!(meant.at(&catalog, now_ms).into_owned(), meant.clone());
        }
    }
}

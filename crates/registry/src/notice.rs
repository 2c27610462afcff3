//! What tenants are told of the end of a model they may call.

use events::Event;
use inference::{Alias, Model, Stage};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tenancy::{LobId, ModelId, TenantId};

/// Days before a model's last one at which its tenants are told of it again, the last of them first.
const LEAD_DAYS: [i64; 4] = [1, 7, 30, 90];

/// What there is to tell of the end of a model. Told once, and again as soon as it says something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Where the model is in its life.
    pub stage: Stage,
    /// The day from which on nobody calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retires_on: Option<Date>,
    /// What answers in its place then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<ModelId>,
    /// How many days are left at most: the next of [`LEAD_DAYS`]; none if there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_days: Option<i64>,
}

/// A tenant that may call the model.
#[derive(Debug, Clone, Copy)]
pub struct Affected<'a> {
    /// Which.
    pub tenant_id: &'a TenantId,
    /// Its line of business.
    pub lob_id: &'a LobId,
    /// Whether it may call the successor as well; if not, nothing answers in the model's place.
    pub may_call_successor: bool,
}

impl Notice {
    /// What there is to tell of `model` at `now`; nothing of one that has no end in sight, or never began.
    pub fn due(model: &Model, now: Timestamp) -> Option<Self> {
        let stage = model.stage_at(now.as_millisecond());
        let retires_on = model.end_of_life.as_ref().and_then(|end| end.retires_on);
        let is_ending = match stage {
            Stage::Draft => false,
            Stage::Approved => retires_on.is_some(),
            Stage::Deprecated | Stage::Retired => true,
        };
        let left = model.days_until_retired(now);
        let within_days = left.and_then(|left| LEAD_DAYS.into_iter().find(|days| left < *days));
        let successor = model.successor().cloned();
        is_ending.then_some(Self { stage, retires_on, successor, within_days })
    }

    /// The kind of its events.
    fn kind(&self) -> &'static str {
        match (self.stage, self.retires_on) {
            (Stage::Retired, _) => "ModelRetired",
            (_, Some(_)) => "ModelRetiring",
            (_, None) => "ModelDeprecated",
        }
    }

    /// The event that tells `affected` of it. The same notice of the same model has the same id for a tenant.
    pub fn event(
        &self,
        model: &Model,
        aliases: &[Alias],
        affected: Affected<'_>,
        now: Timestamp,
    ) -> Event {
        let day = |day: Option<Date>| day.map_or_else(|| "-".to_owned(), |day| day.to_string());
        let successor = self.successor.as_ref().map_or("-", ModelId::as_str);
        let within = self.within_days.map_or_else(|| "-".to_owned(), |days| days.to_string());
        let end = model.end_of_life.as_ref();
        let named = |alias: &&Alias| alias.models().any(|it| *it == model.id);
        let aliases: Vec<_> = aliases.iter().filter(named).map(|alias| &alias.name).collect();
        Event {
            id: format!(
                "{}/{}/{}/{}/{successor}/{within}",
                affected.tenant_id,
                model.id,
                self.stage.as_str(),
                day(self.retires_on),
            ),
            kind: self.kind(),
            time_ms: now.as_millisecond(),
            detail: json!({
                "tenant_id": affected.tenant_id,
                "lob_id": affected.lob_id,
                "model": model.id,
                "stage": self.stage.as_str(),
                "deprecated_on": end.and_then(|end| end.deprecated_on),
                "retires_on": self.retires_on,
                "days_left": model.days_until_retired(now),
                "successor": self.successor,
                "may_call_successor": affected.may_call_successor,
                "aliases": aliases,
                "note": end.and_then(|end| end.note.as_ref()),
            }),
        }
    }
}

/// What has been told of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What.
    pub notice: Notice,
    /// Up to which tenant, in the order of lines of business; none if nobody was yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<(LobId, Option<TenantId>)>,
    /// Whether everybody was.
    pub is_complete: bool,
}

impl Told {
    /// Where to go on with `notice`; none if everybody was told.
    pub fn rest(before: Option<&Self>, notice: &Notice) -> Option<Self> {
        match before.filter(|before| before.notice == *notice) {
            Some(before) if before.is_complete => None,
            Some(before) => Some(before.clone()),
            None => Some(Self { notice: notice.clone(), up_to: None, is_complete: false }),
        }
    }
}

#[cfg(test)]
mod tests {
    use inference::{EndOfLife, Protocol, fixtures};

    use super::*;

    fn ends(stage: Stage, deprecated_on: Option<&str>, retires_on: Option<&str>) -> Model {
        let day = |text: &str| text.parse().unwrap();
        let mut model = fixtures::model("old", Protocol::Converse);
        model.stage = stage;
        model.end_of_life = Some(EndOfLife {
            deprecated_on: deprecated_on.map(day),
            retires_on: retires_on.map(day),
            successor: Some("new".parse().unwrap()),
            note: None,
        });
        model
    }

    /// What is told on each day from 2026-01-01 on, as `day kind within`, where it changes.
    fn told(model: &Model, days: i64) -> Vec<String> {
        let begin: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let mut last = None;
        let mut told = Vec::new();
        for day in 0..days {
            let now = begin + jiff::SignedDuration::from_hours(24 * day);
            let due = Notice::due(model, now);
            if due != last {
                told.push(due.as_ref().map_or_else(
                    || format!("{day} nothing"),
                    |it| format!("{day} {} {:?}", it.kind(), it.within_days),
                ));
            }
            last = due;
        }
        told
    }

    #[test]
    fn an_end_is_told_when_it_is_set_and_as_it_comes_near() {
        // Day 120 of the year is 2026-05-01.
        let model = ends(Stage::Approved, Some("2026-03-01"), Some("2026-05-01"));
        let expected = [
            "0 ModelRetiring None",
            "30 ModelRetiring Some(90)",
            // It becomes deprecated.
            "59 ModelRetiring Some(90)",
            "90 ModelRetiring Some(30)",
            "113 ModelRetiring Some(7)",
            "119 ModelRetiring Some(1)",
            "120 ModelRetired None",
        ];
        assert_eq!(told(&model, 200), expected);
    }

    #[test]
    fn what_has_no_end_in_sight_or_never_began_is_no_news() {
        assert_eq!(told(&ends(Stage::Approved, None, None), 3), [""; 0]);
        assert_eq!(told(&ends(Stage::Draft, None, Some("2026-01-02")), 3), [""; 0]);
        assert_eq!(told(&ends(Stage::Deprecated, None, None), 3), ["0 ModelDeprecated None"]);
        assert_eq!(told(&ends(Stage::Retired, None, None), 3), ["0 ModelRetired None"]);
    }

    #[test]
    fn what_is_told_says_what_happens_to_whom() {
        let mut model = ends(Stage::Deprecated, None, Some("2026-01-09"));
        model.end_of_life.as_mut().unwrap().note = Some("Move on.".to_owned());
        let now = "2026-01-01T12:00:00Z".parse().unwrap();
        let notice = Notice::due(&model, now).unwrap();
        let (acme, retail) = ("acme".parse().unwrap(), "retail".parse().unwrap());
        let affected = Affected { tenant_id: &acme, lob_id: &retail, may_call_successor: true };
        let alias = |name: &str, of: &str| -> Alias {
            serde_json::from_value(json!({"name": name, "steps": [{"targets": [{"model": of}]}]}))
                .unwrap()
        };
        let aliases = [alias("smart", "old"), alias("fast", "new")];
        let event = notice.event(&model, &aliases, affected, now);
        assert_eq!(
            (event.id.as_str(), event.kind),
            ("acme/old/deprecated/2026-01-09/new/30", "ModelRetiring")
        );
        assert_eq!(
            event.detail,
            json!({
                "tenant_id": "acme", "lob_id": "retail", "model": "old", "stage": "deprecated",
                "deprecated_on": null, "retires_on": "2026-01-09", "days_left": 7, "successor": "new",
                "may_call_successor": true, "aliases": ["smart"], "note": "Move on.",
            })
        );
        // Another successor is news.
        model.end_of_life.as_mut().unwrap().successor = None;
        let other = Notice::due(&model, now).unwrap();
        assert_ne!(other.event(&model, &[], affected, now).id, event.id);
        assert_ne!(other, notice);
    }
}

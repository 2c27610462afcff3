//! A model's entry as a document: what the hot path reads, and what only administrators need.

use administration::{InvalidField, strict};
use inference::{Model, Stage};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tenancy::{ModelId, PrincipalId};

use crate::{Approval, Entry, Kind};

/// Bytes of an entry: every instance reads all of them at once.
const MAX_BYTES: usize = 16 * 1024;
/// Characters of each text of a provenance.
const MAX_TEXT: usize = 2_048;

/// A registered model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelEntry {
    /// What the hot path reads.
    #[serde(flatten)]
    pub model: Model,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// Who wrote what it says; nobody if it was seeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_by: Option<PrincipalId>,
    /// Who let it be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
}

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// How it was made.
    pub origin: Origin,
    /// The registered model that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_model: Option<ModelId>,
    /// The registered model that it is a later version of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<ModelId>,
    /// What its makers call this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The training job, import job or model package: its ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_arn: Option<String>,
    /// What it was trained with: a reference, never the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_by: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_at: Option<Timestamp>,
}

/// How a model was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// By its vendor.
    Foundation,
    /// From another one, with data of one's own.
    FineTuned,
    /// Elsewhere, and brought here.
    Imported,
    /// From the beginning, by oneself.
    Trained,
}

/// What a document says beside the model.
#[derive(Deserialize)]
struct Beside {
    #[serde(default)]
    provenance: Option<Provenance>,
}

/// What GET shows beside the document, and may be sent back.
const SHOWN: [&str; 7] =
    ["object", "version", "changed_at", "changed_by", "written_by", "approval", "lineage"];

impl ModelEntry {
    /// The entry of a model about which nothing else is known.
    pub fn of(model: Model) -> Self {
        Self { model, provenance: None, written_by: None, approval: None }
    }

    /// Checks all that can be said of it alone, with the hot path's own rules.
    fn check(&self) -> Result<(), InvalidField> {
        self.model.validate().map_err(|error| InvalidField::new("", sentence(&error.problem)))?;
        let refuse = |field: &str, message: String| Err(InvalidField::new(field, message));
        if serde_json::to_vec(self).map_or(usize::MAX, |bytes| bytes.len()) > MAX_BYTES {
            return refuse("", format!("An entry has {} KB at most.", MAX_BYTES / 1024));
        }
        if let Some(provenance) = &self.provenance {
            let texts = [
                ("provenance.version", &provenance.version),
                ("provenance.source_arn", &provenance.source_arn),
                ("provenance.dataset", &provenance.dataset),
                ("provenance.made_by", &provenance.made_by),
            ];
            for (field, text) in texts {
                let text = text.as_deref().unwrap_or("-");
                let is_plain = !text.is_empty() && !text.chars().any(char::is_control);
                if !is_plain || text.chars().count() > MAX_TEXT {
                    let rule = "A text of 1 to 2048 characters without control characters.";
                    return refuse(field, rule.to_owned());
                }
            }
            if provenance.source_arn.as_deref().is_some_and(|arn| !arn.starts_with("arn:")) {
                return refuse("provenance.source_arn", "This is an ARN.".to_owned());
            }
            if self.names().any(|(_, id)| *id == self.model.id) {
                let message = "A model is not made from itself: name another one, or none.";
                return refuse("provenance", message.to_owned());
            }
        }
        Ok(())
    }
}

impl Entry for ModelEntry {
    const KIND: Kind = Kind::Model;

    fn id(&self) -> &ModelId {
        &self.model.id
    }

    fn names(&self) -> impl Iterator<Item = (&'static str, &ModelId)> {
        let provenance = self.provenance.as_ref();
        [
            ("end_of_life.successor", self.model.successor()),
            ("provenance.base_model", provenance.and_then(|it| it.base_model.as_ref())),
            ("provenance.previous", provenance.and_then(|it| it.previous.as_ref())),
        ]
        .into_iter()
        .filter_map(|(field, id)| Some((field, id?)))
    }

    /// It stays in the stage in which `before` is, and a new one is a draft: [`moved`](crate::moved) brings
    /// it further.
    fn read(
        mut body: Map<String, Value>,
        id: &ModelId,
        before: Option<&Self>,
        by: &PrincipalId,
        now: Timestamp,
    ) -> Result<Self, InvalidField> {
        for name in SHOWN {
            body.remove(name);
        }
        let stage = before.map_or(Stage::Draft, |before| before.model.stage);
        let fixed = [
            ("id", json!(id), "This is another id than the path's."),
            ("stage", json!(stage), "This is not set here: POST ../stage does it."),
        ];
        for (name, value, message) in fixed {
            if body.remove(name).is_some_and(|said| said != value) {
                return Err(InvalidField::new(name, message));
            }
            body.insert(name.to_owned(), value);
        }
        let created = before.map_or(now.as_second(), |before| before.model.created);
        body.entry("created").or_insert(json!(created));
        body.entry("capabilities").or_insert(json!({}));
        let beside = body.remove("provenance").map(|value| ("provenance".to_owned(), value));
        let format = body.get("body").and_then(Value::as_object).cloned();
        let Beside { provenance } = strict(beside.into_iter().collect())?;
        let model: Model = strict(body)?;
        // What is tagged is read from a copy, in which nobody tells of unknown fields.
        let read = json!(model.body);
        let unknown =
            format.iter().flat_map(Map::keys).find(|name| read.get(name.as_str()).is_none());
        if let Some(name) = unknown {
            let field = format!("body.{}", name.chars().take(64).collect::<String>());
            let message = format!("There is no field `{field}` here.");
            return Err(InvalidField::new(field, message));
        }
        written(ModelEntry { provenance, ..ModelEntry::of(model) }, before, by)
    }

    /// It stays in the stage in which `self` is.
    fn restored(&self, earlier: &Self, by: &PrincipalId) -> Result<Self, InvalidField> {
        let mut entry = earlier.clone();
        entry.model.stage = self.model.stage;
        written(entry, Some(self), by)
    }

    fn says(&self, other: &Self) -> bool {
        let written_by = self.written_by.clone();
        *self == Self { written_by, ..other.clone() }
    }
}

/// `entry` as `by` writes it in place of `before`.
pub(crate) fn written(
    mut entry: ModelEntry,
    before: Option<&ModelEntry>,
    by: &PrincipalId,
) -> Result<ModelEntry, InvalidField> {
    entry.written_by = Some(by.clone());
    entry.approval = before.and_then(|before| before.approval.clone());
    entry.check()?;
    // What was approved is that model, and no other one under its name.
    if let Some(before) = before.filter(|before| before.model.stage != Stage::Draft) {
        let (old, new) = (&before.model, &entry.model);
        for (field, is_same) in [
            ("provider", old.provider == new.provider),
            ("provider_model_id", old.provider_model_id == new.provider_model_id),
        ] {
            if !is_same {
                let message = "This stays as it is once a model is no draft any more: register another one, and name it as the successor.";
                return Err(InvalidField::new(field, message));
            }
        }
    }
    Ok(entry)
}

/// A problem as a sentence.
pub(crate) fn sentence(problem: &str) -> String {
    format!("{}.", problem.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moved;

    fn body() -> Map<String, Value> {
        let body = json!({
            "provider_model_id": "us.vendor.tuned-v1:0", "protocols": ["converse"], "owned_by": "acme",
            "context_window": 8192, "max_output_tokens": 1024, "default_max_tokens": 256,
            "capabilities": {"tools": true},
            "provenance": {"origin": "fine_tuned", "base_model": "nova-pro", "dataset": "s3://data/set-7"},
        });
        body.as_object().unwrap().clone()
    }

    fn read_over(
        before: Option<&ModelEntry>,
        body: Map<String, Value>,
        by: &str,
    ) -> Result<ModelEntry, InvalidField> {
        let by = by.to_owned().try_into().unwrap();
        ModelEntry::read(body, &"tuned".parse().unwrap(), before, &by, Timestamp::UNIX_EPOCH)
    }

    fn read(body: Map<String, Value>) -> Result<ModelEntry, InvalidField> {
        read_over(None, body, "ada")
    }

    fn with(field: &str, value: Value) -> Map<String, Value> {
        let mut body = body();
        body.insert(field.to_owned(), value);
        body
    }

    #[test]
    fn what_get_shows_can_be_sent_back() {
        let entry = read(body()).unwrap();
        assert_eq!((entry.model.stage, entry.model.created), (Stage::Draft, 0));
        let mut shown = json!(entry).as_object().unwrap().clone();
        shown.extend(json!({"object": "model", "version": 3}).as_object().unwrap().clone());
        assert_eq!(read(shown), Ok(entry));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (field, value, wrong) in [
            ("stage", json!("approved"), "stage"),
            ("id", json!("other"), "id"),
            ("protocol", json!("converse"), "protocol"),
            ("protocols", json!([]), ""),
            ("protocols", json!(["smoke"]), "protocols[0]"),
            ("capabilities", json!({"flight": true}), "capabilities.flight"),
            ("context_window", json!(0), ""),
            ("body", json!({"format": "native", "max_token": "/x"}), "body.max_token"),
            ("provenance", json!({"origin": "found"}), "provenance.origin"),
            ("provenance", json!({"origin": "trained", "from": "x"}), "provenance.from"),
            ("provenance", json!({"origin": "trained", "previous": "tuned"}), "provenance"),
            (
                "provenance",
                json!({"origin": "trained", "source_arn": "job"}),
                "provenance.source_arn",
            ),
            ("provenance", json!({"origin": "trained", "dataset": "a\nb"}), "provenance.dataset"),
            ("end_of_life", json!({"retires_on": "soon"}), "end_of_life.retires_on"),
            ("end_of_life", json!({"successor": "tuned"}), ""),
            ("drop_fields", json!(vec!["x".repeat(100); 200]), ""),
        ] {
            let error = read(with(field, value.clone())).expect_err(&format!("{field} {value}"));
            assert_eq!(error.field, wrong, "{field} {value}: {}", error.message);
            assert!(error.message.ends_with('.'), "{}", error.message);
        }
    }

    #[test]
    fn what_it_names_is_registered() {
        let mut entry = read(with("end_of_life", json!({"successor": "tuned-2"}))).unwrap();
        let registered = |ids: &[&str]| ids.iter().map(|id| id.parse().unwrap()).collect();
        let missing = |ids: &[&str]| entry.check_names(&registered(ids)).unwrap_err().field;
        assert_eq!(missing(&["nova-pro"]), "end_of_life.successor");
        assert_eq!(missing(&["tuned-2"]), "provenance.base_model");
        assert_eq!(entry.check_names(&registered(&["tuned-2", "nova-pro"])), Ok(()));
        entry.provenance.as_mut().unwrap().previous = Some("tuned-0".parse().unwrap());
        let error = entry.check_names(&registered(&["tuned-2", "nova-pro"])).unwrap_err();
        assert_eq!(error.field, "provenance.previous");
    }

    #[test]
    fn what_was_approved_stays_that_model() {
        let draft = read(body()).unwrap();
        let other = with("provider_model_id", json!("us.vendor.other-v1:0"));
        // A draft may become anything: nobody calls it.
        let changed = read_over(Some(&draft), other.clone(), "bob").unwrap();
        assert_eq!(changed.written_by, Some("bob".to_owned().try_into().unwrap()));
        let by = "bob".to_owned().try_into().unwrap();
        let mut entry = moved(&draft, Stage::Approved, &by, Timestamp::UNIX_EPOCH).unwrap();
        for stage in [Stage::Approved, Stage::Deprecated, Stage::Retired] {
            entry.model.stage = stage;
            let error = read_over(Some(&entry), other.clone(), "eve").expect_err("another model");
            assert_eq!(error.field, "provider_model_id");
            let elsewhere = with("provider", json!("sagemaker"));
            assert_eq!(read_over(Some(&entry), elsewhere, "eve").unwrap_err().field, "provider");
            assert_eq!(entry.restored(&changed, &by).unwrap_err().field, "provider_model_id");
            // Anything else may change, and what was decided on it stays.
            let body = with("context_window", json!(4096));
            let smaller = read_over(Some(&entry), body, "eve").unwrap();
            assert_eq!((smaller.model.stage, &smaller.approval), (stage, &entry.approval));
        }
    }

    #[test]
    fn what_is_restored_says_what_it_said_in_the_stage_that_it_is_in() {
        let by = "bob".to_owned().try_into().unwrap();
        let draft = read(body()).unwrap();
        let approved = moved(&draft, Stage::Approved, &by, Timestamp::UNIX_EPOCH).unwrap();
        let smaller = read_over(Some(&approved), with("context_window", json!(4096)), "eve");
        let back = smaller.unwrap().restored(&draft, &by).unwrap();
        assert_eq!(back, ModelEntry { written_by: Some(by), ..approved });
    }
}

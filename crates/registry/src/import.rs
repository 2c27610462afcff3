//! Foundation models as Bedrock lists them, and what becomes of them in the registry.

use std::collections::BTreeSet;
use std::error::Error;
use std::future::Future;

use inference::{BodyFormat, Capabilities, EndOfLife, Model, Protocol, ProviderConfig, Stage};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;
use tenancy::{ModelId, PrincipalId};

use crate::entry::written;
use crate::{ModelEntry, Origin, Provenance, Versioned};

/// Tokens of a draft: Bedrock does not say what a model takes, and this little each does.
const CONTEXT_WINDOW: u32 = 8_192;
const MAX_OUTPUT_TOKENS: u32 = 2_048;
const DEFAULT_MAX_TOKENS: u32 = 1_024;

/// What a model reads or makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Modality {
    /// Text.
    Text,
    /// Pictures.
    Image,
    /// Vectors.
    Embedding,
}

/// A model as Bedrock lists it.
///
/// <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_FoundationModelSummary.html>
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundationModel {
    /// Bedrock's id of it.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// Who made it.
    pub vendor: String,
    /// What it reads.
    pub inputs: BTreeSet<Modality>,
    /// What it makes.
    pub outputs: BTreeSet<Modality>,
    /// The id by which it is called on demand: its own, or an inference profile's. None if it needs
    /// throughput that was bought before.
    pub called_by: Option<String>,
    /// When it was launched.
    pub launched_at: Option<Timestamp>,
    /// Whether Bedrock calls it legacy.
    pub is_legacy: bool,
    /// When it becomes legacy.
    pub legacy_at: Option<Timestamp>,
    /// When it is not there any more.
    pub ends_at: Option<Timestamp>,
}

/// The list could not be read.
#[derive(Debug, thiserror::Error)]
#[error("Bedrock's models could not be listed")]
pub struct ListError {
    /// Why.
    #[from]
    pub source: Box<dyn Error + Send + Sync>,
}

/// Lists the models that the stack's account can reach.
pub trait ModelList: Send + Sync {
    /// All of them in the stack's Region.
    fn foundation_models(
        &self,
    ) -> impl Future<Output = Result<Vec<FoundationModel>, ListError>> + Send;
}

/// A model of the list that is not registered, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// Bedrock's id of it.
    pub model: String,
    /// Why.
    pub reason: &'static str,
}

/// What an import makes of a list.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Import {
    /// Models that are new, as drafts.
    pub new: Vec<ModelEntry>,
    /// Entries whose dates change, with what they become.
    pub changed: Vec<(Versioned<ModelEntry>, ModelEntry)>,
    /// Models that are not taken.
    pub skipped: Vec<Skipped>,
    /// Entries of models that are on the list no more: whoever calls them is refused.
    pub missing: Vec<ModelId>,
}

/// What to make of `listed`, where `registered` is there already.
///
/// A model that nobody registered becomes a draft, so nobody calls it before somebody has said what it can do,
/// and somebody else approved that. Of one that is registered only the end is taken over, and only if it comes
/// before the one that its administrators set: it is not there any longer than Bedrock has it.
pub fn import(
    listed: &[FoundationModel],
    registered: Vec<Versioned<ModelEntry>>,
    by: &PrincipalId,
    now: Timestamp,
) -> Import {
    let mut import = Import::default();
    let mut taken: BTreeSet<ModelId> =
        registered.iter().map(|it| it.entry.model.id.clone()).collect();
    for found in listed {
        if registered.iter().any(|it| is_of(&it.entry.model, found)) {
            continue;
        }
        match draft(found, by, now) {
            Ok(entry) if !taken.insert(entry.model.id.clone()) => {
                let reason = "Another model has its id: register it by hand, under another one.";
                import.skipped.push(Skipped { model: found.id.clone(), reason });
            }
            Ok(entry) => import.new.push(entry),
            Err(reason) => import.skipped.push(Skipped { model: found.id.clone(), reason }),
        }
    }
    for before in registered {
        if before.entry.model.provider != ProviderConfig::BEDROCK {
            continue;
        }
        match listed.iter().find(|found| is_of(&before.entry.model, found)) {
            Some(found) => {
                if let Some(entry) = ended(&before.entry, found, by, now) {
                    import.changed.push((before, entry));
                }
            }
            None if is_foundation(&before.entry.model) => {
                import.missing.push(before.entry.model.id);
            }
            None => {}
        }
    }
    import
}

/// Whether an entry is of this model, by its own id or by that of an inference profile (`us.`, `global.`, ..).
fn is_of(model: &Model, found: &FoundationModel) -> bool {
    let id = model.provider_model_id.as_str();
    let behind = id.split_once('.').map(|(_, behind)| behind);
    model.provider == ProviderConfig::BEDROCK && (id == found.id || behind == Some(&found.id))
}

/// Whether Bedrock would list it: profiles of one's own and custom models are named by an ARN.
fn is_foundation(model: &Model) -> bool {
    !model.provider_model_id.starts_with("arn:")
}

fn day(at: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(at).date()
}

/// The earlier of two ends, of which there may be none.
fn earlier(one: Option<Date>, other: Option<Date>) -> Option<Date> {
    one.into_iter().chain(other).min()
}

/// The end that Bedrock sets, and `own`, whichever comes first.
fn end_of(own: Option<&EndOfLife>, found: &FoundationModel, now: Timestamp) -> Option<EndOfLife> {
    let mut end = own.cloned().unwrap_or_default();
    end.retires_on = earlier(end.retires_on, found.ends_at.map(day));
    let legacy_on = found.legacy_at.map(day);
    let is_unsaid = found.is_legacy && legacy_on.is_none() && end.deprecated_on.is_none();
    end.deprecated_on = earlier(end.deprecated_on, legacy_on).or(is_unsaid.then(|| day(now)));
    // What ends is not deprecated after that.
    if end.deprecated_on.is_some() {
        end.deprecated_on = earlier(end.deprecated_on, end.retires_on);
    }
    (end != EndOfLife::default()).then_some(end)
}

/// The entry with Bedrock's end, if that comes before its own.
fn ended(
    entry: &ModelEntry,
    found: &FoundationModel,
    by: &PrincipalId,
    now: Timestamp,
) -> Option<ModelEntry> {
    let end_of_life = end_of(entry.model.end_of_life.as_ref(), found, now);
    if end_of_life == entry.model.end_of_life {
        return None;
    }
    let model = Model { end_of_life, ..entry.model.clone() };
    written(ModelEntry { model, ..entry.clone() }, Some(entry), by).ok()
}

/// How it is asked, and how its requests look if they look like nobody else's.
fn asked(found: &FoundationModel) -> Option<(Vec<Protocol>, Option<BodyFormat>)> {
    let id = found.id.as_str();
    if id.contains(".rerank-") {
        return Some((vec![Protocol::BedrockRerank], None));
    }
    if found.outputs.contains(&Modality::Text) {
        let native = [Protocol::AnthropicMessages, Protocol::InvokeModel];
        let more = native.into_iter().filter(|_| id.starts_with("anthropic."));
        return Some(([Protocol::Converse].into_iter().chain(more).collect(), None));
    }
    let body = match id {
        id if id.starts_with("amazon.titan-embed-text") => BodyFormat::TitanEmbed,
        id if id.starts_with("cohere.embed-") => BodyFormat::CohereEmbed,
        id if id.starts_with("amazon.nova-2-multimodal-embed") => BodyFormat::NovaEmbed,
        _ => return None,
    };
    Some((vec![Protocol::InvokeModel], Some(body)))
}

/// What clients call a model: Bedrock's id without its vendor, `anthropic.claude-x-v1:0` as `claude-x-v1`.
fn id_of(found: &FoundationModel) -> Option<ModelId> {
    let (_, name) = found.id.split_once('.')?;
    name.strip_suffix(":0").unwrap_or(name).replace(':', "-").parse().ok()
}

fn draft(
    found: &FoundationModel,
    by: &PrincipalId,
    now: Timestamp,
) -> Result<ModelEntry, &'static str> {
    let provider_model_id = found
        .called_by
        .clone()
        .ok_or("It is not called on demand: it needs provisioned throughput.")?;
    let (protocols, body) = asked(found)
        .ok_or("Bedrock's list does not say what its requests look like: register it by hand.")?;
    let id = id_of(found).ok_or("Its id is none here: register it by hand.")?;
    let makes_text = body.is_none() && protocols.contains(&Protocol::Converse);
    let (max_output_tokens, default_max_tokens) =
        if makes_text { (MAX_OUTPUT_TOKENS, DEFAULT_MAX_TOKENS) } else { (0, 0) };
    let model = Model {
        id,
        provider: ProviderConfig::BEDROCK.to_owned(),
        provider_model_id,
        protocols,
        owned_by: found.vendor.to_ascii_lowercase().replace(' ', "-"),
        family: None,
        created: found.launched_at.unwrap_or(now).as_second(),
        context_window: CONTEXT_WINDOW,
        max_output_tokens,
        default_max_tokens,
        capabilities: Capabilities {
            images: makes_text && found.inputs.contains(&Modality::Image),
            ..Capabilities::default()
        },
        drop_fields: Vec::new(),
        anthropic_beta: None,
        body,
        estimate: inference::Estimate::default(),
        response_cache_ttl_s: None,
        stage: Stage::Draft,
        end_of_life: end_of(None, found, now),
    };
    let provenance = Provenance {
        origin: Origin::Foundation,
        base_model: None,
        previous: None,
        version: Some(found.id.clone()),
        source_arn: Some(found.arn.clone()),
        dataset: None,
        made_by: Some(found.vendor.clone()),
        made_at: None,
    };
    let entry = ModelEntry { provenance: Some(provenance), ..ModelEntry::of(model) };
    written(entry, None, by)
        .map_err(|_| "What Bedrock says of it makes no entry: register it by hand.")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        "2026-11-27T12:00:00Z".parse().unwrap()
    }

    fn ada() -> PrincipalId {
        "ada".to_owned().try_into().unwrap()
    }

    fn listed(id: &str) -> FoundationModel {
        FoundationModel {
            id: id.to_owned(),
            arn: format!("arn:aws:bedrock:us-east-1::foundation-model/{id}"),
            vendor: "Some Vendor".to_owned(),
            inputs: [Modality::Text, Modality::Image].into(),
            outputs: [Modality::Text].into(),
            called_by: Some(id.to_owned()),
            launched_at: Some("2026-01-01T00:00:00Z".parse().unwrap()),
            is_legacy: false,
            legacy_at: None,
            ends_at: None,
        }
    }

    fn first(listed: &FoundationModel) -> Import {
        import(std::slice::from_ref(listed), Vec::new(), &ada(), now())
    }

    /// What was imported, as it is registered.
    fn registered(entry: ModelEntry) -> Versioned<ModelEntry> {
        Versioned { entry, version: 1, changed_at: None, changed_by: None }
    }

    #[test]
    fn what_nobody_registered_becomes_a_draft() {
        let mut claude = listed("anthropic.claude-x-v1:0");
        claude.called_by = Some("us.anthropic.claude-x-v1:0".to_owned());
        let [entry] = &first(&claude).new[..] else { panic!("one is new") };
        let mut said = json!(entry);
        said.as_object_mut()
            .unwrap()
            .retain(|_, value| *value != json!(false) && *value != json!([]));
        assert_eq!(entry.model.stage, Stage::Draft);
        assert_eq!(
            (&said["id"], &said["provider_model_id"], &said["owned_by"], &said["protocols"]),
            (
                &json!("claude-x-v1"),
                &json!("us.anthropic.claude-x-v1:0"),
                &json!("some-vendor"),
                &json!(["converse", "anthropic_messages", "invoke_model"])
            )
        );
        assert_eq!(said["provenance"]["source_arn"], claude.arn);
        assert_eq!((&said["written_by"], &said["created"]), (&json!("ada"), &json!(1_767_225_600)));
        assert!(entry.model.capabilities.images && !entry.model.capabilities.tools);
        // Once it is there, nothing is left to do.
        let again = import(&[claude], vec![registered(entry.clone())], &ada(), now());
        assert_eq!(again, Import::default());
    }

    #[test]
    fn what_cannot_be_called_or_told_is_left_out() {
        let bought = FoundationModel { called_by: None, ..listed("meta.llama-9-v1:0:128k") };
        let pictures = FoundationModel {
            outputs: [Modality::Image].into(),
            ..listed("stability.stable-image-v9:0")
        };
        let titan = FoundationModel {
            outputs: [Modality::Embedding].into(),
            ..listed("amazon.titan-embed-text-v2:0")
        };
        let rerank = listed("cohere.rerank-v3-5:0");
        let twice = listed("other.rerank-v3-5:0");
        let all = [bought, pictures, titan, rerank, twice];
        let made = import(&all, Vec::new(), &ada(), now());
        let of = |entry: &ModelEntry| (entry.model.id.to_string(), entry.model.protocols.clone());
        assert_eq!(
            made.new.iter().map(of).collect::<Vec<_>>(),
            [
                ("titan-embed-text-v2".to_owned(), vec![Protocol::InvokeModel]),
                ("rerank-v3-5".to_owned(), vec![Protocol::BedrockRerank]),
            ]
        );
        let skipped: Vec<_> = made.skipped.iter().map(|it| it.model.as_str()).collect();
        assert_eq!(
            skipped,
            ["meta.llama-9-v1:0:128k", "stability.stable-image-v9:0", "other.rerank-v3-5:0"]
        );
    }

    #[test]
    fn an_end_is_taken_over_if_it_comes_first() {
        let mut found = listed("amazon.nova-pro-v1:0");
        let entry = first(&found).new.remove(0);
        let with = |deprecated_on: Option<&str>, retires_on: Option<&str>| {
            let day = |text: &str| text.parse().unwrap();
            let mut entry = entry.clone();
            entry.model.stage = Stage::Approved;
            entry.model.end_of_life = Some(EndOfLife {
                deprecated_on: deprecated_on.map(day),
                retires_on: retires_on.map(day),
                successor: Some("nova-2".parse().unwrap()),
                note: None,
            });
            registered(entry)
        };
        found.ends_at = Some("2027-06-30T00:00:00Z".parse().unwrap());
        found.is_legacy = true;
        for (own, expected) in [
            // Bedrock does not say since when: since it was noticed.
            ((None, None), Some(("2026-11-27", "2027-06-30"))),
            ((Some("2026-11-01"), Some("2027-09-01")), Some(("2026-11-01", "2027-06-30"))),
            ((Some("2027-08-01"), Some("2027-09-01")), Some(("2027-06-30", "2027-06-30"))),
            ((Some("2026-12-01"), Some("2027-01-01")), None),
        ] {
            let made =
                import(std::slice::from_ref(&found), vec![with(own.0, own.1)], &ada(), now());
            let end =
                made.changed.first().map(|(_, entry)| entry.model.end_of_life.clone().unwrap());
            let days = end.as_ref().map(|end| {
                assert_eq!(end.successor, Some("nova-2".parse().unwrap()));
                (end.deprecated_on.unwrap().to_string(), end.retires_on.unwrap().to_string())
            });
            let expected = expected.map(|(one, other)| (one.to_owned(), other.to_owned()));
            assert_eq!(days, expected, "{own:?}");
            assert!(made.new.is_empty());
        }
    }

    #[test]
    fn what_is_on_the_list_no_more_is_told() {
        let gone = first(&listed("amazon.nova-old-v1:0")).new.remove(0);
        let mut own = gone.clone();
        own.model.id = "own".parse().unwrap();
        own.model.provider_model_id = "arn:aws:bedrock:us-east-1:1:imported-model/x".to_owned();
        let mut elsewhere = gone.clone();
        elsewhere.model.provider = "vllm".to_owned();
        let all = [gone, own, elsewhere].map(registered).to_vec();
        let made = import(&[], all, &ada(), now());
        assert_eq!(made.missing, ["nova-old-v1".parse().unwrap()]);
        assert_eq!((made.new.len(), made.changed.len()), (0, 0));
    }

    proptest! {
        /// Whatever Bedrock lists: what was imported is imported, and comes into nobody's calls.
        #[test]
        fn once_is_enough(
            ids in prop::collection::vec("[a-z]{1,3}\\.(rerank-|nova-)?[a-z0-9:.]{1,6}", 0..8),
            ends in prop::collection::vec(prop::option::of(0_i64..4_000_000_000), 8),
            legacy in any::<u8>(),
        ) {
            let all: Vec<FoundationModel> = ids
                .iter()
                .zip(&ends)
                .enumerate()
                .map(|(number, (id, end))| FoundationModel {
                    ends_at: end.map(|s| Timestamp::from_second(s).unwrap()),
                    is_legacy: legacy & (1 << number) != 0,
                    ..listed(id)
                })
                .collect();
            let made = import(&all, Vec::new(), &ada(), now());
            prop_assert!(made.new.iter().all(|it| it.model.stage == Stage::Draft));
            let there: Vec<_> = made.new.iter().cloned().map(registered).collect();
            let again = import(&all, there, &ada(), now());
            prop_assert_eq!(&again.new, &[]);
            prop_assert_eq!(&again.missing, &[] as &[ModelId]);
        }
    }
}

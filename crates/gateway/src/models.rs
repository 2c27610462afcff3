//! The models and aliases that a tenant may use.

use std::sync::Arc;

use http_api::ApiError;
use inference::{Alias, Model};
use serde_json::{Value, json};
use tenancy::{ModelId, TenantContext};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cache::Freshness;
use crate::route::configuration;
use crate::state::{Ports, State};

/// Whose shape a list of models has; `/v1/models` is both OpenAI's and Anthropic's route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ModelsShape {
    /// `{"object": "list", "data": [{"id", "object", "created", "owned_by"}]}`
    Openai,
    /// `{"data": [{"type", "id", "display_name", "created_at", ..}], "has_more", "first_id", "last_id"}`
    Anthropic,
}

/// A name that the tenant may use.
struct Entry {
    id: String,
    model: Arc<Model>,
}

impl Entry {
    fn to_json(&self, shape: ModelsShape) -> Value {
        let model = &self.model;
        match shape {
            ModelsShape::Openai => json!({
                "id": self.id, "object": "model", "created": model.created, "owned_by": model.owned_by,
            }),
            ModelsShape::Anthropic => {
                let created = OffsetDateTime::from_unix_timestamp(model.created)
                    .ok()
                    .and_then(|time| time.format(&Rfc3339).ok());
                json!({
                    "type": "model", "id": self.id, "display_name": self.id, "created_at": created,
                    "max_input_tokens": model.context_window, "max_tokens": model.max_output_tokens,
                })
            }
        }
    }
}

async fn entries<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
) -> Result<Vec<Entry>, ApiError> {
    let now_ms = (state.now_ms)();
    let (entitlements, catalog) = configuration(state, context, Freshness::Recent, now_ms).await?;
    let allowed = |id: &ModelId| {
        let is_listed = entitlements.tenant.models.allows(id);
        let model = is_listed.then(|| catalog.models.get(id)).flatten();
        model.filter(|model| model.is_callable_at(now_ms))
    };
    let version = entitlements.tenant.entitlement_version;
    let own = state.configuration.aliases(context, version, now_ms).await?;
    let shared = catalog.aliases.iter().filter(|(name, _)| !own.contains_key(*name));
    let aliases = own.iter().chain(shared).filter_map(|(name, alias): (_, &Arc<Alias>)| {
        let meant = alias.at(&catalog, now_ms);
        let model = meant.models().find_map(allowed)?;
        Some(Entry { id: name.to_string(), model: Arc::clone(model) })
    });
    let mut entries: Vec<Entry> = aliases.collect();
    let models = entitlements.tenant.models.0.iter().filter_map(allowed);
    for model in models {
        if !entries.iter().any(|entry| entry.id == model.id.as_str()) {
            entries.push(Entry { id: model.id.to_string(), model: Arc::clone(model) });
        }
    }
    entries.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(entries)
}

/// Answers `GET /v1/models`.
///
/// # Errors
/// If the configuration cannot be read.
pub(crate) async fn models<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    shape: ModelsShape,
) -> Result<Value, ApiError> {
    let entries = entries(state, context).await?;
    let data: Vec<Value> = entries.iter().map(|entry| entry.to_json(shape)).collect();
    Ok(match shape {
        ModelsShape::Openai => json!({"object": "list", "data": data}),
        ModelsShape::Anthropic => json!({
            "data": data,
            "has_more": false,
            "first_id": entries.first().map(|entry| &entry.id),
            "last_id": entries.last().map(|entry| &entry.id),
        }),
    })
}

/// Answers `GET /v1/models/{id}`.
///
/// # Errors
/// 404 if the tenant may not use it.
pub(crate) async fn model<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    id: &str,
    shape: ModelsShape,
) -> Result<Value, ApiError> {
    let entries = entries(state, context).await?;
    let is_named = |entry: &&Entry| entry.id == id || entry.model.provider_model_id == id;
    let entry = entries.iter().find(is_named);
    entry.map(|entry| entry.to_json(shape)).ok_or_else(|| ApiError::unknown_model(id))
}

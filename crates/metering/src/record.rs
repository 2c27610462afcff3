//! The usage record: the immutable fact of one provider call.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use tenancy::{
    InvalidId, LobId, ModelId, PrincipalId, PrincipalKind, PriorityClass, ProjectId, TenantId,
};

use crate::{NanoUsd, ProfileScope, ServiceTier, TokenUsage};

/// Which provider call a record is about: a call of the gateway, and the attempt within it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordId {
    /// The gateway's id of the call (a time-ordered UUID); the client sees it as `x-request-id`.
    pub call_id: String,
    /// Counts the provider calls made for it, from 1.
    pub attempt: u32,
}

impl RecordId {
    /// The call's first provider call.
    pub fn first(call_id: impl Into<String>) -> Self {
        Self { call_id: call_id.into(), attempt: 1 }
    }

    /// The name of its reservation among a meter's open ones: `<call id>-<attempt>`.
    pub fn open_key(&self) -> String {
        format!("{}-{}", self.call_id, self.attempt)
    }

    /// The id whose [`Self::open_key`] this is; none if it is nobody's. A call id may hold hyphens:
    /// the last one counts.
    pub fn from_open_key(key: &str) -> Option<Self> {
        let (call_id, attempt) = key.rsplit_once('-')?;
        let id = Self { call_id: call_id.to_owned(), attempt: attempt.parse().ok()? };
        // `007` and `+7` are numbers, but not how one is written here.
        (!call_id.is_empty() && id.attempt > 0 && id.open_key() == key).then_some(id)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.call_id, self.attempt)
    }
}

/// What a client asked for, and what served it.
///
/// Stands flattened in usage records and reservations. Of those of schema 1, written before there
/// were aliases, the model is the one asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredChoice")]
pub struct ModelChoice {
    /// What the client asked for, in its own words: a registered model, an alias, or a provider's
    /// name for a model.
    pub requested_model: String,
    /// The alias that chose the model, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The registered model that served this attempt: what the price is for.
    pub model: ModelId,
}

/// A [`ModelChoice`] of any schema.
#[derive(Deserialize)]
struct StoredChoice {
    requested_model: String,
    #[serde(default)]
    route: Option<String>,
    #[serde(default)]
    model: Option<ModelId>,
}

impl TryFrom<StoredChoice> for ModelChoice {
    type Error = InvalidId;

    fn try_from(stored: StoredChoice) -> Result<Self, InvalidId> {
        let StoredChoice { requested_model, route, model } = stored;
        let model = model.map_or_else(|| requested_model.parse(), Ok)?;
        Ok(Self { requested_model, route, model })
    }
}

impl ModelChoice {
    /// A registered model, asked for by its own name.
    pub fn of(model: ModelId) -> Self {
        Self { requested_model: model.to_string(), route: None, model }
    }
}

/// How a provider call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The model answered to the end.
    Completed,
    /// The provider refused the call; nothing ran.
    Refused,
    /// The provider failed, before or in its answer.
    Failed,
    /// The gateway's function ended before it could say; written by the sweep.
    Abandoned,
}

/// One provider call: who made it, what it consumed, what it costs. Written once, never changed.
///
/// Schema version 3; records of versions 1 and 2 can be read. Times are Unix milliseconds, amounts
/// nano-USD. `docs/usage-record.md` says the same for who reads the lake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a claim of its own, and a field of the schema"
)]
pub struct UsageRecord {
    /// Version of this schema.
    pub schema: u32,
    /// Which provider call.
    #[serde(flatten)]
    pub id: RecordId,
    /// The tenant that pays.
    pub tenant_id: TenantId,
    /// The tenant's line of business at the time of the call.
    pub lob_id: LobId,
    /// Who called.
    pub principal_id: PrincipalId,
    /// Person or program.
    pub principal_kind: PrincipalKind,
    /// The project that the call was made for, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// Cost allocation tags of the tenant and of the project, as they were at the time of the call.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// How urgent the call was.
    #[serde(default)]
    pub priority_class: PriorityClass,
    /// When the gateway admitted the call.
    pub started_ms: i64,
    /// The client's dialect, for example `openai.chat_completions`.
    pub dialect: String,
    /// The model that the client asked for, and the one that served.
    #[serde(flatten)]
    pub choice: ModelChoice,
    /// What the provider calls the model that answered.
    pub provider_model_id: String,
    /// OpenTelemetry's `gen_ai.provider.name`, for example `aws.bedrock`.
    pub provider: String,
    /// The provider's Region.
    pub region: String,
    /// Where the provider was allowed to run it.
    #[serde(default)]
    pub profile_scope: ProfileScope,
    /// The service tier that it ran in.
    #[serde(default)]
    pub service_tier: ServiceTier,
    /// The provider's id of the call, if it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_request_id: Option<String>,
    /// Whether the answer was streamed.
    pub is_streamed: bool,
    /// Whether the gateway's response cache answered: no provider was called, and `usage` and
    /// `cost_nanousd` are zero.
    #[serde(default)]
    pub is_cache_hit: bool,
    /// What was consumed, by kind.
    pub usage: TokenUsage,
    /// Whether `usage` is the gateway's estimate, since the provider's own count never came.
    pub is_estimated: bool,
    /// The price book that `cost` was computed with.
    pub price_version: String,
    /// Whether there was a price. `false` where a tenant may use models that nobody has priced: the
    /// call then costs nothing here, whatever its provider takes.
    #[serde(default = "yes")]
    pub is_priced: bool,
    /// What the call costs.
    pub cost_nanousd: NanoUsd,
    /// What it had cost if no input had been read from or written to a prompt cache: the difference
    /// is what caching saved, or what it cost where writes were never read.
    #[serde(default)]
    pub uncached_cost_nanousd: NanoUsd,
    /// What had been reserved for it.
    pub reserved_nanousd: NanoUsd,
    /// How it ended.
    pub outcome: Outcome,
    /// From when the gateway took the call up, or a further attempt of it, to the end of the answer.
    pub latency_ms: u64,
    /// From the same moment to the first piece of the answer, of streamed calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_to_first_token_ms: Option<u64>,
    /// The gateway's own share of the time before the provider was called.
    pub gateway_ms: u64,
    /// The meters that hold a reservation for this call, as `admission::MeterRef` writes them. Empty
    /// in records of schema 2, whose reservations were in the tenant's and the line of business'.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub meters: Vec<String>,
    /// The call that this one repeats at a successor of its model, for comparison; its answer went to
    /// nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow_of: Option<String>,
}

fn yes() -> bool {
    true
}

impl UsageRecord {
    /// The current version of the schema.
    pub const SCHEMA: u32 = 3;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_key_names_one_attempt() {
        for (call_id, attempt) in [("0193", 1), ("a-b-7", 12), ("-", 3), ("call", u32::MAX)] {
            let id = RecordId { call_id: call_id.to_owned(), attempt };
            assert_eq!(RecordId::from_open_key(&id.open_key()), Some(id));
        }
        for key in
            ["", "-", "call", "call-", "-1", "call-0", "call-01", "call-+1", "call-1 ", "call#1"]
        {
            assert_eq!(RecordId::from_open_key(key), None, "{key:?}");
        }
    }
}

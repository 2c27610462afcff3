//! What is set aside for a call before it is made.

use std::collections::BTreeMap;

use metering::{ModelChoice, NanoUsd, ProfileScope, ServiceTier, UsageRecord};
use serde::{Deserialize, Serialize};
use tenancy::{LobId, PrincipalId, PrincipalKind, PriorityClass, ProjectId, TenantId};

use crate::{Metric, Minute, Part};

/// An estimate taken from a scope's limits for one provider call, until its usage record corrects it.
///
/// It stands in the scope's meter item under [`open_key`](metering::RecordId::open_key). `minute` is the one that it was counted
/// in, so that settling it gives back to the windows it was taken from and to no later one. The names
/// of its attributes are short: a write is paid for by the size of the whole item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Whose call it is; a line of business' meter holds those of all its tenants.
    #[serde(rename = "t")]
    pub tenant_id: TenantId,
    /// What the call can cost at most.
    #[serde(rename = "a")]
    pub amount_nanousd: NanoUsd,
    /// Input tokens that it can use at most.
    #[serde(rename = "i")]
    pub input_tokens: u64,
    /// Output tokens that it can use at most.
    #[serde(rename = "o")]
    pub output_tokens: u64,
    /// What it takes of the requests per minute: 1 for a client's call, 0 for a further attempt of
    /// the same call, since a client is not to pay for the gateway's retries with its own rate.
    #[serde(rename = "r", default = "one", skip_serializing_if = "is_one")]
    pub requests: u32,
    /// The minute in which it was counted.
    #[serde(rename = "m")]
    pub minute: Minute,
    /// Past this moment (Unix milliseconds) the call cannot be running any more.
    #[serde(rename = "d")]
    pub deadline_ms: i64,
    /// Which part of the call this is, where it is spread over several shards.
    #[serde(rename = "p", default = "whole", skip_serializing_if = "is_whole")]
    pub part: Part,
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_one(requests: &u32) -> bool {
    *requests == 1
}

fn whole() -> Part {
    Part::WHOLE
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_whole(part: &Part) -> bool {
    *part == Part::WHOLE
}

/// The facts of a call that are known before it is made: what the sweep needs for a record if the call
/// never leaves one.
///
/// An item of its own, written beside the reservations, for a meter is paid for with all that it holds
/// each time a call reserves or settles. It expires by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallDetail {
    /// How many scopes the call needs to be admitted by; if fewer hold it, it was never made. Set by
    /// [`admit`](crate::admit).
    pub scopes: u16,
    /// The tenant's line of business.
    pub lob_id: LobId,
    /// Who called.
    pub principal_id: PrincipalId,
    /// Person or program.
    pub principal_kind: PrincipalKind,
    /// The project that the call is made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<ProjectId>,
    /// Cost allocation tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// How urgent it is.
    #[serde(default)]
    pub priority_class: PriorityClass,
    /// The model that the client asked for, and the one that is called.
    #[serde(flatten)]
    pub choice: ModelChoice,
    /// What the provider calls it.
    pub provider_model_id: String,
    /// OpenTelemetry's `gen_ai.provider.name`.
    pub provider: String,
    /// The client's dialect.
    pub dialect: String,
    /// Whether the answer is streamed.
    pub is_streamed: bool,
    /// The provider's Region.
    pub region: String,
    /// Where the provider may run it.
    #[serde(default)]
    pub profile_scope: ProfileScope,
    /// The service tier that it asks for.
    #[serde(default)]
    pub service_tier: ServiceTier,
    /// The price book that the amount was computed with.
    pub price_version: String,
    /// Whether there is a price.
    pub is_priced: bool,
    /// Pictures of the estimate.
    #[serde(default)]
    pub images: u64,
    /// Search units of the estimate.
    #[serde(default)]
    pub search_units: u64,
    /// Units of a guardrail's policies of the estimate.
    #[serde(default)]
    pub guardrail_units: u64,
    /// When the call was admitted, in Unix milliseconds.
    pub started_ms: i64,
    /// The call that it repeats, if it is a shadow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow_of: Option<String>,
}

/// What replaces a reservation: what the call really took of each metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// Requests.
    pub requests: u64,
    /// Input tokens.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Money.
    pub amount: NanoUsd,
}

impl Used {
    /// Nothing: the call was never made.
    pub const NOTHING: Self =
        Self { requests: 0, input_tokens: 0, output_tokens: 0, amount: NanoUsd::ZERO };

    /// What a call took that left `record`; only its first attempt is a request.
    pub fn of(record: &UsageRecord) -> Self {
        Self {
            requests: u64::from(record.id.attempt == 1),
            input_tokens: record.usage.total_input(),
            output_tokens: record.usage.total_output(),
            amount: record.cost_nanousd,
        }
    }

    /// The part of it that one meter counts. A request is not divided: the first part has it.
    #[must_use]
    pub fn part(self, part: Part) -> Self {
        Self {
            requests: if part.index == 0 { self.requests } else { 0 },
            input_tokens: part.share(self.input_tokens),
            output_tokens: part.share(self.output_tokens),
            amount: NanoUsd(part.share(self.amount.0)),
        }
    }

    /// What it takes of a metric.
    pub fn of_metric(&self, metric: Metric) -> u64 {
        match metric {
            Metric::Concurrency => 0,
            Metric::Requests => self.requests,
            Metric::InputTokens => self.input_tokens,
            Metric::OutputTokens => self.output_tokens,
            Metric::TotalTokens => self.input_tokens.saturating_add(self.output_tokens),
            Metric::Cost => self.amount.0,
        }
    }
}

impl Reservation {
    /// What it takes, as if it were used up.
    pub fn used(&self) -> Used {
        Used {
            requests: u64::from(self.requests),
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            amount: self.amount_nanousd,
        }
    }

    /// What it takes of a metric; one of concurrency.
    pub fn takes(&self, metric: Metric) -> u64 {
        match metric {
            Metric::Concurrency => 1,
            _ => self.used().of_metric(metric),
        }
    }

    /// The part of it that one of several shards holds.
    #[must_use]
    pub fn part(&self, part: Part) -> Self {
        let used = self.used().part(part);
        Self {
            amount_nanousd: used.amount,
            input_tokens: used.input_tokens,
            output_tokens: used.output_tokens,
            requests: u32::try_from(used.requests).unwrap_or(u32::MAX),
            part,
            tenant_id: self.tenant_id.clone(),
            ..*self
        }
    }
}

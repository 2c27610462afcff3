//! What is set aside for a call before it is made.

use metering::{ModelChoice, NanoUsd};
use serde::{Deserialize, Serialize};
use tenancy::{LobId, PrincipalId, PrincipalKind, TenantId};

use crate::Minute;

/// An estimate taken from a scope's limits for one provider call, until its usage record corrects it.
///
/// It stands in the scope's meter item under [`open_key`](metering::RecordId::open_key). `minute` is the one that it was counted
/// in, so that settling it gives back to the windows it was taken from and to no later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Whose call it is; a line of business' meter holds those of all its tenants.
    pub tenant_id: TenantId,
    /// What the call can cost at most.
    #[serde(rename = "amount")]
    pub amount_nanousd: NanoUsd,
    /// Tokens that it can use at most.
    pub tokens: u64,
    /// What it takes of the requests per minute: 1 for a client's call, 0 for a further attempt of
    /// the same call, since a client is not to pay for the gateway's retries with its own rate.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub requests: u32,
    /// The minute in which it was counted.
    pub minute: Minute,
    /// Past this moment (Unix milliseconds) the call cannot be running any more.
    #[serde(rename = "deadline")]
    pub deadline_ms: i64,
    /// What the sweep needs for a record if the call never leaves one; only in the tenant's own meter.
    ///
    /// One text: nobody but the sweep reads it, and an item is paid for, and copied into its stream,
    /// by size.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "detail_text")]
    pub detail: Option<CallDetail>,
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_one(requests: &u32) -> bool {
    *requests == 1
}

/// The only provider of reservations that name none.
fn bedrock() -> String {
    "aws.bedrock".to_owned()
}

/// The detail as JSON text.
mod detail_text {
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::CallDetail;

    #[expect(clippy::ref_option, reason = "the signature that serde calls")]
    pub(super) fn serialize<S: Serializer>(
        detail: &Option<CallDetail>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let text = detail.as_ref().map(serde_json::to_string).transpose();
        text.map_err(S::Error::custom)?.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<CallDetail>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| serde_json::from_str(&text)).transpose().map_err(D::Error::custom)
    }
}

/// The facts of a call that are known before it is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallDetail {
    /// The tenant's line of business.
    pub lob_id: LobId,
    /// Who called.
    pub principal_id: PrincipalId,
    /// Person or program.
    pub principal_kind: PrincipalKind,
    /// The model that the client asked for, and the one that is called.
    #[serde(flatten)]
    pub choice: ModelChoice,
    /// What the provider calls it.
    pub provider_model_id: String,
    /// OpenTelemetry's `gen_ai.provider.name`.
    #[serde(default = "bedrock")]
    pub provider: String,
    /// The client's dialect.
    pub dialect: String,
    /// Whether the answer is streamed.
    pub is_streamed: bool,
    /// The provider's Region.
    pub region: String,
    /// The price book that the amount was computed with.
    pub price_version: String,
    /// Input tokens of the estimate; the rest of the reservation's tokens is output.
    pub input_tokens: u64,
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
}

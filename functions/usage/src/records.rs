//! `GET /v1/usage/records/{call_id}`: what one call used, attempt by attempt.

use http::{Response, StatusCode};
use http_api::{ApiError, Ask, Body, answer, store_failed};
use metering::UsageRecord;
use serde_json::{Value, json};
use tenancy::{Permission, TenantContext};

use crate::answer::usd;
use crate::{State, Store};

/// Characters of a call's id at most.
const MAX_ID: usize = 64;

pub(crate) async fn show(
    state: &State<impl Store>,
    context: &TenantContext,
    call_id: &str,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    context.require(Permission::ReadOwnUsage)?;
    ask.only(&[])?;
    let is_id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if call_id.len() > MAX_ID || !call_id.bytes().all(is_id) {
        return Err(ApiError::not_found("call", call_id));
    }
    let records = state.store.records(context, call_id).await.map_err(store_failed)?;
    // Others' calls are there for those only who may see the tenant's usage.
    let sees_all = context.require(Permission::ReadTenantUsage).is_ok();
    let is_visible = |record: &UsageRecord| {
        record.tenant_id == context.tenant_id
            && (sees_all || record.principal_id == context.principal.id)
    };
    let records: Vec<_> = records.into_iter().filter(is_visible).collect();
    if records.is_empty() {
        return Err(ApiError::not_found("call", call_id));
    }
    let total: u64 =
        records.iter().map(|record| record.cost_nanousd.0).fold(0, u64::saturating_add);
    let shown: Vec<Value> = records.iter().map(shown).collect();
    let body = json!({
        "object": "list",
        "call_id": call_id,
        "cost_nanousd": total,
        "cost_usd": usd(total),
        "data": shown,
    });
    Ok(answer(StatusCode::OK, &body))
}

/// A record as its tenant sees it: all of it but where the ledger keeps its reservation.
fn shown(record: &UsageRecord) -> Value {
    let mut shown = json!(record);
    if let Some(fields) = shown.as_object_mut() {
        fields.remove("meters");
        fields.insert("cost_usd".into(), usd(record.cost_nanousd.0).into());
    }
    shown
}

//! The audit trail as auditors see it: records of a chain, and whether it is whole. It changes nothing, and
//! its role could not.

mod environment;
mod query;
#[cfg(test)]
mod tests;

use std::convert::Infallible;

use audit::{ChainId, ChainStore, MAX_SEGMENTS, SegmentStore, read, verify_tail};
use http::{Method, Response, StatusCode};
use http_api::{ApiError, Ask, Body, answer, caller, path, respond, store_failed};
use lambda_http::Request;
use serde_json::{Value, json};
use tenancy::{Directory, Permission, Place, TenantContext, TenantId};

use crate::query::Query;

/// Records of one page at most.
const MAX_RECORDS: usize = 200;

/// What one execution environment keeps between invocations.
#[derive(Debug)]
pub struct State<C, F, D> {
    /// Heads, and notes of what is in chains.
    pub chains: C,
    /// The bucket of records.
    pub files: F,
    /// Which line of business a tenant belongs to.
    pub directory: D,
    /// A new id; later ones are greater.
    pub new_id: fn() -> String,
}

/// Answers one request; an error becomes its response here and nowhere else.
///
/// # Errors
/// None: whatever goes wrong is a response.
pub async fn handle(
    state: &State<impl ChainStore, impl SegmentStore, impl Directory>,
    request: Request,
) -> Result<Response<Body>, Infallible> {
    let id = (state.new_id)();
    let answered = Box::pin(serve(state, &request)).await;
    Ok(respond(&id, answered.map(|body| answer(StatusCode::OK, &body))))
}

async fn serve(
    state: &State<impl ChainStore, impl SegmentStore, impl Directory>,
    request: &Request,
) -> Result<Value, ApiError> {
    let context = caller(request)?;
    let path = path(request);
    let is_verify = match &*path {
        "/v1/audit" => false,
        "/v1/audit/verify" => true,
        _ => return Err(ApiError::unknown_route(request.method(), &path)),
    };
    if request.method() != Method::GET {
        return Err(ApiError::wrong_method(request.method(), &path, &Method::GET));
    }
    let ask = Ask::of(request)?;
    if is_verify {
        ask.only(&["chain", "segments"])?;
        let query = Query(&ask);
        let segments = ask.number("segments", 1, MAX_SEGMENTS, 100)?;
        let chain = chain(state, &context, &query).await?;
        verification(state, &chain, segments).await
    } else {
        let known = ["chain", "from", "to", "actor", "action", "decision", "limit", "cursor"];
        ask.only(&known)?;
        let query = Query(&ask);
        let (filter, before) = (query.filter()?, query.cursor()?);
        let limit = ask.number("limit", 1, MAX_RECORDS, 50)?;
        let chain = chain(state, &context, &query).await?;
        let page = read(&state.chains, &state.files, &chain, &filter, before, limit);
        let page = page.await.map_err(store_failed)?;
        Ok(json!({
            "object": "list",
            "chain": chain,
            "data": page.records,
            "next_cursor": page.next.map(|next| next.to_string()),
        }))
    }
}

/// The chain that is asked for, the caller's own if none is, if the caller may see it.
///
/// # Errors
/// 404 if it is not the caller's to know of, 403 if it is not its to see.
async fn chain(
    state: &State<impl ChainStore, impl SegmentStore, impl Directory>,
    context: &TenantContext,
    query: &Query<'_>,
) -> Result<ChainId, ApiError> {
    let asked = query.chain()?;
    let chain = asked.unwrap_or_else(|| ChainId::Tenant(context.tenant_id.clone()));
    match &chain {
        ChainId::Org => require(context, Place::Org, &chain)?,
        ChainId::Lob(id) => require(context, Place::Lob(id), &chain)?,
        ChainId::Tenant(id) if *id == context.tenant_id => {
            require(context, Place::Tenant(id, &context.lob_id), &chain)?;
        }
        ChainId::Tenant(id) => require_other(state, context, id, &chain).await?,
    }
    Ok(chain)
}

/// Checks that the caller may see another tenant's chain, also one that is gone: its trail is not, but who
/// ran its line of business is not known any more.
async fn require_other(
    state: &State<impl ChainStore, impl SegmentStore, impl Directory>,
    context: &TenantContext,
    tenant_id: &TenantId,
    chain: &ChainId,
) -> Result<(), ApiError> {
    let tenant = state.directory.tenant(tenant_id).await;
    match tenant.map_err(|error| ApiError::store_failed(&error))? {
        Some(tenant) => require(context, Place::Tenant(tenant_id, &tenant.lob_id), chain),
        None if !context.sees(Place::Org) => Err(unknown(chain)),
        None => {
            require(context, Place::Org, chain)?;
            let head = state.chains.head(chain).await.map_err(store_failed)?;
            if head.sequence == 0 { Err(unknown(chain)) } else { Ok(()) }
        }
    }
}

fn require(context: &TenantContext, place: Place<'_>, chain: &ChainId) -> Result<(), ApiError> {
    if !context.sees(place) {
        return Err(unknown(chain));
    }
    Ok(context.require_at(Permission::ReadAudit, place)?)
}

fn unknown(chain: &ChainId) -> ApiError {
    ApiError::not_found("audit trail", &chain.to_string())
}

/// Whether the end of a chain is whole.
async fn verification(
    state: &State<impl ChainStore, impl SegmentStore, impl Directory>,
    chain: &ChainId,
    segments: usize,
) -> Result<Value, ApiError> {
    let outcome = verify_tail(&state.chains, &state.files, chain, segments).await;
    let (head, outcome) = outcome.map_err(store_failed)?;
    if let Err(fault) = &outcome {
        tracing::error!(%chain, %fault, "the audit trail is not what it was");
    }
    let fault = outcome.as_ref().err().map(|fault| {
        json!({
            "kind": fault.kind,
            "sequence": fault.sequence,
            "key": fault.key,
            "message": fault.to_string(),
        })
    });
    let verified = outcome.ok();
    Ok(json!({
        "object": "audit.verification",
        "chain": chain,
        "is_intact": fault.is_none(),
        "first_sequence": verified.as_ref().map(|it| it.first_sequence),
        "last_sequence": verified.as_ref().map(|it| it.last_sequence),
        "head": { "sequence": head.sequence, "hash": head.hash },
        "fault": fault,
    }))
}

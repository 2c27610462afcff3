//! `GET /v1/models`: the models that the caller's tenant may use.

use admission::EntitlementStore;
use http::{HeaderValue, Response, header};
use http_api::{ApiError, Body, caller, full};
use inference::CatalogStore;
use lambda_http::Request;
use serde_json::{Value, json};
use tenancy::Permission;

use crate::State;
use crate::cache::Freshness;
use crate::call::Call;

pub(crate) async fn list<C: EntitlementStore + CatalogStore, L, P>(
    state: &State<C, L, P>,
    request: &Request,
    call: &Call,
) -> Result<Response<Body>, ApiError> {
    let context = caller(request)?;
    context.require(Permission::ListModels)?;
    let entitlements =
        state.configuration.entitlements(&context, Freshness::Recent, call.started_ms).await?;
    let catalog = state.configuration.catalog(Freshness::Remembered, call.started_ms).await?;
    let allowed = entitlements.iter().flat_map(|entitlements| &entitlements.tenant.models.0);
    let data: Vec<Value> = allowed
        .filter_map(|id| catalog.models.get(id))
        .map(|model| {
            json!({ "id": model.id, "object": "model", "created": model.created, "owned_by": model.owned_by })
        })
        .collect();
    let mut response = Response::new(full(json!({ "object": "list", "data": data }).to_string()));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

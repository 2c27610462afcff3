//! `POST /v1/chat/completions`: from the caller's bytes to an admitted call.

use std::sync::Arc;

use admission::{
    CallDetail, Denial, EntitlementStore, Entitlements, MeterStore, Minute, Refusal, Reservation,
    Scope, UsageStore, admit,
};
use bytes::Bytes;
use http::Response;
use http_api::{ApiError, Body, caller, rate_limit_headers, read};
use inference::openai_chat::{ChatRequest, bound, forward_body, to_canonical};
use inference::{
    CatalogStore, Model, ModelRequest, Protocol, Provider, ProviderConfig, TokenBound,
};
use lambda_http::Request;
use metering::{ModelChoice, Price, PriceBook, RecordId};
use tenancy::{ModelId, Permission, TenantContext};

use crate::State;
use crate::cache::Freshness;
use crate::call::Call;
use crate::record::Admission;
use crate::{stream, upstream};

/// OpenTelemetry-like name of the dialect, for usage records.
const DIALECT: &str = "openai.chat_completions";

/// What is sent to the provider.
pub(crate) enum Payload {
    /// The canonical form, translated.
    Translated(Box<ModelRequest>),
    /// The caller's own bytes.
    Forwarded(Bytes),
}

/// A request that has been checked against everything but the meters.
struct Plan {
    entitlements: Arc<Entitlements>,
    provider: Arc<ProviderConfig>,
    model: Arc<Model>,
    allowed_models: Vec<Arc<Model>>,
    price: Price,
    price_version: String,
    bound: TokenBound,
    payload: Payload,
}

pub(crate) async fn completions<C, L, P>(
    state: &Arc<State<C, L, P>>,
    request: &Request,
    call: Call,
) -> Result<Response<Body>, ApiError>
where
    C: EntitlementStore + CatalogStore + 'static,
    L: MeterStore + UsageStore + 'static,
    P: Provider + 'static,
{
    let context = caller(request)?;
    context.require(Permission::InvokeModel)?;
    let chat = ChatRequest::parse(read(request)?)?;
    let (admission, payload) = admitted(state, context, &chat, call).await?;
    let rate_limits = rate_limit_headers(&admission.admitted, admission.call.started_ms);
    let mut response = if chat.is_streaming() {
        stream::answer(state, admission, payload, chat.includes_usage()).await?
    } else {
        upstream::answer(state, admission, payload).await?
    };
    response.headers_mut().extend(rate_limits);
    Ok(response)
}

/// Reserves for the call. Entitlements that prove stale are read again, once.
async fn admitted<C: EntitlementStore + CatalogStore, L: MeterStore, P>(
    state: &State<C, L, P>,
    context: TenantContext,
    chat: &ChatRequest,
    call: Call,
) -> Result<(Admission, Payload), ApiError> {
    let mut freshness = Freshness::Remembered;
    loop {
        let plan = plan(state, &context, chat, freshness, call.started_ms).await?;
        let reservation = reservation(&context, &plan, chat, &call, &state.region);
        let scopes = plan.entitlements.scopes.clone();
        let id = RecordId::first(&call.id);
        match admit(&state.ledger, &context, scopes, &id, &reservation).await {
            Ok(admitted) => {
                let admission = Admission {
                    gateway: call.started.elapsed(),
                    call,
                    context,
                    admitted,
                    reservation,
                    entitlement_version: plan.entitlements.tenant.entitlement_version,
                    provider: plan.provider,
                    model: plan.model,
                    allowed_models: plan.allowed_models,
                    price: plan.price,
                    bound: plan.bound,
                };
                return Ok((admission, plan.payload));
            }
            Err(Refusal::Denied { denial: Denial::Stale, .. })
                if freshness == Freshness::Remembered =>
            {
                freshness = Freshness::Reread;
            }
            Err(Refusal::Denied { scope, denial }) => {
                return Err(ApiError::denied(&scope, &denial, call.started_ms));
            }
            Err(Refusal::Store(error)) => return Err(error.into()),
        }
    }
}

async fn plan<C: EntitlementStore + CatalogStore, L, P>(
    state: &State<C, L, P>,
    context: &TenantContext,
    chat: &ChatRequest,
    freshness: Freshness,
    now_ms: i64,
) -> Result<Plan, ApiError> {
    let Ok(model_id) = chat.model().parse::<ModelId>() else {
        return Err(ApiError::unknown_model(chat.model()));
    };
    let mut freshness = freshness;
    let (entitlements, catalog, model) = loop {
        let Some(entitlements) =
            state.configuration.entitlements(context, freshness, now_ms).await?
        else {
            let scope = Scope::Tenant(context.tenant_id.clone());
            return Err(ApiError::denied(&scope, &Denial::Unknown, now_ms));
        };
        let catalog = state.configuration.catalog(freshness, now_ms).await?;
        let model = catalog
            .models
            .get(&model_id)
            .filter(|_| entitlements.tenant.models.allows(&model_id))
            .cloned();
        match model {
            Some(model) => break (entitlements, catalog, model),
            // Allowed a moment ago, perhaps; what is remembered must not be the last word on a "no".
            None if freshness == Freshness::Remembered => freshness = Freshness::Recent,
            None => return Err(ApiError::unknown_model(chat.model())),
        }
    };
    let book = PriceBook::in_force(&catalog.price_books, now_ms.div_euclid(1_000));
    let Some((price, version)) =
        book.and_then(|book| Some((*book.models.get(&model_id)?, book.version.clone())))
    else {
        return Err(ApiError::unpriced_model(model_id.as_str()));
    };
    let bound = bound(chat, &model, entitlements.tenant.default_max_tokens)?;
    let payload = if model.speaks(Protocol::OpenaiChat) {
        Payload::Forwarded(forward_body(chat, &model, bound.max_tokens))
    } else {
        Payload::Translated(Box::new(to_canonical(chat, &model, bound.max_tokens)?))
    };
    let allowed = entitlements.tenant.models.0.iter();
    let allowed_models = allowed.filter_map(|id| catalog.models.get(id).cloned()).collect();
    let Some(provider) = catalog.providers.get(&model.provider).cloned() else {
        return Err(ApiError::unknown_model(chat.model()));
    };
    Ok(Plan {
        entitlements,
        provider,
        model,
        allowed_models,
        price,
        price_version: version,
        bound,
        payload,
    })
}

fn reservation(
    context: &TenantContext,
    plan: &Plan,
    chat: &ChatRequest,
    call: &Call,
    region: &str,
) -> Reservation {
    Reservation {
        tenant_id: context.tenant_id.clone(),
        amount_nanousd: plan.price.bound(&plan.bound.most()),
        tokens: plan.bound.input.saturating_add(plan.bound.output),
        requests: 1,
        minute: Minute::of(call.started_ms),
        deadline_ms: call.sweep_after_ms(),
        detail: Some(CallDetail {
            lob_id: context.lob_id.clone(),
            principal_id: context.principal.id.clone(),
            principal_kind: context.principal.kind,
            choice: ModelChoice::of(plan.model.id.clone()),
            provider_model_id: plan.model.provider_model_id.clone(),
            provider: plan.provider.name.clone(),
            dialect: DIALECT.to_owned(),
            is_streamed: chat.is_streaming(),
            region: region.to_owned(),
            price_version: plan.price_version.clone(),
            input_tokens: plan.bound.input,
            images: plan.bound.images,
            search_units: plan.bound.search_units,
            started_ms: call.started_ms,
        }),
    }
}

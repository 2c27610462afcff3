//! From the name that a client uses to the models that may answer.

use std::sync::Arc;

use admission::{Denial, Entitlements, Scope};
use http_api::ApiError;
use inference::{Alias, Catalog, Model, RetryPolicy, Stage, TokenBound};
use metering::{Price, PriceTerms, ProfileScope, Quote, ServiceTier};
use tenancy::{ModelId, ProjectId, TenantContext};

use crate::attempt::Priced;
use crate::cache::Freshness;
use crate::call::Call;
use crate::state::{Ports, State};

/// The price version of records of models that nobody has priced.
const UNPRICED: &str = "unpriced";

/// What a name stands for, for one tenant and at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// The name, as the client wrote it.
    pub(crate) requested: String,
    pub(crate) entitlements: Arc<Entitlements>,
    pub(crate) catalog: Arc<Catalog>,
    /// Unless the name is a model's own.
    pub(crate) alias: Option<Arc<Alias>>,
    /// The models to try, in order; at least one, and all of them on the tenant's allowlist.
    pub(crate) targets: Vec<Arc<Model>>,
    /// Every model of the tenant's allowlist that is in the registry and called at this moment.
    pub(crate) allowed_models: Vec<Arc<Model>>,
    /// The project that the call is made for.
    pub(crate) project_id: Option<ProjectId>,
    /// The stack's Region: that of providers which name none.
    pub(crate) region: String,
}

impl Route {
    pub(crate) fn alias_name(&self) -> Option<String> {
        self.alias.as_ref().map(|alias| alias.name.to_string())
    }

    pub(crate) fn policy(&self) -> RetryPolicy {
        self.alias.as_ref().map(|alias| alias.retry).unwrap_or_default()
    }

    /// `model` with its provider and its price at `now_s` (Unix seconds) for a call of at most `bound`.
    ///
    /// # Errors
    /// No price for something that the call may consume, where the tenant may not do without.
    pub(crate) fn priced(
        &self,
        model: &Arc<Model>,
        now_s: i64,
        bound: TokenBound,
    ) -> Result<Priced, ApiError> {
        let Some(provider) = self.catalog.providers.get(&model.provider) else {
            return Err(ApiError::unknown_model(&self.requested));
        };
        let terms = PriceTerms {
            region: provider.region.as_ref().unwrap_or(&self.region),
            profile_scope: ProfileScope::of_model_id(&model.provider_model_id),
            service_tier: bound.service_tier,
        };
        let prices = self.catalog.prices();
        let quote = prices.quote(&model.id, &terms, now_s);
        let has_price = quote.is_some();
        // What is priced on other terms is not free on these, whatever the tenant may use.
        let has_other_price = !has_price && prices.has_any(&model.id, now_s);
        if !has_price && (has_other_price || !self.entitlements.tenant.settings.allow_unpriced) {
            return Err(match terms.service_tier {
                tier if has_other_price && tier != ServiceTier::Default => {
                    ApiError::unpriced_tier(model.id.as_str(), tier.as_str())
                }
                _ => ApiError::unpriced_model(model.id.as_str()),
            });
        }
        let (price, price_version) = match quote {
            Some(Quote { price, version }) => (price.clone(), version),
            None => (Price::default(), UNPRICED.to_owned()),
        };
        let target = Priced {
            model: Arc::clone(model),
            provider: Arc::clone(provider),
            price,
            price_version,
            has_price,
            service_tier: terms.service_tier,
            bound,
        };
        target.check()?;
        Ok(target)
    }
}

/// Finds what `name` stands for: the tenant's alias, the organisation's, a model, or what a provider
/// calls an allowed model, in this order. A shadow names a model, whatever else has its name.
///
/// `affinity` is a hash of what ties the turns of a conversation together.
///
/// # Errors
/// 403 for a tenant that is not served; 404 if there is nothing of that name for this tenant, or no such
/// project, after looking once more at what may have changed.
pub(crate) async fn resolve<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    call: &Call,
    name: &str,
    project: Option<&str>,
    affinity: Option<u64>,
    freshness: Freshness,
) -> Result<Route, ApiError> {
    let (mut freshness, now_ms) = (freshness, call.started_ms);
    loop {
        let (entitlements, catalog) = configuration(state, context, freshness, now_ms).await?;
        let project_id = entitlements.project_of(&context.principal.id, project);
        if freshness == Freshness::Remembered && !entitlements.is_active() {
            // Resumed a moment ago, perhaps; nobody's meter is asked for a tenant that is not served.
            freshness = Freshness::Reread;
            continue;
        }
        if freshness == Freshness::Remembered && project_id.is_err() {
            freshness = Freshness::Recent;
            continue;
        }
        if !entitlements.is_active() {
            return Err(suspended(context, &entitlements, now_ms));
        }
        let project_id =
            project_id.map_err(|unknown| ApiError::unknown_project(&unknown.project))?;
        let allowed_models: Vec<Arc<Model>> = entitlements
            .tenant
            .models
            .0
            .iter()
            .filter_map(|id| catalog.models.get(id))
            .filter(|model| model.is_callable_at(now_ms))
            .cloned()
            .collect();
        let aliases =
            state.configuration.aliases(context, entitlements.tenant.entitlement_version, now_ms);
        let aliases = aliases.await?;
        let alias =
            name.parse::<ModelId>().ok().filter(|_| !call.is_shadow()).and_then(|name| {
                aliases.get(&name).or_else(|| catalog.aliases.get(&name)).cloned()
            });
        let targets = match &alias {
            Some(alias) => {
                let is_allowed = |id: &ModelId| allowed_models.iter().any(|model| &model.id == id);
                let meant = alias.at(&catalog, now_ms);
                let order = routing::candidates(
                    &meant,
                    is_allowed,
                    (state.random)(),
                    affinity,
                    &state.health,
                    now_ms,
                );
                let find =
                    |id: &ModelId| allowed_models.iter().find(|model| &model.id == id).cloned();
                order.iter().filter_map(find).collect()
            }
            None => allowed_models
                .iter()
                .find(|model| model.id.as_str() == name)
                .or_else(|| allowed_models.iter().find(|model| model.provider_model_id == name))
                .cloned()
                .into_iter()
                .collect::<Vec<_>>(),
        };
        if !targets.is_empty() {
            let requested = name.to_owned();
            return Ok(Route {
                requested,
                entitlements,
                catalog,
                alias,
                targets,
                allowed_models,
                project_id,
                region: state.region.clone(),
            });
        }
        // Allowed a moment ago, perhaps; what is remembered must not be the last word on a "no".
        if freshness != Freshness::Remembered {
            return Err(refused(name, alias.as_deref(), &entitlements, &catalog, now_ms));
        }
        freshness = Freshness::Recent;
    }
}

/// Why nothing answers to `name`. Only what was the tenant's to call has ended for it; all else is not there.
fn refused(
    name: &str,
    alias: Option<&Alias>,
    entitlements: &Entitlements,
    catalog: &Catalog,
    now_ms: i64,
) -> ApiError {
    let mut own = entitlements.tenant.models.0.iter().filter_map(|id| catalog.models.get(id));
    let is_meant = |model: &&Arc<Model>| match alias {
        Some(alias) => alias.models().any(|id| *id == model.id),
        None => model.id.as_str() == name || model.provider_model_id == name,
    };
    match own.find(|model| is_meant(model) && model.stage_at(now_ms) == Stage::Retired) {
        Some(model) => ApiError::retired_model(name, model.successor().map(ModelId::as_str)),
        None => ApiError::unknown_model(name),
    }
}

/// The caller's tenant as it is now, if it is served: for what runs no model, and so is not admitted.
///
/// # Errors
/// 403 for a tenant that is suspended or unknown; 503 if that cannot be found out.
pub async fn active_tenant<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
) -> Result<Arc<Entitlements>, ApiError> {
    let now_ms = (state.now_ms)();
    let found = state.configuration.entitlements(context, Freshness::Recent, now_ms).await?;
    match found {
        Some(found) if found.is_active() => Ok(found),
        Some(found) => Err(suspended(context, &found, now_ms)),
        None => {
            let scope = Scope::Tenant(context.tenant_id.clone());
            Err(ApiError::denied(&scope, &Denial::Unknown, now_ms))
        }
    }
}

fn suspended(context: &TenantContext, entitlements: &Entitlements, now_ms: i64) -> ApiError {
    let scope = if entitlements.tenant.status == tenancy::Status::Active {
        Scope::Lob(context.lob_id.clone())
    } else {
        Scope::Tenant(context.tenant_id.clone())
    };
    ApiError::denied(&scope, &Denial::Suspended, now_ms)
}

/// The caller's entitlements and the catalog.
pub(crate) async fn configuration<P: Ports>(
    state: &State<P>,
    context: &TenantContext,
    freshness: Freshness,
    now_ms: i64,
) -> Result<(Arc<Entitlements>, Arc<Catalog>), ApiError> {
    let Some(entitlements) = state.configuration.entitlements(context, freshness, now_ms).await?
    else {
        let scope = Scope::Tenant(context.tenant_id.clone());
        return Err(ApiError::denied(&scope, &Denial::Unknown, now_ms));
    };
    let catalog = state.configuration.catalog(freshness, now_ms).await?;
    Ok((entitlements, catalog))
}

//! Meters that a new limit finds: what was used before it was written counts, too.
//!
//! A tenant's meter for all models counts always. Any other counts while a limit needs it, so what it
//! missed is read from the rollups, and from the reservations that are open at this moment in the meters
//! of the tenants below.

use std::collections::{BTreeMap, BTreeSet};

use admission::{
    Counter, Counters, LimitOwner, LimitRule, LimitSet, Metric, Minute, ModelSelector, Period,
    Reservation, Scope,
};
use http_api::{ApiError, store_failed};
use jiff::Timestamp;
use metering::{RecordId, Rollup};
use tenancy::{ModelId, PrincipalId, ProjectId, TenantId};

use crate::report::rows::reads;
use crate::{State, Store};

/// Whose use of which models a meter counts.
type Target = (Scope, ModelSelector);

/// What is known of a piece of use.
struct Use<'a> {
    tenant_id: &'a TenantId,
    project_id: Option<&'a ProjectId>,
    principal_id: &'a PrincipalId,
    model: &'a ModelId,
}

/// The meters that a change needs, and what they have missed.
struct Missed<'a> {
    owner: &'a LimitOwner,
    /// Models that nothing of the owner's counted so far.
    models: BTreeSet<ModelSelector>,
    /// Those of them that a child has a share of, which counts in its own meter.
    shared: BTreeSet<ModelSelector>,
    families: BTreeMap<ModelId, ModelId>,
    used: BTreeMap<Target, Counters>,
}

/// Fills the meters that `rules` need and that nothing counted in so far.
///
/// # Errors
/// What was used cannot be read; nothing is changed then.
pub(crate) async fn seed_meters(
    state: &State<impl Store>,
    owner: &LimitOwner,
    before: &LimitSet,
    rules: &[LimitRule],
) -> Result<(), ApiError> {
    let now = (state.now)();
    let Some(mut missed) = missed_by(owner, before, rules, now) else { return Ok(()) };
    missed.families = state.store.families().await.map_err(store_failed)?;
    for tenant in tenants_below(state, owner).await? {
        missed.add_settled(state, &tenant, now).await?;
        missed.add_open(state, &tenant, now).await?;
    }
    let minute = Minute::of(now.as_millisecond());
    for ((scope, models), used) in &missed.used {
        let layout = match scope {
            Scope::Org | Scope::Lob(_) => before.layout,
            Scope::Tenant(id) => {
                let of_tenant = state.store.limits(&LimitOwner::Tenant(id.clone())).await;
                of_tenant.map_err(store_failed)?.map(|set| set.layout).unwrap_or_default()
            }
            Scope::Project(..) | Scope::Principal(..) => admission::MeterLayout::default(),
        };
        state.store.seed(scope, models, layout, used, minute).await.map_err(store_failed)?;
    }
    Ok(())
}

/// What the change needs that was not counted; nothing, mostly.
fn missed_by<'a>(
    owner: &'a LimitOwner,
    before: &LimitSet,
    rules: &[LimitRule],
    now: Timestamp,
) -> Option<Missed<'a>> {
    let selectors = |rules: &[LimitRule], is_shared: bool| -> BTreeSet<ModelSelector> {
        let rules = rules.iter().filter(|rule| !is_shared || rule.max_share.is_some());
        rules.map(|rule| rule.models.clone()).collect()
    };
    let in_force: Vec<LimitRule> = before
        .rules
        .iter()
        .filter(|rule| rule.is_in_force(now.as_millisecond()))
        .cloned()
        .collect();
    let new = |is_shared| -> BTreeSet<ModelSelector> {
        let counted = selectors(&in_force, is_shared);
        selectors(rules, is_shared).difference(&counted).cloned().collect()
    };
    let (mut models, mut shared) = (new(false), new(true));
    match owner {
        LimitOwner::Tenant(_) => _ = models.remove(&ModelSelector::All),
        LimitOwner::Org | LimitOwner::Lob(_) => _ = shared.remove(&ModelSelector::All),
        _ => shared.clear(),
    }
    let needs_none = models.is_empty() && shared.is_empty();
    let (families, used) = (BTreeMap::new(), BTreeMap::new());
    (!needs_none).then_some(Missed { owner, models, shared, families, used })
}

async fn tenants_below(
    state: &State<impl Store>,
    owner: &LimitOwner,
) -> Result<Vec<TenantId>, ApiError> {
    let lobs = match owner {
        LimitOwner::Org => state.store.lobs().await.map_err(store_failed)?,
        LimitOwner::Lob(id) => vec![id.clone()],
        _ => return Ok(owner.tenant_id().cloned().into_iter().collect()),
    };
    let mut tenants = Vec::new();
    for lob in &lobs {
        tenants.extend(state.store.tenants(lob).await.map_err(store_failed)?);
    }
    Ok(tenants)
}

impl Missed<'_> {
    /// Adds what a tenant settled in the current windows.
    async fn add_settled(
        &mut self,
        state: &State<impl Store>,
        tenant: &TenantId,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let minute = Minute::of(now.as_millisecond());
        // The hour that is running is read with the others.
        let until = Timestamp::from_millisecond(minute.start_ms().saturating_add(3_600_000));
        let until = until.unwrap_or(now);
        for period in Period::ALL.into_iter().filter(|period| *period != Period::Minute) {
            let start = state.calendar.start_of(minute, period).start_ms().max(0);
            let start = Timestamp::from_millisecond(start).unwrap_or(Timestamp::UNIX_EPOCH);
            for (granularity, from_ms, to_ms) in reads(start, until, None, &state.calendar) {
                let rows = state.store.rollups(tenant, granularity, from_ms, to_ms).await;
                for row in rows.map_err(|error| ApiError::store_failed(&error))? {
                    let of = Use {
                        tenant_id: tenant,
                        project_id: row.key.project_id.as_ref(),
                        principal_id: &row.key.principal_id,
                        model: &row.key.model,
                    };
                    self.add(&of, |counter| {
                        if counter.period == period {
                            settled(&row.rollup, counter.metric)
                        } else {
                            0
                        }
                    });
                }
            }
        }
        Ok(())
    }

    /// Adds what calls of a tenant that are running hold.
    async fn add_open(
        &mut self,
        state: &State<impl Store>,
        tenant: &TenantId,
        now: Timestamp,
    ) -> Result<(), ApiError> {
        let own = LimitOwner::Tenant(tenant.clone());
        let Some(set) = state.store.limits(&own).await.map_err(store_failed)? else {
            return Ok(());
        };
        let meters = state.store.meters_of(&own.scope(), &ModelSelector::All, set.layout).await;
        let windows = state.calendar.windows(Minute::of(now.as_millisecond()));
        let meters = meters.map_err(store_failed)?;
        for (key, open) in meters.iter().flat_map(|meter| &meter.open) {
            let Some(id) = RecordId::from_open_key(key) else { continue };
            let detail = state.store.detail(tenant, &id).await.map_err(store_failed)?;
            // It ended meanwhile.
            let Some(detail) = detail else { continue };
            let of = Use {
                tenant_id: tenant,
                project_id: detail.project_id.as_ref(),
                principal_id: &detail.principal_id,
                model: &detail.choice.model,
            };
            self.add(&of, |counter| held(open, counter, &windows));
        }
        Ok(())
    }

    /// Adds a piece of use wherever it counts.
    fn add(&mut self, of: &Use<'_>, amount: impl Fn(Counter) -> u64) {
        let family = self.families.get(of.model).unwrap_or(of.model).clone();
        let mut scopes = Vec::new();
        if let Some(scope) = self.scope(of) {
            scopes.push((scope, &self.models));
        }
        let tenant_id = of.tenant_id.clone();
        match self.owner {
            LimitOwner::Org | LimitOwner::Lob(_) => {
                scopes.push((Scope::Tenant(tenant_id), &self.shared));
            }
            LimitOwner::Tenant(_) => {
                let principal = of.principal_id.clone();
                scopes.push((Scope::Principal(tenant_id, principal), &self.shared));
            }
            _ => {}
        }
        for (scope, models) in scopes {
            for selector in models.iter().filter(|selector| selector.selects(of.model, &family)) {
                let used = self.used.entry((scope.clone(), selector.clone())).or_default();
                for counter in Counter::ALL {
                    used.set(counter, used.get(counter).saturating_add(amount(counter)));
                }
            }
        }
    }

    /// The owner's own scope, if the use counts there.
    fn scope(&self, of: &Use<'_>) -> Option<Scope> {
        match self.owner {
            LimitOwner::Project(_, id) => (of.project_id == Some(id)).then(|| self.owner.scope()),
            LimitOwner::Principal(_, id) => (of.principal_id == id).then(|| self.owner.scope()),
            LimitOwner::EachPrincipal(tenant) => {
                Some(Scope::Principal(tenant.clone(), of.principal_id.clone()))
            }
            _ => Some(self.owner.scope()),
        }
    }
}

fn settled(rollup: &Rollup, metric: Metric) -> u64 {
    match metric {
        Metric::Concurrency => 0,
        Metric::Requests => rollup.calls,
        Metric::InputTokens => rollup.usage.total_input(),
        Metric::OutputTokens => rollup.usage.total_output(),
        Metric::TotalTokens => rollup.usage.total(),
        Metric::Cost => rollup.cost_nanousd.0,
    }
}

/// What a reservation takes of a counter; nothing if its window is over.
fn held(open: &Reservation, counter: Counter, windows: &admission::Windows) -> u64 {
    if windows.has_ended(counter.period, open.minute) { 0 } else { open.takes(counter.metric) }
}

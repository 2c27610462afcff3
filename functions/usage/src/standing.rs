//! `GET /v1/usage/limits`: every limit that the caller meets, and what is left of it.

use admission::{Entitlements, LimitOwner, LimitRule, Metric, Minute, ScopeLimits, used_of};
use http::{Response, StatusCode};
use http_api::{ApiError, Ask, Body, answer, store_failed};
use inference::FaultKind;
use serde_json::{Map, Value, json};
use tenancy::{Permission, TenantContext};

use crate::answer::usd;
use crate::{State, Store};

/// A limit, whose it is, and which meters count against it.
struct Met<'a> {
    /// Whose limit it is.
    owner: LimitOwner,
    /// Whose use counts: the owner's, or one child's where the limit is a share of the owner's.
    counted: LimitOwner,
    rule: &'a LimitRule,
    layout: admission::MeterLayout,
    /// Percent of it that the one who counts may use.
    share: u8,
}

pub(crate) async fn show(
    state: &State<impl Store>,
    context: &TenantContext,
    ask: &Ask<'_>,
) -> Result<Response<Body>, ApiError> {
    context.require(Permission::ReadOwnUsage)?;
    ask.only(&[])?;
    let Some(entitlements) = state.store.entitlements(context).await.map_err(store_failed)? else {
        let message = "Your tenant is not set up, or being moved. Try again in a moment.";
        return Err(ApiError::new(FaultKind::PermissionDenied, "unknown_tenant", message));
    };
    let now_ms = (state.now)().as_millisecond();
    let mut limits = Vec::new();
    for met in met_by(&entitlements, context) {
        if met.rule.is_in_force(now_ms) {
            limits.push(standing(state, context, &met, now_ms).await?);
        }
    }
    let body = json!({
        "object": "list",
        "tenant_id": context.tenant_id,
        "principal_id": context.principal.id,
        "time_zone": state.calendar.name(),
        "data": limits,
    });
    Ok(answer(StatusCode::OK, &body))
}

/// The limits that calls of the caller meet, nearest first.
fn met_by<'a>(entitlements: &'a Entitlements, context: &TenantContext) -> Vec<Met<'a>> {
    let id = &context.tenant_id;
    let tenant = LimitOwner::Tenant(id.clone());
    let caller = LimitOwner::Principal(id.clone(), context.principal.id.clone());
    let lob = LimitOwner::Lob(context.lob_id.clone());
    let TenantParts { own, projects, limits } = parts(entitlements, context);
    let unsharded = admission::MeterLayout::default();

    let mut met = Vec::new();
    met.extend(own.iter().map(|rule| whole(&caller, rule, unsharded)));
    for (owner, rules) in projects {
        met.extend(rules.iter().map(|rule| whole(&owner, rule, unsharded)));
    }
    met.extend(limits.limits.iter().map(|rule| whole(&tenant, rule, limits.meter_layout)));
    met.extend(shares(&tenant, &caller, &limits.limits, unsharded));
    for (owner, of_owner) in [(&lob, &entitlements.lob), (&LimitOwner::Org, &entitlements.org)] {
        met.extend(of_owner.limits.iter().map(|rule| whole(owner, rule, of_owner.meter_layout)));
        met.extend(shares(owner, &tenant, &of_owner.limits, limits.meter_layout));
    }
    met
}

/// What a tenant's entitlements say of the caller, its projects, and all.
struct TenantParts<'a> {
    own: &'a [LimitRule],
    projects: Vec<(LimitOwner, &'a [LimitRule])>,
    limits: &'a ScopeLimits,
}

fn parts<'a>(entitlements: &'a Entitlements, context: &TenantContext) -> TenantParts<'a> {
    let limits = &entitlements.limits;
    let own = limits.principal_limits.get(&context.principal.id);
    let is_open = |project: &tenancy::ProjectId| {
        entitlements.project_of(&context.principal.id, Some(project.as_str())).is_ok()
            || context.require(Permission::ReadLimits).is_ok()
    };
    let projects = limits.project_limits.iter().filter(|(project, _)| is_open(project));
    let owner = |project: &tenancy::ProjectId| {
        LimitOwner::Project(context.tenant_id.clone(), project.clone())
    };
    TenantParts {
        own: own.unwrap_or(&limits.each_principal_limits),
        projects: projects.map(|(id, rules)| (owner(id), rules.as_slice())).collect(),
        limits: &limits.tenant,
    }
}

fn whole<'a>(owner: &LimitOwner, rule: &'a LimitRule, layout: admission::MeterLayout) -> Met<'a> {
    Met { owner: owner.clone(), counted: owner.clone(), rule, layout, share: 100 }
}

fn shares<'a>(
    owner: &LimitOwner,
    child: &LimitOwner,
    rules: &'a [LimitRule],
    layout: admission::MeterLayout,
) -> impl Iterator<Item = Met<'a>> {
    let (owner, child) = (owner.clone(), child.clone());
    rules.iter().filter_map(move |rule| {
        let (owner, counted) = (owner.clone(), child.clone());
        Some(Met { owner, counted, rule, layout, share: rule.max_share? })
    })
}

async fn standing(
    state: &State<impl Store>,
    context: &TenantContext,
    met: &Met<'_>,
    now_ms: i64,
) -> Result<Value, ApiError> {
    let rule = met.rule;
    let meters = state.store.meters_of(&met.counted.scope(), &rule.models, met.layout).await;
    let now = Minute::of(now_ms);
    let (settled, reserved) = used_of(rule, &meters.map_err(store_failed)?, &state.calendar, now);
    let used = settled.saturating_add(reserved);
    let allowed = u128::from(rule.amount_at(now_ms)) * u128::from(met.share) / 100;
    let allowed = u64::try_from(allowed).unwrap_or(u64::MAX);
    let resets = rule.period.and_then(|period| state.calendar.end_of(now, period));

    let mut shown = Map::new();
    let mut set = |name: &str, value: Value| _ = shown.insert(name.to_owned(), value);
    set("scope", met.counted.to_string().into());
    if met.counted != met.owner {
        set("share_of", met.owner.to_string().into());
        set("share_percent", met.share.into());
    }
    set("limit_id", rule.id.clone().into());
    set("metric", json!(rule.metric));
    set("period", json!(rule.period));
    set("models", if rule.models.is_all() { Value::Null } else { json!(rule.models) });
    set("enforcement", json!(rule.enforcement));
    set("used_percent", percent(used, allowed).into());
    set("resets_at", json!(resets.map(Minute::to_rfc3339)));
    if !sees_amounts(context, &met.owner) {
        return Ok(Value::Object(shown));
    }
    for (name, value) in [
        ("amount", allowed),
        ("used", settled),
        ("reserved", reserved),
        ("remaining", allowed.saturating_sub(used)),
    ] {
        set(name, value.into());
        if rule.metric == Metric::Cost {
            set(&format!("{name}_usd"), usd(value).into());
        }
    }
    set("reserved_for_classes", json!(rule.reserved));
    set("thresholds", json!(rule.thresholds));
    set("on_exhausted", json!(rule.on_exhausted));
    let is_valid = |raise: &&admission::Raise| {
        (raise.valid_from.as_millisecond()..raise.valid_until.as_millisecond()).contains(&now_ms)
    };
    set("raises", json!(rule.raises.iter().filter(is_valid).collect::<Vec<_>>()));
    Ok(Value::Object(shown))
}

/// Whether the caller may know how much a limit of `owner` is; of limits above its tenant others
/// learn how full they are, since that stops them, and nothing of who used what.
fn sees_amounts(context: &TenantContext, owner: &LimitOwner) -> bool {
    match owner {
        LimitOwner::Org => context.require(Permission::ReadOrgUsage).is_ok(),
        LimitOwner::Lob(_) => context.require(Permission::ReadLobUsage).is_ok(),
        _ => true,
    }
}

fn percent(used: u64, allowed: u64) -> u64 {
    u64::try_from(u128::from(used) * 100 / u128::from(allowed.max(1))).unwrap_or(u64::MAX)
}

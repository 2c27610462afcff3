//! Limits as administrators see and change them.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenancy::{LobId, PrincipalId, PrincipalKind, ProjectId, Role, TenantContext, TenantId};

use crate::{
    Calendar, Counter, Counters, LimitRule, Meter, MeterLayout, Minute, ModelSelector, Scope,
    StoreError,
};

/// Whose limits one list is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LimitOwner {
    /// The organisation.
    Org,
    /// A line of business.
    Lob(LobId),
    /// A tenant.
    Tenant(TenantId),
    /// A project of a tenant.
    Project(TenantId, ProjectId),
    /// A principal of a tenant.
    Principal(TenantId, PrincipalId),
    /// Each principal of a tenant that has no limits of its own.
    EachPrincipal(TenantId),
}

/// A list of limits as it is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitSet {
    /// Counts the changes of the level: of the organisation, the line of business, or the tenant with
    /// all its projects and principals.
    pub version: u64,
    /// The line of business that a tenant belongs to; none above tenants.
    pub lob_id: Option<LobId>,
    /// The limits.
    pub rules: Vec<LimitRule>,
    /// How the level's meters are laid out.
    pub layout: MeterLayout,
    /// How many limits the level's item holds in all its lists: an item has room for so many.
    pub rules_of_level: usize,
    /// Whether a change has not reached all that it is about yet.
    pub is_changing: bool,
}

/// Somebody asks for more of a limit, for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaiseRequest {
    /// Names it.
    pub id: String,
    /// The limit that it is about.
    pub limit_id: String,
    /// How much more: nano-USD of cost, else a count.
    pub amount: u64,
    /// From when on.
    pub valid_from: Timestamp,
    /// Until when.
    pub valid_until: Timestamp,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// Who asks.
    pub requested_by: PrincipalId,
    /// The tenant that they belong to.
    pub requested_by_tenant: TenantId,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// What became of it.
    pub status: RequestStatus,
    /// Who decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<PrincipalId>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Timestamp>,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestStatus {
    /// Nobody has decided yet.
    Requested,
    /// It was granted.
    Approved,
    /// It was not.
    Rejected,
}

/// Who did, or tried, what to limits, prices or bills, and what it changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Names it, in the order of time.
    pub id: String,
    /// When.
    pub time: Timestamp,
    /// What was done: `limits.set`, `raise.approved`, ..
    pub action: String,
    /// To what, as the API's paths name it: `lobs/retail`.
    pub subject: String,
    /// Who did it.
    pub principal_id: PrincipalId,
    /// What kind of caller that is; not said by entries from before it was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_kind: Option<PrincipalKind>,
    /// The tenant that they belong to.
    pub tenant_id: TenantId,
    /// What they are there.
    pub roles: BTreeSet<Role>,
    /// Whether they were let.
    pub is_allowed: bool,
    /// The version that it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// How it was.
    pub before: Value,
    /// How it is.
    pub after: Value,
}

/// A change of a list of limits.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitChange {
    /// The version that it was made from; the change is refused if there is a newer one.
    pub version: u64,
    /// The limits from now on.
    pub rules: Vec<LimitRule>,
    /// The request that it grants, decided.
    pub granted: Option<RaiseRequest>,
    /// Who changes it, and what.
    pub entry: AuditEntry,
}

/// Reads and changes limits; each method takes the owner, which its caller was found to be permitted.
pub trait LimitStore: Send + Sync {
    /// The limits of `owner`; `None` if there is no such line of business or tenant.
    fn limits(
        &self,
        owner: &LimitOwner,
    ) -> impl Future<Output = Result<Option<LimitSet>, StoreError>> + Send;

    /// Makes the change, its audit entry and the note that it is unfinished in one write; whether the
    /// version was still the one that it was made from, and its request still open.
    fn change(
        &self,
        owner: &LimitOwner,
        change: &LimitChange,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Takes the note away that the change to `version` is unfinished.
    fn finish(
        &self,
        owner: &LimitOwner,
        version: u64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Levels whose last change is unfinished, with its version.
    fn unfinished(&self)
    -> impl Future<Output = Result<Vec<(LimitOwner, u64)>, StoreError>> + Send;

    /// Every line of business.
    fn lobs(&self) -> impl Future<Output = Result<Vec<LobId>, StoreError>> + Send;

    /// The tenants of a line of business.
    fn tenants(
        &self,
        lob_id: &LobId,
    ) -> impl Future<Output = Result<Vec<TenantId>, StoreError>> + Send;

    /// Makes every cached copy of the tenant's entitlements stale; `raise` to a new version, else only
    /// its meter to the version that there is.
    fn renew(
        &self,
        tenant_id: &TenantId,
        raise: bool,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Every meter of a scope that counts `models`, one of each shard; none that has not counted yet.
    fn meters_of(
        &self,
        scope: &Scope,
        models: &ModelSelector,
        layout: MeterLayout,
    ) -> impl Future<Output = Result<Vec<Meter>, StoreError>> + Send;

    /// Brings the counts of a scope's meters for `models`, in the windows of `now`, to `used` at least:
    /// what they missed while no limit needed them.
    fn seed(
        &self,
        scope: &Scope,
        models: &ModelSelector,
        layout: MeterLayout,
        used: &Counters,
        now: Minute,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Writes a request for a raise, with its audit entry.
    fn put_raise(
        &self,
        owner: &LimitOwner,
        raise: &RaiseRequest,
        entry: &AuditEntry,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Rejects a request, with its audit entry; whether it was still open.
    fn reject_raise(
        &self,
        owner: &LimitOwner,
        raise: &RaiseRequest,
        entry: &AuditEntry,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The requests for raises of `owner`'s limits, latest first.
    fn raises(
        &self,
        owner: &LimitOwner,
    ) -> impl Future<Output = Result<Vec<RaiseRequest>, StoreError>> + Send;

    /// Notes what is no change of limits: an attempt that was refused.
    fn note(&self, entry: &AuditEntry) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// What was done to `owner`'s limits, latest first: `limit` entries that stand before the
    /// [position](AuditEntry::position) `before`.
    fn history(
        &self,
        owner: &LimitOwner,
        before: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<AuditEntry>, StoreError>> + Send;
}

impl AuditEntry {
    /// That the caller does something, which changes nothing that is known so far.
    pub fn of(
        context: &TenantContext,
        id: String,
        time: Timestamp,
        action: &str,
        subject: String,
    ) -> Self {
        Self {
            id,
            time,
            action: action.to_owned(),
            subject,
            principal_id: context.principal.id.clone(),
            principal_kind: Some(context.principal.kind),
            tenant_id: context.tenant_id.clone(),
            roles: context.roles.clone(),
            is_allowed: true,
            version: None,
            before: Value::Null,
            after: Value::Null,
        }
    }

    /// Where it stands among others: their order is that of time.
    pub fn position(&self) -> String {
        format!("{:.3}#{}", self.time, self.id)
    }
}

impl From<Scope> for LimitOwner {
    /// The scope's own list.
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Org => Self::Org,
            Scope::Lob(id) => Self::Lob(id),
            Scope::Tenant(id) => Self::Tenant(id),
            Scope::Project(tenant, id) => Self::Project(tenant, id),
            Scope::Principal(tenant, id) => Self::Principal(tenant, id),
        }
    }
}

impl LimitOwner {
    /// The list that a path names: `org`, `lobs/<id>`, `tenants/<id>`, `tenants/<id>/projects/<id>`,
    /// `tenants/<id>/principals/<id>`, `tenants/<id>/each-principal`; none if it names none.
    pub fn of_path(path: &[&str]) -> Option<Self> {
        Some(match path {
            ["org"] => Self::Org,
            ["lobs", lob] => Self::Lob(lob.parse().ok()?),
            ["tenants", tenant] => Self::Tenant(tenant.parse().ok()?),
            ["tenants", tenant, "projects", project] => {
                Self::Project(tenant.parse().ok()?, project.parse().ok()?)
            }
            ["tenants", tenant, "principals", principal] => {
                let principal = PrincipalId::try_from((*principal).to_owned()).ok()?;
                Self::Principal(tenant.parse().ok()?, principal)
            }
            ["tenants", tenant, "each-principal"] => Self::EachPrincipal(tenant.parse().ok()?),
            _ => return None,
        })
    }

    /// The list that [`Self`]'s text names.
    pub fn of_text(text: &str) -> Option<Self> {
        // A principal's id may hold slashes; it stands last.
        Self::of_path(&text.splitn(4, '/').collect::<Vec<_>>())
    }

    /// The tenant that it is or belongs to; none above tenants.
    pub fn tenant_id(&self) -> Option<&TenantId> {
        match self {
            Self::Org | Self::Lob(_) => None,
            Self::Tenant(id)
            | Self::Project(id, _)
            | Self::Principal(id, _)
            | Self::EachPrincipal(id) => Some(id),
        }
    }

    /// The level whose item holds the list.
    #[must_use]
    pub fn level(&self) -> Self {
        self.tenant_id().map_or_else(|| self.clone(), |id| Self::Tenant(id.clone()))
    }

    /// The scope that counts against the limits; for each principal, any of them will do for what can
    /// be checked of a list.
    pub fn scope(&self) -> Scope {
        match self.clone() {
            Self::Org => Scope::Org,
            Self::Lob(id) => Scope::Lob(id),
            Self::Tenant(id) => Scope::Tenant(id),
            Self::Project(tenant, id) => Scope::Project(tenant, id),
            Self::Principal(tenant, id) => Scope::Principal(tenant, id),
            Self::EachPrincipal(tenant) => match PrincipalId::try_from("each".to_owned()) {
                Ok(each) => Scope::Principal(tenant, each),
                Err(_) => Scope::Tenant(tenant),
            },
        }
    }
}

impl fmt::Display for LimitOwner {
    /// As the API's paths name it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Org => f.write_str("org"),
            Self::Lob(id) => write!(f, "lobs/{id}"),
            Self::Tenant(id) => write!(f, "tenants/{id}"),
            Self::Project(tenant, id) => write!(f, "tenants/{tenant}/projects/{id}"),
            Self::Principal(tenant, id) => write!(f, "tenants/{tenant}/principals/{id}"),
            Self::EachPrincipal(tenant) => write!(f, "tenants/{tenant}/each-principal"),
        }
    }
}

/// What is used of a rule's counter, in all of its meters together: settled, and reserved on top.
pub fn used_of(rule: &LimitRule, meters: &[Meter], calendar: &Calendar, now: Minute) -> (u64, u64) {
    let of_meter = |meter: &Meter| match rule.counter() {
        // The windows that are over count nothing, nor does what is reserved in them.
        Some(counter) => {
            let used = meter.standing(calendar, now).get(counter);
            let reserved = if used == 0 { 0 } else { meter.reserved(calendar, counter).min(used) };
            (used - reserved, reserved)
        }
        None => (0, meter.open.values().map(|open| open.takes(rule.metric)).sum()),
    };
    meters.iter().map(of_meter).fold((0, 0), |(settled, reserved), (more, open)| {
        (settled.saturating_add(more), reserved.saturating_add(open))
    })
}

/// What was settled in the current windows of `meters`, all shards of one, without what is reserved.
pub fn settled(meters: &[Meter], calendar: &Calendar, now: Minute) -> Counters {
    let mut settled = Counters::default();
    for meter in meters {
        let standing = meter.standing(calendar, now);
        for counter in Counter::ALL {
            let used = standing.get(counter);
            let reserved = if used == 0 { 0 } else { meter.reserved(calendar, counter) };
            let sum = settled.get(counter).saturating_add(used.saturating_sub(reserved));
            settled.set(counter, sum);
        }
    }
    settled
}

/// Makes the change to `version` effective below `owner`: every tenant there is told, then the note
/// that it is unfinished is taken away. A change that nobody finished is finished by whoever finds the
/// note, at the latest by the schedule; to tell a tenant twice does no harm.
///
/// # Errors
/// A tenant could not be told; the note stays.
pub async fn finish_change(
    store: &impl LimitStore,
    owner: &LimitOwner,
    version: u64,
) -> Result<usize, StoreError> {
    let lobs = match owner {
        LimitOwner::Org => store.lobs().await?,
        LimitOwner::Lob(id) => vec![id.clone()],
        _ => Vec::new(),
    };
    let mut tenants = Vec::new();
    for lob in &lobs {
        tenants.extend(store.tenants(lob).await?);
    }
    if let Some(id) = owner.tenant_id() {
        // Its own version was raised by the change itself.
        store.renew(id, false).await?;
    }
    for some in tenants.chunks(RENEWED_TOGETHER) {
        futures::future::try_join_all(some.iter().map(|id| store.renew(id, true))).await?;
    }
    store.finish(owner, version).await?;
    Ok(tenants.len())
}

/// Tenants that are told at the same time.
const RENEWED_TOGETHER: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_named_as_the_api_names_it() {
        for text in [
            "org",
            "lobs/retail",
            "tenants/acme",
            "tenants/acme/projects/web-shop",
            "tenants/acme/principals/auth0|a/b#c",
            "tenants/acme/each-principal",
        ] {
            let owner = LimitOwner::of_text(text).unwrap();
            assert_eq!(owner.to_string(), text);
            assert!(matches!(
                owner.level(),
                LimitOwner::Org | LimitOwner::Lob(_) | LimitOwner::Tenant(_)
            ));
        }
        for text in [
            "",
            "lobs",
            "lobs/",
            "org/x",
            "tenants/ACME",
            "tenants/acme/projects",
            "tenants/acme/x/y",
        ] {
            assert_eq!(LimitOwner::of_text(text), None, "{text}");
        }
    }
}

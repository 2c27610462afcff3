//! What a tenant may do, as it was last read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tenancy::{PrincipalId, ProjectId, Status, Tenant, TenantContext};

use crate::{
    Cap, LimitRule, LimitedCall, LimitedScope, MeterLayout, ModelSelector, Scope, StoreError,
};

/// What a scope is limited to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ScopeLimits {
    /// Its limits.
    #[serde(default)]
    pub limits: Vec<LimitRule>,
    /// How its meters are laid out.
    #[serde(default)]
    pub meter_layout: MeterLayout,
}

/// What a tenant, its projects and its principals are limited to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TenantLimits {
    /// The tenant as a whole.
    #[serde(flatten)]
    pub tenant: ScopeLimits,
    /// Each of these projects.
    #[serde(default)]
    pub project_limits: BTreeMap<ProjectId, Vec<LimitRule>>,
    /// Each of these principals.
    #[serde(default)]
    pub principal_limits: BTreeMap<PrincipalId, Vec<LimitRule>>,
    /// Every principal without limits of its own.
    #[serde(default)]
    pub each_principal_limits: Vec<LimitRule>,
}

/// A tenant with the limits of all its scopes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entitlements {
    /// The tenant: status, models, defaults.
    pub tenant: Tenant,
    /// Whether its line of business is served.
    pub lob_status: Status,
    /// Its own limits.
    pub limits: TenantLimits,
    /// Those of its line of business.
    pub lob: ScopeLimits,
    /// Those of the organisation.
    pub org: ScopeLimits,
}

/// Reads entitlements.
pub trait EntitlementStore: Send + Sync {
    /// The entitlements of the caller's tenant as they are now; `None` if it was never onboarded.
    fn entitlements(
        &self,
        context: &TenantContext,
    ) -> impl Future<Output = Result<Option<Entitlements>, StoreError>> + Send;
}

impl Entitlements {
    /// Whether the tenant is served: it and its line of business are active.
    pub fn is_active(&self) -> bool {
        self.tenant.status == Status::Active && self.lob_status == Status::Active
    }

    /// The scopes that must admit a call of `principal` for `project`, the tenant's own first.
    ///
    /// The tenant's own meter is always one of them; it says whether the entitlements are current.
    /// Of all others only those are, that have a limit in force which the call counts against.
    pub fn scopes_of(
        &self,
        principal: &PrincipalId,
        project: Option<&ProjectId>,
        call: &LimitedCall<'_>,
    ) -> Vec<LimitedScope> {
        let id = &self.tenant.tenant_id;
        let principal_limits = self.limits.principal_limits.get(principal);
        let principal_limits = principal_limits.unwrap_or(&self.limits.each_principal_limits);
        let layout = self.limits.tenant.meter_layout;
        let unsharded = MeterLayout::default();

        let (tenant, lob) = (Scope::Tenant(id.clone()), Scope::Lob(self.tenant.lob_id.clone()));
        let mut scopes = Scopes { call, found: BTreeMap::new() };
        let home = scopes.meter(&tenant, layout, &ModelSelector::All);
        home.entitlement_version = Some(self.tenant.entitlement_version);
        scopes.add(&tenant, layout, &self.limits.tenant.limits);
        scopes.shares(&tenant, layout, &self.lob.limits);
        scopes.shares(&tenant, layout, &self.org.limits);
        scopes.add(&lob, self.lob.meter_layout, &self.lob.limits);
        scopes.add(&Scope::Org, self.org.meter_layout, &self.org.limits);
        if let Some(project) = project
            && let Some(limits) = self.limits.project_limits.get(project)
        {
            scopes.add(&Scope::Project(id.clone(), project.clone()), unsharded, limits);
        }
        let caller = Scope::Principal(id.clone(), principal.clone());
        scopes.add(&caller, unsharded, principal_limits);
        scopes.shares(&caller, unsharded, &self.limits.tenant.limits);
        scopes.in_order()
    }

    /// The project that a call of `principal` is made for: the one asked for, else the only one that
    /// the principal is a member of.
    ///
    /// # Errors
    /// The tenant has no such project, or the principal may not use it: the same to the caller.
    pub fn project_of(
        &self,
        principal: &PrincipalId,
        asked: Option<&str>,
    ) -> Result<Option<ProjectId>, UnknownProject> {
        let projects = &self.tenant.projects;
        if let Some(asked) = asked {
            let unknown = || UnknownProject { project: asked.chars().take(64).collect() };
            let id: ProjectId = asked.parse().map_err(|_| unknown())?;
            let project = projects.get(&id).ok_or_else(unknown)?;
            let is_open = project.members.is_empty() || project.members.contains(principal);
            return if is_open { Ok(Some(id)) } else { Err(unknown()) };
        }
        let mut own = projects.iter().filter(|(_, project)| project.members.contains(principal));
        Ok(match (own.next(), own.next()) {
            (Some((id, _)), None) => Some(id.clone()),
            _ => None,
        })
    }

    /// The cost allocation tags of a call: the tenant's, overlaid by the project's.
    pub fn tags_of(&self, project: Option<&ProjectId>) -> BTreeMap<String, String> {
        let mut tags = self.tenant.tags.clone();
        if let Some(project) = project.and_then(|id| self.tenant.projects.get(id)) {
            tags.extend(project.tags.clone());
        }
        tags
    }
}

/// A project that the caller cannot have its call billed to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no project `{project}`")]
pub struct UnknownProject {
    /// What was asked for, shortened.
    pub project: String,
}

/// The scopes of a call as they are found, from near to far.
struct Scopes<'a> {
    call: &'a LimitedCall<'a>,
    found: BTreeMap<(u8, Scope, ModelSelector), LimitedScope>,
}

impl Scopes<'_> {
    /// Adds what `limits` say of `scope` itself.
    fn add(&mut self, scope: &Scope, layout: MeterLayout, limits: &[LimitRule]) {
        for rule in limits.iter().filter(|rule| rule.concerns(self.call)) {
            let cap = rule.cap(self.call);
            self.meter(scope, layout, &rule.models).caps.extend(cap);
        }
    }

    /// Adds what `limits` of a parent say of the share of its child `scope`.
    fn shares(&mut self, scope: &Scope, layout: MeterLayout, limits: &[LimitRule]) {
        for rule in limits.iter().filter(|rule| rule.concerns(self.call)) {
            if let Some(cap) = rule.child_cap(self.call) {
                self.meter(scope, layout, &rule.models).caps.push(cap);
            }
        }
    }

    fn meter(
        &mut self,
        scope: &Scope,
        layout: MeterLayout,
        models: &ModelSelector,
    ) -> &mut LimitedScope {
        let distance = match scope {
            Scope::Tenant(_) if models.is_all() => 0,
            Scope::Principal(..) => 1,
            Scope::Project(..) => 2,
            Scope::Tenant(_) => 3,
            Scope::Lob(_) => 4,
            Scope::Org => 5,
        };
        let key = (distance, scope.clone(), models.clone());
        self.found.entry(key).or_insert_with(|| LimitedScope {
            scope: scope.clone(),
            models: models.clone(),
            layout,
            caps: Vec::new(),
            entitlement_version: None,
        })
    }

    fn in_order(self) -> Vec<LimitedScope> {
        let mut found: Vec<_> = self.found.into_values().collect();
        for scope in &mut found {
            let order = |cap: &Cap| (cap.metric(), cap.counter.map(|it| it.period), cap.whole);
            scope.caps.sort_by_key(order);
        }
        found
    }
}

#[cfg(test)]
#[path = "entitlements_tests.rs"]
mod tests;

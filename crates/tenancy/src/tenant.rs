//! The tenant itself, and the context in which one call runs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    LobId, ModelId, Permission, PermissionDenied, Principal, PrincipalId, ProjectId, Reach, Role,
    Scope, TenantId,
};

/// Whether a tenant or line of business may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Served.
    Active,
    /// Refused until it is resumed.
    Suspended,
}

/// How urgent a call is. A limit may keep a share of itself for the more urgent classes.
///
/// Declared in rising order: what is kept for a class is kept from all that stand before it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum PriorityClass {
    /// Can wait: bulk work.
    Batch,
    /// Neither of the others.
    #[default]
    Standard,
    /// Somebody is waiting for the answer.
    Interactive,
}

/// The models that a tenant may call.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelAllowlist(pub BTreeSet<ModelId>);

impl ModelAllowlist {
    /// Whether the tenant may call `model`.
    pub fn allows(&self, model: &ModelId) -> bool {
        self.0.contains(model)
    }
}

/// What the gateway keeps about a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its id.
    pub tenant_id: TenantId,
    /// The line of business that it belongs to.
    pub lob_id: LobId,
    /// Whether it is served.
    pub status: Status,
    /// The models that it may call.
    pub models: ModelAllowlist,
    /// Output tokens that a request without a maximum may produce; the model's own default if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_max_tokens: Option<u32>,
    /// What it chose for itself.
    #[serde(default)]
    pub settings: TenantSettings,
    /// Pieces of its work that have their own limits and their own lines on the bill.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub projects: BTreeMap<ProjectId, Project>,
    /// Cost allocation tags: they stand in each of its usage records.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// Counts every change of what the tenant may do, so that a cached copy can be told from a fresh one.
    pub entitlement_version: u64,
}

/// A piece of a tenant's work.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Project {
    /// Who works on it; everybody in the tenant if it is empty. The calls of a principal that is a
    /// member of this project only are the project's, without being marked so.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub members: BTreeSet<PrincipalId>,
    /// Cost allocation tags of its calls, beside the tenant's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// How urgent its calls are; as the tenant's if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class: Option<PriorityClass>,
}

/// A tenant's own choices. None of them gives a right or lifts a limit.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TenantSettings {
    /// Whether answers are kept and given again to the same request; no, if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_cache: Option<ResponseCache>,
    /// For how many days responses are stored for later turns: 30 if unset, never if 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_responses_days: Option<u32>,
    /// How urgent its calls are, where no project says otherwise.
    #[serde(default)]
    pub priority_class: PriorityClass,
    /// Whether it may use models that nobody has priced. Such a call costs nothing here, so no budget
    /// holds it; other limits do.
    #[serde(default)]
    pub allow_unpriced: bool,
    /// The guardrail that its calls pass, where they name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_guardrail: Option<Guardrail>,
    /// Whether what its callers write and models answer is kept for later inspection; never, if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_capture: Option<PayloadCapture>,
    /// Whether calls of a model that has a successor are made of that one as well, for comparison, at the
    /// tenant's own cost; never, if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,
}

/// A version of a guardrail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guardrail {
    /// Its name in the registry.
    pub id: ModelId,
    /// Which version.
    pub version: String,
}

/// How payloads are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadCapture {
    /// For how many days.
    pub retention_days: u32,
}

/// How many calls are made once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shadow {
    /// Of a hundred.
    pub percent: u8,
}

/// How answers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseCache {
    /// For how long, in seconds.
    pub ttl_s: u32,
}

impl Tenant {
    /// How urgent a call for `project` is.
    pub fn priority_class(&self, project: Option<&ProjectId>) -> PriorityClass {
        let project = project.and_then(|id| self.projects.get(id)?.priority_class);
        project.unwrap_or(self.settings.priority_class)
    }
}

impl TenantSettings {
    /// For how long responses are stored, in seconds; `None` if they are not to be stored at all.
    pub fn response_retention_s(&self) -> Option<i64> {
        let days = self.stored_responses_days.unwrap_or(30);
        (days > 0).then(|| i64::from(days) * 86_400)
    }
}

/// The verified tenant and principal of one call.
///
/// Only `http-api` makes one from a request, and only from the authorizer's context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantContext {
    /// Whose call it is.
    pub tenant_id: TenantId,
    /// The tenant's line of business.
    pub lob_id: LobId,
    /// Who calls.
    pub principal: Principal,
    /// What the principal is in the tenant.
    pub roles: BTreeSet<Role>,
    /// What the token is narrowed to; empty means not narrowed.
    pub scopes: BTreeSet<Scope>,
}

impl TenantContext {
    /// Itself as texts by name: as whoever verified the caller tells it to other functions.
    pub fn fields(&self) -> BTreeMap<String, String> {
        let Self { tenant_id, lob_id, principal, roles, scopes } = self;
        let roles: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
        let scopes: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
        let fields = [
            ("tenant_id", tenant_id.to_string()),
            ("lob_id", lob_id.to_string()),
            ("principal_id", principal.id.to_string()),
            ("principal_kind", principal.kind.as_str().to_owned()),
            ("roles", roles.join(" ")),
            ("scopes", scopes.join(" ")),
        ];
        fields.map(|(name, text)| (name.to_owned(), text)).into()
    }

    /// Checks that the caller's roles and scopes permit `permission`.
    pub fn require(&self, permission: Permission) -> Result<(), PermissionDenied> {
        permission.check(&self.roles, &self.scopes)
    }

    /// Whether `place` is there for the caller at all: its own, or within what one of its roles sees.
    pub fn sees(&self, place: Place<'_>) -> bool {
        place.is_own(self) || self.roles.iter().any(|role| self.reaches(*role, place))
    }

    /// Checks that the caller's roles and scopes permit `permission` at `place`. Only those roles count
    /// that reach there: who audits the organisation and runs one tenant runs no other tenant.
    pub fn require_at(
        &self,
        permission: Permission,
        place: Place<'_>,
    ) -> Result<(), PermissionDenied> {
        permission.check(&self.roles_at(place), &self.scopes)
    }

    /// The caller's roles that reach `place`.
    pub fn roles_at(&self, place: Place<'_>) -> BTreeSet<Role> {
        self.roles.iter().copied().filter(|role| self.reaches(*role, place)).collect()
    }

    fn reaches(&self, role: Role, place: Place<'_>) -> bool {
        match (role.reach(), place) {
            (Reach::Org, _) => true,
            (Reach::Lob, Place::Lob(lob_id)) => self.lob_id == *lob_id,
            (Reach::Lob, Place::Tenant(tenant_id, lob_id)) => {
                self.lob_id == *lob_id || self.tenant_id == *tenant_id
            }
            (Reach::Tenant, Place::Tenant(tenant_id, _)) => self.tenant_id == *tenant_id,
            (Reach::Lob | Reach::Tenant, Place::Org) | (Reach::Tenant, Place::Lob(_)) => false,
        }
    }
}

/// A part of the hierarchy that something is to be done at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// The organisation as a whole.
    Org,
    /// A line of business.
    Lob(&'a LobId),
    /// A tenant, and the line of business that it belongs to.
    Tenant(&'a TenantId, &'a LobId),
}

impl Place<'_> {
    fn is_own(self, context: &TenantContext) -> bool {
        match self {
            Self::Org => false,
            Self::Lob(lob_id) => context.lob_id == *lob_id,
            Self::Tenant(tenant_id, _) => context.tenant_id == *tenant_id,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(roles: &[Role]) -> TenantContext {
        TenantContext {
            tenant_id: "acme".parse().unwrap(),
            lob_id: "retail".parse().unwrap(),
            principal: Principal {
                id: "u-1".to_owned().try_into().unwrap(),
                kind: crate::PrincipalKind::User,
            },
            roles: roles.iter().copied().collect(),
            scopes: BTreeSet::new(),
        }
    }

    #[test]
    fn a_role_counts_where_it_reaches() {
        use Permission::{ManageCallers, ReadConfiguration};

        let (acme, zenith, globex): (TenantId, TenantId, TenantId) =
            ("acme".parse().unwrap(), "zenith".parse().unwrap(), "globex".parse().unwrap());
        let (retail, markets): (LobId, LobId) =
            ("retail".parse().unwrap(), "markets".parse().unwrap());
        let may = |roles: &[Role], permission, place| {
            let context = context(roles);
            (context.sees(place), context.require_at(permission, place).is_ok())
        };
        let (own, near, far) = (
            Place::Tenant(&acme, &retail),
            Place::Tenant(&zenith, &retail),
            Place::Tenant(&globex, &markets),
        );
        assert_eq!(may(&[Role::TenantAdmin], ManageCallers, own), (true, true));
        assert_eq!(may(&[Role::Developer], ManageCallers, own), (true, false));
        assert_eq!(may(&[Role::TenantAdmin], ManageCallers, near), (false, false));
        assert_eq!(may(&[Role::LobAdmin], ManageCallers, near), (true, true));
        assert_eq!(may(&[Role::LobAdmin], ManageCallers, far), (false, false));
        assert_eq!(may(&[Role::OrgAdmin], ManageCallers, far), (true, true));
        // Two roles give no more than each does.
        let both = [Role::TenantAdmin, Role::OrgAuditor];
        assert_eq!(may(&both, ReadConfiguration, far), (true, true));
        assert_eq!(may(&both, ManageCallers, far), (true, false));
        assert_eq!(may(&both, ManageCallers, own), (true, true));
    }

    #[test]
    fn responses_are_kept_for_thirty_days_unless_the_tenant_says_otherwise() {
        let retention = |days| {
            let settings =
                TenantSettings { stored_responses_days: days, ..TenantSettings::default() };
            settings.response_retention_s()
        };
        assert_eq!(retention(None), Some(2_592_000));
        assert_eq!(retention(Some(1)), Some(86_400));
        assert_eq!(retention(Some(0)), None);
    }
}

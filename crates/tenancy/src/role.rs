//! Roles, scopes, and the one table that says what they permit.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What a principal is in its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the organisation.
    OrgAdmin,
    /// Runs a line of business.
    LobAdmin,
    /// Runs a tenant.
    TenantAdmin,
    /// Builds with models.
    Developer,
    /// Reads, never calls.
    Viewer,
    /// A program.
    Machine,
    /// Reads everything of the tenant, its configuration and history included; changes and calls nothing.
    Auditor,
    /// Reads everything of the organisation; changes and calls nothing.
    OrgAuditor,
    /// A program of an identity provider: brings the tenant's people and groups; reads and calls nothing else.
    Provisioner,
}

/// How far a caller sees, before any permission is asked for. What is beyond is not there for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// The caller's own tenant.
    Tenant,
    /// The tenants of its line of business.
    Lob,
    /// Everything.
    Org,
}

/// Something that a route needs its caller to be permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Call a model.
    InvokeModel,
    /// See which models the tenant may use.
    ListModels,
    /// See one's own usage, records and remaining limits.
    ReadOwnUsage,
    /// See the whole tenant's usage.
    ReadTenantUsage,
    /// See the usage of the line of business that the tenant belongs to.
    ReadLobUsage,
    /// See everybody's usage.
    ReadOrgUsage,
    /// See how the tenant's own limits are set, and how they were.
    ReadLimits,
    /// Ask for a temporary raise of a limit.
    RequestRaise,
    /// Set limits of the tenant's projects and principals, and grant raises of them.
    ManageMemberLimits,
    /// Set limits of a tenant, and grant raises of them.
    ManageTenantLimits,
    /// Set limits of a line of business, and grant raises of them.
    ManageLobLimits,
    /// Set limits of the organisation, and grant raises of them.
    ManageOrgLimits,
    /// See what models cost.
    ReadPrices,
    /// Set prices that override those of the price book.
    ManagePrices,
    /// See every registered model, and how it was.
    ReadRegistry,
    /// Ask for a model that the tenant may not call yet.
    RequestModel,
    /// Register models, change them, and decide which are called.
    ManageModels,
    /// See the tenant's statements.
    ReadStatements,
    /// Close months, and post credits and adjustments.
    ManageBilling,
    /// See what every member may know of the tenant: name, contact, models, status.
    ReadTenant,
    /// See the tenant's whole configuration, and how it was.
    ReadConfiguration,
    /// Change what a tenant decides for itself: contact, branding, projects.
    ManageProfile,
    /// Create tenants, change all of their configuration, suspend and resume them.
    ManageTenants,
    /// See the line of business that the tenant belongs to.
    ReadLob,
    /// Create and change lines of business.
    ManageLobs,
    /// See who may call for the tenant: people, machine clients, AWS roles.
    ReadCallers,
    /// Decide who may call for the tenant, in roles that are not above one's own.
    ManageCallers,
    /// Bring and remove the people of the caller's own tenant and their groups, in the form of SCIM.
    ProvisionMembers,
    /// See the audit trail: of the tenant, and of what else is within reach.
    ReadAudit,
}

/// A scope of the gateway's own resource server; a token that carries any is narrowed to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// `weir/invoke`: call and list models, and ask for more where a limit is in the way.
    Invoke,
    /// `weir/read`: read only.
    Read,
    /// `weir/admin`: read and change what the role may; call nothing.
    Admin,
}

/// The caller's role or scopes do not permit what it asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the caller is not permitted to {}", .permission.as_str())]
pub struct PermissionDenied {
    /// What was asked for.
    pub permission: Permission,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 29] = [
        Self::InvokeModel,
        Self::ListModels,
        Self::ReadOwnUsage,
        Self::ReadTenantUsage,
        Self::ReadLobUsage,
        Self::ReadOrgUsage,
        Self::ReadLimits,
        Self::RequestRaise,
        Self::ManageMemberLimits,
        Self::ManageTenantLimits,
        Self::ManageLobLimits,
        Self::ManageOrgLimits,
        Self::ReadPrices,
        Self::ManagePrices,
        Self::ReadRegistry,
        Self::RequestModel,
        Self::ManageModels,
        Self::ReadStatements,
        Self::ManageBilling,
        Self::ReadTenant,
        Self::ReadConfiguration,
        Self::ManageProfile,
        Self::ManageTenants,
        Self::ReadLob,
        Self::ManageLobs,
        Self::ReadCallers,
        Self::ManageCallers,
        Self::ProvisionMembers,
        Self::ReadAudit,
    ];

    /// What the permission allows, to complete "not permitted to ...".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvokeModel => "call models",
            Self::ListModels => "list models",
            Self::ReadOwnUsage => "see usage",
            Self::ReadTenantUsage => "see the tenant's usage",
            Self::ReadLobUsage => "see the usage of a line of business",
            Self::ReadOrgUsage => "see the usage of the organisation",
            Self::ReadLimits => "see how limits are set",
            Self::RequestRaise => "ask for a raise of a limit",
            Self::ManageMemberLimits => "change limits of projects and principals",
            Self::ManageTenantLimits => "change limits of a tenant",
            Self::ManageLobLimits => "change limits of a line of business",
            Self::ManageOrgLimits => "change limits of the organisation",
            Self::ReadPrices => "see prices",
            Self::ManagePrices => "change prices",
            Self::ReadRegistry => "see the registry of models",
            Self::RequestModel => "ask for a model",
            Self::ManageModels => "register or change models",
            Self::ReadStatements => "see statements",
            Self::ManageBilling => "close months or post credits",
            Self::ReadTenant => "see the tenant",
            Self::ReadConfiguration => "see the configuration of a tenant",
            Self::ManageProfile => "change contact, branding or projects of a tenant",
            Self::ManageTenants => "create, configure, suspend or resume tenants",
            Self::ReadLob => "see lines of business",
            Self::ManageLobs => "create or change lines of business",
            Self::ReadCallers => "see who may call for a tenant",
            Self::ManageCallers => "change who may call for a tenant",
            Self::ProvisionMembers => "provision the people of a tenant",
            Self::ReadAudit => "see the audit trail",
        }
    }

    /// The permission table, role by role. Who may set a limit is never who is held to it: that is
    /// the level above.
    pub fn is_granted_to(self, role: Role) -> bool {
        if role == Role::OrgAuditor {
            return self.is_read();
        }
        if role == Role::Provisioner {
            return self == Self::ProvisionMembers;
        }
        match self {
            Self::ListModels | Self::ReadOwnUsage | Self::ReadPrices | Self::ReadTenant => true,
            Self::RequestRaise | Self::RequestModel => role != Role::Auditor,
            Self::InvokeModel => !matches!(role, Role::Viewer | Role::Auditor),
            Self::ReadTenantUsage | Self::ReadLimits => matches!(
                role,
                Role::OrgAdmin | Role::LobAdmin | Role::TenantAdmin | Role::Viewer | Role::Auditor
            ),
            Self::ReadStatements
            | Self::ReadConfiguration
            | Self::ReadCallers
            | Self::ReadAudit => {
                matches!(role, Role::OrgAdmin | Role::LobAdmin | Role::TenantAdmin | Role::Auditor)
            }
            Self::ManageMemberLimits
            | Self::ManageProfile
            | Self::ManageCallers
            | Self::ProvisionMembers => {
                matches!(role, Role::OrgAdmin | Role::LobAdmin | Role::TenantAdmin)
            }
            Self::ReadLobUsage
            | Self::ManageTenantLimits
            | Self::ReadRegistry
            | Self::ManageTenants
            | Self::ReadLob => {
                matches!(role, Role::OrgAdmin | Role::LobAdmin)
            }
            Self::ReadOrgUsage
            | Self::ManageLobLimits
            | Self::ManageOrgLimits
            | Self::ManagePrices
            | Self::ManageModels
            | Self::ManageBilling
            | Self::ManageLobs => role == Role::OrgAdmin,
        }
    }

    /// The permission table, scope by scope.
    fn is_within(self, scope: Scope) -> bool {
        match scope {
            Scope::Invoke => {
                matches!(
                    self,
                    Self::InvokeModel | Self::ListModels | Self::RequestRaise | Self::RequestModel
                )
            }
            Scope::Read => self.is_read(),
            Scope::Admin => self != Self::InvokeModel,
        }
    }

    /// Whether it changes nothing.
    fn is_read(self) -> bool {
        match self {
            Self::ListModels
            | Self::ReadOwnUsage
            | Self::ReadTenantUsage
            | Self::ReadLobUsage
            | Self::ReadOrgUsage
            | Self::ReadLimits
            | Self::ReadPrices
            | Self::ReadRegistry
            | Self::ReadStatements
            | Self::ReadTenant
            | Self::ReadConfiguration
            | Self::ReadLob
            | Self::ReadCallers
            | Self::ReadAudit => true,
            Self::InvokeModel
            | Self::RequestRaise
            | Self::RequestModel
            | Self::ManageMemberLimits
            | Self::ManageTenantLimits
            | Self::ManageLobLimits
            | Self::ManageOrgLimits
            | Self::ManagePrices
            | Self::ManageModels
            | Self::ManageBilling
            | Self::ManageProfile
            | Self::ManageTenants
            | Self::ManageLobs
            | Self::ManageCallers
            | Self::ProvisionMembers => false,
        }
    }

    /// Checks a caller: one of `roles` grants it and, if there are `scopes`, one of them covers it.
    pub fn check(
        self,
        roles: &BTreeSet<Role>,
        scopes: &BTreeSet<Scope>,
    ) -> Result<(), PermissionDenied> {
        let is_granted = roles.iter().any(|role| self.is_granted_to(*role));
        let is_within = scopes.is_empty() || scopes.iter().any(|scope| self.is_within(*scope));
        if is_granted && is_within { Ok(()) } else { Err(PermissionDenied { permission: self }) }
    }
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 9] = [
        Self::OrgAdmin,
        Self::LobAdmin,
        Self::TenantAdmin,
        Self::Developer,
        Self::Viewer,
        Self::Machine,
        Self::Auditor,
        Self::OrgAuditor,
        Self::Provisioner,
    ];

    /// How far somebody in this role sees.
    pub fn reach(self) -> Reach {
        match self {
            Self::OrgAdmin | Self::OrgAuditor => Reach::Org,
            Self::LobAdmin => Reach::Lob,
            Self::TenantAdmin
            | Self::Developer
            | Self::Viewer
            | Self::Machine
            | Self::Auditor
            | Self::Provisioner => Reach::Tenant,
        }
    }

    /// Whether somebody in this role may give `other` to somebody, or take it away: nobody decides over
    /// a role that sees further than their own, and who provisions people over no program's, nor its own.
    pub fn may_grant(self, other: Self) -> bool {
        if self == Self::Provisioner {
            return !other.is_program() && other.reach() == Reach::Tenant;
        }
        Permission::ManageCallers.is_granted_to(self) && other.reach() <= self.reach()
    }

    /// Whether only a program can have it.
    pub fn is_program(self) -> bool {
        matches!(self, Self::Machine | Self::Provisioner)
    }

    /// The name used in group names, context and records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OrgAdmin => "org_admin",
            Self::LobAdmin => "lob_admin",
            Self::TenantAdmin => "tenant_admin",
            Self::Developer => "developer",
            Self::Viewer => "viewer",
            Self::Machine => "machine",
            Self::Auditor => "auditor",
            Self::OrgAuditor => "org_auditor",
            Self::Provisioner => "provisioner",
        }
    }
}

/// A name that is no role or no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a known role or scope")]
pub struct UnknownName;

impl FromStr for Role {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL.into_iter().find(|role| role.as_str() == name).ok_or(UnknownName)
    }
}

impl Scope {
    /// The name as it stands in a token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invoke => "weir/invoke",
            Self::Read => "weir/read",
            Self::Admin => "weir/admin",
        }
    }
}

impl FromStr for Scope {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        [Self::Invoke, Self::Read, Self::Admin]
            .into_iter()
            .find(|scope| scope.as_str() == name)
            .ok_or(UnknownName)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(permission: Permission, roles: &[Role], scopes: &[Scope], is_permitted: bool) {
        let outcome =
            permission.check(&roles.iter().copied().collect(), &scopes.iter().copied().collect());
        assert_eq!(outcome.is_ok(), is_permitted, "{permission:?} {roles:?} {scopes:?}");
    }

    #[test]
    fn roles_grant_and_scopes_narrow() {
        check(Permission::InvokeModel, &[Role::Developer], &[], true);
        check(Permission::InvokeModel, &[Role::Viewer], &[], false);
        check(Permission::InvokeModel, &[Role::Viewer], &[Scope::Invoke], false);
        check(Permission::InvokeModel, &[Role::Machine], &[Scope::Read], false);
        check(Permission::InvokeModel, &[Role::Machine], &[Scope::Read, Scope::Invoke], true);
        check(Permission::ListModels, &[Role::Viewer], &[Scope::Read], true);
        check(Permission::ListModels, &[], &[], false);
        check(Permission::ReadTenantUsage, &[Role::OrgAdmin], &[Scope::Invoke], false);
        check(Permission::ManageTenantLimits, &[Role::LobAdmin], &[Scope::Read], false);
        check(Permission::ManageTenantLimits, &[Role::LobAdmin], &[Scope::Admin], true);
        check(Permission::ManageTenantLimits, &[Role::TenantAdmin], &[Scope::Admin], false);
        check(Permission::InvokeModel, &[Role::Machine], &[Scope::Admin], false);
    }

    /// The table as people read it: `O`rg, `L`OB and `T`enant admin, `D`eveloper, `V`iewer, `M`achine,
    /// `A`uditor, `B` for that of the organisation, `P`rovisioner; then the scopes `i`nvoke, `r`ead, `a`dmin.
    #[test]
    fn the_permission_table() {
        const ROLES: [(char, Role); 9] = [
            ('O', Role::OrgAdmin),
            ('L', Role::LobAdmin),
            ('T', Role::TenantAdmin),
            ('D', Role::Developer),
            ('V', Role::Viewer),
            ('M', Role::Machine),
            ('A', Role::Auditor),
            ('B', Role::OrgAuditor),
            ('P', Role::Provisioner),
        ];
        const SCOPES: [(char, Scope); 3] =
            [('i', Scope::Invoke), ('r', Scope::Read), ('a', Scope::Admin)];
        let row = |permission: Permission| {
            let granted = ROLES
                .iter()
                .map(|(name, role)| if permission.is_granted_to(*role) { *name } else { '-' });
            let within = SCOPES.iter().map(
                |(name, scope)| {
                    if permission.is_within(*scope) { *name } else { '-' }
                },
            );
            format!("{} {} {permission:?}", granted.collect::<String>(), within.collect::<String>())
        };
        assert_eq!(
            Permission::ALL.map(row).to_vec(),
            [
                "OLTD-M--- i-- InvokeModel",
                "OLTDVMAB- ira ListModels",
                "OLTDVMAB- -ra ReadOwnUsage",
                "OLT-V-AB- -ra ReadTenantUsage",
                "OL-----B- -ra ReadLobUsage",
                "O------B- -ra ReadOrgUsage",
                "OLT-V-AB- -ra ReadLimits",
                "OLTDVM--- i-a RequestRaise",
                "OLT------ --a ManageMemberLimits",
                "OL------- --a ManageTenantLimits",
                "O-------- --a ManageLobLimits",
                "O-------- --a ManageOrgLimits",
                "OLTDVMAB- -ra ReadPrices",
                "O-------- --a ManagePrices",
                "OL-----B- -ra ReadRegistry",
                "OLTDVM--- i-a RequestModel",
                "O-------- --a ManageModels",
                "OLT---AB- -ra ReadStatements",
                "O-------- --a ManageBilling",
                "OLTDVMAB- -ra ReadTenant",
                "OLT---AB- -ra ReadConfiguration",
                "OLT------ --a ManageProfile",
                "OL------- --a ManageTenants",
                "OL-----B- -ra ReadLob",
                "O-------- --a ManageLobs",
                "OLT---AB- -ra ReadCallers",
                "OLT------ --a ManageCallers",
                "OLT-----P --a ProvisionMembers",
                "OLT---AB- -ra ReadAudit",
            ]
        );
    }

    /// Row: who grants; column: what, in the order of the table above.
    #[test]
    fn nobody_decides_over_a_role_that_sees_further() {
        let row = |role: Role| {
            Role::ALL.map(|other| if role.may_grant(other) { 'x' } else { '-' }).iter().collect()
        };
        let table: [String; 9] = Role::ALL.map(row);
        assert_eq!(
            table,
            [
                "xxxxxxxxx",
                "-xxxxxx-x",
                "--xxxxx-x",
                "---------",
                "---------",
                "---------",
                "---------",
                "---------",
                "--xxx-x--",
            ]
        );
    }

    #[test]
    fn auditors_change_nothing() {
        for role in [Role::Auditor, Role::OrgAuditor] {
            let granted = Permission::ALL.into_iter().filter(|it| it.is_granted_to(role));
            assert!(granted.into_iter().all(Permission::is_read), "{role:?}");
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        for scope in [Scope::Invoke, Scope::Read, Scope::Admin] {
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
        assert_eq!("weir/root".parse::<Scope>(), Err(UnknownName));
    }
}

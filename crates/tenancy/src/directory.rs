//! Who is registered: the issuers, clients and tenants that a token is checked against.
//!
//! These are the only reads without a [`TenantContext`](crate::TenantContext): they are what one is made from.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{LobId, Reach, Role, Status, TenantId};

/// Reads registrations by the exact name that a token gives.
pub trait Directory {
    /// The OIDC issuer registered under exactly this `iss`, if any.
    fn issuer(
        &self,
        issuer: &str,
    ) -> impl Future<Output = Result<Option<Issuer>, ReadDirectoryError>> + Send;

    /// The machine client registered under this id, if any.
    fn client(
        &self,
        client_id: &str,
    ) -> impl Future<Output = Result<Option<Client>, ReadDirectoryError>> + Send;

    /// The AWS role registered under this account and name, if any.
    fn aws_role(
        &self,
        account_id: &str,
        role_name: &str,
    ) -> impl Future<Output = Result<Option<AwsRole>, ReadDirectoryError>> + Send;

    /// What decides whether the tenant's callers are let in; `None` if there is no such tenant.
    fn tenant(
        &self,
        tenant_id: &TenantId,
    ) -> impl Future<Output = Result<Option<TenantRecord>, ReadDirectoryError>> + Send;
}

/// The directory could not be read, or holds something that is not a registration.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the {registration} from the directory")]
pub struct ReadDirectoryError {
    /// What was wanted: `issuer`, `client`, `AWS role` or `tenant`. Not its name, which may come from an unverified token.
    pub registration: &'static str,
    /// What the store said.
    pub source: Box<dyn Error + Send + Sync>,
}

/// An OIDC issuer beside the default one, and what its claims mean here.
///
/// Without any mapping, all its callers are of [`tenant_id`](Self::tenant_id) and have [`role`](Self::role).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issuer {
    /// The `iss` claim of its tokens, compared exactly.
    pub issuer: String,
    /// Where its keys are; never taken from a token.
    pub jwks_url: String,
    /// The `aud` values that are meant for this gateway; a token needs one of them.
    pub audiences: Vec<String>,
    /// How its tokens are signed.
    #[serde(default)]
    pub algorithm: SigningAlgorithm,
    /// The one tenant that its tokens can speak for, whatever they claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<TenantId>,
    /// In place of one tenant: the claim that tells which of [`tenants`](Self::tenants) a caller is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_claim: Option<ClaimPath>,
    /// Tenants by the value of that claim. A value that is not here is nobody's, above all if it is a tenant's id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tenants: BTreeMap<String, TenantId>,
    /// What those of its callers are to whom no claim gives a role; without it, they are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The claim that names a caller's groups or roles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_claim: Option<ClaimPath>,
    /// Roles by the value of that claim.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub roles: BTreeMap<String, Role>,
    /// Roles beyond a tenant that its callers may have. One that is not here is given to nobody, whatever else
    /// is said above: who may register an issuer for a tenant must not make an admin of the organisation by it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub may_grant: BTreeSet<Role>,
    /// What a token must claim beside its audience: for each claim, the values of which it needs one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub required_claims: BTreeMap<ClaimPath, BTreeSet<String>>,
    /// The claim that a caller's id is in; `sub` if unset. Never one with an e-mail address in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_claim: Option<ClaimPath>,
}

/// A registration that lets nobody in, or more than its author can have meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidIssuer {
    /// Neither is plain text that could come from a token.
    #[error("`issuer` must begin with https:// and be no longer than 512 bytes")]
    Name,
    /// Keys could be anybody's.
    #[error("`jwks_url` must begin with https://")]
    JwksUrl,
    /// Tokens for any API would do.
    #[error("`audiences` must name at least one audience")]
    Audiences,
    /// It must be clear whose callers they are.
    #[error("give either `tenant_id`, or `tenant_claim` and `tenants`")]
    Tenant,
    /// Nobody would have a role.
    #[error("give `role`, or `role_claim` and `roles`, or all of them")]
    Roles,
    /// A role beyond a tenant is given, but not allowed.
    #[error("`{}` reaches beyond a tenant: it must stand in `may_grant`", .0.as_str())]
    Ungrantable(Role),
    /// No value would do.
    #[error("`required_claims` must name at least one value of `{0}`")]
    Required(ClaimPath),
}

impl InvalidIssuer {
    /// Which part of the registration is wrong.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Name => "issuer",
            Self::JwksUrl => "jwks_url",
            Self::Audiences => "audiences",
            Self::Tenant => "tenant_claim",
            Self::Roles => "roles",
            Self::Ungrantable(_) => "may_grant",
            Self::Required(_) => "required_claims",
        }
    }
}

impl Issuer {
    /// Whether its callers may have `role` at all.
    pub fn may_give(&self, role: Role) -> bool {
        role.reach() == Reach::Tenant || self.may_grant.contains(&role)
    }

    /// Checks what somebody wants to register.
    ///
    /// # Errors
    /// If it lets nobody in, or is ambiguous.
    pub fn check(&self) -> Result<(), InvalidIssuer> {
        if !self.issuer.starts_with("https://") || self.issuer.len() > 512 {
            return Err(InvalidIssuer::Name);
        }
        if !self.jwks_url.starts_with("https://") {
            return Err(InvalidIssuer::JwksUrl);
        }
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            return Err(InvalidIssuer::Audiences);
        }
        let has_table = self.tenant_claim.is_some() && !self.tenants.is_empty();
        let has_part_of_table = self.tenant_claim.is_some() || !self.tenants.is_empty();
        if self.tenant_id.is_some() == has_table || has_part_of_table != has_table {
            return Err(InvalidIssuer::Tenant);
        }
        let maps_roles = self.role_claim.is_some() && !self.roles.is_empty();
        let maps_part = self.role_claim.is_some() || !self.roles.is_empty();
        if maps_part != maps_roles || !(maps_roles || self.role.is_some()) {
            return Err(InvalidIssuer::Roles);
        }
        let mut given = self.roles.values().copied().chain(self.role);
        if let Some(role) = given.find(|role| !self.may_give(*role)) {
            return Err(InvalidIssuer::Ungrantable(role));
        }
        match self.required_claims.iter().find(|(_, values)| values.is_empty()) {
            Some((claim, _)) => Err(InvalidIssuer::Required(claim.clone())),
            None => Ok(()),
        }
    }
}

/// Where a claim is: its name, or a JSON pointer (`/realm_access/roles`) if it begins with a slash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClaimPath(String);

/// A text that leads to no claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a claim is named by 1 to 256 bytes: its name, or a JSON pointer that begins with a slash")]
pub struct InvalidClaimPath;

impl ClaimPath {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ClaimPath {
    type Error = InvalidClaimPath;

    fn try_from(path: String) -> Result<Self, InvalidClaimPath> {
        if (1..=256).contains(&path.len()) && path != "/" {
            Ok(Self(path))
        } else {
            Err(InvalidClaimPath)
        }
    }
}

impl FromStr for ClaimPath {
    type Err = InvalidClaimPath;

    fn from_str(path: &str) -> Result<Self, InvalidClaimPath> {
        Self::try_from(path.to_owned())
    }
}

impl From<ClaimPath> for String {
    fn from(path: ClaimPath) -> Self {
        path.0
    }
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A signature algorithm that an issuer may be registered with: asymmetric ones only, so that a
/// public key can never serve as a shared secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SigningAlgorithm {
    /// RSA PKCS#1 v1.5 with SHA-256.
    #[default]
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl SigningAlgorithm {
    /// The name as it stands in the `alg` header of a token.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

/// A program's app client, and the tenant that it works for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// The `client_id` claim of its tokens.
    pub client_id: String,
    /// The tenant that it works for.
    pub tenant_id: TenantId,
    /// Who issues its tokens; the same id from another issuer is another client.
    pub issuer: String,
    /// What it is in that tenant.
    #[serde(default = "machine")]
    pub role: Role,
}

/// An IAM role whose sessions work for a tenant, without any secret of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwsRole {
    /// The account that the role is in.
    pub account_id: String,
    /// The role's name, without its path: sessions do not know the path, and names are unique in an account.
    pub role_name: String,
    /// The role's unique id (`AROA..`). If it is given, a role that was deleted and made again under the
    /// same name, by whomever, is not the registered one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_id: Option<String>,
    /// The tenant that it works for.
    pub tenant_id: TenantId,
    /// What it is in that tenant.
    #[serde(default = "machine")]
    pub role: Role,
    /// Whether it is let in.
    #[serde(default = "active")]
    pub status: Status,
}

fn machine() -> Role {
    Role::Machine
}

fn active() -> Status {
    Status::Active
}

/// The part of a tenant that decides whether its callers are let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantRecord {
    /// The line of business that it belongs to.
    pub lob_id: LobId,
    /// Whether it is served.
    pub status: Status,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As registered before there was any mapping.
    fn plain() -> Issuer {
        Issuer {
            issuer: "https://login.acme.example".to_owned(),
            jwks_url: "https://login.acme.example/keys".to_owned(),
            audiences: vec!["weir".to_owned()],
            algorithm: SigningAlgorithm::Rs256,
            tenant_id: "acme".parse().ok(),
            tenant_claim: None,
            tenants: BTreeMap::new(),
            role: Some(Role::Developer),
            role_claim: None,
            roles: BTreeMap::new(),
            may_grant: BTreeSet::new(),
            required_claims: BTreeMap::new(),
            subject_claim: None,
        }
    }

    #[track_caller]
    fn check(change: impl Fn(&mut Issuer), expected: &Result<(), InvalidIssuer>) {
        let mut issuer = plain();
        change(&mut issuer);
        assert_eq!(issuer.check(), *expected, "{issuer:?}");
    }

    #[test]
    fn a_registration_says_whose_callers_they_are_and_what_they_may_be() {
        let groups: Option<ClaimPath> = "groups".parse().ok();
        let tenants: BTreeMap<_, TenantId> = [("emea".to_owned(), "acme".parse().unwrap())].into();
        let roles = |role| BTreeMap::from([("admins".to_owned(), role)]);
        check(|_| (), &Ok(()));
        check(|it| it.issuer = "http://login.acme.example".to_owned(), &Err(InvalidIssuer::Name));
        check(|it| it.jwks_url = "http://127.0.0.1/keys".to_owned(), &Err(InvalidIssuer::JwksUrl));
        check(|it| it.audiences.clear(), &Err(InvalidIssuer::Audiences));
        check(|it| it.audiences.push(String::new()), &Err(InvalidIssuer::Audiences));
        check(|it| it.tenant_id = None, &Err(InvalidIssuer::Tenant));
        check(|it| it.tenants = tenants.clone(), &Err(InvalidIssuer::Tenant));
        check(|it| it.tenant_claim = groups.clone(), &Err(InvalidIssuer::Tenant));
        check(
            |it| (it.tenant_claim, it.tenants) = (groups.clone(), tenants.clone()),
            &Err(InvalidIssuer::Tenant),
        );
        let by_claim = |it: &mut Issuer| {
            (it.tenant_id, it.tenant_claim, it.tenants) = (None, groups.clone(), tenants.clone());
        };
        check(by_claim, &Ok(()));
        check(|it| it.role = None, &Err(InvalidIssuer::Roles));
        check(|it| it.role_claim = groups.clone(), &Err(InvalidIssuer::Roles));
        check(|it| it.roles = roles(Role::Viewer), &Err(InvalidIssuer::Roles));
        let by_group = |it: &mut Issuer| {
            (it.role, it.role_claim, it.roles) = (None, groups.clone(), roles(Role::TenantAdmin));
        };
        check(by_group, &Ok(()));
        check(
            |it| {
                it.required_claims.insert("tid".parse().unwrap(), BTreeSet::new());
            },
            &Err(InvalidIssuer::Required("tid".parse().unwrap())),
        );
    }

    #[test]
    fn roles_beyond_a_tenant_are_given_by_name_only() {
        for role in [Role::OrgAdmin, Role::LobAdmin] {
            let refused = Err(InvalidIssuer::Ungrantable(role));
            check(|it| it.role = Some(role), &refused);
            check(|it| (it.role, it.may_grant) = (Some(role), [role].into()), &Ok(()));
            let by_group = |it: &mut Issuer| {
                it.role_claim = "groups".parse().ok();
                it.roles.insert("admins".to_owned(), role);
            };
            check(by_group, &refused);
        }
        check(
            |it| (it.role, it.may_grant) = (Some(Role::OrgAdmin), [Role::LobAdmin].into()),
            &Err(InvalidIssuer::Ungrantable(Role::OrgAdmin)),
        );
    }

    #[test]
    fn a_claim_is_named_by_some_text() {
        for path in
            ["groups", "https://weir.example/roles", "/realm_access/roles", "cognito:groups"]
        {
            assert_eq!(path.parse::<ClaimPath>().unwrap().as_str(), path);
        }
        for path in ["", "/", &"x".repeat(257)] {
            assert_eq!(path.parse::<ClaimPath>(), Err(InvalidClaimPath));
        }
    }
}

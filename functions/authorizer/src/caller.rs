//! From verified claims to a caller in a tenant.

use std::collections::BTreeSet;

use tenancy::{
    ClaimPath, Directory, Issuer, Principal, PrincipalId, PrincipalKind, Role, Scope, Status,
    TenantId,
};

use crate::aws::RoleSession;
use crate::issuer::{TrustedIssuer, UserPool};
use crate::refusal::{Denial, InvalidToken, Refusal};
use crate::token::Claims;

/// Longer client ids are not Cognito's.
const MAX_CLIENT_ID_BYTES: usize = 128;

/// Who calls, for which tenant; whether that tenant is served is not known yet.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) tenant_id: TenantId,
    pub(crate) principal: Principal,
    pub(crate) roles: BTreeSet<Role>,
    pub(crate) scopes: BTreeSet<Scope>,
}

/// The caller that `claims` are about. They must have been verified as `issuer`'s.
pub(crate) async fn caller(
    directory: &impl Directory,
    issuer: &TrustedIssuer,
    claims: &Claims,
) -> Result<Caller, Refusal> {
    match issuer {
        TrustedIssuer::Registered(issuer) => federated(issuer, claims),
        TrustedIssuer::UserPool(pool) => {
            // An ID token proves a sign-in to the client it was made for; it is no permission to call anything.
            if claims.token_use.as_deref() != Some("access") {
                return Err(InvalidToken::NotAnAccessToken.into());
            }
            match claims.client_id.as_deref() {
                Some(client_id) if client_id == pool.people_client_id => person(claims),
                Some(client_id) if (1..=MAX_CLIENT_ID_BYTES).contains(&client_id.len()) => {
                    machine(directory, pool, client_id, claims).await
                }
                _ => Err(InvalidToken::WrongAudience.into()),
            }
        }
    }
}

/// A person of the user pool: the tenant and the roles are in the names of their groups.
fn person(claims: &Claims) -> Result<Caller, Refusal> {
    let memberships: BTreeSet<(TenantId, Role)> =
        claims.groups.iter().filter_map(|group| membership(group)).collect();
    let mut tenants: Vec<&TenantId> = memberships.iter().map(|(tenant_id, _)| tenant_id).collect();
    tenants.dedup();
    let tenant_id = match tenants.as_slice() {
        [] => return Err(Denial::NoTenant.into()),
        [tenant_id] => (*tenant_id).clone(),
        _ => return Err(Denial::SeveralTenants.into()),
    };
    Ok(Caller {
        tenant_id,
        principal: principal(&claims.sub, PrincipalKind::User)?,
        roles: memberships.into_iter().map(|(_, role)| role).collect(),
        scopes: scopes(claims),
    })
}

/// The meaning of a group named `<tenant>:<role>`; other groups are none of ours.
fn membership(group: &str) -> Option<(TenantId, Role)> {
    let (tenant_id, role) = group.split_once(':')?;
    let role: Role = role.parse().ok()?;
    if role.is_program() {
        return None; // a person in a group is not a program
    }
    Some((tenant_id.parse().ok()?, role))
}

/// A program with an app client of its own: the tenant is the one that the client is registered for.
async fn machine(
    directory: &impl Directory,
    pool: &UserPool,
    client_id: &str,
    claims: &Claims,
) -> Result<Caller, Refusal> {
    let client = directory.client(client_id).await?;
    let client =
        client.filter(|client| client.client_id == client_id && client.issuer == pool.issuer);
    // No program is a person, whatever somebody wrote into the table.
    let client = client.filter(|client| client.role.is_program());
    // A person who signed in through a machine's client is not that machine.
    let Some(client) = client.filter(|_| claims.sub == client_id) else {
        return Err(Denial::UnknownClient.into());
    };
    let scopes = scopes(claims);
    if scopes.is_empty() {
        // No scopes would mean "not narrowed"; a token for another API must not mean that here.
        return Err(Refusal::Denied { denial: Denial::NoScope, tenant_id: Some(client.tenant_id) });
    }
    Ok(Caller {
        tenant_id: client.tenant_id,
        principal: principal(client_id, PrincipalKind::Machine)?,
        roles: BTreeSet::from([client.role]),
        scopes,
    })
}

/// A caller of a registered issuer: what they are is what the registration makes of the claims.
fn federated(issuer: &Issuer, claims: &Claims) -> Result<Caller, Refusal> {
    if !claims.aud.includes_any(&issuer.audiences) {
        return Err(InvalidToken::WrongAudience.into());
    }
    let is_met = |(claim, values): (&ClaimPath, &BTreeSet<String>)| {
        claims.texts(claim).iter().any(|text| values.contains(text))
    };
    if !issuer.required_claims.iter().all(is_met) {
        return Err(InvalidToken::WrongClaim.into());
    }
    let tenant_id = federated_tenant(issuer, claims)?;
    let roles = federated_roles(issuer, claims);
    if roles.is_empty() {
        return Err(Refusal::Denied { denial: Denial::NoRole, tenant_id: Some(tenant_id) });
    }
    let is_machine = roles.iter().all(|role| role.is_program());
    let kind = if is_machine { PrincipalKind::Machine } else { PrincipalKind::User };
    let subject = match &issuer.subject_claim {
        None => claims.sub.clone(),
        Some(claim) => match claims.texts(claim).as_slice() {
            [subject] => subject.clone(),
            _ => return Err(Denial::UnusableSubject.into()),
        },
    };
    let scopes = scopes(claims);
    Ok(Caller { tenant_id, principal: principal(&subject, kind)?, roles, scopes })
}

/// The issuer's one tenant, or the one that its table has for what the token claims. What is claimed
/// never is the tenant: it only selects.
fn federated_tenant(issuer: &Issuer, claims: &Claims) -> Result<TenantId, Denial> {
    let Some(claim) = &issuer.tenant_claim else {
        return issuer.tenant_id.clone().ok_or(Denial::NoTenant);
    };
    let claimed = claims.texts(claim);
    let tenants: BTreeSet<&TenantId> =
        claimed.iter().filter_map(|value| issuer.tenants.get(value)).collect();
    let mut tenants = tenants.into_iter();
    match (tenants.next(), tenants.next()) {
        (None, _) => Err(Denial::NoTenant),
        (Some(tenant_id), None) => Ok(tenant_id.clone()),
        (Some(_), Some(_)) => Err(Denial::SeveralTenants),
    }
}

/// The roles that the issuer's table has for what the token claims, else the one that all its callers have.
fn federated_roles(issuer: &Issuer, claims: &Claims) -> BTreeSet<Role> {
    let claimed = issuer.role_claim.as_ref().map(|claim| claims.texts(claim)).unwrap_or_default();
    let may_give = |role: &Role| issuer.may_give(*role);
    let mapped: BTreeSet<Role> = claimed
        .iter()
        .filter_map(|value| issuer.roles.get(value))
        .copied()
        .filter(may_give)
        .collect();
    if mapped.is_empty() { issuer.role.filter(may_give).into_iter().collect() } else { mapped }
}

/// A session of an AWS role: the tenant is the one that the role is registered for.
pub(crate) async fn of_aws_role(
    directory: &impl Directory,
    session: &RoleSession,
) -> Result<Caller, Refusal> {
    let (account_id, role_name) = (&session.account_id, &session.role_name);
    let role = directory.aws_role(account_id, role_name).await?.filter(|role| {
        // The item's own names count, lest a wrong item let one role act as another.
        role.account_id == *account_id
            && role.role_name == *role_name
            && role.role_id.as_ref().is_none_or(|role_id| *role_id == session.role_id)
    });
    let Some(role) = role else { return Err(Denial::UnknownAwsRole.into()) };
    if role.status != Status::Active {
        let (denial, tenant_id) = (Denial::SuspendedAwsRole, Some(role.tenant_id));
        return Err(Refusal::Denied { denial, tenant_id });
    }
    Ok(Caller {
        tenant_id: role.tenant_id,
        principal: principal(&session.role_id, PrincipalKind::Machine)?,
        roles: BTreeSet::from([role.role]),
        scopes: BTreeSet::new(),
    })
}

fn principal(subject: &str, kind: PrincipalKind) -> Result<Principal, Refusal> {
    let id = PrincipalId::try_from(subject.to_owned()).map_err(|_| Denial::UnusableSubject)?;
    Ok(Principal { id, kind })
}

fn scopes(claims: &Claims) -> BTreeSet<Scope> {
    claims.scopes().iter().filter_map(|scope| scope.parse().ok()).collect()
}

//! Whose call it was, by the principal that AWS saw.

use std::collections::BTreeMap;

use tenancy::TenantId;

/// The prefix of a tenant's session name; the tenant's id follows.
const SESSION_PREFIX: &str = "t-";

/// The session tag that names the tenant, as bills write tags of principals.
const TENANT_TAG: &str = "iamPrincipal/tenant_id";

/// The role under whose sessions the gateway calls models: `arn:aws:iam::<account>:role/<name>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    account_id: String,
    /// Without its path, which the ARN of a session does not have.
    role_name: String,
}

/// Not the ARN of an IAM role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the ARN of an IAM role")]
pub struct InvalidRole(String);

/// Who made a call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    /// The gateway, for a tenant.
    Tenant(TenantId),
    /// Somebody else in the account: the ARN.
    Unknown(String),
    /// The bill does not say.
    Unattributed,
}

impl Gateway {
    /// The gateway whose tenants' sessions are of the role `role_arn`.
    pub fn new(role_arn: &str) -> Result<Self, InvalidRole> {
        let invalid = || InvalidRole(role_arn.to_owned());
        let (prefix, path) = role_arn.split_once(":role/").ok_or_else(invalid)?;
        let account_id = prefix.rsplit(':').next().unwrap_or_default();
        let role_name = path.rsplit('/').next().unwrap_or_default();
        if !prefix.starts_with("arn:aws") || account_id.len() != 12 || role_name.is_empty() {
            return Err(invalid());
        }
        Ok(Self { account_id: account_id.to_owned(), role_name: role_name.to_owned() })
    }

    /// Who the principal is. A session's name says it, since names are there from the first call; a
    /// session tag is only there once it was activated for cost allocation, and decides where
    /// there is no principal. A tag that contradicts the name makes the caller unknown.
    pub fn caller(&self, principal: Option<&str>, tags: &BTreeMap<String, String>) -> Caller {
        let tagged = tags.get(TENANT_TAG).filter(|tenant| !tenant.is_empty());
        let Some(principal) = principal.filter(|principal| !principal.is_empty()) else {
            return match tagged.and_then(|tenant| tenant.parse().ok()) {
                Some(tenant) => Caller::Tenant(tenant),
                None => Caller::Unattributed,
            };
        };
        match self.session_tenant(principal) {
            Some(tenant) if tagged.is_none_or(|tagged| tagged == tenant.as_str()) => {
                Caller::Tenant(tenant)
            }
            _ => Caller::Unknown(principal.to_owned()),
        }
    }

    /// The tenant of `arn:aws:sts::<account>:assumed-role/<role>/t-<tenant>`.
    fn session_tenant(&self, principal: &str) -> Option<TenantId> {
        let (prefix, session) = principal.split_once(":assumed-role/")?;
        let (role, session) = session.split_once('/')?;
        let is_ours = prefix.starts_with("arn:aws")
            && prefix.contains(":sts:")
            && prefix.rsplit(':').next() == Some(self.account_id.as_str())
            && role == self.role_name;
        if !is_ours {
            return None;
        }
        session.strip_prefix(SESSION_PREFIX)?.parse().ok()
    }

    /// The principal of a tenant's session.
    pub fn principal(&self, tenant_id: &TenantId) -> String {
        let Self { account_id, role_name } = self;
        format!("arn:aws:sts::{account_id}:assumed-role/{role_name}/{SESSION_PREFIX}{tenant_id}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway() -> Gateway {
        Gateway::new("arn:aws:iam::123456789012:role/weir/weir-TenantRole-AB12").unwrap()
    }

    fn acme() -> Caller {
        Caller::Tenant("acme".parse().unwrap())
    }

    #[test]
    fn a_session_of_the_gateways_role_is_its_tenants() {
        let gateway = gateway();
        let none = BTreeMap::new();
        let caller = |principal| gateway.caller(Some(principal), &none);
        let principal = gateway.principal(&"acme".parse().unwrap());
        assert_eq!(caller(&principal), acme());
        for principal in [
            "arn:aws:sts::123456789012:assumed-role/other-role/t-acme",
            "arn:aws:sts::210987654321:assumed-role/weir-TenantRole-AB12/t-acme",
            "arn:aws:sts::123456789012:assumed-role/weir-TenantRole-AB12/acme",
            "arn:aws:sts::123456789012:assumed-role/weir-TenantRole-AB12/t-ACME",
            "arn:aws:sts::123456789012:assumed-role/weir-TenantRole-AB12/t-acme/more",
            "arn:aws:iam::123456789012:user/t-acme",
        ] {
            assert_eq!(caller(principal), Caller::Unknown(principal.to_owned()));
        }
    }

    #[test]
    fn a_tag_helps_out_and_may_not_contradict() {
        let gateway = gateway();
        let tags = |tenant: &str| BTreeMap::from([(TENANT_TAG.to_owned(), tenant.to_owned())]);
        let principal = gateway.principal(&"acme".parse().unwrap());
        assert_eq!(gateway.caller(None, &tags("acme")), acme());
        assert_eq!(gateway.caller(Some(""), &BTreeMap::new()), Caller::Unattributed);
        assert_eq!(gateway.caller(Some(&principal), &tags("acme")), acme());
        assert_eq!(gateway.caller(Some(&principal), &tags("globex")), Caller::Unknown(principal));
    }

    #[test]
    fn only_a_role_makes_a_gateway() {
        for arn in ["", "role/x", "arn:aws:iam::123456789012:user/x", "arn:aws:iam::12:role/x"] {
            assert!(Gateway::new(arn).is_err(), "{arn}");
        }
    }
}

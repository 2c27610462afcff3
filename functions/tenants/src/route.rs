//! The routes of this function.

use http::Method;
use http_api::parts;

/// What a path asks for. Ids are as the path says them, not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/v1/lobs`
    Lobs,
    /// `/v1/lobs/{lob_id}`
    Lob(String),
    /// `/v1/tenants`
    Tenants,
    /// `/v1/issuers`
    Issuers,
    /// `/v1/issuers/{issuer_id}`
    Issuer(String),
    /// `/v1/tenants/{tenant_id}` and what is below it
    Tenant(String, OfTenant),
}

/// What of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OfTenant {
    Itself,
    /// `../history`
    History,
    /// `../rollback`
    Rollback,
    /// `../suspend`
    Suspend,
    /// `../resume`
    Resume,
    /// `../users`
    Users,
    /// `../users/{username}`
    User(String),
    /// `../clients`
    Clients,
    /// `../clients/{client_id}`
    Client(String),
    /// `../clients/{client_id}/rotate`
    Rotate(String),
    /// `../aws-roles`
    AwsRoles,
    /// `../aws-roles/{account_id}/{role_name}`
    AwsRole {
        account_id: String,
        role_name: String,
    },
    /// `../issuers`
    Issuers,
    /// `../issuers/{issuer_id}`
    Issuer(String),
    /// `../model-requests`
    ModelRequests,
    /// `../model-requests/{request_id}/approve` and `/reject`
    ModelRequest {
        request_id: String,
        is_approved: bool,
    },
}

impl Route {
    /// What `path` asks for, if there is such a route.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let parts = parts(path)?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        Some(match parts.as_slice() {
            ["lobs"] => Self::Lobs,
            ["lobs", id] => Self::Lob((*id).to_owned()),
            ["issuers"] => Self::Issuers,
            ["issuers", id] => Self::Issuer((*id).to_owned()),
            ["tenants"] => Self::Tenants,
            ["tenants", id, rest @ ..] => Self::Tenant((*id).to_owned(), OfTenant::of(rest)?),
            _ => return None,
        })
    }

    /// The methods that it takes.
    pub(crate) fn methods(&self) -> &'static [Method] {
        match self {
            Self::Lobs | Self::Tenants | Self::Issuers => &[Method::GET],
            Self::Issuer(_) => &[Method::GET, Method::PUT, Method::DELETE],
            Self::Lob(_) => &[Method::GET, Method::PUT],
            Self::Tenant(_, of) => of.methods(),
        }
    }
}

impl OfTenant {
    fn of(parts: &[&str]) -> Option<Self> {
        Some(match parts {
            [] => Self::Itself,
            ["history"] => Self::History,
            ["rollback"] => Self::Rollback,
            ["suspend"] => Self::Suspend,
            ["resume"] => Self::Resume,
            ["users"] => Self::Users,
            ["users", name] => Self::User((*name).to_owned()),
            ["clients"] => Self::Clients,
            ["clients", id] => Self::Client((*id).to_owned()),
            ["clients", id, "rotate"] => Self::Rotate((*id).to_owned()),
            ["aws-roles"] => Self::AwsRoles,
            ["aws-roles", account_id, role_name] => Self::AwsRole {
                account_id: (*account_id).to_owned(),
                role_name: (*role_name).to_owned(),
            },
            ["issuers"] => Self::Issuers,
            ["issuers", id] => Self::Issuer((*id).to_owned()),
            ["model-requests"] => Self::ModelRequests,
            ["model-requests", id, decision @ ("approve" | "reject")] => Self::ModelRequest {
                request_id: (*id).to_owned(),
                is_approved: *decision == "approve",
            },
            _ => return None,
        })
    }

    fn methods(&self) -> &'static [Method] {
        match self {
            Self::Itself => &[Method::GET, Method::PUT],
            Self::History | Self::Users | Self::AwsRoles | Self::Issuers => &[Method::GET],
            Self::Issuer(_) => &[Method::GET, Method::PUT, Method::DELETE],
            Self::Rollback
            | Self::Suspend
            | Self::Resume
            | Self::Rotate(_)
            | Self::ModelRequest { .. } => &[Method::POST],
            Self::User(_) | Self::AwsRole { .. } => &[Method::PUT, Method::DELETE],
            Self::Clients | Self::ModelRequests => &[Method::GET, Method::POST],
            Self::Client(_) => &[Method::DELETE],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_route_or_none() {
        let acme = |of| Some(Route::Tenant("acme".into(), of));
        for (path, route) in [
            ("/v1/lobs", Some(Route::Lobs)),
            ("/v1/lobs/retail", Some(Route::Lob("retail".into()))),
            ("/v1/tenants", Some(Route::Tenants)),
            ("/v1/tenants/acme", acme(OfTenant::Itself)),
            (
                "/v1/tenants/acme/users/ann%40acme.example",
                acme(OfTenant::User("ann@acme.example".into())),
            ),
            ("/v1/tenants/acme/clients/c1/rotate", acme(OfTenant::Rotate("c1".into()))),
            ("/v1/tenants/", None),
            ("/v1/tenants//users", None),
            ("/v1/tenants/acme/users/a/b", None),
            ("/v1/tenants/acme/limits", None),
            ("/v1/tenants/acme/aws-roles/111122223333", None),
            ("/v1/tenants/%ff", None),
            ("/lobs", None),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
        // A slash that was encoded is part of an id, which no id takes.
        assert_eq!(
            Route::of("/v1/tenants/acme%2Fusers"),
            Some(Route::Tenant("acme/users".into(), OfTenant::Itself))
        );
    }
}

//! The keys of both tables. Every key starts with its owner, so that `dynamodb:LeadingKeys` can hold it.

use std::collections::HashMap;

use admission::Scope;
use aws_sdk_dynamodb::types::AttributeValue;
use metering::RecordId;
use tenancy::{LobId, TenantId};

/// The partition key attribute.
pub(crate) const PK: &str = "PK";
/// The sort key attribute.
pub(crate) const SK: &str = "SK";
/// The sparse index that lists meters.
pub(crate) const METERS_INDEX: &str = "meters";
/// Its hash key, which only meters carry.
pub(crate) const METER_KIND: &str = "meter_kind";
/// The one value of [`METER_KIND`].
pub(crate) const METER: &str = "METER";
/// The partition of what instances tell each other about targets; nobody's.
pub(crate) const HEALTH: &str = "HEALTH";
/// Sort key prefix of targets.
pub(crate) const TARGET: &str = "TARGET#";
/// The partition of models, providers, aliases and prices.
pub(crate) const CATALOG: &str = "CATALOG";
/// Sort key prefix of models.
pub(crate) const MODEL: &str = "MODEL#";
/// Sort key prefix of providers.
pub(crate) const PROVIDER: &str = "PROVIDER#";
/// Sort key prefix of aliases, the organisation's and a tenant's own.
pub(crate) const ALIAS: &str = "ALIAS#";
/// Sort key prefix of price books.
pub(crate) const PRICES: &str = "PRICES#";
/// Sort key of what is known about a tenant or line of business.
pub(crate) const META: &str = "META";

pub(crate) type Key = HashMap<String, AttributeValue>;

pub(crate) fn key(pk: String, sk: String) -> Key {
    HashMap::from([(PK.to_owned(), AttributeValue::S(pk)), (SK.to_owned(), AttributeValue::S(sk))])
}

pub(crate) fn tenant(id: &TenantId) -> String {
    format!("TENANT#{id}")
}

pub(crate) fn lob(id: &LobId) -> String {
    format!("LOB#{id}")
}

pub(crate) fn scope(scope: &Scope) -> String {
    match scope {
        Scope::Tenant(id) => tenant(id),
        Scope::Lob(id) => lob(id),
    }
}

/// The scope whose partition key this is.
pub(crate) fn parse_scope(pk: &str) -> Option<Scope> {
    match pk.split_once('#')? {
        ("TENANT", id) => id.parse().ok().map(Scope::Tenant),
        ("LOB", id) => id.parse().ok().map(Scope::Lob),
        _ => None,
    }
}

pub(crate) fn meter(of: &Scope) -> Key {
    key(scope(of), METER.to_owned())
}

pub(crate) fn usage_record(tenant_id: &TenantId, id: &RecordId) -> Key {
    key(tenant(tenant_id), format!("USAGE#{id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_found_by_its_own_key_only() {
        for scope_ in
            [Scope::Tenant("acme".parse().unwrap()), Scope::Lob("retail".parse().unwrap())]
        {
            assert_eq!(parse_scope(&scope(&scope_)), Some(scope_));
        }
        for other in ["CATALOG", "TENANT", "TENANT#", "TENANT#acme#x", "CLIENT#acme", "tenant#acme"]
        {
            assert_eq!(parse_scope(other), None, "{other}");
        }
    }
}

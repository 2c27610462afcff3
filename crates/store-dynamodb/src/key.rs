//! The keys of both tables. Every key starts with its owner, so that `dynamodb:LeadingKeys` can hold it.

use std::collections::HashMap;

use admission::{MeterRef, ModelSelector, Scope, Shard};
use aws_sdk_dynamodb::types::AttributeValue;
use metering::RecordId;
use tenancy::{LobId, ModelId, TenantId};

/// The partition key attribute.
pub(crate) const PK: &str = "PK";
/// The sort key attribute.
pub(crate) const SK: &str = "SK";
/// The sparse index that lists meters.
pub(crate) const METERS_INDEX: &str = "meters";
/// The index that lists the tenants of a line of business.
pub(crate) const TENANTS_INDEX: &str = "tenants";
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
/// Sort key prefix of the organisation's aliases; a tenant's own are in its item.
pub(crate) const ALIAS: &str = "ALIAS#";
/// Sort key prefix of price books.
pub(crate) const PRICES: &str = "PRICES#";
/// Sort key prefix of the organisation's own prices.
pub(crate) const PRICE_OVERRIDES: &str = "PRICE_OVERRIDES#";
/// Sort key of what is known about a tenant or line of business.
pub(crate) const META: &str = "META";

/// Sort key prefix of how a tenant was.
pub(crate) const VERSION_OF: &str = "VERSION#";
/// The partition of what was begun and has to be finished; nobody's.
pub(crate) const UNFINISHED: &str = "UNFINISHED";
/// Sort key prefix of machine clients in [`callers`].
pub(crate) const CLIENT: &str = "CLIENT#";
/// Sort key prefix of AWS roles in [`callers`].
pub(crate) const AWS_ROLE: &str = "AWSROLE#";
/// Sort key prefix of OIDC issuers in [`callers`] and in the organisation's partition.
pub(crate) const ISSUER: &str = "ISSUER#";
/// Sort key prefix of models that a tenant asks for.
pub(crate) const MODEL_REQUEST: &str = "MODELREQUEST#";

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

/// The partition of the organisation.
pub(crate) const ORG: &str = "ORG";

/// The partition that lists the machine clients and AWS roles of a tenant.
pub(crate) fn callers(id: &TenantId) -> String {
    format!("CALLERS#{id}")
}

/// The partition of the people and groups that an identity provider brings to a tenant.
#[cfg(feature = "scim")]
pub(crate) fn members(id: &TenantId) -> String {
    format!("TENANT#{id}#SCIM")
}

/// The partition of a machine client.
pub(crate) fn client(client_id: &str) -> String {
    format!("{CLIENT}{client_id}")
}

/// The partition of an AWS role.
pub(crate) fn aws_role(account_id: &str, role_name: &str) -> String {
    format!("{AWS_ROLE}{account_id}:{role_name}")
}

/// The partition of an OIDC issuer.
pub(crate) fn issuer(name: &str) -> String {
    format!("{ISSUER}{name}")
}

/// How a tenant was in one version, in the order of versions.
pub(crate) fn version(id: &TenantId, version: u64) -> Key {
    key(tenant(id), format!("{VERSION_OF}{version:012}"))
}

/// What stays of a tenant that was off-boarded: its id is not given out again.
pub(crate) fn tombstone(id: &TenantId) -> Key {
    key(tenant(id), "TOMBSTONE".to_owned())
}

/// The partition of what belongs to a scope.
pub(crate) fn scope(scope: &Scope) -> String {
    match scope {
        Scope::Org => ORG.to_owned(),
        Scope::Lob(id) => lob(id),
        Scope::Tenant(id) | Scope::Project(id, _) | Scope::Principal(id, _) => tenant(id),
    }
}

/// A meter: `TENANT#acme` / `METER`, `LOB#retail` / `METER#FAMILY#claude`,
/// `TENANT#acme` / `METER#PRINCIPAL#u-1`. Each shard has a partition of its own
/// (`TENANT#acme#SHARD#0-3`), so that they do not share what DynamoDB gives a partition.
pub(crate) fn meter(of: &MeterRef) -> Key {
    let shard = if of.shard == Shard::default() {
        String::new()
    } else {
        format!("#SHARD#{}-{}", of.shard.epoch, of.shard.number)
    };
    let models = match &of.models {
        ModelSelector::All => String::new(),
        ModelSelector::Model(id) => format!("#MODEL#{id}"),
        ModelSelector::Family(id) => format!("#FAMILY#{id}"),
    };
    let within = match &of.scope {
        Scope::Org | Scope::Lob(_) | Scope::Tenant(_) => String::new(),
        Scope::Project(_, id) => format!("#PROJECT#{id}"),
        Scope::Principal(_, id) => format!("#PRINCIPAL#{id}"),
    };
    key(format!("{}{shard}", scope(&of.scope)), format!("{METER}{models}{within}"))
}

/// Makes a selector of what it names.
type Selector = fn(ModelId) -> ModelSelector;

/// The meter whose key this is.
pub(crate) fn parse_meter(pk: &str, sk: &str) -> Option<MeterRef> {
    let (owner, shard) = match pk.split_once("#SHARD#") {
        None => (pk, Shard::default()),
        Some((owner, shard)) => {
            let (epoch, number) = shard.split_once('-')?;
            (owner, Shard { epoch: epoch.parse().ok()?, number: number.parse().ok()? })
        }
    };
    let mut rest = sk.strip_prefix(METER)?;
    let mut models = ModelSelector::All;
    let selectors: [(&str, Selector); 2] =
        [("#MODEL#", ModelSelector::Model), ("#FAMILY#", ModelSelector::Family)];
    for (prefix, selector) in selectors {
        if let Some(found) = rest.strip_prefix(prefix) {
            // A model id holds no `#`; a principal's, which may follow, does.
            let end = found.find('#').unwrap_or(found.len());
            let (id, left) = found.split_at_checked(end)?;
            models = selector(id.parse().ok()?);
            rest = left;
        }
    }
    let scope = match owner.split_once('#') {
        None => (owner == ORG && rest.is_empty()).then_some(Scope::Org)?,
        Some(("LOB", id)) if rest.is_empty() => Scope::Lob(id.parse().ok()?),
        Some(("TENANT", id)) => {
            let id: TenantId = id.parse().ok()?;
            if rest.is_empty() {
                Scope::Tenant(id)
            } else if let Some(project) = rest.strip_prefix("#PROJECT#") {
                Scope::Project(id, project.parse().ok()?)
            } else {
                let principal = rest.strip_prefix("#PRINCIPAL#")?;
                Scope::Principal(id, principal.to_owned().try_into().ok()?)
            }
        }
        Some(_) => return None,
    };
    Some(MeterRef { scope, models, shard })
}

/// Every last digit of a call's id.
pub(crate) const BUCKETS: &str = "0123456789abcdef";

/// The partition of a tenant's usage records whose calls' ids end alike: sixteen of them, so that a
/// busy tenant is not held to what DynamoDB gives one partition.
pub(crate) fn usage_partition(tenant_id: &TenantId, bucket: char) -> String {
    format!("TENANT#{tenant_id}#USAGE#{bucket}")
}

/// Which of the sixteen a call's records are in.
pub(crate) fn bucket(call_id: &str) -> char {
    call_id.chars().last().filter(char::is_ascii_hexdigit).map_or('0', |it| it.to_ascii_lowercase())
}

pub(crate) fn usage_record(tenant_id: &TenantId, id: &RecordId) -> Key {
    key(usage_partition(tenant_id, bucket(&id.call_id)), format!("USAGE#{id}"))
}

/// What is known of a provider call before it is made, beside its record-to-be.
pub(crate) fn open_call(tenant_id: &TenantId, id: &RecordId) -> Key {
    key(usage_partition(tenant_id, bucket(&id.call_id)), format!("OPEN#{id}"))
}

#[cfg(test)]
mod tests {
    use admission::Held;

    use super::*;

    #[test]
    fn a_meter_is_found_by_its_own_key_only() {
        for text in [
            "org",
            "org shard=1.0",
            "lob=retail family=claude shard=2.7",
            "tenant=acme",
            "tenant=acme shard=0.3",
            "tenant=acme model=vendor.model:0/x",
            "tenant=acme project=web-shop",
            "tenant=acme principal=u#MODEL#x|1 family=claude",
            "tenant=acme principal=PROJECT#x",
        ] {
            let meter_ref = text.parse::<Held>().unwrap().meter;
            let key = meter(&meter_ref);
            let part = |name: &str| key[name].as_s().unwrap().clone();
            assert_eq!(parse_meter(&part(PK), &part(SK)), Some(meter_ref), "{text}");
        }
        for (pk, sk) in [
            ("CATALOG", "METER"),
            ("TENANT", "METER"),
            ("TENANT#", "METER"),
            ("TENANT#acme#x", "METER"),
            ("TENANT#acme#SHARD#1", "METER"),
            ("CLIENT#acme", "METER"),
            ("tenant#acme", "METER"),
            ("LOB#retail", "METER#PROJECT#web-shop"),
            ("TENANT#acme", "USAGE#x"),
            ("TENANT#acme", "METER#"),
            ("ORG", "METER#PRINCIPAL#x"),
        ] {
            assert_eq!(parse_meter(pk, sk), None, "{pk} {sk}");
        }
    }

    #[test]
    fn records_of_one_call_are_in_one_of_sixteen_partitions() {
        assert_eq!(bucket("0198f0c2a7b37d1e8f00aabbccddeeff"), 'f');
        assert_eq!(bucket("call-x"), '0');
        assert_eq!(bucket(""), '0');
    }

    /// What ids are made of, and what could bend a key, a pattern of IAM or a look-up.
    const HOSTILE: &str = "[a-z0-9A-Z#*?/:%.@+=,_! -]{0,12}|[a-c\u{430}\u{ff23}\u{200b}\\x00]{1,8}|[a-z]{41,60}|(TENANT|CALLERS|CLIENT)#[a-z]{3,5}";

    /// Whether a partition is of `tenant`: its own, or one of those that go on with `#`.
    fn is_of(pk: &str, tenant: &TenantId) -> bool {
        ["TENANT#", "CALLERS#"].iter().any(|kind| {
            pk.strip_prefix(kind)
                .and_then(|rest| rest.strip_prefix(tenant.as_str()))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('#'))
        })
    }

    proptest::proptest! {
        /// Whatever somebody calls a tenant, project, person, model or role: what belongs to one tenant
        /// has a key in that tenant's partitions only, and what finds a caller in no tenant's.
        #[test]
        fn no_name_reaches_into_another_tenants_partition(
            tenant in HOSTILE, project in HOSTILE, principal in HOSTILE, model in HOSTILE,
            account in "[0-9]{12}|[0-9#*]{0,14}", role in HOSTILE, shard in 0u16..300,
        ) {
            let other: TenantId = "other-one".parse().unwrap();
            if let Ok(id) = tenant.parse::<TenantId>() {
                proptest::prop_assume!(id != other);
                let mut scopes = vec![Scope::Tenant(id.clone())];
                scopes.extend(project.parse().ok().map(|it| Scope::Project(id.clone(), it)));
                scopes.extend(principal.try_into().ok().map(|it| Scope::Principal(id.clone(), it)));
                let mut partitions = vec![tenant_partition(&id), callers(&id), members(&id)];
                for scope in scopes {
                    let models = model.parse().map_or(ModelSelector::All, ModelSelector::Model);
                    let shard = Shard { epoch: 1, number: shard };
                    let key = meter(&MeterRef { scope, models, shard });
                    partitions.push(key[PK].as_s().unwrap().clone());
                }
                partitions.push(version(&id, 7)[PK].as_s().unwrap().clone());
                for pk in partitions {
                    proptest::prop_assert!(is_of(&pk, &id) && !is_of(&pk, &other), "{}", pk);
                    proptest::prop_assert!(!pk.contains(['*', '?', '/', '\0']) && pk.is_ascii(), "{}", pk);
                }
            }
            let own: TenantId = "acme".parse().unwrap();
            let registered = administration::new_aws_role(&account, &role, None, &own, tenancy::Role::Machine);
            if let Ok(registered) = registered {
                let pk = aws_role(&registered.account_id, &registered.role_name);
                proptest::prop_assert_eq!(pk.matches('#').count(), 1);
                proptest::prop_assert!(pk.starts_with("AWSROLE#") && pk.is_ascii(), "{}", pk);
                proptest::prop_assert!(!pk.contains(['*', '?', '/', '\0', ' ']), "{}", pk);
                // One way to write it: another account or name is another key.
                let (account, name) = pk["AWSROLE#".len()..].split_once(':').unwrap();
                proptest::prop_assert_eq!((account, name), (&*registered.account_id, &*registered.role_name));
            }
        }
    }

    fn tenant_partition(id: &TenantId) -> String {
        super::tenant(id)
    }
}

//! Nothing of another tenant is ever taken for the tenant's, however its id or keys look.

use std::collections::BTreeSet;

use offboarding::fakes::found;
use offboarding::{Found, Store, Whose, classify};
use proptest::prelude::*;

use crate::support::id;

/// Ids that are prefixes, suffixes and neighbours of each other.
const IDS: &str = "(a|ac|acm|acme|tenant|lob)(-|-2|2|-acme|0)?(e|b|2|x)";

fn store() -> impl Strategy<Value = Store> {
    proptest::sample::select(Store::ALL.to_vec())
}

/// Keys as Weir writes them for a tenant, and as somebody would to reach into another's.
fn keys(id: String) -> impl Strategy<Value = Vec<(Store, String, String)>> {
    ("[a-zA-Z0-9#=/:._-]{0,12}", store()).prop_map(move |(text, other)| {
        use Store::{
            AuditBucket, ContentTable, LedgerTable, StatementsBucket, TenancyTable, UploadsBucket,
            UserPool,
        };
        let own = format!("TENANT#{id}");
        [
            (TenancyTable, own.clone(), format!("VERSION#{text}")),
            (TenancyTable, format!("CALLERS#{id}"), format!("CLIENT#{text}")),
            (TenancyTable, "UNFINISHED".into(), format!("tenants/{id}/users/{text}")),
            (TenancyTable, "UNFINISHED".into(), format!("tenants/{id}")),
            (TenancyTable, "AUDIT#HEADS".into(), format!("tenant={id}")),
            (TenancyTable, format!("AUDIT#CHAIN#tenant={id}"), format!("ENTRY#{text}")),
            (LedgerTable, format!("{own}#USAGE#f"), format!("USAGE#{text}")),
            (LedgerTable, format!("{own}#SHARD#1-2"), format!("METER#PRINCIPAL#{text}")),
            (LedgerTable, format!("{own}#ROLLUP"), format!("HOUR#{text}")),
            (LedgerTable, "PERIOD#2026-11".into(), own.clone()),
            (LedgerTable, "ALERTS".into(), format!("tenants/{id}#{text}")),
            (ContentTable, own, format!("RESPONSE#{text}")),
            (UploadsBucket, String::new(), format!("tenant={id}/{text}")),
            (StatementsBucket, String::new(), format!("statements/2026-11/tenant={id}/{text}")),
            (StatementsBucket, String::new(), format!("exports/tenant={id}/task=1/{text}")),
            (AuditBucket, String::new(), format!("audit/dt=2026-11-23/tenant/{id}/{text}")),
            (UserPool, "groups".into(), format!("{id}:developer")),
            (UserPool, format!("members/{id}:developer"), text.clone()),
            (other, format!("LOB#{id}"), text.clone()),
            (other, "ORG".into(), text),
        ]
        .into()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_is_two_tenants(
        (one, other, keys) in (IDS, IDS).prop_flat_map(|(one, other)| {
            let keys = keys(other.clone());
            (Just(one), Just(other), keys)
        }),
        client in "[a-z0-9]{8}",
    ) {
        let clients = std::iter::once(client.clone()).collect();
        let (Ok(one_id), Ok(other_id)) = (one.parse(), other.parse()) else { return Ok(()) };
        let is_same = one_id == other_id;
        let one = Whose { tenant_id: one_id, clients };
        let other = Whose { tenant_id: other_id, clients: BTreeSet::new() };
        for (store, place, name) in keys {
            let mut it = found(store, &place, &name);
            let is_of_lob = place.starts_with("LOB#") || place == "ORG";
            for owner in [None, Some(one.tenant_id.to_string()), Some(other.tenant_id.to_string())] {
                it.owner = owner;
                // What an item says of itself counts only in partitions that are nobody's.
                let decides = ["ALERTS", "UNFINISHED"].contains(&&*place) || place.starts_with("PERIOD#");
                let owner = it.owner.as_deref().filter(|_| decides);
                let taken = !matches!(classify(&one, &it), Ok(None));
                let is_named = owner == Some(one.tenant_id.as_str());
                prop_assert!(!taken || is_same || is_named, "{:?} was taken for {}'s", it, one.tenant_id);
                let is_found = !matches!(classify(&other, &it), Ok(None));
                let is_object = !matches!(store, Store::TenancyTable | Store::LedgerTable | Store::ContentTable);
                prop_assert!(is_found || (is_of_lob || is_object && place.is_empty() && name.is_empty()), "{:?} is nobody's", it);
            }
        }
        // A client is a tenant's by its registration or by its name, and by no part of it.
        let named = |name: &str| Found { owner: Some(name.to_owned()), ..found(Store::UserPool, "clients", "other-id") };
        let is_one = |it: &Found| !matches!(classify(&one, it), Ok(None));
        prop_assert!(is_one(&found(Store::UserPool, "clients", &client)));
        let own_name = format!("{}.x", one.tenant_id);
        prop_assert!(is_one(&named(&own_name)));
        if !is_same {
            let other_name = format!("{}.x", other.tenant_id);
            prop_assert!(!is_one(&named(&other_name)));
            prop_assert!(!is_one(&named(other.tenant_id.as_str())));
        }
    }
}

#[test]
fn ids_that_begin_alike_are_told_apart() {
    let whose = Whose { tenant_id: id("acme"), clients: BTreeSet::new() };
    for (store, place, name) in [
        (Store::LedgerTable, "TENANT#acme-2", "METER"),
        (Store::LedgerTable, "TENANT#acme2#USAGE#a", "USAGE#x"),
        (Store::UploadsBucket, "", "tenant=acme2/x"),
        (Store::UploadsBucket, "", "tenant=acme-2/x"),
        (Store::UploadsBucket, "", "x/tenant=acme/x"),
        (Store::UserPool, "groups", "acme-2:viewer"),
        (Store::TenancyTable, "UNFINISHED", "tenants/acme-2/users/x"),
        (Store::TenancyTable, "LOB#acme", "META"),
        (Store::TenancyTable, "CLIENT#acme", "META"),
    ] {
        assert_eq!(classify(&whose, &found(store, place, name)), Ok(None), "{place} {name}");
    }
}

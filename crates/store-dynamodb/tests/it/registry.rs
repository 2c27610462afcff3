//! Entries of models as administrators change them, and as the hot path reads them.

use inference::{Alias, CatalogStore as _, Stage};
use registry::{
    Change, Entry as _, ModelEntry, Notice, RegistryStore as _, Removal, Told, Versioned, moved,
};
use serde_json::json;
use store_dynamodb::{Configuration, Registry};
use tenancy::ModelId;

use crate::administration::{entry, get};
use crate::support::{TENANCY, keyed, put};

fn id(text: &str) -> ModelId {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_change_is_its_version_its_audit_entry_and_what_the_hot_path_reads() {
    let client = keyed(TENANCY).await;
    let (registry, hot) = (
        Registry::new(client.clone(), TENANCY.to_owned()),
        Configuration::new(client.clone(), TENANCY.to_owned()),
    );
    let document = json!({
        "provider_model_id": "vendor.tuned", "protocols": ["converse"], "owned_by": "acme",
        "context_window": 8192, "max_output_tokens": 1024, "default_max_tokens": 256,
        "capabilities": {"tools": true}, "drop_fields": ["seed"],
        "provenance": {"origin": "fine_tuned", "base_model": "nova-pro", "made_at": "2026-11-01T00:00:00Z"},
    });
    let (ada, bob) = (entry(1, "x").principal_id, "u-2".to_owned().try_into().unwrap());
    let body = document.as_object().unwrap().clone();
    let new = ModelEntry::read(body, &id("tuned"), None, &ada, entry(1, "x").time).unwrap();
    let first = Change::new(None, new, entry(1, "registry/models/tuned"));
    assert!(registry.change(&first).await.unwrap());
    assert!(!registry.change(&first).await.unwrap(), "it is there");
    assert_eq!(registry.entry(&id("tuned")).await.unwrap().as_ref(), Some(&first.after));
    let draft = &hot.catalog().await.unwrap().models[&id("tuned")];
    assert_eq!((draft.as_ref(), draft.stage), (&first.after.entry.model, Stage::Draft));

    let approved = moved(&first.after.entry, Stage::Approved, &bob, entry(2, "x").time).unwrap();
    let second =
        Change::new(Some(first.after.clone()), approved, entry(2, "registry/models/tuned"));
    assert!(registry.change(&second).await.unwrap());
    let again = Change { audit: entry(3, "registry/models/tuned"), ..second.clone() };
    assert!(!registry.change(&again).await.unwrap(), "it changed since");
    assert_eq!(registry.entries().await.unwrap(), std::slice::from_ref(&second.after));
    assert_eq!(hot.catalog().await.unwrap().models[&id("tuned")].stage, Stage::Approved);

    let versions =
        async |before, limit| registry.versions(&id("tuned"), before, limit).await.unwrap();
    assert_eq!(versions(u64::MAX, 9).await, [second.after.clone(), first.after.clone()]);
    assert_eq!(versions(3, 1).await, [second.after]);
    assert_eq!(versions(2, 9).await, [first.after]);
    assert_eq!(versions(0, 9).await, Vec::<Versioned<ModelEntry>>::new());
    let audited = get(&client, TENANCY, "ORG", "AUDIT#2026-11-23T12:00:02.000Z#e2").await.unwrap();
    assert_eq!(audited["version"], 2);
    assert!(get(&client, TENANCY, "ORG", "AUDIT#2026-11-23T12:00:03.000Z#e3").await.is_none());
}

#[tokio::test]
async fn what_was_seeded_is_changed_once_and_can_be_put_back() {
    let client = keyed(TENANCY).await;
    let registry = Registry::new(client.clone(), TENANCY.to_owned());
    let seeded = json!({
        "id": "nova-pro", "provider_model_id": "amazon.nova-pro-v1:0", "protocols": ["converse"],
        "owned_by": "amazon", "created": 1, "context_window": 300_000, "max_output_tokens": 10_000,
        "default_max_tokens": 4096, "capabilities": {},
    });
    put(&client, TENANCY, "CATALOG", "MODEL#nova-pro", seeded).await;
    let before: Versioned<ModelEntry> = registry.entry(&id("nova-pro")).await.unwrap().unwrap();
    assert_eq!(before.version, 0);
    let left =
        moved(&before.entry, Stage::Deprecated, &entry(1, "x").principal_id, entry(1, "x").time);
    let left = left.unwrap();
    let change =
        Change::new(Some(before.clone()), left.clone(), entry(1, "registry/models/nova-pro"));
    assert!(registry.change(&change).await.unwrap());
    let late = Change::new(Some(before.clone()), left, entry(2, "registry/models/nova-pro"));
    assert!(!registry.change(&late).await.unwrap(), "it was changed before");
    let versions = registry.versions(&id("nova-pro"), 2, 9).await.unwrap();
    assert_eq!(versions, [change.after, before]);
}

#[tokio::test]
async fn an_alias_that_comes_again_goes_on_counting() {
    let client = keyed(TENANCY).await;
    let registry = Registry::new(client.clone(), TENANCY.to_owned());
    let hot = Configuration::new(client.clone(), TENANCY.to_owned());
    let alias = |model: &str| -> Alias {
        let steps = json!([{"targets": [{"model": model}]}]);
        serde_json::from_value(json!({"name": "smart", "steps": steps})).unwrap()
    };
    let first = Change::new(None, alias("tuned-1"), entry(1, "registry/aliases/smart"));
    assert!(registry.change(&first).await.unwrap());
    // A model of the same name is another entry.
    assert_eq!(registry.entries::<ModelEntry>().await.unwrap(), []);
    assert_eq!(registry.entry::<ModelEntry>(&id("smart")).await.unwrap(), None);
    let read = &hot.catalog().await.unwrap().aliases[&id("smart")];
    assert_eq!(**read, alias("tuned-1"));
    let second = Change::new(
        Some(first.after.clone()),
        alias("tuned-2"),
        entry(2, "registry/aliases/smart"),
    );
    assert!(registry.change(&second).await.unwrap());

    let removal = |before: &Versioned<Alias>, number| Removal {
        before: before.clone(),
        audit: entry(number, "registry/aliases/smart"),
    };
    assert!(!registry.remove(&removal(&first.after, 3)).await.unwrap(), "it changed since");
    assert!(registry.remove(&removal(&second.after, 4)).await.unwrap());
    assert!(!registry.remove(&removal(&second.after, 5)).await.unwrap(), "it is gone");
    assert!(hot.catalog().await.unwrap().aliases.is_empty());
    let versions = registry.versions::<Alias>(&id("smart"), u64::MAX, 1).await.unwrap();
    assert_eq!(versions, std::slice::from_ref(&second.after));
    let third = Change::registration(
        versions[0].version,
        alias("tuned-3"),
        entry(6, "registry/aliases/smart"),
    );
    assert!(registry.change(&third).await.unwrap());
    let versions = registry.versions(&id("smart"), u64::MAX, 9).await.unwrap();
    assert_eq!(versions, [third.after, second.after, first.after]);
}

#[tokio::test]
async fn what_was_told_of_a_model_is_kept_beside_its_versions() {
    let registry = Registry::new(keyed(TENANCY).await, TENANCY.to_owned());
    let old = id("old");
    let told = async || registry.told(&old).await.unwrap();
    assert_eq!(told().await, None);
    let notice = Notice {
        stage: Stage::Deprecated,
        retires_on: Some("2026-12-31".parse().unwrap()),
        successor: Some(id("new")),
        within_days: Some(90),
    };
    let place = ("retail".parse().unwrap(), Some("acme".parse().unwrap()));
    let half = Told { notice, up_to: Some(place), is_complete: false };
    registry.put_told(&old, Some(&half)).await.unwrap();
    assert_eq!(told().await, Some(half.clone()));
    assert_eq!(registry.told(&id("new")).await.unwrap(), None);
    assert_eq!(registry.versions::<ModelEntry>(&old, u64::MAX, 9).await.unwrap(), []);
    registry.put_told(&old, None).await.unwrap();
    assert_eq!(told().await, None);
}

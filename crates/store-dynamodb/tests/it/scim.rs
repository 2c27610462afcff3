//! People and groups that an identity provider brings, in the table.

use std::collections::BTreeSet;

use ::scim::{
    GroupChange, MemberStore as _, Resource, StoredGroup, StoredUser, UserChange, uniques,
};
use administration::{Task, Unfinished};
use admission::AuditEntry;
use aws_sdk_dynamodb::Client;
use jiff::Timestamp;
use serde_json::{Value, json};
use store_dynamodb::Members;
use tenancy::TenantId;

use crate::support::{TENANCY, context, create_tenancy, dynamodb};

async fn members() -> (Client, Members) {
    let client = dynamodb().await;
    create_tenancy(&client).await;
    (client.clone(), Members::new(client, TENANCY.to_owned()))
}

fn tenant(id: &str) -> TenantId {
    id.parse().unwrap()
}

fn resource(body: &Value) -> Resource {
    body.as_object().unwrap().clone()
}

fn user(id: &str, version: u64, body: &Value) -> StoredUser {
    StoredUser {
        id: id.to_owned(),
        version,
        created: Timestamp::UNIX_EPOCH,
        modified: Timestamp::UNIX_EPOCH,
        resource: resource(body),
        groups: BTreeSet::new(),
        person: None,
        address: None,
    }
}

fn group(id: &str, version: u64, name: &str) -> StoredGroup {
    StoredGroup {
        id: id.to_owned(),
        version,
        created: Timestamp::UNIX_EPOCH,
        modified: Timestamp::UNIX_EPOCH,
        resource: resource(&json!({"displayName": name})),
        is_spreading: false,
    }
}

fn entry(id: &str) -> AuditEntry {
    let context = context("acme", "retail");
    AuditEntry::of(&context, id.to_owned(), Timestamp::UNIX_EPOCH, "user.provisioned", "x".into())
}

fn change(id: &str, before: Option<StoredUser>, after: Option<StoredUser>) -> UserChange {
    UserChange { before, after, roster: 0, tasks: Vec::new(), entry: entry(id) }
}

#[tokio::test]
async fn a_person_is_changed_from_what_they_are_and_by_one_only() {
    let (_client, store) = members().await;
    let acme = tenant("acme");
    let ann = user("u1", 1, &json!({"userName": "Ann", "externalId": "E1"}));
    let made = change("e1", None, Some(ann.clone()));
    assert!(store.change_user(&acme, &made).await.unwrap());
    assert_eq!(store.user(&acme, "u1").await.unwrap().as_ref(), Some(&ann));
    // The same once more, and somebody else of that name, in whatever case, or of that id.
    assert!(!store.change_user(&acme, &made).await.unwrap());
    for body in [json!({"userName": "ANN"}), json!({"userName": "b", "externalId": "E1"})] {
        let other = change("e2", None, Some(user("u2", 1, &body)));
        assert!(!store.change_user(&acme, &other).await.unwrap(), "{body}");
    }
    assert_eq!(store.user(&acme, "u2").await.unwrap(), None);
    // What one tenant has, another may have, too, and neither sees the other's.
    let globex = tenant("globex");
    assert_eq!(store.user(&globex, "u1").await.unwrap(), None);
    assert!(store.users(&globex).await.unwrap().is_empty());
    assert!(store.change_user(&globex, &change("e3", None, Some(ann.clone()))).await.unwrap());

    let renamed = user("u1", 2, &json!({"userName": "Anna", "externalId": "E1"}));
    let change_of = |before: u64| {
        let before = StoredUser { version: before, ..ann.clone() };
        change("e4", Some(before), Some(renamed.clone()))
    };
    assert!(!store.change_user(&acme, &change_of(7)).await.unwrap());
    assert!(store.change_user(&acme, &change_of(1)).await.unwrap());
    // The old name is free, the new one is taken.
    let names = |body: Value| uniques(&::scim::USER, &resource(&body)).into_iter().next().unwrap();
    let holder = async |name: &str| {
        let unique = names(json!({ "userName": name }));
        store.holder(&acme, &unique).await.unwrap()
    };
    assert_eq!(holder("ann").await, None);
    assert_eq!(holder("anna").await.as_deref(), Some("u1"));
    assert!(store.change_user(&acme, &change("e5", Some(renamed), None)).await.unwrap());
    assert_eq!((store.user(&acme, "u1").await.unwrap(), holder("anna").await), (None, None));
}

#[tokio::test]
async fn what_was_decided_by_an_older_roster_is_not_written() {
    let (_client, store) = members().await;
    let acme = tenant("acme");
    let group_change =
        |id: &str, before: Option<StoredGroup>, after: Option<StoredGroup>, is_decisive| {
            GroupChange { before, after, is_decisive, entry: Some(entry(id)) }
        };
    let builders = group("g1", 1, "developer");
    let made = group_change("g1", None, Some(builders.clone()), true);
    assert!(store.change_group(&acme, &made).await.unwrap());
    let same_name = group_change("g2", None, Some(group("g2", 1, "Developer")), true);
    assert!(!store.change_group(&acme, &same_name).await.unwrap());
    let roster = store.roster(&acme).await.unwrap();
    assert_eq!((roster.version, roster.groups["g1"].clone()), (1, builders.clone()));

    let ann = user("u1", 1, &json!({"userName": "ann"}));
    let by = |roster: u64| UserChange { roster, ..change("e1", None, Some(ann.clone())) };
    assert!(!store.change_user(&acme, &by(0)).await.unwrap());
    assert!(store.change_user(&acme, &by(1)).await.unwrap());
    // What changes nothing of what groups give does not count; what does, does.
    let noted =
        group_change("g3", Some(builders.clone()), Some(group("g1", 2, "developer")), false);
    assert!(store.change_group(&acme, &noted).await.unwrap());
    assert_eq!(store.roster(&acme).await.unwrap().version, 1);
    assert!(
        !store.change_group(&acme, &group_change("g4", Some(builders), None, true)).await.unwrap()
    );
    let gone = group_change("g5", Some(group("g1", 2, "developer")), None, true);
    assert!(store.change_group(&acme, &gone).await.unwrap());
    let roster = store.roster(&acme).await.unwrap();
    assert_eq!((roster.version, roster.groups.len()), (2, 0));
}

#[tokio::test]
async fn two_changes_of_one_person_do_not_cross() {
    let (_client, store) = members().await;
    let acme = tenant("acme");
    let noted = |id: &str| Unfinished {
        id: id.to_owned(),
        since: Timestamp::UNIX_EPOCH,
        task: Task::SetMember {
            tenant_id: acme.clone(),
            user_id: "p-1".to_owned().try_into().unwrap(),
            roles: BTreeSet::new(),
        },
    };
    let by = |task: &str, user_id: &str| UserChange {
        tasks: vec![noted(task)],
        ..change(task, None, Some(user(user_id, 1, &json!({ "userName": user_id }))))
    };
    assert!(store.change_user(&acme, &by("n1", "u1")).await.unwrap());
    assert!(!store.change_user(&acme, &by("n2", "u2")).await.unwrap());
    // An older attempt takes no newer note away.
    store.end(&noted("n0")).await.unwrap();
    assert!(!store.change_user(&acme, &by("n2", "u2")).await.unwrap());
    store.end(&noted("n1")).await.unwrap();
    assert!(store.change_user(&acme, &by("n2", "u2")).await.unwrap());
    store.note(&entry("n3")).await.unwrap();
}

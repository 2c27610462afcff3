//! Tenants, lines of business and callers as administrators change them, in the table.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use administration::{
    AdministrationStore as _, LobChange, LobDocument, MachineClient, ModelRequest,
    RegisteredIssuer, Suspension, Task, TenantChange, TenantDocument, TenantState, TenantsAsked,
    Unfinished, new_aws_role,
};
use admission::{AuditEntry, Calendar, RequestStatus};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use store_dynamodb::{Administration, DynamoDirectory, Ledger};
use tenancy::{Directory as _, LobId, Role, Status, TenantId};

use crate::support::{TABLE, TENANCY, create_tenancy, dynamodb, put};

/// A `tenancy` table like the template's beside the ledger, both empty.
pub(crate) async fn tables() -> (Client, Administration) {
    let client = dynamodb().await;
    create_tenancy(&client).await;
    let ledger = Ledger::new(client.clone(), TABLE.to_owned(), Calendar::utc());
    (client.clone(), Administration::new(client, TENANCY.to_owned(), ledger))
}

pub(crate) async fn get(client: &Client, table: &str, pk: &str, sk: &str) -> Option<Value> {
    let key = HashMap::from([
        ("PK".to_owned(), AttributeValue::S(pk.to_owned())),
        ("SK".to_owned(), AttributeValue::S(sk.to_owned())),
    ]);
    let get = client.get_item().table_name(table).set_key(Some(key)).consistent_read(true);
    get.send().await.unwrap().item.map(|item| serde_dynamo::from_item(item).unwrap())
}

pub(crate) fn tenant_id(text: &str) -> TenantId {
    text.parse().unwrap()
}

fn lob_id(text: &str) -> LobId {
    text.parse().unwrap()
}

pub(crate) fn entry(number: u32, subject: &str) -> AuditEntry {
    AuditEntry {
        id: format!("e{number}"),
        time: format!("2026-11-23T12:00:{number:02}Z").parse().unwrap(),
        action: "tenant.changed".to_owned(),
        subject: subject.to_owned(),
        principal_id: "u-1".to_owned().try_into().unwrap(),
        principal_kind: None,
        tenant_id: tenant_id("globex"),
        roles: BTreeSet::from([Role::OrgAdmin]),
        is_allowed: true,
        version: Some(u64::from(number)),
        before: Value::Null,
        after: json!({"n": number}),
    }
}

fn note(id: &str, task: Task) -> Unfinished {
    Unfinished { id: id.to_owned(), since: "2026-11-23T12:00:00Z".parse().unwrap(), task }
}

fn document(name: &str) -> TenantDocument {
    let mut document = TenantDocument::new(name, lob_id("retail"));
    document.models = BTreeSet::from(["nova-pro".parse().unwrap()]);
    document.tags = BTreeMap::from([("cost-center".to_owned(), "7".to_owned())]);
    document
}

fn change(
    id: &str,
    before: Option<TenantState>,
    document: TenantDocument,
    number: u32,
) -> TenantChange {
    TenantChange {
        tenant_id: tenant_id(id),
        before,
        document,
        status: Status::Active,
        suspension: None,
        granted: None,
        unfinished: note(&format!("n{number}"), Task::RenewTenant { tenant_id: tenant_id(id) }),
        entry: entry(number, &format!("tenants/{id}")),
    }
}

#[tokio::test]
async fn a_tenant_is_made_changed_and_told() {
    let (client, store) = tables().await;
    let id = tenant_id("acme");
    assert_eq!(store.tenant(&id).await.unwrap(), None);
    let created = change("acme", None, document("Acme"), 1);
    assert!(store.change_tenant(&created).await.unwrap());
    assert!(!store.change_tenant(&change("acme", None, document("Acme"), 2)).await.unwrap());
    let now = store.tenant(&id).await.unwrap().unwrap();
    assert_eq!((now.version, now.is_changing, &now.document), (1, true, &document("Acme")));
    // As the gateway reads it, and as the authorizer does.
    let item = get(&client, TENANCY, "TENANT#acme", "META").await.unwrap();
    assert_eq!((&item["tenant_id"], &item["models"]), (&json!("acme"), &json!(["nova-pro"])));
    assert_eq!((&item["limits"], &item["entitlement_version"]), (&json!([]), &json!(1)));
    store.end(&note("an-older-one", created.unfinished.task.clone())).await.unwrap();
    assert!(store.tenant(&id).await.unwrap().unwrap().is_changing, "a newer note stays");
    store.end(&created.unfinished).await.unwrap();

    // What limits and seeds wrote stays; what the document does not say any more goes.
    let meter =
        json!({"meter_kind": "METER", "status": "active", "entitlement_version": 1, "open": {}});
    put(&client, TABLE, "TENANT#acme", "METER", meter).await;
    let before = store.tenant(&id).await.unwrap().unwrap();
    let mut next = document("Acme");
    next.tags.clear();
    next.settings.stored_responses_days = Some(3);
    let mut suspending = change("acme", Some(before.clone()), next.clone(), 3);
    suspending.status = Status::Suspended;
    let since = suspending.entry.time;
    let by = suspending.entry.principal_id.clone();
    suspending.suspension = Some(Suspension { reason: "unpaid".to_owned(), since, by });
    assert!(store.change_tenant(&suspending).await.unwrap());
    assert!(!store.change_tenant(&suspending).await.unwrap(), "once from each version");
    let item = get(&client, TENANCY, "TENANT#acme", "META").await.unwrap();
    assert_eq!(
        (&item["tags"], &item["limits"], &item["status"]),
        (&Value::Null, &json!([]), &json!("suspended"))
    );
    let now = store.tenant(&id).await.unwrap().unwrap();
    assert_eq!(
        (now.version, &now.document, now.suspension),
        (2, &next, suspending.suspension.clone())
    );
    store.renew(&id, false).await.unwrap();
    let meter = get(&client, TABLE, "TENANT#acme", "METER").await.unwrap();
    assert_eq!(meter["entitlement_version"], 2);

    assert_eq!(store.version(&id, 1).await.unwrap().unwrap().document, document("Acme"));
    assert_eq!(store.version(&id, 2).await.unwrap().unwrap().document, next);
    assert_eq!(store.version(&id, 3).await.unwrap(), None);
    assert_eq!(store.unfinished().await.unwrap(), [suspending.unfinished]);
    let history = store.history(&id, None, 10).await.unwrap();
    assert_eq!(history.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), ["e3", "e1"]);
    let rest = store.history(&id, Some(&history[0].position()), 10).await.unwrap();
    assert_eq!(rest, history[1..]);
}

#[tokio::test]
async fn the_id_of_a_tenant_that_went_is_not_given_out_again() {
    let (client, store) = tables().await;
    put(&client, TENANCY, "TENANT#acme", "TOMBSTONE", json!({"task_id": "t1"})).await;
    assert!(store.is_retired(&tenant_id("acme")).await.unwrap());
    assert!(!store.is_retired(&tenant_id("acme-2")).await.unwrap());
    assert!(!store.change_tenant(&change("acme", None, document("Acme"), 1)).await.unwrap());
    assert_eq!(store.tenant(&tenant_id("acme")).await.unwrap(), None);
    assert!(store.change_tenant(&change("acme-2", None, document("Acme"), 2)).await.unwrap());
}

#[tokio::test]
async fn a_seeded_tenant_can_be_changed_and_had_again() {
    let (client, store) = tables().await;
    let limit = json!({"id": "budget", "metric": "cost", "period": "month", "amount": 5});
    let item = json!({
        "tenant_id": "acme", "lob_id": "retail", "status": "active", "entitlement_version": 7,
        "models": ["nova-lite"], "limits": [limit], "meter_layout": {"epoch": 0, "shards": 1},
    });
    put(&client, TENANCY, "TENANT#acme", "META", item).await;
    let id = tenant_id("acme");
    let before = store.tenant(&id).await.unwrap().unwrap();
    assert_eq!((before.version, before.document.name.as_str()), (7, "acme"));
    assert!(
        store
            .change_tenant(&change("acme", Some(before.clone()), document("Acme"), 1))
            .await
            .unwrap()
    );
    assert_eq!(store.version(&id, 7).await.unwrap().unwrap().document, before.document);
    let item = get(&client, TENANCY, "TENANT#acme", "META").await.unwrap();
    assert_eq!(
        (&item["limits"][0]["id"], &item["entitlement_version"]),
        (&json!("budget"), &json!(8))
    );
}

#[tokio::test]
async fn lines_of_business_and_tenants_are_listed_in_pages() {
    let (client, store) = tables().await;
    for (number, lob) in ["alpha", "alpha-two", "retail"].into_iter().enumerate() {
        let document: LobDocument = serde_json::from_value(json!({"name": lob})).unwrap();
        let id = lob_id(lob);
        let unfinished = note("n", Task::RenewLob { lob_id: id.clone() });
        let entry = entry(u32::try_from(number).unwrap(), &format!("lobs/{lob}"));
        let change = LobChange { lob_id: id.clone(), before: None, document, unfinished, entry };
        assert!(store.change_lob(&change).await.unwrap());
        let now = store.lob(&id).await.unwrap().unwrap();
        assert_eq!((now.version, now.document.status), (1, Status::Active));
        assert!(!store.change_lob(&change).await.unwrap());
        let again = LobChange { before: Some(now), ..change };
        assert!(
            store
                .change_lob(&LobChange {
                    entry: self::entry(50 + u32::try_from(number).unwrap(), "lobs"),
                    ..again
                })
                .await
                .unwrap()
        );
    }
    assert_eq!(store.lobs(None, 1).await.unwrap(), [lob_id("alpha"), lob_id("alpha-two")]);
    assert_eq!(
        store.lobs(Some(&lob_id("alpha")), 9).await.unwrap(),
        [lob_id("alpha-two"), lob_id("retail")]
    );
    for number in 0..5 {
        let id = format!("team-{number}");
        assert!(store.change_tenant(&change(&id, None, document(&id), number)).await.unwrap());
    }
    let page = |after: Option<&str>, prefix: &str, limit| {
        let asked = TenantsAsked {
            lob_id: lob_id("retail"),
            prefix: prefix.to_owned(),
            after: after.map(tenant_id),
            limit,
        };
        let store = &store;
        async move {
            let page = store.tenant_page(&asked).await.unwrap();
            (page.tenants.iter().map(ToString::to_string).collect::<Vec<_>>(), page.has_more)
        }
    };
    assert_eq!(page(None, "", 2).await, (vec!["team-0".into(), "team-1".into()], true));
    assert_eq!(
        page(Some("team-1"), "", 3).await,
        (vec!["team-2".into(), "team-3".into(), "team-4".into()], false)
    );
    assert_eq!(page(None, "team-3", 3).await, (vec!["team-3".into()], false));
    assert_eq!(page(Some("team-4"), "team-3", 3).await, (vec![], false));
    assert_eq!(store.tenants_of(&lob_id("retail")).await.unwrap().len(), 5);
    put(&client, TENANCY, "CATALOG", "MODEL#nova-pro", json!({})).await;
    assert_eq!(store.models().await.unwrap(), BTreeSet::from(["nova-pro".parse().unwrap()]));
}

#[tokio::test]
async fn a_client_is_registered_by_its_note_only() {
    let (client, store) = tables().await;
    let directory = DynamoDirectory::new(client, TENANCY.to_owned());
    let (acme, globex) = (tenant_id("acme"), tenant_id("globex"));
    let task = Task::CreateClient { tenant_id: acme.clone(), pool_name: "acme.1".to_owned() };
    let begun = note("n1", task);
    let made = MachineClient {
        client_id: "c1".to_owned(),
        name: "batch".to_owned(),
        scopes: BTreeSet::from(["weir/invoke".to_owned()]),
        role: Role::Provisioner,
        created_at: None,
        created_by: None,
    };
    let register = |number| {
        let entry = entry(number, "tenants/acme/clients/c1");
        let (store, acme, made, begun) = (&store, &acme, &made, &begun);
        async move { store.register_client(acme, "https://issuer", made, begun, &entry).await.unwrap() }
    };
    assert!(!register(1).await, "nobody said that it would be made");
    assert!(store.begin(&acme, &begun, None).await.unwrap());
    assert!(!store.begin(&acme, &begun, None).await.unwrap(), "one at a time");
    assert!(register(2).await);
    assert!(store.unfinished().await.unwrap().is_empty());
    let found = directory.client("c1").await.unwrap().unwrap();
    assert_eq!((found.tenant_id, found.issuer.as_str()), (acme.clone(), "https://issuer"));
    assert_eq!(found.role, Role::Provisioner);
    assert_eq!(store.clients(&acme).await.unwrap(), [made]);
    assert_eq!(store.clients(&globex).await.unwrap(), []);

    let task = |id: &TenantId| Task::DeleteClient { tenant_id: id.clone(), client_id: "c1".into() };
    let remove = async |id: &TenantId, number| {
        let entry = entry(number, "x");
        store.unregister_client(id, "c1", &note("n2", task(id)), &entry).await.unwrap()
    };
    assert!(!remove(&globex, 3).await);
    assert!(remove(&acme, 4).await);
    assert_eq!(directory.client("c1").await.unwrap(), None);
    assert_eq!(store.clients(&acme).await.unwrap(), []);
    assert_eq!(store.unfinished().await.unwrap(), [note("n2", task(&acme))]);
}

#[tokio::test]
async fn an_aws_role_is_one_tenants() {
    let (client, store) = tables().await;
    let directory = DynamoDirectory::new(client, TENANCY.to_owned());
    let role = |tenant: &str, role| {
        new_aws_role("111122223333", "batch", None, &tenant_id(tenant), role).unwrap()
    };
    let (own, others) = (role("acme", Role::Machine), role("globex", Role::Machine));
    assert!(store.put_aws_role(&own, &entry(1, "x")).await.unwrap());
    assert!(!store.put_aws_role(&others, &entry(2, "x")).await.unwrap());
    let changed = role("acme", Role::Developer);
    assert!(store.put_aws_role(&changed, &entry(3, "x")).await.unwrap());
    assert_eq!(directory.aws_role("111122223333", "batch").await.unwrap(), Some(changed.clone()));
    let listed = store.aws_roles(&tenant_id("acme")).await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&changed));
    assert_eq!(store.aws_roles(&tenant_id("globex")).await.unwrap(), []);
    assert!(!store.delete_aws_role(&others, &entry(4, "x")).await.unwrap());
    assert!(store.delete_aws_role(&changed, &entry(5, "x")).await.unwrap());
    assert_eq!(directory.aws_role("111122223333", "batch").await.unwrap(), None);
    assert!(store.put_aws_role(&others, &entry(6, "x")).await.unwrap());
}

#[tokio::test]
async fn a_request_for_a_model_is_decided_once() {
    let (client, store) = tables().await;
    let id = tenant_id("acme");
    let request = |id: &str, status: RequestStatus| ModelRequest {
        id: id.to_owned(),
        model: "opus".parse().unwrap(),
        reason: "Longer contracts.".to_owned(),
        requested_by: "u-1".to_owned().try_into().unwrap(),
        requested_by_tenant: tenant_id("acme"),
        requested_at: "2026-11-23T12:00:00Z".parse().unwrap(),
        status,
        decided_by: None,
        decided_at: None,
        note: None,
    };
    let (first, second) =
        (request("r1", RequestStatus::Requested), request("r2", RequestStatus::Requested));
    assert!(!store.put_model_request(&id, &first, &entry(1, "x")).await.unwrap(), "no such tenant");
    assert!(store.change_tenant(&change("acme", None, document("Acme"), 2)).await.unwrap());
    assert!(store.put_model_request(&id, &first, &entry(3, "x")).await.unwrap());
    assert!(store.put_model_request(&id, &second, &entry(4, "x")).await.unwrap());
    assert_eq!(store.model_requests(&id).await.unwrap(), [second, first]);
    assert_eq!(store.model_requests(&tenant_id("acme-2")).await.unwrap(), []);

    // Granted in the write that changes the list; once rejected, neither of them is written.
    let mut richer = document("Acme");
    richer.models.insert("opus".parse().unwrap());
    let now = store.tenant(&id).await.unwrap();
    let granted = request("r1", RequestStatus::Approved);
    let granting =
        TenantChange { granted: Some(granted.clone()), ..change("acme", now, richer.clone(), 5) };
    assert!(store.change_tenant(&granting).await.unwrap());
    let rejected = request("r2", RequestStatus::Rejected);
    assert!(store.put_model_request(&id, &rejected, &entry(6, "x")).await.unwrap());
    let now = store.tenant(&id).await.unwrap();
    let late = request("r2", RequestStatus::Approved);
    let late = TenantChange { granted: Some(late), ..change("acme", now, document("Other"), 7) };
    assert!(!store.change_tenant(&late).await.unwrap());
    assert_eq!(store.tenant(&id).await.unwrap().unwrap().document, richer);
    assert!(
        !store
            .put_model_request(&id, &request("r1", RequestStatus::Rejected), &entry(8, "x"))
            .await
            .unwrap()
    );
    assert_eq!(store.model_requests(&id).await.unwrap(), [rejected, granted]);
    assert!(get(&client, TENANCY, "TENANT#acme", "MODELREQUEST#r1").await.is_some());
}

#[tokio::test]
async fn an_issuer_is_its_owners() {
    let (client, store) = tables().await;
    let directory = DynamoDirectory::new(client, TENANCY.to_owned());
    let issuer = |tenant: Option<&str>, version: u64| -> RegisteredIssuer {
        let mut body = json!({
            "issuer": "https://login.example", "jwks_url": "https://login.example/keys",
            "audiences": ["weir"], "role": "viewer", "roles": {"admins": "tenant_admin"},
            "role_claim": "groups", "version": version, "changed_at": "2026-11-26T00:00:00Z",
            "changed_by": "u-1", "required_claims": {"tid": ["1"]},
        });
        if let Some(tenant) = tenant {
            body["tenant_id"] = json!(tenant);
        } else {
            body["tenant_claim"] = json!("org");
            body["tenants"] = json!({"1": "acme"});
        }
        serde_json::from_value(body).unwrap()
    };
    let (acme, globex) = (tenant_id("acme"), tenant_id("globex"));
    let put = async |issuer: &RegisteredIssuer, before, number| {
        store.put_issuer(issuer, before, &entry(number, "x")).await.unwrap()
    };
    let first = issuer(Some("acme"), 1);
    assert!(put(&first, None, 1).await);
    assert!(!put(&first, None, 2).await, "it is there");
    assert!(!put(&issuer(Some("globex"), 2), Some(1), 3).await, "it is another's");
    assert!(!put(&issuer(None, 2), Some(1), 4).await, "nor the organisation's");
    let second = issuer(Some("acme"), 2);
    assert!(put(&second, Some(1), 5).await);
    assert!(!put(&second, Some(1), 6).await, "it was changed meanwhile");
    let found = directory.issuer("https://login.example").await.unwrap();
    assert_eq!(found.as_ref(), Some(&second.issuer));
    assert_eq!(store.issuers(Some(&acme)).await.unwrap(), std::slice::from_ref(&second));
    assert_eq!(store.issuers(Some(&globex)).await.unwrap(), []);
    assert_eq!(store.issuers(None).await.unwrap(), []);
    assert!(!store.delete_issuer(&first, &entry(7, "x")).await.unwrap());
    assert!(store.delete_issuer(&second, &entry(8, "x")).await.unwrap());
    assert_eq!(directory.issuer("https://login.example").await.unwrap(), None);
    let of_all = issuer(None, 1);
    assert!(put(&of_all, None, 9).await);
    assert_eq!(store.issuers(None).await.unwrap(), std::slice::from_ref(&of_all));
    assert!(!put(&issuer(Some("acme"), 2), Some(1), 10).await);
    assert!(store.delete_issuer(&of_all, &entry(11, "x")).await.unwrap());
}

#[tokio::test]
async fn a_persons_note_is_a_lock() {
    let (_, store) = tables().await;
    let acme = tenant_id("acme");
    let set = |id: &str, roles: &[Role]| {
        let task = Task::SetMember {
            tenant_id: acme.clone(),
            user_id: "u-1".to_owned().try_into().unwrap(),
            roles: roles.iter().copied().collect(),
        };
        note(id, task)
    };
    let (first, second) = (set("n1", &[Role::Developer]), set("n2", &[]));
    assert!(store.begin(&acme, &first, Some(&entry(1, "tenants/acme/users/u-1"))).await.unwrap());
    assert!(!store.begin(&acme, &second, Some(&entry(2, "tenants/acme/users/u-1"))).await.unwrap());
    assert_eq!(store.unfinished().await.unwrap(), std::slice::from_ref(&first));
    store.end(&first).await.unwrap();
    assert!(store.begin(&acme, &second, Some(&entry(3, "tenants/acme/users/u-1"))).await.unwrap());
    assert_eq!(store.history(&acme, None, 10).await.unwrap().len(), 2);
}

//! Three tenants whose ids begin alike, and a saga that runs, dies, goes on and is cancelled.

use std::collections::{BTreeMap, BTreeSet};

use administration::{
    MachineClient, RegisteredIssuer, Task, TenantDocument, TenantState, Version, group,
};
use jiff::Timestamp;
use lake::ObjectStore as _;
use offboarding::fakes::{FakeWorld, found};
use offboarding::{
    Class, Found, Job, OffboardError, Outside as _, Progress, Requester, Step, Store, Whose,
    classify, run, undo,
};
use serde_json::{Value, json};
use tenancy::{AwsRole, Role, Status, TenantId};

pub(crate) const TENANTS: [&str; 3] = ["acme", "acme-2", "acme2"];
pub(crate) const FOLDER: &str = "exports/tenant=acme/task=task-1/";

pub(crate) fn id(text: &str) -> TenantId {
    text.parse().unwrap()
}

pub(crate) fn job() -> Job {
    Job {
        task_id: "task-1".to_owned(),
        tenant_id: id("acme"),
        requested_by: Requester {
            principal_id: "root-1".to_owned().try_into().unwrap(),
            principal_kind: None,
            tenant_id: id("platform"),
            roles: BTreeSet::from([Role::OrgAdmin]),
        },
        requested_at: Timestamp::from_second(1_795_435_000).unwrap(),
    }
}

/// What one tenant has beside what administration's fakes hold: something of every rule.
fn belongings(tenant: &str) -> Vec<Found> {
    let own = format!("TENANT#{tenant}");
    let item = |store, place: &str, name: &str| found(store, place, name);
    let ledger = |place: &str, name: &str| item(Store::LedgerTable, place, name);
    vec![
        item(Store::TenancyTable, &own, "MODELREQUEST#r-1"),
        item(Store::TenancyTable, &own, &format!("RAISE#tenants/{tenant}#r-1")),
        item(Store::TenancyTable, "AUDIT#HEADS", &format!("tenant={tenant}")),
        item(Store::TenancyTable, &format!("AUDIT#CHAIN#tenant={tenant}"), "SEGMENT#1"),
        item(Store::TenancyTable, &format!("AUDIT#CHAIN#tenant={tenant}"), "ENTRY#1"),
        ledger(&own, "METER"),
        ledger(&own, "METER#PRINCIPAL#dev-1"),
        ledger(&format!("{own}#SHARD#0-3"), "METER"),
        ledger(&format!("{own}#USAGE#a"), "USAGE#call-a#1"),
        ledger(&format!("{own}#USAGE#a"), "USAGE#call-a#2"),
        ledger(&format!("{own}#USAGE#b"), "OPEN#call-b#1"),
        ledger(&format!("{own}#ROLLUP"), "LIVE#2026-11-23T12#x"),
        ledger(&format!("{own}#ROLLUP"), "MONTH#2026-11#x"),
        ledger(&format!("{own}#BILLING"), "PLAN#2026-01"),
        ledger(&format!("{own}#BILLING"), "ENTRY#2026-11#e"),
        ledger(&format!("{own}#BILLING"), "ENTRY_ID#e"),
        ledger(&format!("{own}#BILLING"), "STATEMENT#2026-10"),
        ledger("PERIOD#2026-11-23T12", &own),
        ledger("ALERTS", &format!("tenants/{tenant}#monthly#1#50")),
        ledger("ALERTS", &format!("tenants/{tenant}/projects/web#monthly#1#50")),
        item(Store::ContentTable, &own, "RESPONSE#resp_1#0"),
        item(Store::ContentTable, &own, "RESPONSE#resp_1#1"),
        item(Store::ContentTable, &own, "CACHE#abc#0"),
        item(Store::ContentTable, &own, "FILE#file-1#0"),
        item(Store::ContentTable, &own, "SOCKET#c1#0"),
        item(Store::UploadsBucket, "", &format!("tenant={tenant}/file-1")),
        item(Store::UploadsBucket, "", &format!("tenant={tenant}/file-2")),
        item(Store::AuditBucket, "", &format!("audit/dt=2026-11-23/tenant/{tenant}/1.jsonl")),
        item(Store::UserPool, "groups", &format!("{tenant}:viewer")),
    ]
}

/// A world with three tenants.
pub(crate) async fn world() -> FakeWorld {
    let world = FakeWorld::new().unwrap();
    for tenant in TENANTS {
        populate(&world, tenant).await;
    }
    // Somebody who is nobody's, an organisation's and a line of business' things that name a tenant.
    let mut beside = world.estate.beside();
    for (store, place, name) in [
        (Store::TenancyTable, "LOB#acme", "META"),
        (Store::TenancyTable, "ORG", "CHANGES"),
        (Store::TenancyTable, "CATALOG", "MODEL#acme"),
        (Store::TenancyTable, "CLIENT#acme", "META"),
        (Store::LedgerTable, "LOB#acme", "METER"),
        (Store::StatementsBucket, "", "statements/2026-10/lob=acme/statement.json"),
        (Store::UserPool, "groups", "acme"),
    ] {
        beside.items.insert(found(store, place, name));
    }
    drop(beside);
    world
}

async fn populate(world: &FakeWorld, tenant: &str) {
    let tenant_id = id(tenant);
    let document: TenantDocument =
        serde_json::from_value(json!({ "name": tenant, "lob_id": "retail" })).unwrap();
    let state = TenantState {
        version: 1,
        status: Status::Active,
        suspension: None,
        document: document.clone(),
        is_changing: false,
    };
    {
        let mut data = world.table.inner.data();
        data.tenants.insert(tenant_id.clone(), state);
        data.versions.insert((tenant_id.clone(), 1), Version { version: 1, document });
        for number in 1..=2 {
            let client = MachineClient {
                client_id: format!("client-{tenant}-{number}"),
                name: "batch".to_owned(),
                scopes: BTreeSet::new(),
                role: Role::Machine,
                created_at: None,
                created_by: None,
            };
            data.clients.insert(client.client_id.clone(), (tenant_id.clone(), client));
        }
        let role = AwsRole {
            account_id: "111122223333".to_owned(),
            role_name: format!("role-of-{tenant}"),
            role_id: None,
            tenant_id: tenant_id.clone(),
            role: Role::Machine,
            status: Status::Active,
        };
        let issuer: RegisteredIssuer = serde_json::from_value(json!({
            "issuer": format!("https://idp.{tenant}.example"),
            "jwks_url": format!("https://idp.{tenant}.example/jwks"),
            "audiences": ["weir"],
            "tenant_id": tenant,
            "role": "developer",
            "version": 3,
            "changed_at": "2026-11-01T00:00:00Z",
            "changed_by": "root-1",
        }))
        .unwrap();
        data.issuers.insert(issuer.issuer.issuer.clone(), issuer);
        data.aws_roles.insert((role.account_id.clone(), role.role_name.clone()), role);
    }
    let group = |role| group(&tenant_id, role);
    let both = [group(Role::Developer), group(Role::TenantAdmin)];
    let both: Vec<&str> = both.iter().map(String::as_str).collect();
    world.pool.inner.add(&format!("ann-{tenant}"), "ann@x.example", &both);
    world.pool.inner.add(&format!("bob-{tenant}"), "bob@x.example", &[&group(Role::Viewer)]);
    {
        let mut data = world.pool.inner.data();
        data.people.get_mut(&format!("bob-{tenant}")).unwrap().user.is_enabled = false;
        // One that is called as Weir calls them, one that was there before Weir.
        for (number, name) in [(1, format!("{tenant}.x1")), (2, "seeded".to_owned())] {
            data.clients.insert(format!("client-{tenant}-{number}"), (name, vec![]));
        }
    }
    world.estate.beside().items.extend(belongings(tenant));
    world.estate.beside().open.insert(tenant_id, 2);
    for key in [
        format!("statements/2026-10/tenant={tenant}/statement.json"),
        format!("exports/tenant={tenant}/task=older/evidence.json"),
    ] {
        let put = world.papers.inner.put(&key, "{}".into(), "application/json");
        put.await.unwrap();
    }
}

/// How a saga ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Complete,
    Cancelled,
}

/// How one call of a step ended.
pub(crate) enum Outcome {
    Progress(Progress),
    Failed(OffboardError),
    Died,
}

/// Runs a step, or takes it back, once.
pub(crate) async fn call(world: &FakeWorld, step: Step, is_undone: bool) -> Outcome {
    let job = job();
    let work = async {
        if is_undone { undo(world, &job, step).await } else { run(world, &job, step).await }
    };
    tokio::select! {
        biased;
        outcome = work => match outcome {
            Ok(progress) => Outcome::Progress(progress),
            Err(error) => Outcome::Failed(error),
        },
        () = world.faults.deaths.notified() => Outcome::Died,
    }
}

/// Runs a step until it is done; whether it was. Each failure is tried again, a few times.
async fn finish(world: &FakeWorld, step: Step, is_undone: bool) -> Result<(), OffboardError> {
    let mut failures = 0;
    for _ in 0..400 {
        match call(world, step, is_undone).await {
            Outcome::Progress(Progress::Done) => return Ok(()),
            Outcome::Progress(Progress::Wait { seconds, .. }) => world.pass(seconds).await,
            Outcome::Died => world.pass(1).await,
            Outcome::Failed(error) if failures > 3 => return Err(error),
            Outcome::Failed(_) => {
                failures += 1;
                world.pass(1).await;
            }
        }
    }
    panic!("{step:?} never ends");
}

/// Runs an off-boarding as Step Functions does: what fails again and again is cancelled while it can be;
/// afterwards somebody repairs what is broken, and it goes on.
pub(crate) async fn saga(world: &FakeWorld, cancel_before: Option<Step>) -> End {
    for step in Step::ALL {
        if cancel_before == Some(step) {
            return cancel(world, step).await;
        }
        if finish(world, step, false).await.is_err() {
            if step.is_cancellable() {
                return cancel(world, step).await;
            }
            world.faults.heal();
            finish(world, step, false).await.unwrap();
        }
    }
    End::Complete
}

/// Takes back what was done up to a step, which may not be done itself.
pub(crate) async fn cancel(world: &FakeWorld, from: Step) -> End {
    for step in Step::ALL.into_iter().rev().filter(|step| *step <= from) {
        if finish(world, step, true).await.is_err() {
            world.faults.heal();
            finish(world, step, true).await.unwrap();
        }
    }
    End::Cancelled
}

/// Who can do what for everybody, and everything that there is but what only ever grows.
pub(crate) async fn access(world: &FakeWorld) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let data = world.table.inner.data();
    for (tenant, state) in &data.tenants {
        all.insert(
            format!("tenant {tenant}"),
            format!("{:?} {:?}", state.status, state.suspension),
        );
        let known = data.known.get(tenant).is_none_or(|known| *known == state.version);
        all.insert(format!("meter {tenant}"), format!("{known}"));
    }
    for (name, role) in &data.aws_roles {
        all.insert(format!("role {name:?}"), format!("{role:?}"));
    }
    for (name, issuer) in &data.issuers {
        all.insert(format!("issuer {name}"), format!("{issuer:?}"));
    }
    let parked = world.estate.beside().parked.clone();
    for (client, (owner, _)) in &data.clients {
        all.insert(format!("client {client}"), format!("{owner} {}", parked.contains(client)));
    }
    let pool = world.pool.inner.data();
    for (person, it) in &pool.people {
        all.insert(format!("person {person}"), format!("{:?} {}", it.groups, it.user.is_enabled));
    }
    for (client, (name, _)) in &pool.clients {
        all.insert(format!("pool {client}"), name.clone());
    }
    // What is still to be done to somebody. Meters that are still to be told harm nobody.
    for (subject, note) in &data.unfinished {
        if let Task::SetMember { roles, .. } = &note.task {
            all.insert(format!("note {subject}"), format!("{roles:?}"));
        }
    }
    all
}

/// What there is of everybody but `acme`.
pub(crate) async fn others(world: &FakeWorld) -> BTreeSet<Found> {
    let whose = whose();
    let is_other = |it: &Found| matches!(classify(&whose, it), Ok(None));
    world.estate.all().await.into_iter().filter(is_other).collect()
}

pub(crate) fn whose() -> Whose {
    let clients = ["client-acme-1", "client-acme-2"].map(str::to_owned);
    Whose { tenant_id: id("acme"), clients: clients.into() }
}

/// What there is of `acme` that is to go, without notes of what others have begun.
pub(crate) async fn doomed(world: &FakeWorld) -> BTreeSet<Found> {
    let whose = whose();
    let is_doomed =
        |it: &Found| classify(&whose, it).unwrap().is_some_and(|rule| rule.class.is_deleted());
    world.estate.all().await.into_iter().filter(is_doomed).collect()
}

pub(crate) async fn paper(world: &FakeWorld, name: &str) -> Option<Vec<u8>> {
    world.papers.inner.get(&format!("{FOLDER}{name}")).await.unwrap().map(|it| it.to_vec())
}

pub(crate) async fn evidence(world: &FakeWorld) -> Value {
    serde_json::from_slice(&paper(world, "evidence.json").await.unwrap()).unwrap()
}

/// What has to be so after an off-boarding that came to its end.
pub(crate) async fn is_complete(
    world: &FakeWorld,
    doomed_before: &BTreeSet<Found>,
    others_before: &BTreeSet<Found>,
) {
    assert_eq!(doomed(world).await, BTreeSet::new(), "something is left");
    assert_eq!(&others(world).await, others_before, "somebody else's things changed");
    let evidence = evidence(world).await;
    let resources = evidence["resources"].as_array().unwrap();
    let mut listed = BTreeSet::new();
    for it in resources.iter().filter(|it| it["action"] == "deleted") {
        let name = it.get("name").or(it.get("name_sha256")).unwrap().as_str().unwrap();
        let place = it["place"].as_str().unwrap();
        let key = (it["store"].as_str().unwrap(), place, name);
        assert!(listed.insert(key), "{key:?} is listed twice");
        assert!(it["absent_at"].is_string());
    }
    for it in doomed_before {
        let (store, digest) = (it.store.as_str(), audit::sha256(it.name.as_bytes()));
        // What lets callers in was taken when access was revoked, before anything was listed.
        let kinds = ["members/", "AWSROLE#", "ISSUER#"];
        let is_revoked =
            kinds.iter().any(|kind| it.place.starts_with(kind) || it.name.starts_with(kind))
                || it.place == "groups"
                || it.place.starts_with("CLIENT#") && it.name == "META";
        let is_listed = listed.contains(&(store, &*it.place, &*it.name))
            || listed.contains(&(store, &*it.place, &*digest));
        assert!(is_listed || is_revoked, "{it:?} is not in the evidence");
    }
    for class in Class::ALL {
        let counts = &evidence["counts"][class.as_str()];
        let which = if class.is_deleted() { "retained" } else { "deleted" };
        assert_eq!(counts[which], 0, "{class:?}");
    }
    assert!(paper(world, "evidence.sig").await.is_some());
    let left = world.papers.inner.list(&format!("{FOLDER}working/")).await.unwrap();
    assert_eq!(left, [""; 0], "working papers are left");
    assert!(!world.table.inner.data().tenants.contains_key(&id("acme")));
    assert!(world.now() > Timestamp::UNIX_EPOCH);
}

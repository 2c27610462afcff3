//! Tasks and their locks in the table, and tenants that are made and taken back there.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use administration::fakes::FakePool;
use administration::{AdministrationStore as _, TenantDocument, new_aws_role};
use admission::{LimitOwner, LimitStore as _, read_rules};
use aws_sdk_dynamodb::Client;
use events::fakes::InMemorySink;
use jiff::Timestamp;
use orchestration::{
    Created, Kind, Move, Next, Onboard, Onboarding, Person, Ports, Program, Requester, Saga, State,
    Task, TaskStore as _, TenantLimits as _, TenantRemoval as _, Way, advance, marker,
};
use serde_json::json;
use store_dynamodb::{Administration, Ledger, LimitTables, Tasks};
use tenancy::{Role, Status};

use crate::administration::{entry, get, tables, tenant_id};
use crate::support::{TABLE, TENANCY};

static IDS: AtomicU64 = AtomicU64::new(0);

fn new_id() -> String {
    format!("id-{:09}", IDS.fetch_add(1, Ordering::Relaxed))
}

fn now() -> Timestamp {
    Timestamp::from_second(1_795_435_200).unwrap()
}

fn onboarding() -> Onboarding {
    let limits = json!([{"id": "budget", "metric": "cost", "period": "month", "amount": 5}]);
    Onboarding {
        document: TenantDocument::new("Initech", "retail".parse().unwrap()),
        limits: read_rules(&limits).unwrap(),
        users: vec![Person {
            email: "ann@initech.example".to_owned(),
            roles: BTreeSet::from([Role::TenantAdmin]),
        }],
        clients: vec![Program {
            name: "Nightly".to_owned(),
            scopes: BTreeSet::from(["weir/invoke".to_owned()]),
        }],
        aws_roles: vec![
            new_aws_role("111122223333", "batch", None, &tenant_id("initech"), Role::Machine)
                .unwrap(),
        ],
    }
}

fn task(id: &str, tenant: &str, second: i64) -> Task {
    Task::new(
        id.to_owned(),
        Kind::Onboard,
        tenant_id(tenant),
        "retail".parse().unwrap(),
        Requester {
            principal_id: "u-1".to_owned().try_into().unwrap(),
            principal_kind: None,
            tenant_id: tenant_id("globex"),
            roles: BTreeSet::from([Role::OrgAdmin]),
        },
        Timestamp::from_second(1_795_435_200 + second).unwrap(),
        json!(onboarding()),
    )
}

async fn everything(client: &Client, table: &str) -> Vec<(String, String)> {
    let items = client.scan().table_name(table).send().await.unwrap().items.unwrap();
    let part = |item: &std::collections::HashMap<_, aws_sdk_dynamodb::types::AttributeValue>,
                name: &str| { item[name].as_s().unwrap().clone() };
    let mut keys: Vec<_> = items.iter().map(|it| (part(it, "PK"), part(it, "SK"))).collect();
    keys.sort();
    keys
}

#[tokio::test]
async fn a_tenant_has_one_task_at_a_time_and_each_version_is_written_once() {
    let (client, _) = tables().await;
    let tasks = Tasks::new(client.clone(), TENANCY.to_owned());
    let first = task("t1", "initech", 0);
    assert_eq!(tasks.create(&first, &entry(1, "tasks/t1")).await.unwrap(), Created::New);
    assert_eq!(tasks.task("t1").await.unwrap(), Some(first.clone()));
    assert_eq!(tasks.task("t2").await.unwrap(), None);
    let again = tasks.create(&first, &entry(2, "tasks/t1")).await.unwrap();
    assert_eq!(again, Created::Existing(Box::new(first.clone())));
    let second = task("t2", "initech", 1);
    let busy = tasks.create(&second, &entry(3, "tasks/t2")).await.unwrap();
    assert_eq!(busy, Created::Busy("t1".to_owned()));
    assert_eq!(tasks.open().await.unwrap(), std::slice::from_ref(&first));

    let mut next = Task { version: 1, state: State::Running, ..first.clone() };
    assert!(tasks.save(&next, None).await.unwrap());
    assert!(!tasks.save(&next, None).await.unwrap(), "once from each version");
    next = Task { version: 2, state: State::Failed, ..next };
    assert!(tasks.save(&next, Some(&entry(4, "tasks/t1"))).await.unwrap());
    assert_eq!(tasks.task("t1").await.unwrap(), Some(next.clone()));
    assert_eq!(tasks.open().await.unwrap(), []);
    // Whatever comes late takes nobody else's lock.
    assert_eq!(tasks.create(&second, &entry(5, "tasks/t2")).await.unwrap(), Created::New);
    let late = Task { version: 3, ..next };
    assert!(!tasks.save(&late, None).await.unwrap());
    assert_eq!(tasks.open().await.unwrap(), [second]);
    let audited = everything(&client, TENANCY).await;
    let audited = audited.iter().filter(|(_, sk)| sk.starts_with("AUDIT#"));
    assert_eq!(audited.map(|(pk, _)| pk.as_str()).collect::<Vec<_>>(), ["LOB#retail"; 3]);
}

#[tokio::test]
async fn tasks_of_a_line_of_business_are_listed_latest_first_without_those_that_went() {
    let (client, _) = tables().await;
    let tasks = Tasks::new(client.clone(), TENANCY.to_owned());
    for number in 0..7_u32 {
        let task = task(&format!("t{number}"), &format!("initech-{number}"), number.into());
        tasks.create(&task, &entry(number, "tasks")).await.unwrap();
    }
    let gone = json!({"PK": "TASK#t4", "SK": "ONBOARD"});
    let key = serde_dynamo::to_item(gone).unwrap();
    client.delete_item().table_name(TENANCY).set_key(Some(key)).send().await.unwrap();
    let lob = "retail".parse().unwrap();
    let (mut ids, mut before) = (Vec::new(), None);
    loop {
        let page = tasks.tasks_of(&lob, before.as_deref(), 2).await.unwrap();
        assert!(page.len() <= 2);
        let Some(last) = page.last() else { break };
        before = Some(last.position());
        ids.extend(page.into_iter().map(|task| task.task_id));
    }
    assert_eq!(ids, ["t6", "t5", "t3", "t2", "t1", "t0"]);
    assert_eq!(tasks.tasks_of(&"banking".parse().unwrap(), None, 9).await.unwrap(), []);
}

/// Does a task to its end; from the step `cancel_at` on it is called off.
async fn drive(
    client: &Client,
    store: &Administration,
    pool: &FakePool,
    task_id: &str,
    cancel_at: Option<&str>,
) -> Task {
    let (tasks, events) = (Tasks::new(client.clone(), TENANCY.to_owned()), InMemorySink::default());
    for _ in 0..40 {
        let mut task = tasks.task(task_id).await.unwrap().unwrap();
        let done = task.steps.iter().rfind(|step| step.at.is_some());
        task.cancel_requested = cancel_at.is_some() && done.map(|it| it.name.as_str()) == cancel_at
            || task.cancel_requested;
        let ports = Ports { store, pool, events: &events, now, new_id };
        let next = if task.kind == Kind::Move {
            step(&tasks, &Move::of(ports, &task).unwrap(), task).await
        } else {
            step(&tasks, &Onboard::of(ports, &task).unwrap(), task).await
        };
        if next == Next::Done {
            return tasks.task(task_id).await.unwrap().unwrap();
        }
    }
    panic!("the task does not end");
}

async fn step(tasks: &Tasks, saga: &impl Saga, task: Task) -> Next {
    advance(tasks, saga, task, now(), new_id).await.unwrap()
}

#[tokio::test]
async fn a_tenant_is_made_and_moved_in_the_tables() {
    let (client, store) = tables().await;
    let (tasks, pool) = (Tasks::new(client.clone(), TENANCY.to_owned()), FakePool::default());
    tasks.create(&task("t1", "initech", 0), &entry(1, "tasks/t1")).await.unwrap();
    let made = drive(&client, &store, &pool, "t1", None).await;
    assert_eq!((made.state, made.error), (State::Succeeded, None));
    let id = tenant_id("initech");
    let now_ = store.tenant(&id).await.unwrap().unwrap();
    assert_eq!((now_.status, now_.suspension, now_.is_changing), (Status::Active, None, false));
    let meta = get(&client, TENANCY, "TENANT#initech", "META").await.unwrap();
    let meter = get(&client, TABLE, "TENANT#initech", "METER").await.unwrap();
    assert_eq!(meta["limits"][0]["amount"], 5);
    assert_eq!(meter["entitlement_version"], meta["entitlement_version"]);
    assert_eq!(
        get(&client, TENANCY, "ORG", "CHANGES").await.unwrap().as_object().unwrap().len(),
        2
    );
    assert_eq!((store.clients(&id).await.unwrap().len(), pool.data().clients.len()), (1, 1));

    let way = Way { from: "retail".parse().unwrap(), to: "banking".parse().unwrap() };
    let (by, lob) = (made.requested_by, way.to.clone());
    let asked = Task::new("t2".to_owned(), Kind::Move, id.clone(), lob, by, now(), json!(way));
    tasks.create(&asked, &entry(2, "tasks/t2")).await.unwrap();
    let moved = drive(&client, &store, &pool, "t2", None).await;
    assert_eq!((moved.state, moved.error), (State::Succeeded, None));
    let now_ = store.tenant(&id).await.unwrap().unwrap();
    assert_eq!((now_.document.lob_id, now_.is_changing), (way.to, false));
    let meter = get(&client, TABLE, "TENANT#initech", "METER").await.unwrap();
    assert_eq!(meter["entitlement_version"], now_.version);
}

#[tokio::test]
async fn of_a_tenant_that_is_taken_back_nothing_stays_but_who_did_what() {
    for step in ["tenant", "limits", "people", "clients", "aws_roles"] {
        let (client, store) = tables().await;
        let (tasks, pool) = (Tasks::new(client.clone(), TENANCY.to_owned()), FakePool::default());
        tasks.create(&task("t1", "initech", 0), &entry(1, "tasks/t1")).await.unwrap();
        let ended = drive(&client, &store, &pool, "t1", Some(step)).await;
        assert_eq!(ended.state, State::Cancelled, "{step}");
        assert_eq!(everything(&client, TABLE).await, [], "{step}");
        let left = everything(&client, TENANCY).await;
        let is_meant = |(pk, sk): &&(String, String)| {
            sk.starts_with("AUDIT#")
                || pk == "TASK#t1"
                || (pk == "LOB#retail" && sk.starts_with("TASK#"))
                || sk == "CHANGES"
        };
        let rest: Vec<_> = left.iter().filter(|it| !is_meant(it)).collect();
        assert_eq!(rest, Vec::<&(String, String)>::new(), "{step}");
        assert!(pool.data().clients.is_empty(), "{step}");
    }
}

#[tokio::test]
async fn limits_of_a_tenant_are_set_once_and_one_that_is_served_is_not_removed() {
    let (client, store) = tables().await;
    let (tasks, pool) = (Tasks::new(client.clone(), TENANCY.to_owned()), FakePool::default());
    tasks.create(&task("t1", "initech", 0), &entry(1, "tasks/t1")).await.unwrap();
    drive(&client, &store, &pool, "t1", None).await;
    let (id, rules) = (tenant_id("initech"), onboarding().limits);
    let before = store.tenant(&id).await.unwrap().unwrap().version;
    store.set_limits(&id, &rules, &entry(7, "limits")).await.unwrap();
    assert_eq!(store.tenant(&id).await.unwrap().unwrap().version, before, "they are set");
    store.remove_tenant(&id, &marker("t1"), &entry(8, "tenants/initech")).await.unwrap();
    assert!(store.tenant(&id).await.unwrap().is_some());
    let ledger = Ledger::new(client.clone(), TABLE.to_owned(), admission::Calendar::utc());
    let limits = LimitTables::new(client, TENANCY.to_owned(), ledger);
    let set = limits.limits(&LimitOwner::Tenant(id)).await.unwrap().unwrap();
    assert_eq!((set.rules, set.is_changing), (rules, false));
}

//! An off-boarding as a task. What goes wrong in its steps is tried in `offboarding`.

use std::collections::BTreeSet;

use administration::{TenantDocument, TenantState};
use jiff::Timestamp;
use offboarding::Outside as _;
use offboarding::fakes::{FakeWorld, found};
use orchestration::fakes::InMemoryTasks;
use orchestration::{Kind, Next, Offboard, Requester, State, Task, TaskStore as _, advance};
use serde_json::{Value, json};
use tenancy::{Role, Status, TenantId};

fn id(text: &str) -> TenantId {
    text.parse().unwrap()
}

fn new_id() -> String {
    "an-id".to_owned()
}

async fn begun() -> (FakeWorld, InMemoryTasks) {
    let world = FakeWorld::new().unwrap();
    let document: TenantDocument =
        serde_json::from_value(json!({ "name": "Acme", "lob_id": "retail" })).unwrap();
    let state = TenantState {
        version: 1,
        status: Status::Active,
        suspension: None,
        document,
        is_changing: false,
    };
    world.table.inner.data().tenants.insert(id("acme"), state);
    let requested_by = Requester {
        principal_id: "root-1".to_owned().try_into().unwrap(),
        principal_kind: None,
        tenant_id: id("platform"),
        roles: BTreeSet::from([Role::OrgAdmin]),
    };
    let task = Task::new(
        "t-1".to_owned(),
        Kind::Offboard,
        id("acme"),
        "retail".parse().unwrap(),
        requested_by,
        world.now(),
        Value::Null,
    );
    let tasks = InMemoryTasks::default();
    let entry =
        task.requested_by.entry(new_id(), world.now(), "task.created", "tasks/t-1".to_owned());
    tasks.create(&task, &entry).await.unwrap();
    (world, tasks)
}

/// Runs the task until it is over, and asks for its end before the step of that number.
async fn run(world: &FakeWorld, tasks: &InMemoryTasks, cancel_at: Option<usize>) -> Task {
    for _ in 0..200 {
        let mut task = tasks.task("t-1").await.unwrap().unwrap();
        if task.is_over() {
            return task;
        }
        task.cancel_requested |= cancel_at.is_some_and(|at| task.progress().0 >= at);
        let next = advance(tasks, &Offboard { world }, task, Timestamp::UNIX_EPOCH, new_id).await;
        if let Next::Wait(seconds) = next.unwrap() {
            world.pass(seconds).await;
        }
    }
    panic!("it never ends");
}

#[tokio::test]
async fn a_tenant_goes_and_its_task_names_the_evidence() {
    let (world, tasks) = begun().await;
    let task = run(&world, &tasks, None).await;
    assert_eq!((task.state, task.error), (State::Succeeded, None));
    assert_eq!(task.output["evidence"], "exports/tenant=acme/task=t-1/evidence.json");
    assert!(world.table.inner.data().tenants.is_empty());
}

#[tokio::test]
async fn it_is_called_off_until_everything_is_listed() {
    for at in 0..=7 {
        let (world, tasks) = begun().await;
        let task = run(&world, &tasks, Some(at)).await;
        let expected = if at < 5 { State::Cancelled } else { State::Succeeded };
        assert_eq!(task.state, expected, "{at}");
        let is_served = world.table.inner.data().tenants.get(&id("acme")).map(|it| it.status);
        assert_eq!(is_served, (at < 5).then_some(Status::Active));
    }
    let commits = Kind::Offboard.steps().iter().position(|it| it.commits);
    assert_eq!(commits, Some(4));
}

#[tokio::test]
async fn what_nobody_said_the_class_of_fails_the_task_and_everything_is_given_back() {
    let (world, tasks) = begun().await;
    let unclaimed = found(offboarding::Store::TenancyTable, "TENANT#acme", "NEWTHING#1");
    world.estate.beside().items.insert(unclaimed);
    let task = run(&world, &tasks, None).await;
    assert_eq!(task.state, State::Failed);
    let error = task.error.unwrap();
    assert_eq!(error.code, "unclaimed_resource");
    assert!(error.message.contains("NEWTHING#1"), "{}", error.message);
    assert_eq!(world.table.inner.data().tenants[&id("acme")].status, Status::Active);
}

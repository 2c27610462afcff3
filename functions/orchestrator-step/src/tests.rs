//! Orders in, tenants out.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use administration::{TenantDocument, TenantState};
use lambda_runtime::Context;
use offboarding::fakes::FakeWorld;
use orchestration::fakes::InMemoryTasks;
use orchestration::{Onboarding, Program, Requester, State as TaskState, Way};
use serde_json::{Value, json};
use tenancy::{Role, Status, TenantId};

use super::*;

type Fake = State<InMemoryTasks, FakeWorld>;

impl Timed for FakeWorld {
    fn run_until(&self, _deadline_ms: i64) {}
}

fn now() -> Timestamp {
    Timestamp::from_second(1_795_435_200).unwrap()
}

fn new_id() -> String {
    static LAST: AtomicU64 = AtomicU64::new(1);
    format!("{:032x}", LAST.fetch_add(1, Ordering::Relaxed))
}

fn world() -> Fake {
    State { tasks: InMemoryTasks::default(), world: FakeWorld::new().unwrap(), now, new_id }
}

async fn order(state: &Fake, payload: Value) -> Result<Answer, StepFailed> {
    let order = serde_json::from_value(payload).unwrap();
    handle(state, LambdaEvent::new(order, Context::default())).await
}

async fn begun(state: &Fake, kind: Kind, input: Value) -> TenantId {
    let tenant_id: TenantId = "initech".parse().unwrap();
    let requested_by = Requester {
        principal_id: "u-1".to_owned().try_into().unwrap(),
        principal_kind: None,
        tenant_id: "globex".parse().unwrap(),
        roles: BTreeSet::from([Role::OrgAdmin]),
    };
    let lob_id = "retail".parse().unwrap();
    let task = Task::new("t1".into(), kind, tenant_id.clone(), lob_id, requested_by, now(), input);
    let entry = task.requested_by.entry(new_id(), now(), "task.created", "tasks/t1".to_owned());
    state.tasks.create(&task, &entry).await.unwrap();
    tenant_id
}

fn onboarding() -> Value {
    let scopes = BTreeSet::from(["weir/invoke".to_owned()]);
    json!(Onboarding {
        document: TenantDocument::new("Initech", "retail".parse().unwrap()),
        limits: Vec::new(),
        users: Vec::new(),
        clients: vec![Program { name: "Nightly".to_owned(), scopes }],
        aws_roles: Vec::new(),
    })
}

/// What the state machine does.
async fn run(state: &Fake) -> TaskState {
    for _ in 0..40 {
        if order(state, json!({"task_id": "t1"})).await.unwrap().next == "done" {
            return state.tasks.data().tasks["t1"].state;
        }
    }
    panic!("the task does not end");
}

#[tokio::test]
async fn a_tenant_is_made_step_by_step_and_moved() {
    let state = world();
    let id = begun(&state, Kind::Onboard, onboarding()).await;
    assert_eq!(order(&state, json!({"task_id": "t1"})).await.unwrap().next, "step");
    assert_eq!(state.world.table.inner.data().tenants[&id].status, Status::Suspended, "not yet");
    assert_eq!(run(&state).await, TaskState::Succeeded);
    assert_eq!(state.world.table.inner.data().tenants[&id].status, Status::Active);
    assert_eq!(state.world.sink.inner.taken()[0].kind, "TenantOnboarded");
    state.tasks.data().tasks.clear();
    let way = Way { from: "retail".parse().unwrap(), to: "banking".parse().unwrap() };
    begun(&state, Kind::Move, json!(way)).await;
    assert_eq!(run(&state).await, TaskState::Succeeded);
    assert_eq!(state.world.table.inner.data().tenants[&id].document.lob_id, way.to);
}

#[tokio::test]
async fn a_step_that_fails_says_what_kind_of_failure_it_is_and_is_given_up() {
    let state = world();
    let id = begun(&state, Kind::Onboard, onboarding()).await;
    state.world.pool.inner.data().failing.insert("create_client");
    let mut failed = None;
    for _ in 0..9 {
        failed = order(&state, json!({"task_id": "t1"})).await.err().or(failed);
    }
    let failure = Diagnostic::from(failed.unwrap());
    assert_eq!(failure.error_type, "Task.StepFailed");
    assert_eq!(failure.error_message, "step `clients` of task `t1` is not done");
    let turned = order(&state, json!({"task_id": "t1", "gives_up": true})).await.unwrap();
    assert_eq!(turned.next, "step");
    assert_eq!(run(&state).await, TaskState::Failed);
    assert!(!state.world.table.inner.data().tenants.contains_key(&id));
    let data = state.tasks.data();
    assert_eq!(data.tasks["t1"].error.as_ref().unwrap().code, "step_failed");
    assert!(data.locks.is_empty());
}

#[tokio::test]
async fn a_task_that_is_not_there_is_over_and_one_that_cannot_be_read_is_said() {
    let state = world();
    assert_eq!(order(&state, json!({"task_id": "t1"})).await.unwrap().next, "done");
    begun(&state, Kind::Move, json!({"from": 7})).await;
    let failure = Diagnostic::from(order(&state, json!({"task_id": "t1"})).await.unwrap_err());
    assert_eq!(failure.error_type, "Task.Unreadable");
}

#[tokio::test]
async fn a_tenant_goes_with_evidence() {
    let state = world();
    let document = TenantDocument::new("Initech", "retail".parse().unwrap());
    let tenant = TenantState {
        version: 1,
        status: Status::Active,
        suspension: None,
        document,
        is_changing: false,
    };
    let id = begun(&state, Kind::Offboard, Value::Null).await;
    state.world.table.inner.data().tenants.insert(id.clone(), tenant);
    let mut waited = Vec::new();
    for _ in 0..60 {
        let answer = order(&state, json!({"task_id": "t1"})).await.unwrap();
        if answer.next == "done" {
            break;
        }
        if answer.seconds > 0 {
            waited.push(answer.seconds);
            state.world.pass(answer.seconds).await;
        }
    }
    let task = state.tasks.data().tasks["t1"].clone();
    assert_eq!((task.state, task.error), (TaskState::Succeeded, None));
    assert_eq!(task.output["evidence"], "exports/tenant=initech/task=t1/evidence.json");
    assert!(!state.world.table.inner.data().tenants.contains_key(&id));
    assert!(waited.iter().all(|seconds| *seconds <= 80), "{waited:?}");
}

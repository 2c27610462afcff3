//! Whatever goes wrong: a task ends complete, or nothing is left of it.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that panics says what is wrong"
)]

mod move_lob;
mod offboard;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use administration::fakes::{FakePool, FakeTable};
use administration::{TenantDocument, new_aws_role};
use admission::fakes::hard;
use admission::{Metric, Period};
use events::fakes::InMemorySink;
use jiff::Timestamp;
use offboarding::fakes::{Fault, Faults, Faulty};
use orchestration::fakes::InMemoryTasks;
use orchestration::{
    Created, Kind, Move, Next, Onboard, Onboarding, Person, Ports, Program, Requester, Saga, State,
    Task, TaskStore as _, advance, give_up,
};
use serde_json::json;
use tenancy::{PrincipalKind, Role, Status, TenantId};

static IDS: AtomicU64 = AtomicU64::new(0);

fn new_id() -> String {
    format!("id-{:09}", IDS.fetch_add(1, Ordering::Relaxed))
}

fn now() -> Timestamp {
    Timestamp::from_second(1_795_435_200).unwrap()
}

struct World {
    faults: Arc<Faults>,
    tasks: Faulty<InMemoryTasks>,
    table: Faulty<FakeTable>,
    pool: Faulty<FakePool>,
    events: Faulty<InMemorySink>,
}

impl World {
    fn new() -> Self {
        let faults = Arc::default();
        let pool = Faulty::of(FakePool::default(), &faults);
        pool.inner.add("u-1", "olga@org.example", &["acme:org_admin"]);
        Self {
            tasks: Faulty::of(InMemoryTasks::default(), &faults),
            table: Faulty::of(FakeTable::default(), &faults),
            pool,
            events: Faulty::of(InMemorySink::default(), &faults),
            faults,
        }
    }

    async fn create(&self, tenant: &str) -> Task {
        let task = task(tenant);
        let entry = task.requested_by.entry(new_id(), now(), "task.created", "tasks/t".to_owned());
        assert_eq!(self.tasks.inner.create(&task, &entry).await.unwrap(), Created::New);
        task
    }

    /// One invocation of the function that does steps.
    async fn invoke(&self, task_id: &str, is_given_up: bool) -> Result<Next, String> {
        let work = async {
            let found = self.tasks.task(task_id).await.map_err(|error| error.to_string())?;
            let task = found.ok_or("there is no such task")?;
            let ports =
                Ports { store: &self.table, pool: &self.pool, events: &self.events, now, new_id };
            if task.kind == Kind::Move {
                let saga = Move::of(ports, &task).map_err(|error| error.to_string())?;
                return self.step(&saga, task, is_given_up).await;
            }
            let saga = Onboard::of(ports, &task).map_err(|error| error.to_string())?;
            self.step(&saga, task, is_given_up).await
        };
        tokio::select! {
            biased;
            outcome = work => outcome,
            () = self.faults.deaths.notified() => Err("killed".to_owned()),
        }
    }

    async fn step(&self, saga: &impl Saga, task: Task, is_given_up: bool) -> Result<Next, String> {
        let next = if is_given_up {
            give_up(&self.tasks, task, now()).await
        } else {
            advance(&self.tasks, saga, task, now(), new_id).await
        };
        next.map_err(|error| error.to_string())
    }

    /// As the state machine does it: each invocation is tried four times; then the task is turned back,
    /// and if something still does not work then, somebody repairs it.
    async fn drive(&self, task_id: &str) -> Task {
        let (mut failed, mut gives_up, mut turns) = (0, false, 0);
        for _ in 0..200 {
            match self.invoke(task_id, gives_up).await {
                Ok(Next::Done) => return self.tasks.inner.task(task_id).await.unwrap().unwrap(),
                Ok(_) => (failed, gives_up) = (0, false),
                Err(_) if failed < 3 => failed += 1,
                Err(_) => {
                    (failed, gives_up, turns) = (0, true, turns + 1);
                    if turns > 1 {
                        self.faults.heal();
                    }
                }
            }
        }
        panic!("the task does not end");
    }

    /// What is wrong with how a task left the world.
    #[track_caller]
    fn check(&self, task: &Task, what: &str) {
        let (data, pool) = (self.table.inner.data(), self.pool.inner.data());
        let tenant = data.tenants.get(&task.tenant_id);
        let groups = |email: &str| {
            let person = pool.people.values().find(|person| person.user.email == email);
            person.map(|person| person.groups.iter().cloned().collect::<Vec<_>>())
        };
        let taken = self.events.inner.taken();
        let roles = data.aws_roles.values().filter(|it| it.tenant_id == task.tenant_id).count();
        let clients = data.clients.values().filter(|(id, _)| *id == task.tenant_id).count();
        let limits = data.limits.get(&task.tenant_id).map(Vec::len);
        if task.state == State::Succeeded {
            let tenant = tenant.unwrap();
            assert_eq!((tenant.status, &tenant.suspension), (Status::Active, &None), "{what}");
            assert_eq!(data.known.get(&task.tenant_id), Some(&tenant.version), "{what}");
            assert_eq!((roles, clients, limits), (1, 2, Some(1)), "{what}");
            assert_eq!(pool.clients.len(), 2, "{what}: {:?}", pool.clients);
            let id = &task.tenant_id;
            assert_eq!(
                groups("ann@initech.example").unwrap(),
                [format!("{id}:developer")],
                "{what}"
            );
            assert_eq!(
                groups("bob@initech.example").unwrap(),
                [format!("{id}:tenant_admin")],
                "{what}"
            );
            assert!(!taken.is_empty() && taken.iter().all(|it| it.id == taken[0].id), "{what}");
            assert_eq!(task.output["clients"].as_array().unwrap().len(), 2, "{what}");
        } else {
            assert!(matches!(task.state, State::Failed | State::Cancelled), "{what}: {task:?}");
            assert_eq!(tenant, None, "{what}");
            assert!(data.versions.is_empty() && data.known.is_empty(), "{what}");
            assert_eq!((roles, clients, limits), (0, 0, None), "{what}");
            assert!(pool.clients.is_empty(), "{what}: {:?}", pool.clients);
            for email in ["ann@initech.example", "bob@initech.example"] {
                assert!(groups(email).unwrap_or_default().is_empty(), "{what}");
            }
            assert!(taken.is_empty(), "{what}");
        }
        assert!(data.unfinished.is_empty(), "{what}: {:?}", data.unfinished);
        assert!(self.tasks.inner.data().locks.is_empty(), "{what}");
        // Who has nothing to do with it is as before.
        let olga = &pool.people["u-1"];
        assert_eq!(
            (olga.groups.len(), olga.sign_outs, olga.user.is_enabled),
            (1, 0, true),
            "{what}"
        );
    }
}

fn task(tenant: &str) -> Task {
    let tenant_id: TenantId = tenant.parse().unwrap();
    let person =
        |email: &str, role| Person { email: email.to_owned(), roles: BTreeSet::from([role]) };
    let program = |name: &str| Program {
        name: name.to_owned(),
        scopes: BTreeSet::from(["weir/invoke".to_owned()]),
    };
    let role = new_aws_role("111122223333", "batch", None, &tenant_id, Role::Machine).unwrap();
    let input = Onboarding {
        document: TenantDocument::new("Initech", "retail".parse().unwrap()),
        limits: vec![hard(Metric::Requests, Period::Minute, 10)],
        users: vec![
            person("ann@initech.example", Role::Developer),
            person("bob@initech.example", Role::TenantAdmin),
        ],
        clients: vec![program("Nightly"), program("Daily")],
        aws_roles: vec![role],
    };
    let (id, lob) = (format!("task-{tenant}"), "retail".parse().unwrap());
    Task::new(id, Kind::Onboard, tenant_id, lob, requester(), now(), json!(input))
}

fn requester() -> Requester {
    Requester {
        principal_id: "u-1".to_owned().try_into().unwrap(),
        principal_kind: Some(PrincipalKind::User),
        tenant_id: "acme".parse().unwrap(),
        roles: BTreeSet::from([Role::OrgAdmin]),
    }
}

#[tokio::test]
async fn a_tenant_is_made_from_one_document() {
    let world = World::new();
    let task = world.create("initech").await;
    let task = world.drive(&task.task_id).await;
    assert_eq!((task.state, task.progress()), (State::Succeeded, (7, 7)));
    world.check(&task, "nothing went wrong");
    let text = format!("{:?}", world.tasks.inner.data());
    assert!(!text.contains("secret-of-"), "a task knows no secret");
}

#[tokio::test]
async fn whatever_call_goes_wrong_it_ends_complete_or_nothing_is_left() {
    let clean = World::new();
    let task = clean.create("initech").await;
    clean.drive(&task.task_id).await;
    let calls = clean.faults.calls();
    assert!(calls.len() > 60, "{}", calls.len());
    let (mut runs, mut succeeded) = (0, 0);
    for (number, call) in calls.iter().enumerate() {
        for fault in Fault::ALL {
            let world = World::new();
            let task = world.create("initech").await;
            world.faults.plan(number, fault);
            let task = world.drive(&task.task_id).await;
            let what = format!("{fault:?} at call {number}, `{call}`");
            world.check(&task, &what);
            // What fails once is tried again, and works.
            assert!(task.state == State::Succeeded || fault == Fault::FailsForEver, "{what}");
            (runs, succeeded) = (runs + 1, succeeded + usize::from(task.state == State::Succeeded));
        }
    }
    assert_eq!(runs, calls.len() * 5);
    assert!(succeeded < runs, "nothing was ever taken back");
}

#[tokio::test]
async fn a_cancellation_may_go_wrong_too() {
    let cancelled = async |after: usize, fault: Option<(usize, Fault)>| {
        let world = World::new();
        let task = world.create("initech").await;
        for _ in 0..after {
            world.invoke(&task.task_id, false).await.unwrap();
        }
        {
            let mut data = world.tasks.inner.data();
            let task = data.tasks.get_mut(&task.task_id).unwrap();
            (task.cancel_requested, task.version) = (true, task.version + 1);
        }
        let before = world.faults.calls().len();
        if let Some((number, fault)) = fault {
            world.faults.plan(before + number, fault);
        }
        let task = world.drive(&task.task_id).await;
        assert_eq!(task.state, State::Cancelled, "after {after}, {fault:?}");
        world.check(&task, &format!("cancelled after {after}, {fault:?}"));
        world.faults.calls().len() - before
    };
    let mut runs = 0;
    for after in 0..6 {
        let calls = cancelled(after, None).await;
        for number in 0..calls {
            for fault in Fault::ALL {
                cancelled(after, Some((number, fault))).await;
                runs += 1;
            }
        }
    }
    assert!(runs > 200, "{runs}");
}

#[tokio::test]
async fn what_is_active_is_not_called_off() {
    let world = World::new();
    let task = world.create("initech").await;
    for _ in 0..6 {
        world.invoke(&task.task_id, false).await.unwrap();
    }
    {
        let mut data = world.tasks.inner.data();
        let task = data.tasks.get_mut(&task.task_id).unwrap();
        (task.cancel_requested, task.version) = (true, task.version + 1);
    }
    let task = world.drive(&task.task_id).await;
    assert_eq!(task.state, State::Succeeded);
    world.check(&task, "too late");
}

#[tokio::test]
async fn what_is_not_the_tasks_stays() {
    let world = World::new();
    world.pool.inner.add("u-9", "ann@initech.example", &["globex:developer"]);
    let task = world.create("initech").await;
    let task = world.drive(&task.task_id).await;
    assert_eq!(task.state, State::Failed);
    assert_eq!(task.error.as_ref().unwrap().code, "member_elsewhere");
    let ann = world.pool.inner.data().people["u-9"].clone();
    assert_eq!((ann.groups.len(), ann.sign_outs, ann.user.is_enabled), (1, 0, true));
    assert!(world.table.inner.data().tenants.is_empty());
    // The id can be used again.
    world.pool.inner.data().people.remove("u-9");
    world.tasks.inner.data().tasks.clear();
    let task = world.create("initech").await;
    let task = world.drive(&task.task_id).await;
    world.check(&task, "the second time");
    // A tenant that is there is nobody's to take away.
    world.tasks.inner.data().tasks.clear();
    let mut again = crate::task("initech");
    again.task_id = "another".to_owned();
    let entry = again.requested_by.entry(new_id(), now(), "task.created", "tasks/t".to_owned());
    world.tasks.inner.create(&again, &entry).await.unwrap();
    let failed = world.drive("another").await;
    assert_eq!((failed.state, failed.error.unwrap().code.as_str()), (State::Failed, "id_taken"));
    world.check(&task, "after somebody else tried to make it");
}

#[tokio::test]
async fn one_task_at_a_time_for_each_tenant() {
    let world = World::new();
    let task = world.create("initech").await;
    let entry = task.requested_by.entry(new_id(), now(), "task.created", "tasks/t".to_owned());
    let same = world.tasks.create(&task, &entry).await.unwrap();
    assert_eq!(same, Created::Existing(Box::new(task.clone())));
    let other = Task { task_id: "another".to_owned(), ..task };
    let busy = world.tasks.create(&other, &entry).await.unwrap();
    assert_eq!(busy, Created::Busy("task-initech".to_owned()));
}

//! A tenant is of one line of business or of the other, whatever goes wrong on the way.

use administration::{TenantDocument, TenantState};
use offboarding::fakes::Fault;
use orchestration::{Created, Kind, State, Task, TaskStore as _, Way};
use serde_json::json;
use tenancy::{LobId, Role, Status};

use super::{World, new_id, now, requester};

fn lob(id: &str) -> LobId {
    id.parse().unwrap()
}

async fn begin(world: &World) -> Task {
    let tenant_id: tenancy::TenantId = "initech".parse().unwrap();
    let document = TenantDocument::new("Initech", lob("retail"));
    let (status, suspension) = (Status::Active, None);
    let tenant = TenantState { version: 3, status, suspension, document, is_changing: false };
    world.table.inner.data().tenants.insert(tenant_id.clone(), tenant);
    world.pool.inner.add("u-2", "ann@initech.example", &["initech:tenant_admin"]);
    let input = json!(Way { from: lob("retail"), to: lob("banking") });
    let id = "task-move".to_owned();
    let task = Task::new(id, Kind::Move, tenant_id, lob("banking"), requester(), now(), input);
    let entry = task.requested_by.entry(new_id(), now(), "task.created", "tasks/t".to_owned());
    assert_eq!(world.tasks.inner.create(&task, &entry).await.unwrap(), Created::New);
    task
}

#[track_caller]
fn check(world: &World, task: &Task, what: &str) {
    let data = world.table.inner.data();
    let tenant = &data.tenants[&task.tenant_id];
    let is_moved = task.state == State::Succeeded;
    let expected = lob(if is_moved { "banking" } else { "retail" });
    assert_eq!(tenant.document.lob_id, expected, "{what}: {task:?}");
    if tenant.version > 3 {
        assert_eq!(data.known.get(&task.tenant_id), Some(&tenant.version), "{what}");
    }
    assert!(data.unfinished.is_empty(), "{what}: {:?}", data.unfinished);
    let taken = world.events.inner.taken();
    assert_eq!(!taken.is_empty(), is_moved, "{what}");
    assert!(taken.iter().all(|it| it.id == taken[0].id && it.kind == "TenantMoved"), "{what}");
    assert!(world.tasks.inner.data().locks.is_empty(), "{what}");
}

#[tokio::test]
async fn whatever_goes_wrong_it_is_moved_or_as_before() {
    let clean = World::new();
    let task = begin(&clean).await;
    let task = clean.drive(&task.task_id).await;
    check(&clean, &task, "nothing went wrong");
    assert_eq!(task.progress(), (4, 4));
    let calls = clean.faults.calls();
    let mut taken_back = 0;
    for (number, call) in calls.iter().enumerate() {
        for fault in Fault::ALL {
            let world = World::new();
            let task = begin(&world).await;
            world.faults.plan(number, fault);
            let task = world.drive(&task.task_id).await;
            check(&world, &task, &format!("{fault:?} at call {number}, `{call}`"));
            taken_back += usize::from(task.state != State::Succeeded);
        }
    }
    assert!(taken_back > 0, "nothing was ever taken back");
}

#[tokio::test]
async fn nobody_who_runs_a_line_of_business_is_moved_into_another() {
    let world = World::new();
    let task = begin(&world).await;
    world.pool.inner.add("u-3", "bob@initech.example", &["initech:lob_admin"]);
    let task = world.drive(&task.task_id).await;
    assert_eq!(task.error.as_ref().unwrap().code, "lob_admins");
    check(&world, &task, "somebody runs the line of business");

    // Somebody is given the role after the first look.
    let world = World::new();
    let task = begin(&world).await;
    world.invoke(&task.task_id, false).await.unwrap();
    let role = ("111122223333", "batch");
    let role = administration::new_aws_role(role.0, role.1, None, &task.tenant_id, Role::LobAdmin)
        .unwrap();
    let key = (role.account_id.clone(), role.role_name.clone());
    world.table.inner.data().aws_roles.insert(key, role);
    let task = world.drive(&task.task_id).await;
    assert_eq!(
        (task.state, task.error.as_ref().unwrap().code.as_str()),
        (State::Failed, "lob_admins")
    );
    check(&world, &task, "somebody came to run the line of business");
}

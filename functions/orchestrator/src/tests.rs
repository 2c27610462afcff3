//! Recorded events in, answers and the state of the tables out.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use administration::fakes::{FakePool, FakeTable};
use administration::{LobDocument, LobState, TenantDocument, TenantState};
use http_api::fakes::{Answer, Sent};
use lake::fakes::InMemoryObjects;
use orchestration::fakes::{InMemoryTasks, InMemoryWorkflow};
use orchestration::{State as TaskState, StepState, Task};
use serde_json::{Value, json};
use tenancy::Status;

use super::*;

type World = State<FakeTable, InMemoryTasks, FakePool, InMemoryWorkflow, InMemoryObjects>;

/// 2026-11-23T12:00:00Z
const NOON: i64 = 1_795_435_200;

static SECONDS: AtomicI64 = AtomicI64::new(0);

/// Each look at the clock is a second later.
fn now() -> Timestamp {
    Timestamp::from_second(NOON + SECONDS.fetch_add(1, Ordering::Relaxed)).unwrap()
}

fn new_id() -> String {
    static LAST: AtomicU64 = AtomicU64::new(1);
    format!("{:032x}", LAST.fetch_add(1, Ordering::Relaxed))
}

/// Two lines of business; `acme` and `zenith` are of `retail`, `globex` of `markets`.
fn world() -> World {
    let store = FakeTable::default();
    {
        let mut data = store.data();
        data.models = ["nova-pro"].map(|id| id.parse().unwrap()).into();
        data.retired.insert("gone".parse().unwrap());
        for (lob, tenants) in [("retail", &["acme", "zenith"][..]), ("markets", &["globex"])] {
            let document: LobDocument = serde_json::from_value(json!({"name": lob})).unwrap();
            let state = LobState { version: 5, document, is_changing: false };
            data.lobs.insert(lob.parse().unwrap(), state);
            for tenant in tenants {
                let state = TenantState {
                    version: 7,
                    status: Status::Active,
                    suspension: None,
                    document: TenantDocument::new(*tenant, lob.parse().unwrap()),
                    is_changing: false,
                };
                data.tenants.insert(tenant.parse().unwrap(), state);
            }
        }
    }
    let (tasks, pool) = (InMemoryTasks::default(), FakePool::default());
    let (workflow, papers) = (InMemoryWorkflow::default(), InMemoryObjects::default());
    State { store, tasks, pool, workflow, papers, now, new_id }
}

/// A request of `role@tenant`.
async fn send(
    state: &World,
    who: &str,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
    body: &Value,
) -> Answer {
    let (role, tenant) = who.split_once('@').unwrap();
    let lob = if tenant == "globex" { "markets" } else { "retail" };
    let authorizer = json!({
        "tenant_id": tenant, "lob_id": lob, "principal_id": format!("{role}-1"),
        "principal_kind": "user", "roles": role, "scopes": "",
    });
    let text = (!body.is_null()).then(|| body.to_string());
    let sent = Sent { authorizer, method, path, headers, body: text.as_deref() };
    Answer::of(handle(state, sent.request().unwrap()).await.unwrap()).await.unwrap()
}

async fn get(state: &World, who: &str, path: &str) -> Answer {
    send(state, who, ("GET", path), &[], &Value::Null).await
}

async fn post(state: &World, who: &str, path: &str, body: &Value) -> Answer {
    send(state, who, ("POST", path), &[], body).await
}

fn onboarding(tenant: &str, lob: &str) -> Value {
    json!({
        "kind": "onboard",
        "tenant_id": tenant,
        "tenant": {"name": "Initech", "lob_id": lob, "models": ["nova-pro"]},
        "users": [{"email": "ann@initech.example", "roles": ["tenant_admin"]}],
        "clients": [{"name": "Nightly"}],
    })
}

fn started(state: &World) -> Vec<(String, u64)> {
    state.workflow.started.lock().unwrap().clone()
}

/// Changes a task beside the API, as whoever does its steps would.
fn change(state: &World, id: &str, how: impl FnOnce(&mut Task)) {
    how(state.tasks.data().tasks.get_mut(id).unwrap());
}

#[tokio::test]
async fn a_task_is_written_set_going_and_shown_without_names_of_people() {
    let state = world();
    let asked = onboarding("initech", "retail");
    let dry = post(&state, "lob_admin@zenith", "/v1/tasks?dry_run=true", &asked).await;
    assert_eq!((dry.status.as_u16(), &dry.body["is_dry_run"]), (200, &json!(true)), "{}", dry.body);
    assert!(state.tasks.data().tasks.is_empty() && started(&state).is_empty());
    let made = post(&state, "lob_admin@zenith", "/v1/tasks", &asked).await;
    assert_eq!(made.status, 202, "{}", made.body);
    let id = made.body["task_id"].as_str().unwrap().to_owned();
    assert_eq!(made.headers["location"], format!("/v1/tasks/{id}"));
    assert_eq!(started(&state), [(id.clone(), 0)]);
    let shown = get(&state, "lob_admin@zenith", &format!("/v1/tasks/{id}")).await;
    assert_eq!(shown.body, made.body);
    assert_eq!(
        (&shown.body["state"], &shown.body["progress"]),
        (&json!("queued"), &json!({"done": 0, "total": 7}))
    );
    assert!(!shown.body.to_string().contains("ann@"));
    let data = state.tasks.data();
    assert_eq!(data.audit[0].action, "task.created");
    assert!(!json!(data.audit[0]).to_string().contains("ann@"));
}

#[tokio::test]
async fn a_request_that_is_sent_again_is_done_once() {
    let state = world();
    let asked = onboarding("initech", "retail");
    let key = [("idempotency-key", "8e03978e-40d5-43dd-bc93-6894a57f9324")];
    let route = ("POST", "/v1/tasks");
    state.workflow.is_down.store(true, Ordering::Relaxed);
    let first = send(&state, "org_admin@globex", route, &key, &asked).await;
    assert_eq!(first.status, 202, "it is written: {}", first.body);
    state.workflow.is_down.store(false, Ordering::Relaxed);
    let again = send(&state, "org_admin@globex", route, &key, &asked).await;
    assert_eq!(again.body, first.body);
    assert_eq!((state.tasks.data().tasks.len(), started(&state).len()), (1, 1));
    let other = onboarding("hooli", "retail");
    let reused = send(&state, "org_admin@globex", route, &key, &other).await;
    assert_eq!(reused.error(), (409, "idempotency_key_reused", ""));
    let elses = send(&state, "lob_admin@zenith", route, &key, &other).await;
    assert_eq!(elses.status, 202, "another's key is another's: {}", elses.body);
    for bad in ["", "a b", &"x".repeat(256)] {
        let key = [("idempotency-key", bad)];
        let answer = send(&state, "org_admin@globex", route, &key, &other).await;
        assert_eq!(answer.error(), (400, "invalid_value", "Idempotency-Key"), "{bad}");
    }
}

#[tokio::test]
async fn what_may_not_or_cannot_be_done_is_refused_before_anything_is_written() {
    let state = world();
    let with = |mut body: Value, field: &str, value: Value| {
        body[field] = value;
        body
    };
    let asked = onboarding("initech", "retail");
    let lob_admins = json!([{"email": "a@b.example", "roles": ["org_admin"]}]);
    let runner = json!([{"account_id": "111122223333", "role_name": "x", "role": "org_admin"}]);
    let unknown = json!({"name": "I", "lob_id": "retail", "models": ["opus"]});
    let away = |to: &str| json!({"kind": "move", "tenant_id": "acme", "lob_id": to});
    for (who, body, error) in [
        ("tenant_admin@acme", asked.clone(), (403, "permission_denied", "")),
        ("developer@acme", asked.clone(), (403, "permission_denied", "")),
        (
            "lob_admin@zenith",
            onboarding("initech", "markets"),
            (400, "invalid_value", "tenant.lob_id"),
        ),
        (
            "org_admin@globex",
            onboarding("initech", "nowhere"),
            (400, "invalid_value", "tenant.lob_id"),
        ),
        (
            "lob_admin@zenith",
            with(asked.clone(), "users", lob_admins),
            (403, "permission_denied", ""),
        ),
        (
            "lob_admin@zenith",
            with(asked.clone(), "aws_roles", runner),
            (403, "permission_denied", ""),
        ),
        (
            "lob_admin@zenith",
            with(asked.clone(), "tenant", unknown),
            (400, "invalid_value", "tenant.models"),
        ),
        (
            "lob_admin@zenith",
            with(asked.clone(), "user", json!([])),
            (400, "invalid_value", "user"),
        ),
        ("lob_admin@zenith", onboarding("acme", "retail"), (409, "id_taken", "")),
        ("lob_admin@zenith", onboarding("globex", "retail"), (409, "id_taken", "")),
        ("lob_admin@zenith", away("markets"), (400, "invalid_value", "lob_id")),
        (
            "lob_admin@zenith",
            json!({"kind": "move", "tenant_id": "globex", "lob_id": "retail"}),
            (404, "not_found", ""),
        ),
        ("org_admin@globex", away("retail"), (400, "invalid_value", "lob_id")),
        ("org_admin@globex", away("nowhere"), (400, "invalid_value", "lob_id")),
        (
            "org_admin@globex",
            json!({"kind": "move", "tenant_id": "globex", "lob_id": "retail"}),
            (409, "own_tenant", ""),
        ),
        (
            "org_admin@globex",
            json!({"kind": "move", "tenant_id": "hooli", "lob_id": "retail"}),
            (404, "not_found", ""),
        ),
        (
            "lob_admin@zenith",
            json!({"kind": "offboard", "tenant_id": "acme"}),
            (403, "permission_denied", ""),
        ),
        (
            "org_admin@globex",
            json!({"kind": "offboard", "tenant_id": "globex"}),
            (409, "own_tenant", ""),
        ),
        ("lob_admin@zenith", onboarding("gone", "retail"), (409, "id_retired", "")),
        (
            "org_admin@globex",
            json!({"kind": "explode", "tenant_id": "acme"}),
            (400, "invalid_value", "kind"),
        ),
    ] {
        let refused = post(&state, who, "/v1/tasks", &body).await;
        assert_eq!(refused.error(), error, "{who} {body}: {}", refused.body);
    }
    assert!(state.tasks.data().tasks.is_empty() && started(&state).is_empty());
    let denied = state.store.data().audit.iter().filter(|(_, it)| !it.is_allowed).count();
    assert_eq!(denied, 5, "each of them is on record");
    assert_eq!(post(&state, "org_admin@globex", "/v1/tasks", &away("markets")).await.status, 202);
    let busy = post(&state, "org_admin@globex", "/v1/tasks", &away("markets")).await;
    assert_eq!(busy.error(), (409, "tenant_busy", ""));
}

#[tokio::test]
async fn a_task_is_there_for_those_who_run_its_tenant() {
    let state = world();
    for (tenant, lob) in [("initech", "retail"), ("hooli", "markets"), ("initech-2", "retail")] {
        let made = post(&state, "org_admin@globex", "/v1/tasks", &onboarding(tenant, lob)).await;
        assert_eq!(made.status, 202, "{}", made.body);
    }
    let ids = |answer: &Answer| -> Vec<String> {
        let data = answer.body["data"].as_array().unwrap();
        data.iter().map(|it| it["tenant_id"].as_str().unwrap().to_owned()).collect()
    };
    let own = get(&state, "lob_admin@zenith", "/v1/tasks").await;
    assert_eq!(ids(&own), ["initech-2", "initech"]);
    let page = get(&state, "lob_admin@zenith", "/v1/tasks?limit=1").await;
    let cursor = page.body["next_cursor"].as_str().unwrap();
    let rest = get(&state, "lob_admin@zenith", &format!("/v1/tasks?limit=1&cursor={cursor}")).await;
    assert_eq!(
        (ids(&page), ids(&rest)),
        (vec!["initech-2".to_owned()], vec!["initech".to_owned()])
    );
    let one = get(&state, "org_auditor@globex", "/v1/tasks?lob_id=retail&tenant_id=initech").await;
    assert_eq!(ids(&one), ["initech"]);
    let none = get(&state, "org_admin@globex", "/v1/tasks?lob_id=retail&state=failed").await;
    assert_eq!((ids(&none), &none.body["next_cursor"]), (vec![], &Value::Null));
    let elses = get(&state, "lob_admin@zenith", "/v1/tasks?lob_id=markets").await;
    assert_eq!(elses.error(), (404, "not_found", ""));
    let own = get(&state, "tenant_admin@acme", "/v1/tasks").await;
    assert_eq!((own.status.as_u16(), ids(&own)), (200, vec![]), "others' are not theirs to see");
    let others = get(&state, "tenant_admin@acme", "/v1/tasks?tenant_id=initech").await;
    assert_eq!(others.error(), (404, "not_found", ""));
    assert_eq!(get(&state, "developer@acme", "/v1/tasks").await.status, 403);
    let bad = get(&state, "org_admin@globex", "/v1/tasks?state=over").await;
    assert_eq!(bad.error(), (400, "invalid_value", "state"));
    let hooli =
        state.tasks.data().tasks.values().find(|it| it.tenant_id.as_str() == "hooli").cloned();
    let path = format!("/v1/tasks/{}", hooli.unwrap().task_id);
    for (who, status) in [
        ("org_admin@globex", 200),
        ("lob_admin@globex", 200),
        ("lob_admin@zenith", 404),
        ("tenant_admin@acme", 404),
    ] {
        assert_eq!(get(&state, who, &path).await.status, status, "{who}");
        let cancelled = post(&state, who, &format!("{path}/cancel"), &Value::Null).await.status;
        assert_eq!(cancelled, if status == 200 { 202 } else { 404 }, "{who}");
    }
    for path in ["/v1/tasks/x", "/v1/tasks/TASK%23x", "/v1/tasks/0198f0c2a7b37d1e8f00aabbccddeeff"]
    {
        assert_eq!(get(&state, "org_admin@globex", path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_task_is_called_off_until_nothing_can_be_taken_back() {
    let state = world();
    let made =
        post(&state, "org_admin@globex", "/v1/tasks", &onboarding("initech", "retail")).await;
    let id = made.body["task_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/tasks/{id}/cancel");
    let cancelled = post(&state, "org_admin@globex", &path, &Value::Null).await;
    assert_eq!(
        (cancelled.status.as_u16(), &cancelled.body["cancel_requested"]),
        (202, &json!(true))
    );
    assert_eq!(post(&state, "org_admin@globex", &path, &Value::Null).await.status, 202);
    {
        let data = state.tasks.data();
        let actions: Vec<_> = data.audit.iter().map(|it| it.action.as_str()).collect();
        assert_eq!(actions, ["task.created", "task.cancel_requested"], "asked for once");
    }
    change(&state, &id, |task| {
        task.cancel_requested = false;
        for step in &mut task.steps {
            step.state = StepState::Done;
        }
    });
    let late = post(&state, "org_admin@globex", &path, &Value::Null).await;
    assert_eq!(late.error(), (409, "task_committed", ""));
    change(&state, &id, |task| task.state = TaskState::Succeeded);
    assert_eq!(
        post(&state, "org_admin@globex", &path, &Value::Null).await.error(),
        (409, "task_over", "")
    );
}

#[tokio::test]
async fn secrets_are_told_once_to_whoever_asked() {
    let state = world();
    let made =
        post(&state, "org_admin@globex", "/v1/tasks", &onboarding("initech", "retail")).await;
    let id = made.body["task_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/tasks/{id}/credentials");
    let early = post(&state, "org_admin@globex", &path, &Value::Null).await;
    assert_eq!(early.error(), (409, "task_not_succeeded", ""));
    let client = state.pool.create_client("initech.t.0", &[].into()).await.unwrap();
    change(&state, &id, |task| {
        task.state = TaskState::Succeeded;
        task.output = json!({"clients": [{"client_id": client.client_id, "name": "Nightly"}]});
    });
    let elses = post(&state, "lob_admin@zenith", &path, &Value::Null).await;
    assert_eq!(elses.error(), (403, "permission_denied", ""));
    let told = post(&state, "org_admin@globex", &path, &Value::Null).await;
    assert_eq!(told.body["data"][0]["client_secret"], client.secret.expose(), "{}", told.body);
    let again = post(&state, "org_admin@globex", &path, &Value::Null).await;
    assert_eq!(again.error(), (409, "credentials_told", ""));
    let shown = get(&state, "org_admin@globex", &format!("/v1/tasks/{id}")).await;
    assert_eq!(
        shown.body["output"],
        json!({"clients": [{"client_id": client.client_id, "name": "Nightly"}]})
    );
    let data = state.tasks.data();
    let written = json!([data.tasks, data.audit]).to_string();
    assert!(!written.contains(client.secret.expose()));
}

#[tokio::test]
async fn evidence_is_given_as_it_was_signed() {
    let state = world();
    let asked = json!({"kind": "offboard", "tenant_id": "acme"});
    let made = post(&state, "org_admin@globex", "/v1/tasks", &asked).await;
    assert_eq!(made.status, 202, "{}", made.body);
    let id = made.body["task_id"].as_str().unwrap().to_owned();
    let path = format!("/v1/tasks/{id}/evidence");
    assert_eq!(get(&state, "org_admin@globex", &path).await.error(), (409, "no_evidence", ""));
    let key = format!("exports/tenant=acme/task={id}/evidence.json");
    change(&state, &id, |task| task.output = json!({"evidence": key}));
    assert_eq!(get(&state, "org_admin@globex", &path).await.status, 404);
    let signed = r#"{"a":1,"b":"é"}"#;
    for (end, bytes) in [(".json", signed.as_bytes()), (".sig", &[0, 255]), (".pub.pem", b"PEM")] {
        let key = format!("exports/tenant=acme/task={id}/evidence{end}");
        state.papers.put(&key, bytes.to_vec().into(), "x").await.unwrap();
    }
    let pack = get(&state, "org_auditor@globex", &path).await;
    assert_eq!(pack.body["evidence"], signed, "{}", pack.body);
    assert_eq!(
        (&pack.body["signature"], &pack.body["public_key"]),
        (&json!("AP8="), &json!("PEM"))
    );
    assert_eq!(get(&state, "tenant_admin@zenith", &path).await.status, 404);
}

#[tokio::test]
async fn the_schedule_sets_going_what_nobody_is_at() {
    let state = world();
    let event = include_str!("../../tenants/testdata/schedule.json");
    for tenant in ["fresh", "cut", "busy", "silent"] {
        let made =
            post(&state, "org_admin@globex", "/v1/tasks", &onboarding(tenant, "retail")).await;
        let id = made.body["task_id"].as_str().unwrap().to_owned();
        change(&state, &id, |task| {
            let age = match tenant {
                "fresh" => 0,
                "silent" => 31 * 60,
                _ => 5 * 60,
            };
            task.heartbeat_at -= jiff::SignedDuration::from_secs(age);
            if matches!(tenant, "busy" | "silent") {
                (task.state, task.version) = (TaskState::Running, 3);
            }
            task.task_id = tenant.to_owned();
        });
    }
    state.workflow.started.lock().unwrap().clear();
    let request = lambda_http::request::from_str(event).unwrap();
    assert_eq!(handle(&state, request).await.unwrap().status(), 200);
    let mut again = started(&state);
    again.sort();
    assert_eq!(again, [("cut".to_owned(), 0), ("silent".to_owned(), 3)]);
    state.workflow.is_down.store(true, Ordering::Relaxed);
    let request = lambda_http::request::from_str(event).unwrap();
    assert_eq!(handle(&state, request).await.unwrap().status(), 500, "so that the alarm knows");
}

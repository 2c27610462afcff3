//! Recorded events in, answers and the state of the registry out.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use administration::fakes::FakeTable;
use administration::{LobState, TenantDocument, TenantState};
use events::fakes::InMemorySink;
use http_api::fakes::{Answer, Sent};
use registry::fakes::{FakeModels, InMemoryRegistry};
use registry::{FoundationModel, Modality};
use serde_json::{Value, json};
use tenancy::Status;

use super::*;

/// Everything in memory.
struct InMemory;

impl Ports for InMemory {
    type Store = FakeTable;
    type Registry = InMemoryRegistry;
    type Events = InMemorySink;
    type Models = FakeModels;
}

type World = State<InMemory>;

const MODELS: &str = "/v1/registry/models";
const TUNED: &str = "/v1/registry/models/tuned";
const ALIASES: &str = "/v1/registry/aliases";
const SMART: &str = "/v1/registry/aliases/smart";

/// Each look at the clock is a second later.
fn now() -> Timestamp {
    static SECONDS: AtomicI64 = AtomicI64::new(1_795_435_200);
    Timestamp::from_second(SECONDS.fetch_add(1, Ordering::Relaxed)).unwrap()
}

fn new_id() -> String {
    static LAST: AtomicU64 = AtomicU64::new(1);
    format!("{:032x}", LAST.fetch_add(1, Ordering::Relaxed))
}

/// A registry with `nova-pro`, as it was seeded.
fn world() -> World {
    let registry = InMemoryRegistry::default();
    let mut seeded = document("nova-pro");
    seeded.as_object_mut().unwrap().remove("provenance");
    let id = "nova-pro".parse().unwrap();
    registry.data().entries.insert((Kind::Model, id), seeded);
    State {
        store: FakeTable::default(),
        registry,
        events: InMemorySink::default(),
        models: FakeModels::default(),
        now,
        new_id,
    }
}

fn document(id: &str) -> Value {
    json!({
        "id": id, "provider_model_id": format!("vendor.{id}"), "protocols": ["converse"], "owned_by": "acme",
        "context_window": 8192, "max_output_tokens": 1024, "default_max_tokens": 256, "created": 1,
        "capabilities": {}, "provenance": {"origin": "fine_tuned", "base_model": "nova-pro"},
    })
}

/// A request of `role/name`.
async fn send(
    state: &World,
    who: &str,
    (method, path): (&str, &str),
    header: Option<(&str, &str)>,
    body: &Value,
) -> Answer {
    let (role, name) = who.split_once('/').unwrap();
    let authorizer = json!({
        "tenant_id": "acme", "lob_id": "retail", "principal_id": name,
        "principal_kind": "user", "roles": role, "scopes": "",
    });
    let text = (!body.is_null()).then(|| body.to_string());
    let headers = header.as_slice();
    let sent = Sent { authorizer, method, path, headers, body: text.as_deref() };
    Answer::of(handle(state, sent.request().unwrap()).await.unwrap()).await.unwrap()
}

/// A request without a body.
async fn change_none(state: &World, who: &str, what: (&str, &str)) -> Answer {
    send(state, who, what, None, &Value::Null).await
}

async fn get(state: &World, who: &str, path: &str) -> Answer {
    send(state, who, ("GET", path), None, &Value::Null).await
}

async fn register(state: &World, who: &str) -> Answer {
    let header = Some(("if-none-match", "*"));
    send(state, who, ("PUT", TUNED), header, &document("tuned")).await
}

/// Changes whatever version there is.
async fn change(state: &World, who: &str, what: (&str, &str), body: &Value) -> Answer {
    send(state, who, what, Some(("if-match", "*")), body).await
}

async fn stage(state: &World, who: &str, to: &str) -> Answer {
    let path = format!("{TUNED}/stage");
    change(state, who, ("POST", &path), &json!({"stage": to})).await
}

#[tokio::test]
async fn a_model_is_registered_as_a_draft_and_approved_by_somebody_else() {
    let state = world();
    let made = register(&state, "org_admin/ada").await;
    assert_eq!(
        (made.status.as_u16(), &made.body["stage"]),
        (201, &json!("draft")),
        "{}",
        made.body
    );
    assert_eq!(
        (&made.body["version"], made.headers["etag"].as_bytes()),
        (&json!(1), &b"\"1\""[..])
    );
    let own = stage(&state, "org_admin/ada", "approved").await;
    assert_eq!(own.error(), (403, "own_entry", ""));
    // Who tried is noted.
    assert_eq!(state.store.data().audit[0].1.action, "model.stage");
    assert!(!state.store.data().audit[0].1.is_allowed);
    let approved = stage(&state, "org_admin/bob", "approved").await;
    assert_eq!((approved.status.as_u16(), &approved.body["stage"]), (200, &json!("approved")));
    assert_eq!(approved.body["approval"]["by"], "bob");
    let again = stage(&state, "org_admin/bob", "approved").await;
    assert_eq!(again.error(), (409, "no_way_to_stage", ""));
    let actions: Vec<_> = state.registry.data().audit.iter().map(|it| it.action.clone()).collect();
    assert_eq!(actions, ["model.set", "model.stage"]);
    let shown = get(&state, "org_auditor/eve", TUNED).await;
    assert_eq!(shown.body["lineage"]["made_from"][0]["from"], "nova-pro");
    let drafts = get(&state, "lob_admin/lea", &format!("{MODELS}?stage=draft")).await;
    assert_eq!(drafts.body["data"], json!([]));
}

#[tokio::test]
async fn what_get_shows_is_changed_and_put_back() {
    let state = world();
    register(&state, "org_admin/ada").await;
    let mut body = get(&state, "org_admin/ada", TUNED).await.body;
    body["context_window"] = json!(4096);
    let dry = format!("{TUNED}?dry_run=true");
    let shown = change(&state, "org_admin/ada", ("PUT", &dry), &body).await;
    assert_eq!(shown.body["is_dry_run"], true, "{}", shown.body);
    assert_eq!(get(&state, "org_admin/ada", TUNED).await.body["context_window"], 8192);
    let changed = change(&state, "org_admin/ada", ("PUT", TUNED), &body).await;
    assert_eq!(
        (&changed.body["version"], &changed.body["context_window"]),
        (&json!(2), &json!(4096))
    );
    let same = change(&state, "org_admin/bob", ("PUT", TUNED), &body).await;
    assert_eq!((&same.body["version"], &same.body["written_by"]), (&json!(2), &json!("ada")));
    let path = format!("{TUNED}/rollback");
    let unknown = change(&state, "org_admin/ada", ("POST", &path), &json!({"version": 7})).await;
    assert_eq!(unknown.error(), (400, "invalid_value", "version"));
    let back = change(&state, "org_admin/ada", ("POST", &path), &json!({"version": 1})).await;
    assert_eq!((&back.body["version"], &back.body["context_window"]), (&json!(3), &json!(8192)));
    let first = get(&state, "org_admin/ada", &format!("{TUNED}/history?limit=2")).await.body;
    let versions = |page: &Value| {
        page["data"].as_array().unwrap().iter().map(|it| it["version"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(versions(&first), [3, 2]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = get(&state, "org_admin/ada", &format!("{TUNED}/history?cursor={cursor}")).await.body;
    assert_eq!((versions(&rest), &rest["next_cursor"]), (vec![json!(1)], &Value::Null));
}

#[tokio::test]
async fn whoever_changes_says_what_and_may() {
    let state = world();
    let no_match = send(&state, "org_admin/ada", ("PUT", TUNED), None, &document("tuned")).await;
    assert_eq!(no_match.error(), (428, "precondition_required", "If-Match"));
    register(&state, "org_admin/ada").await;
    assert_eq!(register(&state, "org_admin/ada").await.error(), (412, "precondition_failed", ""));
    let mut body = document("tuned");
    body["provenance"]["base_model"] = json!("gone");
    let unknown = change(&state, "org_admin/ada", ("PUT", TUNED), &body).await;
    assert_eq!(unknown.error(), (400, "invalid_value", "provenance.base_model"));
    for role in ["lob_admin", "tenant_admin", "developer", "auditor", "org_auditor"] {
        let who = format!("{role}/eve");
        let refused = change(&state, &who, ("PUT", TUNED), &document("tuned")).await;
        assert_eq!(refused.status, 403, "{role}");
        assert_eq!(stage(&state, &who, "approved").await.status, 403, "{role}");
    }
    for path in [MODELS, TUNED, "/v1/registry/models/tuned/history"] {
        assert_eq!(get(&state, "tenant_admin/eve", path).await.status, 403, "{path}");
    }
    let gone = get(&state, "org_admin/ada", "/v1/registry/models/gone").await;
    assert_eq!(gone.status, 404);
    assert_eq!(state.registry.data().audit.len(), 1);
}

/// An alias that stands for one model.
fn smart(model: &str) -> Value {
    json!({"steps": [{"targets": [{"model": model}]}]})
}

#[tokio::test]
async fn an_alias_is_made_deployed_put_back_and_taken_away() {
    let state = world();
    register(&state, "org_admin/ada").await;
    let put = ("PUT", SMART);
    let new = Some(("if-none-match", "*"));
    let made = send(&state, "org_admin/ada", put, new, &smart("nova-pro")).await;
    assert_eq!((made.status.as_u16(), &made.body["object"]), (201, &json!("alias")));
    let unknown = change(&state, "org_admin/ada", put, &smart("gone")).await;
    assert_eq!(unknown.error(), (400, "invalid_value", "steps"));

    // A draft is deployed nowhere.
    let deploy = format!("{SMART}/deploy");
    let canary = json!({"model": "tuned", "share": 10});
    let post = ("POST", deploy.as_str());
    let draft = change(&state, "org_admin/ada", post, &canary).await;
    assert_eq!(draft.error(), (409, "not_callable", ""));
    stage(&state, "org_admin/bob", "approved").await;
    for (body, param) in [
        (json!({"model": "gone"}), "model"),
        (json!({}), "model"),
        (json!({"model": "tuned", "share": 0}), "share"),
        (json!({"model": "tuned", "share": 101}), "share"),
        (json!({"model": "tuned", "share": "half"}), "share"),
        (json!({"model": "tuned", "weight": 1}), "weight"),
    ] {
        let error = change(&state, "org_admin/ada", post, &body).await;
        assert_eq!((error.status.as_u16(), error.error().2), (400, param), "{body}");
    }
    let deployed = change(&state, "org_admin/ada", post, &canary).await;
    assert_eq!(
        deployed.body["steps"][0]["targets"],
        json!([{"model": "tuned", "weight": 1}, {"model": "nova-pro", "weight": 9}])
    );
    let listed = get(&state, "lob_admin/lea", &format!("{ALIASES}?model=tuned")).await;
    assert_eq!(listed.body["data"][0]["name"], "smart");
    let none = get(&state, "lob_admin/lea", &format!("{ALIASES}?model=opus")).await;
    assert_eq!(none.body["data"], json!([]));

    let path = format!("{SMART}/rollback");
    let back = change(&state, "org_admin/bob", ("POST", &path), &json!({"version": 1})).await;
    assert_eq!((&back.body["version"], &back.body["steps"]), (&json!(3), &made.body["steps"]));
    let kept = send(&state, "org_admin/ada", ("DELETE", SMART), None, &Value::Null).await;
    assert_eq!(kept.error(), (428, "precondition_required", "If-Match"));
    let gone = change(&state, "org_admin/ada", ("DELETE", SMART), &Value::Null).await;
    assert_eq!((gone.status.as_u16(), &gone.body["deleted"]), (200, &json!(true)));
    assert_eq!(get(&state, "org_admin/ada", SMART).await.status, 404);
    let again = send(&state, "org_admin/ada", put, new, &smart("tuned")).await;
    assert_eq!(again.body["version"], 4, "it goes on counting");
    let actions: Vec<_> = state.registry.data().audit.iter().map(|it| it.action.clone()).collect();
    assert_eq!(
        actions[2..],
        ["model.stage", "alias.deployed", "alias.rolled_back", "alias.removed", "alias.set"]
    );
}

#[tokio::test]
async fn models_are_not_taken_away_and_aliases_have_no_stage() {
    let state = world();
    register(&state, "org_admin/ada").await;
    let gone = change(&state, "org_admin/ada", ("DELETE", TUNED), &Value::Null).await;
    assert_eq!(gone.status, 405);
    for path in [format!("{SMART}/stage"), format!("{TUNED}/deploy")] {
        let answer = change(&state, "org_admin/ada", ("POST", &path), &json!({})).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    for role in ["lob_admin", "tenant_admin", "developer", "org_auditor"] {
        let who = format!("{role}/eve");
        let deploy = format!("{SMART}/deploy");
        for what in [("PUT", SMART), ("DELETE", SMART), ("POST", &deploy)] {
            let refused = change(&state, &who, what, &smart("nova-pro")).await;
            assert_eq!(refused.status, 403, "{who} {what:?}");
        }
    }
}

/// What the schedule is answered: its status, and how many events there were since `state` was made.
async fn run_schedule(state: &World) -> (u16, usize) {
    let event = include_str!("../testdata/schedule.json");
    let answer = handle(state, lambda_http::request::from_str(event).unwrap()).await.unwrap();
    (answer.status().as_u16(), state.events.taken().len())
}

#[tokio::test]
async fn tenants_are_told_of_a_model_that_ends() {
    let state = world();
    register(&state, "org_admin/ada").await;
    stage(&state, "org_admin/bob", "approved").await;
    let mut acme = TenantDocument::new("Acme", "retail".parse().unwrap());
    acme.models = ["tuned".parse().unwrap()].into();
    let acme = TenantState {
        version: 1,
        status: Status::Active,
        suspension: None,
        document: acme,
        is_changing: false,
    };
    let retail = serde_json::from_value(json!({"name": "Retail"})).unwrap();
    let retail = LobState { version: 1, document: retail, is_changing: false };
    state.store.data().tenants.insert("acme".parse().unwrap(), acme);
    state.store.data().lobs.insert("retail".parse().unwrap(), retail);
    assert_eq!(run_schedule(&state).await, (200, 0), "it has no end");

    let mut body = get(&state, "org_admin/ada", TUNED).await.body;
    body["end_of_life"] = json!({"retires_on": "2027-12-31", "successor": "nova-pro"});
    let changed = change(&state, "org_admin/ada", ("PUT", TUNED), &body).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    state.events.refuse("acme");
    assert_eq!(run_schedule(&state).await, (500, 0));
    state.events.refuse("");
    assert_eq!(run_schedule(&state).await, (200, 1));
    assert_eq!(run_schedule(&state).await, (200, 1), "it is told once");
    let told = &state.events.taken()[0];
    assert_eq!((told.kind, &told.detail["tenant_id"]), ("ModelRetiring", &json!("acme")));
}

#[tokio::test]
async fn what_bedrock_lists_is_imported_once() {
    let state = world();
    let post = |path: &'static str| change_none(&state, "org_admin/ada", ("POST", path));
    let away = post("/v1/registry/import").await;
    assert_eq!((away.status.as_u16(), away.error().1), (503, "models_not_listed"));
    let listed = |id: &str| FoundationModel {
        id: id.to_owned(),
        arn: format!("arn:aws:bedrock:us-east-1::foundation-model/{id}"),
        vendor: "Vendor".to_owned(),
        inputs: [Modality::Text].into(),
        outputs: [Modality::Text].into(),
        called_by: Some(id.to_owned()),
        launched_at: None,
        is_legacy: false,
        legacy_at: None,
        ends_at: Some("2027-06-30T00:00:00Z".parse().unwrap()),
    };
    let bought = FoundationModel { called_by: None, ..listed("vendor.other:0:128k") };
    // The seeded model is one of Bedrock's, which ends it.
    state.models.set(vec![listed("vendor.nova-pro"), listed("vendor.new-v1:0"), bought]);
    let dry = post("/v1/registry/import?dry_run=true").await;
    assert!(state.registry.data().audit.is_empty());
    let made = post("/v1/registry/import").await;
    assert_eq!(made.status, 200, "{}", made.text);
    for (answer, is_dry_run) in [(&dry, true), (&made, false)] {
        let said = &answer.body;
        assert_eq!((&said["is_dry_run"], &said["listed"]), (&json!(is_dry_run), &json!(3)));
        assert_eq!(
            (&said["registered"], &said["changed"]),
            (&json!(["new-v1"]), &json!(["nova-pro"]))
        );
        assert_eq!(said["skipped"][0]["model"], "vendor.other:0:128k");
    }
    let shown = get(&state, "org_admin/ada", "/v1/registry/models/new-v1").await.body;
    assert_eq!((&shown["stage"], &shown["written_by"]), (&json!("draft"), &json!("ada")));
    let ended = get(&state, "org_admin/ada", "/v1/registry/models/nova-pro").await.body;
    assert_eq!(
        (&ended["end_of_life"]["retires_on"], &ended["stage"]),
        (&json!("2027-06-30"), &json!("approved"))
    );
    let entries: Vec<_> = state.registry.data().audit.clone();
    let subjects: Vec<_> = entries.iter().map(|it| (&*it.action, &*it.subject)).collect();
    assert_eq!(
        subjects,
        [
            ("model.imported", "registry/models/new-v1"),
            ("model.imported", "registry/models/nova-pro"),
        ]
    );
    let again = post("/v1/registry/import").await.body;
    assert_eq!((&again["registered"], &again["changed"]), (&json!([]), &json!([])));
    for role in ["lob_admin", "tenant_admin", "developer", "org_auditor"] {
        let who = format!("{role}/eve");
        let refused = change_none(&state, &who, ("POST", "/v1/registry/import")).await;
        assert_eq!(refused.status, 403, "{role}");
    }
}

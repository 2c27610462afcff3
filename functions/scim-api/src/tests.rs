//! Recorded events in, answers and the state of table and user pool out.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use administration::fakes::FakePool;
use http::HeaderMap;
use http_api::fakes::Sent;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use proptest::prelude::*;
use scim::fakes::FakeMembers;
use scim::{GROUP, GROUP_EXTENSION, USER};
use serde_json::{Value, json};

use crate::{State, handle};

type World = State<FakeMembers, FakePool>;

fn world() -> World {
    let pool = FakePool::default();
    pool.add("boss-1", "boss@acme.example", &["acme:org_admin"]);
    pool.add("other-1", "other@globex.example", &["globex:developer"]);
    State { store: FakeMembers::default(), pool, now: || Timestamp::UNIX_EPOCH, new_id }
}

fn new_id() -> String {
    static LAST: AtomicU64 = AtomicU64::new(1);
    format!("{:032x}", LAST.fetch_add(1, Ordering::Relaxed))
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn id(&self) -> String {
        self.body["id"].as_str().unwrap().to_owned()
    }

    fn scim_type(&self) -> &str {
        self.body["scimType"].as_str().unwrap_or_default()
    }
}

/// A request of `provisioner@acme`, or somebody else, with `name: value` as a header if there is one.
async fn send(
    state: &World,
    who: &str,
    (method, path): (&str, &str),
    header: Option<(&str, &str)>,
    body: Option<&str>,
) -> Answer {
    let (role, tenant) = who.split_once('@').unwrap();
    let authorizer = json!({
        "tenant_id": tenant, "lob_id": "retail", "principal_id": format!("{role}-1"),
        "principal_kind": if role == "provisioner" { "machine" } else { "user" },
        "roles": role, "scopes": "",
    });
    let path = format!("/scim/v2{path}");
    let sent = Sent { authorizer, method, path: &path, headers: header.as_slice(), body };
    let (parts, body) = handle(state, sent.request().unwrap()).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or_default();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body }
}

async fn ask(state: &World, method: &str, path: &str, body: Value) -> Answer {
    let text = (!body.is_null()).then(|| body.to_string());
    send(state, "provisioner@acme", (method, path), None, text.as_deref()).await
}

async fn get(state: &World, path: &str) -> Answer {
    ask(state, "GET", path, Value::Null).await
}

async fn user(state: &World, name: &str) -> Answer {
    let body = json!({"schemas": [USER.schema.id], "userName": name});
    ask(state, "POST", "/Users", body).await
}

fn group(name: &str, role: Option<&str>, members: &[&str]) -> Value {
    let members: Vec<_> = members.iter().map(|id| json!({ "value": id })).collect();
    let mut body = json!({"schemas": [GROUP.schema.id], "displayName": name, "members": members});
    if let Some(role) = role {
        body[GROUP_EXTENSION.id] = json!({ "role": role });
    }
    body
}

fn patch(op: &str, path: &str, value: impl Into<Value>) -> Value {
    let value = value.into();
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": op, "path": path, "value": value}],
    })
}

/// The groups of the user pool that somebody is in, and whether they can sign in.
fn person(state: &World, email: &str) -> Option<(BTreeSet<String>, bool)> {
    let data = state.pool.data();
    let found = data.people.values().find(|it| it.user.email == email)?;
    Some((found.groups.clone(), found.user.is_enabled))
}

fn in_groups(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| format!("acme:{name}")).collect()
}

#[tokio::test]
async fn a_person_is_what_their_groups_give_until_they_go() {
    let state = world();
    let email = "ann@acme.example";
    let ann = user(&state, email).await;
    assert_eq!(ann.status, 201, "{}", ann.body);
    assert_eq!(ann.headers["content-type"], "application/scim+json");
    assert_eq!(ann.headers["location"].to_str().unwrap(), ann.body["meta"]["location"]);
    assert_eq!(ann.headers["etag"].to_str().unwrap(), ann.body["meta"]["version"]);
    // Without a group that gives something, nobody is let in.
    assert_eq!(person(&state, email), None);
    let id = ann.id();
    let crowd = ask(&state, "POST", "/Groups", group("Crowd", None, &[&id])).await;
    assert_eq!((crowd.status, person(&state, email)), (201, None));
    assert_eq!(crowd.body["members"][0]["value"], id);

    let made = ask(&state, "POST", "/Groups", group("developer", None, &[&id])).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(person(&state, email), Some((in_groups(&["developer"]), true)));
    let shown = get(&state, &format!("/Users/{id}")).await;
    assert_eq!(shown.body["groups"].as_array().unwrap().len(), 2, "{}", shown.body);
    // Another role of the group is another one of its people.
    let place = format!("/Groups/{}", made.id());
    let path = format!("{}:role", GROUP_EXTENSION.id);
    let changed = ask(&state, "PATCH", &place, patch("add", &path, json!("viewer"))).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    assert_eq!(person(&state, email), Some((in_groups(&["viewer"]), true)));

    let place = format!("/Users/{id}");
    let off = ask(&state, "PATCH", &place, patch("replace", "active", json!("False"))).await;
    assert_eq!((off.status, &off.body["active"]), (200, &json!(false)));
    assert_eq!(person(&state, email), Some((BTreeSet::new(), false)));
    assert!(state.pool.data().people.values().any(|it| it.sign_outs > 0));
    let on = ask(&state, "PATCH", &place, patch("replace", "active", json!(true))).await;
    assert_eq!(on.status, 200);
    assert_eq!(person(&state, email), Some((in_groups(&["viewer"]), true)));
    assert_eq!(ask(&state, "DELETE", &place, Value::Null).await.status, 204);
    assert_eq!(person(&state, email), Some((BTreeSet::new(), false)));
    assert_eq!(get(&state, &place).await.status, 404);
    let data = state.store.data();
    assert!(data.unfinished.is_empty());
    assert!(data.audit.iter().all(|entry| entry.subject.starts_with("tenants/acme/scim/")));
    assert!(!format!("{:?}", data.audit).contains(email));
}

#[tokio::test]
async fn who_leaves_a_group_or_whose_group_goes_is_nothing_any_more() {
    let state = world();
    let (ann, bob) =
        (user(&state, "ann@x.example").await.id(), user(&state, "bob@x.example").await.id());
    // Who has no address is nothing, and in nobody's way.
    let nameless = user(&state, "no address").await.id();
    let made =
        ask(&state, "POST", "/Groups", group("viewer", None, &[&ann, &bob, &nameless])).await;
    assert_eq!((made.status, state.pool.data().people.len()), (201, 4), "{}", made.body);
    let place = format!("/Groups/{}", made.id());
    let path = format!("members[value eq \"{ann}\"]");
    let left = ask(&state, "PATCH", &place, patch("remove", &path, Value::Null)).await;
    assert_eq!(left.status, 200, "{}", left.body);
    assert_eq!(person(&state, "ann@x.example").unwrap().0, BTreeSet::new());
    assert_eq!(person(&state, "bob@x.example").unwrap().0, in_groups(&["viewer"]));
    assert_eq!(ask(&state, "DELETE", &place, Value::Null).await.status, 204);
    assert_eq!(person(&state, "bob@x.example").unwrap().0, BTreeSet::new());
}

#[tokio::test]
async fn no_group_gives_or_takes_what_sees_further_than_the_tenant() {
    let state = world();
    let boss = user(&state, "boss@acme.example").await.id();
    let refused = ask(&state, "POST", "/Groups", group("x", Some("org_admin"), &[&boss])).await;
    assert_eq!((refused.status, refused.scim_type()), (400, "invalidValue"));
    let named = ask(&state, "POST", "/Groups", group("org_admin", None, &[&boss])).await;
    assert_eq!(named.status, 201);
    // Who is more already stays it: a role instead would take that away.
    let less = ask(&state, "POST", "/Groups", group("viewer", None, &[&boss])).await;
    assert_eq!(less.status, 403, "{}", less.body);
    assert_eq!(person(&state, "boss@acme.example").unwrap().0, in_groups(&["org_admin"]));
    // Nor is anybody taken from another tenant.
    let other = user(&state, "other@globex.example").await.id();
    let taken = ask(&state, "POST", "/Groups", group("auditor", None, &[&other])).await;
    assert_eq!(taken.status, 409, "{}", taken.body);
    let (groups, is_enabled) = person(&state, "other@globex.example").unwrap();
    assert_eq!((groups, is_enabled), (["globex:developer".to_owned()].into(), true));
}

#[tokio::test]
async fn another_tenants_people_are_not_there() {
    let state = world();
    let id = user(&state, "ann").await.id();
    let place = format!("/Users/{id}");
    let body = json!({"schemas": [USER.schema.id], "userName": "x"}).to_string();
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        let body = match method {
            "PUT" => body.clone(),
            _ => patch("replace", "userName", json!("x")).to_string(),
        };
        let asked = send(&state, "provisioner@globex", (method, &place), None, Some(&body)).await;
        assert_eq!(asked.status, 404, "{method} {}", asked.body);
        assert_eq!(asked.body["schemas"][0], scim::ERROR);
    }
    let listed = send(&state, "provisioner@globex", ("GET", "/Users"), None, None).await;
    assert_eq!(listed.body["totalResults"], 0);
    let foreign = group("developer", None, &[&id]).to_string();
    let path = ("POST", "/Groups");
    let made = send(&state, "provisioner@globex", path, None, Some(&foreign)).await;
    assert_eq!((made.status, made.scim_type()), (400, "invalidValue"));
    assert_eq!(get(&state, &place).await.status, 200);
}

#[tokio::test]
async fn who_may_not_is_refused_and_noted() {
    let state = world();
    for role in ["developer", "viewer", "machine", "auditor", "org_auditor"] {
        let who = format!("{role}@acme");
        for path in ["/Users", "/Groups", "/Users/x", "/Schemas", "/ServiceProviderConfig"] {
            let asked = send(&state, &who, ("GET", path), None, None).await;
            assert_eq!(
                (asked.status, &asked.body["status"]),
                (403, &json!("403")),
                "{role} {path}"
            );
        }
        let asked = send(&state, &who, ("POST", "/Users"), None, Some("{}")).await;
        assert_eq!(asked.status, 403);
    }
    let data = state.store.data();
    assert_eq!(data.audit.len(), 5);
    assert!(data.audit.iter().all(|entry| !entry.is_allowed) && data.users.is_empty());
}

#[tokio::test]
async fn names_are_of_one_only_and_versions_are_kept_to() {
    let state = world();
    let ann = user(&state, "Ann").await;
    let again = user(&state, "ANN").await;
    assert_eq!((again.status, again.scim_type()), (409, "uniqueness"));
    let bob = user(&state, "bob").await;
    let taken = patch("replace", "userName", json!("aNN"));
    let taken = ask(&state, "PATCH", &format!("/Users/{}", bob.id()), taken).await;
    assert_eq!((taken.status, taken.scim_type()), (409, "uniqueness"));

    let (place, version) = (format!("/Users/{}", ann.id()), ann.headers["etag"].to_str().unwrap());
    let unchanged = ("If-None-Match", version);
    let seen = send(&state, "provisioner@acme", ("GET", &place), Some(unchanged), None).await;
    assert_eq!(seen.status, 304);
    let rename = patch("replace", "displayName", json!("Ann")).to_string();
    for (tag, status) in [("W/\"7\"", 412), (version, 200), (version, 412)] {
        let given = Some(("If-Match", tag));
        let asked = send(&state, "provisioner@acme", ("PATCH", &place), given, Some(&rename)).await;
        assert_eq!(asked.status, status, "{tag} {}", asked.body);
    }
    let asked = ("DELETE", place.as_str());
    let old = send(&state, "provisioner@acme", asked, Some(("If-Match", version)), None).await;
    assert_eq!(old.status, 412);
}

#[tokio::test]
async fn lists_are_selected_shortened_and_paged() {
    let state = world();
    for name in ["ann", "bob", "cid"] {
        user(&state, name).await;
    }
    let listed = get(&state, "/Users?startIndex=2&count=1&attributes=userName").await;
    assert_eq!(listed.body["totalResults"], 3);
    assert_eq!((&listed.body["startIndex"], &listed.body["itemsPerPage"]), (&json!(2), &json!(1)));
    let shown = &listed.body["Resources"][0];
    assert_eq!(shown["userName"], "bob");
    assert!(shown["meta"].is_null() && shown["id"].is_string());
    for (query, total) in [
        ("filter=userName eq \"ANN\"", 1),
        ("filter=userName eq \"nobody\"", 0),
        ("filter=userName sw \"b\" or active eq false", 1),
        ("filter=active eq true", 3),
        ("count=-3", 3),
        ("startIndex=900", 3),
    ] {
        let listed = get(&state, &format!("/Users?{query}")).await;
        assert_eq!((listed.status, &listed.body["totalResults"]), (200, &json!(total)), "{query}");
    }
    let search = json!({"filter": "userName ne \"ann\"", "count": 1, "attributes": ["userName"]});
    let found = ask(&state, "POST", "/Users/.search", search).await;
    assert_eq!((found.status, &found.body["totalResults"]), (200, &json!(2)), "{}", found.body);
    assert!(found.body["Resources"][0]["meta"].is_null());
    let all = json!({"filter": "meta.resourceType eq \"User\" or displayName pr"});
    let found = ask(&state, "POST", "/.search", all).await;
    assert_eq!((found.status, &found.body["totalResults"]), (200, &json!(3)), "{}", found.body);
    for wrong in [json!({"count": "1"}), json!({"attributes": "id"}), json!({"filter": 1})] {
        let refused = ask(&state, "POST", "/Groups/.search", wrong).await;
        assert_eq!((refused.status, refused.scim_type()), (400, "invalidValue"));
    }
    for (query, scim_type) in
        [("filter=userName eq", "invalidFilter"), ("count=many", "invalidValue")]
    {
        let refused = get(&state, &format!("/Users?{query}")).await;
        assert_eq!((refused.status, refused.scim_type()), (400, scim_type), "{query}");
    }
}

#[tokio::test]
async fn what_the_service_is_can_be_read() {
    let state = world();
    let config = get(&state, "/ServiceProviderConfig").await;
    assert_eq!(config.body["patch"]["supported"], true);
    let place =
        "https://abc123.execute-api.us-east-1.amazonaws.com/live/scim/v2/ServiceProviderConfig";
    assert_eq!(config.body["meta"]["location"], place);
    assert_eq!(get(&state, "/Schemas").await.body["totalResults"], 3);
    assert_eq!(get(&state, &format!("/Schemas/{}", USER.schema.id)).await.body["name"], "User");
    assert_eq!(get(&state, "/ResourceTypes/Group").await.body["endpoint"], "/Groups");
    for path in ["/ResourceTypes/Thing", "/Schemas/x", "/Things", "/Users/a/b", "/Users/"] {
        let asked = get(&state, path).await;
        assert_eq!((asked.status, &asked.body["schemas"][0]), (404, &json!(scim::ERROR)), "{path}");
    }
    assert_eq!(ask(&state, "DELETE", "/Users", Value::Null).await.status, 405);
}

#[tokio::test]
async fn what_the_user_pool_did_not_do_stays_noted() {
    let state = world();
    let id = user(&state, "ann@x.example").await.id();
    state.pool.data().failing.insert("add_to_group");
    let made = ask(&state, "POST", "/Groups", group("viewer", None, &[&id])).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(state.store.data().unfinished.len(), 1);
    // What the table did not do is done by the same request again.
    state.pool.data().failing.clear();
    state.store.data().unfinished.clear();
    let bob = user(&state, "bob@x.example").await.id();
    state.store.data().failing.insert("change_user");
    let place = format!("/Groups/{}", made.id());
    let add = patch("add", "members", json!([{ "value": bob }]));
    assert_eq!(ask(&state, "PATCH", &place, add.clone()).await.status, 503);
    state.store.data().failing.clear();
    assert_eq!(ask(&state, "PATCH", &place, add).await.status, 200);
    assert_eq!(person(&state, "bob@x.example").unwrap().0, in_groups(&["viewer"]));
}

proptest! {
    /// Whatever is sent, the answer is SCIM's, none is a fault of ours, and nobody gets in.
    #[test]
    fn whatever_is_sent_is_answered_in_form(
        method in "GET|PUT|POST|PATCH|DELETE",
        path in "/(Users|Groups|Schemas|users|.{0,6})(/[a-z0-9#*%:]{0,70})?",
        body in prop_oneof![
            ".{0,40}",
            "\\{\"schemas\": \\[\"urn:ietf:params:scim:schemas:core:2.0:(User|Group)\"\\], \"(userName|displayName|members|active)\": (\"org_admin\"|1|\\[\"x\"\\]|null)\\}",
        ],
    ) {
        let path = path.replace(['?', '#', '"', '\\'], "x");
        prop_assume!(!path.chars().any(char::is_control));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let state = world();
            let asked = send(&state, "provisioner@acme", (&method, "/Users"), None, Some(&body)).await;
            assert!(asked.status < 500, "{method} {body} {}", asked.body);
            let asked = send(&state, "provisioner@acme", (&method, &path), None, Some(&body)).await;
            assert!(asked.status < 500, "{method} {path} {body} {}", asked.body);
            if asked.status >= 400 {
                assert_eq!(&asked.body["schemas"][0], scim::ERROR);
            }
            assert_eq!(state.pool.data().people.len(), 2);
        });
    }
}

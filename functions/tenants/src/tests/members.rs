//! People of a tenant.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::support::{Answer, World, asked, schedule, schedule_later, world};

async fn put(state: &World, who: &str, id: &str, name: &str, body: &Value) -> Answer {
    let path = format!("/v1/tenants/{id}/users/{name}");
    asked(state, who).body(body).send("PUT", &path).await
}

fn groups(state: &World, email: &str) -> BTreeSet<String> {
    let data = state.pool.data();
    let found = data.people.values().find(|person| person.user.email == email);
    found.map(|person| person.groups.clone()).unwrap_or_default()
}

fn roles(names: &[&str]) -> Value {
    json!({ "roles": names })
}

#[tokio::test]
async fn a_person_is_taken_in_changed_and_let_go() {
    let state = world();
    let (name, email) = ("New@Acme.Example", "new@acme.example");
    let body = json!({"email": "new@acme.example", "roles": ["developer"], "invite": false});
    let made = put(&state, "tenant_admin@acme", "acme", name, &body).await;
    assert_eq!((made.status.as_u16(), &made.body["email"]), (201, &json!(email)), "{}", made.text);
    assert!(!made.text.to_lowercase().contains("password"));
    assert_eq!(groups(&state, email), ["acme:developer".to_owned()].into());
    assert!(!state.pool.data().people.values().any(|person| person.is_invited));
    // The same again changes nothing, and what GET shows can be sent back.
    let listed = asked(&state, "auditor@acme").get("/v1/tenants/acme/users").await;
    let shown = listed.body["data"].as_array().unwrap().iter().find(|it| it["email"] == email);
    let again = put(&state, "tenant_admin@acme", "acme", email, shown.unwrap()).await;
    assert_eq!(again.status, 200, "{}", again.text);
    assert_eq!(state.store.data().audit.len(), 1);

    let id = made.body["id"].as_str().unwrap();
    let changed =
        put(&state, "tenant_admin@acme", "acme", id, &roles(&["viewer", "auditor"])).await;
    assert_eq!(changed.body["roles"], json!(["viewer", "auditor"]));
    let both = ["acme:auditor".to_owned(), "acme:viewer".to_owned()].into();
    assert_eq!(groups(&state, email), both);
    let entry = state.store.data().audit.last().unwrap().1.clone();
    assert_eq!(
        (entry.subject, entry.before),
        (format!("tenants/acme/users/{id}"), roles(&["developer"]))
    );

    let path = format!("/v1/tenants/acme/users/{email}");
    let gone = asked(&state, "tenant_admin@acme").send("DELETE", &path).await;
    assert_eq!((gone.status.as_u16(), &gone.body["deleted"]), (200, &json!(true)));
    let person = state.pool.data().people[id].clone();
    assert!(person.groups.is_empty() && !person.user.is_enabled && person.sign_outs == 2);
    assert_eq!(asked(&state, "tenant_admin@acme").send("DELETE", &path).await.status, 404);
    // Coming back, they can sign in again.
    put(&state, "tenant_admin@acme", "acme", email, &roles(&["viewer"])).await;
    assert!(state.pool.data().people[id].user.is_enabled);
    let audit = state.store.data().audit.clone();
    assert!(!format!("{audit:?}").contains('@'), "addresses are in no entry that is kept");
}

#[tokio::test]
async fn another_tenants_people_are_not_there_and_cannot_be_taken() {
    let state = world();
    let name = "other-1@mail.example";
    let taken = put(&state, "tenant_admin@acme", "acme", name, &roles(&["viewer"])).await;
    assert_eq!((taken.status.as_u16(), taken.code()), (409, "member_elsewhere"));
    assert!(!taken.text.contains("globex"));
    assert_eq!(groups(&state, name), ["globex:developer".to_owned()].into());
    let path = format!("/v1/tenants/acme/users/{name}");
    let other = asked(&state, "tenant_admin@acme").send("DELETE", &path).await;
    let none = path.replace("other-1", "nobody-1");
    let none = asked(&state, "tenant_admin@acme").send("DELETE", &none).await;
    assert_eq!((other.status, other.text.replace("other-1", "nobody-1")), (none.status, none.text));
    assert_eq!(
        put(&state, "tenant_admin@acme", "acme", "no-such-id", &roles(&["viewer"])).await.status,
        404
    );
}

/// Row: who; column: the role that is given, in the order of the list.
#[tokio::test]
async fn nobody_gives_a_role_that_sees_further_than_their_own() {
    let given =
        ["org_admin", "org_auditor", "lob_admin", "tenant_admin", "auditor", "developer", "viewer"];
    for (who, expected) in [
        ("org_admin@globex", [201; 7]),
        ("lob_admin@zenith", [403, 403, 201, 201, 201, 201, 201]),
        ("tenant_admin@acme", [403, 403, 403, 201, 201, 201, 201]),
    ] {
        for (role, expected) in given.into_iter().zip(expected) {
            let state = world();
            let answer = put(&state, who, "acme", "x@acme.example", &roles(&[role])).await;
            assert_eq!(answer.status, expected, "{who} {role}");
            if expected == 403 {
                assert!(answer.message().contains(role));
                assert!(groups(&state, "x@acme.example").is_empty());
                assert!(!state.store.data().audit[0].1.is_allowed);
                assert!(
                    !state.pool.data().people.values().any(|it| it.user.email == "x@acme.example")
                );
            }
        }
    }
}

#[tokio::test]
async fn nobody_takes_a_role_that_sees_further_than_their_own() {
    let state = world();
    let name = "lob-admin-1@mail.example";
    let path = format!("/v1/tenants/zenith/users/{name}");
    let who = "tenant_admin@zenith";
    assert_eq!(put(&state, who, "zenith", name, &roles(&["viewer"])).await.status, 403);
    assert_eq!(asked(&state, who).send("DELETE", &path).await.status, 403);
    assert_eq!(groups(&state, name), ["zenith:lob_admin".to_owned()].into());
    // An organisation's administrator may.
    assert_eq!(asked(&state, "org_admin@globex").send("DELETE", &path).await.status, 200);
}

#[tokio::test]
async fn nobody_takes_their_own_administrators_role() {
    let state = world();
    let name = "tenant-admin-1@mail.example";
    let path = format!("/v1/tenants/acme/users/{name}");
    let who = "tenant_admin@acme";
    let lowered = put(&state, who, "acme", name, &roles(&["developer"])).await;
    assert_eq!((lowered.status.as_u16(), lowered.code()), (409, "own_role"));
    assert_eq!(asked(&state, who).send("DELETE", &path).await.code(), "own_role");
    assert_eq!(
        put(&state, who, "acme", name, &roles(&["tenant_admin", "developer"])).await.status,
        200
    );
    // Another administrator may.
    assert_eq!(asked(&state, "lob_admin@zenith").send("DELETE", &path).await.status, 200);
}

#[tokio::test]
async fn whatever_step_fails_it_ends_complete() {
    for step in ["groups_of", "remove_from_group", "set_enabled", "add_to_group", "sign_out"] {
        let state = world();
        let name = "developer-1@mail.example";
        let viewer = roles(&["viewer"]);
        let change = || put(&state, "tenant_admin@acme", "acme", name, &viewer);
        state.pool.data().failing.insert(step);
        let answer = change().await;
        // Nothing was begun, or it is noted.
        assert_eq!(answer.status, if step == "groups_of" { 503 } else { 202 }, "{step}");
        state.pool.data().failing.clear();
        if step != "groups_of" {
            // Whoever began may still be at it: the note keeps others out, the schedule too.
            // Only the groups are looked at: with the last step, they are as wanted already.
            let expected = if step == "sign_out" { "" } else { "being_changed" };
            assert_eq!(change().await.code(), expected, "{step}");
            assert_eq!(schedule(&state).await, 200);
            assert_eq!(state.store.data().unfinished.len(), 1, "{step}");
            assert_eq!(schedule_later(&state).await, 200);
        }
        assert!(state.store.data().unfinished.is_empty(), "{step}");
        assert_eq!(change().await.status, 200, "{step}");
        assert_eq!(groups(&state, name), ["acme:viewer".to_owned()].into(), "{step}");
    }
}

#[tokio::test]
async fn lists_have_pages() {
    let state = world();
    for index in 0..9 {
        state.pool.add(
            &format!("p-{index}"),
            &format!("p{index}@acme.example"),
            &["acme:viewer", "acme:auditor"],
        );
    }
    let (mut ids, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/tenants/acme/users?limit=4{cursor}");
        let page = asked(&state, "auditor@acme").get(&path).await;
        ids.extend(page.body["data"].as_array().unwrap().iter().map(|it| it["id"].to_string()));
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(ids.len(), 11, "{ids:?}");
    assert!(ids.is_sorted());
}

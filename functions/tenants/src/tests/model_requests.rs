//! A model is asked for, granted, rejected.

use serde_json::{Value, json};

use super::support::{Answer, World, asked, put, world};

const REQUESTS: &str = "/v1/tenants/acme/model-requests";

async fn request(state: &World, who: &str, model: &str) -> Answer {
    let ask = asked(state, who).body(&json!({"model": model, "reason": "Longer contracts."}));
    ask.send("POST", REQUESTS).await
}

async fn decide(state: &World, who: &str, id: &Value, decision: &str) -> Answer {
    asked(state, who).send("POST", &format!("{REQUESTS}/{}/{decision}", id.as_str().unwrap())).await
}

fn models(state: &World) -> Value {
    json!(state.store.data().tenants[&"acme".parse().unwrap()].document.models)
}

#[tokio::test]
async fn what_is_granted_is_on_the_list_in_the_same_write() {
    let state = world();
    let made = request(&state, "developer@acme", "opus").await;
    assert_eq!((made.status.as_u16(), &made.body["status"]), (201, &json!("requested")));
    assert_eq!(request(&state, "viewer@acme", "opus").await.code(), "requested_already");
    assert_eq!(request(&state, "developer@acme", "nova-pro").await.code(), "on_list_already");
    assert_eq!(decide(&state, "tenant_admin@acme", &made.body["id"], "approve").await.status, 403);
    assert_eq!(models(&state), json!(["nova-pro"]));

    let granted = decide(&state, "lob_admin@zenith", &made.body["id"], "approve").await;
    assert_eq!(granted.status, 200, "{}", granted.text);
    assert_eq!(
        (&granted.body["status"], &granted.body["decided_by"]),
        (&json!("approved"), &json!("lob_admin-1"))
    );
    assert_eq!(models(&state), json!(["nova-pro", "opus"]));
    {
        let data = state.store.data();
        assert_eq!(data.known[&"acme".parse().unwrap()], 8, "the meter knows the new version");
        let (_, entry) = data.audit.last().unwrap();
        assert_eq!((entry.action.as_str(), entry.version), ("model_request.approved", Some(8)));
        assert_eq!(entry.after["model_request"]["id"], made.body["id"]);
    }
    for decision in ["approve", "reject"] {
        let again = decide(&state, "lob_admin@zenith", &made.body["id"], decision).await;
        assert_eq!(again.code(), "already_decided");
    }
    assert_eq!(models(&state), json!(["nova-pro", "opus"]));
}

#[tokio::test]
async fn nobody_grants_their_own_request_and_anybody_may_take_it_back() {
    let state = world();
    let made = request(&state, "lob_admin@zenith", "opus").await;
    let own = decide(&state, "lob_admin@zenith", &made.body["id"], "approve").await;
    assert_eq!((own.status.as_u16(), own.code()), (403, "own_request"));
    assert!(!state.store.data().audit.last().unwrap().1.is_allowed);
    let ask = asked(&state, "lob_admin@zenith").body(&json!({"note": "Not needed."}));
    let path = format!("{REQUESTS}/{}/reject", made.body["id"].as_str().unwrap());
    let rejected = ask.send("POST", &path).await;
    assert_eq!(
        (&rejected.body["status"], &rejected.body["note"]),
        (&json!("rejected"), &json!("Not needed."))
    );
    assert_eq!(models(&state), json!(["nova-pro"]));
    // What was rejected can be asked for again.
    assert_eq!(request(&state, "developer@acme", "opus").await.status, 201);
}

#[tokio::test]
async fn a_line_of_business_that_does_not_call_a_model_has_no_tenant_that_does() {
    let state = world();
    let made = request(&state, "developer@acme", "opus").await;
    let lob = "retail".parse().unwrap();
    state.store.data().lobs.get_mut(&lob).unwrap().document.models =
        Some(["nova-pro".parse().unwrap()].into());
    let refused = decide(&state, "lob_admin@zenith", &made.body["id"], "approve").await;
    assert_eq!((refused.status.as_u16(), refused.code()), (409, "not_of_lob"));
    state.store.data().lobs.get_mut(&lob).unwrap().document.models = None;
    state.store.data().models.remove(&"opus".parse().unwrap());
    let gone = decide(&state, "lob_admin@zenith", &made.body["id"], "approve").await;
    assert_eq!((gone.status.as_u16(), gone.code()), (409, "not_registered"));
    assert_eq!(models(&state), json!(["nova-pro"]));
}

#[tokio::test]
async fn a_change_beside_it_is_kept() {
    let state = world();
    let made = request(&state, "developer@acme", "opus").await;
    let body = json!({"name": "Acme", "lob_id": "retail", "models": ["nova-lite"]});
    assert_eq!(put(&state, "lob_admin@zenith", "acme", &body).await.status, 200);
    let granted = decide(&state, "org_admin@globex", &made.body["id"], "approve").await;
    assert_eq!(granted.status, 200, "{}", granted.text);
    assert_eq!(models(&state), json!(["nova-lite", "opus"]));
}

#[tokio::test]
async fn who_sees_no_configuration_sees_their_own_requests() {
    let state = world();
    let first = request(&state, "developer@acme", "opus").await;
    let second = request(&state, "viewer@acme", "nova-lite").await;
    let ids = |answer: &Answer| -> Vec<Value> {
        let data = answer.body["data"].as_array().unwrap();
        data.iter().map(|request| request["id"].clone()).collect()
    };
    let (first, second) = (&first.body["id"], &second.body["id"]);
    for (who, seen) in [
        ("developer@acme", vec![first.clone()]),
        ("viewer@acme", vec![second.clone()]),
        ("machine@acme", vec![]),
        ("auditor@acme", vec![second.clone(), first.clone()]),
        ("lob_admin@zenith", vec![second.clone(), first.clone()]),
    ] {
        assert_eq!(ids(&asked(&state, who).get(REQUESTS).await), seen, "{who}");
    }
    // A page at a time, and by what became of them.
    let page = asked(&state, "auditor@acme").get(&format!("{REQUESTS}?limit=1")).await;
    let next = page.body["next_cursor"].as_str().unwrap();
    let rest = asked(&state, "auditor@acme").get(&format!("{REQUESTS}?cursor={next}")).await;
    assert_eq!((ids(&page), ids(&rest)), (vec![second.clone()], vec![first.clone()]));
    decide(&state, "lob_admin@zenith", first, "reject").await;
    let open = asked(&state, "auditor@acme").get(&format!("{REQUESTS}?status=requested")).await;
    assert_eq!(ids(&open), vec![second.clone()]);
}

#[tokio::test]
async fn a_bad_request_says_which_field() {
    let state = world();
    for (body, param) in [
        (json!({"reason": "x"}), "model"),
        (json!({"model": "gone", "reason": "x"}), "model"),
        (json!({"model": "TENANT#globex", "reason": "x"}), "model"),
        (json!({"model": "opus"}), "reason"),
        (json!({"model": "opus", "reason": "  "}), "reason"),
        (json!({"model": "opus", "reason": "x".repeat(501)}), "reason"),
        (json!({"model": "opus", "reason": "a\u{7}b"}), "reason"),
        (json!({"model": "opus", "reason": "x", "status": "approved"}), "status"),
    ] {
        let answer = asked(&state, "developer@acme").body(&body).send("POST", REQUESTS).await;
        assert_eq!((answer.status.as_u16(), answer.param()), (400, param), "{body}");
    }
    assert!(state.store.data().model_requests.is_empty());
    let gone = decide(&state, "lob_admin@zenith", &json!("gone"), "approve").await;
    assert_eq!(gone.status, 404);
}

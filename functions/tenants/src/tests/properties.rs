//! A document is what a tenant is, whatever it was before.

use administration::differences;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::support::{asked, put, world};

const MODELS: [&str; 3] = ["nova-pro", "nova-lite", "opus"];

prop_compose! {
    fn tags()(tags in prop::collection::btree_map("[a-z]{1,3}", "[A-Za-z0-9 ._-]{0,6}", 0..3)) -> Value {
        json!(tags)
    }
}

prop_compose! {
    fn document()(
        name in "[A-Za-z\u{e4}\u{4e2d}]{1,8}",
        models in prop::sample::subsequence(&MODELS[..], 0..=3),
        tags in tags(),
        email in prop::option::of("[a-z]{1,5}@acme\\.example"),
        color in prop::option::of("#[0-9a-f]{6}"),
        max in prop::option::of(1u32..9_000),
        ttl in prop::option::of(1u32..900),
        capture in prop::option::of(1u32..90),
        unpriced in prop::option::of(any::<bool>()),
        projects in prop::collection::btree_map("[a-z]{3,6}", tags(), 0..3),
    ) -> Value {
        let mut fields = Map::new();
        fields.insert("name".into(), name.into());
        fields.insert("lob_id".into(), "retail".into());
        fields.insert("models".into(), json!(models));
        fields.insert("tags".into(), tags);
        let projects: Map<_, _> =
            projects.into_iter().map(|(id, tags)| (id, json!({"tags": tags}))).collect();
        fields.insert("projects".into(), projects.into());
        fields.extend(email.map(|email| ("contact".into(), json!({"email": email}))));
        fields.extend(color.map(|color| ("branding".into(), json!({"color": color}))));
        fields.extend(max.map(|max| ("default_max_tokens".into(), json!(max))));
        let mut settings = Map::new();
        settings.extend(ttl.map(|ttl| ("response_cache".into(), json!({"ttl_s": ttl}))));
        settings.extend(capture.map(|it| ("payload_capture".into(), json!({"retention_days": it}))));
        settings.extend(unpriced.map(|it| ("allow_unpriced".into(), json!(it))));
        fields.insert("settings".into(), settings.into());
        Value::Object(fields)
    }
}

/// Makes the differences in a document.
fn applied(mut document: Value, changes: &[Value]) -> Value {
    for change in changes {
        let path = change["path"].as_str().unwrap();
        let (parent, name) = path.rsplit_once('/').unwrap();
        let name = name.replace("~1", "/").replace("~0", "~");
        let parent = document.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        assert_eq!(parent.get(&name).cloned().unwrap_or_default(), change["before"], "{path}");
        if change["after"].is_null() {
            parent.remove(&name);
        } else {
            parent.insert(name, change["after"].clone());
        }
    }
    document
}

/// The document in what is shown.
fn shown_document(mut shown: Value) -> Value {
    for name in
        ["object", "tenant_id", "status", "version", "is_effective", "changes", "is_dry_run"]
    {
        shown.as_object_mut().unwrap().remove(name);
    }
    shown
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_dry_run_tells_what_the_change_does(first in document(), second in document()) {
        run(async {
            let state = world();
            let who = "org_admin@globex";
            put(&state, who, "acme", &first).await;
            let before = asked(&state, who).get("/v1/tenants/acme").await;
            let dry = asked(&state, who).body(&second).send("PUT", "/v1/tenants/acme?dry_run=true").await;
            let still = asked(&state, who).get("/v1/tenants/acme").await;
            prop_assert_eq!(&before.body, &still.body);
            let made = put(&state, who, "acme", &second).await;
            prop_assert_eq!(made.status, 200, "{}", made.text);
            prop_assert_eq!(&dry.body["changes"], &made.body["changes"]);
            let after = shown_document(asked(&state, who).get("/v1/tenants/acme").await.body);
            let changes = made.body["changes"].as_array().unwrap();
            let expected = applied(shown_document(before.body), changes);
            prop_assert_eq!(differences(&expected, &after), vec![]);
            Ok(())
        })?;
    }

    #[test]
    fn the_last_document_is_what_it_is(documents in prop::collection::vec(document(), 1..5)) {
        run(async {
            let (long, short) = (world(), world());
            let who = "org_admin@globex";
            for document in &documents {
                let answer = put(&long, who, "acme", document).await;
                prop_assert_eq!(answer.status, 200, "{}", answer.text);
            }
            let last = documents.last().unwrap();
            put(&short, who, "acme", last).await;
            let show = async |state| {
                shown_document(asked(state, who).get("/v1/tenants/acme").await.body)
            };
            prop_assert_eq!(show(&long).await, show(&short).await);
            let again = put(&long, who, "acme", last).await;
            prop_assert_eq!(&again.body["changes"], &json!([]));
            let versions = long.store.data().versions.len();
            prop_assert!(versions <= documents.len() + 1, "the same again is no version");
            Ok(())
        })?;
    }
}

//! Calls that are made once more, of the successor of their model: which, and what becomes of them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use admission::fakes::hard;
use admission::{LimitRule, Metric, ModelSelector, OnExhausted, Period, Scope};
use gateway::shadow::{ShadowOrder, run};
use inference::{EndOfLife, Model, Protocol, ProviderErrorKind, Stage};
use metering::{NanoUsd, Outcome};
use serde_json::{Value, json};
use tenancy::{PriorityClass, ResponseCache, Shadow};

use super::support::{
    Gateway, Script, USAGE, body, chat, provider_error, streamed, text, text_events, whole,
};

const CHAT: &str = "/v1/chat/completions";

/// A model that `successor` is to follow.
fn leaving(successor: Option<&str>) -> Model {
    Model {
        end_of_life: Some(EndOfLife {
            successor: successor.map(|id| id.parse().unwrap()),
            ..EndOfLife::default()
        }),
        context_window: 10_000_000,
        ..inference::fixtures::model("old-a", Protocol::OpenaiChat)
    }
}

/// A gateway whose `acme` has `old-a`, which `native-b` is to follow, and has all its calls made once more.
fn gateway(limits: Vec<LimitRule>, scripts: Vec<Script>) -> Gateway {
    let gateway = Gateway::with_models(limits, scripts, &[leaving(Some("native-b"))]);
    opt_in(&gateway, 100);
    gateway
}

fn opt_in(gateway: &Gateway, percent: u8) {
    let mut tenants = gateway.configuration.tenants.lock().unwrap();
    tenants.get_mut("acme").unwrap().tenant.settings.shadow = Some(Shadow { percent });
}

fn orders(gateway: &Gateway) -> Vec<ShadowOrder> {
    gateway.state.shadows.as_ref().unwrap().orders.lock().unwrap().clone()
}

/// The one order, which must have been handed over.
fn order(gateway: &Gateway) -> ShadowOrder {
    let orders = orders(gateway);
    assert_eq!(orders.len(), 1);
    orders.into_iter().next().unwrap()
}

#[tokio::test]
async fn a_call_is_handed_over_once_and_answered_as_ever() {
    for (request, script) in [
        (chat("old-a"), Script::Whole(whole("Hi"))),
        (streamed("old-a"), Script::Events(text_events(&["Hel", "lo"]))),
        // The client reads an error, and so might the successor's.
        (chat("old-a"), Script::Refuse(provider_error(ProviderErrorKind::Internal, true))),
        (streamed("old-a"), Script::Refuse(provider_error(ProviderErrorKind::Internal, true))),
    ] {
        let gateway = gateway(vec![], vec![script]);
        let response = gateway.post("acme", CHAT, &[], &request).await;
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        text(response).await;
        let order = order(&gateway);
        assert_eq!((order.shadow_of(), order.model().as_str()), (&*id, "native-b"));
        assert_eq!(gateway.provider_calls(), 1, "the successor is called by another function");
        assert_eq!(gateway.record().shadow_of, None);
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_no_shadow() {
    let ask = |content: String| json!({"model": "old-a", "max_tokens": 9, "messages": [{"role": "user", "content": content}]});
    let further = [
        ("no successor", leaving(None)),
        ("not on the list", leaving(Some("foreign-d"))),
        ("itself", leaving(Some("old-a"))),
        ("a draft", leaving(Some("draft-c"))),
    ];
    for (what, old) in further {
        let draft = Model {
            stage: Stage::Draft,
            ..inference::fixtures::model("draft-c", Protocol::OpenaiChat)
        };
        let foreign = inference::fixtures::model("foreign-d", Protocol::OpenaiChat);
        let scripts = vec![Script::Whole(whole("Hi"))];
        let gateway = Gateway::with_models(vec![], scripts, &[old, draft, foreign]);
        opt_in(&gateway, 100);
        gateway
            .configuration
            .tenants
            .lock()
            .unwrap()
            .get_mut("acme")
            .unwrap()
            .tenant
            .models
            .0
            .remove(&"foreign-d".parse().unwrap());
        assert_eq!(gateway.send("acme", &chat("old-a")).await.status(), 200, "{what}");
        assert_eq!(orders(&gateway), [], "{what}");
    }
    for (what, request) in [
        ("too large", ask("a".repeat(900_001))),
        ("too large as an order", ask("\"".repeat(300_000))),
    ] {
        let gateway = gateway(vec![], vec![Script::Whole(whole("Hi"))]);
        assert_eq!(gateway.send("acme", &request).await.status(), 200, "{what}");
        assert_eq!(orders(&gateway), [], "{what}");
    }
    let without = Gateway::with_models(
        vec![],
        vec![Script::Whole(whole("Hi"))],
        &[leaving(Some("native-b"))],
    );
    assert_eq!(without.send("acme", &chat("old-a")).await.status(), 200);
    assert_eq!(orders(&without), [], "who has not asked for it");

    // The first target of the alias cannot serve the request, and its successor does.
    let small = Model {
        id: "converse-a".parse().unwrap(),
        max_output_tokens: 10,
        ..leaving(Some("native-b"))
    };
    let alias = Gateway::with_models(vec![], vec![Script::Whole(whole("Hi"))], &[small]);
    opt_in(&alias, 100);
    let response = alias.send("acme", &chat("resilient")).await;
    assert_eq!(response.headers()["x-weir-model"], "native-b");
    assert_eq!(orders(&alias), [], "who is asked in place of the model");

    let limited = gateway(vec![hard(Metric::Cost, Period::Month, 1)], vec![]);
    assert_eq!(limited.send("acme", &chat("old-a")).await.status(), 429);
    assert_eq!(orders(&limited), [], "what a limit refuses");

    let cached = gateway(vec![], vec![Script::Whole(whole("Hi"))]);
    for hit in ["miss", "hit"] {
        let headers = &[("x-weir-cache", "use")];
        let response = cached.post("acme", CHAT, headers, &chat("old-a")).await;
        assert_eq!(response.headers()["x-weir-cache"], hit);
    }
    // Whoever hands something over late has had the time.
    tokio::time::sleep(Duration::from_secs(5)).await;
    order(&cached);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_nobody_takes_is_nothing_to_the_client() {
    for delay in [Duration::ZERO, Duration::from_mins(1)] {
        for (request, script) in [
            (chat("old-a"), Script::Whole(whole("Hi"))),
            (streamed("old-a"), Script::Events(text_events(&["Hi"]))),
        ] {
            let gateway = gateway(vec![], vec![script]);
            let shadows = gateway.state.shadows.as_ref().unwrap();
            shadows.is_broken.store(true, Ordering::Relaxed);
            *shadows.delay.lock().unwrap() = delay;
            let began = tokio::time::Instant::now();
            let response = gateway.post("acme", CHAT, &[], &request).await;
            assert_eq!(response.status(), 200);
            assert!(text(response).await.contains("Hi"));
            assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
            assert_eq!((gateway.record().outcome, orders(&gateway).len()), (Outcome::Completed, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_ends_when_its_order_has_been_taken() {
    for (request, script) in [
        (chat("old-a"), Script::Whole(whole("Hi"))),
        (streamed("old-a"), Script::Events(text_events(&["Hi"]))),
        (chat("old-a"), Script::Refuse(provider_error(ProviderErrorKind::Internal, true))),
        (streamed("old-a"), Script::Refuse(provider_error(ProviderErrorKind::Internal, true))),
    ] {
        let gateway = gateway(vec![], vec![script]);
        *gateway.state.shadows.as_ref().unwrap().delay.lock().unwrap() = Duration::from_secs(1);
        text(gateway.post("acme", CHAT, &[], &request).await).await;
        // A function that is frozen now would never send it.
        order(&gateway);
    }
}

/// The order of a call that `gateway` has answered, with all that the tenant's settings would have it keep.
async fn ordered(gateway: &Gateway, path: &str, request: &Value) -> ShadowOrder {
    let response = gateway.post("acme", path, &[], request).await;
    text(response).await;
    order(gateway)
}

#[tokio::test]
async fn a_shadow_is_a_call_of_its_own_that_keeps_nothing() {
    let message = json!({"model": "old-a", "max_output_tokens": 100, "input": "Hello"});
    for (path, request, script) in [
        (CHAT, chat("old-a"), Script::Whole(whole("Hi"))),
        (CHAT, streamed("old-a"), Script::Events(text_events(&["Hi"]))),
        ("/v1/responses", message, Script::Whole(whole("Hi"))),
    ] {
        let again = match &script {
            Script::Whole(_) => Script::Whole(whole("Ho")),
            _ => Script::Events(text_events(&["Ho"])),
        };
        let budget = hard(Metric::Cost, Period::Month, 1_000_000_000);
        let gateway = gateway(vec![budget], vec![script, again]);
        let order = ordered(&gateway, path, &request).await;
        let mut kept = gateway.state.content.names();
        {
            // What it would find there is another model's answer, and what it would leave somebody's.
            let mut tenants = gateway.configuration.tenants.lock().unwrap();
            let settings = &mut tenants.get_mut("acme").unwrap().tenant.settings;
            settings.response_cache = Some(ResponseCache { ttl_s: 60 });
        }
        let before = gateway.committed("acme");
        run(&gateway.state, order.clone(), None).await.unwrap();
        let (mut names, order_of) = (gateway.state.content.names(), |it: &_| format!("{it:?}"));
        names.sort_by_key(order_of);
        kept.sort_by_key(order_of);
        assert_eq!(names, kept, "{path}");
        let records = gateway.records();
        let shadow = records.iter().find(|record| record.shadow_of.is_some()).unwrap();
        assert_eq!((records.len(), orders(&gateway).len()), (2, 1), "a shadow has no shadow");
        assert_eq!(shadow.shadow_of.as_deref(), Some(order.shadow_of()));
        assert_eq!(shadow.choice.model.as_str(), "native-b");
        assert_eq!((shadow.id.attempt, shadow.usage), (1, USAGE));
        assert_eq!(shadow.priority_class, PriorityClass::Batch);
        assert!(!shadow.is_cache_hit && shadow.reserved_nanousd > NanoUsd::ZERO);
        assert!(gateway.committed("acme") > before, "the tenant pays for it");
        let asked = gateway.state.providers.calls.lock().unwrap();
        assert_eq!((asked[1].0.as_str(), asked[1].1.as_str()), ("acme", "vendor.native-b-v1"));
    }
}

#[tokio::test]
async fn a_limit_holds_a_shadow_and_no_other_model_stands_in_for_it() {
    let scope = Scope::Tenant("acme".parse().unwrap());
    let unlimited = gateway(vec![], vec![Script::Whole(whole("Hi"))]);
    text(unlimited.send("acme", &chat("old-a")).await).await;
    // Once the client's call is reserved for, there is not enough left for another.
    let budget = unlimited.record().reserved_nanousd.0 + 1;
    for (limit, code) in [
        (hard(Metric::Cost, Period::Month, budget), "insufficient_quota"),
        (hard(Metric::Requests, Period::Day, 1), "rate_limit_exceeded"),
    ] {
        let gateway = gateway(vec![limit], vec![Script::Whole(whole("Hi"))]);
        let order = ordered(&gateway, CHAT, &chat("old-a")).await;
        let error = run(&gateway.state, order, None).await.unwrap_err();
        assert_eq!((error.fault().code, gateway.provider_calls()), (code, 1));
        let open = gateway.state.ledger.meter_of(&scope).open.len();
        assert_eq!((gateway.records().len(), open), (1, 1));
    }

    let dear = LimitRule {
        models: ModelSelector::Model("native-b".parse().unwrap()),
        on_exhausted: Some(OnExhausted::Fallback("converse-a".parse().unwrap())),
        ..hard(Metric::Cost, Period::Month, 1)
    };
    let gateway = gateway(vec![dear], vec![Script::Whole(whole("Hi"))]);
    let order = ordered(&gateway, CHAT, &chat("old-a")).await;
    run(&gateway.state, order, None).await.unwrap_err();
    assert_eq!(gateway.provider_calls(), 1);
}

#[tokio::test]
async fn a_successor_is_found_by_its_id_whatever_else_has_its_name() {
    // There is an alias of that name, which means other models.
    let successor = Model {
        provider_model_id: "vendor.resilient".into(),
        ..inference::fixtures::model("resilient", Protocol::OpenaiChat)
    };
    let further = [leaving(Some("resilient")), successor];
    let scripts = vec![Script::Whole(whole("Hi")), Script::Whole(whole("Ho"))];
    let gateway = Gateway::with_models(vec![], scripts, &further);
    opt_in(&gateway, 1);
    let order = ordered(&gateway, CHAT, &chat("old-a")).await;
    run(&gateway.state, order, None).await.unwrap();
    assert_eq!(gateway.state.providers.calls.lock().unwrap()[1].1, "vendor.resilient");
}

#[tokio::test]
async fn what_a_successor_cannot_do_is_said_and_costs_nothing() {
    let blind = Model {
        max_output_tokens: 10,
        ..inference::fixtures::model("small-c", Protocol::OpenaiChat)
    };
    let further = [leaving(Some("small-c")), blind];
    let gateway = Gateway::with_models(vec![], vec![Script::Whole(whole("Hi"))], &further);
    opt_in(&gateway, 100);
    let response = gateway.send("acme", &chat("old-a")).await;
    assert_eq!(body(response).await["choices"][0]["message"]["content"], "Hi");
    let order = order(&gateway);
    let error = run(&gateway.state, order, None).await.unwrap_err();
    assert!(error.fault().message.contains("max_tokens"), "{}", error.fault().message);
    assert_eq!((gateway.records().len(), gateway.provider_calls()), (1, 1));
}

//! Models that are not called yet, or no more: to the client not there, or retired.

use inference::{EndOfLife, Model, Protocol, Stage};

use super::support::{Gateway, Script, body, chat, whole};

fn model(id: &str, stage: Stage, retires_on: Option<&str>, successor: Option<&str>) -> Model {
    Model {
        stage,
        end_of_life: Some(EndOfLife {
            retires_on: retires_on.map(|day| day.parse().unwrap()),
            successor: successor.map(|id| id.parse().unwrap()),
            ..EndOfLife::default()
        }),
        ..inference::fixtures::model(id, Protocol::Converse)
    }
}

#[tokio::test]
async fn what_is_not_called_yet_or_no_more_is_refused_before_any_provider() {
    let further = [
        model("draft-d", Stage::Draft, None, None),
        model("gone-e", Stage::Retired, None, Some("native-b")),
        // By the day of the clock of these tests.
        model("ended-f", Stage::Approved, Some("2026-11-23"), None),
    ];
    let gateway = Gateway::with_models(vec![], vec![], &further);
    for (name, code, part) in [
        ("draft-d", "model_not_found", "does not exist"),
        ("gone-e", "model_retired", "successor `native-b`"),
        ("ended-f", "model_retired", "is retired"),
    ] {
        let response = gateway.send("acme", &chat(name)).await;
        assert_eq!(response.status(), 404, "{name}");
        let error = body(response).await;
        assert_eq!(error["error"]["code"], code, "{name}");
        assert!(error["error"]["message"].as_str().unwrap().contains(part), "{error}");
    }
    // What was never the tenant's has not ended for it.
    let foreign = body(gateway.send("globex", &chat("gone-e")).await).await;
    assert_eq!(foreign["error"]["code"], "model_not_found");
    let message = serde_json::json!({
        "model": "gone-e", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}],
    });
    let response = gateway.post("acme", "/v1/messages", &[], &message).await;
    assert_eq!(response.status(), 404);
    let error = body(response).await;
    assert_eq!(error["error"]["type"], "not_found_error");
    assert!(error["error"]["message"].as_str().unwrap().contains("is retired"), "{error}");
    let listed = gateway.get_models("acme").await.to_string();
    for name in ["draft-d", "gone-e", "ended-f"] {
        assert!(!listed.contains(name), "{listed}");
    }
}

#[tokio::test]
async fn what_retires_tomorrow_answers_today() {
    let further = [model("ends-f", Stage::Approved, Some("2026-11-24"), None)];
    let gateway = Gateway::with_models(vec![], vec![Script::Whole(whole("Hi"))], &further);
    assert_eq!(gateway.send("acme", &chat("ends-f")).await.status(), 200);
    assert!(gateway.get_models("acme").await.to_string().contains("ends-f"));
}

#[tokio::test]
async fn an_alias_means_the_successor_from_the_day_on() {
    for (day, answered) in [("2026-11-24", "converse-a"), ("2026-11-23", "native-b")] {
        let further = [model("converse-a", Stage::Approved, Some(day), Some("native-b"))];
        let gateway = Gateway::with_models(vec![], vec![Script::Whole(whole("Hi"))], &further);
        let response = gateway.send("acme", &chat("resilient")).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["x-weir-model"]),
            (200, &answered.parse().unwrap())
        );
        // Who may not call the successor gets nothing by the alias.
        let further = [model("native-b", Stage::Approved, Some(day), Some("converse-a"))];
        let gateway = Gateway::with_models(vec![], vec![Script::Whole(whole("Hi"))], &further);
        let response = gateway.send("globex", &chat("resilient")).await;
        assert_eq!(response.status().is_success(), day == "2026-11-24");
    }
}

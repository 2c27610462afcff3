//! The way to the local stack's IAM.

use std::sync::{Arc, Mutex};

use aws_sdk_bedrockruntime::error::{ProvideErrorMetadata, SdkError};
use axum::routing::post;
use axum::{Json, Router};
use model_sim::Options;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{Sim, user};

const PROFILE: &str = "us.anthropic.claude-sonnet-4-20250514-v1:0";
const PRINCIPAL: &str = "arn:aws:sts::000000000000:assumed-role/access/t-acme";

/// A simulator behind an authority that allows only profiles, and the questions that it was asked.
async fn guarded() -> (Sim, Arc<Mutex<Vec<Value>>>) {
    let questions = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&questions);
    let authorize = move |Json(question): Json<Value>| async move {
        let is_allowed = question["resource"].as_str().unwrap().contains(":inference-profile/");
        asked.lock().unwrap().push(question);
        Json(
            json!({"allowed": is_allowed, "principal_arn": PRINCIPAL, "reason": "no session policy allows it"}),
        )
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/authorize", listener.local_addr().unwrap());
    let router = Router::new().route("/authorize", post(authorize));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (Sim::start_with(Options { authorize_url: Some(url), ..Options::default() }).await, questions)
}

#[tokio::test]
async fn a_permission_is_asked_for_once() {
    let (sim, questions) = guarded().await;
    for _ in 0..3 {
        sim.bedrock().converse().model_id(PROFILE).messages(user("hi")).send().await.unwrap();
    }
    assert_eq!(sim.get("/_sim/calls").await["calls"][2]["principal_arn"], PRINCIPAL);
    sim.bedrock().converse_stream().model_id(PROFILE).messages(user("hi")).send().await.unwrap();
    let questions = questions.lock().unwrap();
    assert_eq!(questions.len(), 2);
    let question = &questions[0];
    assert_eq!(
        (&question["method"], &question["action"]),
        (&json!("POST"), &json!("bedrock:InvokeModel"))
    );
    assert_eq!(
        question["resource"],
        format!("arn:aws:bedrock:us-east-1:000000000000:inference-profile/{PROFILE}")
    );
    assert_eq!(question["path"], format!("/model/{}/converse", PROFILE.replace(':', "%3A")));
    assert_eq!(question["headers"]["host"], sim.url.trim_start_matches("http://"));
    assert!(question["headers"]["x-amz-date"].is_string());
    assert!(
        question["headers"]["authorization"].as_str().unwrap().starts_with("AWS4-HMAC-SHA256 ")
    );
    assert_eq!(question["body_sha256"].as_str().unwrap().len(), 64);
    assert_eq!(questions[1]["action"], "bedrock:InvokeModelWithResponseStream");
}

#[tokio::test]
async fn a_denial_is_never_remembered() {
    let (sim, questions) = guarded().await;
    for _ in 0..2 {
        let error = sim
            .bedrock()
            .converse()
            .model_id("amazon.nova")
            .messages(user("hi"))
            .send()
            .await
            .unwrap_err();
        let SdkError::ServiceError(error) = error else { panic!("{error:?}") };
        assert!(error.err().is_access_denied_exception());
        let expected = format!(
            "User: {PRINCIPAL} is not authorized to perform: bedrock:InvokeModel on resource: \
             arn:aws:bedrock:us-east-1::foundation-model/amazon.nova because no session policy allows it"
        );
        assert_eq!(error.err().message(), Some(expected.as_str()));
    }
    assert_eq!(questions.lock().unwrap().len(), 2);
    let call = &sim.get("/_sim/calls").await["calls"][0];
    assert_eq!((&call["status"], &call["principal_arn"]), (&json!(403), &json!(PRINCIPAL)));
}

#[tokio::test]
async fn a_request_without_a_signature_is_denied() {
    let (sim, _) = guarded().await;
    let body = json!({"model": PROFILE, "messages": [{"role": "user", "content": "hi"}]});
    let response = sim.chat(&body).await;
    assert_eq!(response.status(), 403);
}

#[tokio::test]
async fn nobody_is_let_through_when_the_authority_is_silent() {
    let sim = Sim::start_with(Options {
        authorize_url: Some("http://127.0.0.1:1/".to_owned()),
        ..Options::default()
    })
    .await;
    let error =
        sim.bedrock().converse().model_id(PROFILE).messages(user("hi")).send().await.unwrap_err();
    let SdkError::ServiceError(error) = error else { panic!("{error:?}") };
    assert!(error.err().is_internal_server_exception());
}

#[tokio::test]
async fn every_signed_surface_asks_for_its_own_action() {
    const ARN: &str = "arn:aws:bedrock:us-west-2::foundation-model/cohere.rerank-v3-5:0";
    let model = |action: &str| (format!("bedrock:{action}"), "foundation-model/m".to_owned());
    let named = json!({"model": "m"});
    let streamed = json!({"model": "m", "stream": true});
    let rerank = json!({"rerankingConfiguration": {"bedrockRerankingConfiguration": {"modelConfiguration": {"modelArn": ARN}}}});
    let cases = [
        ("/model/m/invoke", json!({}), model("InvokeModel")),
        ("/model/m/invoke-with-response-stream", json!({}), model("InvokeModelWithResponseStream")),
        ("/model/m/count-tokens", json!({}), model("CountTokens")),
        ("/openai/v1/responses", named.clone(), model("InvokeModel")),
        ("/openai/v1/responses", streamed.clone(), model("InvokeModelWithResponseStream")),
        ("/anthropic/v1/messages", named.clone(), model("InvokeModel")),
        ("/anthropic/v1/messages", streamed, model("InvokeModelWithResponseStream")),
        ("/anthropic/v1/messages/count_tokens", named, model("CountTokens")),
        ("/rerank", rerank, ("bedrock:Rerank".to_owned(), "*".to_owned())),
        (
            "/endpoints/e-chat/invocations",
            json!({}),
            ("sagemaker:InvokeEndpoint".to_owned(), "endpoint/e-chat".to_owned()),
        ),
        (
            "/endpoints/e-chat/invocations-response-stream",
            json!({}),
            ("sagemaker:InvokeEndpointWithResponseStream".to_owned(), "endpoint/e-chat".to_owned()),
        ),
    ];
    let (sim, questions) = guarded().await;
    for (path, body, (action, resource)) in cases {
        let signed = "AWS4-HMAC-SHA256 Credential=AKID/20261123/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=s";
        let request = sim.http.post(format!("{}{path}", sim.url)).header("authorization", signed);
        let response = request.body(body.to_string()).send().await.unwrap();
        assert_eq!(response.status(), 403, "{path}");
        let question = questions.lock().unwrap().pop().unwrap();
        assert_eq!(question["action"], action, "{path}");
        assert!(question["resource"].as_str().unwrap().ends_with(&resource), "{path}: {question}");
    }
    let calls = sim.get("/_sim/calls").await;
    let calls = calls["calls"].as_array().unwrap();
    assert!(
        calls
            .iter()
            .all(|call| call["principal_arn"] == PRINCIPAL && call["access_key_id"] == "AKID")
    );
    assert!(
        calls
            .iter()
            .all(|call| !call["headers"]["authorization"].as_str().unwrap().contains("Signature"))
    );
}

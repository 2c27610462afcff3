//! Clients that open a WebSocket.

use std::collections::HashMap;

use serde_json::json;

use super::*;

fn good() -> String {
    POOL_KEY.bearer(&person(&["acme:developer"]))
}

/// The event in which a WebSocket is opened with these headers and this query.
fn connect(headers: &[(&str, &str)], query: &[(&str, &str)]) -> AuthorizerRequest {
    let texts = |pairs: &[(&str, &str)]| -> HashMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    AuthorizerRequest {
        headers: Some(texts(headers)),
        multi_value_headers: None,
        query_string_parameters: Some(texts(query)),
        ..event(CONNECT, "")
    }
}

#[tokio::test]
async fn a_connection_is_allowed_with_the_same_context_until_the_token_expires() {
    let gateway = Gateway::new();
    let answer = handle(&gateway.state, event(CONNECT, &good()), NOW).await.unwrap();
    let answer = serde_json::to_value(answer).unwrap();
    assert_eq!(
        answer["policyDocument"]["Statement"][0],
        json!({
            "Action": "execute-api:Invoke",
            "Effect": "Allow",
            "Resource": "arn:aws:execute-api:eu-west-1:111122223333:abc123/live/*",
        })
    );
    assert_eq!(answer["context"], gateway.context(&good()).await);
    assert_eq!(answer["context"]["expires_at"], (NOW + 3_600 + 60).to_string());
}

#[tokio::test]
async fn a_browser_says_its_token_as_a_subprotocol_or_in_the_query() {
    let gateway = Gateway::new();
    let good = good();
    let token = good.strip_prefix("Bearer ").unwrap();
    let protocols = format!("bearer, {token}");
    for request in [
        connect(&[("authorization", &good)], &[]),
        connect(&[("Sec-WebSocket-Protocol", &protocols)], &[]),
        connect(&[("sec-websocket-protocol", &format!("bearer,{token}"))], &[]),
        connect(&[("sec-websocket-protocol", "chat")], &[("token", token)]),
    ] {
        assert!(handle(&gateway.state, request, NOW).await.is_ok());
    }
    for request in [
        connect(&[], &[]),
        connect(&[("sec-websocket-protocol", "bearer")], &[]),
        connect(&[("sec-websocket-protocol", &format!("{token}, bearer"))], &[]),
        connect(&[("sec-websocket-protocol", &format!("bearer, {token}, {token}"))], &[]),
        connect(&[], &[("token", "")]),
        connect(&[], &[("token", &format!("{token}x"))]),
        connect(&[], &[("Token", token)]),
        // Two tokens, even the same one: refused.
        connect(&[("authorization", &good)], &[("token", token)]),
        connect(&[("sec-websocket-protocol", &protocols)], &[("token", token)]),
        connect(&[], &[("token", &"a".repeat(8 * 1024 + 1))]),
    ] {
        assert_eq!(handle(&gateway.state, request, NOW).await, Err(AuthorizerError::Unauthorized));
    }
}

#[tokio::test]
async fn only_a_connection_may_say_its_token_elsewhere_than_in_the_header() {
    let gateway = Gateway::new();
    let good = good();
    let token = good.strip_prefix("Bearer ").unwrap();
    let mut request = connect(&[], &[("token", token)]);
    request.request_context.event_type = None;
    assert_eq!(handle(&gateway.state, request, NOW).await, Err(AuthorizerError::Unauthorized));
    let mut request = connect(&[("sec-websocket-protocol", &format!("bearer, {token}"))], &[]);
    request.request_context.event_type = Some("MESSAGE".to_owned());
    assert_eq!(handle(&gateway.state, request, NOW).await, Err(AuthorizerError::Unauthorized));
}

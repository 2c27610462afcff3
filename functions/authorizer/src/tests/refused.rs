//! Callers who are not let in, each for its own reason.

use lambda_runtime::Diagnostic;
use serde_json::json;

use super::*;

fn good() -> Value {
    person(&["acme:developer"])
}

#[tokio::test]
async fn only_one_bearer_header_is_read() {
    let gateway = Gateway::new();
    let good = POOL_KEY.bearer(&good());
    let token = good.strip_prefix("Bearer ").unwrap();
    for (header, reason) in [
        (String::new(), "not_bearer"),
        ("Bearer".into(), "not_bearer"),
        (format!("Basic {token}"), "not_bearer"),
        (token.to_owned(), "not_bearer"),
        (format!("Bearer\t{token}"), "not_bearer"),
        (format!(" {good}"), "not_bearer"),
        ("Bearer ".into(), "malformed"),
        (format!("Bearer  {token}"), "malformed"),
        (format!("{good} "), "wrong_signature"),
        (format!("{good},{good}"), "malformed"),
        (format!("Bearer {}", "a".repeat(8 * 1024)), "too_large"),
    ] {
        assert_eq!(gateway.reason(&header).await, reason, "{}", header.replace(token, "<token>"));
    }
}

#[tokio::test]
async fn a_repeated_or_absent_header_is_refused() {
    let gateway = Gateway::new();
    let mut request = event(API_GATEWAY, &POOL_KEY.bearer(&good()));
    let values = request.multi_value_headers.as_mut().unwrap().get_mut("Authorization").unwrap();
    values.push(values[0].clone());
    assert_eq!(handle(&gateway.state, request, NOW).await, Err(AuthorizerError::Unauthorized));

    let mut request = event(LOCAL, &POOL_KEY.bearer(&good()));
    let headers = request.headers.as_mut().unwrap();
    headers.insert("Authorization".into(), headers["authorization"].clone());
    assert_eq!(handle(&gateway.state, request, NOW).await, Err(AuthorizerError::Unauthorized));

    let mut request = event(LOCAL, "");
    request.headers = None;
    assert_eq!(handle(&gateway.state, request, NOW).await, Err(AuthorizerError::Unauthorized));
}

#[tokio::test]
async fn a_header_that_asks_for_another_verification_is_refused() {
    let gateway = Gateway::new();
    let claims = good().to_string();
    let kid = POOL_KEY.id;
    for (header, reason) in [
        (json!({ "alg": "RS512", "kid": kid }), "wrong_algorithm"),
        (json!({ "alg": "rs256", "kid": kid }), "wrong_algorithm"),
        (json!({ "alg": "PS256", "kid": kid }), "wrong_algorithm"),
        (json!({ "alg": "ES256", "kid": kid }), "wrong_algorithm"),
        (json!({ "alg": "RS256" }), "malformed"),
        (json!({ "alg": "RS256", "kid": "" }), "unknown_key"),
        (json!({ "alg": "RS256", "kid": "k".repeat(257) }), "unknown_key"),
        (json!({ "alg": "RS256", "kid": "other-key" }), "unknown_key"),
        (
            json!({ "alg": "RS256", "kid": kid, "crit": ["b64"], "b64": false }),
            "unsupported_header",
        ),
        (json!({ "alg": "RS256", "kid": kid, "typ": "logout+jwt" }), "unsupported_header"),
        (
            json!({ "alg": "RS256", "kid": kid, "jku": "https://evil.example", "typ": "at+jwt" }),
            "allowed",
        ),
    ] {
        assert_eq!(
            gateway.reason(&POOL_KEY.bearer_of(&header.to_string(), &claims)).await,
            reason,
            "{header}"
        );
    }
    assert_eq!(gateway.fetches(), 1, "no header leads to a fetch of its own");
}

/// Keys and their addresses are the issuer's; whatever a header says of them is not looked at.
#[tokio::test]
async fn a_key_id_is_a_name_and_nothing_else() {
    let gateway = Gateway::new();
    let claims = good().to_string();
    let own_key = OTHER_KEY.jwk();
    for (header, reason) in [
        (json!({ "alg": "RS256", "kid": "../../../../dev/null" }), "unknown_key"),
        (json!({ "alg": "RS256", "kid": "https://evil.example/jwks.json" }), "unknown_key"),
        (json!({ "alg": "RS256", "kid": "' OR '1'='1" }), "unknown_key"),
        (json!({ "alg": "RS256", "kid": "pool/key+1=\u{0}" }), "unknown_key"),
        (json!({ "alg": "RS256", "kid": "POOL/KEY+1=" }), "unknown_key"),
        (
            json!({ "alg": "RS256", "kid": OTHER_KEY.id, "jku": "https://evil.example/jwks.json" }),
            "unknown_key",
        ),
        (json!({ "alg": "RS256", "kid": OTHER_KEY.id, "jwk": own_key }), "unknown_key"),
        (json!({ "alg": "RS256", "kid": POOL_KEY.id, "jwk": own_key }), "wrong_signature"),
        (
            json!({ "alg": "RS256", "kid": POOL_KEY.id, "x5u": "https://evil.example/c.pem" }),
            "wrong_signature",
        ),
        (
            json!({ "alg": "RS256", "kid": POOL_KEY.id, "x5c": ["MIIB"], "x5t": "x" }),
            "wrong_signature",
        ),
        (json!({ "alg": "RS256", "kid": [POOL_KEY.id] }), "malformed"),
        (json!({ "alg": ["RS256"], "kid": POOL_KEY.id }), "malformed"),
        (json!({ "alg": "RS256", "kid": { "id": POOL_KEY.id } }), "malformed"),
        (json!({ "alg": Value::Null, "kid": POOL_KEY.id }), "malformed"),
    ] {
        // Signed by a key that its sender has, as it would be.
        let token = OTHER_KEY.bearer_of(&header.to_string(), &claims);
        assert_eq!(gateway.reason(&token).await, reason, "{header}");
    }
    assert!(gateway.fetches() <= 4, "{}", gateway.fetches());
}

#[tokio::test]
async fn parts_that_are_no_json_texts_are_refused() {
    let gateway = Gateway::new();
    let header = POOL_KEY.header().to_string();
    let good = good().to_string();
    for (header, claims) in [
        (format!(" {header}\n"), format!("{good}{good}")),
        (header.clone(), format!("{good} x")),
        (header.clone(), format!("\u{feff}{good}")),
        (header.clone(), "null".to_owned()),
        (header.clone(), "\"text\"".to_owned()),
        (header.clone(), "[".repeat(5_000)),
        (header.clone(), good.replacen('{', "{\"a\":NaN,", 1)),
        (header.clone(), good.replacen('{', "{\"a\":1e999,", 1)),
        (header.clone(), good.replacen('{', "{\"a\":\"\\ud800\",", 1)),
        (header.clone(), good.replacen("exp\":", "exp\":0", 1)),
        (header.clone(), good.replace('"', "'")),
        (format!("{header},"), good.clone()),
    ] {
        let token = POOL_KEY.bearer_of(&header, &claims);
        assert_eq!(gateway.reason(&token).await, "malformed", "{header} {claims:.60}");
    }
    // Whitespace around and within is JSON; what is signed stays what is read.
    let spaced = good.replace("\":", "\" : ");
    assert_eq!(
        gateway.reason(&POOL_KEY.bearer_of(&format!(" {header}\n"), &spaced)).await,
        "allowed"
    );
    // Neither is a part that is no UTF-8, or encoded in another way.
    let sign = |part: String| {
        let signature =
            jsonwebtoken::crypto::sign(part.as_bytes(), &POOL_KEY.private, POOL_KEY.algorithm)
                .unwrap();
        format!("Bearer {part}.{signature}")
    };
    let header = URL_SAFE_NO_PAD.encode(POOL_KEY.header().to_string());
    let invalid = [good.as_bytes().split_last().unwrap().1, b",\"x\":\"\xff\"}"].concat();
    let claims = URL_SAFE_NO_PAD.encode(&good);
    assert_eq!(gateway.reason(&sign(format!("{header}.{claims}"))).await, "allowed");
    for part in [
        format!("{header}.{}", URL_SAFE_NO_PAD.encode(invalid)),
        format!("{header}.{}", STANDARD.encode(format!("{good}  "))),
        format!("{header}.{claims} "),
        format!("{header}.\n{claims}"),
        format!("{header}%2E{claims}"),
        format!(".{claims}"),
        format!("{header}."),
    ] {
        assert_eq!(gateway.reason(&sign(part.clone())).await, "malformed", "{part}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_not_even_parsed() {
    let gateway = Gateway::new();
    let huge = with(good(), "padding", json!("x".repeat(8 * 1024)));
    assert_eq!(gateway.reason(&POOL_KEY.bearer(&huge)).await, "too_large");
    assert_eq!(
        gateway.reason(&format!("Bearer {}", "!".repeat(10 * 1024 * 1024))).await,
        "too_large"
    );
    assert_eq!(gateway.fetches(), 0);
    let large = with(good(), "padding", json!("x".repeat(4 * 1024)));
    assert_eq!(gateway.reason(&POOL_KEY.bearer(&large)).await, "allowed");
}

#[tokio::test]
async fn a_token_without_signature_is_refused() {
    let gateway = Gateway::new();
    for alg in ["none", "None", "NONE", "", "RS256"] {
        let header = json!({ "alg": alg, "kid": POOL_KEY.id }).to_string();
        let token = format!("Bearer {}.", signed_part(&header, &good().to_string()));
        let expected = if alg == "RS256" { "wrong_signature" } else { "wrong_algorithm" };
        assert_eq!(gateway.reason(&token).await, expected, "{alg}");
    }
}

#[tokio::test]
async fn the_public_key_is_no_shared_secret() {
    let header = json!({ "alg": "HS256", "kid": POOL_KEY.id }).to_string();
    let signed_part = signed_part(&header, &good().to_string());
    let jwk = POOL_KEY.jwk();
    for secret in [jwk.to_string(), jwk["n"].as_str().unwrap().to_owned()] {
        let secret = EncodingKey::from_secret(secret.as_bytes());
        let signature =
            jsonwebtoken::crypto::sign(signed_part.as_bytes(), &secret, Algorithm::HS256).unwrap();
        assert_eq!(
            Gateway::new().reason(&format!("Bearer {signed_part}.{signature}")).await,
            "wrong_algorithm"
        );
    }
    // Nor is a symmetric key taken from a key set that names one.
    let oct =
        json!({ "keys": [{ "kty": "oct", "kid": POOL_KEY.id, "k": "c2VjcmV0", "use": "sig" }] });
    let gateway = Gateway::new();
    gateway.jwks.sets.lock().unwrap().insert(POOL_JWKS, oct.to_string().into_bytes());
    assert_eq!(gateway.reason(&POOL_KEY.bearer(&good())).await, "fault");
}

#[tokio::test]
async fn a_changed_token_is_refused() {
    let gateway = Gateway::new();
    let good = POOL_KEY.bearer(&good());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let forged =
        signed_part(&POOL_KEY.header().to_string(), &person(&["globex:org_admin"]).to_string());
    assert_eq!(gateway.reason(&format!("Bearer {forged}.{signature}")).await, "wrong_signature");
    assert_eq!(
        gateway
            .reason(&OTHER_KEY.bearer_of(
                &POOL_KEY.header().to_string(),
                &person(&["acme:developer"]).to_string()
            ))
            .await,
        "wrong_signature"
    );
    assert_eq!(gateway.reason(&format!("{good}=")).await, "wrong_signature");
    assert_eq!(gateway.reason(&format!("{good}.{signature}")).await, "malformed");
    assert_eq!(gateway.reason(signed).await, "malformed");
    for cut in (0..good.len()).step_by(7) {
        let reason = gateway.reason(&good[..cut]).await;
        assert!(!["allowed", "fault"].contains(&reason), "cut at {cut}: {reason}");
    }
}

#[tokio::test]
async fn a_name_that_stands_twice_is_refused() {
    let gateway = Gateway::new();
    let header = POOL_KEY.header().to_string();
    for (name, value) in
        [("cognito:groups", r#"["globex:developer"]"#), ("exp", "1900000000"), ("jti", "\"x\"")]
    {
        let twice = format!("{{\"{name}\":{value},{}", &good().to_string()[1..]);
        assert_eq!(
            gateway.reason(&POOL_KEY.bearer_of(&header, &twice)).await,
            "malformed",
            "{name}"
        );
    }
    let twice = format!("{{\"alg\":\"none\",{}", &header[1..]);
    assert_eq!(gateway.reason(&POOL_KEY.bearer_of(&twice, &good().to_string())).await, "malformed");
}

#[tokio::test]
async fn wrong_claims_are_refused() {
    let gateway = Gateway::new();
    for (name, value, reason) in [
        ("exp", json!(NOW - 3600), "expired"),
        ("exp", Value::Null, "malformed"),
        ("exp", json!("1900000000"), "malformed"),
        ("exp", json!(-1), "malformed"),
        ("iat", json!(NOW + 3600), "not_yet_valid"),
        ("nbf", json!(NOW + 3600), "not_yet_valid"),
        (
            "iss",
            json!("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Other"),
            "unknown_issuer",
        ),
        ("iss", json!(format!("{POOL}/")), "unknown_issuer"),
        ("iss", json!("http://login.acme.example"), "unknown_issuer"),
        ("iss", json!(format!("https://{}", "a".repeat(600))), "unknown_issuer"),
        ("iss", json!(ACME_IDP), "unknown_key"),
        ("iss", Value::Null, "malformed"),
        ("sub", Value::Null, "malformed"),
        ("sub", json!("two words"), "unusable_subject"),
        ("token_use", json!("id"), "not_an_access_token"),
        ("token_use", json!("refresh"), "not_an_access_token"),
        ("token_use", Value::Null, "not_an_access_token"),
        ("client_id", Value::Null, "wrong_audience"),
        ("client_id", json!(""), "wrong_audience"),
        ("client_id", json!("c".repeat(129)), "wrong_audience"),
        ("client_id", json!("another-client"), "unknown_client"),
        ("cognito:groups", json!("acme:developer"), "malformed"),
    ] {
        let claims = with(good(), name, value);
        assert_eq!(gateway.reason(&POOL_KEY.bearer(&claims)).await, reason, "{claims}");
    }
    assert_eq!(
        gateway.reason(&POOL_KEY.bearer_of(&POOL_KEY.header().to_string(), "[]")).await,
        "malformed"
    );
}

#[tokio::test]
async fn an_id_token_is_no_access_token() {
    let claims = with(
        with(with(good(), "token_use", json!("id")), "client_id", Value::Null),
        "aud",
        json!(PEOPLE),
    );
    assert_eq!(Gateway::new().reason(&POOL_KEY.bearer(&claims)).await, "not_an_access_token");
}

#[tokio::test]
async fn an_issuer_is_held_to_its_own_keys_audience_and_algorithm() {
    let gateway = Gateway::new();
    let acme = || federated(ACME_IDP, "weir-acme");
    assert_eq!(gateway.reason(&OTHER_KEY.bearer(&acme())).await, "allowed");
    assert_eq!(
        gateway.reason(&OTHER_KEY.bearer(&federated(ACME_IDP, "weir-globex"))).await,
        "wrong_audience"
    );
    assert_eq!(
        gateway.reason(&OTHER_KEY.bearer(&with(acme(), "aud", Value::Null))).await,
        "wrong_audience"
    );
    // acme's keys sign nothing for globex, nor for the pool, nor in another way than registered.
    assert_eq!(gateway.reason(&EC_KEY.bearer(&acme())).await, "wrong_algorithm");
    assert_eq!(
        gateway.reason(&OTHER_KEY.bearer(&federated(GLOBEX_IDP, "weir"))).await,
        "wrong_algorithm"
    );
    assert_eq!(gateway.reason(&OTHER_KEY.bearer(&good())).await, "unknown_key");
    assert_eq!(gateway.reason(&POOL_KEY.bearer(&acme())).await, "unknown_key");
}

#[tokio::test]
async fn an_issuer_item_under_another_name_is_not_used() {
    let mut directory = directory();
    let issuer = directory.issuers[ACME_IDP].clone();
    directory.issuers.insert("https://alias.example".into(), issuer);
    let claims = federated("https://alias.example", "weir");
    assert_eq!(Gateway::with(directory).reason(&OTHER_KEY.bearer(&claims)).await, "unknown_issuer");
}

#[tokio::test]
async fn keys_are_not_fetched_in_the_clear() {
    for (url, reason) in [
        ("http://keys.example/acme", "fault"),
        ("http://127.0.0.1.evil.example/", "fault"),
        ("file:///etc/passwd", "fault"),
        (ACME_IDP_JWKS, "allowed"),
    ] {
        let mut directory = directory();
        directory.issuers.get_mut(ACME_IDP).unwrap().jwks_url = url.into();
        let gateway = Gateway::with(directory);
        assert_eq!(
            gateway.reason(&OTHER_KEY.bearer(&federated(ACME_IDP, "weir"))).await,
            reason,
            "{url}"
        );
        assert_eq!(gateway.fetches(), usize::from(reason == "allowed"), "{url}");
    }
}

#[tokio::test]
async fn a_person_belongs_to_exactly_one_tenant() {
    let gateway = Gateway::new();
    for (groups, reason) in [
        (&["acme:developer", "globex:developer"][..], "several_tenants"),
        (&["acme:developer", "ghost:viewer"], "several_tenants"),
        (&[], "no_tenant"),
        (&["admins", "acme", "acme:", ":developer", "acme:owner", "a*:developer"], "no_tenant"),
        (&["ghost:developer"], "unknown_tenant"),
        (&["initech:developer"], "suspended_tenant"),
    ] {
        assert_eq!(gateway.reason(&POOL_KEY.bearer(&person(groups))).await, reason, "{groups:?}");
    }
    let without_groups = with(good(), "cognito:groups", Value::Null);
    assert_eq!(gateway.reason(&POOL_KEY.bearer(&without_groups)).await, "no_tenant");
}

#[tokio::test]
async fn a_machine_is_held_to_its_registration() {
    let gateway = Gateway::new();
    for (claims, reason) in [
        (machine("unregistered"), "unknown_client"),
        (with(machine("acme-batch"), "sub", json!("a-person")), "unknown_client"),
        (with(machine("acme-batch"), "scope", json!("other/invoke")), "no_scope"),
        (with(machine("acme-batch"), "scope", Value::Null), "no_scope"),
        (machine(PEOPLE), "no_tenant"),
        (machine("initech-batch"), "suspended_tenant"),
    ] {
        assert_eq!(gateway.reason(&POOL_KEY.bearer(&claims)).await, reason, "{claims}");
    }
    let mut directory = directory();
    directory.clients.get_mut("acme-batch").unwrap().issuer = ACME_IDP.into();
    assert_eq!(
        Gateway::with(directory).reason(&POOL_KEY.bearer(&machine("acme-batch"))).await,
        "unknown_client"
    );
}

#[tokio::test]
async fn a_denial_reads_the_same_whether_a_tenant_exists_or_not() {
    let gateway = Gateway::new();
    let suspended =
        gateway.answer(&POOL_KEY.bearer(&person(&["initech:developer"]))).await.unwrap();
    let unknown = gateway.answer(&POOL_KEY.bearer(&person(&["ghost:developer"]))).await.unwrap();
    assert_eq!(suspended, unknown);
    assert_eq!(
        suspended,
        json!({
            "principalId": "denied",
            "policyDocument": {
                "Version": "2012-10-17",
                "Statement": [{
                    "Action": "execute-api:Invoke",
                    "Effect": "Deny",
                    "Resource": "arn:aws:execute-api:eu-west-1:111122223333:abc123/live/*",
                }],
            },
            "context": { "error": "The tenant of this account is not active. Ask your administrator." },
        })
    );
}

#[tokio::test]
async fn what_cannot_be_judged_is_a_fault_and_not_a_refusal() {
    let gateway = Gateway::new();
    let token = POOL_KEY.bearer(&good());
    gateway.state.directory.is_down.store(true, Ordering::Relaxed);
    assert_eq!(gateway.answer(&token).await, Err(AuthorizerError::Fault));
    assert_eq!(gateway.reason(&POOL_KEY.bearer(&machine("acme-batch"))).await, "fault");
    assert_eq!(gateway.reason(&OTHER_KEY.bearer(&federated(ACME_IDP, "weir"))).await, "fault");
    gateway.state.directory.is_down.store(false, Ordering::Relaxed);
    assert_eq!(gateway.reason(&token).await, "allowed");

    let mut request = event(API_GATEWAY, &token);
    request.method_arn = "arn:aws:execute-api:eu-west-1:111122223333:abc123".into();
    assert_eq!(handle(&gateway.state, request, NOW).await, Err(AuthorizerError::Fault));
}

#[test]
fn api_gateway_makes_401_of_one_exact_message() {
    assert_eq!(Diagnostic::from(AuthorizerError::Unauthorized).error_message, "Unauthorized");
    assert_ne!(Diagnostic::from(AuthorizerError::Fault).error_message, "Unauthorized");
}

//! How often keys and issuers are asked for.

use serde_json::json;

use super::*;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;

/// A token that outlives every test here.
fn token(key: &SigningKey) -> String {
    key.bearer(&with(person(&["acme:developer"]), "exp", json!(NOW + 100 * HOUR)))
}

fn token_of_unknown_key(number: u64) -> String {
    let header = json!({ "alg": "RS256", "kid": format!("unknown-{number}") }).to_string();
    POOL_KEY.bearer_of(&header, &person(&["acme:developer"]).to_string())
}

#[tokio::test]
async fn first_calls_at_the_same_time_share_one_fetch() {
    let gateway = Gateway::new();
    let good = token(&POOL_KEY);
    let other = POOL_KEY.bearer(&machine("globex-batch"));
    let reasons =
        tokio::join!(gateway.reason(&good), gateway.reason(&other), gateway.reason(&good));
    assert_eq!(reasons, ("allowed", "allowed", "allowed"));
    assert_eq!(gateway.fetches(), 1);
    // Those that came while a fetch was running share the next one.
    let unknown: Vec<_> = (0..20).map(token_of_unknown_key).collect();
    let reasons =
        futures::future::join_all(unknown.iter().map(|token| gateway.reason(token))).await;
    assert!(reasons.iter().all(|reason| *reason == "unknown_key"), "{reasons:?}");
    assert_eq!(gateway.fetches(), 3);
}

/// Keys change while tokens are being verified, some of them invented: who signs with a key that is
/// served gets in, and the issuer is asked a bounded number of times.
#[tokio::test]
async fn keys_rotate_during_load() {
    let gateway = Gateway::new();
    let third = SigningKey::rsa("third-key");
    let rotation = [&POOL_KEY as &SigningKey, &OTHER_KEY, &third];
    let mut now = NOW;
    for round in 0..12_usize {
        let (current, next) = (rotation[round % 3], rotation[(round + 1) % 3]);
        gateway.serve(POOL_JWKS, &[current]);
        let (old, new) = (token(current), token(next));
        let invented = token_of_unknown_key(u64::try_from(round).unwrap());
        let load = |token: String, count: usize| {
            let gateway = &gateway;
            let call = move |token: String| async move { gateway.reason_at(&token, now).await };
            futures::future::join_all(std::iter::repeat_n(token, count).map(call))
        };
        assert!(
            load(old.clone(), 20).await.iter().all(|reason| *reason == "allowed"),
            "round {round}"
        );
        // The new key is published in the middle of the load, and used at once.
        let publish = async {
            tokio::task::yield_now().await;
            gateway.serve(POOL_JWKS, &[current, next]);
            load(new.clone(), 50).await
        };
        let (published, old, invented) = tokio::join!(publish, load(old, 50), load(invented, 3));
        for reason in published.iter().chain(&old) {
            assert_eq!(*reason, "allowed", "round {round}");
        }
        assert!(invented.iter().all(|reason| *reason == "unknown_key"));
        now += 2 * MINUTE;
    }
    assert!(gateway.fetches() <= 1 + 2 * 12, "{}", gateway.fetches());
}

#[tokio::test]
async fn a_storm_of_unknown_keys_costs_a_few_fetches_and_then_one_a_minute() {
    let gateway = Gateway::new();
    assert_eq!(gateway.reason(&token(&POOL_KEY)).await, "allowed");
    for second in 0..10 * MINUTE {
        assert_eq!(
            gateway.reason_at(&token_of_unknown_key(second), NOW + second).await,
            "unknown_key"
        );
        assert_eq!(gateway.reason_at(&token(&POOL_KEY), NOW + second).await, "allowed");
    }
    assert_eq!(gateway.fetches(), 4 + 9);
}

#[tokio::test]
async fn one_stale_client_does_not_cause_a_fetch_every_minute() {
    let gateway = Gateway::new();
    for minute in 0..120 {
        assert_eq!(
            gateway.reason_at(&token_of_unknown_key(1), NOW + minute * MINUTE).await,
            "unknown_key"
        );
    }
    assert!((24..=28).contains(&gateway.fetches()), "one in five minutes: {}", gateway.fetches());
}

#[tokio::test]
async fn a_new_key_is_picked_up_at_once() {
    let gateway = Gateway::new();
    assert_eq!(gateway.reason(&token(&POOL_KEY)).await, "allowed");
    gateway.serve(POOL_JWKS, &[&POOL_KEY, &OTHER_KEY]);
    assert_eq!(gateway.reason(&token(&OTHER_KEY)).await, "allowed");
    assert_eq!(gateway.reason_at(&token(&POOL_KEY), NOW + 61).await, "allowed");
    assert_eq!(gateway.fetches(), 2);
}

#[tokio::test]
async fn a_key_that_is_served_late_is_picked_up_within_seconds() {
    let gateway = Gateway::new();
    assert_eq!(gateway.reason(&token(&POOL_KEY)).await, "allowed");
    for second in 0..5 {
        assert_eq!(gateway.reason_at(&token(&OTHER_KEY), NOW + second).await, "unknown_key");
    }
    assert_eq!(gateway.fetches(), 2);
    gateway.serve(POOL_JWKS, &[&POOL_KEY, &OTHER_KEY]);
    assert_eq!(gateway.reason_at(&token(&OTHER_KEY), NOW + 5).await, "allowed");
    assert_eq!(gateway.fetches(), 3);
}

#[tokio::test]
async fn invented_keys_delay_a_new_one_by_a_minute_at_most() {
    let gateway = Gateway::new();
    for number in 0..100 {
        assert_eq!(gateway.reason(&token_of_unknown_key(number)).await, "unknown_key");
    }
    assert_eq!(gateway.fetches(), 4);
    gateway.serve(POOL_JWKS, &[&POOL_KEY, &OTHER_KEY]);
    assert_eq!(gateway.reason_at(&token(&OTHER_KEY), NOW + 59).await, "unknown_key");
    assert_eq!(gateway.reason_at(&token(&OTHER_KEY), NOW + 60).await, "allowed");
}

#[tokio::test]
async fn a_withdrawn_key_is_good_for_an_hour_at_most() {
    let gateway = Gateway::new();
    assert_eq!(gateway.reason(&token(&POOL_KEY)).await, "allowed");
    gateway.serve(POOL_JWKS, &[&OTHER_KEY]);
    assert_eq!(gateway.reason_at(&token(&POOL_KEY), NOW + HOUR - 1).await, "allowed");
    assert_eq!(gateway.reason_at(&token(&POOL_KEY), NOW + HOUR).await, "unknown_key");
    assert_eq!(gateway.reason_at(&token(&OTHER_KEY), NOW + HOUR).await, "allowed");
}

#[tokio::test]
async fn keys_outlive_an_outage_of_their_server_but_not_by_more_than_a_day() {
    let gateway = Gateway::new();
    assert_eq!(gateway.reason(&token(&POOL_KEY)).await, "allowed");
    gateway.serve(POOL_JWKS, &[]);
    for second in 0..MINUTE {
        assert_eq!(gateway.reason_at(&token(&POOL_KEY), NOW + 2 * HOUR + second).await, "allowed");
    }
    assert_eq!(gateway.fetches(), 2, "one attempt a minute");
    assert_eq!(gateway.reason_at(&token(&POOL_KEY), NOW + 24 * HOUR).await, "fault");
}

#[tokio::test]
async fn without_any_keys_nothing_can_be_said_and_the_server_is_asked_again_soon() {
    let gateway = Gateway::new();
    gateway.serve(POOL_JWKS, &[]);
    for second in 0..5 {
        assert_eq!(gateway.reason_at(&token(&POOL_KEY), NOW + second).await, "fault");
    }
    assert_eq!(gateway.fetches(), 1);
    gateway.serve(POOL_JWKS, &[&POOL_KEY]);
    assert_eq!(gateway.reason_at(&token(&POOL_KEY), NOW + 5).await, "allowed");
}

#[tokio::test]
async fn keys_of_other_kinds_do_not_spoil_a_set() {
    let gateway = Gateway::new();
    let mut encryption_key = OTHER_KEY.jwk();
    encryption_key["use"] = json!("enc");
    let set = json!({ "keys": [
        { "kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "AAAA" }, { "kty": "post-quantum" }, 7, encryption_key, POOL_KEY.jwk(),
    ] });
    gateway.jwks.sets.lock().unwrap().insert(POOL_JWKS, set.to_string().into_bytes());
    assert_eq!(gateway.reason(&token(&POOL_KEY)).await, "allowed");
    assert_eq!(gateway.reason(&token(&OTHER_KEY)).await, "unknown_key");
}

#[tokio::test]
async fn an_issuer_is_looked_up_once_a_minute_registered_or_not() {
    let gateway = Gateway::new();
    let registered = OTHER_KEY.bearer(&federated(ACME_IDP, "weir"));
    let unknown = OTHER_KEY.bearer(&federated("https://unknown.example", "weir"));
    for second in 0..MINUTE {
        assert_eq!(gateway.reason_at(&registered, NOW + second).await, "allowed");
        assert_eq!(gateway.reason_at(&unknown, NOW + second).await, "unknown_issuer");
    }
    assert_eq!(gateway.state.directory.issuer_reads.load(Ordering::Relaxed), 2);
    assert_eq!(gateway.reason_at(&registered, NOW + MINUTE).await, "allowed");
    assert_eq!(gateway.state.directory.issuer_reads.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn invented_issuers_do_not_push_out_registered_ones() {
    let gateway = Gateway::new();
    let registered = OTHER_KEY.bearer(&federated(ACME_IDP, "weir"));
    assert_eq!(gateway.reason(&registered).await, "allowed");
    for number in 0..1000 {
        let claims = federated(&format!("https://invented-{number}.example"), "weir").to_string();
        let token =
            format!("Bearer {}.AAAA", signed_part(&OTHER_KEY.header().to_string(), &claims));
        assert_eq!(gateway.reason(&token).await, "unknown_issuer");
    }
    assert_eq!(gateway.reason(&registered).await, "allowed");
    assert_eq!(gateway.state.directory.issuer_reads.load(Ordering::Relaxed), 1001);
}

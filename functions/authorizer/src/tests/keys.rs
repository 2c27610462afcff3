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
    let (other, unknown) = (POOL_KEY.bearer(&machine("globex-batch")), token_of_unknown_key(1));
    let reasons = tokio::join!(
        gateway.reason(&good),
        gateway.reason(&other),
        gateway.reason(&unknown),
        gateway.reason(&good)
    );
    assert_eq!(reasons, ("allowed", "allowed", "unknown_key", "allowed"));
    assert_eq!(gateway.fetches(), 1);
}

#[tokio::test]
async fn a_storm_of_unknown_keys_costs_one_fetch_a_minute() {
    let gateway = Gateway::new();
    assert_eq!(gateway.reason(&token(&POOL_KEY)).await, "allowed");
    for second in 0..2 * MINUTE {
        assert_eq!(
            gateway.reason_at(&token_of_unknown_key(second), NOW + second).await,
            "unknown_key"
        );
        assert_eq!(gateway.reason_at(&token(&POOL_KEY), NOW + second).await, "allowed");
    }
    assert_eq!(gateway.fetches(), 2);
}

#[tokio::test]
async fn one_stale_client_does_not_cause_a_fetch_every_minute() {
    let gateway = Gateway::new();
    for minute in 0..6 {
        assert_eq!(
            gateway.reason_at(&token_of_unknown_key(1), NOW + minute * MINUTE).await,
            "unknown_key"
        );
    }
    assert_eq!(gateway.fetches(), 2, "at once and after five minutes");
}

#[tokio::test]
async fn a_new_key_is_picked_up() {
    let gateway = Gateway::new();
    assert_eq!(gateway.reason(&token(&POOL_KEY)).await, "allowed");
    gateway.serve(POOL_JWKS, &[&POOL_KEY, &OTHER_KEY]);
    assert_eq!(gateway.reason_at(&token(&OTHER_KEY), NOW + 59).await, "unknown_key");
    assert_eq!(gateway.reason_at(&token(&OTHER_KEY), NOW + 60).await, "allowed");
    assert_eq!(gateway.reason_at(&token(&POOL_KEY), NOW + 61).await, "allowed");
    assert_eq!(gateway.fetches(), 2);
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

//! Headers of every shape: none panics, none gets in. The fuzz target `jwt` searches the same space for longer.

use proptest::prelude::*;

use super::*;

fn refuses(authorization: &str) -> Result<(), TestCaseError> {
    thread_local!(static GATEWAY: Gateway = Gateway::new());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let reason = GATEWAY.with(|gateway| runtime.block_on(gateway.reason(authorization)));
    prop_assert!(!["allowed", "fault"].contains(&reason), "{authorization}: {reason}");
    Ok(())
}

/// JSON that has the names that matter, with values that may.
fn claims() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "iss",
        "sub",
        "exp",
        "nbf",
        "iat",
        "aud",
        "client_id",
        "token_use",
        "scope",
        "cognito:groups",
        "x",
    ]);
    let value = prop_oneof![
        Just(json!(POOL)),
        Just(json!(ACME_IDP)),
        Just(json!(PEOPLE)),
        Just(json!("access")),
        Just(json!(["acme:developer"])),
        Just(json!("acme-batch")),
        Just(Value::Null),
        any::<u64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        any::<String>().prop_map(|text| json!(text)),
    ];
    prop::collection::vec((name, value), 0..12).prop_map(|claims| {
        let members: Vec<_> =
            claims.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

proptest! {
    #[test]
    fn no_text_gets_in(text in any::<String>(), scheme in "(Bearer |bearer |BEARER\t|)") {
        refuses(&format!("{scheme}{text}"))?;
    }

    #[test]
    fn no_claims_get_in_without_a_signature(
        claims in claims(),
        alg in prop::sample::select(vec!["RS256", "none", "HS256", "ES256"]),
        signature in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let header = json!({ "alg": alg, "kid": POOL_KEY.id }).to_string();
        let signature = URL_SAFE_NO_PAD.encode(signature);
        refuses(&format!("Bearer {}.{signature}", signed_part(&header, &claims)))?;
        refuses(&format!("Bearer {}.{signature}", signed_part(&header, &person(&["acme:developer"]).to_string())))?;
    }

    #[test]
    fn no_byte_of_a_good_token_can_be_another(at in any::<prop::sample::Index>(), byte in any::<char>()) {
        let good = POOL_KEY.bearer(&person(&["acme:developer"]));
        let at = "Bearer ".len() + at.index(good.len() - "Bearer ".len());
        if good[at..].starts_with(byte) {
            return Ok(());
        }
        refuses(&format!("{}{byte}{}", &good[..at], &good[at + 1..]))?;
    }
}

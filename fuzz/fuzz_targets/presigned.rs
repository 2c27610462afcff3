//! The token of an AWS role, raw or put together from parts that read well: reading it does not panic, and
//! nothing but a request for `GetCallerIdentity` of an allowed Region is ever sent.

#![no_main]

use std::collections::HashMap;
use std::sync::LazyLock;

use authorizer::{
    AskStsError, AuthorizerRequest, AwsTokens, FetchJwksError, IdentityRequest, JwksSource, State,
    Sts, StsAnswer, UserPool, handle,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use tenancy::{AwsRole, Client, Directory, Issuer, ReadDirectoryError, TenantId, TenantRecord};

/// 2027-01-15T08:00:00Z.
const NOW: u64 = 1_800_000_000;
const PARAMETERS: [&str; 9] = [
    "Action=GetCallerIdentity",
    "Version=2011-06-15",
    "X-Amz-Algorithm=AWS4-HMAC-SHA256",
    "X-Amz-Credential=",
    "X-Amz-Date=20270115T0",
    "X-Amz-Expires=",
    "X-Amz-Security-Token=",
    "X-Amz-SignedHeaders=host%3Bx-weir-server-id",
    "X-Amz-Signature=",
];

struct Nobody;

impl Directory for Nobody {
    async fn issuer(&self, _: &str) -> Result<Option<Issuer>, ReadDirectoryError> {
        Ok(None)
    }

    async fn client(&self, _: &str) -> Result<Option<Client>, ReadDirectoryError> {
        Ok(None)
    }

    async fn aws_role(&self, _: &str, _: &str) -> Result<Option<AwsRole>, ReadDirectoryError> {
        Ok(None)
    }

    async fn tenant(&self, _: &TenantId) -> Result<Option<TenantRecord>, ReadDirectoryError> {
        Ok(None)
    }
}

struct NoKeys;

impl JwksSource for NoKeys {
    async fn fetch(&self, _: &str) -> Result<Vec<u8>, FetchJwksError> {
        Err(FetchJwksError::NoKeys)
    }
}

struct Watchful;

impl Sts for Watchful {
    async fn caller_identity(&self, request: &IdentityRequest) -> Result<StsAnswer, AskStsError> {
        assert!(
            ["sts.us-east-1.amazonaws.com", "sts.eu-west-1.amazonaws.com"]
                .contains(&request.host.as_str())
        );
        let mut expected = PARAMETERS.into_iter();
        for pair in request.query.split('&') {
            assert!(expected.any(|start| pair.starts_with(start)), "{}", request.query);
            let (_, value) = pair.split_once('=').expect("a parameter has a value");
            assert!(
                value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte))
            );
        }
        let body =
            b"<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>"
                .to_vec();
        Ok(StsAnswer { status: 403, body })
    }
}

static STATE: LazyLock<State<Nobody, NoKeys, Watchful>> = LazyLock::new(|| {
    let user_pool = UserPool {
        issuer: "https://pool".to_owned(),
        jwks_url: "https://pool/jwks".to_owned(),
        people_client_id: "people".to_owned(),
    };
    let aws_tokens = AwsTokens::new("weir", "us-east-1,eu-west-1").expect("usable settings");
    State::new(Nobody, NoKeys, user_pool, Watchful, aws_tokens)
});

fn refuses(url: &[u8]) {
    let authorization = format!("Bearer weir-aws-v1.{}", URL_SAFE_NO_PAD.encode(url));
    let request = AuthorizerRequest {
        method_arn: "arn:aws:execute-api:us-east-1:0:api/live/GET/v1/models".to_owned(),
        headers: Some(HashMap::from([("authorization".to_owned(), authorization)])),
        ..AuthorizerRequest::default()
    };
    let answer = futures::executor::block_on(handle(&STATE, request, NOW));
    assert!(answer.is_err(), "{answer:?}");
}

fuzz_target!(|input: (&[u8], &str, &str, &str)| {
    let (raw, host, value, more) = input;
    refuses(raw);
    let signature = "0".repeat(64);
    let query = format!(
        "Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=ASIAEXAMPLEEXAMPLE00%2F20270115%2Fus-east-1%2Fsts%2Faws4_request&X-Amz-Date=20270115T075900Z&X-Amz-Expires=300&X-Amz-SignedHeaders=host%3Bx-weir-server-id&X-Amz-Security-Token={value}&X-Amz-Signature={signature}{more}"
    );
    refuses(format!("https://{host}/?{query}").as_bytes());
    refuses(format!("https://sts.us-east-1.amazonaws.com/?{query}").as_bytes());
});

//! An `Authorization` header, raw or put together from parts that read well: verification neither
//! panics nor lets anybody in, though every issuer, client and tenant is registered. Only the
//! signature is missing: the private half of the one key was thrown away.

#![no_main]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::LazyLock;

use authorizer::{
    AskStsError, AuthorizerRequest, AwsTokens, FetchJwksError, IdentityRequest, JwksSource, State,
    Sts, StsAnswer, UserPool, handle,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use tenancy::{
    AwsRole, Client, Directory, Issuer, ReadDirectoryError, Role, SigningAlgorithm, Status,
    TenantId, TenantRecord,
};

const NOW: u64 = 1_800_000_000;
const POOL: &str = "https://pool";
const JWKS: &str = r#"{"keys":[{"kty":"RSA","kid":"k","use":"sig","alg":"RS256","e":"AQAB","n":"s_Dnjyy9qh4ApWNpuAjNQ6nwKqZ_LMpXUb--uIYptaj0XDZuIvv-BqKUS0UJIuNXaqBILmWzvbn97SuGjnzzGY5YC35Awkfv4KVvXt68oXmCHfqYAlq4-3m-_x7dygw-DCwP0nlfXOQwC1qI1f_q07unG06Wz8ipidpxVRBDfg9GeDGbDDthVylyEilh8TSWALHKse7teII0qnoyzeneMB27V_9ZX7GQmNqwxpeP7_d3ZPBzxdpRIRwjMemmwWo5LL8KvmOyVdX-kQafrNnVVsLBaBMgAuR_FjjCtJ5pNCfG39AJrNF2I-LnxfMh4Hwkfk8J3Hi7RAGdt8AhN1QapQ"}]}"#;

struct Everybody;

impl Directory for Everybody {
    async fn issuer(&self, issuer: &str) -> Result<Option<Issuer>, ReadDirectoryError> {
        Ok(Some(Issuer {
            issuer: issuer.to_owned(),
            jwks_url: "https://jwks".to_owned(),
            audiences: vec!["weir".to_owned()],
            algorithm: SigningAlgorithm::Rs256,
            tenant_id: Some(tenant("acme")),
            tenant_claim: None,
            tenants: BTreeMap::new(),
            role: Some(Role::Developer),
            role_claim: "/realm_access/roles".parse().ok(),
            roles: BTreeMap::from([("admin".to_owned(), Role::TenantAdmin)]),
            may_grant: BTreeSet::new(),
            required_claims: BTreeMap::new(),
            subject_claim: None,
        }))
    }

    async fn client(&self, client_id: &str) -> Result<Option<Client>, ReadDirectoryError> {
        let (client_id, issuer) = (client_id.to_owned(), POOL.to_owned());
        Ok(Some(Client { client_id, tenant_id: tenant("globex"), issuer, role: Role::Machine }))
    }

    async fn aws_role(&self, _: &str, _: &str) -> Result<Option<AwsRole>, ReadDirectoryError> {
        Ok(None)
    }

    async fn tenant(&self, _: &TenantId) -> Result<Option<TenantRecord>, ReadDirectoryError> {
        let lob_id = "retail".parse().expect("a valid id");
        Ok(Some(TenantRecord { lob_id, status: Status::Active }))
    }
}

fn tenant(id: &str) -> TenantId {
    id.parse().expect("a valid id")
}

struct OneKey;

impl JwksSource for OneKey {
    async fn fetch(&self, _: &str) -> Result<Vec<u8>, FetchJwksError> {
        Ok(JWKS.into())
    }
}

struct Silent;

impl Sts for Silent {
    async fn caller_identity(&self, _: &IdentityRequest) -> Result<StsAnswer, AskStsError> {
        Ok(StsAnswer { status: 500, body: Vec::new() })
    }
}

static STATE: LazyLock<State<Everybody, OneKey, Silent>> = LazyLock::new(|| {
    let user_pool = UserPool {
        issuer: POOL.to_owned(),
        jwks_url: "https://pool/jwks".to_owned(),
        people_client_id: "people".to_owned(),
    };
    let aws_tokens = AwsTokens::new("weir", "us-east-1").expect("usable settings");
    State::new(Everybody, OneKey, user_pool, Silent, aws_tokens)
});

fn refuses(authorization: String) {
    let request = AuthorizerRequest {
        method_arn: "arn:aws:execute-api:us-east-1:0:api/live/GET/v1/models".to_owned(),
        headers: Some(HashMap::from([("authorization".to_owned(), authorization)])),
        ..AuthorizerRequest::default()
    };
    let answer = futures::executor::block_on(handle(&STATE, request, NOW));
    assert!(answer.is_err(), "{answer:?}");
}

fuzz_target!(|input: (&[u8], &str, &str, &[u8])| {
    let (raw, header, claims, signature) = input;
    refuses(String::from_utf8_lossy(raw).into_owned());
    refuses(format!("Bearer {}", String::from_utf8_lossy(raw)));
    let parts = [header.as_bytes(), claims.as_bytes(), signature];
    refuses(format!("Bearer {}", parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")));
    // The same with a header that leads all the way to the signature.
    let parts = [br#"{"alg":"RS256","kid":"k"}"#, claims.as_bytes(), signature];
    refuses(format!("Bearer {}", parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")));
});

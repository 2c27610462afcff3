//! The whole function in memory: recorded events in, answers out, with two tenants on every side.

mod admitted;
mod arbitrary;
mod aws_refused;
mod aws_roles;
mod connecting;
mod fetching;
mod keys;
mod mapped;
mod refused;
mod sts;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use tenancy::{
    AwsRole, Client, Directory, Issuer, ReadDirectoryError, Role, SigningAlgorithm, Status,
    TenantId, TenantRecord,
};

use crate::fetch::{FetchJwksError, JwksSource};
use crate::refusal::Refusal;
use crate::{AuthorizerError, AuthorizerRequest, AwsTokens, State, UserPool, authorize, handle};

use sts::{FakeSts, SERVER_ID};

const NOW: u64 = 1_800_000_000;
const POOL: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Pool";
const POOL_JWKS: &str = "https://keys.example/pool";
const PEOPLE: &str = "people-client";
/// Of acme alone.
const ACME_IDP: &str = "https://login.acme.example";
const ACME_IDP_JWKS: &str = "https://keys.example/acme";
/// Of globex alone, signing with ES256.
const GLOBEX_IDP: &str = "https://login.globex.example/";
const GLOBEX_IDP_JWKS: &str = "https://keys.example/globex";

static POOL_KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::rsa("pool/key+1="));
static OTHER_KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::rsa("other-key"));
static EC_KEY: LazyLock<SigningKey> = LazyLock::new(SigningKey::ec);

/// A key pair made for this run.
struct SigningKey {
    id: &'static str,
    algorithm: Algorithm,
    private: EncodingKey,
}

impl SigningKey {
    fn rsa(id: &'static str) -> Self {
        use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
        let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let label = "PRIVATE KEY";
        let pem = format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            STANDARD.encode(der.as_ref())
        );
        Self {
            id,
            algorithm: Algorithm::RS256,
            private: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
        }
    }

    fn ec() -> Self {
        use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
        let der = EcdsaKeyPair::generate_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            &aws_lc_rs::rand::SystemRandom::new(),
        )
        .unwrap();
        Self {
            id: "ec-key",
            algorithm: Algorithm::ES256,
            private: EncodingKey::from_ec_der(der.as_ref()),
        }
    }

    fn jwk(&self) -> Value {
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&self.private, self.algorithm).unwrap())
                .unwrap();
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk
    }

    fn header(&self) -> Value {
        json!({ "alg": format!("{:?}", self.algorithm), "kid": self.id })
    }

    /// A bearer header of these claims, signed properly.
    fn bearer(&self, claims: &Value) -> String {
        self.bearer_of(&self.header().to_string(), &claims.to_string())
    }

    fn bearer_of(&self, header: &str, claims: &str) -> String {
        let signed_part = signed_part(header, claims);
        let signature =
            jsonwebtoken::crypto::sign(signed_part.as_bytes(), &self.private, self.algorithm)
                .unwrap();
        format!("Bearer {signed_part}.{signature}")
    }
}

fn signed_part(header: &str, claims: &str) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

fn jwks(keys: &[&SigningKey]) -> Vec<u8> {
    json!({ "keys": keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() }).to_string().into_bytes()
}

/// The access token claims of a person, as Cognito makes them.
fn person(groups: &[&str]) -> Value {
    json!({
        "sub": "0c5f1a52-person", "cognito:groups": groups, "iss": POOL, "version": 2, "client_id": PEOPLE,
        "origin_jti": "o", "token_use": "access", "scope": "aws.cognito.signin.user.admin",
        "auth_time": NOW, "exp": NOW + 3600, "iat": NOW, "jti": "j", "username": "developer",
    })
}

/// The access token claims of a machine, as Cognito makes them.
fn machine(client_id: &str) -> Value {
    json!({
        "sub": client_id, "token_use": "access", "scope": "weir/read weir/invoke", "auth_time": NOW, "iss": POOL,
        "exp": NOW + 3600, "iat": NOW, "version": 2, "jti": "j", "client_id": client_id,
    })
}

/// The claims of a caller of a tenant's own issuer.
fn federated(issuer: &str, audience: &str) -> Value {
    json!({ "iss": issuer, "sub": "idp|7", "aud": audience, "exp": NOW + 300, "iat": NOW })
}

/// `claims` with one of them set to another value, or left out if it is null.
fn with(mut claims: Value, name: &str, value: Value) -> Value {
    let object = claims.as_object_mut().unwrap();
    if value.is_null() {
        object.remove(name)
    } else {
        object.insert(name.to_owned(), value)
    };
    claims
}

#[derive(Default)]
struct FakeDirectory {
    issuers: HashMap<String, Issuer>,
    clients: HashMap<String, Client>,
    /// By account and name.
    aws_roles: HashMap<String, AwsRole>,
    tenants: HashMap<String, TenantRecord>,
    is_down: AtomicBool,
    issuer_reads: AtomicUsize,
}

impl FakeDirectory {
    fn read<T: Clone>(
        &self,
        items: &HashMap<String, T>,
        name: &str,
    ) -> Result<Option<T>, ReadDirectoryError> {
        if self.is_down.load(Ordering::Relaxed) {
            return Err(ReadDirectoryError {
                registration: "thing",
                source: "the table is away".into(),
            });
        }
        Ok(items.get(name).cloned())
    }
}

impl Directory for FakeDirectory {
    async fn issuer(&self, issuer: &str) -> Result<Option<Issuer>, ReadDirectoryError> {
        self.issuer_reads.fetch_add(1, Ordering::Relaxed);
        self.read(&self.issuers, issuer)
    }

    async fn client(&self, client_id: &str) -> Result<Option<Client>, ReadDirectoryError> {
        self.read(&self.clients, client_id)
    }

    async fn aws_role(
        &self,
        account_id: &str,
        role_name: &str,
    ) -> Result<Option<AwsRole>, ReadDirectoryError> {
        self.read(&self.aws_roles, &format!("{account_id}:{role_name}"))
    }

    async fn tenant(
        &self,
        tenant_id: &TenantId,
    ) -> Result<Option<TenantRecord>, ReadDirectoryError> {
        self.read(&self.tenants, tenant_id.as_str())
    }
}

/// Key servers; one without keys does not answer.
#[derive(Default)]
struct FakeJwks {
    sets: Mutex<HashMap<&'static str, Vec<u8>>>,
    fetches: AtomicUsize,
}

impl JwksSource for Arc<FakeJwks> {
    async fn fetch(&self, url: &str) -> Result<Vec<u8>, FetchJwksError> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        for _ in 0..3 {
            tokio::task::yield_now().await; // lets other callers come in meanwhile
        }
        let set = self.sets.lock().unwrap().get(url).cloned();
        set.ok_or(FetchJwksError::Status(reqwest::StatusCode::SERVICE_UNAVAILABLE))
    }
}

/// The function with everything around it.
struct Gateway {
    state: State<FakeDirectory, Arc<FakeJwks>, Arc<FakeSts>>,
    jwks: Arc<FakeJwks>,
    sts: Arc<FakeSts>,
}

impl Gateway {
    fn new() -> Self {
        Self::with(directory())
    }

    fn with(directory: FakeDirectory) -> Self {
        let key_sets = HashMap::from([
            (POOL_JWKS, jwks(&[&POOL_KEY])),
            (ACME_IDP_JWKS, jwks(&[&OTHER_KEY, &EC_KEY])),
            (GLOBEX_IDP_JWKS, jwks(&[&EC_KEY, &OTHER_KEY])),
        ]);
        let user_pool = UserPool {
            issuer: POOL.into(),
            jwks_url: POOL_JWKS.into(),
            people_client_id: PEOPLE.into(),
        };
        let jwks = Arc::new(FakeJwks { sets: Mutex::new(key_sets), ..FakeJwks::default() });
        let sts = Arc::new(FakeSts::default());
        let aws_tokens = AwsTokens::new(SERVER_ID, "eu-west-1,eu-central-1").unwrap();
        let state =
            State::new(directory, Arc::clone(&jwks), user_pool, Arc::clone(&sts), aws_tokens);
        Self { state, jwks, sts }
    }

    /// How often STS was asked.
    fn asked(&self) -> usize {
        self.sts.asked.load(Ordering::Relaxed)
    }

    fn fetches(&self) -> usize {
        self.jwks.fetches.load(Ordering::Relaxed)
    }

    /// Replaces the keys that an issuer serves; none means that its server is away.
    fn serve(&self, url: &'static str, keys: &[&SigningKey]) {
        let mut sets = self.jwks.sets.lock().unwrap();
        if keys.is_empty() {
            sets.remove(url)
        } else {
            sets.insert(url, jwks(keys))
        };
    }

    /// What the function answers to the event in which a client sends this header.
    async fn answer(&self, authorization: &str) -> Result<Value, AuthorizerError> {
        let answer = handle(&self.state, event(API_GATEWAY, authorization), NOW).await;
        answer.map(|response| serde_json::to_value(response).unwrap())
    }

    /// The context of a caller who is let in.
    async fn context(&self, authorization: &str) -> Value {
        let answer = self.answer(authorization).await.unwrap();
        assert_eq!(answer["policyDocument"]["Statement"][0]["Effect"], "Allow", "{answer}");
        answer["context"].clone()
    }

    /// The code of the reason why the caller is not let in; `allowed` if it is.
    async fn reason(&self, authorization: &str) -> &'static str {
        self.reason_at(authorization, NOW).await
    }

    async fn reason_at(&self, authorization: &str, now: u64) -> &'static str {
        match authorize(&self.state, &event(API_GATEWAY, authorization), now).await {
            Ok(_) => "allowed",
            Err(Refusal::InvalidToken(invalid)) => invalid.as_str(),
            Err(Refusal::Denied { denial, .. }) => denial.as_str(),
            Err(Refusal::Fault(_)) => "fault",
        }
    }
}

const API_GATEWAY: &str = include_str!("../../testdata/api_gateway.json");
const CONNECT: &str = include_str!("../../testdata/connect.json");
const LOCAL: &str = include_str!("../../testdata/local.json");

fn event(recorded: &str, authorization: &str) -> AuthorizerRequest {
    let authorization = Value::from(authorization).to_string();
    serde_json::from_str(&recorded.replace("\"{authorization}\"", &authorization)).unwrap()
}

fn directory() -> FakeDirectory {
    let tenant = |lob: &str, status| TenantRecord { lob_id: lob.parse().unwrap(), status };
    let client = |id: &str, tenant: &str| Client {
        client_id: id.into(),
        tenant_id: tenant.parse().unwrap(),
        issuer: POOL.into(),
        role: Role::Machine,
    };
    let aws_role = |account: &str, name: &str, tenant: &str| AwsRole {
        account_id: account.into(),
        role_name: name.into(),
        role_id: None,
        tenant_id: tenant.parse().unwrap(),
        role: Role::Machine,
        status: Status::Active,
    };
    let issuer = |issuer: &str, jwks_url: &str, tenant: &str, algorithm| Issuer {
        issuer: issuer.into(),
        jwks_url: jwks_url.into(),
        audiences: vec!["weir".into(), format!("weir-{tenant}")],
        algorithm,
        tenant_id: Some(tenant.parse().unwrap()),
        tenant_claim: None,
        tenants: BTreeMap::new(),
        role: Some(Role::Developer),
        role_claim: None,
        roles: BTreeMap::new(),
        may_grant: BTreeSet::new(),
        required_claims: BTreeMap::new(),
        subject_claim: None,
    };
    FakeDirectory {
        issuers: HashMap::from([
            (ACME_IDP.into(), issuer(ACME_IDP, ACME_IDP_JWKS, "acme", SigningAlgorithm::Rs256)),
            (
                GLOBEX_IDP.into(),
                issuer(GLOBEX_IDP, GLOBEX_IDP_JWKS, "globex", SigningAlgorithm::Es256),
            ),
        ]),
        clients: HashMap::from([
            ("acme-batch".into(), client("acme-batch", "acme")),
            ("globex-batch".into(), client("globex-batch", "globex")),
            ("initech-batch".into(), client("initech-batch", "initech")),
        ]),
        aws_roles: HashMap::from([
            ("111122223333:batch".into(), aws_role("111122223333", "batch", "acme")),
            ("444455556666:batch".into(), aws_role("444455556666", "batch", "globex")),
            ("111122223333:initech".into(), aws_role("111122223333", "initech", "initech")),
        ]),
        tenants: HashMap::from([
            ("acme".into(), tenant("retail", Status::Active)),
            ("globex".into(), tenant("research", Status::Active)),
            ("initech".into(), tenant("retail", Status::Suspended)),
        ]),
        ..FakeDirectory::default()
    }
}

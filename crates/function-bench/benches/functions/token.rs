//! A user pool's key, and an access token that it signed.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::Result;
use crate::aws::{REGION, TENANT, USER_POOL, USER_POOL_CLIENT};

const KEY_ID: &str = "bench";

/// How long a token is good, in seconds.
const VALID_S: u64 = 3_600;

/// An RSA key made for this run.
pub(crate) struct SigningKey {
    private: EncodingKey,
    jwk: Jwk,
}

impl SigningKey {
    pub(crate) fn generate() -> Result<Self> {
        let pair = KeyPair::generate(KeySize::Rsa2048)?;
        let der: Pkcs8V1Der<'_> = pair.as_der()?;
        let label = "PRIVATE KEY";
        let pem = format!(
            "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
            STANDARD.encode(der.as_ref())
        );
        let private = EncodingKey::from_rsa_pem(pem.as_bytes())?;
        let mut jwk = Jwk::from_encoding_key(&private, Algorithm::RS256)?;
        jwk.common.key_id = Some(KEY_ID.to_owned());
        Ok(Self { private, jwk })
    }

    /// The set that the user pool serves.
    pub(crate) fn jwks(&self) -> Value {
        json!({ "keys": [self.jwk] })
    }

    /// An access token of a developer, as Cognito makes them.
    pub(crate) fn access_token(&self, now_ms: u64) -> Result<String> {
        let issued_at = now_ms / 1_000;
        let claims = json!({
            "sub": "0c5f1a52-bench", "cognito:groups": [format!("{TENANT}:developer")],
            "iss": format!("https://cognito-idp.{REGION}.amazonaws.com/{USER_POOL}"),
            "version": 2, "client_id": USER_POOL_CLIENT, "origin_jti": "o", "token_use": "access",
            "scope": "aws.cognito.signin.user.admin", "auth_time": issued_at, "exp": issued_at + VALID_S, "iat": issued_at,
            "jti": "j", "username": "developer",
        });
        let header = Header { kid: Some(KEY_ID.to_owned()), ..Header::new(Algorithm::RS256) };
        Ok(jsonwebtoken::encode(&header, &claims, &self.private)?)
    }
}

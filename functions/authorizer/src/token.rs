//! JSON Web Tokens: read without trust, then verified.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use tenancy::{ClaimPath, SigningAlgorithm};

use crate::refusal::InvalidToken;

/// Clocks of issuers may differ from ours by this many seconds.
const LEEWAY_S: u64 = 60;

/// Key ids longer than this are not looked up, so that remembering unknown ones stays cheap.
const MAX_KEY_ID_BYTES: usize = 256;

/// A token that reads well, which says nothing about who wrote it.
pub(crate) struct UnverifiedToken<'a> {
    signed_part: &'a str,
    signature: &'a str,
    header: Header,
    claims: Claims,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    typ: Option<String>,
    /// Extensions that a verifier must understand. This one understands none.
    crit: Option<Value>,
}

/// The claims that anything is decided by. Times are Unix seconds.
#[derive(Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) sub: String,
    exp: u64,
    nbf: Option<u64>,
    iat: Option<u64>,
    #[serde(default)]
    pub(crate) aud: Audience,
    pub(crate) client_id: Option<String>,
    pub(crate) token_use: Option<String>,
    #[serde(default, rename = "cognito:groups")]
    pub(crate) groups: Vec<String>,
    /// Every claim, for what a registration maps.
    #[serde(skip)]
    all: Value,
}

/// The `aud` claim: one name or several.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    pub(crate) fn includes_any(&self, accepted: &[String]) -> bool {
        match self {
            Self::One(name) => accepted.contains(name),
            Self::Several(names) => names.iter().any(|name| accepted.contains(name)),
        }
    }
}

impl Default for Audience {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Claims {
    /// What the claim at `path` says: its text, or those in its list. Numbers and truth values count as they are written.
    pub(crate) fn texts(&self, path: &ClaimPath) -> Vec<String> {
        let path = path.as_str();
        let claim = if path.starts_with('/') { self.all.pointer(path) } else { self.all.get(path) };
        texts(claim)
    }

    /// The scopes in the token, by either name that issuers give the claim, as one text or as a list.
    pub(crate) fn scopes(&self) -> Vec<String> {
        let claims = ["scope", "scp"].map(|name| texts(self.all.get(name)));
        let words = claims.iter().flatten().flat_map(|scopes| scopes.split(' '));
        words.map(ToOwned::to_owned).collect()
    }

    /// From when on the token is good for nothing, in Unix seconds.
    pub(crate) fn expires_at(&self) -> u64 {
        self.exp.saturating_add(LEEWAY_S)
    }
}

impl<'a> UnverifiedToken<'a> {
    /// Reads a token of exactly three parts.
    pub(crate) fn parse(token: &'a str) -> Result<Self, InvalidToken> {
        let (signed_part, signature) = token.rsplit_once('.').ok_or(InvalidToken::Malformed)?;
        let (header, claims) = signed_part.split_once('.').ok_or(InvalidToken::Malformed)?;
        let header: Header = read(&decoded(header)?)?;
        if header.kid.is_empty() || header.kid.len() > MAX_KEY_ID_BYTES {
            return Err(InvalidToken::UnknownKey);
        }
        let is_jwt = header.typ.as_deref().is_none_or(|typ| {
            // RFC 9068 names access tokens; tokens of other types (logout, security events) are not meant for us.
            ["JWT", "at+jwt", "application/at+jwt"]
                .iter()
                .any(|known| known.eq_ignore_ascii_case(typ))
        });
        if header.crit.is_some() || !is_jwt {
            return Err(InvalidToken::UnsupportedHeader);
        }
        let all = decoded(claims)?;
        let mut claims: Claims = read(&all)?;
        claims.all = all;
        Ok(Self { signed_part, signature, header, claims })
    }

    /// Who claims to have issued the token: good for looking up a registered issuer, and for nothing else.
    pub(crate) fn unverified_issuer(&self) -> &str {
        &self.claims.iss
    }

    /// The key that claims to have signed the token.
    pub(crate) fn unverified_key_id(&self) -> &str {
        &self.header.kid
    }

    /// Refuses a token that is not signed the way its issuer signs, before any key is fetched for it.
    pub(crate) fn require_algorithm(
        &self,
        algorithm: SigningAlgorithm,
    ) -> Result<(), InvalidToken> {
        if self.header.alg == algorithm.as_str() {
            Ok(())
        } else {
            Err(InvalidToken::WrongAlgorithm)
        }
    }

    /// Checks signature, issuer and times, in this order; the claims are to be believed then.
    ///
    /// `now` is in Unix seconds. The algorithm is the issuer's, not the token's.
    pub(crate) fn verify(
        self,
        issuer: &str,
        algorithm: SigningAlgorithm,
        key: &DecodingKey,
        now: u64,
    ) -> Result<Claims, InvalidToken> {
        self.require_algorithm(algorithm)?;
        let algorithm = match algorithm {
            SigningAlgorithm::Rs256 => Algorithm::RS256,
            SigningAlgorithm::Es256 => Algorithm::ES256,
        };
        let is_signed = jsonwebtoken::crypto::verify(
            self.signature,
            self.signed_part.as_bytes(),
            key,
            algorithm,
        );
        if !is_signed.unwrap_or(false) {
            return Err(InvalidToken::WrongSignature);
        }
        let claims = self.claims;
        if claims.iss != issuer {
            return Err(InvalidToken::UnknownIssuer);
        }
        if claims.expires_at() <= now {
            return Err(InvalidToken::Expired);
        }
        let latest_start = now.saturating_add(LEEWAY_S);
        if [claims.nbf, claims.iat].into_iter().flatten().any(|start| start > latest_start) {
            return Err(InvalidToken::NotYetValid);
        }
        Ok(claims)
    }
}

/// The JSON object that a part of a token holds.
fn decoded(part: &str) -> Result<Value, InvalidToken> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| InvalidToken::Malformed)?;
    let value: UniqueNames = serde_json::from_slice(&json).map_err(|_| InvalidToken::Malformed)?;
    if value.0.is_object() { Ok(value.0) } else { Err(InvalidToken::Malformed) }
}

fn read<T: DeserializeOwned>(object: &Value) -> Result<T, InvalidToken> {
    T::deserialize(object).map_err(|_| InvalidToken::Malformed)
}

fn texts(claim: Option<&Value>) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    match claim {
        Some(Value::Array(values)) => values.iter().filter_map(text).collect(),
        claim => claim.and_then(text).into_iter().collect(),
    }
}

/// JSON in which no object has a name twice: parsers differ in which value counts, and an attacker
/// would choose between them.
struct UniqueNames(Value);

impl<'de> Deserialize<'de> for UniqueNames {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueNamesVisitor).map(Self)
    }
}

struct UniqueNamesVisitor;

impl<'de> Visitor<'de> for UniqueNamesVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, UniqueNames(value))) = access.next_entry::<String, _>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a name stands twice"));
            }
        }
        Ok(Value::Object(object))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(UniqueNames(value)) = access.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_bool<E: Error>(self, is_true: bool) -> Result<Value, E> {
        Ok(is_true.into())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

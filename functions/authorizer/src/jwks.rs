//! The issuers' public keys, fetched seldom and kept.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use serde::Deserialize;
use serde_json::Value;
use tenancy::SigningAlgorithm;

use crate::fetch::{FetchJwksError, JwksSource};
use crate::refusal::{InvalidToken, Refusal, chain};

/// Keys younger than this are used without asking for newer ones.
const FRESH_FOR_S: u64 = 3600;
/// Keys older than this are not used, even if no newer ones can be had: they may have been withdrawn.
const USABLE_FOR_S: u64 = 24 * 3600;
/// While there are usable keys, they are fetched this often on average at most, whatever key ids tokens name.
const REFRESH_INTERVAL_S: u64 = 60;
/// So many fetches may be made at once, if there were none for some time: a key that was published
/// right after a fetch is found then. Whoever invents key ids can use them up, and delays a new key
/// by an interval.
const MAX_REFRESHES: u64 = 4;
/// Without usable keys nobody gets in, so a failed fetch is repeated sooner.
const RETRY_INTERVAL_S: u64 = 5;
/// A key id that its issuer did not know is not asked for again within this time, and then within four
/// times as long, and so on: a new key may take some seconds until it is served everywhere.
const ABSENT_FOR_S: u64 = 5;
/// The longest of these times.
const MAX_ABSENT_FOR_S: u64 = 300;
/// Absent key ids remembered per issuer at most.
const MAX_ABSENT: usize = 128;
/// Issuers whose keys are kept at most.
const MAX_KEY_SETS: usize = 256;

/// The keys of an issuer cannot be had, so its tokens cannot be judged.
#[derive(Debug, thiserror::Error)]
#[error("there are no usable keys to verify tokens with")]
pub(crate) struct KeysUnavailable {
    source: Option<FetchJwksError>,
}

/// Every issuer's keys, by JWKS URL.
#[derive(Debug)]
pub(crate) struct KeyCache<S> {
    source: S,
    sets: Mutex<HashMap<String, Arc<KeySet>>>,
}

/// One issuer's keys. Known keys are read past a running refresh; only callers who need the
/// refresh wait for it, and all of them for the same one.
#[derive(Debug, Default)]
struct KeySet {
    keyring: RwLock<Arc<Keyring>>,
    /// How many fetches have begun.
    begun: AtomicU64,
    refresh: tokio::sync::Mutex<Refresh>,
}

/// The answer of one fetch.
#[derive(Debug, Default)]
struct Keyring {
    keys: Vec<VerificationKey>,
    fetched_at: Option<u64>,
}

#[derive(Debug)]
struct VerificationKey {
    id: String,
    algorithm: SigningAlgorithm,
    key: Arc<DecodingKey>,
}

#[derive(Debug, Default)]
struct Refresh {
    attempted_at: Option<u64>,
    /// Seconds that the fetches made so far use up, counted on from the last of them.
    used_s: u64,
    absent: HashMap<String, Absent>,
}

/// A key id that the issuer did not know.
#[derive(Debug)]
struct Absent {
    asked_at: u64,
    ask_again_after_s: u64,
}

impl<S: JwksSource> KeyCache<S> {
    pub(crate) fn new(source: S) -> Self {
        Self { source, sets: Mutex::default() }
    }

    /// The key of that id, if the issuer whose keys are at `jwks_url` signs with it.
    pub(crate) async fn find(
        &self,
        jwks_url: &str,
        key_id: &str,
        algorithm: SigningAlgorithm,
        now: u64,
    ) -> Result<Arc<DecodingKey>, Refusal> {
        let set = self.set(jwks_url);
        if let Some(key) = set.keyring().find_fresh(key_id, algorithm, now) {
            return Ok(key);
        }
        let begun_before = set.begun.load(Ordering::Acquire);
        let mut refresh = set.refresh.lock().await;
        let keyring = set.keyring();
        if let Some(key) = keyring.find_fresh(key_id, algorithm, now) {
            return Ok(key); // fetched while this caller waited for its turn
        }
        // A fetch that had begun before this caller came may have missed its key; a later one has not.
        let is_answered =
            set.begun.load(Ordering::Acquire) > begun_before && keyring.is_usable(now);
        let mut failure = None;
        if !is_answered && refresh.is_due(&keyring, key_id, now) {
            refresh.note_attempt(now);
            set.begun.fetch_add(1, Ordering::AcqRel);
            match self.source.fetch(jwks_url).await.and_then(|jwks| Keyring::parse(&jwks, now)) {
                Ok(keyring) => {
                    if keyring.find(key_id, algorithm).is_none() {
                        refresh.note_absent(key_id, now);
                    }
                    set.replace(keyring);
                }
                Err(error) => {
                    tracing::warn!(
                        error = chain(&error),
                        "fetching an issuer's keys failed; earlier ones stay in use"
                    );
                    failure = Some(error);
                }
            }
        }
        let keyring = set.keyring();
        if !keyring.is_usable(now) {
            return Err(KeysUnavailable { source: failure }.into());
        }
        keyring.find(key_id, algorithm).ok_or_else(|| InvalidToken::UnknownKey.into())
    }

    fn set(&self, jwks_url: &str) -> Arc<KeySet> {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = sets.get(jwks_url) {
            return Arc::clone(set);
        }
        if sets.len() >= MAX_KEY_SETS {
            sets.clear();
        }
        Arc::clone(sets.entry(jwks_url.to_owned()).or_default())
    }
}

impl KeySet {
    fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&self.keyring.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, keyring: Keyring) {
        *self.keyring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keyring);
    }
}

impl Keyring {
    /// Reads a JWK set; keys that cannot verify a signature of ours are left out.
    fn parse(jwks: &[u8], now: u64) -> Result<Self, FetchJwksError> {
        #[derive(Deserialize)]
        struct JwkSet {
            keys: Vec<Value>,
        }
        let set: JwkSet = serde_json::from_slice(jwks).map_err(FetchJwksError::Malformed)?;
        let keys: Vec<_> = set.keys.into_iter().filter_map(VerificationKey::read).collect();
        if keys.is_empty() {
            Err(FetchJwksError::NoKeys)
        } else {
            Ok(Self { keys, fetched_at: Some(now) })
        }
    }

    fn find(&self, id: &str, algorithm: SigningAlgorithm) -> Option<Arc<DecodingKey>> {
        let found = self.keys.iter().find(|key| key.id == id && key.algorithm == algorithm);
        found.map(|found| Arc::clone(&found.key))
    }

    fn find_fresh(
        &self,
        id: &str,
        algorithm: SigningAlgorithm,
        now: u64,
    ) -> Option<Arc<DecodingKey>> {
        if self.is_younger_than(FRESH_FOR_S, now) { self.find(id, algorithm) } else { None }
    }

    fn is_usable(&self, now: u64) -> bool {
        self.is_younger_than(USABLE_FOR_S, now)
    }

    fn is_younger_than(&self, age_s: u64, now: u64) -> bool {
        self.fetched_at.is_some_and(|fetched_at| now.saturating_sub(fetched_at) < age_s)
    }
}

impl VerificationKey {
    fn read(jwk: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(jwk).ok()?;
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => SigningAlgorithm::Rs256,
            AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
                SigningAlgorithm::Es256
            }
            _ => return None,
        };
        let is_for_signatures = jwk
            .common
            .public_key_use
            .as_ref()
            .is_none_or(|key_use| *key_use == PublicKeyUse::Signature);
        let is_for_algorithm = jwk
            .common
            .key_algorithm
            .is_none_or(|key_algorithm| key_algorithm.to_string() == algorithm.as_str());
        if !is_for_signatures || !is_for_algorithm {
            return None;
        }
        let key = Arc::new(DecodingKey::from_jwk(&jwk).ok()?);
        Some(Self { id: jwk.common.key_id?, algorithm, key })
    }
}

impl Refresh {
    fn is_due(&self, keyring: &Keyring, key_id: &str, now: u64) -> bool {
        let since_s = self.attempted_at.map_or(u64::MAX, |at| now.saturating_sub(at));
        if !keyring.is_usable(now) {
            return since_s >= RETRY_INTERVAL_S;
        }
        if !keyring.is_younger_than(FRESH_FOR_S, now) {
            return since_s >= REFRESH_INTERVAL_S; // keys that have aged are a reason, whoever asks
        }
        let is_absent = self.absent.get(key_id).is_some_and(|absent| absent.is_current(now));
        let left_s = self.used_s.saturating_sub(since_s);
        !is_absent && left_s <= (MAX_REFRESHES - 1) * REFRESH_INTERVAL_S
    }

    fn note_attempt(&mut self, now: u64) {
        let since_s = self.attempted_at.map_or(u64::MAX, |at| now.saturating_sub(at));
        self.used_s = self.used_s.saturating_sub(since_s).saturating_add(REFRESH_INTERVAL_S);
        self.attempted_at = Some(now);
    }

    fn note_absent(&mut self, key_id: &str, now: u64) {
        if let Some(absent) = self.absent.get_mut(key_id) {
            let longer_s = absent.ask_again_after_s.saturating_mul(4).min(MAX_ABSENT_FOR_S);
            *absent = Absent { asked_at: now, ask_again_after_s: longer_s };
            return;
        }
        if self.absent.len() >= MAX_ABSENT {
            self.absent.retain(|_, absent| absent.is_current(now));
        }
        if self.absent.len() < MAX_ABSENT {
            let absent = Absent { asked_at: now, ask_again_after_s: ABSENT_FOR_S };
            self.absent.insert(key_id.to_owned(), absent);
        }
    }
}

impl Absent {
    fn is_current(&self, now: u64) -> bool {
        now.saturating_sub(self.asked_at) < self.ask_again_after_s
    }
}

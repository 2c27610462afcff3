//! The issuers whose tokens are accepted: one user pool, and those that tenants registered.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tenancy::{Directory, Issuer, ReadDirectoryError, SigningAlgorithm};

use crate::fetch::is_secure;
use crate::refusal::Fault;

/// A look-up, successful or not, is good for this long: registering an issuer takes effect within it.
const LOOKUP_FOR_S: u64 = 60;
/// Look-ups remembered at most.
const MAX_LOOKUPS: usize = 256;
/// Issuer names longer than this are not looked up.
const MAX_ISSUER_BYTES: usize = 512;

/// The Cognito user pool that is the default issuer.
#[derive(Debug, Clone)]
pub struct UserPool {
    /// Its `iss` claim.
    pub issuer: String,
    /// Where its keys are.
    pub jwks_url: String,
    /// The app client that people sign in with; every other one needs to be registered as a machine client.
    pub people_client_id: String,
}

/// An issuer that may speak about callers.
#[derive(Debug, Clone)]
pub(crate) enum TrustedIssuer {
    UserPool(Arc<UserPool>),
    Registered(Arc<Issuer>),
}

impl TrustedIssuer {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::UserPool(pool) => &pool.issuer,
            Self::Registered(issuer) => &issuer.issuer,
        }
    }

    pub(crate) fn jwks_url(&self) -> &str {
        match self {
            Self::UserPool(pool) => &pool.jwks_url,
            Self::Registered(issuer) => &issuer.jwks_url,
        }
    }

    pub(crate) fn algorithm(&self) -> SigningAlgorithm {
        match self {
            Self::UserPool(_) => SigningAlgorithm::Rs256,
            Self::Registered(issuer) => issuer.algorithm,
        }
    }
}

/// Finds issuers by name, remembering what the directory said.
#[derive(Debug)]
pub(crate) struct Issuers {
    user_pool: Arc<UserPool>,
    lookups: Mutex<HashMap<String, Lookup>>,
}

#[derive(Debug)]
struct Lookup {
    issuer: Option<Arc<Issuer>>,
    at: u64,
}

impl Issuers {
    pub(crate) fn new(user_pool: UserPool) -> Self {
        Self { user_pool: Arc::new(user_pool), lookups: Mutex::default() }
    }

    /// The issuer of exactly that name. The name comes from an unverified token: it selects among
    /// registered issuers, it never becomes an address.
    pub(crate) async fn find(
        &self,
        directory: &impl Directory,
        name: &str,
        now: u64,
    ) -> Result<Option<TrustedIssuer>, Fault> {
        if name == self.user_pool.issuer {
            return Ok(Some(TrustedIssuer::UserPool(Arc::clone(&self.user_pool))));
        }
        if !name.starts_with("https://") || name.len() > MAX_ISSUER_BYTES {
            return Ok(None);
        }
        let Some(issuer) = self.look_up(directory, name, now).await? else { return Ok(None) };
        if !is_secure(&issuer.jwks_url) {
            return Err(Fault::InsecureJwksUrl { issuer: issuer.issuer.clone() });
        }
        Ok(Some(TrustedIssuer::Registered(issuer)))
    }

    async fn look_up(
        &self,
        directory: &impl Directory,
        name: &str,
        now: u64,
    ) -> Result<Option<Arc<Issuer>>, ReadDirectoryError> {
        if let Some(lookup) = self.lookups.lock().unwrap_or_else(PoisonError::into_inner).get(name)
            && lookup.is_current(now)
        {
            return Ok(lookup.issuer.clone());
        }
        // The item's own name counts, lest a wrong item let one issuer speak as another.
        let issuer =
            directory.issuer(name).await?.filter(|issuer| issuer.issuer == name).map(Arc::new);
        let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        if lookups.len() >= MAX_LOOKUPS {
            lookups.retain(|_, lookup| lookup.is_current(now));
        }
        if lookups.len() >= MAX_LOOKUPS {
            // Only a flood of invented names gets here; it should not push registered issuers out.
            lookups.retain(|_, lookup| lookup.issuer.is_some());
        }
        if lookups.len() < MAX_LOOKUPS {
            lookups.insert(name.to_owned(), Lookup { issuer: issuer.clone(), at: now });
        }
        Ok(issuer)
    }
}

impl Lookup {
    fn is_current(&self, now: u64) -> bool {
        now.saturating_sub(self.at) < LOOKUP_FOR_S
    }
}

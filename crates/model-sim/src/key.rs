//! The key that OpenAI-compatible servers ask for.

use axum::http::header;

use crate::arrival::Arrival;
use crate::error::Fault;

/// Which key is right, and where it stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Key {
    key: Option<String>,
    header: Option<String>,
}

impl Key {
    /// Wants `key` as a bearer token, or plainly in `header`; no key lets everyone in.
    pub(crate) fn new(key: Option<String>, header: Option<String>) -> Self {
        Self { key, header: header.map(|name| name.to_lowercase()) }
    }

    /// Another key in the same place.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self.clone() }
    }

    /// The same key in a header of its own.
    pub(crate) fn in_header(&self, header: &str) -> Self {
        Self { header: Some(header.to_lowercase()), ..self.clone() }
    }

    /// The header of its own, lower case.
    pub(crate) fn header(&self) -> Option<&str> {
        self.header.as_deref()
    }

    /// Whether a request shows the key.
    ///
    /// # Errors
    /// A missing or wrong key.
    pub(crate) fn check(&self, arrival: &Arrival) -> Result<(), Fault> {
        let Some(key) = &self.key else { return Ok(()) };
        let shown = match &self.header {
            Some(name) => arrival.header(name),
            None => arrival
                .header(header::AUTHORIZATION.as_str())
                .and_then(|value| value.strip_prefix("Bearer ")),
        };
        match shown {
            Some(shown) if shown == key => Ok(()),
            Some(_) => Err(Fault::unauthorized("Incorrect API key provided.")),
            None => Err(Fault::unauthorized("You didn't provide an API key.")),
        }
    }
}

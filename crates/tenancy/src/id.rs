//! Identifiers. Each is checked when it is made, so that no key, ARN or policy built from one can
//! be bent by a wildcard, a separator or a look-alike character.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that is not a valid identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not a valid {kind}: {rule}")]
pub struct InvalidId {
    /// What was to be identified, for example `tenant id`.
    pub kind: &'static str,
    /// The refused text, cut to 64 characters.
    pub value: String,
    /// The rule it breaks, in words.
    pub rule: &'static str,
}

impl InvalidId {
    pub(crate) fn new(kind: &'static str, value: &str, rule: &'static str) -> Self {
        Self { kind, value: value.chars().take(64).collect(), rule }
    }
}

/// Whether `text` matches `^[a-z][a-z0-9-]{1,38}[a-z0-9]$`.
fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let letter_or_digit = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (3..=40).contains(&bytes.len())
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last().is_some_and(letter_or_digit)
        && bytes.iter().all(|byte| letter_or_digit(byte) || *byte == b'-')
}

/// Whether `text` is 1 to 256 of the characters that Bedrock model ids and profile ids use.
fn is_model_id(text: &str) -> bool {
    (1..=256).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte))
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $valid:ident, $rule:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(value: String) -> Result<Self, InvalidId> {
                if $valid(&value) { Ok(Self(value)) } else { Err(InvalidId::new($kind, &value, $rule)) }
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(value: &str) -> Result<Self, InvalidId> {
                Self::try_from(value.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// The customer whose data, limits and bill are separate: `^[a-z][a-z0-9-]{1,38}[a-z0-9]$`.
    ///
    /// It stands in DynamoDB keys (`TENANT#<id>`), session names and session tags, where `#`, `*`,
    /// `?`, `/` or a capital letter could reach into another tenant.
    TenantId, "tenant id", is_label,
    "use 3 to 40 lower-case letters, digits and hyphens, starting with a letter and not ending in a hyphen"
}

id! {
    /// A line of business: the tenants whose spending one owner answers for. Same shape as [`TenantId`].
    LobId, "line of business id", is_label,
    "use 3 to 40 lower-case letters, digits and hyphens, starting with a letter and not ending in a hyphen"
}

id! {
    /// A piece of work inside a tenant that has its own limits and its own line on the bill. Same shape as [`TenantId`].
    ProjectId, "project id", is_label,
    "use 3 to 40 lower-case letters, digits and hyphens, starting with a letter and not ending in a hyphen"
}

id! {
    /// A model as clients name it, for example `anthropic.claude-sonnet-4-5`.
    ModelId, "model id", is_model_id,
    "use 1 to 256 letters, digits and the characters . _ : / -"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, is_valid: bool) {
        assert_eq!(text.parse::<TenantId>().is_ok(), is_valid, "{text:?}");
    }

    #[test]
    fn tenant_ids_are_plain_labels() {
        check("acme", true);
        check("a1-b", true);
        check(&"a".repeat(40), true);
        for text in [
            "",
            "ab",
            "1abc",
            "-abc",
            "abc-",
            "Acme",
            "ac_me",
            "ac#me",
            "acme*",
            "acm\u{435}",
            "acme\n",
            " acme",
        ] {
            check(text, false);
        }
        check(&"a".repeat(41), false);
    }

    proptest! {
        #[test]
        fn no_tenant_id_can_leave_its_key(text in ".{0,50}") {
            if let Ok(id) = text.parse::<TenantId>() {
                prop_assert!(id.as_str().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
                prop_assert!((3..=40).contains(&id.as_str().len()));
            }
        }
    }
}

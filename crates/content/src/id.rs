//! Names of content.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

/// A text that names no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is 1 to 128 letters, digits and the characters _ - . =")]
pub struct InvalidContentId;

/// What content is called within its tenant and kind: 1 to 128 letters, digits and `_ - . =`.
///
/// It stands in keys between separators, which it cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(String);

impl ContentId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContentId {
    type Err = InvalidContentId;

    fn from_str(text: &str) -> Result<Self, InvalidContentId> {
        let is_valid = (1..=128).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.=".contains(&byte));
        if is_valid { Ok(Self(text.to_owned())) } else { Err(InvalidContentId) }
    }
}

impl From<[u8; 32]> for ContentId {
    /// A digest, in hexadecimal.
    fn from(digest: [u8; 32]) -> Self {
        Self(digest.iter().fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_of_responses_digests_files_and_connections_are_names() {
        for text in ["resp_0193a", "file-1.pdf", "L0SM9cOFvHcCIhw=", &"a".repeat(128)] {
            assert_eq!(text.parse::<ContentId>().unwrap().as_str(), text);
        }
        for text in ["", "a#0", "a/b", "a b", "\u{e9}", "*", &"a".repeat(129)] {
            assert_eq!(text.parse::<ContentId>(), Err(InvalidContentId), "{text:?}");
        }
        assert_eq!(ContentId::from([0xab; 32]).as_str(), "ab".repeat(32));
    }

    proptest! {
        #[test]
        fn no_id_holds_a_separator(text in "\\PC{0,140}") {
            if let Ok(id) = text.parse::<ContentId>() {
                prop_assert!(id.as_str().bytes().all(|byte| byte.is_ascii_graphic() && !b"#*?/\\\"".contains(&byte)));
            }
        }
    }
}

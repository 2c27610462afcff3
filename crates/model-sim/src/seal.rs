//! Signs and seals reasoning, so that a request which brings it back altered or invented is refused.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

const OPENING: &str = "model-sim sealed ";

/// The signature of some reasoning; the same text always has the same.
pub(crate) fn sign(text: &str) -> String {
    BASE64_STANDARD.encode(Sha256::digest(format!("model-sim signed {text}")))
}

/// Some reasoning that only the simulator reads, as base64.
pub(crate) fn seal(text: &str) -> String {
    BASE64_STANDARD.encode(format!("{OPENING}{} {text}", sign(text)))
}

/// Whether `sealed` was sealed by the simulator and has not been changed since.
pub(crate) fn is_sealed(sealed: &str) -> bool {
    let Ok(bytes) = BASE64_STANDARD.decode(sealed) else { return false };
    let Ok(text) = String::from_utf8(bytes) else { return false };
    let parts = text.strip_prefix(OPENING).and_then(|rest| rest.split_once(' '));
    parts.is_some_and(|(signature, text)| signature == sign(text))
}

#[cfg(test)]
mod tests {
    use super::{is_sealed, seal, sign};

    #[test]
    fn only_what_was_sealed_here_opens() {
        assert!(is_sealed(&seal("a thought with spaces")));
        assert!(is_sealed(&seal("")));
        for forged in ["", "c2ltdWxhdGVk", "no base64!", &sign("x"), &seal("x")[..40]] {
            assert!(!is_sealed(forged), "{forged}");
        }
        assert_ne!(sign("a"), sign("b"));
    }
}

//! Signed thinking in opaque texts: of other providers in this protocol's `encrypted_content`, and of
//! this protocol's providers in other dialects' signatures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::ContentBlock;

/// Starts an `encrypted_content` that this gateway made, with the version of what follows: base64 of
/// JSON.
const PREFIX: &str = "weir.1.";

/// Thinking that its provider wants back unchanged. The text stands here as well as in the item's
/// `summary`, since clients may shorten or restyle what they take for a summary, and the signature is
/// over every byte of it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sealed {
    Signed { text: String, signature: String },
    Redacted(String),
}

/// `encrypted_content` for `block`, if it is thinking that has to come back unchanged.
pub(super) fn seal(block: &ContentBlock) -> Option<String> {
    let sealed = match block {
        ContentBlock::Reasoning { text, signature: Some(signature) } => {
            Sealed::Signed { text: text.clone(), signature: signature.clone() }
        }
        ContentBlock::RedactedReasoning { data } => Sealed::Redacted(data.clone()),
        _ => return None,
    };
    let json = serde_json::to_vec(&sealed).ok()?;
    Some(format!("{PREFIX}{}", STANDARD.encode(json)))
}

/// Whether this gateway made that `encrypted_content`.
pub(super) fn is_sealed(encrypted_content: &str) -> bool {
    encrypted_content.starts_with(PREFIX)
}

/// The thinking in an `encrypted_content` that this gateway made; `None` for any other.
pub(super) fn open(encrypted_content: &str) -> Option<ContentBlock> {
    let json = STANDARD.decode(encrypted_content.strip_prefix(PREFIX)?).ok()?;
    Some(match serde_json::from_slice(&json).ok()? {
        Sealed::Signed { text, signature } => {
            ContentBlock::Reasoning { text, signature: Some(signature) }
        }
        Sealed::Redacted(data) => ContentBlock::RedactedReasoning { data },
    })
}

/// Starts what stands for an `encrypted_content` where another dialect has a signature or redacted
/// thinking; base64 as a whole, since those are.
const FOREIGN: &str = "openai-responses.1.";

/// The signature, or redacted data, that stands for a provider's reasoning item.
pub(super) fn seal_foreign(id: &str, encrypted_content: &str) -> String {
    STANDARD.encode(format!("{FOREIGN}{id}.{encrypted_content}"))
}

/// The id and `encrypted_content` that a signature or redacted data stands for, if it does.
pub(super) fn open_foreign(signature: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(signature).ok()?).ok()?;
    let (id, encrypted) = text.strip_prefix(FOREIGN)?.split_once('.')?;
    Some((id.to_owned(), encrypted.to_owned()))
}

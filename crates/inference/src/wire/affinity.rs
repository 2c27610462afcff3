//! What conversations without a key of their own are known by.

use serde_json::Value;

/// Texts longer than this start the same way only if they are the same.
const MAX_BYTES: usize = 16 << 10;

/// A digest of the start of a prompt: the parts that all turns of one conversation send unchanged. It is
/// no secret keeper; it only spreads conversations evenly, the same in every version of the gateway.
#[derive(Debug, Clone)]
pub(crate) struct PromptStart {
    hash: u64,
    left: usize,
}

impl Default for PromptStart {
    fn default() -> Self {
        // FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>)
        Self { hash: 0xcbf2_9ce4_8422_2325, left: MAX_BYTES }
    }
}

impl PromptStart {
    /// Adds a piece of the prompt.
    pub(crate) fn add(&mut self, value: &Value) {
        let text = match value {
            Value::String(text) => text.as_str(),
            other => &other.to_string(),
        };
        for byte in text.bytes().take(self.left) {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.left = self.left.saturating_sub(text.len());
    }

    /// The key.
    pub(crate) fn key(&self) -> String {
        format!("prompt-{:016x}", self.hash)
    }
}

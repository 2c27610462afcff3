//! The provider's prompt cache: a prefix that was marked before is read, the rest up to the last mark is written.
//!
//! Nothing is too short for it, and nothing expires before `POST /_sim/reset`: what a test sees depends on the
//! requests that it made, not on the clock.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::plan::Usage;
use crate::prompt::Tally;

/// For how long a prefix is to be kept; priced differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ttl {
    /// The default.
    FiveMinutes,
    /// `"ttl": "1h"`
    OneHour,
}

impl Ttl {
    /// Of the words in a request; `None` for any but the two known ones.
    pub(crate) fn named(name: Option<&str>) -> Option<Self> {
        match name {
            None | Some("5m") => Some(Self::FiveMinutes),
            Some("1h") => Some(Self::OneHour),
            Some(_) => None,
        }
    }
}

/// A request up to the end of one block.
#[derive(Debug, Clone, Copy)]
struct Prefix {
    digest: u64,
    tokens: u64,
    ttl: Option<Ttl>,
}

/// All prefixes of a request, shortest first.
#[derive(Debug, Default)]
pub(crate) struct Prefixes {
    hasher: DefaultHasher,
    prefixes: Vec<Prefix>,
}

impl Prefixes {
    /// Goes on by one block; `tally` is what the request weighs up to its end. A mark in the block is not part of it.
    pub(crate) fn step(&mut self, block: &Value, tally: Tally) {
        let mut unmarked = block.get("cache_control").is_some().then(|| block.clone());
        if let Some(fields) = unmarked.as_mut().and_then(Value::as_object_mut) {
            fields.shift_remove("cache_control");
        }
        self.hasher.write(unmarked.as_ref().unwrap_or(block).to_string().as_bytes());
        let (digest, tokens) = (self.hasher.finish(), tally.tokens());
        self.prefixes.push(Prefix { digest, tokens, ttl: None });
    }

    /// Marks what has been stepped over so far as worth keeping.
    pub(crate) fn mark(&mut self, ttl: Ttl) {
        if let Some(prefix) = self.prefixes.last_mut() {
            prefix.ttl = Some(ttl);
        }
    }

    /// Whether anything was marked.
    fn is_marked(&self) -> bool {
        self.prefixes.iter().any(|prefix| prefix.ttl.is_some())
    }
}

/// What was kept, by model.
#[derive(Debug, Default)]
pub(crate) struct PromptCache {
    kept: Mutex<HashSet<(String, u64)>>,
}

impl PromptCache {
    /// Splits the input of `usage` in what is read, written and neither, and keeps what is written.
    pub(crate) fn apply(&self, model: &str, prefixes: &Prefixes, usage: &mut Usage) {
        if !prefixes.is_marked() {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let last_mark = prefixes.prefixes.iter().rposition(|prefix| prefix.ttl.is_some());
        let in_reach = last_mark.and_then(|last| prefixes.prefixes.get(..=last)).unwrap_or(&[]);
        let is_kept = |prefix: &&Prefix| kept.contains(&(model.to_owned(), prefix.digest));
        let read = in_reach.iter().rfind(is_kept).map_or(0, |prefix| prefix.tokens);
        let mut covered = read;
        for prefix in in_reach {
            let Some(ttl) = prefix.ttl else { continue };
            kept.insert((model.to_owned(), prefix.digest));
            let written = prefix.tokens.saturating_sub(covered);
            covered = covered.max(prefix.tokens);
            match ttl {
                Ttl::FiveMinutes => usage.cache_write_5m += written,
                Ttl::OneHour => usage.cache_write_1h += written,
            }
        }
        usage.cache_read = read;
        usage.input = usage.input.saturating_sub(covered);
    }

    /// Forgets everything.
    pub(crate) fn reset(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Prefixes, PromptCache, Ttl};
    use crate::plan::Usage;
    use crate::prompt::Tally;

    fn usage_of(cache: &PromptCache, blocks: &[(&str, Option<Ttl>)]) -> (u64, u64, u64, u64) {
        let (mut prefixes, mut tally) = (Prefixes::default(), Tally::default());
        for (text, ttl) in blocks {
            tally.text(text);
            let mut block = json!({"text": text});
            if ttl.is_some() {
                block["cache_control"] = json!({"type": "ephemeral"});
            }
            prefixes.step(&block, tally);
            if let Some(ttl) = ttl {
                prefixes.mark(*ttl);
            }
        }
        let mut usage = Usage { input: tally.tokens(), ..Usage::default() };
        cache.apply("m", &prefixes, &mut usage);
        (usage.cache_read, usage.cache_write_5m, usage.cache_write_1h, usage.input)
    }

    #[test]
    fn a_prefix_is_written_once_and_read_by_every_longer_request() {
        let cache = PromptCache::default();
        let five = Some(Ttl::FiveMinutes);
        assert_eq!(usage_of(&cache, &[("12345678", None), ("1234", None)]), (0, 0, 0, 3));
        assert_eq!(usage_of(&cache, &[("12345678", five), ("1234", None)]), (0, 2, 0, 1));
        assert_eq!(usage_of(&cache, &[("12345678", five), ("5678", None)]), (2, 0, 0, 1));
        let longer = [("12345678", None), ("5678", Some(Ttl::OneHour)), ("9", None)];
        assert_eq!(usage_of(&cache, &longer), (2, 0, 1, 1));
        assert_eq!(usage_of(&cache, &longer), (3, 0, 0, 1));
        assert_eq!(usage_of(&cache, &[("87654321", five)]), (0, 2, 0, 0));
    }
}

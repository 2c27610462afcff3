//! Deterministic embeddings and relevance: texts that share words are near each other.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hasher};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

/// A vector of length one for `text`.
pub(crate) fn embedding(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0_f32; dimensions];
    // The text itself keeps the empty one from being zero, and two orders of the same words apart.
    for word in words(text).iter().map(String::as_str).chain([text]) {
        let mut hasher = DefaultHasher::new();
        hasher.write(word.as_bytes());
        let mut state = hasher.finish();
        for value in &mut vector {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            *value += if state >> 63 == 0 { 1.0 } else { -1.0 };
        }
    }
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt().max(1.0);
    for value in &mut vector {
        *value /= length;
    }
    vector
}

/// Little-endian 32-bit floats as base64, OpenAI's other encoding.
pub(crate) fn base64(vector: &[f32]) -> String {
    let bytes: Vec<_> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    BASE64_STANDARD.encode(bytes)
}

/// One bit per value, eight to a number; `offset` is 0 for `ubinary` and 128 for `binary`.
pub(crate) fn bits(vector: &[f32], offset: i16) -> Value {
    let packed = vector.chunks(8).map(|eight| {
        eight.iter().fold(0_i16, |byte, value| byte << 1 | i16::from(*value > 0.0)) - offset
    });
    packed.collect()
}

/// Each value as one of 256 numbers; `offset` is 0 for `int8` and 128 for `uint8`.
pub(crate) fn bytes(vector: &[f32], offset: i16) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "within -127 and 127")]
    vector.iter().map(|value| (value * 127.0).round() as i16 + offset).collect()
}

/// How much of `query` is in `document`: the share of its words, from 0 to 1.
pub(crate) fn relevance(query: &str, document: &str) -> f64 {
    let (query, document) = (words(query), words(document));
    let shared = query.intersection(&document).count();
    #[expect(clippy::cast_precision_loss, reason = "texts of few words")]
    if query.is_empty() { 0.0 } else { shared as f64 / query.len() as f64 }
}

/// Documents by relevance, the earlier first among equals: their index and score.
pub(crate) fn ranked(query: &str, documents: &[String], limit: Option<usize>) -> Vec<(usize, f64)> {
    let mut ranked: Vec<_> =
        documents.iter().map(|document| relevance(query, document)).enumerate().collect();
    ranked.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    ranked.truncate(limit.unwrap_or(usize::MAX));
    ranked
}

fn words(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !letter.is_alphanumeric());
    words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::{bits, bytes, embedding, ranked};

    #[test]
    fn texts_that_share_words_are_near() {
        let dot = |a: &str, b: &str| {
            embedding(a, 256).iter().zip(embedding(b, 256)).map(|(a, b)| a * b).sum::<f32>()
        };
        assert!((dot("a b c", "a b c") - 1.0).abs() < 1e-5);
        assert!(dot("red green blue", "red green yellow") > 0.3);
        assert!(dot("red green blue", "one two three") < 0.3);
    }

    #[test]
    fn numbers_of_other_types_have_their_range() {
        assert_eq!(
            bits(&[1.0, -1.0, 1.0, -1.0, -1.0, -1.0, -1.0, 1.0], 0),
            serde_json::json!([161])
        );
        assert_eq!(bits(&[-1.0; 8], 128), serde_json::json!([-128]));
        assert_eq!(bytes(&[1.0, -1.0], 0), serde_json::json!([127, -127]));
    }

    #[test]
    fn relevance_is_the_share_of_words() {
        let documents = ["nothing", "the capital of France", "France"].map(str::to_owned);
        let ranked = ranked("capital France", &documents, Some(2));
        assert_eq!(ranked, [(1, 1.0), (2, 0.5)]);
    }
}

//! The order in which an alias' targets are asked.

use inference::{Alias, Target};
use tenancy::ModelId;

use crate::Health;

/// The targets of `alias` that may be called, in the order in which to ask them.
///
/// Step by step. Within a step the first is drawn by weight with `draw` (any number; uniformly random
/// ones meet the weights), the others follow by weight. With affinity and a `conversation` (a hash of
/// what ties its turns together) the drawing is by weighted rendezvous hashing instead: a conversation
/// meets the same target as long as that is there, and of other changes only those move it that
/// concern its own target (Thaler & Ravishankar, 1998; weights after Schindelhauer & Schomaker, 2005).
///
/// Targets whose breaker is open go to the very end, in the same order: better asked than nothing.
pub fn candidates(
    alias: &Alias,
    is_allowed: impl Fn(&ModelId) -> bool,
    draw: u64,
    conversation: Option<u64>,
    health: &impl Health,
    now_ms: i64,
) -> Vec<ModelId> {
    let conversation = conversation.filter(|_| alias.has_affinity);
    let (mut healthy, mut open) = (Vec::new(), Vec::new());
    for (rank, step) in alias.steps.iter().enumerate() {
        let mut targets: Vec<&Target> =
            step.targets.iter().filter(|target| is_allowed(&target.model)).collect();
        // The same formula with a key that is new for every call draws by weight.
        let drawn = || mix(draw ^ mix(u64::try_from(rank).unwrap_or(u64::MAX)));
        let key = conversation.unwrap_or_else(drawn);
        targets.sort_by(|a, b| score(b, key).total_cmp(&score(a, key)));
        for target in targets {
            let is_known = healthy.contains(&target.model) || open.contains(&target.model);
            if is_known {
                continue;
            }
            let list = if health.is_open(&target.model, now_ms) { &mut open } else { &mut healthy };
            list.push(target.model.clone());
        }
    }
    healthy.append(&mut open);
    healthy
}

/// A target's claim to `key`: the higher the sooner. With `u` uniform in (0, 1), the greatest
/// `weight / -ln(u)` is a target's with the probability of its share.
#[expect(clippy::cast_precision_loss, reason = "53 bits are random enough")]
fn score(target: &Target, key: u64) -> f64 {
    let hash = mix(key ^ fnv(target.model.as_str().as_bytes()));
    let uniform = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    f64::from(target.weight) / -uniform.ln()
}

/// FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>): the same in every build and on every machine.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The finalizer of `SplitMix64` (Steele, Lea, Flood, 2014): spreads every bit of `value` over all.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use inference::{RetryPolicy, Step};
    use proptest::prelude::*;

    use super::*;
    use crate::Breakers;

    fn alias(steps: &[&[(&str, u32)]], has_affinity: bool) -> Alias {
        let target = |(model, weight): &(&str, u32)| Target {
            model: model.parse().unwrap(),
            weight: *weight,
        };
        let steps = steps
            .iter()
            .map(|targets| Step { targets: targets.iter().map(target).collect() })
            .collect();
        let retry = RetryPolicy::default();
        Alias { name: "alias".parse().unwrap(), steps, retry, has_affinity }
    }

    fn order(alias: &Alias, draw: u64, conversation: Option<u64>) -> Vec<String> {
        let all = |_: &ModelId| true;
        candidates(alias, all, draw, conversation, &Breakers::default(), 0)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn weights_are_met_and_steps_keep_their_rank() {
        let alias = alias(&[&[("big", 90), ("canary", 10), ("spare", 0)], &[("last", 1)]], false);
        let mut first: BTreeMap<String, u32> = BTreeMap::new();
        for draw in 0..10_000 {
            let order = order(&alias, mix(draw), None);
            assert_eq!((order.len(), order[2].as_str(), order[3].as_str()), (4, "spare", "last"));
            *first.entry(order[0].clone()).or_default() += 1;
        }
        // 1,000 expected; the standard deviation is 30.
        assert!((880..1_120).contains(&first["canary"]), "{first:?}");
    }

    #[test]
    fn a_conversation_stays_and_only_those_of_a_lost_target_move() {
        let three = alias(&[&[("a", 1), ("b", 1), ("c", 1)]], true);
        let two = alias(&[&[("a", 1), ("b", 1)]], true);
        let mut moved = 0;
        for key in 0..3_000 {
            let before = order(&three, key, Some(mix(key)));
            assert_eq!(before, order(&three, key + 1, Some(mix(key))), "chance has no say");
            let after = order(&two, 0, Some(mix(key)));
            if before[0] == "c" {
                moved += 1;
            } else {
                assert_eq!(before[0], after[0]);
            }
        }
        assert!((880..1_120).contains(&moved), "{moved}");
    }

    #[test]
    fn without_affinity_a_conversation_is_drawn_like_any_call() {
        let alias = alias(&[&[("a", 1), ("b", 1)]], false);
        let firsts: std::collections::BTreeSet<_> =
            (0..50).map(|draw| order(&alias, mix(draw), Some(7))[0].clone()).collect();
        assert_eq!(firsts.len(), 2);
    }

    #[test]
    fn an_open_breaker_moves_a_target_to_the_end() {
        let alias = alias(&[&[("a", 1)], &[("b", 1)]], false);
        let breakers = Breakers::default();
        breakers.open(&"a".parse().unwrap(), 1_000);
        let at = |now_ms| candidates(&alias, |_: &ModelId| true, 0, None, &breakers, now_ms);
        let names = |ids: Vec<ModelId>| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(at(999)), ["b", "a"]);
        assert_eq!(names(at(1_000)), ["a", "b"]);
    }

    proptest! {
        #[test]
        fn every_allowed_target_comes_once_and_no_other(
            weights in prop::collection::vec((0..4_u32, 0..3_usize), 1..8), draw: u64,
            conversation: Option<u64>, has_affinity: bool, forbidden in 0..8_usize,
        ) {
            let names: Vec<String> = (0..weights.len()).map(|index| format!("m{index}")).collect();
            let mut steps = vec![Vec::new(); 3];
            for ((weight, step), name) in weights.iter().zip(&names) {
                steps[*step].push((name.as_str(), *weight));
            }
            let steps: Vec<&[(&str, u32)]> = steps.iter().map(Vec::as_slice).collect();
            let alias = alias(&steps, has_affinity);
            let forbidden = format!("m{forbidden}");
            let is_allowed = |id: &ModelId| id.as_str() != forbidden;
            let order = candidates(&alias, is_allowed, draw, conversation, &Breakers::default(), 0);
            let mut seen: Vec<_> = order.iter().map(ToString::to_string).collect();
            seen.sort();
            let expected: Vec<_> = names.into_iter().filter(|name| *name != forbidden).collect();
            prop_assert_eq!(seen, expected);
        }
    }
}

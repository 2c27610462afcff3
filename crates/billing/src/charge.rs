//! Usage under a plan: what each line is charged, and what the plan includes.

use std::collections::BTreeSet;

use metering::NanoUsd;
use serde::{Deserialize, Serialize};
use tenancy::ModelId;

use crate::Overflow;
use crate::line::{Line, LineKey, UsageSum};
use crate::plan::{Allowance, Plan, Volume};

/// How much of an allowance was used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncludedUse {
    /// Which allowance.
    pub id: String,
    /// How much it includes.
    pub volume: Volume,
    /// How much of that was used, in its own unit.
    pub used: u64,
    /// What that would have been charged.
    pub amount_nanousd: NanoUsd,
}

/// What of a line no allowance has covered yet.
struct Uncovered {
    tokens: u64,
    charge: u64,
}

/// What `sums` are charged under `plan`, in their order, and what of it each allowance covered.
pub(crate) fn charge(
    plan: &Plan,
    sums: Vec<(LineKey, UsageSum)>,
) -> Result<(Vec<Line>, Vec<IncludedUse>), Overflow> {
    let gross = sums.iter().map(|(key, sum)| {
        plan.charge(&key.model, sum.cost_nanousd.0.into(), &sum.usage).ok_or(Overflow)
    });
    let gross = gross.collect::<Result<Vec<u64>, _>>()?;
    let mut uncovered: Vec<Uncovered> = sums
        .iter()
        .zip(&gross)
        .map(|((_, sum), charge)| Uncovered { tokens: sum.usage.total(), charge: *charge })
        .collect();
    let models: Vec<&ModelId> = sums.iter().map(|(key, _)| &key.model).collect();
    let included =
        plan.included.iter().map(|allowance| cover(allowance, &models, &mut uncovered)).collect();
    let lines = sums
        .into_iter()
        .zip(gross)
        .zip(uncovered)
        .map(|(((key, sum), gross), left)| Line {
            key,
            sum,
            gross_nanousd: NanoUsd(gross),
            included_nanousd: NanoUsd(gross.saturating_sub(left.charge)),
            charge_nanousd: NanoUsd(left.charge),
        })
        .collect();
    Ok((lines, included))
}

/// Takes what `allowance` covers off the lines of its models.
fn cover(allowance: &Allowance, models: &[&ModelId], lines: &mut [Uncovered]) -> IncludedUse {
    let covers = |set: &BTreeSet<ModelId>, model| set.is_empty() || set.contains(model);
    let mut covered: Vec<&mut Uncovered> = models
        .iter()
        .zip(lines)
        .filter(|(model, _)| covers(&allowance.models, **model))
        .map(|(_, line)| line)
        .collect();
    // Sums beyond what can be counted are refused where the lines are added up.
    let (mut used, mut amount) = (0_u64, 0_u64);
    match allowance.volume {
        Volume::Tokens(tokens) => {
            let weights: Vec<u64> = covered.iter().map(|line| line.tokens).collect();
            for (line, share) in covered.iter_mut().zip(shares(tokens, &weights)) {
                // The whole charge for the last token, so that no rest stays behind.
                let worth = portion(line.charge, share, line.tokens);
                line.tokens -= share;
                line.charge -= worth;
                used = used.saturating_add(share);
                amount = amount.saturating_add(worth);
            }
        }
        Volume::AmountNanousd(most) => {
            let weights: Vec<u64> = covered.iter().map(|line| line.charge).collect();
            for (line, share) in covered.iter_mut().zip(shares(most, &weights)) {
                line.tokens -= portion(line.tokens, share, line.charge);
                line.charge -= share;
                used = used.saturating_add(share);
                amount = used;
            }
        }
    }
    IncludedUse {
        id: allowance.id.clone(),
        volume: allowance.volume,
        used,
        amount_nanousd: NanoUsd(amount),
    }
}

/// `whole × part / of`, rounded down; all of it where `part` is all.
fn portion(whole: u64, part: u64, of: u64) -> u64 {
    let exact = u128::from(whole) * u128::from(part);
    exact.checked_div(u128::from(of)).and_then(|it| u64::try_from(it).ok()).unwrap_or(0)
}

/// Shares `amount` out in proportion to `weights`, none more than its weight. What is left by rounding
/// down goes, one each, to those that lost most by it; to the first of equals.
fn shares(amount: u64, weights: &[u64]) -> Vec<u64> {
    let sum: u128 = weights.iter().copied().map(u128::from).sum();
    if sum <= u128::from(amount) {
        return weights.to_vec();
    }
    let exact = weights.iter().map(|weight| u128::from(amount) * u128::from(*weight));
    let mut shares: Vec<(u64, u128, usize)> = exact
        .enumerate()
        .map(|(index, exact)| (u64::try_from(exact / sum).unwrap_or(u64::MAX), exact % sum, index))
        .collect();
    let given: u128 = shares.iter().map(|(share, _, _)| u128::from(*share)).sum();
    let left = usize::try_from(u128::from(amount).saturating_sub(given)).unwrap_or(usize::MAX);
    shares.sort_unstable_by(|(_, a, i), (_, b, j)| b.cmp(a).then(i.cmp(j)));
    for (share, _, _) in shares.iter_mut().take(left) {
        *share += 1;
    }
    shares.sort_unstable_by_key(|(_, _, index)| *index);
    shares.into_iter().map(|(share, _, _)| share).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_left_goes_to_who_lost_most() {
        assert_eq!(shares(10, &[5, 5, 5]), [4, 3, 3]);
        assert_eq!(shares(1, &[1, 2, 3]), [0, 0, 1]);
        assert_eq!(shares(100, &[1, 2]), [1, 2], "no more than there is");
        assert_eq!(shares(0, &[1, 2]), [0, 0]);
        assert_eq!(shares(7, &[]), [0; 0]);
        let most = u64::MAX;
        assert_eq!(shares(most, &[most, most]), [most / 2 + 1, most / 2]);
    }

    proptest! {
        #[test]
        fn shares_are_fair_and_use_all(amount in 0..10_000u64, weights in prop::collection::vec(0..3_000u64, 0..12)) {
            let sum: u64 = weights.iter().sum();
            let shares = shares(amount, &weights);
            prop_assert_eq!(shares.iter().sum::<u64>(), amount.min(sum));
            for (share, weight) in shares.iter().zip(&weights) {
                prop_assert!(share <= weight);
                if sum > amount {
                    prop_assert!((u128::from(*share) * u128::from(sum)).abs_diff(u128::from(amount) * u128::from(*weight)) < sum.into());
                }
            }
        }
    }
}

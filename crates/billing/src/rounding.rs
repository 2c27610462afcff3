//! The one rounding there is.

/// `amount / unit`, rounded to the nearest whole; of two that are equally near, the even one, so that
/// rounding many lines favours nobody. `unit` is positive.
pub(crate) fn half_even(amount: i128, unit: i128) -> i128 {
    let (whole, rest) = (amount.div_euclid(unit), amount.rem_euclid(unit));
    match (rest * 2).cmp(&unit) {
        std::cmp::Ordering::Less => whole,
        std::cmp::Ordering::Greater => whole + 1,
        std::cmp::Ordering::Equal => whole + (whole & 1),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn halves_go_to_the_even_neighbour() {
        for (amount, rounded) in
            [(5, 0), (15, 2), (25, 2), (-5, 0), (-15, -2), (-25, -2), (4, 0), (6, 1), (-6, -1)]
        {
            assert_eq!(half_even(amount, 10), rounded, "{amount}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_off_by_more_than_half(amount in any::<i64>(), unit in 1..1_000_000_000i128) {
            let error = half_even(amount.into(), unit) * unit - i128::from(amount);
            prop_assert!(error.abs() * 2 <= unit);
            prop_assert_eq!(half_even(-i128::from(amount), unit), -half_even(amount.into(), unit));
        }
    }
}

//! Dollars as AWS writes them, in integers.

use metering::PicoUsd;

/// Ten thousand dollars for a million tokens, or a hundred for a picture: what costs more is no price of
/// a model but a mistake.
const DEAREST_TOKEN: u64 = 10_000_000_000;
const DEAREST_PIECE: u64 = 100_000_000_000_000;

/// What is wrong with a price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadPrice {
    /// Not digits and one point: a sign, an exponent, a thousands separator, `NaN`, nothing.
    NoDecimal,
    /// Not a whole number of pico-USD for one token or piece.
    TooFine,
    /// More than anything costs.
    Absurd,
}

/// The price of one token or piece, of which `scale` cost `text` dollars.
pub(super) fn per_unit(text: &str, scale: u32, is_token: bool) -> Result<PicoUsd, BadPrice> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |digits: &str, most: usize| {
        !digits.is_empty() && digits.len() <= most && digits.bytes().all(|it| it.is_ascii_digit())
    };
    if !is_number(whole, 9) || !is_number(fraction, 18) {
        return Err(BadPrice::NoDecimal);
    }
    // In 10^-18 dollars: nine digits and eighteen make less than 10^27, which is far below the end of a u128.
    let atto: u128 = format!("{whole}{fraction:0<18}").parse().map_err(|_| BadPrice::NoDecimal)?;
    let in_pico = 1_000_000 * u128::from(scale);
    if !atto.is_multiple_of(in_pico) {
        return Err(BadPrice::TooFine);
    }
    let dearest = if is_token { DEAREST_TOKEN } else { DEAREST_PIECE };
    u64::try_from(atto / in_pico)
        .ok()
        .filter(|pico| *pico <= dearest)
        .map(PicoUsd)
        .ok_or(BadPrice::Absurd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, scale: u32, price: Result<u64, BadPrice>) {
        assert_eq!(per_unit(text, scale, true), price.map(PicoUsd), "{text} / {scale}");
    }

    #[test]
    fn dollars_become_pico_dollars_exactly() {
        check("0.0008000000", 1_000, Ok(800_000));
        check("0.0000087500", 1_000, Ok(8_750));
        check("3.3000000000", 1_000_000, Ok(3_300_000));
        check("3", 1_000_000, Ok(3_000_000));
        check("0.0000000000", 1_000, Ok(0));
        assert_eq!(per_unit("0.06", 1, false), Ok(PicoUsd(60_000_000_000)));
    }

    #[test]
    fn what_is_no_plain_decimal_is_refused() {
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "-0.0",
            "+1",
            "1e-6",
            "1E3",
            "NaN",
            "nan",
            "inf",
            "Infinity",
            "1,000",
            "0,5",
            "1.2.3",
            "0x1",
            " 1",
            "1 ",
            "$1",
            "1_000",
            "١",
            "1000000000",
            "1.0000000000000000001",
        ] {
            check(text, 1_000, Err(BadPrice::NoDecimal));
        }
    }

    #[test]
    fn what_cannot_be_right_is_refused() {
        check("0.0000000001", 1_000, Err(BadPrice::TooFine));
        check("0.000000000000000001", 1, Err(BadPrice::TooFine));
        check("10.01", 1_000, Err(BadPrice::Absurd));
        check("999999999", 1, Err(BadPrice::Absurd));
        assert_eq!(per_unit("100.01", 1, false), Err(BadPrice::Absurd));
        assert_eq!(per_unit("100", 1, false), Ok(PicoUsd(DEAREST_PIECE)));
    }
}

//! That no call costs more than was reserved for it, whatever the prices.

use proptest::prelude::*;

use super::*;

/// Any price: each tier dearer or cheaper than the one before it, kinds left open here and there.
fn any_price() -> impl Strategy<Value = Price> {
    let pico = || (0..5_000_000_u64).prop_map(PicoUsd);
    let kinds = move || {
        let open = move || proptest::option::of(pico());
        ((pico(), pico()), [open(), open(), open(), open(), open()])
    };
    let tier = move || (1..400_000_u64, kinds());
    let pieces = [pico(), pico(), pico()];
    (kinds(), proptest::collection::vec(tier(), 0..4), pieces).prop_map(
        |(short, mut long, pieces)| {
            long.sort_by_key(|(above, _)| *above);
            long.dedup_by_key(|(above, _)| *above);
            let long_context =
                long.into_iter().map(|(above_input_tokens, ((input, output), open))| {
                    let [cache_read, five, hour, input_audio, output_audio] = open;
                    LongContext {
                        above_input_tokens,
                        input,
                        output,
                        cache_read,
                        cache_write_5m: five,
                        cache_write_1h: hour,
                        input_audio,
                        output_audio,
                    }
                });
            let ((input, output), open) = short;
            let [cache_read, five, hour, input_audio, output_audio] = open;
            let [image, search_unit, guardrail_unit] = pieces.map(Some);
            Price {
                input,
                output,
                cache_read,
                cache_write_5m: five,
                cache_write_1h: hour,
                input_audio,
                output_audio,
                image,
                search_unit,
                guardrail_unit,
                long_context: long_context.collect(),
            }
        },
    )
}

fn any_usage() -> impl Strategy<Value = TokenUsage> {
    let tokens = || 0..150_000_u64;
    (
        proptest::array::uniform5(tokens()),
        [tokens(), tokens()],
        proptest::array::uniform3(0..50_u64),
    )
        .prop_map(
            |(
                [input, input_audio, cache_read, cache_write_5m, cache_write_1h],
                [output, output_audio],
                [images, search_units, guardrail_units],
            )| {
                TokenUsage {
                    input,
                    output,
                    input_audio,
                    output_audio,
                    cache_read,
                    cache_write_5m,
                    cache_write_1h,
                    images,
                    search_units,
                    guardrail_units,
                }
            },
        )
}

/// A bound as calls are reserved by: nothing is known of how the input is split.
fn bound_of(usage: &TokenUsage, slack: u64) -> TokenUsage {
    TokenUsage {
        input: usage.total_input() + slack,
        output: usage.total_output() + slack,
        images: usage.images + slack,
        search_units: usage.search_units + slack,
        guardrail_units: usage.guardrail_units + slack,
        ..TokenUsage::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_bound_is_never_below_the_cost(
        price in any_price(), usage in any_usage(), slack in prop_oneof![Just(0), 0..300_000_u64],
    ) {
        prop_assert!(price.cost(&usage) <= price.bound(&bound_of(&usage, slack)));
        prop_assert!(price.cost(&usage) <= price.bound(&usage));
        prop_assert!(price.cost(&usage.uncached()) <= price.bound(&usage));
    }

    #[test]
    fn a_larger_bound_is_never_below_a_smaller_one(
        price in any_price(), usage in any_usage(), slack in 0..300_000_u64,
    ) {
        prop_assert!(price.bound(&bound_of(&usage, 0)) <= price.bound(&bound_of(&usage, slack)));
    }

    #[test]
    fn more_of_anything_costs_no_less_between_two_thresholds(
        price in any_price(), usage in any_usage(), more in any_usage(),
    ) {
        let both = usage.plus(&more);
        let is_same = |tier: &LongContext| {
            (usage.total_input() > tier.above_input_tokens) == (both.total_input() > tier.above_input_tokens)
        };
        prop_assume!(price.long_context.iter().all(is_same));
        prop_assert!(price.cost(&usage) <= price.cost(&both));
    }

    #[test]
    fn costs_of_parts_add_up_to_within_a_rounding(
        price in any_price(), usage in any_usage(), more in any_usage(),
    ) {
        let price = Price { long_context: Vec::new(), ..price };
        let (apart, together) = (price.cost(&usage) + price.cost(&more), price.cost(&usage.plus(&more)));
        prop_assert!(together <= apart && apart.minus(together) <= NanoUsd(1));
    }

    #[test]
    fn nothing_overflows(
        price in any::<[u64; 10]>(), usage in any::<[u64; 10]>(), above in any::<u64>(),
    ) {
        let [input, output, read, five, hour, input_audio, output_audio, image, search, guardrail] = price.map(PicoUsd);
        let long = LongContext { above_input_tokens: above, input: output, output: input, ..LongContext::default() };
        let price = Price {
            input, output, cache_read: Some(read), cache_write_5m: Some(five), cache_write_1h: Some(hour),
            input_audio: Some(input_audio), output_audio: Some(output_audio), image: Some(image),
            search_unit: Some(search), guardrail_unit: Some(guardrail), long_context: vec![long],
        };
        let [input, output, cache_read, cache_write_5m, cache_write_1h, input_audio, output_audio, images, search_units, guardrail_units] = usage;
        let usage = TokenUsage {
            input, output, input_audio, output_audio, cache_read, cache_write_5m, cache_write_1h, images, search_units, guardrail_units,
        };
        prop_assert!(price.cost(&usage) <= price.bound(&usage));
    }

    #[test]
    fn what_is_written_is_read_again(price in any_price()) {
        let prices = ModelPrices::from(price);
        let written = serde_json::to_string(&prices).unwrap();
        prop_assert_eq!(serde_json::from_str::<ModelPrices>(&written).unwrap(), prices);
    }
}

//! A forwarded stream: however its bytes are cut, the same bytes go out and the same usage is read.

#![no_main]

use inference::openai_chat::UsageScanner;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, Vec<u8>, &[u8])| {
    let (includes_usage, cuts, stream) = input;
    let mut whole = UsageScanner::new(includes_usage);
    let mut expected = whole.push(stream).to_vec();
    expected.extend_from_slice(&whole.finish());

    let mut scanner = UsageScanner::new(includes_usage);
    let mut actual = Vec::new();
    let mut rest = stream;
    for cut in cuts {
        let (head, tail) = rest.split_at(usize::from(cut).min(rest.len()));
        actual.extend_from_slice(&scanner.push(head));
        rest = tail;
    }
    actual.extend_from_slice(&scanner.push(rest));
    actual.extend_from_slice(&scanner.finish());

    assert_eq!(actual, expected);
    assert_eq!(scanner.usage(), whole.usage());
    assert_eq!(scanner.estimated_output(), whole.estimated_output());
    assert_eq!(scanner.error(), whole.error());
    assert_eq!(scanner.is_finished(), whole.is_finished());
});

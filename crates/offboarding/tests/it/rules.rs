//! The table of classes.

use std::collections::BTreeSet;

use offboarding::{RULES, Store};

/// A kind has one class and one place in evidence, whatever rules find it.
#[test]
fn each_kind_has_one_class() {
    let mut seen = BTreeSet::new();
    for rule in RULES {
        for other in RULES.iter().filter(|it| (it.store, it.kind) == (rule.store, rule.kind)) {
            assert_eq!(
                (rule.class, rule.until, rule.is_counted),
                (other.class, other.until, other.is_counted),
                "{rule:?}"
            );
        }
        assert!(seen.insert((rule.store, rule.place, rule.name)), "{rule:?} stands there twice");
    }
    for store in Store::ALL {
        assert!(RULES.iter().any(|rule| rule.store == store), "{store:?}");
    }
}

//! What the machine says, and does not.

use super::*;

#[test]
fn what_is_missing_is_named() {
    let error = variable("WEIR_IS_SET_NOWHERE").unwrap_err();
    assert_eq!(error.to_string(), "environment variable `WEIR_IS_SET_NOWHERE` is not set");
}

#[test]
fn later_ids_are_greater() {
    let ids: Vec<String> = (0..100).map(|_| new_id()).collect();
    assert!(ids.is_sorted() && ids.iter().all(|id| id.len() == 32), "{ids:?}");
}

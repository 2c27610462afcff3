//! Answers of this function.

use administration::InvalidCaller;
use http_api::{ApiError, invalid};

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` takes")]
pub(crate) fn invalid_caller(error: InvalidCaller) -> ApiError {
    invalid(error.field, error.rule)
}

//! Answers of this function.

use administration::InvalidCaller;
use http_api::{ApiError, invalid};

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` takes")]
pub(crate) fn invalid_caller(error: InvalidCaller) -> ApiError {
    invalid(error.field, error.rule)
}

/// Characters of a reason, or of a note.
const MAX_TEXT: usize = 500;

/// Checks a text that people write for each other.
///
/// # Errors
/// It is too long, or has control characters other than line ends.
pub(crate) fn check_text(name: &str, text: &str) -> Result<(), ApiError> {
    if text.chars().count() > MAX_TEXT || text.chars().any(|it| it.is_control() && it != '\n') {
        return Err(invalid(name, format!("A text of {MAX_TEXT} characters at most.")));
    }
    Ok(())
}

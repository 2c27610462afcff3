//! Logs and metrics, in the forms that CloudWatch reads.

mod metric;

pub use metric::{Metric, NAMESPACE, Unit, emit};

/// Starts logging as the function's `LoggingConfig` says; call it once, first.
pub fn init() {
    lambda_runtime::tracing::init_default_subscriber();
}

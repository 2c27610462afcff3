//! One call of the gateway: its name, and its time.

use std::time::{Duration, Instant};

/// How long a call may run where nothing says so.
const DEFAULT_RUN_MS: i64 = 900_000;

/// What is kept back of the function's time to end a call properly.
const CLOSING: Duration = Duration::from_secs(5);

/// How long after the function's end its reservation is left alone, clock differences included.
const SLACK_MS: i64 = 60_000;

/// A call's name and clock.
#[derive(Debug, Clone)]
pub struct Call {
    /// A time-ordered UUID; the client's `x-request-id`.
    pub id: String,
    /// When it came in.
    pub started: Instant,
    /// When it came in, in Unix milliseconds.
    pub started_ms: i64,
    /// When the function ends, in Unix milliseconds.
    function_deadline_ms: i64,
    /// The client's call that this one repeats at a successor of its model, if it is a shadow.
    pub(crate) shadow_of: Option<String>,
}

impl Call {
    /// A call that comes in now, in a function that ends at `deadline_ms` (both in Unix milliseconds).
    pub fn begin(now_ms: i64, deadline_ms: Option<i64>) -> Self {
        Self {
            id: uuid::Uuid::now_v7().simple().to_string(),
            started: Instant::now(),
            started_ms: now_ms,
            function_deadline_ms: deadline_ms
                .filter(|ms| *ms > now_ms)
                .unwrap_or(now_ms + DEFAULT_RUN_MS),
            shadow_of: None,
        }
    }

    /// Whether it repeats a client's call.
    pub(crate) fn is_shadow(&self) -> bool {
        self.shadow_of.is_some()
    }

    /// When the provider must have answered.
    pub(crate) fn deadline(&self) -> Instant {
        let run = u64::try_from(self.function_deadline_ms - self.started_ms).unwrap_or(0);
        self.started + Duration::from_millis(run).saturating_sub(CLOSING)
    }

    /// Past this moment (Unix milliseconds) nothing of the call can be running.
    pub(crate) fn sweep_after_ms(&self) -> i64 {
        self.function_deadline_ms + SLACK_MS
    }

    /// When it came in, in Unix seconds.
    pub(crate) fn started_s(&self) -> i64 {
        self.started_ms.div_euclid(1_000)
    }
}

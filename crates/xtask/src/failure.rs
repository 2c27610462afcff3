//! Why a command did not succeed, as the person at the terminal reads it.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// The outcome of anything here.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something went wrong: what, and what to do about it.
    Because(String),
    /// Ctrl-C.
    Interrupted,
    /// The checks ran, and some failed; the report has said which.
    ChecksFailed,
}

impl Failure {
    /// A failure that reads as `message`.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Because(message.into())
    }

    /// For `map_err`: an operation on a file failed.
    pub(crate) fn at<'a>(action: &'a str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |error| Self::Because(format!("could not {action} {}: {error}", path.display()))
    }

    /// The exit status that tells a script.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Because(_) | Self::ChecksFailed => ExitCode::FAILURE,
            // 128 + SIGINT, as shells do
            Self::Interrupted => ExitCode::from(130),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Because(message) => write!(f, "error: {message}"),
            Self::Interrupted => f.write_str("interrupted"),
            Self::ChecksFailed => f.write_str("error: some checks failed, see above"),
        }
    }
}

//! Steps that are done, and taken back.

use std::error::Error;

use administration::{FinishError, UserPoolError};
use admission::StoreError;
use offboarding::Progress;

use crate::task::Task;

/// A step of a saga.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepDef {
    /// Names it.
    pub name: &'static str,
    /// Whether nothing is taken back any more once it is done.
    pub commits: bool,
}

/// A step was not done.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// It may work in a moment.
    #[error("something that a step needs could not be reached")]
    Transient(#[source] Box<dyn Error + Send + Sync>),
    /// It never will.
    #[error("{message}")]
    Permanent {
        /// For programs.
        code: &'static str,
        /// For people: what to do.
        message: String,
    },
}

impl StepError {
    /// Something that will never work.
    pub fn permanent(code: &'static str, message: impl Into<String>) -> Self {
        Self::Permanent { code, message: message.into() }
    }

    /// Something that may work in a moment.
    pub fn transient(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Transient(source.into())
    }
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        Self::transient(error)
    }
}

impl From<UserPoolError> for StepError {
    fn from(error: UserPoolError) -> Self {
        Self::transient(error)
    }
}

impl From<FinishError> for StepError {
    fn from(error: FinishError) -> Self {
        Self::transient(error)
    }
}

/// What a kind of task consists of.
///
/// A step may be cut anywhere and is run again; one that was begun is taken back, whether it was done, done
/// in part or not at all. Both do only what is not done yet. Neither changes more of `task` than `output`.
pub trait Saga: Send + Sync {
    /// Does a step, or what is left of it.
    fn run(
        &self,
        step: &str,
        task: &mut Task,
    ) -> impl Future<Output = Result<Progress, StepError>> + Send;

    /// Takes a step back, or what there is of it.
    fn undo(
        &self,
        step: &str,
        task: &mut Task,
    ) -> impl Future<Output = Result<Progress, StepError>> + Send;
}

//! Tests of Converse. Inputs of golden tests are in `testdata/converse/`.

mod read;
mod stream;
mod write;

use crate::{Capabilities, Model, Protocol, fixtures};

/// A model that can do everything.
fn able_model() -> Model {
    fixtures::model("anthropic.claude-test", Protocol::Converse)
}

/// A model that reads and writes text.
fn plain_model() -> Model {
    Model { capabilities: Capabilities::default(), ..able_model() }
}

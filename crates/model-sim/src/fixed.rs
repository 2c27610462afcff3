//! Answers without words: counts, embeddings, ranks, pictures.

use serde_json::Value;

use crate::call::Read;
use crate::plan::Plan;
use crate::playback::{Dialect, Event};
use crate::prompt::Prompt;
use crate::records::CallGuard;

/// An answer that no plan has a say in.
#[derive(Debug)]
pub(crate) struct Fixed(Value);

impl Fixed {
    /// The answer to a request that says `texts`; one of them may hold a directive.
    pub(crate) fn read<'a>(texts: impl IntoIterator<Item = &'a str>, answer: Value) -> Read {
        Self::weighed(Prompt::wordless(texts), answer)
    }

    /// The answer to a request that was weighed already.
    pub(crate) fn weighed(prompt: Prompt, answer: Value) -> Read {
        (prompt, Box::new(Self(answer)))
    }
}

impl Dialect for Fixed {
    fn events(&self, _plan: &Plan, _call: &CallGuard) -> Vec<Event> {
        vec![Event::mark("chunk", &self.0)]
    }

    fn whole(&self, _plan: &Plan, _call: &CallGuard) -> Value {
        self.0.clone()
    }
}

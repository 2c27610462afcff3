//! Scripts for clients whose prompts nobody controls: coding agents.
//!
//! A script answers every conversation in which the user says its `match`: turn *k* answers the request after *k*
//! rounds of tool results. Requests that offer no tools (titles, summaries) get a short text instead.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::directive::Directive;
use crate::error::Fault;
use crate::prompt::Prompt;

/// What a side request is answered with.
const ASIDE: &str = "Simulated.";

/// One scripted conversation.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Script {
    /// A text that the user says in it.
    #[serde(rename = "match")]
    marker: String,
    /// The answers, each by the keys of a directive.
    turns: Vec<Map<String, Value>>,
}

/// All scripts, by name.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    scripts: Mutex<BTreeMap<String, Script>>,
}

impl Scripts {
    /// Adds a script, or replaces the one of this name.
    ///
    /// # Errors
    /// A script that can match everything, or a turn that is no directive.
    pub(crate) fn put(&self, name: String, script: Script) -> Result<(), Fault> {
        if script.marker.trim().is_empty() {
            return Err(Fault::validation("model-sim: `match` must not be blank"));
        }
        for turn in &script.turns {
            Directive::read(turn.clone())?;
        }
        self.scripts().insert(name, script);
        Ok(())
    }

    /// Removes a script; whether there was one.
    pub(crate) fn remove(&self, name: &str) -> bool {
        self.scripts().remove(name).is_some()
    }

    /// The keys by which to answer `prompt`; `None` when it belongs to no script.
    pub(crate) fn answer(&self, prompt: &Prompt) -> Option<Map<String, Value>> {
        let scripts = self.scripts();
        let mut rounds = scripts.iter().filter_map(|(name, script)| {
            Some((name, script, prompt.rounds_after(&script.marker)?))
        });
        let (name, script, round) = rounds.next()?;
        let text =
            |text: &str| Map::from_iter([("text".to_owned(), Value::String(text.to_owned()))]);
        if prompt.tools.is_empty() {
            return Some(if prompt.schema.is_some() { Map::new() } else { text(ASIDE) });
        }
        let spent = || text(&format!("The script `{name}` has no turn {round}."));
        Some(script.turns.get(round).cloned().unwrap_or_else(spent))
    }

    /// Forgets all scripts.
    pub(crate) fn reset(&self) {
        self.scripts().clear();
    }

    fn scripts(&self) -> MutexGuard<'_, BTreeMap<String, Script>> {
        self.scripts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Scripts;
    use crate::prompt::{Prompt, Role, Tool, Turn};

    fn turn(role: Role, text: &str, results: &[&str]) -> Turn {
        let results = results.iter().map(|&result| result.to_owned()).collect();
        Turn { role, text: text.to_owned(), results }
    }

    fn prompt(turns: Vec<Turn>, has_tools: bool) -> Prompt {
        let tool = || Tool { name: "edit".to_owned(), schema: Value::Null };
        let tools = if has_tools { vec![tool()] } else { Vec::new() };
        Prompt { turns, tools, ..Prompt::default() }
    }

    fn said(scripts: &Scripts, prompt: &Prompt) -> Option<String> {
        Some(scripts.answer(prompt)?.get("text")?.as_str()?.to_owned())
    }

    #[test]
    fn a_turn_answers_after_as_many_rounds_of_tools() {
        let scripts = Scripts::default();
        let script = json!({"match": "fix it", "turns": [{"text": "zero"}, {"text": "one"}, {"text": "two"}]});
        scripts.put("s".to_owned(), serde_json::from_value(script).unwrap()).unwrap();
        let first = || turn(Role::User, "Please fix it.", &[]);
        assert_eq!(said(&scripts, &prompt(vec![first()], true)).as_deref(), Some("zero"));
        let round = || {
            [
                turn(Role::Assistant, "", &[]),
                turn(Role::User, "", &["a"]),
                turn(Role::User, "", &["b"]),
            ]
        };
        let mut turns = vec![turn(Role::User, "", &["older"]), first()];
        turns.extend(round());
        assert_eq!(said(&scripts, &prompt(turns, true)).as_deref(), Some("one"));
        let mut turns = vec![first()];
        for _ in 0..3 {
            turns.extend(round());
        }
        assert_eq!(
            said(&scripts, &prompt(turns, true)).as_deref(),
            Some("The script `s` has no turn 3.")
        );
        let instructed = vec![first(), turn(Role::System, "Be brief.", &[])];
        assert_eq!(said(&scripts, &prompt(instructed, true)).as_deref(), Some("zero"));
        assert_eq!(said(&scripts, &prompt(vec![first()], false)).as_deref(), Some("Simulated."));
        assert_eq!(said(&scripts, &prompt(vec![turn(Role::User, "hi", &[])], true)), None);
        assert_eq!(said(&scripts, &prompt(vec![turn(Role::Assistant, "fix it", &[])], true)), None);
    }

    #[test]
    fn a_bad_turn_is_refused() {
        let scripts = Scripts::default();
        for script in
            [json!({"match": " ", "turns": []}), json!({"match": "a", "turns": [{"txt": ""}]})]
        {
            assert!(scripts.put("s".to_owned(), serde_json::from_value(script).unwrap()).is_err());
        }
    }
}

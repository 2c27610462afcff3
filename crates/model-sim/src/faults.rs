//! Directives that hold for one model only, and only for its first attempts.
//!
//! The same table stands under `faults` in a directive and in the body of `PUT /_sim/faults`:
//!
//! ```text
//! {"<model, or *>": {<keys of a directive>, "times": 2}}
//! {"<model, or *>": [{"times": 1}, {"error": {"status": 503}, "times": 1}]}
//! ```
//!
//! A list is used up in order, an entry without `times` never; here the second call alone fails.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use crate::directive::Directive;
use crate::error::Fault;

/// The table of `PUT /_sim/faults`, and how often each was asked.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    table: Map<String, Value>,
    /// Calls so far, by model, and by the text that carries the table; empty for the table of the control API.
    attempts: HashMap<(String, String), u64>,
}

impl Faults {
    /// Replaces the table of the control API.
    ///
    /// # Errors
    /// What is no table.
    pub(crate) fn replace(&self, table: Map<String, Value>) -> Result<(), Fault> {
        check(&table)?;
        let mut state = self.state();
        state.attempts.retain(|(_, text), _| !text.is_empty());
        state.table = table;
        Ok(())
    }

    /// Adds what holds for this call to the keys of its directive.
    ///
    /// # Errors
    /// A `faults` key that holds no table.
    pub(crate) fn apply(
        &self,
        model: &str,
        text: &str,
        keys: &mut Map<String, Value>,
    ) -> Result<(), Fault> {
        let mut state = self.state();
        let table = keys.shift_remove("faults");
        if let Some(table) = table {
            let Value::Object(table) = table else {
                return Err(Fault::validation("model-sim: `faults` must be an object"));
            };
            check(&table)?;
            keys.extend(state.take(&table, model, text));
        }
        let table = state.table.clone();
        keys.extend(state.take(&table, model, ""));
        Ok(())
    }

    /// Forgets the table and all attempts.
    pub(crate) fn reset(&self) {
        *self.state() = State::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, table: &Map<String, Value>, model: &str, text: &str) -> Map<String, Value> {
        let Some(entries) = table.get(model).or_else(|| table.get("*")) else { return Map::new() };
        let attempt = self.attempts.entry((model.to_owned(), text.to_owned())).or_default();
        let mut left = *attempt;
        *attempt += 1;
        for entry in entries_of(entries) {
            let times = entry.get("times").and_then(Value::as_u64).unwrap_or(u64::MAX);
            if left < times {
                let mut keys = entry.as_object().cloned().unwrap_or_default();
                keys.shift_remove("times");
                return keys;
            }
            left -= times;
        }
        Map::new()
    }
}

fn entries_of(entries: &Value) -> &[Value] {
    entries.as_array().map_or(std::slice::from_ref(entries), Vec::as_slice)
}

fn check(table: &Map<String, Value>) -> Result<(), Fault> {
    for entry in table.values().flat_map(entries_of) {
        let Some(mut keys) = entry.as_object().cloned() else {
            return Err(Fault::validation("model-sim: an entry of `faults` must be an object"));
        };
        keys.shift_remove("times");
        Directive::read(keys)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::Faults;

    fn table(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[track_caller]
    fn texts(faults: &Faults, model: &str, prompt: &str, keys: &Value, expected: &[&str]) {
        for (attempt, expected) in expected.iter().enumerate() {
            let mut keys = table(keys);
            faults.apply(model, prompt, &mut keys).unwrap();
            assert_eq!(
                keys.get("text").map_or("-", |text| text.as_str().unwrap()),
                *expected,
                "{attempt}"
            );
            assert!(!keys.contains_key("faults") && !keys.contains_key("times"));
        }
    }

    #[test]
    fn a_model_fails_for_its_first_attempts() {
        let faults = Faults::default();
        let keys = json!({"text": "fine", "faults": {"a": {"text": "broken", "times": 2}}});
        texts(&faults, "a", "prompt", &keys, &["broken", "broken", "fine"]);
        texts(&faults, "b", "prompt", &keys, &["fine"]);
        texts(&faults, "a", "another prompt", &keys, &["broken"]);
    }

    #[test]
    fn a_list_picks_out_one_call() {
        let faults = Faults::default();
        faults
            .replace(table(&json!({"*": [{"times": 1}, {"text": "second", "times": 1}]})))
            .unwrap();
        texts(&faults, "a", "", &json!({}), &["-", "second", "-"]);
        faults.reset();
        texts(&faults, "a", "", &json!({}), &["-", "-"]);
    }

    #[test]
    fn a_typo_is_refused() {
        let faults = Faults::default();
        assert!(faults.replace(table(&json!({"a": {"err": {}}}))).is_err());
        assert!(faults.replace(table(&json!({"a": [1]}))).is_err());
        assert!(faults.apply("m", "", &mut table(&json!({"faults": 1}))).is_err());
    }
}

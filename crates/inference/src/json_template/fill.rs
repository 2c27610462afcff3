//! Filling a template.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// What stands in the places, by their names; a place without a value is left out.
pub(super) type Places = BTreeMap<&'static str, Value>;

/// The places that a template may have.
const NAMES: [&str; 6] = ["prompt", "system", "max_tokens", "temperature", "top_p", "stop"];

/// Whether `template` has that place.
pub(super) fn has_place(template: &Value, name: &str) -> bool {
    match template {
        Value::String(text) => pieces(text).any(|piece| piece == Piece::Place(name)),
        Value::Array(elements) => elements.iter().any(|element| has_place(element, name)),
        Value::Object(members) => members.values().any(|member| has_place(member, name)),
        _ => false,
    }
}

/// `template` with its places filled; `None` if it is a place without a value, or held nothing else.
pub(super) fn fill(template: &Value, places: &Places) -> Option<Value> {
    match template {
        Value::String(text) => fill_text(text, places),
        Value::Array(elements) => {
            let filled: Vec<_> = elements.iter().filter_map(|it| fill(it, places)).collect();
            (elements.is_empty() || !filled.is_empty()).then(|| filled.into())
        }
        Value::Object(members) => {
            let filled: Map<_, _> = members
                .iter()
                .filter_map(|(key, member)| Some((key.clone(), fill(member, places)?)))
                .collect();
            (members.is_empty() || !filled.is_empty()).then(|| filled.into())
        }
        other => Some(other.clone()),
    }
}

fn fill_text(text: &str, places: &Places) -> Option<Value> {
    let mut all = pieces(text);
    if let (Some(Piece::Place(name)), None) = (all.next(), all.next()) {
        return places.get(name).cloned();
    }
    let mut filled = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) => filled.push_str(text),
            Piece::Place(name) => match places.get(name) {
                Some(Value::String(text)) => filled.push_str(text),
                Some(other) => filled.push_str(&other.to_string()),
                None => {}
            },
        }
    }
    Some(filled.into())
}

#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Text(&'a str),
    Place(&'a str),
}

/// What a string of a template consists of. Braces around anything but a place are text.
fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let found = NAMES
            .iter()
            .filter_map(|name| rest.find(&format!("{{{{{name}}}}}")).map(|at| (at, *name)))
            .min();
        let (piece, tail) = match found {
            Some((0, name)) => (Piece::Place(name), rest.get(name.len() + 4..)),
            Some((at, _)) => (Piece::Text(rest.get(..at).unwrap_or_default()), rest.get(at..)),
            None => (Piece::Text(rest), None),
        };
        rest = tail.unwrap_or_default();
        Some(piece)
    })
}

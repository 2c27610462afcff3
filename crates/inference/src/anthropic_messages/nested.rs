//! Edits deep in a JSON text that leave the rest of it as it is.

use serde_json::value::RawValue;

use crate::wire::members::{Edit, Member, Members};

/// The object `text` with its member `key` edited; anything else as it is.
pub(super) fn in_member(text: &str, key: &str, edit: impl Fn(&str) -> String) -> String {
    let Ok(members) = Members::of(text) else {
        return text.to_owned();
    };
    let edit = |member: &Member| {
        if member.key == key {
            Edit::Replace(edit(text.get(member.value.clone()).unwrap_or_default()))
        } else {
            Edit::Keep
        }
    };
    members.rewrite(text, edit, &[])
}

/// The array `text` with its elements edited, and without those of which `None` is left; anything else
/// as it is.
pub(super) fn in_elements(text: &str, edit: impl Fn(&str) -> Option<String>) -> String {
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(text) else {
        return text.to_owned();
    };
    let slice = |start: usize, end: usize| text.get(start..end).unwrap_or_default();
    let mut output = String::with_capacity(text.len());
    let mut end = 0;
    let mut is_first = true;
    for (place, element) in elements.iter().enumerate() {
        // It borrows from `text`, so the distance is the offset.
        let start = element.get().as_ptr().addr().saturating_sub(text.as_ptr().addr());
        let separator = slice(end, start);
        end = start + element.get().len();
        if place == 0 {
            output.push_str(separator);
        }
        let Some(edited) = edit(element.get()) else { continue };
        if place > 0 && !is_first {
            output.push_str(separator);
        }
        is_first = false;
        output.push_str(&edited);
    }
    output.push_str(slice(end, text.len()));
    output
}

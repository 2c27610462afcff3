//! Where the members of a JSON object stand in its text, and edits that leave the rest as it is.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Members(Vec<Member>);

/// One member; offsets count bytes of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its key, unescaped.
    pub(crate) key: String,
    /// Where its key's quotation mark stands.
    start: usize,
    /// Its value.
    pub(crate) value: Range<usize>,
}

/// What becomes of a member.
pub(crate) enum Edit {
    Keep,
    Drop,
    Replace(String),
}

impl Members {
    /// Finds the members of the object that is the whole of `text`.
    pub(crate) fn of(text: &str) -> serde_json::Result<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let entries = deserializer.deserialize_map(Entries)?;
        deserializer.end()?;
        let mut members = Vec::with_capacity(entries.len());
        let mut end = 0;
        for (key, raw) in entries {
            // Both borrow from `text`, so the distance is the offset.
            let value_start = raw.get().as_ptr().addr().saturating_sub(text.as_ptr().addr());
            // Only white space and a brace or comma stand between a value and the next key.
            let start = text
                .get(end..value_start)
                .and_then(|gap| gap.find('"'))
                .map_or(value_start, |gap| end + gap);
            end = value_start + raw.get().len();
            members.push(Member { key, start, value: value_start..end });
        }
        Ok(Self(members))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.0.iter()
    }

    /// `text` with its members edited and `additions` (keys that need no escapes, JSON values) at the end.
    pub(crate) fn rewrite(
        &self,
        text: &str,
        edit: impl Fn(&Member) -> Edit,
        additions: &[(&str, String)],
    ) -> String {
        let slice = |range: Range<usize>| text.get(range).unwrap_or_default();
        let mut output = String::with_capacity(text.len() + 128);
        let body_start = self
            .0
            .first()
            .map_or_else(|| text.find('{').map_or(0, |brace| brace + 1), |first| first.start);
        let mut end = body_start;
        output.push_str(slice(0..body_start));
        let mut is_first = true;
        for member in &self.0 {
            let separator = slice(end..member.start);
            end = member.value.end;
            let edit = edit(member);
            if matches!(edit, Edit::Drop) {
                continue;
            }
            if !is_first {
                output.push_str(if separator.is_empty() { "," } else { separator });
            }
            is_first = false;
            output.push_str(slice(member.start..member.value.start));
            match edit {
                Edit::Replace(value) => output.push_str(&value),
                Edit::Keep | Edit::Drop => output.push_str(slice(member.value.clone())),
            }
        }
        for (key, value) in additions {
            if !is_first {
                output.push(',');
            }
            is_first = false;
            output.push('"');
            output.push_str(key);
            output.push_str("\":");
            output.push_str(value);
        }
        output.push_str(slice(end..text.len()));
        output
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(entries)
    }
}

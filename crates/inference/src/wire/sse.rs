//! Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>): cut out of
//! a stream with their own bytes, and written.

use bytes::Bytes;
use serde::Serialize;

/// Events longer than this pass unread, so that no provider can make the gateway hold more.
pub(crate) const MAX_EVENT_BYTES: usize = 1 << 20;

/// One event, or a piece of one that is too long to be held.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SseEvent {
    /// Its bytes as they came, with the blank line that ends it.
    pub(crate) bytes: Bytes,
    /// What its last `event:` says.
    pub(crate) name: Option<String>,
    /// Its `data:` lines, joined by line feeds; `None` for comments and for what was not read: a piece
    /// of a long event, or text that is not UTF-8.
    pub(crate) data: Option<String>,
}

/// Cuts a stream into events, however its bytes come. Lines end in LF or CRLF; a lone CR, which the
/// standard knows as well and nobody sends, ends none.
///
/// All events together hold all bytes that came, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct SseSplitter {
    /// The event so far.
    held: Vec<u8>,
    /// Whether the current line has something in it.
    line_has_bytes: bool,
    /// Whether the first part of the current event was passed on unread.
    is_oversized: bool,
}

impl SseSplitter {
    /// Takes bytes, and returns the events that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<SseEvent> {
        let mut events = Vec::new();
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.held.extend_from_slice(line);
            let is_whole = line.ends_with(b"\n");
            self.line_has_bytes |= line.iter().any(|byte| !matches!(byte, b'\r' | b'\n'));
            if is_whole && !self.line_has_bytes {
                events.push(self.take());
                self.is_oversized = false;
            } else if self.held.len() > MAX_EVENT_BYTES {
                self.is_oversized = true;
                events.push(self.take());
            }
            if is_whole {
                self.line_has_bytes = false;
            }
        }
        events
    }

    /// What is left when the stream has ended. Some servers leave out the last blank line: it is
    /// added, so that whatever is sent next stands alone. It may as well be half an event; if its data
    /// makes no sense, it is of no use to anybody and had better not be passed on.
    pub(crate) fn finish(&mut self) -> Option<SseEvent> {
        let is_cut = self.is_oversized || self.held.iter().any(|byte| !byte.is_ascii_whitespace());
        if is_cut {
            if self.line_has_bytes {
                self.held.push(b'\n');
            }
            self.held.push(b'\n');
        }
        let event = (!self.held.is_empty()).then(|| self.take());
        *self = Self::default();
        event
    }

    fn take(&mut self) -> SseEvent {
        let bytes = std::mem::take(&mut self.held);
        if self.is_oversized || bytes.len() > MAX_EVENT_BYTES {
            return SseEvent { bytes: bytes.into(), ..SseEvent::default() };
        }
        let (name, data) = str::from_utf8(&bytes).map(read).unwrap_or_default();
        SseEvent { bytes: bytes.into(), name, data }
    }
}

/// The name and the data of an event.
fn read(event: &str) -> (Option<String>, Option<String>) {
    let (mut name, mut data) = (None, None::<String>);
    for line in event.trim_start_matches('\u{feff}').lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => name = Some(value.to_owned()),
            "data" => match &mut data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => data = Some(value.to_owned()),
            },
            // Comments, `id` and `retry` say nothing of the answer.
            _ => {}
        }
    }
    (name, data)
}

/// Appends an event whose data is `data` as JSON on one line. Nothing is written if it has no JSON:
/// half an event must not go out.
pub(crate) fn write_event(output: &mut Vec<u8>, name: Option<&str>, data: &impl Serialize) {
    let start = output.len();
    if let Some(name) = name {
        output.extend_from_slice(b"event: ");
        output.extend_from_slice(name.as_bytes());
        output.push(b'\n');
    }
    output.extend_from_slice(b"data: ");
    match serde_json::to_writer(&mut *output, data) {
        Ok(()) => output.extend_from_slice(b"\n\n"),
        Err(_) => output.truncate(start),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn split(chunks: &[&[u8]]) -> Vec<SseEvent> {
        let mut splitter = SseSplitter::default();
        let mut events: Vec<_> = chunks.iter().flat_map(|chunk| splitter.push(chunk)).collect();
        events.extend(splitter.finish());
        events
    }

    fn event(bytes: &str, name: Option<&str>, data: Option<&str>) -> SseEvent {
        SseEvent {
            bytes: Bytes::copy_from_slice(bytes.as_bytes()),
            name: name.map(str::to_owned),
            data: data.map(str::to_owned),
        }
    }

    #[track_caller]
    fn check(stream: &str, expected: &[SseEvent]) {
        assert_eq!(split(&[stream.as_bytes()]), expected);
    }

    #[test]
    fn events_are_read() {
        check(
            "event: a\ndata: {}\n\n\u{feff}data:  x\r\n\r\n",
            &[
                event("event: a\ndata: {}\n\n", Some("a"), Some("{}")),
                event("\u{feff}data:  x\r\n\r\n", None, Some(" x")),
            ],
        );
        check(
            ": comment\nid: 7\ndata: a\ndata\ndata:b\nevent: x\nevent: y\n\n",
            &[event(
                ": comment\nid: 7\ndata: a\ndata\ndata:b\nevent: x\nevent: y\n\n",
                Some("y"),
                Some("a\n\nb"),
            )],
        );
    }

    #[test]
    fn what_has_no_data_passes() {
        check(": ping\n\n", &[event(": ping\n\n", None, None)]);
        check("\n\r\n", &[event("\n", None, None), event("\r\n", None, None)]);
        assert_eq!(split(&[b"data: \xff\n\n"])[0].data, None);
        check("", &[]);
    }

    #[test]
    fn a_missing_end_is_added() {
        check("data: 1", &[event("data: 1\n\n", None, Some("1"))]);
        check("data: 1\r\n", &[event("data: 1\r\n\n", None, Some("1"))]);
        check(
            "data: 1\n\ndata: {\"cu",
            &[event("data: 1\n\n", None, Some("1")), event("data: {\"cu\n\n", None, Some("{\"cu"))],
        );
        check("\r", &[event("\r", None, None)]);
    }

    #[test]
    fn what_is_too_long_passes_unread_and_is_not_held() {
        let chunk = [b'x'; 4096];
        let mut splitter = SseSplitter::default();
        splitter.push(b"data: ");
        let mut passed = 6;
        for _ in 0..MAX_EVENT_BYTES / chunk.len() + 9 {
            for event in splitter.push(&chunk) {
                assert_eq!(event.data, None);
            }
            passed += chunk.len();
            assert!(splitter.held.len() <= MAX_EVENT_BYTES);
        }
        assert!(passed > MAX_EVENT_BYTES);
        let end = splitter.push(b"\n\ndata: 1\n\n");
        assert_eq!(end.len(), 2);
        assert_eq!((&end[0].data, end[1].data.as_deref()), (&None, Some("1")));

        splitter.push(&vec![b'x'; MAX_EVENT_BYTES + 1]);
        assert_eq!(splitter.finish(), Some(event("\n\n", None, None)), "it ends what was passed");
    }

    #[test]
    fn an_event_of_just_the_limit_is_read_however_it_is_cut() {
        for (length, is_read) in [(MAX_EVENT_BYTES, true), (MAX_EVENT_BYTES + 1, false)] {
            let mut stream = vec![b'x'; length];
            stream[..6].copy_from_slice(b"data: ");
            stream[length - 2..].copy_from_slice(b"\n\n");
            for cut in [0, 3, length - 2, length - 1] {
                let (head, tail) = stream.split_at(cut);
                let events = split(&[head, tail]);
                assert_eq!(events.iter().any(|event| event.data.is_some()), is_read, "{cut}");
                let bytes: Vec<u8> = events.iter().flat_map(|it| it.bytes.to_vec()).collect();
                assert!(bytes == stream);
            }
        }
    }

    #[test]
    fn events_are_written() {
        let mut output = Vec::new();
        write_event(&mut output, Some("a"), &json!({"x": "\n"}));
        write_event(&mut output, None, &1);
        write_event(&mut output, None, &std::collections::BTreeMap::from([((), 1)]));
        assert_eq!(output, b"event: a\ndata: {\"x\":\"\\n\"}\n\ndata: 1\n\n");
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            pieces in prop::collection::vec(prop::sample::select(vec![
                "data: a\n", "data: {\"ü\":1}\r\n", "event: e\n", "\n", "\r\n", "\r", ": c\n", "da", "\u{feff}", "x",
            ]), 0..20),
            cuts in prop::collection::vec(1_usize..9, 1..20),
        ) {
            let stream = pieces.concat().into_bytes();
            let mut chunks = Vec::new();
            let mut rest = stream.as_slice();
            for cut in cuts.iter().cycle() {
                let (head, tail) = rest.split_at((*cut).min(rest.len()));
                chunks.push(head);
                rest = tail;
                if rest.is_empty() {
                    break;
                }
            }
            let whole = split(&[&stream]);
            prop_assert_eq!(&split(&chunks), &whole);
            let bytes: Vec<u8> = whole.iter().flat_map(|event| event.bytes.to_vec()).collect();
            prop_assert!(bytes.starts_with(&stream));
            prop_assert!(bytes.len() <= stream.len() + 2);
        }
    }
}

//! An answer on its way to a client: cut into numbered messages, which are kept for a client that
//! comes back.

use std::collections::{BTreeMap, VecDeque};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use crate::message::RequestId;

/// Bytes of a piece's data as it stands in its message. API Gateway closes a connection on which a
/// frame of more than 32 KB comes, and does not say into which frames it cuts what is posted.
const MAX_DATA: usize = 32_000;

/// Bytes of messages that are kept at most; older ones are forgotten.
const MAX_KEPT: usize = 6 * 1024 * 1024;

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// It is whole.
    Complete,
    /// The client wanted no more of it.
    Cancelled,
}

/// Messages that were asked for are no longer kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Forgotten;

/// The messages of one answer, numbered from 0: the head, the pieces, the end.
#[derive(Debug)]
pub(crate) struct Outbox {
    id: RequestId,
    is_text: bool,
    /// What is not in a message yet.
    buffer: Vec<u8>,
    kept: VecDeque<Bytes>,
    kept_bytes: usize,
    /// The number of the first message that is kept.
    first: u64,
    /// The number of the message to be sent next.
    next: u64,
    /// Once nothing more comes.
    reason: Option<Reason>,
    is_ended: bool,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Sent<'a> {
    Head { id: &'a RequestId, seq: u64, status: u16, headers: BTreeMap<&'a str, &'a str> },
    Piece { id: &'a RequestId, seq: u64, data: &'a str },
    End { id: &'a RequestId, seq: u64, reason: Reason },
}

impl Outbox {
    /// An answer of which nothing is known yet.
    pub(crate) fn new(id: RequestId) -> Self {
        Self {
            id,
            is_text: true,
            buffer: Vec::new(),
            kept: VecDeque::new(),
            kept_bytes: 0,
            first: 0,
            next: 0,
            reason: None,
            is_ended: false,
        }
    }

    /// Takes status and headers, once, before anything else. An Amazon event stream is no text: its
    /// pieces are in base64.
    pub(crate) fn head(&mut self, status: StatusCode, headers: &HeaderMap) {
        if self.reason.is_some() {
            return;
        }
        let headers: BTreeMap<&str, &str> = headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect();
        let content_type = headers.get("content-type").copied().unwrap_or_default();
        self.is_text = !content_type.starts_with("application/vnd.amazon.eventstream");
        let (id, seq) = (self.id.clone(), self.end_of_kept());
        self.keep(&Sent::Head { id: &id, seq, status: status.as_u16(), headers });
    }

    /// Takes more of the body; nothing after the end.
    pub(crate) fn data(&mut self, data: &[u8]) {
        if self.reason.is_some() {
            return;
        }
        self.buffer.extend_from_slice(data);
        while self.buffer.len() >= MAX_DATA && self.cut() {}
    }

    /// Ends the answer; one that was cancelled loses what is not in a message yet.
    pub(crate) fn end(&mut self, reason: Reason) {
        if self.reason.is_some() {
            return;
        }
        if reason == Reason::Cancelled {
            self.buffer.clear();
        }
        self.reason = Some(reason);
    }

    /// The next message to send, if there is one now. What came since the last one is in it, as far
    /// as it fits.
    pub(crate) fn next_message(&mut self) -> Option<Bytes> {
        if self.next == self.end_of_kept() && !self.cut() {
            return None;
        }
        let index = usize::try_from(self.next.checked_sub(self.first)?).ok()?;
        let message = self.kept.get(index)?.clone();
        self.next += 1;
        Some(message)
    }

    /// Bytes that were not sent.
    pub(crate) fn unsent(&self) -> usize {
        let sent = usize::try_from(self.next.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.kept.iter().skip(sent).map(Bytes::len).sum::<usize>() + self.buffer.len()
    }

    /// Sends again what comes after the message `after`, or everything.
    ///
    /// # Errors
    /// If part of it is not kept any more, or `after` was never sent.
    pub(crate) fn rewind(&mut self, after: Option<u64>) -> Result<(), Forgotten> {
        let next = after.map_or(0, |after| after.saturating_add(1));
        if !(self.first..=self.end_of_kept()).contains(&next) {
            return Err(Forgotten);
        }
        self.next = next;
        Ok(())
    }

    /// All messages that are kept, one per line: no message has a line break in it.
    pub(crate) fn transcript(&mut self) -> Bytes {
        while self.cut() {}
        let mut lines = Vec::with_capacity(self.kept_bytes + self.kept.len());
        for message in &self.kept {
            lines.extend_from_slice(message);
            lines.push(b'\n');
        }
        lines.into()
    }

    fn end_of_kept(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    /// Makes one message of what came, or of the end; whether there was one to make.
    fn cut(&mut self) -> bool {
        let (id, seq) = (self.id.clone(), self.end_of_kept());
        if let Some(data) = if self.is_text { self.text() } else { self.base64() } {
            self.keep(&Sent::Piece { id: &id, seq, data: &data });
            return true;
        }
        match self.reason {
            Some(reason) if !self.is_ended => {
                self.is_ended = true;
                self.keep(&Sent::End { id: &id, seq, reason });
                true
            }
            _ => false,
        }
    }

    fn text(&mut self) -> Option<String> {
        let valid = match std::str::from_utf8(&self.buffer) {
            Ok(text) => text.len(),
            // The rest of a character is still to come.
            Err(error) if error.error_len().is_none() && self.reason.is_none() => {
                error.valid_up_to()
            }
            Err(_) => {
                self.buffer = String::from_utf8_lossy(&self.buffer).into_owned().into_bytes();
                self.buffer.len()
            }
        };
        let text = std::str::from_utf8(self.buffer.get(..valid)?).ok()?;
        let mut size = 0;
        let fitting: String = text
            .chars()
            .take_while(|character| {
                size += escaped_len(*character);
                size <= MAX_DATA
            })
            .collect();
        self.buffer.drain(..fitting.len());
        (!fitting.is_empty()).then_some(fitting)
    }

    fn base64(&mut self) -> Option<String> {
        let size = self.buffer.len().min(MAX_DATA / 4 * 3);
        let bytes: Vec<u8> = self.buffer.drain(..size).collect();
        (!bytes.is_empty()).then(|| STANDARD.encode(bytes))
    }

    fn keep(&mut self, message: &Sent<'_>) {
        let message = Bytes::from(serde_json::to_vec(message).unwrap_or_default());
        self.kept_bytes += message.len();
        self.kept.push_back(message);
        while self.kept_bytes > MAX_KEPT
            && let Some(oldest) = self.kept.pop_front()
        {
            self.kept_bytes -= oldest.len();
            self.first += 1;
        }
        self.next = self.next.max(self.first);
    }
}

/// Bytes of a character in a JSON string, as `serde_json` writes it.
fn escaped_len(character: char) -> usize {
    match character {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        '\0'..='\u{1f}' => 6,
        _ => character.len_utf8(),
    }
}

/// The messages of a transcript that come after the message `after`.
///
/// # Errors
/// If some of them are not in it, or `after` was never sent.
pub(crate) fn resumed(transcript: &Bytes, after: Option<u64>) -> Result<Vec<Bytes>, Forgotten> {
    #[derive(Deserialize)]
    struct Numbered {
        seq: u64,
    }
    let next = after.map_or(0, |after| after.saturating_add(1));
    let lines: Vec<&[u8]> =
        transcript.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let first = lines.first().and_then(|line| serde_json::from_slice::<Numbered>(line).ok());
    let skipped = first.and_then(|first| next.checked_sub(first.seq)).ok_or(Forgotten)?;
    let rest = usize::try_from(skipped).ok().and_then(|skipped| lines.get(skipped..));
    Ok(rest.ok_or(Forgotten)?.iter().map(|line| transcript.slice_ref(line)).collect())
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn outbox(content_type: &'static str) -> Outbox {
        let mut outbox = Outbox::new(RequestId::try_from("r1".to_owned()).unwrap());
        let content_type = (header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        outbox.head(StatusCode::OK, &[content_type].into_iter().collect());
        outbox
    }

    fn drain(outbox: &mut Outbox) -> Vec<Value> {
        std::iter::from_fn(|| outbox.next_message())
            .map(|message| {
                assert!(message.len() <= 32 * 1024, "{} bytes", message.len());
                serde_json::from_slice(&message).unwrap()
            })
            .collect()
    }

    fn data(messages: &[Value], is_text: bool) -> Vec<u8> {
        let pieces = messages.iter().filter(|message| message["type"] == "piece");
        let data = pieces.map(|piece| piece["data"].as_str().unwrap());
        data.flat_map(|data| {
            if is_text { data.as_bytes().to_vec() } else { STANDARD.decode(data).unwrap() }
        })
        .collect()
    }

    #[test]
    fn small_pieces_travel_together() {
        let mut outbox = outbox("text/event-stream");
        assert_eq!(drain(&mut outbox)[0]["status"], 200);
        outbox.data(b"data: 1\n\n");
        outbox.data(b"data: 2\n\n");
        let sent = drain(&mut outbox);
        assert_eq!(sent.len(), 1);
        assert_eq!(
            (&sent[0]["seq"], &sent[0]["data"]),
            (&1.into(), &"data: 1\n\ndata: 2\n\n".into())
        );
        outbox.end(Reason::Complete);
        let sent = drain(&mut outbox);
        assert_eq!((&sent[0]["type"], &sent[0]["reason"]), (&"end".into(), &"complete".into()));
        assert_eq!(outbox.unsent(), 0);
    }

    #[test]
    fn a_cancelled_answer_ends_at_once_and_takes_nothing_more() {
        let mut outbox = outbox("text/event-stream");
        outbox.data(b"data: 1\n\n");
        outbox.end(Reason::Cancelled);
        outbox.data(b"data: 2\n\n");
        outbox.end(Reason::Complete);
        let kinds: Vec<_> = drain(&mut outbox).iter().map(|it| it["type"].clone()).collect();
        assert_eq!(kinds, ["head", "end"]);
    }

    #[test]
    fn what_is_forgotten_is_not_sent_as_if_nothing_were_missing() {
        let mut outbox = outbox("text/plain");
        let text = "a".repeat(MAX_DATA);
        for _ in 0..2 * MAX_KEPT / MAX_DATA {
            outbox.data(text.as_bytes());
        }
        assert!(outbox.kept_bytes <= MAX_KEPT && outbox.first > 0);
        assert_eq!(outbox.rewind(None), Err(Forgotten));
        assert_eq!(outbox.rewind(Some(outbox.first - 2)), Err(Forgotten));
        assert_eq!(outbox.rewind(Some(outbox.first - 1)), Ok(()));
        assert_eq!(outbox.rewind(Some(outbox.end_of_kept())), Err(Forgotten));
        let transcript = outbox.transcript();
        assert_eq!(resumed(&transcript, None), Err(Forgotten));
        assert!(resumed(&transcript, Some(outbox.first - 1)).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_byte_arrives_once_however_it_comes_and_whenever_the_client_leaves(
            text in prop::collection::vec("[a\"\\\\\n\u{1}\u{e9}\u{1f600}]{0,9000}", 0..6),
            cuts in prop::collection::vec(1..70_000usize, 1..8),
            is_text: bool, seen: prop::sample::Index,
        ) {
            let whole: Vec<u8> = text.concat().into_bytes();
            let content_type = if is_text { "text/event-stream" } else { "application/vnd.amazon.eventstream" };
            let mut outbox = outbox(content_type);
            let mut sent = Vec::new();
            let (mut rest, mut cuts) = (whole.as_slice(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (chunk, later) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                outbox.data(chunk);
                rest = later;
                sent.extend(drain(&mut outbox));
            }
            outbox.end(Reason::Complete);
            sent.extend(drain(&mut outbox));
            prop_assert_eq!(data(&sent, is_text), whole);
            for (number, message) in sent.iter().enumerate() {
                prop_assert_eq!(message["seq"].as_u64(), Some(number as u64));
            }
            prop_assert_eq!(&sent.last().unwrap()["type"], "end");

            let seen = seen.index(sent.len());
            let after = seen.checked_sub(1).map(|last| last as u64);
            outbox.rewind(after).unwrap();
            prop_assert_eq!(drain(&mut outbox), &sent[seen..]);
            let transcript = outbox.transcript();
            let resumed: Vec<Value> = resumed(&transcript, after).unwrap()
                .iter().map(|message| serde_json::from_slice(message).unwrap()).collect();
            prop_assert_eq!(resumed, &sent[seen..]);
        }
    }
}

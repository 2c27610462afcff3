//! Plays an answer at its scripted pace, to its end or to its scripted break.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;

use crate::error::Fault;
use crate::plan::{Interruption, Pace, Plan};
use crate::records::{CallGuard, Outcome};

/// How one API words its answers.
pub(crate) trait Dialect {
    /// `content-type` of a stream.
    const STREAM_TYPE: &'static str;

    /// The answer as a stream.
    fn frames(&self, plan: &Plan, call: &CallGuard) -> Vec<Frame>;

    /// An error within the stream.
    fn fault_frame(&self, fault: &Fault) -> Bytes;

    /// The answer as one JSON object.
    fn whole(&self, plan: &Plan, call: &CallGuard) -> Vec<u8>;

    /// An error in place of the answer.
    fn refusal(&self, fault: Fault) -> Response;
}

/// A piece of a stream.
#[derive(Debug)]
pub(crate) struct Frame {
    /// As it goes over the wire.
    pub(crate) bytes: Bytes,
    /// Whether it carries a chunk of the answer, and not only its frame.
    pub(crate) is_chunk: bool,
}

impl Frame {
    /// A chunk of the answer.
    pub(crate) fn chunk(bytes: Bytes) -> Self {
        Self { bytes, is_chunk: true }
    }

    /// What frames the chunks.
    pub(crate) fn mark(bytes: Bytes) -> Self {
        Self { bytes, is_chunk: false }
    }
}

/// Answers with an error.
pub(crate) fn refuse(call: &CallGuard, dialect: &impl Dialect, fault: Fault) -> Response {
    call.answered(fault.status);
    call.close(Outcome::Completed);
    dialect.refusal(fault)
}

/// Gives the planned answer.
pub(crate) async fn play(
    call: CallGuard,
    dialect: impl Dialect,
    mut plan: Plan,
    is_streamed: bool,
) -> Response {
    let fault = plan.fault.take();
    if fault.is_none() {
        call.planned(plan.usage, plan.chunk_count());
    }
    pause(plan.pace.head_delay).await;
    if let Some(fault) = fault {
        pause(plan.pace.latency).await;
        return refuse(&call, &dialect, fault);
    }
    if is_streamed {
        play_stream(call, &dialect, plan)
    } else {
        play_whole(call, &dialect, plan).await
    }
}

fn play_stream<D: Dialect>(call: CallGuard, dialect: &D, plan: Plan) -> Response {
    let mut frames = dialect.frames(&plan, &call);
    let ending = match plan.interruption {
        None => Ending::Complete,
        Some(Interruption { after_chunks, fault }) => {
            keep_chunks(&mut frames, after_chunks);
            match fault {
                None => Ending::Cut,
                Some(fault) => {
                    frames.push(Frame::mark(dialect.fault_frame(&fault)));
                    Ending::Failed
                }
            }
        }
    };
    call.answered(StatusCode::OK);
    let playback =
        Playback { call, frames: frames.into_iter(), pace: plan.pace, at: At::Start, ending };
    let content_type = HeaderValue::from_static(D::STREAM_TYPE);
    ([(header::CONTENT_TYPE, content_type)], Body::from_stream(stream::unfold(playback, next)))
        .into_response()
}

/// A whole answer is produced chunk by chunk as well: a caller who hangs up pays for what there was by then.
async fn play_whole<D: Dialect>(call: CallGuard, dialect: &D, plan: Plan) -> Response {
    let chunks =
        plan.interruption.as_ref().map_or_else(|| plan.chunk_count(), |end| end.after_chunks);
    pause(plan.pace.latency).await;
    for index in 0..chunks {
        if index > 0 {
            pause(plan.pace.chunk_delay).await;
        }
        call.chunk_sent();
    }
    let mut body = dialect.whole(&plan, &call);
    let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    match plan.interruption {
        None => {
            call.answered(StatusCode::OK);
            call.close(Outcome::Completed);
            (content_type, body).into_response()
        }
        Some(Interruption { fault: Some(fault), .. }) => {
            call.close(Outcome::Failed);
            refuse(&call, dialect, fault)
        }
        Some(Interruption { fault: None, .. }) => {
            call.answered(StatusCode::OK);
            body.truncate(body.len() / 2);
            let half = vec![Frame::mark(body.into())].into_iter();
            let playback = Playback {
                call,
                frames: half,
                pace: Pace::default(),
                at: At::Start,
                ending: Ending::Cut,
            };
            (content_type, Body::from_stream(stream::unfold(playback, next))).into_response()
        }
    }
}

/// Drops what comes after `count` chunks, and what would only close them.
fn keep_chunks(frames: &mut Vec<Frame>, count: usize) {
    let mut chunks = 0;
    let end = frames.iter().position(|frame| {
        let is_past = if frame.is_chunk { chunks == count } else { chunks == count && count > 0 };
        chunks += usize::from(frame.is_chunk);
        is_past
    });
    frames.truncate(end.unwrap_or(frames.len()));
}

/// Waits, unless there is nothing to wait for.
async fn pause(duration: Duration) {
    if !duration.is_zero() {
        tokio::time::sleep(duration).await;
    }
}

struct Playback {
    call: CallGuard,
    frames: std::vec::IntoIter<Frame>,
    pace: Pace,
    at: At,
    ending: Ending,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    BeforeFirstChunk,
    WithinChunks,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Complete,
    Failed,
    Cut,
}

async fn next(mut playback: Playback) -> Option<(io::Result<Bytes>, Playback)> {
    let Some(frame) = playback.frames.next() else {
        if playback.ending != Ending::Cut || playback.at == At::End {
            return None;
        }
        playback.at = At::End;
        // Being asked twice lets the server flush what it has before the error drops it.
        tokio::task::yield_now().await;
        playback.call.close(Outcome::Cut);
        return Some((Err(io::Error::other("cut as scripted")), playback));
    };
    if playback.at == At::Start {
        pause(playback.pace.latency).await;
        playback.at = At::BeforeFirstChunk;
    }
    if frame.is_chunk {
        if playback.at == At::WithinChunks {
            pause(playback.pace.chunk_delay).await;
        }
        playback.at = At::WithinChunks;
        playback.call.chunk_sent();
    }
    // With the last frame, not after it: whoever has read the end finds the record closed.
    if playback.frames.as_slice().is_empty() {
        match playback.ending {
            Ending::Complete => playback.call.close(Outcome::Completed),
            Ending::Failed => playback.call.close(Outcome::Failed),
            Ending::Cut => {}
        }
    }
    Some((Ok(frame.bytes), playback))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Frame, keep_chunks};

    #[track_caller]
    fn check(count: usize, expected: &str) {
        let frame = |name: &'static str| Frame {
            bytes: Bytes::from_static(name.as_bytes()),
            is_chunk: name.chars().all(char::is_numeric),
        };
        let mut frames: Vec<_> = ["a", "b", "1", "c", "d", "2", "e", "f"].map(frame).into();
        keep_chunks(&mut frames, count);
        let kept: Vec<_> =
            frames.iter().map(|frame| String::from_utf8_lossy(&frame.bytes).into_owned()).collect();
        assert_eq!(kept.concat(), expected);
    }

    #[test]
    fn an_interrupted_stream_ends_right_after_its_last_chunk() {
        check(0, "ab");
        check(1, "ab1");
        check(2, "ab1cd2");
    }
}

//! Plays an answer at its scripted pace, to its end or to its scripted break.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use tokio::sync::watch;

use crate::line::Cut;
use crate::plan::{Break, Interruption, Pace, Plan, Stall, Usage};
use crate::records::{CallGuard, Outcome};
use crate::surface::Surface;

/// How one API words its answers.
pub(crate) trait Dialect: Send + Sync {
    /// The answer as a stream.
    fn events(&self, plan: &Plan, call: &CallGuard) -> Vec<Event>;

    /// The answer as one JSON value.
    fn whole(&self, plan: &Plan, call: &CallGuard) -> serde_json::Value;
}

/// A piece of a stream, before its surface frames it.
#[derive(Debug)]
pub(crate) struct Event {
    /// Its type, where the surface says one.
    pub(crate) name: &'static str,
    /// What it says.
    pub(crate) data: String,
    /// Whether it carries a chunk of the answer, and not only its frame.
    pub(crate) is_chunk: bool,
}

impl Event {
    /// A chunk of the answer.
    pub(crate) fn chunk(name: &'static str, data: &impl ToString) -> Self {
        Self { name, data: data.to_string(), is_chunk: true }
    }

    /// What frames the chunks.
    pub(crate) fn mark(name: &'static str, data: &impl ToString) -> Self {
        Self { name, data: data.to_string(), is_chunk: false }
    }
}

/// A piece of a stream as it goes over the wire.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Its bytes.
    pub(crate) bytes: Bytes,
    /// Whether it carries a chunk of the answer, and not only its frame.
    pub(crate) is_chunk: bool,
}

/// One call that is being answered.
#[derive(Debug)]
pub(crate) struct Performance {
    /// Its record.
    pub(crate) call: CallGuard,
    /// Where it came in.
    pub(crate) surface: Surface,
    /// As every answer to it says.
    pub(crate) request_id: String,
    /// Ends all its waits.
    pub(crate) release: Release,
    /// Drops its connection.
    pub(crate) cut: Cut,
}

/// Ends the waits of the calls that were under way when the test said so.
#[derive(Debug)]
pub(crate) struct Release {
    releases: watch::Receiver<u64>,
    seen: u64,
}

impl Release {
    /// Of a call that begins now.
    pub(crate) fn new(releases: &watch::Sender<u64>) -> Self {
        let releases = releases.subscribe();
        let seen = *releases.borrow();
        Self { releases, seen }
    }

    /// Waits, unless there is nothing to wait for.
    async fn pause(&mut self, duration: Duration) {
        if duration.is_zero() {
            return;
        }
        let seen = self.seen;
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            _ = self.releases.wait_for(|releases| *releases > seen) => {}
        }
    }
}

impl Performance {
    /// Answers with an error.
    pub(crate) fn refuse(&self, fault: &crate::error::Fault) -> Response {
        self.call.answered(fault.status);
        self.call.close(Outcome::Completed);
        self.with_headers(self.surface.refusal(fault, &self.request_id), None)
    }

    /// Gives the planned answer.
    pub(crate) async fn play(
        mut self,
        dialect: &dyn Dialect,
        mut plan: Plan,
        is_streamed: bool,
    ) -> Response {
        let fault = plan.fault.take();
        if fault.is_none() && !plan.is_cut_before_head {
            self.call.planned(plan.usage, plan.chunk_count());
        }
        self.release.pause(plan.pace.head_delay).await;
        if plan.is_cut_before_head {
            self.call.close(Outcome::Cut);
            self.cut.now();
            return StatusCode::BAD_GATEWAY.into_response();
        }
        if let Some(fault) = fault {
            self.release.pause(plan.pace.latency).await;
            return self.refuse(&fault);
        }
        if is_streamed {
            self.play_stream(dialect, plan)
        } else {
            self.play_whole(dialect, plan).await
        }
    }

    fn play_stream(self, dialect: &dyn Dialect, plan: Plan) -> Response {
        let mut frames = self.surface.frames(dialect.events(&plan, &self.call), plan.usage);
        let ending = match plan.interruption {
            None => Ending::Complete,
            Some(Interruption { after_chunks, then, skips_opening }) => {
                keep_chunks(&mut frames, after_chunks);
                if skips_opening {
                    frames.clear();
                }
                let mut push = |bytes| frames.push(Frame { bytes, is_chunk: false });
                match then {
                    Break::Cut => Ending::Cut,
                    Break::Garbage => {
                        push(self.surface.garbage_frame());
                        Ending::Failed
                    }
                    Break::Fault(fault) => {
                        let after = frames.len();
                        let bytes = self.surface.fault_frame(&fault, &self.request_id, after);
                        frames.push(Frame { bytes, is_chunk: false });
                        Ending::Failed
                    }
                }
            }
        };
        self.call.answered(StatusCode::OK);
        let content_type = HeaderValue::from_static(self.surface.stream_type());
        let headers = self.surface.headers(&self.request_id, None);
        let body = Playback::new(self, frames, plan.pace, plan.stall, ending).into_body();
        (headers, [(header::CONTENT_TYPE, content_type)], body).into_response()
    }

    /// A whole answer is produced chunk by chunk as well: a caller who hangs up pays for what there was by then.
    async fn play_whole(mut self, dialect: &dyn Dialect, plan: Plan) -> Response {
        let chunks =
            plan.interruption.as_ref().map_or_else(|| plan.chunk_count(), |end| end.after_chunks);
        self.release.pause(plan.pace.latency).await;
        for index in 0..=chunks {
            if let Some(stall) = plan.stall.filter(|stall| stall.after_chunks == index) {
                self.release.pause(stall.duration).await;
            }
            if index == chunks {
                break;
            }
            if index > 0 {
                self.release.pause(plan.pace.chunk_delay).await;
            }
            self.call.chunk_sent();
        }
        let mut body = dialect.whole(&plan, &self.call).to_string().into_bytes();
        let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
        match plan.interruption.map(|interruption| interruption.then) {
            None => {
                self.call.answered(StatusCode::OK);
                self.call.close(Outcome::Completed);
                self.with_headers((content_type, body).into_response(), Some(plan.usage))
            }
            Some(Break::Fault(fault)) => {
                self.call.close(Outcome::Failed);
                self.refuse(&fault)
            }
            Some(Break::Garbage) => {
                self.call.answered(StatusCode::OK);
                self.call.close(Outcome::Failed);
                body.truncate(body.len() / 2);
                self.with_headers((content_type, body).into_response(), Some(plan.usage))
            }
            Some(Break::Cut) => {
                self.call.answered(StatusCode::OK);
                body.truncate(body.len() / 2);
                let half = vec![Frame { bytes: body.into(), is_chunk: false }];
                let playback = Playback::new(self, half, Pace::default(), None, Ending::Cut);
                (content_type, playback.into_body()).into_response()
            }
        }
    }

    fn with_headers(&self, mut response: Response, usage: Option<Usage>) -> Response {
        response.headers_mut().extend(self.surface.headers(&self.request_id, usage));
        response
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

struct Playback {
    performance: Performance,
    frames: std::vec::IntoIter<Frame>,
    pace: Pace,
    /// Taken when its time has come.
    stall: Option<Stall>,
    chunks_sent: usize,
    at: At,
    ending: Ending,
}

impl Playback {
    fn new(
        performance: Performance,
        frames: Vec<Frame>,
        pace: Pace,
        stall: Option<Stall>,
        ending: Ending,
    ) -> Self {
        let frames = frames.into_iter();
        Self { performance, frames, pace, stall, chunks_sent: 0, at: At::Start, ending }
    }

    fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, next))
    }

    /// After the last chunk at once, else right before the next one: what opens a stream is sent first.
    async fn stall(&mut self, is_chunk: bool) {
        let is_due = |stall: &mut Stall| {
            stall.after_chunks == self.chunks_sent && (is_chunk || self.chunks_sent > 0)
        };
        if let Some(stall) = self.stall.take_if(is_due) {
            self.performance.release.pause(stall.duration).await;
        }
    }
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
        playback.stall(true).await;
        playback.at = At::End;
        // Being asked twice lets the server flush what it has before the error drops it.
        tokio::task::yield_now().await;
        playback.performance.call.close(Outcome::Cut);
        return Some((Err(io::Error::other("cut as scripted")), playback));
    };
    if playback.at == At::Start {
        playback.performance.release.pause(playback.pace.latency).await;
        playback.at = At::BeforeFirstChunk;
    }
    playback.stall(frame.is_chunk).await;
    if frame.is_chunk {
        if playback.at == At::WithinChunks {
            playback.performance.release.pause(playback.pace.chunk_delay).await;
        }
        playback.at = At::WithinChunks;
        playback.chunks_sent += 1;
        playback.performance.call.chunk_sent();
    }
    // With the last frame, not after it: whoever has read the end finds the record closed.
    if playback.frames.as_slice().is_empty() {
        match playback.ending {
            Ending::Complete => playback.performance.call.close(Outcome::Completed),
            Ending::Failed => playback.performance.call.close(Outcome::Failed),
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

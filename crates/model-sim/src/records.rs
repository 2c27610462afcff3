//! What the simulator was asked, and how far each answer got.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::plan::Usage;

/// Calls kept; older ones are forgotten.
const MAX_CALLS: usize = 100_000;
/// Bytes kept of one request's body: more than a coding agent sends.
const MAX_BODY: usize = 1024 * 1024;
/// Bytes kept of all bodies together; older calls are forgotten.
const MAX_BODIES: usize = 256 * 1024 * 1024;

/// Which operation was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Api {
    /// `POST /model/{id}/converse`
    Converse,
    /// `POST /model/{id}/converse-stream`
    ConverseStream,
    /// `POST /openai/v1/chat/completions` and the like elsewhere, streamed or not
    ChatCompletions,
    /// `POST /openai/v1/responses`, streamed or not
    Responses,
    /// `POST /anthropic/v1/messages`, streamed or not
    Messages,
    /// `POST /model/{id}/invoke`
    Invoke,
    /// `POST /model/{id}/invoke-with-response-stream`
    InvokeStream,
    /// `POST /model/{id}/count-tokens` and `POST /anthropic/v1/messages/count_tokens`
    CountTokens,
    /// `POST /guardrail/{id}/version/{version}/apply`
    ApplyGuardrail,
    /// `POST /rerank`, of Bedrock or of an OpenAI-compatible server
    Rerank,
    /// `POST /v1/embeddings`
    Embeddings,
    /// `POST /endpoints/{name}/invocations`
    InvokeEndpoint,
    /// `POST /endpoints/{name}/invocations-response-stream`
    InvokeEndpointStream,
}

/// How the answer to a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// It is still being given.
    InProgress,
    /// It was given to its end, or was an error before the first byte.
    Completed,
    /// It ended in a scripted error in mid-stream.
    Failed,
    /// The simulator dropped the connection, as scripted.
    Cut,
    /// The caller hung up.
    Disconnected,
}

/// What a request said of itself.
#[derive(Debug, Default)]
pub(crate) struct CallHead {
    /// Access key that signed it.
    pub(crate) access_key_id: Option<String>,
    /// Path as sent, still percent-encoded, with its query.
    pub(crate) path: String,
    /// All headers, secrets replaced.
    pub(crate) headers: BTreeMap<String, String>,
    /// `requestMetadata`, or the header that stands for it.
    pub(crate) request_metadata: Map<String, Value>,
    /// The body as it was sent.
    pub(crate) request_body: Bytes,
    /// When it arrived, in milliseconds since 1970.
    pub(crate) started_ms: u64,
}

/// One recorded call.
#[derive(Debug)]
struct CallRecord {
    seq: u64,
    api: Api,
    model: String,
    head: CallHead,
    is_body_truncated: bool,
    progress: Mutex<Progress>,
}

#[derive(Debug, Clone)]
struct Progress {
    status: Option<u16>,
    principal_arn: Option<String>,
    outcome: Outcome,
    chunks_sent: usize,
    chunks_planned: usize,
    usage: Usage,
}

impl CallRecord {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn metadata(&self, key: &str) -> Option<&str> {
        self.head.request_metadata.get(key).and_then(Value::as_str)
    }
}

/// A call as `GET /_sim/calls` shows it.
#[derive(Debug, Serialize)]
pub(crate) struct CallView {
    seq: u64,
    call_id: Option<String>,
    tenant_id: Option<String>,
    api: Api,
    model: String,
    path: String,
    headers: BTreeMap<String, String>,
    access_key_id: Option<String>,
    principal_arn: Option<String>,
    request_metadata: Map<String, Value>,
    /// Set once the answer's head is decided.
    status: Option<u16>,
    started_ms: u64,
    /// Whether the answer was given to its end.
    finished: bool,
    outcome: Outcome,
    chunks_sent: usize,
    /// What is billed: the whole input, and the output produced so far.
    usage: Usage,
    /// The bytes of the request where they are JSON, else as a string.
    request_body: Box<RawValue>,
    request_body_truncated: bool,
}

impl From<&CallRecord> for CallView {
    fn from(record: &CallRecord) -> Self {
        let progress = record.progress().clone();
        Self {
            seq: record.seq,
            call_id: record.metadata("call_id").map(str::to_owned),
            tenant_id: record.metadata("tenant_id").map(str::to_owned),
            api: record.api,
            model: record.model.clone(),
            path: record.head.path.clone(),
            headers: record.head.headers.clone(),
            access_key_id: record.head.access_key_id.clone(),
            principal_arn: progress.principal_arn,
            request_metadata: record.head.request_metadata.clone(),
            status: progress.status,
            started_ms: record.head.started_ms,
            finished: progress.outcome == Outcome::Completed,
            outcome: progress.outcome,
            chunks_sent: progress.chunks_sent,
            usage: match progress.outcome {
                // Not every chunk is worded by every surface.
                Outcome::Completed => progress.usage,
                _ => progress.usage.after(progress.chunks_sent, progress.chunks_planned),
            },
            request_body: raw(&record.head.request_body),
            request_body_truncated: record.is_body_truncated,
        }
    }
}

fn raw(body: &[u8]) -> Box<RawValue> {
    let text = String::from_utf8_lossy(body).into_owned();
    RawValue::from_string(text.clone())
        .or_else(|_| serde_json::value::to_raw_value(&text))
        .unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// The latest calls.
#[derive(Debug, Default)]
pub(crate) struct Records {
    ring: Mutex<Ring>,
}

#[derive(Debug, Default)]
struct Ring {
    last_seq: u64,
    body_bytes: usize,
    calls: VecDeque<Arc<CallRecord>>,
}

impl Records {
    /// Records that a call arrived; the guard follows it to its end.
    pub(crate) fn begin(&self, api: Api, model: &str, mut head: CallHead) -> CallGuard {
        let is_body_truncated = head.request_body.len() > MAX_BODY;
        head.request_body.truncate(MAX_BODY);
        let progress = Progress {
            status: None,
            principal_arn: None,
            outcome: Outcome::InProgress,
            chunks_sent: 0,
            chunks_planned: 0,
            usage: Usage::default(),
        };
        let mut ring = self.ring();
        ring.last_seq += 1;
        ring.body_bytes += head.request_body.len();
        let record = Arc::new(CallRecord {
            seq: ring.last_seq,
            api,
            model: model.to_owned(),
            head,
            is_body_truncated,
            progress: Mutex::new(progress),
        });
        ring.calls.push_back(Arc::clone(&record));
        while ring.calls.len() > MAX_CALLS || ring.body_bytes > MAX_BODIES {
            let Some(oldest) = ring.calls.pop_front() else { break };
            ring.body_bytes -= oldest.head.request_body.len();
        }
        CallGuard { record }
    }

    /// Calls after `since`, oldest first, of one tenant or of all.
    pub(crate) fn list(&self, since: u64, tenant_id: Option<&str>, limit: usize) -> Vec<CallView> {
        let calls: Vec<_> = {
            let ring = self.ring();
            let from = ring.calls.partition_point(|call| call.seq <= since);
            ring.calls.iter().skip(from).cloned().collect()
        };
        let is_wanted = |call: &&Arc<CallRecord>| {
            tenant_id.is_none_or(|id| call.metadata("tenant_id") == Some(id))
        };
        calls
            .iter()
            .filter(is_wanted)
            .take(limit)
            .map(|call| CallView::from(call.as_ref()))
            .collect()
    }

    /// The number of the latest call; numbers go on after a reset.
    pub(crate) fn last_seq(&self) -> u64 {
        self.ring().last_seq
    }

    /// Forgets all calls.
    pub(crate) fn reset(&self) {
        let mut ring = self.ring();
        ring.body_bytes = 0;
        ring.calls.clear();
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Follows one call; dropped before it was closed, the caller has hung up.
#[derive(Debug)]
pub(crate) struct CallGuard {
    record: Arc<CallRecord>,
}

impl CallGuard {
    /// The call's number.
    pub(crate) fn seq(&self) -> u64 {
        self.record.seq
    }

    /// When the call arrived, in seconds since 1970.
    pub(crate) fn started_s(&self) -> u64 {
        self.record.head.started_ms / 1000
    }

    /// Records whom the signature belongs to.
    pub(crate) fn signed_by(&self, principal_arn: Option<String>) {
        self.record.progress().principal_arn = principal_arn;
    }

    /// Records what the answer will have cost when it is given in full.
    pub(crate) fn planned(&self, usage: Usage, chunks: usize) {
        let mut progress = self.record.progress();
        progress.usage = usage;
        progress.chunks_planned = chunks;
    }

    /// Records the status of the answer.
    pub(crate) fn answered(&self, status: StatusCode) {
        self.record.progress().status = Some(status.as_u16());
    }

    /// Records that one more chunk was produced.
    pub(crate) fn chunk_sent(&self) {
        self.record.progress().chunks_sent += 1;
    }

    /// Records how the answer ended; the first word counts.
    pub(crate) fn close(&self, outcome: Outcome) {
        let mut progress = self.record.progress();
        if progress.outcome == Outcome::InProgress {
            progress.outcome = outcome;
        }
    }
}

impl Drop for CallGuard {
    fn drop(&mut self) {
        self.close(Outcome::Disconnected);
    }
}

#[cfg(test)]
mod tests;

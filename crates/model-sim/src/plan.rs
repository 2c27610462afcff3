//! Decides what to answer: the script's words, or the default ones.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::directive::{Directive, ScriptedUsage};
use crate::error::Fault;
use crate::prompt::{Prompt, ToolChoice};
use crate::schema::minimal_instance;

/// Characters of the prompt that the default answer repeats.
const ECHO: usize = 120;
/// Bytes of a fragment of JSON in a stream.
const FRAGMENT: usize = 12;
/// Longer than any test waits.
const UNRELEASED: Duration = Duration::from_hours(1);

/// One answer, in no dialect.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Its content, in order.
    pub(crate) blocks: Vec<Block>,
    /// Bedrock's stop reason, or the scripted one.
    pub(crate) stop_reason: String,
    /// What it costs in full.
    pub(crate) usage: Usage,
    /// How fast it comes.
    pub(crate) pace: Pace,
    /// The stop sequence that ended it.
    pub(crate) stop_sequence: Option<String>,
    /// Where it breaks off.
    pub(crate) interruption: Option<Interruption>,
    /// Where it falls silent.
    pub(crate) stall: Option<Stall>,
    /// The error to answer with at once, in its place.
    pub(crate) fault: Option<Fault>,
    /// Whether the connection is dropped in place of an answer.
    pub(crate) is_cut_before_head: bool,
}

/// A block of content, in the chunks that a stream carries.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// What it is.
    pub(crate) kind: BlockKind,
    /// Never empty.
    pub(crate) chunks: Vec<String>,
}

/// What a block holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum BlockKind {
    /// Reasoning.
    Reasoning,
    /// Reasoning that only the simulator reads, in one chunk.
    Redacted,
    /// Text.
    Text,
    /// A tool call; the chunks are fragments of its arguments.
    ToolUse {
        /// Unique in the conversation, the same for the same request.
        id: String,
        /// The tool.
        name: String,
    },
}

impl Block {
    /// All chunks as one.
    pub(crate) fn whole(&self) -> String {
        self.chunks.concat()
    }
}

/// Waits of an answer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pace {
    /// Before the HTTP headers.
    pub(crate) head_delay: Duration,
    /// Before the first output.
    pub(crate) latency: Duration,
    /// Before each chunk but the first.
    pub(crate) chunk_delay: Duration,
}

/// Where an answer breaks off.
#[derive(Debug)]
pub(crate) struct Interruption {
    /// Chunks that still come.
    pub(crate) after_chunks: usize,
    /// What follows.
    pub(crate) then: Break,
    /// Whether a stream that breaks before its first chunk does so before any event.
    pub(crate) skips_opening: bool,
}

/// How an answer breaks off.
#[derive(Debug)]
pub(crate) enum Break {
    /// By an error.
    Fault(Fault),
    /// The connection is dropped.
    Cut,
    /// By what nobody can read.
    Garbage,
}

/// Where an answer falls silent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stall {
    /// Chunks that come before.
    pub(crate) after_chunks: usize,
    /// For how long, unless it is released.
    pub(crate) duration: Duration,
}

/// Tokens of an answer, accounted as Converse does: `input` holds no cached ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Usage {
    /// Input tokens that no cache served or took.
    pub(crate) input: u64,
    /// Output tokens.
    pub(crate) output: u64,
    /// Input tokens read from the cache.
    pub(crate) cache_read: u64,
    /// Input tokens written to the cache for five minutes.
    pub(crate) cache_write_5m: u64,
    /// Input tokens written to the cache for an hour.
    pub(crate) cache_write_1h: u64,
}

impl Usage {
    /// What was used when `sent` of `planned` chunks were produced.
    pub(crate) fn after(self, sent: usize, planned: usize) -> Self {
        if sent >= planned {
            return self;
        }
        let (sent, planned) =
            (sent.try_into().unwrap_or(u64::MAX), planned.try_into().unwrap_or(u64::MAX));
        Self { output: self.output.saturating_mul(sent).div_ceil(planned), ..self }
    }

    /// Tokens written to the cache.
    pub(crate) fn cache_write(self) -> u64 {
        self.cache_write_5m + self.cache_write_1h
    }

    /// Input tokens, the cached ones included.
    pub(crate) fn prompt(self) -> u64 {
        self.input + self.cache_read + self.cache_write()
    }
}

impl Plan {
    /// Plans the answer to `prompt`, as `directive` has it; `said` is what the user said beside.
    pub(crate) fn new(prompt: &Prompt, directive: Directive, said: &str) -> Self {
        let mut blocks = content(prompt, &directive, said);
        let stop_sequence = stop_at(&mut blocks, &prompt.stop_sequences);
        let mut is_capped = prompt.max_tokens.is_some_and(|max| cap(&mut blocks, max));
        let counted = blocks.iter().map(|block| block.chunks.len()).sum::<usize>();
        let mut usage = usage(prompt, &directive.usage, counted);
        if let Some(max) = prompt.max_tokens.filter(|max| usage.output > *max) {
            usage.output = max;
            is_capped = true;
        }
        let has_tool_use =
            blocks.iter().any(|block| matches!(block.kind, BlockKind::ToolUse { .. }));
        let stop_reason = match &directive.stop_reason {
            Some(scripted) => scripted,
            None if is_capped => "max_tokens",
            None if has_tool_use => "tool_use",
            None if stop_sequence.is_some() => "stop_sequence",
            None => "end_turn",
        };
        let pace = Pace {
            head_delay: Duration::from_millis(directive.head_delay_ms),
            latency: Duration::from_millis(directive.latency_ms),
            chunk_delay: Duration::from_millis(directive.chunk_delay_ms),
        };
        Self {
            stop_reason: stop_reason.to_owned(),
            stop_sequence,
            blocks,
            usage,
            pace,
            interruption: interruption(&directive, counted),
            stall: directive.stall_after_chunks.map(|after_chunks| Stall {
                after_chunks: after_chunks.min(counted),
                duration: directive.stall_ms.map_or(UNRELEASED, Duration::from_millis),
            }),
            is_cut_before_head: directive.cut_before_head,
            fault: directive
                .error
                .filter(|_| directive.error_after_chunks.is_none())
                .map(|error| Fault::scripted(&error, "InternalServerException")),
        }
    }

    /// Chunks of the whole answer.
    pub(crate) fn chunk_count(&self) -> usize {
        self.blocks.iter().map(|block| block.chunks.len()).sum()
    }

    /// What the model took to answer, by its script.
    pub(crate) fn latency_ms(&self) -> u64 {
        let gaps = u32::try_from(self.chunk_count().saturating_sub(1)).unwrap_or(u32::MAX);
        let waits = self.pace.latency + self.pace.chunk_delay.saturating_mul(gaps);
        u64::try_from(waits.as_millis()).unwrap_or(u64::MAX)
    }
}

fn content(prompt: &Prompt, directive: &Directive, said: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    if prompt.is_wordless {
        return blocks;
    }
    let by_default = prompt.thinks.then(|| "The simulator thinks.".to_owned());
    if let Some(reasoning) = directive.reasoning.clone().or(by_default) {
        blocks.push(Block { kind: BlockKind::Reasoning, chunks: words(&reasoning) });
    }
    if let Some(redacted) = directive.redacted.clone() {
        blocks.push(Block { kind: BlockKind::Redacted, chunks: vec![redacted] });
    }
    if let Some(chunks) = directive.chunks.clone().or_else(|| directive.text.as_deref().map(words))
    {
        blocks.push(Block { kind: BlockKind::Text, chunks });
    } else if directive.tool_calls.is_empty() {
        blocks.push(default_block(prompt, said));
    }
    for (index, call) in directive.tool_calls.iter().enumerate() {
        blocks.push(tool_use(prompt, index, &call.name, &call.arguments));
    }
    for block in &mut blocks {
        block.chunks.retain(|chunk| !chunk.is_empty());
    }
    blocks.retain(|block| !block.chunks.is_empty());
    blocks
}

fn default_block(prompt: &Prompt, said: &str) -> Block {
    let text = |chunks| Block { kind: BlockKind::Text, chunks };
    if let Some(result) = prompt.tool_result() {
        return text(words(&format!("The model simulator got this tool result: \"{result}\"")));
    }
    let tool = match &prompt.tool_choice {
        ToolChoice::Forbidden => None,
        ToolChoice::Auto => {
            prompt.tools.first().filter(|_| said.to_lowercase().contains("weather"))
        }
        ToolChoice::Any => prompt.tools.first(),
        ToolChoice::Named(name) => prompt.tools.iter().find(|tool| tool.name == *name),
    };
    if let Some(tool) = tool {
        let arguments = match minimal_instance(&tool.schema) {
            Value::Object(arguments) => arguments,
            _ => Map::new(),
        };
        return tool_use(prompt, 0, &tool.name, &arguments);
    }
    if let Some(schema) = &prompt.schema {
        return text(fragments(&minimal_instance(schema).to_string()));
    }
    let skipped = said.chars().count().saturating_sub(ECHO);
    let echo: String = said.chars().skip(skipped).collect();
    text(words(&format!(
        "This is the model simulator; no model was called. The prompt ends with: {echo}"
    )))
}

fn tool_use(prompt: &Prompt, index: usize, name: &str, arguments: &Map<String, Value>) -> Block {
    let id = format!("sim_{}_{index}", prompt.turns.len());
    let json = serde_json::to_string(arguments).unwrap_or_else(|_| "{}".to_owned());
    Block { kind: BlockKind::ToolUse { id, name: name.to_owned() }, chunks: fragments(&json) }
}

/// Splits after spaces: the chunks joined are the text.
fn words(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

/// Splits every few bytes, between characters.
fn fragments(mut text: &str) -> Vec<String> {
    let mut fragments = Vec::new();
    while !text.is_empty() {
        let (fragment, rest) = text.split_at(text.ceil_char_boundary(FRAGMENT));
        fragments.push(fragment.to_owned());
        text = rest;
    }
    fragments
}

/// Ends the text before the first stop sequence in it; what would follow is dropped.
fn stop_at(blocks: &mut Vec<Block>, stop_sequences: &[String]) -> Option<String> {
    let index = blocks.iter().position(|block| block.kind == BlockKind::Text)?;
    let block = blocks.get_mut(index)?;
    let text = block.whole();
    let found = stop_sequences
        .iter()
        .filter(|stop| !stop.is_empty())
        .filter_map(|stop| Some((text.find(stop.as_str())?, stop)))
        .min();
    let (mut left, stop_sequence) = found?;
    for chunk in &mut block.chunks {
        chunk.truncate(left);
        left -= chunk.len();
    }
    block.chunks.retain(|chunk| !chunk.is_empty());
    let is_empty = block.chunks.is_empty();
    blocks.truncate(if is_empty { index } else { index + 1 });
    Some(stop_sequence.clone())
}

/// Drops what comes after `max` chunks; whether anything did.
fn cap(blocks: &mut Vec<Block>, max: u64) -> bool {
    let mut left = usize::try_from(max).unwrap_or(usize::MAX);
    let mut is_capped = false;
    for block in blocks.iter_mut() {
        is_capped |= block.chunks.len() > left;
        block.chunks.truncate(left);
        left -= block.chunks.len();
    }
    blocks.retain(|block| !block.chunks.is_empty());
    is_capped
}

fn usage(prompt: &Prompt, script: &ScriptedUsage, counted: usize) -> Usage {
    if prompt.is_free {
        return Usage::default();
    }
    Usage {
        input: script.input.unwrap_or_else(|| prompt.tally.tokens()),
        output: script.output.unwrap_or_else(|| counted.try_into().unwrap_or(u64::MAX)),
        cache_read: script.cache_read,
        cache_write_5m: script.cache_write_5m,
        cache_write_1h: script.cache_write_1h,
    }
}

fn interruption(directive: &Directive, counted: usize) -> Option<Interruption> {
    let (after_chunks, then) = if let Some(after_chunks) = directive.error_after_chunks {
        let error = directive.error.clone().unwrap_or_default();
        (after_chunks, Break::Fault(Fault::scripted(&error, "ModelStreamErrorException")))
    } else if let Some(after_chunks) = directive.garbage_after_chunks {
        (after_chunks, Break::Garbage)
    } else {
        (directive.cut_after_chunks?, Break::Cut)
    };
    let after_chunks = after_chunks.min(counted);
    let skips_opening = after_chunks == 0 && directive.skip_opening;
    Some(Interruption { after_chunks, then, skips_opening })
}

#[cfg(test)]
mod tests;

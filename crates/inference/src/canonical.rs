//! The canonical form of a call, close to Bedrock's Converse
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>).

use metering::TokenUsage;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One call of a model, in no client's dialect.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ModelRequest {
    /// System prompts, in order.
    pub system: Vec<SystemBlock>,
    /// The conversation; roles alternate, starting with the user.
    pub messages: Vec<Message>,
    /// Sampling and length.
    pub inference: InferenceParameters,
    /// Tools that the model may use.
    pub tools: Vec<Tool>,
    /// How it must use them; `None` leaves it to the model's default.
    pub tool_choice: Option<ToolChoice>,
    /// The JSON schema that the answer must match.
    pub output_schema: Option<OutputSchema>,
    /// Whether several tools may be called in one answer; `None` leaves it to the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    /// Whether the model is to show its thinking, and how much of it; `None` leaves it to the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking: Option<Thinking>,
    /// How much the model is to think: `low`, `medium`, `high`, `xhigh` or `max` (`outputConfig.effort`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// Fields of the model's own, passed on as they are (`additionalModelRequestFields`).
    pub additional_fields: Map<String, Value>,
    /// `default`, `priority` or `flex`; `None` lets the provider decide.
    pub service_tier: Option<String>,
}

/// Sampling and length; unset fields are left to the model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct InferenceParameters {
    /// Output tokens at most.
    pub max_tokens: Option<u32>,
    /// 0 to 2; most protocols end at 1, and their codecs refuse more.
    pub temperature: Option<f32>,
    /// 0 to 1.
    pub top_p: Option<f32>,
    /// The number of likeliest tokens to choose from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Texts that end the answer.
    pub stop_sequences: Vec<String>,
}

/// A piece of the system prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SystemBlock {
    /// Plain text.
    Text(String),
    /// What stands before it is worth keeping in the provider's prompt cache.
    CachePoint(CacheTtl),
}

/// How long a provider is to keep a prompt's prefix in its cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CacheTtl {
    /// Five minutes: the default everywhere.
    #[serde(rename = "5m")]
    FiveMinutes,
    /// One hour.
    #[serde(rename = "1h")]
    OneHour,
}

/// Extended thinking, as Anthropic's models take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Thinking {
    /// At most so many tokens of it.
    Enabled {
        /// Counts towards `max_tokens`.
        budget_tokens: u32,
    },
    /// As much as the model sees fit.
    Adaptive,
    /// None.
    Disabled,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The caller, including the results of tools.
    User,
    /// The model.
    Assistant,
}

/// One turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: Vec<ContentBlock>,
}

/// A piece of a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentBlock {
    /// Plain text.
    Text(String),
    /// A picture.
    Image {
        /// Its encoding.
        format: ImageFormat,
        /// Where it is.
        source: Source,
    },
    /// A document.
    Document {
        /// Its encoding.
        format: DocumentFormat,
        /// A name that the model sees; neutral where the client gave none that the provider takes.
        name: String,
        /// Where it is.
        source: Source,
        /// What the client says about it, for the model.
        context: Option<String>,
        /// Whether the answer is to cite it.
        has_citations: bool,
    },
    /// What stands before it, in this turn and all before, is worth keeping in the provider's prompt cache.
    CachePoint(CacheTtl),
    /// The model wants a tool to be run.
    ToolUse {
        /// Ties the result to the request.
        id: String,
        /// The tool's name.
        name: String,
        /// Its arguments.
        input: Value,
    },
    /// What a tool returned.
    ToolResult {
        /// The id of the `ToolUse` that it answers.
        id: String,
        /// What it returned.
        content: Vec<ToolResultContent>,
        /// Whether the tool failed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
    /// The model's reasoning, with the signature that lets it be sent back.
    Reasoning {
        /// The text.
        text: String,
        /// The provider's signature over it.
        signature: Option<String>,
    },
    /// Reasoning that the provider does not show; to be sent back as it is.
    RedactedReasoning {
        /// The provider's own text (base64 in all wire formats).
        data: String,
    },
}

/// Where the bytes of a picture or document are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// In the request, decoded.
    Bytes(#[serde(with = "crate::canonical::base64_bytes")] Vec<u8>),
    /// In the request, as text; documents only.
    Text(String),
    /// In S3.
    S3 {
        /// `s3://bucket/key`
        uri: String,
        /// The account that owns the bucket, if it is not the caller's.
        bucket_owner: Option<String>,
    },
    /// Somewhere on the web; the provider fetches it, never the gateway.
    Url(String),
}

/// How a document is encoded; Converse's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DocumentFormat {
    /// `application/pdf`
    Pdf,
    /// `text/csv`
    Csv,
    /// `application/msword`
    Doc,
    /// `application/vnd.openxmlformats-officedocument.wordprocessingml.document`
    Docx,
    /// `application/vnd.ms-excel`
    Xls,
    /// `application/vnd.openxmlformats-officedocument.spreadsheetml.sheet`
    Xlsx,
    /// `text/html`
    Html,
    /// `text/plain`
    Txt,
    /// `text/markdown`
    Md,
}

impl DocumentFormat {
    /// Every format.
    pub const ALL: [Self; 9] = [
        Self::Pdf,
        Self::Csv,
        Self::Doc,
        Self::Docx,
        Self::Xls,
        Self::Xlsx,
        Self::Html,
        Self::Txt,
        Self::Md,
    ];

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Csv => "text/csv",
            Self::Doc => "application/msword",
            Self::Docx => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            Self::Xls => "application/vnd.ms-excel",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Html => "text/html",
            Self::Txt => "text/plain",
            Self::Md => "text/markdown",
        }
    }

    /// The format of that media type (in any case, without parameters), if it is one.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.media_type().eq_ignore_ascii_case(media_type))
    }

    /// What names of such files end in, without the dot: Converse's name of the format.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Pdf => "pdf",
            Self::Csv => "csv",
            Self::Doc => "doc",
            Self::Docx => "docx",
            Self::Xls => "xls",
            Self::Xlsx => "xlsx",
            Self::Html => "html",
            Self::Txt => "txt",
            Self::Md => "md",
        }
    }

    /// The format of files whose names end so (in any case, without the dot).
    pub fn of_extension(extension: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.extension().eq_ignore_ascii_case(extension))
    }
}

/// A piece of a tool's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolResultContent {
    /// Plain text.
    Text(String),
    /// JSON.
    Json(Value),
    /// A picture.
    Image {
        /// Its encoding.
        format: ImageFormat,
        /// Where it is.
        source: Source,
    },
    /// A document.
    Document {
        /// Its encoding.
        format: DocumentFormat,
        /// A name that the model sees.
        name: String,
        /// Where it is.
        source: Source,
    },
}

/// How a picture is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageFormat {
    /// `image/png`
    Png,
    /// `image/jpeg`
    Jpeg,
    /// `image/gif`
    Gif,
    /// `image/webp`
    Webp,
}

impl ImageFormat {
    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
        }
    }

    /// The format of that media type (in any case, without parameters), if it is one.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type.to_ascii_lowercase().as_str() {
            "image/png" => Some(Self::Png),
            "image/jpeg" | "image/jpg" => Some(Self::Jpeg),
            "image/gif" => Some(Self::Gif),
            "image/webp" => Some(Self::Webp),
            _ => None,
        }
    }
}

/// A tool that the model may use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// 1 to 64 of `[a-zA-Z0-9_-]`.
    pub name: String,
    /// What it does, for the model.
    pub description: Option<String>,
    /// JSON schema of its arguments.
    pub input_schema: Value,
    /// Whether arguments must match the schema exactly.
    pub strict: Option<bool>,
    /// The tools up to this one are worth keeping in the provider's prompt cache.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheTtl>,
}

/// How the model must use the tools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// As it sees fit.
    Auto,
    /// At least one.
    Any,
    /// This one.
    Tool(String),
    /// None, although they are there.
    None,
}

/// The schema that an answer must match.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputSchema {
    /// The schema's name.
    pub name: String,
    /// What it describes, for the model.
    pub description: Option<String>,
    /// The JSON schema.
    pub schema: Value,
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelResponse {
    /// What the model said.
    pub content: Vec<ContentBlock>,
    /// Why it stopped.
    pub stop_reason: StopReason,
    /// The stop sequence that it met, where the provider says which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_sequence: Option<String>,
    /// What it consumed.
    pub usage: TokenUsage,
    /// The provider's id of the call.
    pub provider_request_id: Option<String>,
}

/// A step of a streamed answer. `block` numbers the content blocks from 0, in the provider's count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The model begins a call of a tool.
    ToolUseStart {
        /// Which block.
        block: u32,
        /// Ties the result to the request.
        id: String,
        /// The tool's name.
        name: String,
    },
    /// More text.
    TextDelta {
        /// Which block.
        block: u32,
        /// The text.
        text: String,
    },
    /// More of a tool's arguments.
    ToolInputDelta {
        /// Which block.
        block: u32,
        /// A fragment of JSON text.
        json: String,
    },
    /// More reasoning.
    ReasoningDelta {
        /// Which block.
        block: u32,
        /// The text.
        text: String,
    },
    /// The signature over the block's reasoning.
    ReasoningSignature {
        /// Which block.
        block: u32,
        /// The signature.
        signature: String,
    },
    /// A whole block of reasoning that the provider does not show.
    RedactedReasoning {
        /// Which block.
        block: u32,
        /// To be sent back as it is.
        data: String,
    },
    /// A block ended.
    BlockStop {
        /// Which block.
        block: u32,
    },
    /// The answer ended.
    Stop {
        /// Why.
        reason: StopReason,
        /// The stop sequence that it met, where the provider says which.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stop_sequence: Option<String>,
    },
    /// What the call has consumed so far. It may come early, with the input only; the last one counts,
    /// and in a complete stream it comes after everything else.
    Usage(TokenUsage),
}

impl Event {
    /// Whether a client has seen something of the answer once this has been sent. Until then, another
    /// target may still answer in its place.
    pub fn is_content(&self) -> bool {
        match self {
            Self::TextDelta { text, .. } | Self::ReasoningDelta { text, .. } => !text.is_empty(),
            Self::Usage(_) => false,
            _ => true,
        }
    }
}

/// Why a model stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It was done.
    EndTurn,
    /// It waits for a tool.
    ToolUse,
    /// It reached `max_tokens`.
    MaxTokens,
    /// It met a stop sequence.
    StopSequence,
    /// A guardrail stepped in.
    GuardrailIntervened,
    /// The provider filtered the content.
    ContentFiltered,
    /// The model declined to answer.
    Refusal,
    /// The provider paused a long turn; the client may send it back to go on.
    PauseTurn,
    /// The context window is full.
    ContextWindowExceeded,
    /// Anything else, in the provider's word.
    Other(String),
}

/// Bytes as base64 text, for snapshots.
pub(crate) mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

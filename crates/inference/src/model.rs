//! What the registry says about a model. All of it is data: a new model needs no deploy.

use serde::{Deserialize, Serialize};
use tenancy::ModelId;

/// A model, as the registry describes it (`PK=CATALOG`, `SK=MODEL#<id>`; seeded from `infra/seed/models.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// The name clients use, and allowlists and prices refer to.
    pub id: ModelId,
    /// What Bedrock calls it: a foundation model id or an inference profile id.
    pub provider_model_id: String,
    /// Which API it is reached by.
    pub protocol: Protocol,
    /// Who made it, for `GET /v1/models`.
    pub owned_by: String,
    /// When it was added, in Unix seconds.
    pub created: i64,
    /// Input and output tokens of one call at most.
    pub context_window: u32,
    /// Output tokens of one call at most.
    pub max_output_tokens: u32,
    /// Output tokens of a request that names no maximum; sent explicitly, since Bedrock reserves its own quota by it.
    pub default_max_tokens: u32,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Top-level fields of a request that the model is known to reject, dropped before it is called.
    #[serde(default)]
    pub drop_fields: Vec<String>,
    /// How its input is bounded before a call.
    #[serde(default)]
    pub estimate: Estimate,
}

/// The Bedrock API by which a model is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// `/model/{id}/converse` and `/converse-stream`.
    Converse,
    /// `/openai/v1/chat/completions`: the client's own bytes, signed.
    OpenaiChat,
}

/// What a model can do. A request that needs more is refused with a clear error.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "a table of independent facts")]
pub struct Capabilities {
    /// Reads pictures.
    #[serde(default)]
    pub images: bool,
    /// Uses tools.
    #[serde(default)]
    pub tools: bool,
    /// Can be made to use a tool (`tool_choice` `required` or a name).
    #[serde(default)]
    pub forced_tool_choice: bool,
    /// Takes `temperature` and `top_p`.
    #[serde(default)]
    pub sampling_parameters: bool,
    /// Answers by a JSON schema.
    #[serde(default)]
    pub structured_output: bool,
    /// Takes `reasoning_effort`.
    #[serde(default)]
    pub reasoning_effort: bool,
}

/// How many input tokens a request can have at most, judged without a tokenizer.
///
/// No tokenizer in use makes more than one token of a byte, so bytes bound tokens from above; the
/// reservation made with it can therefore not be overrun by the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// Tokens that the provider's own prompt template may add to a call.
    pub overhead_tokens: u32,
    /// Tokens of one picture at most.
    pub image_tokens: u32,
}

impl Default for Estimate {
    fn default() -> Self {
        Self { overhead_tokens: 512, image_tokens: 4_096 }
    }
}

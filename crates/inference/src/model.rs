//! What the registry says about a model. All of it is data: a new model needs no deploy.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tenancy::ModelId;

use crate::{EndOfLife, Protocol, Stage};

/// A model, as the registry describes it (`PK=CATALOG`, `SK=MODEL#<id>`; seeded from `infra/seed/models.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// The name clients use, and allowlists and prices refer to.
    pub id: ModelId,
    /// Who runs it: the id of a [`ProviderConfig`].
    #[serde(default = "bedrock")]
    pub provider: String,
    /// What the provider calls it: on Bedrock a foundation model id or an inference profile id, on
    /// SageMaker an endpoint's name.
    pub provider_model_id: String,
    /// The wire formats that it can be asked in, the preferred one first. A client that speaks one of
    /// them has its bytes passed on; any other is translated to the first.
    pub protocols: Vec<Protocol>,
    /// Who made it, for `GET /v1/models`.
    pub owned_by: String,
    /// The models that it belongs to, for limits on all of them; its maker's, if unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<ModelId>,
    /// When it was added, in Unix seconds.
    pub created: i64,
    /// Input and output tokens of one call at most.
    pub context_window: u32,
    /// Output tokens of one call at most; 0 for models that make no text.
    pub max_output_tokens: u32,
    /// Output tokens of a request that names no maximum; sent explicitly, since Bedrock reserves its own quota by it.
    pub default_max_tokens: u32,
    /// What it can do.
    pub capabilities: Capabilities,
    /// Top-level fields of a request that the model is known to reject, dropped before it is called.
    #[serde(default)]
    pub drop_fields: Vec<String>,
    /// The `anthropic-beta` flags that it takes; others are dropped. Unset: all are passed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anthropic_beta: Option<Vec<String>>,
    /// How a model with a JSON of its own is asked (`invoke_model` embeddings and pictures, `json_template`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BodyFormat>,
    /// How its input is bounded before a call.
    #[serde(default)]
    pub estimate: Estimate,
    /// For how many seconds its answers serve from the response cache; unset: only where the tenant or
    /// the request asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_cache_ttl_s: Option<u32>,
    /// Where it is in its life; entries that say nothing are called.
    #[serde(default, skip_serializing_if = "Stage::is_approved")]
    pub stage: Stage,
    /// When it ends, and what follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_of_life: Option<EndOfLife>,
}

fn bedrock() -> String {
    ProviderConfig::BEDROCK.to_owned()
}

impl Model {
    /// The family that limits may name; a model whose maker's name is no id is a family of its own.
    pub fn family(&self) -> ModelId {
        let makers = || self.owned_by.parse().unwrap_or_else(|_| self.id.clone());
        self.family.clone().unwrap_or_else(makers)
    }

    /// Whether it can be asked in `protocol`.
    pub fn speaks(&self, protocol: Protocol) -> bool {
        self.protocols.contains(&protocol)
    }
}

/// How a model with a JSON of its own is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "format", rename_all = "snake_case")]
pub enum BodyFormat {
    /// Amazon Titan text embeddings: one text a call.
    TitanEmbed,
    /// Cohere embeddings: up to 96 texts a call.
    CohereEmbed,
    /// Amazon Nova multimodal embeddings: one text a call.
    NovaEmbed,
    /// A text model's or picture model's own JSON, passed on as it is. JSON pointers
    /// (<https://www.rfc-editor.org/rfc/rfc6901>) say where its limits stand.
    Native {
        /// Where the request's maximum of output tokens stands.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_tokens: Option<String>,
        /// Where the request's number of pictures stands; absent, the model makes none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        images: Option<String>,
    },
    /// A JSON body with places to fill, and JSON pointers into the answer.
    Template {
        /// The request; the strings `{{prompt}}`, `{{system}}`, `{{max_tokens}}`, `{{temperature}}`,
        /// `{{top_p}}` and `{{stop}}` are replaced by values of the right type, and members whose
        /// value is not given are left out.
        request: String,
        /// Where the answer's text stands.
        text: String,
        /// Where the count of input tokens stands, if the endpoint says it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input_tokens: Option<String>,
        /// Where the count of output tokens stands, if the endpoint says it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output_tokens: Option<String>,
    },
}

/// Who runs models, as the registry describes it (`PK=CATALOG`, `SK=PROVIDER#<id>`; seeded from
/// `infra/seed/providers.json`). Bedrock in the stack's own account and Region needs no entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderConfig {
    /// What models refer to.
    pub id: String,
    /// How it is reached.
    pub kind: ProviderKind,
    /// OpenTelemetry's `gen_ai.provider.name`, for usage records.
    pub name: String,
    /// The Region to call, where it is not the stack's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Where an OpenAI-compatible server is, up to and including its `/v1` or what it has in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Whether `base_url` may be plain HTTP, for servers of one's own network; this machine's own
    /// needs no leave.
    #[serde(default)]
    pub allow_http: bool,
    /// Headers that it wants in every request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// How calls are authenticated; unset for servers that ask for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<ProviderAuth>,
    /// Paths below `base_url` that differ from OpenAI's, by protocol.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paths: BTreeMap<Protocol, String>,
}

impl ProviderConfig {
    /// The id of Bedrock in the stack's own account and Region.
    pub const BEDROCK: &'static str = "bedrock";
    /// The id of SageMaker in the stack's own account and Region.
    pub const SAGEMAKER: &'static str = "sagemaker";

    /// The providers that every stack has without an entry in the registry.
    pub fn built_in() -> [Self; 2] {
        let aws = |id: &str, kind, name: &str| Self {
            id: id.to_owned(),
            kind,
            name: name.to_owned(),
            region: None,
            base_url: None,
            allow_http: false,
            headers: BTreeMap::new(),
            auth: None,
            paths: BTreeMap::new(),
        };
        [
            aws(Self::BEDROCK, ProviderKind::Bedrock, "aws.bedrock"),
            aws(Self::SAGEMAKER, ProviderKind::Sagemaker, "aws.sagemaker"),
        ]
    }
}

/// How a provider is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// Bedrock runtime, signed.
    Bedrock,
    /// SageMaker runtime, signed.
    Sagemaker,
    /// A server that speaks OpenAI's API: vLLM, Ollama, TGI, a third party.
    OpenaiCompatible,
}

/// A provider's secret, by reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderAuth {
    /// The secret in Secrets Manager: its ARN, or its name in the stack's account. Its text is the key.
    pub secret: String,
    /// The header that carries it.
    #[serde(default = "authorization")]
    pub header: String,
    /// What stands before it, for example `Bearer `.
    #[serde(default = "bearer")]
    pub prefix: String,
}

fn authorization() -> String {
    "authorization".to_owned()
}

fn bearer() -> String {
    "Bearer ".to_owned()
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
    /// Reads documents (PDF and the like).
    #[serde(default)]
    pub documents: bool,
    /// Shows its thinking, and takes Anthropic's `thinking`.
    #[serde(default)]
    pub thinking: bool,
    /// Takes cache points; without, they are left out, since they change the price and not the answer.
    #[serde(default)]
    pub prompt_caching: bool,
    /// Takes cache points of one hour; without, they last five minutes.
    #[serde(default)]
    pub prompt_caching_1h: bool,
    /// Takes `top_k`.
    #[serde(default)]
    pub top_k: bool,
    /// Goes on with an answer that the client began (a last message of the assistant).
    #[serde(default)]
    pub prefill: bool,
    /// Reads pictures and documents from S3 by itself.
    #[serde(default)]
    pub s3_sources: bool,
    /// Knows, behind the Responses API, every kind of tool that OpenAI's own servers do, and runs those that
    /// are run there. Without, requests that offer such tools are translated.
    #[serde(default)]
    pub hosted_tools: bool,
    /// Counts tokens (`CountTokens`).
    #[serde(default)]
    pub count_tokens: bool,
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

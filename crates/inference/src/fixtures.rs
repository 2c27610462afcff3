//! Registry entries for tests.

use std::collections::BTreeMap;

use crate::{Capabilities, Estimate, Model, Protocol, ProviderConfig, Stage};

/// A model of the built-in Bedrock that can do everything, asked in `protocol`.
///
/// # Panics
/// If `id` is no model id.
#[expect(clippy::expect_used, reason = "a test's own mistake")]
pub fn model(id: &str, protocol: Protocol) -> Model {
    Model {
        id: id.parse().expect("a model id"),
        provider: ProviderConfig::BEDROCK.to_owned(),
        provider_model_id: id.to_owned(),
        protocols: vec![protocol],
        owned_by: "test".to_owned(),
        family: None,
        created: 1_760_000_000,
        context_window: 200_000,
        max_output_tokens: 8_192,
        default_max_tokens: 1_024,
        capabilities: able(),
        drop_fields: Vec::new(),
        anthropic_beta: None,
        body: None,
        estimate: Estimate { overhead_tokens: 500, image_tokens: 1_600 },
        response_cache_ttl_s: None,
        stage: Stage::Approved,
        end_of_life: None,
    }
}

/// All capabilities.
pub fn able() -> Capabilities {
    Capabilities {
        images: true,
        tools: true,
        forced_tool_choice: true,
        sampling_parameters: true,
        structured_output: true,
        reasoning_effort: true,
        documents: true,
        thinking: true,
        prompt_caching: true,
        prompt_caching_1h: true,
        top_k: true,
        prefill: true,
        s3_sources: true,
        count_tokens: true,
        hosted_tools: true,
    }
}

/// The built-in provider of that id.
///
/// # Panics
/// If there is none.
#[expect(clippy::expect_used, reason = "a test's own mistake")]
pub fn provider(id: &str) -> ProviderConfig {
    let mut providers: BTreeMap<_, _> =
        ProviderConfig::built_in().into_iter().map(|it| (it.id.clone(), it)).collect();
    providers.remove(id).expect("a built-in provider")
}

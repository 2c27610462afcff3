//! The canonical request as Converse takes it.

use std::collections::BTreeMap;

use aws_sdk_bedrockruntime::error::BuildError;
use aws_sdk_bedrockruntime::primitives::Blob;
use aws_sdk_bedrockruntime::types as sdk;
use aws_smithy_types::Document;
use inference::{
    ContentBlock, ImageFormat, InferenceParameters, Message, ModelRequest, OutputSchema,
    ProviderCall, Role, Source, Tool, ToolChoice, ToolResultContent,
};
use serde_json::Value;

use crate::document::to_document;

/// What Converse and `ConverseStream` have in common.
pub(crate) struct ConverseRequest {
    pub(crate) messages: Vec<sdk::Message>,
    pub(crate) system: Option<Vec<sdk::SystemContentBlock>>,
    pub(crate) inference_config: sdk::InferenceConfiguration,
    pub(crate) tool_config: Option<sdk::ToolConfiguration>,
    pub(crate) additional_fields: Option<Document>,
    pub(crate) service_tier: Option<sdk::ServiceTier>,
    pub(crate) output_config: Option<sdk::OutputConfig>,
}

impl TryFrom<ModelRequest> for ConverseRequest {
    type Error = BuildError;

    fn try_from(request: ModelRequest) -> Result<Self, BuildError> {
        let system: Vec<_> = request
            .system
            .into_iter()
            .filter_map(|block| match block {
                inference::SystemBlock::Text(text) => Some(sdk::SystemContentBlock::Text(text)),
                inference::SystemBlock::CachePoint(_) => None,
            })
            .collect();
        Ok(Self {
            messages: request.messages.into_iter().map(message).collect::<Result<_, _>>()?,
            system: (!system.is_empty()).then_some(system),
            inference_config: inference_config(request.inference),
            tool_config: tool_config(request.tools, request.tool_choice)?,
            additional_fields: (!request.additional_fields.is_empty())
                .then(|| to_document(Value::Object(request.additional_fields))),
            service_tier: request.service_tier.as_deref().map(service_tier).transpose()?,
            output_config: output_config(request.output_schema, request.effort)?,
        })
    }
}

fn message(message: Message) -> Result<sdk::Message, BuildError> {
    let role = match message.role {
        Role::User => sdk::ConversationRole::User,
        Role::Assistant => sdk::ConversationRole::Assistant,
    };
    let content = message.content.into_iter().map(content_block).collect::<Result<Vec<_>, _>>()?;
    sdk::Message::builder().role(role).set_content(Some(content)).build()
}

fn content_block(block: ContentBlock) -> Result<sdk::ContentBlock, BuildError> {
    Ok(match block {
        ContentBlock::Text(text) => sdk::ContentBlock::Text(text),
        ContentBlock::Image { format, source: Source::Bytes(bytes) } => {
            sdk::ContentBlock::Image(image(format, bytes)?)
        }
        ContentBlock::ToolUse { id, name, input } => sdk::ContentBlock::ToolUse(
            sdk::ToolUseBlock::builder()
                .tool_use_id(id)
                .name(name)
                .input(to_document(input))
                .build()?,
        ),
        ContentBlock::ToolResult { id, content, .. } => {
            let content =
                content.into_iter().map(tool_result_content).collect::<Result<Vec<_>, _>>()?;
            sdk::ContentBlock::ToolResult(
                sdk::ToolResultBlock::builder()
                    .tool_use_id(id)
                    .set_content(Some(content))
                    .build()?,
            )
        }
        ContentBlock::Reasoning { text, signature } => {
            sdk::ContentBlock::ReasoningContent(sdk::ReasoningContentBlock::ReasoningText(
                sdk::ReasoningTextBlock::builder().text(text).set_signature(signature).build()?,
            ))
        }
        _ => return Err(BuildError::other("this content has no form here yet")),
    })
}

fn tool_result_content(
    content: ToolResultContent,
) -> Result<sdk::ToolResultContentBlock, BuildError> {
    Ok(match content {
        ToolResultContent::Text(text) => sdk::ToolResultContentBlock::Text(text),
        ToolResultContent::Image { format, source: Source::Bytes(bytes) } => {
            sdk::ToolResultContentBlock::Image(image(format, bytes)?)
        }
        _ => return Err(BuildError::other("this content has no form here yet")),
    })
}

fn image(format: ImageFormat, bytes: Vec<u8>) -> Result<sdk::ImageBlock, BuildError> {
    let format = match format {
        ImageFormat::Png => sdk::ImageFormat::Png,
        ImageFormat::Jpeg => sdk::ImageFormat::Jpeg,
        ImageFormat::Gif => sdk::ImageFormat::Gif,
        ImageFormat::Webp => sdk::ImageFormat::Webp,
    };
    sdk::ImageBlock::builder()
        .format(format)
        .source(sdk::ImageSource::Bytes(Blob::new(bytes)))
        .build()
}

fn inference_config(parameters: InferenceParameters) -> sdk::InferenceConfiguration {
    let stop_sequences = parameters.stop_sequences;
    sdk::InferenceConfiguration::builder()
        .set_max_tokens(
            parameters.max_tokens.map(|tokens| i32::try_from(tokens).unwrap_or(i32::MAX)),
        )
        .set_temperature(parameters.temperature)
        .set_top_p(parameters.top_p)
        .set_stop_sequences((!stop_sequences.is_empty()).then_some(stop_sequences))
        .build()
}

fn tool_config(
    tools: Vec<Tool>,
    choice: Option<ToolChoice>,
) -> Result<Option<sdk::ToolConfiguration>, BuildError> {
    if tools.is_empty() {
        return Ok(None);
    }
    let tools = tools.into_iter().map(tool).collect::<Result<Vec<_>, _>>()?;
    let choice = choice.map(tool_choice).transpose()?;
    sdk::ToolConfiguration::builder()
        .set_tools(Some(tools))
        .set_tool_choice(choice)
        .build()
        .map(Some)
}

fn tool(tool: Tool) -> Result<sdk::Tool, BuildError> {
    let specification = sdk::ToolSpecification::builder()
        .name(tool.name)
        .set_description(tool.description)
        .input_schema(sdk::ToolInputSchema::Json(to_document(tool.input_schema)))
        .set_strict(tool.strict)
        .build()?;
    Ok(sdk::Tool::ToolSpec(specification))
}

fn tool_choice(choice: ToolChoice) -> Result<sdk::ToolChoice, BuildError> {
    Ok(match choice {
        ToolChoice::Auto | ToolChoice::None => {
            sdk::ToolChoice::Auto(sdk::AutoToolChoice::builder().build())
        }
        ToolChoice::Any => sdk::ToolChoice::Any(sdk::AnyToolChoice::builder().build()),
        ToolChoice::Tool(name) => {
            sdk::ToolChoice::Tool(sdk::SpecificToolChoice::builder().name(name).build()?)
        }
    })
}

fn service_tier(tier: &str) -> Result<sdk::ServiceTier, BuildError> {
    sdk::ServiceTier::builder().r#type(sdk::ServiceTierType::from(tier)).build()
}

fn output_config(
    schema: Option<OutputSchema>,
    effort: Option<String>,
) -> Result<Option<sdk::OutputConfig>, BuildError> {
    if schema.is_none() && effort.is_none() {
        return Ok(None);
    }
    let format = schema.map(output_format).transpose()?;
    Ok(Some(sdk::OutputConfig::builder().set_text_format(format).set_effort(effort).build()))
}

fn output_format(output: OutputSchema) -> Result<sdk::OutputFormat, BuildError> {
    let schema = sdk::JsonSchemaDefinition::builder()
        .name(output.name)
        .set_description(output.description)
        .schema(output.schema.to_string())
        .build()?;
    sdk::OutputFormat::builder()
        .r#type(sdk::OutputFormatType::JsonSchema)
        .structure(sdk::OutputFormatStructure::JsonSchema(schema))
        .build()
}

/// Who calls, for Bedrock's invocation log: `tenant_id`, `lob_id` and `call_id`.
pub(crate) fn metadata(call: &ProviderCall<'_>) -> BTreeMap<String, String> {
    [
        ("tenant_id", call.context.tenant_id.as_str()),
        ("lob_id", call.context.lob_id.as_str()),
        ("call_id", call.call_id),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), metadata_value(value)))
    .collect()
}

/// `value` in the characters and the length that Bedrock takes, so that no call fails for its label.
fn metadata_value(value: &str) -> String {
    let is_allowed = |char: &char| char.is_ascii_alphanumeric() || " :_@$#=/+,.-".contains(*char);
    value.chars().take(256).map(|char| if is_allowed(&char) { char } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_keeps_to_what_bedrock_takes() {
        assert_eq!(metadata_value("0199a-b_c/d"), "0199a-b_c/d");
        assert_eq!(metadata_value("a\"b\n\u{e9}{}"), "a_b____");
        assert_eq!(metadata_value(&"x".repeat(300)).len(), 256);
    }
}

//! Where a request goes, as the registry says it.

use http::Uri;
use inference::{Operation, Protocol, ProviderConfig};

/// An entry of the registry by which no request can be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; correct the registry")]
pub(crate) struct Misconfigured {
    what: String,
}

impl Misconfigured {
    pub(crate) fn new(provider: &ProviderConfig, what: &str) -> Self {
        Self { what: format!("provider `{}`: {what}", provider.id) }
    }
}

/// The URL at which `provider` does `operation` in `protocol`.
///
/// An entry is checked again here, so that no key goes out unencrypted, whoever wrote the entry.
pub(crate) fn url(
    provider: &ProviderConfig,
    protocol: Protocol,
    operation: &Operation,
) -> Result<Uri, Misconfigured> {
    provider.validate().map_err(|error| Misconfigured { what: error.to_string() })?;
    let base = provider.base_url.as_deref().unwrap_or_default();
    let path = path(provider, protocol, operation).ok_or_else(|| {
        let protocol = protocol.as_str();
        Misconfigured::new(provider, &format!("it cannot be asked in `{protocol}` for this"))
    })?;
    let url = format!("{}/{}", base.trim_end_matches('/'), path.trim_start_matches('/'));
    url.parse().map_err(|_| Misconfigured::new(provider, "its `base_url` and `paths` make no URL"))
}

fn path(provider: &ProviderConfig, protocol: Protocol, operation: &Operation) -> Option<String> {
    let of_openai = match protocol {
        Protocol::OpenaiChat => Some("chat/completions"),
        Protocol::OpenaiResponses => Some("responses"),
        Protocol::AnthropicMessages => Some("messages"),
        Protocol::OpenaiEmbeddings => Some("embeddings"),
        Protocol::Rerank => Some("rerank"),
        Protocol::Converse
        | Protocol::InvokeModel
        | Protocol::JsonTemplate
        | Protocol::BedrockGuardrail
        | Protocol::BedrockRerank => None,
    };
    let path = provider.paths.get(&protocol).map(String::as_str).or(of_openai)?;
    match operation {
        Operation::Invoke => Some(path.to_owned()),
        Operation::CountTokens if protocol == Protocol::AnthropicMessages => {
            Some(match path.split_once('?') {
                Some((path, query)) => format!("{path}/count_tokens?{query}"),
                None => format!("{path}/count_tokens"),
            })
        }
        Operation::CountTokens | Operation::ApplyGuardrail { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use inference::{ProviderKind, fixtures};

    use super::*;

    fn provider(base_url: &str) -> ProviderConfig {
        ProviderConfig {
            kind: ProviderKind::OpenaiCompatible,
            base_url: Some(base_url.to_owned()),
            ..fixtures::provider("bedrock")
        }
    }

    #[test]
    fn every_protocol_has_its_path_below_the_base() {
        let mut provider = provider("https://api.example.com/v1/");
        let check = |protocol, operation: Operation, expected: Option<&str>| {
            let url = url(&provider, protocol, &operation).ok().map(|url| url.to_string());
            let expected = expected.map(|path| format!("https://api.example.com/v1/{path}"));
            assert_eq!(url, expected, "{protocol:?}");
        };
        check(Protocol::OpenaiChat, Operation::Invoke, Some("chat/completions"));
        check(Protocol::OpenaiResponses, Operation::Invoke, Some("responses"));
        check(Protocol::OpenaiEmbeddings, Operation::Invoke, Some("embeddings"));
        check(Protocol::Rerank, Operation::Invoke, Some("rerank"));
        check(Protocol::AnthropicMessages, Operation::Invoke, Some("messages"));
        let counting = Some("messages/count_tokens");
        check(Protocol::AnthropicMessages, Operation::CountTokens, counting);
        check(Protocol::OpenaiChat, Operation::CountTokens, None);
        check(Protocol::Converse, Operation::Invoke, None);
        check(Protocol::BedrockRerank, Operation::Invoke, None);

        provider.paths.insert(Protocol::OpenaiChat, "/chat?api-version=1".to_owned());
        provider.paths.insert(Protocol::AnthropicMessages, "/m?beta=true".to_owned());
        let of = |protocol, operation| url(&provider, protocol, &operation).unwrap().to_string();
        assert_eq!(
            of(Protocol::OpenaiChat, Operation::Invoke),
            "https://api.example.com/v1/chat?api-version=1"
        );
        assert_eq!(
            of(Protocol::AnthropicMessages, Operation::CountTokens),
            "https://api.example.com/v1/m/count_tokens?beta=true"
        );
    }

    #[test]
    fn what_the_registry_should_not_have_taken_is_not_asked_either() {
        let of = |provider| url(&provider, Protocol::OpenaiChat, &Operation::Invoke);
        for base_url in ["http://api.example.com/v1", "https://user:pass@example.com", "/v1"] {
            let error = of(provider(base_url)).unwrap_err().to_string();
            assert!(error.ends_with("correct the registry"), "{error}");
        }
        let in_cluster = ProviderConfig { allow_http: true, ..provider("http://vllm.svc:8000/v1") };
        assert_eq!(of(in_cluster).unwrap().scheme_str(), Some("http"));
    }
}

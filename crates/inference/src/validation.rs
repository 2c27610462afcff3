//! What an entry of the registry must be, beyond its shape: whoever writes one refuses it by these
//! rules, and whoever reads one that breaks them passes it over.

use std::collections::BTreeSet;

use http::{HeaderName, HeaderValue, Uri};
use serde_json::Value;
use tenancy::ModelId;

use crate::{Alias, BodyFormat, EndOfLife, Model, Protocol, ProviderConfig, ProviderKind};

/// Targets of one alias at most.
const MAX_TARGETS: usize = 32;

/// Characters of a note about the end of a model.
const MAX_NOTE: usize = 500;

/// Provider calls for one call of a client at most.
const MAX_ATTEMPTS: u32 = 10;

/// The time of one call at most, in milliseconds: as long as API Gateway streams.
const MAX_DEADLINE_MS: u64 = 900_000;

/// Headers of a request that belong to its sender, or carry a secret and belong into `auth`.
const RESERVED_HEADERS: [&str; 8] = [
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "cookie",
    "host",
    "content-length",
    "transfer-encoding",
];

/// An entry of the registry that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{entry}: {problem}")]
pub struct InvalidEntry {
    /// Which one, for example ``alias `fast` ``.
    pub entry: String,
    /// What is wrong and how to put it right.
    pub problem: String,
}

/// Fails with the problem unless the rule holds.
fn rule(holds: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem()) }
}

fn named(kind: &str, name: &str, checked: Result<(), String>) -> Result<(), InvalidEntry> {
    let name: String = name.chars().take(64).collect();
    checked.map_err(|problem| InvalidEntry { entry: format!("{kind} `{name}`"), problem })
}

impl Alias {
    /// Checks what its shape cannot say.
    ///
    /// That its targets are registered is no rule: models come and go, and routing passes over those
    /// that are not there. Whoever writes an alias may want to check it with [`Self::models`].
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn validate(&self) -> Result<(), InvalidEntry> {
        named("alias", self.name.as_str(), self.check())
    }

    /// The models that it names, in the order of its steps.
    pub fn models(&self) -> impl Iterator<Item = &ModelId> {
        self.steps.iter().flat_map(|step| &step.targets).map(|target| &target.model)
    }

    fn check(&self) -> Result<(), String> {
        rule(!self.steps.is_empty(), || "`steps` is empty: name at least one target".into())?;
        for (number, step) in self.steps.iter().enumerate() {
            rule(!step.targets.is_empty(), || {
                format!("`steps[{number}].targets` is empty: name at least one, or drop the step")
            })?;
        }
        let first = self.steps.iter().take(1).flat_map(|step| &step.targets);
        rule(first.map(|target| u64::from(target.weight)).sum::<u64>() > 0, || {
            "every `weight` of the first step is 0: give at least one target a share".into()
        })?;
        rule(self.models().count() <= MAX_TARGETS, || {
            format!("it has more than {MAX_TARGETS} targets")
        })?;
        let mut seen = BTreeSet::new();
        for model in self.models() {
            rule(seen.insert(model), || format!("`{model}` is a target twice: name it once"))?;
        }

        let retry = &self.retry;
        rule((1..=MAX_ATTEMPTS).contains(&retry.max_attempts), || {
            format!("`retry.max_attempts` must be 1 to {MAX_ATTEMPTS}")
        })?;
        rule((1..=retry.max_attempts).contains(&retry.max_attempts_per_target), || {
            "`retry.max_attempts_per_target` must be 1 to `retry.max_attempts`".into()
        })?;
        rule(retry.backoff_ms <= retry.max_backoff_ms, || {
            "`retry.backoff_ms` must not be more than `retry.max_backoff_ms`".into()
        })?;
        rule((1..=MAX_DEADLINE_MS).contains(&retry.deadline_ms), || {
            format!("`retry.deadline_ms` must be 1 to {MAX_DEADLINE_MS}")
        })
    }
}

impl Model {
    /// Checks what its shape cannot say. Whether its provider is registered is no rule, as with an
    /// alias' targets.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn validate(&self) -> Result<(), InvalidEntry> {
        named("model", self.id.as_str(), self.check())
    }

    fn check(&self) -> Result<(), String> {
        rule(!self.protocols.is_empty(), || {
            "`protocols` is empty: name at least one that it can be asked in".into()
        })?;
        rule(is_printable(&self.provider_model_id), || {
            "`provider_model_id` must be 1 to 2048 printable ASCII characters without spaces".into()
        })?;
        rule(self.context_window > 0, || "`context_window` must be more than 0".into())?;
        rule(self.default_max_tokens <= self.max_output_tokens, || {
            "`default_max_tokens` must not be more than `max_output_tokens`".into()
        })?;
        rule(self.max_output_tokens == 0 || self.default_max_tokens > 0, || {
            "`default_max_tokens` must be more than 0 for a model that makes text".into()
        })?;
        let is_template = matches!(self.body, Some(BodyFormat::Template { .. }));
        rule(is_template == self.speaks(Protocol::JsonTemplate), || {
            "the protocol `json_template` and a `body` of the format `template` need each other"
                .into()
        })?;
        self.end_of_life.as_ref().map_or(Ok(()), |end| self.check_end(end))?;
        self.body.as_ref().map_or(Ok(()), check_body)
    }

    fn check_end(&self, end: &EndOfLife) -> Result<(), String> {
        rule(end.successor.as_ref() != Some(&self.id), || {
            "`end_of_life.successor` is the model itself: name another one, or none".into()
        })?;
        let is_ordered = match (end.deprecated_on, end.retires_on) {
            (Some(deprecated), Some(retires)) => deprecated <= retires,
            _ => true,
        };
        rule(is_ordered, || {
            "`end_of_life.deprecated_on` must not be after `end_of_life.retires_on`".into()
        })?;
        let note = end.note.as_deref().unwrap_or_default();
        rule(note.chars().count() <= MAX_NOTE && !note.chars().any(char::is_control), || {
            format!(
                "`end_of_life.note` must be at most {MAX_NOTE} characters without control characters"
            )
        })
    }
}

fn check_body(body: &BodyFormat) -> Result<(), String> {
    let pointer = |name: &str, pointer: &str| {
        rule(pointer.is_empty() || pointer.starts_with('/'), || {
            format!("`body.{name}` must be a JSON pointer: `/` and a path")
        })
    };
    let optional = |name: &str, text: &Option<String>| {
        text.as_ref().map_or(Ok(()), |text| pointer(name, text))
    };
    match body {
        BodyFormat::TitanEmbed | BodyFormat::CohereEmbed | BodyFormat::NovaEmbed => Ok(()),
        BodyFormat::Native { max_tokens, images } => {
            optional("max_tokens", max_tokens)?;
            optional("images", images)
        }
        BodyFormat::Template { request, text, input_tokens, output_tokens } => {
            rule(serde_json::from_str::<Value>(request).is_ok(), || {
                "`body.request` must be JSON whose places to fill are strings such as \"{{prompt}}\""
                    .into()
            })?;
            rule(request.contains("\"{{prompt}}\""), || {
                "`body.request` has no place for the prompt: \"{{prompt}}\"".into()
            })?;
            pointer("text", text)?;
            optional("input_tokens", input_tokens)?;
            optional("output_tokens", output_tokens)
        }
    }
}

impl ProviderConfig {
    /// Checks what its shape cannot say.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn validate(&self) -> Result<(), InvalidEntry> {
        named("provider", &self.id, self.check())
    }

    fn check(&self) -> Result<(), String> {
        rule(is_printable(&self.id), || {
            "`id` must be 1 to 2048 printable ASCII characters without spaces".into()
        })?;
        rule(is_printable(&self.name), || {
            "`name` must be printable ASCII characters without spaces, for example `openai`".into()
        })?;
        rule(self.region.as_deref().is_none_or(is_region), || {
            "`region` must be a Region such as `eu-central-1`".into()
        })?;
        for (name, value) in &self.headers {
            check_header(name, value)?;
        }
        match self.kind {
            ProviderKind::Bedrock | ProviderKind::Sagemaker => {
                let is_bare =
                    self.base_url.is_none() && self.auth.is_none() && self.paths.is_empty();
                rule(is_bare, || {
                    "`base_url`, `auth` and `paths` are for `openai_compatible` providers: calls of \
                     AWS are signed and go to its own endpoints"
                        .into()
                })
            }
            ProviderKind::OpenaiCompatible => self.check_server(),
        }
    }

    fn check_server(&self) -> Result<(), String> {
        let Some(base_url) = &self.base_url else {
            return Err("`base_url` is missing: say where the server is".into());
        };
        let uri: Uri = base_url.parse().map_err(|_| "`base_url` is no URL".to_owned())?;
        let host = uri.host().unwrap_or_default();
        let is_local = ["localhost", "127.0.0.1", "[::1]"].contains(&host);
        rule(!host.is_empty(), || "`base_url` names no host".into())?;
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_local || self.allow_http => {}
            Some("http") => {
                return Err(
                    "`base_url` is not encrypted: use `https`, or say `\"allow_http\": true` \
                            if the way there is your own network"
                        .into(),
                );
            }
            _ => return Err("`base_url` must begin with `https://`".into()),
        }
        let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        rule(!has_user && uri.query().is_none(), || {
            "`base_url` must not hold a user, a password or a query: name a secret in `auth`".into()
        })?;
        for (protocol, path) in &self.paths {
            rule(
                path.starts_with('/') && path.parse::<Uri>().is_ok() && !path.contains(".."),
                || format!("`paths.{}` must be a path that begins with `/`", protocol.as_str()),
            )?;
        }
        let Some(auth) = &self.auth else { return Ok(()) };
        rule(is_printable(&auth.secret), || {
            "`auth.secret` must be the name or the ARN of a secret".into()
        })?;
        let is_header = HeaderName::try_from(auth.header.as_str()).is_ok()
            && HeaderValue::try_from(auth.prefix.as_str()).is_ok();
        rule(is_header, || "`auth.header` and `auth.prefix` must make a header".into())
    }
}

fn check_header(name: &str, value: &str) -> Result<(), String> {
    let is_header = HeaderName::try_from(name).is_ok() && HeaderValue::try_from(value).is_ok();
    rule(is_header, || format!("`headers.{name}` is no header"))?;
    rule(!RESERVED_HEADERS.contains(&name.to_ascii_lowercase().as_str()), || {
        format!("`headers.{name}` must not be set here; a secret is named in `auth`")
    })
}

/// Whether `text` is 1 to 2048 printable ASCII characters without spaces: an ARN fits, an attack on a
/// path or a log line does not.
fn is_printable(text: &str) -> bool {
    (1..=2048).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_region(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;
    use serde_json::json;

    use super::*;
    use crate::fixtures;

    /// An entry with one field replaced.
    fn with<T: DeserializeOwned>(entry: &Value, pointer: &str, value: Value) -> T {
        let mut entry = entry.clone();
        *entry.pointer_mut(pointer).expect("the field is there") = value;
        serde_json::from_value(entry).expect("the shape is right")
    }

    #[track_caller]
    fn refused(checked: Result<(), InvalidEntry>, problem: &str) {
        let error = checked.expect_err(problem).to_string();
        assert!(error.contains(problem), "{error:?} should say {problem:?}");
    }

    #[test]
    fn an_alias_needs_targets_and_a_sane_policy() {
        let good = json!({
            "name": "fast", "has_affinity": true,
            "steps": [
                {"targets": [{"model": "a", "weight": 95}, {"model": "b", "weight": 5}, {"model": "c", "weight": 0}]},
                {"targets": [{"model": "d"}]},
            ],
            "retry": {"max_attempts": 4, "max_attempts_per_target": 2, "backoff_ms": 100, "max_backoff_ms": 2000, "deadline_ms": 60000},
        });
        let alias: Alias = serde_json::from_value(good.clone()).unwrap();
        alias.validate().unwrap();
        assert_eq!(alias.models().map(ModelId::as_str).collect::<Vec<_>>(), ["a", "b", "c", "d"]);
        let minimal: Alias =
            serde_json::from_value(json!({"name": "x", "steps": [{"targets": [{"model": "x"}]}]}))
                .unwrap();
        minimal.validate().unwrap();

        let check = |pointer: &str, value: Value, problem: &str| {
            refused(with::<Alias>(&good, pointer, value).validate(), problem);
        };
        check("/steps", json!([]), "alias `fast`: `steps` is empty");
        check("/steps/1/targets", json!([]), "`steps[1].targets` is empty");
        check("/steps/0/targets", json!([{"model": "a", "weight": 0}]), "every `weight`");
        check("/steps/1/targets/0/model", json!("b"), "`b` is a target twice");
        let many: Vec<Value> = (0..33).map(|n| json!({"model": format!("m{n}")})).collect();
        check("/steps/1/targets", json!(many), "more than 32");
        check("/retry/max_attempts", json!(0), "`retry.max_attempts` must be");
        check("/retry/max_attempts", json!(11), "`retry.max_attempts` must be");
        check("/retry/max_attempts_per_target", json!(5), "`retry.max_attempts_per_target`");
        check("/retry/max_attempts_per_target", json!(0), "`retry.max_attempts_per_target`");
        check("/retry/backoff_ms", json!(2001), "`retry.backoff_ms`");
        check("/retry/deadline_ms", json!(0), "`retry.deadline_ms`");
        check("/retry/deadline_ms", json!(900_001), "`retry.deadline_ms`");
        let weights =
            json!([{"model": "a", "weight": u32::MAX}, {"model": "b", "weight": u32::MAX}]);
        with::<Alias>(&good, "/steps/0/targets", weights).validate().unwrap();
    }

    #[test]
    fn a_model_can_be_asked() {
        let mut model = serde_json::to_value(fixtures::model("m", Protocol::Converse)).unwrap();
        serde_json::from_value::<Model>(model.clone()).unwrap().validate().unwrap();
        let check = |model: &Value, pointer: &str, value: Value, problem: &str| {
            refused(with::<Model>(model, pointer, value).validate(), problem);
        };
        check(&model, "/protocols", json!([]), "model `m`: `protocols` is empty");
        check(&model, "/provider_model_id", json!(""), "`provider_model_id`");
        check(&model, "/provider_model_id", json!("a b"), "`provider_model_id`");
        check(&model, "/context_window", json!(0), "`context_window`");
        check(&model, "/default_max_tokens", json!(9_000), "`default_max_tokens`");
        check(&model, "/default_max_tokens", json!(0), "`default_max_tokens`");
        check(&model, "/protocols", json!(["json_template"]), "need each other");

        model["protocols"] = json!(["json_template"]);
        model["body"] = json!({
            "format": "template", "request": r#"{"inputs":"{{prompt}}"}"#, "text": "/0/generated_text",
            "input_tokens": "/0/in",
        });
        serde_json::from_value::<Model>(model.clone()).unwrap().validate().unwrap();
        check(&model, "/body/request", json!("{"), "must be JSON");
        check(&model, "/body/request", json!("{}"), "no place for the prompt");
        check(&model, "/body/text", json!("text"), "`body.text` must be a JSON pointer");
        check(&model, "/body/input_tokens", json!("x"), "`body.input_tokens`");
    }

    #[test]
    fn a_provider_can_be_reached_and_holds_no_secret() {
        for provider in ProviderConfig::built_in() {
            provider.validate().unwrap();
        }
        let good = json!({
            "id": "vllm", "kind": "openai_compatible", "name": "vllm", "region": "eu-west-1",
            "base_url": "https://vllm.example/v1", "headers": {"x-team": "a"},
            "auth": {"secret": "weir/vllm", "header": "x-api-key", "prefix": ""},
            "paths": {"rerank": "/rerank"}, "allow_http": false,
        });
        serde_json::from_value::<ProviderConfig>(good.clone()).unwrap().validate().unwrap();
        let check = |pointer: &str, value: Value, problem: &str| {
            refused(with::<ProviderConfig>(&good, pointer, value).validate(), problem);
        };
        check("/kind", json!("bedrock"), "provider `vllm`: `base_url`, `auth` and `paths`");
        check("/base_url", Value::Null, "`base_url` is missing");
        for (url, problem) in [
            ("", "no URL"),
            ("/v1", "names no host"),
            ("vllm.example", "must begin with"),
            ("ftp://vllm.example", "must begin with"),
            ("http://vllm.example", "not encrypted"),
            ("http://localhost.example", "not encrypted"),
            ("https://user:word@vllm.example", "must not hold"),
            ("https://vllm.example/?key=word", "must not hold"),
        ] {
            check("/base_url", json!(url), problem);
        }
        for url in ["http://127.0.0.1:8080/v1", "http://localhost:11434", "http://[::1]:1/v1"] {
            with::<ProviderConfig>(&good, "/base_url", json!(url)).validate().unwrap();
        }
        let mut in_cluster = good.clone();
        in_cluster["allow_http"] = json!(true);
        with::<ProviderConfig>(&in_cluster, "/base_url", json!("http://vllm.svc:8000/v1"))
            .validate()
            .unwrap();
        check("/headers", json!({"Authorization": "Bearer x"}), "named in `auth`");
        check("/headers", json!({"x-a": "1\r\nx-b: 2"}), "is no header");
        check("/headers", json!({"x a": "1"}), "is no header");
        check("/auth/secret", json!(""), "`auth.secret`");
        check("/auth/header", json!("x:y"), "`auth.header`");
        check("/paths", json!({"rerank": "rerank"}), "`paths.rerank`");
        check("/paths", json!({"rerank": "/../admin"}), "`paths.rerank`");
        check("/region", json!("eu.evil.example/"), "`region`");
        check("/id", json!(""), "`id`");
        check("/name", json!("a\nb"), "`name`");
    }

    #[test]
    fn what_is_seeded_is_valid() {
        fn entries<T: DeserializeOwned>(file: &str) -> Vec<T> {
            let seed = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/seed");
            let Ok(text) = std::fs::read_to_string(seed.join(file)) else { return Vec::new() };
            // The seeder knows where the stack's model server is.
            let text = text.replace("${model_server}", "https://models.example");
            serde_json::from_str(&text).expect(file)
        }
        let models: Vec<Model> = entries("models.json");
        assert!(!models.is_empty());
        for model in models {
            model.validate().unwrap();
        }
        for provider in entries::<ProviderConfig>("providers.json") {
            provider.validate().unwrap();
        }
        for alias in entries::<Alias>("aliases.json") {
            alias.validate().unwrap();
        }
    }
}

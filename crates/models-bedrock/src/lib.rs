//! The models that Bedrock lists for the stack's account and Region.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListFoundationModels.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_ListInferenceProfiles.html>

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_transport::{ConfigError, Connection, EndpointUrls, OwnRole, Service, path_segment};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::Request;
use jiff::Timestamp;
use registry::{FoundationModel, ListError, Modality, ModelList};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What ids of profiles that call a model all over the world begin with.
const WORLDWIDE: &str = "global.";

/// Bedrock's lists.
#[derive(Debug)]
pub struct BedrockModels(OwnRole);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Models {
    #[serde(default)]
    model_summaries: Vec<Summary>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    model_id: String,
    model_arn: String,
    #[serde(default)]
    provider_name: String,
    #[serde(default)]
    input_modalities: Vec<String>,
    #[serde(default)]
    output_modalities: Vec<String>,
    #[serde(default)]
    inference_types_supported: Vec<String>,
    #[serde(default)]
    model_lifecycle: Lifecycle,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lifecycle {
    #[serde(default)]
    status: String,
    #[serde(default)]
    start_of_life_time: Option<Timestamp>,
    #[serde(default)]
    legacy_time: Option<Timestamp>,
    #[serde(default)]
    end_of_life_time: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profiles {
    #[serde(default)]
    inference_profile_summaries: Vec<Profile>,
    #[serde(default)]
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    inference_profile_id: String,
    #[serde(default)]
    models: Vec<ProfileModel>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProfileModel {
    model_arn: String,
}

impl BedrockModels {
    /// The lists of the account and Region of `sdk_config`.
    ///
    /// # Errors
    /// It has no Region or no credentials.
    pub fn new(sdk_config: &SdkConfig, endpoint_urls: EndpointUrls) -> Result<Self, ConfigError> {
        let connection = Connection::new(sdk_config);
        OwnRole::new(sdk_config, endpoint_urls, connection).map(Self)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ListError> {
        let request = Request::get(path).body(Bytes::new()).map_err(Box::from)?;
        let endpoint = self.0.endpoint(Service::Bedrock);
        let answer = self.0.send(Service::Bedrock, &endpoint, request).await;
        let mut answer = answer.map_err(|refusal| Box::from(refusal.error))?;
        let mut body = BytesMut::new();
        while let Some(piece) = answer.body.next().await {
            body.extend_from_slice(&piece.map_err(Box::from)?);
        }
        Ok(serde_json::from_slice(&body).map_err(Box::from)?)
    }

    /// The profile by which each model is called, by the model's id. One of the Region's part of the world
    /// goes before one that calls it anywhere.
    async fn profiles(&self) -> Result<BTreeMap<String, String>, ListError> {
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        let mut next: Option<String> = None;
        loop {
            let page = next
                .map_or_else(String::new, |token| format!("&nextToken={}", path_segment(&token)));
            let path = format!("/inference-profiles?type=SYSTEM_DEFINED&maxResults=1000{page}");
            let Profiles { inference_profile_summaries, next_token } = self.get(&path).await?;
            for Profile { inference_profile_id: id, models } in inference_profile_summaries {
                for ProfileModel { model_arn } in models {
                    let Some((_, model)) = model_arn.rsplit_once('/') else { continue };
                    let known = found.get(model);
                    if known.is_none_or(|known| known.starts_with(WORLDWIDE)) {
                        found.insert(model.to_owned(), id.clone());
                    }
                }
            }
            match next_token {
                None => return Ok(found),
                some => next = some,
            }
        }
    }
}

fn modalities(names: &[String]) -> impl Iterator<Item = Modality> {
    names.iter().filter_map(|name| match name.as_str() {
        "TEXT" => Some(Modality::Text),
        "IMAGE" => Some(Modality::Image),
        "EMBEDDING" => Some(Modality::Embedding),
        _ => None,
    })
}

impl ModelList for BedrockModels {
    async fn foundation_models(&self) -> Result<Vec<FoundationModel>, ListError> {
        let models = Box::pin(self.get::<Models>("/foundation-models")).await?;
        let mut profiles = Box::pin(self.profiles()).await?;
        let model = |it: Summary| {
            let is_on_demand = it.inference_types_supported.iter().any(|name| name == "ON_DEMAND");
            let called_by = if is_on_demand {
                Some(it.model_id.clone())
            } else {
                profiles.remove(&it.model_id)
            };
            FoundationModel {
                id: it.model_id,
                arn: it.model_arn,
                vendor: it.provider_name,
                inputs: modalities(&it.input_modalities).collect(),
                outputs: modalities(&it.output_modalities).collect(),
                called_by,
                launched_at: it.model_lifecycle.start_of_life_time,
                is_legacy: it.model_lifecycle.status == "LEGACY",
                legacy_at: it.model_lifecycle.legacy_time,
                ends_at: it.model_lifecycle.end_of_life_time,
            }
        };
        Ok(models.model_summaries.into_iter().map(model).collect())
    }
}

#[cfg(test)]
mod tests {
    use aws_transport::testing::{Clock, FakeService, Sent, sdk_config};

    use super::*;

    fn models(service: &FakeService) -> BedrockModels {
        let sdk_config = sdk_config(service, &Clock::new());
        let connection = Connection::with_connector(&sdk_config, service.connector());
        let own = OwnRole::new(&sdk_config, EndpointUrls::default(), connection);
        BedrockModels(own.unwrap())
    }

    /// Two pages of profiles, as Bedrock writes them.
    fn bedrock(sent: &Sent) -> http::Response<String> {
        let profile = |id: &str| {
            let arn = "arn:aws:bedrock:us-west-2::foundation-model/anthropic.claude-x-v1:0";
            format!(
                r#"{{"inferenceProfileId": "{id}", "status": "ACTIVE", "models": [{{"modelArn": "{arn}"}}]}}"#
            )
        };
        let body = if sent.uri.ends_with("/foundation-models") {
            include_str!("../testdata/foundation-models.json").to_owned()
        } else if sent.uri.ends_with("nextToken=a%2Fb%3D") {
            let profile = profile("us.anthropic.claude-x-v1:0");
            format!(r#"{{"inferenceProfileSummaries": [{profile}]}}"#)
        } else {
            let profile = profile("global.anthropic.claude-x-v1:0");
            format!(r#"{{"inferenceProfileSummaries": [{profile}], "nextToken": "a/b="}}"#)
        };
        http::Response::new(body)
    }

    #[tokio::test]
    async fn models_are_listed_with_how_they_are_called() {
        let service = FakeService::new(|sent| bedrock(sent).map(Into::into));
        let found = models(&service).foundation_models().await.unwrap();
        let called: Vec<_> =
            found.iter().map(|it| (it.id.as_str(), it.called_by.as_deref())).collect();
        assert_eq!(
            called,
            [
                ("amazon.nova-pro-v1:0", Some("amazon.nova-pro-v1:0")),
                ("amazon.nova-pro-v1:0:24k", None),
                ("anthropic.claude-x-v1:0", Some("us.anthropic.claude-x-v1:0")),
            ]
        );
        let claude = &found[2];
        assert_eq!((claude.vendor.as_str(), claude.is_legacy), ("Anthropic", true));
        assert_eq!(claude.inputs, [Modality::Text, Modality::Image].into());
        let time = |text: &str| Some(text.parse().unwrap());
        assert_eq!(claude.launched_at, time("2025-01-01T00:00:00Z"));
        assert_eq!(claude.legacy_at, time("2026-11-01T00:00:00Z"));
        assert_eq!(claude.ends_at, time("2027-05-01T00:00:00Z"));
        let sent = service.sent();
        let authorization = &sent[0].headers["authorization"];
        assert!(authorization.contains("/us-east-1/bedrock/aws4_request"), "{authorization}");
        assert!(sent[0].uri.starts_with("https://bedrock.us-east-1.amazonaws.com/"));
    }

    #[tokio::test]
    async fn what_bedrock_refuses_is_no_list() {
        let service = FakeService::answering(403, &[("x-amzn-errortype", "AccessDenied")], "{}");
        models(&service).foundation_models().await.expect_err("it is refused");
        let service = FakeService::answering(200, &[], "{");
        models(&service).foundation_models().await.expect_err("it is none");
    }
}

use inference::{ProviderAuth, fixtures};
use proptest::prelude::*;

use super::*;

fn place() -> Place {
    Place { partition: "aws".into(), region: "eu-west-1".into(), account_id: "111122223333".into() }
}

/// A model that does nothing but answer.
fn plain(id: &str) -> Model {
    let mut model =
        Model { provider_model_id: id.to_owned(), ..fixtures::model("m", Protocol::Converse) };
    model.capabilities.count_tokens = false;
    model
}

fn policy_of(provider: &ProviderConfig, models: &[Model], uploads: Option<&str>) -> Value {
    serde_json::from_str(&call_policy(&place(), provider, models, uploads)).unwrap()
}

fn bedrock_policy(ids: &[&str]) -> Value {
    let models: Vec<_> = ids.iter().map(|id| plain(id)).collect();
    policy_of(&fixtures::provider("bedrock"), &models, None)
}

#[test]
fn a_foundation_model_is_named_in_the_callers_region_only() {
    insta::assert_json_snapshot!(bedrock_policy(&[
        "openai.gpt-oss-120b-1:0",
        "amazon.nova-pro-v1:0"
    ]));
}

#[test]
fn a_profile_brings_its_model_but_only_by_way_of_the_profile() {
    insta::assert_json_snapshot!(bedrock_policy(&[
        "eu.anthropic.claude-sonnet-5",
        "amazon.nova-pro-v1:0"
    ]));
}

#[test]
fn a_global_profile_may_run_where_no_region_is_named() {
    insta::assert_json_snapshot!(bedrock_policy(&["global.anthropic.claude-sonnet-5"]));
}

#[test]
fn an_applications_profile_brings_whatever_model_it_is_for() {
    let arn = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/abc123";
    insta::assert_json_snapshot!(bedrock_policy(&[arn]));
}

#[test]
fn counting_reranking_and_uploads_are_allowed_where_they_are_of_use() {
    let mut counting = plain("eu.anthropic.claude-sonnet-5");
    counting.capabilities.count_tokens = true;
    let mut reranking = plain("cohere.rerank-v3-5:0");
    reranking.protocols = vec![Protocol::BedrockRerank];
    let uploads = uploads_arn(&place(), "uploads", &"acme".parse().unwrap());
    insta::assert_json_snapshot!(policy_of(
        &fixtures::provider("bedrock"),
        &[counting, reranking],
        Some(&uploads)
    ));
}

#[test]
fn endpoints_are_named_in_lower_case() {
    insta::assert_json_snapshot!(policy_of(
        &fixtures::provider("sagemaker"),
        &[plain("Llama-Chat"), plain("mistral"), plain("bad_name*")],
        Some("unused")
    ));
}

#[test]
fn a_secret_is_named_only_for_who_may_use_a_model_behind_it() {
    let mut provider = ProviderConfig {
        kind: ProviderKind::OpenaiCompatible,
        auth: Some(ProviderAuth {
            secret: "weir/vllm".into(),
            header: "authorization".into(),
            prefix: "Bearer ".into(),
        }),
        ..fixtures::provider("bedrock")
    };
    insta::assert_json_snapshot!(policy_of(&provider, &[plain("meta-llama/Llama 3*")], None));
    assert_eq!(policy_of(&provider, &[], None)["Statement"], json!([]));
    provider.auth = None;
    assert_eq!(policy_of(&provider, &[plain("m")], None)["Statement"], json!([]));
}

#[test]
fn the_longest_single_model_fits() {
    let place = Place {
        partition: "aws-us-gov".into(),
        region: "ap-southeast-10".into(),
        account_id: "111122223333".into(),
    };
    let tenant_id = "t".repeat(40).parse().unwrap();
    let uploads = uploads_arn(&place, &"b".repeat(63), &tenant_id);
    for prefix in PROFILE_PREFIXES {
        let mut model = plain(&format!("{prefix}{}", "a".repeat(112 - prefix.len())));
        model.capabilities.count_tokens = true;
        model.protocols.push(Protocol::BedrockRerank);
        assert!(is_nameable(ProviderKind::Bedrock, &model));
        let provider = fixtures::provider("bedrock");
        let policy = call_policy(&place, &provider, [&model], Some(&uploads));
        assert!(policy.len() <= MAX_POLICY_CHARACTERS, "{}", policy.len());
    }
}

#[test]
fn only_the_arn_of_a_role_is_taken() {
    let role: RoleArn = "arn:aws-us-gov:iam::111122223333:role/path/tenant-access".parse().unwrap();
    assert_eq!((role.partition.as_str(), role.account_id.as_str()), ("aws-us-gov", "111122223333"));
    for arn in [
        "",
        "tenant-access",
        "arn:aws:iam::1:role/x",
        "arn:aws:iam::111122223333:user/x",
        "arn:aws:s3:::b",
    ] {
        assert!(arn.parse::<RoleArn>().is_err(), "{arn}");
    }
}

proptest! {
    #[test]
    fn no_policy_names_a_model_that_was_not_given(
        ids in prop::collection::vec("(us\\.|global\\.)?[a-z*?$./:{}-]{0,12}", 0..8)
    ) {
        let policy = bedrock_policy(&ids.iter().map(String::as_str).collect::<Vec<_>>());
        for statement in policy["Statement"].as_array().unwrap() {
            for resource in statement["Resource"].as_array().unwrap() {
                let (_, named) = resource.as_str().unwrap().split_once('/').unwrap();
                let is_given = |id: &String| id == named || profile_model(id) == Some(named);
                prop_assert!(ids.iter().any(is_given), "{named}");
                prop_assert!(!named.contains(['*', '?', '$']), "{named}");
            }
        }
    }
}

//! The session policy: which models a tenant's session may reach.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-prereq.html>

use std::collections::BTreeSet;
use std::str::FromStr;

use serde_json::{Value, json};

/// Characters that STS takes of an inline session policy at most
/// (<https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>).
pub(crate) const MAX_POLICY_CHARACTERS: usize = 2_048;

/// What Converse, `ConverseStream` and Chat Completions need.
const ACTIONS: [&str; 2] = ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"];

/// Prefixes that make a model id the id of a system-defined inference profile.
const PROFILE_PREFIXES: [&str; 8] =
    ["us.", "eu.", "apac.", "au.", "jp.", "in.", "us-gov.", GLOBAL_PREFIX];

/// The profiles whose requests may run in any Region, and whose model ARN therefore has none.
const GLOBAL_PREFIX: &str = "global.";

/// Not the ARN of an IAM role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the ARN of an IAM role")]
pub(crate) struct InvalidRoleArn(String);

/// The ARN of the role behind every tenant's session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoleArn {
    pub(crate) arn: String,
    pub(crate) partition: String,
    pub(crate) account_id: String,
}

impl FromStr for RoleArn {
    type Err = InvalidRoleArn;

    fn from_str(arn: &str) -> Result<Self, InvalidRoleArn> {
        let mut parts = arn.splitn(6, ':');
        let mut next = || parts.next().unwrap_or_default();
        let (scheme, partition, service, region, account_id, role) =
            (next(), next(), next(), next(), next(), next());
        let is_role = scheme == "arn"
            && partition.starts_with("aws")
            && service == "iam"
            && region.is_empty()
            && account_id.len() == 12
            && account_id.bytes().all(|byte| byte.is_ascii_digit())
            && role.starts_with("role/");
        if !is_role {
            return Err(InvalidRoleArn(arn.to_owned()));
        }
        Ok(Self {
            arn: arn.to_owned(),
            partition: partition.to_owned(),
            account_id: account_id.to_owned(),
        })
    }
}

/// Where models are called: what turns their ids into ARNs.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) partition: String,
    pub(crate) region: String,
    pub(crate) account_id: String,
}

impl Place {
    fn foundation_model(&self, region: &str, id: &str) -> String {
        format!("arn:{}:bedrock:{region}::foundation-model/{id}", self.partition)
    }

    fn inference_profile(&self, id: &str) -> String {
        format!(
            "arn:{}:bedrock:{}:{}:inference-profile/{id}",
            self.partition, self.region, self.account_id
        )
    }
}

/// Whether `id` can stand in a policy: a model id or profile id, in which nothing is a wildcard, a
/// variable or a separator of ARNs.
pub(crate) fn is_plain_id(id: &str) -> bool {
    (1..=256).contains(&id.len())
        && !id.starts_with("arn:")
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte))
}

/// The policy, minified, under which `ids` can be called, and no other model.
///
/// Ids that are not [plain](is_plain_id) are left out. A profile's model is allowed in every Region,
/// since the profile chooses one, but only by way of the profile.
pub(crate) fn session_policy<'a>(place: &Place, ids: impl IntoIterator<Item = &'a str>) -> String {
    let mut direct = BTreeSet::new();
    let mut profiles = BTreeSet::new();
    let mut behind_profiles = BTreeSet::new();
    for id in ids.into_iter().filter(|id| is_plain_id(id)) {
        let Some(model) = PROFILE_PREFIXES.iter().find_map(|prefix| id.strip_prefix(prefix)) else {
            direct.insert(place.foundation_model(&place.region, id));
            continue;
        };
        profiles.insert(place.inference_profile(id));
        behind_profiles.insert(place.foundation_model("*", model));
        if id.starts_with(GLOBAL_PREFIX) {
            behind_profiles.insert(place.foundation_model("", model));
        }
    }

    let mut statements = Vec::new();
    let reachable: Vec<_> = direct.iter().chain(&profiles).collect();
    if !reachable.is_empty() {
        statements.push(allow(json!(reachable)));
    }
    if !profiles.is_empty() {
        let mut statement = allow(json!(behind_profiles));
        if let Value::Object(fields) = &mut statement {
            let condition = json!({"StringLike": {"bedrock:InferenceProfileArn": profiles}});
            fields.insert("Condition".to_owned(), condition);
        }
        statements.push(statement);
    }
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

fn allow(resources: Value) -> Value {
    let mut statement = json!({"Effect": "Allow", "Action": ACTIONS});
    if let Value::Object(fields) = &mut statement {
        fields.insert("Resource".to_owned(), resources);
    }
    statement
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place() -> Place {
        Place {
            partition: "aws".into(),
            region: "eu-west-1".into(),
            account_id: "111122223333".into(),
        }
    }

    fn pretty(ids: &[&str]) -> Value {
        serde_json::from_str(&session_policy(&place(), ids.iter().copied())).unwrap()
    }

    #[test]
    fn a_foundation_model_is_named_in_the_callers_region_only() {
        insta::assert_json_snapshot!(pretty(&["openai.gpt-oss-120b-1:0", "amazon.nova-pro-v1:0"]));
    }

    #[test]
    fn a_profile_brings_its_model_but_only_by_way_of_the_profile() {
        insta::assert_json_snapshot!(pretty(&[
            "eu.anthropic.claude-sonnet-5",
            "amazon.nova-pro-v1:0"
        ]));
    }

    #[test]
    fn a_global_profile_also_needs_the_arn_without_a_region() {
        insta::assert_json_snapshot!(pretty(&["global.anthropic.claude-sonnet-5"]));
    }

    #[test]
    fn the_longest_single_model_fits() {
        for prefix in PROFILE_PREFIXES {
            let id = format!("{prefix}{}", "a".repeat(256 - prefix.len()));
            let place = Place {
                partition: "aws-us-gov".into(),
                region: "ap-southeast-10".into(),
                account_id: "111122223333".into(),
            };
            assert!(session_policy(&place, [id.as_str()]).len() <= MAX_POLICY_CHARACTERS);
        }
    }

    #[test]
    fn only_the_arn_of_a_role_is_taken() {
        let role: RoleArn =
            "arn:aws-us-gov:iam::111122223333:role/path/tenant-access".parse().unwrap();
        assert_eq!(
            (role.partition.as_str(), role.account_id.as_str()),
            ("aws-us-gov", "111122223333")
        );
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
            let policy: Value = serde_json::from_str(&session_policy(&place(), ids.iter().map(String::as_str))).unwrap();
            for statement in policy["Statement"].as_array().unwrap() {
                for resource in statement["Resource"].as_array().unwrap() {
                    let (_, named) = resource.as_str().unwrap().split_once('/').unwrap();
                    let is_given = |id: &String| {
                        id == named || PROFILE_PREFIXES.iter().any(|prefix| id.strip_prefix(prefix) == Some(named))
                    };
                    prop_assert!(ids.iter().any(is_given), "{named}");
                    prop_assert!(!named.contains(['*', '?', '$']), "{named}");
                }
            }
        }
    }
}

//! The session policy: what a tenant's session may reach.
//!
//! A session is for one provider, so its policy names what the tenant may use of that provider and
//! nothing else: models of Bedrock, endpoints of `SageMaker`, or the secret by which a server
//! elsewhere knows the gateway.
//!
//! - Profiles: <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-prereq.html>
//! - Global profiles: <https://docs.aws.amazon.com/bedrock/latest/userguide/global-cross-region-inference.html>

use std::collections::BTreeSet;
use std::str::FromStr;

use inference::{Model, Protocol, ProviderConfig, ProviderKind};
use serde_json::{Value, json};
use tenancy::TenantId;

/// Characters that STS takes of an inline session policy at most
/// (<https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>).
pub(crate) const MAX_POLICY_CHARACTERS: usize = 2_048;

/// What every way of calling a model needs.
const INVOKE: [&str; 2] = ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"];

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

/// Where things are called: what turns their ids into ARNs.
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

    /// The ARN of something in the account and the Region.
    fn own(&self, service: &str, resource: &str) -> String {
        format!("arn:{}:{service}:{}:{}:{resource}", self.partition, self.region, self.account_id)
    }

    fn inference_profile(&self, id: &str) -> String {
        self.own("bedrock", &format!("inference-profile/{id}"))
    }

    /// The ARN by which Bedrock knows `id`, which may be one already.
    pub(crate) fn model_arn(&self, id: &str) -> String {
        if id.starts_with("arn:") {
            id.to_owned()
        } else if profile_model(id).is_some() {
            self.inference_profile(id)
        } else {
            self.foundation_model(&self.region, id)
        }
    }

    /// The ARN of the guardrail `id`, which may be one already.
    fn guardrail_arn(&self, id: &str) -> String {
        if id.starts_with("arn:") {
            id.to_owned()
        } else {
            self.own("bedrock", &format!("guardrail/{id}"))
        }
    }

    /// The pattern that the secret's ARN fits: Secrets Manager appends six characters to a name.
    fn secret(&self, secret: &str) -> String {
        if secret.starts_with("arn:") {
            secret.to_owned()
        } else {
            self.own("secretsmanager", &format!("secret:{secret}-??????"))
        }
    }
}

/// The model behind a system-defined inference profile; `None` if `id` is not the id of one.
pub fn profile_model(id: &str) -> Option<&str> {
    PROFILE_PREFIXES.iter().find_map(|prefix| id.strip_prefix(prefix))
}

/// Whether `model` can stand in a policy: its id is one that its provider could have given, in which
/// nothing is a wildcard or a variable.
pub(crate) fn is_nameable(kind: ProviderKind, model: &Model) -> bool {
    let id = model.provider_model_id.as_str();
    let consists_of = |others: &[u8]| {
        id.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
    };
    match kind {
        ProviderKind::Bedrock if id.starts_with("arn:") => {
            id.len() <= 256 && id.contains(":bedrock:") && consists_of(b"._:/-")
        }
        ProviderKind::Bedrock => (1..=112).contains(&id.len()) && consists_of(b"._:-"),
        ProviderKind::Sagemaker => (1..=63).contains(&id.len()) && consists_of(b"-"),
        // Its id stands in no policy.
        ProviderKind::OpenaiCompatible => true,
    }
}

/// The policy, minified, under which `models` of `provider` can be called, and none else. Those that
/// are not [nameable](is_nameable) are left out.
pub(crate) fn call_policy<'a>(
    place: &Place,
    provider: &ProviderConfig,
    models: impl IntoIterator<Item = &'a Model>,
    uploads: Option<&str>,
) -> String {
    let models = models.into_iter().filter(|model| is_nameable(provider.kind, model));
    let mut policy = Policy::default();
    match provider.kind {
        ProviderKind::Bedrock => bedrock(&mut policy, place, models, uploads),
        ProviderKind::Sagemaker => {
            let actions =
                ["sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream"];
            // IAM knows endpoints in lower case, however they are written.
            let name = |model: &Model| model.provider_model_id.to_ascii_lowercase();
            let arns = models.map(|it| place.own("sagemaker", &format!("endpoint/{}", name(it))));
            policy.allow(&actions, arns, None);
        }
        ProviderKind::OpenaiCompatible => {
            let secret = provider.auth.as_ref().filter(|_| models.count() > 0);
            let arns = secret.map(|auth| place.secret(&auth.secret));
            policy.allow(&["secretsmanager:GetSecretValue"], arns, None);
        }
    }
    policy.to_json()
}

/// The policy under which a tenant's uploads, below `uploads`, can be written, read and deleted.
pub(crate) fn uploads_policy(uploads: &str) -> String {
    let mut policy = Policy::default();
    policy.allow(&["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], [uploads.to_owned()], None);
    policy.to_json()
}

/// The pattern of a tenant's uploads in `bucket`.
pub(crate) fn uploads_arn(place: &Place, bucket: &str, tenant_id: &TenantId) -> String {
    format!("arn:{}:s3:::{bucket}/tenant={tenant_id}/*", place.partition)
}

/// A profile's model is allowed in every Region, since the profile chooses one, but only by way of
/// the profile. A global profile is asked in this Region and may then run in one that has no name.
fn bedrock<'a>(
    policy: &mut Policy,
    place: &Place,
    models: impl Iterator<Item = &'a Model>,
    uploads: Option<&str>,
) {
    let mut called = BTreeSet::new();
    let mut profiles = BTreeSet::new();
    let mut behind_profiles = BTreeSet::new();
    let mut global_profiles = BTreeSet::new();
    let mut behind_global_profiles = BTreeSet::new();
    let mut counted = BTreeSet::new();
    let mut guardrails = BTreeSet::new();
    let mut can_rerank = false;
    for model in models {
        let id = model.provider_model_id.as_str();
        if model.speaks(Protocol::BedrockGuardrail) {
            guardrails.insert(place.guardrail_arn(id));
            continue;
        }
        let arn = place.model_arn(id);
        can_rerank |= model.speaks(Protocol::BedrockRerank);
        if model.capabilities.count_tokens && !id.starts_with("arn:") {
            // Tokens are counted by the model itself, not by a profile.
            let counting = profile_model(id).unwrap_or(id);
            counted.insert(place.foundation_model(&place.region, counting));
            if model.speaks(Protocol::AnthropicMessages) {
                // Anthropic's own route for it names what is called.
                counted.insert(arn.clone());
            }
        }
        if let Some(model) = profile_model(id) {
            if id.starts_with(GLOBAL_PREFIX) {
                behind_profiles.insert(place.foundation_model(&place.region, model));
                behind_global_profiles.insert(place.foundation_model("", model));
                global_profiles.insert(arn.clone());
            } else {
                behind_profiles.insert(place.foundation_model("*", model));
            }
            profiles.insert(arn.clone());
        } else if arn.contains("inference-profile/") {
            // Only AWS knows which model an application's profile is for.
            behind_profiles.insert(place.foundation_model("*", "*"));
            profiles.insert(arn.clone());
        }
        called.insert(arn);
    }
    // The model reads the tenant's pictures and documents as the tenant.
    let uploads = uploads.filter(|_| !called.is_empty()).map(ToOwned::to_owned);
    policy.allow(&INVOKE, called, None);
    let by_way_of = json!({"StringLike": {"bedrock:InferenceProfileArn": profiles}});
    policy.allow(&INVOKE, behind_profiles, Some(by_way_of));
    let anywhere = json!({"StringEquals": {
        "aws:RequestedRegion": "unspecified",
        "bedrock:InferenceProfileArn": global_profiles,
    }});
    policy.allow(&INVOKE, behind_global_profiles, Some(anywhere));
    policy.allow(&["bedrock:CountTokens"], counted, None);
    policy.allow(&["bedrock:Rerank"], can_rerank.then(|| "*".to_owned()), None);
    policy.allow(&["bedrock:ApplyGuardrail"], guardrails, None);
    policy.allow(&["s3:GetObject"], uploads, None);
}

/// A policy in the making.
#[derive(Debug, Default)]
struct Policy {
    statements: Vec<Value>,
}

impl Policy {
    /// Allows `actions` on `resources`, if there are any.
    fn allow(
        &mut self,
        actions: &[&str],
        resources: impl IntoIterator<Item = String>,
        condition: Option<Value>,
    ) {
        let resources: Vec<_> = resources.into_iter().collect();
        if resources.is_empty() {
            return;
        }
        let mut statement = json!({"Effect": "Allow", "Action": actions, "Resource": resources});
        if let (Value::Object(fields), Some(condition)) = (&mut statement, condition) {
            fields.insert("Condition".to_owned(), condition);
        }
        self.statements.push(statement);
    }

    fn to_json(&self) -> String {
        json!({"Version": "2012-10-17", "Statement": self.statements}).to_string()
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;

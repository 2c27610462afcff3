//! Headers that Bedrock reads beside the body.

use crate::BadRequest;

/// The prefix of all of them.
const PREFIX: &str = "x-amzn-bedrock-";

/// Refuses headers that the gateway cannot honour. `accept` and `content-type` may say JSON only; what
/// a trace shows goes with a guardrail, so alone it asks for nothing.
pub(super) fn check(headers: &[(String, String)]) -> Result<(), BadRequest> {
    for (name, value) in headers {
        let Some(option) = name.strip_prefix(PREFIX) else { continue };
        let complaint = match (option, value.trim().to_ascii_lowercase().as_str()) {
            ("service-tier", "default" | "flex" | "")
            | ("performanceconfig-latency", "standard" | "") => continue,
            ("service-tier", _) => "must be `default` or `flex`: other tiers have no price here",
            ("performanceconfig-latency", _) => {
                "must be `standard`: optimised latency has no price here"
            }
            ("guardrailidentifier" | "guardrailversion", _) => {
                "is not available: guardrails are for the people who run the gateway to set"
            }
            _ => continue,
        };
        return Err(BadRequest::unsupported(
            name.as_str(),
            format!("The header `{name}` {complaint}."),
        ));
    }
    Ok(())
}

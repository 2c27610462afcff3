//! Who calls, for Bedrock's invocation log: `tenant_id`, `lob_id` and `call_id`.
//!
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/cost-mgmt-request-metadata.html>

use bytes::Bytes;
use inference::ProviderCall;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// The member of a Converse request that carries the metadata.
const MEMBER: &str = "requestMetadata";

/// What the gateway says about `call`.
pub(crate) fn metadata(call: &ProviderCall<'_>) -> [(&'static str, String); 3] {
    [
        ("tenant_id", call.context.tenant_id.as_str()),
        ("lob_id", call.context.lob_id.as_str()),
        ("call_id", call.call_id),
    ]
    .map(|(key, value)| (key, metadata_value(value)))
}

/// `value` in the characters and the length that Bedrock takes, so that no call fails for its label.
fn metadata_value(value: &str) -> String {
    let is_allowed = |char: &char| char.is_ascii_alphanumeric() || " :_@$#=/+,.-".contains(*char);
    value.chars().take(256).map(|char| if is_allowed(&char) { char } else { '_' }).collect()
}

/// The metadata of `call` as a header's value, with the client's own keys, where it sent some.
pub(crate) fn header(call: &ProviderCall<'_>, of_client: Option<&str>) -> String {
    let of_client = of_client.and_then(|text| serde_json::from_str(text).ok());
    merged(call, of_client.unwrap_or_default())
}

/// A Converse request with the metadata of `call`, and otherwise the bytes as they are. The client's
/// own keys stay, unless they are the gateway's. A body that is no object, or whose metadata are none,
/// is left to Bedrock to refuse.
pub(crate) fn inserted(call: &ProviderCall<'_>, body: Bytes) -> Bytes {
    let Some(place) = Place::find(&body) else { return body };
    let metadata = merged(call, place.of_client);
    let mut bytes = Vec::with_capacity(body.len() + metadata.len() + MEMBER.len() + 4);
    let (before, after) = (body.get(..place.start), body.get(place.end..));
    bytes.extend_from_slice(before.unwrap_or_default());
    if place.start == place.end {
        bytes.extend_from_slice(format!("\"{MEMBER}\":").as_bytes());
    }
    bytes.extend_from_slice(metadata.as_bytes());
    if place.start == place.end && place.has_members {
        bytes.push(b',');
    }
    bytes.extend_from_slice(after.unwrap_or_default());
    bytes.into()
}

fn merged(call: &ProviderCall<'_>, mut of_client: Map<String, Value>) -> String {
    for (key, value) in metadata(call) {
        of_client.insert(key.to_owned(), value.into());
    }
    Value::Object(of_client).to_string()
}

/// Where metadata go: in place of the client's, or before the first member.
struct Place {
    start: usize,
    end: usize,
    has_members: bool,
    of_client: Map<String, Value>,
}

impl Place {
    fn find(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let members: Members<'_> = serde_json::from_str(text).ok()?;
        let Some(member) = members.metadata else {
            let start = text.find('{')? + 1;
            let of_client = Map::new();
            return Some(Self { start, end: start, has_members: members.count > 0, of_client });
        };
        // The member's text is a piece of the body's.
        let start = (member.get().as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
        let of_client: Option<Map<String, Value>> = serde_json::from_str(member.get()).ok()?;
        Some(Self {
            start,
            end: start + member.get().len(),
            has_members: true,
            of_client: of_client.unwrap_or_default(),
        })
    }
}

/// The members of a JSON object, read no deeper.
struct Members<'a> {
    count: usize,
    metadata: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Members { count: 0, metadata: None };
                while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
                    let value = map.next_value::<&'de RawValue>()?;
                    members.count += 1;
                    if key == MEMBER {
                        members.metadata = Some(value);
                    }
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use aws_transport::testing::acme;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const OURS: &str =
        r#""tenant_id":"acme","lob_id":"retail","call_id":"0199c0de-0000-7000-8000-000000000001""#;

    #[track_caller]
    fn check(body: &str, expected: &str) {
        let inserted = inserted(&acme().call(0), Bytes::copy_from_slice(body.as_bytes()));
        assert_eq!(std::str::from_utf8(&inserted).unwrap(), expected);
    }

    #[test]
    fn metadata_keep_to_what_bedrock_takes() {
        assert_eq!(metadata_value("0199a-b_c/d"), "0199a-b_c/d");
        assert_eq!(metadata_value("a\"b\n\u{e9}{}"), "a_b____");
        assert_eq!(metadata_value(&"x".repeat(300)).len(), 256);
    }

    #[test]
    fn metadata_go_before_everything_else_which_stays_as_it_is() {
        check(
            " {\n \"messages\": [1.50e3, \"\\u0061\"] }",
            &format!(" {{\"requestMetadata\":{{{OURS}}},\n \"messages\": [1.50e3, \"\\u0061\"] }}"),
        );
        check("{ }", &format!("{{\"requestMetadata\":{{{OURS}}} }}"));
    }

    #[test]
    fn the_clients_own_keys_stay_unless_they_are_ours() {
        check(
            r#"{"a":1,"requestMetadata": {"team":"x","call_id":"forged"},"z":1.0}"#,
            r#"{"a":1,"requestMetadata": {"team":"x","call_id":"0199c0de-0000-7000-8000-000000000001","tenant_id":"acme","lob_id":"retail"},"z":1.0}"#,
        );
        check(r#"{"requestMetadata":null}"#, &format!(r#"{{"requestMetadata":{{{OURS}}}}}"#));
        let merged: Value =
            serde_json::from_str(&header(&acme().call(0), Some(r#"{"team":"x","tenant_id":"y"}"#)))
                .unwrap();
        assert_eq!((&merged["team"], &merged["tenant_id"]), (&json!("x"), &json!("acme")));
        assert_eq!(header(&acme().call(0), Some("nonsense")), format!("{{{OURS}}}"));
    }

    #[test]
    fn what_bedrock_will_refuse_is_left_to_it() {
        for body in
            [r#"{"requestMetadata":"x"}"#, r#"{"requestMetadata":[1]}"#, "[]", "{", "", "\u{7f}"]
        {
            check(body, body);
        }
    }

    proptest! {
        #[test]
        fn all_other_members_survive(members in prop::collection::btree_map("[a-z\\\\\"]{0,4}", "\\PC{0,8}", 0..5)) {
            let before = json!(members);
            let after = inserted(&acme().call(0), Bytes::from(before.to_string()));
            let mut after: Value = serde_json::from_slice(&after).unwrap();
            prop_assert!(after.as_object_mut().unwrap().remove(MEMBER).is_some());
            prop_assert_eq!(after, before);
        }

        #[test]
        fn nothing_is_too_strange(body in prop::collection::vec(any::<u8>(), 0..40)) {
            inserted(&acme().call(0), body.into());
        }
    }
}

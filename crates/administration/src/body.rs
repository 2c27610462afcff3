//! Documents as clients send them: JSON or YAML, whatever is wrong in them named.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::validation::{check_lob, check_tenant};
use crate::{LobDocument, TenantDocument};

/// Bytes of a document at most, so that it fits beside limits into one item, and twice into an audit entry.
pub const MAX_BODY_BYTES: usize = 96 * 1024;

/// What a document is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON, unless the request says otherwise.
    Json,
    /// YAML 1.2.
    Yaml,
}

/// What is wrong with a document, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidField {
    /// The field, for example `settings.response_cache.ttl_s`; empty if it is the document as a whole.
    pub field: String,
    /// What is wrong with it, and how it would be right.
    pub message: String,
}

impl InvalidField {
    /// `message` about `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl Format {
    /// The format that a content type names; JSON if there is none, nothing if it is neither.
    pub fn of(content_type: Option<&str>) -> Option<Self> {
        let essence = content_type.unwrap_or("application/json").split(';').next()?.trim();
        match essence.to_ascii_lowercase().as_str() {
            "application/json" | "application/x-www-form-urlencoded" | "text/plain" => {
                // The last two are what `curl -d` says by itself.
                Some(Self::Json)
            }
            "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" => {
                Some(Self::Yaml)
            }
            _ => None,
        }
    }

    /// The object that a body is.
    ///
    /// # Errors
    /// It is not of this format, or no object, or too large.
    pub fn object(self, body: &[u8]) -> Result<Map<String, Value>, InvalidField> {
        let refuse = |message: String| Err(InvalidField::new("", message));
        if body.len() > MAX_BODY_BYTES {
            return refuse(format!("A body has {} KB at most.", MAX_BODY_BYTES / 1024));
        }
        let value: Result<Value, String> = match self {
            Self::Json => serde_json::from_slice(body).map_err(|error| format!("JSON: {error}")),
            // Its budget ends what would grow without end: aliases of aliases, and deep nesting.
            Self::Yaml => match std::str::from_utf8(body) {
                Ok(text) => serde_saphyr::from_str(text).map_err(|error| {
                    let error = error.to_string();
                    // What follows shows the text around the place.
                    format!("YAML: {}", error.lines().next().unwrap_or_default())
                }),
                Err(_) => Err("UTF-8".to_owned()),
            },
        };
        match value {
            Ok(Value::Object(object)) => Ok(object),
            Ok(_) => refuse("The body is an object with named fields.".to_owned()),
            Err(error) => refuse(format!("The body is not {error}.")),
        }
    }
}

/// The tenant that a body describes. What `GET` shows beside the document may be there, too, if it says
/// what is (`shown`).
///
/// # Errors
/// The first thing that is wrong.
pub fn read_tenant(
    mut body: Map<String, Value>,
    shown: &Map<String, Value>,
) -> Result<TenantDocument, InvalidField> {
    strip(&mut body, shown)?;
    let document = strict::<TenantDocument>(body)?.normal();
    check_tenant(&document)?;
    Ok(document)
}

/// As [`read_tenant`], a line of business.
///
/// # Errors
/// As [`read_tenant`].
pub fn read_lob(
    mut body: Map<String, Value>,
    shown: &Map<String, Value>,
) -> Result<LobDocument, InvalidField> {
    strip(&mut body, shown)?;
    let document = strict::<LobDocument>(body)?.normal();
    check_lob(&document)?;
    Ok(document)
}

/// What is shown beside a document and counts or says something of the moment: whatever was read is taken.
const MOMENTARY: [&str; 3] = ["version", "is_effective", "suspension"];

fn strip(body: &mut Map<String, Value>, shown: &Map<String, Value>) -> Result<(), InvalidField> {
    for name in MOMENTARY {
        body.remove(name);
    }
    for (name, value) in shown {
        match body.remove(name) {
            Some(said) if said != *value => {
                let message = match name.as_str() {
                    "status" => {
                        "This is not set here: POST ../suspend and ../resume do it.".to_owned()
                    }
                    _ => format!("This is {value} here, and is not changed."),
                };
                return Err(InvalidField::new(name, message));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads an object in which every field has to be known.
///
/// # Errors
/// The first thing that is wrong, by the path of its field.
pub fn strict<T: DeserializeOwned>(body: Map<String, Value>) -> Result<T, InvalidField> {
    let mut unknown: Option<String> = None;
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(Value::Object(body), &mut track);
    let read = serde_ignored::deserialize(tracked, |path| {
        unknown.get_or_insert_with(|| bracketed(&path.to_string().replace(".?", "")));
    });
    match (read, unknown) {
        (Ok(_), Some(field)) => {
            let message = format!("There is no field `{}` here.", shortened(&field));
            Err(InvalidField::new(shortened(&field), message))
        }
        (Ok(document), None) => Ok(document),
        (Err(error), _) => {
            let (path, message) = (track.path().to_string(), sentence(&error.to_string()));
            let field = match (path.as_str(), missing(&message)) {
                (".", Some(name)) => name.to_owned(),
                (".", None) => String::new(),
                (path, Some(name)) => format!("{path}.{name}"),
                (path, None) => path.to_owned(),
            };
            Err(InvalidField::new(shortened(&field), message))
        }
    }
}

/// A path of [`serde_ignored`] as paths are said everywhere else: `users[0].role`.
fn bracketed(path: &str) -> String {
    let parts = path.split('.').enumerate().map(|(index, part)| {
        let is_index = index > 0 && part.bytes().all(|it| it.is_ascii_digit());
        if is_index { format!("[{part}]") } else { format!(".{part}") }
    });
    parts.collect::<String>().trim_start_matches('.').to_owned()
}

/// The field that an error says is missing.
fn missing(message: &str) -> Option<&str> {
    let (_, rest) = message
        .to_ascii_lowercase()
        .contains("issing field")
        .then(|| message.split_once('`'))??;
    rest.split('`').next()
}

/// An error of a parser, as a sentence.
fn sentence(error: &str) -> String {
    let mut letters = error.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    let text: String = first.into_iter().chain(letters).take(300).collect();
    format!("{}.", text.trim_end_matches('.'))
}

fn shortened(text: &str) -> String {
    text.chars().take(96).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<TenantDocument, InvalidField> {
        let format = if text.starts_with('{') { Format::Json } else { Format::Yaml };
        let shown = json!({"object": "tenant", "tenant_id": "acme", "status": "active"});
        read_tenant(format.object(text.as_bytes())?, shown.as_object().unwrap())
    }

    #[test]
    fn both_formats_say_the_same() {
        let yaml = read(
            "# of acme\nname: Acme\nlob_id: retail\ncontact: {email: ops@acme.example}\nbranding: {}\n\
             models: [nova-pro, claude-haiku-4-5]\nsettings:\n  response_cache: {ttl_s: 300}\n  default_guardrail: {id: g1, version: '2'}\n\
             projects:\n  web-shop: {members: [u-1], tags: {cost-center: '12'}}\n",
        )
        .unwrap();
        let json = read(
            r#"{"object":"tenant","tenant_id":"acme","status":"active","version":7,"is_effective":true,
            "name":"Acme","lob_id":"retail","contact":{"email":"ops@acme.example"},
            "models":["claude-haiku-4-5","nova-pro","nova-pro"],"settings":{"response_cache":{"ttl_s":300},
            "default_guardrail":{"id":"g1","version":"2"}},"projects":{"web-shop":{"members":["u-1"],"tags":{"cost-center":"12"}}}}"#,
        )
        .unwrap();
        assert_eq!(yaml, json);
        assert_eq!(yaml.branding, None, "what says nothing is not there");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |more: &str| format!(r#"{{"name":"Acme","lob_id":"retail"{more}}}"#);
        for (text, field) in [
            (String::new(), ""),
            ("[]".into(), ""),
            ("{".into(), ""),
            ("a: b: c".into(), ""),
            (r#"{"name":"Acme"}"#.into(), "lob_id"),
            (r#"{"name":"","lob_id":"retail"}"#.into(), "name"),
            (r#"{"name":"Acme","lob_id":"Retail"}"#.into(), "lob_id"),
            (with(r#","model_list":[]"#), "model_list"),
            (with(r#","limits":[]"#), "limits"),
            (with(r#","aliases":{"smart":"nova-pro"}"#), "aliases"),
            (with(r#","aliases":[{"name":"smart"}]"#), "aliases[0].steps"),
            (with(r#","aliases":[{"name":"smart","steps":[]}]"#), "aliases"),
            (
                with(r#","aliases":[{"name":"smart","steps":[{"targets":[],"by":1}]}]"#),
                "aliases[0].steps[0].by",
            ),
            (
                with(
                    r#","aliases":[{"name":"a","steps":[{"targets":[{"model":"m"}]}]},{"name":"a","steps":[{"targets":[{"model":"n"}]}]}]"#,
                ),
                "aliases",
            ),
            (with(r#","settings":{"response_cache":{"ttl":1}}"#), "settings.response_cache.ttl_s"),
            (
                with(r#","settings":{"response_cache":{"ttl_s":1,"x":2}}"#),
                "settings.response_cache.x",
            ),
            (
                with(r#","settings":{"response_cache":{"ttl_s":-1}}"#),
                "settings.response_cache.ttl_s",
            ),
            (
                with(r#","settings":{"response_cache":{"ttl_s":0}}"#),
                "settings.response_cache.ttl_s",
            ),
            (
                with(r#","settings":{"stored_responses_days":4000}"#),
                "settings.stored_responses_days",
            ),
            (
                with(r#","settings":{"payload_capture":{"retention_days":0}}"#),
                "settings.payload_capture.retention_days",
            ),
            (with(r#","settings":{"shadow":{"percent":0}}"#), "settings.shadow.percent"),
            (with(r#","settings":{"shadow":{"percent":101}}"#), "settings.shadow.percent"),
            (with(r#","settings":{"shadow":{"percent":1000}}"#), "settings.shadow.percent"),
            (with(r#","settings":{"shadow":{"share":10}}"#), "settings.shadow.percent"),
            (
                with(r#","settings":{"default_guardrail":{"id":"a b","version":"1"}}"#),
                "settings.default_guardrail.id",
            ),
            (
                with(r#","settings":{"default_guardrail":{"id":"g","version":"../1"}}"#),
                "settings.default_guardrail.version",
            ),
            (with(r#","settings":{"priority_class":"urgent"}"#), "settings.priority_class"),
            (with(r#","models":["nova*"]"#), "models[0]"),
            (with(r#","models":"nova""#), "models"),
            (with(r#","default_max_tokens":0"#), "default_max_tokens"),
            (with(r#","tags":{"aws:x":"1"}"#), "tags"),
            (with(r#","tags":{"a#b":"1"}"#), "tags"),
            (with(r#","tags":{"a":"caf\u00e9"}"#), "tags.a"),
            (with(r#","projects":{"Web":{}}"#), "projects.Web"),
            (with(r#","projects":{"web":{"members":["a b"]}}"#), "projects.web.members[0]"),
            (with(r#","projects":{"web":{"owner":"x"}}"#), "projects.web.owner"),
            (with(r#","contact":{"email":"nobody"}"#), "contact.email"),
            (with(r#","contact":{"name":"a\u0000"}"#), "contact.name"),
            (with(r#","branding":{"logo_url":"javascript:alert(1)"}"#), "branding.logo_url"),
            (with(r#","branding":{"color":"red"}"#), "branding.color"),
            (with(r#","status":"suspended""#), "status"),
            (with(r#","tenant_id":"globex""#), "tenant_id"),
            ("name: Acme\nname: Other\nlob_id: retail".into(), ""),
        ] {
            let error = read(&text).expect_err(&text);
            assert_eq!(error.field, field, "{text}: {}", error.message);
            assert!(error.message.ends_with('.'), "{}", error.message);
        }
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\n\
            d: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f]\n";
        assert!(read(bomb).is_err());
        assert!(read(&format!("a: {}1{}", "[".repeat(5_000), "]".repeat(5_000))).is_err());
        assert!(read(&format!("name: {}", "a".repeat(MAX_BODY_BYTES))).is_err());
    }

    #[test]
    fn the_content_type_decides() {
        assert_eq!(Format::of(None), Some(Format::Json));
        assert_eq!(Format::of(Some("application/json; charset=utf-8")), Some(Format::Json));
        assert_eq!(Format::of(Some("Application/YAML")), Some(Format::Yaml));
        assert_eq!(Format::of(Some("application/xml")), None);
    }
}

//! What a document must be, beyond what its types say.

use std::collections::{BTreeMap, BTreeSet};

use crate::body::InvalidField;
use crate::{Contact, LobDocument, TenantDocument};

/// Characters of a name.
const MAX_NAME: usize = 128;
/// What AWS allows of cost allocation tags, on each resource.
const MAX_TAGS: usize = 50;
const MAX_TAG_KEY: usize = 128;
const MAX_TAG_VALUE: usize = 256;
/// Models of one tenant.
const MAX_MODELS: usize = 500;
/// Aliases of one tenant: they are read with its item.
const MAX_ALIASES: usize = 50;
/// Projects of one tenant, and members of one project.
const MAX_PROJECTS: usize = 200;
const MAX_MEMBERS: usize = 500;
/// Ten years.
const MAX_DAYS: u32 = 3_650;
/// Thirty days.
const MAX_CACHE_S: u32 = 2_592_000;

/// Checks a tenant.
///
/// # Errors
/// The first thing that is wrong.
pub fn check_tenant(document: &TenantDocument) -> Result<(), InvalidField> {
    name("name", &document.name)?;
    contact(document.contact.as_ref())?;
    if let Some(branding) = &document.branding {
        if let Some(text) = &branding.display_name {
            name("branding.display_name", text)?;
        }
        if let Some(url) = &branding.logo_url {
            let is_valid = url.len() <= 512
                && url.strip_prefix("https://").is_some_and(|rest| !rest.is_empty())
                && url.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"'`\\".contains(&byte));
            check(is_valid, "branding.logo_url", "An https address of 512 characters at most.")?;
        }
        if let Some(color) = &branding.color {
            let is_valid = color.strip_prefix('#').is_some_and(|digits| {
                digits.len() == 6 && digits.bytes().all(|it| it.is_ascii_hexdigit())
            });
            check(is_valid, "branding.color", "A colour is `#` and six hexadecimal digits.")?;
        }
    }
    tags("tags", &document.tags)?;
    let many = |count: usize, max: usize, field: &str, what: &str| {
        check(count <= max, field, &format!("A tenant has {max} {what} at most."))
    };
    many(document.models.len(), MAX_MODELS, "models", "models")?;
    many(document.projects.len(), MAX_PROJECTS, "projects", "projects")?;
    many(document.aliases.len(), MAX_ALIASES, "aliases", "aliases")?;
    aliases(document)?;
    check(
        document.default_max_tokens.is_none_or(|tokens| (1..=1_000_000).contains(&tokens)),
        "default_max_tokens",
        "A whole number from 1 to 1000000; leave it out for the model's own.",
    )?;
    settings(document)?;
    for (id, project) in &document.projects {
        tags(&format!("projects.{id}.tags"), &project.tags)?;
        check(
            project.members.len() <= MAX_MEMBERS,
            &format!("projects.{id}.members"),
            &format!(
                "A project has {MAX_MEMBERS} members at most; without any, it is everybody's."
            ),
        )?;
    }
    Ok(())
}

/// Checks a line of business.
///
/// # Errors
/// As [`check_tenant`].
pub fn check_lob(document: &LobDocument) -> Result<(), InvalidField> {
    name("name", &document.name)?;
    contact(document.contact.as_ref())?;
    check(
        document.models.as_ref().is_none_or(|models| models.len() <= MAX_MODELS),
        "models",
        &format!(
            "A line of business lists {MAX_MODELS} models at most; leave the list out to allow all."
        ),
    )?;
    tags("tags", &document.tags)
}

fn aliases(document: &TenantDocument) -> Result<(), InvalidField> {
    let mut names = BTreeSet::new();
    for alias in &document.aliases {
        if let Err(error) = alias.validate() {
            let message = format!("`{}`: {}.", alias.name, error.problem.trim_end_matches('.'));
            return Err(InvalidField::new("aliases", message));
        }
        let message = format!("There are two aliases `{}`: give each name once.", alias.name);
        check(names.insert(&alias.name), "aliases", &message)?;
    }
    Ok(())
}

fn settings(document: &TenantDocument) -> Result<(), InvalidField> {
    let settings = &document.settings;
    if let Some(cache) = &settings.response_cache {
        check(
            (1..=MAX_CACHE_S).contains(&cache.ttl_s),
            "settings.response_cache.ttl_s",
            "Seconds from 1 to 2592000 (30 days); leave `response_cache` out to keep no answers.",
        )?;
    }
    check(
        settings.stored_responses_days.is_none_or(|days| days <= MAX_DAYS),
        "settings.stored_responses_days",
        "Days from 0 (never stored) to 3650.",
    )?;
    if let Some(capture) = &settings.payload_capture {
        check(
            (1..=MAX_DAYS).contains(&capture.retention_days),
            "settings.payload_capture.retention_days",
            "Days from 1 to 3650; leave `payload_capture` out to keep no payloads.",
        )?;
    }
    if let Some(shadow) = &settings.shadow {
        check(
            (1..=100).contains(&shadow.percent),
            "settings.shadow.percent",
            "Of a hundred calls, 1 to 100; leave `shadow` out for none.",
        )?;
    }
    if let Some(guardrail) = &settings.default_guardrail {
        let version = &guardrail.version;
        let is_valid = version == "DRAFT"
            || ((1..=8).contains(&version.len()) && version.bytes().all(|it| it.is_ascii_digit()));
        check(is_valid, "settings.default_guardrail.version", "A number as text, or `DRAFT`.")?;
    }
    Ok(())
}

fn contact(contact: Option<&Contact>) -> Result<(), InvalidField> {
    let Some(contact) = contact else { return Ok(()) };
    if let Some(text) = &contact.name {
        name("contact.name", text)?;
    }
    if let Some(email) = &contact.email {
        check(is_email(email), "contact.email", "An address such as `ops@acme.example`.")?;
    }
    if let Some(phone) = &contact.phone {
        let is_valid = (3..=32).contains(&phone.len())
            && phone.bytes().all(|it| it.is_ascii_digit() || b"+ -()/.".contains(&it));
        check(is_valid, "contact.phone", "Digits, spaces and + - ( ) / . only.")?;
    }
    Ok(())
}

/// Whether mail could be sent there, in the plain form that all parts of the system take: ASCII, and
/// nothing that means something in a key, a pattern or a page.
pub(crate) fn is_email(text: &str) -> bool {
    let is_part = |part: &str, more: &[u8]| {
        !part.is_empty()
            && part.bytes().all(|it| it.is_ascii_alphanumeric() || more.contains(&it))
            && !part.starts_with('.')
            && !part.ends_with('.')
            && !part.contains("..")
    };
    let Some((local, domain)) = text.split_once('@') else { return false };
    text.len() <= 128 && local.len() <= 64 && is_part(local, b"._%+'-") && is_part(domain, b".-")
}

/// A text that people read: of any script, but without what could change how it is shown.
fn name(field: &str, text: &str) -> Result<(), InvalidField> {
    let is_odd = |it: char| {
        it.is_control()
            || matches!(it, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fffd}')
    };
    let is_valid = !text.trim().is_empty()
        && text.trim() == text
        && text.chars().count() <= MAX_NAME
        && !text.chars().any(is_odd);
    let rule = format!(
        "A text of 1 to {MAX_NAME} characters, without control characters and without spaces around it."
    );
    check(is_valid, field, &rule)
}

fn tags(field: &str, tags: &BTreeMap<String, String>) -> Result<(), InvalidField> {
    check(tags.len() <= MAX_TAGS, field, &format!("There are {MAX_TAGS} tags at most."))?;
    let is_plain = |text: &str| {
        text.bytes().all(|it| it.is_ascii_alphanumeric() || b" _.:/=+@-".contains(&it))
    };
    for (key, value) in tags {
        let is_key = (1..=MAX_TAG_KEY).contains(&key.len())
            && is_plain(key)
            && !key.to_ascii_lowercase().starts_with("aws:");
        check(
            is_key,
            field,
            "The name of a tag has 1 to 128 letters, digits, spaces and _ . : / = + @ -, and does not begin with `aws:`.",
        )?;
        check(
            value.len() <= MAX_TAG_VALUE && is_plain(value),
            &format!("{field}.{key}"),
            "The value of a tag has 256 letters, digits, spaces and _ . : / = + @ - at most.",
        )?;
    }
    Ok(())
}

fn check(is_valid: bool, field: &str, rule: &str) -> Result<(), InvalidField> {
    if is_valid { Ok(()) } else { Err(InvalidField::new(field, rule)) }
}

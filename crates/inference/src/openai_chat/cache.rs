//! Cache points: `cache_control`, as clients of `LiteLLM` and `OpenRouter` set it on content parts,
//! messages and tools.

use crate::wire::field::Field;
use crate::{BadRequest, CacheTtl};

/// How long what stands before the end of `field` is to be kept, if it says so.
pub(super) fn cache_ttl(field: &Field<'_>) -> Result<Option<CacheTtl>, BadRequest> {
    let Some(control) = field.get("cache_control") else {
        return Ok(None);
    };
    control.object()?;
    let kind = control.require("type")?;
    if kind.str()? != "ephemeral" {
        return Err(kind.invalid("must be `ephemeral`."));
    }
    let Some(ttl) = control.get("ttl") else {
        return Ok(Some(CacheTtl::FiveMinutes));
    };
    match ttl.str()? {
        "5m" => Ok(Some(CacheTtl::FiveMinutes)),
        "1h" => Ok(Some(CacheTtl::OneHour)),
        _ => Err(ttl.invalid("must be `5m` or `1h`.")),
    }
}

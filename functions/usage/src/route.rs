//! The routes of this function.

use admission::LimitOwner;
use http::Method;
use percent_encoding::percent_decode_str;

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/v1/usage`
    Usage,
    /// `/v1/usage/limits`
    Standing,
    /// `/v1/usage/records/{call_id}`
    Records(String),
    /// `/v1/limits/{scope}`
    Limits(LimitOwner),
    /// `/v1/limits/{scope}/history`
    History(LimitOwner),
    /// `/v1/limits/{scope}/raises`
    Raises(LimitOwner),
    /// `/v1/limits/{scope}/raises/{id}/approve` and `/reject`
    Decision { owner: LimitOwner, raise: String, is_approval: bool },
}

impl Route {
    /// What `path` asks for, if there is such a route.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/v1/")?;
        let decode = |part| percent_decode_str(part).decode_utf8().ok().map(String::from);
        let parts: Vec<String> = rest.split('/').map(decode).collect::<Option<_>>()?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        if parts.iter().any(|part| part.is_empty()) {
            return None;
        }
        Some(match parts.as_slice() {
            ["usage"] => Self::Usage,
            ["usage", "limits"] => Self::Standing,
            ["usage", "records", id] => Self::Records((*id).to_owned()),
            ["limits", owner @ .., "raises", raise, decision @ ("approve" | "reject")] => {
                Self::Decision {
                    owner: LimitOwner::of_path(owner)?,
                    raise: (*raise).to_owned(),
                    is_approval: *decision == "approve",
                }
            }
            ["limits", owner @ .., "raises"] => Self::Raises(LimitOwner::of_path(owner)?),
            ["limits", owner @ .., "history"] => Self::History(LimitOwner::of_path(owner)?),
            ["limits", owner @ ..] => Self::Limits(LimitOwner::of_path(owner)?),
            _ => return None,
        })
    }

    /// The methods that it takes.
    pub(crate) fn methods(&self) -> &'static [Method] {
        match self {
            Self::Usage | Self::Standing | Self::Records(_) | Self::History(_) => &[Method::GET],
            Self::Limits(_) => &[Method::GET, Method::PUT],
            Self::Raises(_) => &[Method::GET, Method::POST],
            Self::Decision { .. } => &[Method::POST],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_route_or_none() {
        let owner = |text| LimitOwner::of_text(text).unwrap();
        for (path, route) in [
            ("/v1/usage", Route::Usage),
            ("/v1/usage/limits", Route::Standing),
            ("/v1/usage/records/0193", Route::Records("0193".into())),
            ("/v1/limits/org", Route::Limits(owner("org"))),
            (
                "/v1/limits/tenants/acme/principals/auth0%7C5%2F6",
                Route::Limits(owner("tenants/acme/principals/auth0|5/6")),
            ),
            (
                "/v1/limits/tenants/acme/each-principal/history",
                Route::History(owner("tenants/acme/each-principal")),
            ),
            ("/v1/limits/lobs/retail/raises", Route::Raises(owner("lobs/retail"))),
            (
                "/v1/limits/lobs/retail/raises/r1/reject",
                Route::Decision {
                    owner: owner("lobs/retail"),
                    raise: "r1".into(),
                    is_approval: false,
                },
            ),
        ] {
            assert_eq!(Route::of(path), Some(route), "{path}");
        }
        for path in [
            "/v1/usage/",
            "/v1/usages",
            "/v1/limits",
            "/v1/limits/",
            "/v1/limits/tenants",
            "/v1/limits/tenants/acm%65%00",
            "/v1/limits/lobs/retail/raises/r1",
            "/v1/limits/lobs/retail/raises/r1/grant",
            "/usage",
            "/v1/limits//org",
            "/v1/limits/tenants/acme%2Fprojects%2Fweb",
            "/v1/limits/tenants/%ff",
        ] {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }
}

//! The routes of this function.

use admission::LimitOwner;
use http::Method;
use http_api::parts;

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
    /// `/v1/prices`
    Prices,
    /// `/v1/prices/overrides`
    PriceOverrides,
    /// `/v1/prices/overrides/{version}`
    PriceVersion(String),
    /// `/v1/statements`
    Statements,
    /// `/v1/statements/{period}`
    Statement(String),
    /// `/v1/statements/{period}/draft`
    Draft(String),
    /// `/v1/months`
    Months,
    /// `/v1/months/{period}`
    Month(String),
    /// `/v1/months/{period}/close`
    Close(String),
    /// `/v1/billing/entries`
    Entries,
    /// `/v1/billing/plans`
    Plans,
    /// `/v1/reconciliations`
    Reconciliations,
    /// `/v1/reconciliations/{period}`
    Reconciliation(String),
}

impl Route {
    /// What `path` asks for, if there is such a route.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let parts = parts(path)?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
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
            ["prices"] => Self::Prices,
            ["prices", "overrides"] => Self::PriceOverrides,
            ["prices", "overrides", version] => Self::PriceVersion((*version).to_owned()),
            ["statements"] => Self::Statements,
            ["statements", period] => Self::Statement((*period).to_owned()),
            ["statements", period, "draft"] => Self::Draft((*period).to_owned()),
            ["months"] => Self::Months,
            ["months", period] => Self::Month((*period).to_owned()),
            ["months", period, "close"] => Self::Close((*period).to_owned()),
            ["billing", "entries"] => Self::Entries,
            ["billing", "plans"] => Self::Plans,
            ["reconciliations"] => Self::Reconciliations,
            ["reconciliations", period] => Self::Reconciliation((*period).to_owned()),
            _ => return None,
        })
    }

    /// The methods that it takes.
    pub(crate) fn methods(&self) -> &'static [Method] {
        match self {
            Self::Usage
            | Self::Standing
            | Self::Records(_)
            | Self::History(_)
            | Self::Prices
            | Self::PriceOverrides
            | Self::Statements
            | Self::Statement(_)
            | Self::Months
            | Self::Month(_)
            | Self::Reconciliations => &[Method::GET],
            Self::Limits(_) | Self::Plans => &[Method::GET, Method::PUT],
            Self::PriceVersion(_) => &[Method::PUT, Method::DELETE],
            Self::Raises(_) | Self::Entries | Self::Reconciliation(_) => {
                &[Method::GET, Method::POST]
            }
            Self::Decision { .. } | Self::Draft(_) | Self::Close(_) => &[Method::POST],
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
            ("/v1/statements/2026-11", Route::Statement("2026-11".into())),
            ("/v1/statements/2026-11/draft", Route::Draft("2026-11".into())),
            ("/v1/months/2026-11/close", Route::Close("2026-11".into())),
            ("/v1/billing/plans", Route::Plans),
            ("/v1/reconciliations/x", Route::Reconciliation("x".into())),
            ("/v1/limits/lobs/retail/raises", Route::Raises(owner("lobs/retail"))),
            ("/v1/prices", Route::Prices),
            ("/v1/prices/overrides", Route::PriceOverrides),
            ("/v1/prices/overrides/ovr-3", Route::PriceVersion("ovr-3".into())),
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
            "/v1/statements/2026-11/drafts",
            "/v1/months/2026-11/close/now",
            "/v1/billing",
            "/v1/reconciliations/",
        ] {
            assert_eq!(Route::of(path), None, "{path}");
        }
    }
}

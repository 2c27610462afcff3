//! The routes of this function.

use http::Method;
use http_api::parts_below;

/// What they all begin with.
pub(crate) const BASE: &str = "/scim/v2/";

/// What a path asks for. Ids are as the path says them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    ServiceProviderConfig,
    ResourceTypes(Option<String>),
    Schemas(Option<String>),
    Search,
    Users,
    SearchUsers,
    User(String),
    Groups,
    SearchGroups,
    Group(String),
}

impl Route {
    /// What `path` asks for, if there is such a route.
    pub(crate) fn of(path: &str) -> Option<Self> {
        let parts = parts_below(BASE, path)?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        Some(match parts.as_slice() {
            ["ServiceProviderConfig"] => Self::ServiceProviderConfig,
            ["ResourceTypes"] => Self::ResourceTypes(None),
            ["ResourceTypes", id] => Self::ResourceTypes(Some((*id).to_owned())),
            ["Schemas"] => Self::Schemas(None),
            ["Schemas", id] => Self::Schemas(Some((*id).to_owned())),
            [".search"] => Self::Search,
            ["Users"] => Self::Users,
            ["Users", ".search"] => Self::SearchUsers,
            ["Users", id] => Self::User((*id).to_owned()),
            ["Groups"] => Self::Groups,
            ["Groups", ".search"] => Self::SearchGroups,
            ["Groups", id] => Self::Group((*id).to_owned()),
            _ => return None,
        })
    }

    /// The methods that it takes.
    pub(crate) fn methods(&self) -> &'static [Method] {
        match self {
            Self::ServiceProviderConfig | Self::ResourceTypes(_) | Self::Schemas(_) => {
                &[Method::GET]
            }
            Self::Search | Self::SearchUsers | Self::SearchGroups => &[Method::POST],
            Self::Users | Self::Groups => &[Method::GET, Method::POST],
            Self::User(_) | Self::Group(_) => {
                &[Method::GET, Method::PUT, Method::PATCH, Method::DELETE]
            }
        }
    }
}

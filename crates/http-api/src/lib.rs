//! What stands between API Gateway's events and the pure crates: the caller, the body, errors and headers.

mod answer;
mod ask;
mod body;
mod caller;
mod checks;
mod document;
mod error;
#[cfg(feature = "fakes")]
pub mod fakes;
mod path;
mod rate_limit;

pub use answer::{answer, conflict, etag, invalid, respond, store_failed, with_header, with_type};
pub use ask::{Ask, parts, parts_below, refuse_unknown, shortened};
pub use body::{Body, full, read};
pub use caller::{caller, verified};
pub use checks::{are_registered, is_free, may_decide, takes_tenants};
pub use document::{
    after, changed_meanwhile, cursor, invalid_field, is_creating, limit, matches, object,
    object_if_any, page, page_of, refused, says_known, take_flag, take_text, version, with_etag,
};
pub use error::{ApiError, request_id_header};
pub use path::path;
pub use rate_limit::rate_limit_headers;

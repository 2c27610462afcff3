//! Whose bill, and who may see it.
//!
//! What belongs to another tenant or line of business is not there; what is the caller's own, and
//! not for its role, is refused. Who keeps the books keeps everybody's.

use admission::{LimitOwner, LimitStore};
use billing::{Account, Month};
use http_api::{ApiError, Ask, invalid, store_failed};
use tenancy::{Permission, Place, TenantContext};

/// The account that the query names; the caller's own tenant if it names none.
pub(crate) fn named(ask: &Ask<'_>, context: &TenantContext) -> Result<Account, ApiError> {
    match ask.get("account") {
        None => Ok(Account::Tenant(context.tenant_id.clone())),
        Some(text) => account("account", text),
    }
}

/// As [`named`], of somebody who gets a bill.
pub(crate) fn billed(ask: &Ask<'_>, context: &TenantContext) -> Result<Account, ApiError> {
    match named(ask, context)? {
        Account::Org => Err(invalid("account", BILLED)),
        account => Ok(account),
    }
}

/// What [`billed`] asks for, in words.
pub(crate) const BILLED: &str =
    "Bills are of tenants and lines of business: `tenant=<id>` or `lob=<id>`.";

/// The account of a text.
pub(crate) fn account(field: &str, text: &str) -> Result<Account, ApiError> {
    text.parse().map_err(|_| {
        invalid(field, "An account is `tenant=<id>` or `lob=<id>`; of plans also `org`.")
    })
}

/// The month of a text.
pub(crate) fn month(field: &str, text: &str) -> Result<Month, ApiError> {
    text.parse().map_err(|_| invalid(field, "This is a month, such as 2026-11."))
}

/// Whether there is such an account, if the caller may see its bills.
///
/// Of one that was off-boarded, those who see everybody's still see them.
///
/// # Errors
/// 404 if they are not the caller's to know of, 403 if they are not for its role.
pub(crate) async fn readable(
    store: &impl LimitStore,
    context: &TenantContext,
    account: &Account,
) -> Result<bool, ApiError> {
    let level = store.limits(&owner(account)).await.map_err(store_failed)?;
    let is_there = level.is_some();
    let lob_id = level.and_then(|level| level.lob_id);
    let place = match (account, &lob_id) {
        (Account::Lob(id), _) => Place::Lob(id),
        (Account::Tenant(id), Some(lob_id)) => Place::Tenant(id, lob_id),
        (Account::Tenant(_), None) | (Account::Org, _) => Place::Org,
    };
    // That there is an organisation is no secret.
    if *account != Account::Org && !context.sees(place) {
        return Err(unknown(account));
    }
    context.require_at(Permission::ReadStatements, place)?;
    Ok(is_there)
}

/// Checks that there is such an account.
pub(crate) async fn require(store: &impl LimitStore, account: &Account) -> Result<(), ApiError> {
    let level = store.limits(&owner(account)).await.map_err(store_failed)?;
    level.map(|_| ()).ok_or_else(|| unknown(account))
}

/// There is no such account, or it is not the caller's to know of: to the caller the same.
pub(crate) fn unknown(account: &Account) -> ApiError {
    ApiError::not_found("account", &account.to_string())
}

fn owner(account: &Account) -> LimitOwner {
    match account {
        Account::Org => LimitOwner::Org,
        Account::Lob(id) => LimitOwner::Lob(id.clone()),
        Account::Tenant(id) => LimitOwner::Tenant(id.clone()),
    }
}

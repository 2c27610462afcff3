//! What is on a bill beside usage: entries of the ledger that are written once and never changed.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use metering::NanoUsd;
use serde::{Deserialize, Serialize};
use tenancy::{InvalidId, LobId, TenantId};

use crate::plan::is_label;
use crate::{Month, SignedNanoUsd};

/// The largest amount of an entry: a billion dollars.
pub(crate) const MAX_AMOUNT: NanoUsd = NanoUsd(1_000_000_000_000_000_000);

const MAX_REASON_CHARS: usize = 500;

/// Whose bill an entry, a plan or a statement is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Account {
    /// Everybody's: of plans only.
    Org,
    /// A line of business'.
    Lob(LobId),
    /// A tenant's.
    Tenant(TenantId),
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// Given to the tenant; negative.
    Credit,
    /// Agreed by people, in either direction.
    Adjustment,
    /// A later month's making good of an earlier one's error, in either direction.
    Correction,
    /// The plan's fee of the month.
    FlatFee,
}

/// An amount added to a bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerEntry {
    /// Whether it is the same entry: one of this id is written once, whoever writes it.
    pub id: String,
    /// The month on whose statement it stands.
    pub period: Month,
    /// Whose bill.
    pub account: Account,
    /// What it is.
    pub kind: EntryKind,
    /// What is added to the bill; negative if it is taken off.
    pub amount_nanousd: SignedNanoUsd,
    /// Why, for who reads the bill.
    pub reason: String,
    /// Who booked it: a principal, or the job that did.
    pub booked_by: String,
    /// When, in Unix milliseconds.
    pub booked_ms: i64,
    /// What it is about: an earlier month, a ticket, a report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refers_to: Option<String>,
    /// What the job that booked it wants to find again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
}

/// An entry that cannot be booked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {rule}")]
pub struct InvalidEntry {
    /// Which part of it.
    pub field: &'static str,
    /// What is wrong, in words.
    pub rule: &'static str,
}

/// Whether entries of jobs have ids like this: who had booked one before would keep the job from it.
pub fn is_reserved(id: &str) -> bool {
    ["flat-fee-", "late-usage-", "reconciliation:"].iter().any(|prefix| id.starts_with(prefix))
}

impl EntryKind {
    /// The name as it stands on statements.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Credit => "credit",
            Self::Adjustment => "adjustment",
            Self::Correction => "correction",
            Self::FlatFee => "flat_fee",
        }
    }
}

impl LedgerEntry {
    /// Whether it can be booked.
    pub fn validate(&self) -> Result<(), InvalidEntry> {
        let check = |holds: bool, field, rule| {
            if holds { Ok(()) } else { Err(InvalidEntry { field, rule }) }
        };
        let id_parts = self.id.len() <= 128 && self.id.split(':').all(is_label);
        check(id_parts, "id", "must be letters, digits, hyphens, dots and underscores")?;
        check(self.account != Account::Org, "account", "must be a tenant or a line of business")?;
        let amount = self.amount_nanousd.0;
        let is_billable = amount != 0 && amount.unsigned_abs() <= MAX_AMOUNT.0;
        check(is_billable, "amount_nanousd", "must not be zero, nor beyond a billion dollars")?;
        match self.kind {
            EntryKind::Credit => {
                check(amount < 0, "amount_nanousd", "of a credit must be negative")?;
            }
            EntryKind::FlatFee => {
                check(amount > 0, "amount_nanousd", "of a fee must be positive")?;
            }
            EntryKind::Adjustment | EntryKind::Correction => {}
        }
        let texts = [("reason", Some(&self.reason)), ("refers_to", self.refers_to.as_ref())];
        for (field, text) in texts.into_iter().filter_map(|(field, text)| Some((field, text?))) {
            let is_plain = !text.trim().is_empty()
                && text.chars().count() <= MAX_REASON_CHARS
                && !text.chars().any(char::is_control);
            check(is_plain, field, "must be one line of 1 to 500 characters")?;
        }
        Ok(())
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Org => f.write_str("org"),
            Self::Lob(id) => write!(f, "lob={id}"),
            Self::Tenant(id) => write!(f, "tenant={id}"),
        }
    }
}

impl FromStr for Account {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        match text.split_once('=') {
            None if text == "org" => Ok(Self::Org),
            Some(("lob", id)) => id.parse().map(Self::Lob),
            Some(("tenant", id)) => id.parse().map(Self::Tenant),
            _ => Err(InvalidId {
                kind: "account",
                value: text.chars().take(64).collect(),
                rule: "use `tenant=<id>` or `lob=<id>`",
            }),
        }
    }
}

impl TryFrom<String> for Account {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<Account> for String {
    fn from(account: Account) -> Self {
        account.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credit() -> LedgerEntry {
        LedgerEntry {
            id: "goodwill-1".to_owned(),
            period: "2026-11".parse().unwrap(),
            account: "tenant=acme".parse().unwrap(),
            kind: EntryKind::Credit,
            amount_nanousd: SignedNanoUsd(-1),
            reason: "Outage of 3 November".to_owned(),
            booked_by: "u-1".to_owned(),
            booked_ms: 0,
            refers_to: None,
            details: BTreeMap::new(),
        }
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut LedgerEntry), field: &str) {
        let mut entry = credit();
        assert_eq!(entry.validate(), Ok(()));
        change(&mut entry);
        assert_eq!(entry.validate().map_err(|error| error.field), Err(field));
    }

    #[test]
    fn an_entry_says_what_it_must_and_no_more() {
        refused(|entry| entry.amount_nanousd = SignedNanoUsd(1), "amount_nanousd");
        refused(|entry| entry.amount_nanousd = SignedNanoUsd(0), "amount_nanousd");
        refused(|entry| entry.amount_nanousd = SignedNanoUsd(i64::MIN), "amount_nanousd");
        refused(|entry| entry.kind = EntryKind::FlatFee, "amount_nanousd");
        refused(|entry| entry.reason = " ".to_owned(), "reason");
        refused(|entry| entry.reason = "a\nb".to_owned(), "reason");
        refused(|entry| entry.refers_to = Some("x".repeat(501)), "refers_to");
        refused(|entry| entry.id = "a#b".to_owned(), "id");
        refused(|entry| entry.id = "a".repeat(200), "id");
        refused(|entry| entry.account = Account::Org, "account");
    }

    #[test]
    fn accounts_read_as_they_are_written() {
        for text in ["org", "lob=retail", "tenant=acme"] {
            assert_eq!(text.parse::<Account>().unwrap().to_string(), text);
        }
        for text in ["", "acme", "tenant=", "tenant=A", "org=acme", "tenant=acme#"] {
            assert!(text.parse::<Account>().is_err(), "{text:?}");
        }
    }
}

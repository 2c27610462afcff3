//! The statement of a tenant for a month.

use std::fmt::Write as _;

use metering::NanoUsd;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tenancy::{LobId, TenantId};

use crate::charge::{IncludedUse, charge};
use crate::entry::{Account, EntryKind, LedgerEntry};
use crate::line::{Line, LinesError, UsageLines, UsageSum};
use crate::plan::Plan;
use crate::{Overflow, SignedNanoUsd, Span};

/// A month's bill of a tenant, which adds up line by line.
///
/// `digest` is over the rest of it: this JSON without `digest`, its fields in this order and without
/// white space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Version of this schema.
    pub schema: u32,
    /// 0 while the month is open; 1 when it is closed, which is for ever.
    pub version: u32,
    /// Whose bill.
    pub tenant_id: TenantId,
    /// The line of business that it is added to: the tenant's when the month was closed.
    pub lob_id: LobId,
    /// The month.
    #[serde(flatten)]
    pub span: Span,
    /// The plan, as it was when the month was closed.
    pub plan: Plan,
    /// Whose plan it is: the tenant's own, or the one of those above it.
    pub plan_of: Account,
    /// Usage.
    pub lines: Vec<Line>,
    /// What the plan's volume covered.
    pub included: Vec<IncludedUse>,
    /// What else was booked, in order of ids.
    pub entries: Vec<LedgerEntry>,
    /// What it all comes to.
    pub totals: Totals,
    /// `sha256:` and 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
}

/// What a statement comes to: usage, and what was booked beside it by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Usage, and what the provider took for it.
    #[serde(flatten)]
    pub sum: UsageSum,
    /// What the plan takes for it.
    pub gross_nanousd: NanoUsd,
    /// What of that is included.
    pub included_nanousd: NanoUsd,
    /// What of that is charged.
    pub charge_nanousd: NanoUsd,
    /// The plan's fee.
    pub flat_fee_nanousd: SignedNanoUsd,
    /// Given to the tenant.
    pub credits_nanousd: SignedNanoUsd,
    /// Agreed by people.
    pub adjustments_nanousd: SignedNanoUsd,
    /// Of earlier months.
    pub corrections_nanousd: SignedNanoUsd,
    /// What is to be paid, or was paid too much.
    pub total_nanousd: SignedNanoUsd,
}

/// Why there is no statement.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// The records cannot be billed.
    #[error(transparent)]
    Lines(#[from] LinesError),
    /// A sum is too large.
    #[error(transparent)]
    Overflow(#[from] Overflow),
    /// It cannot be written.
    #[error("failed to write the statement")]
    Write(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Whose plan a tenant is billed by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanInForce {
    /// The plan.
    pub plan: Plan,
    /// Whose it is.
    pub of: Account,
}

impl Statement {
    /// The current version of the schema.
    pub const SCHEMA: u32 = 1;

    /// The statement of the usage in `lines` and of `entries` under a plan.
    ///
    /// `version` is 0 for a month that is still open.
    pub fn new(
        tenant_id: TenantId,
        lob_id: LobId,
        plan: PlanInForce,
        lines: UsageLines,
        mut entries: Vec<LedgerEntry>,
        version: u32,
    ) -> Result<Self, StatementError> {
        let span = lines.span().clone();
        let (lines, included) = charge(&plan.plan, lines.finish()?)?;
        entries.sort_by(|a, b| a.id.cmp(&b.id));
        let mut totals = Totals::default();
        for line in &lines {
            totals.add_line(line)?;
        }
        for entry in &entries {
            totals.add_entry(entry)?;
        }
        let mut statement = Self {
            schema: Self::SCHEMA,
            version,
            tenant_id,
            lob_id,
            span,
            plan: plan.plan,
            plan_of: plan.of,
            lines,
            included,
            entries,
            totals,
            digest: String::new(),
        };
        statement.digest = digest(&statement)?;
        Ok(statement)
    }

    /// What usage is charged: what a later recomputation must come to.
    pub fn usage_charge(&self) -> Result<SignedNanoUsd, Overflow> {
        self.totals.charge_nanousd.try_into()
    }

    /// Its document.
    pub fn to_json(&self) -> Result<Vec<u8>, StatementError> {
        to_json(self)
    }
}

impl Totals {
    fn add_line(&mut self, line: &Line) -> Result<(), Overflow> {
        self.sum = self.sum.plus(&line.sum)?;
        self.gross_nanousd = add(self.gross_nanousd, line.gross_nanousd)?;
        self.included_nanousd = add(self.included_nanousd, line.included_nanousd)?;
        self.charge_nanousd = add(self.charge_nanousd, line.charge_nanousd)?;
        self.total_nanousd = self.total_nanousd.plus(line.charge_nanousd.try_into()?)?;
        Ok(())
    }

    pub(crate) fn add_entry(&mut self, entry: &LedgerEntry) -> Result<(), Overflow> {
        let of_kind = match entry.kind {
            EntryKind::Credit => &mut self.credits_nanousd,
            EntryKind::Adjustment => &mut self.adjustments_nanousd,
            EntryKind::Correction => &mut self.corrections_nanousd,
            EntryKind::FlatFee => &mut self.flat_fee_nanousd,
        };
        *of_kind = of_kind.plus(entry.amount_nanousd)?;
        self.total_nanousd = self.total_nanousd.plus(entry.amount_nanousd)?;
        Ok(())
    }

    /// Both together.
    pub fn plus(&self, other: &Self) -> Result<Self, Overflow> {
        Ok(Self {
            sum: self.sum.plus(&other.sum)?,
            gross_nanousd: add(self.gross_nanousd, other.gross_nanousd)?,
            included_nanousd: add(self.included_nanousd, other.included_nanousd)?,
            charge_nanousd: add(self.charge_nanousd, other.charge_nanousd)?,
            flat_fee_nanousd: self.flat_fee_nanousd.plus(other.flat_fee_nanousd)?,
            credits_nanousd: self.credits_nanousd.plus(other.credits_nanousd)?,
            adjustments_nanousd: self.adjustments_nanousd.plus(other.adjustments_nanousd)?,
            corrections_nanousd: self.corrections_nanousd.plus(other.corrections_nanousd)?,
            total_nanousd: self.total_nanousd.plus(other.total_nanousd)?,
        })
    }
}

pub(crate) fn add(a: NanoUsd, b: NanoUsd) -> Result<NanoUsd, Overflow> {
    a.0.checked_add(b.0).map(NanoUsd).ok_or(Overflow)
}

/// The digest of a document that has none yet.
pub(crate) fn digest(document: &impl Serialize) -> Result<String, StatementError> {
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(to_json(document)?) {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

pub(crate) fn to_json(document: &impl Serialize) -> Result<Vec<u8>, StatementError> {
    serde_json::to_vec(document).map_err(|error| StatementError::Write(error.into()))
}

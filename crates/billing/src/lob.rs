//! The statement of a line of business: those of its tenants together.

use std::collections::BTreeMap;

use metering::NanoUsd;
use serde::{Deserialize, Serialize};
use tenancy::{LobId, ModelId, TenantId};

use crate::entry::LedgerEntry;
use crate::line::UsageSum;
use crate::statement::{Statement, StatementError, Totals, add, digest, to_json};
use crate::{Overflow, Span};

/// A month's bill of a line of business. `digest` is made as a [`Statement`]'s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LobStatement {
    /// Version of this schema.
    pub schema: u32,
    /// As a [`Statement`]'s.
    pub version: u32,
    /// Whose bill.
    pub lob_id: LobId,
    /// The month.
    #[serde(flatten)]
    pub span: Span,
    /// Its tenants' statements, in order of ids.
    pub tenants: Vec<TenantSubtotal>,
    /// The same usage by model.
    pub models: Vec<ModelSubtotal>,
    /// What was booked for the line of business itself.
    pub entries: Vec<LedgerEntry>,
    /// What it all comes to.
    pub totals: Totals,
    /// `sha256:` and 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub digest: String,
}

/// What a tenant's statement comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantSubtotal {
    /// Whose.
    pub tenant_id: TenantId,
    /// Of which statement.
    pub digest: String,
    /// What it says.
    #[serde(flatten)]
    pub totals: Totals,
}

/// What a model was used for by all tenants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelSubtotal {
    /// Which.
    pub model: ModelId,
    /// How much.
    #[serde(flatten)]
    pub sum: UsageSum,
    /// What was charged.
    pub charge_nanousd: NanoUsd,
}

/// Adds up statements of tenants as they come.
#[derive(Debug, Clone)]
pub struct LobStatementBuilder {
    lob_id: LobId,
    span: Span,
    tenants: BTreeMap<TenantId, TenantSubtotal>,
    models: BTreeMap<ModelId, (UsageSum, NanoUsd)>,
}

impl LobStatementBuilder {
    /// Nothing yet.
    pub fn new(lob_id: LobId, span: Span) -> Self {
        Self { lob_id, span, tenants: BTreeMap::new(), models: BTreeMap::new() }
    }

    /// Adds a tenant's statement, once however often it is given.
    pub fn add(&mut self, statement: &Statement) -> Result<(), Overflow> {
        let subtotal = TenantSubtotal {
            tenant_id: statement.tenant_id.clone(),
            digest: statement.digest.clone(),
            totals: statement.totals,
        };
        if self.tenants.insert(statement.tenant_id.clone(), subtotal).is_some() {
            return Ok(());
        }
        for line in &statement.lines {
            let (sum, charge) = self.models.entry(line.key.model.clone()).or_default();
            *sum = sum.plus(&line.sum)?;
            *charge = add(*charge, line.charge_nanousd)?;
        }
        Ok(())
    }

    /// The statement, with what was booked for the line of business itself.
    pub fn finish(
        self,
        mut entries: Vec<LedgerEntry>,
        version: u32,
    ) -> Result<LobStatement, StatementError> {
        entries.sort_by(|a, b| a.id.cmp(&b.id));
        let mut totals = Totals::default();
        for tenant in self.tenants.values() {
            totals = totals.plus(&tenant.totals)?;
        }
        for entry in &entries {
            totals.add_entry(entry)?;
        }
        let models = self.models.into_iter().map(|(model, (sum, charge_nanousd))| ModelSubtotal {
            model,
            sum,
            charge_nanousd,
        });
        let mut statement = LobStatement {
            schema: Statement::SCHEMA,
            version,
            lob_id: self.lob_id,
            span: self.span,
            tenants: self.tenants.into_values().collect(),
            models: models.collect(),
            entries,
            totals,
            digest: String::new(),
        };
        statement.digest = digest(&statement)?;
        Ok(statement)
    }
}

impl LobStatement {
    /// Its document.
    pub fn to_json(&self) -> Result<Vec<u8>, StatementError> {
        to_json(self)
    }
}

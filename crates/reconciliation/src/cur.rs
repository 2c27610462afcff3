//! Bills: line items of the Cost and Usage Report 2.0 (AWS Data Exports).
//!
//! Columns: <https://docs.aws.amazon.com/cur/latest/userguide/table-dictionary-cur2.html>. Maps are
//! written as JSON objects in CSV files.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::amount::{Amount, InvalidAmount};
use crate::stream::{Consume, ReadError};

/// One line of a bill, as far as it is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LineItem {
    /// When the usage began (`line_item_usage_start_date`), in an hourly or daily export to the hour or day.
    pub usage_start: Timestamp,
    /// Usage, credit, tax, .. (`line_item_line_item_type`).
    pub kind: LineKind,
    /// The service (`line_item_product_code`).
    pub product_code: String,
    /// The product's name, from the map `product`, where it has one.
    pub product_name: Option<String>,
    /// What was used, in AWS's words (`line_item_usage_type`).
    pub usage_type: String,
    /// What one of `amount` is (`pricing_unit`).
    pub pricing_unit: String,
    /// How much (`line_item_usage_amount`).
    pub amount: Amount,
    /// What it cost, in USD (`line_item_unblended_cost`).
    pub cost: Amount,
    /// The ARN of who called (`line_item_iam_principal`).
    pub principal: Option<String>,
    /// Tags, with a prefix that says of what (`tags`): `iamPrincipal/tenant_id`.
    pub tags: BTreeMap<String, String>,
}

/// What a line is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LineKind {
    /// Something that was used.
    #[default]
    Usage,
    /// Money back: credits, refunds and discounts.
    Credit,
    /// Money that nothing used: taxes, fees, commitments.
    Fee,
    /// A type that was not known when this was written.
    Other,
}

impl LineKind {
    fn of(line_item_type: &str) -> Self {
        match line_item_type {
            "Usage" | "DiscountedUsage" | "SavingsPlanCoveredUsage" => Self::Usage,
            "Credit"
            | "Refund"
            | "Discount"
            | "BundledDiscount"
            | "EdpDiscount"
            | "PrivateRateDiscount"
            | "RiVolumeDiscount"
            | "SavingsPlanNegation" => Self::Credit,
            "Tax" | "Fee" | "RIFee" | "SavingsPlanRecurringFee" | "SavingsPlanUpfrontFee" => {
                Self::Fee
            }
            _ => Self::Other,
        }
    }
}

/// Why a row of a bill cannot be taken. Nothing is guessed: a bill with such a row is not reconciled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// The export lacks a column.
    #[error("the export has no column `{0}`")]
    NoColumn(&'static str),
    /// A row lacks a value.
    #[error("no value for `{0}`")]
    NoValue(&'static str),
    /// Not a number as it should be.
    #[error("`{column}`: {source}")]
    Amount {
        /// Which column.
        column: &'static str,
        /// What is wrong.
        source: InvalidAmount,
    },
    /// Less than nothing was used, or used for less than nothing.
    #[error("`{0}` is negative in a line that is no credit")]
    Negative(&'static str),
    /// Not in dollars.
    #[error("the currency is `{0}`, not USD")]
    Currency(String),
    /// Not a time.
    #[error("`{0}` is not a time")]
    Time(String),
    /// Not a map.
    #[error("`{0}` is not a map of texts")]
    Map(&'static str),
    /// Not CSV.
    #[error("not CSV: {0}")]
    Csv(String),
}

/// Columns without which there is nothing to reconcile. The principal is one: without
/// `INCLUDE_IAM_PRINCIPAL_DATA` every line would be nobody's.
pub(crate) const REQUIRED: [&str; 9] = [
    "line_item_usage_start_date",
    "line_item_line_item_type",
    "line_item_product_code",
    "line_item_usage_type",
    "pricing_unit",
    "line_item_usage_amount",
    "line_item_unblended_cost",
    "line_item_currency_code",
    "line_item_iam_principal",
];

/// The maps, which are looked into where an export has them.
pub(crate) const TAGS: &str = "tags";
pub(crate) const PRODUCT: &str = "product";

impl LineItem {
    /// The line whose columns `value` tells.
    pub fn from_columns<'a>(
        value: impl Fn(&'static str) -> Option<&'a str>,
    ) -> Result<Self, RowError> {
        let text = |column| value(column).ok_or(RowError::NoValue(column));
        let amount = |column| {
            text(column)?.parse::<Amount>().map_err(|source| RowError::Amount { column, source })
        };
        let kind = LineKind::of(text("line_item_line_item_type")?);
        let start = text("line_item_usage_start_date")?;
        let currency = text("line_item_currency_code")?;
        if currency != "USD" {
            return Err(RowError::Currency(currency.chars().take(16).collect()));
        }
        let item = Self {
            usage_start: parse_time(start)?,
            kind,
            product_code: text("line_item_product_code")?.to_owned(),
            product_name: map(PRODUCT, value(PRODUCT))?.remove("product_name"),
            usage_type: text("line_item_usage_type")?.to_owned(),
            pricing_unit: text("pricing_unit")?.to_owned(),
            amount: amount("line_item_usage_amount")?,
            cost: amount("line_item_unblended_cost")?,
            principal: value("line_item_iam_principal")
                .filter(|principal| !principal.is_empty())
                .map(str::to_owned),
            tags: map(TAGS, value(TAGS))?,
        };
        if kind != LineKind::Credit {
            if item.amount < Amount::ZERO {
                return Err(RowError::Negative("line_item_usage_amount"));
            }
            if item.cost < Amount::ZERO {
                return Err(RowError::Negative("line_item_unblended_cost"));
            }
        }
        Ok(item)
    }
}

/// `2026-11-03T14:00:00.000Z`; engines that read Parquet write a space and no zone.
fn parse_time(text: &str) -> Result<Timestamp, RowError> {
    let invalid = || RowError::Time(text.chars().take(64).collect());
    text.parse::<Timestamp>().or_else(|_| {
        let local = text.parse::<jiff::civil::DateTime>().map_err(|_| invalid())?;
        jiff::tz::TimeZone::UTC.to_timestamp(local).map_err(|_| invalid())
    })
}

fn map(column: &'static str, text: Option<&str>) -> Result<BTreeMap<String, String>, RowError> {
    match text {
        None | Some("") => Ok(BTreeMap::new()),
        Some(text) => serde_json::from_str(text).map_err(|_| RowError::Map(column)),
    }
}

/// Reads CSV files of an export, in whatever pieces they come.
pub struct CsvBill<F> {
    /// Which column is where; none before the header.
    columns: Option<BTreeMap<&'static str, usize>>,
    row: u64,
    take: F,
}

impl<F: FnMut(LineItem)> CsvBill<F> {
    /// Gives each line to `take`.
    pub fn new(take: F) -> Self {
        Self { columns: None, row: 0, take }
    }

    fn header(record: &csv::StringRecord) -> Result<BTreeMap<&'static str, usize>, RowError> {
        let position = |column: &str| {
            record.iter().position(|name| name.trim_start_matches('\u{feff}') == column)
        };
        let mut columns = BTreeMap::new();
        for column in REQUIRED {
            columns.insert(column, position(column).ok_or(RowError::NoColumn(column))?);
        }
        for column in [TAGS, PRODUCT] {
            columns.extend(position(column).map(|at| (column, at)));
        }
        Ok(columns)
    }

    fn record(&mut self, record: &csv::StringRecord) -> Result<(), RowError> {
        let Some(columns) = &self.columns else {
            self.columns = Some(Self::header(record)?);
            return Ok(());
        };
        let item = LineItem::from_columns(|column| record.get(*columns.get(column)?))?;
        (self.take)(item);
        Ok(())
    }
}

impl<F: FnMut(LineItem)> Consume for CsvBill<F> {
    const HAS_QUOTES: bool = true;

    fn records(&mut self, bytes: &[u8]) -> Result<(), ReadError> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(bytes);
        for record in reader.records() {
            self.row += 1;
            let outcome = record
                .map_err(|error| RowError::Csv(error.to_string()))
                .and_then(|record| self.record(&record));
            outcome.map_err(|source| ReadError::Row { row: self.row, source })?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), ReadError> {
        match self.columns {
            Some(_) => Ok(()),
            None => Err(ReadError::Empty),
        }
    }
}

#[cfg(test)]
#[path = "cur_tests.rs"]
mod tests;

//! Statements as documents for people and spreadsheets.

mod csv;
mod font;
mod page;
mod pdf;

pub use csv::{lob_csv, statement_csv};
pub use pdf::{lob_pdf, statement_pdf};

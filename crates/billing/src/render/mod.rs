//! Statements as documents for people and spreadsheets.

mod csv;
mod font;
mod page;
mod pdf;

use crate::{LobStatement, Statement, StatementError};

pub use csv::{lob_csv, statement_csv};
pub use pdf::{lob_pdf, statement_pdf};

/// A form of a statement.
#[derive(Debug)]
pub struct Rendered {
    /// What its key ends with, without the dot.
    pub extension: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// The document.
    pub bytes: Result<Vec<u8>, StatementError>,
}

impl Rendered {
    fn json(bytes: Result<Vec<u8>, StatementError>) -> Self {
        Self { extension: "json", content_type: "application/json", bytes }
    }

    fn csv(bytes: Result<Vec<u8>, StatementError>) -> Self {
        Self { extension: "csv", content_type: "text/csv", bytes }
    }

    fn pdf(bytes: Vec<u8>) -> Self {
        Self { extension: "pdf", content_type: "application/pdf", bytes: Ok(bytes) }
    }
}

impl Statement {
    /// What is made of its JSON for people and spreadsheets.
    pub fn copies(&self) -> Vec<Rendered> {
        vec![Rendered::csv(statement_csv(self)), Rendered::pdf(statement_pdf(self))]
    }

    /// All its forms.
    pub fn forms(&self) -> Vec<Rendered> {
        std::iter::once(Rendered::json(self.to_json())).chain(self.copies()).collect()
    }
}

impl LobStatement {
    /// All its forms.
    pub fn forms(&self) -> Vec<Rendered> {
        let (json, csv) = (self.to_json(), lob_csv(self));
        vec![Rendered::json(json), Rendered::csv(csv), Rendered::pdf(lob_pdf(self))]
    }
}

//! `cargo xtask import-prices`: a price book from AWS's own price files.
//!
//! Nothing of a file is trusted, and nothing of it is passed over in silence: a row becomes a price, or it
//! stands in the report with the reason. What of the files' shape is not verified against AWS is said in
//! `docs/prices.md`.

mod book;
mod import;
mod offer;
mod usd;
mod vocabulary;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use metering::PriceBook;
use serde::de::DeserializeOwned;

use self::book::{Draft, Registered};
use self::import::Import;
use self::offer::Offer;
use self::vocabulary::Vocabulary;
use crate::cli;
use crate::failure::{Failure, Result};
use crate::layout::Layout;

/// The offers that have prices of models in them.
const OFFERS: [&str; 2] = ["AmazonBedrock", "AmazonBedrockFoundationModels"];

/// What fits into an item of DynamoDB, with room for its keys and for how it writes numbers.
const LARGEST_BOOK: usize = 300_000;

/// Writes a price book, and says what became of the rest.
pub(crate) fn run(layout: &Layout, options: &cli::ImportPrices) -> Result<()> {
    let vocabulary = Vocabulary::built_in()
        .map_err(|error| Failure::new(format!("the vocabulary is broken: {error}")))?;
    let mut import = Import::default();
    for path in &options.offers {
        let offer: Offer = read(path)?;
        if !OFFERS.contains(&offer.code.as_str()) {
            let code = &offer.code;
            return Err(Failure::new(format!(
                "{} is offer `{code}`, not Bedrock's",
                path.display()
            )));
        }
        eprintln!("{}: {} of {}", path.display(), offer.code, offer.version);
        import.add(&offer, &vocabulary, &options.regions);
    }
    let models =
        options.models.clone().unwrap_or_else(|| layout.root().join("infra/seed/models.json"));
    let registered: Vec<Registered> = read(&models)?;
    let base: Option<PriceBook> = options.base.as_deref().map(read).transpose()?;
    let validity = (options.version.clone(), options.valid_from.as_second());
    let draft = book::draft(&import, &vocabulary, &registered, base.as_ref(), validity)
        .map_err(|error| Failure::new(error.to_string()))?;
    let written = serde_json::to_string_pretty(&draft.book)
        .map_err(|error| Failure::new(format!("could not write the book: {error}")))?;
    let size = serde_json::to_string(&draft.book).map_or(written.len(), |short| short.len());
    if size > LARGEST_BOOK {
        return Err(Failure::new(format!(
            "the book would have {size} bytes, more than a table's item holds: name the Regions that you call with --region"
        )));
    }
    fs::write(&options.out, written + "\n").map_err(Failure::at("write", &options.out))?;
    let report = report(&import, &draft);
    if let Some(path) = &options.report {
        return fs::write(path, report).map_err(Failure::at("write", path));
    }
    eprint!("{report}");
    Ok(())
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let file = File::open(path).map_err(Failure::at("read", path))?;
    serde_json::from_reader(BufReader::new(file))
        .map_err(|error| Failure::new(format!("{} cannot be used: {error}", path.display())))
}

/// What became of every row and every model. What somebody should look at comes last.
fn report(import: &Import, draft: &Draft) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let mut line = |args: std::fmt::Arguments<'_>| {
        let _ = writeln!(text, "{args}");
    };
    let (expected, unexpected): (Vec<_>, Vec<_>) =
        import.left_out.iter().partition(|row| row.reason.is_expected());
    line(format_args!(
        "{} rows became prices; {} are of other Regions, {} are not priced by use, {} are not understood",
        import.rows,
        import.other_regions,
        expected.len(),
        unexpected.len()
    ));
    let named = |ids: &[tenancy::ModelId]| {
        ids.iter().map(tenancy::ModelId::as_str).collect::<Vec<_>>().join(", ")
    };
    line(format_args!("models with these prices: {}", named(&draft.imported)));
    line(format_args!("models that keep their prices: {}", named(&draft.kept)));
    line(format_args!("models without a price: {}", named(&draft.unpriced)));
    let mut by_reason: BTreeMap<String, usize> = BTreeMap::new();
    for row in &expected {
        *by_reason.entry(row.reason.to_string()).or_default() += 1;
    }
    for (reason, count) in by_reason {
        line(format_args!("{count} rows: {reason}"));
    }
    for row in unexpected {
        // Escaped: a file must not write to the terminal what it likes.
        line(format_args!(
            "not understood: {} {}: {}",
            row.sku.escape_debug(),
            row.usage_type.escape_debug(),
            row.reason.to_string().escape_debug()
        ));
    }
    for fault in &draft.faults {
        line(format_args!("left out: {fault}"));
    }
    text
}

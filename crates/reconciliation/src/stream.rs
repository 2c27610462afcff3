//! Compressed files in pieces, as they come from a bucket: what is kept is one piece and one record.

use std::io::Write;

use flate2::write::MultiGzDecoder;

use crate::cur::RowError;

/// The longest record taken. A row of a bill has some 5 KB; a logged invocation without its bodies has one.
const MAX_RECORD_BYTES: usize = 16 * 1024 * 1024;

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A row of a bill is not as it should be.
    #[error("row {row}: {source}")]
    Row {
        /// Which, the header being the first.
        row: u64,
        /// What is wrong.
        source: RowError,
    },
    /// A line of a log is not as it should be.
    #[error("line {line}: {source}")]
    Line {
        /// Which, from 1.
        line: u64,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// Not Parquet.
    #[error("not Parquet: {0}")]
    Parquet(parquet::errors::ParquetError),
    /// A record has no end, or a file that is read whole is too large for it.
    #[error("too long to be read at once")]
    TooLong,
    /// There is not even a header.
    #[error("the file is empty")]
    Empty,
    /// The file is cut or is not what its name says.
    #[error("failed to decompress: {0}")]
    Gzip(std::io::Error),
}

/// What takes whole records.
pub trait Consume {
    /// Whether a newline between double quotes ends no record.
    const HAS_QUOTES: bool;

    /// Takes one or more whole records.
    fn records(&mut self, bytes: &[u8]) -> Result<(), ReadError>;

    /// Nothing follows.
    fn end(&mut self) -> Result<(), ReadError>;
}

/// Decompresses a file of records in pieces of any size.
pub struct Gunzip<C: Consume> {
    decoder: MultiGzDecoder<Records<C>>,
}

impl<C: Consume> Gunzip<C> {
    /// Gives the file's records to `consumer`.
    pub fn new(consumer: C) -> Self {
        Self { decoder: MultiGzDecoder::new(Records::new(consumer)) }
    }

    /// The next piece of the file.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), ReadError> {
        let outcome = self.decoder.write_all(piece);
        self.outcome(outcome)
    }

    /// The file is over. An error if it was cut.
    pub fn end(mut self) -> Result<C, ReadError> {
        let outcome = self.decoder.try_finish();
        self.outcome(outcome)?;
        self.decoder.get_mut().end()?;
        self.decoder.finish().map(|records| records.consumer).map_err(ReadError::Gzip)
    }

    /// What went wrong: with the records if anything did, else with the compression.
    fn outcome(&mut self, outcome: std::io::Result<()>) -> Result<(), ReadError> {
        match (self.decoder.get_mut().failure.take(), outcome) {
            (Some(failure), _) => Err(failure),
            (None, Err(error)) => Err(ReadError::Gzip(error)),
            (None, Ok(())) => Ok(()),
        }
    }
}

/// Cuts bytes into whole records.
struct Records<C> {
    consumer: C,
    rest: Vec<u8>,
    /// Bytes of `rest` that were looked at.
    seen: usize,
    is_quoted: bool,
    failure: Option<ReadError>,
}

impl<C: Consume> Records<C> {
    fn new(consumer: C) -> Self {
        Self { consumer, rest: Vec::new(), seen: 0, is_quoted: false, failure: None }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), ReadError> {
        self.rest.extend_from_slice(bytes);
        let mut whole = 0;
        for (at, byte) in self.rest.iter().enumerate().skip(self.seen) {
            match byte {
                // A quote inside quotes is written as two, which change nothing together.
                b'"' if C::HAS_QUOTES => self.is_quoted = !self.is_quoted,
                b'\n' if !self.is_quoted => whole = at + 1,
                _ => {}
            }
        }
        self.seen = self.rest.len() - whole;
        if whole > 0 {
            self.consumer.records(self.rest.get(..whole).unwrap_or_default())?;
            self.rest.drain(..whole);
        }
        if self.rest.len() > MAX_RECORD_BYTES { Err(ReadError::TooLong) } else { Ok(()) }
    }

    fn end(&mut self) -> Result<(), ReadError> {
        if !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            self.consumer.records(&rest)?;
        }
        self.consumer.end()
    }
}

impl<C: Consume> Write for Records<C> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.take(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(failure) => {
                let error = std::io::Error::other(failure.to_string());
                self.failure = Some(failure);
                Err(error)
            }
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

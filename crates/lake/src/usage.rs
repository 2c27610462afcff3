//! Usage records as Parquet (<https://parquet.apache.org/docs/file-format/>), and back.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use metering::UsageRecord;
use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::record::{Field, Row};
use parquet::schema::parser::parse_message_type;
use serde_json::{Map, Value};

use crate::columns::{COLUMNS, Column, Kind};

/// Records in memory before they are written: what bounds the writer's use of it.
const ROW_GROUP: usize = 20_000;

/// A file that cannot be written or read, or a record that is none.
#[derive(Debug, thiserror::Error)]
pub enum UsageFileError {
    /// Not as Parquet.
    #[error("not a file of usage records")]
    Parquet(#[from] ParquetError),
    /// Not as a record.
    #[error("not a usage record")]
    Record(#[from] serde_json::Error),
}

/// Writes a file of usage records, piece by piece.
pub struct UsageWriter {
    file: SerializedFileWriter<Vec<u8>>,
    columns: Vec<Cells>,
    rows: usize,
}

impl std::fmt::Debug for UsageWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UsageWriter").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl UsageWriter {
    /// An empty file.
    pub fn new() -> Result<Self, UsageFileError> {
        let columns = COLUMNS.map(|column| column.kind.declaration(column.name));
        let schema = parse_message_type(&format!("message usage {{ {} }}", columns.concat()))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by("weir".to_owned())
            .build();
        let file = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
        Ok(Self { file, columns: COLUMNS.map(Cells::new).into(), rows: 0 })
    }

    /// Adds a record.
    pub fn push(&mut self, record: &UsageRecord) -> Result<(), UsageFileError> {
        let record = serde_json::to_value(record)?;
        for cells in &mut self.columns {
            cells.push(at(&record, cells.column.field));
        }
        self.rows += 1;
        if self.rows >= ROW_GROUP {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), UsageFileError> {
        if self.rows > 0 {
            let mut group = self.file.next_row_group()?;
            for cells in &mut self.columns {
                std::mem::replace(cells, Cells::new(cells.column)).write(&mut group)?;
            }
            group.close()?;
            self.rows = 0;
        }
        Ok(())
    }

    /// The file.
    pub fn finish(mut self) -> Result<Bytes, UsageFileError> {
        self.flush()?;
        Ok(self.file.into_inner()?.into())
    }
}

fn at<'a>(record: &'a Value, field: &str) -> Option<&'a Value> {
    field.split('.').try_fold(record, |value, name| value.get(name)).filter(|it| !it.is_null())
}

/// The values of one column that are yet to be written.
struct Cells {
    column: Column,
    texts: Vec<ByteArray>,
    /// The texts' names, in a map.
    names: Vec<ByteArray>,
    numbers: Vec<i64>,
    flags: Vec<bool>,
    /// Parquet's definition levels: 1 where there is a value, 0 where there is none.
    defined: Vec<i16>,
    /// Parquet's repetition levels: 1 where a value is of the same record as the one before.
    repeated: Vec<i16>,
}

impl Cells {
    fn new(column: Column) -> Self {
        let (texts, names, numbers) = (Vec::new(), Vec::new(), Vec::new());
        Self { column, texts, names, numbers, flags: vec![], defined: vec![], repeated: vec![] }
    }

    fn push(&mut self, value: Option<&Value>) {
        match self.column.kind {
            Kind::Text => self.texts.push(text(value)),
            Kind::Number | Kind::Moment => self.numbers.push(number(value)),
            Kind::Flag => self.flags.push(value.and_then(Value::as_bool).unwrap_or_default()),
            Kind::OptionalText => {
                self.defined.push(value.is_some().into());
                self.texts.extend(value.map(|value| text(Some(value))));
            }
            Kind::OptionalNumber => {
                self.defined.push(value.is_some().into());
                self.numbers.extend(value.map(|value| number(Some(value))));
            }
            Kind::Map => {
                let entries = value.and_then(Value::as_object);
                for (name, value) in entries.into_iter().flatten() {
                    self.names.push(name.as_str().into());
                    self.texts.push(text(Some(value)));
                }
                self.repeat(entries.map_or(0, Map::len));
            }
            Kind::List => {
                let elements = value.and_then(Value::as_array);
                let texts = elements.into_iter().flatten().map(|element| text(Some(element)));
                self.texts.extend(texts);
                self.repeat(elements.map_or(0, Vec::len));
            }
        }
    }

    /// The levels of a record with so many values.
    fn repeat(&mut self, values: usize) {
        self.defined.extend(std::iter::repeat_n(1, values));
        self.repeated.extend((0..values).map(|number| i16::from(number > 0)));
        if values == 0 {
            self.defined.push(0);
            self.repeated.push(0);
        }
    }

    fn write(
        self,
        group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    ) -> Result<(), UsageFileError> {
        let levels = |levels: Vec<i16>| Some(levels).filter(|levels| !levels.is_empty());
        let (defined, repeated) = (levels(self.defined), levels(self.repeated));
        let (defined, repeated) = (defined.as_deref(), repeated.as_deref());
        let mut texts = |values: &[ByteArray]| -> Result<(), UsageFileError> {
            let Some(mut writer) = group.next_column()? else { return Ok(()) };
            writer.typed::<ByteArrayType>().write_batch(values, defined, repeated)?;
            Ok(writer.close()?)
        };
        match self.column.kind {
            Kind::Text | Kind::OptionalText | Kind::List => texts(&self.texts)?,
            Kind::Map => {
                texts(&self.names)?;
                texts(&self.texts)?;
            }
            Kind::Number | Kind::OptionalNumber | Kind::Moment => {
                let Some(mut writer) = group.next_column()? else { return Ok(()) };
                writer.typed::<Int64Type>().write_batch(&self.numbers, defined, repeated)?;
                writer.close()?;
            }
            Kind::Flag => {
                let Some(mut writer) = group.next_column()? else { return Ok(()) };
                writer.typed::<BoolType>().write_batch(&self.flags, defined, repeated)?;
                writer.close()?;
            }
        }
        Ok(())
    }
}

fn text(value: Option<&Value>) -> ByteArray {
    value.and_then(Value::as_str).unwrap_or_default().into()
}

fn number(value: Option<&Value>) -> i64 {
    let Some(value) = value else { return 0 };
    // What is no `i64` is a `u64` above it.
    value.as_i64().unwrap_or(i64::MAX)
}

/// The records of a file, in its order.
pub fn read_usage(file: Bytes) -> Result<Vec<UsageRecord>, UsageFileError> {
    let file = SerializedFileReader::new(file)?;
    file.get_row_iter(None)?.map(|row| record(&row?)).collect()
}

fn record(row: &Row) -> Result<UsageRecord, UsageFileError> {
    let fields: BTreeMap<&str, &Field> =
        row.get_column_iter().map(|(name, field)| (name.as_str(), field)).collect();
    let (mut record, mut usage) = (Map::new(), Map::new());
    for column in COLUMNS {
        // A column that the writer of the file did not know.
        let Some(field) = fields.get(column.name) else { continue };
        let value = json(field);
        match column.field.split_once('.') {
            Some((_, name)) => usage.insert(name.to_owned(), value),
            None => record.insert(column.field.to_owned(), value),
        };
    }
    record.insert("usage".to_owned(), usage.into());
    Ok(serde_json::from_value(record.into())?)
}

fn json(field: &Field) -> Value {
    match field {
        Field::Str(text) => text.as_str().into(),
        Field::Long(number) | Field::TimestampMillis(number) => (*number).into(),
        Field::Bool(flag) => (*flag).into(),
        Field::ListInternal(list) => list.elements().iter().map(json).collect(),
        Field::MapInternal(map) => {
            let entries = map.entries().iter();
            let entry = |(name, value): &(Field, Field)| match name {
                Field::Str(name) => Some((name.clone(), json(value))),
                _ => None,
            };
            Value::Object(entries.filter_map(entry).collect())
        }
        _ => Value::Null,
    }
}

#[cfg(test)]
#[path = "usage_tests.rs"]
mod tests;

//! The columns of the lake's table of usage records: one for each field.

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// Text, or nothing.
    OptionalText,
    /// A whole number. One of 2^63 or more, which nothing real reaches, is written as 2^63 - 1.
    Number,
    /// A whole number, or nothing.
    OptionalNumber,
    /// Yes or no.
    Flag,
    /// A moment, to the millisecond.
    Moment,
    /// Names with a text each.
    Map,
    /// Texts in an order.
    List,
}

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Where its values stand in a record as JSON, for example `usage.input`.
    pub field: &'static str,
    /// What it holds.
    pub kind: Kind,
}

const fn column(name: &'static str, field: &'static str, kind: Kind) -> Column {
    Column { name, field, kind }
}

const fn same(name: &'static str, kind: Kind) -> Column {
    column(name, name, kind)
}

/// Every column, in the order of the file.
pub const COLUMNS: [Column; 45] = [
    column("schema_version", "schema", Kind::Number),
    same("call_id", Kind::Text),
    same("attempt", Kind::Number),
    column("started_at", "started_ms", Kind::Moment),
    same("tenant_id", Kind::Text),
    same("lob_id", Kind::Text),
    same("project_id", Kind::OptionalText),
    same("principal_id", Kind::Text),
    same("principal_kind", Kind::Text),
    same("priority_class", Kind::Text),
    same("tags", Kind::Map),
    same("dialect", Kind::Text),
    same("requested_model", Kind::Text),
    same("route", Kind::OptionalText),
    same("model", Kind::Text),
    same("provider_model_id", Kind::Text),
    same("provider", Kind::Text),
    same("region", Kind::Text),
    same("profile_scope", Kind::Text),
    same("service_tier", Kind::Text),
    same("provider_request_id", Kind::OptionalText),
    same("is_streamed", Kind::Flag),
    same("is_cache_hit", Kind::Flag),
    column("input_tokens", "usage.input", Kind::Number),
    column("output_tokens", "usage.output", Kind::Number),
    column("input_audio_tokens", "usage.input_audio", Kind::Number),
    column("output_audio_tokens", "usage.output_audio", Kind::Number),
    column("cache_read_tokens", "usage.cache_read", Kind::Number),
    column("cache_write_5m_tokens", "usage.cache_write_5m", Kind::Number),
    column("cache_write_1h_tokens", "usage.cache_write_1h", Kind::Number),
    column("images", "usage.images", Kind::Number),
    column("search_units", "usage.search_units", Kind::Number),
    column("guardrail_units", "usage.guardrail_units", Kind::Number),
    same("is_estimated", Kind::Flag),
    same("price_version", Kind::Text),
    same("is_priced", Kind::Flag),
    same("cost_nanousd", Kind::Number),
    same("uncached_cost_nanousd", Kind::Number),
    same("reserved_nanousd", Kind::Number),
    same("outcome", Kind::Text),
    same("latency_ms", Kind::Number),
    same("time_to_first_token_ms", Kind::OptionalNumber),
    same("gateway_ms", Kind::Number),
    same("meters", Kind::List),
    same("shadow_of", Kind::OptionalText),
];

impl Kind {
    /// Its name in Athena and Glue.
    pub fn glue_type(self) -> &'static str {
        match self {
            Self::Text | Self::OptionalText => "string",
            Self::Number | Self::OptionalNumber => "bigint",
            Self::Flag => "boolean",
            Self::Moment => "timestamp",
            Self::Map => "map<string,string>",
            Self::List => "array<string>",
        }
    }

    /// The column of that name in a Parquet schema.
    pub(crate) fn declaration(self, name: &str) -> String {
        match self {
            Self::Text => format!("required binary {name} (STRING);"),
            Self::OptionalText => format!("optional binary {name} (STRING);"),
            Self::Number => format!("required int64 {name};"),
            Self::OptionalNumber => format!("optional int64 {name};"),
            Self::Flag => format!("required boolean {name};"),
            Self::Moment => format!("required int64 {name} (TIMESTAMP(MILLIS,true));"),
            Self::Map => format!(
                "required group {name} (MAP) {{ repeated group key_value {{ \
                 required binary key (STRING); required binary value (STRING); }} }}"
            ),
            Self::List => format!(
                "required group {name} (LIST) {{ repeated group list {{ \
                 required binary element (STRING); }} }}"
            ),
        }
    }
}

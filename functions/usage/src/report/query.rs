//! What of usage is asked for.

use std::collections::BTreeMap;

use admission::{Calendar, Minute, Period};
use http::header;
use http_api::{ApiError, Ask, invalid};
use jiff::{SignedDuration, Timestamp};
use metering::ServiceTier;

use super::midnight;

/// Rows of one page of JSON, and of CSV.
const MAX_ROWS: usize = 1_000;
const MAX_CSV_ROWS: usize = 10_000;

/// Values of one filter at most.
const MAX_VALUES: usize = 50;

/// The longest time that can be asked about by hours, and at all.
const MAX_HOURS: SignedDuration = SignedDuration::from_hours(24 * 31);
const MAX_TIME: SignedDuration = SignedDuration::from_hours(24 * 1_100);

/// Whose usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Own,
    Tenant,
    Lob,
    Org,
}

/// What usage can be filtered and grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dimension {
    Hour,
    Day,
    Month,
    Lob,
    Tenant,
    Project,
    Principal,
    Model,
    Provider,
    Region,
    ServiceTier,
}

impl Dimension {
    const ALL: [Self; 11] = [
        Self::Hour,
        Self::Day,
        Self::Month,
        Self::Lob,
        Self::Tenant,
        Self::Project,
        Self::Principal,
        Self::Model,
        Self::Provider,
        Self::Region,
        Self::ServiceTier,
    ];

    /// The name in queries and rows.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Lob => "lob",
            Self::Tenant => "tenant",
            Self::Project => "project",
            Self::Principal => "principal",
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Region => "region",
            Self::ServiceTier => "service_tier",
        }
    }

    /// Of a length of time, that length.
    pub(super) fn period(self) -> Option<Period> {
        match self {
            Self::Hour => Some(Period::Hour),
            Self::Day => Some(Period::Day),
            Self::Month => Some(Period::Month),
            _ => None,
        }
    }
}

/// A query.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) view: View,
    /// In the order of rows: time first.
    pub(super) group_by: Vec<Dimension>,
    filters: BTreeMap<Dimension, Vec<String>>,
    pub(super) limit: usize,
    pub(super) is_csv: bool,
    pub(super) cursor: Option<String>,
    /// All of it but the page, in one way to write it.
    pub(super) text: String,
}

impl Query {
    /// The values that are wanted of a dimension; all if none are named.
    pub(super) fn filter(&self, dimension: Dimension) -> Option<&[String]> {
        self.filters.get(&dimension).map(Vec::as_slice)
    }

    /// The query of a request at `now`.
    pub(super) fn read(
        ask: &Ask<'_>,
        calendar: &Calendar,
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        let mut known =
            vec!["from", "to", "scope", "granularity", "group_by", "limit", "cursor", "format"];
        let filterable = || Dimension::ALL.into_iter().filter(|it| it.period().is_none());
        known.extend(filterable().map(Dimension::as_str));
        ask.only(&known)?;

        let this_minute = Minute::of(now.as_millisecond());
        let month = calendar.start_of(this_minute, Period::Month).start_ms();
        let month = Timestamp::from_millisecond(month).unwrap_or(now);
        let from = moment(ask, "from", calendar)?.unwrap_or(month);
        let to = moment(ask, "to", calendar)?.unwrap_or(now);
        let group_by = group_by(ask)?;
        check_time(from, to, &group_by)?;
        let is_csv = is_csv(ask)?;
        let (max, usual) = if is_csv { (MAX_CSV_ROWS, MAX_CSV_ROWS) } else { (MAX_ROWS, 100) };
        let mut filters = BTreeMap::new();
        for dimension in filterable() {
            if let Some(values) = values(ask, dimension)? {
                filters.insert(dimension, values);
            }
        }
        let view = match ask.get("scope") {
            None | Some("own") => View::Own,
            Some("tenant") => View::Tenant,
            Some("lob") => View::Lob,
            Some("org") => View::Org,
            Some(_) => return Err(invalid("scope", "This is `own`, `tenant`, `lob` or `org`.")),
        };
        // A page without `from` or `to` must stay the same as time goes on.
        let said = |name| ask.get(name).unwrap_or_default();
        let text = format!("{}|{}|{view:?}|{group_by:?}|{filters:?}", said("from"), said("to"));
        Ok(Self {
            from,
            to,
            view,
            group_by,
            filters,
            limit: ask.number("limit", 1, max, usual)?,
            is_csv,
            cursor: ask.get("cursor").map(ToOwned::to_owned),
            text,
        })
    }
}

/// A moment in RFC 3339, or the beginning of a day.
fn moment(ask: &Ask<'_>, name: &str, calendar: &Calendar) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = ask.get(name) else { return Ok(None) };
    let date = || midnight(calendar, text.parse().ok().filter(|_| text.len() == 10)?);
    text.parse().ok().or_else(date).map(Some).ok_or_else(|| {
        invalid(name, "This is a moment in RFC 3339, such as 2026-11-25T00:00:00Z, or a date, such as 2026-11-25.")
    })
}

fn check_time(from: Timestamp, to: Timestamp, group_by: &[Dimension]) -> Result<(), ApiError> {
    if from >= to {
        return Err(invalid("to", "The time that is asked about ends after it begins."));
    }
    let time = to.duration_since(from);
    if time > MAX_TIME {
        return Err(invalid("from", "Three years at most in one answer."));
    }
    if time > MAX_HOURS && group_by.contains(&Dimension::Hour) {
        return Err(invalid("from", "31 days at most by hours. Ask by days, or in parts."));
    }
    Ok(())
}

fn group_by(ask: &Ask<'_>) -> Result<Vec<Dimension>, ApiError> {
    let mut group_by = Vec::new();
    let granularity = ask.get("granularity");
    if !matches!(granularity, None | Some("hour" | "day" | "month")) {
        return Err(invalid("granularity", "This is `hour`, `day` or `month`."));
    }
    let names = ask.get("group_by").unwrap_or_default().split(',').filter(|name| !name.is_empty());
    for name in names.chain(granularity) {
        let Some(dimension) = Dimension::ALL.into_iter().find(|it| it.as_str() == name) else {
            let all: Vec<_> = Dimension::ALL.into_iter().map(Dimension::as_str).collect();
            return Err(invalid(
                "group_by",
                format!("These are names of {}, joined by commas.", all.join(", ")),
            ));
        };
        group_by.push(dimension);
    }
    group_by.sort();
    group_by.dedup();
    Ok(group_by)
}

fn values(ask: &Ask<'_>, dimension: Dimension) -> Result<Option<Vec<String>>, ApiError> {
    let name = dimension.as_str();
    let Some(text) = ask.get(name) else { return Ok(None) };
    let mut values: Vec<String> = text.split(',').map(ToOwned::to_owned).collect();
    if values.len() > MAX_VALUES || values.iter().any(|it| it.is_empty() || it.len() > 256) {
        return Err(invalid(name, format!("These are 1 to {MAX_VALUES} names, joined by commas.")));
    }
    if dimension == Dimension::ServiceTier
        && let Some(wrong) = values.iter().find(|it| ServiceTier::of(it).is_none())
    {
        let shown: String = wrong.chars().take(64).collect();
        return Err(invalid(name, format!("`{shown}` is none of default, priority, flex, batch.")));
    }
    values.sort();
    values.dedup();
    Ok(Some(values))
}

fn is_csv(ask: &Ask<'_>) -> Result<bool, ApiError> {
    match ask.get("format") {
        Some("csv") => Ok(true),
        Some("json") => Ok(false),
        Some(_) => Err(invalid("format", "This is `json` or `csv`.")),
        None => {
            let accept = ask.header(&header::ACCEPT);
            Ok(accept.is_some_and(|accept| accept.trim_start().starts_with("text/csv")))
        }
    }
}

//! What the query of a request asks for.

use audit::{ChainId, Decision, Filter};
use http_api::{ApiError, Ask, invalid};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tenancy::PrincipalId;

/// What the parameters of a request mean.
#[derive(Debug)]
pub(crate) struct Query<'a>(pub(crate) &'a Ask<'a>);

impl Query<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)
    }

    /// The chain that is asked for, if one is.
    pub(crate) fn chain(&self) -> Result<Option<ChainId>, ApiError> {
        let Some(text) = self.get("chain") else { return Ok(None) };
        let chain = text.parse();
        let refuse = |_| invalid("chain", "This is `org`, `lob=<id>` or `tenant=<id>`.");
        chain.map(Some).map_err(refuse)
    }

    /// Which records are asked for.
    pub(crate) fn filter(&self) -> Result<Filter, ApiError> {
        let (from, to) = (self.moment("from")?, self.moment("to")?);
        if let (Some(from), Some(to)) = (&from, &to)
            && from >= to
        {
            return Err(invalid("to", "This is before `from`, or the same: nothing is between."));
        }
        Ok(Filter {
            from,
            to,
            actor: self.actor()?,
            action: self.action()?,
            decision: self.decision()?,
        })
    }

    /// Before which record the page begins.
    pub(crate) fn cursor(&self) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.get("cursor") else { return Ok(None) };
        let refuse = || invalid("cursor", "This is `next_cursor` of the page before.");
        plain(text).filter(|number| *number > 0).map(Some).ok_or_else(refuse)
    }

    /// A moment as records write it.
    fn moment(&self, name: &str) -> Result<Option<String>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let of_day = || -> Option<Timestamp> {
            let day: Date = text.parse().ok().filter(|_| text.len() == "2026-11-23".len())?;
            TimeZone::UTC.to_timestamp(day.into()).ok()
        };
        let moment = text.parse().ok().or_else(of_day);
        // Records are of years with four digits, and compared as texts.
        let moment = moment.map(|it: Timestamp| format!("{it:.3}"));
        let moment = moment.filter(|it| it.len() == "2026-11-23T12:00:00.000Z".len());
        let refuse = || {
            let message = "This is a moment such as `2026-11-23T12:00:00Z`, or a day such as `2026-11-23` (UTC).";
            invalid(name, message)
        };
        moment.map(Some).ok_or_else(refuse)
    }

    fn actor(&self) -> Result<Option<String>, ApiError> {
        let Some(text) = self.get("actor") else { return Ok(None) };
        let refuse = |_| invalid("actor", "This is the id of a principal, as records have it.");
        PrincipalId::try_from(text.to_owned()).map(|it| Some(it.to_string())).map_err(refuse)
    }

    fn action(&self) -> Result<Option<String>, ApiError> {
        let Some(text) = self.get("action") else { return Ok(None) };
        let is_part = |byte: u8| byte.is_ascii_lowercase() || byte == b'_' || byte == b'.';
        if (1..=64).contains(&text.len()) && text.bytes().all(is_part) {
            return Ok(Some(text.to_owned()));
        }
        let message = "This is an action such as `limits.set`, or how some begin, such as `limits.`, with the point.";
        Err(invalid("action", message))
    }

    fn decision(&self) -> Result<Option<Decision>, ApiError> {
        match self.get("decision") {
            None => Ok(None),
            Some("allow") => Ok(Some(Decision::Allow)),
            Some("deny") => Ok(Some(Decision::Deny)),
            Some("unknown") => Ok(Some(Decision::Unknown)),
            Some(_) => Err(invalid("decision", "This is `allow`, `deny` or `unknown`.")),
        }
    }
}

/// A number that is written with digits only.
fn plain(text: &str) -> Option<u64> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

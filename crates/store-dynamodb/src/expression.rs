//! The decisions of [`admission::Meter`] as conditional updates of one item.

use std::collections::HashMap;

use admission::{LimitedScope, Minute, Reservation, Roll};
use aws_sdk_dynamodb::types::AttributeValue;
use metering::RecordId;

/// A conditional update under construction.
#[derive(Debug, Default)]
pub(crate) struct Update {
    sets: Vec<String>,
    removes: Vec<String>,
    conditions: Vec<String>,
    /// `ExpressionAttributeNames`
    pub(crate) names: HashMap<String, String>,
    /// `ExpressionAttributeValues`
    pub(crate) values: HashMap<String, AttributeValue>,
}

impl Update {
    pub(crate) fn expression(&self) -> String {
        let mut expression = String::new();
        if !self.sets.is_empty() {
            expression.push_str("SET ");
            expression.push_str(&self.sets.join(", "));
        }
        if !self.removes.is_empty() {
            expression.push_str(" REMOVE ");
            expression.push_str(&self.removes.join(", "));
        }
        expression
    }

    pub(crate) fn condition(&self) -> String {
        self.conditions.join(" AND ")
    }

    fn value(&mut self, name: &str, value: AttributeValue) {
        self.values.insert(format!(":{name}"), value);
    }

    fn number(&mut self, name: &str, value: impl Into<i128>) {
        self.value(name, AttributeValue::N(value.into().to_string()));
    }

    fn name(&mut self, name: &str) {
        self.names.insert(format!("#{name}"), name.to_owned());
    }

    /// `SET counter = :start` in a new window, else `SET counter = counter + :by`.
    fn count(&mut self, counter: &str, value: &str, is_new: bool) {
        self.name(counter);
        self.sets.push(if is_new {
            format!("#{counter} = :{value}")
        } else {
            format!("#{counter} = #{counter} + :{value}")
        });
    }

    /// The counter may grow by `requested` without passing `allowed`. Conditions know no sums, so
    /// the room is computed here; it is negative, and never met, if the request alone is too much.
    /// What takes nothing always fits.
    fn room(&mut self, counter: &str, allowed: Option<u64>, requested: u64) {
        let Some(allowed) = allowed.filter(|_| requested > 0) else { return };
        self.conditions.push(format!("#{counter} <= :{counter}_room"));
        self.number(&format!("{counter}_room"), i128::from(allowed) - i128::from(requested));
    }

    fn open(&mut self, id: &RecordId) {
        self.name("open");
        self.names.insert("#call".to_owned(), id.open_key());
    }

    /// Takes `reservation`, if `roll` is what its minute does to the meter's windows.
    pub(crate) fn reserve(
        scope: &LimitedScope,
        id: &RecordId,
        reservation: &Reservation,
        entry: AttributeValue,
        roll: Roll,
    ) -> Self {
        let mut update = Self::default();
        update.open(id);
        update.name("status");
        update.name("entitlement_version");
        update.name("minute");
        update.value("active", AttributeValue::S("active".to_owned()));
        update.number("version", scope.entitlement_version);
        update.value("entry", entry);
        update.number("tokens", reservation.tokens);
        update.number("amount", reservation.amount_nanousd.0);
        update.number("requests", reservation.requests);
        update.number("minute", reservation.minute.0);
        update.conditions = [
            "attribute_not_exists(#open.#call)",
            "#status = :active",
            "#entitlement_version = :version",
        ]
        .map(str::to_owned)
        .to_vec();
        update.window(reservation.minute, roll);

        update.sets.push("#open.#call = :entry".to_owned());
        if roll > Roll::None {
            update.sets.push("#minute = :minute".to_owned());
        }
        update.count("minute_requests", "requests", roll >= Roll::Minute);
        update.count("minute_tokens", "tokens", roll >= Roll::Minute);
        update.count("day_tokens", "tokens", roll >= Roll::Day);
        update.count("committed", "amount", roll >= Roll::Month);
        if roll == Roll::Month {
            update.name("settled");
            update.number("zero", 0);
            update.sets.push("#settled = :zero".to_owned());
        }

        let (limits, tokens, amount) =
            (&scope.limits, reservation.tokens, reservation.amount_nanousd.0);
        let requests = u64::from(reservation.requests);
        if roll < Roll::Minute {
            update.room("minute_requests", limits.requests_per_minute, requests);
            update.room("minute_tokens", limits.tokens_per_minute, tokens);
        }
        if roll < Roll::Day {
            update.room("day_tokens", limits.tokens_per_day, tokens);
        }
        if roll < Roll::Month {
            update.room("committed", limits.budget_per_month.map(|budget| budget.0), amount);
        }
        update
    }

    /// The meter last counted in a minute from which counting in `minute` rolls exactly `roll`.
    fn window(&mut self, minute: Minute, roll: Roll) {
        use admission::Period::{Day, Month};
        let (day, month) = (minute.start_of(Day).0, minute.start_of(Month).0);
        self.conditions.push(
            match roll {
                Roll::None => "#minute = :minute",
                Roll::Minute => "#minute < :minute AND #minute >= :day",
                Roll::Day => "#minute < :day AND #minute >= :month",
                Roll::Month => "(attribute_not_exists(#minute) OR #minute < :month)",
            }
            .to_owned(),
        );
        if matches!(roll, Roll::Minute | Roll::Day) {
            self.number("day", day);
        }
        if matches!(roll, Roll::Day | Roll::Month) {
            self.number("month", month);
        }
    }

    /// Replaces `open` by what was used (`None`: nothing, the call was never made), if the meter
    /// still last counted in `minute`.
    pub(crate) fn settle(
        id: &RecordId,
        open: &Reservation,
        minute: Minute,
        since: Roll,
        used: Option<(u64, u64)>,
    ) -> Self {
        let mut update = Self::default();
        update.open(id);
        update.name("minute");
        update.number("minute", minute.0);
        update.conditions =
            ["attribute_exists(#open.#call)", "#minute = :minute"].map(str::to_owned).to_vec();
        update.removes.push("#open.#call".to_owned());

        let (tokens, amount) = used.unwrap_or_default();
        let mut adjust = |counter: &str, by: i128| {
            if by != 0 {
                update.number(counter, by);
                update.count(counter, counter, false);
            }
        };
        let tokens_by = i128::from(tokens) - i128::from(open.tokens);
        if since < Roll::Minute {
            adjust("minute_tokens", tokens_by);
            adjust("minute_requests", if used.is_none() { -i128::from(open.requests) } else { 0 });
        }
        if since < Roll::Day {
            adjust("day_tokens", tokens_by);
        }
        if since < Roll::Month {
            adjust("committed", i128::from(amount) - i128::from(open.amount_nanousd.0));
            adjust("settled", i128::from(amount));
        }
        update
    }
}

//! The decisions of [`admission::Meter`] as conditional updates of one item.

use std::collections::HashMap;

use admission::{Calendar, Counter, Gate, Metric, Minute, Reservation, Roll, Used};
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

    fn open(&mut self, id: &RecordId) {
        self.name("open");
        self.names.insert("#call".to_owned(), id.open_key());
    }

    /// Takes `reservation` through `gate`, if `roll` is what its minute does to the meter's windows.
    pub(crate) fn reserve(
        gate: &Gate,
        id: &RecordId,
        reservation: &Reservation,
        entry: AttributeValue,
        roll: &Roll,
    ) -> Self {
        let mut update = Self::default();
        update.open(id);
        update.name("minute");
        update.value("entry", entry);
        update.number("minute", reservation.minute.0);
        update.conditions = ["attribute_exists(#open)", "attribute_not_exists(#open.#call)"]
            .map(str::to_owned)
            .to_vec();
        update.sets.push("#open.#call = :entry".to_owned());
        if let Some(version) = gate.entitlement_version {
            update.current(version);
        }
        update.window(roll);
        if !roll.is_none() {
            update.sets.push("#minute = :minute".to_owned());
        }
        update.number("zero", 0);
        for counter in Counter::ALL {
            update.count(counter, reservation.takes(counter.metric), roll);
        }
        update.rooms(gate, reservation, roll);
        update
    }

    /// The tenant's entitlements are no newer than `version`, and if they are as old, it is served. What
    /// is newer has been read as active, and the meter is told.
    fn current(&mut self, version: u64) {
        self.name("status");
        self.name("entitlement_version");
        self.value("active", AttributeValue::S("active".to_owned()));
        self.number("version", version);
        self.conditions.push(
            "(#entitlement_version < :version OR (#entitlement_version = :version AND #status = :active))"
                .to_owned(),
        );
        self.sets.push("#entitlement_version = :version".to_owned());
        self.sets.push("#status = :active".to_owned());
    }

    /// The meter last counted in a minute from which counting now does just `roll`.
    fn window(&mut self, roll: &Roll) {
        let Some(before) = roll.before else {
            self.conditions.push("#minute = :minute".to_owned());
            return;
        };
        self.number("before", before.0);
        if let Some(from) = roll.from {
            self.number("from", from.0);
            self.conditions.push("#minute >= :from AND #minute < :before".to_owned());
        } else {
            self.conditions.push("(attribute_not_exists(#minute) OR #minute < :before)".to_owned());
        }
    }

    /// `SET counter = :amount` in a new window, else `SET counter = counter + :amount`.
    fn count(&mut self, counter: Counter, amount: u64, roll: &Roll) {
        let (name, value) = (counter.attribute(), metric_value(counter.metric));
        self.name(name);
        self.number(value, amount);
        self.sets.push(if roll.has_ended(counter.period) {
            format!("#{name} = :{value}")
        } else {
            format!("#{name} = if_not_exists(#{name}, :zero) + :{value}")
        });
    }

    /// Each cap has room for what the reservation takes. Conditions know no sums, so the room is
    /// computed here; it is negative, and never met, if the request alone is too much. What takes
    /// nothing always fits.
    fn rooms(&mut self, gate: &Gate, reservation: &Reservation, roll: &Roll) {
        for (number, cap) in gate.caps.iter().enumerate() {
            let requested = reservation.takes(cap.metric());
            let value = format!("room{number}");
            let room = i128::from(cap.allowed) - i128::from(requested);
            match cap.counter {
                Some(counter) if requested > 0 && !roll.has_ended(counter.period) => {
                    let name = counter.attribute();
                    self.number(&value, room);
                    let fits = format!("(attribute_not_exists(#{name}) OR #{name} <= :{value})");
                    // A missing count is none at all, which fits where the request alone does.
                    self.conditions.push(if room < 0 {
                        format!("#{name} <= :{value}")
                    } else {
                        fits
                    });
                }
                None => {
                    self.number(&value, room);
                    self.conditions.push(format!("size(#open) <= :{value}"));
                }
                Some(_) => {}
            }
        }
    }

    /// Replaces `open` by what was used, if the meter still last counted in `minute`.
    pub(crate) fn settle(
        calendar: &Calendar,
        id: &RecordId,
        open: &Reservation,
        minute: Minute,
        used: Used,
    ) -> Self {
        let mut update = Self::default();
        update.open(id);
        update.name("minute");
        update.number("minute", minute.0);
        update.conditions =
            ["attribute_exists(#open.#call)", "#minute = :minute"].map(str::to_owned).to_vec();
        update.removes.push("#open.#call".to_owned());
        let (windows, used) = (calendar.windows(minute), used.part(open.part));
        for counter in Counter::ALL {
            let metric = counter.metric;
            let by = i128::from(used.of_metric(metric)) - i128::from(open.takes(metric));
            if by != 0 && !windows.has_ended(counter.period, open.minute) {
                let (name, value) = (counter.attribute(), metric_value(metric));
                update.name(name);
                update.number(value, by);
                update.sets.push(format!("#{name} = #{name} + :{value}"));
            }
        }
        update
    }
}

fn metric_value(metric: Metric) -> &'static str {
    match metric {
        Metric::Concurrency => "calls",
        Metric::Requests => "requests",
        Metric::InputTokens => "input",
        Metric::OutputTokens => "output",
        Metric::TotalTokens => "tokens",
        Metric::Cost => "amount",
    }
}

//! The organisation's books: plans, entries, statements and the state of months, in the `ledger` table.
//!
//! `ORG#BILLING` / `BOOKS` says which months are open. What depends on that is written in one transaction
//! with a check of it.

mod accounts;
mod write;

use std::ops::RangeInclusive;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::{AttributeValue, Put};
use billing::port::{BillingStore, BillingStoreError, Booked, ClosedMonth, Issued};
use billing::{Account, Books, EntryKind, LedgerEntry, Month, MonthState, Plan};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::key::{self, Key};
use crate::read::{self, Cause};
use write::Outcome;

const BOOKS: &str = "BOOKS";
const PLAN: &str = "PLAN#";
const ENTRY: &str = "ENTRY#";
/// Holds an entry's id, so that it is written once in whatever month.
const ENTRY_ID: &str = "ENTRY_ID#";
const STATEMENT: &str = "STATEMENT#";
const MONTH: &str = "MONTH#";

/// The books, and who is to be billed for what.
#[derive(Debug, Clone)]
pub struct BillingBooks {
    client: Client,
    ledger: String,
    tenancy: String,
}

/// Where what is billed to an account is kept: `TENANT#acme#BILLING`.
fn partition(account: &Account) -> String {
    let owner = match account {
        Account::Org => key::ORG.to_owned(),
        Account::Lob(id) => key::lob(id),
        Account::Tenant(id) => key::tenant(id),
    };
    format!("{owner}#BILLING")
}

fn entry_key(account: &Account, period: Month, id: &str) -> Key {
    key::key(partition(account), format!("{ENTRY}{period}#{id}"))
}

/// Types that know every field of theirs know nothing of keys.
fn without_key(mut item: Key) -> Key {
    item.retain(|name, _| name != key::PK && name != key::SK);
    item
}

fn error(
    operation: &'static str,
    subject: &(impl ToString + ?Sized),
    source: impl Into<Cause>,
) -> BillingStoreError {
    BillingStoreError { operation, subject: subject.to_string(), source: source.into() }
}

impl BillingBooks {
    /// The books in the `ledger` table, of tenants in the `tenancy` table.
    pub fn new(client: Client, ledger: String, tenancy: String) -> Self {
        Self { client, ledger, tenancy }
    }

    /// Items of an account whose sort keys are in a range, in order.
    async fn range<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        account: &Account,
        range: (String, String),
        is_forward: bool,
    ) -> Result<Vec<T>, BillingStoreError> {
        let items = self
            .client
            .query()
            .table_name(&self.ledger)
            .key_condition_expression("#pk = :pk AND #sk BETWEEN :first AND :last")
            .expression_attribute_names("#pk", key::PK)
            .expression_attribute_names("#sk", key::SK)
            .expression_attribute_values(":pk", AttributeValue::S(partition(account)))
            .expression_attribute_values(":first", AttributeValue::S(range.0))
            .expression_attribute_values(":last", AttributeValue::S(range.1))
            .scan_index_forward(is_forward)
            .consistent_read(true)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|cause| error(operation, account, cause))?;
        items
            .into_iter()
            .map(|item| serde_dynamo::from_item(without_key(item)))
            .collect::<Result<_, _>>()
            .map_err(|cause| error(operation, account, cause))
    }

    /// The item of a key, if there is one.
    async fn get<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        subject: &str,
        key: Key,
    ) -> Result<Option<T>, BillingStoreError> {
        let item = read::item(&self.client, &self.ledger, key).await;
        let item = item.map_err(|cause| error(operation, subject, cause))?;
        let read = item.map(|item| serde_dynamo::from_item(without_key(item)));
        read.transpose().map_err(|cause| error(operation, subject, cause))
    }

    fn put(&self, key: Key, value: &impl Serialize) -> Result<Put, Cause> {
        let mut item: Key = serde_dynamo::to_item(value)?;
        item.extend(key);
        Ok(Put::builder().table_name(&self.ledger).set_item(Some(item)).build()?)
    }

    /// Writes an item in the place of what had its key.
    async fn replace(
        &self,
        operation: &'static str,
        subject: &impl ToString,
        key: Key,
        value: &impl Serialize,
    ) -> Result<(), BillingStoreError> {
        let put = self.put(key, value).map_err(|cause| error(operation, subject, cause))?;
        let put = self.client.put_item().table_name(&self.ledger).set_item(Some(put.item));
        put.send().await.map(|_| ()).map_err(|cause| error(operation, subject, cause))
    }
}

impl BillingStore for BillingBooks {
    async fn books(&self) -> Result<Books, BillingStoreError> {
        let key = key::key(partition(&Account::Org), BOOKS.to_owned());
        Ok(self.get("read", "the books", key).await?.unwrap_or_default())
    }

    async fn change_books(&self, from: &Books, to: &Books) -> Result<bool, BillingStoreError> {
        let failed = |cause: Cause| error("change", "the books", cause);
        let item =
            self.put(key::key(partition(&Account::Org), BOOKS.to_owned()), to).map_err(failed)?;
        let before: Key = serde_dynamo::to_item(from).map_err(|cause| failed(cause.into()))?;
        let mut put = self.client.put_item().table_name(&self.ledger).set_item(Some(item.item));
        let mut conditions = Vec::new();
        for (name, placeholder, value) in
            [("closed_through", "#closed", ":closed"), ("closing", "#closing", ":closing")]
        {
            put = put.expression_attribute_names(placeholder, name);
            match before.get(name) {
                None => conditions.push(format!("attribute_not_exists({placeholder})")),
                Some(was) => {
                    put = put.expression_attribute_values(value, was.clone());
                    conditions.push(format!("{placeholder} = {value}"));
                }
            }
        }
        match put.condition_expression(conditions.join(" AND ")).send().await {
            Ok(_) => Ok(true),
            Err(SdkError::ServiceError(refused))
                if refused.err().is_conditional_check_failed_exception() =>
            {
                Ok(false)
            }
            Err(cause) => Err(failed(cause.into())),
        }
    }

    async fn book(&self, entry: &LedgerEntry) -> Result<Booked, BillingStoreError> {
        let wanted = match entry.kind {
            EntryKind::FlatFee => MonthState::Closing,
            _ => MonthState::Open,
        };
        let id = key::key(partition(&entry.account), format!("{ENTRY_ID}{}", entry.id));
        let held = Held { period: entry.period };
        let puts = || -> Result<_, Cause> {
            let key = entry_key(&entry.account, entry.period, &entry.id);
            let entry = write::put(self.put(key, entry)?);
            Ok([write::absent(self.put(id, &held)?)?, entry])
        };
        let puts = puts().map_err(|cause| error("book the entry", &entry.id, cause))?;
        let outcome =
            self.write_in("book the entry", &entry.id, entry.period, wanted, puts.into()).await?;
        Ok(match outcome {
            Outcome::Written => Booked::New,
            Outcome::NotAbsent => Booked::Known,
            Outcome::WrongState => Booked::Refused,
        })
    }

    async fn entry(
        &self,
        account: &Account,
        id: &str,
    ) -> Result<Option<LedgerEntry>, BillingStoreError> {
        let held = key::key(partition(account), format!("{ENTRY_ID}{id}"));
        let Some(Held { period }) = self.get("find the entry", id, held).await? else {
            return Ok(None);
        };
        self.get("find the entry", id, entry_key(account, period, id)).await
    }

    async fn entries(
        &self,
        account: &Account,
        periods: RangeInclusive<Month>,
    ) -> Result<Vec<LedgerEntry>, BillingStoreError> {
        // `~` is behind whatever an id may have.
        let range = (format!("{ENTRY}{}#", periods.start()), format!("{ENTRY}{}#~", periods.end()));
        self.range("list entries of", account, range, true).await
    }

    async fn put_plan(&self, account: &Account, plan: &Plan) -> Result<bool, BillingStoreError> {
        let key = key::key(partition(account), format!("{PLAN}{}", plan.valid_from));
        let put = self.put(key, plan).map_err(|cause| error("keep the plan", &plan.id, cause))?;
        let puts = vec![write::put(put)];
        let outcome = self
            .write_in("keep the plan", &plan.id, plan.valid_from, MonthState::Open, puts)
            .await?;
        Ok(outcome == Outcome::Written)
    }

    async fn plans(&self, account: &Account) -> Result<Vec<Plan>, BillingStoreError> {
        self.range("list plans of", account, (PLAN.to_owned(), format!("{PLAN}~")), true).await
    }

    async fn put_issued(&self, issued: &Issued) -> Result<(), BillingStoreError> {
        let key = key::key(partition(&issued.account), format!("{STATEMENT}{}", issued.period));
        self.replace("note the statement of", &issued.account, key, issued).await
    }

    async fn issued(&self, account: &Account) -> Result<Vec<Issued>, BillingStoreError> {
        let range = (STATEMENT.to_owned(), format!("{STATEMENT}~"));
        self.range("list statements of", account, range, false).await
    }

    async fn put_closed(&self, month: &ClosedMonth) -> Result<(), BillingStoreError> {
        let key = key::key(partition(&Account::Org), format!("{MONTH}{}", month.period));
        self.replace("note the month", &month.period, key, month).await
    }

    async fn closed(&self) -> Result<Vec<ClosedMonth>, BillingStoreError> {
        let range = (MONTH.to_owned(), format!("{MONTH}~"));
        self.range("list closed months of", &Account::Org, range, false).await
    }
}

/// What holds an entry's id.
#[derive(Debug, Serialize, Deserialize)]
struct Held {
    period: Month,
}

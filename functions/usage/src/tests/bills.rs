//! What the tests of bills have in common.

use billing::port::{BillingStore as _, Issued};
use billing::{Books, Closing, Month, SignedNanoUsd};
use bytes::Bytes;
use lake::ObjectStore as _;
use serde_json::Value;

use super::fake::Fake;
use super::support::{EVERYBODY, asked};
use crate::State;

pub(super) fn month(text: &str) -> Month {
    text.parse().unwrap()
}

/// Books that are closed through a month, and are closing the next.
pub(super) async fn books(state: &State<Fake>, closed: &str, closing: &str) {
    let closing = (!closing.is_empty()).then(|| Closing {
        period: month(closing),
        requested_by: "u-9".to_owned(),
        started_ms: 1,
        done_through: Some("acme".parse().unwrap()),
    });
    let to = Books { closed_through: (!closed.is_empty()).then(|| month(closed)), closing };
    let books = &state.store.2.books;
    let from = books.books().await.unwrap();
    assert!(books.change_books(&from, &to).await.unwrap());
}

/// Issues a statement, with documents that say whose they are.
pub(super) async fn issue(state: &State<Fake>, account: &str, period: &str) {
    let documents = format!("statements/{period}/{account}/statement");
    for extension in ["json", "csv", "pdf"] {
        let text = format!("\"{extension} of {account} for {period}\"");
        keep(state, &format!("{documents}.{extension}"), text).await;
    }
    let issued = Issued {
        account: account.parse().unwrap(),
        period: month(period),
        version: 1,
        digest: "sha256:0".to_owned(),
        records: 3,
        cost_nanousd: SignedNanoUsd(5),
        total_nanousd: SignedNanoUsd(-2),
        issued_ms: 7,
        documents,
    };
    state.store.2.books.put_issued(&issued).await.unwrap();
}

pub(super) async fn keep(state: &State<Fake>, key: &str, bytes: impl Into<Bytes>) {
    state.store.2.documents.put(key, bytes.into(), "text/plain").await.unwrap();
}

/// What was asked for on the bus.
pub(super) fn requested(state: &State<Fake>) -> Vec<Value> {
    let events = state.store.2.bus.taken();
    assert!(events.iter().all(|event| event.kind == billing::TASK_REQUESTED));
    events.into_iter().map(|event| event.detail).collect()
}

/// The actions on record, with whether they were let.
pub(super) fn noted(state: &State<Fake>) -> Vec<(String, String, bool)> {
    let audit = state.store.data().audit.clone();
    audit.into_iter().map(|it| (it.action, it.subject, it.is_allowed)).collect()
}

/// What everybody is answered, in the order of `EVERYBODY`.
pub(super) async fn everybody(state: &State<Fake>, method: &str, path: &str, body: &str) -> String {
    let mut statuses = Vec::new();
    for who in EVERYBODY {
        let answer = asked(state, who).text(body).send(method, path).await;
        statuses.push(answer.status.as_u16().to_string());
    }
    statuses.join(" ")
}

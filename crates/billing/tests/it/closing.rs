//! A month is closed once, whoever closes it and whatever fails; what comes later goes into the next.

use std::sync::atomic::{AtomicU32, Ordering};

use billing::fakes::InMemoryBilling;
use billing::port::{BillingStore, Booked, ClosedMonth, Documents as _};
use billing::{
    Account, CloseError, CloseRefused, EntryKind, LedgerEntry, LobStatement, Month, Plan, Ports,
    Progress, SETTLING_MS, SignedNanoUsd, Span, Statement,
};
use metering::{NanoUsd, UsageRecord};

use crate::support::{DAY_MS, NOVEMBER_MS, entry, november, record, tokens};

pub(crate) const OVER_MS: i64 = NOVEMBER_MS + 30 * DAY_MS + SETTLING_MS;

pub(crate) fn december() -> Span {
    let start_ms = november().end_ms;
    Span { period: month("2026-12"), start_ms, end_ms: start_ms + 31 * DAY_MS, ..november() }
}

pub(crate) fn month(text: &str) -> Month {
    text.parse().unwrap()
}

fn tenant(id: &str) -> Account {
    Account::Tenant(id.parse().unwrap())
}

fn ports(
    world: &InMemoryBilling,
) -> Ports<'_, InMemoryBilling, InMemoryBilling, InMemoryBilling, InMemoryBilling> {
    Ports { store: world, usage: world, documents: world, events: world }
}

async fn close(world: &InMemoryBilling, span: &Span) -> Result<Option<ClosedMonth>, CloseError> {
    match ports(world).close(span, "u-1", span.end_ms + SETTLING_MS, &|| false).await? {
        Progress::Done(done) => Ok(done),
        Progress::Continue(after) => {
            panic!("there was time enough, but it stopped after {after:?}")
        }
    }
}

pub(crate) async fn statement(world: &InMemoryBilling, id: &str, span: &Span) -> Option<Statement> {
    let key = format!("{}.json", billing::documents_of(&tenant(id), span));
    let bytes = world.get(&key).await.unwrap()?;
    Some(serde_json::from_slice(&bytes).unwrap())
}

async fn lob(world: &InMemoryBilling, id: &str, span: &Span) -> LobStatement {
    let key = format!("{}.json", billing::documents_of(&Account::Lob(id.parse().unwrap()), span));
    serde_json::from_slice(&world.get(&key).await.unwrap().unwrap()).unwrap()
}

pub(crate) fn call(
    world: &InMemoryBilling,
    id: &str,
    at_ms: i64,
    number: u64,
    cost: u64,
) -> UsageRecord {
    let record = record(id, at_ms, number, "nova-lite", tokens(100, 10), cost);
    world.record(record.clone());
    record
}

/// Three tenants of two lines of business; `idle` never calls.
pub(crate) fn world() -> InMemoryBilling {
    let world = InMemoryBilling::default();
    for (id, lob) in [("acme", "retail"), ("globex", "markets"), ("idle", "retail")] {
        world.onboard(id, lob).unwrap();
    }
    call(&world, "acme", NOVEMBER_MS, 1, 1_000);
    call(&world, "acme", NOVEMBER_MS + DAY_MS, 2, 500);
    call(&world, "globex", NOVEMBER_MS + DAY_MS, 3, 7);
    call(&world, "globex", december().start_ms, 4, 70);
    world
}

#[tokio::test]
async fn each_account_gets_its_statement_in_three_forms() {
    let world = world();
    let markup = Plan {
        id: "team".to_owned(),
        markup_bp: 1_000,
        flat_fee_nanousd: NanoUsd(5_000),
        ..Plan::at_cost()
    };
    let from = |plan: &Plan| Plan { valid_from: month("2026-11"), ..plan.clone() };
    assert!(world.put_plan(&Account::Org, &from(&markup)).await.unwrap());
    let own = Plan { id: "own".to_owned(), markup_bp: 0, ..markup };
    assert!(world.put_plan(&tenant("globex"), &from(&own)).await.unwrap());
    assert_eq!(
        world.book(&entry("goodwill-1", EntryKind::Credit, -100)).await.unwrap(),
        Booked::New
    );

    let closed = close(&world, &november()).await.unwrap().unwrap();
    assert_eq!((closed.tenants, closed.lobs, closed.records), (2, 2, 3));
    assert_eq!(
        (closed.cost_nanousd.0, closed.total_nanousd.0),
        (1_507, 1_650 + 5_000 - 100 + 7 + 5_000)
    );
    let acme = statement(&world, "acme", &november()).await.unwrap();
    assert_eq!(acme.totals.total_nanousd, SignedNanoUsd(6_550));
    assert_eq!((acme.plan.id.as_str(), &acme.plan_of), ("team", &Account::Org));
    assert_eq!(statement(&world, "globex", &november()).await.unwrap().plan.id, "own");
    assert_eq!(
        statement(&world, "idle", &november()).await,
        None,
        "an inherited fee is due with the first call"
    );
    assert_eq!(lob(&world, "retail", &november()).await.totals.total_nanousd, SignedNanoUsd(6_550));
    let documents = world.documents();
    for account in ["tenant=acme", "tenant=globex", "lob=retail", "lob=markets"] {
        for (extension, start) in [("json", "{"), ("csv", "row,"), ("pdf", "%PDF-1.7")] {
            let document =
                &documents[&format!("statements/2026-11/{account}/statement.{extension}")];
            assert!(document.starts_with(start.as_bytes()), "{account} {extension}");
        }
    }
    assert_eq!(documents.len(), 12);
    let issued = world.issued(&tenant("acme")).await.unwrap();
    assert_eq!((issued.len(), &issued[0].digest), (1, &acme.digest));
    assert_eq!(world.closed().await.unwrap(), [closed]);
}

#[tokio::test]
async fn closing_twice_changes_nothing() {
    let world = world();
    close(&world, &november()).await.unwrap().unwrap();
    let (documents, events) = (world.documents(), world.events());
    call(&world, "acme", NOVEMBER_MS, 9, 1);
    assert_eq!(close(&world, &november()).await.unwrap(), None);
    assert_eq!((world.documents(), world.events()), (documents, events));
}

#[tokio::test]
async fn a_month_is_closed_when_it_is_over_and_in_its_turn() {
    let world = world();
    let early = ports(&world).close(&november(), "u-1", OVER_MS - 1, &|| false).await;
    assert!(matches!(early, Err(CloseError::Refused(CloseRefused::NotOver { .. }))));
    assert_eq!(
        world.book(&entry("a", EntryKind::Credit, -1)).await.unwrap(),
        Booked::New,
        "nothing was begun"
    );
    close(&world, &november()).await.unwrap();
    let january = Span { period: month("2027-01"), ..december() };
    let early = ports(&world).close(&january, "u-1", i64::MAX, &|| false).await;
    assert!(matches!(early, Err(CloseError::Refused(CloseRefused::OutOfOrder { .. }))));
    assert_eq!(world.book(&entry("b", EntryKind::Credit, -1)).await.unwrap(), Booked::Refused);
    let late = Plan { valid_from: month("2026-11"), ..Plan::at_cost() };
    assert!(!world.put_plan(&Account::Org, &late).await.unwrap(), "nor is its plan changed");
}

#[tokio::test]
async fn what_there_is_no_time_for_is_gone_on_with() {
    let world = world();
    let asked = AtomicU32::new(0);
    let is_time_up = || asked.fetch_add(1, Ordering::SeqCst) > 0;
    let cut = ports(&world).close(&november(), "u-1", OVER_MS, &is_time_up).await.unwrap();
    assert_eq!(cut, Progress::Continue(Some("idle".parse().unwrap())));
    assert_eq!(world.books().await.unwrap().first_open(month("2026-11")), month("2026-12"));
    let closed = close(&world, &november()).await.unwrap().unwrap();
    assert_eq!((closed.tenants, closed.started_ms), (2, OVER_MS));
}

async fn correct(world: &InMemoryBilling, span: &Span, current: &str) -> u64 {
    match ports(world).correct(span, month(current), OVER_MS, None, &|| false).await.unwrap() {
        Progress::Done(booked) => booked,
        Progress::Continue(_) => panic!("there was time enough"),
    }
}

async fn late(world: &InMemoryBilling, id: &str, period: &str) -> Vec<(String, i64)> {
    let entries = world.entries(&tenant(id), month(period)..=month(period)).await.unwrap();
    entries.into_iter().map(|entry| (entry.id, entry.amount_nanousd.0)).collect()
}

#[tokio::test]
async fn what_comes_late_is_billed_in_the_next_open_month_under_the_plan_of_its_own() {
    let world = world();
    let plan = Plan { valid_from: month("2026-11"), markup_bp: 1_000, ..Plan::at_cost() };
    world.put_plan(&Account::Org, &plan).await.unwrap();
    assert_eq!(correct(&world, &november(), "2026-12").await, 0, "it is open");
    close(&world, &november()).await.unwrap();
    assert_eq!(correct(&world, &november(), "2026-12").await, 0, "nothing came");
    let dearer = Plan { valid_from: month("2026-12"), markup_bp: 9_000, ..plan };
    assert!(world.put_plan(&Account::Org, &dearer).await.unwrap());

    call(&world, "acme", NOVEMBER_MS + 5, 20, 300);
    call(&world, "idle", NOVEMBER_MS + 5, 21, 10);
    for (expected, _) in [(2, "first"), (0, "again")] {
        assert_eq!(correct(&world, &november(), "2026-12").await, expected);
    }
    assert_eq!(late(&world, "acme", "2026-12").await, [("late-usage-2026-11-1".to_owned(), 330)]);
    assert_eq!(
        late(&world, "idle", "2026-12").await,
        [("late-usage-2026-11-1".to_owned(), 11)],
        "it had no statement"
    );
    close(&world, &december()).await.unwrap();
    let acme = statement(&world, "acme", &december()).await.unwrap();
    assert_eq!(acme.totals.corrections_nanousd, SignedNanoUsd(330));

    call(&world, "acme", NOVEMBER_MS + 6, 22, 1_000);
    assert_eq!(
        correct(&world, &november(), "2027-02").await,
        1,
        "into January, which is not closed"
    );
    assert_eq!(late(&world, "acme", "2027-01").await, [("late-usage-2026-11-2".to_owned(), 1_100)]);
}

#[tokio::test]
async fn an_entry_is_booked_once_whatever_month_it_asks_for() {
    let world = world();
    let first = entry("ticket-7", EntryKind::Adjustment, 5);
    assert_eq!(world.book(&first).await.unwrap(), Booked::New);
    let again = LedgerEntry { period: month("2026-12"), ..first };
    assert_eq!(world.book(&again).await.unwrap(), Booked::Known);
}

#[tokio::test]
async fn a_draft_is_what_the_statement_becomes_and_books_nothing() {
    let world = world();
    let plan = Plan { flat_fee_nanousd: NanoUsd(40), ..Plan::at_cost() };
    let plan = Plan { id: "team".to_owned(), valid_from: month("2026-11"), ..plan };
    assert!(world.put_plan(&Account::Org, &plan).await.unwrap());
    world.book(&entry("goodwill", EntryKind::Credit, -9)).await.unwrap();
    let retail = Account::Lob("retail".parse().unwrap());
    for account in [tenant("acme"), retail.clone()] {
        let documents = ports(&world).draft(&account, &november(), OVER_MS).await.unwrap();
        assert_eq!(documents, Some(billing::draft_of(&account, month("2026-11"))));
    }
    assert_eq!(
        world.entries(&tenant("acme"), month("2026-11")..=month("2026-11")).await.unwrap().len(),
        1
    );
    let documents = world.documents();
    let draft = |account: &Account| {
        &documents[&format!("{}.json", billing::draft_of(account, month("2026-11")))]
    };
    let of_acme: Statement = serde_json::from_slice(draft(&tenant("acme"))).unwrap();
    let of_retail: LobStatement = serde_json::from_slice(draft(&retail)).unwrap();
    assert_eq!(of_acme.totals.total_nanousd, SignedNanoUsd(1_500 + 40 - 9));

    close(&world, &november()).await.unwrap();
    let (span, digest) = (november(), String::new());
    let final_one = statement(&world, "acme", &span).await.unwrap();
    let as_draft = |it: Statement| Statement { version: 0, digest: digest.clone(), ..it };
    let mut expected = as_draft(final_one);
    // The fee was booked at another moment.
    for (mine, theirs) in expected.entries.iter_mut().zip(&of_acme.entries) {
        mine.booked_ms = theirs.booked_ms;
    }
    assert_eq!(as_draft(of_acme), expected);
    assert_eq!(of_retail.totals, lob(&world, "retail", &span).await.totals);
    assert_eq!(ports(&world).draft(&tenant("acme"), &span, OVER_MS).await.unwrap(), None, "closed");
}

use std::collections::BTreeMap;

use billing::fakes::InMemoryBilling;
use billing::{EntryKind, SignedNanoUsd};
use metering::TokenUsage;

use super::*;
use crate::correction::CorrectionKey;
use crate::fakes;

fn billing() -> InMemoryBilling {
    let billing = InMemoryBilling::default();
    billing.onboard("acme", "retail").unwrap();
    billing.onboard("globex", "retail").unwrap();
    billing
}

fn books(
    billing: &InMemoryBilling,
) -> Books<'_, InMemoryBilling, InMemoryBilling, InMemoryBilling> {
    let current = "2026-12".parse().unwrap();
    let now = "2026-12-20T00:00:00Z".parse().unwrap();
    Books { store: billing, usage: billing, documents: billing, current, now }
}

fn correction(tenant: &str, sequence: u32) -> Correction {
    Correction {
        id: format!("reconciliation:2026-11:{tenant}:{sequence}"),
        period: "2026-11".into(),
        key: CorrectionKey {
            tenant_id: tenant.parse().unwrap(),
            day: "2026-11-03".parse().unwrap(),
            model: "nova".into(),
        },
        sequence,
        amount_nanousd: 7,
        source_version: "a".into(),
        by_reason: BTreeMap::new(),
    }
}

#[tokio::test]
async fn a_correction_stands_on_the_open_months_bill_once() {
    let billing = billing();
    let books = books(&billing);
    // One of a tenant that nobody registered.
    let entries = [correction("acme", 1), correction("stark", 1)];
    for entry in &entries {
        assert!(books.book(entry).await.unwrap());
        assert!(!books.book(entry).await.unwrap(), "it is there");
    }
    let tenants = BTreeSet::from(["stark".parse().unwrap()]);
    assert_eq!(books.corrections("2026-11", &tenants).await.unwrap(), entries);
    assert_eq!(books.corrections("2026-10", &tenants).await.unwrap(), []);
    let account = Account::Tenant("acme".parse().unwrap());
    let months = "2026-12".parse().unwrap()..="2026-12".parse().unwrap();
    let on_bill = billing.entries(&account, months).await.unwrap();
    let on_bill: Vec<_> = on_bill.iter().map(|entry| (entry.kind, entry.amount_nanousd)).collect();
    assert_eq!(on_bill, [(EntryKind::Correction, SignedNanoUsd(7))]);
}

#[tokio::test]
async fn records_of_all_tenants_are_read() {
    let billing = billing();
    let at = "2026-11-03T12:00:00Z".parse().unwrap();
    let none = |_: &UsageRecord, _| None;
    for (number, tenant) in [(1, "acme"), (2, "globex")] {
        let usage = TokenUsage { input: number, ..TokenUsage::default() };
        billing.record(fakes::record(number, (tenant, "nova"), at, usage, &none).unwrap());
    }
    let mut found = Vec::new();
    let until = "2026-11-03T13:00:00Z".parse().unwrap();
    books(&billing).within(at, until, &mut |record| found.push(record.usage.input)).await.unwrap();
    found.sort_unstable();
    assert_eq!(found, [1, 2]);
}

#[tokio::test]
async fn a_newer_report_replaces_the_older() {
    let billing = billing();
    for text in ["old", "new"] {
        books(&billing)
            .write("reconciliation/2026-11/report.csv", "text/csv", text.into())
            .await
            .unwrap();
    }
    assert_eq!(billing.documents().into_values().collect::<Vec<_>>(), [b"new".to_vec()]);
}

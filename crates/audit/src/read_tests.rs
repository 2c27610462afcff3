//! What auditors see of a chain.

use jiff::Timestamp;

use super::*;
use crate::append;
use crate::append::tests::{acme, entry};
use crate::fakes::InMemoryAudit;

/// 2026-11-23T12:00:00Z
const NOON_S: i64 = 1_795_435_200;

async fn audit() -> InMemoryAudit {
    let audit = InMemoryAudit::default();
    for numbers in [0..3, 3..4, 4..7, 7..9] {
        let mut entries: Vec<_> = numbers.map(entry).collect();
        for entry in &mut entries {
            if entry.id.ends_with(['2', '4', '6']) {
                entry.decision = Decision::Deny;
                entry.action = "raise.approved".into();
                entry.principal_id = Some("u-2".into());
            }
        }
        let now = Timestamp::from_second(NOON_S + 100).unwrap();
        append(&audit, &audit, &acme(), &entries, now).await.unwrap();
    }
    audit
}

async fn page(filter: Filter, before: Option<u64>, limit: usize) -> (Vec<u64>, Option<u64>) {
    let audit = audit().await;
    let page = read(&audit, &audit, &acme(), &filter, before, limit).await.unwrap();
    let number = |record: &Value| record["sequence"].as_u64().unwrap();
    (page.records.iter().map(number).collect(), page.next)
}

#[tokio::test]
async fn the_latest_come_first_and_pages_leave_nothing_out() {
    assert_eq!(page(Filter::default(), None, 99).await, (vec![9, 8, 7, 6, 5, 4, 3, 2, 1], None));
    assert_eq!(page(Filter::default(), None, 4).await, (vec![9, 8, 7, 6], Some(6)));
    assert_eq!(page(Filter::default(), Some(6), 3).await, (vec![5, 4, 3], Some(3)));
    assert_eq!(page(Filter::default(), Some(3), 2).await, (vec![2, 1], None));
    assert_eq!(page(Filter::default(), Some(1), 2).await, (vec![], None));
}

#[tokio::test]
async fn filters_narrow() {
    let deny = Filter { decision: Some(Decision::Deny), ..Filter::default() };
    assert_eq!(page(deny.clone(), None, 2).await, (vec![7, 5], Some(5)));
    assert_eq!(page(deny, Some(5), 2).await, (vec![3], None));
    let actor = |name: &str| Filter { actor: Some(name.into()), ..Filter::default() };
    assert_eq!(page(actor("u-2"), None, 9).await.0, [7, 5, 3]);
    assert_eq!(page(actor("u-3"), None, 9).await.0, Vec::<u64>::new());
    let action = |name: &str| Filter { action: Some(name.into()), ..Filter::default() };
    assert_eq!(page(action("raise."), None, 9).await.0, [7, 5, 3]);
    assert_eq!(page(action("raise"), None, 9).await.0, Vec::<u64>::new());
    assert_eq!(page(action("limits.set"), None, 9).await.0, [9, 8, 6, 4, 2, 1]);
    let between = Filter {
        from: Some("2026-11-23T12:00:02.000Z".into()),
        to: Some("2026-11-23T12:00:05.000Z".into()),
        ..Filter::default()
    };
    assert_eq!(page(between, None, 9).await.0, [5, 4, 3]);
}

#[tokio::test]
async fn the_tail_of_a_chain_is_verified_up_to_its_head() {
    let audit = audit().await;
    let tail = async |segments| verify_tail(&audit, &audit, &acme(), segments).await.unwrap();
    let (head, verified) = tail(2).await;
    let verified = verified.unwrap();
    assert_eq!((verified.first_sequence, verified.last_sequence, head.sequence), (5, 9, 9));
    assert_eq!(tail(99).await.1.unwrap().first_sequence, 1);
    let none = verify_tail(&audit, &audit, &ChainId::Org, 9).await.unwrap();
    assert_eq!(none.1.unwrap().last_sequence, 0);

    let keys: Vec<String> = audit.files().into_keys().collect();
    let text = String::from_utf8(audit.files()[&keys[2]].clone()).unwrap();
    audit.tamper(&keys[2], Some(text.replacen("u-1", "u-9", 1).into_bytes()));
    let fault = tail(99).await.1.unwrap_err();
    assert_eq!((fault.kind, fault.sequence), (FaultKind::Changed, 6));
    audit.tamper(&keys[2], None);
    let fault = tail(99).await.1.unwrap_err();
    assert_eq!((fault.kind, fault.sequence, &fault.key), (FaultKind::Missing, 5, &keys[2]));
    assert!(tail(1).await.1.is_ok(), "what is before is taken on trust");
}

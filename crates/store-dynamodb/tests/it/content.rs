//! Content of two tenants in an embedded DynamoDB.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use content::{ContentError, ContentId, ContentKind, ContentStore as _, MAX_BYTES};
use store_dynamodb::Content;

use crate::support::{context, keyed};

const TABLE: &str = "content";
const NOW: i64 = 1_795_435_200;
const LATER: i64 = NOW + 60;

async fn content() -> (Client, Content) {
    let client = keyed(TABLE).await;
    (client.clone(), Content::new(client, TABLE.to_owned()))
}

fn id(text: &str) -> ContentId {
    text.parse().unwrap()
}

/// Bytes of which no two stretches are alike.
fn value(size: usize) -> Bytes {
    (0..size).map(|index| u8::try_from((index * 31 + index / 251) % 256).unwrap()).collect()
}

/// The sort keys in a tenant's partition.
async fn keys(client: &Client, tenant: &str) -> Vec<String> {
    let answer = client
        .query()
        .table_name(TABLE)
        .key_condition_expression("PK = :owner")
        .expression_attribute_values(":owner", AttributeValue::S(format!("TENANT#{tenant}")))
        .projection_expression("SK")
        .send()
        .await
        .unwrap();
    answer.items().iter().map(|item| item["SK"].as_s().unwrap().clone()).collect()
}

#[tokio::test]
async fn what_is_kept_comes_back_whole_whatever_its_size() {
    let (_, content) = content().await;
    let acme = context("acme", "retail");
    let (kind, id) = (ContentKind::Response, id("resp_1"));
    for size in [0, 1, 350 * 1024, 350 * 1024 + 1, 1_200_000, 10] {
        content.put(&acme, kind, &id, value(size), LATER).await.unwrap();
        let found = content.get(&acme, kind, &id, NOW).await.unwrap();
        assert!(found == Some(value(size)), "{size} bytes");
    }
    let error = content.put(&acme, kind, &id, value(MAX_BYTES + 1), LATER).await.unwrap_err();
    assert!(matches!(error, ContentError::TooLarge { .. }));
}

#[tokio::test]
async fn nobody_finds_another_tenants_content_nor_another_kinds() {
    let (_, content) = content().await;
    let (acme, globex) = (context("acme", "retail"), context("globex", "markets"));
    let kind = ContentKind::Response;
    content.put(&acme, kind, &id("resp_1"), value(3), LATER).await.unwrap();
    assert_eq!(content.get(&globex, kind, &id("resp_1"), NOW).await.unwrap(), None);
    assert!(!content.delete(&globex, kind, &id("resp_1"), NOW).await.unwrap());
    for other in ["resp_", "resp_1-0", "resp_10", "esp_1"] {
        assert_eq!(content.get(&acme, kind, &id(other), NOW).await.unwrap(), None, "{other}");
        assert!(!content.delete(&acme, kind, &id(other), NOW).await.unwrap(), "{other}");
    }
    for kind in [ContentKind::Cache, ContentKind::File, ContentKind::Socket] {
        assert_eq!(content.get(&acme, kind, &id("resp_1"), NOW).await.unwrap(), None);
    }
    assert!(content.get(&acme, kind, &id("resp_1"), NOW).await.unwrap().is_some());
}

#[tokio::test]
async fn expired_content_is_absent_before_it_is_deleted() {
    let (client, content) = content().await;
    let (acme, kind, id) =
        (context("acme", "retail"), ContentKind::Cache, ContentId::from([7; 32]));
    content.put(&acme, kind, &id, value(3), LATER).await.unwrap();
    assert!(content.get(&acme, kind, &id, LATER - 1).await.unwrap().is_some());
    assert_eq!(content.get(&acme, kind, &id, LATER).await.unwrap(), None);
    assert!(!content.delete(&acme, kind, &id, LATER).await.unwrap(), "it was gone");
    assert!(keys(&client, "acme").await.is_empty());
}

#[tokio::test]
async fn a_torn_value_is_absent() {
    let (client, content) = content().await;
    let (acme, kind, id) = (context("acme", "retail"), ContentKind::Response, id("resp_1"));
    let replace = async |number: usize, bytes: Option<Bytes>| {
        let key = [("PK", "TENANT#acme".to_owned()), ("SK", format!("RESPONSE#resp_1#{number}"))];
        let [pk, sk] = key.map(|(name, text)| (name, AttributeValue::S(text)));
        if let Some(bytes) = bytes {
            let blob = AttributeValue::B(aws_sdk_dynamodb::primitives::Blob::new(bytes));
            let update = client.update_item().table_name(TABLE).key(pk.0, pk.1).key(sk.0, sk.1);
            let update = update.update_expression("SET #v = :v");
            let update = update.expression_attribute_names("#v", "value");
            update.expression_attribute_values(":v", blob).send().await.unwrap();
        } else {
            let delete = client.delete_item().table_name(TABLE);
            delete.key(pk.0, pk.1).key(sk.0, sk.1).send().await.unwrap();
        }
    };
    for (number, bytes) in [(2, Some(value(5))), (1, None), (3, None), (0, None)] {
        content.put(&acme, kind, &id, value(720_000), LATER).await.unwrap();
        assert!(content.get(&acme, kind, &id, NOW).await.unwrap().is_some());
        replace(number, bytes).await;
        assert_eq!(content.get(&acme, kind, &id, NOW).await.unwrap(), None, "chunk {number}");
    }
}

#[tokio::test]
async fn what_is_deleted_leaves_nothing_behind() {
    let (client, content) = content().await;
    let (acme, kind, id) = (context("acme", "retail"), ContentKind::File, id("file-1"));
    content.put(&acme, kind, &id, value(1_100_000), LATER).await.unwrap();
    // A smaller value in its place leaves chunks that nobody reads.
    content.put(&acme, kind, &id, value(400_000), LATER).await.unwrap();
    assert!(content.get(&acme, kind, &id, NOW).await.unwrap() == Some(value(400_000)));
    assert!(keys(&client, "acme").await.len() == 5);
    assert!(content.delete(&acme, kind, &id, NOW).await.unwrap());
    assert!(keys(&client, "acme").await.is_empty());
    assert!(!content.delete(&acme, kind, &id, NOW).await.unwrap());
}

#[tokio::test]
async fn one_of_many_claims_a_name_and_may_try_again() {
    let (_, content) = content().await;
    let (acme, globex) = (context("acme", "retail"), context("globex", "markets"));
    let (kind, id) = (ContentKind::Socket, id("r.session.1"));
    let claim = |value: &'static str, now| {
        content.claim(&acme, kind, &id, Bytes::from_static(value.as_bytes()), now + 60, now)
    };
    let claims = ["a", "b", "c", "d"].map(|value| claim(value, NOW));
    let won = futures::future::try_join_all(claims).await.unwrap();
    assert_eq!(won.iter().filter(|won| **won).count(), 1, "{won:?}");

    let holder = content.get(&acme, kind, &id, NOW).await.unwrap().unwrap();
    for value in ["a", "b", "c", "d"] {
        assert_eq!(claim(value, NOW).await.unwrap(), holder == value, "{value}");
    }
    let value = Bytes::from_static(b"e");
    assert!(content.claim(&globex, kind, &id, value, LATER, NOW).await.unwrap());
    // Once it has expired, the name is free, deleted or not.
    assert!(claim("f", LATER).await.unwrap());
}

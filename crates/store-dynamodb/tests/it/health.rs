//! What instances tell each other, through an embedded DynamoDB.

use routing::HealthStore as _;
use store_dynamodb::TargetHealth;
use tenancy::ModelId;

use crate::support::{NOON, TABLE, context, dynamodb, onboard};

#[tokio::test]
async fn instances_learn_of_open_targets_and_a_later_moment_stays() {
    let client = dynamodb().await;
    onboard(&client, &context("acme", "retail")).await;
    let [one, other] = [(); 2].map(|()| TargetHealth::new(client.clone(), TABLE.to_owned()));
    assert!(other.open_targets().await.unwrap().is_empty());

    let (a, b): (ModelId, ModelId) = ("vendor/a:1".parse().unwrap(), "b".parse().unwrap());
    let now = NOON.start_ms();
    one.trip(&a, now + 10_000).await.unwrap();
    one.trip(&b, now + 5_000).await.unwrap();
    other.trip(&a, now + 7_000).await.unwrap();
    other.trip(&b, now + 9_000).await.unwrap();
    let mut open = other.open_targets().await.unwrap();
    open.sort();
    assert_eq!(open, [(b, now + 9_000), (a, now + 10_000)]);
}

#[tokio::test]
async fn what_instances_tell_each_other_goes_away_by_itself() {
    let client = dynamodb().await;
    let health = TargetHealth::new(client.clone(), TABLE.to_owned());
    health.trip(&"a".parse().unwrap(), NOON.start_ms()).await.unwrap();
    let items = client.scan().table_name(TABLE).send().await.unwrap();
    let expires_at = items.items()[0]["expires_at"].as_n().unwrap().parse::<i64>().unwrap();
    assert_eq!(expires_at, NOON.start_ms() / 1_000 + 3_600);
}

#[tokio::test]
async fn a_table_that_is_not_there_is_an_error() {
    let health = TargetHealth::new(dynamodb().await, "no-such-table".to_owned());
    health.open_targets().await.unwrap_err();
    health.trip(&"a".parse().unwrap(), 1).await.unwrap_err();
}

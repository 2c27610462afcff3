//! Closers and correctors at the same time, in random order, failing anywhere.

use billing::fakes::InMemoryBilling;
use billing::port::{BillingStoreError, Documents, Issued};
use billing::{Account, CloseError, Ports, Progress, SETTLING_MS};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use crate::closing::{OVER_MS, call, december, month, statement, world};
use crate::support::{DAY_MS, NOVEMBER_MS, november};

/// Two closers and a corrector that fail anywhere, while records come late; in an order that `seed` says.
#[derive(Debug, Clone)]
struct History {
    seed: u64,
    lives: Vec<u64>,
    late: Vec<(usize, i64, u64)>,
}

fn histories() -> impl Strategy<Value = History> {
    let late = (0..3usize, 0..30i64, 1..1_000u64);
    (any::<u64>(), prop::collection::vec(0..60u64, 1..12), prop::collection::vec(late, 0..8))
        .prop_map(|(seed, lives, late)| History { seed, lives, late })
}

impl History {
    /// What was billed in the end, and what it should have been; an error if a statement is not the one
    /// that was told of.
    async fn run(&self, world: &InMemoryBilling, is_broken: bool) -> Result<(), String> {
        let documents = Bucket { objects: world, is_broken };
        let ports = || Ports { store: world, usage: world, documents: &documents, events: world };
        let (span, december) = (november(), december());
        let mut cost = 1_577;
        let mut late = self.late.iter().zip(100..);
        for lives in &self.lives {
            world.fail_after(Some(*lives));
            world.interleave(self.seed.wrapping_add(*lives));
            let (one, two, three) = (ports(), ports(), ports());
            let record = late.next();
            let _ = futures::future::join4(
                one.close(&span, "u-1", OVER_MS, &|| lives % 3 == 0),
                two.close(&span, "u-2", OVER_MS, &|| false),
                three.correct(&span, month("2026-12"), OVER_MS, None, &|| false),
                async {
                    if let Some(((tenant, day, amount), number)) = record {
                        // Somewhere in the middle.
                        for _ in 0..lives % 40 {
                            tokio::task::yield_now().await;
                        }
                        let at_ms = NOVEMBER_MS + day * DAY_MS;
                        call(world, ["acme", "globex", "idle"][*tenant], at_ms, number, *amount);
                        cost += i64::try_from(*amount).unwrap();
                    }
                },
            )
            .await;
        }
        world.fail_after(None);
        let done = async {
            ports().close(&span, "u-1", OVER_MS, &|| false).await?;
            ports().correct(&span, month("2026-12"), OVER_MS, None, &|| false).await?;
            let again = ports().correct(&span, month("2026-12"), OVER_MS, None, &|| false).await?;
            ports().close(&december, "u-1", december.end_ms + SETTLING_MS, &|| false).await?;
            Ok::<_, CloseError>(again)
        };
        let again = done.await.map_err(|error| error.to_string())?;
        if again != Progress::Done(0) {
            return Err("what was corrected was corrected again".to_owned());
        }
        let mut billed = 0;
        for id in ["acme", "globex", "idle"] {
            for span in [&span, &december] {
                billed +=
                    statement(world, id, span).await.map_or(0, |it| it.totals.total_nanousd.0);
            }
        }
        if billed != cost {
            return Err(format!("{billed} was billed of {cost}"));
        }
        for event in world.events() {
            if event.kind != "StatementIssued" {
                continue;
            }
            let issued: Issued = serde_json::from_value(event.detail).unwrap();
            let Account::Tenant(id) = &issued.account else { continue };
            let span = if issued.period == span.period { &span } else { &december };
            if statement(world, id.as_str(), span).await.unwrap().digest != issued.digest {
                return Err(format!("the statement of {id} was told of, and another one kept"));
            }
        }
        Ok(())
    }
}

/// A bucket; a broken one keeps the last statement, not the first.
struct Bucket<'a> {
    objects: &'a InMemoryBilling,
    is_broken: bool,
}

impl Documents for Bucket<'_> {
    async fn create(
        &self,
        key: &str,
        bytes: Vec<u8>,
        content_type: &str,
    ) -> Result<bool, BillingStoreError> {
        if self.is_broken {
            return self.objects.put(key, bytes, content_type).await.map(|()| true);
        }
        self.objects.create(key, bytes, content_type).await
    }

    async fn put(
        &self,
        key: &str,
        bytes: Vec<u8>,
        content_type: &str,
    ) -> Result<(), BillingStoreError> {
        self.objects.put(key, bytes, content_type).await
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, BillingStoreError> {
        self.objects.get(key).await
    }
}

fn run(history: &History, is_broken: bool) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(history.run(&world(), is_broken))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whoever_closes_and_fails_everything_is_billed_once(history in histories()) {
        prop_assert_eq!(run(&history, false), Ok(()));
    }
}

#[test]
fn the_histories_tell_a_bucket_that_overwrites() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let found = (0..512).any(|_| {
        let history = histories().new_tree(&mut runner).unwrap().current();
        run(&history, true).is_err()
    });
    assert!(found, "none of 512 histories noticed");
}

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::Notify;

use super::*;

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn after(seconds: u64) -> SystemTime {
    NOW + Duration::from_secs(seconds)
}

/// The load failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Failed;

type Texts = Cache<String, &'static str, Failed>;

fn key(tenant_id: &str) -> String {
    tenant_id.to_owned()
}

/// Due after 3,000 seconds, of no use after 3,600.
fn kept(value: &'static str) -> Kept<&'static str> {
    Kept { value, expires_at: after(3_600), refresh_at: after(3_000) }
}

async fn get(
    cache: &Texts,
    now: SystemTime,
    tenant_id: &str,
    loaded: Result<&'static str, Failed>,
) -> Result<&'static str, Failed> {
    let loaded = loaded.map(kept);
    Ok(cache.get(&key(tenant_id), now, || async { loaded }.boxed()).await?.value)
}

#[tokio::test]
async fn however_many_wait_the_session_is_loaded_once() {
    let cache = Texts::new(10);
    let loads = Arc::new(AtomicUsize::new(0));
    let release = Arc::new(Notify::new());
    let load = || {
        let (loads, release) = (Arc::clone(&loads), Arc::clone(&release));
        async move {
            loads.fetch_add(1, Ordering::Relaxed);
            release.notified().await;
            Ok(kept("one"))
        }
        .boxed()
    };
    let key = key("acme");
    let callers = join_all((0..50).map(|_| cache.get(&key, NOW, load)));
    let release_when_all_wait = async {
        tokio::task::yield_now().await;
        release.notify_one();
    };
    let (sessions, ()) = tokio::join!(callers, release_when_all_wait);
    assert!(sessions.iter().all(|session| session.as_ref().unwrap().value == "one"));
    assert_eq!(loads.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn those_who_wait_for_a_failure_all_get_it_and_the_next_caller_tries_again() {
    let cache = Texts::new(10);
    let key = key("acme");
    let failing = || async { Err(Failed) }.boxed();
    let outcomes = join_all((0..3).map(|_| cache.get(&key, NOW, failing))).await;
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_err_and(|error| *error == Failed)));
    assert_eq!(get(&cache, NOW, "acme", Ok("two")).await.unwrap(), "two");
}

#[tokio::test]
async fn a_caller_that_gives_up_does_not_take_the_load_with_it() {
    let cache = Texts::new(10);
    let key = key("acme");
    let release = Arc::new(Notify::new());
    let load = || {
        let release = Arc::clone(&release);
        async move {
            release.notified().await;
            Ok(kept("one"))
        }
        .boxed()
    };
    let mut given_up = Box::pin(cache.get(&key, NOW, load));
    assert!(futures::poll!(&mut given_up).is_pending());
    drop(given_up);
    release.notify_one();
    assert_eq!(get(&cache, NOW, "acme", Ok("two")).await.unwrap(), "one");
}

#[tokio::test]
async fn a_session_is_replaced_ahead_of_its_end() {
    let cache = Texts::new(10);
    assert_eq!(get(&cache, NOW, "acme", Ok("one")).await.unwrap(), "one");
    assert_eq!(get(&cache, after(2_999), "acme", Ok("two")).await.unwrap(), "one");
    assert_eq!(get(&cache, after(3_000), "acme", Ok("three")).await.unwrap(), "three");
}

#[tokio::test]
async fn a_session_that_cannot_be_replaced_is_used_until_its_end() {
    let cache = Texts::new(10);
    assert_eq!(get(&cache, NOW, "acme", Ok("one")).await.unwrap(), "one");
    assert_eq!(get(&cache, after(3_599), "acme", Err(Failed)).await.unwrap(), "one");
    let at_the_end = get(&cache, after(3_600), "acme", Err(Failed)).await;
    assert_eq!(at_the_end.unwrap_err(), Failed);
}

#[tokio::test]
async fn the_least_recently_used_session_makes_room() {
    let cache = Texts::new(2);
    get(&cache, NOW, "acme", Ok("acme")).await.unwrap();
    get(&cache, NOW, "globex", Ok("globex")).await.unwrap();
    get(&cache, NOW, "acme", Ok("unused")).await.unwrap();
    get(&cache, NOW, "initech", Ok("initech")).await.unwrap();
    assert!(cache.contains(&key("acme")) && cache.contains(&key("initech")));
    assert!(!cache.contains(&key("globex")));
}

#[tokio::test]
async fn a_forgotten_session_is_loaded_anew() {
    let cache = Texts::new(2);
    get(&cache, NOW, "acme", Ok("one")).await.unwrap();
    cache.forget(&key("acme"));
    assert_eq!(get(&cache, NOW, "acme", Ok("two")).await.unwrap(), "two");
}

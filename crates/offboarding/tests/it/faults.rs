//! Each call of each port goes wrong once, in each way.

use offboarding::fakes::{Fault, found};
use offboarding::{Job, OffboardError, Progress, Step, Store, run, undo};

use crate::support::{
    End, FOLDER, Outcome, access, call, cancel, doomed, evidence, is_complete, job, others, paper,
    saga, world,
};
use lake::ObjectStore as _;

#[tokio::test]
async fn a_tenant_goes_and_nobody_else_notices() {
    let world = world().await;
    let (doomed, others) = (doomed(&world).await, others(&world).await);
    assert_eq!(saga(&world, None).await, End::Complete);
    is_complete(&world, &doomed, &others).await;
    let evidence = evidence(&world).await;
    // What was used stays, counted by where it is.
    let usage = evidence["resources"].as_array().unwrap().iter();
    let usage = usage.filter(|it| it["kind"] == "usage_record").map(|it| &it["count"]);
    assert_eq!(usage.collect::<Vec<_>>(), [2]);
    assert_eq!(evidence["exports"].as_array().unwrap().len(), 4);
    assert_eq!(evidence["audit_chain"]["chain"], "tenant=acme");
}

/// Every call goes wrong in this way, each in a world of its own; how many ended complete, and cancelled.
async fn each_call(fault: Fault) -> (usize, usize) {
    let clean = world().await;
    saga(&clean, None).await;
    let calls = clean.faults.calls();
    assert!(calls.len() > 200, "{} calls", calls.len());
    let mut ends = (0, 0);
    for (number, name) in calls.iter().enumerate() {
        let world = world().await;
        let (doomed, others, before) =
            (doomed(&world).await, others(&world).await, access(&world).await);
        world.faults.plan(number, fault);
        eprintln!("call {number} ({name})");
        match saga(&world, None).await {
            End::Complete => {
                ends.0 += 1;
                is_complete(&world, &doomed, &others).await;
            }
            End::Cancelled => {
                ends.1 += 1;
                assert_eq!(access(&world).await, before);
                let left = world.papers.inner.list(FOLDER).await.unwrap();
                assert_eq!(left, [""; 0], "papers are left");
            }
        }
    }
    ends
}

#[tokio::test]
async fn what_fails_once_is_done_after_all() {
    assert_eq!(each_call(Fault::Fails).await.1, 0);
}

#[tokio::test]
async fn what_is_done_and_does_not_say_so_is_done_once() {
    assert_eq!(each_call(Fault::AnswerLost).await.1, 0);
}

#[tokio::test]
async fn who_dies_before_a_call_is_followed_by_somebody_who_goes_on() {
    assert_eq!(each_call(Fault::DiesBefore).await.1, 0);
}

#[tokio::test]
async fn who_dies_after_a_call_is_followed_by_somebody_who_goes_on() {
    assert_eq!(each_call(Fault::DiesAfter).await.1, 0);
}

#[tokio::test]
async fn what_fails_for_ever_is_cancelled_until_the_purge_and_then_waits_for_its_repair() {
    let (complete, cancelled) = each_call(Fault::FailsForEver).await;
    assert!(complete > 100 && cancelled > 50, "{complete} {cancelled}");
}

#[tokio::test]
async fn until_the_purge_everything_is_given_back() {
    for step in Step::ALL.into_iter().filter(|step| *step <= Step::Purge) {
        let world = world().await;
        let before = access(&world).await;
        assert_eq!(saga(&world, Some(step)).await, End::Cancelled);
        assert_eq!(access(&world).await, before, "{step:?}");
        assert_eq!(world.papers.inner.list(FOLDER).await.unwrap(), [""; 0]);
        // And it can be off-boarded after all.
        let (doomed, others) = (doomed(&world).await, others(&world).await);
        assert_eq!(saga(&world, None).await, End::Complete);
        is_complete(&world, &doomed, &others).await;
    }
}

#[tokio::test]
async fn who_dies_and_is_called_off_then_has_taken_nothing_from_anybody() {
    let clean = world().await;
    run(&clean, &job(), Step::Revoke).await.unwrap();
    for number in 0..clean.faults.calls().len() {
        for fault in [Fault::DiesBefore, Fault::DiesAfter] {
            let world = world().await;
            let before = access(&world).await;
            world.faults.plan(number, fault);
            assert!(matches!(call(&world, Step::Revoke, false).await, Outcome::Died));
            assert_eq!(cancel(&world, Step::Revoke).await, End::Cancelled);
            assert_eq!(access(&world).await, before, "{number} {fault:?}");
        }
    }
}

#[tokio::test]
async fn a_cancellation_may_go_wrong_too() {
    let clean = world().await;
    saga(&clean, Some(Step::Purge)).await;
    let calls = clean.faults.calls().len();
    let until = world().await;
    for step in Step::ALL.into_iter().filter(|step| *step < Step::Purge) {
        while run(&until, &job(), step).await.unwrap() != Progress::Done {
            until.pass(60).await;
        }
    }
    for number in until.faults.calls().len()..calls {
        for fault in Fault::ALL {
            let world = world().await;
            let before = access(&world).await;
            world.faults.plan(number, fault);
            assert_eq!(saga(&world, Some(Step::Purge)).await, End::Cancelled);
            assert_eq!(access(&world).await, before, "{number} {fault:?}");
            assert_eq!(world.papers.inner.list(FOLDER).await.unwrap(), [""; 0]);
        }
    }
}

#[tokio::test]
async fn what_is_short_of_time_goes_on_where_it_was() {
    let mut world = world().await;
    world.is_short_of_time = true;
    let (doomed, others) = (doomed(&world).await, others(&world).await);
    assert_eq!(saga(&world, None).await, End::Complete);
    is_complete(&world, &doomed, &others).await;
}

#[tokio::test]
async fn what_no_class_claims_stops_it_before_anything_is_deleted() {
    for (store, place, name) in [
        (Store::TenancyTable, "TENANT#acme", "NEWTHING#1"),
        (Store::TenancyTable, "NEWKIND#acme", "META"),
        (Store::TenancyTable, "NEWKIND#acme#x", "META"),
        (Store::LedgerTable, "TENANT#acme#NEW", "X"),
        (Store::ContentTable, "TENANT#acme", "MEMORY#1"),
        (Store::StatementsBucket, "", "reports/2026/tenant=acme/x.csv"),
    ] {
        let world = world().await;
        let before = access(&world).await;
        let unclaimed = found(store, place, name);
        if store == Store::StatementsBucket {
            world.papers.inner.put(name, "".into(), "text/csv").await.unwrap();
        } else {
            world.estate.beside().items.insert(unclaimed.clone());
        }
        let doomed = world.estate.all().await;
        for step in [Step::Revoke, Step::Drain, Step::Statement, Step::Export] {
            while run(&world, &job(), step).await.unwrap() != Progress::Done {
                world.pass(60).await;
            }
        }
        let error = run(&world, &job(), Step::Inventory).await.unwrap_err();
        let OffboardError::Unclaimed(error) = error else { panic!("{error}") };
        assert_eq!(error.found, unclaimed);
        assert!(error.to_string().contains(name), "{error}");
        let left = world.estate.all().await;
        assert!(doomed.iter().filter(|it| it.store != Store::UserPool).count() > 0);
        assert!(left.contains(&unclaimed));
        for step in Step::ALL.into_iter().rev().filter(|step| *step < Step::Purge) {
            undo(&world, &job(), step).await.unwrap();
        }
        assert_eq!(access(&world).await, before);
    }
}

#[tokio::test]
async fn from_the_purge_on_nothing_is_given_back_and_nobody_else_off_boards() {
    let world = world().await;
    saga(&world, None).await;
    let error = undo(&world, &job(), Step::Revoke).await.unwrap_err();
    assert!(matches!(error, OffboardError::Begun(_)), "{error}");
    let other = Job { task_id: "task-2".to_owned(), ..job() };
    for error in [
        run(&world, &other, Step::Revoke).await.unwrap_err(),
        undo(&world, &other, Step::Revoke).await.unwrap_err(),
    ] {
        assert!(matches!(error, OffboardError::Buried { .. }), "{error}");
    }
    let bent = Job { task_id: "../x".to_owned(), ..job() };
    assert!(matches!(run(&world, &bent, Step::Export).await, Err(OffboardError::TaskId)));
}

#[tokio::test]
async fn evidence_is_written_once() {
    let world = world().await;
    saga(&world, None).await;
    let files = ["evidence.json", "evidence.sig", "evidence.pub.pem"];
    let mut before = Vec::new();
    for name in files {
        before.push(paper(&world, name).await.unwrap());
    }
    world.pass(5).await;
    assert_eq!(run(&world, &job(), Step::Evidence).await.unwrap(), Progress::Done);
    for (name, bytes) in files.iter().zip(before) {
        assert_eq!(paper(&world, name).await.unwrap(), bytes, "{name}");
    }
}

fn is_send<T: Send>(_: T) {}

#[tokio::test]
async fn steps_can_be_run_anywhere() {
    let world = world().await;
    let job = job();
    is_send(run(&world, &job, Step::Revoke));
    is_send(undo(&world, &job, Step::Revoke));
}

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::testing::{
    Caller, Clock, FakeService, REGION, ROLE_ARN, acme, model, refusing_sts, sdk_config, sts,
};

fn sessions(sts: &FakeService, clock: &Clock) -> Sessions {
    let time = SharedTimeSource::new(clock.clone());
    let role = ROLE_ARN.parse().unwrap();
    Sessions::new(&sdk_config(sts, clock), role, REGION.to_owned(), None, time)
}

async fn access_key_id(sessions: &Sessions, call: &ProviderCall<'_>) -> String {
    sessions.of_call(call).await.unwrap().credentials.access_key_id().to_owned()
}

/// The models that a session policy lets call.
fn models_in(policy: &str) -> Vec<String> {
    let policy: Value = serde_json::from_str(policy).unwrap();
    let is_invoke = |statement: &&Value| statement["Action"][0] == "bedrock:InvokeModel";
    let statements = policy["Statement"].as_array().unwrap().iter().filter(is_invoke);
    let resources = statements.flat_map(|statement| statement["Resource"].as_array().unwrap());
    resources
        .map(|resource| resource.as_str().unwrap().split_once('/').unwrap().1.to_owned())
        .collect()
}

/// More models than one policy can name.
fn many_models() -> Caller {
    let ids: Vec<_> =
        (0..30).map(|number| format!("us.anthropic.claude-sonnet-{number}")).collect();
    Caller::new("acme", &ids.iter().map(String::as_str).collect::<Vec<_>>())
}

#[tokio::test]
async fn a_session_is_named_tagged_and_limited_to_the_allowlist() {
    let clock = Clock::new();
    let sts = sts(&clock);
    sessions(&sts, &clock).of_call(&acme().call(0)).await.unwrap();
    insta::assert_json_snapshot!(sts.sent()[0].form());
}

#[tokio::test]
async fn a_session_serves_every_allowed_model_until_it_is_due() {
    let clock = Clock::new();
    let sts = sts(&clock);
    let sessions = sessions(&sts, &clock);
    let acme = acme();
    assert_eq!(access_key_id(&sessions, &acme.call(0)).await, "SESSION0");
    clock.advance(3_200);
    assert_eq!(access_key_id(&sessions, &acme.call(1)).await, "SESSION0");
    clock.advance(101);
    assert_eq!(access_key_id(&sessions, &acme.call(1)).await, "SESSION1");
}

#[tokio::test]
async fn two_tenants_never_share_a_session() {
    let clock = Clock::new();
    let sts = sts(&clock);
    let sessions = sessions(&sts, &clock);
    let (acme, globex) = (Caller::new("acme", &["m"]), Caller::new("globex", &["m"]));
    assert_ne!(
        access_key_id(&sessions, &acme.call(0)).await,
        access_key_id(&sessions, &globex.call(0)).await
    );
    let names: Vec<_> =
        sts.sent().iter().map(|sent| sent.form()["RoleSessionName"].clone()).collect();
    assert_eq!(names, ["t-acme", "t-globex"]);
}

#[tokio::test]
async fn a_project_has_a_session_that_is_tagged_with_it() {
    let clock = Clock::new();
    let sts = sts(&clock);
    let sessions = sessions(&sts, &clock);
    let mut acme = acme();
    assert_eq!(access_key_id(&sessions, &acme.call(0)).await, "SESSION0");
    acme.project_id = Some("web-shop".parse().unwrap());
    assert_eq!(access_key_id(&sessions, &acme.call(0)).await, "SESSION1");
    assert_eq!(access_key_id(&sessions, &acme.call(1)).await, "SESSION1");
    let sent = sts.sent();
    let tag = |index: usize| sent[index].form().get("Tags.member.3.Value").cloned();
    assert_eq!((tag(0), tag(1)), (None, Some("web-shop".to_owned())));
}

#[tokio::test]
async fn a_change_of_entitlements_needs_a_new_session() {
    let clock = Clock::new();
    let sts = sts(&clock);
    let sessions = sessions(&sts, &clock);
    let mut acme = acme();
    assert_eq!(access_key_id(&sessions, &acme.call(0)).await, "SESSION0");
    acme.entitlement_version += 1;
    assert_eq!(access_key_id(&sessions, &acme.call(0)).await, "SESSION1");
    acme.models.pop();
    assert_eq!(access_key_id(&sessions, &acme.call(0)).await, "SESSION2");
}

#[tokio::test]
async fn an_allowlist_that_does_not_fit_gives_each_model_a_session() {
    let clock = Clock::new();
    let sts = sts(&clock);
    let sessions = sessions(&sts, &clock);
    let caller = many_models();
    for (index, session) in [(0, "SESSION0"), (1, "SESSION1"), (0, "SESSION0")] {
        assert_eq!(access_key_id(&sessions, &caller.call(index)).await, session);
    }
    let named = models_in(&sts.sent()[1].form()["Policy"]);
    assert_eq!(named, ["us.anthropic.claude-sonnet-1", "anthropic.claude-sonnet-1"]);
}

#[tokio::test]
async fn an_allowlist_that_sts_finds_too_large_gives_each_model_a_session() {
    let clock = Clock::new();
    let (granting, refusing) = (sts(&clock), refusing_sts(400, "PackedPolicyTooLarge"));
    let sts = FakeService::new(move |sent| {
        let is_whole = sent.form()["Policy"].contains("nova");
        let service = if is_whole { &refusing } else { &granting };
        service.answer(sent)
    });
    let sessions = sessions(&sts, &clock);
    let acme = acme();
    assert_eq!(access_key_id(&sessions, &acme.call(0)).await, "SESSION0");
    assert_eq!(access_key_id(&sessions, &acme.call(0)).await, "SESSION0");
    assert_eq!(sts.sent().len(), 2, "the refusal is remembered");
}

#[tokio::test]
async fn no_session_is_made_for_a_model_that_is_not_allowed() {
    let clock = Clock::new();
    let sts = sts(&clock);
    let sessions = sessions(&sts, &clock);
    let other = model("anthropic.claude-opus-5");
    for caller in [many_models(), Caller::new("acme", &[])] {
        let outcome = sessions.of_call(&caller.call_of(&other)).await;
        assert_eq!(outcome.unwrap_err(), SessionError::ModelNotAllowed);
    }
    assert!(sts.sent().is_empty());
    let session = sessions.of_call(&acme().call_of(&other)).await.unwrap();
    assert!(
        !session.key.policy.contains("opus"),
        "the allowlist's session leaves the refusal to IAM"
    );
}

#[tokio::test]
async fn a_refusal_is_told_from_an_outage() {
    let clock = Clock::new();
    for (status, code, expected) in [
        (403, "AccessDenied", SessionError::Refused),
        (400, "MalformedPolicyDocument", SessionError::Refused),
        (400, "Throttling", SessionError::Unavailable),
        (503, "ServiceUnavailable", SessionError::Unavailable),
    ] {
        let outcome = sessions(&refusing_sts(status, code), &clock).of_call(&acme().call(0)).await;
        assert_eq!(outcome.unwrap_err(), expected, "{code}");
    }
}

#[test]
fn sessions_that_start_together_refresh_apart_but_in_time() {
    let expires_at = SystemTime::UNIX_EPOCH + Duration::from_hours(1);
    let ahead: Vec<_> = (0..100)
        .map(|_| expires_at.duration_since(refresh_at(expires_at)).unwrap().as_secs())
        .collect();
    assert!(ahead.iter().all(|seconds| (300..=360).contains(seconds)), "{ahead:?}");
    assert!(ahead.iter().any(|seconds| *seconds != ahead[0]), "{ahead:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_session_exceeds_the_limit_or_the_allowlist(
        ids in prop::collection::btree_set("(us\\.|eu\\.|global\\.)?[a-z][a-z0-9.:-]{0,60}", 1..30),
        index in any::<prop::sample::Index>(),
    ) {
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        let caller = Caller::new("acme", &ids);
        let called = index.index(ids.len());
        let clock = Clock::new();
        let sts = sts(&clock);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(sessions(&sts, &clock).of_call(&caller.call(called))).unwrap();

        let policy = sts.sent()[0].form()["Policy"].clone();
        prop_assert!(policy.chars().count() <= MAX_POLICY_CHARACTERS);
        let named = models_in(&policy);
        prop_assert!(named.iter().any(|named| named == ids[called]));
        for named in named {
            prop_assert!(ids.iter().any(|id| id.ends_with(named.as_str())), "{}", named);
        }
    }
}

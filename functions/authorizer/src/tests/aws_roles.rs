//! AWS roles that are let in, and how often STS is asked about them.

use serde_json::json;

use super::sts::{ACME, Draft, GLOBEX, bearer};
use super::*;

#[tokio::test]
async fn a_role_acts_for_the_tenant_that_it_is_registered_for() {
    let gateway = Gateway::new();
    for (credentials, tenant_id, lob_id, role_id) in [
        (ACME, "acme", "retail", "AROAACMEBATCH"),
        (GLOBEX, "globex", "research", "AROAGLOBEXBATCH"),
    ] {
        assert_eq!(
            gateway.context(&Draft::of(credentials).bearer()).await,
            json!({
                "tenant_id": tenant_id, "lob_id": lob_id, "principal_id": role_id,
                "principal_kind": "machine", "roles": "machine", "scopes": "", "expires_at": "1800000300",
            })
        );
    }
}

#[tokio::test]
async fn a_role_is_what_its_registration_says() {
    let mut directory = directory();
    let role = directory.aws_roles.get_mut("111122223333:batch").unwrap();
    role.role = Role::TenantAdmin;
    role.role_id = Some("AROAACMEBATCH".into());
    let context = Gateway::with(directory).context(&Draft::of(ACME).bearer()).await;
    assert_eq!(
        (&context["roles"], &context["principal_kind"]),
        (&json!("tenant_admin"), &json!("machine"))
    );
}

/// `clients/python` made it, for these credentials at this time; `tests/contract` holds it to that.
#[tokio::test]
async fn what_the_helper_makes_is_read() {
    let token = include_str!("../../testdata/aws_token.txt").trim();
    let gateway = Gateway::new();
    assert_eq!(gateway.context(&format!("Bearer {token}")).await["tenant_id"], "acme");
}

#[tokio::test]
async fn the_order_of_parameters_is_of_no_account() {
    let gateway = Gateway::new();
    let mut draft = Draft::of(ACME);
    draft.pairs.reverse();
    assert_eq!(gateway.reason(&draft.bearer()).await, "allowed");
    let lower_case = Draft::of(ACME).url().replace("%2F", "%2f").replace("%3B", "%3b");
    assert_eq!(gateway.reason(&bearer(&lower_case)).await, "allowed");
}

#[tokio::test]
async fn each_allowed_region_has_its_own_sts() {
    let gateway = Gateway::new();
    let mut draft = Draft::of(ACME)
        .with("X-Amz-Credential", "ASIAACMEACMEACMEACME/20270115/eu-central-1/sts/aws4_request");
    draft.host = "sts.eu-central-1.amazonaws.com".into();
    assert_eq!(gateway.reason(&draft.bearer()).await, "allowed");
}

#[tokio::test]
async fn sts_is_asked_once_per_token_until_the_token_ends() {
    let gateway = Gateway::new();
    let (acme, globex) = (Draft::of(ACME).bearer(), Draft::of(GLOBEX).bearer());
    for second in [0, 1, 150, 299] {
        assert_eq!(gateway.reason_at(&acme, NOW + second).await, "allowed");
    }
    assert_eq!(gateway.asked(), 1);
    assert_eq!(gateway.context(&globex).await["tenant_id"], "globex");
    assert_eq!(gateway.asked(), 2);
    // Not by anything but the whole token.
    let renewed = Draft::of(ACME).with("X-Amz-Expires", "299").bearer();
    assert_eq!(gateway.reason(&renewed).await, "allowed");
    assert_eq!(gateway.asked(), 3);
    assert_eq!(gateway.reason_at(&acme, NOW + 300).await, "expired");
    assert_eq!(gateway.asked(), 3);
}

#[tokio::test]
async fn what_sts_said_of_one_token_is_said_of_no_other() {
    let gateway = Gateway::new();
    assert_eq!(gateway.reason(&Draft::of(ACME).bearer()).await, "allowed");
    let forged = Draft::of(ACME).with("X-Amz-Expires", "900").url();
    let signature = Draft::of(ACME).url().rsplit_once('=').unwrap().1.to_owned();
    let forged = format!("{}={signature}", forged.rsplit_once('=').unwrap().0);
    assert_eq!(gateway.reason(&bearer(&forged)).await, "refused_by_sts");
    assert_eq!(gateway.asked(), 2);
}

#[tokio::test]
async fn many_tokens_are_not_all_remembered() {
    let gateway = Gateway::new();
    let token = |second: u64| {
        let date = format!("20270115T08{:02}{:02}Z", second / 60, second % 60);
        Draft::of(ACME).with("X-Amz-Date", &date).with("X-Amz-Expires", "900").bearer()
    };
    for second in 0..1100 {
        assert_eq!(gateway.reason_at(&token(second), NOW + second).await, "allowed");
    }
    assert_eq!(gateway.asked(), 1100);
    assert_eq!(gateway.reason_at(&token(1000), NOW + 1100).await, "allowed");
    assert_eq!(gateway.asked(), 1100, "those that are still good are kept");
}

#[tokio::test]
async fn registrations_are_read_on_every_call() {
    let mut directory = directory();
    directory.aws_roles.get_mut("111122223333:batch").unwrap().status = Status::Suspended;
    let mut gateway = Gateway::with(directory);
    let token = Draft::of(ACME).bearer();
    assert_eq!(gateway.reason(&token).await, "suspended_aws_role");
    gateway.state.directory.aws_roles.get_mut("111122223333:batch").unwrap().status =
        Status::Active;
    assert_eq!(gateway.reason(&token).await, "allowed");
    gateway.state.directory.aws_roles.remove("111122223333:batch");
    assert_eq!(gateway.reason(&token).await, "unknown_aws_role");
    assert_eq!(gateway.asked(), 1);
}

//! Registrations, read from an embedded DynamoDB that holds those of two tenants.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use store_dynamodb::DynamoDirectory;
use tenancy::{Directory, Issuer, Role, SigningAlgorithm, Status};

use crate::support::keyed;

const ACME_IDP: &str = "https://login.acme.example";
const GLOBEX_IDP: &str = "https://login.globex.example/";

const TABLE: &str = "tenancy";

/// A directory that knows acme and globex.
async fn directory() -> DynamoDirectory {
    let client = keyed(TABLE).await;
    for (tenant, lob, status) in [("acme", "retail", "active"), ("globex", "research", "suspended")]
    {
        let attributes = [
            ("tenant_id", tenant),
            ("lob_id", lob),
            ("status", status),
            ("limits", "not read here"),
        ];
        put(&client, &format!("TENANT#{tenant}"), &attributes, None).await;
        let id = format!("{tenant}-batch");
        let attributes = [
            ("client_id", id.as_str()),
            ("tenant_id", tenant),
            ("role", "machine"),
            ("issuer", "https://pool.example"),
        ];
        put(&client, &format!("CLIENT#{id}"), &attributes, None).await;
    }
    let acme = [
        ("issuer", ACME_IDP),
        ("jwks_url", "https://keys/a"),
        ("tenant_id", "acme"),
        ("role", "developer"),
    ];
    put(&client, &format!("ISSUER#{ACME_IDP}"), &acme, Some("weir-acme")).await;
    let globex = [
        ("issuer", GLOBEX_IDP),
        ("jwks_url", "https://keys/g"),
        ("tenant_id", "globex"),
        ("role", "viewer"),
        ("algorithm", "ES256"),
    ];
    put(&client, &format!("ISSUER#{GLOBEX_IDP}"), &globex, Some("weir-globex")).await;
    let account = ("account_id", "111122223333");
    let role = [account, ("role_name", "acme-batch"), ("tenant_id", "acme")];
    put(&client, "AWSROLE#111122223333:acme-batch", &role, None).await;
    let role = [
        account,
        ("role_name", "globex-ops"),
        ("role_id", "AROAGLOBEX"),
        ("tenant_id", "globex"),
        ("role", "tenant_admin"),
        ("status", "suspended"),
    ];
    put(&client, "AWSROLE#111122223333:globex-ops", &role, None).await;
    put(
        &client,
        "CLIENT#broken",
        &[("client_id", "broken"), ("tenant_id", "Not A Tenant"), ("issuer", "i")],
        None,
    )
    .await;
    put(&client, "ISSUER#https://hmac.example", &[("algorithm", "HS256")], Some("weir")).await;
    DynamoDirectory::new(client, TABLE.to_owned())
}

async fn put(client: &Client, pk: &str, attributes: &[(&str, &str)], audience: Option<&str>) {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let mut put = client.put_item().table_name(TABLE).item("PK", text(pk)).item("SK", text("META"));
    for (name, value) in attributes {
        put = put.item(*name, text(value));
    }
    if let Some(audience) = audience {
        put = put.item("audiences", AttributeValue::L(vec![text(audience)]));
    }
    put.send().await.unwrap();
}

#[tokio::test]
async fn a_tenant_is_read_with_its_line_of_business_and_status() {
    let directory = directory().await;
    let acme = directory.tenant(&"acme".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((acme.lob_id.as_str(), acme.status), ("retail", Status::Active));
    let globex = directory.tenant(&"globex".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((globex.lob_id.as_str(), globex.status), ("research", Status::Suspended));
}

#[tokio::test]
async fn a_client_is_read_with_its_tenant() {
    let directory = directory().await;
    let client = directory.client("globex-batch").await.unwrap().unwrap();
    assert_eq!((client.client_id.as_str(), client.tenant_id.as_str()), ("globex-batch", "globex"));
    assert_eq!(client.issuer, "https://pool.example");
}

#[tokio::test]
async fn an_issuer_signs_with_rs256_unless_its_item_says_otherwise() {
    let directory = directory().await;
    let acme = directory.issuer(ACME_IDP).await.unwrap().unwrap();
    assert_eq!(
        (acme.tenant_id, acme.role, acme.algorithm),
        ("acme".parse().ok(), Some(Role::Developer), SigningAlgorithm::Rs256)
    );
    assert_eq!(
        (acme.jwks_url.as_str(), acme.audiences),
        ("https://keys/a", vec!["weir-acme".to_owned()])
    );
    let globex = directory.issuer(GLOBEX_IDP).await.unwrap().unwrap();
    assert_eq!((globex.issuer.as_str(), globex.algorithm), (GLOBEX_IDP, SigningAlgorithm::Es256));
}

#[tokio::test]
async fn an_issuers_mapping_is_read_as_it_is_registered() {
    let client = keyed(TABLE).await;
    let registered = Issuer {
        issuer: "https://sso.example".to_owned(),
        jwks_url: "https://sso.example/keys".to_owned(),
        audiences: vec!["weir".to_owned()],
        algorithm: SigningAlgorithm::Es256,
        tenant_id: None,
        tenant_claim: "/realm_access/unit".parse().ok(),
        tenants: [("emea".to_owned(), "acme".parse().unwrap())].into(),
        role: None,
        role_claim: "groups".parse().ok(),
        roles: [("ops".to_owned(), Role::LobAdmin)].into(),
        may_grant: [Role::LobAdmin].into(),
        required_claims: [("azp".parse().unwrap(), ["app".to_owned()].into())].into(),
        subject_claim: "oid".parse().ok(),
    };
    let mut item: HashMap<String, AttributeValue> = serde_dynamo::to_item(&registered).unwrap();
    item.insert("PK".to_owned(), AttributeValue::S("ISSUER#https://sso.example".to_owned()));
    item.insert("SK".to_owned(), AttributeValue::S("META".to_owned()));
    client.put_item().table_name(TABLE).set_item(Some(item)).send().await.unwrap();
    let directory = DynamoDirectory::new(client, TABLE.to_owned());
    assert_eq!(directory.issuer("https://sso.example").await.unwrap(), Some(registered));
}

#[tokio::test]
async fn an_aws_role_is_an_active_machine_unless_its_item_says_otherwise() {
    let directory = directory().await;
    let acme = directory.aws_role("111122223333", "acme-batch").await.unwrap().unwrap();
    assert_eq!(
        (acme.account_id.as_str(), acme.role_name.as_str(), acme.tenant_id.as_str()),
        ("111122223333", "acme-batch", "acme")
    );
    assert_eq!((acme.role, acme.status, acme.role_id), (Role::Machine, Status::Active, None));
    let globex = directory.aws_role("111122223333", "globex-ops").await.unwrap().unwrap();
    assert_eq!((globex.role, globex.status), (Role::TenantAdmin, Status::Suspended));
    assert_eq!(globex.role_id.as_deref(), Some("AROAGLOBEX"));
}

#[tokio::test]
async fn only_exact_names_are_found() {
    let directory = directory().await;
    for name in ["", "acme", "acme-batch ", "ACME-BATCH", "https://login.acme.example"] {
        assert_eq!(directory.client(name).await.unwrap(), None, "{name:?}");
    }
    for name in ["", "https://login.acme.example/", "https://login.globex.example", "acme-batch"] {
        assert_eq!(directory.issuer(name).await.unwrap(), None, "{name:?}");
    }
    for (account, name) in [
        ("", ""),
        ("111122223333", "ACME-batch"),
        ("444455556666", "acme-batch"),
        ("111122223333:acme-batch", ""),
    ] {
        assert_eq!(directory.aws_role(account, name).await.unwrap(), None, "{account} {name}");
    }
    assert_eq!(directory.tenant(&"ghost".parse().unwrap()).await.unwrap(), None);
}

#[tokio::test]
async fn an_item_that_is_no_registration_is_an_error_and_not_an_absence() {
    let directory = directory().await;
    assert_eq!(directory.client("broken").await.unwrap_err().registration, "client");
    assert_eq!(directory.issuer("https://hmac.example").await.unwrap_err().registration, "issuer");
}

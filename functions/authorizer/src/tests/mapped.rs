//! What registrations make of the claims of four products. The claims are those that each product
//! documents for its access tokens (Identity Center: for its ID tokens); ids are invented.

use serde_json::json;

use super::*;

const ENTRA: &str = "https://login.microsoftonline.com/8a5f1d0c-93a4-4a39-9d3d-0e4ff7e2a9c1/v2.0";
const OKTA: &str = "https://acme.okta.com/oauth2/aus1a2b3c4d5e6f7g8h9";
const KEYCLOAK: &str = "https://sso.globex.example/realms/globex";
const IDENTITY_CENTER: &str = "https://identitycenter.amazonaws.com/ssoins-69870e2d1c2b3a4f";
const KEYS: &str = "https://keys.example/acme";

/// A registration as an administrator writes it.
fn registered(issuer: &str, mapping: &Value) -> FakeDirectory {
    let mut item = json!({ "issuer": issuer, "jwks_url": KEYS, "audiences": ["weir"] });
    item.as_object_mut().unwrap().extend(mapping.as_object().unwrap().clone());
    let registration: Issuer = serde_json::from_value(item).unwrap();
    assert_eq!(registration.check(), Ok(()));
    let mut directory = directory();
    directory.issuers.insert(issuer.to_owned(), registration);
    directory
}

/// The same, without asking whether it makes sense.
fn registered_somehow(issuer: &str, change: impl Fn(&mut Issuer)) -> FakeDirectory {
    let mut directory = registered(issuer, &json!({ "tenant_id": "acme", "role": "developer" }));
    change(directory.issuers.get_mut(issuer).unwrap());
    directory
}

fn entra() -> Value {
    json!({
        "aud": "weir", "iss": ENTRA, "iat": NOW, "nbf": NOW, "exp": NOW + 4_000,
        "aio": "AXQAi/8TAAAA", "azp": "c1f7c7f1-8a3e-4d0b-9f43-6d6a2b3a0f11", "azpacr": "0",
        "name": "Ada Example", "oid": "5f2b0f7e-3c1d-4e8a-9b0a-1d2c3b4a5f6e", "preferred_username": "ada@acme.example",
        "rh": "0.AX0A", "roles": ["Weir.Developer", "Other.Role"], "scp": "access_as_user",
        "sub": "pairwise-AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", "tid": "8a5f1d0c-93a4-4a39-9d3d-0e4ff7e2a9c1",
        "uti": "x", "ver": "2.0", "groups": ["0e1c5a7e-1111-4222-8333-444455556666"],
    })
}

fn entra_registration() -> Value {
    json!({
        "tenant_id": "acme", "subject_claim": "oid", "role_claim": "roles",
        "roles": { "Weir.Developer": "developer", "Weir.Admin": "tenant_admin", "Weir.Machine": "machine", "Weir.Root": "org_admin" },
        "may_grant": ["org_admin"],
        "required_claims": { "tid": ["8a5f1d0c-93a4-4a39-9d3d-0e4ff7e2a9c1"] },
    })
}

fn okta() -> Value {
    json!({
        "ver": 1, "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE", "iss": OKTA, "aud": "weir",
        "iat": NOW, "exp": NOW + 3_600, "cid": "0oa1a2b3c4d5e6f7g8h9", "uid": "00u1a2b3c4d5e6f7g8h9",
        "scp": ["openid", "weir/read"], "auth_time": NOW, "sub": "ada@acme.example",
        "groups": ["Everyone", "weir-acme-developers"],
    })
}

fn okta_registration() -> Value {
    json!({
        "tenant_claim": "groups", "tenants": { "weir-acme-developers": "acme", "weir-globex-viewers": "globex" },
        "role_claim": "groups", "roles": { "weir-acme-developers": "developer", "weir-globex-viewers": "viewer" },
        "subject_claim": "uid", "required_claims": { "cid": ["0oa1a2b3c4d5e6f7g8h9", "0oaOTHER"] },
    })
}

fn keycloak() -> Value {
    json!({
        "exp": NOW + 300, "iat": NOW, "auth_time": NOW, "jti": "onrtac:5c1d0c4e", "iss": KEYCLOAK,
        "aud": ["weir", "account"], "sub": "f:7a1e:9d6a0b42", "typ": "Bearer", "azp": "weir-cli",
        "sid": "s", "acr": "1", "allowed-origins": ["*"],
        "realm_access": { "roles": ["offline_access", "uma_authorization", "default-roles-globex"] },
        "resource_access": { "weir": { "roles": ["admin"] }, "account": { "roles": ["manage-account"] } },
        "scope": "openid profile email", "email_verified": true, "preferred_username": "ada", "email": "ada@globex.example",
    })
}

fn keycloak_registration() -> Value {
    json!({
        "tenant_id": "globex", "role": "viewer",
        "role_claim": "/resource_access/weir/roles", "roles": { "admin": "tenant_admin", "build": "developer" },
        "required_claims": { "typ": ["Bearer"], "email_verified": ["true"] },
    })
}

fn identity_center() -> Value {
    json!({
        "aws:identity_store_id": "d-996773e796", "sub": "73d8d20b-a0b1-70a5-9c2d-5e6f7a8b9c0d",
        "aws:instance_account": "111122223333", "iss": IDENTITY_CENTER,
        "sts:audit_context": "AQoJb3JpZ2luX2VjE", "sts:identity_context": "AQoJb3JpZ2luX2VjE",
        "aws:identity_store_arn": "arn:aws:identitystore::111122223333:identitystore/d-996773e796",
        "aud": "weir", "aws:instance_arn": "arn:aws:sso:::instance/ssoins-69870e2d1c2b3a4f",
        "aws:credential_id": "AQoJ", "act": { "sub": "arn:aws:sso::111122223333:trustedTokenIssuer/ssoins-69870e2d1c2b3a4f/tti-1" },
        "auth_time": "2027-01-15T08:00:00Z", "exp": NOW + 3_600, "iat": NOW,
    })
}

fn identity_center_registration() -> Value {
    json!({ "tenant_id": "acme", "role": "developer", "required_claims": { "aws:instance_account": ["111122223333"] } })
}

async fn context(
    issuer: &str,
    registration: &Value,
    claims: &Value,
) -> (Value, Value, Value, Value, Value) {
    let gateway = Gateway::with(registered(issuer, registration));
    let mut context = gateway.context(&OTHER_KEY.bearer(claims)).await;
    (
        context["tenant_id"].take(),
        context["principal_id"].take(),
        context["principal_kind"].take(),
        context["roles"].take(),
        context["scopes"].take(),
    )
}

async fn reason(issuer: &str, registration: &Value, claims: &Value) -> &'static str {
    Gateway::with(registered(issuer, registration)).reason(&OTHER_KEY.bearer(claims)).await
}

/// Tenant, id, kind, roles and scopes.
fn caller(texts: [&str; 5]) -> (Value, Value, Value, Value, Value) {
    let [tenant_id, id, kind, roles, scopes] = texts.map(|text| json!(text));
    (tenant_id, id, kind, roles, scopes)
}

#[tokio::test]
async fn callers_of_four_products() {
    let oid = "5f2b0f7e-3c1d-4e8a-9b0a-1d2c3b4a5f6e";
    assert_eq!(
        context(ENTRA, &entra_registration(), &entra()).await,
        caller(["acme", oid, "user", "developer", ""])
    );
    assert_eq!(
        context(OKTA, &okta_registration(), &okta()).await,
        caller(["acme", "00u1a2b3c4d5e6f7g8h9", "user", "developer", "weir/read"])
    );
    assert_eq!(
        context(KEYCLOAK, &keycloak_registration(), &keycloak()).await,
        caller(["globex", "f:7a1e:9d6a0b42", "user", "tenant_admin", ""])
    );
    assert_eq!(
        context(IDENTITY_CENTER, &identity_center_registration(), &identity_center()).await,
        caller(["acme", "73d8d20b-a0b1-70a5-9c2d-5e6f7a8b9c0d", "user", "developer", ""])
    );
}

#[tokio::test]
async fn a_program_at_entra_is_a_machine() {
    let claims = with(with(entra(), "roles", json!(["Weir.Machine"])), "idtyp", json!("app"));
    let (_, _, kind, roles, _) = context(ENTRA, &entra_registration(), &claims).await;
    assert_eq!((kind, roles), (json!("machine"), json!("machine")));
}

#[tokio::test]
async fn several_roles_are_all_given_and_others_ignored() {
    let roles =
        json!(["Weir.Admin", "Weir.Developer", "org_admin", "tenant_admin", "Weir.Auditor"]);
    let (.., roles, _) =
        context(ENTRA, &entra_registration(), &with(entra(), "roles", roles)).await;
    assert_eq!(roles, "tenant_admin developer");
    let (.., roles, _) =
        context(ENTRA, &entra_registration(), &with(entra(), "roles", json!("Weir.Admin"))).await;
    assert_eq!(roles, "tenant_admin", "one role may be a text");
}

#[tokio::test]
async fn who_has_no_role_is_refused_unless_the_registration_has_one_for_all() {
    for roles in [
        Value::Null,
        json!([]),
        json!(["Other"]),
        json!({ "Weir.Admin": true }),
        json!([["Weir.Admin"]]),
    ] {
        let claims = with(entra(), "roles", roles);
        assert_eq!(reason(ENTRA, &entra_registration(), &claims).await, "no_role", "{claims}");
    }
    for access in [
        Value::Null,
        json!({}),
        json!({ "weir": [] }),
        json!({ "weir": { "roles": ["Admin"] } }),
        json!("weir"),
    ] {
        let claims = with(keycloak(), "resource_access", access);
        let (.., roles, _) = context(KEYCLOAK, &keycloak_registration(), &claims).await;
        assert_eq!(roles, "viewer", "{claims}");
    }
}

#[tokio::test]
async fn the_tenant_is_what_the_table_says_and_never_what_is_claimed() {
    for (groups, reason_expected) in [
        (json!(["weir-acme-developers"]), "allowed"),
        (json!(["weir-globex-viewers"]), "allowed"),
        (json!(["acme"]), "no_tenant"),
        (json!(["globex", "Everyone"]), "no_tenant"),
        (json!([]), "no_tenant"),
        (Value::Null, "no_tenant"),
        (json!(["weir-acme-developers", "weir-globex-viewers"]), "several_tenants"),
        (json!(["weir-acme-developers", "weir-acme-developers"]), "allowed"),
        (json!(["WEIR-ACME-DEVELOPERS"]), "no_tenant"),
        (json!(["weir-acme-developers "]), "no_tenant"),
    ] {
        let claims = with(with(okta(), "groups", groups), "tenant_id", json!("globex"));
        assert_eq!(reason(OKTA, &okta_registration(), &claims).await, reason_expected, "{claims}");
    }
    // A table for tenants is the only thing that counts, should there be a tenant beside it.
    let directory = registered_somehow(OKTA, |issuer| issuer.tenant_claim = "groups".parse().ok());
    let gateway = Gateway::with(directory);
    assert_eq!(gateway.reason(&OTHER_KEY.bearer(&okta())).await, "no_tenant");
    let gateway = Gateway::with(registered_somehow(OKTA, |issuer| issuer.tenant_id = None));
    assert_eq!(gateway.reason(&OTHER_KEY.bearer(&okta())).await, "no_tenant");
}

#[tokio::test]
async fn a_token_must_claim_what_is_required() {
    for (issuer, registration, claims, name, value) in [
        (
            ENTRA,
            &entra_registration(),
            entra(),
            "tid",
            json!("00000000-0000-0000-0000-000000000000"),
        ),
        (ENTRA, &entra_registration(), entra(), "tid", Value::Null),
        (
            ENTRA,
            &entra_registration(),
            entra(),
            "tid",
            json!({ "0": "8a5f1d0c-93a4-4a39-9d3d-0e4ff7e2a9c1" }),
        ),
        (OKTA, &okta_registration(), okta(), "cid", json!("0oaFOREIGN")),
        (KEYCLOAK, &keycloak_registration(), keycloak(), "typ", json!("ID")),
        (KEYCLOAK, &keycloak_registration(), keycloak(), "typ", json!("Refresh")),
        (KEYCLOAK, &keycloak_registration(), keycloak(), "email_verified", json!(false)),
        (
            IDENTITY_CENTER,
            &identity_center_registration(),
            identity_center(),
            "aws:instance_account",
            json!("444455556666"),
        ),
    ] {
        let claims = with(claims, name, value);
        assert_eq!(reason(issuer, registration, &claims).await, "wrong_claim", "{claims}");
    }
    let claims = with(okta(), "cid", json!("0oaOTHER"));
    assert_eq!(reason(OKTA, &okta_registration(), &claims).await, "allowed");
    let claims = with(entra(), "aud", json!("api://another"));
    assert_eq!(reason(ENTRA, &entra_registration(), &claims).await, "wrong_audience");
}

#[tokio::test]
async fn roles_beyond_a_tenant_are_given_only_where_the_registration_says_so() {
    let root = with(entra(), "roles", json!(["Weir.Root"]));
    let (.., roles, _) = context(ENTRA, &entra_registration(), &root).await;
    assert_eq!(roles, "org_admin");
    for role in [Role::OrgAdmin, Role::LobAdmin, Role::OrgAuditor] {
        let by_default = registered_somehow(ENTRA, |issuer| issuer.role = Some(role));
        assert_eq!(Gateway::with(by_default).reason(&OTHER_KEY.bearer(&root)).await, "no_role");
        let by_claim = registered_somehow(ENTRA, |issuer| {
            issuer.role_claim = "roles".parse().ok();
            issuer.roles = [("Weir.Root".to_owned(), role)].into();
        });
        let context = Gateway::with(by_claim).context(&OTHER_KEY.bearer(&root)).await;
        assert_eq!(context["roles"], "developer", "what everybody is");
    }
}

#[tokio::test]
async fn an_id_that_cannot_be_one_is_refused() {
    for (name, value) in [
        ("oid", Value::Null),
        ("oid", json!("")),
        ("oid", json!("two words")),
        ("oid", json!(["a", "b"])),
        ("oid", json!({})),
        ("oid", json!("x".repeat(129))),
    ] {
        let claims = with(entra(), name, value);
        assert_eq!(
            reason(ENTRA, &entra_registration(), &claims).await,
            "unusable_subject",
            "{claims}"
        );
    }
}

#[tokio::test]
async fn a_name_that_stands_twice_deep_inside_is_refused() {
    let gateway = Gateway::with(registered(KEYCLOAK, &keycloak_registration()));
    let header = OTHER_KEY.header().to_string();
    let good = keycloak().to_string();
    assert_eq!(gateway.reason(&OTHER_KEY.bearer_of(&header, &good)).await, "allowed");
    for (part, twice) in [
        (r#""weir":{"roles":["admin"]}"#, r#""weir":{"roles":["admin"]},"weir":{"roles":[]}"#),
        (r#"{"roles":["admin"]}"#, r#"{"roles":[],"roles":["admin"]}"#),
        (r#"["offline_access","#, r#"[{"a":1,"a":2},"#),
    ] {
        let changed = good.replacen(part, twice, 1);
        assert_ne!(changed, good);
        assert_eq!(
            gateway.reason(&OTHER_KEY.bearer_of(&header, &changed)).await,
            "malformed",
            "{twice}"
        );
    }
}

#[tokio::test]
async fn claims_nested_without_end_are_refused() {
    let gateway = Gateway::with(registered(KEYCLOAK, &keycloak_registration()));
    let header = OTHER_KEY.header().to_string();
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = format!("{}1{}", open.repeat(500), close.repeat(500));
        let claims = keycloak().to_string().replacen("\"s\"", &nested, 1);
        assert_eq!(gateway.reason(&OTHER_KEY.bearer_of(&header, &claims)).await, "malformed");
    }
}

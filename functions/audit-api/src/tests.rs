//! Recorded requests in, what auditors see out.

use audit::fakes::InMemoryAudit;
use audit::{Entry, append};
use http::StatusCode;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use tenancy::{AwsRole, Client, Issuer, ReadDirectoryError, Status, TenantRecord};

use super::*;

/// Acme and zenith are of retail, globex is of markets; nobody else is there.
#[derive(Debug)]
struct Tenants {
    is_down: bool,
}

impl Directory for Tenants {
    async fn issuer(&self, _: &str) -> Result<Option<Issuer>, ReadDirectoryError> {
        Ok(None)
    }

    async fn client(&self, _: &str) -> Result<Option<Client>, ReadDirectoryError> {
        Ok(None)
    }

    async fn aws_role(&self, _: &str, _: &str) -> Result<Option<AwsRole>, ReadDirectoryError> {
        Ok(None)
    }

    async fn tenant(&self, id: &TenantId) -> Result<Option<TenantRecord>, ReadDirectoryError> {
        if self.is_down {
            let source = "10.0.0.7 does not answer".into();
            return Err(ReadDirectoryError { registration: "tenant", source });
        }
        Ok(lob_of(id.as_str())
            .map(|lob| TenantRecord { lob_id: lob.parse().unwrap(), status: Status::Active }))
    }
}

fn lob_of(tenant: &str) -> Option<&'static str> {
    match tenant {
        "acme" | "zenith" => Some("retail"),
        "globex" => Some("markets"),
        _ => None,
    }
}

type World = State<InMemoryAudit, InMemoryAudit, Tenants>;

const CHAINS: [&str; 6] =
    ["org", "lob=retail", "lob=markets", "tenant=acme", "tenant=globex", "tenant=gone"];

/// Three records in each chain, the second of which was refused.
async fn world() -> World {
    let audit = InMemoryAudit::default();
    for chain in CHAINS {
        let chain: ChainId = chain.parse().unwrap();
        let owner = chain.folder().replace("lob/", "LOB#").replace("tenant/", "TENANT#");
        let owner = owner.replace("org", "ORG");
        let entry = |number: i64| {
            let time = Timestamp::from_second(1_795_435_200 + number).unwrap();
            let item = json!({
                "PK": owner, "SK": format!("AUDIT#{time:.3}#e-{number}"), "action": "limits.set",
                "principal_id": format!("u-{number}"), "is_allowed": number != 2,
            });
            let Value::Object(item) = item else { panic!("an object") };
            Entry::of_item(item).unwrap().1
        };
        let entries: Vec<Entry> = (1..=3).map(entry).collect();
        let now = Timestamp::from_second(1_795_435_300).unwrap();
        append(&audit, &audit, &chain, &entries, now).await.unwrap();
    }
    let directory = Tenants { is_down: false };
    State { chains: audit.clone(), files: audit, directory, new_id: || "call-1".into() }
}

async fn ask(state: &World, who: &str, method: &str, target: &str) -> (StatusCode, Value) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let template = include_str!("../testdata/request.json").replace("METHOD", method);
    let template = template.replace("/PATH", &format!("/v1{path}"));
    let mut event: Value = serde_json::from_str(&template).unwrap();
    let resource = match path {
        "/audit" | "/audit/verify" => format!("/v1{path}"),
        _ => "/{proxy+}".to_owned(),
    };
    event["requestContext"]["resourcePath"] = resource.into();
    let (roles, tenant) = who.split_once('@').unwrap();
    let (roles, scopes) = roles.split_once('.').unwrap_or((roles, ""));
    event["requestContext"]["authorizer"] = json!({
        "tenant_id": tenant, "lob_id": lob_of(tenant).unwrap(), "principal_id": "u-1",
        "principal_kind": "user", "roles": roles, "scopes": scopes,
    });
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap();
        let values = &mut event["multiValueQueryStringParameters"][name];
        match values.as_array_mut() {
            Some(values) => values.push(value.into()),
            None => *values = json!([value]),
        }
    }
    let request = lambda_http::request::from_str(&event.to_string()).unwrap();
    let response = handle(state, request).await.unwrap();
    assert_eq!(response.headers()["x-request-id"], "call-1");
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap())
}

async fn get(state: &World, who: &str, target: &str) -> (u16, Value) {
    let (status, body) = ask(state, who, "GET", target).await;
    (status.as_u16(), body)
}

fn sequences(body: &Value) -> Vec<u64> {
    let data = body["data"].as_array().unwrap();
    data.iter().map(|record| record["sequence"].as_u64().unwrap()).collect()
}

/// For each chain what both routes answer, in the order of `CHAINS`.
async fn statuses(who: &str) -> [u16; 6] {
    let state = world().await;
    let mut statuses = [0; 6];
    for (status, chain) in statuses.iter_mut().zip(CHAINS) {
        let (read, body) = get(&state, who, &format!("/audit?chain={chain}")).await;
        let (verified, _) = get(&state, who, &format!("/audit/verify?chain={chain}")).await;
        assert_eq!(read, verified);
        if read == 200 {
            assert_eq!((body["chain"].as_str(), sequences(&body)), (Some(chain), vec![3, 2, 1]));
        }
        *status = read;
    }
    statuses
}

#[tokio::test]
async fn a_chain_is_seen_by_who_reaches_it_and_is_not_there_for_others() {
    assert_eq!(statuses("org_admin@acme").await, [200; 6]);
    assert_eq!(statuses("org_auditor@globex").await, [200; 6]);
    assert_eq!(statuses("lob_admin@acme").await, [404, 200, 404, 200, 404, 404]);
    assert_eq!(statuses("lob_admin@globex").await, [404, 404, 200, 404, 200, 404]);
    for role in ["tenant_admin", "auditor"] {
        let own = statuses(&format!("{role}@acme")).await;
        assert_eq!([own[0], own[2], own[4], own[5]], [404; 4]);
        assert_eq!(own[3], 200);
        assert_ne!(own[1], 200, "not its line of business' trail");
    }
    for who in ["developer@acme", "viewer@acme", "machine@acme", "org_admin.weir/invoke@acme"] {
        let own = statuses(who).await;
        assert_eq!(own[3], 403, "{who}");
        assert!(!own.contains(&200), "{who} {own:?}");
    }
}

#[tokio::test]
async fn the_callers_own_chain_is_meant_if_none_is_named() {
    let state = world().await;
    let (status, body) = get(&state, "auditor@acme", "/audit?limit=2").await;
    assert_eq!(
        (status, &body["chain"], &body["next_cursor"]),
        (200, &json!("tenant=acme"), &json!("2"))
    );
    assert_eq!(sequences(&body), [3, 2]);
    let (_, body) = get(&state, "auditor@acme", "/audit?limit=2&cursor=2").await;
    assert_eq!((sequences(&body), &body["next_cursor"]), (vec![1], &Value::Null));
}

#[tokio::test]
async fn filters_narrow() {
    let state = world().await;
    for (query, expected) in [
        ("decision=deny", &[2][..]),
        ("decision=unknown", &[]),
        ("actor=u-3", &[3]),
        ("action=limits.", &[3, 2, 1]),
        ("action=limits.set&decision=allow", &[3, 1]),
        ("from=2026-11-23T12:00:02Z", &[3, 2]),
        ("from=2026-11-23T11:00:03-01:00", &[3]),
        ("to=2026-11-23T12:00:02.000Z", &[1]),
        ("from=2026-11-23&to=2026-11-24", &[3, 2, 1]),
        ("to=2026-11-23", &[]),
    ] {
        let (status, body) = get(&state, "auditor@acme", &format!("/audit?{query}")).await;
        assert_eq!((status, sequences(&body).as_slice()), (200, expected), "{query}");
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_by_name() {
    let state = world().await;
    for (target, param) in [
        ("/audit?chain=", "chain"),
        ("/audit?chain=tenant", "chain"),
        ("/audit?chain=tenant=ACME", "chain"),
        ("/audit?chain=tenant=*", "chain"),
        ("/audit?chain=org&chain=org", "chain"),
        ("/audit?from=yesterday", "from"),
        ("/audit?to=2026-13-01", "to"),
        ("/audit?to=20261101", "to"),
        ("/audit?from=-009999-01-01T00:00:00Z", "from"),
        ("/audit?from=2026-11-24&to=2026-11-23", "to"),
        ("/audit?from=2026-11-23&to=2026-11-23", "to"),
        ("/audit?actor=", "actor"),
        ("/audit?actor=a b", "actor"),
        ("/audit?action=", "action"),
        ("/audit?action=LIMITS", "action"),
        ("/audit?decision=Allow", "decision"),
        ("/audit?limit=0", "limit"),
        ("/audit?limit=201", "limit"),
        ("/audit?limit=+1", "limit"),
        ("/audit?limit=99999999999999999999", "limit"),
        ("/audit?cursor=0", "cursor"),
        ("/audit?cursor=-1", "cursor"),
        ("/audit?cursor=x", "cursor"),
        ("/audit?tenant=globex", "tenant"),
        ("/audit/verify?limit=1", "limit"),
        ("/audit/verify?segments=0", "segments"),
        ("/audit/verify?segments=1001", "segments"),
    ] {
        let (status, body) = get(&state, "org_admin@acme", target).await;
        assert_eq!((status, &body["error"]["param"]), (400, &json!(param)), "{target}");
    }
    for (method, target, expected) in [
        ("GET", "/audit/", 404),
        ("GET", "/audit/verify/x", 404),
        ("GET", "/auditx", 404),
        ("POST", "/audit", 405),
        ("DELETE", "/audit/verify", 405),
    ] {
        let (status, _) = ask(&state, "org_admin@acme", method, target).await;
        assert_eq!(status.as_u16(), expected, "{method} {target}");
    }
}

#[tokio::test]
async fn a_tenant_that_never_was_has_no_trail() {
    let state = world().await;
    for who in ["org_admin@acme", "tenant_admin@acme"] {
        for target in ["/audit", "/audit/verify"] {
            let target = format!("{target}?chain=tenant=never");
            assert_eq!(get(&state, who, &target).await.0, 404, "{who} {target}");
        }
    }
}

#[tokio::test]
async fn a_damaged_chain_says_where_first() {
    let state = world().await;
    let target = "/audit/verify?chain=tenant=acme";
    let (_, body) = get(&state, "auditor@acme", target).await;
    assert_eq!((&body["is_intact"], &body["fault"]), (&json!(true), &Value::Null));
    assert_eq!((&body["first_sequence"], &body["last_sequence"]), (&json!(1), &json!(3)));
    assert_eq!(body["head"]["sequence"], 3);
    assert_eq!(body["head"]["hash"].as_str().unwrap().len(), 64);
    let files = state.files.files();
    let key = files.keys().find(|key| key.contains("tenant/acme")).unwrap();
    let text = String::from_utf8(files[key].clone()).unwrap().replace("u-2", "u-4");
    state.files.tamper(key, Some(text.into_bytes()));
    let (status, body) = get(&state, "auditor@acme", target).await;
    assert_eq!((status, &body["is_intact"]), (200, &json!(false)));
    assert_eq!(
        (&body["fault"]["kind"], &body["fault"]["sequence"]),
        (&json!("changed"), &json!(2))
    );
    assert_eq!(get(&state, "auditor@globex", "/audit/verify").await.1["is_intact"], true);
}

#[tokio::test]
async fn a_store_that_fails_is_503_and_says_nothing_of_the_inside() {
    let state = world().await;
    state.chains.die_after(Some(0), false);
    for target in ["/audit", "/audit/verify"] {
        let (status, body) = get(&state, "auditor@acme", target).await;
        assert_eq!(status, 503);
        assert!(!body.to_string().contains("made to fail"), "{body}");
    }
    let state = State { directory: Tenants { is_down: true }, ..world().await };
    let (status, body) = get(&state, "lob_admin@acme", "/audit?chain=tenant=zenith").await;
    assert_eq!(status, 503);
    assert!(!body.to_string().contains("10.0.0.7"), "{body}");
}

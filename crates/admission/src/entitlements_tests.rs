//! Which meters a call meets.

use metering::NanoUsd;
use tenancy::{ModelAllowlist, ModelId, PriorityClass, Project, TenantSettings};

use super::*;
use crate::Metric;

fn rules(text: &str) -> Vec<LimitRule> {
    serde_json::from_str(text).unwrap()
}

fn principal(id: &str) -> PrincipalId {
    id.to_owned().try_into().unwrap()
}

fn entitlements() -> Entitlements {
    let project = |members: &[&str], tag: &str| Project {
        members: members.iter().map(|id| principal(id)).collect(),
        tags: BTreeMap::from([("cost-center".to_owned(), tag.to_owned())]),
        priority_class: None,
    };
    Entitlements {
        tenant: Tenant {
            tenant_id: "acme".parse().unwrap(),
            lob_id: "retail".parse().unwrap(),
            status: Status::Active,
            models: ModelAllowlist::default(),
            default_max_tokens: None,
            settings: TenantSettings::default(),
            projects: BTreeMap::from([
                ("web-shop".parse().unwrap(), project(&["bot"], "42")),
                ("search".parse().unwrap(), project(&[], "43")),
            ]),
            tags: BTreeMap::from([
                ("cost-center".to_owned(), "1".to_owned()),
                ("env".to_owned(), "prod".to_owned()),
            ]),
            entitlement_version: 7,
        },
        lob_status: Status::Active,
        limits: TenantLimits::default(),
        lob: ScopeLimits::default(),
        org: ScopeLimits::default(),
    }
}

/// The scopes of a call of `who` to `opus` of the family `claude`, with the sizes of their caps.
fn scopes(of: &Entitlements, who: &str, project: Option<&str>) -> Vec<String> {
    let (model, family): (ModelId, ModelId) = ("opus".parse().unwrap(), "claude".parse().unwrap());
    let call = LimitedCall {
        model: &model,
        family: &family,
        priority_class: PriorityClass::Standard,
        now_ms: 0,
    };
    let project = project.map(|id| id.parse().unwrap());
    of.scopes_of(&principal(who), project.as_ref(), &call)
        .iter()
        .map(|it| {
            let caps: Vec<u64> = it.caps.iter().map(|cap| cap.whole).collect();
            let version = it.entitlement_version.map(|version| format!(" v{version}"));
            format!("{}{} {caps:?}", it.gate(0).meter, version.unwrap_or_default())
        })
        .collect()
}

#[test]
fn a_tenant_without_limits_meets_its_own_meter_only() {
    assert_eq!(scopes(&entitlements(), "dev", None), ["tenant=acme v7 []"]);
}

#[test]
fn each_level_with_a_limit_in_force_is_met_from_near_to_far() {
    let mut of = entitlements();
    let limit = |amount: u64, more: &str| {
        rules(&format!(
            r#"[{{"id":"a","metric":"cost","period":"month","amount":{amount}{more}}}]"#
        ))
    };
    of.org.limits = limit(1_000, "");
    of.lob.limits = limit(500, r#","max_share":40"#);
    of.limits.tenant.limits =
        [limit(300, r#","max_share":10"#), limit(90, r#","models":{"family":"claude"}"#)].concat();
    of.limits.project_limits = BTreeMap::from([("search".parse().unwrap(), limit(50, ""))]);
    of.limits.each_principal_limits = limit(20, "");
    of.limits.principal_limits =
        BTreeMap::from([(principal("vip"), limit(200, r#","enforcement":"soft""#))]);
    assert_eq!(
        scopes(&of, "dev", Some("search")),
        [
            "tenant=acme v7 [200, 300]",
            "tenant=acme principal=dev [20, 30]",
            "tenant=acme project=search [50]",
            "tenant=acme family=claude [90]",
            "lob=retail [500]",
            "org [1000]",
        ]
    );
    assert_eq!(
        scopes(&of, "vip", Some("web-shop"))[..2],
        ["tenant=acme v7 [200, 300]", "tenant=acme principal=vip [30]"],
        "a soft limit counts and refuses nothing"
    );
    of.limits.tenant.limits = limit(90, r#","models":{"family":"nova"}"#);
    of.lob.limits = limit(500, r#","valid_until":"1970-01-01T00:00:00Z""#);
    assert_eq!(
        scopes(&of, "dev", None),
        ["tenant=acme v7 []", "tenant=acme principal=dev [20]", "org [1000]"]
    );
}

#[test]
fn caps_are_met_in_the_order_of_their_windows() {
    let mut of = entitlements();
    of.limits.tenant.limits = rules(
        r#"[{"id":"a","metric":"cost","period":"month","amount":1},{"id":"b","metric":"total_tokens","period":"day","amount":2},
            {"id":"c","metric":"requests","period":"minute","amount":3},{"id":"d","metric":"concurrency","amount":4}]"#,
    );
    assert_eq!(scopes(&of, "dev", None), ["tenant=acme v7 [4, 3, 2, 1]"]);
    assert_eq!(NanoUsd(1).0, 1);
    assert!(Metric::Concurrency < Metric::Requests && Metric::Requests < Metric::Cost);
}

#[test]
fn a_call_is_of_the_project_that_its_caller_works_on_or_names() {
    let of = entitlements();
    let project = |who: &str, asked: Option<&str>| {
        of.project_of(&principal(who), asked).map(|id| id.map(|id| id.to_string()))
    };
    assert_eq!(project("bot", None), Ok(Some("web-shop".to_owned())), "its only one");
    assert_eq!(project("dev", None), Ok(None));
    assert_eq!(project("dev", Some("search")), Ok(Some("search".to_owned())), "open to all");
    for (who, asked) in [("dev", "web-shop"), ("dev", "nothing"), ("dev", "../x"), ("bot", "")] {
        assert!(project(who, Some(asked)).is_err(), "{who} {asked}");
    }
    let tags = of.tags_of(Some(&"search".parse().unwrap()));
    assert_eq!((tags["cost-center"].as_str(), tags["env"].as_str()), ("43", "prod"));
    assert_eq!(of.tags_of(None)["cost-center"], "1");
}

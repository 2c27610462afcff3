//! Presigned identities that are not let in: none but those that look right gets as far as STS.

use proptest::prelude::*;

use super::sts::{ACME, Draft, SERVER_ID, bearer, identity, refusal};
use super::*;
use crate::aws::StsAnswer;

/// Refused for this reason, without a word to STS.
async fn refused(what: &str, authorization: &str, reason: &str) {
    let gateway = Gateway::new();
    assert_eq!(gateway.reason(authorization).await, reason, "{what}");
    assert_eq!(gateway.asked(), 0, "{what}");
}

#[tokio::test]
async fn only_sts_of_an_allowed_region_is_asked() {
    let good = "sts.eu-west-1.amazonaws.com";
    for host in [
        "sts.amazonaws.com",
        "sts.us-east-1.amazonaws.com",
        "sts.eu-west-1.amazonaws.com.evil.example",
        "evil.example",
        "sts.eu-west-1.amazonaws.com.",
        "sts.eu-west-1.amazonaws.com:443",
        "sts.eu-west-1.amazonaws.com:8443",
        "sts.eu-west-1.amazonaws.com@evil.example",
        "evil.example@sts.eu-west-1.amazonaws.com",
        "user:password@sts.eu-west-1.amazonaws.com",
        "STS.eu-west-1.amazonaws.com",
        "sts.EU-WEST-1.amazonaws.com",
        "sts%2Eeu-west-1.amazonaws.com",
        "%73ts.eu-west-1.amazonaws.com",
        "xn--sts-eu-west-1.amazonaws.com",
        "\u{455}ts.eu-west-1.amazonaws.com",
        "sts.eu-west-1.amazonaws\u{3002}com",
        "sts.eu-west-1.amazonaws.com.cn",
        "sts-fips.eu-west-1.amazonaws.com",
        "sts.eu-west-1.api.aws",
        "sts.eu-west-1.amazonaws.com\t",
        " sts.eu-west-1.amazonaws.com",
        "sts.eu-west-1.amazonaws.com\0",
        "sts.eu-west-1.amazonaws.com\\.evil.example",
        "sts.eu-west-1.amazonaws.com#.evil.example",
        "evil.example#sts.eu-west-1.amazonaws.com",
        "evil.example?sts.eu-west-1.amazonaws.com",
        "s3.eu-west-1.amazonaws.com",
        "169.254.169.254",
        "[::1]",
        "",
    ] {
        let mut draft = Draft::of(ACME);
        draft.host = host.to_owned();
        refused(host, &draft.bearer(), "wrong_endpoint").await;
    }
    let url = Draft::of(ACME).url();
    for (what, url) in [
        ("http", url.replacen("https", "http", 1)),
        ("upper case", url.replacen("https", "HTTPS", 1)),
        ("no scheme", url.replacen("https:", "", 1)),
        ("file", url.replacen("https", "file", 1)),
        ("one slash", url.replacen("https://", "https:/", 1)),
        ("three slashes", url.replacen("https://", "https:///", 1)),
        ("leading space", format!(" {url}")),
        ("no path", url.replacen("/?", "?", 1)),
        ("another path", url.replacen("/?", "/admin?", 1)),
        ("dot segment", url.replacen("/?", "/./?", 1)),
        ("double slash", url.replacen("/?", "//?", 1)),
        ("encoded path", url.replacen("/?", "/%2F?", 1)),
        ("path parameter", url.replacen("/?", "/;x?", 1)),
        ("no query", url.replacen("/?", "/", 1)),
        ("nothing but the host", format!("https://{good}/")),
        ("empty", String::new()),
    ] {
        refused(what, &bearer(&url), "wrong_endpoint").await;
    }
}

#[tokio::test]
async fn nothing_but_get_caller_identity_is_sent() {
    for (name, value, reason) in [
        ("Action", "AssumeRole", "wrong_action"),
        ("Action", "getcalleridentity", "wrong_action"),
        ("Action", "GetCallerIdentity ", "malformed"),
        ("Version", "2012-06-15", "wrong_action"),
        ("X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256", "wrong_algorithm"),
        ("X-Amz-Algorithm", "none", "wrong_algorithm"),
        ("X-Amz-Credential", "ASIAACMEACMEACMEACME", "wrong_scope"),
        (
            "X-Amz-Credential",
            "ASIAACMEACMEACMEACME/20270115/eu-west-1/s3/aws4_request",
            "wrong_scope",
        ),
        (
            "X-Amz-Credential",
            "ASIAACMEACMEACMEACME/20270115/us-east-1/sts/aws4_request",
            "wrong_scope",
        ),
        (
            "X-Amz-Credential",
            "ASIAACMEACMEACMEACME/20270115/eu-central-1/sts/aws4_request",
            "wrong_scope",
        ),
        (
            "X-Amz-Credential",
            "ASIAACMEACMEACMEACME/20270114/eu-west-1/sts/aws4_request",
            "wrong_scope",
        ),
        (
            "X-Amz-Credential",
            "ASIAACMEACMEACMEACME/20270115/eu-west-1/sts/aws5_request",
            "wrong_scope",
        ),
        (
            "X-Amz-Credential",
            "ASIAACMEACMEACMEACME/20270115/eu-west-1/sts/aws4_request/",
            "wrong_scope",
        ),
        ("X-Amz-Credential", "/20270115/eu-west-1/sts/aws4_request", "wrong_scope"),
        ("X-Amz-Credential", "test/20270115/eu-west-1/sts/aws4_request", "wrong_scope"),
        ("X-Amz-Date", "2027-01-15T08:00:00Z", "malformed"),
        ("X-Amz-Date", "20270115T080000", "malformed"),
        ("X-Amz-Date", "20271315T080000Z", "malformed"),
        ("X-Amz-Date", "20270115T080060Z", "malformed"),
        ("X-Amz-Date", "+2027115T080000Z", "malformed"),
        ("X-Amz-Date", "00000115T080000Z", "malformed"),
        ("X-Amz-Expires", "0", "wrong_lifetime"),
        ("X-Amz-Expires", "901", "wrong_lifetime"),
        ("X-Amz-Expires", "-1", "wrong_lifetime"),
        ("X-Amz-Expires", "+60", "wrong_lifetime"),
        ("X-Amz-Expires", "060", "wrong_lifetime"),
        ("X-Amz-Expires", "60.0", "wrong_lifetime"),
        ("X-Amz-Expires", "99999999999999999999999", "wrong_lifetime"),
        ("X-Amz-SignedHeaders", "host", "wrong_signed_headers"),
        ("X-Amz-SignedHeaders", "x-weir-server-id", "wrong_signed_headers"),
        ("X-Amz-SignedHeaders", "host;x-k8s-aws-id", "wrong_signed_headers"),
        ("X-Amz-SignedHeaders", "host;x-forwarded-for;x-weir-server-id", "wrong_signed_headers"),
        ("X-Amz-SignedHeaders", "x-weir-server-id;host", "wrong_signed_headers"),
        ("X-Amz-SignedHeaders", "host;X-Weir-Server-Id", "wrong_signed_headers"),
        ("X-Amz-SignedHeaders", "host;x-weir-server-id;", "wrong_signed_headers"),
        ("X-Amz-SignedHeaders", "host;host;x-weir-server-id", "wrong_signed_headers"),
        ("DurationSeconds", "900", "unknown_parameter"),
        ("X-Amz-User-Agent", "x", "unknown_parameter"),
        ("x-amz-date", "20270115T080000Z", "unknown_parameter"),
        ("action", "GetCallerIdentity", "unknown_parameter"),
        ("%41ction", "GetCallerIdentity", "unknown_parameter"),
        ("", "x", "unknown_parameter"),
    ] {
        refused(&format!("{name}={value}"), &Draft::of(ACME).with(name, value).bearer(), reason)
            .await;
    }
}

#[tokio::test]
async fn every_parameter_stands_once() {
    for (name, reason) in [
        ("Action", "wrong_action"),
        ("Version", "wrong_action"),
        ("X-Amz-Algorithm", "wrong_algorithm"),
        ("X-Amz-Credential", "malformed"),
        ("X-Amz-Date", "malformed"),
        ("X-Amz-Expires", "wrong_lifetime"),
        ("X-Amz-SignedHeaders", "wrong_signed_headers"),
    ] {
        let draft = Draft::of(ACME);
        let pair = draft.pairs.iter().find(|(it, _)| it == name).unwrap().clone();
        let mut twice = Draft::of(ACME);
        twice.pairs.push(pair);
        refused(name, &twice.bearer(), "repeated_parameter").await;
        refused(name, &draft.without(name).bearer(), reason).await;
    }
    let url = Draft::of(ACME).url();
    let (unsigned, signature) = url.rsplit_once("&X-Amz-Signature=").unwrap();
    for (what, url, reason) in [
        ("no signature", unsigned.to_owned(), "wrong_signature"),
        ("short", format!("{unsigned}&X-Amz-Signature={}", &signature[1..]), "wrong_signature"),
        (
            "upper case",
            format!("{unsigned}&X-Amz-Signature={}", signature.to_uppercase()),
            "wrong_signature",
        ),
        ("long", format!("{url}0"), "wrong_signature"),
        ("twice", format!("{url}&X-Amz-Signature={signature}"), "repeated_parameter"),
        ("fragment", format!("{url}#x"), "malformed"),
        ("trailing &", format!("{url}&"), "malformed"),
        ("double &", url.replacen('&', "&&", 1), "malformed"),
        ("semicolon", url.replacen('&', ";", 1), "malformed"),
        ("no value", format!("{url}&X-Amz-Security-Token"), "malformed"),
        ("plus", url.replace("%2B", "+"), "malformed"),
        ("unescaped", url.replace("%2F", "/"), "malformed"),
        ("cut escape", format!("{url}%2"), "malformed"),
        ("no hex", format!("{url}%zz"), "malformed"),
        ("line break", url.replacen("2011-06-15", "2011-06-15%0D%0Ax-evil:%201", 1), "malformed"),
        ("NUL", url.replacen("2011-06-15", "2011-06-15%00", 1), "malformed"),
        ("not UTF-8", url.replacen("2011-06-15", "2011-06-15%FF", 1), "malformed"),
    ] {
        refused(what, &bearer(&url), reason).await;
    }
}

#[tokio::test]
async fn a_token_is_encoded_in_one_way() {
    let good = Draft::of(ACME).bearer();
    let url = Draft::of(ACME).url();
    let invalid = URL_SAFE_NO_PAD.encode([b"https://".as_slice(), &[0xff, 0xfe]].concat());
    for (what, authorization, reason) in [
        ("padding", format!("{good}="), "malformed"),
        ("standard alphabet", format!("{good}+/"), "malformed"),
        ("space", format!("{good} "), "malformed"),
        ("another version", good.replacen("v1", "v2", 1), "malformed"),
        ("upper case", good.replacen("weir", "WEIR", 1), "malformed"),
        ("EKS's", good.replacen("weir-aws-v1", "k8s-aws-v1", 1), "malformed"),
        ("not encoded", format!("Bearer weir-aws-v1.{url}"), "malformed"),
        ("not UTF-8", format!("Bearer weir-aws-v1.{invalid}"), "malformed"),
        ("empty", "Bearer weir-aws-v1.".to_owned(), "wrong_endpoint"),
        ("encoded twice", bearer(&URL_SAFE_NO_PAD.encode(&url)), "wrong_endpoint"),
        ("huge", bearer(&format!("{url}{}", "0".repeat(8 * 1024))), "too_large"),
    ] {
        refused(what, &authorization, reason).await;
    }
}

#[tokio::test]
async fn a_token_is_good_as_long_as_it_says_and_no_longer_than_sts_takes_it() {
    for (lifetime, last) in [("1", 0), ("60", 59), ("900", 899)] {
        let gateway = Gateway::new();
        let token = Draft::of(ACME).with("X-Amz-Expires", lifetime).bearer();
        assert_eq!(gateway.reason_at(&token, NOW + last + 1).await, "expired");
        assert_eq!(gateway.reason_at(&token, NOW + 1_000_000_000).await, "expired");
        assert_eq!(gateway.reason_at(&token, NOW - 61).await, "not_yet_valid");
        assert_eq!(gateway.asked(), 0);
        assert_eq!(gateway.reason_at(&token, NOW - 60).await, "allowed");
        assert_eq!(gateway.reason_at(&token, NOW + last).await, "allowed");
        // A replay after its end finds nothing remembered.
        assert_eq!(gateway.reason_at(&token, NOW + last + 1).await, "expired");
    }
}

#[tokio::test]
async fn what_is_not_signed_for_this_gateway_is_refused_by_sts() {
    let gateway = Gateway::new();
    let mut elsewhere = Draft::of(ACME);
    elsewhere.server_id = "weir.eu-west-1.999900001111";
    assert_eq!(gateway.reason(&elsewhere.bearer()).await, "refused_by_sts");
    assert_ne!(elsewhere.server_id, SERVER_ID);
    let url = Draft::of(ACME).url();
    let last = if url.ends_with('0') { '1' } else { '0' };
    for (what, url) in [
        ("signature", format!("{}{last}", &url[..url.len() - 1])),
        ("lifetime", url.replacen("X-Amz-Expires=300", "X-Amz-Expires=900", 1)),
        ("key", url.replacen("ASIAACMEACMEACMEACME", "ASIAGLOBEXGLOBEXGLOB", 1)),
        ("unknown key", url.replacen("ASIAACMEACMEACMEACME", "ASIANOBODYNOBODYNOBO", 1)),
        ("session", url.replacen("acme%2Fsession", "globex%2Fsession", 1)),
        ("date", url.replacen("T080000Z", "T080001Z", 1)),
    ] {
        assert_eq!(gateway.reason(&bearer(&url)).await, "refused_by_sts", "{what}");
    }
    assert_eq!(
        handle(&gateway.state, event(API_GATEWAY, &elsewhere.bearer()), NOW).await,
        Err(AuthorizerError::Unauthorized)
    );
}

#[tokio::test]
async fn only_sessions_of_registered_roles_get_in() {
    for (arn, user_id, reason) in [
        ("arn:aws:sts::111122223333:assumed-role/batch/s1", "AROAOTHER:s1", "allowed"),
        ("arn:aws:sts::111122223333:assumed-role/other/s1", "AROAOTHER:s1", "unknown_aws_role"),
        ("arn:aws:sts::111122223333:assumed-role/Batch/s1", "AROAOTHER:s1", "unknown_aws_role"),
        ("arn:aws:sts::111122223333:assumed-role/initech/s1", "AROAOTHER:s1", "suspended_tenant"),
        ("arn:aws:iam::111122223333:user/batch", "AIDAUSER", "not_a_role"),
        ("arn:aws:iam::111122223333:root", "111122223333", "not_a_role"),
        ("arn:aws:sts::111122223333:federated-user/batch", "111122223333:batch", "not_a_role"),
        ("arn:aws:iam::111122223333:role/batch", "AROAOTHER", "not_a_role"),
        ("arn:aws:iam::111122223333:assumed-role/batch/s1", "AROAOTHER:s1", "not_a_role"),
        // What STS never answers is no answer of STS.
        ("arn:aws:sts::444455556666:assumed-role/batch/s1", "AROAOTHER:s1", "fault"),
        ("arn:aws-cn:sts::111122223333:assumed-role/batch/s1", "AROAOTHER:s1", "fault"),
        ("arn:aws:sts:eu-west-1:111122223333:assumed-role/batch/s1", "AROAOTHER:s1", "fault"),
        ("arn:aws:sts::111122223333:assumed-role/batch/s1/s2", "AROAOTHER:s1", "fault"),
        ("arn:aws:sts::111122223333:assumed-role/batch/", "AROAOTHER:s1", "fault"),
        ("arn:aws:sts::111122223333:assumed-role/a#b/s1", "AROAOTHER:s1", "fault"),
        ("arn:aws:sts::111122223333:assumed-role/batch/s1", "AROAOTHER", "fault"),
        ("arn:aws:sts::111122223333:assumed-role/batch/s1", ":s1", "fault"),
        ("batch", "AROAOTHER:s1", "fault"),
    ] {
        let gateway = Gateway::new();
        *gateway.sts.credentials.lock().unwrap() = vec![ACME.known_as(arn, user_id)];
        assert_eq!(gateway.reason(&Draft::of(ACME).bearer()).await, reason, "{arn} {user_id}");
    }
}

#[tokio::test]
async fn a_role_made_again_is_not_the_registered_one_if_that_is_said() {
    let mut directory = directory();
    directory.aws_roles.get_mut("111122223333:batch").unwrap().role_id = Some("AROAFORMER".into());
    assert_eq!(
        Gateway::with(directory).reason(&Draft::of(ACME).bearer()).await,
        "unknown_aws_role"
    );
}

#[tokio::test]
async fn a_role_item_under_another_name_is_not_used() {
    for change in [
        |role: &mut AwsRole| role.role_name = "other".into(),
        |role: &mut AwsRole| role.account_id = "444455556666".into(),
    ] {
        let mut directory = directory();
        change(directory.aws_roles.get_mut("111122223333:batch").unwrap());
        assert_eq!(
            Gateway::with(directory).reason(&Draft::of(ACME).bearer()).await,
            "unknown_aws_role"
        );
    }
}

#[tokio::test]
async fn a_denied_role_reads_what_to_do() {
    let gateway = Gateway::new();
    *gateway.sts.credentials.lock().unwrap() =
        vec![ACME.known_as("arn:aws:iam::111122223333:user/batch", "AIDAUSER")];
    let answer = gateway.answer(&Draft::of(ACME).bearer()).await.unwrap();
    assert_eq!(answer["policyDocument"]["Statement"][0]["Effect"], "Deny");
    assert_eq!(
        answer["context"]["error"],
        "This AWS identity is not a role. Make the token with the credentials of an IAM role."
    );
}

#[tokio::test]
async fn an_answer_that_is_not_stss_own_says_nothing_about_the_caller() {
    let good =
        identity("arn:aws:sts::111122223333:assumed-role/batch/s1", "AROAX:s1", "111122223333");
    let text = String::from_utf8(good.body.clone()).unwrap();
    let with = |status: u16, body: &str| StsAnswer { status, body: body.as_bytes().to_vec() };
    let bomb = r#"<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><GetCallerIdentityResponse><GetCallerIdentityResult><Arn>&b;</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>"#;
    for (what, answer, reason) in [
        ("good", good.clone(), "allowed"),
        ("redirect", with(302, &text), "fault"),
        ("moved", with(301, ""), "fault"),
        ("not modified", with(304, ""), "fault"),
        ("no content", with(204, ""), "fault"),
        ("created", with(201, &text), "fault"),
        ("empty", with(200, ""), "fault"),
        ("HTML", with(200, "<html><body>Sign in</body></html>"), "fault"),
        ("JSON", with(200, r#"{"Account":"111122223333"}"#), "fault"),
        ("not UTF-8", StsAnswer { status: 200, body: vec![0xff; 20] }, "fault"),
        ("cut", with(200, &text[..text.len() - 30]), "fault"),
        ("entities", with(200, bomb), "fault"),
        (
            "two ARNs",
            with(
                200,
                &text.replacen(
                    "<Arn>",
                    "<Arn>arn:aws:sts::111122223333:assumed-role/other/s</Arn><Arn>",
                    1,
                ),
            ),
            "fault",
        ),
        (
            "two results",
            with(
                200,
                &text.replacen(
                    "<GetCallerIdentityResult>",
                    "<GetCallerIdentityResult/><GetCallerIdentityResult>",
                    1,
                ),
            ),
            "fault",
        ),
        ("no ARN", with(200, &text.replace("Arn>", "ARN>")), "fault"),
        ("nested", with(200, &format!("<x>{text}</x>")), "fault"),
        ("refused", refusal("SignatureDoesNotMatch"), "refused_by_sts"),
        ("expired session", refusal("ExpiredToken"), "refused_by_sts"),
        (
            "refused by 400",
            StsAnswer { status: 400, ..refusal("IncompleteSignature") },
            "refused_by_sts",
        ),
        ("throttled", StsAnswer { status: 400, ..refusal("Throttling") }, "fault"),
        ("throttled by 403", refusal("RequestLimitExceeded"), "fault"),
        ("429", StsAnswer { status: 429, ..refusal("TooManyRequests") }, "fault"),
        ("somebody else's 403", with(403, "<html>Forbidden by proxy</html>"), "fault"),
        ("403 without a word", with(403, ""), "fault"),
        ("404", with(404, ""), "fault"),
        ("500", with(500, ""), "fault"),
        ("503", StsAnswer { status: 503, ..refusal("ServiceUnavailable") }, "fault"),
    ] {
        let gateway = Gateway::new();
        *gateway.sts.answer.lock().unwrap() = Some(answer);
        assert_eq!(gateway.reason(&Draft::of(ACME).bearer()).await, reason, "{what}");
    }
}

#[tokio::test]
async fn once_sts_is_back_callers_get_in_again() {
    let gateway = Gateway::new();
    let token = Draft::of(ACME).bearer();
    for answer in [StsAnswer { status: 503, body: Vec::new() }, refusal("InvalidClientTokenId")] {
        *gateway.sts.answer.lock().unwrap() = Some(answer);
        assert_ne!(gateway.reason(&token).await, "allowed");
    }
    let request = || event(API_GATEWAY, &token);
    *gateway.sts.answer.lock().unwrap() = Some(StsAnswer { status: 503, body: Vec::new() });
    assert_eq!(handle(&gateway.state, request(), NOW).await, Err(AuthorizerError::Fault));
    *gateway.sts.answer.lock().unwrap() = None;
    assert!(handle(&gateway.state, request(), NOW).await.is_ok());
}

fn refuses(url: &str) -> Result<(), TestCaseError> {
    thread_local!(static GATEWAY: Gateway = {
        let gateway = Gateway::new();
        *gateway.sts.answer.lock().unwrap() =
            Some(identity("arn:aws:sts::111122223333:assumed-role/batch/s1", "AROAX:s1", "111122223333"));
        gateway
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let reason = GATEWAY.with(|gateway| runtime.block_on(gateway.reason(&bearer(url))));
    prop_assert!(!["allowed", "fault"].contains(&reason), "{url}: {reason}");
    Ok(())
}

/// Even with an STS that knows everybody, nothing that is not exactly of the form gets as far as it.
mod whatever_is_sent {
    use super::*;

    proptest! {
        #[test]
        fn any_text(text in any::<String>()) {
            refuses(&text)?;
        }

        #[test]
        fn any_host(host in "[a-z0-9.@:/%#?\\\\-]{0,40}") {
            let url = Draft::of(ACME).url();
            let host = if host == "sts.eu-west-1.amazonaws.com" { String::new() } else { host };
            refuses(&url.replacen("sts.eu-west-1.amazonaws.com", &host, 1))?;
        }

        #[test]
        fn one_more_of_anything(text in "[&=][ -~]{0,20}", at in any::<prop::sample::Index>()) {
            let url = Draft::of(ACME).url();
            let at = at.index(url.len());
            refuses(&format!("{}{text}{}", &url[..at], &url[at..]))?;
        }
    }
}

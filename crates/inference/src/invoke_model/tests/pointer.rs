use serde_json::{Value, json};

use crate::invoke_model::pointer::{value_at, with_value};
use crate::wire::json::parse_object;

#[track_caller]
fn sets(text: &str, pointer: &str, expected: Option<&str>) {
    assert_eq!(with_value(text, pointer, &64.into()).as_deref(), expected);
    if let Some(expected) = expected {
        let body = parse_object(expected).unwrap();
        assert_eq!(value_at(&body, pointer).unwrap(), Some(&64.into()));
    }
}

#[test]
fn a_value_is_set_and_the_rest_stays() {
    sets("{}", "/a", Some(r#"{"a":64}"#));
    sets(r#" { "x" : 1.50 } "#, "/a", Some(r#" { "x" : 1.50,"a":64 } "#));
    sets(r#"{"a": null, "x":1}"#, "/a", Some(r#"{"a": 64, "x":1}"#));
    sets(r#"{"x":{ "y":1 }}"#, "/x/a", Some(r#"{"x":{ "y":1,"a":64 }}"#));
    sets(r#"{"x":1}"#, "/c/d/a", Some(r#"{"x":1,"c":{"d":{"a":64}}}"#));
    sets(r#"{"c":null}"#, "/c/a", Some(r#"{"c":{"a":64}}"#));
    sets("{}", "/a~1b~0c", Some(r#"{"a/b~c":64}"#));
    sets("{}", "/a\"b", Some(r#"{"a\"b":64}"#));
    sets(r#"{"c":[]}"#, "/c/a", None);
    sets(r#"{"c":7}"#, "/c/a", None);
    sets("{}", "", None);
}

#[test]
fn a_value_is_found_or_its_lookalike_refused() {
    let body = json!({"config": {"max": 7, "none": null}, "list": [1]});
    let Value::Object(body) = body else { unreachable!() };
    assert_eq!(value_at(&body, "/config/max").unwrap(), Some(&7.into()));
    for absent in
        ["/config/none", "/config/other", "/list/0", "/config/max/x", "/nothing/at/all", ""]
    {
        assert_eq!(value_at(&body, absent).unwrap(), None, "{absent}");
    }
    for lookalike in ["/Config/max", "/config/MAX"] {
        assert!(value_at(&body, lookalike).is_err(), "{lookalike}");
    }
}

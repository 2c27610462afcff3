//! Filters (RFC 7644, 3.4.2.2): parsed with bounds, and asked of one resource after the other.

use std::cmp::Ordering;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::error::{ScimError, ScimType};
use crate::path::{AttributePath, is_of_name};
use crate::schema::{Attribute, Kind, ResourceType};

/// Filters longer than this are not read.
pub const MAX_FILTER_BYTES: usize = 8 * 1024;
/// Parentheses and brackets within each other.
const MAX_DEPTH: usize = 24;
/// Comparisons of one filter.
const MAX_COMPARISONS: usize = 256;

/// How an attribute is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Contains,
    StartsWith,
    EndsWith,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Operator {
    fn of(word: &str) -> Option<Self> {
        const OPERATORS: [(&str, Operator); 9] = [
            ("eq", Operator::Equal),
            ("ne", Operator::NotEqual),
            ("co", Operator::Contains),
            ("sw", Operator::StartsWith),
            ("ew", Operator::EndsWith),
            ("gt", Operator::Greater),
            ("ge", Operator::GreaterOrEqual),
            ("lt", Operator::Less),
            ("le", Operator::LessOrEqual),
        ];
        OPERATORS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, it)| *it)
    }

    fn is_ordering(self) -> bool {
        matches!(self, Self::Greater | Self::GreaterOrEqual | Self::Less | Self::LessOrEqual)
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Contains | Self::StartsWith | Self::EndsWith => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Present(AttributePath),
    Compare(AttributePath, Operator, Value),
    /// One value of the attribute meets all of it.
    Within(AttributePath, Box<Node>),
}

/// A filter.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter(Node);

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// It does not parse, is too long or too deep, or compares what has no order.
    pub fn parse(text: &str, resource_type: &ResourceType) -> Result<Self, ScimError> {
        let filter = Self::parsed(text)?;
        filter.0.check(resource_type, None)?;
        Ok(filter)
    }

    /// Reads what stands in brackets behind an attribute.
    pub(crate) fn parse_within(
        text: &str,
        attribute: &'static Attribute,
    ) -> Result<Self, ScimError> {
        let filter = Self::parsed(text)?;
        filter.0.check_within(attribute)?;
        Ok(filter)
    }

    fn parsed(text: &str) -> Result<Self, ScimError> {
        if text.len() > MAX_FILTER_BYTES {
            return Err(refuse(format!("A filter has at most {MAX_FILTER_BYTES} bytes.")));
        }
        let mut parser = Parser { rest: text, depth: 0, comparisons: 0 };
        let node = parser.any(false)?;
        parser.skip();
        if parser.rest.is_empty() { Ok(Self(node)) } else { Err(parser.unexpected("its end")) }
    }

    /// Whether a resource is selected.
    pub fn matches(&self, resource_type: &ResourceType, resource: &Map<String, Value>) -> bool {
        self.0.matches(&Scope::Resource(resource_type), resource)
    }

    /// Whether a value of a multi-valued attribute is selected.
    pub(crate) fn matches_value(&self, attribute: &'static Attribute, value: &Value) -> bool {
        self.0.matches_value(attribute, value)
    }

    /// The value that the filter wants `name` to be, if it selects by that alone.
    pub fn only_equal(&self, name: &str) -> Option<&str> {
        match &self.0 {
            Node::Compare(path, Operator::Equal, Value::String(text))
                if path.name.eq_ignore_ascii_case(name) && path.sub.is_none() =>
            {
                Some(text)
            }
            _ => None,
        }
    }

    /// What a value needs to meet the filter, if it says so by equality alone.
    pub(crate) fn template(&self, attribute: &'static Attribute) -> Option<Map<String, Value>> {
        let mut template = Map::new();
        let mut left = vec![&self.0];
        while let Some(node) = left.pop() {
            match node {
                Node::All(nodes) => left.extend(nodes),
                Node::Compare(path, Operator::Equal, value) if path.sub.is_none() => {
                    let sub = attribute.sub(&path.name)?;
                    template.insert(sub.name.to_owned(), value.clone());
                }
                _ => return None,
            }
        }
        Some(template)
    }
}

/// What names in a filter are looked up in.
enum Scope<'a> {
    Resource(&'a ResourceType),
    Value(&'static Attribute),
}

impl Scope<'_> {
    /// The values that a path leads to, each with what it is.
    fn values<'v>(
        &self,
        path: &AttributePath,
        object: &'v Map<String, Value>,
    ) -> Vec<(&'static Attribute, &'v Value)> {
        let (attribute, sub, home) = match self {
            Self::Resource(resource_type) => {
                let Some(found) = path.find(resource_type) else { return Vec::new() };
                let Some(home) = found.home(object) else { return Vec::new() };
                (found.attribute, found.sub, home)
            }
            Self::Value(attribute) => {
                let found = attribute.sub(&path.name).filter(|_| path.sub.is_none());
                let Some(found) = found else { return Vec::new() };
                (found, None, object)
            }
        };
        let Some(value) = home.get(attribute.name) else { return Vec::new() };
        let each: Vec<&Value> = match value {
            Value::Array(values) if attribute.is_multi => values.iter().collect(),
            value => vec![value],
        };
        if attribute.kind != Kind::Complex {
            return each.into_iter().map(|value| (attribute, value)).collect();
        }
        match sub.or_else(|| attribute.value()) {
            None => each.into_iter().map(|value| (attribute, value)).collect(),
            Some(sub) => {
                each.into_iter().filter_map(|value| Some((sub, value.get(sub.name)?))).collect()
            }
        }
    }
}

impl Node {
    fn check(
        &self,
        resource_type: &ResourceType,
        within: Option<&'static Attribute>,
    ) -> Result<(), ScimError> {
        match self {
            Self::All(nodes) | Self::Any(nodes) => {
                nodes.iter().try_for_each(|node| node.check(resource_type, within))
            }
            Self::Not(node) => node.check(resource_type, within),
            Self::Present(_) => Ok(()),
            Self::Compare(path, operator, value) => {
                let found = match within {
                    Some(attribute) => attribute.sub(&path.name),
                    None => path.find(resource_type).and_then(|found| {
                        found.sub.or_else(|| found.attribute.value()).or(Some(found.attribute))
                    }),
                };
                check_comparison(found, *operator, value)
            }
            Self::Within(path, node) => match path.find(resource_type) {
                Some(found) if found.attribute.kind == Kind::Complex && found.sub.is_none() => {
                    node.check(resource_type, Some(found.attribute))
                }
                Some(_) => Err(refuse(format!("`{}` has no parts to look into.", path.name))),
                None => Ok(()),
            },
        }
    }

    fn check_within(&self, attribute: &'static Attribute) -> Result<(), ScimError> {
        match self {
            Self::All(nodes) | Self::Any(nodes) => {
                nodes.iter().try_for_each(|node| node.check_within(attribute))
            }
            Self::Not(node) => node.check_within(attribute),
            Self::Present(_) => Ok(()),
            Self::Compare(path, operator, value) => {
                check_comparison(attribute.sub(&path.name), *operator, value)
            }
            Self::Within(..) => Err(refuse("Brackets do not stand in brackets.")),
        }
    }

    fn matches(&self, scope: &Scope<'_>, object: &Map<String, Value>) -> bool {
        match self {
            Self::All(nodes) => nodes.iter().all(|node| node.matches(scope, object)),
            Self::Any(nodes) => nodes.iter().any(|node| node.matches(scope, object)),
            Self::Not(node) => !node.matches(scope, object),
            Self::Present(path) => scope.values(path, object).iter().any(|(_, it)| is_there(it)),
            Self::Compare(path, operator, wanted) => {
                let values = scope.values(path, object);
                let is_equal = |(attribute, value): &(&Attribute, &Value)| {
                    compare(attribute, value, Operator::Equal, wanted)
                };
                match operator {
                    // What is not there is null, and is not anything else.
                    Operator::Equal if wanted.is_null() => values.is_empty(),
                    Operator::NotEqual if wanted.is_null() => !values.is_empty(),
                    Operator::NotEqual => !values.iter().any(is_equal),
                    operator => values
                        .iter()
                        .any(|(attribute, it)| compare(attribute, it, *operator, wanted)),
                }
            }
            Self::Within(path, node) => {
                let Scope::Resource(resource_type) = scope else { return false };
                let Some(found) = path.find(resource_type) else { return false };
                let Some(value) = found.home(object).and_then(|it| it.get(found.attribute.name))
                else {
                    return false;
                };
                match value {
                    Value::Array(values) => {
                        values.iter().any(|value| node.matches_value(found.attribute, value))
                    }
                    value => node.matches_value(found.attribute, value),
                }
            }
        }
    }

    fn matches_value(&self, attribute: &'static Attribute, value: &Value) -> bool {
        value.as_object().is_some_and(|object| self.matches(&Scope::Value(attribute), object))
    }
}

fn check_comparison(
    attribute: Option<&'static Attribute>,
    operator: Operator,
    value: &Value,
) -> Result<(), ScimError> {
    let is_orderless = attribute.is_some_and(|it| it.kind == Kind::Boolean)
        || matches!(value, Value::Bool(_) | Value::Null);
    let is_plain = matches!(operator, Operator::Equal | Operator::NotEqual);
    if is_orderless && !is_plain {
        return Err(refuse("True, false and null are compared with eq and ne only."));
    }
    let is_time = attribute.is_some_and(|it| it.kind == Kind::DateTime);
    if is_time && (operator.is_ordering() || is_plain) && !value.is_null() {
        let is_valid = value.as_str().is_some_and(|it| it.parse::<Timestamp>().is_ok());
        if !is_valid {
            return Err(refuse("A time is compared with a text such as \"2026-11-26T08:00:00Z\"."));
        }
    }
    Ok(())
}

fn is_there(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => values.iter().any(is_there),
        Value::Object(fields) => fields.values().any(is_there),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn compare(attribute: &Attribute, value: &Value, operator: Operator, wanted: &Value) -> bool {
    match (value, wanted) {
        (Value::Bool(value), Value::Bool(wanted)) => operator.holds(value.cmp(wanted)),
        // Some clients write "True".
        (Value::Bool(value), Value::String(wanted)) => {
            let wanted = wanted.to_ascii_lowercase().parse::<bool>();
            wanted.is_ok_and(|wanted| operator.holds(value.cmp(&wanted)))
        }
        (Value::String(value), Value::String(wanted)) => {
            if attribute.kind == Kind::DateTime
                && let (Ok(value), Ok(wanted)) = (value.parse(), wanted.parse::<Timestamp>())
                && !matches!(
                    operator,
                    Operator::Contains | Operator::StartsWith | Operator::EndsWith
                )
            {
                return operator.holds(Timestamp::cmp(&value, &wanted));
            }
            if attribute.is_case_exact {
                compare_text(value, operator, wanted)
            } else {
                compare_text(&value.to_lowercase(), operator, &wanted.to_lowercase())
            }
        }
        _ => false,
    }
}

fn compare_text(value: &str, operator: Operator, wanted: &str) -> bool {
    match operator {
        Operator::Contains => value.contains(wanted),
        Operator::StartsWith => value.starts_with(wanted),
        Operator::EndsWith => value.ends_with(wanted),
        operator => operator.holds(value.cmp(wanted)),
    }
}

fn refuse(detail: impl Into<String>) -> ScimError {
    ScimError::bad(ScimType::InvalidFilter, detail)
}

struct Parser<'a> {
    rest: &'a str,
    depth: usize,
    comparisons: usize,
}

impl<'a> Parser<'a> {
    /// What is joined by `or`, which binds less than `and`.
    fn any(&mut self, is_within: bool) -> Result<Node, ScimError> {
        self.joined("or", Node::Any, |parser| {
            parser.joined("and", Node::All, |parser| parser.one(is_within))
        })
    }

    fn joined(
        &mut self,
        word: &str,
        join: fn(Vec<Node>) -> Node,
        part: impl Fn(&mut Self) -> Result<Node, ScimError>,
    ) -> Result<Node, ScimError> {
        let first = part(self)?;
        if !self.takes_word(word) {
            return Ok(first);
        }
        let mut nodes = vec![first, part(self)?];
        while self.takes_word(word) {
            nodes.push(part(self)?);
        }
        Ok(join(nodes))
    }

    fn one(&mut self, is_within: bool) -> Result<Node, ScimError> {
        self.skip();
        if self.rest.starts_with('(') {
            return self.enclosed(')', |parser| parser.any(is_within));
        }
        let start = self.rest;
        let word = self.word();
        if word.eq_ignore_ascii_case("not") {
            self.skip();
            if self.rest.starts_with('(') {
                let node = self.enclosed(')', |parser| parser.any(is_within))?;
                return Ok(Node::Not(Box::new(node)));
            }
        }
        let Some(path) = AttributePath::parse(word) else {
            self.rest = start;
            return Err(self.unexpected("the name of an attribute"));
        };
        if self.rest.starts_with('[') {
            if is_within {
                return Err(refuse("Brackets do not stand in brackets."));
            }
            let node = self.enclosed(']', |parser| parser.any(true))?;
            return Ok(Node::Within(path, Box::new(node)));
        }
        self.comparisons += 1;
        if self.comparisons > MAX_COMPARISONS {
            return Err(refuse(format!("A filter has at most {MAX_COMPARISONS} comparisons.")));
        }
        self.skip();
        let before = self.rest;
        let word = self.word();
        if word.eq_ignore_ascii_case("pr") {
            return Ok(Node::Present(path));
        }
        let Some(operator) = Operator::of(word) else {
            self.rest = before;
            return Err(self.unexpected("one of eq, ne, co, sw, ew, gt, ge, lt, le, pr"));
        };
        Ok(Node::Compare(path, operator, self.literal()?))
    }

    fn enclosed(
        &mut self,
        end: char,
        inner: impl Fn(&mut Self) -> Result<Node, ScimError>,
    ) -> Result<Node, ScimError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(refuse(format!("A filter is at most {MAX_DEPTH} deep.")));
        }
        self.rest = self.rest.get(1..).unwrap_or_default();
        let node = inner(self)?;
        self.skip();
        let Some(rest) = self.rest.strip_prefix(end) else {
            return Err(self.unexpected(&format!("`{end}`")));
        };
        self.rest = rest;
        self.depth -= 1;
        Ok(node)
    }

    fn literal(&mut self) -> Result<Value, ScimError> {
        self.skip();
        if self.rest.starts_with('"')
            || self.rest.starts_with(|it: char| it == '-' || it.is_ascii_digit())
        {
            let mut values = serde_json::Deserializer::from_str(self.rest).into_iter::<Value>();
            if let Some(Ok(value @ (Value::String(_) | Value::Number(_)))) = values.next() {
                let read = values.byte_offset();
                self.rest = self.rest.get(read..).unwrap_or_default();
                return Ok(value);
            }
            return Err(self.unexpected("a whole value"));
        }
        let before = self.rest;
        let word = self.word();
        for (name, value) in
            [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)]
        {
            if word.eq_ignore_ascii_case(name) {
                return Ok(value);
            }
        }
        self.rest = before;
        Err(self.unexpected("a text in double quotes, a number, true, false or null"))
    }

    fn skip(&mut self) {
        self.rest = self.rest.trim_start_matches(' ');
    }

    fn word(&mut self) -> &'a str {
        let end = self.rest.find(|it| !is_of_name(it)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.rest = rest;
        word
    }

    fn takes_word(&mut self, wanted: &str) -> bool {
        let before = self.rest;
        self.skip();
        if self.word().eq_ignore_ascii_case(wanted) {
            return true;
        }
        self.rest = before;
        false
    }

    fn unexpected(&self, wanted: &str) -> ScimError {
        let there: String = self.rest.chars().take(24).collect();
        let there = if there.is_empty() { "its end".to_owned() } else { format!("`{there}`") };
        refuse(format!("The filter does not parse: there should be {wanted} in place of {there}."))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::schema::{GROUP, USER};

    fn ann() -> Map<String, Value> {
        let ann = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "id": "AbC", "externalId": "E-1", "userName": "Ann@acme.example", "active": true,
            "name": {"givenName": "Ann", "familyName": "O'Neil \"the\" [1]"},
            "emails": [
                {"value": "ann@acme.example", "type": "work", "primary": true},
                {"value": "ann@home.example", "type": "home"},
            ],
            "meta": {"lastModified": "2026-11-26T08:00:00Z", "resourceType": "User"},
        });
        ann.as_object().unwrap().clone()
    }

    #[track_caller]
    fn check(filter: &str, is_match: bool) {
        let parsed = Filter::parse(filter, &USER).unwrap();
        assert_eq!(parsed.matches(&USER, &ann()), is_match, "{filter} {parsed:?}");
    }

    #[test]
    fn every_operator_compares() {
        for (filter, is_match) in [
            (r#"userName eq "ann@ACME.example""#, true),
            (r#"USERNAME Eq "ann@acme.example""#, true),
            (r#"urn:ietf:params:scim:schemas:core:2.0:User:userName sw "ann""#, true),
            (r#"userName ne "bob""#, true),
            (r#"userName co "acme""#, true),
            (r#"userName sw "acme""#, false),
            (r#"userName ew ".EXAMPLE""#, true),
            (r#"userName gt "amy""#, true),
            (r#"userName le "amy""#, false),
            (r#"id eq "abc""#, false),
            (r#"id eq "AbC""#, true),
            (r#"externalId eq "e-1""#, false),
            ("active eq true", true),
            (r#"active eq "True""#, true),
            ("active ne TRUE", false),
            ("displayName pr", false),
            ("displayName eq null", true),
            (r#"displayName ne "x""#, true),
            ("name pr", true),
            ("emails pr", true),
            (r#"emails eq "ann@home.example""#, true),
            (r#"emails.type eq "WORK""#, true),
            (r#"emails[type eq "work" and value co "home"]"#, false),
            (r#"emails[type eq "home" and value co "home"]"#, true),
            (r#"emails[not (type eq "work")]"#, true),
            (r#"meta.lastModified gt "2026-11-26T07:59:59Z""#, true),
            (r#"meta.lastModified eq "2026-11-26T09:00:00+01:00""#, true),
            (r#"meta.lastModified lt "2026-11-26T08:00:00.000Z""#, false),
            (r#"name.familyName eq "o'neil \"THE\" [1]""#, true),
            (r#"title eq "x""#, false),
            ("title pr or userName pr", true),
            ("userName eq 5", false),
        ] {
            check(filter, is_match);
        }
    }

    #[test]
    fn and_binds_more_than_or_and_parentheses_more_than_both() {
        check("active eq true or active eq false and active eq false", true);
        check("(active eq true or active eq false) and active eq false", false);
        check("not (active eq false) AND NOT(active eq false)", true);
        check("  active   eq true  ", true);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let deep = format!("{}active eq true{}", "(".repeat(25), ")".repeat(25));
        let long = format!("userName eq \"{}\"", "a".repeat(MAX_FILTER_BYTES));
        let many = vec!["active pr"; 257].join(" and ");
        for filter in [
            "",
            " ",
            "userName",
            "userName eq",
            "userName is \"x\"",
            "userName eq x",
            "userName eq \"x",
            "userName eq \"x\" and",
            "userName eq \"x\" userName",
            "(active eq true",
            "active eq true)",
            "emails[type eq \"work\"",
            "emails[emails[type eq \"work\"]]",
            "userName[value eq \"x\"]",
            "active gt true",
            "active co \"r\"",
            "userName gt null",
            "meta.created gt \"yesterday\"",
            "user name eq \"x\"",
            "us\u{435}rName eq \"x\"",
            "userName eq {\"a\":1}",
            "userName eq [1]",
            "a.b.c eq \"x\"",
            ".userName pr",
            "not active eq true",
            deep.as_str(),
            long.as_str(),
            many.as_str(),
        ] {
            let refused = Filter::parse(filter, &USER).unwrap_err();
            assert_eq!(refused.scim_type, Some(ScimType::InvalidFilter), "{filter}");
        }
    }

    #[test]
    fn what_only_names_is_known() {
        let named =
            |text| Filter::parse(text, &USER).unwrap().only_equal("userName").map(str::to_owned);
        assert_eq!(named(r#"username eq "ann""#), Some("ann".to_owned()));
        assert_eq!(named(r#"username eq "ann" and active eq true"#), None);
        assert_eq!(named(r#"username sw "ann""#), None);
    }

    proptest! {
        /// Whatever text it is, it is read or refused, and a filter that is read can be asked.
        #[test]
        fn no_text_does_harm(text in r#"([a-zA-Z.:$ ()\[\]"0-9-]|eq |and |or |not |pr |userName |emails|\PC){0,60}"#) {
            for resource_type in [&USER, &GROUP] {
                if let Ok(filter) = Filter::parse(&text, resource_type) {
                    filter.matches(resource_type, &ann());
                    filter.matches(resource_type, &Map::new());
                }
            }
        }

        /// A text, whatever is in it, is compared and never read as a part of the filter.
        #[test]
        fn a_quoted_text_is_a_text(text in r#"[a-z"\\\]) (eqor\n\u{430}]{0,24}"#, other in "[a-z]{0,3}") {
            let mut user = ann();
            user.insert("displayName".into(), text.clone().into());
            let quoted = serde_json::to_string(&text).unwrap();
            let filter = Filter::parse(&format!("displayName eq {quoted}"), &USER).unwrap();
            prop_assert!(filter.matches(&USER, &user));
            user.insert("displayName".into(), format!("{text}{other}!").into());
            prop_assert!(!filter.matches(&USER, &user));
        }

        #[test]
        fn not_is_the_opposite(text in r#"(userName|active|emails\.type|displayName) (pr|eq "[a-z]{0,4}"|ne "work"|eq null)"#) {
            let is = |text: &str| Filter::parse(text, &USER).unwrap().matches(&USER, &ann());
            prop_assert_ne!(is(&text), is(&format!("not ({text})")));
            let (always, never) = (format!("{text} or not ({text})"), format!("{text} and not ({text})"));
            prop_assert!(is(&always) && !is(&never));
        }
    }
}

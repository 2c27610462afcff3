//! A strict reader of the dialect's streams: every event in its place, or a panic that says which is not.

use serde_json::{Value, json};

/// What a stream said.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// Items that were done, in order of their place.
    pub(super) items: Vec<Value>,
    /// The last event.
    pub(super) end: Value,
    open: Vec<Open>,
    response_id: Option<String>,
    is_over: bool,
}

#[derive(Debug)]
struct Open {
    id: String,
    kind: String,
    /// Pieces so far.
    text: String,
    has_part: bool,
    done: Done,
}

/// How much of an item is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Nothing,
    Text,
    Part,
    Item,
}

/// Reads a whole stream.
pub(super) fn check(stream: &str) -> Told {
    assert!(stream.is_empty() || stream.ends_with("\n\n"));
    let mut told = Told::default();
    for (number, event) in stream.split_terminator("\n\n").enumerate() {
        let (name, data) = event.split_once('\n').unwrap();
        let json: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        let kind = json["type"].as_str().unwrap();
        assert_eq!(name.strip_prefix("event: "), Some(kind));
        assert_eq!(json["sequence_number"].as_u64(), u64::try_from(number).ok());
        assert!(!told.is_over, "{kind} after the end");
        if number < 2 {
            let expected = ["response.created", "response.in_progress"];
            assert_eq!(Some(kind), expected.get(number).copied());
            told.response_id = json["response"]["id"].as_str().map(str::to_owned);
            assert_eq!(json["response"]["status"], "in_progress");
        } else if json.get("item_id").is_some() {
            told.piece(kind, &json);
        } else if json.get("item").is_some() {
            told.item(kind, &json);
        } else {
            told.ending(kind, &json);
        }
        told.end = json;
    }
    told
}

fn place_of(json: &Value) -> usize {
    usize::try_from(json["output_index"].as_u64().unwrap()).unwrap()
}

impl Told {
    fn item(&mut self, kind: &str, json: &Value) {
        let (place, item) = (place_of(json), &json["item"]);
        let item_kind = item["type"].as_str().unwrap();
        if kind == "response.output_item.added" {
            assert_eq!(place, self.open.len(), "places are counted from 0");
            for other in &self.open {
                let calls = ["function_call", "custom_tool_call"];
                let are_calls = calls.contains(&item_kind) && calls.contains(&other.kind.as_str());
                assert!(other.done == Done::Item || are_calls, "{item_kind} beside {other:?}");
            }
            if item_kind == "message" {
                assert_eq!(item["content"], json!([]));
            }
            self.open.push(Open {
                id: item["id"].as_str().unwrap().to_owned(),
                kind: item_kind.to_owned(),
                text: String::new(),
                has_part: false,
                done: Done::Nothing,
            });
            self.items.push(Value::Null);
            return;
        }
        assert_eq!(kind, "response.output_item.done");
        let open = &mut self.open[place];
        let (done, whole) = match item_kind {
            "message" => (Done::Part, &item["content"][0]["text"]),
            "reasoning" if open.has_part => (Done::Part, &item["summary"][0]["text"]),
            "reasoning" => (Done::Nothing, &item["summary"][0]["text"]),
            "function_call" => (Done::Text, &item["arguments"]),
            "custom_tool_call" => (Done::Text, &item["input"]),
            other => panic!("{other}"),
        };
        assert_eq!((open.done, open.text.as_str()), (done, whole.as_str().unwrap_or_default()));
        assert_eq!((item["id"].as_str(), item_kind), (Some(open.id.as_str()), open.kind.as_str()));
        assert!(matches!(item["status"].as_str(), Some("completed" | "incomplete")));
        open.done = Done::Item;
        self.items[place] = item.clone();
    }

    fn piece(&mut self, kind: &str, json: &Value) {
        let open = &mut self.open[place_of(json)];
        assert_eq!(json["item_id"].as_str(), Some(open.id.as_str()));
        let kind = kind.strip_prefix("response.").unwrap();
        let (what, step) = kind.rsplit_once('.').unwrap();
        let expected: &[&str] = match open.kind.as_str() {
            "message" => &["content_part", "output_text"],
            "reasoning" => &["reasoning_summary_part", "reasoning_summary_text"],
            "function_call" => &["function_call_arguments"],
            "custom_tool_call" => &["custom_tool_call_input"],
            _ => &[],
        };
        assert!(expected.contains(&what), "{kind} of {open:?}");
        let (is_part, has_parts) = (what.ends_with("_part"), expected.len() == 2);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        match (step, is_part) {
            ("added", true) => {
                assert!(!open.has_part && open.done == Done::Nothing);
                open.has_part = true;
            }
            ("delta", false) => {
                assert!(open.has_part == has_parts && open.done == Done::Nothing);
                open.text.push_str(&text(&json["delta"]));
            }
            ("done", false) => {
                let whole = ["text", "arguments", "input"].iter().find_map(|key| json.get(key));
                assert_eq!((open.done, &open.text), (Done::Nothing, &text(whole.unwrap())));
                open.done = Done::Text;
            }
            ("done", true) => {
                assert_eq!((open.done, &open.text), (Done::Text, &text(&json["part"]["text"])));
                open.done = Done::Part;
            }
            _ => panic!("{kind}"),
        }
    }

    fn ending(&mut self, kind: &str, json: &Value) {
        if kind == "error" {
            assert!(json["message"].is_string() && json.get("error").is_none());
            return;
        }
        let response = &json["response"];
        assert_eq!(response["id"].as_str(), self.response_id.as_deref());
        assert_eq!(response["status"].as_str(), kind.strip_prefix("response."));
        match kind {
            "response.completed" | "response.incomplete" => {
                assert!(self.open.iter().all(|item| item.done == Done::Item));
                assert_eq!(response["output"], Value::from(self.items.clone()));
            }
            "response.failed" => assert!(response["error"]["message"].is_string()),
            other => panic!("unknown event {other}"),
        }
        self.is_over = true;
    }
}

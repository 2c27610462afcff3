use serde_json::json;

use super::{BlockKind, Usage};
use crate::directive::{self, Directive};
use crate::prompt::{Prompt, Role, Tool, ToolChoice, Turn};

fn prompt(text: &str) -> Prompt {
    let turn = Turn { text: text.to_owned(), ..Turn::new(Role::User) };
    Prompt { turns: vec![turn], ..Prompt::default() }
}

fn plan(prompt: &Prompt) -> super::Plan {
    let (keys, said) = directive::take(prompt.last_user_text()).unwrap();
    super::Plan::new(prompt, Directive::read(keys).unwrap(), &said)
}

fn with_tool(text: &str) -> Prompt {
    let schema =
        json!({"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}});
    Prompt { tools: vec![Tool { name: "get_weather".to_owned(), schema }], ..prompt(text) }
}

#[track_caller]
fn check(prompt: &Prompt, expected: &[&str], stop_reason: &str) {
    let plan = plan(prompt);
    let blocks: Vec<_> = plan.blocks.iter().map(super::Block::whole).collect();
    assert_eq!(blocks, expected);
    assert_eq!(plan.stop_reason, stop_reason);
}

#[test]
fn the_default_answer_says_what_it_is_and_echoes_the_prompt() {
    let expected = "This is the model simulator; no model was called. The prompt ends with: hi";
    check(&prompt("hi"), &[expected], "end_turn");
}

#[test]
fn weather_calls_the_first_tool_once() {
    check(&with_tool("Weather?"), &[r#"{"city":"sim"}"#], "tool_use");
    let mut answered = with_tool("");
    answered.turns[0].results.push("21 C".to_owned());
    check(&answered, &[r#"The model simulator got this tool result: "21 C""#], "end_turn");
}

#[test]
fn a_tool_choice_is_obeyed() {
    check(
        &Prompt { tool_choice: ToolChoice::Any, ..with_tool("hi") },
        &[r#"{"city":"sim"}"#],
        "tool_use",
    );
    let named = ToolChoice::Named("get_weather".to_owned());
    check(&Prompt { tool_choice: named, ..with_tool("hi") }, &[r#"{"city":"sim"}"#], "tool_use");
    let forbidden = plan(&Prompt { tool_choice: ToolChoice::Forbidden, ..with_tool("weather") });
    assert_eq!(forbidden.blocks[0].kind, BlockKind::Text);
}

#[test]
fn a_schema_gets_an_instance() {
    let schema = json!({"type": "object", "required": ["a"], "properties": {"a": {"const": "a longer constant"}}});
    check(
        &Prompt { schema: Some(schema), ..prompt("hi") },
        &[r#"{"a":"a longer constant"}"#],
        "end_turn",
    );
}

#[test]
fn output_is_capped_by_max_tokens() {
    let capped = |max, text| Prompt { max_tokens: Some(max), ..prompt(text) };
    check(&capped(2, r#"[sim {"chunks":["a","b","c"]}]"#), &["ab"], "max_tokens");
    check(&capped(3, r#"[sim {"chunks":["a","b","c"]}]"#), &["abc"], "end_turn");
    let plan = plan(&capped(2, r#"[sim {"text":"a", "usage":{"output":9}}]"#));
    assert_eq!((plan.usage.output, plan.stop_reason.as_str()), (2, "max_tokens"));
}

#[test]
fn a_stop_sequence_ends_the_text_even_across_chunks() {
    let stopped = Prompt {
        stop_sequences: vec!["cd".to_owned()],
        ..prompt(r#"[sim {"chunks":["abc","def"]}]"#)
    };
    check(&stopped, &["ab"], "stop_sequence");
}

#[test]
fn scripted_usage_replaces_what_was_counted() {
    let plan = plan(&prompt(r#"[sim {"text":"a b", "usage":{"input":7,"cache_read":3}}]"#));
    assert_eq!(plan.usage, Usage { input: 7, output: 2, cache_read: 3, ..Usage::default() });
}

#[test]
fn fragments_never_split_a_character() {
    assert_eq!(super::fragments("aaaaaaaaaaaé é").concat(), "aaaaaaaaaaaé é");
}

#[test]
fn a_wordless_answer_costs_input_only() {
    let prompt = Prompt::wordless(["12345678", r#"[sim {"error":{"status":503}}]"#]);
    let plan = plan(&prompt);
    assert_eq!((plan.blocks.len(), plan.usage.output), (0, 0));
    assert_eq!(plan.fault.unwrap().exception, "ServiceUnavailableException");
}

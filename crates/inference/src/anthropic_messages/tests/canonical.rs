use serde_json::{Value, json};

use super::{converse_model, parse, plain_model, request, says};
use crate::anthropic_messages::MessagesRequest;
use crate::{
    BadRequest, CacheTtl, Capabilities, ContentBlock, GenerateRequest as _, Model, ModelRequest,
    Role, SystemBlock, Thinking, ToolChoice,
};

#[track_caller]
fn canonical(body: &Value, model: &Model) -> Result<ModelRequest, BadRequest> {
    parse(body).unwrap().to_canonical(model, 8_000)
}

#[track_caller]
fn refuses(body: &Value, model: &Model, param: &str, part: &str) {
    let error = canonical(body, model).unwrap_err();
    assert_eq!(error.param.as_deref(), Some(param), "{error}");
    assert!(error.message.contains(part), "{error}");
}

fn model_with(change: impl Fn(&mut Capabilities)) -> Model {
    let mut model = converse_model();
    change(&mut model.capabilities);
    model
}

#[test]
fn tools_of_anthropics_own_are_refused_by_name() {
    for kind in [
        "web_search_20250305",
        "web_fetch_20250910",
        "code_execution_20250825",
        "computer_20251124",
        "bash_20250124",
        "text_editor_20250728",
        "memory_20250818",
        "tool_search_tool_regex_20251119",
        "mcp_toolset",
    ] {
        let body = request(json!({"tools": [{"type": kind, "name": "x"}]}));
        refuses(&body, &converse_model(), "tools[0].type", kind);
    }
    let servers = request(json!({"mcp_servers": [{"type": "url", "url": "https://example.com"}]}));
    refuses(&servers, &converse_model(), "mcp_servers", "not available");
    assert!(canonical(&request(json!({"mcp_servers": []})), &converse_model()).is_ok());
}

#[test]
fn unknown_content_is_refused_by_name() {
    for kind in ["search_result", "server_tool_use", "container_upload", "hologram"] {
        let body = says(json!([{"type": "text", "text": "a"}, {"type": kind}]));
        refuses(&body, &converse_model(), "messages[0].content[1].type", kind);
    }
    let result = says(
        json!([{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "search_result"}]}]),
    );
    refuses(&result, &converse_model(), "messages[0].content[0].content[0].type", "search_result");
    let system = request(json!({"messages": [
        {"role": "user", "content": "q"}, {"role": "system", "content": [{"type": "tool_addition"}]},
    ]}));
    refuses(&system, &converse_model(), "messages[1].content[0].type", "tool_addition");
    let source = says(json!([{"type": "image", "source": {"type": "tape"}}]));
    refuses(&source, &converse_model(), "messages[0].content[0].source.type", "tape");
    let file = says(json!([{"type": "image", "source": {"type": "file", "file_id": "file_1"}}]));
    refuses(&file, &converse_model(), "messages[0].content[0].source.file_id", "uploaded");
}

#[test]
fn blocks_stand_where_they_belong() {
    let user = says(json!([{"type": "thinking", "thinking": "", "signature": ""}]));
    refuses(&user, &converse_model(), "messages[0].content[0].type", "assistant");
    let assistant = request(json!({"messages": [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": [{"type": "tool_result", "tool_use_id": "t"}]},
    ]}));
    refuses(&assistant, &converse_model(), "messages[1].content[0].type", "user");
}

#[test]
fn what_the_model_cannot_do_is_refused() {
    let image = says(json!([{"type": "image", "source": {"type": "url", "url": "u"}}]));
    refuses(&image, &plain_model(), "messages[0].content[0]", "image");
    let document = says(json!([{"type": "document", "source": {"type": "text", "data": "d"}}]));
    refuses(&document, &plain_model(), "messages[0].content[0]", "document");
    let tools = json!([{"name": "f", "input_schema": {}}]);
    refuses(&request(json!({"tools": tools})), &plain_model(), "tools", "no tools");
    let result = says(json!([{"type": "tool_result", "tool_use_id": "t"}]));
    refuses(&result, &plain_model(), "messages[0].content[0]", "no tools");
    let thinking = request(json!({"thinking": {"type": "enabled", "budget_tokens": 1024}}));
    refuses(&thinking, &plain_model(), "thinking", "think");
    let schema = json!({"type": "json_schema", "schema": {"type": "object"}});
    for fields in [json!({"output_config": {"format": schema}}), json!({"output_format": schema})] {
        let error = canonical(&request(fields.clone()), &plain_model()).unwrap_err();
        assert!(error.message.contains("schema"), "{error}");
        assert!(canonical(&request(fields), &converse_model()).unwrap().output_schema.is_some());
    }
    let unforced = model_with(|can| can.forced_tool_choice = false);
    for choice in [json!({"type": "any"}), json!({"type": "tool", "name": "f"})] {
        let body = request(json!({"tools": tools, "tool_choice": choice}));
        refuses(&body, &unforced, "tool_choice", "cannot be made");
        assert!(canonical(&body, &converse_model()).is_ok());
    }
    let begun = request(json!({"messages": [
        {"role": "user", "content": "q"}, {"role": "assistant", "content": "("},
    ]}));
    refuses(&begun, &plain_model(), "messages", "go on with an answer");
    assert!(canonical(&begun, &converse_model()).is_ok());
    refuses(
        &request(json!({"thinking": {"type": "between_tools"}})),
        &converse_model(),
        "thinking.type",
        "between_tools",
    );
    let zero = parse(&request(json!({"max_tokens": 0}))).unwrap();
    assert_eq!(
        zero.to_canonical(&converse_model(), 0).unwrap_err().param.as_deref(),
        Some("max_tokens")
    );
}

#[test]
fn hints_are_left_out_for_models_that_lack_them() {
    let body = request(json!({
        "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "q", "cache_control": {"type": "ephemeral"}}]}],
        "cache_control": {"type": "ephemeral"},
        "temperature": 0.5, "top_p": 0.5, "top_k": 3,
        "thinking": {"type": "adaptive"}, "output_config": {"effort": "max"},
        "metadata": {}, "context_management": {"edits": []}, "diagnostics": {}, "container": null,
    }));
    let plain = canonical(&body, &plain_model()).unwrap();
    assert_eq!(plain.system, [SystemBlock::Text("s".to_owned())]);
    assert_eq!(plain.messages[0].content, [ContentBlock::Text("q".to_owned())]);
    assert_eq!((plain.thinking, plain.effort), (None, None));
    let inference = plain.inference;
    assert_eq!((inference.temperature, inference.top_p, inference.top_k), (None, None, None));

    let hour = json!({"type": "ephemeral", "ttl": "1h"});
    let body = says(json!([{"type": "text", "text": "q", "cache_control": hour}]));
    let short = model_with(|can| can.prompt_caching_1h = false);
    let last = |model: &Model| canonical(&body, model).unwrap().messages[0].content.pop();
    assert_eq!(last(&short), Some(ContentBlock::CachePoint(CacheTtl::FiveMinutes)));
    assert_eq!(last(&converse_model()), Some(ContentBlock::CachePoint(CacheTtl::OneHour)));
}

#[test]
fn the_mark_at_the_top_is_on_the_last_block_once() {
    let marks = |body: &Value| {
        let canonical = canonical(body, &converse_model()).unwrap();
        let content = canonical.messages.into_iter().flat_map(|message| message.content);
        content.filter(|block| matches!(block, ContentBlock::CachePoint(_))).count()
    };
    let mark = json!({"type": "ephemeral"});
    assert_eq!(marks(&request(json!({"cache_control": mark}))), 1);
    let own = json!({"type": "text", "text": "q", "cache_control": mark});
    assert_eq!(
        marks(&request(
            json!({"cache_control": mark, "messages": [{"role": "user", "content": [own]}]})
        )),
        1
    );
    refuses(
        &request(json!({"cache_control": {"type": "ephemeral", "ttl": "2h"}})),
        &converse_model(),
        "cache_control.ttl",
        "1h",
    );
}

#[test]
fn turns_alternate_and_the_user_begins() {
    let body = request(json!({"messages": [
        {"role": "user", "content": "a"}, {"role": "user", "content": "b"},
        {"role": "system", "content": "s"},
        {"role": "assistant", "content": "c"}, {"role": "assistant", "content": []}, {"role": "user", "content": "d"},
    ]}));
    let canonical = canonical(&body, &converse_model()).unwrap();
    let roles: Vec<_> = canonical.messages.iter().map(|it| (it.role, it.content.len())).collect();
    assert_eq!(roles, [(Role::User, 2), (Role::Assistant, 1), (Role::User, 1)]);
    assert_eq!(canonical.system, [SystemBlock::Text("s".to_owned())]);
    for messages in [
        json!([{"role": "assistant", "content": "c"}]),
        json!([{"role": "system", "content": "s"}]),
    ] {
        refuses(
            &request(json!({"messages": messages})),
            &converse_model(),
            "messages",
            "start with a `user`",
        );
    }
}

#[test]
fn choices_among_tools_are_read() {
    let tools = json!([{"name": "f", "input_schema": {"type": "object"}}]);
    let of = |choice: Value| {
        let body = request(json!({"tools": tools, "tool_choice": choice}));
        let canonical = canonical(&body, &converse_model()).unwrap();
        (canonical.tool_choice, canonical.parallel_tool_calls)
    };
    assert_eq!(of(json!({"type": "none"})), (Some(ToolChoice::None), None));
    assert_eq!(
        of(json!({"type": "any", "disable_parallel_tool_use": true})),
        (Some(ToolChoice::Any), Some(false))
    );
    assert_eq!(
        of(json!({"type": "auto", "disable_parallel_tool_use": false})),
        (Some(ToolChoice::Auto), None)
    );
    assert_eq!(
        of(json!({"type": "tool", "name": "f"})),
        (Some(ToolChoice::Tool("f".to_owned())), None)
    );
    for (choice, param) in [
        (json!({"type": "tool", "name": "g"}), "tool_choice.name"),
        (json!({"type": "tool"}), "tool_choice.name"),
        (json!({"type": "must"}), "tool_choice.type"),
        (
            json!({"type": "any", "disable_parallel_tool_use": 1}),
            "tool_choice.disable_parallel_tool_use",
        ),
    ] {
        let body = request(json!({"tools": tools, "tool_choice": choice}));
        assert_eq!(canonical(&body, &converse_model()).unwrap_err().param.as_deref(), Some(param));
    }
    refuses(
        &request(json!({"tool_choice": {"type": "any"}})),
        &converse_model(),
        "tool_choice",
        "no `tools`",
    );
    let twice = request(json!({"tools": [tools[0], tools[0]]}));
    refuses(&twice, &converse_model(), "tools[1]", "second tool");
    let named = request(json!({"tools": [{"name": "a b", "input_schema": {}}]}));
    refuses(&named, &converse_model(), "tools[0].name", "letters");
}

/// A budget above the maximum would be refused by the model.
#[test]
fn a_lowered_maximum_lowers_the_budget_too() {
    let thinking = json!({"type": "enabled", "budget_tokens": 31_999});
    let request = parse(&request(json!({"max_tokens": 32_000, "thinking": thinking}))).unwrap();
    let of = |max: u32| request.to_canonical(&converse_model(), max).unwrap().thinking;
    assert_eq!(of(8_192), Some(Thinking::Enabled { budget_tokens: 8_191 }));
    assert_eq!(of(32_000), Some(Thinking::Enabled { budget_tokens: 31_999 }));
}

#[test]
fn beta_flags_go_along_where_the_registry_knows_them() {
    let body = request(json!({})).to_string();
    let header = ("anthropic-beta".to_owned(), "context-1m-2025-08-07,other".to_owned());
    let request = MessagesRequest::parse(body.as_bytes(), &[header]).unwrap();
    let of = |model: &Model| request.to_canonical(model, 9).unwrap().additional_fields;
    assert!(
        of(&converse_model()).is_empty(),
        "a model of another family refuses what it does not know"
    );
    let flags = Some(vec!["context-1m-2025-08-07".to_owned()]);
    let known = of(&Model { anthropic_beta: flags, ..converse_model() });
    assert_eq!(Value::from(known), json!({"anthropic_beta": ["context-1m-2025-08-07"]}));
}

#[test]
fn dropped_fields_are_as_if_absent() {
    let model =
        Model { drop_fields: vec!["tools".to_owned(), "thinking".to_owned()], ..plain_model() };
    let body =
        request(json!({"tools": [{"type": "bash_20250124"}], "thinking": {"type": "enabled"}}));
    assert!(canonical(&body, &model).unwrap().tools.is_empty());
}

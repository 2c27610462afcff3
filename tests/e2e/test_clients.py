"""Official SDKs, frameworks and coding agents, unmodified, each in a process of its own, as a developer runs them."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from front import Front
from programs import NODE_CLIENTS, NODE_MODULES, PYTHON_CLIENTS, run, rust_client
from simulator import Simulator, script
from stack import Caller

#: Where each dialect's clients find the gateway, after the stage.
BASE_PATHS = {"chat": "/v1", "responses": "/v1", "anthropic": "", "bedrock": "/bedrock"}
MODELS = {
    "chat": "gpt-oss-120b",
    "responses": "gpt-oss-120b",
    "anthropic": "claude-sonnet-4-5",
    "bedrock": "claude-sonnet-4-5",
}

CITIES = ["Oslo", "Rome"]
QUESTION = script(
    "How warm is it in Oslo and in Rome?",
    chunks=["I will ", "look."],
    tool_calls=[{"name": "get_weather", "arguments": {"city": city}} for city in CITIES],
)
LAST_WORDS = ["Rome ", "is ", "warmer."]
FOLLOW_UP = script("Which is warmer?", chunks=LAST_WORDS)

BEFORE = 'fn greet() { println!("Hello"); }\n'
AFTER = 'fn greet() { println!("Good day"); }\n'


@dataclass(frozen=True)
class Client:
    """A program that has the conversation."""

    name: str
    dialect: str
    file: str
    argument: str | None = None
    #: Where it finds the gateway, if not where the others of its dialect do.
    base_path: str | None = None
    #: Which model it asks for, if not the one that the others of its dialect do.
    model: str | None = None

    def command(self) -> list[str]:
        """How to start it."""
        arguments = [self.argument] if self.argument else []
        if self.file.endswith(".py"):
            return [sys.executable, str(PYTHON_CLIENTS / self.file), *arguments]
        return ["node", str(NODE_CLIENTS / self.file), *arguments]


CLIENTS = [
    Client("openai-python-chat", "chat", "openai_chat.py"),
    Client("openai-python-responses", "responses", "openai_responses.py"),
    Client("openai-typescript-chat", "chat", "openai_chat.mjs"),
    Client("openai-typescript-responses", "responses", "openai_responses.mjs"),
    Client("anthropic-python", "anthropic", "anthropic_messages.py"),
    Client("anthropic-typescript", "anthropic", "anthropic_messages.mjs"),
    Client("boto3-converse", "bedrock", "bedrock_converse.py"),
    Client("boto3-invoke", "bedrock", "bedrock_invoke.py"),
    Client("langchain-openai-chat", "chat", "langchain_model.py", "openai"),
    Client("langchain-openai-responses", "responses", "langchain_model.py", "openai-responses"),
    Client("langchain-anthropic", "anthropic", "langchain_model.py", "anthropic"),
    Client("langchain-aws", "bedrock", "langchain_model.py", "aws"),
    Client("ai-sdk-openai-chat", "chat", "ai_sdk.mjs", "openai-chat"),
    Client("ai-sdk-openai-responses", "responses", "ai_sdk.mjs", "openai"),
    Client("ai-sdk-anthropic", "anthropic", "ai_sdk.mjs", "anthropic", base_path="/v1"),
    Client("ai-sdk-bedrock", "bedrock", "ai_sdk.mjs", "bedrock"),
    # The same, with models behind another protocol.
    Client("openai-python-chat-claude", "chat", "openai_chat.py", model="claude-sonnet-4-5"),
    Client("openai-python-responses-claude", "responses", "openai_responses.py", model="claude-sonnet-4-5"),
    Client("openai-typescript-responses-vllm", "responses", "openai_responses.mjs", model="vllm-llama"),
    Client("ai-sdk-anthropic-gpt-oss", "anthropic", "ai_sdk.mjs", "anthropic", base_path="/v1", model="gpt-oss-120b"),
    Client("ai-sdk-bedrock-sagemaker", "bedrock", "ai_sdk.mjs", "bedrock", model="sagemaker-chat"),
]


def gateway(caller: Caller, base_path: str) -> str:
    """Where a client finds the gateway."""
    return caller.stack.base_url.removesuffix("/v1") + base_path


def check_answers(front: Front, simulator: Simulator, before: int, calls: int) -> None:
    """The gateway and the models have refused nothing, whatever the client makes of it."""
    refused = [answer for answer in front.answers if answer.status != 200]
    assert not refused
    # Servers other than Bedrock are not told whose call it is.
    asked = simulator.calls(before, "acme") or simulator.calls(before)
    assert len(asked) == len(front.answers) == calls
    assert {(call["status"], call["outcome"]) for call in asked} == {(200, "completed")}


@pytest.mark.parametrize("client", [pytest.param(client, id=client.name) for client in CLIENTS])
def test_a_client_has_a_streamed_conversation_with_tools(
    acme: Caller, plain: Front, tls: Front, simulator: Simulator, tmp_path: Path, client: Client
) -> None:
    """Two turns; in the first, the model calls a tool twice in one answer."""
    base_path = BASE_PATHS[client.dialect] if client.base_path is None else client.base_path
    front = tls if client.dialect == "bedrock" else plain
    front.answers.clear()
    before = simulator.last_seq()
    printed = run(
        client.command(),
        tmp_path,
        WEIR_BASE_URL=front.url(gateway(acme, base_path)),
        WEIR_TOKEN=acme.token,
        WEIR_MODEL=client.model or MODELS[client.dialect],
        WEIR_QUESTION=QUESTION,
        WEIR_FOLLOW_UP=FOLLOW_UP,
        AWS_CA_BUNDLE=str(tls.authority),
        NODE_EXTRA_CA_CERTS=str(tls.authority),
    )
    report = json.loads(printed.splitlines()[-1])
    assert report["cities"] == CITIES
    first, last = report["texts"]
    assert all(f"{len(city)} degrees in {city}" in first for city in CITIES)
    assert last == "".join(LAST_WORDS)
    assert report["pieces"] >= len(LAST_WORDS)
    assert len(report["stops"]) == 3
    assert all(input_tokens > 0 and output_tokens > 0 for input_tokens, output_tokens in report["usage"])
    check_answers(front, simulator, before, calls=3)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with one file, for an agent to work in."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "greet.rs").write_text(BEFORE, encoding="utf-8")
    return folder


#: What an agent is told; the simulator is told apart what the model is to do about it.
TASK = "Change the greeting in greet.rs."


@pytest.mark.parametrize(
    "chosen",
    [
        # Its own choice of model may write more than the one that the gateway has for that name.
        pytest.param({"CLAUDE_CODE_MAX_OUTPUT_TOKENS": "32000"}, id="no model named"),
        pytest.param({"ANTHROPIC_MODEL": "claude-sonnet-4-5"}, id="claude-sonnet-4-5"),
        pytest.param({"ANTHROPIC_MODEL": "team-default"}, id="an alias"),
        pytest.param({"ANTHROPIC_MODEL": "gpt-oss-120b"}, id="gpt-oss-120b"),
    ],
)
def test_claude_code_edits_a_file(
    acme: Caller, plain: Front, simulator: Simulator, project: Path, chosen: dict[str, str]
) -> None:
    """It reads the file, since it refuses to edit one that it has not read, and edits it."""
    file = str(project / "greet.rs")
    edit = {"file_path": file, "old_string": "Hello", "new_string": "Good day"}
    turns = [
        {"text": "I read it first.", "tools": [{"name": "Read", "input": {"file_path": file}}]},
        {"tools": [{"name": "Edit", "input": edit}]},
        {"text": "Done."},
    ]
    plain.answers.clear()
    before = simulator.last_seq()
    # The package's own program needs an install script, and none is run.
    program = NODE_MODULES / "@anthropic-ai" / "claude-code" / "cli-wrapper.cjs"
    with simulator.conversation("claude-code", TASK, turns):
        printed = run(
            ["node", str(program), "-p", TASK, "--dangerously-skip-permissions", "--output-format", "json"],
            project,
            ANTHROPIC_BASE_URL=plain.url(gateway(acme, BASE_PATHS["anthropic"])),
            ANTHROPIC_AUTH_TOKEN=acme.token,
            CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
            # Else it refuses to skip permissions when root runs it, as in a container.
            IS_SANDBOX="1",
            **chosen,
        )
    report = json.loads(printed)
    assert (report["is_error"], report["result"]) == (False, "Done.")
    assert (project / "greet.rs").read_text(encoding="utf-8") == AFTER
    check_answers(plain, simulator, before, calls=3)


#: Models that Codex knows get its own tool for edits, others a shell.
SED = {"name": "exec_command", "input": {"cmd": "sed -i 's/Hello/Good day/' greet.rs"}}
PATCH = {
    "name": "apply_patch",
    "input": {
        "input": f"*** Begin Patch\n*** Update File: greet.rs\n@@\n-{BEFORE.strip()}\n+{AFTER.strip()}\n*** End Patch\n"
    },
}


@pytest.mark.parametrize(
    ("model", "edit"),
    [("gpt-oss-120b", SED), ("claude-sonnet-4-5", SED), ("gpt-5.5", PATCH)],
    ids=["gpt-oss-120b", "claude-sonnet-4-5", "gpt-5.5"],
)
def test_codex_edits_a_file(
    acme: Caller,
    plain: Front,
    simulator: Simulator,
    project: Path,
    tmp_path: Path,
    model: str,
    edit: dict[str, Any],
) -> None:
    """It edits the file and looks at it."""
    cat = {"name": "exec_command", "input": {"cmd": "cat greet.rs"}}
    turns = [{"text": "I edit it.", "tools": [edit]}, {"tools": [cat]}, {"text": "Done."}]
    settings = tmp_path / "codex"
    settings.mkdir()
    (settings / "config.toml").write_text(
        f"""\
model = "{model}"
model_provider = "weir"

[model_providers.weir]
name = "Weir"
base_url = "{plain.url(gateway(acme, BASE_PATHS["responses"]))}"
env_key = "WEIR_TOKEN"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
""",
        encoding="utf-8",
    )
    plain.answers.clear()
    before = simulator.last_seq()
    program = NODE_MODULES / ".bin" / "codex"
    with simulator.conversation("codex", TASK, turns):
        printed = run(
            [str(program), "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", TASK],
            project,
            CODEX_HOME=str(settings),
            WEIR_TOKEN=acme.token,
        )
    assert "Done." in printed
    assert (project / "greet.rs").read_text(encoding="utf-8") == AFTER
    check_answers(plain, simulator, before, calls=3)


def test_the_aws_sdk_for_rust_has_a_conversation(
    acme: Caller, tls: Front, simulator: Simulator, tmp_path: Path
) -> None:
    """Streamed with tools, then whole, then by ``InvokeModel``; and it knows the type of an error."""
    tls.answers.clear()
    before = simulator.last_seq()
    printed = run(
        [str(rust_client("aws_sdk_client"))],
        tmp_path,
        AWS_ENDPOINT_URL_BEDROCK_RUNTIME=tls.url(gateway(acme, BASE_PATHS["bedrock"])),
        AWS_BEARER_TOKEN_BEDROCK=acme.token,
        AWS_REGION=acme.stack.region,
        SSL_CERT_FILE=str(tls.authority),
        WEIR_MODEL=MODELS["bedrock"],
        WEIR_MISSING_MODEL="claude-opus-4-5",
        WEIR_QUESTION=QUESTION,
        WEIR_FOLLOW_UP=FOLLOW_UP,
    )
    report = json.loads(printed.splitlines()[-1])
    assert report["cities"] == CITIES
    first, last = report["texts"]
    assert all(f"{len(city)} degrees in {city}" in first for city in CITIES)
    assert last == "".join(LAST_WORDS)
    assert report["pieces"] >= len(LAST_WORDS)
    assert report["stops"] == ["tool_use", "end_turn", "end_turn"]
    assert all(input_tokens > 0 and output_tokens > 0 for input_tokens, output_tokens in report["usage"])
    assert (report["converse"], report["invoked"]) == ("A whole answer.", "An invoked answer.")
    refused = report["refused"]
    assert (refused["is_typed"], refused["code"]) == (True, "ResourceNotFoundException")
    assert "claude-opus-4-5" in refused["message"]
    assert [answer.status for answer in tls.answers] == [200, 200, 200, 200, 200, 404]
    assert {call["status"] for call in simulator.calls(before, "acme")} == {200}

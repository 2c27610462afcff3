"""Official SDKs, frameworks and coding agents, unmodified, each in a process of its own, as a developer would run it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from simulator import script
from stack import ROOT, TIMEOUT_S, Caller
from tls import Front, front

PYTHON = ROOT / ".local" / "venv-clients" / "bin" / "python"
PYTHON_CLIENTS = ROOT / "tests" / "e2e" / "clients"
NODE_CLIENTS = ROOT / "tests" / "e2e" / "node"
NODE_MODULES = NODE_CLIENTS / "node_modules"

#: Dialects that are not tested yet, and why.
PENDING = {
    "chat": "these clients have not been run against the gateway yet",
    "responses": "the gateway has no /v1/responses yet",
    "anthropic": "the gateway has no /v1/messages yet",
    "bedrock": "the gateway has no Bedrock runtime routes yet",
}
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

    def command(self) -> list[str]:
        """How to start it."""
        arguments = [self.argument] if self.argument else []
        if self.file.endswith(".py"):
            return [str(PYTHON), str(PYTHON_CLIENTS / self.file), *arguments]
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
]


def pending(dialect: str) -> list[pytest.MarkDecorator]:
    """Skips a test of a dialect that is still to come."""
    return [pytest.mark.skip(reason=PENDING[dialect])] if dialect in PENDING else []


@pytest.fixture(scope="module")
def tls(acme: Caller, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """The gateway behind TLS."""
    with front(acme.stack.base_url, tmp_path_factory.mktemp("tls")) as running:
        yield running


def gateway(caller: Caller, base_path: str) -> str:
    """Where a client finds the gateway."""
    return caller.stack.base_url.removesuffix("/v1") + base_path


def run(command: list[str], folder: Path, **environment: str) -> str:
    """Runs a program that knows nothing of this machine but its home, and returns what it printed."""
    finished = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "AWS_EC2_METADATA_DISABLED": "true", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.mark.parametrize(
    "client", [pytest.param(client, id=client.name, marks=pending(client.dialect)) for client in CLIENTS]
)
def test_a_client_has_a_streamed_conversation_with_tools(
    acme: Caller, tls: Front, tmp_path: Path, client: Client
) -> None:
    """Two turns; in the first, the model calls a tool twice in one answer."""
    base_path = BASE_PATHS[client.dialect] if client.base_path is None else client.base_path
    url = gateway(acme, base_path)
    printed = run(
        client.command(),
        tmp_path,
        WEIR_BASE_URL=tls.url(url) if client.dialect == "bedrock" else url,
        WEIR_TOKEN=acme.token,
        WEIR_MODEL=MODELS[client.dialect],
        WEIR_QUESTION=QUESTION,
        WEIR_FOLLOW_UP=FOLLOW_UP,
        AWS_CA_BUNDLE=str(tls.certificate),
        NODE_EXTRA_CA_CERTS=str(tls.certificate),
    )
    report = json.loads(printed.splitlines()[-1])
    assert report["cities"] == CITIES
    first, last = report["texts"]
    assert all(f"{len(city)} degrees in {city}" in first for city in CITIES)
    assert last == "".join(LAST_WORDS)
    assert report["pieces"] >= len(LAST_WORDS)
    assert len(report["stops"]) == 3
    assert all(input_tokens > 0 and output_tokens > 0 for input_tokens, output_tokens in report["usage"])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with one file, for an agent to work in."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "greet.rs").write_text(BEFORE, encoding="utf-8")
    return folder


@pytest.mark.parametrize("_", [pytest.param(None, id="claude-code", marks=pending("anthropic"))])
def test_claude_code_edits_a_file(acme: Caller, project: Path, _: None) -> None:
    """It reads the file, since it refuses to edit one that it has not read, and edits it."""
    file = str(project / "greet.rs")
    edit = {"file_path": file, "old_string": "Hello", "new_string": "Good day"}
    prompt = script(
        "Change the greeting in greet.rs.",
        tool_calls=[{"name": "Read", "arguments": {"file_path": file}}, {"name": "Edit", "arguments": edit}],
    )
    # The package's own program needs an install script, and none is run.
    program = NODE_MODULES / "@anthropic-ai" / "claude-code" / "cli-wrapper.cjs"
    printed = run(
        ["node", str(program), "-p", prompt, "--dangerously-skip-permissions", "--output-format", "json"],
        project,
        ANTHROPIC_BASE_URL=gateway(acme, BASE_PATHS["anthropic"]),
        ANTHROPIC_AUTH_TOKEN=acme.token,
        ANTHROPIC_MODEL=MODELS["anthropic"],
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
        # Else it refuses to skip permissions when root runs it, as in a container.
        IS_SANDBOX="1",
    )
    assert json.loads(printed)["is_error"] is False
    assert (project / "greet.rs").read_text(encoding="utf-8") == AFTER


@pytest.mark.parametrize("_", [pytest.param(None, id="codex", marks=pending("responses"))])
def test_codex_edits_a_file(acme: Caller, project: Path, tmp_path: Path, _: None) -> None:
    """It edits the file with a command, its only tool for that with a model that it does not know."""
    command = "sed -i 's/Hello/Good day/' greet.rs"
    prompt = script(
        "Change the greeting in greet.rs.", tool_calls=[{"name": "exec_command", "arguments": {"cmd": command}}]
    )
    settings = tmp_path / "codex"
    settings.mkdir()
    (settings / "config.toml").write_text(
        f"""\
model = "{MODELS["responses"]}"
model_provider = "weir"

[model_providers.weir]
name = "Weir"
base_url = "{gateway(acme, BASE_PATHS["responses"])}"
env_key = "WEIR_TOKEN"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
""",
        encoding="utf-8",
    )
    program = NODE_MODULES / ".bin" / "codex"
    run(
        [str(program), "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", prompt],
        project,
        CODEX_HOME=str(settings),
        WEIR_TOKEN=acme.token,
    )
    assert (project / "greet.rs").read_text(encoding="utf-8") == AFTER

"""One patched and one stock MiniStack for the whole session, each with the same small stack deployed on first use."""

import io
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

_HERE = Path(__file__).parent
_FUNCTIONS = _HERE / "functions"
_REGION = "us-east-1"


@dataclass
class Answer:
    """An HTTP answer, error statuses included."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


def function_zip(name: str, file_name: str) -> bytes:
    """A deployment package of one file, executable, run by the interpreter of the tests where it is a ``bootstrap``."""
    source = (_FUNCTIONS / name).read_text()
    if file_name == "bootstrap":
        source = f"#!{sys.executable}\n{source}"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo(file_name)
        info.external_attr = 0o755 << 16
        archive.writestr(info, source)
    return buffer.getvalue()


@dataclass
class Instance:
    """A running MiniStack."""

    port: int
    process: subprocess.Popen
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, service: str, **credentials):
        """A client as root, or with the given credentials."""
        credentials = credentials or {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        config = Config(retries={"total_max_attempts": 1}, inject_host_prefix=False)
        return boto3.client(service, endpoint_url=self.endpoint, region_name=_REGION, config=config, **credentials)

    def create_function(self, function_name: str, source: str, role: str = "function", **options) -> str:
        """Create a function from a file of ``functions/`` and return its ARN."""
        provided = source.endswith("_bootstrap.py")
        return self.client("lambda").create_function(
            FunctionName=function_name,
            Runtime="provided.al2023" if provided else "python3.12",
            Handler="bootstrap" if provided else "function.handler",
            Role=f"arn:aws:iam::000000000000:role/{role}",
            Timeout=options.pop("Timeout", 20),
            Code={"ZipFile": function_zip(source, "bootstrap" if provided else "function.py")},
            **options,
        )["FunctionArn"]

    def request(self, path: str, body=None, token: str | None = "allow", method: str | None = None, headers=None) -> Answer:
        """Call the deployed REST API, stage ``live``."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": "application/json", **(headers or {})}
        if token is not None:
            headers["Authorization"] = token
        url = f"{self.endpoint}/_aws/execute-api/{self.outputs['ApiId']}/live{path}"
        request = urllib.request.Request(url, data, headers, method=method or ("POST" if data is not None else "GET"))
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, response.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, {k.lower(): v for k, v in error.headers.items()}, error.read())


def eventually(check, timeout: float = 10.0):
    """The first truthy value of ``check()``, polled; fails when there is none in time."""
    deadline = time.monotonic() + timeout
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < deadline, f"nothing within {timeout} s; last value: {value!r}"
        time.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _start(module: str, directory: Path) -> Instance:
    port = _free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MINISTACK_"))}
    environment.update(
        PYTHONPATH=str(_HERE.parent), GATEWAY_PORT=str(port), BIND_HOST="127.0.0.1", STATE_DIR=str(directory / "state"),
        TMPDIR=str(directory), IOT_MTLS_ENABLED="0", SFTP_ENABLED="0", AUTH="true", LOG_LEVEL="WARNING",
        AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}", AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test",
        AWS_DEFAULT_REGION=_REGION,
    )
    log = (directory / "log").open("wb")
    process = subprocess.Popen([sys.executable, "-m", module], env=environment, stdout=log, stderr=subprocess.STDOUT)
    instance = Instance(port, process)

    def healthy():
        assert process.poll() is None, (directory / "log").read_text()
        try:
            return urllib.request.urlopen(f"{instance.endpoint}/_ministack/health", timeout=5).status == 200
        except OSError:
            return False

    eventually(healthy)
    return instance


def _stop(instance: Instance) -> None:
    instance.process.terminate()
    try:
        instance.process.wait(10)
    except subprocess.TimeoutExpired:
        instance.process.kill()
        instance.process.wait()


def _deploy(instance: Instance) -> None:
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}
    instance.client("iam").create_role(RoleName="function", AssumeRolePolicyDocument=json.dumps(trust))
    instance.create_function("stream", "stream_bootstrap.py")
    instance.create_function("authorizer", "authorizer.py")
    cloudformation = instance.client("cloudformation")
    cloudformation.create_stack(StackName="smoke", TemplateBody=(_HERE / "template.json").read_text())

    def finished():
        stack = cloudformation.describe_stacks(StackName="smoke")["Stacks"][0]
        assert "FAILED" not in stack["StackStatus"] and "ROLLBACK" not in stack["StackStatus"], stack
        return stack["StackStatus"] == "CREATE_COMPLETE" and stack

    instance.outputs = {output["OutputKey"]: output["OutputValue"] for output in eventually(finished)["Outputs"]}


def _instance(module: str, tmp_path_factory):
    instance = _start(module, tmp_path_factory.mktemp(module))
    try:
        _deploy(instance)
        yield instance
    finally:
        _stop(instance)


@pytest.fixture(scope="session")
def patched(tmp_path_factory):
    """MiniStack with the patches."""
    yield from _instance("weir_local", tmp_path_factory)


@pytest.fixture(scope="session")
def stock(tmp_path_factory):
    """MiniStack as it is: what a patch corrects must still be wrong here."""
    yield from _instance("ministack", tmp_path_factory)

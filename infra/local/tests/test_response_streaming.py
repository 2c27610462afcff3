"""Patch ``response_streaming``."""

import base64
import http.client
import json
import os
import random
import signal
import time
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import eventually


def _order(instance, order, path="/stream"):
    """Send an order and return the response with its body unread."""
    connection = http.client.HTTPConnection("127.0.0.1", instance.port, timeout=20)
    url = f"/_aws/execute-api/{instance.outputs['ApiId']}/live{path}"
    connection.request("POST", url, json.dumps(order), {"Authorization": "allow", "content-type": "application/json"})
    return connection, connection.getresponse()


def test_chunks_arrive_as_the_function_writes_them(patched):
    _order(patched, {})[1].read()  # a warm function and authorizer
    started = time.monotonic()
    _, response = _order(patched, {"chunks": 4, "interval": 0.15})
    arrivals = []
    while line := response.readline():
        arrivals.append((line, time.monotonic() - started))
    assert [line for line, _ in arrivals] == [b"chunk %d\n" % number for number in range(4)]
    assert arrivals[3][1] - arrivals[0][1] > 0.3


def test_bytes_that_are_no_text_pass_as_they_are(patched):
    """Amazon event streams are binary: lengths and checksums, NUL bytes, anything."""
    source = random.Random(3)
    chunks = [bytes(range(256)), b"\0" * 20, b"\xff\xfe\xc3\x28\r\n\r\n0\r\n\r\n", *(source.randbytes(size) for size in (1, 977, 70_000))]
    order = {
        "chunks": 0,
        "content_type": "application/vnd.amazon.eventstream",
        "base64_chunks": [base64.b64encode(chunk).decode() for chunk in chunks],
    }
    _, response = _order(patched, order)
    assert response.headers["content-type"] == "application/vnd.amazon.eventstream"
    assert response.read() == b"".join(chunks)


@pytest.mark.parametrize(
    "sent",
    [
        "us.anthropic.claude-sonnet-4-5-20250929-v1%3A0",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "arn%3Aaws%3Abedrock%3Aus-east-1%3A111122223333%3Ainference-profile%2Fus.anthropic.claude",
    ],
)
def test_an_id_in_the_path_can_be_restored(patched, sent):
    """Whichever way a client writes it. MiniStack resolves the escapes; one that holds `/` then meets the catch-all."""
    _, response = _order(patched, {"echo": True, "chunks": 1}, f"/model/{sent}/invoke")
    event = json.loads(response.read())
    assert urllib.parse.unquote(event["path"]) == f"/model/{urllib.parse.unquote(sent)}/invoke"
    assert event["resource"] == ("/model/{proxy+}" if "%2F" in sent else "/model/{id}/invoke")


def test_prelude_becomes_status_headers_and_cookies(patched):
    _, response = _order(patched, {"status": 429})
    assert response.status == 429
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers.get_all("set-cookie") == ["a=1", "b=2"]
    assert response.headers.get_all("x-many") == ["1", "2"]
    assert b"\0" not in response.read()


def test_a_client_that_hangs_up_does_not_stop_the_function(patched, tmp_path):
    marker = tmp_path / "finished"
    connection, response = _order(patched, {"chunks": 6, "interval": 0.1, "marker": str(marker)})
    response.readline()
    response.close()
    connection.close()
    assert not marker.exists()
    eventually(marker.exists)


def test_a_function_killed_in_mid_stream_truncates_the_answer_and_is_replaced(patched):
    _, response = _order(patched, {"chunks": 3, "die_at": 2})
    with pytest.raises(http.client.IncompleteRead) as truncated:
        response.read()
    assert truncated.value.partial == b"chunk 0\nchunk 1\n"
    assert _order(patched, {"chunks": 1})[1].read() == b"chunk 0\n"


def _busy_workers(instance) -> list[dict]:
    url = f"{instance.endpoint}/_weir/workers?function_name=stream"
    with urllib.request.urlopen(url, timeout=5) as response:
        return [worker for worker in json.load(response)["workers"] if worker["busy"]]


def test_the_process_of_an_invocation_can_be_found_and_killed(patched):
    eventually(lambda: not _busy_workers(patched))
    _, response = _order(patched, {"chunks": 100, "interval": 0.1})
    assert response.readline() == b"chunk 0\n"
    (worker,) = _busy_workers(patched)
    os.kill(worker["pid"], signal.SIGKILL)
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    eventually(lambda: not _busy_workers(patched))


def test_many_streams_at_once_stay_apart(patched):
    def stream(number: int) -> bool:
        order = {"chunks": 5, "interval": 0.02, "echo": True, "number": number}
        lines = patched.request("/stream", order).body
        return lines.count(f'\\"number\\": {number}}}'.encode()) == 5

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(stream, range(24)))


def test_a_broken_response_of_a_living_function_truncates_the_answer(patched):
    _, response = _order(patched, {"chunks": 3, "break_at": 1})
    with pytest.raises(http.client.IncompleteRead):
        response.read()
    assert _order(patched, {"chunks": 1})[1].read() == b"chunk 0\n"


def test_a_function_killed_before_the_prelude_is_a_502(patched):
    answer = patched.request("/stream", {"prelude": False, "chunks": 1, "die_at": 0})
    assert answer.status == 502
    assert answer.json["error"]["message"] == "Internal server error"


def test_a_function_error_is_a_502(patched):
    assert patched.request("/stream", {"fail": "on purpose"}).status == 502


def test_an_answer_without_prelude_is_a_500(patched):
    assert patched.request("/stream", {"prelude": False}).status == 500


def test_a_timeout_in_mid_stream_truncates_the_answer(patched):
    patched.client("lambda").update_function_configuration(FunctionName="stream", Timeout=1)
    try:
        _, response = _order(patched, {"chunks": 50, "interval": 0.1})
        with pytest.raises(http.client.IncompleteRead):
            response.read()
    finally:
        patched.client("lambda").update_function_configuration(FunctionName="stream", Timeout=20)


def test_streaming_uri_and_transfer_mode_must_agree(patched):
    assert patched.request("/mismatch", {}).status == 500


def test_stock_does_not_stream(stock):
    assert stock.request("/stream", {}).status == 500

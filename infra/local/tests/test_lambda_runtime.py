"""Patches ``runtime_api_latency`` and ``embedded_metrics``."""

import base64
import json
import time

from conftest import eventually


def _invoke(instance, **order):
    return instance.client("lambda").invoke(FunctionName="stream", LogType="Tail", Payload=json.dumps(order).encode())


def _quickest_ms(instance) -> float:
    """The time of a warm invocation, undisturbed."""
    client, times = instance.client("lambda"), []
    for _ in range(12):
        started = time.monotonic()
        client.invoke(FunctionName="stream", Payload=b"{}")
        times.append((time.monotonic() - started) * 1000)
    return min(times)


def test_a_warm_invocation_does_not_stall(patched):
    assert _quickest_ms(patched) < 35


def test_stock_stalls(stock):
    assert _quickest_ms(stock) > 38


def test_every_line_written_before_the_answer_is_in_its_log(patched):
    for number in range(30):
        lines = "\n".join(f"{number}/{line}" for line in range(30))
        tail = base64.b64decode(_invoke(patched, log=lines)["LogResult"]).decode()
        assert [line for line in tail.splitlines() if "/" in line and line.startswith(f"{number}/")] == lines.splitlines()


def _metric_line(name: str) -> str:
    return json.dumps({
        "_aws": {"Timestamp": 0, "CloudWatchMetrics": [{
            "Namespace": "smoke", "Dimensions": [["tenant_id"]], "Metrics": [{"Name": name, "Unit": "Count"}],
        }]},
        "tenant_id": "acme",
        name: [3, 4],
    })


def _sum(instance, name: str) -> float:
    points = instance.client("cloudwatch").get_metric_statistics(
        Namespace="smoke", MetricName=name, Dimensions=[{"Name": "tenant_id", "Value": "acme"}], Period=3600,
        StartTime=time.time() - 3600, EndTime=time.time() + 3600, Statistics=["Sum"],
    )["Datapoints"]
    return sum(point["Sum"] for point in points)


def test_embedded_metrics_are_published(patched):
    _invoke(patched, log=_metric_line("tokens"))
    eventually(lambda: _sum(patched, "tokens") == 7)


def test_a_malformed_metric_line_is_ignored(patched):
    _invoke(patched, log='{"_aws": {"CloudWatchMetrics": 1}}')
    assert _invoke(patched)["StatusCode"] == 200


def test_stock_publishes_nothing(stock):
    _invoke(stock, log=_metric_line("tokens"))
    assert _sum(stock, "tokens") == 0

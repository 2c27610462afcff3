"""Metrics that a function writes to its log in CloudWatch's embedded metric format.

MiniStack stores the log line only. AWS also publishes the metrics the line describes (``_aws.CloudWatchMetrics``).
"""

import json
import logging

from ministack.services import cloudwatch, lambda_svc

from weir_local.patching import wrap

_log = logging.getLogger("weir_local.embedded_metrics")


def _publish(document: dict) -> None:
    for block in document["_aws"]["CloudWatchMetrics"]:
        data = []
        for dimensions in block.get("Dimensions") or [[]]:
            named = [{"Name": name, "Value": str(document[name])} for name in dimensions]
            for metric in block["Metrics"]:
                values = document[metric["Name"]]
                for value in values if isinstance(values, list) else [values]:
                    data.append({
                        "MetricName": metric["Name"],
                        "Value": value,
                        "Unit": metric.get("Unit", "None"),
                        "Dimensions": named,
                    })
        cloudwatch._put_metric_data(None, {"Namespace": block["Namespace"], "MetricData": data}, False, True)


def apply() -> None:
    """Publish the metrics found in the log lines of an invocation."""

    @wrap(lambda_svc, "_emit_lambda_logs")
    def emit(original, func, request_id, log_text, *args, **kwargs):
        original(func, request_id, log_text, *args, **kwargs)
        for line in (log_text or "").splitlines():
            if '"CloudWatchMetrics"' not in line:
                continue
            try:
                _publish(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                # AWS ignores a malformed line too; saying so here saves a search.
                _log.warning("malformed embedded metric line: %s: %s", type(error).__name__, error)

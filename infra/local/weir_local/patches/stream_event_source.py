"""A DynamoDB stream's failed batches are retried, split and discarded as on AWS.

MiniStack retries a batch for ever when the function fails, ignoring ``MaximumRetryAttempts``, ``BisectBatchOnFunctionError`` and
the ``OnFailure`` destination; and it ignores ``ReportBatchItemFailures``, so records a function reported as failed are lost.

AWS: a reported failure is retried from the lowest reported sequence number on; a failed batch is retried whole, or in halves when
bisecting (a split does not count as an attempt); a batch out of attempts or too old goes to the destination, as a description
without its records, and the shard moves on. An empty or missing list of failures is success; an item identifier that is empty
or not in the batch makes the whole batch a failure. AWS does not say whether attempts start over when some records of a batch
succeed: here they do not, which discards sooner and so hides nothing.

Retries are quicker than on AWS: the delay starts at 0.1 s and doubles up to 2 s.
"""

import json
import logging
import threading
import time
from dataclasses import dataclass, field

from ministack.core.arn import ArnParseError, parse_arn
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import dynamodb, lambda_svc

from weir_local.patching import wrap

_log = logging.getLogger("weir_local.stream_event_source")

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 2.0


@dataclass
class _Slice:
    """Consecutive records that are delivered together."""

    records: list[dict]
    #: Failed attempts so far.
    failures: int = 0


@dataclass
class _Delivery:
    """A batch taken from the stream and not done with yet."""

    #: The stream position behind the batch.
    end: int
    slices: list[_Slice]
    delay: float = _FIRST_DELAY
    not_before: float = field(default_factory=time.monotonic)


#: By event source mapping.
_deliveries: dict[str, _Delivery] = {}


def _sequence_number(record: dict) -> str:
    return str((record.get("dynamodb") or {}).get("SequenceNumber", ""))


def _first_failure(mapping: dict, result: dict, records: list[dict]) -> int | None:
    """The index of the first record that failed, or None when all succeeded."""
    if result.get("error"):
        return 0
    if "ReportBatchItemFailures" not in (mapping.get("FunctionResponseTypes") or []):
        return None
    body = result.get("body")
    if isinstance(body, str | bytes) and body:
        try:
            body = json.loads(body)
        except ValueError:
            return 0
    if not body:
        return None
    if not isinstance(body, dict):
        return 0
    positions = {_sequence_number(record): index for index, record in enumerate(records)}
    failures = body.get("batchItemFailures") or []
    try:
        return min((positions[failure["itemIdentifier"]] for failure in failures), default=None)
    except (KeyError, TypeError):
        return 0


def _discard_condition(mapping: dict, failing: _Slice) -> str | None:
    """Why a failing slice is not retried any more, in the words of the failure record; None when it is."""
    attempts, age = mapping.get("MaximumRetryAttempts"), mapping.get("MaximumRecordAgeInSeconds")
    if attempts is not None and 0 <= int(attempts) < failing.failures:
        return "RetryAttemptsExhausted"
    oldest = min(float(r["dynamodb"].get("ApproximateCreationDateTime", time.time())) for r in failing.records)
    if age is not None and 0 < int(age) < time.time() - oldest:
        return "MaxRecordAgeExceeded"
    return None


def _settle(mapping: dict, function: dict, delivery: _Delivery, result: dict) -> None:
    """Note the outcome of delivering the first slice."""
    current = delivery.slices.pop(0)
    if result.get("throttle"):
        # Not an attempt: the function did not run.
        delivery.slices.insert(0, current)
        return
    first = _first_failure(mapping, result, current.records)
    if first is None:
        delivery.delay = _FIRST_DELAY
        mapping["LastProcessingResult"] = f"OK - {len(current.records)} records"
        return
    mapping["LastProcessingResult"] = "PROBLEM: Function call failed"
    remaining = _Slice(current.records[first:], current.failures + 1)
    _log.warning(
        "%s: batch of %d failed at record %d, failure %d: %s",
        mapping["FunctionName"], len(current.records), first, remaining.failures, result.get("body"),
    )
    bisect = str(mapping.get("BisectBatchOnFunctionError")).lower() == "true"
    if bisect and first == 0 and len(current.records) > 1:
        half = len(current.records) // 2
        halves = (current.records[:half], current.records[half:])
        delivery.slices[:0] = [_Slice(records, current.failures) for records in halves]
        return
    if bisect and first > 0:
        # Bisected at the reported record.
        remaining.failures = current.failures
    condition = _discard_condition(mapping, remaining)
    if condition is None:
        delivery.slices.insert(0, remaining)
        delivery.not_before = time.monotonic() + delivery.delay
        delivery.delay = min(delivery.delay * 2, _LONGEST_DELAY)
        return
    _log.warning("%s: discarded %d records: %s", mapping["FunctionName"], len(remaining.records), condition)
    lambda_svc._send_ddb_stream_failure_record(
        mapping, function, remaining.records, mapping["EventSourceArn"], result, condition
    )
    delivery.delay = _FIRST_DELAY


def _table_name(mapping: dict) -> str | None:
    """The table whose current stream the mapping reads, in the current account and region."""
    arn = mapping.get("EventSourceArn", "")
    try:
        spec = parse_arn(arn)
    except ArnParseError:
        return None
    if (spec.service, spec.account_id, spec.region) != ("dynamodb", get_account_id(), get_region()):
        return None
    table_name = (lambda_svc._dynamodb_stream_table_from_arn_spec(spec) or (None,))[0]
    table = dynamodb._tables.get(table_name) if table_name else None
    return table_name if table and table.get("LatestStreamArn") == arn else None


def _position(mapping_id: str, mapping: dict, table_name: str) -> int:
    """Where the mapping reads next, never before the stream's trim horizon."""
    horizon = dynamodb.stream_start_position(table_name)
    with lambda_svc._dynamodb_stream_positions_lock:
        positions = lambda_svc._dynamodb_stream_positions
        if mapping_id not in positions:
            latest = mapping.get("StartingPosition", "LATEST") != "TRIM_HORIZON"
            positions[mapping_id] = dynamodb.stream_end_position(table_name) if latest else horizon
        positions[mapping_id] = max(positions[mapping_id], horizon)
        return positions[mapping_id]


def _advance(mapping_id: str, position: int) -> None:
    with lambda_svc._dynamodb_stream_positions_lock:
        lambda_svc._dynamodb_stream_positions[mapping_id] = position


def _take(mapping: dict, table_name: str) -> _Delivery | None:
    """The next batch of the stream; None when there is none for the function."""
    mapping_id = mapping["UUID"]
    position = _position(mapping_id, mapping, table_name)
    while batch := dynamodb.stream_records_since(table_name, position, mapping.get("BatchSize", 100)):
        wanted = lambda_svc._apply_filter_criteria(batch, mapping)
        if wanted:
            return _Delivery(end=position + len(batch), slices=[_Slice(wanted)])
        # Nothing for the function: no reason to wait for the next look.
        position += len(batch)
        _advance(mapping_id, position)
    return None


def _poll_mapping(mapping: dict) -> bool:
    """Deliver once for a mapping. True when something was delivered, so that there may be more at once."""
    table_name = _table_name(mapping) if mapping.get("Enabled", True) else None
    if table_name is None:
        return False
    function, _ = lambda_svc._get_func_record_for_qualifier(mapping["FunctionName"], mapping.get("Qualifier"))
    if function is None:
        return False
    mapping_id = mapping["UUID"]
    delivery = _deliveries.get(mapping_id) or _take(mapping, table_name)
    if delivery is None:
        return False
    _deliveries[mapping_id] = delivery
    wait = delivery.not_before - time.monotonic()
    if wait > 0:
        threading.Timer(wait, lambda_svc._esm_wake.set).start()
        return False
    result = lambda_svc._execute_function(function, {"Records": delivery.slices[0].records})
    _settle(mapping, function, delivery, result)
    if not delivery.slices:
        _advance(mapping_id, delivery.end)
        _deliveries.pop(mapping_id, None)
    return True


def _poll() -> bool:
    """Deliver once for every mapping; in place of MiniStack's own function."""
    delivered = False
    for account_id, region, mapping in lambda_svc._iter_all_esms():
        with request_scope(account_id, region):
            delivered = _poll_mapping(mapping) or delivered
    return delivered


def apply() -> None:
    """Replace the poller of DynamoDB streams, and forget the batch of a mapping that is deleted."""
    lambda_svc._poll_dynamodb_streams = _poll

    @wrap(lambda_svc, "_release_esm_poll_state")
    def release(original, esm_id):
        _deliveries.pop(esm_id, None)
        return original(esm_id)

"""Patch ``stream_event_source``: whether a record of a DynamoDB stream can be lost."""

import json

import pytest
from conftest import eventually
from weir_local.patches.stream_event_source import _first_failure

_REPORTING = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}


class _Source:
    """A table with a stream, read by a function of its own."""

    def __init__(self, instance, name: str, path) -> None:
        self.instance, self.name, self._path = instance, name, path
        self.table = instance.client("dynamodb")
        description = self.table.create_table(
            TableName=name, BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "PK", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "PK", "AttributeType": "S"}],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )["TableDescription"]
        self.stream = description["LatestStreamArn"]
        instance.create_function(name, "stream_consumer.py", Environment={"Variables": {"DELIVERIES": str(path)}})
        self.queue = instance.client("sqs").create_queue(QueueName=name)["QueueUrl"]

    def put(self, **items) -> None:
        """Put items; the value is what the consumer does with them."""
        for key, mode in items.items():
            self.table.put_item(TableName=self.name, Item={"PK": {"S": key}, "mode": {"S": mode}})

    def connect(self, **options) -> None:
        """Deliver the stream from its start."""
        queue_arn = f"arn:aws:sqs:us-east-1:000000000000:{self.name}"
        self.mapping = self.instance.client("lambda").create_event_source_mapping(
            EventSourceArn=self.stream, FunctionName=self.name, StartingPosition="TRIM_HORIZON", BatchSize=10,
            DestinationConfig={"OnFailure": {"Destination": queue_arn}}, **_REPORTING, **options,
        )["UUID"]

    def deliveries(self) -> list[str]:
        """The batches the function got so far, each as the concatenation of its keys."""
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        return ["".join(json.loads(line)) for line in lines]

    def discarded(self) -> dict:
        """The first failure record that reaches the destination."""
        sqs = self.instance.client("sqs")
        messages = eventually(lambda: sqs.receive_message(QueueUrl=self.queue).get("Messages"))
        return json.loads(messages[0]["Body"])


@pytest.fixture
def source(patched, tmp_path, request):
    """A source on the patched instance."""
    name = request.node.name.removeprefix("test_")[:60].replace("_", "-")
    source = _Source(patched, name, tmp_path / "deliveries")
    yield source
    patched.client("lambda").delete_event_source_mapping(UUID=source.mapping)


def test_a_reported_failure_is_retried_from_its_record_on(source):
    source.put(a="", b="report once", c="")
    source.connect()
    eventually(lambda: source.deliveries() == ["abc", "bc"])


def test_a_batch_out_of_attempts_goes_to_the_destination_and_the_stream_moves_on(source):
    source.put(a="", b="report", c="")
    source.connect(MaximumRetryAttempts=2)
    record = source.discarded()
    assert record["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert record["DDBStreamBatchInfo"]["batchSize"] == 2
    source.put(d="")
    eventually(lambda: source.deliveries() == ["abc", "bc", "bc", "d"])


def test_a_thrown_error_is_cornered_by_bisecting(source):
    source.put(a="", b="throw", c="", d="")
    source.connect(MaximumRetryAttempts=1, BisectBatchOnFunctionError=True)
    assert source.discarded()["DDBStreamBatchInfo"]["batchSize"] == 1
    eventually(lambda: source.deliveries() == ["abcd", "ab", "a", "b", "b", "cd"])


def test_stock_loses_the_reported_record(stock, tmp_path):
    source = _Source(stock, "lost", tmp_path / "deliveries")
    source.put(a="", b="report", c="")
    source.connect()
    client = stock.client("lambda")
    eventually(lambda: client.get_event_source_mapping(UUID=source.mapping)["LastProcessingResult"].startswith("OK"))
    assert source.deliveries() == ["abc"]


class TestFirstFailure:
    RECORDS = [{"dynamodb": {"SequenceNumber": number}} for number in ("100", "101", "102")]

    def _of(self, body) -> int | None:
        return _first_failure(_REPORTING, {"body": body}, self.RECORDS)

    @pytest.mark.parametrize("body", [None, "", {}, {"batchItemFailures": []}, {"batchItemFailures": None}])
    def test_no_failures_is_success(self, body):
        assert self._of(body) is None

    def test_the_lowest_reported_record_counts(self):
        assert self._of({"batchItemFailures": [{"itemIdentifier": "102"}, {"itemIdentifier": "101"}]}) == 1

    @pytest.mark.parametrize("failure", [{"itemIdentifier": ""}, {"itemIdentifier": None}, {"itemIdentifier": "7"}, {}, "101"])
    def test_a_wrong_identifier_fails_the_batch(self, failure):
        assert self._of({"batchItemFailures": [{"itemIdentifier": "102"}, failure]}) == 0

    def test_an_error_fails_the_batch(self):
        assert _first_failure(_REPORTING, {"error": True, "body": {}}, self.RECORDS) == 0

    def test_without_the_option_the_answer_is_not_read(self):
        assert _first_failure({}, {"body": {"batchItemFailures": [{"itemIdentifier": "101"}]}}, self.RECORDS) is None

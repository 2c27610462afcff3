"""Queues that hear what the stack tells the world outside."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stack import Stack


class Queue:
    """A queue to which one thing of one service may send; ``close`` it."""

    def __init__(self, stack: Stack, service: str, source_arn: str) -> None:
        self._sqs = stack.aws("sqs")
        self._url = self._sqs.create_queue(QueueName=f"e2e-{uuid.uuid4().hex[:8]}")["QueueUrl"]
        names = ["QueueArn"]
        self.arn: str = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=names)["Attributes"]["QueueArn"]
        allow = {
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": "sqs:SendMessage",
            "Resource": self.arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": source_arn}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
        self._sqs.set_queue_attributes(QueueUrl=self._url, Attributes={"Policy": policy})
        self._came: list[Any] = []

    def take(self) -> list[Any]:
        """What came so far."""
        while messages := self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10).get("Messages", []):
            for message in messages:
                self._came.append(json.loads(message["Body"]))
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return self._came

    def close(self) -> None:
        """Takes it away."""
        self._sqs.delete_queue(QueueUrl=self._url)


@contextmanager
def on_the_bus(stack: Stack, source: str) -> Iterator[Queue]:
    """What is on the bus of events from a source."""
    events, bus, rule = stack.aws("events"), stack.outputs["EventBusName"], f"e2e-{uuid.uuid4().hex[:8]}"
    arn = events.put_rule(Name=rule, EventBusName=bus, EventPattern=json.dumps({"source": [source]}))["RuleArn"]
    queue = Queue(stack, "events.amazonaws.com", arn)
    events.put_targets(Rule=rule, EventBusName=bus, Targets=[{"Id": "queue", "Arn": queue.arn}])
    yield queue
    events.remove_targets(Rule=rule, EventBusName=bus, Ids=["queue"])
    events.delete_rule(Name=rule, EventBusName=bus)
    queue.close()

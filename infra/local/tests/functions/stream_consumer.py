"""Consumes a DynamoDB stream: notes each batch in a file, and fails at the items that say so."""

import json
import os


def handler(event, _context):
    records = [record["dynamodb"] for record in event["Records"]]
    with open(os.environ["DELIVERIES"], "a") as file:
        before = file.tell()
        file.write(json.dumps([record["Keys"]["PK"]["S"] for record in records]) + "\n")
    failures = []
    for record in records:
        image = record["NewImage"]
        mode = image.get("mode", {}).get("S")
        if mode == "throw":
            raise ValueError(image["PK"]["S"])
        if mode == "report" or (mode == "report once" and not before):
            failures.append({"itemIdentifier": record["SequenceNumber"]})
    return {"batchItemFailures": failures}

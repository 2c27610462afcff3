"""A streaming function for the Lambda Runtime API: does what the request body (or the event itself) says."""

import base64
import http.client
import json
import os
import time

HOST = os.environ["AWS_LAMBDA_RUNTIME_API"]
INVOCATION = "/2018-06-01/runtime/invocation/"


def send_chunk(connection, data: bytes) -> None:
    connection.send(b"%x\r\n%s\r\n" % (len(data), data))


def stream(request_id: str, order: dict, event: dict) -> None:
    """Answer with prelude and chunks, dying on the way if ordered to."""
    connection = http.client.HTTPConnection(HOST)
    connection.putrequest("POST", INVOCATION + request_id + "/response")
    connection.putheader("Lambda-Runtime-Function-Response-Mode", "streaming")
    connection.putheader("Content-Type", "application/vnd.awslambda.http-integration-response")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    if order.get("prelude", True):
        prelude = {
            "statusCode": order.get("status", 200),
            "headers": {"content-type": order.get("content_type", "text/event-stream")},
            "multiValueHeaders": {"x-many": ["1", "2"]},
            "cookies": ["a=1", "b=2"],
        }
        head = json.dumps(prelude).encode() + b"\0" * 8
        # Split inside the delimiter, as a network may.
        send_chunk(connection, head[:-3])
        send_chunk(connection, head[-3:])
    for number in range(order.get("chunks", 3)):
        if number == order.get("die_at"):
            os.kill(os.getpid(), 9)
        if number == order.get("break_at"):
            connection.close()
            return
        text = json.dumps(event) if order.get("echo") else f"chunk {number}\n"
        send_chunk(connection, text.encode())
        time.sleep(order.get("interval", 0))
    for data in order.get("base64_chunks", []):
        send_chunk(connection, base64.b64decode(data))
    if order.get("marker"):
        with open(order["marker"], "w") as marker:
            marker.write(request_id)
    connection.send(b"0\r\n\r\n")
    connection.getresponse().read()


def post(path: str, value) -> None:
    connection = http.client.HTTPConnection(HOST)
    connection.request("POST", path, json.dumps(value).encode())
    connection.getresponse().read()


def main() -> None:
    """Serve invocations."""
    connection = http.client.HTTPConnection(HOST)
    while True:
        connection.request("GET", INVOCATION + "next")
        response = connection.getresponse()
        event = json.loads(response.read())
        request_id = response.headers["Lambda-Runtime-Aws-Request-Id"]
        order = json.loads(event.get("body") or "{}") if "httpMethod" in event else event
        print(order.get("log", "handling"), flush=True)
        if order.get("fail"):
            post(INVOCATION + request_id + "/error", {"errorType": "Failed", "errorMessage": order["fail"]})
        elif "httpMethod" in event:
            stream(request_id, order, event)
        else:
            post(INVOCATION + request_id + "/response", {"ok": True})


main()

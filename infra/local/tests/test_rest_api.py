"""Patches of the REST API, other than streaming: import, gateway responses, request ids, access logs, limits."""

import json

from conftest import eventually


def _access_log(instance, request_id: str):
    """The access log line of a request, once it is there."""
    logs = instance.client("logs")

    def find():
        events = logs.filter_log_events(logGroupName="smoke-access").get("events", [])
        return next((line for line in map(_parsed, events) if line["requestId"] == request_id), None)

    return eventually(find)


def _parsed(event):
    return json.loads(event["message"])


class TestOpenApiImport:
    def test_any_method_is_imported(self, patched):
        assert patched.request("/any", {"chunks": 1}, method="PUT").body == b"chunk 0\n"

    def test_request_validators_and_models_are_imported(self, patched):
        missing_header = patched.request("/validated", {"model": "x"})
        wrong_body = patched.request("/validated", {"model": ""}, headers={"X-Req": "1"})
        valid = patched.request("/validated", {"model": "x"}, headers={"X-Req": "1"})
        assert (missing_header.status, wrong_body.status, valid.status) == (400, 400, 202)
        assert missing_header.json["message"] == "Missing required request parameters: [X-Req]"

    def test_mock_responses_are_imported(self, patched):
        answer = patched.request("/validated", {"model": "x"}, headers={"X-Req": "1"})
        assert (answer.headers["x-mock"], answer.json) == ("yes", {"accepted": True})

    def test_stock_drops_them(self, stock):
        assert stock.request("/any", {}, method="PUT").json["message"] == "Missing Authentication Token"
        assert stock.request("/validated", {}).status == 200


class TestGatewayResponses:
    def test_missing_token_is_401_in_the_shape_of_the_openapi_body(self, patched):
        answer = patched.request("/stream", {}, token=None)
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.json["error"]["message"] == "Unauthorized"

    def test_deny_explains_itself_from_the_authorizer_context_and_from_its_cache(self, patched):
        for _ in range(2):
            answer = patched.request("/stream", {}, token="blocked")
            assert answer.status == 403
            assert answer.json["error"]["message"] == "token blocked is suspended"
            assert answer.json["error"]["code"] == "ACCESS_DENIED"

    def test_unknown_route_uses_missing_authentication_token(self, patched):
        answer = patched.request("/nowhere", {})
        assert answer.status == 404
        # The last variable of the template has no value here, and renders as nothing.
        assert answer.json["error"]["message"] == "no route POST /live/nowhere"

    def test_request_id_is_that_of_the_header(self, patched):
        answer = patched.request("/stream", {}, token="throw")
        assert answer.status == 401
        assert answer.json["error"]["request_id"] == answer.headers["x-amzn-requestid"]

    def test_stock_ignores_the_openapi_body(self, stock):
        assert stock.request("/stream", {}, token=None).json == {"message": "Unauthorized"}

    def test_stock_does_not_render_the_authorizer_context(self, stock):
        client = stock.client("apigateway")
        api_id = stock.outputs["ApiId"]
        client.put_gateway_response(
            restApiId=api_id, responseType="ACCESS_DENIED", responseTemplates={"application/json": '"$context.authorizer.error"'}
        )
        client.create_deployment(restApiId=api_id, stageName="live")
        assert stock.request("/stream", {}, token="blocked").json == "$context.authorizer.error"


class TestRequestIds:
    def test_event_and_header_agree(self, patched):
        answer = patched.request("/stream", {"chunks": 1, "echo": True})
        context = answer.json["requestContext"]
        assert context["requestId"] == answer.headers["x-amzn-requestid"]
        assert context["authorizer"]["tenant_id"] == "acme"
        assert context["authorizer"]["limit"] == "3"
        assert isinstance(context["authorizer"]["integrationLatency"], int)


class TestAccessLogs:
    def test_a_streamed_answer_is_logged_at_its_end(self, patched):
        answer = patched.request("/stream", {"chunks": 2})
        line = _access_log(patched, answer.headers["x-amzn-requestid"])
        assert line == {
            "requestId": answer.headers["x-amzn-requestid"], "status": "200", "tenant": "acme", "principal": "acme|allow",
            "path": "/live/stream", "route": "/stream", "length": str(len(answer.body)), "error": "-", "absent": "-", "why": "-",
        }

    def test_a_denied_call_is_logged_with_its_reason(self, patched):
        answer = patched.request("/stream", {}, token="blocked")
        line = _access_log(patched, answer.headers["x-amzn-requestid"])
        assert (line["status"], line["error"]) == ("403", "ACCESS_DENIED")
        assert line["why"] == "token blocked is suspended"

    def test_stock_writes_none(self, stock):
        stock.request("/stream", {})
        assert stock.client("logs").filter_log_events(logGroupName="smoke-access")["events"] == []


class TestPayloadLimits:
    def test_a_body_over_10_mb_is_413(self, patched):
        answer = patched.request("/stream", b"x" * (10 * 1024 * 1024 + 1))
        assert answer.status == 413
        assert _access_log(patched, answer.headers["x-amzn-requestid"])["error"] == "REQUEST_TOO_LARGE"

    def test_an_event_over_6_mb_is_413(self, patched):
        body = b'{"chunks":1,"pad":"' + b"\\u0000" * (1024 * 1024) + b'"}'
        assert len(body) > 6 * 1024 * 1024
        answer = patched.request("/stream", body)
        assert (answer.status, answer.json["message"]) == (413, "Request Too Long")

    def test_a_large_body_below_the_limits_passes(self, patched):
        assert patched.request("/stream", b'{"chunks":1,"pad":"' + b"x" * 5_000_000 + b'"}').status == 200

    def test_stock_takes_anything(self, stock):
        assert stock.request("/validated", b"x" * (10 * 1024 * 1024 + 1)).status == 200


def test_a_gateway_response_names_its_own_kind_of_error(patched, stock):
    """The last of two headers of one name is what this client keeps."""
    assert patched.request("/any", {}, token=None).headers["x-amzn-errortype"] == "SmokeException"
    assert stock.request("/any", {}, token=None).headers.get("x-amzn-errortype") != "SmokeException"

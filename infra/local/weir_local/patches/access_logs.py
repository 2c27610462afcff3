"""REST API stages write access logs.

MiniStack neither writes them nor keeps a stage's ``AccessLogSetting`` from CloudFormation. API Gateway writes one line per
request to the log group the stage names, in the stage's format: ``$context`` variables replaced, absent ones by ``-``. The
line of a streamed answer is written when the stream ends.
"""

import logging
import re
import time
import uuid

from ministack.core.responses import StreamingResponse
from ministack.services import apigateway_v1, cloudwatch_logs
from ministack.services.cloudformation import provisioners

from weir_local import exchange as exchanges
from weir_local.patching import wrap

_log = logging.getLogger("weir_local.access_logs")
_VARIABLE = re.compile(r"\$context((?:\.\w+)+)")
_STREAM = uuid.uuid4().hex


def _settings(props: dict) -> dict:
    setting = props.get("AccessLogSetting") or {}
    return {name: setting[key] for key, name in (("DestinationArn", "destinationArn"), ("Format", "format")) if setting.get(key)}


def _line(template: str, exchange: exchanges.Exchange, status: int, length: int) -> str:
    values = exchanges.variables(exchange)
    values["status"] = str(status)
    values["responseLength"] = str(length)
    values["responseLatency"] = str(int((time.time() - exchange.started) * 1000))
    if exchange.error is not None:
        values["error.responseType"] = exchange.error.response_type
        if exchange.error.message is not None:
            values["error.message"] = exchange.error.message
            values["error.messageString"] = f'"{exchange.error.message}"'
    return _VARIABLE.sub(lambda match: values.get(match.group(1)[1:], "-"), template)


def _write(exchange: exchanges.Exchange, status: int, length: int) -> None:
    setting = (exchange.request.get("stage") or {}).get("accessLogSettings") or {}
    arn, template = setting.get("destinationArn", ""), setting.get("format", "")
    if not arn or not template:
        return
    name = arn.split(":log-group:", 1)[-1].removesuffix(":*")
    group = cloudwatch_logs._log_groups.get(name)
    if group is None:
        _log.warning("access log group %s does not exist", name)
        return
    now = int(time.time() * 1000)
    stream = group["streams"].setdefault(_STREAM, {
        "events": [], "uploadSequenceToken": "1", "creationTime": now,
        "firstEventTimestamp": None, "lastEventTimestamp": None, "lastIngestionTime": None,
    })
    event = {"timestamp": now, "message": _line(template, exchange, status, length)}
    cloudwatch_logs._append_log_events(stream, [{**event, "ingestionTime": now}])
    cloudwatch_logs._fanout_to_subscription_filters(name, _STREAM, [event])


def _counted(body: StreamingResponse, exchange: exchanges.Exchange, status: int) -> StreamingResponse:
    """The same stream, with its line written at its end."""

    async def run(send, receive):
        length = 0

        async def counting(message):
            nonlocal length
            length += len(message.get("body", b""))
            await send(message)

        try:
            await body.runner(counting, receive)
        finally:
            _write(exchange, status, length)

    return StreamingResponse(run)


def apply() -> None:
    """Keep the setting of a stage, and write the line of a request."""

    @wrap(apigateway_v1, "_handle_execute_in_scope")
    async def handle(original, *args, **kwargs):
        status, headers, body = await original(*args, **kwargs)
        exchange = exchanges.CURRENT.get()
        if exchange is None:
            return status, headers, body
        if isinstance(body, StreamingResponse):
            return status, headers, _counted(body, exchange, status)
        _write(exchange, status, len(body))
        return status, headers, body

    stage = provisioners._RESOURCE_HANDLERS["AWS::ApiGateway::Stage"]
    create, update = stage["create"], stage["update"]

    def store(props):
        record = apigateway_v1._stages_v1.get(props.get("RestApiId", ""), {}).get(props.get("StageName", ""))
        if record is not None:
            record["accessLogSettings"] = _settings(props)

    def create_stage(logical_id, props, stack_name):
        result = create(logical_id, props, stack_name)
        store(props)
        return result

    def update_stage(physical_id, old_props, new_props, stack_name):
        result = update(physical_id, old_props, new_props, stack_name)
        store(new_props)
        return result

    stage.update(create=create_stage, update=update_stage)

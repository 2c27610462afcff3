"""An OpenAPI body is imported whole.

MiniStack keeps paths, seven methods, security schemes and an integration's type, method and uri. It drops, without a word:
``x-amazon-apigateway-any-method``, request validators, models, parameters, the rest of an integration (among it
``responseTransferMode``), gateway responses and binary media types. API Gateway imports all of them; SAM's
``GatewayResponses`` and ``BinaryMediaTypes`` arrive only this way. Integration timeouts are stored but not enforced.
"""

import contextvars
import json
from typing import Any

from ministack.services import apigateway_v1

from weir_local.patching import wrap

_ANY = "x-amazon-apigateway-any-method"
_VALIDATOR = "x-amazon-apigateway-request-validator"
_LOCATIONS = {"query": "querystring", "header": "header", "path": "path"}
_INTEGRATION_FIELDS = (
    "cacheKeyParameters", "connectionType", "contentHandling", "credentials", "passthroughBehavior", "requestParameters",
    "requestTemplates", "responseTransferMode", "timeoutInMillis",
)


class _Import:
    """One import: the document, and what was created from it."""

    def __init__(self, document: dict) -> None:
        self.document = document
        self.validators: dict[str, str] = {}
        components = document.get("components") or {}
        self.schemas = _as_definitions(components.get("schemas") or document.get("definitions") or {})
        self._started = False

    def resolve(self, node: Any) -> Any:
        """The node a local ``$ref`` points to, or the node itself."""
        while isinstance(node, dict) and str(node.get("$ref", "")).startswith("#/"):
            target: Any = self.document
            for step in node["$ref"][2:].split("/"):
                target = target[step]
            node = target
        return node

    def start(self, api_id: str) -> None:
        """Create what operations refer to, before the first of them."""
        if self._started:
            return
        self._started = True
        for name, schema in self.schemas.items():
            self.model(api_id, name, schema)
        for name, validator in (self.document.get("x-amazon-apigateway-request-validators") or {}).items():
            response = apigateway_v1._create_request_validator(api_id, {"name": name, **validator})
            self.validators[name] = json.loads(response[2])["id"]

    def model(self, api_id: str, name: str, schema: Any, content_type: str = "application/json") -> str:
        """Create a model whose schema brings its definitions along."""
        if isinstance(schema, dict):
            schema = {**schema, "definitions": self.schemas}
        apigateway_v1._create_model(api_id, {"name": name, "contentType": content_type, "schema": json.dumps(schema)})
        return name


_current: contextvars.ContextVar[_Import | None] = contextvars.ContextVar("weir_local_import", default=None)


def _as_definitions(node: Any) -> Any:
    """A schema with its OpenAPI 3 references rewritten to JSON Schema's."""
    if isinstance(node, dict):
        return {
            key: value.replace("#/components/schemas/", "#/definitions/")
            if key == "$ref" and isinstance(value, str) else _as_definitions(value)
            for key, value in node.items()
        }
    return [_as_definitions(item) for item in node] if isinstance(node, list) else node


def _gateway_responses(api_id: str, document: dict) -> None:
    for response_type, response in (document.get("x-amazon-apigateway-gateway-responses") or {}).items():
        status = response.get("statusCode")
        answer = apigateway_v1._put_gateway_response(api_id, response_type, {
            "statusCode": str(status) if status else None,
            "responseTemplates": response.get("responseTemplates") or {},
            "responseParameters": response.get("responseParameters") or {},
        })
        if answer[0] >= 400:
            raise ValueError(f"gateway response {response_type}: {answer[2].decode()}")


def _method(imported: _Import, api_id: str, resource_id: str, http_method: str, operation: dict, method: dict) -> None:
    """Add to a method what MiniStack's own import left out."""
    for parameter in map(imported.resolve, operation.get("parameters") or []):
        location = _LOCATIONS.get(parameter.get("in"))
        if location:
            name = f"method.request.{location}.{parameter['name']}"
            method["requestParameters"][name] = bool(parameter.get("required"))
    content = (imported.resolve(operation.get("requestBody") or {}).get("content") or {}).items()
    for content_type, media in content:
        schema = media.get("schema") or {}
        if "$ref" in schema:
            method["requestModels"][content_type] = schema["$ref"].rsplit("/", 1)[1]
        elif schema:
            name = f"Inline{resource_id}{http_method.capitalize()}"
            method["requestModels"][content_type] = imported.model(api_id, name, _as_definitions(schema), content_type)
    validator = operation.get(_VALIDATOR) or imported.document.get(_VALIDATOR)
    if validator:
        method["requestValidatorId"] = imported.validators[validator]
    source, integration = operation.get("x-amazon-apigateway-integration"), method.get("methodIntegration")
    if source and integration:
        integration.update({field: source[field] for field in _INTEGRATION_FIELDS if source.get(field) is not None})
        for pattern, response in (source.get("responses") or {}).items():
            status = str(response.get("statusCode", 200))
            integration["integrationResponses"][status] = {
                "statusCode": status,
                "selectionPattern": "" if pattern == "default" else pattern,
                "responseParameters": response.get("responseParameters") or {},
                "responseTemplates": response.get("responseTemplates") or {},
            }


def apply() -> None:
    """Complete the import at each of its three steps: document, path, operation."""
    apigateway_v1._OPENAPI_HTTP_METHODS.add("any")

    @wrap(apigateway_v1, "_import_rest_api")
    def import_rest_api(original, document, base_data=None):
        data = dict(base_data or {})
        if document.get("x-amazon-apigateway-binary-media-types"):
            data["binaryMediaTypes"] = document["x-amazon-apigateway-binary-media-types"]
        token = _current.set(_Import(document))
        try:
            api_id = original(document, data)
        finally:
            _current.reset(token)
        _gateway_responses(api_id, document)
        return api_id

    @wrap(apigateway_v1, "_import_path_item")
    def import_path_item(original, api_id, path, item, *rest):
        item = dict(item)
        if _ANY in item:
            item["any"] = item.pop(_ANY)
        shared = item.get("parameters") or []
        for key, operation in item.items():
            if shared and key.lower() in apigateway_v1._OPENAPI_HTTP_METHODS:
                item[key] = {**operation, "parameters": shared + (operation.get("parameters") or [])}
        return original(api_id, path, item, *rest)

    @wrap(apigateway_v1, "_import_operation")
    def import_operation(original, api_id, resource_id, http_method, operation, *rest):
        original(api_id, resource_id, http_method, operation, *rest)
        imported = _current.get()
        if imported is not None:
            imported.start(api_id)
            method = apigateway_v1._resources[api_id][resource_id]["resourceMethods"][http_method]
            _method(imported, api_id, resource_id, http_method, operation or {}, method)

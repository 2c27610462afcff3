"""openapi.yaml, template.yaml and functions/ agree. Nothing is deployed."""

import json
import re
from fnmatch import fnmatchcase
from typing import Any

import pytest

from definitions import (
    ROOT,
    as_list,
    function_of,
    functions,
    openapi,
    operations,
    resources,
    statements,
    template,
    transformed,
    workspace_functions,
)

ON_ALL_RESOURCES = {
    "SendTraces": ("xray:", "X-Ray has no resources that a policy could name"),
    "DeliverLogs": ("logs:", "deliveries of logs have none; this is what the developer guide asks for"),
    "ListModels": ("bedrock:List", "lists of models and profiles know none"),
    "Rerank": ("bedrock:Rerank", "Rerank has none either; that of the model is checked too, as InvokeModel"),
}
CONDITIONAL = {
    "ApiGatewayAccount": "a setting of the account; the local AWS needs no role to write access logs it does not write",
    "ApiGatewayLogsRole": "goes with ApiGatewayAccount",
    "MeteringDeadLetterQueuePolicy": "refuses plain HTTP, which is how the local AWS is reached",
    "UploadsBucketPolicy": "as MeteringDeadLetterQueuePolicy",
    "LakeBucketPolicy": "as MeteringDeadLetterQueuePolicy",
    "StatementsBucketPolicy": "as MeteringDeadLetterQueuePolicy",
    "AuditBucketPolicy": "as MeteringDeadLetterQueuePolicy",
    "AuditDeadLetterQueuePolicy": "as MeteringDeadLetterQueuePolicy",
    **{
        f"{name}Query": "the local AWS knows no saved queries; there, infra/queries is run from its files"
        for name in ["CacheSavings", "CostByDay", "CostByLob", "CostByModel", "CostByProvider", "CostByTenant", "DeniedChanges", "ErrorRates", "ShadowComparison", "TopUsers", "WhoChangedWhat"]
    },
    "ReadBillsPolicy": "if there is a data export to reconcile with",
    "ReadInvocationLogsPolicy": "if there is a log of model invocations",
    "EventArchive": "the local AWS refuses archives in templates",
    "BudgetAlertsEmail": "if anybody wants to be written to",
    "AlertWebhookConnection": "if there is a webhook, and API destinations",
    "AlertWebhook": "as AlertWebhookConnection",
    "AlertWebhookRule": "as AlertWebhookConnection",
    "AlertWebhookRole": "as AlertWebhookConnection",
}
STREAMING = "lambda:path/2021-11-15/functions/"
OPERATIONS = dict(operations(openapi()))


# ------------------------------------------------------------------------------------------- operations


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_has_the_authorizer(name: str) -> None:
    (requirement,) = OPERATIONS[name]["security"]
    (scheme,) = requirement
    authorizer = openapi()["components"]["securitySchemes"][scheme]["x-amazon-apigateway-authorizer"]
    assert authorizer["type"] == "request"
    assert authorizer["identitySource"] == "method.request.header.Authorization"
    assert 0 < authorizer["authorizerResultTtlInSeconds"] <= 60, "revocation must not take longer than a minute"
    assert function_of(authorizer["authorizerUri"]) == "AuthorizerFunction"
    assert "AuthorizerFunction" in functions()


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_streams_from_a_function_of_the_template(name: str) -> None:
    integration = OPERATIONS[name]["x-amazon-apigateway-integration"]
    assert integration["type"] == "aws_proxy"
    assert integration["httpMethod"] == "POST", "Lambda is always invoked with POST"
    assert integration["responseTransferMode"] == "STREAM"
    assert STREAMING in integration["uri"]["Fn::Sub"]
    assert integration["uri"]["Fn::Sub"].endswith("/response-streaming-invocations")
    function = functions()[function_of(integration["uri"])]
    assert integration["timeoutInMillis"] <= function["Properties"]["Timeout"] * 1000 <= 900_000


def test_models_may_take_as_long_as_api_gateway_streams() -> None:
    integration = OPERATIONS["POST /v1/chat/completions"]["x-amazon-apigateway-integration"]
    assert integration["timeoutInMillis"] == 900_000


ROUTES = {
    "POST /v1/chat/completions",
    "POST /v1/responses",
    "GET /v1/responses/{id}",
    "DELETE /v1/responses/{id}",
    "GET /v1/responses/{id}/input_items",
    "POST /v1/embeddings",
    "POST /v1/rerank",
    "POST /v1/messages",
    "POST /v1/messages/count_tokens",
    "GET /v1/models",
    "GET /v1/models/{id}",
    "POST /v1/files",
    "GET /v1/files/{id}",
    "DELETE /v1/files/{id}",
    "POST /bedrock/model/{id}/converse",
    "POST /bedrock/model/{id}/converse-stream",
    "POST /bedrock/model/{id}/invoke",
    "POST /bedrock/model/{id}/invoke-with-response-stream",
    "POST /bedrock/model/{id}/count-tokens",
    "POST /bedrock/guardrail/{id}/version/{version}/apply",
    "GET /v1/usage",
    "GET /v1/usage/limits",
    "GET /v1/usage/records/{call_id}",
    "GET /v1/limits/{scope+}",
    "PUT /v1/limits/{scope+}",
    "POST /v1/limits/{scope+}",
    "GET /v1/statements",
    "GET /v1/statements/{period}",
    "POST /v1/statements/{period}/draft",
    "GET /v1/months",
    "GET /v1/months/{period}",
    "POST /v1/months/{period}/close",
    "GET /v1/billing/entries",
    "POST /v1/billing/entries",
    "GET /v1/billing/plans",
    "PUT /v1/billing/plans",
    "GET /v1/reconciliations",
    "GET /v1/reconciliations/{period}",
    "POST /v1/reconciliations/{period}",
    "GET /v1/audit",
    "GET /v1/audit/verify",
    "GET /v1/prices",
    "GET /v1/prices/overrides",
    "PUT /v1/prices/overrides/{version}",
    "DELETE /v1/prices/overrides/{version}",
    "GET /v1/lobs",
    "GET /v1/lobs/{lob_id}",
    "PUT /v1/lobs/{lob_id}",
    "GET /v1/registry/models",
    "GET /v1/registry/models/{model_id}",
    "PUT /v1/registry/models/{model_id}",
    "GET /v1/registry/models/{model_id}/history",
    "POST /v1/registry/models/{model_id}/rollback",
    "POST /v1/registry/models/{model_id}/stage",
    "POST /v1/registry/import",
    "GET /v1/registry/aliases",
    "GET /v1/registry/aliases/{alias}",
    "PUT /v1/registry/aliases/{alias}",
    "DELETE /v1/registry/aliases/{alias}",
    "GET /v1/registry/aliases/{alias}/history",
    "POST /v1/registry/aliases/{alias}/rollback",
    "POST /v1/registry/aliases/{alias}/deploy",
    "GET /v1/tasks",
    "POST /v1/tasks",
    "GET /v1/tasks/{task_id}",
    "POST /v1/tasks/{task_id}/cancel",
    "POST /v1/tasks/{task_id}/credentials",
    "GET /v1/tasks/{task_id}/evidence",
    "GET /scim/v2/ServiceProviderConfig",
    "GET /scim/v2/ResourceTypes",
    "GET /scim/v2/ResourceTypes/{id}",
    "GET /scim/v2/Schemas",
    "GET /scim/v2/Schemas/{id}",
    "POST /scim/v2/.search",
    "GET /scim/v2/Users",
    "POST /scim/v2/Users",
    "POST /scim/v2/Users/.search",
    "GET /scim/v2/Users/{id}",
    "PUT /scim/v2/Users/{id}",
    "PATCH /scim/v2/Users/{id}",
    "DELETE /scim/v2/Users/{id}",
    "GET /scim/v2/Groups",
    "POST /scim/v2/Groups",
    "POST /scim/v2/Groups/.search",
    "GET /scim/v2/Groups/{id}",
    "PUT /scim/v2/Groups/{id}",
    "PATCH /scim/v2/Groups/{id}",
    "DELETE /scim/v2/Groups/{id}",
    "GET /v1/tenants",
    "GET /v1/tenants/{tenant_id}",
    "PUT /v1/tenants/{tenant_id}",
    "GET /v1/tenants/{tenant_id}/history",
    "POST /v1/tenants/{tenant_id}/rollback",
    "POST /v1/tenants/{tenant_id}/suspend",
    "POST /v1/tenants/{tenant_id}/resume",
    "GET /v1/tenants/{tenant_id}/users",
    "PUT /v1/tenants/{tenant_id}/users/{username}",
    "DELETE /v1/tenants/{tenant_id}/users/{username}",
    "GET /v1/tenants/{tenant_id}/clients",
    "POST /v1/tenants/{tenant_id}/clients",
    "DELETE /v1/tenants/{tenant_id}/clients/{client_id}",
    "POST /v1/tenants/{tenant_id}/clients/{client_id}/rotate",
    "GET /v1/tenants/{tenant_id}/aws-roles",
    "PUT /v1/tenants/{tenant_id}/aws-roles/{account_id}/{role_name}",
    "DELETE /v1/tenants/{tenant_id}/aws-roles/{account_id}/{role_name}",
    "GET /v1/tenants/{tenant_id}/model-requests",
    "POST /v1/tenants/{tenant_id}/model-requests",
    "POST /v1/tenants/{tenant_id}/model-requests/{request_id}/approve",
    "POST /v1/tenants/{tenant_id}/model-requests/{request_id}/reject",
    "GET /v1/tenants/{tenant_id}/issuers",
    "GET /v1/tenants/{tenant_id}/issuers/{issuer_id}",
    "PUT /v1/tenants/{tenant_id}/issuers/{issuer_id}",
    "DELETE /v1/tenants/{tenant_id}/issuers/{issuer_id}",
    "GET /v1/issuers",
    "GET /v1/issuers/{issuer_id}",
    "PUT /v1/issuers/{issuer_id}",
    "DELETE /v1/issuers/{issuer_id}",
}


def test_every_route_is_in_the_document() -> None:
    assert {name for name in OPERATIONS if not name.startswith("ANY")} == ROUTES


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_parameter_of_a_path_is_declared(name: str) -> None:
    parameters = OPERATIONS[name].get("parameters", [])
    declared = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
    assert declared == set(re.findall(r"\{(\w+)\+?\}", name))


def test_an_unknown_route_or_method_reaches_the_function() -> None:
    # API Gateway answers a bearer token on a route it does not know with 403 and a remark about SigV4.
    for path, item in openapi()["paths"].items():
        assert "x-amazon-apigateway-any-method" in item, path
    assert "/{proxy+}" in openapi()["paths"]


@pytest.mark.parametrize("name", [name for name in OPERATIONS if not name.startswith("ANY")])
def test_every_operation_is_documented(name: str) -> None:
    operation = OPERATIONS[name]
    assert {"operationId", "summary", "description", "tags", "responses", "x-weir-permission"} <= operation.keys()
    assert {"401", "403", "500"} <= operation["responses"].keys()
    assert {"200", "201", "202", "204"} & operation["responses"].keys()
    for status, response in operation["responses"].items():
        if status >= "400":
            # API Gateway's own answer is the same everywhere; SCIM has a form of its own for all others.
            is_scim = "/scim/" in name and status != "401"
            media, body = ("application/scim+json", "ScimError") if is_scim else ("application/json", "ErrorBody")
            assert response["content"][media]["schema"] == {"$ref": f"#/components/schemas/{body}"}, status


def test_operation_ids_are_unique() -> None:
    ids = [operation["operationId"] for operation in OPERATIONS.values() if "operationId" in operation]
    assert len(ids) == len(set(ids))


# ----------------------------------------------------------------- what API Gateway makes of the document


def walk(node: Any) -> Any:
    """Every mapping in a document."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


def test_every_reference_resolves() -> None:
    for node in walk(openapi()):
        if "$ref" in node:
            prefix, name = node["$ref"].rsplit("/", 1)
            assert prefix == "#/components/schemas", "API Gateway resolves references to schemas only"
            assert name in openapi()["components"]["schemas"]


def test_schemas_use_only_what_api_gateway_imports() -> None:
    refused = {"oneOf", "anyOf", "nullable", "discriminator", "example", "readOnly", "exclusiveMinimum", "format"}
    for name, schema in openapi()["components"]["schemas"].items():
        assert name.isalnum(), f"model names have letters and digits only: {name}"
        for node in walk(schema):
            assert not refused & node.keys(), f"{name}: {refused & node.keys()}"


def test_bodies_are_not_validated_by_api_gateway() -> None:
    # Its answer would be "Invalid request body" without the field that is wrong.
    assert not [key for node in walk(openapi()) for key in node if "request-validator" in str(key)]


def test_the_transform_keeps_streaming_and_gateway_responses() -> None:
    (api,) = resources("AWS::ApiGateway::RestApi", transformed()).values()
    body = api["Properties"]["Body"]
    assert {name for name, _ in operations(body)} == set(OPERATIONS)
    for name, operation in operations(body):
        integration = operation["x-amazon-apigateway-integration"]
        assert integration["responseTransferMode"] == "STREAM", name
        assert STREAMING in integration["uri"]["Fn::Sub"], name
        assert operation["security"] == [{"bearer": []}], name
    assert body["x-amazon-apigateway-gateway-responses"] == openapi()["x-amazon-apigateway-gateway-responses"]


def test_the_api_has_one_regional_stage() -> None:
    (api,) = resources("AWS::ApiGateway::RestApi", transformed()).values()
    assert api["Properties"]["EndpointConfiguration"] == {"Types": ["REGIONAL"]}
    stages = resources("AWS::ApiGateway::Stage", transformed())
    assert [stage["Properties"]["StageName"] for stage in stages.values()] == ["live"]


def test_api_gateway_may_call_exactly_the_functions_of_the_document() -> None:
    scheme = openapi()["components"]["securitySchemes"]["bearer"]
    expected = {function_of(scheme["x-amazon-apigateway-authorizer"]["authorizerUri"]): "authorizers/"} | {
        function_of(operation["x-amazon-apigateway-integration"]["uri"]): "live/" for operation in OPERATIONS.values()
    }
    expected = {(function, "Api", path) for function, path in expected.items()}
    (authorizer,) = resources("AWS::ApiGatewayV2::Authorizer").values()
    expected.add((function_of(authorizer["Properties"]["AuthorizerUri"]), "SocketApi", "authorizers/"))
    (integration,) = resources("AWS::ApiGatewayV2::Integration").values()
    expected.add((function_of(integration["Properties"]["IntegrationUri"]), "SocketApi", "live/"))
    granted = set()
    for permission in resources("AWS::Lambda::Permission").values():
        properties = permission["Properties"]
        assert properties["Principal"] == "apigateway.amazonaws.com"
        prefix, api, path = re.split(r"\$\{(\w*Api)\}/", properties["SourceArn"]["Fn::Sub"])
        assert "*" not in prefix
        granted.add((properties["FunctionName"]["Fn::GetAtt"][0], api, path.removesuffix("*")))
    assert granted == expected


def test_a_websocket_is_opened_by_authorized_callers_only() -> None:
    routes = {route["Properties"]["RouteKey"]: route["Properties"] for route in resources("AWS::ApiGatewayV2::Route").values()}
    assert routes.keys() == {"$connect", "$default", "$disconnect"}
    assert routes["$connect"]["AuthorizationType"] == "CUSTOM"
    assert routes["$connect"]["AuthorizerId"] == {"Ref": "SocketAuthorizer"}
    (stage,) = resources("AWS::ApiGatewayV2::Stage").values()
    assert not re.search(r"querystring|header|context\.error", stage["Properties"]["AccessLogSettings"]["Format"])


# ------------------------------------------------------------------------------------- gateway responses

GATEWAY_RESPONSES = openapi()["x-amazon-apigateway-gateway-responses"]
STATUS = {
    "UNAUTHORIZED": "401",
    "ACCESS_DENIED": "403",
    "MISSING_AUTHENTICATION_TOKEN": "404",
    "RESOURCE_NOT_FOUND": "404",
    "AUTHORIZER_FAILURE": "500",
    "AUTHORIZER_CONFIGURATION_ERROR": "500",
    "THROTTLED": "429",
    "QUOTA_EXCEEDED": "429",
    "REQUEST_TOO_LARGE": "413",
    "INTEGRATION_FAILURE": "502",
    "INTEGRATION_TIMEOUT": "504",
    "DEFAULT_4XX": None,
    "DEFAULT_5XX": None,
}


#: As `inference::Fault` names them.
EXCEPTION = {
    "401": "AccessDeniedException",
    "403": "AccessDeniedException",
    "404": "ResourceNotFoundException",
    "413": "ValidationException",
    "429": "ThrottlingException",
    "500": "InternalServerException",
    "502": "InternalServerException",
    "504": "ModelTimeoutException",
    "DEFAULT_4XX": "ValidationException",
    "DEFAULT_5XX": "InternalServerException",
}


def test_gateway_responses_are_complete() -> None:
    assert {kind: response.get("statusCode") for kind, response in GATEWAY_RESPONSES.items()} == STATUS


@pytest.mark.parametrize("kind", GATEWAY_RESPONSES)
def test_gateway_responses_are_errors_that_every_sdk_reads(kind: str) -> None:
    response = GATEWAY_RESPONSES[kind]
    body = json.loads(response["responseTemplates"]["application/json"])
    assert body.keys() == {"type", "error", "message"}
    assert body["type"] == "error", "Anthropic's"
    assert body["message"] == body["error"]["message"], "AWS's"
    exception = response["responseParameters"]["gatewayresponse.header.x-amzn-errortype"]
    assert exception == f"'{EXCEPTION[STATUS[kind] or kind]}'", "AWS's"
    assert body["error"].keys() == {"message", "type", "param", "code"}
    assert body["error"]["message"].rstrip().endswith((".", "$context.authorizer.error"))
    for name in ("x-request-id", "request-id"):
        assert response["responseParameters"][f"gatewayresponse.header.{name}"] == "context.requestId"
    assert response["responseParameters"]["gatewayresponse.header.Content-Type"] == "'application/json'"


@pytest.mark.parametrize("kind", GATEWAY_RESPONSES)
def test_gateway_responses_repeat_nothing_that_may_be_a_token(kind: str) -> None:
    # API Gateway quotes an Authorization header that it cannot read in `$context.error.message`.
    variables = set(re.findall(r"\$context\.([\w.]*\w)", json.dumps(GATEWAY_RESPONSES[kind])))
    assert variables <= {"requestId", "httpMethod", "path", "error.responseType", "authorizer.error"}


def test_access_logs_name_the_tenant_and_no_secret() -> None:
    (api,) = resources("AWS::Serverless::Api").values()
    line = json.loads(api["Properties"]["AccessLogSetting"]["Format"])
    for field in ("tenant_id", "lob_id", "principal_id"):
        assert line[field] == f"$context.authorizer.{field}"
    assert {"request_id", "method", "route", "status", "response_latency_ms", "integration_latency_ms"} <= line.keys()
    for value in line.values():
        assert not re.search(r"error\.message|header|querystring|userAgent|context\.path", value), value


# --------------------------------------------------------------------------------------------- functions


def test_every_binary_of_the_template_is_a_member_of_functions_and_the_reverse() -> None:
    binaries = [function["Metadata"]["BuildProperties"]["Binary"] for function in functions().values()]
    assert len(binaries) == len(set(binaries))
    assert set(binaries) == set(workspace_functions())
    assert all(binary == folder for binary, folder in workspace_functions().items())


@pytest.mark.parametrize("name", functions())
def test_functions_are_built_once_from_the_workspace(name: str) -> None:
    function = functions()[name]
    assert function["Metadata"]["BuildMethod"] == "rust-cargolambda"
    assert function["Properties"]["CodeUri"] == "."
    assert template()["Globals"]["Function"]["Runtime"] == "provided.al2023"
    assert template()["Globals"]["Function"]["Architectures"] == [{"Ref": "Architecture"}]


@pytest.mark.parametrize("name", functions())
def test_every_function_is_given_the_variables_it_reads(name: str) -> None:
    function = functions()[name]
    folder = ROOT / "functions" / function["Metadata"]["BuildProperties"]["Binary"]
    # Its own sources, and those of the crates that it names.
    crates = [ROOT / "crates" / name for name in re.findall(r"^([\w-]+)\b.*workspace = true", (folder / "Cargo.toml").read_text(), re.M)]
    files = [path for each in (folder, *crates) for path in (each / "src").rglob("*.rs") if "test" not in path.relative_to(each).as_posix()]
    pattern = r'\b(?:var|variable|required)\(\s*"([A-Z][A-Z0-9_]*)"'
    read = {variable for path in files for variable in re.findall(pattern, path.read_text())}
    own = {variable for variable in read if not variable.startswith("AWS_")}  # those are Lambda's and the SDK's
    given = set(function["Properties"]["Environment"]["Variables"])
    assert own <= given
    assert given <= own


@pytest.mark.parametrize("name", functions())
def test_every_function_logs_json_into_its_own_group_with_retention(name: str) -> None:
    logging = functions()[name]["Properties"]["LoggingConfig"]
    assert logging["LogFormat"] == "JSON"
    group = template()["Resources"][logging["LogGroup"]["Ref"]]["Properties"]
    assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    users = [other for other in functions().values() if other["Properties"]["LoggingConfig"]["LogGroup"] == logging["LogGroup"]]
    assert len(users) == 1


@pytest.mark.parametrize("name", functions())
def test_every_function_has_its_own_role(name: str) -> None:
    role = functions()[name]["Properties"]["Role"]
    assert [other for other, function in functions().items() if function["Properties"]["Role"] == role] == [name]
    assert not functions()[name]["Properties"].get("Policies"), "policies stand in the role"
    trust = template()["Resources"][role["Fn::GetAtt"][0]]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert [statement["Principal"] for statement in trust] == [{"Service": "lambda.amazonaws.com"}]


@pytest.mark.parametrize(("name", "trigger"), [("MeteringAggregatorFunction", "UsageRecorded"), ("AuditFunction", "EntryNoted")])
def test_failed_stream_records_are_kept(name: str, trigger: str) -> None:
    event = functions()[name]["Properties"]["Events"][trigger]["Properties"]
    assert event["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert event["BisectBatchOnFunctionError"] is True
    assert event["StartingPosition"] == "TRIM_HORIZON"
    queue = event["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"][0]
    assert template()["Resources"][queue]["Properties"]["SqsManagedSseEnabled"] is True
    alarms = [alarm["Properties"]["MetricName"] for alarm in resources("AWS::CloudWatch::Alarm").values()]
    assert {"ApproximateNumberOfMessagesVisible", "IteratorAge"} <= set(alarms)


# ------------------------------------------------------------------------------------------- permissions

STATEMENTS = [pytest.param(role, statement, id=f"{role}-{statement['Sid']}") for role, statement in statements()]


@pytest.mark.parametrize(("role", "statement"), STATEMENTS)
def test_no_statement_is_wider_than_it_must_be(role: str, statement: dict[str, Any]) -> None:
    assert statement["Effect"] == "Allow"
    assert not {"NotAction", "NotResource", "NotPrincipal"} & statement.keys()
    assert not [action for action in as_list(statement["Action"]) if "*" in action], role
    if "*" in as_list(statement["Resource"]):
        prefix, _ = ON_ALL_RESOURCES[statement["Sid"]]
        assert all(action.startswith(prefix) for action in as_list(statement["Action"]))


#: Statements that let items be deleted, and keys of which a request must name one.
ONLY_WITH = {
    "SetOwnPrices": ["CATALOG"],
    "RemoveAliases": ["ALIAS#*"],
    "Unlock": ["TASKS"],
    "RemoveTenants": ["TENANT#*", "CLIENT#*", "AWSROLE#*", "ISSUER#*", "CALLERS#*", "UNFINISHED", "TASK#*", "TASKS"],
    "RemoveMeters": ["TENANT#*"],
    "ForgetCallers": ["CLIENT#*", "AWSROLE#*", "ISSUER#*", "CALLERS#*", "UNFINISHED"],
    "ForgetMembers": ["TENANT#*#SCIM", "UNFINISHED"],
}


@pytest.mark.parametrize(("role", "statement"), STATEMENTS)
def test_tables_are_reached_by_named_keys_only(role: str, statement: dict[str, Any]) -> None:
    actions = [action for action in as_list(statement["Action"]) if action.startswith("dynamodb:")]
    tables = {name for name, attribute in attributes(statement) if name.endswith("Table") and attribute == "Arn"}
    if statement["Sid"] == "FindLeftovers":
        # Whoever off-boards has to find what nobody knows of: keys, and nothing of what they hold.
        assert (role, actions, len(tables)) == ("OrchestratorStepRole", ["dynamodb:Scan"], 3)
        assert statement["Condition"]["ForAllValues:StringEquals"]["dynamodb:Attributes"] == ["PK", "SK", "tenant_id", "expires_at"]
        assert statement["Condition"]["StringEquals"] == {"dynamodb:Select": "SPECIFIC_ATTRIBUTES"}
        assert statement["Condition"]["Null"] == {"dynamodb:Attributes": "false"}
        return
    assert "dynamodb:Scan" not in actions, role
    if statement["Sid"] == "ForgetLateChanges":
        assert statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"] == ["PERIOD#LATE"]
    elif statement["Sid"] in ONLY_WITH:
        # A transaction names the audit entry's key, too.
        assert statement["Condition"]["ForAnyValue:StringLike"]["dynamodb:LeadingKeys"] == ONLY_WITH[statement["Sid"]]
    elif tables != {"ContentTable"}:
        assert not {"dynamodb:DeleteItem", "dynamodb:BatchWriteItem"} & set(actions), role
    if tables:
        keys = statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
        assert keys
        assert "*" not in [key[0] for key in keys]
        # `ForAllValues` is true of a request without keys.
        assert statement["Condition"]["Null"] == {"dynamodb:LeadingKeys": "false"}


def attributes(statement: dict[str, Any]) -> list[list[str]]:
    """Attributes of resources that a statement is about."""
    return [resource["Fn::GetAtt"] for resource in as_list(statement["Resource"]) if isinstance(resource, dict) and "Fn::GetAtt" in resource]


def test_the_authorizer_reads_tenancy_and_nothing_else() -> None:
    granted = {(action, target[0]) for action, target in data_access("AuthorizerRole")}
    assert granted == {("dynamodb:GetItem", "TenancyTable")}


@pytest.mark.parametrize("role", ["InvokeRole", "SocketRole", "ShadowRole"])
def test_calls_cannot_change_tenants_nor_delete_what_is_recorded(role: str) -> None:
    granted = {(action, target[0]) for action, target in data_access(role)}
    content = {"GetItem", "Query", "PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem"}
    assert granted == {(f"dynamodb:{action}", "ContentTable") for action in content} | {
        ("dynamodb:GetItem", "TenancyTable"),
        ("dynamodb:Query", "TenancyTable"),
        ("dynamodb:UpdateItem", "LedgerTable"),
        ("dynamodb:PutItem", "LedgerTable"),
        ("dynamodb:Query", "LedgerTable"),
        ("sts:AssumeRole", "TenantAccessRole"),
        ("sts:TagSession", "TenantAccessRole"),
    }


def test_invoke_reads_no_tenants_part_of_the_ledger() -> None:
    reads = [statement for role, statement in statements() if role == "InvokeRole" and "dynamodb:Query" in as_list(statement["Action"])]
    keys = [
        statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
        for statement in reads
        if ["LedgerTable", "Arn"] in attributes(statement)
    ]
    assert keys == [["HEALTH"]]


def data_access(role: str) -> list[tuple[str, list[str]]]:
    """What a role may do to resources of the stack, logs aside."""
    return [
        (action, target)
        for owner, statement in statements()
        if owner == role
        for action in as_list(statement["Action"])
        for target in attributes(statement)
        if not action.startswith("logs:")
    ]


def test_models_and_their_keys_are_reached_by_tenants_sessions_only() -> None:
    services = ("bedrock:", "sagemaker:", "secretsmanager:")
    reached = {
        (role, action)
        for role, statement in statements()
        for action in as_list(statement["Action"])
        if action.startswith(services) and not action.startswith("bedrock:List")
    }
    assert {role for role, _ in reached} == {"TenantAccessRole"}


def test_no_function_reads_what_tenants_upload() -> None:
    buckets = {
        (role, bucket)
        for role, statement in statements()
        # Whoever off-boards lists and deletes.
        if any(action.startswith("s3:") for action in set(as_list(statement["Action"])) - {"s3:ListBucket", "s3:DeleteObject"})
        for bucket in re.findall(r"\w+Bucket\b", json.dumps(statement["Resource"]))
    }
    assert {role for role, bucket in buckets if bucket == "UploadsBucket"} == {"TenantAccessRole"}
    assert {bucket for role, bucket in buckets if role == "TenantAccessRole"} == {"UploadsBucket"}


def test_uploads_are_apart_by_tenant() -> None:
    (own,) = [statement for role, statement in statements() if statement["Sid"] == "UseOwnUploads"]
    assert own["Resource"] == {"Fn::Sub": "${UploadsBucket.Arn}/tenant=${!aws:PrincipalTag/tenant_id}/*"}
    bucket = template()["Resources"]["UploadsBucket"]["Properties"]
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["Status"] == "Enabled"
    assert rule["ExpirationInDays"] == 2
    assert "AbortIncompleteMultipartUpload" in rule


def test_a_tenants_session_must_name_tenant_and_line_of_business() -> None:
    role = template()["Resources"]["TenantAccessRole"]["Properties"]
    (trust,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"AWS": [{"Fn::GetAtt": [role, "Arn"]} for role in ("InvokeRole", "SocketRole", "ShadowRole")]}
    assert trust["Condition"] == {
        "StringLike": {"aws:RequestTag/tenant_id": "?*", "aws:RequestTag/lob_id": "?*"},
        "ForAllValues:StringEquals": {"aws:TagKeys": ["tenant_id", "lob_id", "project_id"]},
        "Null": {"aws:RequestTag/tenant_id": "false", "aws:RequestTag/lob_id": "false", "aws:TagKeys": "false"},
    }


def test_billing_writes_books_and_nothing_else_of_the_ledger() -> None:
    writes = {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}
    changing = [statement for role, statement in statements() if role == "BillingRole" and writes & set(as_list(statement["Action"]))]
    (books,) = changing
    keys = books["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
    assert all(key.endswith("#BILLING") for key in keys)
    assert "dynamodb:UpdateItem" not in books["Action"], "an entry is written once"


def test_usage_writes_meters_and_books_and_no_usage() -> None:
    """By the patterns of IAM: ``*`` stands for anything, ``#`` included."""
    writes = {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}
    changing = [
        statement
        for role, statement in statements()
        if role == "UsageRole" and writes & set(as_list(statement["Action"])) and ["LedgerTable", "Arn"] in attributes(statement)
    ]

    def may_write(key: str) -> set[str]:
        found = set()
        for statement in changing:
            conditions = statement["Condition"]
            wanted = conditions["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
            unwanted = conditions.get("ForAllValues:StringNotLike", {}).get("dynamodb:LeadingKeys", [])
            if any(fnmatchcase(key, it) for it in wanted) and not any(fnmatchcase(key, it) for it in unwanted):
                found.add(statement["Sid"])
        return found

    for key in ("ORG", "ORG#SHARD#1-0", "LOB#retail", "TENANT#acme", "TENANT#acme#SHARD#1-2"):
        assert may_write(key) == {"RenewMeters"}, key
    for key in ("ORG#BILLING", "LOB#retail#BILLING", "TENANT#acme#BILLING"):
        assert may_write(key) == {"BookEntries"}, key
    for key in ("TENANT#acme#USAGE#0", "TENANT#acme#ROLLUP", "LOB#retail#ROLLUP", "PERIOD#LATE", "HEALTH"):
        assert may_write(key) == set(), key


def test_tenants_changes_no_usage_and_deletes_nothing_of_a_tenants() -> None:
    """By the patterns of IAM, as above."""
    own = [statement for role, statement in statements() if role == "TenantsRole"]

    def may(action: str, table: str, key: str) -> bool:
        for statement in own:
            if f"dynamodb:{action}" not in as_list(statement["Action"]) or [table, "Arn"] not in attributes(statement):
                continue
            conditions = statement["Condition"]
            unwanted = conditions.get("ForAllValues:StringNotLike", {}).get("dynamodb:LeadingKeys", [])
            wanted = conditions["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
            one_of = conditions.get("ForAnyValue:StringLike", {}).get("dynamodb:LeadingKeys", ["*"])
            is_wanted = all(any(fnmatchcase(key, it) for it in patterns) for patterns in (wanted, one_of))
            if is_wanted and not any(fnmatchcase(key, it) for it in unwanted):
                return True
        return False

    for key in ("TENANT#acme", "LOB#retail", "ORG", "CLIENT#x", "AWSROLE#111122223333:x", "ISSUER#x", "CALLERS#acme", "UNFINISHED"):
        assert may("PutItem", "TenancyTable", key), key
    for key in ("TENANT#acme", "LOB#retail", "ORG", "CATALOG"):
        assert not may("DeleteItem", "TenancyTable", key), key
    for key in ("TENANT#acme", "TENANT#acme#SHARD#1-2"):
        assert may("UpdateItem", "LedgerTable", key), key
    for key in ("TENANT#acme#USAGE#0", "TENANT#acme#ROLLUP", "TENANT#acme#BILLING", "LOB#retail", "ORG"):
        assert not may("UpdateItem", "LedgerTable", key), key
    assert not [statement for statement in own if "dynamodb:GetItem" in as_list(statement["Action"]) and ["LedgerTable", "Arn"] in attributes(statement)]
    people = next(statement for statement in own if statement["Sid"] == "ManagePeople")
    assert "cognito-idp:AdminSetUserPassword" not in people["Action"], "nobody here knows a password"


def test_evidence_is_signed_by_one_role_only() -> None:
    key = template()["Resources"]["EvidenceKey"]
    assert (key["DeletionPolicy"], key["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    administer, sign = key["Properties"]["KeyPolicy"]["Statement"]
    assert administer["NotAction"] == "kms:Sign"
    assert sign["Principal"] == {"AWS": {"Fn::GetAtt": ["OrchestratorStepRole", "Arn"]}}
    (policy,) = [it for it in resources("AWS::IAM::Policy").values() if "kms:" in json.dumps(it)]
    assert policy["Properties"]["Roles"] == [{"Ref": "OrchestratorStepRole"}]
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Resource"] == {"Fn::GetAtt": ["EvidenceKey", "Arn"]}
    assert [role for role, it in statements() if any(action.startswith("kms:") for action in as_list(it["Action"]))] == ["OrchestratorStepRole"]


def test_statements_are_kept() -> None:
    bucket = template()["Resources"]["StatementsBucket"]
    assert (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
    assert all(bucket["Properties"]["PublicAccessBlockConfiguration"].values())
    expiring = [rule for rule in bucket["Properties"]["LifecycleConfiguration"]["Rules"] if "Expiration" in json.dumps(rule)]
    assert {rule.get("Prefix") for rule in expiring} == {"drafts/"}


def test_the_audit_trail_is_locked_and_kept() -> None:
    bucket = template()["Resources"]["AuditBucket"]
    assert (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    properties = bucket["Properties"]
    assert properties["ObjectLockEnabled"] is True
    retention = properties["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
    assert retention == {"Mode": {"Ref": "AuditRetentionMode"}, "Days": {"Ref": "AuditRetentionDays"}}
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert all(properties["PublicAccessBlockConfiguration"].values())
    assert "Expiration" not in json.dumps(properties["LifecycleConfiguration"])


def test_only_audit_writes_the_trail_and_nobody_deletes_it() -> None:
    granted = {
        (role, action)
        for role, statement in statements()
        if "AuditBucket" in json.dumps(statement["Resource"])
        for action in as_list(statement["Action"])
    }
    assert granted == {
        ("AuditRole", "s3:GetObject"),
        ("AuditRole", "s3:PutObject"),
        ("AuditRole", "s3:ListBucket"),
        ("AuditApiRole", "s3:GetObject"),
        ("AuditApiRole", "s3:ListBucket"),
        ("OrchestratorStepRole", "s3:ListBucket"),
    }
    writes = {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem"}
    chains = {
        role
        for role, statement in statements()
        if writes & set(as_list(statement["Action"])) and ["TenancyTable", "Arn"] in attributes(statement)
        for pattern in statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
        if any(fnmatchcase(key, pattern) for key in ("AUDIT#HEADS", "AUDIT#CHAIN#org", "AUDIT#CHAIN#tenant=acme"))
    }
    assert chains == {"AuditRole"}
    own = [statement for role, statement in statements() if role in {"AuditRole", "AuditApiRole"}]
    changing = [statement["Sid"] for statement in own if writes & set(as_list(statement["Action"]))]
    assert changing == ["KeepChains"], "nobody changes what was noted"


def test_every_role_takes_the_permissions_boundary() -> None:
    for name, role in resources("AWS::IAM::Role").items():
        assert role["Properties"]["PermissionsBoundary"]["Fn::If"][0] == "HasPermissionsBoundary", name
    assert set(resources("AWS::IAM::Role", transformed())) == set(resources("AWS::IAM::Role")), "SAM added a role of its own"


# ------------------------------------------------------------------------------------------ stack at large


def test_only_what_the_local_aws_cannot_have_is_conditional() -> None:
    conditional = {name for name, resource in template()["Resources"].items() if "Condition" in resource}
    assert conditional == set(CONDITIONAL)


def test_content_expires() -> None:
    table = template()["Resources"]["ContentTable"]["Properties"]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert "PointInTimeRecoverySpecification" not in table, "a backup would outlive the retention"


@pytest.mark.parametrize("name", ["TenancyTable", "LedgerTable", "ContentTable"])
def test_tables_survive_the_stack_and_mistakes(name: str) -> None:
    table = template()["Resources"][name]
    assert table["DeletionPolicy"] == "RetainExceptOnCreate"
    assert table["UpdateReplacePolicy"] == "Retain"
    if name != "ContentTable":
        assert table["Properties"]["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert table["Properties"]["SSESpecification"]["SSEEnabled"] is True
    assert table["Properties"]["DeletionProtectionEnabled"] == {"Fn::If": ["IsProd", True, False]}
    assert "TableName" not in table["Properties"], "a retained table must not block the next stack"


def test_outputs_are_what_the_local_stack_is_driven_by() -> None:
    assert {
        "ApiUrl",
        "ApiId",
        "StageName",
        "UserPoolId",
        "UserPoolClientId",
        "UserPoolDomain",
        "TenancyTableName",
        "LedgerTableName",
        "ContentTableName",
        "UploadsBucketName",
        "SocketApiId",
        "SocketFunctionName",
        "TenantAccessRoleArn",
        "InvokeFunctionName",
        "AuthorizerFunctionName",
        "ServerId",
        "MeteringAggregatorFunctionName",
    } <= template()["Outputs"].keys()


# ------------------------------------------------------------------------------------------------- lake


def test_saved_queries_are_the_files() -> None:
    saved = {
        (query["Properties"]["Name"], query["Properties"]["Description"]): query["Properties"]["QueryString"]
        for query in resources("AWS::Athena::NamedQuery").values()
    }
    files = {path.stem: path.read_text() for path in (ROOT / "infra/queries").glob("*.sql")}
    assert saved == {(name, text.splitlines()[0].removeprefix("-- ")): text for name, text in files.items()}


def test_queries_bound_the_days_that_they_read() -> None:
    for path in (ROOT / "infra/queries").glob("*.sql"):
        assert "WHERE dt >= " in path.read_text(), path

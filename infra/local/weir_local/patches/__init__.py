"""The patches: each module has ``apply()``, which changes MiniStack in this process."""

from weir_local.patches import (
    access_logs,
    authorize_endpoint,
    authorizer_context,
    bedrock_actions,
    bucket_object_lock,
    chaos_endpoint,
    chaos_environments,
    chaos_streams,
    chaos_tables,
    dynamodb_latency,
    embedded_metrics,
    gateway_responses,
    leading_keys,
    many_connections,
    openapi_import,
    payload_limits,
    policy_variables,
    request_ids,
    response_streaming,
    runtime_api_latency,
    socket_handshake,
    stream_event_source,
    worker_list,
)

#: In the order in which they are applied: of two patches of one function, the later one is called first.
ALL = (
    authorizer_context,
    gateway_responses,
    access_logs,
    openapi_import,
    response_streaming,
    payload_limits,
    request_ids,
    runtime_api_latency,
    dynamodb_latency,
    many_connections,
    embedded_metrics,
    bedrock_actions,
    policy_variables,
    leading_keys,
    authorize_endpoint,
    socket_handshake,
    stream_event_source,
    bucket_object_lock,
    worker_list,
    chaos_endpoint,
    chaos_environments,
    chaos_streams,
    chaos_tables,
)


def apply_all() -> None:
    """Apply every patch, once per process."""
    for patch in ALL:
        patch.apply()

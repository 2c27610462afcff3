"""Policy variables are substituted.

MiniStack compares ``${aws:PrincipalTag/tenant_id}`` literally, so a tenant is denied its own prefix. AWS replaces a variable in
a resource or a condition value by the request's value; one without a value and without a default matches nothing.
"""

import dataclasses
import re
from typing import Any

from ministack.core import iam_evaluator

from weir_local.patching import wrap

_VARIABLE = re.compile(r"\$\{([^}]+)\}")
#: Stands for a variable without a value: occurs in no ARN, key or tag.
_NO_VALUE = "\x01no value\x01"


def _substitute(node: Any, context) -> Any:
    if isinstance(node, str):
        return _VARIABLE.sub(lambda match: _value(match.group(1), context), node) if "${" in node else node
    if isinstance(node, list):
        return [_substitute(item, context) for item in node]
    if isinstance(node, dict):
        return {key: _substitute(value, context) for key, value in node.items()}
    return node


def _value(expression: str, context) -> str:
    if expression in ("*", "?", "$"):
        return expression
    key, _, default = expression.partition(",")
    value = iam_evaluator._resolve_condition_key(key.strip(), context)
    if value is None:
        return default.strip(" '") or _NO_VALUE
    # A multi-valued key cannot be a policy variable.
    return _NO_VALUE if isinstance(value, list) else str(value)


def apply() -> None:
    """Substitute in every statement before it is matched, whatever kind of policy it is from."""

    @wrap(iam_evaluator, "_first_match")
    def first_match(original, context, statements, effect):
        return original(context, [
            dataclasses.replace(
                statement,
                resources=_substitute(statement.resources, context),
                not_resources=_substitute(statement.not_resources, context),
                conditions=_substitute(statement.conditions, context),
            )
            for statement in statements
        ], effect)

"""Converse is authorized as InvokeModel.

MiniStack authorizes ``Converse`` and ``ConverseStream`` as actions of those names, which do not exist: a policy that is right on
AWS refuses the call. AWS authorizes them as ``bedrock:InvokeModel`` and ``bedrock:InvokeModelWithResponseStream``.
"""

from ministack.core import iam_actions

from weir_local.patching import wrap

_ACTIONS = {
    "bedrock:Converse": "bedrock:InvokeModel",
    "bedrock:ConverseStream": "bedrock:InvokeModelWithResponseStream",
}


def apply() -> None:
    """Map the operation to the action AWS checks."""

    @wrap(iam_actions, "extract_iam_action")
    def extract(original, *args, **kwargs):
        action = original(*args, **kwargs)
        return _ACTIONS.get(action, action)

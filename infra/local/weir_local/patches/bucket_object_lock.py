"""A bucket that CloudFormation creates with Object Lock has it.

MiniStack enforces Object Lock on buckets that are created through the API of S3, but ignores ``ObjectLockEnabled`` and
``ObjectLockConfiguration`` of a template. AWS applies both, so that versions are kept under the default retention.
"""

from typing import Any

from ministack.services import s3
from ministack.services.cloudformation import provisioners

from weir_local.patching import wrap


def _default_retention(props: dict[str, Any]) -> dict[str, Any] | None:
    """The retention as S3 keeps it: numbers are numbers."""
    rule = (props.get("ObjectLockConfiguration") or {}).get("Rule") or {}
    retention = rule.get("DefaultRetention")
    if not retention:
        return None
    periods = {unit: int(retention[unit]) for unit in ("Days", "Years") if unit in retention}
    return {"Mode": retention["Mode"], **periods}


def apply() -> None:
    """Configure the lock with everything else that a template says of a bucket."""

    @wrap(provisioners, "_s3_apply_configurations")
    def configured(original, name: str, props: dict[str, Any], *rest: Any) -> Any:
        result = original(name, props, *rest)
        if str(props.get("ObjectLockEnabled", "")).lower() == "true":
            s3._bucket_versioning[name] = "Enabled"
            s3._bucket_object_lock[name] = {"enabled": True, "default_retention": _default_retention(props)}
        return result

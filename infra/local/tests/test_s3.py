"""Patch ``bucket_object_lock``: whether what is locked on AWS is locked here."""

import json

import pytest
from botocore.exceptions import ClientError
from conftest import eventually

_TEMPLATE = {
    "Resources": {
        "Trail": {
            "Type": "AWS::S3::Bucket",
            "Properties": {
                "BucketName": "trail",
                "ObjectLockEnabled": True,
                "ObjectLockConfiguration": {
                    "ObjectLockEnabled": "Enabled",
                    "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}},
                },
            },
        }
    }
}


def _locked(instance) -> tuple:
    """A client, and the version of an object in a bucket that a template locks."""
    cloudformation, s3 = instance.client("cloudformation"), instance.client("s3")
    cloudformation.create_stack(StackName="trail", TemplateBody=json.dumps(_TEMPLATE))

    def state() -> bool:
        return cloudformation.describe_stacks(StackName="trail")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"

    assert eventually(state)
    return s3, s3.put_object(Bucket="trail", Key="a", Body=b"1").get("VersionId")


def test_a_version_under_retention_cannot_be_deleted(patched):
    s3, version = _locked(patched)
    with pytest.raises(ClientError) as refused:
        s3.delete_object(Bucket="trail", Key="a", VersionId=version)
    assert refused.value.response["Error"]["Code"] == "AccessDenied"
    # A marker hides it, and no more.
    s3.delete_object(Bucket="trail", Key="a")
    assert s3.get_object(Bucket="trail", Key="a", VersionId=version)["Body"].read() == b"1"


def test_stock_ministack_ignores_the_lock_of_a_template(stock):
    s3, version = _locked(stock)
    assert version is None
    with pytest.raises(ClientError):
        s3.get_object_lock_configuration(Bucket="trail")

"""What EC2 tells of a denial, sealed, and `sts:DecodeAuthorizationMessage` opens again."""

import json
import re

import pytest

from conftest import private_cloud, refusal
from test_ec2 import NANO
from test_iam import EC2, account, allow, as_user, deny, iam, policy, user  # noqa: F401

INVALID = "InvalidAuthorizationMessageException"


def denied(call, **parameters):
    """What this call is refused with: the sentence, and the encoded message."""
    message = refusal("UnauthorizedOperation", call, **parameters, status=403)
    parts = re.fullmatch(
        r"You are not authorized to perform this operation\. (User: .*)\."
        r" Encoded authorization failure message: ([\w-]+)", message
    )
    assert parts, message
    return parts.groups()


def decoded(sts, encoded):
    return json.loads(sts.decode_authorization_message(EncodedMessage=encoded)["DecodedMessage"])


def values(listed):
    return [item["value"] for item in listed["items"]]


def conditions(listed):
    return {item["key"]: values(item["values"]) for item in listed["items"]}


@pytest.fixture
def sts(client):
    return client("sts")


@pytest.mark.parametrize("more", [{}, {"DryRun": True}])
def test_what_nobody_allowed(sts, as_user, user, account, more):  # noqa: F811
    ec2 = as_user("ec2")
    sentence, encoded = denied(ec2.run_instances, **NANO, **more)
    region = ec2.meta.region_name
    instance = f"arn:aws:ec2:{region}:{account}:instance/*"
    assert sentence == (f"User: {user['Arn']} is not authorized to perform: ec2:RunInstances on resource: {instance}"
                        " because no identity-based policy allows the ec2:RunInstances action")
    # What is sealed shows nothing of it, and no two are alike.
    assert user["UserName"] not in encoded
    assert denied(ec2.run_instances, **NANO)[1] != encoded
    told = decoded(sts, encoded)
    assert (told["allowed"], told["explicitDeny"]) == (False, False)
    assert told["matchedStatements"] == told["failures"] == {"items": []}
    context = told["context"]
    assert context["principal"] == {"id": user["UserId"], "name": user["UserName"], "arn": user["Arn"]}
    assert (context["action"], context["resource"]) == ("ec2:RunInstances", instance)
    keys = conditions(context["conditions"])
    assert keys["ec2:Region"] == [region]
    assert keys["ec2:InstanceType"] == [NANO["InstanceType"]]
    assert keys["aws:SourceIp"] == ["127.0.0.1"]
    assert "truncated" not in told


def test_what_a_statement_forbids(sts, iam, as_user, user):  # noqa: F811
    region = {"StringEquals": {"ec2:Region": sts.meta.region_name}}
    iam.put_user_policy(UserName=user["UserName"], PolicyName="p", PolicyDocument=policy(
        allow("*"), deny(["ec2:RunInstances", "ec2:Create*"], "arn:aws:ec2:*:*:instance/*", Sid="NoMachines", Condition=region),
    ))
    sentence, encoded = denied(as_user("ec2").run_instances, **NANO)
    assert sentence.endswith("with an explicit deny in an identity-based policy")
    told = decoded(sts, encoded)
    assert told["explicitDeny"] is True
    (statement,) = told["matchedStatements"]["items"]
    assert (statement["statementId"], statement["effect"]) == ("NoMachines", "DENY")
    assert values(statement["principals"]) == [user["UserId"]]
    assert values(statement["actions"]) == ["ec2:RunInstances", "ec2:Create*"]
    assert values(statement["resources"]) == ["arn:aws:ec2:*:*:instance/*"]
    assert conditions(statement["conditions"]) == {"ec2:Region": [sts.meta.region_name]}


def test_a_role_that_may_not_be_passed(sts, iam, as_user, user, name):  # noqa: F811
    role = iam.create_role(RoleName=name("role"), AssumeRolePolicyDocument=EC2)["Role"]
    profile = name("profile")
    iam.create_instance_profile(InstanceProfileName=profile)
    iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=role["RoleName"])
    iam.put_user_policy(UserName=user["UserName"], PolicyName="p", PolicyDocument=policy(allow("ec2:*")))
    sentence, encoded = denied(
        as_user("ec2").associate_iam_instance_profile, InstanceId="i-0123456789abcdef0",
        IamInstanceProfile={"Name": profile},
    )
    assert f"iam:PassRole on resource: {role['Arn']} because no identity-based policy" in sentence
    context = decoded(sts, encoded)["context"]
    assert (context["action"], context["resource"]) == ("iam:PassRole", role["Arn"])
    assert conditions(context["conditions"])["iam:PassedToService"] == ["ec2.amazonaws.com"]


def test_who_may_decode(iam, as_user, user):  # noqa: F811
    _, encoded = denied(as_user("ec2").describe_instances)
    mine = as_user("sts")
    refusal("AccessDenied", mine.decode_authorization_message, EncodedMessage=encoded, status=403)
    iam.put_user_policy(UserName=user["UserName"], PolicyName="p",
                        PolicyDocument=policy(allow("sts:DecodeAuthorizationMessage")))
    assert decoded(mine, encoded)["context"]["action"] == "ec2:DescribeInstances"


def test_what_is_no_message(sts, as_user):  # noqa: F811
    _, encoded = denied(as_user("ec2").describe_instances)
    middle = len(encoded) // 2
    forged = encoded[:middle] + ("A" if encoded[middle] != "A" else "B") + encoded[middle + 1:]
    for wrong in ("garbage", forged, encoded[:-4], encoded + "\n", "A" * 10_240, "é"):
        message = refusal(INVALID, sts.decode_authorization_message, EncodedMessage=wrong, status=400)
        assert message == "Message is not valid."
    refusal("ValidationError", sts.decode_authorization_message, EncodedMessage="A" * 10_241)


def test_other_services_encode_nothing(as_user):  # noqa: F811
    for service, call in (("iam", "list_users"), ("sqs", "list_queues"), ("kms", "list_keys")):
        with pytest.raises(Exception) as raised:
            getattr(as_user(service), call)()
        assert "not authorized to perform" in str(raised.value)
        assert "Encoded" not in str(raised.value)


def test_a_message_outlives_a_crash():
    with private_cloud() as cloud:
        iam = cloud.client("iam")  # noqa: F811
        iam.create_user(UserName="ann")
        key = iam.create_access_key(UserName="ann")["AccessKey"]
        ec2 = cloud.client("ec2", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
        _, encoded = denied(ec2.describe_vpcs)
        cloud.kill()
        cloud.start()
        assert decoded(cloud.client("sts"), encoded)["context"]["principal"]["name"] == "ann"
        # Sealed by another cloud.
        with private_cloud() as other:
            refusal(INVALID, other.client("sts").decode_authorization_message, EncodedMessage=encoded)

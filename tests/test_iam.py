"""IAM with stock boto3: what it keeps, what it refuses, and above all that it is enforced."""

import csv
import io
import json
import time

import pytest
from botocore.exceptions import ClientError

import policy_oracle as oracle
from conftest import refusal

READ_ONLY = "arn:aws:iam::aws:policy/IAMReadOnlyAccess"
EC2 = json.dumps({
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
})


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action, resource="*", **more):
    return {**allow(action, resource, **more), "Effect": "Deny"}


@pytest.fixture
def iam(client):
    return client("iam")


@pytest.fixture
def account(client):
    return client("sts").get_caller_identity()["Account"]


@pytest.fixture
def user(iam, name):
    """A new user without permissions."""
    return iam.create_user(UserName=name("user"))["User"]


@pytest.fixture
def as_user(iam, client, user):
    """Clients that call as `user`."""
    key = iam.create_access_key(UserName=user["UserName"])["AccessKey"]
    return lambda service, **config: client(service, key=key["AccessKeyId"], secret=key["SecretAccessKey"], **config)


def test_user_lifecycle(iam, name):
    user = name("user")
    made = iam.create_user(UserName=user, Path="/team/", Tags=[{"Key": "a", "Value": "b"}])["User"]
    assert made["Arn"].endswith(f":user/team/{user}") and made["UserId"].startswith("AIDA")
    got = iam.get_user(UserName=user)["User"]
    assert (got["UserId"], got["Tags"]) == (made["UserId"], [{"Key": "a", "Value": "b"}])
    refusal("EntityAlreadyExists", iam.create_user, UserName=user.upper(), status=409)
    iam.update_user(UserName=user, NewUserName=user + "2", NewPath="/")
    refusal("NoSuchEntity", iam.get_user, UserName=user, status=404)
    iam.delete_user(UserName=user + "2")


@pytest.mark.parametrize("bad", [
    {"UserName": "a b"}, {"UserName": "x" * 65}, {"UserName": "ok", "Path": "no-slash"},
])
def test_bad_names_are_validation_errors(iam, bad):
    refusal("ValidationError", iam.create_user, **bad, status=400)


def test_what_is_in_use_is_not_deleted(iam, name):
    user, group, role, profile = (name(kind) for kind in ("user", "group", "role", "profile"))
    iam.create_user(UserName=user)
    iam.create_group(GroupName=group)
    iam.add_user_to_group(GroupName=group, UserName=user)
    refusal("DeleteConflict", iam.delete_group, GroupName=group, status=409)
    refusal("DeleteConflict", iam.delete_user, UserName=user, status=409)
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=EC2)
    iam.create_instance_profile(InstanceProfileName=profile)
    iam.add_role_to_instance_profile(InstanceProfileName=profile, RoleName=role)
    refusal("DeleteConflict", iam.delete_role, RoleName=role)
    refusal("DeleteConflict", iam.delete_instance_profile, InstanceProfileName=profile)
    iam.remove_role_from_instance_profile(InstanceProfileName=profile, RoleName=role)
    iam.attach_role_policy(RoleName=role, PolicyArn=READ_ONLY)
    refusal("DeleteConflict", iam.delete_role, RoleName=role)
    iam.detach_role_policy(RoleName=role, PolicyArn=READ_ONLY)
    iam.delete_role(RoleName=role)
    iam.delete_instance_profile(InstanceProfileName=profile)
    iam.remove_user_from_group(GroupName=group, UserName=user)
    iam.delete_group(GroupName=group)
    iam.delete_user(UserName=user)


def test_role_comes_back_as_it_was_made(iam, name):
    role = name("role")
    made = iam.create_role(RoleName=role, AssumeRolePolicyDocument=EC2, Description="d", MaxSessionDuration=7200)
    assert made["Role"]["RoleId"].startswith("AROA")
    got = iam.get_role(RoleName=role)["Role"]
    assert got["AssumeRolePolicyDocument"] == json.loads(EC2)
    assert (got["Description"], got["MaxSessionDuration"]) == ("d", 7200)
    document = json.loads(policy(allow("s3:Get*", "arn:aws:s3:::b/ü & more")))
    iam.put_role_policy(RoleName=role, PolicyName="inline", PolicyDocument=json.dumps(document))
    assert iam.get_role_policy(RoleName=role, PolicyName="inline")["PolicyDocument"] == document
    assert iam.list_role_policies(RoleName=role)["PolicyNames"] == ["inline"]
    refusal("NoSuchEntity", iam.get_role_policy, RoleName=role, PolicyName="other")


def test_policy_versions(iam, name):
    arn = iam.create_policy(PolicyName=name("p"), PolicyDocument=policy(allow("s3:*")))["Policy"]["Arn"]
    for _ in range(4):
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=policy(allow("sqs:*")))
    message = refusal("LimitExceeded", iam.create_policy_version, PolicyArn=arn, PolicyDocument=policy(allow("*")))
    assert "up to 5 versions" in message
    assert iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"] == "v1"
    iam.set_default_policy_version(PolicyArn=arn, VersionId="v3")
    versions = iam.list_policy_versions(PolicyArn=arn)["Versions"]
    assert [v["VersionId"] for v in versions] == ["v5", "v4", "v3", "v2", "v1"]
    assert [v["VersionId"] for v in versions if v["IsDefaultVersion"]] == ["v3"]
    refusal("DeleteConflict", iam.delete_policy_version, PolicyArn=arn, VersionId="v3")
    refusal("DeleteConflict", iam.delete_policy, PolicyArn=arn)
    for version in ("v1", "v2", "v4", "v5"):
        iam.delete_policy_version(PolicyArn=arn, VersionId=version)
    iam.delete_policy(PolicyArn=arn)


@pytest.mark.parametrize("document", [
    "{", "[]", '{"Version":"2012-10-17"}', policy({"Effect": "Maybe", "Action": "*", "Resource": "*"}),
    policy({"Effect": "Allow", "Action": "nocolon", "Resource": "*"}), policy(allow("s3:*", Principal="*")),
])
def test_malformed_policies(iam, user, document):
    refusal("MalformedPolicyDocument", iam.put_user_policy, UserName=user["UserName"], PolicyName="p",
            PolicyDocument=document, status=400)


def test_limits(iam, user, name):
    who = user["UserName"]
    for number in range(10):
        arn = iam.create_policy(PolicyName=name("p"), PolicyDocument=policy(allow("s3:*")))["Policy"]["Arn"]
        iam.attach_user_policy(UserName=who, PolicyArn=arn)
    refusal("LimitExceeded", iam.attach_user_policy, UserName=who, PolicyArn=READ_ONLY, status=409)
    big = policy(allow([f"s3:{'Action' * 5}{n}" for n in range(200)]))
    refusal("LimitExceeded", iam.create_policy, PolicyName=name("p"), PolicyDocument=big)
    refusal("LimitExceeded", iam.put_user_policy, UserName=who, PolicyName="p", PolicyDocument=big)
    iam.create_access_key(UserName=who)
    iam.create_access_key(UserName=who)
    assert "AccessKeysPerUser: 2" in refusal("LimitExceeded", iam.create_access_key, UserName=who)


def test_pages(iam, name):
    path = f"/{name()}/"
    made = sorted(iam.create_user(UserName=name("u"), Path=path)["User"]["UserName"] for _ in range(7))
    pages = list(iam.get_paginator("list_users").paginate(PathPrefix=path, PaginationConfig={"PageSize": 3}))
    assert [len(page["Users"]) for page in pages] == [3, 3, 1]
    assert [user["UserName"] for page in pages for user in page["Users"]] == made
    aws = iam.get_paginator("list_policies").paginate(Scope="AWS", PaginationConfig={"PageSize": 10})
    names = [p["PolicyName"] for page in aws for p in page["Policies"]]
    assert len(names) == len(set(names)) and {"AdministratorAccess", "AmazonS3ReadOnlyAccess"} <= set(names)


def test_tags(iam, user, name):
    who = user["UserName"]
    iam.tag_user(UserName=who, Tags=[{"Key": "Team", "Value": "a"}])
    iam.tag_user(UserName=who, Tags=[{"Key": "team", "Value": "b"}, {"Key": "x", "Value": ""}])
    assert iam.list_user_tags(UserName=who)["Tags"] == [{"Key": "team", "Value": "b"}, {"Key": "x", "Value": ""}]
    iam.untag_user(UserName=who, TagKeys=["TEAM"])
    assert [tag["Key"] for tag in iam.list_user_tags(UserName=who)["Tags"]] == ["x"]
    refusal("InvalidInput", iam.tag_user, UserName=who, Tags=[{"Key": "aws:x", "Value": "y"}])
    many = [{"Key": f"k{n}", "Value": "v"} for n in range(50)]
    refusal("LimitExceeded", iam.tag_user, UserName=who, Tags=many)
    arn = iam.create_policy(PolicyName=name("p"), PolicyDocument=policy(allow("*")), Tags=many[:1])["Policy"]["Arn"]
    assert iam.list_policy_tags(PolicyArn=arn)["Tags"] == many[:1]


def test_changes_of_policy_are_in_force_at_once(iam, as_user, user):
    who, mine = user["UserName"], as_user("iam")
    message = refusal("AccessDenied", mine.list_users, status=403)
    assert message.startswith(f"User: {user['Arn']} is not authorized to perform: iam:ListUsers on resource:")
    assert "because no identity-based policy allows the iam:ListUsers action" in message
    iam.attach_user_policy(UserName=who, PolicyArn=READ_ONLY)
    mine.list_users()
    iam.put_user_policy(UserName=who, PolicyName="no", PolicyDocument=policy(deny("iam:List*")))
    assert "explicit deny in an identity-based policy" in refusal("AccessDenied", mine.list_users)
    iam.delete_user_policy(UserName=who, PolicyName="no")
    mine.list_users()
    iam.detach_user_policy(UserName=who, PolicyArn=READ_ONLY)
    refusal("AccessDenied", mine.list_users)


def test_inactive_and_deleted_keys_do_nothing(iam, client, user):
    who = user["UserName"]
    key = iam.create_access_key(UserName=who)["AccessKey"]
    sts = client("sts", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    assert sts.get_caller_identity()["Arn"] == user["Arn"]
    iam.update_access_key(UserName=who, AccessKeyId=key["AccessKeyId"], Status="Inactive")
    refusal("InvalidClientTokenId", sts.get_caller_identity, status=403)
    iam.update_access_key(UserName=who, AccessKeyId=key["AccessKeyId"], Status="Active")
    sts.get_caller_identity()
    iam.delete_access_key(UserName=who, AccessKeyId=key["AccessKeyId"])
    refusal("InvalidClientTokenId", sts.get_caller_identity, status=403)


def test_last_use_of_a_key(iam, as_user, user):
    key = None
    mine = as_user("sts")
    key = iam.list_access_keys(UserName=user["UserName"])["AccessKeyMetadata"][0]["AccessKeyId"]
    assert iam.get_access_key_last_used(AccessKeyId=key)["AccessKeyLastUsed"]["ServiceName"] == "N/A"
    mine.get_caller_identity()
    used = iam.get_access_key_last_used(AccessKeyId=key)
    assert used["UserName"] == user["UserName"]
    assert used["AccessKeyLastUsed"]["ServiceName"] == "sts"


@pytest.mark.parametrize("identity, boundary, allowed", [
    ([allow("iam:*")], None, True),
    ([allow("iam:*")], [allow("iam:Get*")], True),
    ([allow("iam:*")], [allow("s3:*")], False),
    ([allow("iam:*"), deny("iam:GetUser")], None, False),
    ([allow("iam:*")], [allow("*"), deny("iam:GetUser")], False),
    ([{"Effect": "Allow", "NotAction": "s3:*", "Resource": "*"}], None, True),
    ([{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}], None, False),
    ([{"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:iam::*:user/*"}], None, False),
    ([allow("iam:GetUser", "arn:aws:iam::*:user/${aws:username}")], None, True),
    ([allow("iam:GetUser", "arn:aws:iam::*:user/other")], None, False),
    ([allow("*", Condition={"StringEquals": {"aws:PrincipalTag/team": "blue"}})], None, True),
    ([allow("*", Condition={"StringEquals": {"aws:PrincipalTag/team": "red"}})], None, False),
    ([allow("*", Condition={"StringEquals": {"aws:PrincipalTag/none": "red"}})], None, False),
    ([allow("*", Condition={"StringEqualsIfExists": {"aws:PrincipalTag/none": "red"}})], None, True),
    ([allow("*", Condition={"Null": {"aws:PrincipalTag/none": "true"}})], None, True),
    ([allow("*", Condition={"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}})], None, True),
    ([allow("*", Condition={"NotIpAddress": {"aws:SourceIp": "127.0.0.0/8"}})], None, False),
    ([allow("*", Condition={"Bool": {"aws:SecureTransport": "true"}})], None, False),
    ([allow("*", Condition={"Bool": {"aws:SecureTransport": "false"}})], None, True),
    ([allow("*", Condition={"StringLike": {"iam:ResourceTag/team": "b*"}})], None, True),
    ([allow("*", Condition={"DateLessThan": {"aws:CurrentTime": "2020-01-01T00:00:00Z"}})], None, False),
])
def test_enforcement(iam, as_user, user, name, identity, boundary, allowed):
    who = user["UserName"]
    iam.tag_user(UserName=who, Tags=[{"Key": "team", "Value": "blue"}])
    iam.put_user_policy(UserName=who, PolicyName="p", PolicyDocument=policy(*identity))
    if boundary:
        arn = iam.create_policy(PolicyName=name("b"), PolicyDocument=policy(*boundary))["Policy"]["Arn"]
        iam.put_user_permissions_boundary(UserName=who, PermissionsBoundary=arn)
    if allowed:
        assert as_user("iam").get_user(UserName=who)["User"]["Arn"] == user["Arn"]
    else:
        refusal("AccessDenied", as_user("iam").get_user, UserName=who)


def test_groups_grant(iam, as_user, user, name):
    group = name("group")
    iam.create_group(GroupName=group)
    iam.put_group_policy(GroupName=group, PolicyName="p", PolicyDocument=policy(allow("iam:ListUsers")))
    refusal("AccessDenied", as_user("iam").list_users)
    iam.add_user_to_group(GroupName=group, UserName=user["UserName"])
    as_user("iam").list_users()
    assert [g["GroupName"] for g in iam.list_groups_for_user(UserName=user["UserName"])["Groups"]] == [group]


def test_request_keys(iam, as_user, user, name):
    only_this = {"ArnEquals": {"iam:PolicyARN": READ_ONLY}}
    blue = {"StringEquals": {"aws:RequestTag/team": "blue"}}
    iam.put_user_policy(UserName=user["UserName"], PolicyName="p", PolicyDocument=policy(
        allow("iam:AttachUserPolicy", Condition=only_this), allow(["iam:CreateUser", "iam:TagUser"], Condition=blue)))
    mine = as_user("iam")
    mine.attach_user_policy(UserName=user["UserName"], PolicyArn=READ_ONLY)
    refusal("AccessDenied", mine.attach_user_policy, UserName=user["UserName"],
            PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    mine.create_user(UserName=name("u"), Tags=[{"Key": "team", "Value": "blue"}])
    refusal("AccessDenied", mine.create_user, UserName=name("u"), Tags=[{"Key": "team", "Value": "red"}])
    refusal("AccessDenied", mine.create_user, UserName=name("u"))


def simulated(results):
    return [result["EvalDecision"] for result in results["EvaluationResults"]]


@pytest.mark.parametrize("seed", range(200))
def test_random_policies_against_the_oracle(iam, account, seed):
    resources = [f"arn:aws:iam::{account}:user/target", f"arn:aws:iam::{account}:user/*", "*",
                 f"arn:aws:iam::{account}:role/*", f"arn:aws:iam::*:user/targe?"]
    identity, boundary, _, action = oracle.random_case(seed, resources)
    target, context = resources[0], {"aws:PrincipalTag/team": "blue", "aws:PrincipalTag/level": "5"}
    expected = oracle.decide(identity, boundary, action, target, context)
    nothing = policy(deny("none:None"))
    entries = [{"ContextKeyName": k, "ContextKeyValues": [v], "ContextKeyType": "string"} for k, v in context.items()]
    bounds = {"PermissionsBoundaryPolicyInputList": [json.dumps(boundary)]} if boundary else {}
    results = iam.simulate_custom_policy(
        PolicyInputList=[json.dumps(p) for p in identity] or [nothing], ActionNames=[action],
        ResourceArns=[target], ContextEntries=entries, **bounds)
    assert simulated(results) == [expected], (identity, boundary, action)


CALLS = {
    "iam:GetUser": "get_user", "iam:ListAccessKeys": "list_access_keys", "iam:ListUserTags": "list_user_tags",
    "iam:ListUserPolicies": "list_user_policies", "iam:ListAttachedUserPolicies": "list_attached_user_policies",
    "iam:ListGroupsForUser": "list_groups_for_user",
}


@pytest.mark.parametrize("block", range(10))
def test_random_policies_for_real(iam, client, account, name, block):
    """What the oracle says, the simulator says, and what a call by a session of a role meets."""
    target, role = name("target"), name("role")
    iam.create_user(UserName=target)
    arn = f"arn:aws:iam::{account}:user/{target}"
    trust = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}
    made = iam.create_role(RoleName=role, AssumeRolePolicyDocument=policy(trust),
                           Tags=[{"Key": "team", "Value": "blue"}, {"Key": "level", "Value": "5"}])["Role"]
    bound = iam.create_policy(PolicyName=name("b"), PolicyDocument=policy(allow("*")))["Policy"]["Arn"]
    context = {"aws:PrincipalTag/team": "blue", "aws:PrincipalTag/level": "5"}
    resources = [arn, f"arn:aws:iam::{account}:user/*", "*", f"arn:aws:iam::{account}:role/*", arn[:-1] + "?"]
    for seed in range(block * 20, block * 20 + 20):
        identity, boundary, session, action = oracle.random_case(1000 + seed, resources)
        for number, text in enumerate(identity):
            iam.put_role_policy(RoleName=role, PolicyName=f"p{number}", PolicyDocument=json.dumps(text))
        if boundary:
            version = iam.create_policy_version(PolicyArn=bound, PolicyDocument=json.dumps(boundary), SetAsDefault=True)
            iam.put_role_permissions_boundary(RoleName=role, PermissionsBoundary=bound)
        passed = {"Policy": json.dumps(session[0])} if session else {}
        if len(passed.get("Policy", "")) < 2000:
            credentials = client("sts").assume_role(RoleArn=made["Arn"], RoleSessionName="s-s", **passed)["Credentials"]
            mine = client("iam", key=credentials["AccessKeyId"], secret=credentials["SecretAccessKey"],
                          token=credentials["SessionToken"])
            try:
                getattr(mine, CALLS[action])(UserName=target)
                real = True
            except ClientError as error:
                assert error.response["Error"]["Code"] == "AccessDenied"
                real = False
            expected = oracle.decide(identity, boundary, action, arn, context, session)
            assert real == (expected == oracle.ALLOWED), (seed, identity, boundary, session, action)
            if not session:
                results = iam.simulate_principal_policy(
                    PolicySourceArn=made["Arn"], ActionNames=[action], ResourceArns=[arn])
                assert simulated(results) == [expected], (seed, identity, boundary, action)
        for number in range(len(identity)):
            iam.delete_role_policy(RoleName=role, PolicyName=f"p{number}")
        if boundary:
            iam.delete_role_permissions_boundary(RoleName=role)
            iam.set_default_policy_version(PolicyArn=bound, VersionId="v1")
            iam.delete_policy_version(PolicyArn=bound, VersionId=version["PolicyVersion"]["VersionId"])


def test_simulator_details(iam):
    text = policy(allow("s3:*", Condition={"StringEquals": {"aws:PrincipalTag/team": "blue"}}))
    asked = dict(PolicyInputList=[text], ActionNames=["s3:GetObject"], ResourceArns=["arn:aws:s3:::b/k"])
    result = iam.simulate_custom_policy(**asked)["EvaluationResults"][0]
    assert result["EvalDecision"] == "implicitDeny"
    assert result["MissingContextValues"] == ["aws:PrincipalTag/team"]
    entry = {"ContextKeyName": "aws:PrincipalTag/team", "ContextKeyValues": ["blue"], "ContextKeyType": "string"}
    result = iam.simulate_custom_policy(**asked, ContextEntries=[entry])["EvaluationResults"][0]
    assert result["EvalDecision"] == "allowed"
    assert result["MatchedStatements"][0]["SourcePolicyId"] == "PolicyInputList.1"
    keys = iam.get_context_keys_for_custom_policy(PolicyInputList=[text])
    assert keys["ContextKeyNames"] == ["aws:PrincipalTag/team"]
    refusal("InvalidInput", iam.simulate_custom_policy, PolicyInputList=["{"], ActionNames=["s3:GetObject"])


def test_entities_for_policy(iam, user, name):
    role, arn = name("role"), iam.create_policy(PolicyName=name("p"), PolicyDocument=policy(allow("*")))["Policy"]["Arn"]
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=EC2, PermissionsBoundary=arn)
    iam.attach_user_policy(UserName=user["UserName"], PolicyArn=arn)
    got = iam.list_entities_for_policy(PolicyArn=arn)
    assert [u["UserName"] for u in got["PolicyUsers"]] == [user["UserName"]]
    assert [r["RoleName"] for r in got["PolicyRoles"]] == [role]
    bounded = iam.list_entities_for_policy(PolicyArn=arn, PolicyUsageFilter="PermissionsBoundary")
    assert (len(bounded["PolicyUsers"]), len(bounded["PolicyRoles"])) == (0, 1)
    shown = iam.get_policy(PolicyArn=arn)["Policy"]
    assert (shown["AttachmentCount"], shown["PermissionsBoundaryUsageCount"]) == (1, 1)


def test_service_linked_roles(iam):
    role = iam.create_service_linked_role(AWSServiceName="autoscaling.amazonaws.com", CustomSuffix=f"t{time.time_ns() % 10**9}")["Role"]
    assert "/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling_" in role["Arn"]
    refusal("UnmodifiableEntity", iam.delete_role, RoleName=role["RoleName"])
    task = iam.delete_service_linked_role(RoleName=role["RoleName"])["DeletionTaskId"]
    assert iam.get_service_linked_role_deletion_status(DeletionTaskId=task)["Status"] == "SUCCEEDED"
    refusal("InvalidInput", iam.create_service_linked_role, AWSServiceName="no.amazonaws.com")


def test_passwords(iam, as_user, user):
    who = user["UserName"]
    iam.create_login_profile(UserName=who, Password="correct horse battery", PasswordResetRequired=False)
    assert iam.get_login_profile(UserName=who)["LoginProfile"]["UserName"] == who
    refusal("EntityAlreadyExists", iam.create_login_profile, UserName=who, Password="another password")
    refusal("PasswordPolicyViolation", iam.update_login_profile, UserName=who, Password="x")
    iam.put_user_policy(UserName=who, PolicyName="p", PolicyDocument=policy(allow("iam:ChangePassword")))
    mine = as_user("iam")
    refusal("AccessDenied", mine.change_password, OldPassword="wrong", NewPassword="new password 1")
    mine.change_password(OldPassword="correct horse battery", NewPassword="new password 1")
    iam.delete_login_profile(UserName=who)
    refusal("NoSuchEntity", iam.get_login_profile, UserName=who)


def test_account(iam, name):
    alias = name("alias")
    iam.create_account_alias(AccountAlias=alias)
    assert iam.list_account_aliases()["AccountAliases"] == [alias]
    iam.delete_account_alias(AccountAlias=alias)
    assert iam.get_account_summary()["SummaryMap"]["AccessKeysPerUserQuota"] == 2


def test_credential_report(iam, user):
    assert iam.generate_credential_report()["State"] == "COMPLETE"
    report = csv.DictReader(io.StringIO(iam.get_credential_report()["Content"].decode()))
    lines = {line["user"]: line for line in report}
    assert lines[user["UserName"]]["arn"] == user["Arn"]
    assert lines["<root_account>"]["mfa_active"] == "false"


def test_authorization_details(iam, user, name):
    iam.put_user_policy(UserName=user["UserName"], PolicyName="p", PolicyDocument=policy(allow("s3:*")))
    pages = iam.get_paginator("get_account_authorization_details").paginate(Filter=["User"])
    users = {u["UserName"]: u for page in pages for u in page["UserDetailList"]}
    assert users[user["UserName"]]["UserPolicyList"] == [
        {"PolicyName": "p", "PolicyDocument": json.loads(policy(allow("s3:*")))}]


def test_oidc_providers(iam, name):
    url = f"https://{name('issuer')}.example.com/a"
    arn = iam.create_open_id_connect_provider(Url=url, ClientIDList=["one"], ThumbprintList=["a" * 40])["OpenIDConnectProviderArn"]
    iam.add_client_id_to_open_id_connect_provider(OpenIDConnectProviderArn=arn, ClientID="two")
    got = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    assert (got["Url"], got["ClientIDList"]) == (url.removeprefix("https://"), ["one", "two"])
    refusal("EntityAlreadyExists", iam.create_open_id_connect_provider, Url=url, ThumbprintList=["a" * 40])
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=arn)
    refusal("NoSuchEntity", iam.get_open_id_connect_provider, OpenIDConnectProviderArn=arn)


def test_what_is_missing_says_so(iam):
    refusal("NotImplemented", iam.create_virtual_mfa_device, VirtualMFADeviceName="x", status=501)
    refusal("NotImplemented", iam.list_saml_providers, status=501)


def test_everything_is_there_after_a_crash(name):
    import conftest

    with conftest.private_cloud() as cloud:
        iam = cloud.client("iam")
        user = iam.create_user(UserName="ann")["User"]
        key = iam.create_access_key(UserName="ann")["AccessKey"]
        iam.attach_user_policy(UserName="ann", PolicyArn=READ_ONLY)
        cloud.kill()
        cloud.start()
        mine = cloud.client("iam", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
        assert mine.get_user()["User"]["UserId"] == user["UserId"]

"""STS with stock boto3: sessions, what bounds them, and how long they last."""

import json
import time

import pytest
from botocore import UNSIGNED

from oidc_issuer import Issuer, sha1
from conftest import refusal
from test_iam import EC2, account, allow, as_user, deny, iam, policy, user  # noqa: F401


@pytest.fixture
def sts(client):
    return client("sts")


def trusting(principal, **condition):
    return policy({"Effect": "Allow", "Principal": principal,
                   "Action": ["sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"],
                   **({"Condition": condition} if condition else {})})


@pytest.fixture
def role(iam, account, name):
    """A role that everybody in the account may assume and that may do everything."""
    made = iam.create_role(RoleName=name("role"), AssumeRolePolicyDocument=trusting({"AWS": account}))["Role"]
    iam.attach_role_policy(RoleName=made["RoleName"], PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    return made


@pytest.fixture
def caller(iam, user, as_user):
    """A user who may assume roles."""
    iam.put_user_policy(UserName=user["UserName"], PolicyName="sts", PolicyDocument=policy(allow("sts:*")))
    return as_user("sts")


def using(client, credentials, service):
    return client(service, key=credentials["AccessKeyId"], secret=credentials["SecretAccessKey"],
                  token=credentials["SessionToken"])


def test_identity(sts, user, as_user, account):
    root = sts.get_caller_identity()
    assert (root["Arn"], root["UserId"]) == (f"arn:aws:iam::{account}:root", account)
    mine = as_user("sts").get_caller_identity()
    assert (mine["Arn"], mine["UserId"]) == (user["Arn"], user["UserId"])


def test_a_session_of_a_role(client, caller, role, account):
    answer = caller.assume_role(RoleArn=role["Arn"], RoleSessionName="me")
    who = answer["AssumedRoleUser"]
    assert who == {"AssumedRoleId": f"{role['RoleId']}:me",
                   "Arn": f"arn:aws:sts::{account}:assumed-role/{role['RoleName']}/me"}
    assert answer["Credentials"]["AccessKeyId"].startswith("ASIA")
    mine = using(client, answer["Credentials"], "sts").get_caller_identity()
    assert (mine["Arn"], mine["UserId"]) == (who["Arn"], who["AssumedRoleId"])
    using(client, answer["Credentials"], "iam").list_users()


def test_a_session_needs_its_token(client, caller, role):
    credentials = caller.assume_role(RoleArn=role["Arn"], RoleSessionName="me")["Credentials"]
    without = client("sts", key=credentials["AccessKeyId"], secret=credentials["SecretAccessKey"])
    refusal("InvalidClientTokenId", without.get_caller_identity)
    credentials["SessionToken"] = credentials["SessionToken"][:-4] + "AAAA"
    refusal("InvalidClientTokenId", using(client, credentials, "sts").get_caller_identity)


def test_a_session_ends_with_its_role(client, iam, caller, role):
    credentials = caller.assume_role(RoleArn=role["Arn"], RoleSessionName="me")["Credentials"]
    iam.detach_role_policy(RoleName=role["RoleName"], PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    refusal("AccessDenied", using(client, credentials, "iam").list_users)
    iam.delete_role(RoleName=role["RoleName"])
    refusal("InvalidClientTokenId", using(client, credentials, "sts").get_caller_identity)


def test_trust(client, iam, user, caller, role):
    def trust(document):
        iam.update_assume_role_policy(RoleName=role["RoleName"], PolicyDocument=document)

    def assume(**more):
        return caller.assume_role(RoleArn=role["Arn"], RoleSessionName="me", **more)

    trust(EC2)
    assert "sts:AssumeRole" in refusal("AccessDenied", assume, status=403)
    trust(trusting({"AWS": user["Arn"]}, StringEquals={"sts:ExternalId": "secret"}))
    refusal("AccessDenied", assume)
    refusal("AccessDenied", assume, ExternalId="guess")
    assume(ExternalId="secret")
    # Named itself, the caller needs no policy of its own; but an explicit deny beats that.
    iam.put_user_policy(UserName=user["UserName"], PolicyName="sts", PolicyDocument=policy(allow("s3:*")))
    assume(ExternalId="secret")
    iam.put_user_policy(UserName=user["UserName"], PolicyName="sts", PolicyDocument=policy(deny("sts:*")))
    refusal("AccessDenied", assume, ExternalId="secret")
    refusal("MalformedPolicyDocument", trust, trusting({"AWS": user["Arn"] + "-nobody"}))


def test_a_namesake_is_not_trusted(client, iam, name, role):
    who = name("user")

    def make():
        made = iam.create_user(UserName=who)["User"]
        key = iam.create_access_key(UserName=who)["AccessKey"]
        return made, client("sts", key=key["AccessKeyId"], secret=key["SecretAccessKey"]), key["AccessKeyId"]

    first, sts, key = make()
    iam.update_assume_role_policy(RoleName=role["RoleName"], PolicyDocument=trusting({"AWS": first["Arn"]}))
    sts.assume_role(RoleArn=role["Arn"], RoleSessionName="me")
    iam.delete_access_key(UserName=who, AccessKeyId=key)
    iam.delete_user(UserName=who)
    _, sts, _ = make()
    refusal("AccessDenied", sts.assume_role, RoleArn=role["Arn"], RoleSessionName="me")
    document = iam.get_role(RoleName=role["RoleName"])["Role"]["AssumeRolePolicyDocument"]
    assert document["Statement"][0]["Principal"]["AWS"] == first["UserId"]


def test_durations(client, iam, as_user, caller, role):
    def assume(sts, seconds):
        return sts.assume_role(RoleArn=role["Arn"], RoleSessionName="me", DurationSeconds=seconds)["Credentials"]

    assume(caller, 900)
    refusal("ValidationError", assume, as_user("sts", parameter_validation=False), 899, status=400)
    assert "MaxSessionDuration" in refusal("ValidationError", assume, caller, 3601)
    iam.update_role(RoleName=role["RoleName"], MaxSessionDuration=43200)
    chained = using(client, assume(caller, 43200), "sts")
    assert "role chaining" in refusal("ValidationError", assume, chained, 3601)
    assume(chained, 3600)


def test_session_policies(client, caller, role):
    answer = caller.assume_role(RoleArn=role["Arn"], RoleSessionName="me", Policy=policy(allow("iam:Get*")))
    assert 0 < answer["PackedPolicySize"] < 100
    mine = using(client, answer["Credentials"], "iam")
    mine.get_role(RoleName=role["RoleName"])
    assert "no session policy allows" in refusal("AccessDenied", mine.list_users)
    refusal("MalformedPolicyDocument", caller.assume_role, RoleArn=role["Arn"], RoleSessionName="me", Policy="{}")


def test_session_tags(client, caller, role, iam):
    tags = [{"Key": "team", "Value": "blue"}]
    first = caller.assume_role(RoleArn=role["Arn"], RoleSessionName="me", Tags=tags, TransitiveTagKeys=["team"])
    sts = using(client, first["Credentials"], "sts")
    iam.update_assume_role_policy(RoleName=role["RoleName"], PolicyDocument=trusting(
        {"AWS": role["Arn"]}, StringEquals={"aws:PrincipalTag/team": "blue"}))
    second = sts.assume_role(RoleArn=role["Arn"], RoleSessionName="me")
    # The tag went on by itself: the second session carries it as well.
    using(client, second["Credentials"], "sts").assume_role(RoleArn=role["Arn"], RoleSessionName="me")
    refusal("ValidationError", sts.assume_role, RoleArn=role["Arn"], RoleSessionName="me", Tags=tags)


def test_session_token(client, iam, user, as_user, role, caller):
    token = caller.get_session_token(DurationSeconds=900)["Credentials"]
    mine = using(client, token, "sts")
    assert mine.get_caller_identity()["Arn"] == user["Arn"]
    mine.assume_role(RoleArn=role["Arn"], RoleSessionName="me")
    refusal("AccessDenied", mine.get_session_token)
    iam.put_user_policy(UserName=user["UserName"], PolicyName="all", PolicyDocument=policy(allow("*")))
    refusal("InvalidClientTokenId", using(client, token, "iam").list_users)
    refusal("NotImplemented", caller.get_session_token, SerialNumber="arn:aws:iam::1:mfa/x", TokenCode="123456")


def test_federation_token(client, caller, account):
    answer = caller.get_federation_token(Name="bob", Policy=policy(allow("sqs:*")))
    assert answer["FederatedUser"]["Arn"] == f"arn:aws:sts::{account}:federated-user/bob"
    mine = using(client, answer["Credentials"], "sts")
    assert mine.get_caller_identity()["UserId"] == f"{account}:bob"
    refusal("AccessDenied", mine.assume_role, RoleArn=f"arn:aws:iam::{account}:role/x", RoleSessionName="me")


def test_a_session_reaches_other_services(client, iam, role, caller, name):
    s3, bucket = client("s3"), name("bucket")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="mine/1", Body=b"x")
    narrow = policy(allow("s3:GetObject", f"arn:aws:s3:::{bucket}/mine/*"))
    answer = caller.assume_role(RoleArn=role["Arn"], RoleSessionName="me", Policy=narrow)
    mine = using(client, answer["Credentials"], "s3")
    assert mine.get_object(Bucket=bucket, Key="mine/1")["Body"].read() == b"x"
    refusal("AccessDenied", mine.get_object, Bucket=bucket, Key="other")
    refusal("AccessDenied", mine.put_object, Bucket=bucket, Key="mine/1", Body=b"y")


def test_whose_key(sts, iam, user, account):
    key = iam.create_access_key(UserName=user["UserName"])["AccessKey"]["AccessKeyId"]
    assert sts.get_access_key_info(AccessKeyId=key)["Account"] == account
    refusal("ValidationError", sts.get_access_key_info, AccessKeyId="AKIAIOSFODNN7EXAMPLE")


@pytest.fixture
def issuer():
    with Issuer() as running:
        yield running


@pytest.fixture
def provider(iam, issuer):
    """The account's provider for `issuer`, believed for its authority's thumbprint."""
    made = iam.create_open_id_connect_provider(
        Url=issuer.url, ClientIDList=["app"], ThumbprintList=[issuer.thumbprint])
    yield made["OpenIDConnectProviderArn"]
    iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=made["OpenIDConnectProviderArn"])


@pytest.fixture
def enter(iam, client, issuer, provider, name):
    """`enter(token)` assumes a role that trusts `pod-1` of the issuer, as somebody without any key."""
    trust = policy({
        "Effect": "Allow", "Principal": {"Federated": provider}, "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{issuer.host}:aud": "app"}, "StringLike": {f"{issuer.host}:sub": "pod-*"}},
    })
    role = iam.create_role(RoleName=name("web"), AssumeRolePolicyDocument=trust)["Role"]
    iam.put_role_policy(RoleName=role["RoleName"], PolicyName="p", PolicyDocument=policy(allow("iam:GetRole")))
    sts = client("sts", signature_version=UNSIGNED)

    def enter(token):
        answer = sts.assume_role_with_web_identity(
            RoleArn=role["Arn"], RoleSessionName="pod", WebIdentityToken=token)
        using(client, answer["Credentials"], "iam").get_role(RoleName=role["RoleName"])
        return answer

    return enter


def test_a_web_identity(issuer, provider, enter):
    answer = enter(issuer.token())
    assert (answer["SubjectFromWebIdentityToken"], answer["Audience"]) == ("pod-1", "app")
    assert answer["Provider"] == provider
    assert answer["AssumedRoleUser"]["Arn"].endswith("/pod")
    enter(issuer.token(sub="pod-2", exp=int(time.time()) + 60))
    assert issuer.fetches == ["/.well-known/openid-configuration", "/keys"], "keys are kept"


def test_a_web_identity_that_is_not_let_in(issuer, enter):
    assert "audience" in refusal("InvalidIdentityToken", enter, issuer.token(aud="another"), status=400)
    refusal("ExpiredTokenException", enter, issuer.token(exp=int(time.time()) - 1), status=400)
    refusal("AccessDenied", enter, issuer.token(sub="stranger"), status=403)
    refusal("InvalidIdentityToken", enter, issuer.token(iss="https://localhost:1"))
    refusal("InvalidIdentityToken", enter, issuer.token(kid="nobody's"))
    body, signature = issuer.token().rsplit(".", 1)
    issuer.rotate("first")
    refusal("InvalidIdentityToken", enter, f"{body}.{issuer.token().rsplit('.', 1)[1]}")


def test_the_issuer_may_change_its_key(issuer, enter):
    enter(issuer.token())
    issuer.rotate("second")
    # Unknown keys are looked for at most once in a second.
    time.sleep(1.1)
    enter(issuer.token())
    assert issuer.fetches.count("/keys") == 2


def test_thumbprints(iam, issuer, provider, enter):
    def believe(*prints):
        iam.update_open_id_connect_provider_thumbprint(
            OpenIDConnectProviderArn=provider, ThumbprintList=list(prints))

    believe(sha1("somebody else"))
    message = refusal("InvalidIdentityToken", enter, issuer.token(), status=400)
    assert message == "OpenIDConnect provider's HTTPS certificate doesn't match configured thumbprint"
    believe(sha1("somebody else"), issuer.thumbprint.upper())
    enter(issuer.token())


def test_an_issuer_that_cannot_be_reached(issuer, enter):
    issuer.__exit__()
    refusal("IDPCommunicationError", enter, issuer.token(), status=400)


def test_web_identity_without_a_token(sts, role):
    refusal("InvalidIdentityToken", sts.assume_role_with_web_identity, RoleArn=role["Arn"],
            RoleSessionName="me", WebIdentityToken="not.a.token")

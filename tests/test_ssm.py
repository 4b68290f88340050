"""Systems Manager: parameters with versions, labels, hierarchies and secrets."""

import json

import pytest
from botocore.exceptions import ClientError
from conftest import refused


@pytest.fixture
def account(client):
    return client("sts").get_caller_identity()["Account"]


@pytest.fixture
def name(name):
    return name("parameter")


@pytest.fixture
def ssm(client):
    return client("ssm")


def put(ssm, name, value="v", **more):
    return ssm.put_parameter(Name=name, Value=value, **{"Type": "String", **more})


def test_a_parameter_has_versions(ssm, name, account):
    path = f"/{name}/db/url"
    assert put(ssm, path, "one")["Version"] == 1
    with refused("ParameterAlreadyExists"):
        put(ssm, path, "two")
    assert put(ssm, path, "two", Overwrite=True, Description="second")["Version"] == 2
    found = ssm.get_parameter(Name=path)["Parameter"]
    assert (found["Value"], found["Version"], found["Type"]) == ("two", 2, "String")
    assert found["ARN"] == f"arn:aws:ssm:us-east-1:{account}:parameter{path}"
    assert ssm.get_parameter(Name=found["ARN"])["Parameter"]["Value"] == "two"
    first = ssm.get_parameter(Name=f"{path}:1")["Parameter"]
    assert (first["Value"], first["Selector"]) == ("one", ":1")
    history = ssm.get_parameter_history(Name=path)["Parameters"]
    assert [(h["Version"], h["Value"], h.get("Description")) for h in history] == [
        (1, "one", None), (2, "two", "second")]
    with refused("ParameterVersionNotFound"):
        ssm.get_parameter(Name=f"{path}:3")
    ssm.delete_parameter(Name=path)
    with refused("ParameterNotFound"):
        ssm.get_parameter(Name=path)
    with refused("ParameterNotFound"):
        ssm.delete_parameter(Name=path)
    assert put(ssm, path, "anew")["Version"] == 1


def test_the_hundred_and_first_version_drops_the_first_unless_it_is_labelled(ssm, name):
    put(ssm, name, "1")
    ssm.label_parameter_version(Name=name, ParameterVersion=1, Labels=["keep"])
    for number in range(2, 101):
        put(ssm, name, str(number), Overwrite=True)
    with refused("ParameterMaxVersionLimitExceeded"):
        put(ssm, name, "101", Overwrite=True)
    ssm.label_parameter_version(Name=name, ParameterVersion=50, Labels=["keep"])
    assert put(ssm, name, "101", Overwrite=True)["Version"] == 101
    with refused("ParameterVersionNotFound"):
        ssm.get_parameter(Name=f"{name}:1")
    assert ssm.get_parameter(Name=f"{name}:keep")["Parameter"]["Value"] == "50"
    pages = ssm.get_paginator("get_parameter_history").paginate(
        Name=name, PaginationConfig={"PageSize": 30})
    assert [h["Version"] for page in pages for h in page["Parameters"]] == list(range(2, 102))


def test_labels(ssm, name):
    put(ssm, name, "1")
    put(ssm, name, "2", Overwrite=True)
    done = ssm.label_parameter_version(Name=name, Labels=["live", "9bad", "awsbad"])
    assert (done["ParameterVersion"], sorted(done["InvalidLabels"])) == (2, ["9bad", "awsbad"])
    done = ssm.unlabel_parameter_version(Name=name, ParameterVersion=2, Labels=["live", "never"])
    assert (done["RemovedLabels"], done["InvalidLabels"]) == (["live"], ["never"])
    with refused("ParameterVersionNotFound"):
        ssm.get_parameter(Name=f"{name}:live")
    with refused("ParameterVersionLabelLimitExceeded"):
        for label in "abcdefghijk":
            ssm.label_parameter_version(Name=name, Labels=[label])


def test_a_secret_is_opened_by_those_who_may_use_its_key(ssm, client, name):
    key = client("kms").create_key()["KeyMetadata"]["KeyId"]
    put(ssm, name, "open sesame", Type="SecureString", KeyId=key)
    kept = ssm.get_parameter(Name=name)["Parameter"]["Value"]
    assert "sesame" not in kept
    assert ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"] == "open sesame"
    put(ssm, name, "x" * 8000, Type="SecureString", KeyId=key, Tier="Advanced", Overwrite=True)
    assert ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"] == "x" * 8000
    history = ssm.get_parameter_history(Name=name, WithDecryption=True)["Parameters"]
    assert [h["Value"] for h in history] == ["open sesame", "x" * 8000]
    client("kms").disable_key(KeyId=key)
    with refused("InvalidKeyId"):
        ssm.get_parameter(Name=name, WithDecryption=True)
    put(ssm, f"{name}-default", "s", Type="SecureString")
    about = ssm.describe_parameters(
        ParameterFilters=[{"Key": "Name", "Values": [f"{name}-default"]}])["Parameters"]
    assert [p["KeyId"] for p in about] == ["alias/aws/ssm"]


def test_hierarchies(ssm, name):
    for path in ["a", "b", "deep/c", "deep/er/d"]:
        put(ssm, f"/{name}/{path}", path)
    put(ssm, f"/{name}x/a", "another")
    get = lambda **more: [p["Value"] for page in ssm.get_paginator("get_parameters_by_path").paginate(
        PaginationConfig={"PageSize": 2}, **more) for p in page["Parameters"]]
    assert get(Path=f"/{name}") == ["a", "b"]
    assert get(Path=f"/{name}/", Recursive=True) == ["a", "b", "deep/c", "deep/er/d"]
    assert get(Path=f"/{name}/deep") == ["deep/c"]
    assert get(Path=f"/{name}", ParameterFilters=[{"Key": "Type", "Values": ["SecureString"]}]) == []
    names = lambda *filters: [p["Name"] for p in ssm.describe_parameters(
        ParameterFilters=list(filters))["Parameters"]]
    assert names({"Key": "Path", "Option": "OneLevel", "Values": [f"/{name}/deep"]}) == [f"/{name}/deep/c"]
    assert names({"Key": "Name", "Option": "Contains", "Values": [f"{name}/deep/er"]}) == [f"/{name}/deep/er/d"]
    with refused("InvalidFilterKey"):
        names({"Key": "Label", "Values": ["red"]})
    many = ssm.get_parameters(Names=[f"/{name}/a", f"/{name}/none"])
    assert [p["Value"] for p in many["Parameters"]] == ["a"]
    assert many["InvalidParameters"] == [f"/{name}/none"]
    gone = ssm.delete_parameters(Names=[f"/{name}/a", f"/{name}/none"])
    assert (gone["DeletedParameters"], gone["InvalidParameters"]) == ([f"/{name}/a"], [f"/{name}/none"])


@pytest.mark.parametrize("code, wish", [
    ("ValidationException", {"Name": "ssm-x"}),
    ("ValidationException", {"Name": "/aws/x"}),
    ("ValidationException", {"Name": "a/b"}),
    ("ValidationException", {"Name": "with space"}),
    ("HierarchyLevelLimitExceededException", {"Name": "/a" * 16}),
    ("ValidationException", {"Value": "x" * 4097}),
    ("ValidationException", {"Value": "x" * 8193, "Tier": "Advanced"}),
    ("ParameterPatternMismatchException", {"Value": "12a", "AllowedPattern": r"\d+"}),
    ("InvalidAllowedPatternException", {"AllowedPattern": "("}),
    ("ValidationException", {"KeyId": "alias/aws/ssm"}),
    ("ValidationException", {"Overwrite": True, "Tags": [{"Key": "a", "Value": "b"}]}),
    ("NotImplemented", {"DataType": "aws:ec2:image"}),
    ("NotImplemented", {"Policies": "[]"}),
])
def test_what_cannot_be_kept_is_refused(ssm, name, code, wish):
    with refused(code):
        put(ssm, **{"name": name, **{("name" if k == "Name" else "value" if k == "Value" else k): v
                                     for k, v in wish.items()}})
    with pytest.raises(ClientError):
        ssm.get_parameter(Name=wish.get("Name", name))


def test_types_and_tiers_do_not_change_back(ssm, name):
    put(ssm, name, "a,b", Type="StringList", Tier="Intelligent-Tiering")
    with refused("HierarchyTypeMismatchException"):
        put(ssm, name, "a", Type="String", Overwrite=True)
    assert ssm.put_parameter(Name=name, Value="x" * 5000, Overwrite=True,
                             Tier="Intelligent-Tiering")["Tier"] == "Advanced"
    with refused("ValidationException"):
        ssm.put_parameter(Name=name, Value="x", Overwrite=True, Tier="Standard")


def test_tags_and_who_may_read(ssm, client, name):
    put(ssm, f"/{name}/a", Tags=[{"Key": "team", "Value": "red"}])
    put(ssm, f"/{name}/b")
    ssm.add_tags_to_resource(ResourceType="Parameter", ResourceId=f"/{name}/b",
                             Tags=[{"Key": "team", "Value": "blue"}, {"Key": "x", "Value": "y"}])
    ssm.remove_tags_from_resource(ResourceType="Parameter", ResourceId=f"/{name}/b", TagKeys=["x"])
    tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=f"/{name}/b")["TagList"]
    assert tags == [{"Key": "team", "Value": "blue"}]
    with refused("InvalidResourceId"):
        ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=f"/{name}/c")
    iam = client("iam")
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=json.dumps({
        "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "ssm:GetParameter", "Resource": f"arn:aws:ssm:*:*:parameter/{name}/*",
            "Condition": {"StringEquals": {"aws:ResourceTag/team": "red"}}}]}))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    user = client("ssm", key=made["AccessKeyId"], secret=made["SecretAccessKey"])
    assert user.get_parameter(Name=f"/{name}/a")["Parameter"]["Value"] == "v"
    with refused("AccessDeniedException"):
        user.get_parameter(Name=f"/{name}/b")
    with refused("AccessDeniedException"):
        user.get_parameters_by_path(Path=f"/{name}")


def test_public_parameters_name_images(ssm, client):
    ec2 = client("ec2")
    (image,) = ec2.describe_images(Owners=["amazon"])["Images"]
    path = "/aws/service/ami-amazon-linux-latest/"
    name = f"{path}al2023-ami-kernel-default-{image['Architecture']}"
    found = ssm.get_parameter(Name=name)["Parameter"]
    assert found["Value"] == image["ImageId"] and found["DataType"] == "aws:ec2:image"
    both = ssm.get_parameters(Names=[name, f"{path}tea"])
    assert [p["Name"] for p in both["Parameters"]] == [name]
    assert both["InvalidParameters"] == [f"{path}tea"]
    with refused("ParameterNotFound"):
        ssm.get_parameter(Name=f"{path}tea")
    with refused("ParameterVersionNotFound"):
        ssm.get_parameter(Name=f"{name}:2")

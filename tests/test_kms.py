"""KMS with stock boto3; signatures, public keys and OAEP are checked by another implementation."""

import hashlib
import hmac
import json

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

from conftest import private_cloud, refused
from test_iam import account, allow, as_user, deny, iam, policy, user  # noqa: F401

HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


@pytest.fixture
def kms(client):
    return client("kms")


@pytest.fixture
def key(kms):
    return kms.create_key(Description="for tests")["KeyMetadata"]


def made(kms, spec, usage):
    return kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]


def test_a_new_key(kms, key, account):
    assert key["Arn"] == f"arn:aws:kms:us-east-1:{account}:key/{key['KeyId']}"
    assert (key["KeyState"], key["Enabled"], key["KeyManager"]) == ("Enabled", True, "CUSTOMER")
    assert (key["KeySpec"], key["KeyUsage"], key["Origin"]) == ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT", "AWS_KMS")
    assert key["EncryptionAlgorithms"] == ["SYMMETRIC_DEFAULT"] and key["MultiRegion"] is False
    for name in (key["KeyId"], key["Arn"]):
        assert kms.describe_key(KeyId=name)["KeyMetadata"] == key
    kms.update_key_description(KeyId=key["KeyId"], Description="other")
    assert kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["Description"] == "other"
    kept = json.loads(kms.get_key_policy(KeyId=key["KeyId"], PolicyName="default")["Policy"])
    assert kept["Statement"][0]["Principal"] == {"AWS": f"arn:aws:iam::{account}:root"}
    assert kms.list_key_policies(KeyId=key["KeyId"])["PolicyNames"] == ["default"]


def test_what_we_do_not_have_is_refused(kms):
    for options in ({"Origin": "EXTERNAL"}, {"MultiRegion": True}, {"CustomKeyStoreId": "cks-1"},
                    {"KeySpec": "SM2", "KeyUsage": "SIGN_VERIFY"}, {"KeySpec": "ML_DSA_44", "KeyUsage": "SIGN_VERIFY"},
                    {"KeySpec": "ECC_NIST_P256", "KeyUsage": "KEY_AGREEMENT"}):
        with refused("NotImplemented"):
            kms.create_key(**options)
    with refused("ValidationException", "KeyUsage"):
        kms.create_key(KeySpec="RSA_2048")
    with refused("ValidationException", "not compatible"):
        kms.create_key(KeySpec="HMAC_256", KeyUsage="SIGN_VERIFY")


def test_names_of_keys(kms, account):
    missing = "1234abcd-12ab-34cd-56ef-1234567890ab"
    with refused("NotFoundException", f"Key 'arn:aws:kms:us-east-1:{account}:key/{missing}' does not exist"):
        kms.describe_key(KeyId=missing)
    with refused("NotFoundException", "Invalid keyId 'nonsense'"):
        kms.describe_key(KeyId="nonsense")
    with refused("NotFoundException", "alias/none"):
        kms.describe_key(KeyId="alias/none")
    with refused("NotFoundException", "Invalid arn eu-west-1"):
        kms.describe_key(KeyId=f"arn:aws:kms:eu-west-1:{account}:key/{missing}")


def test_encrypting(kms, key):
    context = {"purpose": "test", "other": "x"}
    blob = kms.encrypt(KeyId=key["KeyId"], Plaintext=b"secret", EncryptionContext=context)
    assert blob["KeyId"] == key["Arn"] and b"secret" not in blob["CiphertextBlob"]
    opened = kms.decrypt(CiphertextBlob=blob["CiphertextBlob"], EncryptionContext=context)
    assert (opened["Plaintext"], opened["KeyId"]) == (b"secret", key["Arn"])
    for wrong in ({}, {"purpose": "test"}, {"Purpose": "test", "other": "x"}):
        with refused("InvalidCiphertextException"):
            kms.decrypt(CiphertextBlob=blob["CiphertextBlob"], EncryptionContext=wrong)
    altered = bytearray(blob["CiphertextBlob"])
    altered[-1] ^= 1
    with refused("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=bytes(altered), EncryptionContext=context)
    with refused("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=b"nonsense")
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    with refused("IncorrectKeyException"):
        kms.decrypt(CiphertextBlob=blob["CiphertextBlob"], EncryptionContext=context, KeyId=other)
    with refused("ValidationException"):
        kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x" * 4097)
    moved = kms.re_encrypt(CiphertextBlob=blob["CiphertextBlob"], SourceEncryptionContext=context,
                           DestinationKeyId=other)
    assert moved["SourceKeyId"] == key["Arn"] and moved["KeyId"].endswith(other)
    assert kms.decrypt(CiphertextBlob=moved["CiphertextBlob"])["Plaintext"] == b"secret"


def test_data_keys(kms, key):
    made = kms.generate_data_key(KeyId=key["KeyId"], KeySpec="AES_256", EncryptionContext={"a": "b"})
    assert len(made["Plaintext"]) == 32
    opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext={"a": "b"})
    assert opened["Plaintext"] == made["Plaintext"]
    made = kms.generate_data_key_without_plaintext(KeyId=key["KeyId"], NumberOfBytes=24)
    assert "Plaintext" not in made
    assert len(kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"]) == 24
    for wrong in ({}, {"KeySpec": "AES_128", "NumberOfBytes": 16}):
        with refused("ValidationException"):
            kms.generate_data_key(KeyId=key["KeyId"], **wrong)
    assert len(kms.generate_random(NumberOfBytes=100)["Plaintext"]) == 100


@pytest.mark.parametrize("spec", ["RSA_2048", "ECC_NIST_P384"])
def test_data_key_pairs(kms, key, spec):
    pair = kms.generate_data_key_pair(KeyId=key["KeyId"], KeyPairSpec=spec)
    private = serialization.load_der_private_key(pair["PrivateKeyPlaintext"], None)
    public = serialization.load_der_public_key(pair["PublicKey"])
    assert private.public_key().public_numbers() == public.public_numbers()
    assert kms.decrypt(CiphertextBlob=pair["PrivateKeyCiphertextBlob"])["Plaintext"] == pair["PrivateKeyPlaintext"]
    pair = kms.generate_data_key_pair_without_plaintext(KeyId=key["KeyId"], KeyPairSpec=spec)
    assert "PrivateKeyPlaintext" not in pair


@pytest.mark.parametrize("size", [2048, 3072, 4096])
def test_oaep(kms, size):
    key = made(kms, f"RSA_{size}", "ENCRYPT_DECRYPT")
    public = kms.get_public_key(KeyId=key)
    assert public["EncryptionAlgorithms"] == ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]
    outside = serialization.load_der_public_key(public["PublicKey"])
    assert outside.key_size == size
    for name, hash in (("RSAES_OAEP_SHA_1", hashes.SHA1()), ("RSAES_OAEP_SHA_256", hashes.SHA256())):
        blob = outside.encrypt(b"from outside", padding.OAEP(padding.MGF1(hash), hash, None))
        assert kms.decrypt(KeyId=key, CiphertextBlob=blob, EncryptionAlgorithm=name)["Plaintext"] == b"from outside"
        blob = kms.encrypt(KeyId=key, Plaintext=b"inside", EncryptionAlgorithm=name)["CiphertextBlob"]
        assert kms.decrypt(KeyId=key, CiphertextBlob=blob, EncryptionAlgorithm=name)["Plaintext"] == b"inside"
    with refused("InvalidKeyUsageException", "Sign"):
        kms.sign(KeyId=key, Message=b"m", SigningAlgorithm="RSASSA_PSS_SHA_256")
    with refused("ValidationException"):
        kms.encrypt(KeyId=key, Plaintext=b"x" * size, EncryptionAlgorithm="RSAES_OAEP_SHA_1")


def verified(public, algorithm, signature, message):
    """Whether `cryptography` takes the signature."""
    hash = HASHES[algorithm[-3:]]
    key = serialization.load_der_public_key(public)
    try:
        if algorithm.startswith("ECDSA"):
            key.verify(signature, message, ec.ECDSA(hash))
        elif "PSS" in algorithm:
            key.verify(signature, message, padding.PSS(padding.MGF1(hash), hash.digest_size), hash)
        else:
            key.verify(signature, message, padding.PKCS1v15(), hash)
    except InvalidSignature:
        return False
    return True


@pytest.mark.parametrize("spec,count", [("RSA_2048", 6), ("ECC_NIST_P256", 1), ("ECC_NIST_P384", 1),
                                        ("ECC_NIST_P521", 1), ("ECC_SECG_P256K1", 1)])
def test_signatures(kms, spec, count):
    key = made(kms, spec, "SIGN_VERIFY")
    public = kms.get_public_key(KeyId=key)
    assert len(public["SigningAlgorithms"]) == count and "EncryptionAlgorithms" not in public
    for algorithm in public["SigningAlgorithms"]:
        digest = hashlib.new(f"sha{algorithm[-3:]}", b"message").digest()
        options = {"KeyId": key, "SigningAlgorithm": algorithm}
        for form in ({"Message": b"message"}, {"Message": digest, "MessageType": "DIGEST"}):
            signature = kms.sign(**options, **form)["Signature"]
            assert verified(public["PublicKey"], algorithm, signature, b"message")
            assert not verified(public["PublicKey"], algorithm, signature, b"other")
            assert kms.verify(**options, Message=b"message", Signature=signature)["SignatureValid"]
            with refused("KMSInvalidSignatureException"):
                kms.verify(**options, Message=b"other", Signature=signature)
        with refused("ValidationException", "Digest"):
            kms.sign(**options, Message=b"short", MessageType="DIGEST")
    with refused("InvalidKeyUsageException", "Encrypt"):
        kms.encrypt(KeyId=key, Plaintext=b"x")


@pytest.mark.parametrize("bits", [224, 256, 384, 512])
def test_macs(kms, bits):
    key, algorithm = made(kms, f"HMAC_{bits}", "GENERATE_VERIFY_MAC"), f"HMAC_SHA_{bits}"
    mac = kms.generate_mac(KeyId=key, Message=b"message", MacAlgorithm=algorithm)["Mac"]
    assert len(mac) == bits // 8
    assert kms.verify_mac(KeyId=key, Message=b"message", MacAlgorithm=algorithm, Mac=mac)["MacValid"]
    with refused("KMSInvalidMacException"):
        kms.verify_mac(KeyId=key, Message=b"other", MacAlgorithm=algorithm, Mac=mac)
    with refused("UnsupportedOperationException"):
        kms.get_public_key(KeyId=key)


def test_states(kms, key):
    id = key["KeyId"]
    blob = kms.encrypt(KeyId=id, Plaintext=b"x")["CiphertextBlob"]
    kms.disable_key(KeyId=id)
    with refused("DisabledException", f"{key['Arn']} is disabled."):
        kms.decrypt(CiphertextBlob=blob)
    kms.enable_key(KeyId=id)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
    with refused("KMSInvalidStateException", "is not pending deletion."):
        kms.cancel_key_deletion(KeyId=id)
    for days in (6, 31):
        with refused("ValidationException"):
            kms.schedule_key_deletion(KeyId=id, PendingWindowInDays=days)
    scheduled = kms.schedule_key_deletion(KeyId=id, PendingWindowInDays=7)
    assert scheduled["KeyState"] == "PendingDeletion"
    shown = kms.describe_key(KeyId=id)["KeyMetadata"]
    assert (shown["KeyState"], shown["DeletionDate"]) == ("PendingDeletion", scheduled["DeletionDate"])
    for call in (lambda: kms.decrypt(CiphertextBlob=blob), lambda: kms.enable_key(KeyId=id),
                 lambda: kms.schedule_key_deletion(KeyId=id)):
        with refused("KMSInvalidStateException", f"{key['Arn']} is pending deletion."):
            call()
    kms.cancel_key_deletion(KeyId=id)
    assert kms.describe_key(KeyId=id)["KeyMetadata"]["KeyState"] == "Disabled"


def test_aliases(kms, key, name):
    alias = name("alias/a")
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    with refused("AlreadyExistsException"):
        kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    blob = kms.encrypt(KeyId=alias, Plaintext=b"x")
    assert blob["KeyId"] == key["Arn"]
    assert kms.describe_key(KeyId=alias)["KeyMetadata"]["KeyId"] == key["KeyId"]
    listed = kms.list_aliases(KeyId=key["KeyId"])["Aliases"]
    assert [(a["AliasName"], a["TargetKeyId"]) for a in listed] == [(alias, key["KeyId"])]
    other = kms.create_key()["KeyMetadata"]
    kms.update_alias(AliasName=alias, TargetKeyId=other["KeyId"])
    assert kms.encrypt(KeyId=listed[0]["AliasArn"], Plaintext=b"x")["KeyId"] == other["Arn"]
    with refused("ValidationException"):
        kms.update_alias(AliasName=alias, TargetKeyId=made(kms, "HMAC_256", "GENERATE_VERIFY_MAC"))
    with refused("NotFoundException"):
        kms.disable_key(KeyId=alias)
    kms.delete_alias(AliasName=alias)
    with refused("NotFoundException"):
        kms.encrypt(KeyId=alias, Plaintext=b"x")
    with refused("NotAuthorizedException"):
        kms.create_alias(AliasName="alias/aws/mine", TargetKeyId=key["KeyId"])
    with refused("ValidationException"):
        kms.create_alias(AliasName="mine", TargetKeyId=key["KeyId"])


def test_listing_in_pages(kms):
    keys = {kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(5)}
    page = kms.list_keys(Limit=2)
    assert len(page["Keys"]) == 2 and page["Truncated"]
    pages = kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 3})
    found = [entry["KeyId"] for page in pages for entry in page["Keys"]]
    assert keys <= set(found) and len(found) == len(set(found))
    with refused("InvalidMarkerException"):
        kms.list_keys(Marker="nonsense")
    with refused("InvalidMarkerException"):
        kms.list_aliases(Marker=page["NextMarker"])


def test_tags(kms):
    id = kms.create_key(Tags=[{"TagKey": "a", "TagValue": "1"}])["KeyMetadata"]["KeyId"]
    kms.tag_resource(KeyId=id, Tags=[{"TagKey": "b", "TagValue": "2"}])
    kms.untag_resource(KeyId=id, TagKeys=["a"])
    assert kms.list_resource_tags(KeyId=id)["Tags"] == [{"TagKey": "b", "TagValue": "2"}]
    with refused("TagException"):
        kms.tag_resource(KeyId=id, Tags=[{"TagKey": "aws:x", "TagValue": "2"}])


def test_rotation(kms, key):
    id = key["KeyId"]
    old = kms.encrypt(KeyId=id, Plaintext=b"old")["CiphertextBlob"]
    kms.enable_key_rotation(KeyId=id, RotationPeriodInDays=90)
    status = kms.get_key_rotation_status(KeyId=id)
    assert status["KeyRotationEnabled"] and status["RotationPeriodInDays"] == 90
    assert 89 <= (status["NextRotationDate"] - key["CreationDate"]).days <= 90
    kms.rotate_key_on_demand(KeyId=id)
    new = kms.encrypt(KeyId=id, Plaintext=b"new")["CiphertextBlob"]
    opened = [kms.decrypt(CiphertextBlob=blob) for blob in (old, new)]
    assert [o["Plaintext"] for o in opened] == [b"old", b"new"]
    assert opened[0]["KeyMaterialId"] == key["CurrentKeyMaterialId"] != opened[1]["KeyMaterialId"]
    rotations = kms.list_key_rotations(KeyId=id)["Rotations"]
    assert [r["RotationType"] for r in rotations] == ["ON_DEMAND"]
    assert len(kms.list_key_rotations(KeyId=id, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]) == 2
    kms.disable_key_rotation(KeyId=id)
    assert not kms.get_key_rotation_status(KeyId=id)["KeyRotationEnabled"]
    with refused("UnsupportedOperationException"):
        kms.enable_key_rotation(KeyId=made(kms, "HMAC_256", "GENERATE_VERIFY_MAC"))


def test_dry_runs(kms, key):
    with refused("DryRunOperationException"):
        kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", DryRun=True)
    kms.disable_key(KeyId=key["KeyId"])
    with refused("DisabledException"):
        kms.encrypt(KeyId=key["KeyId"], Plaintext=b"x", DryRun=True)


def root(account):
    return {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
            "Action": "kms:*", "Resource": "*"}


def test_the_key_policy_must_allow(kms, key, iam, user, as_user, account):
    """IAM alone does not suffice once the key policy no longer delegates to the account."""
    iam.put_user_policy(UserName=user["UserName"], PolicyName="kms", PolicyDocument=policy(allow("kms:*")))
    mine = as_user("kms")
    mine.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    manages = dict(root(account), Action=["kms:PutKeyPolicy", "kms:DescribeKey"])
    kms.put_key_policy(KeyId=key["KeyId"], Policy=policy(manages))
    for who in (mine, kms):
        with refused("AccessDeniedException", "no resource-based policy allows the kms:Encrypt action"):
            who.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    named = {"Effect": "Allow", "Principal": {"AWS": user["Arn"]}, "Action": "kms:Encrypt", "Resource": "*"}
    kms.put_key_policy(KeyId=key["KeyId"], Policy=policy(manages, named))
    mine.encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    with refused("MalformedPolicyDocumentException", "will not allow you to update the key policy"):
        kms.put_key_policy(KeyId=key["KeyId"], Policy=policy(named))
    with refused("MalformedPolicyDocumentException"):
        kms.put_key_policy(KeyId=key["KeyId"], Policy="{}")
    kms.put_key_policy(KeyId=key["KeyId"], Policy=policy(named), BypassPolicyLockoutSafetyCheck=True)
    with refused("AccessDeniedException"):
        kms.put_key_policy(KeyId=key["KeyId"], Policy=policy(manages))


def test_condition_keys(kms, iam, user, as_user, name):
    id = kms.create_key(Tags=[{"TagKey": "team", "TagValue": "red"}])["KeyMetadata"]["KeyId"]
    alias = name("alias/a")
    kms.create_alias(AliasName=alias, TargetKeyId=id)
    mine = as_user("kms")
    for condition, call, denied in [
        ({"StringEquals": {"kms:EncryptionContext:dept": "red"}}, {"EncryptionContext": {"dept": "red"}}, {}),
        ({"StringEquals": {"kms:RequestAlias": alias}}, {"KeyId": alias}, {}),
        ({"ForAnyValue:StringEquals": {"kms:ResourceAliases": alias}}, {}, None),
        ({"StringEquals": {"aws:ResourceTag/team": "red"}}, {}, None),
        ({"ForAllValues:StringEquals": {"kms:EncryptionContextKeys": ["a"]}},
         {"EncryptionContext": {"a": "1"}}, {"EncryptionContext": {"a": "1", "b": "2"}}),
        ({"Bool": {"aws:ViaAWSService": "false"}, "Null": {"kms:ViaService": "true"}}, {}, None),
    ]:
        statement = dict(allow("kms:Encrypt"), Condition=condition)
        iam.put_user_policy(UserName=user["UserName"], PolicyName="kms", PolicyDocument=policy(statement))
        mine.encrypt(**{"KeyId": id, "Plaintext": b"x", **call})
        if denied is not None:
            with refused("AccessDeniedException"):
                mine.encrypt(**{"KeyId": id, "Plaintext": b"x", **denied})


def test_grants(kms, key, user, as_user):
    mine, id = as_user("kms"), key["KeyId"]
    blob = kms.encrypt(KeyId=id, Plaintext=b"x", EncryptionContext={"dept": "red", "n": "1"})["CiphertextBlob"]
    red = {"CiphertextBlob": blob, "EncryptionContext": {"dept": "red", "n": "1"}}
    with refused("AccessDeniedException"):
        mine.decrypt(**red)
    grant = kms.create_grant(KeyId=id, GranteePrincipal=user["Arn"], Operations=["Decrypt", "Encrypt"], Name="g",
                             Constraints={"EncryptionContextSubset": {"dept": "red"}})
    again = kms.create_grant(KeyId=id, GranteePrincipal=user["Arn"], Operations=["Decrypt", "Encrypt"], Name="g",
                             Constraints={"EncryptionContextSubset": {"dept": "red"}})
    assert again["GrantId"] == grant["GrantId"]
    assert mine.decrypt(**red, GrantTokens=[grant["GrantToken"]])["Plaintext"] == b"x"
    with refused("AccessDeniedException"):
        mine.encrypt(KeyId=id, Plaintext=b"x", EncryptionContext={"dept": "blue"})
    with refused("AccessDeniedException"):
        mine.encrypt(KeyId=id, Plaintext=b"x", EncryptionContext={"Dept": "red"})
    with refused("InvalidGrantTokenException"):
        mine.decrypt(**red, GrantTokens=["nonsense"])
    listed = kms.list_grants(KeyId=id, GranteePrincipal=user["Arn"])["Grants"]
    assert [(g["GrantId"], g["Operations"]) for g in listed] == [(grant["GrantId"], ["Decrypt", "Encrypt"])]
    kms.revoke_grant(KeyId=id, GrantId=grant["GrantId"])
    with refused("AccessDeniedException"):
        mine.decrypt(**red)
    with refused("NotFoundException"):
        kms.revoke_grant(KeyId=id, GrantId=grant["GrantId"])
    with refused("ValidationException"):
        kms.create_grant(KeyId=id, GranteePrincipal=user["Arn"], Operations=["Sign"])
    with refused("InvalidArnException"):
        kms.create_grant(KeyId=id, GranteePrincipal="nobody", Operations=["Decrypt"])


def test_a_denial_outweighs_a_grant(kms, key, user, as_user, account):
    kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=user["Arn"], Operations=["Encrypt"])
    as_user("kms").encrypt(KeyId=key["KeyId"], Plaintext=b"x")
    no = {"Effect": "Deny", "Principal": {"AWS": user["Arn"]}, "Action": "kms:Encrypt", "Resource": "*"}
    kms.put_key_policy(KeyId=key["KeyId"], Policy=policy(root(account), no))
    with refused("AccessDeniedException", "explicit deny"):
        as_user("kms").encrypt(KeyId=key["KeyId"], Plaintext=b"x")


def test_grants_are_retired_by_whom_they_name(kms, key, user, as_user):
    mine, id = as_user("kms"), key["KeyId"]
    other = kms.create_grant(KeyId=id, GranteePrincipal=user["Arn"], Operations=["Decrypt"])
    with refused("AccessDeniedException"):
        mine.retire_grant(GrantToken=other["GrantToken"])
    named = kms.create_grant(KeyId=id, GranteePrincipal=user["Arn"], RetiringPrincipal=user["Arn"],
                             Operations=["Decrypt"])
    own = kms.create_grant(KeyId=id, GranteePrincipal=user["Arn"], Operations=["Decrypt", "RetireGrant"])
    retirable = kms.list_retirable_grants(RetiringPrincipal=user["Arn"])["Grants"]
    assert [g["GrantId"] for g in retirable] == [named["GrantId"]]
    mine.retire_grant(GrantToken=named["GrantToken"])
    mine.retire_grant(KeyId=key["Arn"], GrantId=own["GrantId"])
    assert [g["GrantId"] for g in kms.list_grants(KeyId=id)["Grants"]] == [other["GrantId"]]


def test_a_grant_hands_on_no_more_than_itself(kms, key, user, as_user):
    kms.create_grant(KeyId=key["KeyId"], GranteePrincipal=user["Arn"], Operations=["Encrypt", "CreateGrant"])
    mine = as_user("kms")
    mine.create_grant(KeyId=key["KeyId"], GranteePrincipal=user["Arn"], Operations=["Encrypt"])
    with refused("AccessDeniedException"):
        mine.create_grant(KeyId=key["KeyId"], GranteePrincipal=user["Arn"], Operations=["Decrypt"])


def test_aws_managed_keys(kms, iam, user, as_user):
    """They can be looked at, but used through their service only."""
    managed = kms.describe_key(KeyId="alias/aws/sqs")["KeyMetadata"]
    assert managed["KeyManager"] == "AWS"
    assert kms.describe_key(KeyId="alias/aws/sqs")["KeyMetadata"]["KeyId"] == managed["KeyId"]
    for call in (lambda: kms.encrypt(KeyId="alias/aws/sqs", Plaintext=b"x"),
                 lambda: kms.disable_key(KeyId=managed["KeyId"]),
                 lambda: kms.schedule_key_deletion(KeyId=managed["KeyId"])):
        with refused("AccessDeniedException"):
            call()
    with refused("NotFoundException"):
        kms.describe_key(KeyId="alias/aws/nonsense")


def test_everything_outlives_kill_minus_nine_and_nothing_is_plain_on_disk():
    with private_cloud() as cloud:
        kms = cloud.client("kms")
        keys = {spec: made(kms, spec, usage) for spec, usage in [
            ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT"), ("HMAC_256", "GENERATE_VERIFY_MAC"),
            ("ECC_NIST_P256", "SIGN_VERIFY")]}
        blob = kms.encrypt(KeyId=keys["SYMMETRIC_DEFAULT"], Plaintext=b"x")["CiphertextBlob"]
        mac = kms.generate_mac(KeyId=keys["HMAC_256"], Message=b"m", MacAlgorithm="HMAC_SHA_256")["Mac"]
        public = kms.get_public_key(KeyId=keys["ECC_NIST_P256"])["PublicKey"]
        cloud.kill()
        # The head of a PKCS #8 structure with a P-256 key, which would be there if it were plain.
        plain = bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107")
        for file in cloud.directory.rglob("*"):
            assert not file.is_file() or plain not in file.read_bytes(), file
        cloud.start()
        kms = cloud.client("kms")
        assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"x"
        assert kms.generate_mac(KeyId=keys["HMAC_256"], Message=b"m", MacAlgorithm="HMAC_SHA_256")["Mac"] == mac
        assert kms.get_public_key(KeyId=keys["ECC_NIST_P256"])["PublicKey"] == public

"""Checks the codecs against botocore, for every operation that the model crates hold.

Random inputs are made from botocore's model, serialised by botocore, read by Gureum and compared;
random outputs are printed by Gureum, parsed by botocore and compared; every modelled error comes
back under its own code.

    cargo build -p gureum-wire --example codec_echo
    python tests/crosscheck/crosscheck.py target/debug/examples/codec_echo [--rounds N] [--seed N]

Needs only `pip install botocore`, in the version that the models were generated from.
"""

import argparse
import base64
import datetime
import io
import json
import random
import subprocess
import sys
import urllib.parse

import botocore.parsers
import botocore.serialize
import botocore.session
from botocore.awsrequest import HeadersDict
from botocore.utils import percent_encode_sequence

UTC = datetime.timezone.utc

# Where botocore's parser is not the whole of botocore: a handler of its own reads this one answer.
NOT_PARSED = {("s3", "GetBucketLocation")}

# S3's Expires is any text that the caller likes; botocore reads it as a moment where it can.
NOT_AS_MODELLED = {"Expires"}

# A union, though its model does not say so.
UNIONS = {"AttributeValue"}

# Speaking other protocols than its own, a service is only a source of shapes.
EXTRA_PROTOCOLS = {"sqs": ["smithy-rpc-v2-cbor"]}


class Echo:
    """The codecs in a child process."""

    def __init__(self, path):
        self.child = subprocess.Popen(
            [path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def ask(self, **question):
        self.child.stdin.write(json.dumps(question) + "\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())


class Maker:
    """Random values of a shape. `where` says what text can stand there."""

    def __init__(self, rng, alphabet):
        self.rng = rng
        self.alphabet = alphabet

    def structure(self, shape, depth=0, full=False):
        values = {}
        names = list(shape.members)
        if shape.name in UNIONS or getattr(shape, "is_tagged_union", False):
            names = [self.rng.choice(names)]
        for name in names:
            member = shape.members[name]
            if member.name in NOT_AS_MODELLED:
                continue
            required = name in shape.required_members or len(names) == 1
            if required or full or (depth < 6 and self.rng.random() < 0.6):
                values[name] = self.value(member, depth + 1)
        if values.get(shape.serialization.get("payload")) == "":
            # An empty body and none are one and the same.
            values[shape.serialization["payload"]] = "-"
        if names and not values and depth:
            # A query cannot say that there is a structure with nothing in it.
            values[names[0]] = self.value(shape.members[names[0]], depth + 1)
        return values

    def value(self, shape, depth):
        location = shape.serialization.get("location")
        kind = shape.type_name
        if kind == "structure":
            return self.structure(shape, depth)
        if kind == "list":
            count = 1 if depth > 5 else self.rng.randint(1, 3)
            return [self.value(shape.member, depth + 1) for _ in range(count)]
        if kind == "map":
            keys = {self.key(shape.key, location) for _ in range(self.rng.randint(1, 3))}
            return {key: self.value(shape.value, depth + 1) if location is None else self.ascii() for key in keys}
        if kind in ("string", "char"):
            return self.string(shape, location)
        if kind == "blob":
            return self.rng.randbytes(self.rng.randint(0, 20))
        if kind == "boolean":
            return self.rng.random() < 0.5
        if kind == "timestamp":
            return datetime.datetime.fromtimestamp(self.rng.randint(0, 4_000_000_000), UTC)
        if kind in ("integer", "long"):
            low, high = shape.metadata.get("min"), shape.metadata.get("max")
            bound = 2**31 if kind == "integer" else 2**63
            return self.rng.randint(-bound if low is None else low, bound - 1 if high is None else high)
        return self.rng.choice([0.0, 1.5, -2.25, 1e10])

    def key(self, shape, location):
        if location == "headers":
            return "k" + str(self.rng.randint(0, 99))
        return self.string(shape, None)

    def string(self, shape, location):
        if getattr(shape, "enum", None):
            return self.rng.choice(shape.enum)
        if location in ("header", "headers"):
            return self.ascii()
        least = max(shape.metadata.get("min", 0), 1 if location == "uri" else 0)
        most = max(least, min(shape.metadata.get("max", 12), 12))
        length = self.rng.randint(least, most)
        return "".join(self.rng.choice(self.alphabet) for _ in range(length))

    def ascii(self):
        return "".join(self.rng.choice("abcXYZ019-_.:;=/") for _ in range(self.rng.randint(1, 12)))


def canonical(value):
    """The form in which codec_echo speaks of values."""
    if isinstance(value, dict):
        return {key: canonical(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [canonical(item) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, datetime.datetime):
        return {"millis": round(value.timestamp() * 1000)}
    return value


def protocol_name(service_model, protocol):
    if protocol == "json" and service_model.metadata.get("jsonVersion") == "1.0":
        return "json-1.0"
    return protocol


def check_input(echo, model, protocol, op, maker):
    shape = op.input_shape
    params = maker.structure(shape) if shape else {}
    serializer = botocore.serialize.create_serializer(protocol, include_validation=False)
    request = serializer.serialize_to_request(params, op)
    body = request["body"]
    if isinstance(body, dict):
        body = urllib.parse.urlencode(body, doseq=True)
    if isinstance(body, str):
        body = body.encode()
    path, _, query = request["url_path"].partition("?")
    more = request["query_string"]
    more = more if isinstance(more, str) else percent_encode_sequence(more)
    answer = echo.ask(
        do="decode", service=model.service_name, op=op.name, protocol=protocol_name(model, protocol),
        method=request["method"], path=path, query="&".join(filter(None, [query, more])),
        headers={k: v if isinstance(v, str) else v.decode() for k, v in request["headers"].items()},
        body=base64.b64encode(body or b"").decode(),
    )
    wanted = canonical(params)
    if "error" in answer:
        return f"{answer['error']} for {wanted} as {body!r}"
    found = answer["values"]
    for name, value in list(found.items()):
        if name not in wanted and value == {"bytes": ""}:
            del found[name]
    if answer["missing"]:
        return f"missing {answer['missing']} in {wanted}"
    if wanted != found:
        return f"sent {wanted}\n  read {found}\n  as {body!r}"
    return None


def check_output(echo, model, protocol, op, maker):
    shape = op.output_shape
    values = maker.structure(shape) if shape else {}
    for name, member in (shape.members if shape else {}).items():
        if member.serialization.get("location") == "statusCode":
            values[name] = 200
    answer = echo.ask(
        do="encode", service=model.service_name, op=op.name,
        protocol=protocol_name(model, protocol), values=canonical(values),
    )
    if "error" in answer:
        return answer["error"]
    body = base64.b64decode(answer["body"])
    payload = shape.serialization.get("payload") if shape else None
    streamed = payload and shape.members[payload].type_name == "blob"
    response = {
        "status_code": answer["status"], "headers": HeadersDict(answer["headers"]),
        "body": io.BytesIO(body) if streamed else body, "context": {"operation_name": op.name},
    }
    found = botocore.parsers.create_parser(protocol).parse(response, shape)
    if streamed:
        found[payload] = found[payload].read()
    if found.pop("ResponseMetadata", {}).get("HTTPStatusCode") != answer["status"]:
        return "the metadata is lost"
    wanted, found = canonical(values), canonical(found)
    for name in set(found) - set(wanted):
        # What botocore says of an empty body or of no headers, and what any body is labelled with.
        if found[name] in ({"bytes": ""}, "", {}) or name in ("ContentLength", "ContentType"):
            del found[name]
    if wanted != found:
        return f"printed {wanted}\n  parsed {found}\n  as {body!r}"
    return None


def check_errors(echo, model, protocol, op):
    for shape in op.error_shapes:
        answer = echo.ask(
            do="error", service=model.service_name, op=op.name,
            protocol=protocol_name(model, protocol), code=shape.name, message="What <went> wrong.",
        )
        response = {
            "status_code": answer["status"], "headers": HeadersDict(answer["headers"]),
            "body": base64.b64decode(answer["body"]), "context": {"operation_name": op.name},
        }
        error = botocore.parsers.create_parser(protocol).parse(response, op.output_shape)["Error"]
        if error["Code"] != shape.error_code and error.get("QueryErrorCode") != shape.name:
            return f"{shape.name} came back as {error}"
        if error["Message"] != "What <went> wrong.":
            return f"{shape.name} came back with {error}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("echo", help="the built codec_echo example")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    echo = Echo(args.echo)
    session = botocore.session.get_session()
    listing = echo.ask(do="list")
    requests = Maker(rng, "abcXYZ019 -_.~/+%&=?#<>\"'\té漢😀")
    answers = Maker(rng, "abcXYZ019 -_.~/+%&=?#<>\"'\t\r\né漢😀")
    checks, failures = 0, []
    for service, name in listing["operations"]:
        model = session.get_service_model(service)
        op = model.operation_model(name)
        for protocol in [model.protocol, *EXTRA_PROTOCOLS.get(service, [])]:
            results = [(check_errors(echo, model, protocol, op), "error")]
            for _ in range(args.rounds):
                results.append((check_input(echo, model, protocol, op, requests), "input"))
                if (service, name) not in NOT_PARSED:
                    results.append((check_output(echo, model, protocol, op, answers), "output"))
            checks += len(results)
            failures += [f"{service}.{name} {protocol} {side}: {why}" for why, side in results if why]
    for failure in failures:
        print(failure[:2000])
    if listing["patterns"]:
        print(f"patterns that are not checked: {json.dumps(listing['patterns'], ensure_ascii=False)}")
    print(f"{len(listing['operations'])} operations, {checks} checks, {len(failures)} failures")
    return 1 if failures or not checks else 0


if __name__ == "__main__":
    sys.exit(main())

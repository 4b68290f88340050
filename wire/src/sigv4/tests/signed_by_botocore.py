"""Prints requests signed by botocore, one JSON object a line. The argument seeds the generator."""

import json
import random
import string
import sys

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from urllib.parse import quote, urlsplit

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ODD = " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~é구"
pick = random.Random(sys.argv[1])


def text(alphabet, longest):
    return "".join(pick.choice(alphabet) for _ in range(pick.randint(1, longest)))


for number in range(400):
    service = pick.choice(["s3", "lambda", "iam"])
    presign = pick.random() < 0.5
    token = text(string.ascii_letters + "+/=", 60) if pick.random() < 0.5 else None
    # What botocore's own clients send: names percent-encoded once, except for `/`.
    path = "/" + quote(text(string.ascii_letters + ODD, 20), safe="/~")
    names = {text(string.ascii_letters + ODD, 6): text(string.ascii_letters + ODD, 9) for _ in range(pick.randint(0, 4))}
    query = "&".join(sorted(f"{quote(n, safe='-_.~')}={quote(v, safe='-_.~')}" for n, v in names.items()))
    body = text(string.ascii_letters, 30) if not presign and pick.random() < 0.5 else ""
    method = pick.choice(["GET", "PUT", "POST", "DELETE"]) if not presign else "GET"
    headers = {"Host": "example.com:4566"}
    if pick.random() < 0.5:
        headers["X-Custom"] = "  " + text(string.ascii_letters + "  ,=", 20)
    url = f"http://example.com:4566{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method=method, url=url, headers=headers, data=body.encode())
    auth = {
        ("s3", True): S3SigV4QueryAuth,
        ("s3", False): S3SigV4Auth,
    }.get((service, presign), SigV4QueryAuth if presign else SigV4Auth)
    auth(Credentials(KEY, SECRET, token), service, "eu-west-1").add_auth(request)
    signed = urlsplit(request.url)
    print(json.dumps({
        "method": method, "path": signed.path, "query": signed.query, "body": body, "token": token,
        "headers": [[name, value] for name, value in request.headers.items()],
    }))

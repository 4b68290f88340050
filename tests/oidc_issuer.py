"""An OpenID Connect issuer on this machine: HTTPS with an authority of its own, and keys that rotate."""

import base64
import datetime
import hashlib
import http.server
import ipaddress
import json
import pathlib
import ssl
import tempfile
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def certificate(subject, key, issuer, issuer_key, authority):
    now = datetime.datetime.now(datetime.timezone.utc)

    def named(name):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

    made = (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return made.sign(issuer_key, hashes.SHA256())


def tls():
    """What a server on this machine needs for TLS, and the authority that vouches for it."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = certificate("Test CA", authority_key, "Test CA", authority_key, True)
    leaf = certificate("localhost", key, "Test CA", authority_key, False)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as home:
        chain, secret = pathlib.Path(home, "chain"), pathlib.Path(home, "key")
        chain.write_bytes(leaf.public_bytes(PEM) + authority.public_bytes(PEM))
        secret.write_bytes(key.private_bytes(
            PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        context.load_cert_chain(chain, secret)
    return context, authority


class Issuer:
    """`with Issuer() as issuer:` serves `issuer.url`; `issuer.thumbprint` is its authority's."""

    def __enter__(self):
        self.fetches = []
        self.rotate("first")
        context, authority = tls()
        self.thumbprint = authority.fingerprint(hashes.SHA1()).hex()
        issuer = self

        class Pages(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                issuer.fetches.append(self.path)
                document = issuer.documents().get(self.path)
                body = json.dumps(document).encode()
                self.send_response(200 if document else 404)
                self.send_header("Cache-Control", "max-age=3600")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        self.server.daemon_threads = True
        # The handshake belongs to the connection's own thread: one that fails must not end the server.
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.host = f"localhost:{self.server.server_port}"
        self.url = f"https://{self.host}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def rotate(self, kid):
        """Signs with a new key from now on, and publishes no other."""
        self.kid, self.key = kid, rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def documents(self):
        public = self.key.public_key().public_numbers()
        numbers = {name: b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))
                   for name, value in (("n", public.n), ("e", public.e))}
        return {
            "/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": self.url + "/keys"},
            "/keys": {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid, **numbers}]},
        }

    def token(self, kid=None, **claims):
        now = int(time.time())
        header = {"alg": "RS256", "kid": kid or self.kid, "typ": "JWT"}
        claims = {"iss": self.url, "aud": "app", "sub": "pod-1", "iat": now, "exp": now + 600, **claims}
        signed = ".".join(b64(json.dumps(part).encode()) for part in (header, claims))
        signature = self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{b64(signature)}"


def sha1(text):
    """Forty hexadecimal digits that are nobody's thumbprint."""
    return hashlib.sha1(text.encode()).hexdigest()

"""Tokens signed with keys of a JWKS address that really serves: rotation, outage, unknown keys, confused algorithms."""

import base64
import hmac
import json
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from gateway.keyring import FRESH_S, PAUSE_S, KeysAway
from gateway.tokens import TokenRefused, TokenVerifier
from tests.gateway.support import Gateway, wire
from tests.support.waiting import wait_until_async

pytestmark = pytest.mark.anyio

ALGORITHMS: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}
MAKERS: dict[str, Any] = {
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}
# Made once: an RSA key takes a while.
KEYS = {algorithm: make() for algorithm, make in MAKERS.items()}


class Issuer:
    """Somebody who signs tokens and shows the public keys; ``answering`` False answers 500."""

    def __init__(self) -> None:
        self.keys: dict[str, str] = dict.fromkeys(("k1",), "ES256")
        self.answering = True
        self.asked = 0
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                body = json.dumps(issuer.document()).encode()
                self.send_response(200 if issuer.answering else 500)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def document(self) -> dict[str, Any]:
        shown = []
        for name, algorithm in self.keys.items():
            key = json.loads(ALGORITHMS[algorithm].to_jwk(KEYS[algorithm].public_key()))
            shown.append({**key, "kid": name, "use": "sig", "alg": algorithm})
        return {"keys": shown}

    def token(self, name: str = "k1", *, algorithm: str = "ES256", student: UUID | None = None) -> str:
        payload = {"sub": str(student or uuid4()), "exp": int(time.time()) + 600}
        return jwt.encode(payload, KEYS[algorithm], algorithm=algorithm, headers={"kid": name})

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.close()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def verifier(issuer: Issuer, clock: Clock) -> TokenVerifier:
    return TokenVerifier(jwks_url=issuer.url, timeout_s=5.0, monotonic=clock)


@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
async def test_each_algorithm_opens(issuer, verifier, algorithm):
    student = uuid4()
    issuer.keys = {"k1": algorithm}
    token = issuer.token(algorithm=algorithm, student=student)
    assert (await verifier.verify(token)).student_id == str(student)
    header, _, signature = token.split(".")
    other = issuer.token(algorithm=algorithm).split(".")[1]
    with pytest.raises(TokenRefused):
        await verifier.verify(f"{header}.{other}.{signature}")


async def test_a_known_key_asks_nobody(issuer, verifier, clock):
    for _ in range(5):
        await verifier.verify(issuer.token())
        clock.now += 10
    assert issuer.asked == 1


async def test_a_new_key_is_found_when_its_first_token_comes(issuer, verifier, clock):
    await verifier.verify(issuer.token())
    issuer.keys = {"k1": "ES256", "k2": "EdDSA"}
    clock.now += PAUSE_S
    await verifier.verify(issuer.token("k2", algorithm="EdDSA"))
    await verifier.verify(issuer.token())
    assert issuer.asked == 2


async def test_a_key_that_was_taken_back_opens_nothing_after_the_next_look(issuer, verifier, clock):
    old = issuer.token()
    await verifier.verify(old)
    issuer.keys = {"k2": "ES256"}
    clock.now += FRESH_S
    await verifier.verify(old)
    await wait_until_async(lambda: issuer.asked == 2)
    await verifier.verify(issuer.token("k2"))
    with pytest.raises(TokenRefused):
        await verifier.verify(old)


async def test_made_up_keys_do_not_become_requests(issuer, verifier, clock):
    await verifier.verify(issuer.token())
    for _ in range(20):
        with pytest.raises(TokenRefused, match="not known"):
            await verifier.verify(issuer.token("made up"))
    assert issuer.asked == 1
    clock.now += PAUSE_S
    for _ in range(20):
        with pytest.raises(TokenRefused, match="not known"):
            await verifier.verify(issuer.token("made up"))
    assert issuer.asked == 2


async def test_known_keys_go_on_while_the_issuer_is_away(issuer, verifier, clock, caplog):
    token = issuer.token()
    await verifier.verify(token)
    issuer.answering = False
    clock.now += 10 * FRESH_S
    await verifier.verify(token)
    await wait_until_async(lambda: issuer.asked == 2)
    await verifier.verify(token)
    clock.now += PAUSE_S
    with pytest.raises(KeysAway):
        await verifier.verify(issuer.token("k2"))
    issuer.keys = {"k1": "ES256", "k2": "ES256"}
    issuer.answering = True
    clock.now += PAUSE_S
    await verifier.verify(issuer.token("k2"))
    assert "cannot be fetched, 1 known go on" in caplog.text
    assert token not in caplog.text


async def test_without_any_key_nobody_is_sent_away_for_good(redis_url, issuer):
    """503 over HTTP, and a close code that brings the client back."""
    student = uuid4()
    issuer.answering = False
    token = issuer.token(student=student)
    with Gateway(redis_url, tokens=TokenVerifier(jwks_url=issuer.url)) as gateway:
        headers = {"authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(base_url=gateway.url, headers=headers) as http:
            answer = await http.get(f"/api/v1/students/{student}/home")
        assert (answer.status_code, answer.json()["code"]) == (503, "keys_away")
        assert "retry-after" in answer.headers
        async with wire(gateway, token) as session:
            await session.send(type="connect")
            assert await session.closed() == 4004


async def test_a_socket_opens_with_the_issuers_token(redis_url, issuer):
    with Gateway(redis_url, tokens=TokenVerifier(jwks_url=issuer.url)) as gateway:
        async with wire(gateway, issuer.token()) as session:
            await session.send(type="connect")
            await session.until("caught-up")


def unsigned(header: dict[str, Any], key: bytes) -> str:
    """A token with this header, and an HMAC of ``key`` for a signature."""
    payload = {"sub": str(uuid4()), "exp": int(time.time()) + 600}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, payload)]
    signature = hmac.new(key, b".".join(parts), sha256).digest() if key else b""
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


@pytest.mark.parametrize("secret", [None, "a secret of the tests, and long enough for HS256"])
async def test_a_public_key_is_no_secret(issuer, clock, secret):
    """The old trick: HS256, signed with what everybody can read."""
    verifier = TokenVerifier(jwks_url=issuer.url, secret=secret, monotonic=clock)
    issuer.keys = {"k1": "RS256", "k2": "ES256"}
    await verifier.verify(issuer.token(algorithm="RS256"))
    public = KEYS["RS256"].public_key()
    encodings = [
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
    ]
    for key in encodings:
        for algorithm in ("HS256", "HS512"):
            with pytest.raises(TokenRefused):
                await verifier.verify(unsigned({"alg": algorithm, "kid": "k1", "typ": "JWT"}, key))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "none", "kid": "k1"},
        {"alg": "ES256"},
        {"alg": "ES256", "kid": 1},
        {"alg": "RS256", "kid": "k1"},
        {"alg": "PS256", "kid": "k1"},
        {"kid": "k1"},
    ],
    ids=lambda header: "-".join(f"{name}={value}" for name, value in header.items()),
)
async def test_headers_that_open_nothing(verifier, header):
    with pytest.raises(TokenRefused):
        await verifier.verify(unsigned(header, b""))


async def test_an_address_that_shows_no_keys_is_an_outage(issuer, verifier):
    issuer.keys = {}
    with pytest.raises(KeysAway):
        await verifier.verify(issuer.token())

"""The log: for people or machines, and no secret in it whatever a library says."""

import io
import json
import logging

import jwt
import pytest

from kcactors import logs
from kcactors.environment import MASK

TOKEN = jwt.encode({"sub": "x", "exp": 1}, "k" * 32, algorithm="HS256")


@pytest.fixture
def root():
    """The root logger, as it was before, when the test is over."""
    logger = logging.getLogger()
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)


def lines(form, root, tell, **more):
    stream = io.StringIO()
    logs.configure(form, stream=stream, **more)
    tell(logging.getLogger("kcactors.test"))
    return stream.getvalue()


@pytest.mark.parametrize("form", ["console", "json"])
@pytest.mark.parametrize(
    ("said", "hidden"),
    [
        (f"WebSocket kc.v1, kc.bearer.{TOKEN} accepted", TOKEN),
        (f"Authorization: Bearer {TOKEN}", TOKEN),
        ("cannot reach postgresql://kc:s3cr3t-pw@db:5432/kc", "s3cr3t-pw"),
        ("redis://:s3cr3t-pw@cache:6379", "s3cr3t-pw"),
        (f"KC-Signature: t=1,v1={'ab' * 32}", "ab" * 32),
        ("the webhook secret is whsec-1234567", "whsec-1234567"),
    ],
)
def test_secrets_are_masked(root, form, said, hidden):
    text = lines(form, root, lambda log: log.warning(said), secrets=["whsec-1234567"])
    assert hidden not in text
    assert MASK in text


@pytest.mark.parametrize("form", ["console", "json"])
def test_secrets_are_masked_in_tracebacks(root, form):
    def tell(log):
        try:
            raise ValueError(f"bad token {TOKEN}")
        except ValueError:
            log.exception("it failed")

    text = lines(form, root, tell)
    assert TOKEN not in text
    assert "ValueError" in text


def test_json_is_one_object_a_line_with_the_node(root):
    text = lines("json", root, lambda log: log.info("two\nlines %s", "é"), node="n-1")
    (line,) = text.splitlines()
    said = json.loads(line)
    assert said["message"] == "two\nlines é"
    assert (said["level"], said["logger"], said["node"]) == ("info", "kcactors.test", "n-1")


def test_what_is_below_the_level_is_not_said(root):
    assert lines("console", root, lambda log: log.info("quiet"), level="WARNING") == ""

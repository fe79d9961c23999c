"""Fixtures, types and documents agree."""

import json
import re
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from actors.protocol.events import EVENT_TYPES
from gateway import frames
from gateway.asyncapi import CLIENT_FRAMES, SERVER_FRAMES, asyncapi
from gateway.openapi import openapi
from gateway.operations import OPERATIONS
from gateway.parkedroutes import ParkedRoutes

FIXTURES = Path(__file__).parent.parent / "fixtures" / "kc_v1"
OPENAPI: dict[str, Any] = json.loads(openapi())
ASYNCAPI: dict[str, Any] = json.loads(asyncapi())


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if "$ref" in value else []
        return own + [ref for inner in value.values() for ref in references(inner)]
    if isinstance(value, list):
        return [ref for inner in value for ref in references(inner)]
    return []


@pytest.mark.parametrize("document", [OPENAPI, ASYNCAPI], ids=["openapi", "asyncapi"])
def test_every_reference_leads_somewhere(document):
    found = references(document)
    assert found
    for reference in found:
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step.replace("~1", "/").replace("~0", "~")]


PUBLIC = (
    "/api/v1/students",
    "/api/v1/webhooks",
    "/api/v1/parked",
    "/healthz",
    "/readyz",
    "/metrics",
)


def test_every_public_route_is_described(gateway):
    described = {(op.method.upper(), op.path) for op in OPERATIONS}
    served = set()
    for route in [*gateway.app.routes, *ParkedRoutes(no_desk).routes()]:
        path = re.sub(r":\w+}", "}", getattr(route, "path", ""))
        for method in getattr(route, "methods", None) or ():
            if method != "HEAD" and path.startswith(PUBLIC):
                served.add((method, path))
    assert served == described


def no_desk() -> Any:
    raise AssertionError("nobody asks")


def test_every_frame_is_described():
    messages = ASYNCAPI["channels"]["screen"]["messages"]
    tags = {str(kind.__struct_config__.tag) for kind in (*CLIENT_FRAMES, *SERVER_FRAMES)}
    assert set(messages) == tags | {f"business-event.{name}" for name in EVENT_TYPES}
    union = {*frames.ClientFrame.__args__, *frames.ServerFrame.__args__}
    assert union == {*CLIENT_FRAMES, *SERVER_FRAMES}


def test_every_event_has_its_message_on_every_stream():
    for channel, prefix in (
        ("screen", "business-event."),
        ("doorbell", "business-event."),
        ("business-events", "fact."),
    ):
        assert {prefix + name for name in EVENT_TYPES} <= set(ASYNCAPI["channels"][channel]["messages"])
    for kind in EVENT_TYPES.values():
        assert "event" not in ASYNCAPI["components"]["schemas"][kind.__name__]["properties"]


def test_the_close_codes_are_the_table():
    codes = json.loads((FIXTURES / "close_codes.json").read_text())["codes"]
    assert ASYNCAPI["channels"]["screen"]["x-close-codes"] == codes


def test_every_frame_of_the_fixtures_is_one():
    """What the scripts let a server say and expect a client to send must be frames of this version."""
    scripts = json.loads((FIXTURES / "client.json").read_text())["scripts"]
    server = {str(kind.__struct_config__.tag): kind for kind in SERVER_FRAMES}
    checked = 0
    for script in scripts:
        for step in script["steps"]:
            frame = step.get("server")
            if frame and frame["type"] in server:
                whole = {"limits": {"frame": 16384}, **frame} if frame["type"] == "connected" else frame
                msgspec.json.decode(json.dumps(whole), type=server[frame["type"]])
                checked += 1
            for sent in step.get("sent", ()):
                assert sent["type"] in {str(kind.__struct_config__.tag) for kind in CLIENT_FRAMES}
    assert checked > 30


def test_the_documents_are_served_and_can_be_read(gateway):
    with httpx2.Client(base_url=gateway.url) as http:
        assert http.get("/openapi.json").json() == OPENAPI
        assert http.get("/asyncapi.json").json() == ASYNCAPI
        page = http.get("/docs")
    assert page.status_code == 200
    for text in (
        "/api/v1/students/{student_id}/learning",
        "student:{student_id}",
        "going_away",
        "CourseAccessGranted",
    ):
        assert text in page.text
    assert "<script" not in page.text

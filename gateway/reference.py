"""The documents as routes: two JSON files for machines, one page for people."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from gateway.asyncapi import asyncapi
from gateway.closing import CLOSE_TABLE
from gateway.openapi import openapi
from gateway.pages import templates

POLICY = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'"


async def openapi_json(_request: Request) -> Response:
    """``GET /openapi.json``."""
    return Response(openapi(), media_type="application/json")


async def asyncapi_json(_request: Request) -> Response:
    """``GET /asyncapi.json``."""
    return Response(asyncapi(), media_type="application/json")


async def reference_page(_request: Request) -> Response:
    """``GET /docs``: both documents, readable."""
    http, streams = msgspec.json.decode(openapi()), msgspec.json.decode(asyncapi())
    schemas: dict[str, Any] = {**http["components"]["schemas"], **streams["components"]["schemas"]}
    html = templates.get_template("reference.html").render(
        http=http, streams=streams, schemas=dict(sorted(schemas.items())), closes=CLOSE_TABLE, kind_of=kind_of
    )
    return HTMLResponse(html, headers={"content-security-policy": POLICY})


def kind_of(schema: dict[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for join in ("anyOf", "oneOf"):
        if join in schema:
            return " or ".join(kind_of(part) for part in schema[join])
    if "enum" in schema:
        return " | ".join(str(value) for value in schema["enum"])
    if "const" in schema:
        return repr(schema["const"])
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {kind_of(schema.get('items', {}))}"
    bounds = [f"{word} {schema[key]}" for key, word in _BOUNDS.items() if key in schema]
    return ", ".join([str(schema.get("format", kind)), *bounds])


_BOUNDS = {"minimum": "from", "maximum": "to", "minLength": "length from", "maxLength": "length to"}

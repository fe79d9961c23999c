"""``/openapi.json``: the public HTTP operations, with schemas generated from the types of what they take and answer."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

from actors.protocol.payments import PaymentRefunded, PaymentSucceeded
from gateway.documents import REF, VERSION, encode, schemas
from gateway.operations import OPERATIONS, PATH_PARAMETERS, Body, Operation
from gateway.shapes import ProblemDocument

PAYMENTS: Final = (PaymentSucceeded, PaymentRefunded)
RETRY_AFTER: Final = {"Retry-After": {"schema": {"type": "integer", "minimum": 0}, "description": "seconds"}}


@cache
def openapi() -> bytes:
    """OpenAPI 3.1 of the public HTTP routes."""
    paths: dict[str, dict[str, Any]] = {}
    kinds: set[type] = {ProblemDocument, *PAYMENTS}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
        kinds.update(operation.body.kinds if operation.body else ())
        if isinstance(operation.answer, type):
            kinds.add(operation.answer)
    return encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "kcactors",
                "version": VERSION,
                "description": "Payments in, courses on the screen.",
            },
            "security": [{"bearer": []}],
            "paths": paths,
            "components": {
                "schemas": schemas(*sorted(kinds, key=lambda kind: kind.__name__)),
                "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            },
        }
    )


def _described(operation: Operation) -> dict[str, Any]:
    named = {
        "path": {name: PATH_PARAMETERS[name] for name in re.findall(r"\{(\w+)\}", operation.path)},
        "query": operation.query,
        "header": operation.headers,
    }
    refusals = {str(status): _refusal(status, why) for status, why in sorted(operation.refusals.items())}
    document: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [
            {"name": name, "in": place, "required": place == "path", "description": text, "schema": schema}
            for place, parameters in named.items()
            for name, (text, schema) in parameters.items()
        ],
        "responses": {"200": _answer(operation.answer), **refusals},
    }
    if operation.body is not None:
        document["requestBody"] = _body(operation.body)
    if operation.open:
        document["security"] = []
    if operation.name == "webhook":
        document["x-payment-events"] = [_ref(kind) for kind in PAYMENTS]
    return document


def _body(body: Body) -> dict[str, Any]:
    schema = {"oneOf": [_ref(kind) for kind in body.kinds]} if len(body.kinds) > 1 else {}
    if len(body.kinds) == 1:
        schema = _ref(body.kinds[0])
    content = {"application/json": {"schema": schema}}
    return {"required": body.required, "description": body.text, "content": content}


def _answer(kind: type | str) -> dict[str, Any]:
    if isinstance(kind, str):
        return {"description": "done", "content": {kind: {"schema": {}}}}
    return {"description": "done", "content": {"application/json": {"schema": _ref(kind)}}}


def _refusal(status: int, why: str) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": why,
        "content": {"application/problem+json": {"schema": _ref(ProblemDocument)}},
    }
    if status in {429, 503}:
        answer["headers"] = RETRY_AFTER
    return answer


def _ref(kind: type) -> dict[str, Any]:
    return {"$ref": REF.format(name=kind.__name__)}

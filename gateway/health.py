"""Alive, ready, measured: the three routes that machines ask."""

from __future__ import annotations

import asyncio

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from gateway.door import Door
from gateway.problem import Problem


async def healthz(_request: Request) -> Response:
    """``GET /healthz``: the loop turns."""
    return Response(b'{"status":"alive"}', media_type="application/json")


async def readyz(request: Request) -> Response:
    """``GET /readyz``: 503 without the database or while draining, else 200 naming what is degraded."""
    door: Door = request.app.state.door
    if door.draining:
        raise Problem(503, "draining", "This node is stopping.", retry_after_s=1)
    if not await door.database_answers():
        raise Problem(503, "database_away", "The database does not answer.", retry_after_s=2)
    degraded = list(dict.fromkeys([*([] if door.hub.live else ["redis"]), *door.deps.degraded()]))
    document = {
        "status": "degraded" if degraded else "ready",
        "degraded": degraded,
        "node": door.deps.node_id,
    }
    return Response(msgspec.json.encode(document), media_type="application/json")


async def metrics(request: Request) -> Response:
    """``GET /metrics``: Prometheus text."""
    door: Door = request.app.state.door
    # 6 to 14 ms of work, which every webhook and session would wait for in the loop.
    text = await asyncio.to_thread(generate_latest, door.metrics.registry)
    return Response(text, headers={"content-type": CONTENT_TYPE_LATEST})

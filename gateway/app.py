"""The Starlette application: routes, errors, lifespan. Everything it needs comes in as :class:`GatewayDeps`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from gateway import health, pages, readroutes, reference, stream
from gateway.door import Door, GatewayDeps
from gateway.headers import SafeHeaders
from gateway.problem import Problem, on_crash, on_http_exception, on_problem
from gateway.webhooks.route import WEBHOOKS, Entrance, unknown_provider
from gateway.websocket import websocket_endpoint

STUDENT = "/api/v1/students/{student_id:uuid}"


class Gateway(Starlette):
    """Starlette with a short way past its middleware and routing for the few POSTs in ``entrances``, by their path."""

    def __init__(self, *, entrances: Mapping[str, Entrance], **options: Any) -> None:
        super().__init__(**options)
        self.entrances = entrances

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            entrance = self.entrances.get(scope["path"])
            if entrance is not None:
                await entrance(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


def build_app(deps: GatewayDeps) -> Gateway:
    """The gateway as an ASGI application; its running parts are at ``app.state.door``.

    It must be served with one worker, in one loop, with lifespan on. Before the server stops, await
    ``app.state.door.drain(window_s)``.
    """
    door = Door(deps)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await door.start()
        try:
            yield
        finally:
            await door.stop()

    app = Gateway(
        entrances={WEBHOOKS + name: Entrance(door, provider) for name, provider in deps.providers.items()},
        routes=[*_routes(deps), *deps.extra_routes],
        middleware=_middleware(deps),
        exception_handlers={Problem: on_problem, HTTPException: on_http_exception, Exception: on_crash},
        lifespan=lifespan,
    )
    app.state.door = door
    return app


def _routes(deps: GatewayDeps) -> list[BaseRoute]:
    routes: list[BaseRoute] = [
        # First, for a storm of reconnects comes here.
        WebSocketRoute("/ws", websocket_endpoint),
        Route(WEBHOOKS + "{provider}", unknown_provider, methods=["POST"]),
        Route(STUDENT + "/learning", readroutes.learning),
        Route(STUDENT + "/home", readroutes.home),
        Route(STUDENT + "/events", readroutes.events),
        Route(STUDENT + "/stream", stream.stream),
        Route("/ws", _not_an_upgrade),
        Route("/healthz", health.healthz),
        Route("/readyz", health.readyz),
        Route("/metrics", health.metrics),
        Route("/openapi.json", reference.openapi_json),
        Route("/asyncapi.json", reference.asyncapi_json),
        Route("/docs", reference.reference_page),
        Route("/students/{student_id:uuid}", pages.learning_page),
        Route("/assets/{name}", pages.asset),
    ]
    if deps.dev is not None:
        routes += [
            Route("/dev/courses", pages.dev_courses),
            Route("/dev/checkout", pages.dev_checkout, methods=["POST"]),
        ]
    return routes


def _middleware(deps: GatewayDeps) -> list[Middleware]:
    middleware = [Middleware(SafeHeaders)]
    if deps.allowed_origins:
        middleware.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(deps.allowed_origins),
                allow_headers=["authorization", "last-event-id"],
                max_age=600,
            )
        )
    return middleware


async def _not_an_upgrade(_request: Request) -> Response:
    raise Problem(426, "upgrade_required", "This is a WebSocket.", headers={"upgrade": "websocket"})

"""The dashboard put together: its pages and its JSON as routes for any Starlette application."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final

import msgspec
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from supervision.dashboard.access import Audit, Refused, Verify, answering
from supervision.dashboard.api import NO_STORE, STREAM, Api
from supervision.dashboard.census import Census
from supervision.dashboard.meter import Meter
from supervision.dashboard.metrics import RuntimeCollector
from supervision.dashboard.page import Page, View, environment, render
from supervision.dashboard.pages import ActorPage, IncidentsPage, ListsPage, TreePage
from supervision.dashboard.pulse import Pulse
from supervision.dashboard.session import Sessions
from supervision.dashboard.stream import Viewers, event
from supervision.dashboard.watch import Watch
from supervision.system import System

ASSETS: Final = {"dashboard.js": "text/javascript", "dashboard.css": "text/css"}
FORM_MAX: Final = 2 * 1024 * 1024
"""Bytes of what a page may send: a payload that somebody edited fits."""


@dataclass(frozen=True, kw_only=True)
class Deps:
    """What the dashboard is given.

    Args:
        node: this process's name.
        verify: who a bearer token belongs to.
        audit: where deeds are written down.
        session_key: signs the pages' cookies; the same on every node, so that any of them can serve the next request.
        panels: pages from outside, in the order of the menu; the first one is the home page.
        lease_s: a live view ends after so long.
        every_s: the period of refreshing.
    """

    system: System
    node: str
    verify: Verify
    audit: Audit
    session_key: bytes
    panels: Sequence[Page] = ()
    lease_s: float = 600.0
    every_s: float = 2.0
    viewers_max: int = 20
    wall: Callable[[], float] = time.time


class Dashboard:
    """See the package's text."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._env = environment()
        self.meter = Meter()
        self.census = Census(deps.system, self.meter.measured)
        self.pulse = Pulse(deps.system, self.meter, self.census, every_s=deps.every_s * 0.9)
        self.watch = Watch(deps.system)
        self.viewers = Viewers(seats=deps.viewers_max, lease_s=deps.lease_s, every_s=deps.every_s)
        own: list[Page] = [
            TreePage(deps.system, self.pulse, self._env),
            ListsPage(deps.system, self.pulse, self._env),
            ActorPage(deps.system, self.pulse, self._env, self.watch, deps.audit),
            IncidentsPage(deps.system, self.pulse, self._env),
        ]
        self._pages: dict[str, Page] = {page.slug: page for page in [*deps.panels, *own]}

    def close(self) -> None:
        """End live views, so that a server that stops need not wait for them."""
        self.viewers.closed = True

    def collector(self, prefix: str) -> RuntimeCollector:
        """The runtime's vitals for a Prometheus registry, the dashboard's own cost among them."""
        return RuntimeCollector(
            self._deps.system, self.census, prefix=prefix, cost_s=lambda: self.meter.total_s
        )

    def pages(self, prefix: str = "/supervision") -> list[BaseRoute]:
        """The routes of the pages. The shell is open; everything it shows needs the session."""
        shown = _Pages(self, self._deps, self._env, self._pages, prefix)
        return [
            Route(prefix, answering(shown.home)),
            Route(f"{prefix}/session", answering(shown.open_session), methods=["POST"]),
            Route(f"{prefix}/session", answering(shown.show_session), methods=["GET"]),
            Route(f"{prefix}/session", answering(shown.close_session), methods=["DELETE"]),
            Route(f"{prefix}/assets/{{name}}", answering(shown.asset)),
            Route(f"{prefix}/live/{{slug}}", answering(shown.live)),
            Route(f"{prefix}/do/{{slug}}/{{verb}}", answering(shown.act), methods=["POST"]),
            Route(f"{prefix}/{{slug}}", answering(shown.page)),
        ]

    def api(self, prefix: str = "/api/v1/supervision") -> list[BaseRoute]:
        """The routes of the JSON twins, for bearer tokens."""
        deps = self._deps
        api = Api(
            node=deps.node,
            system=deps.system,
            pulse=self.pulse,
            meter=self.meter,
            watch=self.watch,
            viewers=self.viewers,
            verify=deps.verify,
            audit=deps.audit,
            wall=deps.wall,
        )
        return [
            Route(prefix, answering(api.tree)),
            Route(f"{prefix}/stream", answering(api.stream)),
            Route(f"{prefix}/incidents", answering(api.incidents)),
            Route(f"{prefix}/actors", answering(api.actors)),
            Route(f"{prefix}/actors/{{path:path}}/{{verb}}", answering(api.act), methods=["POST"]),
            Route(f"{prefix}/actors/{{path:path}}", answering(api.actor)),
        ]


class _Pages:
    """The handlers of the pages below one prefix."""

    def __init__(
        self, dashboard: Dashboard, deps: Deps, env: object, pages: dict[str, Page], prefix: str
    ) -> None:
        self._dashboard, self._deps, self._pages, self._prefix = dashboard, deps, pages, prefix
        self._env = dashboard._env  # noqa: SLF001 - one concept in two classes
        self._sessions = Sessions(deps.session_key, prefix)

    async def home(self, request: Request) -> Response:
        """The first page of the menu, or the sign-in."""
        return await self._shown(request, next(iter(self._pages.values())))

    async def page(self, request: Request) -> Response:
        """One page by its slug."""
        return await self._shown(request, self._page(request))

    async def _shown(self, request: Request, page: Page) -> Response:
        operator = self._sessions.operator(request, self._deps.wall())
        if operator is None:
            return self._framed("signin.html", page=page)
        view = View(operator, dict(request.query_params), self._prefix)
        meter = self._dashboard.meter
        body = await meter.charged(page.body(view))
        with meter.measured():
            return self._framed(
                "frame.html",
                page=page,
                body=body,
                view=view,
                csrf=self._sessions.csrf(request),
                menu=[one for one in self._pages.values() if one.title],
                cost=cost_words(meter),
            )

    def _framed(self, template: str, **values: object) -> Response:
        nonce = secrets.token_urlsafe(16)
        html = render(
            self._env,
            template,
            nonce=nonce,
            prefix=self._prefix,
            node=self._deps.node,
            assets=_tags(),
            **values,
        )
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; img-src 'self' data:; "
            "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        )
        return HTMLResponse(html, headers={**NO_STORE, "content-security-policy": policy})

    async def live(self, request: Request) -> Response:
        """The page's body again and again, as server-sent events named ``body``."""
        operator = self._sessions.require(request, self._deps.wall())
        page = self._page(request)
        view = View(operator, dict(request.query_params), self._prefix)
        seat = self._dashboard.viewers.take()
        return StreamingResponse(
            seat.holding(self._bodies(page, view, seat.lease_s)),
            headers=STREAM,
            media_type="text/event-stream",
        )

    async def _bodies(self, page: Page, view: View, lease_s: float) -> AsyncIterator[str]:
        wall, every_s = self._deps.wall, self._dashboard.viewers.every_s
        ends_at = min(view.operator.expires_at, wall() + lease_s)
        meter = self._dashboard.meter
        before = Markup()
        yield event("retry", None)
        while wall() < ends_at and not self._dashboard.viewers.closed:
            body = await meter.charged(page.body(view))
            with meter.measured():
                text = event("body", body) if body != before else ": the same\n\n"
                cost = event("cost", cost_words(meter))
            before = body
            yield text + cost
            await asyncio.sleep(every_s)
        yield event("lease-over", "over")

    async def act(self, request: Request) -> Response:
        """A button of a page: needs the session, our own page, and the token against forged requests."""
        operator = self._sessions.require(request, self._deps.wall())
        self._sessions.require_own_request(request)
        page = self._page(request)
        form = await _form(request)
        view = View(operator, {}, self._prefix)
        said = await self._dashboard.meter.charged(page.act(view, request.path_params["verb"], form))
        return Response(
            msgspec.json.encode({"ok": True, "said": said}), headers=NO_STORE, media_type="application/json"
        )

    async def open_session(self, request: Request) -> Response:
        """Exchange an operator's bearer token for the cookie."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Refused(401, "no_token", "Send an operator's token as Authorization: Bearer.")
        operator = await self._deps.verify(token.strip())
        response = Response(headers=NO_STORE, media_type="application/json")
        csrf = self._sessions.open(
            response, operator, self._deps.wall(), secure=request.url.scheme == "https"
        )
        response.body = msgspec.json.encode({"csrf": csrf, "operator": operator.name})
        response.headers["content-length"] = str(len(response.body))
        return response

    async def show_session(self, request: Request) -> Response:
        """Whose session it is: 401 where there is none."""
        operator = self._sessions.require(request, self._deps.wall())
        body = {
            "operator": operator.name,
            "expires_at": operator.expires_at,
            "csrf": self._sessions.csrf(request),
        }
        return Response(msgspec.json.encode(body), headers=NO_STORE, media_type="application/json")

    async def close_session(self, request: Request) -> Response:
        """Sign out."""
        self._sessions.require(request, self._deps.wall())
        self._sessions.require_own_request(request)
        response = Response(status_code=204, headers=NO_STORE)
        self._sessions.close(response)
        return response

    async def asset(self, request: Request) -> Response:
        """The script and the style sheet."""
        name = request.path_params["name"]
        if name not in ASSETS:
            raise Refused(404, "not_found", "No such file.")
        body, tag = _asset(name)
        headers = {"etag": f'"{tag}"', "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == f'"{tag}"':
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type=ASSETS[name])

    def _page(self, request: Request) -> Page:
        slug = request.path_params["slug"]
        page = self._pages.get(slug)
        if page is None:
            raise Refused(404, "not_found", f"The dashboard has no page {slug!r}.")
        return page


def cost_words(meter: Meter) -> str:
    """What the dashboard costs, for its own pages."""
    cost = meter.cost()
    return f"{cost.of_core * 100:.1f} % of a core, {cost.of_process * 100:.1f} % of this process"


async def _form(request: Request) -> dict[str, str]:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > FORM_MAX:
            raise Refused(413, "too_large", f"At most {FORM_MAX} bytes.")
        chunks.append(chunk)
    try:
        return msgspec.json.decode(b"".join(chunks) or b"{}", type=dict[str, str])
    except msgspec.DecodeError as error:
        raise Refused(400, "bad_form", str(error)) from error


@cache
def _asset(name: str) -> tuple[bytes, str]:
    body = (files("supervision.dashboard") / "assets" / name).read_bytes()
    return body, sha256(body).hexdigest()[:16]


@cache
def _tags() -> dict[str, str]:
    """Names of the assets with their hash, so that a new release is never styled by an old sheet."""
    return {name: f"{name}?v={_asset(name)[1]}" for name in ASSETS}

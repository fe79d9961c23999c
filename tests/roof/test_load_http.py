"""The webhook connections of the load test, against a real HTTP server."""

import asyncio
import hmac
import time
from contextlib import asynccontextmanager
from hashlib import sha256

import msgspec
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from kcactors.exits import NotKept, ServiceAway
from kcactors.load import feeder as feeding
from kcactors.load.feeder import Feeder
from kcactors.load.http import Lines
from kcactors.load.plan import Delivery, Via
from kcactors.load.signing import signature
from tests.support.waiting import wait_until_async

SECRET = "hook-secret"


@asynccontextmanager
async def served(answer):
    """A server whose only route is the webhook; ``answer`` gets the request and its body."""

    async def route(request: Request) -> Response:
        answered: Response = await answer(request, await request.body())
        return answered

    app = Starlette(routes=[Route(feeding.WEBHOOK_PATH, route, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off"))
    task = asyncio.create_task(server.serve())
    try:
        await wait_until_async(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


def webhook(number, *, first=True):
    return Delivery(f"p{number}", "student", b'{"number":%d}' % number, Via.WEBHOOK, first)


def test_every_delivery_is_signed_and_answered():
    bodies = []

    async def answer(request, body):
        stated = dict(part.split("=") for part in request.headers["KC-Signature"].split(","))
        assert abs(time.time() - int(stated["t"])) < 10
        expected = hmac.new(SECRET.encode(), stated["t"].encode() + b"." + body, sha256).hexdigest()
        assert stated["v1"] == expected
        bodies.append(msgspec.json.decode(body)["number"])
        return JSONResponse({"outcome": "created"})

    async def feed():
        async with served(answer) as url:
            feeder = Feeder(nodes=[url], secret=SECRET, connections=4, topic=None)
            await feeder.feed([webhook(number) for number in range(50)])
            await feeder.close()
            return feeder.sent

    sent = asyncio.run(feed())
    assert sorted(bodies) == list(range(50))
    assert (sent.deliveries, sent.outcomes["created"], sum(sent.refused.values())) == (50, 50, 0)
    assert all(sent.committed[payment] >= sent.due[payment] for payment in sent.due)


def test_a_refused_delivery_is_brought_again():
    tries = []

    async def answer(request, body):
        tries.append(body)
        return JSONResponse({"outcome": "exists"}, status_code=503 if len(tries) < 3 else 200)

    async def feed():
        async with served(answer) as url:
            feeder = Feeder(nodes=[url], secret=SECRET, connections=1, topic=None)
            await feeder.feed([webhook(1)])
            await feeder.close()
            return feeder.sent

    sent = asyncio.run(feed())
    assert len(tries) == 3
    assert (dict(sent.refused), dict(sent.outcomes)) == ({"503": 2}, {"exists": 1})


def test_a_delivery_that_is_refused_for_good_ends_the_run():
    async def answer(request, body):
        return JSONResponse({"title": "bad signature"}, status_code=400)

    async def feed():
        async with served(answer) as url:
            feeder = Feeder(nodes=[url], secret=SECRET, connections=2, topic=None)
            try:
                await feeder.feed([webhook(number) for number in range(5)])
            finally:
                await feeder.close()

    with pytest.raises(NotKept, match="bad signature"):
        asyncio.run(feed())


def test_a_node_that_is_away_ends_the_run(monkeypatch):
    monkeypatch.setattr(feeding, "RETRY_FOR_S", 0.1)

    async def feed():
        feeder = Feeder(nodes=["http://127.0.0.1:1"], secret=SECRET, connections=2, topic=None)
        await feeder.feed([webhook(1)])

    with pytest.raises(ServiceAway, match="webhook"):
        asyncio.run(feed())


def test_paced_deliveries_are_due_at_their_times():
    async def answer(request, body):
        return JSONResponse({"outcome": "created"})

    async def feed():
        async with served(answer) as url:
            feeder = Feeder(nodes=[url], secret=SECRET, connections=4, topic=None)
            start = await feeder.feed([webhook(number) for number in range(20)], rate_per_s=200)
            await feeder.close()
            return start, feeder.sent

    start, sent = asyncio.run(feed())
    assert [round(sent.due[f"p{number}"] - start, 6) for number in range(20)] == [n / 200 for n in range(20)]
    assert all(sent.committed[payment] >= due for payment, due in sent.due.items())


def test_an_answer_that_was_given_up_is_not_taken_for_the_next_one():
    held = asyncio.Event()

    async def answer(request, body):
        if body == b"slow":
            await held.wait()
        return Response(body)

    async def ask():
        async with served(answer) as url:
            lines = Lines(url, 1)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(lines.post(feeding.WEBHOOK_PATH, b"slow", {}), 0.2)
            held.set()
            answered = await lines.post(feeding.WEBHOOK_PATH, b"quick", {})
            await lines.close()
            return answered.body

    assert asyncio.run(ask()) == b"quick"


def test_an_answer_that_does_not_come_is_given_up_and_its_line_with_it():
    held = asyncio.Event()

    async def answer(request, body):
        if body == b"never":
            await held.wait()
        return Response(body)

    async def ask():
        async with served(answer) as url:
            lines = Lines(url, 2, timeout_s=0.2)
            quick = await lines.post(feeding.WEBHOOK_PATH, b"quick", {})
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(lines.post(feeding.WEBHOOK_PATH, b"never", {}), 8)
            held.set()
            after = await lines.post(feeding.WEBHOOK_PATH, b"after", {})
            await lines.close()
            return quick.body, after.body

    began_s = time.monotonic()
    assert asyncio.run(ask()) == (b"quick", b"after")
    assert time.monotonic() - began_s < 6


def test_the_signature_is_the_contract_s():
    assert signature("s", b"{}", 5) == f"t=5,v1={hmac.new(b's', b'5.{}', sha256).hexdigest()}"

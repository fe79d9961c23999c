"""The door of a real node: what it answers is what the documents say, and no log line holds a token."""

import asyncio
import time
from uuid import uuid4

import httpx2
import jwt
import msgspec
import pytest

from gateway.client.realtime import RealtimeClient
from gateway.shapes import EventsPage, HomeView, LearningView, Readiness, WebhookAnswer
from tests.node.conftest import make_house
from tests.node.house import JWT_SECRET, new_payment

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

__all__ = ["make_house"]


async def test_answers_are_the_documented_types_and_tokens_stay_out_of_the_log(make_house, tmp_path):
    house = await asyncio.to_thread(make_house, KCACTORS_LOG_LEVEL="DEBUG")
    student = str(uuid4())
    bearer = jwt.encode({"sub": student, "exp": int(time.time()) + 600}, JWT_SECRET, algorithm="HS256")
    seen: list[int] = []

    async def get_token(_force: bool) -> str:
        return bearer

    async def handle(event) -> None:
        seen.append(event["seq"])

    url = f"ws://127.0.0.1:{house.node.port}/ws"
    async with RealtimeClient(url, get_token, on_event=handle) as realtime:
        await realtime.ready()
        paid = new_payment(student, house.courses[0])
        status, answer = await asyncio.to_thread(house.webhook, paid)
        assert status == 200
        msgspec.convert(answer, WebhookAnswer)
        event = await realtime.wait_for(lambda event: event["event"] == "COURSE_ACCESS_GRANTED")
        headers = {"authorization": f"Bearer {bearer}"}
        async with httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{house.node.port}", headers=headers
        ) as http:
            route = f"/api/v1/students/{student}"
            for _ in range(2):
                learning = await http.get(f"{route}/learning", params={"min_seq": event["seq"]})
                view = msgspec.json.decode(learning.content, type=LearningView)
                assert [str(course.course_id) for course in view.courses] == [house.courses[0]]
                assert view.as_of_seq >= event["seq"]
                home = msgspec.json.decode((await http.get(f"{route}/home")).content, type=HomeView)
                assert home.counts.purchases == 1
            page = msgspec.json.decode((await http.get(f"{route}/events")).content, type=EventsPage)
            assert [logged.seq for logged in page.events] == seen
            msgspec.json.decode((await http.get("/readyz")).content, type=Readiness)
            scraped = (await http.get("/metrics")).text
            assert 'kcactors_view_total{source="cache",view="learning"} 1.0' in scraped
            async with http.stream("GET", f"{route}/stream", params={"after": 0}) as stream:
                lines = stream.aiter_lines()
                found: list[str] = []
                while len(found) < len(seen):
                    line = await anext(lines)
                    if line.startswith("id: "):
                        found.append(line)
    assert [line.rpartition(":")[2] for line in found] == [str(seq) for seq in seen]
    logs = "".join(path.read_text() for path in tmp_path.glob("node-*.log"))
    assert "listens" in logs
    assert bearer.rpartition(".")[2] not in logs

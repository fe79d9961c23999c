"""The Python client against the fixtures that the JavaScript client obeys as well."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.client.core import (
    Become,
    ClientCore,
    Cursor,
    Deliver,
    FetchSnapshot,
    FetchToken,
    Open,
    Save,
    Send,
)

FIXTURES = Path(__file__).parent.parent / "fixtures" / "kc_v1"
SCRIPTS = json.loads((FIXTURES / "client.json").read_text())["scripts"]
CODES = json.loads((FIXTURES / "close_codes.json").read_text())


class Half:
    """Random numbers that are no surprise."""

    def random(self) -> float:
        return 0.5


class Stage:
    """Plays a script: carries the core's actions out, and answers its questions."""

    def __init__(self, script: dict[str, Any]) -> None:
        cursor = script.get("cursor")
        self.snapshot = script.get("snapshot")
        self.core = ClientCore(
            cursor=Cursor(cursor["epoch"], cursor["seq"]) if cursor else None,
            snapshot=self.snapshot is not None,
            rng=Half(),  # type: ignore[arg-type]
        )
        self.now = 1000.0
        self.saved: Cursor | None = self.core.cursor
        self.frames: list[dict[str, Any]] = []
        self.seqs: list[int] = []
        self.forces: list[bool] = []
        self.opened_sockets = 0
        self.stopped_by: int | None = None

    def play(self, step: dict[str, Any]) -> None:
        ((verb, value),) = step.items()
        getattr(self, f"do_{verb}")(value)
        self.settle()

    def settle(self) -> None:
        while actions := self.core.actions():
            for action in actions:
                self.carry_out(action)

    def carry_out(self, action: Any) -> None:
        match action:
            case FetchToken(force):
                self.forces.append(force)
                self.core.on_token("jwt")
            case Open():
                self.opened_sockets += 1
            case Send(text):
                self.frames.append(json.loads(text))
            case FetchSnapshot():
                assert self.snapshot is not None
                self.core.on_snapshot(self.snapshot, self.now)
            case Deliver(kind, frame, place):
                if kind == "business-event":
                    self.seqs.append(frame["seq"])
                self.core.on_handled(place, self.now)
            case Save(cursor):
                self.saved = cursor
            case Become(_, code):
                self.stopped_by = code

    def do_connect(self, _: Any) -> None:
        self.core.connect(self.now)

    def do_opened(self, _: Any) -> None:
        self.core.on_open()

    def do_server(self, frame: dict[str, Any]) -> None:
        self.core.on_text(json.dumps(frame), self.now)

    def do_raw(self, text: str) -> None:
        self.core.on_text(text, self.now)

    def do_close(self, code: int) -> None:
        self.core.on_closed(code, self.now)

    def do_pass_ms(self, ms: int) -> None:
        end = round(self.now + ms / 1000, 6)
        while (due := self.core.due_at) is not None and round(due, 6) <= end:
            self.now = max(self.now, due)
            self.core.on_time(self.now)
            self.settle()
        self.now = end

    def do_sent(self, expected: list[dict[str, Any]]) -> None:
        found, self.frames = self.frames, []
        assert len(found) == len(expected), found
        for frame, subset in zip(found, expected, strict=True):
            assert {key: frame.get(key) for key in subset} == subset

    def do_handled(self, expected: list[int]) -> None:
        found, self.seqs = self.seqs, []
        assert found == expected

    def do_state(self, expected: str) -> None:
        assert self.core.state == expected

    def do_cursor(self, expected: dict[str, Any] | None) -> None:
        assert self.saved == (Cursor(**expected) if expected else None)

    def do_sockets(self, expected: int) -> None:
        assert self.opened_sockets == expected

    def do_tokens(self, expected: list[bool]) -> None:
        assert self.forces == expected

    def do_stopped(self, expected: int) -> None:
        assert self.stopped_by == expected


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script["name"])
def test_the_script(script):
    stage = Stage(script)
    for number, step in enumerate(script["steps"]):
        try:
            stage.play(step)
        except AssertionError as error:
            raise AssertionError(f"step {number} {step}: {error}") from error


def closed_by(code: int) -> Stage:
    stage = Stage({})
    stage.play({"connect": True})
    stage.play({"opened": True})
    stage.play({"close": code})
    return stage


@pytest.mark.parametrize("row", CODES["codes"], ids=lambda row: row["reason"])
def test_what_a_close_code_asks_for(row):
    stage = closed_by(row["code"])
    if row["client"] == "stop":
        assert stage.core.state == "stopped"
        stage.play({"pass_ms": 60_000})
        assert stage.opened_sockets == 1
    elif row["client"] == "reconnect":
        assert stage.core.state == "waiting"
        stage.play({"pass_ms": max(row["min_ms"], 750) - 1})
        assert stage.opened_sockets == 1
        stage.play({"pass_ms": 1})
        assert stage.opened_sockets == 2
    else:
        assert (stage.opened_sockets, stage.forces) == (2, [False, True])


@pytest.mark.parametrize("code", CODES["others"])
def test_other_codes_mean_come_back(code):
    stage = closed_by(code)
    stage.play({"pass_ms": 750})
    assert stage.opened_sockets == 2

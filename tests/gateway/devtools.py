"""A browser by its own protocol: Playwright keeps every page visible, and a hidden tab cannot be seen with it."""

import contextlib
import itertools
import json
import subprocess
from collections.abc import Iterator
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.support.waiting import wait_until


class Tab:
    """One tab of the browser's window."""

    def __init__(self, browser: "Browser", address: str) -> None:
        self._browser = browser
        self.target: str = browser.ask("Target.createTarget", url=address)["targetId"]
        attached = browser.ask("Target.attachToTarget", targetId=self.target, flatten=True)
        self._session: str = attached["sessionId"]

    def bring_to_front(self) -> None:
        self._browser.ask("Target.activateTarget", targetId=self.target)

    def value(self, expression: str) -> Any:
        """What JavaScript says; an object as JSON."""
        answer = self._browser.ask(
            "Runtime.evaluate", self._session, expression=expression, returnByValue=True
        )
        return answer["result"].get("value")

    def until(self, expression: str, timeout_s: float = 15) -> None:
        """Wait until JavaScript says so."""
        wait_until(lambda: bool(self.value(expression)), timeout_s, what=expression)


class Browser:
    """The browser's end of its protocol, one question at a time."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)

    def ask(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        question = {"id": number, "method": method, "params": params}
        self._connection.send(json.dumps(question | ({"sessionId": session} if session else {})))
        while True:
            answer = json.loads(self._connection.recv(timeout=15))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def tab(self, address: str) -> Tab:
        return Tab(self, address)


@contextlib.contextmanager
def browser(program: str, folder: str) -> Iterator[Browser]:
    """A headless Chromium whose profile is in ``folder``; gone afterwards."""
    options = ["--headless=new", "--no-sandbox", "--remote-debugging-port=0", f"--user-data-dir={folder}"]
    with subprocess.Popen([program, *options, "about:blank"], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            said = next(line for line in process.stderr if "DevTools listening on" in line)
            with connect(said.split()[-1], max_size=None) as connection:
                yield Browser(connection)
        finally:
            process.kill()

"""Somebody with a browser at a dashboard: looks, takes pictures, and is told of whatever a page does wrong."""

import importlib
from typing import Any, Self

from tests.house.source import ROOT

PICTURES = ROOT / "tests" / "artifacts"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
]
WAIT_MS = 60_000
LOOKS = {
    "light": ("light", {"width": 1280, "height": 900}),
    "dark": ("dark", {"width": 1280, "height": 900}),
    "phone": ("light", {"width": 390, "height": 800}),
}
"""Colour scheme and size of the window."""
GRAVE = ("serious", "critical")


class Visitor:
    """One browser context. ``faults`` are errors of scripts and refusals of the policy.

    Args:
        url: of the server.
        token: that signs in.
    """

    def __init__(self, browser: Any, url: str, token: str, **context: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
        self.context.set_default_timeout(WAIT_MS)
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on(
            "console",
            lambda said: self.faults.append(said.text) if "Content Security Policy" in said.text else None,
        )
        self.home = url + "/supervision"
        self._token = token

    def sign_in(self) -> None:
        self.page.goto(f"{self.home}#token={self._token}")
        self.live()

    def live(self) -> None:
        self.page.wait_for_selector("#status[data-state=live]")

    def open(self, path: str) -> None:
        self.page.goto(self.home + path)
        self.live()

    def picture(self, name: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)

    def take_on(self, look: str) -> None:
        """Look at the same page otherwise: one of `LOOKS`."""
        scheme, size = LOOKS[look]
        self.page.emulate_media(color_scheme=scheme)
        self.page.set_viewport_size(size)

    def overflows(self) -> bool:
        script = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        return bool(self.page.evaluate(script))

    def barriers(self) -> list[str]:
        """What axe-core finds that keeps somebody out, each with where it is."""
        axe: Any = importlib.import_module("axe_playwright_python.sync_playwright")
        found = axe.Axe().run(self.page).response["violations"]
        return [
            f"{one['id']}: {node['html']} {node.get('failureSummary', '')}"
            for one in found
            if one["impact"] in GRAVE
            for node in one["nodes"]
        ]

    def reached_by_tab(self, presses: int = 80) -> list[str]:
        """What the keyboard comes by, in order: the text or the name of each element, until it comes round."""
        script = (
            "(() => { const e = document.activeElement; if (!e || e === document.body) return '';"
            " return (e.textContent || e.getAttribute('aria-label') || e.name || e.id).trim(); })()"
        )
        found: list[str] = []
        for _ in range(presses):
            self.page.keyboard.press("Tab")
            found.append(str(self.page.evaluate(script)))
            if found[-1] == "":
                break
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.context.close()
        assert kind is not None or self.faults == []

"""What a verb says: its result on standard output, everything else on standard error.

With ``--json`` the result is exactly one JSON object, so that a program may read standard output to its end and decode
it. Without, it is text for a person. A progress bar is drawn only where a person looks at it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Bar(Protocol):
    """The progress of one piece of work."""

    def __call__(self, done: int, note: str | None = None) -> None:
        """So much is done, counted from the start. ``note`` stands beside the bar until the next one."""


class Output:
    """The two streams of one command."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._screen = Console(file=sys.stderr, highlight=False)

    def result(self, document: dict[str, Any], text: RenderableType = "") -> None:
        """Prints the result, once, in the form that was asked for."""
        if self.as_json:
            sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
            sys.stdout.flush()
        else:
            Console(file=sys.stdout, highlight=False).print(text, soft_wrap=True)

    def say(self, text: RenderableType) -> None:
        """Tells a person how it goes; never part of the result."""
        self._screen.print(text, soft_wrap=True)

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Bar]:
        """Shows a bar on a terminal; elsewhere one line when the work begins."""
        if not self._screen.is_terminal:
            self.say(f"{what} …")
            yield lambda _done, _note=None: None
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
        )
        with Progress(*columns, console=self._screen) as progress:
            task = progress.add_task(what, total=total, note="")

            def bar(done: int, note: str | None = None) -> None:
                if note is not None:
                    progress.update(task, note=note)
                progress.update(task, completed=done)

            yield bar

"""``kcactors demo`` and ``kcactors loadtest``: run it, say how it went."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kcactors.demo import demo
from kcactors.exits import Exit, WrongUse
from kcactors.load.page import page
from kcactors.load.report import Result
from kcactors.loadtest import Order, loadtest
from kcactors.output import Output


def demonstrate(output: Output, *, payments: int, students: int, duplicates: float, seed: int) -> Exit:
    """The verb ``demo``."""
    result = demo(count=payments, buyers=students, duplicates=duplicates, seed=seed, output=output)
    return _tell(output, result, result.document())


def put_load_on(output: Output, order: Order, page_at: Path | None = None) -> Exit:
    """The verb ``loadtest``. The page is written whatever the verdict is.

    Raises:
        WrongUse: the page cannot be written there; told before anything is sent.
    """
    if page_at is not None:
        _try_to_write(page_at)
    result = loadtest(order, output)
    if page_at is not None:
        page_at.write_text(page(result), encoding="utf-8")
        output.say(f"page: {page_at}")
    return _tell(output, result, result.report())


def rate(text: str) -> float | None:
    """Deliveries a second; None for ``max``. Raises `WrongUse` for anything but that or a positive number."""
    if text == "max":
        return None
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise WrongUse(f"--rate: {text!r} given, expected a number above 0, or max")
    return number


def _try_to_write(page_at: Path) -> None:
    try:
        page_at.parent.mkdir(parents=True, exist_ok=True)
        page_at.touch()
    except OSError as error:
        raise WrongUse(f"--page: {error}") from error


def _tell(output: Output, result: Result, document: dict[str, Any]) -> Exit:
    for wrong in result.broken():
        output.say(f"broken: {wrong}")
    output.result(document, result.text())
    return Exit.DONE if result.ok else Exit.NOT_KEPT

"""``kcactors demo`` and ``kcactors loadtest``: run it, say how it went."""

from __future__ import annotations

from typing import Any

from kcactors.demo import demo
from kcactors.exits import Exit, WrongUse
from kcactors.load.report import Result
from kcactors.loadtest import Order, loadtest
from kcactors.output import Output


def demonstrate(output: Output, *, payments: int, students: int, duplicates: float, seed: int) -> Exit:
    """The verb ``demo``."""
    result = demo(count=payments, buyers=students, duplicates=duplicates, seed=seed, output=output)
    return _tell(output, result, result.document())


def put_load_on(output: Output, order: Order) -> Exit:
    """The verb ``loadtest``."""
    result = loadtest(order, output)
    document = result.document()
    document["latency_ms_by_way"] = {via: speed.document() for via, speed in result.speeds.items()}
    document["webhook_answers_again"] = result.counts.refused
    document["broken"] = result.broken()
    return _tell(output, result, document)


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


def _tell(output: Output, result: Result, document: dict[str, Any]) -> Exit:
    for wrong in result.broken():
        output.say(f"broken: {wrong}")
    output.result(document, result.text())
    return Exit.DONE if result.ok else Exit.NOT_KEPT

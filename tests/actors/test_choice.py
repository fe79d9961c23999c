"""Which ledger writes for a student."""

from types import SimpleNamespace
from typing import Any

from actors.ledger.choice import TOGETHER, choose


def ledgers(*depths: int) -> list[Any]:
    return [SimpleNamespace(actor_inbox=SimpleNamespace(depth=depth)) for depth in depths]


def test_one_ledger_writes_for_all_while_it_keeps_up() -> None:
    two = ledgers(TOGETHER - 1, 0)
    assert choose(two, 1) is choose(two, 0) is two[0]


def test_the_others_help_when_more_waits_than_one_transaction_is_better_for() -> None:
    two = ledgers(TOGETHER, 1_000)
    assert choose(two, 1) is two[1]
    assert choose(two, 0) is two[0]

"""Which ledger writes next."""

from types import SimpleNamespace
from typing import Any

from actors.ledger.choice import TOGETHER, choose


def ledgers(*depths: int) -> list[Any]:
    return [SimpleNamespace(actor_inbox=SimpleNamespace(depth=depth)) for depth in depths]


def test_one_ledger_writes_for_all_while_it_keeps_up() -> None:
    three = ledgers(TOGETHER - 1, 0, 0)
    assert choose(three) is three[0]


def test_the_others_help_when_more_waits_than_one_transaction_is_better_for() -> None:
    three = ledgers(TOGETHER, TOGETHER - 1, TOGETHER - 2)
    assert choose(three) is three[2]


def test_all_that_are_behind_share_evenly() -> None:
    three = ledgers(TOGETHER, TOGETHER, TOGETHER + 1)
    assert choose(three) is three[0]

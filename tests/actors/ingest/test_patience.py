"""How long a fetch may be held back."""

from actors.ingest.patience import QUIET_S, QUIET_WAIT_MS, Patience


def test_it_asks_often_only_while_records_come():
    patience = Patience(20)
    assert patience.wait_ms(0.0) == QUIET_WAIT_MS
    patience.came(5.0)
    assert patience.wait_ms(5.0 + QUIET_S / 2) == 20
    assert patience.wait_ms(5.0 + QUIET_S) == QUIET_WAIT_MS


def test_a_broker_that_may_wait_for_longer_always_may():
    patience = Patience(250)
    assert patience.wait_ms(0.0) == 250
    patience.came(1.0)
    assert patience.wait_ms(1.0) == 250

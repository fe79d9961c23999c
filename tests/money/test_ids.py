"""The database and Python give the same names."""

from typing import Any

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.protocol import ids

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=200)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(TEXT, min_size=1, max_size=5))
def test_uuid5_is_uuid5(database: "psycopg.Connection[Any]", names: list[str]) -> None:
    found = database.execute(
        "select array(select kc.uuid5(n)::text from unnest(%s::text[]) with ordinality x (n, i) order by i)",
        (names,),
    ).fetchone()
    assert found == ([ids.uuid5_text(name) for name in names],)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(provider=TEXT, payment=TEXT, turn=TEXT)
def test_an_events_name_is_the_same_from_both(
    database: "psycopg.Connection[Any]", provider: str, payment: str, turn: str
) -> None:
    purchase = ids.purchase_id(provider, payment)
    found = database.execute(
        "select kc.event_id(%s, 'PURCHASE_REFUNDED', %s)::text", (purchase, turn)
    ).fetchone()
    assert found == (ids.event_id(purchase, "PURCHASE_REFUNDED", turn),)

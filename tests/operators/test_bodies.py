"""What a provider sent and nobody could read or name: corrected as it is and tried again, in one transaction."""

import json
import uuid

import pytest

from actors.parking.desk import Desk
from actors.protocol.payments import PaymentUnnamed
from actors.protocol.undecodable import Undecodable
from actors.store.errors import BadData
from gateway.webhooks import razorpay, stripe
from gateway.webhooks.kept import read_kept
from tests.money import messages
from tests.operators.conftest import ACTION, COURSE

NAMES = {"student_id": str(uuid.uuid4()), "course_id": str(COURSE), "tier": "4"}


@pytest.fixture
def desk(hand):
    return Desk(hand, read_kept)


def keep(world, provider, body, event_id="ev_1"):
    """As the webhook's route does it with what cannot be read."""
    row = world.database.execute(
        "insert into parked (stage, reason, provider, event_id, payload, fingerprint)"
        " values ('decode', 'broken', %s, %s, %s, %s) returning id",
        (provider, event_id, body, f"decode:{uuid.uuid4()}"),
    )
    return row.fetchone()[0]


def states(world):
    return world.database.execute("select state, resolution from parked order by id").fetchall()


BODIES = {
    "razorpay": lambda notes, **changes: messages.razorpay(
        "payment.captured", payment=messages.razorpay_payment(notes, **changes)
    ),
    "stripe": lambda notes, **changes: messages.stripe(
        "payment_intent.succeeded", **messages.intent(notes, **changes)
    ),
}


@pytest.mark.parametrize("provider", BODIES)
def test_a_body_that_reads_now_is_bought_by_a_retry(world, desk, provider):
    """Parked by a release that did not know it, or before the course was there."""
    row_id = keep(world, provider, BODIES[provider](NAMES))
    (done,) = desk.retry([row_id], ACTION)
    assert (done.outcome, done.resolved) == ("created", True)
    assert states(world) == [("resolved", "created")]
    rows = world.database.execute("select provider, event_id, outcome, via from inbox where via = 'operator'")
    event_id = {"razorpay": "ev_1", "stripe": "evt_1"}[provider]
    assert rows.fetchall() == [(provider, event_id, "created", "operator")]


@pytest.mark.parametrize("provider", BODIES)
def test_an_unnamed_capture_is_named_by_a_corrected_body(world, desk, provider):
    translate = {"razorpay": lambda body: razorpay.translate(body, "ev_1"), "stripe": stripe.translate}
    body = BODIES[provider]({"tier": 4})
    event = translate[provider](body)
    assert isinstance(event, PaymentUnnamed)
    world.hand.apply([event], via="webhook")
    (row_id,) = desk.ids(f"unnamed/{event.field}")
    (still,) = desk.retry([row_id], ACTION)
    assert (still.outcome, still.resolved) == ("parked", False)
    assert world.database.execute("select attempts from parked").fetchall() == [(2,)]
    with pytest.raises(Undecodable, match="course_id"):
        desk.edit(row_id, BODIES[provider](NAMES | {"course_id": 7}), ACTION)
    assert world.database.execute("select payload from parked").fetchall() == [(body,)]
    desk.edit(row_id, BODIES[provider](NAMES), ACTION)
    (done,) = desk.retry([row_id], ACTION)
    assert (done.outcome, done.resolved) == ("created", True)
    assert states(world) == [("resolved", "created")]


def test_our_own_event_may_stand_in_the_place_of_a_providers_body(world, desk):
    row_id = keep(world, "stripe", b"no JSON at all")
    (still,) = desk.retry([row_id], ACTION)
    assert (still.outcome, still.resolved) == ("parked", False)
    ours = {
        "event_id": "e9",
        "type": "PAYMENT_SUCCEEDED",
        "provider": "stripe",
        "payment_id": "pi_9",
        "amount": 1000,
        "currency": "INR",
        "occurred_at": "2026-11-23T10:00:00Z",
    }
    desk.edit(row_id, json.dumps(ours | NAMES | {"tier": 4}).encode(), ACTION)
    (done,) = desk.retry([row_id], ACTION)
    assert (done.outcome, done.resolved) == ("created", True)


def test_a_retry_that_fails_in_the_middle_leaves_both_as_they_were(world, desk):
    """The effect and the row's resolution are one transaction."""
    row_id = keep(world, "stripe", BODIES["stripe"](NAMES))
    world.database.execute(
        "create function refuse() returns trigger language plpgsql as $$ begin raise check_violation; end $$;"
        " create trigger refuse before insert on operator_action execute function refuse()"
    )
    before = world.database.execute("select count(*) from purchase").fetchone()
    with pytest.raises(BadData):
        desk.retry([row_id], ACTION)
    assert states(world) == [("open", None)]
    assert world.database.execute("select count(*) from purchase").fetchone() == before
    world.database.execute("drop trigger refuse on operator_action")
    assert desk.retry([row_id], ACTION)[0].resolved


@pytest.mark.parametrize("provider", [None, "kc", "elsewhere"])
def test_nobody_elses_bytes_are_taken_for_a_providers_body(provider):
    with pytest.raises(Undecodable):
        read_kept(provider, None, BODIES["stripe"](NAMES))

"""The pure rules of the work: allocation, the outbox, a student's memory, what a batch may hold."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from actors.allocation.rule import Opened, Request, Trainer, decide
from actors.ledger.batch import encode, split
from actors.messages import Deliver, Write
from actors.protocol import ids
from actors.protocol.envelope import LoggedEvent, envelope_text, kafka_headers
from actors.protocol.outcome import Outcome, Settled
from actors.protocol.payments import PaymentSucceeded
from actors.publisher.outbox import OutboxRow, acknowledged, late
from actors.reconciler.duty import SHARE_MAX, Duty
from actors.reconciler.recent import FURTHEST_S, MARGIN_S, Recent
from actors.student.memory import Memory
from tests.actors.transaction import Nowhere, payment

COURSES = [str(UUID(int=n)) for n in range(3)]
TRAINERS = [str(UUID(int=100 + n)) for n in range(5)]


@st.composite
def opened(draw: st.DrawFn) -> Opened:
    trainers = []
    for trainer in draw(st.sets(st.sampled_from(TRAINERS))):
        capacity = draw(st.integers(0, 4))
        load = draw(st.integers(0, 6))  # a capacity that was lowered leaves a load above it
        courses = draw(st.lists(st.sampled_from(COURSES), unique=True))
        trainers.append(Trainer(trainer, str(trainer), capacity, load, courses))
    requests = [
        Request(
            str(uuid4()),
            str(uuid4()),
            str(uuid4()),
            draw(st.sampled_from(COURSES)),
            "p",
            10,
            draw(st.booleans()),
            draw(st.integers(0, 3)),
            draw(st.none() | st.sampled_from(TRAINERS)),
        )
        for _ in range(draw(st.integers(0, 12)))
    ]
    waiting = draw(st.dictionaries(st.sampled_from(COURSES), st.integers(0, 2)))
    return Opened(requests, trainers, waiting)


@given(opened())
def test_allocation_never_overfills_and_never_lets_anybody_pass_a_waiting_list(case: Opened) -> None:
    decisions = decide(case)
    requests = {r.purchase_id: r for r in case.requests}
    trainers = {t.trainer_id: t for t in case.trainers}
    taken: dict[str, int] = {}
    for decision in decisions:
        request = requests[decision.purchase_id]
        assert decision.turn == request.turn + 1
        if decision.trainer_id is None:
            assert not request.waiting, "who waits already is not told so again"
            continue
        trainer = trainers[decision.trainer_id]
        taken[trainer.trainer_id] = taken.get(trainer.trainer_id, 0) + 1
        assert request.course_id in trainer.courses
        assert trainer.load + taken[trainer.trainer_id] <= trainer.capacity
        assert request.waiting or not case.waiting.get(request.course_id)
    decided = {d.purchase_id for d in decisions}
    assert all(r.waiting for r in case.requests if r.purchase_id not in decided)
    assert [d.ord for d in decisions] == list(range(len(decisions)))
    for course in COURSES:
        of_course = [r for r in sorted(case.requests, key=lambda r: not r.waiting) if r.course_id == course]
        served = [any(d.purchase_id == r.purchase_id and d.trainer_id for d in decisions) for r in of_course]
        assert served == sorted(served, reverse=True), "the first come are the first served"


def test_a_renewal_stays_with_its_trainer_and_a_newcomer_goes_to_the_least_loaded() -> None:
    course = COURSES[0]
    busy, idle = Trainer(TRAINERS[0], "busy", 9, 5, [course]), Trainer(TRAINERS[1], "idle", 9, 1, [course])

    def request(own: str | None) -> Request:
        return Request(str(uuid4()), str(uuid4()), str(uuid4()), course, "p", 10, False, 0, own)

    renewal, newcomer = request(TRAINERS[0]), request(None)
    decisions = decide(Opened([renewal, newcomer], [busy, idle], {}))
    assert [d.trainer_id for d in decisions] == [TRAINERS[0], TRAINERS[1]]


def event(seq: int, student: str = "s", age_s: float = 0.0, **changes: Any) -> LoggedEvent:
    at = datetime(2026, 11, 23, 10, tzinfo=UTC) - timedelta(seconds=age_s)
    facts = {
        "type": "PURCHASE_CREATED",
        "purchase_id": "p",
        "correlation_id": "c",
        "data": msgspec.Raw(b"{}"),
    } | changes
    return LoggedEvent(event_id=f"e{seq}", student_id=student, seq=seq, created_at=at, **facts)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30))
def test_what_leaves_the_outbox_is_a_prefix_of_each_lane(reports: list[tuple[str, bool]]) -> None:
    rows = [OutboxRow(n, event(n, lane)) for n, (lane, _) in enumerate(reports)]
    done = set(acknowledged(rows, [ok for _, ok in reports]))
    for lane in "abc":
        mine = [(row.id, ok) for row, (owner, ok) in zip(rows, reports, strict=True) if owner == lane]
        prefix = next((n for n, (_, ok) in enumerate(mine) if not ok), len(mine))
        assert [i for i, _ in mine if i in done] == [i for i, _ in mine[:prefix]]


def test_a_late_row_is_named_once() -> None:
    now = datetime(2026, 11, 23, 10, tzinfo=UTC)
    rows = [OutboxRow(1, event(1, age_s=5)), OutboxRow(2, event(2, age_s=0))]
    known: set[int] = set()
    assert [r.id for r in late(rows, now, timedelta(seconds=2), known)] == [1]
    assert late(rows, now, timedelta(seconds=2), known) == []


def test_an_envelope_is_one_json_object_with_every_text_escaped() -> None:
    row = event(7, correlation_id='a"\\\u00e9\u2028', data=msgspec.Raw(b'{"tier": 3}'))
    frame = msgspec.json.decode(envelope_text(row, "e1"))
    assert frame["correlation_id"] == 'a"\\\u00e9\u2028'
    assert frame["data"] == {"tier": 3}
    assert frame["ts"] == "2026-11-23T10:00:00.000Z"
    assert list(frame) == [
        "type", "seq", "epoch", "id", "event", "student_id", "ts", "correlation_id", "schema", "data",
    ]  # fmt: skip
    assert dict(kafka_headers(row))["ce_sequence"] == b"00000000000000000007"


@given(st.text(), st.text())
def test_names_are_the_uuid5_that_everybody_computes(provider: str, payment_id: str) -> None:
    name = f"purchase:{len(provider)}:{provider}:{payment_id}"
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    assert ids.purchase_id(provider, payment_id) == str(uuid5(ids.NAMESPACE, name))


def test_a_memory_answers_equal_facts_only_and_forgets_the_oldest() -> None:
    student, course = uuid4(), uuid4()
    memory = Memory(2)
    first, second, third = (payment(student, course, f"p{n}") for n in range(3))
    purchase = uuid4()
    memory.learn(first, Settled(Outcome.CREATED, purchase))
    again = payment(student, course, "p0")
    answer = memory.recall(again)
    assert answer is not None
    assert (answer.outcome, answer.purchase_id, answer.absorbed_by) == (Outcome.EXISTS, purchase, "mailbox")
    assert memory.recall(payment(student, course, "p0", amount=1)) is None
    memory.learn(second, Settled(Outcome.CONFLICT))
    assert memory.recall(second) is None, "a conflict is no effect"
    memory.learn(second, Settled(Outcome.EXISTS, purchase))
    memory.learn(third, Settled(Outcome.RECOVERED, purchase))
    assert memory.recall(first) is None
    assert len(memory) == 2
    memory.forget()
    assert len(memory) == 0


def write(one: PaymentSucceeded) -> Write:
    return Write(Deliver(one, Nowhere(), "test", 0.0), None)  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 5), max_size=20))
def test_a_batch_holds_each_payment_once_and_the_rest_keeps_its_order(numbers: list[int]) -> None:
    writes = [write(payment(uuid4(), uuid4(), f"p{n}")) for n in numbers]
    now, later = split(writes)
    keys = [w.deliver.event.payment_id for w in now if isinstance(w, Write)]
    assert len(keys) == len(set(keys)) == len(set(numbers))
    assert [w for w in writes if w in later] == later
    assert len(now) + len(later) == len(writes)
    assert len(msgspec.json.decode(encode(now)).get("payments", [])) == len(now)


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 5)), min_size=1, max_size=60), st.booleans())
def test_all_looks_together_never_take_more_than_their_share(
    looks: list[tuple[float, float]], at_once: bool
) -> None:
    duty, now_s, took_s, rounds = Duty(5.0, at_once=frozenset("abc" if at_once else "")), 0.0, 0.0, 0
    free_s, longest_s = 0.0, 0.0
    for pause_s, look_s in looks:
        now_s += pause_s
        kind = duty.in_turn("abc")[0]
        first = kind not in duty.began_s
        if duty.is_due(kind, now_s):
            duty.done(kind, now_s, now_s + look_s)
            now_s += look_s
            took_s += look_s
            rounds += 1
            longest_s = max(longest_s, look_s)
            free_s += look_s if at_once and first else 0.0
    assert took_s <= SHARE_MAX * (now_s + 5.0) + free_s + longest_s + 1e-6
    # where nothing is owed, somebody looks
    assert rounds > 0 if not at_once else rounds >= min(3, len(looks))


@given(st.lists(st.floats(0, 0.1 / 3), min_size=3, max_size=3))
def test_small_tables_are_looked_at_whole_at_every_interval(took_s: list[float]) -> None:
    duty, now_s = Duty(5.0), 0.0
    for _ in range(5):
        now_s += 5.0
        at_s = now_s
        for kind, look_s in zip("abc", took_s, strict=True):
            assert duty.is_due(kind, at_s)
            duty.done(kind, at_s, at_s + look_s * 0.99)
            at_s += look_s


def test_the_kind_that_waited_longest_is_next_and_one_never_looked_at_does_not_wait() -> None:
    duty = Duty(5.0, at_once=frozenset("abcd"))
    for number, kind in enumerate("bca"):
        assert duty.is_due(kind, float(number))
        duty.done(kind, float(number), number + 3.0)
    assert duty.in_turn("abc") == ["b", "c", "a"]
    assert not duty.is_due("b", 100.0)
    assert duty.in_turn("abcd")[0] == "d"
    assert duty.is_due("d", 100.0)
    assert duty.is_due("b", 1000.0)


@given(
    st.lists(st.tuples(st.floats(0.1, 20), st.booleans()), min_size=1, max_size=20),
    st.floats(0, 200),
    st.floats(0, 5 + MARGIN_S),
)
def test_every_row_is_read_by_a_look_however_late_it_became_visible(
    looks: list[tuple[float, bool]], written_s: float, late_s: float
) -> None:
    """Looks that find something (or fail) do not count as done; the one that finds the row comes in time."""
    recent, now_s, seen, pending_s = Recent(5.0), 0.0, 0, 0.0
    for pause_s, found in looks:
        now_s += pause_s
        back_s = recent.back_s(now_s)
        seen += now_s - back_s <= written_s < now_s - 5.0 and written_s + late_s <= now_s
        if not found:
            recent.done(now_s)
        pending_s = now_s - (recent.began_s or 0.0)
        if pending_s > FURTHEST_S:
            return
    assert seen > 0 or now_s - 5.0 <= written_s or now_s < written_s + late_s

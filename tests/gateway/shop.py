"""A log whose learning view shows what was bought, for tests that look at the page."""

import contextlib
import threading
from typing import Any
from uuid import UUID, uuid5

import msgspec

from actors.doorbell import DoorbellAway
from actors.protocol.outcome import Outcome, Settled, Source
from actors.protocol.payments import PaymentEvent, PaymentSucceeded
from gateway.devshop import CourseForSale, DevShop
from tests.gateway.support import WEBHOOK_SECRET, Gateway, MemoryLog, RecordingIntake

COURSES = {
    UUID(int=1): "Algebra from the beginning",
    UUID(int=2): "Spoken English, conversation",
    UUID(int=3): "Physics: motion and force",
}
TRAINERS = {UUID(int=1): "Asha Rao", UUID(int=2): "Daniel Fernandes", UUID(int=3): None}


class ShopLog(MemoryLog):
    """Folds purchases into the view that the page shows."""

    def __init__(self) -> None:
        super().__init__()
        self.bought: dict[UUID, dict[UUID, int]] = {}

    async def learning(self, student_id: UUID) -> bytes:
        view = msgspec.json.decode(await super().learning(student_id))
        view["courses"] = [
            self._course(course, tier) for course, tier in self.bought.get(student_id, {}).items()
        ]
        return msgspec.json.encode(view)

    def _course(self, course: UUID, tier: int) -> dict[str, Any]:
        name = TRAINERS[course]
        return {
            "course_id": course,
            "title": COURSES[course],
            "status": "active" if name else "waitlisted",
            "purchases": [
                {"purchase_id": uuid5(course, str(tier)), "tier": tier, "status": "paid", "created_at": ""}
            ],
            "trainer": {"trainer_id": uuid5(course, name), "name": name} if name else None,
            "sessions_total": tier if name else None,
            "sessions_left": tier if name else None,
        }


class ShopIntake(RecordingIntake):
    """Commits what is bought, rings, and answers."""

    def __init__(self, log: ShopLog) -> None:
        super().__init__()
        self.log = log
        self.gateway: Gateway | None = None

    def submit(self, event: PaymentEvent, source: Source) -> None:
        threading.Thread(target=self._commit, args=(event, source), daemon=True).start()

    def _commit(self, event: PaymentEvent, source: Source) -> None:
        assert isinstance(event, PaymentSucceeded)
        assert self.gateway is not None
        owned = self.log.bought.setdefault(event.student_id, {})
        owned[event.course_id] = owned.get(event.course_id, 0) + event.tier
        for kind in ("PURCHASE_CREATED", "COURSE_PURCHASED", "COURSE_ACCESS_GRANTED"):
            frame = self.log.append(event.student_id, kind, payment_id=event.payment_id)
            # Redis may be away: then the log has to do.
            with contextlib.suppress(DoorbellAway):
                self.gateway.ring(event.student_id, frame)
        source.settle(Settled(Outcome.CREATED, uuid5(event.course_id, event.payment_id)))


def shop_gateway(redis_url: str, *, log: ShopLog | None = None, port: int = 0, **options: Any) -> Gateway:
    """A gateway in development mode, whose checkout button works."""
    log = log or ShopLog()
    intake = ShopIntake(log)

    async def courses() -> list[CourseForSale]:
        return [CourseForSale(course, title) for course, title in COURSES.items()]

    shop = DevShop(WEBHOOK_SECRET, courses)
    gateway = Gateway(redis_url, log=log, intake=intake, dev=shop, port=port, **options)
    intake.gateway = gateway
    return gateway

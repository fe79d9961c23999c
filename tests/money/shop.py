"""A node with Razorpay and Stripe, and their signed deliveries."""

import hashlib
import hmac
from typing import Any
from uuid import uuid4

from stripe import WebhookSignature

from actors.store.catalog import import_catalog
from tests.money import messages
from tests.node.house import House

RAZORPAY_SECRET = "razorpay of the shop's tests"
STRIPE_SECRET = "whsec_stripe_of_the_shops_tests"


class Course:
    """A course of its own for a test, with one trainer."""

    def __init__(self, url: str, capacity: int) -> None:
        self.id, self._trainer, self._url = str(uuid4()), str(uuid4()), url
        self.has_room_for(capacity)

    def has_room_for(self, capacity: int) -> None:
        """By the catalogue, as an operator does it."""
        trainer = {"trainer_id": self._trainer, "name": "Asha", "capacity": capacity, "courses": [self.id]}
        import_catalog(
            self._url, {"courses": [{"course_id": self.id, "title": "Algebra"}], "trainers": [trainer]}
        )


class Shop(House):
    """What two providers would send to a node."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(
            *arguments,
            **settings,
            KCACTORS_WEBHOOK_SECRETS_RAZORPAY=f"an older one,{RAZORPAY_SECRET}",
            KCACTORS_WEBHOOK_SECRETS_STRIPE=STRIPE_SECRET,
            # what comes of a delivery is asked here, not how fast
            KCACTORS_GATEWAY_WEBHOOK_DEADLINE_S="40",
        )

    def course(self, capacity: int = 10) -> Course:
        return Course(self.database_url, capacity)

    def razorpay(
        self, name: str, *, event_id: str | None = None, **entities: dict[str, Any]
    ) -> dict[str, Any]:
        """The answer to one delivery."""
        body = messages.razorpay(name, **entities)
        headers = {
            "X-Razorpay-Signature": hmac.new(RAZORPAY_SECRET.encode(), body, hashlib.sha256).hexdigest(),
            "x-razorpay-event-id": event_id or f"ev_{uuid4().hex}",
        }
        return self._said(*self.request("POST", "/api/v1/webhooks/razorpay", body, headers, timeout_s=45))

    def stripe(self, name: str, *, event_id: str | None = None, **members: Any) -> dict[str, Any]:
        body = messages.stripe(name, event_id=event_id or f"evt_{uuid4().hex}", **members)
        headers = {
            "Stripe-Signature": WebhookSignature.generate_signature_header(body.decode(), STRIPE_SECRET)
        }
        return self._said(*self.request("POST", "/api/v1/webhooks/stripe", body, headers, timeout_s=45))

    def _said(self, status: int, answer: dict[str, Any]) -> dict[str, Any]:
        assert status == 200, answer
        return answer

    def told(self, student: str) -> list[str]:
        """Types of the student's events, as the door gives them; the plan of sessions follows them in its own time."""
        told = [frame["event"] for frame in self.get(student, "events?after=0")["events"]]
        return [event for event in told if event != "SESSIONS_PLANNED"]

    def parked(self, payment_id: str) -> list[tuple[Any, ...]]:
        return self.rows(
            "select state, resolution from parked where payment_id = %s order by id", (payment_id,)
        )

    def inbox(self, provider: str, event_id: str) -> list[tuple[Any, ...]]:
        return self.rows(
            "select type, outcome from inbox where provider = %s and event_id = %s", (provider, event_id)
        )

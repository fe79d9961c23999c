"""Our check of a signature says yes and no exactly where the provider's own package does."""

import hashlib
import hmac
import random
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from razorpay.errors import SignatureVerificationError as RazorpayRefusal
from razorpay.utility import Utility
from stripe import SignatureVerificationError as StripeRefusal
from stripe import WebhookSignature

from gateway.webhooks.provider import BadSignature
from gateway.webhooks.razorpay import SIGNATURE_HEADER as RAZORPAY_HEADER
from gateway.webhooks.razorpay import RazorpayProvider
from gateway.webhooks.stripe import HEADER as STRIPE_HEADER
from gateway.webhooks.stripe import StripeProvider

CASES = 10_000
SECRET, OLD_SECRET = "whsec_of_today", "whsec_of_yesterday"
ALPHABET = 'abc{}[]":,=.0123456789 \n\u00e9\u20b9\U0001f600'


def body_of(rng: random.Random) -> str:
    return "".join(rng.choices(ALPHABET, k=rng.randrange(0, 60)))


def mutated(rng: random.Random, text: str) -> str:
    """One small change, of the kinds that a forger, a proxy or a bug makes."""
    if not text:
        return rng.choice(["", "=", ",", " ", "v1=", "t="])
    at = rng.randrange(len(text))
    change = rng.randrange(7)
    if change == 0:
        return text[:at] + rng.choice("0123456789abcdefgvt=, ") + text[at + 1 :]
    if change == 1:
        return text[:at] + text[at + 1 :]
    if change == 2:
        return text[:at] + rng.choice("=, tv0") + text[at:]
    if change == 3:
        return text.upper()
    if change == 4:
        return text[:at]
    if change == 5:
        return text + rng.choice([",", ",v1=", ",v0=00", ",t=1", ", v1=aa", "=", ",t", ",v1", " "])
    return rng.choice([" ", "t=1,", "v1=00,", ",", "v0=ab,", "t=,"]) + text


def says_yes(check: Callable[[], object], *refusals: type[Exception]) -> bool:
    try:
        check()
    except refusals:
        return False
    return True


def stripe_cases(rng: random.Random, now: int) -> Iterator[tuple[str, str]]:
    for _ in range(CASES):
        body = body_of(rng)
        signed_at = now - rng.choice([0, 1, 10, 200, 500, 100_000])
        secret = rng.choice([SECRET, SECRET, SECRET, OLD_SECRET, "another"])
        header = WebhookSignature.generate_signature_header(body, secret, signed_at)
        if rng.random() < 0.3:
            other = WebhookSignature.generate_signature_header(body, "another", signed_at)
            header = rng.choice([f"{header},{other.split(',')[1]}", f"{other},{header.split(',')[1]}"])
        if rng.random() < 0.5:
            for _ in range(rng.randrange(1, 3)):
                header = mutated(rng, header)
        if rng.random() < 0.2:
            body = mutated(rng, body)
        yield body, header


def test_stripes() -> None:
    rng = random.Random(1)
    provider = StripeProvider([SECRET, OLD_SECRET])
    now = int(time.time())
    yes = 0
    for body, header in stripe_cases(rng, now):
        theirs = any(
            says_yes(
                partial(WebhookSignature.verify_header, body, header, secret, 300),
                StripeRefusal,
                TypeError,
            )
            for secret in (SECRET, OLD_SECRET)
        )
        ours = says_yes(
            partial(provider.check, {STRIPE_HEADER: header}, body.encode(), float(now)),
            BadSignature,
        )
        assert ours is theirs, (body, header)
        yes += ours
    assert CASES * 0.2 < yes < CASES * 0.8


def test_razorpays() -> None:
    rng = random.Random(2)
    utility, provider = Utility(), RazorpayProvider([SECRET, OLD_SECRET])
    yes = 0
    for _ in range(CASES):
        body = body_of(rng)
        header = razorpay_signature(body, rng.choice([SECRET, SECRET, OLD_SECRET, "another"]))
        if rng.random() < 0.4:
            header = mutated(rng, header)
        if rng.random() < 0.2:
            body = mutated(rng, body)
        theirs = any(
            says_yes(
                partial(utility.verify_webhook_signature, body, header, secret),
                RazorpayRefusal,
                TypeError,
            )
            for secret in (SECRET, OLD_SECRET)
        )
        ours = says_yes(
            partial(provider.check, {RAZORPAY_HEADER: header}, body.encode(), 0.0),
            BadSignature,
        )
        assert ours is theirs, (body, header)
        yes += ours
    assert CASES * 0.2 < yes < CASES * 0.8


def razorpay_signature(body: str, secret: str) -> str:
    """Razorpay's package only checks; that it says yes to this is part of the test."""
    digest = hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()
    assert Utility().verify_webhook_signature(body, digest, secret)
    return digest


@pytest.mark.parametrize(
    ("ahead_s", "good"), [(-301, False), (-300, True), (0, True), (300, True), (301, False), (10**30, False)]
)
def test_a_time_too_far_from_now_on_either_side_is_refused(ahead_s: int, *, good: bool) -> None:
    """Where we are stricter than Stripe's package: it lets the future pass."""
    now = 1_700_000_000
    header = WebhookSignature.generate_signature_header("{}", SECRET, now + ahead_s)
    provider = StripeProvider([SECRET])
    assert says_yes(lambda: provider.check({STRIPE_HEADER: header}, b"{}", float(now)), BadSignature) is good


@pytest.mark.parametrize(
    "headers", [{}, {STRIPE_HEADER: "", RAZORPAY_HEADER: ""}, {STRIPE_HEADER: "t=" + "9" * 5000 + ",v1=a"}]
)
def test_no_signature_is_a_refusal(headers: dict[str, str]) -> None:
    for provider in (StripeProvider([SECRET]), RazorpayProvider([SECRET])):
        with pytest.raises(BadSignature):
            provider.check(headers, b"{}", 0.0)


def test_bytes_that_are_no_text_are_checked_as_bytes() -> None:
    raw = b'{"x":"\xff"}'
    RazorpayProvider([SECRET]).check(
        {RAZORPAY_HEADER: hmac.new(SECRET.encode(), raw, hashlib.sha256).hexdigest()}, raw, 0.0
    )


@pytest.mark.parametrize("provider", [StripeProvider, RazorpayProvider])
def test_a_provider_without_secrets_is_none(provider: Callable[[list[str]], object]) -> None:
    with pytest.raises(ValueError, match="without secrets"):
        provider([])

"""The learning page behind another tab, where browsers slow timers down: the course is there before anybody looks."""

from uuid import uuid4

import pytest

from tests.gateway.devtools import browser
from tests.gateway.shop import shop_gateway
from tests.gateway.support import token
from tests.gateway.test_page import ALGEBRA, ENGLISH, LIMITS, pay_elsewhere, program

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

LIVE = "document.querySelector('#status')?.dataset.state === 'live'"
HIDDEN = "document.visibilityState === 'hidden'"


def has(course) -> str:
    return f"document.querySelector('#courses li.card[data-course=\"{course}\"]') !== null"


def test_a_hidden_tab_misses_nothing(redis_url, tmp_path):
    path = program()
    assert path is not None
    student = uuid4()
    with shop_gateway(redis_url, limits=LIMITS) as shop, browser(path, str(tmp_path)) as chromium:
        page = chromium.tab(f"{shop.url}/students/{student}#token={token(student)}")
        page.until(LIVE)
        assert not page.value(HIDDEN)
        other = chromium.tab("about:blank")
        other.bring_to_front()
        page.until(HIDDEN)
        pay_elsewhere(shop, student, ALGEBRA)
        page.until(has(ALGEBRA))
        # Its connection ends while nobody looks: it comes back all the same.
        shop.in_loop(shop.door.hub.drain(0.0))
        pay_elsewhere(shop, student, ENGLISH)
        page.until(has(ENGLISH), timeout_s=30)
        assert page.value(HIDDEN)
        page.bring_to_front()
        page.until(f"!({HIDDEN})")
        page.until(LIVE)

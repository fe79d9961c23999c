"""The learning page in a real browser: pay, be away, come back; the course is there."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from actors.protocol.outcome import Settled
from actors.protocol.payments import PaymentSucceeded
from gateway.limits import GatewayLimits
from tests.gateway.shop import ShopLog, shop_gateway
from tests.gateway.support import Gateway, payment, token
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

ARTIFACTS = Path(__file__).parent.parent / "artifacts"
ALGEBRA, ENGLISH, PHYSICS = (UUID(int=n) for n in (1, 2, 3))
LIMITS = GatewayLimits(drain_s=0.2, ping_s=2.0, poll_s=0.2, down_grace_s=0.2)


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where the browser group runs

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program(),
            args=["--no-sandbox"],
            # Playwright switches the back/forward cache off, and every browser has it on.
            ignore_default_args=["--disable-back-forward-cache"],
        )
        yield browser
        browser.close()


def program() -> str | None:
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture
def shop(redis_url) -> Iterator[Gateway]:
    with shop_gateway(redis_url, limits=LIMITS) as gateway:
        yield gateway


class Screen:
    """One tab of a student, and everything that the browser complained about."""

    def __init__(self, context, gateway: Gateway, student: UUID) -> None:
        self.student = student
        self.page = context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(f"{gateway.url}/students/{student}#token={token(student)}")

    def _console(self, message) -> None:
        # A connection that is refused while the gateway is away is reported by the browser itself.
        if (
            message.type in {"error", "warning"}
            and "ERR_" not in message.text
            and "WebSocket" not in message.text
        ):
            self.complaints.append(message.text)

    def status(self, state: str, timeout_s: float = 15) -> None:
        self.page.wait_for_selector(f'#status[data-state="{state}"]', timeout=timeout_s * 1000)

    def shows(self, course: UUID, timeout_s: float = 10) -> None:
        self.page.wait_for_selector(f'#courses li.card[data-course="{course}"]', timeout=timeout_s * 1000)

    def buy(self, course: UUID) -> None:
        self.page.click(f'#offers button[data-course="{course}"]')

    def until(self, condition: str, timeout_s: float = 15) -> None:
        """Wait until JavaScript says so."""
        # Not wait_for_function: the page's policy forbids the eval that it needs.
        wait_until(lambda: self.page.evaluate(condition), timeout_s, what=condition)

    def keep(self, name: str) -> None:
        ARTIFACTS.mkdir(exist_ok=True)
        self.page.screenshot(
            path=str(ARTIFACTS / f"learning-{name}.png"), full_page=True, animations="disabled"
        )


@pytest.fixture
def context(chromium):
    context = chromium.new_context(viewport={"width": 390, "height": 844}, device_scale_factor=2)
    yield context
    context.close()


def pay_elsewhere(gateway: Gateway, student: UUID, course: UUID) -> None:
    """A payment that this page knows nothing of."""

    class Heard:
        def __init__(self) -> None:
            self.done = threading.Event()

        def settle(self, settled: Settled) -> None:
            self.done.set()

    heard = Heard()
    fields = payment(student, course_id=str(course))
    fields.pop("type")
    event = PaymentSucceeded(
        **{
            **fields,
            "student_id": student,
            "course_id": course,
            "occurred_at": gateway.log.now(),
        }
    )
    gateway.intake.submit(event, heard)
    assert heard.done.wait(5)


def test_pay_and_the_course_appears_without_a_refresh(shop, context):
    screen = Screen(context, shop, uuid4())
    screen.status("live")
    assert "token" not in screen.page.url
    screen.keep("empty")
    loads: list[str] = []
    screen.page.on("framenavigated", lambda frame: loads.append(frame.url))
    screen.buy(ALGEBRA)
    screen.shows(ALGEBRA)
    assert screen.page.text_content(".trainer-name") == "Asha Rao"
    assert screen.page.text_content(".count") == "10 of 10 sessions left"
    assert "arrived" in (screen.page.get_attribute("#courses li.card", "class") or "")
    screen.buy(PHYSICS)
    screen.shows(PHYSICS)
    screen.buy(ALGEBRA)
    screen.page.wait_for_selector("text=20 of 20 sessions left")
    screen.keep("courses")
    assert loads == []
    assert screen.complaints == []


def test_dark_and_wide(shop, chromium):
    context = chromium.new_context(viewport={"width": 1100, "height": 700}, color_scheme="dark")
    screen = Screen(context, shop, uuid4())
    screen.buy(ALGEBRA)
    screen.shows(ALGEBRA)
    screen.status("live")
    screen.keep("dark")
    background = screen.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in background.removeprefix("rgb(").removesuffix(")").split(",")) < 60
    assert screen.complaints == []
    context.close()


def test_two_tabs_show_the_same(shop, context):
    student = uuid4()
    first, second = Screen(context, shop, student), Screen(context, shop, student)
    for screen in (first, second):
        screen.status("live")
    second.buy(ENGLISH)
    for screen in (first, second):
        screen.shows(ENGLISH)
        assert screen.complaints == []


@pytest.mark.parametrize("away_s", [1, pytest.param(30, marks=pytest.mark.soak)])
def test_offline_while_a_payment_is_made(shop, context, away_s):
    screen = Screen(context, shop, uuid4())
    screen.status("live")
    context.set_offline(True)
    screen.status("offline")
    left_ms = screen.page.evaluate("performance.now()")
    screen.keep("offline")
    pay_elsewhere(shop, screen.student, ALGEBRA)
    screen.until(f"performance.now() - {left_ms} >= {away_s * 1000}", timeout_s=away_s + 15)
    assert screen.page.query_selector("#courses li.card[data-course]") is None
    context.set_offline(False)
    screen.shows(ALGEBRA)
    screen.status("live")
    assert screen.complaints == []


def test_out_of_the_back_forward_cache(shop, context):
    """The page was put to sleep as it was, and is woken without being loaded."""
    student = uuid4()
    context.add_init_script(
        "window.shown = []; window.loaded = Math.random();"
        "addEventListener('pageshow', (e) => shown.push(e.persisted));"
    )
    screen = Screen(context, shop, student)
    screen.status("live")
    loaded = screen.page.evaluate("window.loaded")
    screen.page.goto(f"{shop.url}/docs")
    wait_until(lambda: shop.door.hub.sessions == 0, what="the sleeping page has let go of its socket")
    pay_elsewhere(shop, student, ALGEBRA)
    # No load event follows: that it does not come is what the cache is.
    screen.page.go_back(wait_until="commit")
    screen.shows(ALGEBRA)
    screen.status("live")
    why = screen.page.evaluate(
        "JSON.stringify(performance.getEntriesByType('navigation')[0].notRestoredReasons)"
    )
    assert screen.page.evaluate("window.shown") == [False, True], why
    assert screen.page.evaluate("window.loaded") == loaded
    assert screen.complaints == []


def test_a_network_that_lets_no_websocket_through(shop, context):
    context.add_init_script(
        "window.WebSocket = class { constructor() { setTimeout(() => this.onclose({ code: 1006 })); } close() {} };"
    )
    screen = Screen(context, shop, uuid4())
    screen.status("live", timeout_s=30)
    pay_elsewhere(shop, screen.student, PHYSICS)
    screen.shows(PHYSICS)
    shop.in_loop(shop.door.hub.drain(0.0))
    pay_elsewhere(shop, screen.student, ENGLISH)
    screen.shows(ENGLISH, timeout_s=30)
    assert shop.door.hub.sessions == 0
    assert screen.complaints == []


def test_another_tab_in_front(shop, context):
    screen = Screen(context, shop, uuid4())
    screen.status("live")
    other = context.new_page()
    other.bring_to_front()
    pay_elsewhere(shop, screen.student, ENGLISH)
    screen.shows(ENGLISH)
    screen.page.bring_to_front()
    screen.status("live")


def test_the_gateway_is_restarted_under_it(redis_url, context):
    log = ShopLog()
    with shop_gateway(redis_url, log=log, limits=LIMITS) as first:
        screen = Screen(context, first, uuid4())
        screen.status("live")
        first.in_loop(first.door.drain(0.1))
        first.kill()
        screen.status("offline")
        with shop_gateway(redis_url, log=log, limits=LIMITS, port=first.port) as second:
            pay_elsewhere(second, screen.student, PHYSICS)
            screen.shows(PHYSICS, timeout_s=30)
            screen.status("live")


def test_redis_away_is_catching_up_and_the_course_comes_all_the_same(redis_proxy, redis_url, context):
    with shop_gateway(redis_proxy.url(redis_url), limits=LIMITS) as shop:
        screen = Screen(context, shop, uuid4())
        screen.status("live")
        redis_proxy.stop()
        screen.status("catching-up")
        pay_elsewhere(shop, screen.student, ALGEBRA)
        screen.shows(ALGEBRA)
        redis_proxy.start()
        screen.status("live")


def test_without_a_token_it_says_what_to_do(shop, context):
    page = context.new_page()
    page.goto(f"{shop.url}/students/{uuid4()}")
    assert "link from your account" in (page.text_content("#notice") or "")


def test_a_revoked_student_is_told(shop, context):
    screen = Screen(context, shop, uuid4())
    screen.status("live")
    shop.publisher.publish([("kcactors:revoke", str(screen.student))])
    screen.status("stopped")
    wait_until(lambda: "withdrawn" in (screen.page.text_content("#notice") or ""))

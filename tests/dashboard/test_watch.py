import asyncio
import time

import pytest

from supervision import System
from supervision.dashboard.census import SHARE_MAX, Census
from supervision.dashboard.lease import Leases
from supervision.dashboard.meter import Cost, Meter
from supervision.dashboard.pulse import Pulse
from supervision.dashboard.watch import VERDICTS_KEPT, Watch
from tests.support.waiting import wait_until


def tapped(ref) -> bool:
    return "on_receive" in vars(ref.cell.behaviour)


def test_verdicts_are_taken_down_only_while_somebody_looks(tree):
    ledger = tree.ledgers[0]
    watch = Watch(tree.system, lease_s=0.3)
    ledger.ask("before", timeout=10)
    assert watch.look(ledger) == []
    wait_until(lambda: tapped(ledger))
    ledger.ask("seen", timeout=10)
    assert [(one.message, one.verdict) for one in watch.look(ledger)] == [("'seen'", "handled")]
    wait_until(lambda: not tapped(ledger), what="the tap is taken off after the lease")
    assert watch.watched == 0
    assert ledger.ask("unseen", timeout=10) == "unseen"


def test_a_failure_is_a_verdict_and_a_restart_keeps_the_watch(tree):
    student = "s"
    tree.students.tell(student, "hello")
    ref = wait_until(lambda: tree.students.ref(student))
    watch = Watch(tree.system, lease_s=30)
    watch.look(ref)
    wait_until(lambda: ref.cell.behaviour is not None and tapped(ref))
    tree.students.tell(student, "bug")
    wait_until(lambda: tree.parked and ref.cell.behaviour is not None)
    assert any("failed" in one.verdict for one in watch.look(ref))
    wait_until(lambda: (watch.look(ref), ref.cell.behaviour is not None and tapped(ref))[1])
    tree.students.tell(student, "again")
    wait_until(lambda: watch.look(ref)[0].message == "'again'")


def test_only_so_many_verdicts_are_kept(tree):
    ledger = tree.ledgers[0]
    watch = Watch(tree.system, lease_s=30)
    watch.look(ledger)
    wait_until(lambda: tapped(ledger))
    for n in range(VERDICTS_KEPT + 10):
        ledger.tell(n)
    ledger.ask("last", timeout=10)
    verdicts = watch.look(ledger)
    assert len(verdicts) == VERDICTS_KEPT
    assert verdicts[0].message == "'last'"


def test_leases_end_and_the_crowd_is_bounded():
    now = [0.0]
    ended: list[str] = []
    leases = Leases(lambda: now[0], 10.0, 2, ended.append)
    assert leases.renew("a")
    now[0] = 1.0
    leases.renew("b")
    assert not leases.renew("a")
    leases.renew("c")
    assert ended == ["b"], "the one that would have ended first"
    assert leases.sweep() == 10.0
    now[0] = 11.0
    assert leases.sweep() is None
    assert ended == ["b", "a", "c"]
    assert leases.held == 0


def test_a_sample_is_shared_and_nothing_is_taken_without_a_look(tree):
    pulse = Pulse(tree.system, Meter(), Census(tree.system), every_s=3600)
    assert pulse.sample() is pulse.sample()
    assert len(pulse.rates) == 1


def test_the_meter_counts_the_last_minute():
    now, spent = [100.0], [0.0]
    process = [50.0]
    meter = Meter(lambda: now[0], lambda: spent[0], lambda: process[0])
    now[0] = 160.0
    with meter.measured(), meter.measured():
        spent[0] += 0.6
        process[0] += 0.6
    process[0] += 5.4
    cost = meter.cost()
    assert (cost.of_core, cost.of_process) == pytest.approx((0.01, 0.1)), "a block within another counts once"
    now[0] = 221.0
    assert meter.cost() == Cost(0.0, 0.0)
    assert meter.total_s == pytest.approx(0.6)


def test_the_meter_counts_the_steps_of_what_is_awaited_and_not_what_runs_between_them():
    spent = [0.0]
    meter = Meter(spent=lambda: spent[0])

    async def page() -> str:
        spent[0] += 1.0
        try:
            await asyncio.sleep(0)
        finally:
            spent[0] += 2.0
        raise LookupError("the page's own")

    async def others() -> None:
        spent[0] += 100.0

    async def both() -> list[object]:
        work = asyncio.gather(_awaited(meter.charged(page())), others(), return_exceptions=True)
        return list(await work)

    first, _ = asyncio.run(both())
    assert isinstance(first, LookupError)
    assert meter.total_s == 3.0


def test_what_is_charged_can_be_cancelled():
    meter = Meter()
    ended: list[str] = []

    async def page() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def cancel() -> None:
        task = asyncio.ensure_future(_awaited(meter.charged(page())))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()

    asyncio.run(cancel())
    assert ended == ["cancelled"]


async def _awaited(work):
    return await work


def test_a_census_that_takes_long_is_made_seldom(tree):
    class Slow(System):
        walks = 0

        def cells(self):
            self.walks += 1
            until = time.thread_time() + 0.05
            while time.thread_time() < until:
                pass
            return super().cells()

    system = Slow("slow")
    try:
        census = Census(system)
        census.count()
        census.count()
        assert system.walks == 1
        assert census._next_s - system.now() > 0.05 / SHARE_MAX - 1
    finally:
        system.stop(5)

import asyncio
import logging
import threading

import pytest

from tests.support.waiting import wait_until, wait_until_async


def test_returns_what_the_condition_returned():
    answers = iter([0, None, "there"])
    assert wait_until(lambda: next(answers)) == "there"


def test_a_failed_assertion_means_not_yet():
    tries = []

    def condition():
        tries.append(1)
        assert len(tries) > 2
        return True

    assert wait_until(condition)


def test_too_late_says_what_was_wanted_and_seen():
    with pytest.raises(AssertionError, match=r"after 0.02 s still not: peace; last seen: 0"):
        wait_until(lambda: 0, timeout_s=0.02, what="peace")


def test_on_a_loop_conditions_may_be_coroutines():
    answers = iter([False, True])

    async def condition():
        return next(answers)

    async def main():
        assert await wait_until_async(condition)
        with pytest.raises(AssertionError, match="never"):
            await wait_until_async(lambda: False, timeout_s=0.02, what="never")

    asyncio.run(main())


def test_log_watch_waits_for_a_record_of_another_thread(log_watch):
    threading.Timer(0.02, logging.getLogger("kc.test").debug, args=["came %d", 7]).start()
    assert log_watch.wait_for("came 7", logger="kc").name == "kc.test"
    assert log_watch.find("came", logger="k") == []
    with pytest.raises(AssertionError, match="no 2 log records"):
        log_watch.wait_for("came", count=2, timeout_s=0.02)

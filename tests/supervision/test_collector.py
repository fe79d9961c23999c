"""The garbage collector: no pass is long, and nothing that comes and goes waits for one."""

import gc

from supervision import Actor, ChildSpec, Collector
from supervision.cellstate import Pill
from supervision.collector import YOUNG
from tests.support.waiting import wait_until

PATIENCE_S = 10.0


class Silent(Actor):
    def on_receive(self, message):
        return message


def test_tending_keeps_the_collector_away_from_what_lives():
    collector = Collector(thaw_every=2)
    try:
        keep = [[number] for number in range(1000)]
        collector.tend()
        assert gc.get_freeze_count() > 1000
        before = collector.pauses.count
        collector.tend()
        assert collector.pauses.count > before
        assert keep
    finally:
        collector.close()
    assert gc.get_freeze_count() == 0


def test_no_pass_walks_over_what_an_earlier_one_has_seen():
    collector = Collector()
    try:
        collector.tend()
        before = collector.pauses.count
        keep = [[number] for number in range(10 * YOUNG)]
        assert collector.pauses.count >= before + 9
        # neither generation holds what has come since, so a pass of any of them is as short as one of the youngest
        assert len(gc.get_objects()) < 2 * YOUNG
        assert keep
    finally:
        collector.close()


def test_a_stop_leaves_nothing_for_the_collector(system):
    gc.collect()
    gc.disable()
    try:
        ref = system.start_child(None, ChildSpec("a", Silent))
        for _ in range(100):
            ref.tell("hello")
        system.stop_child(ref)
        wait_until(lambda: not any(type(thing) is Pill for thing in gc.get_objects()), PATIENCE_S)
    finally:
        gc.enable()

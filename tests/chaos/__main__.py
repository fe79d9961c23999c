"""``python -m tests.chaos``: storms, one after the other, each from its seed, with a report of all of them.

Exit code 0 when the promise held in all of them, 1 when not.
"""

import argparse
import sys
import time

import msgspec

from tests.chaos import report
from tests.chaos.cluster import Cluster
from tests.chaos.storm import QUICK, QUICK_SEEDS, Found, Storm, run
from tests.support.apache_kafka import ApacheKafka
from tests.support.kafka_jars import CACHE

FOLDER = CACHE.parent / "chaos"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three small ones that have every kind of fault")
    parser.add_argument("--seeds", type=int, default=20, help="how many storms")
    parser.add_argument("--first", type=int, default=1, help="seed of the first one")
    parser.add_argument("--payments", type=int, default=10_000, help="of one storm; each is delivered twice")
    parser.add_argument("--rate", type=float, default=400.0, help="deliveries a second")
    parser.add_argument("--pause", type=float, default=3.0, help="seconds between faults, about")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--brokers", type=int, default=3, choices=(1, 3))
    parser.add_argument("--json", action="store_true", help="one object per storm on standard output")
    wanted = parser.parse_args()
    if wanted.quick:
        storms = [msgspec.structs.replace(QUICK, seed=seed) for seed in QUICK_SEEDS]
        wanted.brokers = 1
    else:
        shape = {"payments": wanted.payments, "rate_per_s": wanted.rate, "pause_s": wanted.pause}
        storms = [Storm(seed=wanted.first + number, **shape) for number in range(wanted.seeds)]
    found: list[Found] = []
    with Cluster(ApacheKafka(wanted.brokers), nodes=wanted.nodes) as cluster:
        for storm in storms:
            found.append(one(cluster, storm, wanted.nodes))
            report.write(FOLDER, found)
            say(found[-1], as_json=wanted.json)
    broken = sum(bool(storm.wrong) for storm in found)
    print(
        f"{len(found) - broken} of {len(found)} storms were survived: {FOLDER / report.NAME}", file=sys.stderr
    )
    return 1 if broken else 0


def one(cluster: Cluster, storm: Storm, nodes: int) -> Found:
    """A storm over an empty service on servers that may have seen others."""
    print(f"seed {storm.seed}: {nodes} nodes, {len(cluster.kafka.ids)} brokers", file=sys.stderr, flush=True)
    cluster.renew()
    for number in range(nodes):
        cluster.start_node(number)
    cluster.wait_ready()
    found = run(cluster, storm, lambda text: print(f"  {text}", file=sys.stderr, flush=True))
    if found.wrong:
        keep_logs(cluster, storm.seed)
    return found


def say(found: Found, *, as_json: bool) -> None:
    """What happened and what the audit found."""
    if as_json:
        print(msgspec.json.encode(found).decode(), flush=True)
        return
    verdict = "kept" if not found.wrong else "BROKEN"
    print(
        f"seed {found.seed}: {found.deliveries} deliveries, {len(found.faults)} faults and healings in"
        f" {found.seconds:.0f} s, {found.purchases} purchases: the promise was {verdict}",
        flush=True,
    )
    for wrong in found.wrong:
        print(f"  {wrong}", flush=True)


def keep_logs(cluster: Cluster, seed: int) -> None:
    """A storm that broke something leaves its nodes' logs behind."""
    kept = FOLDER / f"{seed}-{time.strftime('%H%M%S')}"
    kept.mkdir(parents=True, exist_ok=True)
    for number in cluster.nodes:
        (kept / f"node-{number}.log").write_bytes(cluster.log(number).read_bytes())
    print(f"  the nodes' logs are in {kept}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

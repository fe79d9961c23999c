"""What the nodes themselves say in their metrics: which stage caught the duplicates, and how many students are awake.

Beside the verdict, never part of it: that asks the tables.
"""

from __future__ import annotations

import http.client
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from kcactors.exits import ServiceAway

_TIMEOUT_S: Final = 5.0


class Nodes:
    """Reads ``/metrics`` of each node. Every method raises `ServiceAway` when a node does not answer."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = list(urls)

    def absorbed(self) -> Counter[str]:
        """Duplicates so far, by the stage that caught them, over all nodes."""
        found: Counter[str] = Counter()
        for sample in self._samples("kcactors_duplicates_total"):
            found[sample.labels["stage"]] += int(sample.value)
        return found

    def students_awake(self) -> int:
        """Students' actors that are alive, over all nodes."""
        return sum(
            int(sample.value)
            for sample in self._samples("kcactors_actors")
            if sample.labels["class"] == "Student"
        )

    def _samples(self, name: str) -> Iterator[Sample]:
        for url in self._urls:
            for family in text_string_to_metric_families(_metrics(url)):
                yield from (sample for sample in family.samples if sample.name == name)


def _metrics(url: str) -> str:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(str(parts.hostname), parts.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise ServiceAway(f"the node at {url}", str(error) or type(error).__name__) from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise ServiceAway(f"the node at {url}", f"/metrics answered {answer.status}")
    return body.decode()

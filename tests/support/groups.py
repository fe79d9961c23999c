"""Groups of tests that need something which not every machine has.

A group is a marker. What this machine lacks is left out by name; with ``CI=true`` it is a failure instead, so that a
build server cannot pass by lacking things. Groups "on demand" run only when asked for (``pytest --with chaos``).
Tests that use the fixtures of a server belong to its group by themselves.
"""

import importlib.util
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import pytest

from kcactors.embedded import ServerMissing, librdkafka, postgres_install, redis


class Group(NamedTuple):
    """A marker, what its tests need, and why this machine cannot run them (None: it can).

    A test that uses one of ``fixtures``, however deep, has the marker by itself.
    """

    name: str
    what: str
    lacking: Callable[[], str | None]
    fixtures: tuple[str, ...] = ()
    on_demand: bool = False
    in_ci: bool = True
    """Whether a build server that lacks it is broken."""


def _server(find: Callable[[], object]) -> Callable[[], str | None]:
    def lacking() -> str | None:
        try:
            find()
        except ServerMissing as missing:
            return str(missing)
        return None

    return lacking


def _no_browser() -> str | None:
    if importlib.util.find_spec("playwright") is None:
        return "Playwright for Python is not installed"
    if not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        return "Chromium is not installed"
    return None


def _no_java() -> str | None:
    java = shutil.which("java")
    if java is None or shutil.which("mvn") is None:
        return "Java 17 or Maven is not installed"
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    return None if version and int(version[1]) >= 17 else "Java is older than 17"


GROUPS = (
    Group("postgres", "PostgreSQL", _server(lambda: postgres_install.programs(None)), ("postgres_server",)),
    Group("redis", "Redis", _server(redis.program), ("redis_server",)),
    Group("kafka", "the in-memory Kafka broker", _server(librdkafka.library), ("kafka_broker",)),
    Group("node_js", "Node.js", lambda: None if shutil.which("node") else "Node.js is not installed"),
    Group("browser", "a browser", _no_browser),
    Group(
        "promtool",
        "promtool",
        lambda: None if shutil.which("promtool") else "promtool is not installed",
        in_ci=False,
    ),
    Group("real_kafka", "Apache Kafka on Java", _no_java, ("apache_kafka", "apache_trio")),
    Group("chaos", "more time than `make test` has: `make chaos`", lambda: None, on_demand=True),
    Group("soak", "more time than `make test` has: `make soak`", lambda: None, on_demand=True),
)

LEFT_OUT = "left out: "


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--with",
        action="append",
        default=[],
        dest="wanted_groups",
        metavar="GROUP",
        help="run this group too, which otherwise runs only on demand",
    )


def pytest_configure(config: pytest.Config) -> None:
    for group in GROUPS:
        config.addinivalue_line("markers", f"{group.name}: needs {group.what}")
    config.addinivalue_line("markers", "group_missing: set here, for tests that CI must run and cannot")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reasons = {group.name: _reason(group, config) for group in GROUPS}
    for item in items:
        used = getattr(item, "fixturenames", ())
        for group in GROUPS:
            if any(name in used for name in group.fixtures):
                item.add_marker(group.name)
            reason = reasons[group.name]
            if reason is None or item.get_closest_marker(group.name) is None:
                continue
            if os.environ.get("CI") == "true" and group.in_ci and not group.on_demand:
                item.add_marker(pytest.mark.group_missing(f"{group.name}: {reason}"))
            else:
                item.add_marker(pytest.mark.skip(reason=f"{LEFT_OUT}{group.name}: {reason}"))


def _reason(group: Group, config: pytest.Config) -> str | None:
    if group.on_demand and group.name not in config.getoption("wanted_groups"):
        return f"needs {group.what}"
    return group.lacking()


def pytest_runtest_setup(item: pytest.Item) -> None:
    missing = item.get_closest_marker("group_missing")
    if missing is not None:
        pytest.fail(f"CI has to run every group; {missing.args[0]}", pytrace=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    # Read from the reports, since tests that run in processes of their own are collected there and not here.
    left_out = Counter(
        said.split(LEFT_OUT, 1)[1]
        for report in terminalreporter.stats.get("skipped", [])
        if LEFT_OUT
        in (said := str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr))
    )
    if left_out:
        terminalreporter.section("groups left out")
    for group, count in sorted(left_out.items()):
        name, _, reason = group.partition(": ")
        terminalreporter.line(f"{name}: {count} {'test' if count == 1 else 'tests'}: {reason}")

"""Every test's surroundings. The fixtures stand in ``tests/support``, one topic a module."""

pytest_plugins = [
    "tests.support.groups",
    "tests.support.logs",
    "tests.support.postgres",
    "tests.support.redis",
    "tests.support.kafka",
    "tests.support.apache_kafka",
    "tests.support.faults",
]

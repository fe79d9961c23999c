"""The few functions of librdkafka that make a mock cluster, from the library in the confluent-kafka wheel.

The wheel's Python side offers a cluster too, but not the number of a topic's partitions nor a broker that goes away.
Source: rdkafka_mock.h of librdkafka 2.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
from pathlib import Path

from kcactors.embedded.errors import ServerMissing

PRODUCER = 0
BROKER_ID = 1
TOPIC_ALREADY_EXISTS = 36
UNKNOWN_TOPIC = 3

_POINTER, _TEXT, _INT, _INT32 = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int32
_SIGNATURES: dict[str, tuple[type | None, list[type]]] = {
    "rd_kafka_conf_new": (_POINTER, []),
    "rd_kafka_conf_set": (_INT, [_POINTER, _TEXT, _TEXT, _TEXT, ctypes.c_size_t]),
    "rd_kafka_new": (_POINTER, [_INT, _POINTER, _TEXT, ctypes.c_size_t]),
    "rd_kafka_destroy": (None, [_POINTER]),
    "rd_kafka_mock_cluster_new": (_POINTER, [_POINTER, _INT]),
    "rd_kafka_mock_cluster_destroy": (None, [_POINTER]),
    "rd_kafka_mock_cluster_bootstraps": (_TEXT, [_POINTER]),
    "rd_kafka_mock_topic_create": (_INT, [_POINTER, _TEXT, _INT, _INT]),
    "rd_kafka_mock_topic_delete": (_INT, [_POINTER, _TEXT]),
    "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [_POINTER, _INT32]),
    "rd_kafka_mock_broker_set_down": (_INT, [_POINTER, _INT32]),
    "rd_kafka_mock_broker_set_up": (_INT, [_POINTER, _INT32]),
    "rd_kafka_mock_broker_set_host_port": (None, [_POINTER, _INT32, _TEXT, _INT]),
}


@functools.cache
def library() -> ctypes.CDLL:
    """The library, with the signatures of the functions above set.

    Raises:
        ServerMissing: the wheel is not installed, or its library lacks one of them.
    """
    spec = importlib.util.find_spec("confluent_kafka")
    for location in (spec.submodule_search_locations if spec else None) or []:
        package = Path(location)
        # Linux wheels keep it beside the package, macOS wheels inside.
        folders = (package.with_name("confluent_kafka.libs"), package / ".dylibs")
        found = sorted(path for folder in folders for path in folder.glob("librdkafka*"))
        if found:
            return _with_signatures(ctypes.CDLL(str(found[0])))
    raise ServerMissing(
        "the Kafka broker is not here: install kcactors[embedded] (its wheel confluent-kafka brings it)"
    )


def _with_signatures(loaded: ctypes.CDLL) -> ctypes.CDLL:
    for name, (result, arguments) in _SIGNATURES.items():
        try:
            function = getattr(loaded, name)
        except AttributeError as error:
            raise ServerMissing(f"this confluent-kafka has no {name}: install the locked version") from error
        function.restype, function.argtypes = result, arguments
    return loaded

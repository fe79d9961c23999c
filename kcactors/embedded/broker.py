"""The process of the in-memory Kafka broker: ``python -m kcactors.embedded.broker DESCRIPTOR GROUP_DELAY_MS``.

It takes commands, one JSON line each, from the socket that it inherited, answers each with one line, and ends when its
owner closes the other end.
"""

from __future__ import annotations

import signal
import socket
import sys
from typing import Final

import msgspec

from kcactors.embedded.broker_words import Answer, Command
from kcactors.embedded.errors import ServiceTrouble
from kcactors.embedded.mock_cluster import MockCluster

VERBS: Final = frozenset({"create_topic", "delete_topic", "set_down", "set_up", "advertise"})


def serve(channel: socket.socket, group_delay_ms: int) -> None:
    """Greet, then obey until the owner hangs up."""
    with channel, channel.makefile("rwb", buffering=0) as lines:
        try:
            cluster = MockCluster(group_delay_ms=group_delay_ms)
        except ServiceTrouble as trouble:
            lines.write(msgspec.json.encode(Answer(refused=str(trouble))) + b"\n")
            return
        lines.write(msgspec.json.encode(Answer(bootstrap=cluster.bootstrap)) + b"\n")
        for line in lines:
            command = msgspec.json.decode(line, type=Command)
            answer = Answer()
            try:
                if command.verb not in VERBS:
                    answer.refused = f"the Kafka broker knows no command {command.verb!r}"
                else:
                    getattr(cluster, command.verb)(*command.args)
            except ServiceTrouble as trouble:
                answer.refused = str(trouble)
            lines.write(msgspec.json.encode(answer) + b"\n")
        cluster.close()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))

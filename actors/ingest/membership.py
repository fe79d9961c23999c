"""How to be a member of a consumer group."""

import msgspec


class Membership(msgspec.Struct, frozen=True, kw_only=True):
    """Of which group, for which topic, and how patiently.

    ``drain_s``: how long moved partitions may take to finish what is in flight. ``session_timeout_ms``: silence after
    which the group gives our partitions away. ``fetch_wait_ms``: how long the broker may hold back an empty fetch.
    ``beside``: a topic that is not read, whose partitions are counted too.
    """

    topic: str
    group_id: str
    client_id: str
    drain_s: float = 5.0
    fetch_wait_ms: int = 25
    session_timeout_ms: int = 45_000
    poll_max_records: int = 1_000
    beside: str | None = None

    @property
    def heartbeat_ms(self) -> int:
        """A member hears of a rebalance with its next heartbeat, and all wait for the last one to hear."""
        return max(100, min(1_000, self.session_timeout_ms // 6))

    @property
    def silence_max_ms(self) -> int:
        """A member that beats but does not poll holds up every rebalance for so long, at most."""
        return max(30_000, 2 * self.session_timeout_ms)

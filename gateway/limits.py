"""Every limit of the door, with its unit in its name. The roof maps one setting to each."""

from __future__ import annotations

import msgspec


class GatewayLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Defaults come from measurements and from what Centrifugo and its users learned about them."""

    webhook_body_bytes: int = 1 << 20
    """A longer body is refused with 413 before it is read whole."""
    webhooks_in_flight: int = 2_000
    """Webhooks waiting for their commit; one more gets 503."""
    webhook_deadline_s: float = 4.0
    """A commit that takes longer answers 503, so that the provider brings the event again."""
    webhook_retry_after_s: int = 2
    webhook_repeats_per_s: float = 500.0
    """Answers about one purchase; those beyond wait, so that a storm of duplicates leaves the node to the others."""
    webhook_repeats_burst: int = 1_000
    """Answers about one purchase that never wait."""
    webhook_repeat_pause_s: float = 0.25
    """An answer that had to wait longer does not wait at all."""
    signature_tolerance_s: int = 300

    view_cache_s: int = 30
    """How long a view stays in Redis. It is only used while it is as new as the log; 0: no cache."""
    min_seq_wait_s: float = 2.0
    """How long a read with ``min_seq`` waits for the log to get there."""
    long_poll_max_s: float = 30.0
    page_events: int = 100
    """Events in one read of the log, and the default page of the events route."""
    page_events_max: int = 500
    read_timeout_s: float = 5.0

    sessions: int = 100_000
    """Open sessions of all kinds in this process."""
    sessions_per_student: int = 10
    sessions_per_address: int = 0
    """0: off, because schools and carriers share addresses."""
    connects_per_s: int = 1_000
    connect_wait_s: float = 3.0
    """How long a handshake above that rate may wait for its turn. A refusal costs nearly as much as a session, and the
    client comes again."""
    connect_timeout_s: float = 10.0
    """From the opened socket to a valid ``connect`` frame."""

    frame_bytes: int = 16_384
    """Largest frame from a client."""
    frames_burst: int = 20
    frames_per_s: float = 2.0
    queue_events: int = 256
    queue_bytes: int = 262_144
    """A session whose queue passes either drops it and reads the log again when it has drained."""
    write_stall_s: float = 10.0
    """A session that takes nothing for so long is closed with 4002."""
    tcp_user_timeout_ms: int = 20_000
    """The kernel gives a peer up that acknowledges nothing; a polite close would wait for it for ever."""
    send_buffer_bytes: int = 131_072

    ping_s: float = 25.0
    pong_s: float = 10.0
    token_grace_s: float = 25.0
    """From the token's end to the close with 4001."""

    replay_events: int = 500
    """A session further behind gets a snapshot instead."""
    replays_at_once: int = 4
    heads_batch: int = 1_000
    """Students in one read of heads."""
    down_grace_s: float = 0.5
    """Redis away for less is healed without a word."""
    poll_s: float = 2.0
    """How often the log is asked for the connected students while Redis is away."""
    read_retry_s: float = 1.0
    """Mean pause before a failed read of the log is tried again."""

    drain_s: float = 10.0
    """Over how long the farewells are spread when the node stops."""

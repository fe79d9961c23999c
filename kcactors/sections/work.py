"""Settings of the actors that do the work: how many, how much at once, how often."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from actors.reconciler.duty import SHARE_MAX
from kcactors.environment import Group
from kcactors.sections.units import Count, Seconds


class Student(Group, frozen=True, kw_only=True):
    """The actors that give payments their order."""

    idle_s: Annotated[Seconds, Meta(description="silence after which a student's actor is passivated")] = 60.0
    active_max: Annotated[
        Count, Meta(description="actors held at once; beyond it the longest idle one goes")
    ] = 100_000
    mailbox_max: Annotated[
        Count,
        Meta(
            description="messages waiting for one student; beyond it the source waits;"
            " not less than a partition may have in flight and one poll more"
        ),
    ] = 2_000
    remembered_max: Annotated[Count, Meta(description="whole effects that one actor remembers")] = 256
    attempts_max: Annotated[Count, Meta(description="tries of one failing message before it is parked")] = 5


class Ledger(Group, frozen=True, kw_only=True):
    """The writers: group commit, one connection and thread each."""

    count: Annotated[
        int, Meta(ge=1, le=64, description="ledgers of one node; the first writes for all while it keeps up")
    ] = 2
    batch_max: Annotated[int, Meta(ge=1, le=4_096, description="payments in one transaction")] = 256
    mailbox_max: Annotated[
        Count, Meta(description="payments waiting for one ledger; beyond it the source waits")
    ] = 10_000


class Ingest(Group, frozen=True, kw_only=True):
    """The consumer of payment events; per partition it stops at either bound and goes on at half of it."""

    in_flight_max: Annotated[Count, Meta(description="records of a partition without an answer")] = 1_000
    span_max: Annotated[
        Count, Meta(description="offsets from the lowest unanswered to the newest record")
    ] = 10_000
    poll_max_records: Annotated[Count, Meta(description="records of one poll")] = 1_000
    commit_interval_s: Annotated[Seconds, Meta(description="between offset commits")] = 1.0
    drain_s: Annotated[
        Seconds, Meta(description="for what is in flight when a partition moves or the node stops")
    ] = 5.0
    stuck_s: Annotated[
        Seconds, Meta(description="a call into the Kafka client that lasts longer is broken off")
    ] = 20.0
    parked_in_a_row_max: Annotated[
        Count, Meta(description="parked records in a row after which a partition waits")
    ] = 500
    parked_ratio_max: Annotated[
        float,
        Meta(gt=0, le=1, description="share of parked records among the last 1,000 after which it waits"),
    ] = 0.5
    parked_pause_s: Annotated[
        Seconds, Meta(description="how long it waits the first time; then twice as long each time")
    ] = 10.0


class Publisher(Group, frozen=True, kw_only=True):
    """The relay from the outbox to Redis and Kafka."""

    round_max: Annotated[Count, Meta(description="events of one round")] = 1_000
    poll_s: Annotated[Seconds, Meta(description="between looks at the outbox when nobody nudges")] = 0.5
    ack_timeout_s: Annotated[Seconds, Meta(description="for Kafka's reports of one round")] = 10.0


class Reconciler(Group, frozen=True, kw_only=True):
    """The audit that heals what was marked and never done."""

    interval_s: Annotated[Seconds, Meta(description="between two looks")] = 5.0
    payment_age_s: Annotated[
        Seconds, Meta(description="a captured payment without purchase older than this")
    ] = 5.0
    allocation_age_s: Annotated[Seconds, Meta(description="a requested allocation older than this")] = 5.0
    batch_max: Annotated[Count, Meta(description="cases of one kind healed in one audit")] = 500
    share_max: Annotated[
        float,
        Meta(gt=0, le=1, description="of one core, for all looks at whole tables together in the long run"),
    ] = SHARE_MAX


class Projections(Group, frozen=True, kw_only=True):
    """Our own readers of the business events, each a consumer group; the echo that proves publication is always one.

    They run on nodes with the role `projections`.
    """

    sessions: Annotated[bool, Meta(description="plan the sessions of allocated purchases")] = True
    cache: Annotated[
        bool,
        Meta(
            description="take views that are out of date down at once; without it they expire, unread, "
            "after KCACTORS_GATEWAY_VIEW_CACHE_S"
        ),
    ] = False
    poll_s: Annotated[Seconds, Meta(description="between two reads, so that many events go together")] = 0.25
    echo_poll_s: Annotated[Seconds, Meta(description="the same of the echo, for which nobody waits")] = 1.0
    batch_max: Annotated[Count, Meta(description="events of one read")] = 5_000

"""``kcactors migrate`` and ``kcactors check``: bring what a node needs into being, and prove that it is there."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from actors.doorbell import DoorbellPublisher
from actors.store.migrate import migrate, pending
from actors.topics import ensure_topics, missing_topics
from kcactors.exits import Exit, ServiceAway
from kcactors.output import Output
from kcactors.settings import Settings, load, unknown
from kcactors.verbs.trouble import as_failure

_CHECK_TIMEOUT_S = 5.0


def bring_up_to_date(output: Output, *, new_epoch: bool) -> Exit:
    """The verb ``migrate``: schema, then topics. Raises what the rooms below raise."""
    settings = load(needs=frozenset({"database", "kafka"}))
    done = migrate(settings.database.url, new_epoch=new_epoch)
    created = ensure_topics(
        settings.kafka.broker(), settings.kafka.topics(), replication=settings.kafka.replication
    )
    lines = [
        f"schema: {', '.join(done.applied) or 'up to date'}{', functions replaced' * done.functions_replaced}",
        f"topics: {', '.join(created) or 'all there'}",
        f"epoch:  {done.epoch}{' (new: every cursor will be reset)' * new_epoch}",
    ]
    document = {
        "ok": True,
        "applied": done.applied,
        "functions_replaced": done.functions_replaced,
        "topics_created": created,
        "epoch": done.epoch,
    }
    output.result(document, "\n".join(lines))
    return Exit.DONE


class Finding(msgspec.Struct, frozen=True):
    """What the check found out about one service."""

    service: str
    ok: bool
    reachable: bool
    detail: str


def check(output: Output) -> Exit:
    """The verb ``check``: names every service, and each missing topic."""
    settings = load()
    findings = [
        _ask("PostgreSQL", settings, _schema),
        _ask("Redis", settings, _doorbell),
        _ask("Kafka", settings, _topics),
    ]
    strange = unknown()
    ok = all(finding.ok for finding in findings)
    lines = [
        f"{'ok  ' if finding.ok else 'FAIL'} {finding.service}: {finding.detail}" for finding in findings
    ]
    lines += [f"note {name}: no such setting, nothing reads it" for name in strange]
    document = {"ok": ok, "services": findings, "unknown_settings": strange}
    output.result(document, "\n".join(lines))
    if ok:
        return Exit.DONE
    return Exit.NOT_KEPT if all(finding.reachable for finding in findings) else Exit.SERVICE_AWAY


def _ask(service: str, settings: Settings, question: Callable[[Settings], tuple[bool, str]]) -> Finding:
    try:
        ok, detail = question(settings)
    except Exception as error:
        failure = as_failure(error)
        if failure is None:
            raise
        return Finding(service, ok=False, reachable=not isinstance(failure, ServiceAway), detail=str(error))
    return Finding(service, ok, reachable=True, detail=detail)


def _schema(settings: Settings) -> tuple[bool, str]:
    absent = pending(settings.database.url)
    if absent:
        return False, f"lacks {', '.join(absent)}: kcactors migrate"
    return True, "schema up to date"


def _doorbell(settings: Settings) -> tuple[bool, str]:
    publisher = DoorbellPublisher(settings.redis.url, timeout_s=settings.redis.timeout_s)
    try:
        publisher.ping()
    finally:
        publisher.close()
    return True, "answers"


def _topics(settings: Settings) -> tuple[bool, str]:
    absent = missing_topics(settings.kafka.broker(), settings.kafka.topics(), _CHECK_TIMEOUT_S)
    if absent:
        return False, f"missing topics: {', '.join(absent)} (kcactors migrate creates them)"
    return True, "topics there"

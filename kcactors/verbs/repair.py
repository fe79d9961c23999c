"""``kcactors repair purchase | allocation | events``: the three hand repairs, a dry run unless told to apply."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from uuid import UUID

import msgspec

from actors.audit.repair import (
    Repaired,
    UnknownSubject,
    Unrepairable,
    repair_allocation,
    repair_events,
    repair_purchase,
)
from actors.hand import Action, Hand
from kcactors.exits import Exit, NotKept, WrongUse
from kcactors.output import Output
from kcactors.verbs import hands


class By(msgspec.Struct, frozen=True):
    """Who repairs, why, and whether in earnest."""

    who: str | None
    reason: str | None
    apply: bool


def purchase(output: Output, by: By, *, payment_id: str, provider: str) -> Exit:
    """The verb ``repair purchase``."""
    names = {"provider": provider, "payment_id": payment_id}
    return _run(
        output,
        by,
        "repair purchase",
        names,
        lambda hand, action: repair_purchase(hand, action, provider, payment_id, apply=by.apply),
    )


def allocation(output: Output, by: By, *, purchase_id: str) -> Exit:
    """The verb ``repair allocation``."""
    which = _uuid("--purchase-id", purchase_id)
    return _run(
        output,
        by,
        "repair allocation",
        {"purchase_id": str(which)},
        lambda hand, action: repair_allocation(hand, action, which, apply=by.apply),
    )


def events(output: Output, by: By, *, student_id: str, resend: bool, first: int) -> Exit:
    """The verb ``repair events``."""
    which = _uuid("--student-id", student_id)
    if first != 1 and not resend:
        raise WrongUse("--from needs --resend")
    names = {"student_id": str(which), "resend": resend, "from": first}
    return _run(
        output,
        by,
        "repair events",
        names,
        lambda hand, action: repair_events(hand, action, which, apply=by.apply, resend=resend, first=first),
    )


def _run(
    output: Output,
    by: By,
    command: str,
    names: Mapping[str, object],
    repair: Callable[[Hand, Action], Repaired],
) -> Exit:
    settings = hands.settings_for(aloud=by.apply)
    action = Action(hands.whoever(by.who), command, {**names, "reason": by.reason})
    with hands.hand(settings, aloud=by.apply) as hand:
        try:
            repaired = repair(hand, action)
        except UnknownSubject as error:
            raise WrongUse(str(error)) from error
        except Unrepairable as error:
            raise NotKept(str(error)) from error
    to_do = repaired.changed and not by.apply
    document = {
        "ok": not to_do,
        "dry_run": not by.apply,
        "changed": repaired.changed,
        "summary": repaired.summary,
        **repaired.result,
    }
    head = "nothing to do" if not repaired.changed else "done" if by.apply else "would do (--apply does it)"
    output.result(msgspec.to_builtins(document), f"{head}: {repaired.summary}")
    return Exit.NOT_KEPT if to_do else Exit.DONE


def _uuid(option: str, text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise WrongUse(f"{option}: {text!r} is no uuid") from error

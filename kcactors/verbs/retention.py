"""``kcactors retention``: old marks and events, counted, or with ``--apply`` removed in small batches."""

from __future__ import annotations

import msgspec

from actors.hand import Action
from actors.reconciler.retention import count_old, take_old
from kcactors.exits import Exit
from kcactors.output import Output
from kcactors.verbs import hands


def run(output: Output, *, apply: bool, who: str | None) -> Exit:
    """The verb. A dry run that finds old rows ends with 1."""
    settings = hands.settings_for(aloud=False)
    limits = settings.retention
    with hands.hand(settings, aloud=False) as hand:
        old = count_old(hand.connection, limits)
        if apply and (old.inbox or old.events):
            with output.progress("Removing", old.inbox + old.events):
                old = take_old(hand.connection, limits)
            hand.keep(
                Action(hands.whoever(who), "retention", msgspec.structs.asdict(limits)),
                msgspec.to_builtins(old),
            )
    to_do = not apply and bool(old.inbox or old.events)
    text = (
        f"{old.inbox} marks older than {limits.inbox_days} days and {old.events} events older than "
        f"{limits.event_days} days {'removed' if apply else 'to remove'}"
    )
    output.result({"ok": not to_do, "dry_run": not apply, "inbox": old.inbox, "events": old.events}, text)
    return Exit.NOT_KEPT if to_do else Exit.DONE

"""The operators' words of the command line: audit, repair, parked, retention."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from kcactors.output import Output

Json = Annotated[bool, Option("--json", help="Print exactly one JSON object on standard output.")]
Who = Annotated[str | None, Option(metavar="NAME", help="Who does this; default: the user of this machine.")]
Reason = Annotated[str | None, Option(metavar="TEXT", help="Why; kept with the action.")]
Apply = Annotated[bool, Option("--apply", help="Do it; without, only show what would change.")]

repair = typer.Typer(help="The three hand repairs: dry run unless --apply.", no_args_is_help=True)
parked = typer.Typer(help="Messages that could not be done, kept for a person.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Hang the operators' verbs into the command line."""
    app.command()(audit)
    app.command()(retention)
    app.add_typer(repair, name="repair")
    app.add_typer(parked, name="parked")


def audit(
    fix: Annotated[bool, Option("--fix", help="Mend what is safe to mend.")] = False,
    statement: Annotated[
        Path | None, Option(metavar="FILE", help="First read a provider's list of payments.")
    ] = None,
    provider: Annotated[str, Option(help="Whose list it is.")] = "razorpay",
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Reconcile: every check, its findings, their age; exit 1 when findings stand."""
    from kcactors.verbs import audit as verb

    code = verb.run(Output(as_json=as_json), fix=fix, who=who, statement=statement, provider=provider)
    raise typer.Exit(code)


def retention(apply: Apply = False, who: Who = None, as_json: Json = False) -> None:
    """Old marks and events, in small batches; purchases stay for ever."""
    from kcactors.verbs import retention as verb

    raise typer.Exit(verb.run(Output(as_json=as_json), apply=apply, who=who))


@repair.command("purchase")
def repair_purchase(
    payment_id: Annotated[str, Option(metavar="P", help="The provider's id of the payment.")],
    provider: Annotated[str, Option(help="Whose payment it is.")] = "kc",
    apply: Apply = False,
    reason: Reason = None,
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Make the purchase of a payment, with its allocation and events."""
    from kcactors.verbs import repair as verb

    by = verb.By(who, reason, apply)
    raise typer.Exit(verb.purchase(Output(as_json=as_json), by, payment_id=payment_id, provider=provider))


@repair.command("allocation")
def repair_allocation(
    purchase_id: Annotated[str, Option(metavar="P", help="The purchase.")],
    apply: Apply = False,
    reason: Reason = None,
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Find a trainer for a purchase that waits for a decision, or has no allocation at all."""
    from kcactors.verbs import repair as verb

    by = verb.By(who, reason, apply)
    raise typer.Exit(verb.allocation(Output(as_json=as_json), by, purchase_id=purchase_id))


@repair.command("events")
def repair_events(
    student_id: Annotated[str, Option(metavar="S", help="The student.")],
    resend: Annotated[bool, Option("--resend", help="Publish the stored envelopes again.")] = False,
    first: Annotated[int, Option("--from", min=1, metavar="SEQ", help="With --resend: from here on.")] = 1,
    apply: Apply = False,
    reason: Reason = None,
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Log what the student's purchases call for and the log does not hold."""
    from kcactors.verbs import repair as verb

    by = verb.By(who, reason, apply)
    raise typer.Exit(
        verb.events(Output(as_json=as_json), by, student_id=student_id, resend=resend, first=first)
    )


@parked.command("list")
def parked_list(
    state: Annotated[str, Option(help="open, resolved or discarded.")] = "open",
    group: Annotated[str | None, Option(help="Only this group.")] = None,
    limit: Annotated[int, Option(min=1, max=500, help="Rows at most.")] = 100,
    as_json: Json = False,
) -> None:
    """What is parked, newest first, and how it falls into groups."""
    from kcactors.verbs import parked as verb

    raise typer.Exit(verb.show_list(Output(as_json=as_json), state=state, group=group, most=limit))


@parked.command("show")
def parked_show(row_id: Annotated[int, Argument(metavar="ID")], as_json: Json = False) -> None:
    """One parked message with its payload."""
    from kcactors.verbs import parked as verb

    raise typer.Exit(verb.show(Output(as_json=as_json), row_id))


@parked.command("retry")
def parked_retry(
    row_ids: Annotated[list[int] | None, Argument(metavar="ID…")] = None,
    group: Annotated[str | None, Option(help="Every open message of this group.")] = None,
    everything: Annotated[bool, Option("--all", help="Every open message.")] = False,
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Try again; exit 1 when one of them stays parked."""
    from kcactors.verbs import parked as verb

    output = Output(as_json=as_json)
    raise typer.Exit(verb.retry(output, row_ids or [], group=group, everything=everything, who=who))


@parked.command("edit")
def parked_edit(
    row_id: Annotated[int, Argument(metavar="ID")],
    payload: Annotated[Path, Option(metavar="FILE", help="The new payload; - reads standard input.")],
    reason: Reason = None,
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Put a payment event that decodes in the place of one that does not."""
    from kcactors.verbs import parked as verb

    raise typer.Exit(verb.edit(Output(as_json=as_json), row_id, payload, who=who, reason=reason))


@parked.command("discard")
def parked_discard(
    row_ids: Annotated[list[int], Argument(metavar="ID…")],
    reason: Annotated[str, Option(metavar="TEXT", help="Why nobody will miss it.")] = "no reason given",
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Put messages aside for good; row and reason stay."""
    from kcactors.verbs import parked as verb

    raise typer.Exit(verb.discard(Output(as_json=as_json), row_ids, reason=reason, who=who))

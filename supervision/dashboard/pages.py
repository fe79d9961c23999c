"""The dashboard's own pages: the tree, the lists, one actor, and the incidents."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import islice
from typing import Final

import jinja2
from markupsafe import Markup

from supervision.dashboard import look
from supervision.dashboard.access import Audit, Deed, Refused, record
from supervision.dashboard.acts import ACTS, act
from supervision.dashboard.page import View, render
from supervision.dashboard.pulse import KEPT, Pulse, Sample, group_key
from supervision.dashboard.tree import walk
from supervision.dashboard.watch import VERDICTS_KEPT, Watch
from supervision.snapshot import Node
from supervision.system import ORDERS, System

LIST_SHOWN: Final = 12
INCIDENTS_SHOWN: Final = 60
INCIDENTS_KEPT: Final = 1000
MEMBERS_SHOWN: Final = 10


class _OwnPage:
    """A page about the tree alone."""

    slug = ""
    title = ""

    def __init__(self, system: System, pulse: Pulse, env: jinja2.Environment) -> None:
        self._system = system
        self._pulse = pulse
        self._env = env

    async def act(self, view: View, verb: str, form: Mapping[str, str]) -> str:
        """Nothing can be done here."""
        raise Refused(404, "unknown_act", f"The page {self.slug!r} has no action {verb!r}.")


class TreePage(_OwnPage):
    """Supervisors and their children with sums, opened as far as the query says.

    ``open`` holds, by commas, the paths of directories and ``path#group`` of their groups.
    """

    slug = "tree"
    title = "Tree"

    async def body(self, view: View) -> Markup:
        """The page."""
        sample = await asyncio.to_thread(self._pulse.sample)
        opened = {path for path in view.query.get("open", "").split(",") if path}
        return render(
            self._env,
            "tree.html",
            view=view,
            sample=sample,
            rates=list(self._pulse.rates),
            series=self._pulse.series,
            slots=KEPT,
            opened=opened,
            members=self._members(sample, opened),
            turnover={one.path: one for one in sample.turnover},
        )

    def _members(self, sample: Sample, opened: set[str]) -> dict[str, list[Node]]:
        """Of each opened group the actors worth a look."""
        return {
            key: look.members(self._system, node["path"], group["name"], MEMBERS_SHOWN)
            for node in walk(sample.root)
            if node["path"] in opened
            for group in node.get("groups", ())
            if (key := group_key(node["path"], group["name"])) in opened
        }


class ListsPage(_OwnPage):
    """The most noticeable actors, and the search (``q``)."""

    slug = "actors"
    title = "Actors"

    async def body(self, view: View) -> Markup:
        """The page."""
        order = view.query.get("order", "oldest")
        if order not in ORDERS:
            order = "oldest"
        text = view.query.get("q", "")
        sample = await asyncio.to_thread(self._pulse.sample)
        return render(
            self._env,
            "actors.html",
            view=view,
            order=order,
            orders={"oldest": "Oldest message", "depth": "Deepest mailbox", "restarts": "Most restarts"},
            actors=self._system.top(order, LIST_SHOWN),  # type: ignore[arg-type]
            turns=running_turns(self._system)[:LIST_SHOWN],
            found=look.search(self._system, text),
            text=text,
            sample=sample,
        )


class ActorPage(_OwnPage):
    """One actor (``path``), its verdicts and its troubles; here it can be told what to do."""

    slug = "actor"
    title = ""

    def __init__(
        self, system: System, pulse: Pulse, env: jinja2.Environment, watch: Watch, audit: Audit
    ) -> None:
        super().__init__(system, pulse, env)
        self._watch = watch
        self._audit = audit

    async def body(self, view: View) -> Markup:
        """The page."""
        path = view.query.get("path", "")
        sample = await asyncio.to_thread(self._pulse.sample)
        ref = look.find(self._system, path)
        if ref is None:
            return render(self._env, "nobody.html", view=view, path=path)
        return render(
            self._env,
            "actor.html",
            view=view,
            actor=look.detail(self._system, ref, self._watch),
            series=self._pulse.series.get(ref.path),
            slots=KEPT,
            acts=ACTS,
            verdicts_kept=VERDICTS_KEPT,
            sample=sample,
        )

    async def act(self, view: View, verb: str, form: Mapping[str, str]) -> str:
        """Tell the actor of ``path`` what to do."""
        path = form.get("path", "")
        ref = look.find(self._system, path)
        if ref is None:
            raise Refused(404, "no_such_actor", f"There is no actor {path!r} now.")
        await act(self._system, ref, verb, view.operator.name)
        deed = Deed(view.operator.name, f"actor {verb}", {"path": path}, {"state": look.state(ref)})
        written = await record(self._audit, deed)
        return f"{path}: {verb} done, now {look.state(ref)}." + (
            "" if written else " It could not be recorded."
        )


class IncidentsPage(_OwnPage):
    """What happened lately, the newest first."""

    slug = "incidents"
    title = "Incidents"

    async def body(self, view: View) -> Markup:
        """The page; ``kind`` shows one kind only."""
        sample = await asyncio.to_thread(self._pulse.sample)
        chosen = view.query.get("kind", "")
        kept = self._system.vitals.incidents(INCIDENTS_KEPT)
        kinds = sorted({one.kind for one in kept} | {chosen} - {""})
        shown = [
            look.incident_of(self._system, one)
            for one in islice((one for one in kept if not chosen or one.kind == chosen), INCIDENTS_SHOWN)
        ]
        letters = [
            {"at": look.moment(self._system, one.at_s), "path": one.path, "cause": one.cause}
            for one in self._system.dead_letters.last(10)
        ]
        return render(
            self._env,
            "incidents.html",
            view=view,
            incidents=shown,
            kinds=kinds,
            chosen=chosen,
            letters=letters,
            dead_letters=dict(self._system.dead_letters.counts),
            turnover=sample.turnover,
        )


def running_turns(system: System) -> list[dict[str, object]]:
    """The turns under way now, the slowest first."""
    now_s = system.now()
    turns = [
        (now_s - started_s, runnable)
        for dispatcher in system.dispatchers()
        for runnable, started_s in dispatcher.running()
    ]
    turns.sort(key=lambda turn: -turn[0])
    return [{"path": runnable.path, "seconds": max(0.0, seconds)} for seconds, runnable in turns]

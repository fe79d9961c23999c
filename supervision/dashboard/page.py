"""What a page is: the dashboard's own ones and those from outside speak the same language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jinja2
from markupsafe import Markup

from supervision.dashboard import draw
from supervision.dashboard.access import Operator


@dataclass(frozen=True, slots=True)
class View:
    """One look at a page: by whom, with which query, and where the dashboard is mounted."""

    operator: Operator
    query: Mapping[str, str]
    prefix: str


class Page(Protocol):
    """A page of the dashboard. ``slug`` is its address below the prefix, ``title`` its word in the menu."""

    @property
    def slug(self) -> str: ...
    @property
    def title(self) -> str: ...

    async def body(self, view: View) -> Markup:
        """The page as HTML, without its frame; asked for again and again while somebody looks."""
        ...

    async def act(self, view: View, verb: str, form: Mapping[str, str]) -> str:
        """Do what a button of the page asks for; a sentence that says what was done.

        Raises:
            Refused: it cannot be done; 404 for an unknown verb.
        """
        ...


def environment(*packages: str) -> jinja2.Environment:
    """The templates of the dashboard and of further packages (each with a folder ``templates``).

    Templates from outside import ``parts.html`` and so look like ours.
    """
    made = jinja2.Environment(
        loader=jinja2.ChoiceLoader(
            [jinja2.PackageLoader(package) for package in ("supervision.dashboard", *packages)]
        ),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(age=draw.age, count=draw.count, percent=draw.percent)
    made.globals.update(mark=draw.mark, line=draw.line, bar=draw.bar)
    return made


def render(env: jinja2.Environment, name: str, **values: Any) -> Markup:
    """A template as safe HTML."""
    return Markup(env.get_template(name).render(**values))  # noqa: S704 - escaped by the template itself

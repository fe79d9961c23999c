"""Reads groups of settings out of one mapping of names to texts, and collects every problem first.

A group is a frozen structure; each of its fields is one variable, and the field's type says what is
accepted. The field ``pool_max`` of the group that is read under ``DATABASE`` is the variable
``KCACTORS_DATABASE_POOL_MAX``, unless the field names another with ``Meta(extra={"env": …})``. An empty text
counts as not set, as process managers mean it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Annotated, Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec import Meta
from msgspec import inspect as shapes

PREFIX: Final = "KCACTORS_"
MASK: Final = "***"
_LARGEST: Final = 1 << 40


class Problem(NamedTuple):
    """One variable that is missing or wrong. ``text`` never repeats a secret."""

    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.name}: {self.text}"


class WrongSettings(Exception):
    """Settings are missing or wrong; ``problems`` holds all of them, not only the first."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class Variable(NamedTuple):
    """What is known of one variable. ``default`` is ``None`` where it must be set."""

    name: str
    field: str
    expected: str
    default: Any
    required: bool
    secret: bool
    about: str
    type: Any
    listed: bool


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the groups: immutable, and its ``repr`` masks every field marked ``extra={"secret": True}``."""

    def __repr__(self) -> str:
        hidden = {variable.field for variable in variables(type(self), "") if variable.secret}
        shown = (
            f"{name}={MASK if name in hidden and getattr(self, name) else repr(getattr(self, name))}"
            for name in self.__struct_fields__
        )
        return f"{type(self).__name__}({', '.join(shown)})"

    def clashes(self) -> Iterator[Problem]:
        """Yields what is wrong between fields; each single field is right by then."""
        yield from ()


GroupT = TypeVar("GroupT", bound=msgspec.Struct)


class Reader:
    """Reads groups one after the other; `finish` raises once, with everything that was wrong."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._problems: list[Problem] = []

    def read(self, kind: type[GroupT], section: str) -> GroupT | None:
        """Reads one group. ``None`` when something in it is wrong, and then `finish` raises."""
        values: dict[str, Any] = {}
        problems: list[Problem] = []
        for variable in variables(kind, section):
            text = self._environ.get(variable.name, "").strip()
            if not text:
                if variable.required:
                    problems.append(Problem(variable.name, f"is not set, expected {variable.expected}"))
                continue
            try:
                values[variable.field] = _convert(text, variable)
            except ValueError:
                got = "" if variable.secret else f", got {text[:100]!r}"
                problems.append(Problem(variable.name, f"expected {variable.expected}{got}"))
        group = None if problems else kind(**values)
        if isinstance(group, Group):
            problems.extend(group.clashes())
        self._problems.extend(problems)
        return None if problems else group

    def finish(self) -> None:
        """Raises `WrongSettings` when any group that was read had a problem."""
        if self._problems:
            raise WrongSettings(self._problems)


@cache
def variables(kind: type[msgspec.Struct], section: str) -> tuple[Variable, ...]:
    """The variables that fill a group, in the order of its fields."""
    return tuple(_variable(field, section) for field in msgspec.structs.fields(kind))


def _variable(field: msgspec.structs.FieldInfo, section: str) -> Variable:
    default = field.default
    if default is msgspec.NODEFAULT and field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    annotated = _bounded(field.type, default)
    shape = shapes.type_info(annotated)
    meta = shape if isinstance(shape, shapes.Metadata) else shapes.Metadata(shape)
    extra = meta.extra or {}
    stem = "_".join(part for part in (section, field.name.upper()) if part)
    return Variable(
        name=extra.get("env", PREFIX + stem),
        field=field.name,
        expected=extra.get("expected") or _expected(meta.type),
        default=None if default is msgspec.NODEFAULT else default,
        required=field.required,
        secret=bool(extra.get("secret")),
        about=(meta.extra_json_schema or {}).get("description", ""),
        type=annotated,
        listed=isinstance(meta.type, shapes.VarTupleType),
    )


def _bounded(annotated: Any, default: Any) -> Any:
    """A number that states no bounds is positive, or not negative where its default 0 means "off"."""
    if annotated is int:
        return Annotated[int, Meta(ge=0 if default == 0 else 1, le=_LARGEST)]
    if annotated is float:
        return Annotated[float, Meta(ge=0, le=_LARGEST) if default == 0 else Meta(gt=0, le=_LARGEST)]
    return annotated


def _convert(text: str, variable: Variable) -> Any:
    """Raises ``ValueError`` (msgspec's own is one) when the text is not what the variable's type accepts."""
    raw: Any = [part.strip() for part in text.split(",") if part.strip()] if variable.listed else text
    value = msgspec.convert(raw, variable.type, strict=False)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(text)
    return value


def _expected(shape: shapes.Type) -> str:
    match shape:
        case shapes.BoolType():
            return "true or false"
        case shapes.IntType():
            return f"a whole number{_bounds(shape)}"
        case shapes.FloatType():
            return f"a number{_bounds(shape)}"
        case shapes.LiteralType():
            return "one of " + ", ".join(map(str, shape.values))
        case shapes.VarTupleType():
            return "a comma-separated list"
        case shapes.UnionType():
            return " or ".join(
                _expected(part) for part in shape.types if not isinstance(part, shapes.NoneType)
            )
        case shapes.Metadata():
            return _expected(shape.type)
        case _:
            return "a text"


def _bounds(shape: shapes.IntType | shapes.FloatType) -> str:
    words = (("at least", shape.ge), ("above", shape.gt), ("at most", shape.le), ("below", shape.lt))
    said = [
        f"{word} {bound:g}" if bound < 1e6 else f"{word} {bound}"
        for word, bound in words
        if bound is not None
    ]
    return " " + " and ".join(said) if said else ""

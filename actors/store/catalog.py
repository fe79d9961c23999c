"""The catalogue: courses, trainers, how many students a trainer takes and for which courses."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import Meta

from actors.protocol.undecodable import Undecodable, refuse_text_postgres_cannot_hold
from actors.store.connection import Connection, ConnectionLimits

Name = Annotated[str, Meta(min_length=1, max_length=500)]


class Course(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A course that can be bought."""

    course_id: UUID
    title: Name


class Trainer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A trainer with room for ``capacity`` allocations over these courses."""

    trainer_id: UUID
    name: Name
    capacity: Annotated[int, Meta(ge=0, le=1_000_000)]
    courses: list[UUID]


class Catalog(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The document of ``kcactors catalog import``."""

    courses: list[Course]
    trainers: list[Trainer]


class Imported(msgspec.Struct, frozen=True):
    """How many rows an import made or changed; a second import of the same document changes none."""

    courses: int
    trainers: int
    eligibility: int


_LIMITS = ConnectionLimits(lock_timeout_s=30.0, statement_timeout_s=120.0)


def decode_catalog(document: bytes | dict[str, Any]) -> Catalog:
    """Read a catalogue.

    Raises:
        Undecodable: naming the field that is wrong, a course or trainer named twice, or a course that nobody declares.
    """
    try:
        if isinstance(document, bytes):
            catalog = msgspec.json.decode(document, type=Catalog)
            refuse_text_postgres_cannot_hold(document)
        else:
            catalog = msgspec.convert(document, Catalog)
    except msgspec.ValidationError as error:
        raise Undecodable.from_validation(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Undecodable("body", f"is no JSON: {error}") from error
    _refuse_twice("courses", [c.course_id for c in catalog.courses])
    _refuse_twice("trainers", [t.trainer_id for t in catalog.trainers])
    return catalog


def import_catalog(database_url: str, document: bytes | dict[str, Any]) -> Imported:
    """Bring courses and trainers up to the document; what it leaves out stays as it is.

    Raises:
        Undecodable: see :func:`decode_catalog`.
        BadData: a trainer names a course that is neither in the document nor in the database.
        StoreError: sorted as in :mod:`actors.store.errors`.
    """
    catalog = decode_catalog(document)
    text = msgspec.json.encode(catalog).decode()
    with Connection(database_url, "catalog", _LIMITS) as connection, connection.transaction():
        courses, trainers = connection.rows("catalog_import", (text,))[0]
        gone, come = connection.rows("catalog_eligibility", (text, [t.trainer_id for t in catalog.trainers]))[
            0
        ]
    return Imported(courses, trainers, gone + come)


def export_catalog(database_url: str) -> bytes:
    """The whole catalogue as the document that :func:`import_catalog` takes."""
    with Connection(database_url, "catalog", _LIMITS) as connection:
        return str(connection.rows("catalog_export")[0][0]).encode()


def _refuse_twice(field: str, names: list[UUID]) -> None:
    seen: set[UUID] = set()
    for index, name in enumerate(names):
        if name in seen:
            raise Undecodable(f"{field}[{index}]", f"{name} is named twice")
        seen.add(name)

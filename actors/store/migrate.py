"""Bring the schema up to date: numbered files once, functions whenever they changed. Safe from many nodes at once."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

import psycopg

from actors.store.connection import ConnectionLimits, conninfo
from actors.store.errors import sort_error
from actors.store.sql import files_in_order, query

ADVISORY_KEY = 0x6B63_6D69_6772  # "kcmigr"


@dataclass(frozen=True)
class Migrated:
    """What a run did: names of the files applied, whether the functions were replaced, the epoch that holds now."""

    applied: list[str]
    functions_replaced: bool
    epoch: str


def migrate(database_url: str, *, new_epoch: bool = False) -> Migrated:
    """Apply what is missing, in one transaction under an advisory lock.

    Args:
        database_url: of a role that may create tables and a schema.
        new_epoch: after a restore from backup: every client's cursor becomes invalid, and clients are reset to the log
            that now stands.

    Raises:
        StoreError: sorted as in :mod:`actors.store.errors`.
    """
    limits = ConnectionLimits(lock_timeout_s=60.0, statement_timeout_s=600.0)
    try:
        with (
            psycopg.connect(**conninfo(database_url, "migrate", limits)) as connection,
            connection.transaction(),
        ):
            connection.execute("select pg_advisory_xact_lock(%s)", (ADVISORY_KEY,))
            connection.execute(query("migration_table"))
            done = {row[0] for row in connection.execute(query("migration_names"))}
            applied = _apply_numbered(connection, done)
            replaced = _replace_functions(connection, done)
            if new_epoch:
                connection.execute("update service set epoch = %s", (secrets.token_hex(6),))
            ((epoch,),) = connection.execute("select epoch from service").fetchall()
            return Migrated(applied, replaced, epoch)
    except psycopg.Error as error:
        raise sort_error(error) from error


def pending(database_url: str) -> list[str]:
    """What the schema lacks to be that of this code, sorted; empty when it is up to date.

    Raises:
        StoreError: sorted as in :mod:`actors.store.errors`.
    """
    try:
        with psycopg.connect(**conninfo(database_url, "check", ConnectionLimits())) as connection:
            (table,) = connection.execute("select to_regclass('public.kcactors_migration')").fetchone() or (
                None,
            )
            done = {row[0] for row in connection.execute(query("migration_names"))} if table else set()
            return sorted(expected_names() - done)
    except psycopg.Error as error:
        raise sort_error(error) from error


def expected_names() -> set[str]:
    """What :data:`kcactors_migration` holds when the schema is that of this code."""
    return {f.name for f in files_in_order("migrations")} | {_functions_name()}


def _apply_numbered(connection: psycopg.Connection[tuple[object, ...]], done: set[object]) -> list[str]:
    applied = []
    for file in files_in_order("migrations"):
        if file.name not in done:
            connection.execute(file.read_text(encoding="utf-8").encode())
            connection.execute("insert into public.kcactors_migration (name) values (%s)", (file.name,))
            applied.append(file.name)
    return applied


def _replace_functions(connection: psycopg.Connection[tuple[object, ...]], done: set[object]) -> bool:
    """Functions have no history: their schema is dropped and made again when the files differ from those applied."""
    name = _functions_name()
    if name in done:
        return False
    connection.execute("drop schema if exists kc cascade")
    connection.execute("create schema kc")
    for file in files_in_order("functions"):
        connection.execute(file.read_text(encoding="utf-8").encode())
    connection.execute("delete from public.kcactors_migration where name like 'functions %'")
    connection.execute("insert into public.kcactors_migration (name) values (%s)", (name,))
    return True


def _functions_name() -> str:
    digest = hashlib.sha256()
    for file in files_in_order("functions"):
        digest.update(file.read_bytes())
    return f"functions {digest.hexdigest()[:16]}"

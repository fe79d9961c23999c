"""The verb ``top``."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

from rich.live import Live

from kcactors.exits import Exit, WrongUse
from kcactors.output import Output
from kcactors.settings import load
from kcactors.top import Window, drawn, watch
from kcactors.verbs.tokens import mint
from supervision.system import ORDERS

TOKEN_TTL_S = 12 * 3600


def top(
    output: Output, *, target: str | None, token_file: Path | None, order: str, every_s: float, once: bool
) -> Exit:
    """Show it: every ``every_s`` seconds on a terminal until Ctrl-C, once in a pipe.

    Without ``target`` it asks the node on this machine at ``PORT``; without ``token_file`` it mints an operator's token
    with the configured secret.
    """
    if order not in ORDERS:
        raise WrongUse(f"--order: one of {', '.join(ORDERS)}")
    if target is None:
        target = f"http://127.0.0.1:{load(needs=frozenset({'http'})).http.port}"
    window = Window(target, _token(token_file))
    if once or output.as_json or not sys.stdout.isatty():
        document = window.look(order)
        output.result(document, drawn(document))
        return Exit.DONE
    with contextlib.suppress(KeyboardInterrupt), Live(screen=True, auto_refresh=False) as live:
        asyncio.run(
            watch(
                lambda: window.look(order), lambda screen: live.update(screen, refresh=True), every_s=every_s
            )
        )
    return Exit.DONE


def _token(file: Path | None) -> str:
    if file is None:
        return mint(load(needs=frozenset({"auth"})).auth, operator=True, ttl_s=TOKEN_TTL_S)
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeError) as error:
        raise WrongUse(f"--token-file: {error}") from error

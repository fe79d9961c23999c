"""The public keys of a JWKS address, kept so that neither a rotation nor an outage there locks anybody out.

A known key answers at once; when the set is old it is fetched anew on the side, and while the address does not answer
the keys that are known go on. A key that left the set opens nothing after the next fetch. An unknown key is looked for
at once, though not more often than every ``pause_s``: tokens with made-up key names must not become requests to others.
PyJWT fetches and reads the set.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

import jwt

logger = logging.getLogger(__name__)

FRESH_S: Final = 300.0
PAUSE_S: Final = 5.0


class KeysAway(Exception):
    """The address of the public keys does not answer, and the key is not known yet. Try again."""


class Keyring:
    """See the module's text. For one asyncio loop.

    Args:
        fresh_s: a set older than this is fetched anew.
        pause_s: least time from one fetch to the next, whatever asks for it.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        fresh_s: float = FRESH_S,
        pause_s: float = PAUSE_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=timeout_s)
        self._fresh_s, self._pause_s, self._monotonic = fresh_s, pause_s, monotonic
        self._keys: dict[str, jwt.PyJWK] = {}
        self._tried_at = float("-inf")
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, name: str) -> jwt.PyJWK | None:
        """The public key of that name (``kid``), or None where the set has no such key.

        Raises:
            KeysAway: it is not known, and the set cannot be fetched.
        """
        age_s = self._monotonic() - self._tried_at
        known = self._keys.get(name)
        if known is not None:
            if age_s >= (self._pause_s if self._failed else self._fresh_s):
                self._fetch()
            return known
        if self._fetching is not None or age_s >= self._pause_s:
            # Shared by everybody who waits: one of them leaving must not end it.
            await asyncio.shield(self._fetch())
        known = self._keys.get(name)
        if known is None and self._failed:
            raise KeysAway("the address of the keys does not answer")
        return known

    def _fetch(self) -> asyncio.Task[None]:
        if self._fetching is None:
            self._tried_at = self._monotonic()
            self._fetching = asyncio.create_task(self._replace())
        return self._fetching

    async def _replace(self) -> None:
        try:
            keys = await asyncio.to_thread(self._client.get_signing_keys)
        except (jwt.PyJWTError, ValueError, OSError) as error:
            self._failed = True
            logger.warning("the keys of tokens cannot be fetched, %d known go on: %s", len(self._keys), error)
        else:
            self._failed = False
            self._keys = {str(key.key_id): key for key in keys}
        finally:
            self._fetching = None

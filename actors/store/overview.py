"""What operators' pages ask of the database, and where they write down what an operator did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from actors.store.reads import Reads


class Overview:
    """See the module. Every method may raise :class:`~actors.store.errors.DatabaseAway`."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def record(
        self, who: str, command: str, arguments: Mapping[str, Any], result: Mapping[str, Any]
    ) -> None:
        """Write one row of ``operator_action``."""
        values = {
            "who": who,
            "command": command,
            "arguments": msgspec.json.encode(arguments).decode(),
            "result": msgspec.json.encode(result).decode(),
        }
        await self._reads.rows("operator_deed", values)

    async def outbox_age_s(self) -> float:
        """How long the oldest event has waited for Kafka, in seconds; 0 when none waits."""
        rows = await self._reads.rows("outbox_age")
        return max(0.0, float(rows[0][0])) if rows else 0.0

    async def doubled(self) -> int:
        """Effects that stand twice. Always 0; walks two indexes, so ask rarely."""
        return int((await self._reads.rows("doubled"))[0][0])

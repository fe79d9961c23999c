"""What the two generated documents share: schemas made from the types that the code reads and writes with."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from actors.protocol.events import EVENT_TYPES

VERSION: Final = "1"
REF: Final = "#/components/schemas/{name}"


def schemas(*kinds: type) -> dict[str, Any]:
    """JSON Schemas of ``kinds`` and of everything below them, by name."""
    _, found = msgspec.json.schema_components(kinds, ref_template=REF)
    for kind in EVENT_TYPES.values():
        # The event's name stands in the envelope and in a Kafka header, not in its data.
        schema = found.get(kind.__name__)
        if schema is not None:
            schema["properties"].pop("event", None)
            schema["required"] = [name for name in schema["required"] if name != "event"]
    return found


def encode(document: dict[str, Any]) -> bytes:
    """The document's JSON."""
    return msgspec.json.encode(document)

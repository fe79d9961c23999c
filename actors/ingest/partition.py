"""Which partition of the payment topic a student's records lie in, as producers decide it.

Java's default partitioner: MurmurHash2 (Austin Appleby, public domain) of the key's bytes with Kafka's seed, its sign
bit cleared, by the number of partitions. Only for showing: who works on a student is decided by the group of consumers.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Final

_SEED: Final = 0x9747B28C
_MIX: Final = 0x5BD1E995
_WORD: Final = 0xFFFFFFFF
_word = Struct("<I").unpack_from


def murmur2(key: bytes) -> int:
    """The hash, 0 to 2**32 - 1."""
    size = len(key)
    whole = size & ~3
    found = _SEED ^ size
    for at in range(0, whole, 4):
        k = _word(key, at)[0] * _MIX & _WORD
        found = (found * _MIX & _WORD) ^ ((k ^ k >> 24) * _MIX & _WORD)
    if size > whole:
        found = (found ^ int.from_bytes(key[whole:], "little")) * _MIX & _WORD
    found = (found ^ found >> 13) * _MIX & _WORD
    return found ^ found >> 15


def partition_of(key: str, partitions: int) -> int:
    """The partition of a record under ``key``."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions


def naming(partitions: int) -> Callable[[str], str] | None:
    """Names a key's partition, "partition 3"; None where their number is not known (0)."""
    if partitions < 1:
        return None
    names = [f"partition {number}" for number in range(partitions)]
    return lambda key: names[partition_of(key, partitions)]

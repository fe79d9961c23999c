"""What a fetch brought of one partition: the client's own object, which reads its records our way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kafka import TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError

from actors.ingest.records import Record, read_records

CURRENT_FORMAT = 2
"""Of a batch, since Kafka 0.11; the client reads older ones itself."""


class FetchedRecords(Fetcher.PartitionRecords):  # type: ignore[misc]  # the client has no types
    """See the module; the fetcher makes it and takes a poll's worth off it at a time."""

    def _unpack_records(self, tp: TopicPartition, records: Any, *_deserializers: object) -> Iterator[Record]:
        while (batch := records.next_batch()) is not None:
            if not batch.validate_crc():
                raise CorruptRecordError(
                    f"the batch of {tp} at offset {batch.base_offset} fails its checksum"
                )
            current = batch.magic == CURRENT_FORMAT
            if current:
                self.leader_epoch = batch.leader_epoch
            if not (current and batch.is_control_batch):
                found = _read(batch, tp) if current else _read_old(batch, tp)
                self.records_read += len(found)
                self.bytes_read += batch.size_in_bytes
                for record in found:
                    self.next_fetch_offset = record.offset + 1
                    yield record
            if current:
                # Compaction may have taken the last record: the next fetch begins behind the batch all the same.
                self.next_fetch_offset = batch.next_offset
        self.drain()


def _read(batch: Any, partition: TopicPartition) -> list[Record]:
    iter(batch)  # undoes the compression
    data, at = bytes(batch._buffer), batch._pos  # noqa: SLF001  (no public way to the bytes)
    try:
        return read_records(data, at, batch.records_count, batch.base_offset, partition)
    except ValueError as error:
        raise CorruptRecordError(f"{partition} at offset {batch.base_offset}: {error}") from error


def _read_old(batch: Any, partition: TopicPartition) -> list[Record]:
    found = []
    for record in batch:
        if not record.validate_crc():
            raise CorruptRecordError(
                f"the record of {partition} at offset {record.offset} fails its checksum"
            )
        found.append(Record(partition, record.offset, record.key, record.value))
    return found

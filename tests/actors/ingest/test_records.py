"""Our reading of a fetch beside the client's own: the same records, and the same refusal of broken bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.memory_records import MemoryRecords, MemoryRecordsBuilder
from kafka.record.util import calc_crc32c

from actors.ingest.fetched import FetchedRecords
from actors.ingest.records import Record, mark

PLACE = TopicPartition("payments", 3)
GZIP = 1
ATTRIBUTES_AT = (1, 29)
NAME_AT = range(16, 20)
"""Of the first record's header: a name is searched, not read, so that nobody asks whether it is UTF-8."""
# Names that neither stand in each other nor in a value: where a header is searched, the first like it is meant.
NAMES = st.integers(100, 999).map(lambda number: f"ce_{number}")
VALUES = st.none() | st.binary(max_size=80).map(lambda found: found.replace(b"_", b"-"))
HEADERS = st.dictionaries(NAMES, VALUES, max_size=3).map(lambda found: list(found.items()))
ASKED = ["name", *[f"ce_{number}" for number in range(100, 1000)]]
RECORDS = st.lists(
    st.tuples(
        st.integers(0, 2**40),  # the time
        st.none() | st.binary(max_size=100),
        st.none() | st.binary(max_size=20_000),
        HEADERS,
    ),
    min_size=1,
    max_size=100,
)


def batch(records, *, codec=0, holes=1):
    made = DefaultRecordBatchBuilder(2, codec, False, -1, -1, -1, 2**30)
    for number, (time_ms, key, value, headers) in enumerate(records):
        assert made.append(number * holes, time_ms, key, value, headers)
    return bytes(made.build())


def headers(record):
    """All headers of the client's record, and of ours those that there may be, in one order."""
    if isinstance(record, Record):
        return {name: record.header(mark(name)) for name in ASKED if mark(name) in record.head}
    return dict(record.headers)


def taken(kind, data, *, from_offset=0, at_once=None):
    fetched = kind(from_offset, PLACE, MemoryRecords(data))
    found, positions = [], []
    while fetched:
        found.append([(r.offset, r.key, r.value, headers(r)) for r in fetched.take(at_once)])
        positions.append((fetched.next_fetch_offset, fetched.leader_epoch, fetched.records_read))
    return found, positions


@given(records=RECORDS, codec=st.sampled_from([0, GZIP]), holes=st.integers(1, 200), data=st.data())
def test_it_reads_what_the_client_reads(records, codec, holes, data):
    raw = batch(records, codec=codec, holes=holes)
    first = data.draw(st.integers(0, len(records) * holes))
    ours, where = taken(FetchedRecords, raw, from_offset=first)
    theirs, there = taken(Fetcher.PartitionRecords, raw, from_offset=first)
    assert ours == theirs
    assert where == there


def test_a_fetch_taken_in_parts_says_after_each_where_the_next_begins():
    raw = batch([(0, b"k", b"v", [])] * 5, holes=10)
    ours, where = taken(FetchedRecords, raw, at_once=2)
    assert [[record[0] for record in part] for part in ours] == [[0, 10], [20, 30], [40]]
    assert [position for position, _, _ in where] == [11, 31, 41]


@pytest.mark.parametrize("magic", [0, 1])
def test_a_format_from_before_kafka_0_11_is_read_too(magic):
    made = MemoryRecordsBuilder(magic, 0, 2**20, offset=7)
    for value in (b"a", b"b"):
        made.append(1, b"k", value)
    made.close()
    ours, _ = taken(FetchedRecords, bytes(made.buffer()))
    assert ours == [[(7, b"k", b"a", {}), (8, b"k", b"b", {})]]


def test_a_flipped_bit_is_refused():
    raw = bytearray(batch([(0, b"key", b"value", [])]))
    raw[-3] ^= 1
    with pytest.raises(CorruptRecordError, match="checksum"):
        FetchedRecords(0, PLACE, MemoryRecords(bytes(raw))).take()


def test_a_header_that_is_not_there_or_is_cut_off_says_nothing():
    name = mark("ce_sequence")
    assert Record(PLACE, 0, None, None).header(name) is None
    assert Record(PLACE, 0, None, None, name).header(name) is None
    assert Record(PLACE, 0, None, None, name + b"\x01").header(name) is None
    assert Record(PLACE, 0, None, None, b"\x02a\x02b" + name + b"\x025").header(name) == b"5"


@given(
    at=st.integers(0, 36).filter(lambda at: at not in (*ATTRIBUTES_AT, *NAME_AT)), byte=st.integers(0, 255)
)
def test_lengths_that_do_not_fit_are_refused_or_read_as_the_client_does(at, byte):
    """Bytes that were wrong before their checksum was made."""
    # The client reads a record's attributes as a number of any length; they are one byte.
    raw = bytearray(batch([(5, b"key", b"value", [("name", b"content")]), (6, b"k", b"v", [])]))
    crc_at, attributes_at, body_at = 17, 21, 61
    assert len(raw) == body_at + 37
    raw[body_at + at] = byte
    raw[crc_at:attributes_at] = calc_crc32c(bytes(raw[attributes_at:])).to_bytes(4, "big")

    def said(kind):
        try:
            found, _ = taken(kind, bytes(raw))
        except (CorruptRecordError, UnicodeDecodeError):
            return "refused"
        return found

    assert said(FetchedRecords) == said(Fetcher.PartitionRecords)

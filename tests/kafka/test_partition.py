"""The partition of a student as producers decide it; judged by the client's own rule."""

from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2 as reference

from actors.ingest.partition import murmur2, naming, partition_of


@given(st.binary(max_size=80))
def test_the_hash_is_that_of_the_client(key: bytes) -> None:
    assert murmur2(key) == reference(key) & 0xFFFFFFFF


@given(st.uuids(), st.integers(1, 60))
def test_a_student_s_partition_is_the_client_s(student, partitions) -> None:
    key = str(student)
    assert partition_of(key, partitions) == (reference(key.encode()) & 0x7FFFFFFF) % partitions
    name = naming(partitions)
    assert name is not None
    assert name(key) == f"partition {partition_of(key, partitions)}"


def test_an_unknown_number_of_partitions_names_none() -> None:
    assert naming(0) is None

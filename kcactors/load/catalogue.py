"""The catalogue that a demo or a load test sells from: made by rule, the same each time."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

from actors.protocol.ids import NAMESPACE

SUBJECTS = ("Algebra", "Geometry", "Physics", "Chemistry", "Biology", "History", "English", "Programming")
LEVELS = ("Foundations", "Grade 8", "Grade 9", "Grade 10", "Exam course")
NAMES = ("Asha", "Ben", "Chitra", "Daniel", "Esha", "Farid", "Gita", "Hanna", "Ishan", "Jana")


def course_ids(count: int) -> list[UUID]:
    """The courses of a catalogue of this size."""
    return [uuid5(NAMESPACE, f"load:course:{number}") for number in range(count)]


def document(*, courses: int, trainers: int, capacity: int, scarce: int | None = None) -> dict[str, Any]:
    """A catalogue as ``kcactors catalog import`` takes it.

    Args:
        courses: how many courses.
        trainers: how many trainers; they are dealt to the courses in turn, one course each.
        capacity: places of one trainer.
        scarce: places of each trainer of the last course, to fill a waitlist; like the others when left out.
    """
    ids = course_ids(courses)
    last = courses - 1
    return {
        "courses": [{"course_id": str(id_), "title": _title(number)} for number, id_ in enumerate(ids)],
        "trainers": [
            {
                "trainer_id": str(uuid5(NAMESPACE, f"load:trainer:{number}")),
                "name": f"{NAMES[number % len(NAMES)]} {number + 1}",
                "capacity": scarce if scarce is not None and number % courses == last else capacity,
                "courses": [str(ids[number % courses])],
            }
            for number in range(trainers)
        ],
    }


def _title(number: int) -> str:
    level, subject = divmod(number, len(SUBJECTS))
    return f"{SUBJECTS[subject]}, {LEVELS[level % len(LEVELS)]}"

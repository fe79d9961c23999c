"""Turns the errors of the rooms below into the failure that chooses the exit code."""

from __future__ import annotations

from actors.doorbell import DoorbellAway
from actors.store.errors import Contended, DatabaseAway, StoreError
from actors.topics import BrokerAway, TopicRefused
from kcactors.embedded.errors import DataDirInUse, ServiceTrouble
from kcactors.environment import WrongSettings
from kcactors.exits import Failure, NotKept, ServiceAway, WrongUse


class SettingsRefused(WrongUse):
    """Settings are missing or wrong; the report lists each."""

    def __init__(self, cause: WrongSettings) -> None:
        super().__init__(f"settings are missing or wrong\n{cause}")
        self._problems = cause.problems

    def report(self) -> dict[str, object]:
        """The result of a verb in JSON, with every problem by name."""
        return {
            "ok": False,
            "error": "settings are missing or wrong",
            "problems": [{"name": problem.name, "text": problem.text} for problem in self._problems],
        }


def as_failure(error: BaseException) -> Failure | None:
    """The failure that an error means to the caller of a verb; ``None`` for a defect of ours."""
    failure: Failure | None = None
    match error:
        case Failure():
            failure = error
        case WrongSettings():
            failure = SettingsRefused(error)
        case DatabaseAway() | Contended():
            failure = ServiceAway("PostgreSQL", str(error))
        case StoreError():
            failure = NotKept(f"PostgreSQL refuses: {error} (is the schema up to date? kcactors migrate)")
        case DoorbellAway():
            failure = ServiceAway("Redis", str(error))
        case BrokerAway():
            failure = ServiceAway("Kafka", str(error))
        case TopicRefused():
            failure = NotKept(f"Kafka refuses: {error}")
        case DataDirInUse():
            failure = WrongUse(str(error))
        case ServiceTrouble():
            failure = ServiceAway("an embedded service", str(error))
    return failure

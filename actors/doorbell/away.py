"""The one name of every trouble with Redis."""


class DoorbellAway(ConnectionError):
    """Redis did not answer in time. Nothing is lost: the log has it, and the outbox still holds the row."""

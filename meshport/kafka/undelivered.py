"""Events that the client reports as not delivered."""

from __future__ import annotations

from confluent_kafka import KafkaError as ClientError

from meshport.errors import DeliveryUnknown, MeshError

__all__ = ["Undelivered", "possibly_stored"]


class Undelivered:
    """An event that the client reports as not delivered.

    Args:
        error: why.
    """

    __slots__ = ("_error",)

    def __init__(self, error: MeshError) -> None:
        self._error = error

    @property
    def decided(self) -> bool:
        """Whether `error` is final."""
        return True

    def wait(self, timeout_s: float) -> None:
        """Wait until `error` is final, for `timeout_s` seconds at most. Not called within a delivery callback."""

    def error(self) -> MeshError:
        """Return the error: `DeliveryUnknown` where the event may be stored; returns at once."""
        return self._error


def possibly_stored(refused: str, error: ClientError) -> DeliveryUnknown:
    """Return the error for an event that a broker refused after an earlier request with it may have been stored.

    Args:
        refused: why the broker refused it.
        error: the client's.
    """
    return DeliveryUnknown(
        f"{refused}; an earlier request with it may have been stored before a connection was lost",
        code=error.name(),
        hint="publish it again with the same id: readers ignore an id they have seen",
    )

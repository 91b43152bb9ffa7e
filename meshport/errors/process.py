"""Errors of processors."""

from __future__ import annotations

from meshport.errors.base import MeshError, with_facts


@with_facts
class ProcessError(MeshError):
    """Raised when a processor's declaration or state cannot be run.

    Attributes:
        address: the product of the processor, or the port at fault.
        topic: the topic that the processor reads or keeps its state in.
        partition: the partition of the topic.
        offset: the offset in the partition.
    """

    address: str | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None


class StateDamaged(ProcessError):  # noqa: N818 - names a state
    """Raised when the changelog of a processor does not hold the state that its checkpoint describes.

    Attributes:
        offset: the input offset of the checkpoint.
    """

"""Deletion of replaced generations, and what still depends on one."""

from __future__ import annotations

from collections.abc import Callable

from meshport.address import Address, generation_topics
from meshport.binding import Binding, Continuation
from meshport.errors import NotRegistered
from meshport.generations import Generations, GenerationState
from meshport.kafka.admin import Admin
from meshport.process.wire.plan import processor_group
from meshport.registry import PortGenerations, Registry


def retire(line: PortGenerations, number: int, admin: Admin) -> list[str]:
    """Delete a generation that was replaced or abandoned: its entry in the registry first, then its topics.

    Args:
        line: the port's generations.
        number: of the generation.
        admin: of the cluster.

    Returns:
        The topics that were deleted.

    Raises:
        NotRegistered: there is no such generation.
        RegistrationRefused: the generation is bound, or being built.
    """
    topic = next((each.topic for each in line.list().generations if each.number == number), None)
    if topic is None:
        raise NotRegistered(f"{line.line} has no generation {number}")
    line.retire(number)
    deleted = [*admin.partitions_of(*generation_topics(topic))]
    for each in deleted:
        admin.delete_topic(each)
    return deleted


def delete_abandoned(line: PortGenerations, opened: Generations, admin: Admin, say: Callable[[str], None]) -> None:
    """Delete the generations of a port whose build was given up.

    Args:
        line: the port's generations.
        opened: the generations as they are now.
        admin: of the cluster.
        say: called with a line for people for each.
    """
    for each in opened.generations:
        if each.state is GenerationState.ABANDONED:
            say(f"generation {each.number} was begun by another logic; it is deleted")
            retire(line, each.number, admin)


def unfinished_groups(binding: Binding, number: int, admin: Admin) -> list[str]:
    """Return the consumer groups that have committed offsets in a replaced generation before its end.

    Args:
        binding: the present binding of the port.
        number: of the generation.
        admin: of the cluster.
    """
    replaced = _continuation_of(binding, number)
    if replaced is None:
        return []
    return sorted(
        group
        for group, offsets in admin.groups.committed_offsets(replaced.topic).items()
        if any(offsets.get(partition, 0) < end for partition, end in replaced.ends.items())
    )


def dependent_products(mesh: Registry, binding: Binding, number: int, admin: Admin) -> list[Address]:
    """Return the products whose state was built from a replaced generation; rebuild each before the generation is retired.

    Args:
        mesh: a registry.
        binding: the present binding of the port.
        number: of the generation.
        admin: of the cluster.
    """
    replaced = _continuation_of(binding, number)
    if replaced is None:
        return []
    then, now = admin.groups.committed_offsets(replaced.topic), admin.groups.committed_offsets(binding.topic)
    found = []
    for reader in mesh.readers(binding.address):
        try:
            group = processor_group(mesh.refresh(reader.address).topic)
        except NotRegistered:
            continue  # a product without a port that a processor could build
        if group in then and group not in now:
            found.append(reader.address)
    return found


def _continuation_of(binding: Binding, number: int) -> Continuation | None:
    """Return where the binding continues a replaced generation; None where it has replaced none of that number."""
    return next((each for each in binding.continues if each.generation == number), None)

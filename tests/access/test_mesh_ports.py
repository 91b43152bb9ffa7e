"""The topics that readers of a port need."""

from __future__ import annotations

import pytest

from meshport.access.mesh_ports import BoundPort, MeshPorts
from meshport.address import Address
from meshport.errors import NotRegistered

LINES = [
    BoundPort(Address("sensors", "readings", "events", major), None, f"topic-{major}", (f"topic-{major}",), migrates)
    for major, migrates in ((1, None), (2, 1), (3, 2), (4, None))
]


class NoProducts:
    """A registry without products: the ports are planned."""

    def product(self, which: Address) -> object:
        """Return nothing."""
        raise NotRegistered(f"there is no {which}")


@pytest.mark.parametrize(
    ("major", "read"), [(None, (1, 2, 3, 4)), (1, (1,)), (2, (2, 1)), (3, (3, 2, 1)), (4, (4,)), (5, ())]
)
def test_a_reader_of_a_line_reads_those_that_it_migrates(major: int | None, read: tuple[int, ...]) -> None:
    """An address with a major leads to its line and to each that is migrated on the way; one without, to all."""
    ports = MeshPorts(NoProducts(), LINES)  # type: ignore[arg-type]  # it has no product, so that nothing else is asked
    found = ports.read_by(Address("sensors", "readings", "events", major))
    assert tuple(each.address.major for each in found) == read

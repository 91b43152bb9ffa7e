"""What a rebuild reports of itself while it runs."""

from __future__ import annotations

from meshport.address import Address
from meshport.metrics.readiness import Readiness
from meshport.rebuild import RebuildMeasures
from tests.metrics.samples import sample

ADDRESS = Address.parse("tests/rebuilt")


def test_steps_add_up_and_the_present_one_is_what_waits() -> None:
    """Offsets of all steps are counted, those that are left are of the step that is read, and none between two steps."""
    readiness = Readiness("rebuild", ["connected"])
    measures = RebuildMeasures(ADDRESS, readiness)
    assert not readiness.state().ready
    measures.said("generation 2 is begun")
    assert readiness.state().ready
    for done, total in ((40, 100), (100, 100), (10, 100), (10, 30)):
        measures.moved(done, total)
    labels = {"address": str(ADDRESS)}
    assert sample("meshport_rebuild_read_offsets_total", **labels) == 100 + 10 + 10
    assert sample("meshport_rebuild_waiting_offsets", **labels) == 20
    assert readiness.state().waiting == 20
    measures.said("waiting for the live processor to pause")
    assert (readiness.state().waiting, sample("meshport_rebuild_waiting_offsets", **labels)) == (None, 0)

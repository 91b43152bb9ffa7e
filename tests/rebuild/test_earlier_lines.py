"""A rebuild over an input whose port migrates an earlier line: the new generation has the events of both lines."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from meshport.errors import ProcessError
from meshport.ports.publisher import Publisher
from meshport.ports.replay import Replay
from meshport.project.project import ProjectProduct
from meshport.rebuild import Rebuild, Swap
from tests.connections import CONNECTIONS
from tests.lines import TwoLines, ago, kelvins, publish_then, two_lines
from tests.mesh_session import Mesh
from tests.rebuild.shop import INSTANT, Shop, record
from tests.waiting import wait_for

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[2]
PER_SENSOR = record("PerSensor", sensor="string", readings="long", kelvin="double")
PER_LABEL = record("PerLabel", label="string", readings="long", kelvin="double")
WARM = record("Warm", sensor="string", kelvin="double", at=INSTANT)
WARMER = [{"filter": "kelvin >= 280"}, {"select": ["sensor", "kelvin", "at"]}]
OLD = range(300)
BOTH = range(300, 320)
NEW = range(300, 420)


def totals_by(field: str) -> list[dict[str, Any]]:
    """The steps that count readings by a field, and add them up."""
    return [{"aggregate": {"by": [field], "values": {"readings": "count()", "kelvin": "sum(kelvin)"}}}]


def filled(mesh: Mesh, **first: Any) -> TwoLines:
    """Readings in the first line, some in both, some in the second."""
    lines = two_lines(mesh, ago(60), first=first)
    publish_then(lines.first, OLD, ago(120))
    publish_then(lines.first, BOTH, ago(30))
    with Publisher(lines.second.address, mesh.registry, kafka=CONNECTIONS) as publisher:
        for number in NEW:
            publisher.publish(kelvins(number))
    return lines


def of_sensors(numbers: range) -> Counter[str]:
    """How many of these readings each sensor has."""
    return Counter(kelvins(number)["sensor"] for number in numbers)


def rebuilt(shop: Shop, product: ProjectProduct) -> dict[bytes | None, Any]:
    """Rebuild a product and bind the new generation; its latest records."""
    report = Rebuild(product, shop.mesh.registry, kafka=CONNECTIONS).run(Swap.ALWAYS)
    assert report.processed.read == len(OLD) + len(NEW)
    return shop.latest(product.product.address)


@pytest.mark.parametrize("by", ["sensor", "label"])
def test_totals_have_both_lines(by: str, mesh: Mesh, tmp_path: Path) -> None:
    """An aggregate by the record key, and one that is re-keyed, count each reading of the two lines once."""
    lines = filled(mesh)
    shop = Shop(mesh, lines.second.address)
    contract = PER_SENSOR if by == "sensor" else PER_LABEL
    product = shop.derived(totals_by(by), contract, tmp_path, key=by, cleanup="compact")
    shop.build(product)
    before = shop.latest(product.product.address)
    assert sum(each["readings"] for each in before.values()) == len(NEW)
    after = rebuilt(shop, product)
    whole = range(OLD.start, NEW.stop)
    expected = of_sensors(whole) if by == "sensor" else Counter({"none": len(whole)})
    assert {each[by]: each["readings"] for each in after.values()} == expected
    assert sum(each["kelvin"] for each in after.values()) == pytest.approx(
        sum(kelvins(each)["kelvin"] for each in whole)
    )
    with Publisher(lines.second.address, mesh.registry, kafka=CONNECTIONS) as publisher:
        publisher.publish(kelvins(NEW.stop))
    shop.build(product)  # the engine goes on with the state
    live = shop.latest(product.product.address)
    assert sum(each["readings"] for each in live.values()) == len(whole) + 1


@pytest.mark.parametrize("commit", range(1, 4))
def test_a_killed_rebuild_goes_on(commit: int, mesh: Mesh, tmp_path: Path) -> None:
    """One that is killed at a commit in the middle of the earlier line goes on; a stream has each event once."""
    shop = Shop(mesh, filled(mesh).second.address)
    product = shop.derived(WARMER, WARM, tmp_path, key="sensor", time="at")
    shop.build(product)
    command = [sys.executable, "-m", "tests.rebuild.killed", mesh.url, str(tmp_path), product.product.address.product]
    killed = subprocess.run([*command, f"commit {commit}"], cwd=ROOT, check=False).returncode
    assert killed == -signal.SIGKILL
    line = mesh.registry.generations(product.product.address)
    wait_for(lambda: line.list().hold is None, "the end of the hold")
    Rebuild(product, mesh.registry, kafka=CONNECTIONS).run(Swap.ALWAYS)
    found: dict[str, list[float]] = {}
    mesh.registry.refresh(product.product.address)

    with Replay(product.product.address, mesh.registry, kafka=CONNECTIONS) as replay:
        for event in replay.history():
            found.setdefault(event.data["sensor"], []).append(event.data["kelvin"])
    expected: dict[str, list[float]] = {}
    for each in map(kelvins, range(OLD.start, NEW.stop)):
        if each["kelvin"] >= 280:
            expected.setdefault(each["sensor"], []).append(each["kelvin"])
    assert found == expected


def test_lines_that_cannot_be_one_log(mesh: Mesh, tmp_path: Path) -> None:
    """An earlier line with other partitions, or one that still has events to come, is refused with what would be right."""
    for lines, words in (
        (two_lines(mesh, ago(60), first={"partitions": 3}), "has 3 partitions, and"),
        (two_lines(mesh, ago(-60)), "has all of them five minutes later"),
    ):
        shop = Shop(mesh, lines.second.address)
        product = shop.derived(WARMER, WARM, tmp_path, key="sensor", time="at")
        with pytest.raises(ProcessError, match=words):
            Rebuild(product, mesh.registry, kafka=CONNECTIONS).run(Swap.ALWAYS)

"""`rebuild` and `generations`, as their users type them."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest

from meshport.process import load_pipeline, make_plan
from meshport.process.engines import batch
from meshport.project.project import Project
from tests.cli.running import Run
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh

FLIGHTS = [{"date": f"2001/01/01 0{hour}:10", "delay": hour, "origin": place} for hour in range(9) for place in "ABC"]


@pytest.fixture
def delays(on_mesh: Run, mesh: Mesh, tmp_path: Path) -> str:
    """The address of a product that is built of another one, all of it typed, and built."""
    domain = f"d{uuid4().hex[:8]}"
    source, built = f"{domain}/departures", f"{domain}/delays"
    file = tmp_path / "flights.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in FLIGHTS), encoding="utf-8")
    for typed in (
        ["init"],
        ["new", source, "--sample", str(file), "--key", "origin", "--time", "date"],
        ["new", built, "--from", source, "--by", "origin", "--window", "1h", "--value", "flights=count()"],
        ["apply", "--kafka", mesh.bootstrap_servers],
        ["publish", source, "--from", str(file)],
    ):
        ended = on_mesh(*typed)
        assert ended.code == 0, ended.err
    product = Project(tmp_path).product(mesh.registry.resolve(built).address)
    plan = make_plan(
        load_pipeline(product.product, product.folder), product.product.address, mesh.registry, kafka=CONNECTIONS
    )
    batch.run_processor(plan, mesh.registry, until_end=True)
    return built


def test_a_product_is_rebuilt_swapped_and_its_old_generation_deleted(on_mesh: Run, delays: str) -> None:
    """A rebuild compares, binds with `--swap`, and deletes with `--retire`; each step reports what it did and what comes next."""
    compared = on_mesh("rebuild", delays)
    assert (compared.code, compared.out) == (0, "")
    assert "27 events in" in compared.err
    assert "keys: 27 in the old generation, 27 in the new one; 0 only in the old" in compared.err
    assert "nothing is bound anew: `--swap equal` does" in compared.err
    swapped = on_mesh("rebuild", delays, "--swap", "equal", "--json")
    assert swapped.code == 0, swapped.err
    assert (swapped.lines[0]["generation"], swapped.lines[0]["swapped"]) == (2, True)
    assert "goes on" in swapped.err
    told = on_mesh("generations", delays)
    assert [line.split()[:2] for line in told.out.splitlines()[1:]] == [["1", "replaced"], ["2", "live"]]
    bound = on_mesh("rebuild", delays, "--retire", "2")
    assert bound.code == 1
    assert "is the one that" in bound.err
    gone = on_mesh("rebuild", delays, "--retire", "1", "--json")
    assert gone.code == 0, gone.err
    assert f"{delays.replace('/', '.')}.events.v1" in gone.lines[0]["deleted"]
    states = [each["state"] for each in on_mesh("generations", delays, "--json").lines]
    assert states == ["retired", "live"]


def test_what_cannot_be_rebuilt(on_mesh: Run, delays: str) -> None:
    """A time to swap that there is not, and a product that nothing builds, end with 2."""
    assert "'soon' is none of never, equal, always" in on_mesh("rebuild", delays, "--swap", "soon").err
    source = on_mesh("rebuild", delays.replace("delays", "departures"))
    assert source.code == 2
    assert "has no `process`" in source.err

"""A rebuild of a function whose new schema cannot read the stored states, as the gate advises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshport.errors import ProcessError
from meshport.ports.replay import Replay
from meshport.product import Product
from meshport.project.project import ProjectProduct
from meshport.rebuild import Rebuild, Swap
from tests.connections import CONNECTIONS
from tests.mesh_session import Mesh
from tests.rebuild.shop import open_shop, record

OUTPUT = record("Sum", customer="string", cents="long")
LOGIC = """
def old(state, event):
    state = {"cents": (state or {"cents": 0})["cents"] + event.data["cents"]}
    return state, [{"customer": event.key[0], "cents": state["cents"]}]

def new(state, event):
    state = state or {"cents": 0, "orders": 0}
    state = {"cents": state["cents"] + event.data["cents"], "orders": state["orders"] + 1}
    return state, [{"customer": event.key[0], "cents": state["cents"]}]
"""


def test_a_rebuild_replaces_a_state_that_cannot_be_read(mesh: Mesh, tmp_path: Path) -> None:
    """New code that cannot read the old state does not start; a rebuilt generation has a state of its own, and continues."""
    shop = open_shop(mesh, tmp_path)
    shop.sell(200)
    (tmp_path / "logic.py").write_text(LOGIC)
    step = {"function": "logic.py:old", "by": ["customer"], "state": record("State", cents="long")}
    product = shop.derived([{"apply": step}], OUTPUT, tmp_path, key="customer", cleanup="compact")
    shop.build(product)
    declared = json.loads(product.product.model_dump_json(by_alias=True))
    step |= {"function": "logic.py:new", "state": record("State", cents="long", orders="long")}
    declared["process"]["steps"] = [{"apply": step}]
    changed = ProjectProduct(Product.model_validate(declared), tmp_path, product.schemas)
    with pytest.raises(ProcessError, match="the stored state at orders cannot be read"):
        shop.build(changed)
    report = Rebuild(changed, shop.mesh.registry, kafka=CONNECTIONS).run(Swap.EQUAL)
    assert report.equal
    assert report.binding is not None
    assert report.binding.generation == 2
    shop.sell(100)
    shop.build(changed)
    with Replay(product.product.address, shop.mesh.registry, kafka=CONNECTIONS) as replay:
        rows = {event.key: event.data for event in replay.history()}
    assert sum(row["cents"] for row in rows.values() if row) == sum(number * 37 % 1000 for number in range(300))

"""The product of a small shop that the tests of commands share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

ORDERS: Final = """\
address: mesh://shop/orders
id: 5a1e0c3e-2f0c-4d0e-9d57-6f1f7d9b4a10
archetype: source-aligned
description: Orders as they are placed.
owner: shop
outputPorts:
  - name: events
    key: customer
"""
"""Its product.yaml; what is appended belongs to its one port."""

ORDERS_FILE: Final = "producers/shop/orders/product.yaml"
ORDER_FILE: Final = "schemas/shop/orders.events.avsc"


def order(*fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the contract of the port with these fields."""
    return {"type": "record", "name": "shop.Order", "fields": list(fields)}


def write_shop(root: Path, contract: Mapping[str, Any]) -> None:
    """Write a project with this one product and this contract."""
    (root / "processors").mkdir()
    for name, text in ((ORDERS_FILE, ORDERS), (ORDER_FILE, json.dumps(contract, indent=1))):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(text)

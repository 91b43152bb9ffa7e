"""Products of a project, declared in a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import yaml


def write(root: Path, address: str, schema: Mapping[str, Any], *ports: Mapping[str, Any], **more: Any) -> None:
    """Declare a product, or declare it anew; every port has the schema."""
    kind = "processors" if "process" in more else "producers"
    document = {
        "address": f"mesh://{address}",
        "id": str(uuid5(NAMESPACE_URL, address)),
        "archetype": "aggregate" if "process" in more else "source-aligned",
        "description": "d",
        "owner": "o",
        "outputPorts": [dict(each) for each in ports],
    }
    file = root / kind / address / "product.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(document | more, sort_keys=False), encoding="utf-8")
    for port in ports:
        major = "" if port.get("major", 1) == 1 else f".v{port['major']}"
        contract = root / "schemas" / f"{address}.{port['name']}{major}.avsc"
        contract.parent.mkdir(parents=True, exist_ok=True)
        contract.write_text(json.dumps(schema), encoding="utf-8")

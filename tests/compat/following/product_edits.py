"""Edits of a product.yaml: its keys, those of its ports, its service levels and its process."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

from meshport.compat.finding import Part
from meshport.product.yaml_file import load
from tests.compat.following.situation import Advice


def write_key(advice: Advice) -> None:
    """Write the keys that an advice gives where its finding is: in the product, a port or the service levels."""
    written, document = load(advice["yaml"]), advice.situation.document
    if advice.finding.rule.startswith("SLO_"):
        _write_level(document, written)
    elif isinstance(written, list):  # `- name: events` first in outputPorts
        document["outputPorts"].sort(key=lambda each: each["name"] != written[0]["name"])
    else:
        _entry(advice).update(
            {key: "mesh://shop/purchases" if value == "<address>" else value for key, value in written.items()}
        )


def remove_key(advice: Advice) -> None:
    """Remove a key from the port."""
    advice.situation.port.pop(advice["key"])


def remove_expression(advice: Advice) -> None:
    """Remove an expression of the port's migration."""
    _migration(advice)["fields"].pop(advice["name"])


def write_expression(advice: Advice) -> None:
    """Compute a field by its own name."""
    _migration(advice)["fields"][advice["name"]] = advice["name"]


def _migration(advice: Advice) -> dict[str, Any]:
    ports = advice.situation.document["outputPorts"]
    found: dict[str, Any] = next(each["migration"] for each in ports if "migration" in each)
    return found


def remove_level(advice: Advice) -> None:
    """Remove a service level."""
    advice.situation.document["slaProperties"].remove(load(advice["yaml"]))


def keep_process(advice: Advice) -> None:
    """Put the process back as it was, with what it reads."""
    situation = advice.situation
    before = situation.was[0]
    situation.document.update({key: deepcopy(before[key]) for key in ("process", "inputPorts") if key in before})


def write_other_owner(advice: Advice) -> None:
    """Write another owner, or another contact."""
    assert advice["key"] == advice.path
    advice.situation.document[advice["key"]] = "checkout-team@example.com"


def _entry(advice: Advice) -> dict[str, Any]:
    """Return the part of the descriptor that a finding is about: a line that its path names, the port, or the product."""
    document = advice.situation.document
    if advice.finding.rule == "MAJOR_MOVES_READERS":
        line = re.search(r"([\w-]+)@(\d+)", advice.path)
        assert line is not None
        name, major = line[1], int(line[2])
        found: dict[str, Any] = next(
            each for each in document["outputPorts"] if (each["name"], each.get("major")) == (name, major)
        )
        return found
    return advice.situation.port if advice.finding.part is Part.PORT else document


def _write_level(document: dict[str, Any], level: dict[str, Any]) -> None:
    """Write a service level in the place of those of the same property and port."""
    kept = [
        each
        for each in document.get("slaProperties", ())
        if (each["property"], each.get("port")) != (level["property"], level.get("port"))
    ]
    document["slaProperties"] = [*kept, level]

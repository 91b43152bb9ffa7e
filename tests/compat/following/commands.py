"""Runs the commands that an advice names: reads each as the command line does, and does to a situation what it does.

What people agree on, or look at, changes no file.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from meshport.catalog import Waiver
from meshport.cli import load_verb
from tests.compat.following.situation import Advice, port_in


def run(advice: Advice) -> None:
    """Run the commands that an advice names, in their order."""
    for verb, given in _commands(advice.text):
        _COMMANDS[verb](given, advice)


def remove_after_commands(advice: Advice) -> None:
    """Check that a port or product may be put back, then run the commands after which it may be removed."""
    back = deepcopy(advice.situation)
    back.gone, back.now = None, deepcopy(advice.situation.was)
    assert back.judged().passes
    run(advice)


def make_another_product(advice: Advice) -> None:
    """Write the new address in a product of its own, so that this one keeps its address."""
    assert [verb for verb, _ in _commands(advice.text)] == ["new", "deprecate"]
    situation = advice.situation
    situation.document["address"] = situation.was[0]["address"]


def agree(advice: Advice) -> None:
    """Change no file, since the advice is what people agree on or look at."""
    del advice


def _commands(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each command that a text names, with its parameters as the command line itself reads them."""
    for line in re.findall(r"`(meshport [^`]+)`", text):
        verb, *arguments = shlex.split(line)[1:]
        command = load_verb(verb)
        if hasattr(command, "commands"):
            sub, *arguments = arguments
            command, verb = command.commands[sub], f"{verb} {sub}"
        yield verb, command.make_context(verb, arguments, resilient_parsing=False).params


def _waive(given: dict[str, Any], advice: Advice) -> None:
    finding, situation = advice.finding, advice.situation
    assert (given["rule"], given["at"]) == (finding.rule, finding.path)
    address = situation.past.contract.address
    assert given["address"] == address.key
    waiver = Waiver(
        id=1,
        address=address,
        rule=given["rule"],
        path=given["at"],
        approver=given["approver"],
        reason=given["reason"],
        until=date.fromisoformat(given["until"]),
        created_at=datetime(2026, 3, 1, tzinfo=UTC),
    )
    situation.past = replace(situation.past, waivers=(*situation.past.waivers, waiver))


def _new_line(given: dict[str, Any], advice: Advice) -> None:
    """Take the candidate as the next major line, and the present one back as it was."""
    assert given["major"]
    situation = advice.situation
    before = situation.past.contract.port
    document, schema = deepcopy(situation.now)
    if situation.gone is None:
        assert given["address"].startswith(situation.past.contract.product.address.key)
    port = next(each for each in document["outputPorts"] if each["name"] == before.name)
    number = max(int(each.get("major", 1)) for each in document["outputPorts"]) + 1
    line = port | {"major": number, "liveFrom": "2026-04-01"}
    old = port_in(situation.was[0], before) | {"deprecatedOn": "2026-06-01"}
    document["outputPorts"] = [old, line, *(each for each in document["outputPorts"] if each is not port)]
    situation.now = (document, deepcopy(situation.was[1]))
    situation.lines[number] = schema


def _rebuild(given: dict[str, Any], advice: Advice) -> None:
    """Give the port as its readers know it the partitions of the rebuilt generation."""
    situation = advice.situation
    contract = situation.past.contract
    if given["partitions"]:
        assert given["swap"] == "always"
        port = contract.port.model_copy(update={"partitions": given["partitions"]})
        situation.past = replace(situation.past, contract=replace(contract, port=port))


def _retire(given: dict[str, Any], advice: Advice) -> None:
    situation = advice.situation
    assert given["address"].startswith(situation.past.contract.product.address.key)
    situation.retired = True


def _change_nothing(given: dict[str, Any], advice: Advice) -> None:
    del given, advice


_COMMANDS: dict[str, Callable[[dict[str, Any], Advice], None]] = {
    "gate waive": _waive,
    "new": _new_line,
    "rebuild": _rebuild,
    "retire": _retire,
    "deprecate": _change_nothing,
    "readers": _change_nothing,
}

"""Follows the advice of the gate's findings as a machine would: an edit of the contract, or a command of the mesh.

Each kind of advice has one function. `alternatives` splits an advice, and `follow` carries out one alternative.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

from meshport.catalog import Waiver
from meshport.cli import load_verb
from meshport.compat import Contract, Past, Verdict, Version, judge_port
from meshport.compat.corpus import Fixture, contract_of
from meshport.compat.finding import Finding, Part
from meshport.compat.judge import judge_new, refused_schema
from meshport.errors import SchemaError
from meshport.product import OutputPort, Status
from meshport.product.yaml_file import load
from meshport.schema import parse_schema
from meshport.schema.logical import ANNOTATES, flaw

TODAY = date(2026, 3, 1)


@dataclass
class Situation:
    """A change that the gate refuses or warns of, and what has been done since.

    Attributes:
        past: the port as its readers know it.
        was: its descriptor and schema, as JSON data.
        now: those of the candidate.
        gone: `port` or `product` where the candidate lacks it, else None.
        retired: whether the port was retired, after which the gate does not judge it.
        lines: the schemas of lines that were added, by major.
    """

    past: Past
    was: tuple[dict[str, Any], Any]
    now: tuple[dict[str, Any], Any]
    gone: str | None
    retired: bool = False
    lines: dict[int, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, fixture: Fixture) -> Situation:
        """Return the situation of a fixture."""
        before = contract_of(fixture.before)
        was, now = (deepcopy((side[0], _plain(side[1]))) for side in (fixture.before, fixture.after))
        return cls(Past(before, fixture.versions), was, now, fixture.gone)

    def judged(self) -> Verdict:
        """Return the verdict on the port; a line that was added has to pass too."""
        before = self.past.contract
        if self.retired:
            product = before.product.model_copy(update={"status": Status.RETIRED})
            contract = replace(before, product=product)
            past = replace(self.past, contract=contract)
            return judge_port(past, contract if self.gone is None else None, product, today=TODAY)
        if self.gone is not None:
            product_left = None if self.gone == "product" else contract_of(self.now).product
            return judge_port(self.past, None, product_left, today=TODAY)
        try:
            after = contract_of(self.now)
        except SchemaError as error:
            return refused_schema(before.address, before.product.compatibility(before.port), error, today=TODAY)
        for major, form in self.lines.items():
            port = after.product.port(before.port.name, major)
            assert port is not None
            line = judge_new(Contract(after.product, port, parse_schema(json.dumps(form))), today=TODAY)
            assert line.passes, [str(each) for each in line.findings]
        return judge_port(self.past, after, after.product, today=TODAY)

    def release(self) -> None:
        """Let the readers take the candidate as the next version; it has to pass first."""
        verdict = self.judged()
        assert verdict.passes, [str(each) for each in verdict.findings]
        after = contract_of(self.now)
        version = Version(self.past.versions[-1].number + 1, after.schema)
        self.past = replace(self.past, contract=after, versions=(*self.past.versions, version))
        self.was = deepcopy(self.now)


def alternatives(advice: str) -> list[str]:
    """Return the ways that an advice offers; each has to lead to a verdict that passes."""
    return re.split(
        r"; or |; (?=with another key|for another identifier|for a new address|where the values)|, or (?=publish a new major)",
        advice,
    )


def follow(text: str, finding: Finding, situation: Situation) -> None:
    """Carry out one alternative of a finding's advice.

    Raises:
        AssertionError: no function knows this kind of advice.
    """
    for pattern, carry_out in _KINDS:
        if match := re.search(pattern, text):
            carry_out(match, finding, situation)
            return
    raise AssertionError(f"no function follows the advice of {finding.rule}: {text}")


# --- commands


def _command(text: str) -> tuple[str, dict[str, Any]]:
    """Return the command of a command line with its parameters, as the command line itself reads them."""
    verb, *arguments = shlex.split(text)[1:]
    command = load_verb(verb)
    if hasattr(command, "commands"):
        sub, *arguments = arguments
        command, verb = command.commands[sub], f"{verb} {sub}"
    return verb, command.make_context(verb, arguments, resilient_parsing=False).params


def _run(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    for text in re.findall(r"`(meshport [^`]+)`", match.string):
        verb, given = _command(text)
        _COMMANDS[verb](given, finding, situation)


def _waive(given: dict[str, Any], finding: Finding, situation: Situation) -> None:
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


def _new_line(given: dict[str, Any], finding: Finding, situation: Situation) -> None:
    """Take the candidate as the next major line, and the present one back as it was."""
    del finding
    assert given["major"]
    before = situation.past.contract.port
    document, schema = deepcopy(situation.now)
    if situation.gone is None:
        assert given["address"].startswith(situation.past.contract.product.address.key)
    port = next(each for each in document["outputPorts"] if each["name"] == before.name)
    number = max(int(each.get("major", 1)) for each in document["outputPorts"]) + 1
    line = port | {"major": number, "liveFrom": "2026-04-01"}
    old = _port(situation.was[0], before) | {"deprecatedOn": "2026-06-01"}
    document["outputPorts"] = [old, line, *(each for each in document["outputPorts"] if each is not port)]
    situation.now = (document, deepcopy(situation.was[1]))
    situation.lines[number] = schema


def _rebuild(given: dict[str, Any], finding: Finding, situation: Situation) -> None:
    del finding
    contract = situation.past.contract
    if given["partitions"]:
        assert given["swap"] == "always"
        port = contract.port.model_copy(update={"partitions": given["partitions"]})
        situation.past = replace(situation.past, contract=replace(contract, port=port))


def _retire(given: dict[str, Any], finding: Finding, situation: Situation) -> None:
    del finding
    assert given["address"].startswith(situation.past.contract.product.address.key)
    situation.retired = True


def _nothing(*_: Any) -> None:
    """Do nothing: what people agree on, or look at, changes no file."""


_COMMANDS: dict[str, Callable[[dict[str, Any], Finding, Situation], None]] = {
    "gate waive": _waive,
    "new": _new_line,
    "rebuild": _rebuild,
    "retire": _retire,
    "deprecate": _nothing,
    "readers": _nothing,
}


# --- edits of the schema


def _plain(form: Any) -> Any:
    """Return a schema with full names, or as it is if it cannot be parsed."""
    try:
        return json.loads(parse_schema(json.dumps(form)).text)
    except SchemaError:
        return form


def _records(form: Any, root: Any, seen: frozenset[str] = frozenset()) -> Iterator[dict[str, Any]]:
    if isinstance(form, str):
        found = next((each for each in _types(root) if each.get("name") == form), None)
        if found is not None and form not in seen:
            yield from _records(found, root, seen | {form})
    elif isinstance(form, list):
        for each in form:
            yield from _records(each, root, seen)
    elif "fields" in form:
        yield form
    else:
        for key in ("items", "values"):
            if key in form:
                yield from _records(form[key], root, seen)


def _types(form: Any) -> Iterator[dict[str, Any]]:
    if isinstance(form, list):
        for each in form:
            yield from _types(each)
    elif isinstance(form, dict):
        yield form
        for key in ("items", "values", "type"):
            if isinstance(form.get(key), dict | list):
                yield from _types(form[key])
        for each in form.get("fields", ()):
            yield from _types(each["type"])


def _record(form: Any, path: str) -> dict[str, Any]:
    """Return the record that has, or would have, the field at a path."""
    level = list(_records(form, form))
    for name in path.split(".")[:-1]:
        level = [
            inner
            for each in level
            for one in each["fields"]
            if one["name"] == name
            for inner in _records(one["type"], form)
        ]
    name = path.rpartition(".")[2]
    return next((each for each in level if any(one["name"] == name for one in each["fields"])), level[0])


def _field(form: Any, path: str) -> dict[str, Any] | None:
    name = path.rpartition(".")[2]
    fields: list[dict[str, Any]] = _record(form, path)["fields"]
    return next((each for each in fields if each["name"] == name), None)


def _names_defined(form: Any) -> set[str]:
    return {each["name"] for each in _types(form) if each.get("type") in {"record", "enum", "fixed", "error"}}


def _renamed(form: Any, names: set[str], suffix: str) -> Any:
    """Return a type whose named types have a suffix."""
    if isinstance(form, str):
        return form + suffix if form in names else form
    if isinstance(form, list):
        return [_renamed(each, names, suffix) for each in form]
    if not isinstance(form, dict):
        return form
    made = {
        key: _renamed(value, names, suffix) if key in {"type", "items", "values"} else value
        for key, value in form.items()
    }
    if made.get("name") in names:
        made["name"] += suffix
        made.pop("aliases", None)
    if "fields" in made:
        made["fields"] = [each | {"type": _renamed(each["type"], names, suffix)} for each in made["fields"]]
    return made


def _keep(situation: Situation, path: str) -> dict[str, Any] | None:
    """Put a field back as it was, and return how the candidate has it."""
    record, before = _record(situation.now[1], path), _field(situation.was[1], path)
    assert before is not None, path
    name = path.rpartition(".")[2]
    index = next((number for number, each in enumerate(record["fields"]) if each["name"] == name), None)
    if index is None:
        record["fields"].append(deepcopy(before))
        return None
    after: dict[str, Any] = record["fields"][index]
    record["fields"][index] = deepcopy(before)
    return after


def _with_default(made: dict[str, Any]) -> dict[str, Any]:
    kind = made["type"]
    branches = kind if isinstance(kind, list) else [kind]
    return made | {"type": ["null", *(each for each in branches if each != "null")], "default": None}


def _beside(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    name = match["other"]
    after = _keep(situation, finding.path)
    assert after is not None
    record = _record(situation.now[1], finding.path)
    assert all(each["name"] != name for each in record["fields"]), f"{name} is taken"
    names = _names_defined(after["type"])
    if "under another name" not in match.string:
        assert not {each for each in names if _changed_definition(situation, each, after["type"])}, (
            "a type is defined twice"
        )
    made = {key: value for key, value in after.items() if key not in {"aliases", "default"}} | {"name": name}
    made["type"] = _renamed(made["type"], names, "_v2")
    record["fields"].append(_with_default(made))


def _changed_definition(situation: Situation, name: str, form: Any) -> bool:
    definitions = [each for each in _types(form) if each.get("name") == name]
    before = [each for each in _types(situation.was[1]) if each.get("name") == name]
    return bool(before) and before[0] != definitions[0]


def _give_field(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    form, path = _schema_of(finding, situation)
    record = _record(form, path)
    record["fields"] = [
        json.loads(match["field"]) if each["name"] == match["name"] else each for each in record["fields"]
    ]
    _set_state(finding, situation, form)


def _schema_of(finding: Finding, situation: Situation) -> tuple[Any, str]:
    """Return the schema that a finding is about, and the path of the field in it."""
    prefix = "process.apply.state."
    if not finding.path.startswith(prefix):
        return situation.now[1], finding.path
    step = next(each for each in situation.now[0]["process"]["steps"] if "apply" in each)
    return _plain(json.loads(step["apply"]["state"])), finding.path.removeprefix(prefix)


def _set_state(finding: Finding, situation: Situation, form: Any) -> None:
    if finding.path.startswith("process.apply.state."):
        step = next(each for each in situation.now[0]["process"]["steps"] if "apply" in each)
        step["apply"]["state"] = json.dumps(form)


def _in_two_steps(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    """Give a field a default, let the readers take that version, then make the change; at a transitive level with a waiver."""
    twin = deepcopy(_field(situation.now[1], f"{finding.path.rpartition('.')[0]}.{match['twin']}".lstrip(".")))
    for each in situation.judged().findings:
        if each.refuses:  # the fields that are removed with it have advice of their own
            _keep(situation, each.path)
    kept = _field(situation.now[1], finding.path)
    assert kept is not None
    kept["default"] = json.loads(match["default"])
    record = _record(situation.now[1], finding.path)
    record["fields"] = [each for each in record["fields"] if each["name"] != match["twin"]]
    situation.release()
    record = _record(situation.now[1], finding.path)
    record["fields"] = [each for each in record["fields"] if each["name"] != kept["name"]]
    if match["twin"] and twin:
        twin.setdefault("default", kept["default"])
        record["fields"].append(twin | {"aliases": json.loads(match["aliases"])})
    _waive_second_step(match, finding, situation)


def _enum_in_two_steps(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    wanted = deepcopy(situation.now)
    _keep(situation, finding.path)
    kept = _field(situation.now[1], finding.path)
    assert kept is not None
    for enum in _types(kept["type"]):
        if enum.get("type") == "enum":
            enum["default"] = match["default"]
    situation.release()
    situation.now = wanted
    after = _field(wanted[1], finding.path)
    assert after is not None
    for enum in _types(after["type"]):
        if enum.get("type") == "enum":
            enum["default"] = match["default"]
    _waive_second_step(match, finding, situation)


def _waive_second_step(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    """Check that the second step passes, or that its refusal speaks of the second step and names the waiver."""
    refused = [each for each in situation.judged().findings if each.refuses]
    assert bool(refused) is ("with a waiver" in match.string), [str(each) for each in refused]
    for each in refused:
        assert (each.rule, each.path) == (finding.rule, finding.path)
        assert "in two steps" not in each.advice, "the second step is refused in the words of the first"
        for alternative in alternatives(each.advice):
            other = deepcopy(situation)
            follow(alternative, each, other)
            assert other.judged().passes, alternative
        follow(alternatives(each.advice)[0], each, situation)


def _write_both(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    _keep(situation, finding.path)
    record = _record(situation.now[1], finding.path)
    for index, each in enumerate(record["fields"]):
        if each["name"] == match["twin"]:
            record["fields"][index] = _with_default({key: value for key, value in each.items() if key != "aliases"})


def _keep_field(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    del match
    _keep(situation, finding.path)


def _name_again(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    del match
    if finding.path:
        _keep(situation, finding.path)
    else:
        situation.now[1]["name"] = situation.was[1]["name"]


def _add_alias(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    del finding
    for each in _types(situation.now[1]):
        if each.get("name") == match["type"]:
            each["aliases"] = [*each.get("aliases", ()), *json.loads(match["aliases"])]


def _keep_symbols(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    wanted = re.findall(r"'(\w+)'", match["symbols"])
    found = _field(situation.now[1], finding.path)
    assert found is not None
    for each in _types(found["type"]):
        if each.get("type") == "enum":
            each["symbols"] += [symbol for symbol in wanted if symbol not in each["symbols"]]


def _keep_attribute(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    """Put an attribute back on the field, or on the type of the field that had it."""
    key, value = match["key"], json.JSONDecoder().raw_decode(match["value"])[0]
    before, after = (_field(each[1], finding.path) for each in (situation.was, situation.now))
    assert before is not None
    assert after is not None
    if before.get(key) == value:
        after[key] = value
        return
    for was, now in zip(_types(before["type"]), _types(after["type"]), strict=False):
        if was.get(key) == value:
            now[key] = value
            return
        if key == "polyseme":  # a type that has no other attribute is written as a word
            break
    after["type"] = deepcopy(before["type"])


def _order_branches(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    found = _field(situation.now[1], finding.path)
    assert found is not None
    order = [each if isinstance(each, str) else each.get("name", each["type"]) for each in json.loads(match["order"])]
    rest = [each for each in found["type"] if _branch(each) not in order]
    found["type"] = [
        *sorted(
            (each for each in found["type"] if _branch(each) in order), key=lambda each: order.index(_branch(each))
        ),
        *rest,
    ]


def _branch(form: Any) -> str:
    return form if isinstance(form, str) else str(form.get("name", form["type"]))


def _take_alias_out(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    things = [*_types(situation.now[1]), *_record(situation.now[1], finding.path)["fields"]]
    for each in things:
        if each.get("name") == match["name"] and match["alias"] in each.get("aliases", ()):
            each["aliases"] = [alias for alias in each["aliases"] if alias != match["alias"]]


def _separate(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    found = _field(situation.now[1], finding.path)
    assert found is not None
    found["aliases"] = [each for each in found["aliases"] if each != match["alias"]]
    _keep(situation, f"{finding.path.rpartition('.')[0]}.{match['alias']}".lstrip("."))


def _other_name(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    holder = finding.path.rpartition(".")[0]
    name = finding.after[-1] if isinstance(finding.after, list) else finding.path.rpartition(".")[2]
    found = _field(situation.now[1], f"{holder}.{name}".lstrip("."))
    assert found is not None
    found.pop("aliases", None)
    made = {key: value for key, value in found.items() if key not in {"aliases", "default"}} | {"name": match["name"]}
    found.clear()
    found.update(_with_default(made))


def _fitting_default(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    found = _field(situation.now[1], finding.path)
    assert found is not None
    found["default"] = json.loads(match["default"])


def _as_before(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    """Write what cannot be parsed, or explodes, as it was; the fixture says what it should have been instead."""
    del match, finding
    situation.now = (situation.now[0], deepcopy(situation.was[1]))


def _not_nullable(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    del finding
    found = _field(situation.now[1], match["name"])
    assert found is not None
    rest = [each for each in found["type"] if each != "null"]
    found["type"] = rest[0] if len(rest) == 1 else rest
    found.pop("default", None)


def _default_in_branch(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    del finding
    for each in _types(situation.now[1]):
        for one in each.get("fields", ()):
            if one["name"] == match["name"]:
                one.update(_with_default(one))


def _without_logical_type(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    del match
    for each in _ignored(finding, situation):
        del each["logicalType"]


def _valid_logical_type(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    """Put a logical type on a type that it annotates, and give a decimal whole numbers that its bytes hold."""
    del match
    for each in _ignored(finding, situation):
        kinds = ANNOTATES[each["logicalType"]]
        if each["type"] not in kinds:
            each["type"] = sorted(kinds)[0]
        if each["logicalType"] == "decimal":
            each |= {"precision": 2, "scale": 1}


def _ignored(finding: Finding, situation: Situation) -> list[dict[str, Any]]:
    found = _field(situation.now[1], finding.path)
    assert found is not None
    return [each for each in _types(found["type"]) if "type" in each and flaw(each) is not None]


def _count(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    found = _field(situation.now[1], finding.path)
    assert found is not None
    found |= {"type": "long", "default": json.loads(match["default"])}


# --- edits of product.yaml


def _port(document: dict[str, Any], port: OutputPort) -> dict[str, Any]:
    found: dict[str, Any] = next(
        each
        for each in document["outputPorts"]
        if each["name"] == port.name and int(each.get("major", 1)) == port.major
    )
    return found


def _write_key(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    written = load(match["yaml"])
    if finding.rule.startswith("SLO_"):
        return _keep_level(written, finding, situation)
    if finding.rule == "MAJOR_MOVES_READERS":
        line = re.search(r"([\w-]+)@(\d+)", finding.path)
        assert line is not None
        target = next(
            each
            for each in situation.now[0]["outputPorts"]
            if (each["name"], each.get("major")) == (line[1], int(line[2]))
        )
    elif finding.part is Part.PORT:
        target = _port(situation.now[0], situation.past.contract.port)
    else:
        target = situation.now[0]
    if isinstance(written, list):  # `- name: events` first in outputPorts
        ports = situation.now[0]["outputPorts"]
        ports.sort(key=lambda each: each["name"] != written[0]["name"])
        return None
    target.update({key: "mesh://shop/purchases" if value == "<address>" else value for key, value in written.items()})
    return None


def _keep_level(level: dict[str, Any], finding: Finding, situation: Situation) -> None:
    del finding
    levels = situation.now[0].setdefault("slaProperties", [])
    same = [each for each in levels if (each["property"], each.get("port")) == (level["property"], level.get("port"))]
    for each in same:
        levels.remove(each)
    levels.append(level)


def _without_level(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    del finding
    situation.now[0]["slaProperties"].remove(load(match["yaml"]))


def _without_key(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    del finding
    _port(situation.now[0], situation.past.contract.port).pop(match["key"])


def _put_back(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    """Put a port or a product back; then follow the commands after which it may go, and take it away again."""
    back = deepcopy(situation)
    back.gone, back.now = None, deepcopy(situation.was)
    assert back.judged().passes
    _run(match, finding, situation)


def _keep_process(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    del match, finding
    situation.now[0]["process"] = deepcopy(situation.was[0]["process"])
    if "inputPorts" in situation.was[0]:
        situation.now[0]["inputPorts"] = deepcopy(situation.was[0]["inputPorts"])


def _other_product(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    """Write the new address in a product of its own, so that this one keeps its address."""
    del finding
    assert [_command(text)[0] for text in re.findall(r"`(meshport [^`]+)`", match.string)] == ["new", "deprecate"]
    situation.now[0]["address"] = situation.was[0]["address"]


def _other_owner(match: re.Match[str], finding: Finding, situation: Situation) -> None:
    assert match["key"] == finding.path
    situation.now[0][match["key"]] = "checkout-team@example.com"


_KINDS: list[tuple[str, Callable[[re.Match[str], Finding, Situation], None]]] = [
    (r"^put it back", _put_back),
    (
        r"in two steps: first give '(?P<name>\w+)' a default \(\"default\": (?P<default>.*?)\) and .*then "
        r"(?:remove it|rename it, with \"aliases\": (?P<aliases>\[.*?\]) on '(?P<twin>\w+)')",
        _in_two_steps,
    ),
    (r"in two steps: first give the enum a \"default\", such as '(?P<default>\w+)'", _enum_in_two_steps),
    (r"^keep '\w+' and write both, '(?P<twin>\w+)' with a default and no alias", _write_both),
    (r"add a field beside it, such as '(?P<other>\w+)', with a default", _beside),
    (r"^give '(?P<name>\w+)' a default: (?P<field>\{.*\})", _give_field),
    (r"^give '\w+' a default of its type, such as \"default\": (?P<default>.*)$", _fitting_default),
    (r"^name it '[\w.]+' again", _name_again),
    (r"^add \"aliases\": (?P<aliases>\[.*\]) to '(?P<type>[\w.]+)'", _add_alias),
    (r"^keep (?P<symbols>'\w+'(?:, '\w+')*)(?: among the symbols)?; ", _keep_symbols),
    (r"^keep '\w+'$", _keep_field),
    (r"^keep \"(?P<key>\w+)\": (?P<value>.*)", _keep_attribute),
    (r"^write the branches (?:in the order|as) (?P<order>\[.*\])", _order_branches),
    (r"^take '(?P<alias>[\w.]+)' out of the aliases of '(?P<name>[\w.]+)'", _take_alias_out),
    (r"^take the alias '(?P<alias>\w+)' away and keep", _separate),
    (r"a name that was never used, such as '(?P<name>\w+)'", _other_name),
    (r"^make '\w+' a count, \"type\": \"long\" \(as a new field with \"default\": (?P<default>\d+)\)", _count),
    (r"^(?:refer to it through|at most 1024|defaults that leave|a default of the field's own type)", _as_before),
    (r"^keep the port without `(?P<key>\w+)`", _without_key),
    (r"^take \"null\" out of the type of '(?P<name>\w+)'", _not_nullable),
    (r"^give '(?P<name>\w+)' a default, or let a branch", _default_in_branch),
    (r"^keep the logicalType", _keep_field),
    (r"^take \"logicalType\" away", _without_logical_type),
    (r"^write it as the specification has it", _valid_logical_type),
    (r"^take `(?P<yaml>[^`]+)` out of slaProperties", _without_level),
    (
        r"^(?:keep|write|put|give [\w@-]+ a day to come,|if it promises less, keep) `(?P<yaml>(?!meshport)[^`]+)`",
        _write_key,
    ),
    (r"^keep the state that was|^leave it out|^keep the type that it has", _keep_process),
    (r"^for a new address ", _other_product),
    (r"^write the (?P<key>owner|contact) that has taken over", _other_owner),
    (r"`meshport ", _run),
    (r"^(?:ask|let|tell|have|hold the nodes|make sure|write a sentence)", _nothing),
]

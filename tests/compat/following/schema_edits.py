"""Edits of a schema file: of a field, of a field in two steps with a release between them, and of a type.

A type has names, aliases, symbols, branches, attributes and a logical type.
"""

from __future__ import annotations

import json
import re
from copy import deepcopy
from typing import Any

from meshport.schema.logical import ANNOTATES, flaw
from tests.compat.following.forms import (
    beside,
    enums_in,
    field_at,
    full_names,
    names_defined,
    new_field,
    nullable,
    record_at,
    remove_field,
    renamed,
    types_in,
)
from tests.compat.following.situation import Advice, Situation

_STATE = "process.apply.state."

# --- a field


def keep_field(advice: Advice) -> None:
    """Put the field back as it was."""
    advice.situation.keep(advice.path)


def add_field_beside(advice: Advice) -> None:
    """Put the field back as it was, and add the candidate's form of it under another name."""
    situation, name = advice.situation, advice["other"]
    after = situation.keep(advice.path)
    assert after is not None
    record = situation.record(advice.path)
    assert all(each["name"] != name for each in record["fields"]), f"{name} is taken"
    names = names_defined(after["type"])
    if "under another name" not in advice.text:
        redefined = {each for each in names if _is_redefined(situation, each, after["type"])}
        assert not redefined, f"defined twice: {sorted(redefined)}"
    made = new_field(after, name)
    record["fields"].append(made | {"type": renamed(made["type"], {each: f"{each}_v2" for each in names})})


def write_both_fields(advice: Advice) -> None:
    """Put the field back as it was, and write its twin as a field of its own, without the alias."""
    advice.situation.keep(advice.path)
    record = advice.situation.record(advice.path)
    for index, each in enumerate(record["fields"]):
        if each["name"] == advice["twin"]:
            record["fields"][index] = nullable({key: value for key, value in each.items() if key != "aliases"})


def separate_fields(advice: Advice) -> None:
    """Remove an alias from the field, and put the field of that name back as it was."""
    found = advice.situation.field(advice.path)
    found["aliases"] = [each for each in found["aliases"] if each != advice["alias"]]
    advice.situation.keep(beside(advice.path, advice["alias"]))


def take_unused_name(advice: Advice) -> None:
    """Give the field a name that was never used, and a default."""
    after = advice.finding.after
    name = after[-1] if isinstance(after, list) else advice.path.rpartition(".")[2]
    found = advice.situation.field(beside(advice.path, name))
    made = new_field(found, advice["name"])
    found.clear()
    found.update(made)


def write_field(advice: Advice) -> None:
    """Write a field of the schema, or of a process's state, as the advice has it."""
    situation = advice.situation
    if not advice.path.startswith(_STATE):
        _write_field(situation.schema, advice.path, advice)
        return
    step = next(each["apply"] for each in situation.document["process"]["steps"] if "apply" in each)
    form = full_names(json.loads(step["state"]))
    _write_field(form, advice.path.removeprefix(_STATE), advice)
    step["state"] = json.dumps(form)


def write_fitting_default(advice: Advice) -> None:
    """Give the field a default of its type."""
    advice.situation.field(advice.path)["default"] = json.loads(advice["default"])


def make_nullable(advice: Advice) -> None:
    """Give the branch null, and null as the default, to each field of a name."""
    for each in types_in(advice.situation.schema):
        for one in each.get("fields", ()):
            if one["name"] == advice["name"]:
                one.update(nullable(one))


def make_not_nullable(advice: Advice) -> None:
    """Take the branch null, and the default, from a field."""
    found = advice.situation.field(advice["name"])
    rest = [each for each in found["type"] if each != "null"]
    found["type"] = rest[0] if len(rest) == 1 else rest
    found.pop("default", None)


def make_count(advice: Advice) -> None:
    """Make the field a long with a default."""
    found = advice.situation.field(advice.path)
    found |= {"type": "long", "default": json.loads(advice["default"])}


# --- a field, in two steps


def remove_or_rename_in_two_steps(advice: Advice) -> None:
    """Give the field a default and let the readers take that version; then remove it, or rename it with an alias."""
    situation, path = advice.situation, advice.path
    twin = deepcopy(field_at(situation.schema, beside(path, advice["twin"]))) if advice["twin"] else None
    for each in situation.judged().findings:
        if each.refuses:  # the fields that are removed with it have advice of their own
            situation.keep(each.path)
    kept = situation.field(path)
    kept["default"] = json.loads(advice["default"])
    remove_field(situation.record(path), advice["twin"])
    situation.release()
    record = situation.record(path)
    remove_field(record, kept["name"])
    if twin:
        twin.setdefault("default", kept["default"])
        record["fields"].append(twin | {"aliases": json.loads(advice["aliases"])})


def change_symbols_in_two_steps(advice: Advice) -> None:
    """Give the enum a default and let the readers take that version; then change its symbols."""
    situation = advice.situation
    wanted = deepcopy(situation.now)
    situation.keep(advice.path)
    _write_enum_default(situation, advice)
    situation.release()
    situation.now = wanted
    _write_enum_default(situation, advice)


# --- a type


def write_as_before(advice: Advice) -> None:
    """Write what cannot be parsed, or explodes, as it was; the fixture says what it should have been instead."""
    situation = advice.situation
    situation.now = (situation.document, deepcopy(situation.was[1]))


def name_again(advice: Advice) -> None:
    """Give a type its former name: put the field of that type back, or rename the whole schema."""
    if advice.path:
        advice.situation.keep(advice.path)
    else:
        advice.situation.schema["name"] = advice.situation.was[1]["name"]


def add_aliases(advice: Advice) -> None:
    """Add aliases to a named type."""
    for each in types_in(advice.situation.schema):
        if each.get("name") == advice["type"]:
            each["aliases"] = [*each.get("aliases", ()), *json.loads(advice["aliases"])]


def remove_alias(advice: Advice) -> None:
    """Remove an alias from the type or field of a name."""
    situation = advice.situation
    for each in [*types_in(situation.schema), *situation.record(advice.path)["fields"]]:
        if each.get("name") == advice["name"] and advice["alias"] in each.get("aliases", ()):
            each["aliases"] = [alias for alias in each["aliases"] if alias != advice["alias"]]


def keep_symbols(advice: Advice) -> None:
    """Add the symbols that were removed to the enum again."""
    wanted = re.findall(r"'(\w+)'", advice["symbols"])
    for each in enums_in(advice.situation.field(advice.path)["type"]):
        each["symbols"] += [symbol for symbol in wanted if symbol not in each["symbols"]]


def keep_attribute(advice: Advice) -> None:
    """Put an attribute back on the field, or on the type of the field that had it."""
    key, value = advice["key"], json.JSONDecoder().raw_decode(advice["value"])[0]
    before, after = advice.situation.field_before(advice.path), advice.situation.field(advice.path)
    if before.get(key) == value:
        after[key] = value
        return
    for was, now in zip(types_in(before["type"]), types_in(after["type"]), strict=False):
        if was.get(key) == value:
            now[key] = value
            return
        if key == "polyseme":  # a type that has no other attribute is written as a word
            break
    after["type"] = deepcopy(before["type"])


def order_branches(advice: Advice) -> None:
    """Write the branches that an advice names in its order, before all others."""
    found = advice.situation.field(advice.path)
    order = [_branch(each) for each in json.loads(advice["order"])]
    found["type"].sort(key=lambda each: order.index(_branch(each)) if _branch(each) in order else len(order))


def put_first_without(advice: Advice) -> None:
    """Put the branches that lack a field before those that have it, in the union at the path of the field."""
    union = advice.situation.field(advice.path.rpartition(".")[0])["type"]
    union.sort(key=lambda each: isinstance(each, dict) and any(one["name"] == advice["name"] for one in each["fields"]))


def write_items(advice: Advice) -> None:
    """Give another type to the items of the innermost array of the field."""
    *_, array = (each for each in types_in(advice.situation.field(advice.path)["type"]) if "items" in each)
    array["items"] = json.loads(advice["items"])


def write_namespace(advice: Advice) -> None:
    """Give a type that has no namespace that of the event."""
    situation = advice.situation
    namespace = situation.schema["name"].rpartition(".")[0]
    schema = renamed(situation.schema, {advice["type"]: f"{namespace}.{advice['type']}"})
    situation.now = (situation.document, schema)


def remove_logical_type(advice: Advice) -> None:
    """Remove the invalid logical types of the field."""
    for each in _invalid(advice):
        del each["logicalType"]


def mend_logical_type(advice: Advice) -> None:
    """Put a logical type on a type that it annotates, and give a decimal whole numbers that its bytes hold."""
    for each in _invalid(advice):
        kinds = ANNOTATES[each["logicalType"]]
        if each["type"] not in kinds:
            each["type"] = sorted(kinds)[0]
        if each["logicalType"] == "decimal":
            each |= {"precision": 2, "scale": 1}


# --- what these share


def _write_field(form: Any, path: str, advice: Advice) -> None:
    record, written = record_at(form, path), json.loads(advice["field"])
    record["fields"] = [written if each["name"] == advice["name"] else each for each in record["fields"]]


def _write_enum_default(situation: Situation, advice: Advice) -> None:
    for enum in enums_in(situation.field(advice.path)["type"]):
        enum["default"] = advice["default"]


def _is_redefined(situation: Situation, name: str, form: Any) -> bool:
    """Return whether a type defines a named type otherwise than the readers know it."""
    before, after = ([each for each in types_in(side) if each.get("name") == name] for side in (situation.was[1], form))
    return bool(before) and before[0] != after[0]


def _branch(form: Any) -> str:
    """Return the name by which a union knows a branch."""
    return form if isinstance(form, str) else str(form.get("name", form["type"]))


def _invalid(advice: Advice) -> list[dict[str, Any]]:
    """Return the types of the field whose logical type is invalid, and so ignored by every reader."""
    found = advice.situation.field(advice.path)
    return [each for each in types_in(found["type"]) if "type" in each and flaw(each) is not None]

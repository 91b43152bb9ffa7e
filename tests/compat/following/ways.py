"""Follows the advice of the gate's findings as a machine would: an edit of a file, or a command of the mesh.

`alternatives` splits an advice, and `follow` carries out one alternative by the function that the table has for its kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from typing import Final

from meshport.compat.finding import Finding
from tests.compat.following import commands, product_edits, schema_edits
from tests.compat.following.situation import Advice, Situation

Way = Callable[[Advice], None]

# The first pattern that is found in the text of an alternative decides.
WAYS: Final[list[tuple[str, Way]]] = [
    (r"^put it back", commands.remove_after_commands),
    (
        r"in two steps: first give '(?P<name>\w+)' a default \(\"default\": (?P<default>.*?)\) and .*then "
        r"(?:remove it|rename it, with \"aliases\": (?P<aliases>\[.*?\]) on '(?P<twin>\w+)')",
        schema_edits.remove_or_rename_in_two_steps,
    ),
    (
        r"in two steps: first give the enum a \"default\", such as '(?P<default>\w+)'",
        schema_edits.change_symbols_in_two_steps,
    ),
    (r"^keep '\w+' and write both, '(?P<twin>\w+)' with a default and no alias", schema_edits.write_both_fields),
    (r"add a field beside it, such as '(?P<other>\w+)', with a default", schema_edits.add_field_beside),
    (r"^give '(?P<name>\w+)' a default: (?P<field>\{.*\})", schema_edits.write_field),
    (r"^give '\w+' a default of its type, such as \"default\": (?P<default>.*)$", schema_edits.write_fitting_default),
    (r"^name it '[\w.]+' again", schema_edits.name_again),
    (r"^add \"aliases\": (?P<aliases>\[.*\]) to '(?P<type>[\w.]+)'", schema_edits.add_aliases),
    (r"^keep (?P<symbols>'\w+'(?:, '\w+')*)(?: among the symbols)?; ", schema_edits.keep_symbols),
    (r"^keep '\w+'$", schema_edits.keep_field),
    (r"^keep \"(?P<key>\w+)\": (?P<value>.*)", schema_edits.keep_attribute),
    (r"^write the branches (?:in the order|as) (?P<order>\[.*\])", schema_edits.order_branches),
    (r"^take '(?P<alias>[\w.]+)' out of the aliases of '(?P<name>[\w.]+)'", schema_edits.remove_alias),
    (r"^take the alias '(?P<alias>\w+)' away and keep", schema_edits.separate_fields),
    (r"a name that was never used, such as '(?P<name>\w+)'", schema_edits.take_unused_name),
    (
        r"^make '\w+' a count, \"type\": \"long\" \(as a new field with \"default\": (?P<default>\d+)\)",
        schema_edits.make_count,
    ),
    (r"^give its items a type that takes bytes, such as (?P<items>.*)$", schema_edits.write_items),
    (r"^let the type '(?P<type>\w+)' have a namespace", schema_edits.write_namespace),
    (
        r"^(?:refer to it through|at most 1024|defaults that leave|a default of the field's own type)",
        schema_edits.write_as_before,
    ),
    (r"^take '(?P<name>\w+)' out of `migration.fields`", product_edits.remove_expression),
    (r"^write `(?P<name>\w+): \w+` under `migration.fields`", product_edits.write_expression),
    (r"^keep the port without `(?P<key>\w+)`", product_edits.remove_key),
    (r"^take \"null\" out of the type of '(?P<name>\w+)'", schema_edits.make_not_nullable),
    (r"^give '(?P<name>\w+)' a default$", schema_edits.make_nullable),
    (r"^let a branch that does without '(?P<name>\w+)' stand first in its union", schema_edits.put_first_without),
    (r"^keep the logicalType", schema_edits.keep_field),
    (r"^take \"logicalType\" away", schema_edits.remove_logical_type),
    (r"^write it as the specification has it", schema_edits.mend_logical_type),
    (r"^take `(?P<yaml>[^`]+)` out of slaProperties", product_edits.remove_level),
    (
        r"^(?:keep|write|put|give [\w@-]+ a day to come,|if it promises less, keep) `(?P<yaml>(?!meshport)[^`]+)`",
        product_edits.write_key,
    ),
    (r"^keep the state that was|^leave it out|^keep the type that it has", product_edits.keep_process),
    (r"^for a new address ", commands.make_another_product),
    (r"^write the (?P<key>owner|contact) that has taken over", product_edits.write_other_owner),
    (r"`meshport ", commands.run),
    (r"^(?:ask|let|tell|have|hold the nodes|make sure|write a sentence)", commands.agree),
]


def alternatives(advice: str) -> list[str]:
    """Return the ways that an advice offers; each has to lead to a verdict that passes."""
    return re.split(
        r"; or |; (?=with another key|for another identifier|for a new address|where the values)",
        advice,
    )


def follow(text: str, finding: Finding, situation: Situation) -> None:
    """Carry out one alternative of a finding's advice.

    Raises:
        AssertionError: no function knows this kind of advice, or its second step is not judged as it says.
    """
    for pattern, way in WAYS:
        if words := re.search(pattern, text):
            way(Advice(words, finding, situation))
            if "in two steps: " in text:
                _waive_second_step(text, finding, situation)
            return
    raise AssertionError(f"no function follows the advice of {finding.rule}: {text}")


def _waive_second_step(text: str, finding: Finding, situation: Situation) -> None:
    """Check that the second step passes, or that its refusal speaks of the second step and names the waiver."""
    refused = [each for each in situation.judged().findings if each.refuses]
    assert bool(refused) is ("with a waiver" in text), [str(each) for each in refused]
    for each in refused:
        assert (each.rule, each.path) == (finding.rule, finding.path)
        assert "in two steps" not in each.advice, "the second step is refused in the words of the first"
        for alternative in alternatives(each.advice):
            other = deepcopy(situation)
            follow(alternative, each, other)
            assert other.judged().passes, alternative
        follow(alternatives(each.advice)[0], each, situation)

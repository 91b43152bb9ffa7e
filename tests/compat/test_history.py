"""The seven levels."""

from __future__ import annotations

import json

import pytest

from meshport.compat import Direction, check_history
from meshport.product import Compatibility
from meshport.schema import Schema, parse_schema


def schema(*fields: str) -> Schema:
    """A record of strings; `name?` has a default."""
    return parse_schema(
        json.dumps(
            {
                "type": "record",
                "name": "R",
                "fields": [
                    {"name": each.rstrip("?"), "type": "string"} | ({"default": ""} if each.endswith("?") else {})
                    for each in fields
                ],
            }
        )
    )


# The history lost the field `b` and then `c`, each without a default: no later reader of `b` can read version 2 or 3.
HISTORY = [schema("a", "b", "c"), schema("a", "c"), schema("a")]
LOST = schema("a")
NEEDS_B = schema("a", "b")
OPTIONAL = schema("a", "z?")


@pytest.mark.parametrize(
    ("level", "candidate", "expected"),
    [
        ("NONE", NEEDS_B, []),
        ("BACKWARD", NEEDS_B, [("backward", 3)]),
        ("BACKWARD_TRANSITIVE", NEEDS_B, [("backward", 3), ("backward", 2)]),
        ("FORWARD", LOST, []),
        ("FORWARD", OPTIONAL, []),
        ("FORWARD_TRANSITIVE", OPTIONAL, [("forward", 2), ("forward", 1), ("forward", 1)]),
        ("FULL", NEEDS_B, [("backward", 3)]),
        ("FULL", OPTIONAL, []),
        ("FULL_TRANSITIVE", NEEDS_B, [("backward", 3), ("backward", 2), ("forward", 2), ("forward", 1)]),
    ],
)
def test_a_level_decides_direction_and_reach(level: str, candidate: Schema, expected: list[tuple[str, int]]) -> None:
    """Backward: the candidate reads; forward: it is read; transitive: of all versions, else of the newest."""
    report = check_history(candidate, HISTORY, Compatibility(level))
    assert [(each.direction, each.version) for each in report.findings] == expected
    assert report.compatible is (not expected)


def test_versions_keep_their_own_numbers() -> None:
    """A subject with a deleted version has a gap; findings name the version that the registry knows."""
    report = check_history(NEEDS_B, HISTORY, Compatibility.BACKWARD_TRANSITIVE, numbers=[2, 5, 9])
    assert [each.version for each in report.findings] == [9, 5]
    assert report.versions == (9, 5, 2)


def test_a_new_subject_is_told_from_a_compatible_one() -> None:
    """Nothing to compare with leaves `versions` empty, which is the verdict "new" and no silent pass."""
    report = check_history(NEEDS_B, [], Compatibility.FULL)
    assert report.compatible
    assert report.versions == ()


def test_a_finding_reads_as_a_sentence() -> None:
    """Its text says who breaks, the rule, the place and the version."""
    text = str(check_history(NEEDS_B, HISTORY, Compatibility.BACKWARD).findings[0])
    assert text.startswith(f"{Direction.BACKWARD}: READER_FIELD_MISSING_DEFAULT_VALUE at /fields/1: ")
    assert text.endswith("(against version 3)")

"""The seven compatibility levels."""

from __future__ import annotations

import pytest

from meshport.compat import Version, check_history
from meshport.compat.history import MOST_FINDINGS
from meshport.product import Compatibility
from meshport.schema import Schema
from tests.compat import schemas
from tests.work import counted


def schema(*fields: str) -> Schema:
    """Return a record of strings; `name?` has a default."""
    return schemas.schema(schemas.record(*schemas.strings(*fields), name="R"))


# The history lost the field `b` and then `c`, each without a default: no later reader of `b` can read version 2 or 3.
HISTORY = [
    Version(number, each) for number, each in enumerate([schema("a", "b", "c"), schema("a", "c"), schema("a")], 1)
]
LOST = schema("a")
NEEDS_B = schema("a", "b")
OPTIONAL = schema("a", "z?")


@pytest.mark.parametrize(
    ("level", "candidate", "expected"),
    [
        ("NONE", NEEDS_B, []),
        ("BACKWARD", NEEDS_B, [("b", ["backward"], (3,))]),
        ("BACKWARD_TRANSITIVE", NEEDS_B, [("b", ["backward"], (3, 2))]),
        ("FORWARD", LOST, []),
        ("FORWARD", OPTIONAL, []),
        ("FORWARD_TRANSITIVE", OPTIONAL, [("c", ["forward"], (2, 1)), ("b", ["forward"], (1,))]),
        ("FULL", NEEDS_B, [("b", ["backward"], (3,))]),
        ("FULL", OPTIONAL, []),
        ("FULL_TRANSITIVE", NEEDS_B, [("b", ["backward"], (3, 2)), ("c", ["forward"], (2, 1))]),
    ],
)
def test_a_level_decides_direction_and_reach(
    level: str, candidate: Schema, expected: list[tuple[str, list[str], tuple[int, ...]]]
) -> None:
    """BACKWARD lets the candidate read, FORWARD be read; a transitive level compares all versions, others the newest."""
    report = check_history(candidate, HISTORY, Compatibility(level))
    assert [(each.path, list(each.directions), each.versions) for each in report.findings] == expected
    assert report.compatible is (not expected)


def test_versions_keep_their_own_numbers() -> None:
    """A subject with a deleted version has a gap, and findings name the versions by the registry's numbers."""
    history = [Version(number, each.schema) for number, each in zip([2, 5, 9], HISTORY, strict=True)]
    report = check_history(NEEDS_B, history, Compatibility.BACKWARD_TRANSITIVE)
    assert [each.versions for each in report.findings] == [(9, 5)]
    assert report.versions == (9, 5, 2)


def test_a_new_subject_differs_from_a_compatible_one() -> None:
    """Without a history `versions` is empty, which distinguishes a new subject from a compatible one."""
    report = check_history(NEEDS_B, [], Compatibility.FULL)
    assert report.compatible
    assert report.versions == ()


def test_a_finding_reads_as_a_sentence() -> None:
    """The text of a finding begins with the rule and names the path, the side that breaks and the versions."""
    text = str(check_history(NEEDS_B, HISTORY, Compatibility.BACKWARD).findings[0])
    assert text == (
        "READER_FIELD_MISSING_DEFAULT_VALUE at b: the new field 'b' has no default, and older events do not hold it "
        "[backward] (against version 3)"
    )


def test_a_check_ends_with_a_hundred_reasons() -> None:
    """A schema that loses 1,500 fields is refused by the newest version, in a time that grows with its fields only."""

    def wide(count: int) -> Schema:
        return schema(*(f"f{number}" for number in range(count)))

    def work(count: int) -> int:
        history = [Version(number, wide(count)) for number in range(1, 26)]
        candidate = schema("other")
        with counted() as done:
            report = check_history(candidate, history, Compatibility.FULL_TRANSITIVE)
        assert (len(report.findings), report.versions) == (MOST_FINDINGS, (25,))
        return done.lines

    assert work(1_500) < 2 * work(750) + 10_000

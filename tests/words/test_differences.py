"""The difference of two JSON values, as people read it in a plan."""

from __future__ import annotations

from typing import Any

import pytest

from meshport.differences import differences

PORT = {"name": "events", "major": 1, "retention": "P7D", "compact": False}


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        ("a", "b", ["d: a -> b"]),
        (None, {"on": True}, ['d: {"on": true}']),
        (["a"], None, ['d: ["a"] is dropped']),
        (["a"], ["a", "b"], ['d: ["a"] -> ["a", "b"]']),
        ({"x": 1, "y": None}, {"x": 2, "y": False}, ["d.x: 1 -> 2", "d.y: false"]),
        ([PORT], [{**PORT, "retention": "P9D"}], ["d.events@1.retention: P7D -> P9D"]),
        ([PORT], [PORT, {"name": "late", "major": 1}], ['d.late@1: {"name": "late", "major": 1}']),
        (
            [{"address": "mesh://a", "fields": ["x"]}],
            [],
            ['d.mesh://a: {"address": "mesh://a", "fields": ["x"]} is dropped'],
        ),
        ([{"filter": "x > 1"}], [{"filter": "x > 2"}], ["d[0].filter: x > 1 -> x > 2"]),
        ([{"filter": "x > 1"}], [{"select": ["x"]}], ["d[0].filter: x > 1 is dropped", 'd[0].select: ["x"]']),
    ],
)
def test_each_part_that_differs_is_one_line(before: Any, after: Any, shown: list[str]) -> None:
    """Objects are compared by key, lists of named objects by name, and values are JSON, never Python."""
    assert list(differences("d", before, after)) == shown

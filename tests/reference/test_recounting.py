"""How a recount is set against a port, and how a product's own Python is loaded."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from meshport.address import Address
from meshport.binding import Binding
from meshport.errors import ProjectError
from meshport.event import Event
from meshport.process.engines.memory_ports import Port, Ports
from meshport.product.loading import load_callable, load_module
from meshport.project.recount import RecountVerdict, compare
from tests.reference.made import event

AT = datetime(2026, 3, 1, tzinfo=UTC)
ADDRESS = Address.parse("house/brews")
SCHEMA = {
    "type": "record",
    "name": "Brew",
    "fields": [
        {"name": "kind", "type": "string"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "cups", "type": "double"},
    ],
}


def brew(kind: str = "green", *, cups: float = 1.0, minute: int = 0) -> dict[str, Any]:
    """A record."""
    return {"kind": kind, "at": AT + timedelta(minutes=minute), "cups": cups}


def found(record: dict[str, Any] | None, *, key: str = "green") -> Event:
    """It, as an event of the port."""
    made = event(record or {}, AT, id="x")
    made.key = key.encode()
    if record is None:
        made.data = None
    return made


def binding(cleanup: str, *, time: str | None = "at") -> Binding:
    """A port keyed by kind."""
    return Ports({"house/brews": Port(SCHEMA, ("kind",), time, 1, cleanup)}).resolve(ADDRESS)


def verdict(
    cleanup: str, expected: list[dict[str, Any]], events: list[Event], *, time: str | None = "at"
) -> RecountVerdict:
    """The comparison."""
    return compare(ADDRESS, binding(cleanup, time=time), expected, events)


def test_of_a_compacted_port_the_latest_record_counts() -> None:
    """Earlier records of a key are history, and a tombstone takes the key out."""
    events = [found(brew(cups=1)), found(brew(cups=2)), found(brew("black"), key="black"), found(None, key="black")]
    assert verdict("compact", [brew(cups=2)], events).agrees


def test_of_any_other_port_every_record_counts() -> None:
    """Records of one key are told apart by their time; one that is missing is named with it."""
    events = [found(brew(minute=1)), found(brew(minute=2))]
    assert verdict("delete", [brew(minute=2), brew(minute=1)], events).agrees
    missing = verdict("delete", [brew(minute=1), brew(minute=2), brew(minute=3)], events)
    assert missing.wrong == 1
    assert str(missing.differing[0]) == "green at 2026-03-01T00:03:00+00:00: is missing"


def test_without_a_time_the_whole_record_tells() -> None:
    """On a port with neither compaction nor a time field, equal records are one, others are others."""
    result = verdict("delete", [brew(cups=1), brew(cups=3)], [found(brew(cups=1)), found(brew(cups=2))], time=None)
    assert (result.expected, result.found, result.wrong) == (2, 2, 2)


def test_doubles_may_differ_in_their_last_bits_only() -> None:
    """A sum in another order agrees; a difference that anybody could see does not, nor does null for zero."""
    assert verdict("compact", [brew(cups=0.1 + 0.2)], [found(brew(cups=0.3))]).agrees
    assert verdict("compact", [brew(cups=float("nan"))], [found(brew(cups=float("nan")))]).agrees
    assert not verdict("compact", [brew(cups=0.3)], [found(brew(cups=0.3001))]).agrees
    assert not verdict("compact", [brew(cups=0.0)], [found(brew() | {"cups": None})]).agrees


def test_a_field_that_one_side_lacks_is_a_difference() -> None:
    """A recount that forgets a field does not agree."""
    less = {name: value for name, value in brew().items() if name != "cups"}
    result = verdict("compact", [less], [found(brew())])
    assert [each.field for each in result.differing] == ["cups"]


def test_only_the_first_few_differences_are_told() -> None:
    """All wrong records are counted, a handful is shown."""
    kinds = [f"tea-{number}" for number in range(50)]
    result = verdict("compact", [brew(kind) for kind in kinds], [])
    assert (result.wrong, len(result.differing)) == (50, 5)


def test_a_recount_that_gives_a_key_twice_is_refused() -> None:
    """Two expected records of one key are a fault of the recount, not of the port."""
    with pytest.raises(ProjectError, match="two records of green"):
        verdict("compact", [brew(cups=1), brew(cups=2)], [])


def test_a_file_is_run_once(tmp_path: Path) -> None:
    """Two references into one file share its module; a file that has changed is run anew."""
    file = tmp_path / "own.py"
    file.write_text("def one(): return state\ndef two(): state.append(1)\nstate = []\n")
    load_callable(tmp_path, "own.py:two")()
    assert load_callable(tmp_path, "own.py:one")() == [1]
    file.write_text("def one(): return 'new'\n")
    assert load_callable(tmp_path, "own.py:one")() == "new"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("own.py", "names no Python function"),
        ("own.txt:one", "names no Python function"),
        ("other.py:one", "cannot be read"),
        ("own.py:onn", "did you mean 'one'"),
        ("broken.py:one", "ZeroDivisionError"),
        ("syntax.py:one", "SyntaxError"),
    ],
)
def test_what_cannot_be_loaded_says_why(tmp_path: Path, reference: str, message: str) -> None:
    """A missing file or function and a file that fails are told apart, and leave no half-made module behind."""
    (tmp_path / "own.py").write_text("def one(): ...\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "syntax.py").write_text("def one(\n")
    with pytest.raises(ProjectError, match=message):
        load_callable(tmp_path, reference)
    names = {str(tmp_path / name) for name in ("broken.py", "syntax.py")}
    assert not [each for each in list(sys.modules.values()) if getattr(each, "__file__", None) in names]


def test_a_module_may_hold_dataclasses(tmp_path: Path) -> None:
    """Annotations that are text are looked up in the module by its name, which therefore has to be known."""
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom typing import ClassVar\n"
    (tmp_path / "own.py").write_text(text + "@dataclass\nclass Own:\n    x: int\n    y: ClassVar[int] = 1\n")
    assert load_module(tmp_path / "own.py").Own(3).x == 3

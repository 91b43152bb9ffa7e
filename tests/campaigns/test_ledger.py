"""The ledger sees each kind of fault, and nothing where there is none."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from meshport.kafka.producer import Message
from meshport.process.state.changelog import ChangelogRecord, Checkpoint
from meshport.process.state.keys import CHECKPOINT_KEY
from meshport.process.wire.input import InputMessage
from tests.campaigns import memory
from tests.campaigns.evidence import Evidence
from tests.campaigns.ledger import Report, judge

Change = Callable[[Evidence], Evidence]


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    """Of a processor that was cut off again and again, and did no harm."""
    return memory.cut_off(random.Random(1))


def without(messages: Sequence[InputMessage], index: int) -> list[InputMessage]:
    """All messages but one."""
    return [*messages[:index], *messages[index + 1 :]]


def moved(messages: Sequence[InputMessage]) -> list[InputMessage]:
    """Two updates of one key, swapped."""
    found = list(messages)
    first = next(index for index, each in enumerate(found) if sum(other.key == each.key for other in found) > 1)
    second = next(index for index in range(first + 1, len(found)) if found[index].key == found[first].key)
    found[first], found[second] = found[second], found[first]
    return found


def again(messages: Sequence[InputMessage], *, other: bytes | None = None) -> list[InputMessage]:
    """The last message once more, with other contents if they are given."""
    last = messages[-1]
    more = last._replace(offset=last.offset + 1)
    return [*messages, more if other is None else more._replace(value=other)]


def set_back(entries: list[ChangelogRecord]) -> list[ChangelogRecord]:
    """A changelog whose last checkpoint was never written."""
    last = max(index for index, entry in enumerate(entries) if entry.key == CHECKPOINT_KEY)
    return [entry for index, entry in enumerate(entries) if index != last]


def empty(entries: list[ChangelogRecord]) -> list[ChangelogRecord]:
    """A changelog that holds a checkpoint and no row."""
    last = [entry for entry in entries if entry.key == CHECKPOINT_KEY][-1]
    assert last.value is not None
    return [replace(Checkpoint.read(last.value), rows=0, checksum=0).to_record()]


def damaged(entries: list[ChangelogRecord]) -> list[ChangelogRecord]:
    """A changelog that has lost a row which is still alive."""
    last = [
        entry for entry in entries if entry.key != CHECKPOINT_KEY and entry.value and b'"v":null' not in entry.value
    ][-1]
    return [entry for entry in entries if entry.key != last.key]


def changelog(evidence: Evidence, change: Callable[[list[ChangelogRecord]], list[ChangelogRecord]]) -> Evidence:
    """With another changelog of the first partition."""
    (topic, (first, *rest)), *_ = evidence.changelogs.items()
    return replace(evidence, changelogs={topic: [change(first), *rest]})


FAULTS: dict[str, tuple[str, Change]] = {
    "published and not stored": (
        "lost",
        lambda e: replace(e, published=[*e.published, Message(e.plan.source.topic, b"u1", b"gone")]),
    ),
    "stored twice": ("doubled", lambda e: replace(e, published=e.published[:-1])),
    "stored in another order": (
        "disordered",
        lambda e: replace(e, published=sorted(e.published, key=lambda each: each.value or b"")),
    ),
    "an event without its effect": ("lost", lambda e: replace(e, output=without(e.output, len(e.output) // 2))),
    "an output twice": ("doubled", lambda e: replace(e, output=again(e.output))),
    "an id that says two things": (
        "doubled",
        lambda e: replace(e, output=again(e.output, other=e.output[0].value), wire="repeats"),
    ),
    "updates of a key in another order": ("misstated", lambda e: replace(e, output=moved(e.output))),
    "a late event that is nowhere": ("unaccounted", lambda e: replace(e, late=e.late[1:])),
    "a late event twice": ("doubled", lambda e: replace(e, late=again(e.late))),
    "a late event with other bytes": (
        "unaccounted",
        lambda e: replace(e, late=[e.late[0]._replace(value=b"other"), *e.late[1:]]),
    ),
    "poison that is nowhere": ("unaccounted", lambda e: replace(e, quarantine=e.quarantine[1:])),
    "a good event in quarantine": ("unaccounted", lambda e: replace(e, quarantine=[*e.quarantine, e.late[0]])),
    "a state that is behind": ("misstated", lambda e: changelog(e, set_back)),
    "a state that forgot its totals": ("misstated", lambda e: changelog(e, empty)),
    "a state that is damaged": ("misstated", lambda e: changelog(e, damaged)),
    "an event that a subscriber does not get": ("lost", lambda e: replace(e, read=[])),
}


@pytest.mark.parametrize("name", FAULTS)
def test_it_sees(evidence: Evidence, name: str) -> None:
    """A single fault, put into evidence that is clean, is named for what it is."""
    kind, change = FAULTS[name]
    assert kind in judge(change(evidence)).faults


def test_it_says_nothing_of_what_is_right(evidence: Evidence) -> None:
    """Evidence without a fault is clean, and every event has one end."""
    report = judge(evidence)
    figures = report.figures
    assert report.faults == {}
    assert figures["events"] == sum(figures[each] for each in ("counted", "late", "quarantined", "duplicates"))
    assert min(figures[each] for each in ("counted", "late", "quarantined", "duplicates")) > 10


def test_it_lets_an_engine_repeat_that_may() -> None:
    """Outputs that follow again under their ids are no fault of the faust engine's, and are counted."""
    report = judge(memory.killed(random.Random(2)))
    assert report.faults == {}
    assert report.figures["repeats on the wire"] > 100


def test_reports_add_up() -> None:
    """The report of a campaign is that of all its processors."""
    whole = Report(lost=["a"])
    whole.add(Report(lost=["b"], doubled=["c"]))
    assert whole.faults == {"lost": ["a", "b"], "doubled": ["c"]}
    assert not whole.clean
    assert "lost 2, doubled 1" in str(whole)

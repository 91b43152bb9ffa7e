"""Judges a campaign: compares what was published with what the topics hold, event by event.

It shares nothing with the engines but their formats. Expectations come from the source log and the recount of
`tests.process.recount`. An update identifies the event that made it, since each event has a weight of its own
(`tests.campaigns.logic`): the n-th update of a key has the count n, and differs from the update before by an event of
that key that made no update yet. So a lost changelog shows, even where deduplication drops repeated ids.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain

from meshport.errors import MeshError
from meshport.event import Event, EventReader
from meshport.process.logic import lossless_json
from meshport.process.logic.aggregators import aggregator_for
from meshport.process.logic.event_time import duration_micros, to_micros
from meshport.process.logic.operators import Deduplicate
from meshport.process.runtime.quarantine import quarantined_event
from meshport.process.state.changelog import Checkpoint
from meshport.process.state.rows import StateRows
from meshport.process.wire.input import InputMessage
from meshport.process.wire.partitioner import partition_of
from tests.campaigns.evidence import Evidence
from tests.campaigns.logic import KEYS, LATENESS, PARTITIONS, UNLUCKY, WITHIN
from tests.process.recount import hourly, on_time, unique

Spot = tuple[int, int]
"""(partition, offset) in the source."""

_SHOWN = 3
_SHOWN_BYTES = 60


@dataclass
class Report:
    """What was found, one line for each fault.

    Attributes:
        lost: published and not stored, or stored and without its effect, or kept from our readers.
        doubled: stored, published or counted twice.
        disordered: not in the order of its key.
        miscounted: totals of the output that are not the recount's.
        unaccounted: late and unprocessable events that are not where they belong, or are there without reason.
        misstated: updates that do not follow from the ones before, and state that is not what it should be.
        figures: how many there were of what.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    disordered: list[str] = field(default_factory=list)
    miscounted: list[str] = field(default_factory=list)
    unaccounted: list[str] = field(default_factory=list)
    misstated: list[str] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)

    @property
    def faults(self) -> dict[str, list[str]]:
        """The kinds of which something was found."""
        named = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "figures"}
        return {name: found for name, found in named.items() if found}

    @property
    def clean(self) -> bool:
        """Whether nothing was."""
        return not self.faults

    def add(self, other: Report) -> None:
        """Add what was found elsewhere."""
        for name, found in other.faults.items():
            getattr(self, name).extend(found)
        self.figures.update(other.figures)

    def __str__(self) -> str:
        counts = [f"{each.name} {len(getattr(self, each.name))}" for each in fields(self) if each.name != "figures"]
        lines = [", ".join(counts), ", ".join(f"{name} {count}" for name, count in self.figures.items())]
        for name, found in self.faults.items():
            lines += [f"  {name}: {line}" for line in found[:_SHOWN]]
            if len(found) > _SHOWN:
                lines.append(f"  {name}: and {len(found) - _SHOWN} more")
        return "\n".join(lines)


def judge(evidence: Evidence) -> Report:
    """Say what became of every event."""
    report = Report()
    fates = _Fates(evidence)
    report.figures.update(
        events=len(evidence.source), counted=len(fates.counted), late=len(fates.late),
        quarantined=len(fates.bad), duplicates=fates.duplicates,
    )  # fmt: skip
    _check_publishing(evidence, report)
    _check_aside(evidence, evidence.late, fates.late, "late", report)
    _check_aside(evidence, evidence.quarantine, fates.bad, "quarantined", report)
    _check_outputs(evidence, fates, report)
    _check_state(evidence, fates, report)
    return report


class _Fates:
    """What should become of each event of the source, by the log alone."""

    def __init__(self, evidence: Evidence) -> None:
        self.by = next(by for by in KEYS.values() if by in evidence.plan.output.key)
        reader = EventReader(evidence.ports)
        self.bad: dict[Spot, InputMessage] = {}
        readable: list[Event] = []
        messages: dict[Spot, InputMessage] = {}
        for message in evidence.source:
            spot = message.partition, message.offset
            messages[spot] = message
            try:
                event = _event(reader, message)
            except MeshError:
                self.bad[spot] = message
            else:
                if _is_misplaced(message.key, message.partition):
                    self.bad[spot] = message
                else:
                    readable.append(event)
        kept = list(on_time(readable, LATENESS))
        on = {_spot(event) for event in kept}
        self.late = {_spot(event): messages[_spot(event)] for event in readable if _spot(event) not in on}
        self.bad |= {_spot(event): messages[_spot(event)] for event in kept if UNLUCKY in event.data["tags"]}
        self.counted = list(unique((event for event in kept if _spot(event) not in self.bad), WITHIN))
        self.duplicates = len(evidence.source) - len(self.bad) - len(self.late) - len(self.counted)
        self.newest: dict[int, int] = {}
        for event in readable:
            self.newest[event.partition] = max(self.newest.get(event.partition, 0), to_micros(event.time))
        self.table = hourly(self.counted, self.by)
        self.effects: dict[str, dict[int, Spot]] = defaultdict(dict)
        for event in self.counted:
            hour = event.time.replace(minute=0, second=0, microsecond=0).isoformat().replace("+00:00", "Z")
            self.effects[f"{event.data[self.by]}|{hour}"][event.data["ms"]] = _spot(event)


def _check_publishing(evidence: Evidence, report: Report) -> None:
    """The source log holds what was acknowledged, each as often as it was sent, in the order of its key."""
    sent: dict[tuple[bytes, bool], list[bytes]] = defaultdict(list)
    stored: dict[tuple[bytes, bool], list[bytes]] = defaultdict(list)
    for message in evidence.published:
        misplaced = message.partition is not None and _is_misplaced(message.key, message.partition)
        sent[message.key or b"", misplaced].append(message.value or b"")
    for each in evidence.source:
        stored[each.key or b"", _is_misplaced(each.key, each.partition)].append(each.value or b"")
    for key in sorted(sent.keys() | stored.keys()):
        if sent[key] == stored[key]:
            continue
        missing, extra = Counter(sent[key]) - Counter(stored[key]), Counter(stored[key]) - Counter(sent[key])
        report.lost += [
            f"published under {key!r} and not stored: {value[:_SHOWN_BYTES]!r}" for value in missing.elements()
        ]
        report.doubled += [
            f"stored under {key!r} more often than published: {value[:_SHOWN_BYTES]!r}" for value in extra.elements()
        ]
        if not missing and not extra:
            report.disordered.append(f"what was published under {key!r} is stored in another order")


def _is_misplaced(key: bytes | None, partition: int) -> bool:
    """Whether another partitioner than the mesh's has chosen a partition of the source."""
    return partition_of(key or b"", PARTITIONS) != partition


def _check_aside(
    evidence: Evidence, found: Sequence[InputMessage], due: Mapping[Spot, InputMessage], what: str, report: Report
) -> None:
    seen: Counter[Spot] = Counter()
    for message in found:
        aside = quarantined_event(message.key, message.value, message.headers)
        spot = aside.partition, aside.offset
        seen[spot] += 1
        original = due.get(spot)
        if original is None:
            report.unaccounted.append(f"{spot} is {what} without reason: {aside.reason}")
        elif (aside.key, aside.value) != (original.key, original.value):
            report.unaccounted.append(f"{spot} is {what} with other bytes than were published")
    report.unaccounted += [f"{spot} should be {what} and is not" for spot in due if spot not in seen]
    repeats = sum(seen.values()) - len(seen)
    report.figures["repeats on the wire"] += repeats
    if evidence.wire == "once" and repeats:
        report.doubled += [f"{spot} is {what} {count} times" for spot, count in seen.items() if count > 1]


def _check_outputs(evidence: Evidence, fates: _Fates, report: Report) -> None:
    reader = EventReader(evidence.ports)
    wire = [_event(reader, message) for message in evidence.output]
    first: dict[str, Event] = {}
    homes: dict[bytes, int] = {}
    repeats = 0
    for event in wire:
        if (said := first.setdefault(event.id, event)) is not event:
            repeats += 1
            if said != event:
                report.doubled.append(f"{event.id} says two things: {said.data} and {event.data}")
            elif evidence.wire == "once":
                report.doubled.append(f"{event.id} is there twice, at {_spot(said)} and {_spot(event)}")
        if homes.setdefault(event.key or b"", event.partition) != event.partition:
            report.disordered.append(f"key {event.key!r} is in two partitions, its updates have no order")
    report.figures["outputs"] += len(first)
    report.figures["repeats on the wire"] += repeats
    updates: dict[str, list[Event]] = defaultdict(list)
    for event in _read(evidence, first, report):
        updates[(event.key or b"").decode()].append(event)
    for key in sorted(fates.effects.keys() | updates.keys()):
        _Walk(key, fates.effects.get(key, {}), report).check(updates.get(key, []))
    _check_table(updates, fates, report)


def _read(evidence: Evidence, first: Mapping[str, Event], report: Report) -> Iterable[Event]:
    """The outputs as our readers have them; where none was there to read, the wire without repeats."""
    if evidence.read is None:
        return first.values()
    seen = Counter(event.id for event in evidence.read)
    report.doubled += [f"a subscriber got {id_} {count} times" for id_, count in seen.items() if count > 1]
    report.lost += [f"no subscriber gets {id_}" for id_ in first if id_ not in seen]
    return evidence.read


def _check_table(updates: Mapping[str, list[Event]], fates: _Fates, report: Report) -> None:
    for key, truth in fates.table.items():
        last = updates[key][-1].data if key in updates else None
        if last != truth:
            report.miscounted.append(f"{key} is {last}, a recount says {truth}")
    report.miscounted += [f"{key} is a total of nothing" for key in updates if key not in fates.table]


class _Walk:
    """Goes through the updates of one key, and takes each for the event that made it."""

    def __init__(self, key: str, effects: Mapping[int, Spot], report: Report) -> None:
        self._key = key
        self._effects = effects
        self._report = report
        self._made: set[int] = set()
        self._last: dict[int, int] = {}
        # Updates that are missing between two that are there: how many events they and the next one stand for, their weight.
        self._jumped = [0, 0]
        self._skipped = 0

    def check(self, updates: Sequence[Event]) -> None:
        """Check all of them, and that no event is left that made none."""
        plays = weight = 0
        for event in updates:
            said, total = event.data["plays"], event.data["ms"]
            self._step(said - plays, total - weight, said)
            plays, weight = said, total
        left = [each for each in self._effects if each not in self._made]
        if [len(left), sum(left)] == self._jumped:
            left = []
            self._report.lost += [f"{self._key}: an update is missing"] * self._skipped
        elif self._skipped:
            self._report.misstated.append(f"{self._key}: updates are missing that no events explain")
        self._report.lost += [f"{self._key}: the event at {self._effects[each]} has no effect" for each in left]

    def _step(self, more: int, weight: int, said: int) -> None:
        spot = self._effects.get(weight)
        if more == 1 and spot is not None:
            if weight in self._made:
                self._report.doubled.append(f"{self._key}: the event at {spot} counts again, as update {said}")
            elif self._last.get(spot[0], -1) > spot[1]:
                self._report.disordered.append(f"{self._key}: the event at {spot} counts after a later one")
            self._last[spot[0]] = max(self._last.get(spot[0], -1), spot[1])
            self._made.add(weight)
        elif more > 1:
            self._jumped = [self._jumped[0] + more, self._jumped[1] + weight]
            self._skipped += more - 1
        elif more == weight == 0:
            self._report.doubled.append(f"{self._key}: update {said} is said again")
        else:
            self._report.misstated.append(
                f"{self._key}: update {said} is {more} event(s) and {weight} more than the one before"
            )


def _check_state(evidence: Evidence, fates: _Fates, report: Report) -> None:
    """Check that the state which the next restart restores is the one that follows from the log."""
    rows: list[dict[str, object]] = []
    for topic, partitions in evidence.changelogs.items():
        rows.append({})
        for number, entries in enumerate(partitions):
            try:
                state, checkpoint = StateRows.restore(entries)
            except MeshError as error:
                report.misstated.append(f"the state of {topic} [{number}] cannot be restored: {error.message}")
                continue
            if shared := rows[-1].keys() & dict(state.items()).keys():
                report.misstated.append(f"state of {len(shared)} keys is in two partitions of {topic}")
            rows[-1] |= dict(state.items())
            if topic == evidence.plan.source.topic:
                _check_place(evidence, number, checkpoint, report)
    horizons = {partition: newest - duration_micros(LATENESS) for partition, newest in fates.newest.items()}
    if any(isinstance(each, Deduplicate) for each in evidence.plan.pipeline.before):
        _check_seen(rows[0], fates, horizons, report)
    if evidence.plan.rekeyed:
        told = len(horizons) == evidence.plan.source.partitions
        horizons = dict.fromkeys(horizons, min(horizons.values()) if told else 0)
    _check_windows(rows[-1], fates, horizons, report)


def _check_place(evidence: Evidence, partition: int, checkpoint: Checkpoint, report: Report) -> None:
    last = max((each.offset for each in evidence.source if each.partition == partition), default=-1)
    if checkpoint.offset != last:
        report.misstated.append(f"the state of [{partition}] stands at {checkpoint.offset}, its last event at {last}")


def _check_seen(rows: Mapping[str, object], fates: _Fates, horizons: Mapping[int, int], report: Report) -> None:
    remembered = {lossless_json.loads(key.partition(":")[2])[1] for key in rows if key.startswith("d0:")}
    within = duration_micros(WITHIN)
    due = {event.id for event in fates.counted if to_micros(event.time) + within >= horizons[event.partition]}
    report.misstated += [f"the state forgot that {id_} was counted" for id_ in sorted(due - remembered)]
    report.misstated += [f"the state still remembers {id_}, or never saw it" for id_ in sorted(remembered - due)]


def _check_windows(rows: Mapping[str, object], fates: _Fates, horizons: Mapping[int, int], report: Report) -> None:
    total = aggregator_for("sum").result
    found: dict[str, tuple[int, int]] = {}
    for key, value in rows.items():
        if key.startswith("g") and isinstance(value, list):
            found[key] = value[0], total(value[1])
    due: dict[str, tuple[int, int]] = {}
    for key, row in fates.table.items():
        start = to_micros(row["window_start"])
        partition = next(iter(fates.effects[key].values()))[0]
        if to_micros(row["window_end"]) > horizons[partition]:
            due[f"g{start}:{lossless_json.dumps([row[fates.by]])}"] = row["plays"], row["ms"]
    for key in sorted(chain(due, found.keys() - due.keys())):
        if found.get(key) != due.get(key):
            report.misstated.append(f"the state of {key} is {found.get(key)}, it should be {due.get(key)}")


def _event(reader: EventReader, message: InputMessage) -> Event:
    return reader.read(
        message.key, message.value, message.headers, message.topic, message.partition, message.offset,
        message.timestamp_ms,
    )  # fmt: skip


def _spot(event: Event) -> Spot:
    return event.partition, event.offset

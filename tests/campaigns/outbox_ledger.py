"""Judges what became of an outbox: the service's own journal beside what a reader of it has seen.

The journal is a table that a transaction writes together with its events, so that it holds what has committed and nothing
else. Each event has the number of its change of its aggregate, which is counted under the lock of the aggregate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tests.campaigns.ledger import Report


class Change(NamedTuple):
    """An event as a reader sees it.

    Attributes:
        id: of the event.
        aggregate: that changed.
        n: the number of the change, 1 for the first of the aggregate.
    """

    id: str
    aggregate: str
    n: int


def judge(journal: Mapping[str, tuple[str, int]], seen: Iterable[Change]) -> Report:
    """Compare what a reader has seen, in its order, with the journal: the aggregate and the number of each event, by id.

    A repeat under the same id is no fault, since readers ignore it; it is counted.
    """
    report = Report()
    newest: dict[str, int] = defaultdict(int)
    first: dict[tuple[str, int], str] = {}
    ids: set[str] = set()
    repeats = 0
    for change in seen:
        if change.id in ids:
            repeats += 1
            continue
        ids.add(change.id)
        if change.id not in journal:
            report.unaccounted.append(f"{change} is published and was never committed")
        elif journal[change.id] != (change.aggregate, change.n):
            report.misstated.append(f"{change} was committed as {journal[change.id]}")
        other = first.setdefault((change.aggregate, change.n), change.id)
        if other != change.id:
            report.doubled.append(f"{change} is published as {other} as well")
        if change.n < newest[change.aggregate]:
            report.disordered.append(f"{change} comes after change {newest[change.aggregate]}")
        newest[change.aggregate] = max(newest[change.aggregate], change.n)
    report.lost += [f"{id_} of {at} is committed and not published" for id_, at in journal.items() if id_ not in ids]
    report.figures.update(committed=len(journal), published=len(ids), repeats=repeats)
    return report

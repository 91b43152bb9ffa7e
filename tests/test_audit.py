"""The chain of an audit: any single change of an export is found, and a program of any language can check it."""

from __future__ import annotations

import json
import random
from hashlib import sha256
from typing import Any, Final

from meshport.audit import NO_HASH, AuditEntry, AuditHead, AuditOutcome, audit_hash
from meshport.errors import AuditBroken
from meshport.registry import verify_export
from tests.repeats import repeated, repeats

SEED: Final = 20270301


def chain(count: int) -> list[AuditEntry]:
    """Return a whole chain of so many entries."""
    entries, previous = [], NO_HASH
    for number in range(1, count + 1):
        values: dict[str, Any] = {
            "previous": previous,
            "number": number,
            "at": f"2027-03-01T12:00:00.{number:06d}Z",
            "caller": "Zoë \U0001f40e",
            "by": "token",
            "action": "register",
            "resource": f'Product::"shop/p{number}"',
            "outcome": AuditOutcome.ALLOWED,
            "detail": 'POST /api/v1/dataproducts\t"\\\x1f\N{LINE SEPARATOR}',
            "policies": None if number % 2 else "v1",
        }
        previous = audit_hash(**values)
        entries.append(AuditEntry.model_validate(values | {"hash": previous}))
    return entries


def lines(entries: list[AuditEntry]) -> list[bytes]:
    """Return the lines of an export."""
    return [each.model_dump_json().encode() + b"\n" for each in entries]


def first_wrong(exported: list[bytes], anchor: str | None = None) -> int | None:
    """Return the number of the first wrong entry, or None where an export is whole."""
    try:
        verify_export(exported, anchor)
    except AuditBroken as error:
        return error.number or 0
    return None


@repeated
def test_every_changed_byte_is_found() -> None:
    """A byte of an export that becomes another one is found, in the entry that it belongs to."""
    exported, dice = lines(chain(12)), random.Random(SEED)
    assert first_wrong(exported) is None
    edits = [(index, at) for index, line in enumerate(exported) for at in range(len(line) - 1)]
    unseen = []
    for index, at in dice.sample(edits, repeats(suite=2_500, campaign=len(edits))):
        line = bytearray(exported[index])
        line[at] = dice.choice([each for each in range(256) if each != line[at]])
        # A new line makes two of it; each is wrong by itself.
        changed = b"".join([*exported[:index], bytes(line), *exported[index + 1 :]]).splitlines(keepends=True)
        if first_wrong(changed) != index + 1:
            unseen.append((index, at, line[at]))
    assert unseen == []


def test_every_removed_moved_and_repeated_entry_is_found() -> None:
    """A chain of 60 with one entry less, any two swapped, or one twice is broken at the first entry that is not in its place."""
    exported = lines(chain(60))
    count = len(exported)
    for index in range(count - 1):
        assert first_wrong(exported[:index] + exported[index + 1 :]) == index + 1
        assert first_wrong([*exported[: index + 1], exported[index], *exported[index + 1 :]]) == index + 1
        for other in range(index + 1, count):
            swapped = exported.copy()
            swapped[index], swapped[other] = exported[other], exported[index]
            assert first_wrong(swapped) == index + 1


def test_a_shorter_export_is_found_by_a_noted_hash() -> None:
    """The removal of the last entries leaves a whole chain, which does not have the hash that was noted."""
    entries = chain(20)
    exported, noted = lines(entries), entries[-1].hash
    assert verify_export(exported, noted) == AuditHead(number=20, hash=noted)
    for count in range(20):
        assert first_wrong(exported[:count]) is None
        assert first_wrong(exported[:count], noted) == 0


def test_an_entry_in_another_form_is_no_entry() -> None:
    """JSON with a value that is missing, of another type or twice is not read as an entry."""
    (entry,) = chain(1)
    form = entry.model_dump(mode="json")
    for other in (
        {"number": "1"},
        {"number": True},
        {"number": 1.5},
        {"outcome": "perhaps"},
        {"caller": None},
        {"note": ""},
    ):
        assert first_wrong([json.dumps(form | other).encode()]) == 1
    for name in form:
        assert first_wrong([json.dumps({key: form[key] for key in form if key != name}).encode()]) == 1


def test_any_program_can_check_the_chain() -> None:
    """The hash is SHA-256 of the JSON list of the values, as the documentation of the module says."""
    for entry in chain(3):
        values = entry.model_dump(mode="json")
        written = values.pop("hash")
        hashed = json.dumps(list(values.values()), ensure_ascii=False, separators=(",", ":"))
        assert sha256(hashed.encode()).hexdigest() == written

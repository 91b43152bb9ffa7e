"""What changed between two versions of a contract, in words: the differences themselves, not whether they break a reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from meshport.compat.contract_fields import ContractField, contract_fields
from meshport.schema import Schema


class ChangeKind(StrEnum):
    """What became of a field."""

    ADDED = "added"
    REMOVED = "removed"
    RENAMED = "renamed"
    RETYPED = "retyped"
    OPTIONAL = "optional"
    DEFAULT = "default"
    DOC = "doc"
    POLYSEME = "polyseme"
    CLASSIFICATION = "classification"
    ORDER = "order"


class SchemaChange(BaseModel):
    """One difference of two versions of a contract.

    Attributes:
        kind: what became of the field.
        path: of the field, in the newer version where it has it; "" for the whole contract.
        before: what it was, in words; None for a new field.
        after: what it is, in words; None for a removed one.
        text: the difference as a sentence.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: ChangeKind
    path: str
    before: str | None = None
    after: str | None = None
    text: str


def schema_changes(before: Schema, after: Schema) -> tuple[SchemaChange, ...]:
    """Return the differences of two versions of a contract, in the order of the newer one, removed fields last.

    A field of a new name that declares a former one as an alias is renamed. Fields within a renamed record keep their identity.

    Args:
        before: the older version.
        after: the newer version.
    """
    if before.fingerprint == after.fingerprint:
        return ()
    old = {each.path: each for each in contract_fields(before)}
    new = {each.path: each for each in contract_fields(after)}
    former = _former_paths(old, new)
    return tuple(_changes(old, new, former))


def _former_paths(old: Mapping[str, ContractField], new: Mapping[str, ContractField]) -> dict[str, str]:
    """Return the path in the older version of each field of the newer one that has one."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for path, field in new.items():
        holder, _, name = path.rpartition(".")
        above = found.get(holder, holder)
        names = (name, *field.aliases)
        paths = (f"{above}.{each}" if above else each for each in names)
        was = next((each for each in paths if each in old and each not in taken), None)
        if was is not None:
            found[path] = was
            taken.add(was)
    return found


def _changes(
    old: Mapping[str, ContractField], new: Mapping[str, ContractField], former: Mapping[str, str]
) -> Iterator[SchemaChange]:
    for path, field in new.items():
        if path in former:
            yield from _of_field(old[former[path]], field, path)
        elif _holder(path) in former or not _holder(path):  # the fields of a new record are new with it
            default = "" if field.default is None else f", with the default {field.default}"
            yield SchemaChange(
                kind=ChangeKind.ADDED, path=path, after=field.type, text=f"{path} is new: {field.type}{default}"
            )
    kept = set(former.values())
    for path, field in old.items():
        if path not in kept and (_holder(path) in kept or not _holder(path)):
            yield SchemaChange(
                kind=ChangeKind.REMOVED, path=path, before=field.type, text=f"{path} is removed; it was {field.type}"
            )
    order = [former[path] for path in new if path in former]
    if order != [path for path in old if path in kept]:
        yield SchemaChange(kind=ChangeKind.ORDER, path="", text="the fields have another order")


def _holder(path: str) -> str:
    return path.rpartition(".")[0]


def _of_field(was: ContractField, now: ContractField, path: str) -> Iterator[SchemaChange]:
    name = path or "the value"
    if was.path.rpartition(".")[2] != path.rpartition(".")[2]:
        yield SchemaChange(
            kind=ChangeKind.RENAMED,
            path=path,
            before=was.path,
            after=path,
            text=f"{name} was named {was.path.rpartition('.')[2]}",
        )
    if was.type != now.type or was.symbols != now.symbols:
        optional = was.optional != now.optional and _beside_null(was.type) == _beside_null(now.type)
        text = f"{name} may {'' if now.optional else 'no longer '}be null" if optional else _retyped(name, was, now)
        kind = ChangeKind.OPTIONAL if optional else ChangeKind.RETYPED
        yield SchemaChange(kind=kind, path=path, before=was.type, after=now.type, text=text)
    if was.default != now.default:
        yield _attribute(ChangeKind.DEFAULT, path, "the default", was.default, now.default)
    if was.polyseme != now.polyseme:
        yield _attribute(ChangeKind.POLYSEME, path, "the polyseme", was.polyseme, now.polyseme)
    if was.classification != now.classification:
        yield _attribute(ChangeKind.CLASSIFICATION, path, "the classification", was.classification, now.classification)
    if was.doc != now.doc:
        yield SchemaChange(
            kind=ChangeKind.DOC, path=path, before=was.doc, after=now.doc, text=f"{name} is described otherwise"
        )


def _beside_null(words: str) -> str:
    return words.removesuffix(" or null")


def _retyped(name: str, was: ContractField, now: ContractField) -> str:
    if was.symbols and now.symbols:
        parts = _of_symbols(was.symbols, now.symbols)
        if parts:
            return f"{name} {' and '.join(parts)}"
    return f"{name} was {was.type}, and is {now.type}"


def _of_symbols(was: Sequence[str], now: Sequence[str]) -> list[str]:
    added = [each for each in now if each not in was]
    removed = [each for each in was if each not in now]
    parts = []
    if added:
        parts.append(f"may now be {', '.join(added)}")
    if removed:
        parts.append(f"may no longer be {', '.join(removed)}")
    return parts


def _attribute(kind: ChangeKind, path: str, what: str, before: str | None, after: str | None) -> SchemaChange:
    name = path or "the value"
    if before is None:
        text = f"{name} has {what} {after}"
    elif after is None:
        text = f"{name} no longer has {what} {before}"
    else:
        text = f"{what} of {name} was {before}, and is {after}"
    return SchemaChange(kind=kind, path=path, before=before, after=after, text=text)

"""What an import changes: the difference between a snapshot of another registry and this one, and what stands in its way.

The plan is made before anything is written, so that a clash leaves the registry as it was. An id names one schema for ever,
because records on Kafka carry it: an id or a version that has another schema here is a clash. A schema that has another id here
is none: it gets the imported id as a further one, and records with either id are readable.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Final

from meshport.errors import SchemaError
from meshport.registry.subjects import SchemaAnswer
from meshport.schema import CommonTypes, Schema, parse_schema
from meshport.schema.canonical import take_apart
from meshport.snapshot import (
    AVRO,
    MODES,
    ImportBatch,
    RegistrySnapshot,
    SettingCopy,
    SubjectCopy,
    SubjectVersionKey,
    VersionCopy,
)

_LONGEST_SUBJECT: Final = 500
_MOST_VERSIONS: Final = 200
_MOST_CHARACTERS: Final = 1_000_000
_MOST_REFERENCES: Final = 800
_MOST_SETTINGS: Final = 400
_NAMED: Final = 5


@dataclass(frozen=True)
class ImportPlan:
    """What an import writes.

    Attributes:
        batches: in the order in which they are sent; a version follows those that it refers to.
        clashes: what stands in the way; with any, nothing is written.
        notes: what differs from the other registry and stays so.
        unchanged: how many versions are here already.
    """

    batches: tuple[ImportBatch, ...] = ()
    clashes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unchanged: int = 0


def plan_import(
    source: RegistrySnapshot,
    here: RegistrySnapshot,
    *,
    schema_here: Callable[[int], SchemaAnswer | None],
    products: Mapping[str, str],
    leave_out: Collection[str] = (),
) -> ImportPlan:
    """Return the plan of an import.

    Args:
        source: the other registry.
        here: this registry.
        schema_here: returns the schema with an id in this registry, or None; permanently deleted subjects leave schemas.
        products: the address of the data product that a subject of this registry belongs to, by subject.
        leave_out: subjects of the other registry that are not imported; `*` and `?` as in file names.
    """
    planning = _Planning(source, here, schema_here, products, tuple(leave_out))
    for subject in source.subjects:
        planning.look_at(subject)
    planning.look_at_defaults()
    return planning.plan()


@dataclass
class _Planning:
    source: RegistrySnapshot
    here: RegistrySnapshot
    schema_here: Callable[[int], SchemaAnswer | None]
    products: Mapping[str, str]
    leave_out: Sequence[str]
    versions: list[VersionCopy] = field(default_factory=list)
    settings: list[SettingCopy] = field(default_factory=list)
    clashes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unchanged: int = 0
    replaced: Counter[str] = field(default_factory=Counter)
    only_here: Counter[str] = field(default_factory=Counter)
    unlike: dict[str, str] = field(default_factory=dict)
    ahead: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._there = _Schemas(self.source.versions)
        self._own = _Schemas(self.here.versions)
        self._known = {each.name: each for each in self.here.subjects}
        self._ids = {each.id: each for each in self.here.each_version()}
        self._first: dict[int, VersionCopy] = {}
        self._looked_up: dict[int, SchemaAnswer | None] = {}

    # --- a subject

    def look_at(self, subject: SubjectCopy) -> None:
        """Add what changes of a subject, and its clashes."""
        if self._is_left_out(subject.name):
            return
        if reason := _unfit_name(subject.name) or _unfit_mode(subject):
            self.clashes.append(f"subject {subject.name[:200]!r}: {reason}")
            return
        newest = {each.id: each for each in subject.versions}
        for version in subject.versions:
            last = newest[version.id]
            if last is not version and version.deleted:
                # Confluent's registry drops the soft-deleted version of a schema that is registered again.
                self.replaced[subject.name] += 1
                if version.key not in self._own.versions:
                    continue
            elif last is not version:
                self.clashes.append(
                    f"subject {subject.name!r} has the schema {version.id} as the versions {version.version} and {last.version}"
                )
                continue
            if reason := self._clash(version):
                self.clashes.append(f"version {version.version} of subject {subject.name!r}: {reason}")
        known = self._known.get(subject.name)
        for each in known.versions if known else ():
            if each.key not in self.source.versions and not each.deleted:
                self.only_here[subject.name] += 1
        self._look_at_settings(subject, known)

    def _is_left_out(self, name: str) -> bool:
        return any(fnmatchcase(name, each) for each in self.leave_out)

    def _look_at_settings(self, subject: SubjectCopy, known: SubjectCopy | None) -> None:
        before = (known.level, known.mode) if known else (None, None)
        if before == (subject.level, subject.mode):
            return
        if product := self.products.get(subject.name):
            self.unlike[subject.name] = product
            return
        self.settings.append(SettingCopy(subject=subject.name, level=subject.level, mode=subject.mode))

    def look_at_defaults(self) -> None:
        """Add the level and the mode of subjects that have none of their own."""
        mode = self.source.mode or "READWRITE"
        if mode not in MODES:
            self.clashes.append(
                f"the registry is in mode {mode}, which is not there here; there are {', '.join(MODES)}"
            )
        elif (self.here.level, self.here.mode) != (self.source.level, mode):
            self.settings.append(SettingCopy(level=self.source.level, mode=mode))
        if mode != "READWRITE":
            self.notes.append(f"mode {mode} is kept: PUT /mode ends it, once this registry takes the other's place")

    # --- a version

    def _clash(self, version: VersionCopy) -> str | None:
        """Add a version to the plan unless it is here already, or return what stands in its way."""
        if reason := self._unkept(version):
            return reason
        there = self._there.read(version)
        if isinstance(there, str):
            return there
        if reason := self._id_clash(version, there):
            return reason
        known = self._own.versions.get(version.key)
        if known is not None and not self._own.same(known, version, there):
            return f"it has the id {version.id} there; the version has another schema here, with the id {known.id}"
        if known is None and version.subject in self.products:
            self.ahead[version.subject] = self.products[version.subject]
            if self._ids.get(version.id) or self._stored(version.id):
                self.unchanged += 1
            else:
                self.versions.append(version)
        elif known is None and (taken := self._elsewhere(version)):
            # It was deleted there and registered again since the last import.
            self.versions += [taken.model_copy(update={"deleted": True}), version]
        elif known is not None and known.deleted == version.deleted and self._has_id(version, known):
            self.unchanged += 1
        elif known is not None and known.deleted != version.deleted and version.subject in self.products:
            self.unlike[version.subject] = self.products[version.subject]
        else:
            self.versions.append(version)
        return None

    def _unkept(self, version: VersionCopy) -> str | None:
        if version.kind != AVRO:
            return f"schemas of type {version.kind} are not taken; leave the subject out"
        for what, value in (("metadata", version.metadata), ("a rule set", version.rules)):
            if value:
                return f"{what} is not kept here; leave the subject out"
        for each in version.references:
            if each.key not in self.source.versions:
                return f"it refers to version {each.version} of {each.subject!r}, which is not there"
            if self._is_left_out(each.subject):
                return f"it refers to {each.subject!r}, which is left out"
            if self._there.is_replaced(each.key):
                return f"it refers to version {each.version} of {each.subject!r}, which is deleted and registered again"
        return None

    def _id_clash(self, version: VersionCopy, there: Schema) -> str | None:
        first = self._first.setdefault(version.id, version)
        if first is not version and not self._there.same(first, version, there):
            return f"the id {version.id} has another schema there too, version {first.version} of {first.subject!r}"
        known = self._ids.get(version.id)
        if known is not None:
            if self._own.same(known, version, there):
                return None
            return f"the id {version.id} has another schema here, version {known.version} of {known.subject!r}"
        found = self._stored(version.id)
        if found is None or (found.text == version.schema_text and found.reference_copies == version.references):
            return None
        stored = VersionCopy(
            subject=version.subject,
            version=version.version,
            id=version.id,
            schema_text=found.text,
            references=found.reference_copies,
        )
        if self._own.same(stored, version, there):
            return None
        return f"the id {version.id} has another schema here, which no subject has any more"

    def _stored(self, schema_id: int) -> SchemaAnswer | None:
        if schema_id not in self._looked_up:
            self._looked_up[schema_id] = self.schema_here(schema_id)
        return self._looked_up[schema_id]

    def _elsewhere(self, version: VersionCopy) -> VersionCopy | None:
        """Return the version that has the same id here, where its number is gone there."""
        known = self._known.get(version.subject)
        for each in known.versions if known else ():
            if each.id == version.id and not each.deleted and each.key not in self.source.versions:
                return each
        return None

    def _has_id(self, version: VersionCopy, known: VersionCopy) -> bool:
        return known.id == version.id or version.id in self._ids or self._stored(version.id) is not None

    # --- the plan

    def plan(self) -> ImportPlan:
        """Return what was found, in batches."""
        for counted, words in (
            (self.replaced, "soft-deleted versions whose schema was registered again are not kept"),
            (self.only_here, "versions are here alone, and stay"),
        ):
            if counted:
                self.notes.append(f"{counted.total()} {words}: {_some(list(counted))}")
        if self.unlike:
            contracts = [f"{name} ({product})" for name, product in self.unlike.items()]
            self.notes.append(f"levels, modes and deletions of contracts are their products': {_some(contracts)}")
        if self.ahead:
            contracts = [f"{name} ({product})" for name, product in self.ahead.items()]
            self.notes.append(
                f"contracts have newer versions there, whose schemas are here by their ids: {_some(contracts)}; "
                "change the contract's file and run `meshport apply`"
            )
        if self.clashes:
            return ImportPlan(clashes=tuple(self.clashes), notes=(*self.source.notes, *self.notes))
        return ImportPlan(tuple(self._batches()), notes=(*self.source.notes, *self.notes), unchanged=self.unchanged)

    def _batches(self) -> Iterator[ImportBatch]:
        depths: dict[int, list[VersionCopy]] = {}
        for each in self.versions:
            depths.setdefault(self._there.depth(each), []).append(each)
        for depth in sorted(depths):
            for part in _parts(depths[depth]):
                yield ImportBatch(versions=tuple(part))
        for start in range(0, len(self.settings), _MOST_SETTINGS):
            yield ImportBatch(settings=tuple(self.settings[start : start + _MOST_SETTINGS]))


class _Schemas:
    """The schemas of one registry, each read once with what it refers to.

    Args:
        versions: of the registry.
    """

    def __init__(self, versions: Mapping[SubjectVersionKey, VersionCopy]) -> None:
        self.versions = versions
        self._read: dict[SubjectVersionKey, Schema | str] = {}
        self._depths: dict[SubjectVersionKey, int] = {}
        self._newest = {(each.subject, each.id): each for each in versions.values()}

    def is_replaced(self, key: SubjectVersionKey) -> bool:
        """Return whether a version is soft deleted, and its schema a later version of the same subject."""
        version = self.versions[key]
        return version.deleted and self._newest[version.subject, version.id] is not version

    def depth(self, version: VersionCopy) -> int:
        """Return how many references lead one after the other from a version."""
        if version.key not in self._depths:
            self._depths[version.key] = -1  # a circle of references ends here; reading it is refused
            inner = (self.versions[each.key] for each in version.references)
            self._depths[version.key] = 1 + max(map(self.depth, inner), default=-1)
        return self._depths[version.key]

    def read(self, version: VersionCopy) -> Schema | str:
        """Return the schema of a version with what it refers to, or why it cannot be read."""
        if version.key in self._read and self.versions.get(version.key) is version:
            return self._read[version.key]
        self._read[version.key] = "its references lead in a circle"
        found = self._parsed(version)
        self._read[version.key] = found
        return found

    def _parsed(self, version: VersionCopy) -> Schema | str:
        named: dict[str, Any] = {}
        try:
            for each in version.references:
                inner = self.versions.get(each.key)
                if inner is None:
                    return f"it refers to version {each.version} of {each.subject!r}, which is not there"
                schema = self.read(inner)
                if isinstance(schema, str):
                    return f"it refers to version {each.version} of {each.subject!r}: {schema}"
                take_apart(schema.form, named)
            common = CommonTypes(named=named) if named else None
            return parse_schema(version.schema_text, common=common, source=f"schema {version.id}")
        except SchemaError as error:
            return error.message

    def same(self, own: VersionCopy, other: VersionCopy, schema: Schema) -> bool:
        """Return whether a version of this registry has the schema of a version of another one, with the same references."""
        if own.references != other.references:
            return False
        if own.schema_text == other.schema_text and not own.references:
            return True
        read = self.read(own)
        return isinstance(read, Schema) and read.fingerprint == schema.fingerprint


def _unfit_name(name: str) -> str | None:
    if name.startswith(":."):
        return "it lies in another context than the default one"
    if len(name) > _LONGEST_SUBJECT:
        return f"its name has more than {_LONGEST_SUBJECT} characters"
    return None


def _unfit_mode(subject: SubjectCopy) -> str | None:
    if subject.mode is None or subject.mode in MODES:
        return None
    return f"it is in mode {subject.mode}, which is not there here; there are {', '.join(MODES)}"


def _parts(versions: Sequence[VersionCopy]) -> Iterator[list[VersionCopy]]:
    """Yield versions in parts that one request may have. The versions of a subject keep their order."""
    part: list[VersionCopy] = []
    characters = references = 0
    for each in versions:
        full = characters + len(each.schema_text) > _MOST_CHARACTERS or len(part) >= _MOST_VERSIONS
        if part and (full or references + len(each.references) > _MOST_REFERENCES):
            yield part
            part, characters, references = [], 0, 0
        part.append(each)
        characters += len(each.schema_text)
        references += len(each.references)
    if part:
        yield part


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")

"""A client of Confluent's API of any registry: subjects, versions, levels and modes, read only.

Registries differ in what they answer beside Confluent's own: Apicurio answers the default level for a subject that has none,
pages in no certain order, and has lists of schemas without ids. Only what all of them answer alike is used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from meshport.errors import NotRegistered, RegistrationRefused, RegistryUnavailable
from meshport.product import Compatibility
from meshport.registry.login import RegistryLogin
from meshport.registry.requests import Requests, parse_response
from meshport.snapshot import RegistrySnapshot, SchemaReferenceCopy, SubjectCopy, VersionCopy

_Model = TypeVar("_Model", bound=BaseModel)
_NAMES: Final = TypeAdapter(list[str])
_NUMBERS: Final = TypeAdapter(list[int])
# Confluent's registry answers 20,000 names at most, others have no bound; a shorter list is complete.
_SHORT_LIST: Final = 1000
_READERS: Final = 8
_NAMED: Final = 5
_TIMEOUT_S: Final = 60.0
# A subject that no registry has, to learn what the registry answers for one without a level or a mode.
_NOBODY: Final = "meshport-asks-for-a-subject-that-is-not-there"
_DEFAULT_CONTEXTS: Final = frozenset({".", ":.:"})


class ConfluentSubjects:
    """A client of the subjects of one registry; thread-safe.

    Args:
        requests: to the registry; its URL is the root of Confluent's API (`http://host:8080/apis/ccompat/v7` of Apicurio).
    """

    def __init__(self, requests: Requests) -> None:
        self._requests = requests
        self.url = requests.url

    @classmethod
    def at(cls, url: str, login: RegistryLogin | None = None) -> Self:
        """Return a client of the registry at a URL.

        Raises:
            RegistryUnavailable: the URL is none.
            FileError: a certificate of the login cannot be read.
        """
        return cls(Requests(url, timeout=_TIMEOUT_S, login=login))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._requests.close()

    def names(self, *, deleted: bool = False) -> tuple[str, ...]:
        """Return the names of the subjects, in order.

        Args:
            deleted: include those all of whose versions are soft deleted.

        Raises:
            RegistryUnavailable: the URL answers no list of subjects, as another address of the server would.
        """
        found: dict[str, None] = {}
        while True:
            response = self._ask("/subjects", deleted=_flag(deleted), offset=len(found) or None)
            page = [each.removeprefix(":.:") for each in parse_response(response, _NAMES.validate_json)]
            new = [each for each in page if each not in found]
            found |= dict.fromkeys(new)
            if len(page) < _SHORT_LIST or not new:
                return tuple(sorted(found))

    def subject(self, name: str, *, deleted: bool = False) -> tuple[VersionCopy, ...]:
        """Return the versions of a subject, oldest first; none for one that is not there.

        Args:
            name: the subject.
            deleted: include the soft-deleted versions, as far as the registry shows them.
        """
        return self._subject(name, deleted=deleted)[0]

    def _subject(self, name: str, *, deleted: bool) -> tuple[tuple[VersionCopy, ...], bool]:
        """Return the versions of a subject, and whether it has soft-deleted ones that are listed and not shown (Apicurio).

        Raises:
            NotRegistered: a version was deleted between two requests.
        """
        path = f"/subjects/{quote(name, safe='')}/versions"
        live = self._numbers(path)
        every = sorted({*live, *self._numbers(path, deleted="true")}) if deleted else sorted(live)
        found, hidden = [], False
        for number in every:
            try:
                found.append(self._version(f"{path}/{number}", deleted=number not in live))
            except NotRegistered:
                if number in live:
                    raise
                hidden = True
        return tuple(found), hidden

    def _numbers(self, path: str, **query: str) -> list[int]:
        try:
            return list(parse_response(self._send(path, query), _NUMBERS.validate_json))
        except NotRegistered:
            return []

    def _version(self, path: str, *, deleted: bool) -> VersionCopy:
        response = self._send(path, {"deleted": "true"} if deleted else {})
        answer: _VersionAnswer = parse_response(response, _VersionAnswer.model_validate_json)
        return answer.copied(deleted=deleted)

    def schema(self, schema_id: int) -> SchemaAnswer | None:
        """Return the schema with an id, or None."""
        try:
            return self._get(f"/schemas/ids/{schema_id}", SchemaAnswer)
        except NotRegistered:
            return None

    def level(self, name: str | None = None) -> Compatibility | None:
        """Return the level of a subject, or of the subjects that have none; None if it is not set.

        Some registries answer the latter for a subject that has none.
        """
        try:
            answer = self._get(f"/config/{quote(name, safe='')}" if name else "/config", _SettingAnswer)
        except NotRegistered:
            return None
        return answer.level or answer.compatibility

    def level_in_force(self, name: str) -> Compatibility:
        """Return the level that new versions of a subject are checked at there."""
        return self.level(name) or self.level() or Compatibility.BACKWARD

    def mode(self, name: str | None = None) -> str | None:
        """Return the mode of a subject, or of the subjects that have none; None if it is not set or there are no modes."""
        try:
            return self._get(f"/mode/{quote(name, safe='')}" if name else "/mode", _SettingAnswer).mode
        except (NotRegistered, RegistrationRefused, RegistryUnavailable) as error:
            if error.status in {404, 405, 501}:  # none is set, or the registry has no modes
                return None
            raise

    def snapshot(self) -> RegistrySnapshot:
        """Return every subject with all of its versions, and the levels and modes.

        A subject that changes meanwhile is as it was before or after the change. What is referred to is complete.

        Raises:
            RegistryUnavailable: the registry did not answer, or not as a registry does.
        """
        names = self.names(deleted=True)
        level, mode = self.level() or Compatibility.BACKWARD, self.mode()
        # Where the registry answers the default for a subject that has no level, one that is equal to it is not its own.
        default_level, default_mode = self.level(_NOBODY), self.mode(_NOBODY)

        hidden: set[str] = set()

        def read(name: str) -> SubjectCopy:
            versions, is_hidden = self._settled(name)
            if is_hidden:
                hidden.add(name)
            own_level, own_mode = self.level(name), self.mode(name)
            return SubjectCopy(
                name=name,
                level=None if own_level == default_level else own_level,
                mode=None if own_mode == default_mode else own_mode,
                versions=versions,
            )

        with ThreadPoolExecutor(_READERS) as pool:
            subjects = {each.name: each for each in pool.map(read, names)}
            # A version that was registered after its subject was read is read again with what refers to it.
            while outdated := _outdated(subjects.values()):
                again = {each.name: each for each in pool.map(read, outdated)}
                if all(subjects.get(name) == each for name, each in again.items()):
                    break
                subjects |= again
        return RegistrySnapshot(
            source=self.url,
            level=level,
            mode=mode,
            subjects=tuple(subjects[name] for name in sorted(subjects) if subjects[name].versions),
            notes=(*self._other_contexts(), *_hidden_note(hidden)),
        )

    def _settled(self, name: str) -> tuple[tuple[VersionCopy, ...], bool]:
        """Return the versions of a subject; it is read again if one is deleted permanently between two requests."""
        for _ in range(5):
            try:
                return self._subject(name, deleted=True)
            except NotRegistered:
                continue
        return self._subject(name, deleted=True)

    def _other_contexts(self) -> tuple[str, ...]:
        try:
            names = parse_response(self._send("/contexts"), _NAMES.validate_json)
        except (NotRegistered, RegistrationRefused, RegistryUnavailable):
            return ()  # most registries have one context, and no such route
        others = sorted(each for each in names if each not in _DEFAULT_CONTEXTS)
        return (f"the contexts {', '.join(others)} are left out: only the default context is read",) if others else ()

    def _get(self, path: str, model: type[_Model]) -> _Model:
        found: _Model = parse_response(self._send(path), model.model_validate_json)
        return found

    def _send(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """Send a GET, and return its response; as `Requests.send`, but a login that is refused is no answer."""
        try:
            return self._requests.send("GET", path, query)
        except RegistrationRefused as error:
            if error.status not in {401, 403}:
                raise
            raise RegistryUnavailable(
                f"the registry at {self.url} refused the login: {error.message}",
                url=self.url,
                status=error.status,
                hint="MESHPORT_PEER_AUTH=user:password, MESHPORT_PEER_TOKEN, or --peer-netrc FILE",
            ) from error

    def _ask(self, path: str, **query: Any) -> Any:
        try:
            return self._send(path, query)
        except NotRegistered as error:
            raise RegistryUnavailable(
                f"{self.url}{path} answered 404, which no registry does",
                url=self.url,
                status=404,
                hint="give the root of Confluent's API: of Apicurio it is http://host:port/apis/ccompat/v7",
            ) from error


def _outdated(subjects: Iterable[SubjectCopy]) -> list[str]:
    """Return the subjects that lack a version which another one refers to."""
    known = {version.key for each in subjects for version in each.versions}
    references = (one for each in subjects for version in each.versions for one in version.references)
    return sorted({each.subject for each in references if each.key not in known})


def _hidden_note(names: Collection[str]) -> tuple[str, ...]:
    if not names:
        return ()
    few = sorted(names)[:_NAMED]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (f"soft-deleted versions of {', '.join(few)}{more} are listed there, but not shown: they are left out",)


def _flag(value: bool) -> str | None:
    return "true" if value else None


class _SubjectsAnswer(BaseModel):
    model_config = ConfigDict(extra="ignore", populate_by_name=True)


class _ReferenceAnswer(_SubjectsAnswer):
    name: str
    subject: str
    version: int


class SchemaAnswer(_SubjectsAnswer):
    """A schema as registries answer it.

    Attributes:
        text: the schema.
        kind: AVRO, which is left out in most answers, JSON or PROTOBUF.
        references: of the schema.
        metadata: Confluent's metadata.
        rules: Confluent's rule set.
    """

    text: str = Field(alias="schema", repr=False)
    kind: str | None = Field(default=None, alias="schemaType")
    references: list[_ReferenceAnswer] | None = None
    metadata: dict[str, Any] | None = None
    rules: dict[str, Any] | None = Field(default=None, alias="ruleSet")

    @property
    def reference_copies(self) -> tuple[SchemaReferenceCopy, ...]:
        """The references, those that are given twice once."""
        found = (
            SchemaReferenceCopy(name=each.name, subject=each.subject.removeprefix(":.:"), version=each.version)
            for each in self.references or ()
        )
        return tuple(dict.fromkeys(found))


class _VersionAnswer(SchemaAnswer):
    subject: str
    version: int
    id: int

    def copied(self, *, deleted: bool) -> VersionCopy:
        return VersionCopy(
            subject=self.subject.removeprefix(":.:"),
            version=self.version,
            id=self.id,
            schema_text=self.text,
            references=self.reference_copies,
            deleted=deleted,
            kind=(self.kind or "AVRO").upper(),
            metadata=_filled(self.metadata),
            rules=_filled(self.rules),
        )


def _filled(value: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a part of an answer, or None where nothing stands in it."""
    return value if value and any(value.values()) else None


class _SettingAnswer(_SubjectsAnswer):
    level: Compatibility | None = Field(default=None, alias="compatibilityLevel")
    compatibility: Compatibility | None = None
    mode: str | None = None

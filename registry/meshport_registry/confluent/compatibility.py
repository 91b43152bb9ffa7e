"""Whether a schema may follow: by Avro's rules alone where the subject is anybody's, by the whole contract of a product's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Connection

from meshport.compat import RULES, Finding
from meshport.errors import SchemaError
from meshport.product.lines import utc_today
from meshport_registry.confluent.bodies import ConfluentJSON, Database, Flag, Name, Number, SchemaBody, candidate_of
from meshport_registry.contracts import Candidate
from meshport_registry.gate import judge_next
from meshport_registry.store import Store
from meshport_registry.subjects import (
    LATEST,
    compare,
    find_history,
    find_version,
    global_settings,
    level_of,
    version_of,
)

router = APIRouter(default_response_class=ConfluentJSON, tags=["Confluent"])


@dataclass(frozen=True, slots=True)
class _Question:
    """Whether a schema may come next in a subject.

    Attributes:
        subject: its name.
        candidate: the schema; or why it is none, where that is a rule of the gate.
        version: the only version to compare with, or `LATEST`; None for those of the level.
    """

    subject: str
    candidate: Candidate | SchemaError
    version: int | None = None

    def reasons(self, connection: Connection) -> list[Finding]:
        """What speaks against it; a subject without versions takes anything as its first.

        Raises:
            SubjectNotFound, VersionNotFound: there is no such version.
            SchemaError: it cannot be compared.
        """
        history = find_history(connection, self.subject)
        if history.subject is not None and history.subject.owner is not None:
            verdict = judge_next(connection, history.subject, self.candidate, utc_today(), version=self.version)
            return [finding for finding in verdict.findings if finding.refuses]
        if isinstance(self.candidate, SchemaError):
            raise self.candidate
        versions = history.live
        if self.version is not None and (versions or self.version != LATEST):
            versions = [find_version(connection, self.subject, self.version)[0]]
        level = level_of(history.subject, global_settings(connection))
        return list(compare(connection, self.candidate, versions, level).findings)


@router.post("/compatibility/subjects/{subject}/versions/{version}")
async def check_version(
    store: Database, subject: Name, version: Number, body: SchemaBody, verbose: Flag = False
) -> Any:
    """Whether a schema may follow one version. With `verbose`, why not: each message begins with the id of its rule."""
    number = version_of(version)
    return await _answer(store, _Question(subject, await _read(store, body), number), verbose=verbose)


@router.post("/compatibility/subjects/{subject}/versions")
async def check_versions(store: Database, subject: Name, body: SchemaBody, verbose: Flag = False) -> Any:
    """Whether a schema may be the next version at the subject's level; `verbose` as for one version."""
    return await _answer(store, _Question(subject, await _read(store, body)), verbose=verbose)


async def _read(store: Store, body: SchemaBody) -> Candidate | SchemaError:
    try:
        return await candidate_of(store, body)
    except SchemaError as error:
        if error.rule not in RULES:
            raise
        return error


async def _answer(store: Store, question: _Question, *, verbose: bool) -> ConfluentJSON:
    reasons = await store.read(question.reasons)
    answer: dict[str, Any] = {"is_compatible": not reasons}
    if verbose:
        answer["messages"] = [str(each) for each in reasons]
    return ConfluentJSON(answer)

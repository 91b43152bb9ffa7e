"""Routes that check the compatibility of a schema with a subject.

A subject that belongs to no data product is checked by Avro's schema resolution alone, a product's subject by the gate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Connection

from meshport.compat import RULES, Finding
from meshport.compat.judgement import GateJudgement, HistoryJudgement
from meshport.errors import SchemaError
from meshport.product.lines import utc_today
from meshport_registry.confluent.bodies import (
    ConfluentJSON,
    Database,
    Flag,
    SchemaBody,
    SubjectName,
    VersionNumber,
    candidate_of,
)
from meshport_registry.gate import next_version_judgement
from meshport_registry.schemas import CandidateSchema
from meshport_registry.store import RegistryStore
from meshport_registry.subject_settings import effective_level, global_settings
from meshport_registry.subjects import LATEST, find_history, find_version, history_judgement, parse_version
from meshport_registry.values import BoundedRoute

router = APIRouter(route_class=BoundedRoute, default_response_class=ConfluentJSON, tags=["Confluent"])


@dataclass(frozen=True, slots=True)
class _CompatibilityCheck:
    """A check whether a schema may be the next version of a subject.

    Attributes:
        subject: the subject's name.
        candidate: the schema, or the error of a schema that a rule of the gate refuses.
        version: the only version to compare with, or `LATEST`; None for the versions that the level requires.
    """

    subject: str
    candidate: CandidateSchema | SchemaError
    version: int | None = None

    def judgement(self, connection: Connection) -> HistoryJudgement | GateJudgement:
        """Return the judgement to make. Any schema may be a subject's first version.

        Raises:
            SubjectNotFound: the subject has no version, and one was named.
            VersionNotFound: the subject has no such version.
            SchemaError: the schema is not valid.
        """
        history = find_history(connection, self.subject)
        if history.subject is not None and history.subject.owner is not None:
            today = utc_today()
            return next_version_judgement(connection, history.subject, self.candidate, today, version=self.version)
        if isinstance(self.candidate, SchemaError):
            raise self.candidate
        versions = history.live
        if self.version is not None and (versions or self.version != LATEST):
            versions = [find_version(connection, self.subject, self.version)[0]]
        level = effective_level(history.subject, global_settings(connection))
        return history_judgement(connection, self.candidate, versions, level)


@router.post("/compatibility/subjects/{subject}/versions/{version}")
async def check_version(
    store: Database, subject: SubjectName, version: VersionNumber, body: SchemaBody, verbose: Flag = False
) -> Any:
    """Whether a schema is compatible with one version; with `verbose`, why not: each message begins with a rule's id."""
    number = parse_version(version)
    return await _respond(store, _CompatibilityCheck(subject, await _read(store, body), number), verbose=verbose)


@router.post("/compatibility/subjects/{subject}/versions")
async def check_versions(store: Database, subject: SubjectName, body: SchemaBody, verbose: Flag = False) -> Any:
    """Whether a schema may be the next version at the subject's level; `verbose` as for one version."""
    return await _respond(store, _CompatibilityCheck(subject, await _read(store, body)), verbose=verbose)


async def _read(store: RegistryStore, body: SchemaBody) -> CandidateSchema | SchemaError:
    try:
        return await candidate_of(store, body)
    except SchemaError as error:
        if error.rule not in RULES:
            raise
        return error


async def _respond(store: RegistryStore, check: _CompatibilityCheck, *, verbose: bool) -> ConfluentJSON:
    judgement = await store.read(check.judgement)
    reasons: list[Finding]
    if isinstance(judgement, GateJudgement):
        verdicts = await store.judge(judgement)
        reasons = [finding for verdict in verdicts for finding in verdict.findings if finding.refuses]
    else:
        reasons = list((await store.judge(judgement)).findings)
    body: dict[str, Any] = {"is_compatible": not reasons}
    if verbose:
        body["messages"] = [str(each) for each in reasons]
    return ConfluentJSON(body)

"""Routes that check the compatibility of a schema with a subject.

A subject that belongs to no data product is checked by Avro's schema resolution alone, a product's subject by the gate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Connection

from meshport.compat import RULES, Finding
from meshport.compat.judgement import DefaultsJudgement, GateJudgement, HistoryJudgement
from meshport.errors import SchemaError
from meshport.product.lines import utc_today
from meshport_registry.confluent.answers import TAKES_BODY, CompatibilityFacts, ConfluentJSON
from meshport_registry.confluent.bodies import SchemaBody, candidate_of
from meshport_registry.confluent.parameters import Flag, SubjectName, VersionNumber
from meshport_registry.errors import InvalidSchema
from meshport_registry.gate import next_version_judgement
from meshport_registry.negotiation import CONFLUENT_CHECKS
from meshport_registry.schemas import CandidateSchema
from meshport_registry.state import Database
from meshport_registry.store import RegistryStore
from meshport_registry.subject_names import LATEST
from meshport_registry.subject_settings import effective_level, registry_settings
from meshport_registry.subjects import find_history, history_judgement, version_not_found
from meshport_registry.values import BoundedRoute

router = APIRouter(
    route_class=BoundedRoute, default_response_class=ConfluentJSON, dependencies=CONFLUENT_CHECKS, tags=["Confluent"]
)


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
        if self.version is not None:
            found = history.find(self.version)
            if found is None and self.version != LATEST:
                raise version_not_found(self.version)
            versions = [found] if found else []
        level = effective_level(history.subject, registry_settings(connection))
        return history_judgement(connection, self.candidate, versions, level)


@router.post(
    "/compatibility/subjects/{subject}/versions/{version}", response_model=CompatibilityFacts, responses=TAKES_BODY
)
async def check_version(
    store: Database,
    subject: SubjectName,
    version: VersionNumber,
    body: SchemaBody,
    *,
    verbose: Flag = False,
    normalize: Flag = False,  # noqa: ARG001 - documented: schemas are compared in canonical form
) -> Any:
    """Whether a schema is compatible with one version; with `verbose`, why not: each message begins with a rule's id."""
    return await _respond(store, body, subject, version, verbose=verbose)


@router.post("/compatibility/subjects/{subject}/versions", response_model=CompatibilityFacts, responses=TAKES_BODY)
async def check_versions(
    store: Database,
    subject: SubjectName,
    body: SchemaBody,
    *,
    verbose: Flag = False,
    normalize: Flag = False,  # noqa: ARG001 - as above
) -> Any:
    """Whether a schema may be the next version at the subject's level; `verbose` as for one version."""
    return await _respond(store, body, subject, None, verbose=verbose)


async def _respond(
    store: RegistryStore, body: SchemaBody, subject: str, version: int | None, *, verbose: bool
) -> ConfluentJSON:
    try:
        check = _CompatibilityCheck(subject, await _read(store, body), version)
        reasons = [str(each) for each in await _reasons(store, check)]
    except (InvalidSchema, SchemaError) as error:
        if not verbose:
            raise
        reasons = [str(error)]  # Confluent's registry answers an invalid schema so
    answer: dict[str, Any] = {"is_compatible": not reasons}
    if verbose:
        answer["messages"] = reasons
    return ConfluentJSON(answer)


async def _read(store: RegistryStore, body: SchemaBody) -> CandidateSchema | SchemaError:
    try:
        return await candidate_of(store, body)
    except SchemaError as error:
        if error.rule not in RULES:
            raise
        return error


async def _reasons(store: RegistryStore, check: _CompatibilityCheck) -> list[Finding]:
    judgement = await store.read(check.judgement)
    if isinstance(judgement, GateJudgement):
        verdicts = await store.judge(judgement)
        return [finding for verdict in verdicts for finding in verdict.findings if finding.refuses]
    await store.judge(DefaultsJudgement(judgement.candidate))
    return list((await store.judge(judgement)).findings)

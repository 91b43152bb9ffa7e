# ruff: noqa: N818 - the names are Confluent's codes, and the mesh's verdicts, in words
"""The service's errors, and the one table of what each answers.

Handlers raise; `answer` renders, in Confluent's form at the root and in the mesh's own form under `/api/v1`. The codes
are Confluent's (Schema Registry API reference, "Errors"; `io.confluent.kafka.schemaregistry.rest.exceptions.Errors`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from meshport.compat import Verdict
from meshport.errors import AddressError, DescriptorError, MeshError, SchemaError


class ServiceError(MeshError):
    """Root of what the service answers with an error.

    Args:
        message: what was found.
        hint: what would be right.
        findings: the single reasons, one text each.
    """

    def __init__(self, message: str, *, hint: str | None = None, findings: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.findings = findings


class SubjectNotFound(ServiceError):
    """The subject has no version."""


class VersionNotFound(ServiceError):
    """The subject has no such version."""


class SchemaNotFound(ServiceError):
    """No such schema."""


class SubjectSoftDeleted(ServiceError):
    """The subject is soft deleted already."""


class SubjectNotSoftDeleted(ServiceError):
    """Deleting for good asks for a soft delete first."""


class VersionSoftDeleted(ServiceError):
    """The version is soft deleted already."""


class VersionNotSoftDeleted(ServiceError):
    """Deleting for good asks for a soft delete first."""


class LevelNotConfigured(ServiceError):
    """The subject has no level of its own."""


class ModeNotConfigured(ServiceError):
    """The subject has no mode of its own."""


class NoAssociation(ServiceError):
    """This registry holds no associations; clients fall back to the topic's name."""


class Incompatible(ServiceError):
    """The schema, or what is promised around it, breaks those who rely on what was before.

    Args:
        message: what was found.
        hint: what would be right.
        findings: the single reasons; each begins with the id of its rule.
        verdicts: on each port of the product, where one was judged.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        findings: tuple[str, ...] = (),
        verdicts: tuple[Verdict, ...] = (),
    ) -> None:
        super().__init__(message, hint=hint, findings=findings)
        self.verdicts = verdicts


class InvalidSchema(ServiceError):
    """The schema, or what it refers to, is not valid."""


class InvalidVersion(ServiceError):
    """No version number."""


class InvalidLevel(ServiceError):
    """None of the seven levels."""


class InvalidMode(ServiceError):
    """None of the modes."""


class NotPermitted(ServiceError):
    """The subject's mode or owner does not allow it."""


class ReferenceExists(ServiceError):
    """Another schema refers to this one."""


class InvalidSubject(ServiceError):
    """A name that no subject can have."""


class InvalidRuleSet(ServiceError):
    """Rules and metadata are not kept here."""


class InvalidRequest(ServiceError):
    """A body or parameter that cannot be read."""


class NotJSON(ServiceError):
    """The body is of a type that is not taken."""


class StoreBusy(ServiceError):
    """Too many writes wait."""


class StoreFailed(ServiceError):
    """The database did not answer."""


class NotInMesh(ServiceError):
    """Raised for a product, port or address that the mesh does not have."""


class Retired(ServiceError):
    """Raised on resolving an address that is retired.

    Args:
        message: what was found.
        successor: the address that replaces it, where one was named.
    """

    def __init__(self, message: str, *, successor: str | None) -> None:
        super().__init__(message, hint=f"its successor is {successor}" if successor else None)
        self.successor = successor


class Refused(ServiceError):
    """Raised for a product that is not fit to be registered: a key that no field holds, an input that is not there."""


class Conflict(ServiceError):
    """Raised for what contradicts that which the mesh already promised."""


@dataclass(frozen=True, slots=True)
class Answer:
    """How one class of errors is answered.

    Attributes:
        status: of HTTP.
        code: Confluent's `error_code`.
        word: the mesh API's `error`.
    """

    status: int
    code: int
    word: str


ANSWERS: Final[dict[type[MeshError], Answer]] = {
    SubjectNotFound: Answer(404, 40401, "subject-not-found"),
    VersionNotFound: Answer(404, 40402, "version-not-found"),
    SchemaNotFound: Answer(404, 40403, "schema-not-found"),
    SubjectSoftDeleted: Answer(404, 40404, "subject-soft-deleted"),
    SubjectNotSoftDeleted: Answer(404, 40405, "subject-not-soft-deleted"),
    VersionSoftDeleted: Answer(404, 40406, "version-soft-deleted"),
    VersionNotSoftDeleted: Answer(404, 40407, "version-not-soft-deleted"),
    LevelNotConfigured: Answer(404, 40408, "level-not-configured"),
    ModeNotConfigured: Answer(404, 40409, "mode-not-configured"),
    NoAssociation: Answer(404, 40401, "no-association"),
    NotInMesh: Answer(404, 404, "not-found"),
    Incompatible: Answer(409, 409, "incompatible"),
    Conflict: Answer(409, 409, "conflict"),
    Retired: Answer(410, 410, "retired"),
    NotJSON: Answer(415, 415, "not-json"),
    InvalidSchema: Answer(422, 42201, "invalid-schema"),
    SchemaError: Answer(422, 42201, "invalid-schema"),
    InvalidVersion: Answer(422, 42202, "invalid-version"),
    InvalidLevel: Answer(422, 42203, "invalid-level"),
    InvalidMode: Answer(422, 42204, "invalid-mode"),
    NotPermitted: Answer(422, 42205, "not-permitted"),
    ReferenceExists: Answer(422, 42206, "reference-exists"),
    InvalidSubject: Answer(422, 42208, "invalid-subject"),
    InvalidRuleSet: Answer(422, 42210, "invalid-rules"),
    InvalidRequest: Answer(422, 422, "invalid-request"),
    AddressError: Answer(422, 422, "invalid-address"),
    DescriptorError: Answer(422, 422, "invalid-descriptor"),
    Refused: Answer(422, 422, "refused"),
    StoreBusy: Answer(503, 50002, "busy"),
    StoreFailed: Answer(500, 50001, "store-failed"),
}
_UNKNOWN: Final = Answer(500, 50001, "failed")


def answer(error: MeshError, *, mesh: bool) -> tuple[int, dict[str, Any]]:
    """The HTTP status and the body that an error answers.

    Args:
        error: what was raised.
        mesh: whether the mesh API was asked, or Confluent's.
    """
    row = next((ANSWERS[kind] for kind in type(error).__mro__ if kind in ANSWERS), _UNKNOWN)
    findings = list(getattr(error, "findings", ()))
    if not mesh:
        text = f"{error.message}; {error.hint}" if error.hint else error.message
        return row.status, {"error_code": row.code, "message": text}
    body = {"error": row.word, "message": error.message, "hint": error.hint, "findings": findings}
    if isinstance(error, Retired):
        body["successor"] = error.successor
    if isinstance(error, Incompatible):
        body["verdicts"] = [each.model_dump(mode="json") for each in error.verdicts]
    return row.status, body

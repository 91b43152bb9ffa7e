# ruff: noqa: N818 - the names are Confluent's codes, and the mesh's verdicts, in words
"""The service's errors, and the table of the HTTP response to each.

Handlers raise an error and `render` makes the response, in Confluent's format at the root and in the mesh's own format
under `/api/v1`. The codes are Confluent's (Schema Registry API reference, "Errors";
`io.confluent.kafka.schemaregistry.rest.exceptions.Errors`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from meshport.compat import Verdict
from meshport.errors import AddressError, DescriptorError, MeshError, PolicyError, SchemaError


class ServiceError(MeshError):
    """Root of the errors that the service responds with.

    Args:
        message: what was found.
        hint: what would be right.
        findings: the single reasons, one text each.

    Attributes:
        findings: the single reasons, one text each.
    """

    def __init__(self, message: str, *, hint: str | None = None, findings: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.findings = findings


class SubjectNotFound(ServiceError):
    """Raised for a subject that has no version."""


class VersionNotFound(ServiceError):
    """Raised for a version that the subject does not have."""


class SchemaNotFound(ServiceError):
    """Raised for a schema that is not registered."""


class SubjectSoftDeleted(ServiceError):
    """Raised when a subject to delete is soft deleted already."""


class SubjectNotSoftDeleted(ServiceError):
    """Raised when a subject to delete permanently is not soft deleted."""


class VersionSoftDeleted(ServiceError):
    """Raised when a version to delete is soft deleted already."""


class VersionNotSoftDeleted(ServiceError):
    """Raised when a version to delete permanently is not soft deleted."""


class LevelNotConfigured(ServiceError):
    """Raised when a subject has no compatibility level of its own."""


class ModeNotConfigured(ServiceError):
    """Raised when a subject has no mode of its own."""


class NoAssociation(ServiceError):
    """Raised for every association, because this registry has none. Clients then use the topic's name."""


class Incompatible(ServiceError):
    """Raised when a schema, or a change of a product's contract, breaks its readers.

    Args:
        message: what was found.
        hint: what would be right.
        findings: the single reasons; each begins with the id of its rule.
        verdicts: see the attribute.

    Attributes:
        verdicts: the gate's verdict on each port of the product; empty for a subject that belongs to no product.
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
    """Raised for a schema that is not valid, is not Avro, or has a reference that cannot be resolved."""


class JudgementTooLong(InvalidSchema):
    """Raised for a schema that takes too long to be judged."""


class InvalidVersion(ServiceError):
    """Raised for text that is no version number."""


class InvalidLevel(ServiceError):
    """Raised for text that is no compatibility level."""


class InvalidMode(ServiceError):
    """Raised for text that is no mode, or for a mode that a single subject cannot have."""


class NotPermitted(ServiceError):
    """Raised when the subject's mode, or the data product that it belongs to, forbids a change."""


class ReferenceExists(ServiceError):
    """Raised when a version to delete is referred to by another schema."""


class InvalidSubject(ServiceError):
    """Raised for text that is no subject name."""


class InvalidRuleSet(ServiceError):
    """Raised for a schema that comes with a rule set, which this registry would not apply."""


class InvalidRequest(ServiceError):
    """Raised for a body that is missing or holds what no request may, and for a parameter that is out of its range."""


class UnreadableBody(InvalidRequest):
    """Raised for a body that is no JSON, or JSON of another form than the route takes."""


class NoSuchPath(ServiceError):
    """Raised for a path or a query with text where the route takes a number, or with a number beyond 32 bits."""


class BadPath(ServiceError):
    """Raised for a path that is not ASCII, or whose escapes are no UTF-8."""


class NotAcceptable(ServiceError):
    """Raised for a client that accepts none of the media types of a route."""


class NotJSON(ServiceError):
    """Raised for a body whose content type is not JSON."""


class StoreBusy(ServiceError):
    """Raised when the queue of waiting writes is full."""


class StoreFailed(ServiceError):
    """Raised when the database did not answer."""


class NotInMesh(ServiceError):
    """Raised for a product, port, generation or waiver that is not registered."""


class Retired(ServiceError):
    """Raised when an address to resolve is retired.

    Args:
        message: what was found.
        successor: see the attribute.

    Attributes:
        successor: the address that replaces it, or None.
    """

    def __init__(self, message: str, *, successor: str | None = None) -> None:
        super().__init__(message, hint=f"its successor is {successor}" if successor else None)
        self.successor = successor


class RequestRefused(ServiceError):
    """Raised for a request that is well-formed but contradicts itself or what is registered.

    Examples are a product whose key is no field of its schema, an input port that is not registered, and a waiver of a
    rule that cannot be waived.
    """


class Conflict(ServiceError):
    """Raised for a change that the current state of a product or generation does not allow."""


class Unauthenticated(ServiceError):
    """Raised when the caller of a request is not known: it shows nothing, or something that is not valid.

    Every response to it has the header `WWW-Authenticate`.
    """


class NothingShown(Unauthenticated):
    """Raised when a request shows nothing by which its caller could be known."""


class IdentityUnavailable(ServiceError):
    """Raised when the OpenID provider did not answer, so that no token can be verified."""


class Forbidden(ServiceError):
    """Raised when no policy lets the caller do what it asks for, or a policy forbids it."""


@dataclass(frozen=True, slots=True)
class ErrorResponse:
    """The HTTP response to one class of errors.

    Attributes:
        status: the HTTP status.
        code: `error_code` of Confluent's format.
        word: `error` of the mesh API's format.
        root_status: the HTTP status at the root, if it is another one there.
    """

    status: int
    code: int
    word: str
    root_status: int | None = None


ERROR_RESPONSES: Final[dict[type[MeshError], ErrorResponse]] = {
    SubjectNotFound: ErrorResponse(404, 40401, "subject-not-found"),
    VersionNotFound: ErrorResponse(404, 40402, "version-not-found"),
    SchemaNotFound: ErrorResponse(404, 40403, "schema-not-found"),
    SubjectSoftDeleted: ErrorResponse(404, 40404, "subject-soft-deleted"),
    SubjectNotSoftDeleted: ErrorResponse(404, 40405, "subject-not-soft-deleted"),
    VersionSoftDeleted: ErrorResponse(404, 40406, "version-soft-deleted"),
    VersionNotSoftDeleted: ErrorResponse(404, 40407, "version-not-soft-deleted"),
    LevelNotConfigured: ErrorResponse(404, 40408, "level-not-configured"),
    ModeNotConfigured: ErrorResponse(404, 40409, "mode-not-configured"),
    NoAssociation: ErrorResponse(404, 40401, "no-association"),
    NotInMesh: ErrorResponse(404, 404, "not-found"),
    NoSuchPath: ErrorResponse(404, 404, "not-found"),
    Incompatible: ErrorResponse(409, 409, "incompatible"),
    Conflict: ErrorResponse(409, 409, "conflict"),
    Retired: ErrorResponse(410, 410, "retired"),
    NotJSON: ErrorResponse(415, 415, "not-json"),
    InvalidSchema: ErrorResponse(422, 42201, "invalid-schema"),
    SchemaError: ErrorResponse(422, 42201, "invalid-schema"),
    InvalidVersion: ErrorResponse(422, 42202, "invalid-version"),
    InvalidLevel: ErrorResponse(422, 42203, "invalid-level"),
    InvalidMode: ErrorResponse(422, 42204, "invalid-mode"),
    NotPermitted: ErrorResponse(422, 42205, "not-permitted"),
    ReferenceExists: ErrorResponse(422, 42206, "reference-exists"),
    InvalidSubject: ErrorResponse(422, 42208, "invalid-subject"),
    InvalidRuleSet: ErrorResponse(422, 42210, "invalid-rules"),
    BadPath: ErrorResponse(400, 400, "bad-path"),
    Unauthenticated: ErrorResponse(401, 40101, "unauthenticated"),
    Forbidden: ErrorResponse(403, 40301, "forbidden"),
    NotAcceptable: ErrorResponse(406, 406, "not-acceptable"),
    # Confluent's registry has 400 for a body that cannot be read, and 422 for none.
    UnreadableBody: ErrorResponse(422, 400, "invalid-request", root_status=400),
    InvalidRequest: ErrorResponse(422, 422, "invalid-request"),
    AddressError: ErrorResponse(422, 422, "invalid-address"),
    DescriptorError: ErrorResponse(422, 422, "invalid-descriptor"),
    PolicyError: ErrorResponse(422, 422, "invalid-policy"),
    RequestRefused: ErrorResponse(422, 422, "refused"),
    IdentityUnavailable: ErrorResponse(503, 50003, "identity-unavailable"),
    StoreBusy: ErrorResponse(503, 50002, "busy"),
    StoreFailed: ErrorResponse(500, 50001, "store-failed"),
}
_UNKNOWN: Final = ErrorResponse(500, 50001, "failed")


def render(error: MeshError, *, mesh: bool) -> tuple[int, dict[str, Any]]:
    """Return the HTTP status and the JSON body of the response to an error.

    Args:
        error: the error.
        mesh: true for the mesh API's format, false for Confluent's.
    """
    row = next((ERROR_RESPONSES[kind] for kind in type(error).__mro__ if kind in ERROR_RESPONSES), _UNKNOWN)
    findings = list(getattr(error, "findings", ()))
    if not mesh:
        text = f"{error.message}; {error.hint}" if error.hint else error.message
        return row.root_status or row.status, {"error_code": row.code, "message": text}
    body = {"error": row.word, "message": error.message, "hint": error.hint, "findings": findings}
    if isinstance(error, Retired):
        body["successor"] = error.successor
    if isinstance(error, Incompatible):
        body["verdicts"] = [each.model_dump(mode="json") for each in error.verdicts]
    return row.status, body

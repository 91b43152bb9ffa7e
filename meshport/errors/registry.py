"""Errors between the library and a registry."""

from __future__ import annotations

from meshport.errors.base import MeshError, with_facts


@with_facts
class RegistryError(MeshError):
    """Root of the errors between the library and a registry.

    Attributes:
        url: the URL of the registry, or of the request.
        status: the HTTP status of the answer; None if there was no answer.
    """

    url: str | None = None
    status: int | None = None


class RegistryUnavailable(RegistryError):  # noqa: N818 - names a state
    """Raised when the registry did not answer, or not as a registry of this version does. It is never a pass."""


@with_facts
class NotRegistered(RegistryError, LookupError):  # noqa: N818 - names a state
    """Raised for a product, address, subject or schema that the registry does not have, or that is retired.

    Attributes:
        successor: the address that replaces a retired one.
    """

    successor: str | None = None


@with_facts
class RegistrationRefused(RegistryError):  # noqa: N818 - names a verdict
    """Raised when the registry refuses a request.

    Attributes:
        findings: the single reasons, one text each; those of the gate begin with the id of a rule.
    """

    findings: tuple[str, ...] = ()

    def __str__(self) -> str:
        # The message repeats a single reason.
        reasons = "".join(f"\n  - {each}" for each in self.findings if each not in self.message)
        return self.message + reasons + (f"\nhint: {self.hint}" if self.hint else "")


@with_facts
class LoginRefused(RegistryError):  # noqa: N818 - names a verdict
    """Raised when a login cannot be made or has ended, or would be sent where others can read it.

    Attributes:
        reason: the provider's code (RFC 6749, section 5.2), as `invalid_grant`.
    """

    reason: str | None = None


@with_facts
class AuditBroken(RegistryError):  # noqa: N818 - names a finding
    """Raised when entries of an audit were changed, removed, added or moved.

    Attributes:
        number: of the first entry that is wrong; None where the end of the audit is missing.
    """

    number: int | None = None


class NewerRegistry(RegistryError):  # noqa: N818 - names a state
    """Raised when a value of a newer registry is needed that this version does not know."""

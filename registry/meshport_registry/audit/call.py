"""One request, as the audit sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection
from starlette.types import Scope

from meshport.audit import AuditOutcome
from meshport_registry.audit.chain import AuditRecord, append

if TYPE_CHECKING:
    from meshport_registry.identity.caller import Caller
    from meshport_registry.store import RegistryStore

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
CHANGES_NOTHING: Final = frozenset({
    ("POST", "/subjects/{subject}"),
    ("POST", "/compatibility/subjects/{subject}/versions"),
    ("POST", "/compatibility/subjects/{subject}/versions/{version}"),
    ("POST", "/api/v1/gate/check"),
    ("POST", "/api/v1/access/readers"),
    ("POST", "/catalog/login"),
    ("POST", "/catalog/logout"),
    ("PUT", "/api/v1/service-levels/{domain}/{product}/{port}"),
    ("POST", "/api/v1/service-levels/{domain}/{product}/{port}/counts"),
    ("PUT", "/api/v1/profiles/{domain}/{product}/{port}"),
    ("PUT", "/api/v1/seen-readers/{domain}/{product}/{port}"),
    ("PUT", "/api/v1/processors/{domain}/{product}/{port}"),
    ("PUT", "/api/v1/quarantine/{domain}/{product}/{port}"),
    ("PUT", "/api/v1/replays/{job}/progress"),
})  # fmt: skip
"""The routes that take a body and change nothing that anybody declared. Service levels are measured every few seconds."""


class AuditedCall:
    """What is known of a request for its entry in the audit.

    Args:
        scope: of the request.

    Attributes:
        entered: whether the entry of this call is committed.
    """

    __slots__ = ("_action", "_policies", "_reason", "_resource", "_scope", "entered")

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._action: str | None = None
        self._resource: str | None = None
        self._policies: str | None = None
        self._reason = ""
        self.entered = False

    def judged(self, action: str, resource: str, policies: str) -> None:
        """Note what the policies judged: before the route's work, and whatever they decide.

        Args:
            action: of the policies, such as `register`.
            resource: of the policies, such as `Product::"shop/orders"`.
            policies: their version.
        """
        self._action, self._resource, self._policies = action, resource, policies

    def named(self, action: str) -> None:
        """Name what the call does, for one whose route is open to every caller."""
        self._action = action

    def because(self, reason: str) -> None:
        """Note why the call is refused, in words that have no secret of the request."""
        self._reason = f": {reason}"

    def on(self, store: RegistryStore) -> RegistryStore:
        """Return the database as this call uses it: its first write appends the call's entry in the same transaction."""
        return store.recording(self._enter, self._note)

    def _enter(self, connection: Connection) -> None:
        if not self.entered:
            append(connection, self.record(AuditOutcome.ALLOWED))

    def _note(self) -> None:
        self.entered = True

    @property
    def may_change(self) -> bool:
        """Whether the request is one to change something, by its method and its route."""
        scope = self._scope
        methods = getattr(scope.get("route"), "methods", ())  # the router names a route that has another method, too
        if scope["method"] in _READING or scope["method"] not in methods:
            return False
        return (scope["method"], self._template) not in CHANGES_NOTHING and not _is_dry(scope["query_string"])

    @property
    def _template(self) -> str:
        return str(getattr(self._scope.get("route"), "path_format", ""))

    def record(self, outcome: AuditOutcome, status: int | None = None) -> AuditRecord:
        """Return the entry of this call.

        Args:
            outcome: of the call.
            status: of its response, if it is known yet.
        """
        scope = self._scope
        caller: Caller | None = scope["state"].get("caller")
        method, path = scope["method"], (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        return AuditRecord(
            caller=caller.name if caller else "anonymous",
            by=caller.by if caller else "anonymous",
            action=self._action or f"{method} {self._template}".rstrip(),
            resource=self._resource or path,
            outcome=outcome,
            detail=f"{method} {path}" + (f": {status}{self._reason}" if status else ""),
            policies=self._policies,
        )


def _is_dry(query: bytes) -> bool:
    """Whether a query asks for what would change only. Its other values are not looked at: they never reach the audit."""
    return any(
        name == b"dry_run" and value.lower() in {b"true", b"1", b"yes", b"on", b"y", b"t"}
        for name, _, value in (part.partition(b"=") for part in query.split(b"&"))
    )


def audited_call(scope: Scope) -> AuditedCall:
    """Return the audit's view of a request, which `AuditMiddleware` made."""
    call: AuditedCall = scope["state"]["audit"]
    return call
